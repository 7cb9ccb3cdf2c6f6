"""`headgen join` from files to files, with the embedded models; faces are the astronaut of scikit-image."""

from __future__ import annotations

import json
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from media_inputs import write_clip

from headgen import cli, join
from headgen.errors import InputError
from headgen.media import VideoReader, VideoWriter
from headgen.media.splice import RATE, Stretch, read_mono, splice

COUNT, SIDE = 24, 160


def film(path, shift=(0.0, 0.0), tint=0, sound=None):
    """The astronaut's head, looked at by a camera that drifts."""
    from skimage.data import astronaut

    picture = np.ascontiguousarray(astronaut()[:320, 60:380])
    with VideoWriter(path, 25, crf=4, audio_from=sound) as writer:
        for k in range(COUNT):
            x, y = shift[0] + 0.15 * k, shift[1]
            move = np.array([[0.5, 0, x], [0, 0.5, y]])
            shown = cv2.warpAffine(picture, move, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
            writer.write(np.clip(shown.astype(int) + tint, 0, 255).astype(np.uint8))
    return path


def frames_of(path):
    with VideoReader(path) as reader:
        return [f.image.astype(int) for f in reader]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two videos of the astronaut, elsewhere in the picture and in another light, and one without a face."""
    path = tmp_path_factory.mktemp("join")
    film(path / "a.mp4")
    write_clip(path / "plain.mp4", COUNT, size=(SIDE, SIDE))
    write_clip(path / "loud.mp4", COUNT, size=(SIDE, SIDE), audio="aac")
    film(path / "b.mp4", shift=(5.0, 4.0), tint=12, sound=path / "loud.mp4")
    write_clip(path / "fast.mp4", 48, size=(2 * SIDE, SIDE), fps=50)
    return path


@pytest.fixture(scope="module")
def written():
    """Pictures of `joined` as they went to the encoder."""
    return []


@pytest.fixture(scope="module")
def joined(folder, written):
    """What two videos of a face become."""
    write = VideoWriter.write

    def heard(writer, image, moment=None):
        written.append(image.astype(int))
        write(writer, image, moment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VideoWriter, "write", heard)
        return join([folder / "a.mp4", folder / "b.mp4"], folder / "out.mp4", window=0.24)


def test_a_join_is_smoothed_and_the_rest_stays(joined, written, folder):
    assert joined.frames == len(written) == len(frames_of(joined.output)) == 2 * COUNT
    assert joined.joins == (COUNT / 25,) and joined.rewritten == 12
    given, out = frames_of(folder / "a.mp4") + frames_of(folder / "b.mp4"), written
    same = [np.array_equal(p, q) for p, q in zip(given, out, strict=True)]
    assert all(same[: COUNT - 6] + same[COUNT + 6 :]) and not any(same[COUNT - 2 : COUNT + 2])
    steps = [np.abs(p - q).mean() for p, q in zip(out, out[1:], strict=False)]
    cut = np.abs(given[COUNT] - given[COUNT - 1]).mean()
    assert max(steps) < 0.35 * cut
    # The light comes up steadily.
    light = [p[:20].mean() for p in out[COUNT - 7 : COUNT + 7]]
    assert np.all(np.diff(light) > -0.7) and light[-1] - light[0] > 8


def test_the_record_says_what_was_made_anew(joined):
    record = json.loads(joined.record.read_text())
    assert record["command"] == "join" and record["options"]["transition"] == "edit"
    assert [one["file"] for one in record["inputs"]["videos"]] == ["a.mp4", "b.mp4"]
    assert record["notes"]["frames made anew"] == 12 and record["notes"]["doubts"] == []
    assert {name.split("/")[0] for name in record["weights"]} == {"listener-edit", "fsrt-small"}
    with av.open(str(joined.output)) as container:
        assert "AI-generated" in container.metadata["comment"]
    assert "48 frames" in str(joined) and "joined at 0.96 s" in str(joined)


def test_frames_of_an_overlap_are_counted_once(folder, tmp_path):
    files = [folder / name for name in ("a.mp4", "b.mp4", "a.mp4")]
    made = join(files, tmp_path / "out.mp4", transition="crossfade", overlap=5)
    assert made.frames == len(frames_of(made.output)) == 3 * COUNT - 10
    assert made.joins == ((COUNT - 3) / 25, (COUNT - 3 + COUNT - 5) / 25)


def test_a_cut_keeps_every_frame(folder, tmp_path):
    made = join([folder / "a.mp4", folder / "b.mp4"], tmp_path / "out.mp4", transition="none")
    given = frames_of(folder / "a.mp4") + frames_of(folder / "b.mp4")
    off = [np.abs(p - q).mean() for p, q in zip(frames_of(made.output), given, strict=True)]
    assert max(off) < 4 and made.rewritten == 0


def test_other_sizes_rates_and_silence_are_made_to_fit(folder, tmp_path, caplog):
    """The first video rules; sound comes in with the frames that it belongs to."""
    files = [folder / name for name in ("a.mp4", "loud.mp4", "fast.mp4")]
    made = join(files, tmp_path / "out.mp4", transition="crossfade")
    assert made.frames == 3 * COUNT
    assert frames_of(made.output)[0].shape == (SIDE, SIDE, 3)
    assert "fast.mp4" in caplog.text and "cut to the shape" in caplog.text
    notes = json.loads(made.record.read_text())["notes"]
    assert notes["converted"] == [
        "fast.mp4: from 50.00 to 25.00 frames a second", f"fast.mp4: from {2 * SIDE}x{SIDE} to {SIDE}x{SIDE}"
    ]  # fmt: skip
    with av.open(str(made.output)) as container:
        rate = container.streams.audio[0].rate
        sound = np.concatenate([f.to_ndarray().mean(0) for f in container.decode(audio=0)])
    assert len(sound) / rate == pytest.approx(made.frames / 25, abs=0.05)
    power = [np.square(part).mean() for part in np.array_split(sound[: 3 * COUNT * rate // 25], 3)]
    assert power[1] > 100 * max(power[0], power[2])


def test_stretches_of_sound_are_as_long_as_told(folder, tmp_path):
    loud = folder / "loud.mp4"
    parts = [Stretch(loud, 0, 10_001), Stretch(None, 0, 300), Stretch(loud, 0, 77)]
    splice(parts, tmp_path / "out.wav")
    sound = read_mono(tmp_path / "out.wav", 0, 20_000)
    assert np.flatnonzero(sound)[-1] < 10_001 + 300 + 77 and not sound[10_001:10_301].any()
    assert np.abs(np.diff(sound[9_000:10_300])).max() < 0.2 and sound[:9_000].std() > 0.01
    # A sound that goes on is handed over without a gap.
    whole = [Stretch(loud, 0, RATE // 2)]
    begun = Stretch(loud, 0, RATE // 4, goes_on=RATE // 8)
    splice(whole, tmp_path / "whole.wav")
    splice([begun, Stretch(loud, Fraction(1, 4), RATE // 4)], tmp_path / "parts.wav")
    gap = read_mono(tmp_path / "whole.wav", 0, RATE // 2) - read_mono(tmp_path / "parts.wav", 0, RATE // 2)
    assert np.abs(gap).max() < 0.01


def test_another_person_is_warned_of(folder, tmp_path, caplog):
    pytest.importorskip("numba", reason="the synth extra is not installed")
    from made_up_face import albedo, face_layout, photograph, side_light

    layout = face_layout()
    face = np.ascontiguousarray(photograph(layout, albedo(layout), side_light(0.3))[0][30:310])
    write_clip(tmp_path / "egg.mp4", 12, size=(280, 280), image=face)
    join([folder / "a.mp4", tmp_path / "egg.mp4"], tmp_path / "out.mp4", window=0.16)
    assert "egg.mp4: does not seem to show the person of a.mp4" in caplog.text


@pytest.mark.parametrize(
    ("names", "options", "told"),
    [
        (["a.mp4", "b.mp4"], {"window": 0.1}, "window=0.1"),
        (["a.mp4", "b.mp4"], {"overlap": -1}, "overlap=-1"),
        (["a.mp4", "b.mp4"], {"overlap": 30}, "a.mp4: has 24 frames, too few"),
        (["a.mp4", "b.mp4"], {"transition": "morph"}, "choose from edit"),
        (["a.mp4", "none.mp4"], {}, "none.mp4: no such file"),
        (["a.mp4", "plain.mp4"], {}, "plain.mp4: no face was found in its first"),
    ],
)
def test_what_cannot_be_joined_is_said(folder, tmp_path, names, options, told):
    with pytest.raises(InputError, match=told):
        join([folder / name for name in names], tmp_path / "out.mp4", **options)
    assert not list(tmp_path.iterdir())


def test_the_command_takes_files_in_order(folder, tmp_path, capsys):
    files = [str(folder / name) for name in ("a.mp4", "b.mp4")]
    assert cli.main(["join", *files, "--output", str(tmp_path / "out.mp4"), "--transition", "none"]) == 0
    assert "48 frames" in capsys.readouterr().out and (tmp_path / "out.mp4.json").exists()
    assert cli.main(["join", files[0], "--output", str(tmp_path / "one.mp4")]) == cli.USAGE_ERROR
