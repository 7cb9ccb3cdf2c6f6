"""`headgen listen` from files to files; the listener is tiny and untrained, the painter the embedded one."""

from __future__ import annotations

import importlib
import json
import os
from fractions import Fraction

import av
import numpy as np
import pytest
from made_up_face import albedo, face_layout, photograph, side_light
from media_inputs import write_clip
from tiny_listener import tiny_pipeline

from headgen import cli, hub, listen
from headgen.errors import InputError
from headgen.faces.tracker import MediaPipeTracker
from headgen.listener.latents import WarpCodec
from headgen.media import VideoReader, write_image
from headgen.progress import Cancelled

module = importlib.import_module("headgen.listen")
PICTURES, RATE = 26, 30  # of the speaker
FRAMES = 22  # of a listener: 26 / 30 s at 25 frames a second, rounded


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Portrait, speaker with sound, model; the portrait is the made-up face in another light."""
    pytest.importorskip("numba", reason="the synth extra is not installed")
    path = tmp_path_factory.mktemp("listen")
    layout = face_layout()
    texture = albedo(layout)
    face, speaker = (photograph(layout, texture, side_light(amount))[0] for amount in (0.3, -0.2))
    write_image(path / "portrait.png", face[:, :261])
    write_clip(
        path / "speaker.mp4", PICTURES, size=speaker.shape[1::-1], fps=RATE, image=speaker, audio="aac"
    )
    write_clip(path / "mute.mp4", 6, size=speaker.shape[1::-1], image=speaker)
    tiny_pipeline().save_pretrained(path / "model")
    return path


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    """Segments of four latent frames, one of them shared with the next."""
    monkeypatch.setattr(module, "SEGMENT", 16)
    monkeypatch.setattr(module, "OVERLAP", 4)


@pytest.fixture
def run(folder, tmp_path):
    """Runs with small defaults into the test's own folder."""

    def go(name="out.mp4", **options):
        given = {"speaker": folder / "speaker.mp4", "portrait": folder / "portrait.png", "steps": 1}
        return listen(output=tmp_path / name, **given | {"model": str(folder / "model")} | options)

    return go


