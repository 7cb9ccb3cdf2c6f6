"""`headgen.stream` and `headgen listen --stream` from files to files; the listener is tiny and untrained."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest
from tiny_listener import tiny_pipeline

import headgen
from headgen import cli
from headgen.errors import InputError, WeightsError
from headgen.media import VideoReader

PORTRAIT = Path(headgen.__file__).parent / "serve" / "example.jpg"
FRAMES = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("stream")
    tiny_pipeline().save_pretrained(path / "model")
    t = np.arange(FRAMES * 640) / 16000
    with wave.open(str(path / "voice.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes((9000 * np.sin(2 * np.pi * 150 * t)).astype("<i2").tobytes())
    return path


@pytest.fixture
def options(folder):
    return {"model": str(folder / "model"), "steps": 1, "max_size": 96}


def test_a_file_is_listened_to_in_real_time_and_written(folder, options, tmp_path, capsys):
    output = tmp_path / "out.mp4"
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    files = [f"--speaker={folder / 'voice.wav'}", f"--portrait={PORTRAIT}", f"--output={output}"]
    assert cli.main(["listen", "--stream", *files, *words, "--delay=600"]) == 0
    assert "live: first picture" in capsys.readouterr().out
    with VideoReader(output) as reader:
        assert sum(1 for _ in reader) == FRAMES
    record = json.loads(output.with_suffix(".mp4.json").read_text())
    assert record["notes"]["drawn"] == FRAMES and "voice.wav" in json.dumps(record["inputs"])


def test_frames_come_one_by_one_and_without_a_delay_in_full(folder, options):
    frames = list(headgen.stream(folder / "voice.wav", PORTRAIT, delay=None, **options))
    assert [frame.index for frame in frames] == list(range(FRAMES)) and all(frame.drawn for frame in frames)
    assert frames[-1].time == (FRAMES - 1) / 25 and frames[0].image.shape == (96, 96, 3)


def test_what_does_not_go_together_is_told(folder, options, tmp_path):
    def listen(**more):
        given = {"speaker": folder / "voice.wav", "portrait": PORTRAIT, "output": tmp_path / "o.mp4"}
        headgen.listen(**given | options | {"stream": True} | more)

    for message, more in (
        ("one take", {"takes": 2}),
        ("chunks of 5", {"chunk": 5}),
        ("side", {"layout": "side-by-side"}),
        ("out of range", {"chunk": 0}),
    ):
        with pytest.raises(InputError, match=message):
            listen(**more)
    with pytest.raises(WeightsError, match="is no listener"):
        listen(model="fsrt-small")
    assert not list(tmp_path.iterdir())
