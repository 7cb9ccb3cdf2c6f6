"""What is measured is what was put in."""

from __future__ import annotations

import numpy as np
import pytest

from headgen.faces.motion import MOTION_NAMES
from headgen.synth.motion.curves import minimum_jerk
from headgen.synth.motion.detection import find_blinks, find_saccades, talking
from headgen.synth.motion.statistics import (
    BANDS,
    gaze_degrees,
    gaze_offsets,
    motion_statistics,
    summarise,
    velocity_power,
)

FPS = 25.0


def still(seconds: float, **columns: np.ndarray) -> np.ndarray:
    """Coefficients of a face that looks ahead, but for the columns given."""
    rest = {"eye_left": 0.3, "eye_right": 0.3, "brow_left": 0.25, "brow_right": 0.25, "mouth_open": 0.01}
    out = np.zeros((round(seconds * FPS), len(MOTION_NAMES)))
    for name, value in {**rest, **columns}.items():
        out[:, MOTION_NAMES.index(name)] = value
    return out


def lids(seconds: float, *closed: tuple[float, float]) -> np.ndarray:
    """Lid gaps that are shut from one time to another, with edges of two frames."""
    times = np.arange(round(seconds * FPS)) / FPS
    gap = np.full(len(times), 0.3)
    for start, stop in closed:
        gap *= 1 - 0.85 * (minimum_jerk((times - start) / 0.08) - minimum_jerk((times - stop) / 0.08))
    return gap


def test_blinks_are_counted_and_timed():
    found = find_blinks(lids(10, (2, 2.12), (5, 5.2), (8, 8.12)), FPS)
    assert [round(blink.time, 1) for blink in found] == pytest.approx([2.1, 5.1, 8.1], abs=0.15)
    assert [blink.duration for blink in found] == pytest.approx([0.12, 0.2, 0.12], abs=0.03)
    assert all(blink.depth == pytest.approx(0.85, abs=0.03) for blink in found)


def test_closed_eyes_and_cut_off_blinks_are_no_blinks():
    assert find_blinks(lids(10, (2, 4)), FPS) == []
    gap = lids(10)
    gap[:3] = 0.05
    assert find_blinks(gap, FPS) == []


def test_slow_to_open_is_told_from_quick_to_close():
    times = np.arange(250) / FPS
    gap = 0.3 * (1 - 0.9 * (minimum_jerk((times - 4) / 0.1) - minimum_jerk((times - 4.1) / 0.4)))
    (blink,) = find_blinks(gap, FPS)
    assert blink.opening > 2 * blink.closing


@pytest.mark.parametrize("band", range(1, 5))
def test_a_swing_has_its_power_in_its_band(band):
    low, high = BANDS[band]
    frequency = (low + high) / 2
    angle = 2 * np.sin(2 * np.pi * frequency * np.arange(300) / FPS)
    power = velocity_power(angle, FPS)
    assert power.argmax() == band
    assert power.sum() == pytest.approx((2 * 2 * np.pi * frequency) ** 2 / 2, rel=0.1)


def test_noise_of_the_tracker_is_no_motion():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.2, 2000)
    naive = (np.diff(noise) * FPS).var()
    assert velocity_power(noise, FPS).sum() < 0.1 * naive


def test_saccades_are_jumps_and_not_eyes_that_hold_while_the_head_turns():
    times = np.arange(250) / FPS
    held = np.stack([-8 * np.sin(times), np.zeros(250)], 1)
    open_eyes = np.ones(250, bool)
    assert len(find_saccades(held, FPS, open_eyes)) == 0
    jumps = held + np.where(times > 3, 6, 0)[:, None] * [1, 0] + np.where(times > 7, 5, 0)[:, None] * [0, 1]
    assert find_saccades(jumps, FPS, open_eyes) / FPS == pytest.approx([3, 7], abs=0.1)
    closed = open_eyes & (np.abs(times - 3) > 0.2)
    assert len(find_saccades(jumps, FPS, closed)) == 1


def test_line_of_sight_is_head_and_eyes_together():
    times = np.arange(250) / FPS
    yaw = 15 * np.sin(times)
    eyes = gaze_offsets(-yaw)
    assert motion_statistics(still(10, yaw=yaw, gaze_x=eyes), FPS).away_share == 0
    assert motion_statistics(still(10, yaw=yaw), FPS).away_share > 0.4


def test_gaze_in_degrees_and_in_half_widths_of_the_eye_are_inverse():
    degrees = np.array([[20.0, -10.0], [0.0, 5.0]])
    assert gaze_degrees(gaze_offsets(degrees)) == pytest.approx(degrees)


def test_brows_smiles_and_still_time():
    times = np.arange(500) / FPS
    brow = 0.25 + 0.06 * ((times > 4) & (times < 5)) + 0.06 * ((times > 12) & (times < 12.6))
    corner = -0.27 + 0.08 * ((times > 5) & (times < 10))
    yaw = np.where(times > 15, 20 * (times - 15), 0)
    clip = still(20, brow_left=brow, brow_right=brow, smile_left=corner, smile_right=corner, yaw=yaw)
    found = motion_statistics(clip, FPS)
    assert found.brow_raises == 2
    assert found.smile_share == pytest.approx(0.25, abs=0.02)
    assert found.still_share == pytest.approx(0.75, abs=0.02)


def test_talking_is_measured_only_while_the_lips_move():
    times = np.arange(500) / FPS
    mouth = np.where(times > 10, 0.1 + 0.08 * np.sin(2 * np.pi * 4 * times), 0.0)
    assert talking(mouth, FPS).mean() == pytest.approx(0.5, abs=0.05)
    found = motion_statistics(still(20, mouth_open=mouth), FPS)
    assert found.mouth_mean == pytest.approx(0.1, abs=0.01)
    assert found.mouth_rate == pytest.approx(4, abs=0.2)
    assert np.isnan(motion_statistics(still(20), FPS).mouth_mean)


def test_rates_of_several_clips_count_their_whole_time():
    gap = lids(10, (2, 2.12), (5, 5.12))
    blinking = motion_statistics(still(10, eye_left=gap, eye_right=gap), FPS)
    staring = motion_statistics(still(30), FPS)
    both = summarise([blinking, staring])
    assert both["blinks per minute"] == pytest.approx(3)
    assert both["blink interval, s"] == pytest.approx(3, abs=0.1)
    assert np.isnan(summarise([staring])["blink interval, s"])


def test_gaps_and_wrong_columns_are_refused():
    clip = still(10)
    clip[7, 0] = np.nan
    with pytest.raises(ValueError, match="gaps"):
        motion_statistics(clip, FPS)
    with pytest.raises(ValueError, match="coefficients"):
        motion_statistics(np.zeros((100, 3)), FPS)