@pytest.fixture(scope="module")
def plain(folder, tmp_path_factory):
    """What one process makes by default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SEGMENT", 16)
        patch.setattr(module, "OVERLAP", 4)
        return listen(
            folder / "speaker.mp4", folder / "portrait.png", tmp_path_factory.mktemp("plain") / "out.mp4",
            model=str(folder / "model"), steps=1,
        )  # fmt: skip


def frames_of(path):
    with VideoReader(path) as reader:
        return [f.image for f in reader]


def sound_seconds(path):
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        return float(sum(f.samples for f in container.decode(stream))) / stream.rate


def test_a_listener_lasts_as_long_as_its_speaker_and_keeps_the_sound(plain, folder):
    assert plain.frames == FRAMES == round(PICTURES / RATE * 25)
    with VideoReader(plain.outputs[0]) as reader:
        assert reader.info.fps == 25 and reader.info.has_audio
        times = [f.time for f in reader]
    assert times == [Fraction(k, 25) for k in range(FRAMES)]
    assert sound_seconds(plain.outputs[0]) == pytest.approx(sound_seconds(folder / "speaker.mp4"), abs=0.05)
    assert f"{FRAMES} frames" in str(plain) and str(plain.outputs[0]) in str(plain)


def test_the_listener_is_the_portrait_and_alive(plain, folder):
    pictures = frames_of(plain.outputs[0])
    assert pictures[0].shape == (340, 262, 3)  # video is of even width
    moved = [np.abs(p.astype(int) - pictures[0]).max() for p in pictures[1:]]
    assert max(moved) > 30
    portrait = frames_of(folder / "speaker.mp4")[0].astype(int)
    assert np.abs(pictures[5][:20, :60].astype(int) - portrait[:20, :60]).mean() < 6  # the ground is its own
    with MediaPipeTracker() as tracker:
        found = [tracker.track(np.ascontiguousarray(p), still=True) is not None for p in pictures[::9]]
    assert all(found)


def test_the_record_says_what_it_is_made_of(plain):
    with av.open(str(plain.outputs[0])) as container:
        assert "AI-generated" in container.metadata["comment"]
    record = json.loads(plain.records[0].read_text())
    assert plain.records[0].name == "out.mp4.json" and record["command"] == "listen"
    assert record["options"]["long"] == "segments" and record["options"]["steps"] == 1
    assert record["notes"]["frames"] == FRAMES == record["notes"]["frames with sound"]
    assert record["notes"]["frames with the speaker's face"] == FRAMES
    assert {name.split("/")[0] for name in record["inputs"]} == {"speaker", "portrait"}
    # Both models stand in it, each file by its own name.
    names = [name for name in record["weights"] if name.endswith(".safetensors")]
    assert len(names) == 4 and len(set(record["weights"].values())) >= 4


def test_joins_are_rewritten_unless_the_listener_has_other_latents(run, folder, tmp_path, caplog):
    """By the embedded editor, which stands in the record where it was used."""
    listener = tiny_pipeline()
    codec = hub.resolve(module.EDITOR).folder / "codec"
    listener.register_modules(codec=WarpCodec.from_pretrained(codec, low_cpu_mem_usage=False).float())
    listener.save_pretrained(tmp_path / "model")

    def made(name, **options):
        done = run(name, **options)
        record = json.loads(done.records[0].read_text())
        used = any(file.startswith("listener-edit/") for file in record["weights"])
        return done.outputs[0].read_bytes(), record["options"]["transition"], used

    own = {"model": str(tmp_path / "model")}
    edited, kind, used = made("edit.mp4", **own)
    assert (kind, used) == ("edit", True) and not caplog.records
    faded, kind, used = made("fade.mp4", transition="crossfade", **own)
    assert (kind, used) == ("crossfade", False) and faded != edited
    assert made("other.mp4")[1:] == ("crossfade", False)
    assert "not those of listener-edit" in caplog.text


def test_the_same_run_gives_the_same_bytes(plain, run):
    assert run("again.mp4").outputs[0].read_bytes() == plain.outputs[0].read_bytes()


def test_what_is_asked_for_makes_another_listener_and_stands_in_the_record(run, plain, tmp_path):
    made = run(text="0-0.4: smiles a lot; 0.4-: nods", attitude="warm", cache=tmp_path / "cache")
    assert made.outputs[0].read_bytes() != plain.outputs[0].read_bytes()
    record = json.loads(made.records[0].read_text())
    for name in ("warm 0.7", "0 s to 0.4 s: smile", "0.4 s to the end: nod"):
        assert name in record["notes"]["asked for"] and name in str(made)
    assert record["options"]["text"].startswith("0-0.4") and "listener-text/config.json" in record["weights"]
    other = run("other.mp4", attitude="bored", cache=tmp_path / "cache")  # takes nothing of the first one's
    assert other.outputs[0].read_bytes() != made.outputs[0].read_bytes()


def test_two_processes_make_the_same_bytes(plain, run):
    assert run("two.mp4", workers=2).outputs[0].read_bytes() == plain.outputs[0].read_bytes()


def test_causal_goes_on_without_joins(run, plain):
    done = run("causal.mp4", long="causal")
    assert done.frames == FRAMES == len(frames_of(done.outputs[0]))
    assert done.outputs[0].read_bytes() != plain.outputs[0].read_bytes()


def test_side_by_side_shows_both_at_the_listeners_height(run, folder):
    done = run("wide.mp4", layout="side-by-side", speaker=folder / "mute.mp4", frame="crop")
    (picture, *_), (speaker, *_) = frames_of(done.outputs[0]), frames_of(folder / "speaker.mp4")
    height, width = picture.shape[:2]
    beside = round(speaker.shape[1] * height / speaker.shape[0])
    assert abs(width - beside - height) <= 2  # the crop is a square
    blue = picture[5:15, 5:15].reshape(-1, 3).mean(0)
    assert np.abs(blue - speaker[5:15, 5:15].reshape(-1, 3).mean(0)).max() < 12


def test_takes_are_listeners_of_their_own_with_records(run, tmp_path, folder):
    done = run("take.mp4", takes=2, speaker=folder / "mute.mp4")
    assert sorted(os.listdir(tmp_path)) == [
        "take-1.mp4", "take-1.mp4.json", "take-2.mp4", "take-2.mp4.json",
    ]  # fmt: skip
    assert [p.name for p in done.outputs] == ["take-1.mp4", "take-2.mp4"]
    assert [json.loads(p.read_text())["notes"]["take"] for p in done.records] == [1, 2]
    a, b = (frames_of(p) for p in done.outputs)
    assert len(a) == len(b) == 6 and np.abs(a[5].astype(int) - b[5]).max() > 20


def test_a_take_that_is_stopped_leaves_the_whole_ones_only(run, tmp_path, folder):
    written = []

    def stop(event):
        if getattr(event, "what", "") == "written":
            written.append(event)
            if len(written) == 9:  # frames; a take has six
                raise Cancelled

    with pytest.raises(Cancelled):
        run("take.mp4", takes=3, speaker=folder / "mute.mp4", progress=stop)
    assert sorted(os.listdir(tmp_path)) == ["take-1.mp4", "take-1.mp4.json"]


def test_sound_alone_is_listened_to(run, tmp_path, folder):
    path = tmp_path / "voice.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        wave = (8000 * np.sin(np.arange(8000) * 0.2)).astype(np.int16)
        block = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
        block.sample_rate, block.pts, block.time_base = 16000, 0, Fraction(1, 16000)
        container.mux([*stream.encode(block), *stream.encode(None)])
    done = run("heard.mp4", speaker=path)
    assert done.frames == 12 == len(frames_of(done.outputs[0]))  # half a second
    assert sound_seconds(done.outputs[0]) == pytest.approx(0.5, abs=0.1)
    assert json.loads(done.records[0].read_text())["notes"]["frames with the speaker's face"] == 0
    with pytest.raises(InputError, match=r"voice\.wav: has no picture.*--layout single"):
        run("beside.mp4", speaker=path, layout="side-by-side")


def test_a_speaker_without_sound_is_watched(run, folder):
    done = run("mute.mp4", speaker=folder / "mute.mp4")
    assert done.frames == 6 and sound_seconds(done.outputs[0]) is None
    notes = json.loads(done.records[0].read_text())["notes"]
    assert notes["frames with sound"] == 0 and notes["frames with the speaker's face"] == 6


def test_a_stopped_run_goes_on_from_its_cache(run, plain, tmp_path):
    cache, told = tmp_path / "cache", []

    def stop(event):
        if getattr(event, "what", "") == "written":
            raise Cancelled

    with pytest.raises(Cancelled):
        run("stopped.mp4", cache=cache, progress=stop)
    assert os.listdir(tmp_path) == ["cache"]
    done = run("stopped.mp4", cache=cache, progress=told.append)
    assert [e.segment for e in told if getattr(e, "what", "") == "cached"]
    assert done.outputs[0].read_bytes() == plain.outputs[0].read_bytes()
    told.clear()

    def stop_after_one(event):
        told.append(event)
        stop(event)

    with pytest.raises(Cancelled):  # another scale makes other segments
        run("other.mp4", cache=cache, audio_scale=2.0, progress=stop_after_one)
    assert not [e for e in told if getattr(e, "what", "") == "cached"]


@pytest.mark.parametrize("stage", ["watch the speaker", "render"])
def test_cancelling_leaves_nothing(run, tmp_path, stage):
    def stop(event):
        if event.stage == stage:
            raise Cancelled

    with pytest.raises(Cancelled):
        run("stopped.mp4", progress=stop)
    assert not os.listdir(tmp_path)


@pytest.fixture
def refused(folder, tmp_path, capsys):
    """Runs the command line, and checks the line, the exit code and the output folder."""
    older = tmp_path / "out.mp4"
    older.write_bytes(b"an older result")

    def check(*said, **options):
        given = {"speaker": folder / "speaker.mp4", "portrait": folder / "portrait.png", "output": older}
        given |= {"model": folder / "model", "steps": 1} | options
        words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        assert cli.main(["listen", *words]) == 2
        shown = capsys.readouterr().err
        lines = [line for line in shown.splitlines() if line.startswith("headgen: ")]
        assert len(lines) == 1 and "Traceback" not in shown, shown
        for word in said:
            assert word in lines[0], lines[0]
        assert ";" in lines[0], f"what to do stands behind a semicolon: {lines[0]}"
        assert older.read_bytes() == b"an older result"
        return sorted(p.name for p in tmp_path.iterdir())

    return check


def test_files_that_are_missing_or_something_else(refused, folder, tmp_path):
    refused("none.jpg", "no such file", portrait=tmp_path / "none.jpg")
    refused("none.mp4", "no such file", speaker=tmp_path / "none.mp4")
    refused("portrait.png", "is a picture, not a video", speaker=folder / "portrait.png")
    refused("speaker.mp4", "is a video", portrait=folder / "speaker.mp4")
    refused("would replace an input", output=folder / "speaker.mp4")
    assert refused("does not exist", output=tmp_path / "nowhere" / "x.mp4") == ["out.mp4"]


def test_faces_that_are_missing_or_too_small(refused, tmp_path, folder):
    write_image(tmp_path / "wall.png", np.full((200, 200, 3), 120, np.uint8))
    refused("wall.png", "no face", "use a photograph", portrait=tmp_path / "wall.png")
    refused("portrait.png", "too small", "larger picture", max_size=40)
    write_clip(tmp_path / "wall.mp4", 5, image=np.full((48, 64, 3), 120, np.uint8))
    refused("wall.mp4", "neither sound nor a face", speaker=tmp_path / "wall.mp4")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layout": "stacked"}, "single"),
        ({"frame": "half"}, "crop"),
        ({"long": "endless"}, "causal"),
        ({"transition": "morph"}, "crossfade"),
        ({"precision": "fp8"}, "bf16"),
        ({"steps": 0}, "1 to 100"),
        ({"takes": 21}, "1 to 20"),
        ({"workers": 0}, "1 or more"),
        ({"audio_scale": 5.5}, "0 to 5"),
        ({"motion_scale": -1}, "0 to 5"),
        ({"text_scale": 6}, "0 to 5"),
        ({"attitude": "angry"}, "sceptical"),
        ({"attitude": "warm", "intensity": 2}, "0 to 1"),
        ({"text": "5-3: nods"}, "earlier time first"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_options_that_are_unknown_or_out_of_range(refused, options, said):
    refused(said, **options)


def test_models_that_are_no_listeners(refused, folder, tmp_path):
    refused("unknown model", "fsrt-small", model="listener-huge")
    refused("fsrt-small", "is no listener", model="fsrt-small")
    refused("transformer", "is no listener", model=folder / "model" / "transformer")
    refused("no .safetensors", model=tmp_path)


def test_the_command_line_makes_a_listener(folder, tmp_path, capsys):
    words = [
        "--speaker",
        folder / "mute.mp4",
        "--portrait",
        folder / "portrait.png",
        "--model",
        folder / "model",
    ]
    words += ["--output", tmp_path / "out.mp4", "--steps", "1", "--audio-scale", "2"]
    assert cli.main(["listen", *map(str, words)]) == 0
    assert sorted(os.listdir(tmp_path)) == ["out.mp4", "out.mp4.json"]
    assert "6 frames" in capsys.readouterr().out.replace("\n", " ")
