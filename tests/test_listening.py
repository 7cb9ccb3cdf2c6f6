"""Training data of listeners: the same whoever makes it, and what it says it is."""

from __future__ import annotations

import importlib
import json
from functools import lru_cache

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")
pytest.importorskip("espeakng_loader", reason="the synth extra is not installed")

from headgen.errors import InputError
from headgen.faces.motion import MOTION_NAMES
from headgen.listener.latents import FRAMES_PER_LATENT, PARTS, WarpCodec
from headgen.listener.track import FPS
from headgen.progress import Cancelled

listening = importlib.import_module("headgen.listening")
SECONDS, COUNT = 3.0, 3


@pytest.fixture(autouse=True, scope="module")
def few_conversations():
    """A codec of two conversations, and one head for all: their making is not what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listening, "head_model", lru_cache(listening.head_model))
        patch.setattr(listening, "CODEC_CONVERSATIONS", 2)
        yield


def bytes_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data set made by one process, and the events of its making."""
    folder, events = tmp_path_factory.mktemp("listening") / "data", []
    listening.make(COUNT, folder, seconds=SECONDS, seed=5, progress=events.append)
    return folder, events


def test_a_clip_holds_a_conversation_from_the_listeners_side(made):
    folder, events = made
    assert [e.done for e in events] == [1, 2, 3] and events[-1].total == COUNT
    names = listening.clip_names(folder, "train")
    assert names == ["00000", "00001", "00002"]
    clip = listening.read_clip(folder, names[0])
    rows = len(clip.track)
    assert rows == len(clip.speaker) == len(clip.latents) * FRAMES_PER_LATENT
    assert abs(rows - SECONDS * FPS) <= FRAMES_PER_LATENT
    codec = WarpCodec.from_pretrained(folder / "codec")
    assert clip.latents.shape[1:] == (len(PARTS), codec.token_width) and clip.latents.dtype == np.float32
    assert clip.speaker.shape[1] == len(MOTION_NAMES) and np.isfinite(clip.speaker).all()
    assert clip.track.heard.all() and np.ptp(clip.track.audio, 0).max() > 0.5
    assert clip.facts["split"] == "train" and clip.facts["attitude"] and clip.facts["captions"]
    # It moves, and within what the codec was made for.
    assert 0.1 < clip.latents.std() < 3 and np.abs(np.diff(clip.latents, axis=0)).mean() > 0.01


def test_clips_differ_and_so_do_seeds(made, tmp_path):
    folder, _ = made
    a, b = (listening.read_clip(folder, name) for name in ("00000", "00001"))
    assert not np.array_equal(a.track.audio[:50], b.track.audio[:50]) and a.facts["seed"] != b.facts["seed"]
    listening.make(1, tmp_path / "data", seconds=SECONDS, seed=6)
    other = listening.read_clip(tmp_path / "data", "00000")
    assert other.facts["seed"] != a.facts["seed"]


def test_two_processes_make_the_same_bytes(made, tmp_path):
    listening.make(COUNT, tmp_path / "data", seconds=SECONDS, seed=5, workers=2)
    assert bytes_of(tmp_path / "data") == bytes_of(made[0])


def test_other_listeners_to_the_same_speaker_change_nothing_else(made, tmp_path):
    folder = tmp_path / "data"
    listening.make(1, folder, seconds=SECONDS, seed=5, takes=1, asked=2)
    plain, more = listening.read_clip(made[0], "00000"), listening.read_clip(folder, "00000")
    assert (folder / "codec" / "config.json").read_bytes() == (made[0] / "codec/config.json").read_bytes()
    assert more.facts == plain.facts and plain.takes == ()
    assert np.array_equal(more.latents, plain.latents) and np.array_equal(more.track.audio, plain.track.audio)
    assert len(more.takes) == 3 and not more.takes[0].facts["asks"]
    assert len({take.facts["seed"] for take in more.takes}) == 3
    numbers = {e["number"] for e in more.facts["events"] if e["who"] == "speaker"}
    for take in more.takes:
        assert take.latents.shape == more.latents.shape and np.isfinite(take.latents).all()
        assert take.latents.std() > 0.1  # how large is not known: the codec here knows two listeners only
        assert not np.array_equal(take.latents, more.latents)
        assert {e["who"] for e in take.facts["events"]} <= {"listener"}
        assert {e["cause"] for e in take.facts["events"]} - {None} <= numbers
        assert all(0 <= a["start"] < a["end"] <= SECONDS for a in take.facts["asks"])


