"""Whole synthetic data sets: the same bytes whatever happens, and truth that fits the pictures."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from safetensors.numpy import load_file

from headgen.errors import InputError
from headgen.faces.tracker import Track
from headgen.media.clips import ClipStore, read_clip, read_index
from headgen.media.image import read_image
from headgen.synth.conversation.conversation import make_conversation
from headgen.synth.dataset import clips
from headgen.synth.dataset.clips import MOTION_NAMES, motion_row
from headgen.synth.dataset.make import conversations, heads, videos
from headgen.synth.dataset.records import read_manifest
from headgen.synth.heads.model import PARTS

pytest.importorskip("pyarrow")
pytest.importorskip("espeakng_loader")

SMALL = {"seed": 4, "size": 64, "seconds": 1.2, "identities": 2}


def digest(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a data set."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("talk") / "set"
    conversations(folder, count=2, masks=True, **SMALL)
    return folder


def test_two_workers_make_the_same_bytes_as_one(talk, tmp_path):
    conversations(tmp_path / "set", count=2, masks=True, workers=2, **SMALL)
    assert digest(tmp_path / "set") == digest(talk)


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(talk, tmp_path):
    folder = tmp_path / "set"
    program = (
        "from pathlib import Path; from headgen.synth.dataset.make import conversations; "
        f"conversations(Path({str(folder)!r}), count=2, masks=True, **{SMALL!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    while process.poll() is None and not list(folder.glob("clips/*_listener.mp4.part")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "manifest.parquet").exists()
    conversations(folder, count=2, masks=True, **SMALL)
    assert digest(folder) == digest(talk)


def test_a_conversation_has_two_videos_a_sound_and_its_story(talk):
    for record in read_manifest(talk):
        endings = (".mp4", ".safetensors", "_parts.mkv")
        films = [f"{record.name}_{role}{end}" for role in ("speaker", "listener") for end in endings]
        assert set(record.files) == {f"{record.name}.wav", *films}
        for name, sha in record.files.items():
            assert hashlib.sha256((talk / "clips" / name).read_bytes()).hexdigest() == sha
        assert len(set(record.identities)) == 2 and record.frames == 30
        assert {c["who"] for c in record.captions} >= {"listener"}
        assert all(0 <= e["start"] <= e["end"] <= 1.21 for e in record.events)
        frames, landmarks = read_clip(talk, f"{record.name}_listener")
        assert frames.shape == (30, 64, 64, 3) and frames.std() > 20
        assert (landmarks[:, :468, :2] > -20).all() and (landmarks[:, :468, :2] < 84).all()
    assert (talk / "preview.png").is_file() and (talk / "preview.mp4").is_file()
    assert "Nobody" in (talk / "DATASHEET.md").read_text()


def test_masks_agree_with_landmarks(talk):
    name = read_manifest(talk)[0].name
    with av.open(str(talk / "clips" / f"{name}_speaker_parts.mkv")) as container:
        masks = [frame.to_ndarray() for frame in container.decode(video=0)]
    _, landmarks = read_clip(talk, f"{name}_speaker")
    assert len(masks) == len(landmarks) == 30
    for mask, points in zip(masks[::7], landmarks[::7], strict=True):
        assert mask.max() < len(PARTS)
        cheek = points[[50, 280], :2].round().astype(int)
        assert all(PARTS[mask[y, x]] in ("skin", "hair", "glasses") for x, y in cheek)


def test_the_folder_is_a_training_set(talk):
    store = ClipStore(talk)
    assert len(store) == 4 and store.motion_names == MOTION_NAMES
    assert {info.split for info in read_index(talk)} <= {"train", "val", "test"}
    assert store.motion(0).shape == (30, len(MOTION_NAMES))


def test_stills_come_with_exact_truth(tmp_path):
    made = heads(tmp_path, count=3, seed=2, size=96)
    assert made.clips == 3
    for record in read_manifest(tmp_path):
        image = read_image(tmp_path / "clips" / f"{record.name}.png")
        truth = load_file(tmp_path / "clips" / f"{record.name}.safetensors")
        assert image.shape == (96, 96, 3)
        background = truth["parts"] == PARTS.index("background")
        assert (np.isinf(truth["depth"]) == background).all()
        assert 0.1 < background.mean() < 0.9
        lengths = np.linalg.norm(truth["normals"][~background], axis=1)
        np.testing.assert_allclose(lengths, 1, atol=1e-3)
        seen = truth["visible_68"]
        places = truth["landmarks_68"][seen]
        at = places[:, :2].round().astype(int).clip(0, 95)
        apart = places[:, 2] - truth["depth"][at[:, 1], at[:, 0]]
        assert np.median(np.abs(apart)) < 0.5  # cm
    assert len({record.identities[0] for record in read_manifest(tmp_path)}) == 3


def test_posed_videos_show_another_face_in_every_frame(tmp_path):
    videos(tmp_path, count=1, seed=1, size=64, seconds=2, fps=3, motion="posed")
    (record,) = read_manifest(tmp_path)
    motion = ClipStore(tmp_path).motion(0)
    assert record.frames == 6 and len(np.unique(motion, axis=0)) == 6
    assert not [name for name in record.files if name.endswith(".wav")]


def test_slow_pictures_keep_step_with_the_sound(tmp_path, monkeypatch):
    fps, made_at = 7.0, 14.0
    talks = []

    def listened(*args, **options):
        talks.append(make_conversation(*args, **options))
        return talks[-1]

    monkeypatch.setattr(clips, "make_conversation", listened)
    videos(tmp_path, count=1, seed=1, size=64, seconds=1.5, fps=fps)
    (record,) = read_manifest(tmp_path)
    (told,) = talks
    assert told.fps == made_at and record.fps == fps
    stored = ClipStore(tmp_path).motion(0)
    times = np.arange(record.frames) / fps
    assert times[-1] < 1.5 <= times[-1] + 1 / fps + 1e-9  # the pictures last as long as the sound
    moments = times * told.fps  # each picture shows the moment at which it is played
    np.testing.assert_allclose(moments, moments.round(), atol=1e-9)
    np.testing.assert_array_equal(stored, motion_row(told.speaker)[moments.round().astype(int)])


class LosesFaces:
    """A tracker that loses the face as if by chance, but alike in the same picture."""

    def reset(self) -> None:
        pass

    def track(self, image):
        return Track(np.full((478, 3), 7.0, np.float32), 1) if image.astype(int).sum() % 2 else None


def test_talking_clips_keep_frames_in_which_no_face_is_found(talk, tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "MediaPipeTracker", LosesFaces)
    conversations(tmp_path, count=1, landmarks="tracked", **SMALL)
    (record,) = read_manifest(tmp_path)
    assert record.frames == 30
    for role in ("speaker", "listener"):
        name = f"clips/{record.name}_{role}.safetensors"
        kept, exact = load_file(tmp_path / name), load_file(talk / name)
        found = kept["tracked"]
        assert found.dtype == bool and found.shape == (30,) and 0 < found.sum() < 30
        assert (kept["landmarks"][found] == 7).all()
        np.testing.assert_array_equal(kept["landmarks"][~found], exact["landmarks"][~found])
        np.testing.assert_array_equal(kept["motion"], exact["motion"])
        assert "tracked" not in exact
        assert len(read_clip(tmp_path, f"{record.name}_{role}")[0]) == 30
    written = digest(tmp_path / "clips")
    assert all(written[name] == sha for name, sha in record.files.items())


def test_posed_clips_without_a_face_are_skipped_and_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "MediaPipeTracker", LosesFaces)
    options = {
        "count": 5, "seed": 2, "size": 64, "identities": 1, "seconds": 0.2, "fps": 5, "motion": "posed",
        "landmarks": "tracked", "masks": True,
    }  # fmt: skip
    made = videos(tmp_path / "one", **options)
    records = read_manifest(tmp_path / "one")
    assert made.skipped and made.clips == len(records) == 5 - len(made.skipped) > 0
    assert not {record.name for record in records} & set(made.skipped)
    for name in made.skipped:  # noted, with nothing else left behind
        assert [path.name for path in (tmp_path / "one" / "clips").glob(f"{name}*")] == [f"{name}.json"]
    sheet = (tmp_path / "one" / "DATASHEET.md").read_text()
    assert f"no face was found in them: {len(made.skipped)} clips" in sheet
    assert [info.name for info in read_index(tmp_path / "one")] == [record.name for record in records]
    before = digest(tmp_path / "one")
    again = videos(tmp_path / "one", **options)
    assert again == made and digest(tmp_path / "one") == before
    assert videos(tmp_path / "two", **options).skipped == made.skipped
    assert digest(tmp_path / "two") == before


def test_a_set_without_any_face_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "MediaPipeTracker", LosesFaces)
    monkeypatch.setattr(LosesFaces, "track", lambda self, image: None)
    with pytest.raises(InputError, match="no face in any clip"):
        videos(tmp_path, count=1, size=64, seconds=0.2, fps=5, motion="posed", landmarks="tracked")


def test_other_options_do_not_mix_with_what_lies_there(talk, tmp_path):
    before = digest(talk)
    with pytest.raises(InputError, match="size was 64 and is now 96"):
        conversations(talk, count=2, masks=True, **{**SMALL, "size": 96})
    assert digest(talk) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count=0"),
        ({"size": 63}, "size=63"),
        ({"identities": 3}, "even number of people"),
        ({"fps": 5}, "at least 10 frames"),
        ({"model": "ict"}, "ICT face model|needs skin"),
        ({"occluders": 2}, "share from 0 to 1"),
    ],
)
def test_options_out_of_range_are_told_before_anything_is_made(tmp_path, options, message, monkeypatch):
    monkeypatch.delenv("HEADGEN_ASSETS", raising=False)
    monkeypatch.setenv("HEADGEN_HOME", str(tmp_path / "home"))
    with pytest.raises(InputError, match=message):
        conversations(tmp_path / "set", **{"count": 1, **options})
    assert not (tmp_path / "set").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose a folder"):
        heads(tmp_path / "file" / "set", count=1)


def test_options_are_written_down(talk):
    facts = json.loads((talk / "options.json").read_text())
    assert facts["kind"] == "conversation" and facts["seed"] == 4 and facts["size"] == 64
    assert not [name for name in os.listdir(talk / "clips") if name.endswith(".part")]
