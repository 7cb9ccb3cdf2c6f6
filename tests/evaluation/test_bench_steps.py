"""What few steps make of a listener is told for both ways of making long videos, and the same every time."""

from __future__ import annotations

import json

import numpy as np
import pytest
from skimage.data import astronaut
from tiny_conversations import LATENTS
from tiny_listener import made_up_motion, made_up_speaker, tiny_pipeline

from headgen.errors import InputError
from headgen.evaluation import bench_steps
from headgen.evaluation.bench_steps import bench, cut, made
from headgen.evaluation.listener_systems import HeldOut, coefficients
from headgen.faces.events import motion_events
from headgen.listener.engine import load_pipeline
from headgen.listener.wishes import Wish
from headgen.media import write_image


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_pipeline(window=48).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    rows, found = 4 * 2 * LATENTS, []
    for k in range(3):
        truth, speaker = (coefficients(made_up_motion(rows, seed=seed)) for seed in (k, 100 + k))
        blinks = tuple(e for e in motion_events(truth) if e.kind == "blink")
        track, folder = made_up_speaker(rows, seed=k), tmp_path_factory.getbasetemp()
        found.append(HeldOut(f"{k}", track, speaker, truth, blinks, k, Wish("warm", 0.5), folder))
    return found


def test_one_command_makes_the_table(model, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_steps, "held_out", lambda data, count: clips[:count])
    for name, value in (("TOGETHER", 2), ("RESAMPLES", 20), ("DRAWN", 1), ("APART", 60)):
        monkeypatch.setattr(bench_steps, name, value)
    write_image(tmp_path / "face.png", np.ascontiguousarray(astronaut()[:256, 96:352]))
    told = []
    report = bench(
        tmp_path, [1, 3], model=str(model), portrait=tmp_path / "face.png", output=tmp_path / "out.json",
        progress=told.append,
    )  # fmt: skip
    facts = report.facts
    assert facts == json.loads((tmp_path / "out.json").read_text())
    assert [(row["long"], row["steps"]) for row in facts["rows"]] == [
        ("segments", 1), ("segments", 3), ("causal", 1), ("causal", 3),
    ]  # fmt: skip
    assert told[-1].done == told[-1].total == 12
    assert all(0.2 < row["sharpness"] < 2 for row in facts["rows"])
    assert facts["truth"]["fd_pose"]["value"] == pytest.approx(0, abs=1e-9) and facts["truth"]["jitter"] == 1
    assert all(word in str(report) for word in ("P-FD expr.", "truth", "causal")) and "…" not in str(report)


def test_the_same_noise_whatever_the_steps_and_who_is_made_beside(model, clips):
    pipeline = load_pipeline(model)
    told = []
    for long in ("segments", "causal"):
        alone = made(pipeline, clips[:1], long, 2, 5, told.append)
        together = made(pipeline, clips, long, 2, 5, told.append)
        assert alone[0].shape == (len(clips[0].track), 10, 6) and len(together) == 3
        np.testing.assert_allclose(alone[0], together[0], atol=1e-4)
        assert not np.allclose(alone[0], made(pipeline, clips[:1], long, 2, 6, told.append)[0], atol=0.1)
    assert sum(told) == 2 * (1 + 3 + 1)


def test_segments_are_as_long_as_those_of_a_video():
    assert cut(100, 48) == [(0, 48), (48, 96), (96, 100)] and cut(48, 48) == [(0, 48)]


def test_options_that_cannot_be_are_named(model, tmp_path):
    for steps, clips in (([], 4), ([0], 4), ([2], 1)):
        with pytest.raises(InputError, match="at least 2 clips"):
            bench(tmp_path, steps, clips=clips, model=str(model))