def test_those_who_are_held_out_have_one_listener(monkeypatch, tmp_path):
    monkeypatch.setattr(listening, "split_of", lambda number: "test")
    listening.make(1, tmp_path / "data", seconds=SECONDS, seed=5, takes=1)
    assert listening.read_clip(tmp_path / "data", "00000").takes == ()


def test_a_stopped_making_goes_on(made, tmp_path):
    folder = tmp_path / "data"

    def stop(event):
        raise Cancelled

    with pytest.raises(Cancelled):
        listening.make(COUNT, folder, seconds=SECONDS, seed=5, progress=stop)
    left = sorted(p.name for p in (folder / "clips").iterdir())
    assert left == ["00000.json", "00000.safetensors"]
    (folder / "clips" / "00001.safetensors").write_bytes(b"half")  # as a kill would leave it
    (folder / "clips" / "00001.json.part").write_text("{")
    listening.make(2, folder, seconds=SECONDS, seed=5)
    assert len(bytes_of(folder)) == len(bytes_of(made[0])) - 2
    listening.make(COUNT, folder, seconds=SECONDS, seed=5)  # and more can be made later
    assert bytes_of(folder) == bytes_of(made[0])


def test_killed_before_its_codec_was_whole_it_begins_anew(made, tmp_path):
    folder = tmp_path / "data"
    (folder / "codec").mkdir(parents=True)
    (folder / "codec" / "config.json").write_text("{")
    listening.make(1, folder, seconds=SECONDS, seed=5)
    for name in ("codec/config.json", "clips/00000.safetensors", "options.json"):
        assert (folder / name).read_bytes() == (made[0] / name).read_bytes()


def test_other_options_are_not_mixed_into_a_data_set(made):
    before = bytes_of(made[0])
    with pytest.raises(InputError, match=r"made with other options.*another folder"):
        listening.make(COUNT, made[0], seconds=SECONDS, seed=6)
    with pytest.raises(InputError, match="made with other options"):
        listening.make(COUNT, made[0], seconds=4.0, seed=5)
    assert bytes_of(made[0]) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"count": 0}, "at least one"),
        ({"seconds": 1.0}, "at least 2 s"),
        ({"model": "clay"}, "choose from analytic, ict"),
        ({"asked": -1}, "0 or more"),
    ],
)
def test_options_that_cannot_be_used_are_named_and_leave_nothing(tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        listening.make(output=tmp_path / "data", **{"count": 1, "seconds": SECONDS} | options)
    assert not (tmp_path / "data").exists()


def test_splits_never_mix_and_are_named_when_empty(made, tmp_path):
    splits = [listening.split_of(k) for k in range(100)]
    assert {name: splits.count(name) for name in set(splits)} == {"train": 80, "val": 10, "test": 10}
    with pytest.raises(InputError, match=r"no conversations of split 'val'.*headgen synth listening"):
        listening.clip_names(made[0], "val")
    folder = tmp_path / "clips"
    folder.mkdir()
    for k in range(30):
        (folder / f"{k:05d}.json").write_text(json.dumps({}))
    names = {split: set(listening.clip_names(tmp_path, split)) for split in ("train", "val", "test")}
    assert len(set().union(*names.values())) == 30 == sum(map(len, names.values()))


def test_a_lost_face_is_marked_and_silent_to_the_network(made):
    """Hidden stretches are NaN for the tracker, and zero and unseen in the track."""
    from headgen.listener.motion import motion_features

    landmarks = np.random.default_rng(0).normal(0, 1, (100, 478, 3)) * 50
    for seed in range(60):
        out = listening.hidden(landmarks, np.random.default_rng(seed))
        lost = np.isnan(out).all((1, 2))
        if lost.any():
            break
    assert lost.any() and not lost.all() and np.array_equal(out[~lost], landmarks[~lost])
    features, seen = motion_features(out)
    assert np.array_equal(seen, ~lost) and not features[lost].any()


def test_recorded_speech_is_speech_in_a_room():
    rng = np.random.default_rng(0)
    t = np.arange(16_000) / 16_000
    clean = (np.sin(2 * np.pi * 220 * t) * (t < 0.5)).astype(np.float32)
    heard = listening.recorded(clean, rng)
    assert heard.shape == clean.shape and np.abs(heard).max() <= 1
    assert 0 < heard[9000:].std() < 0.2 * heard[:7000].std()  # where nobody speaks there is noise
    spectrum = np.abs(np.fft.rfft(heard[:8000]))
    assert spectrum.argmax() == 110  # 220 Hz
    assert not np.array_equal(heard, listening.recorded(clean, rng))
