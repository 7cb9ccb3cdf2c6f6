"""The benchmark of live listening measures what it says, on a tiny listener."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from tiny_listener import tiny_pipeline

import headgen
from headgen.evaluation import bench_stream

PORTRAIT = Path(headgen.__file__).parent / "serve" / "example.jpg"


def test_every_figure_is_there(tmp_path, monkeypatch):
    for name, value in (("STEPS", (2,)), ("CHUNKS", (2,)), ("BEFORE", 0.2), ("AFTER", 0.4)):
        monkeypatch.setattr(bench_stream, name, value)
    tiny_pipeline().save_pretrained(tmp_path / "model")
    voice = (9000 * np.sin(2 * np.pi * 150 * np.arange(6 * 640) / 16000)).astype("<i2")
    with wave.open(str(tmp_path / "voice.wav"), "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        sound.writeframes(voice.tobytes())
    events = []
    found = bench_stream.bench(
        tmp_path / "voice.wav", PORTRAIT, model=str(tmp_path / "model"), seconds=0.4, minutes=0.05,
        max_size=96, progress=events.append,
    )  # fmt: skip
    assert (
        set(found["rates"]) == {"2 steps, chunk 1", "2 steps, chunk 2"} and min(found["rates"].values()) > 0
    )
    assert found["live"]["chunk 2"]["first picture"] > 0.3
    assert sum(found["live"]["chunk 2"]["levels"].values()) == 10
    assert all(len(part["megabytes"]) == 10 for part in found["memory"].values())
    assert sum(found["slower"]["while"]["levels"].values()) == 10
    assert events[-1].done == events[-1].total


def test_time_runs_faster_for_a_while_and_then_as_before(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(bench_stream.time, "monotonic", lambda: now[0])
    clock, begin = bench_stream._dilated(3.0, 6.0)
    now[0] = 107.0
    begin(None)
    times = []
    for second in (0, 8, 9, 10, 11):
        now[0] = 107.0 + second
        times.append(clock())
    assert times == [0, 8, 11, 14, 15]
