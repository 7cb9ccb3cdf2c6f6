"""The report compares what it says, and the generators keep to people."""

from __future__ import annotations

import math

import numpy as np
import pytest

from headgen.errors import InputError
from headgen.media.video import VideoWriter
from headgen.synth.motion import measured
from headgen.synth.motion.literature import LITERATURE
from headgen.synth.motion.measure import find_videos, measure_videos
from headgen.synth.motion.report import command, gesture_figures, motion_report
from headgen.synth.motion.statistics import summarise


@pytest.fixture(scope="module")
def report():
    return motion_report(seed=0, minutes=8)


def test_generated_motion_is_like_that_of_people(report):
    """Few minutes leave the medians some room; the full report runs for an hour of motion."""
    for line in report["lines"]:
        assert 1 / 1.9 < line["ratio"] < 1.9 or line["reason"], line


def test_every_statistic_and_every_figure_has_its_line(report):
    names = [line["statistic"] for line in report["lines"]]
    assert names[: len(measured.SUMMARY)] == list(measured.SUMMARY)
    assert names[len(measured.SUMMARY) :] == [figure.statistic for figure in LITERATURE]
    assert report["table"].count("\n") == len(names) + 2
    assert all(name in report["table"] for name in names)
    assert report["off"] == sum(line["off"] and not line["reason"] for line in report["lines"])


def test_measured_figures_are_complete():
    assert list(measured.SUMMARY) == list(measured.COLUMNS[2:]) == list(summarise([]))
    assert all(math.isfinite(value) for value in measured.SUMMARY.values())
    speeds = [clip["yaw speed median, deg/s"] for clip in measured.CLIPS.values()]
    assert np.median(speeds) == pytest.approx(measured.SUMMARY["yaw speed median, deg/s"], rel=1e-3)


def test_blinks_nods_and_laughs_have_published_rates():
    found = gesture_figures(0, count=16)
    assert found["blink closing, whole phase, s"] < found["blink opening, whole phase, s"]
    assert 1.9 < found["nods, Hz"] < 3.6
    assert found["laughter, Hz"] == pytest.approx(4.76, rel=0.1)


def test_minutes_must_be_positive():
    with pytest.raises(InputError, match="minutes"):
        motion_report(minutes=0)


def test_places_without_videos_are_named(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        find_videos(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no video"):
        command(tmp_path)


def test_a_video_without_a_face_is_named(tmp_path):
    with VideoWriter(tmp_path / "noise.mp4", 25) as writer:
        for _ in range(10):
            writer.write(np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(InputError, match=r"noise\.mp4: no face"):
        measure_videos(tmp_path)
