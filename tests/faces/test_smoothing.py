"""Smoothing: jitter goes, blinks and speech stay, nothing lags, streamed equals offline."""

from __future__ import annotations

import numpy as np
import pytest

from headgen.faces.mesh import mean_face
from headgen.faces.motion import MOTION_NAMES, head_rotation, motion_coefficients
from headgen.faces.smoothing import LandmarkSmoother, smooth_stream, smooth_track

UPPER_LIDS = [159, 158, 160, 157, 161, 386, 385, 387, 384, 388]
FACE = mean_face()
JAW = (FACE[:, 1] < FACE[[13, 14], 1].mean()) & (np.abs(FACE[:, 0]) < 0.3)


def moving_face(frames=120, size=80.0, nod=0.0, blink=(), talk=0.0):
    """(T, 478, 3) exact landmarks of a mean face that sways, blinks and talks."""
    t = np.arange(frames)
    angles = np.stack([nod * np.sin(t / 9), nod * 0.5 * np.cos(t / 12), nod * 0.3 * np.sin(t / 15)], 1)
    faces = np.repeat(mean_face().astype(np.float64)[None], frames, 0)
    shut = np.zeros(frames)
    for at in blink:
        shut[at - 1 : at + 3] = [0.5, 1, 1, 0.4]
    lids = faces[:, UPPER_LIDS, 1] - faces[:, [145, 153, 144, 154, 163, 374, 380, 373, 381, 390], 1]
    faces[:, UPPER_LIDS, 1] -= 0.95 * shut[:, None] * lids
    faces[:, JAW, 1] -= talk * (1 - np.cos(t * 2 * np.pi / 6))[:, None] / 2  # four syllables a second
    turned = size * faces @ head_rotation(angles).transpose(0, 2, 1) * [1, -1, -1]
    return turned + [200, 200, 0]


def noisy(track, size=80.0, sigma=0.0015, seed=0):
    return track + np.random.default_rng(seed).normal(0, sigma * size, track.shape)


def jitter(track):
    return float(((track[2:] - 2 * track[1:-1] + track[:-2])[..., :2] ** 2).mean())


def column(track, name):
    return motion_coefficients(track)[:, MOTION_NAMES.index(name)]


@pytest.mark.parametrize("nod", [0.0, 6.0], ids=["still", "swaying"])
def test_jitter_falls_even_while_the_head_moves(nod):
    exact = moving_face(nod=nod)
    tracked = noisy(exact)
    smooth = smooth_track(tracked)
    assert jitter(smooth - exact) < jitter(tracked - exact) / 8
    assert np.abs(smooth - exact).mean() < 0.6 * np.abs(tracked - exact).mean()


def test_blinks_and_speech_keep_their_amplitude():
    exact = moving_face(nod=4, blink=(30, 61, 90), talk=0.12)
    smooth = smooth_track(noisy(exact))
    for name in ("eye_left", "mouth_open"):
        before, after = column(exact, name), column(smooth, name)
        kept = np.dot(after - after.mean(), before - before.mean()) / np.sum((before - before.mean()) ** 2)
        assert kept > 0.97, name
    shut, after = column(exact, "eye_left"), column(smooth, "eye_left")
    assert np.median(after) - after.min() > 0.97 * (np.median(shut) - shut.min())


def test_nothing_lags():
    exact = moving_face(nod=8, blink=(40, 80), talk=0.1)
    smooth = smooth_track(noisy(exact))
    for name in ("yaw", "eye_right", "mouth_open"):
        before, after = (column(track, name) - column(track, name).mean() for track in (exact, smooth))
        match = [np.dot(before[5:-5], after[5 + k : len(after) - 5 + k]) for k in (-1, 0, 1)]
        assert np.argmax(match) == 1, name
        slope = np.gradient(before)
        lag = -np.dot(after - before, slope) / np.dot(slope, slope)  # frames
        assert abs(lag) < 0.05, name


def test_clean_motion_passes():
    exact = moving_face(nod=6)
    assert np.abs(smooth_track(exact) - exact).max() < 0.003 * 80


def test_streamed_is_offline_within_the_promised_delay():
    track = noisy(moving_face(frames=30, talk=0.1)).astype(np.float32)
    smoother = LandmarkSmoother(window=4)
    out = []
    for k, frame in enumerate(track):
        out += smoother.push(frame)
        assert len(out) == max(0, k + 1 - 4)
    out += smoother.flush()
    assert np.array_equal(np.stack(out), smooth_track(track, window=4))
    # a frame further away than the window has no say
    changed = track.copy()
    changed[20:] += 5
    assert np.array_equal(smooth_track(changed, window=4)[:16], smooth_track(track, window=4)[:16])


def test_gaps_hold_the_last_face_and_part_the_track():
    track = noisy(moving_face(frames=40)).astype(np.float32)
    after = track[20:] + 50
    stream = [None, None, *track[:20], None, None, None, *after]
    out = list(smooth_stream(stream))
    assert out[:2] == [None, None]
    assert np.array_equal(np.stack(out[2:22]), smooth_track(track[:20]))
    assert all(np.array_equal(frame, out[21]) for frame in out[22:25])
    assert np.array_equal(np.stack(out[25:]), smooth_track(after))
    filled = np.stack([np.full((478, 3), np.nan) if f is None else f for f in stream])
    offline = smooth_track(filled)
    assert np.isnan(offline[:2]).all()
    assert np.array_equal(offline[2:], np.stack(out[2:]))


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 7])
def test_short_tracks(frames):
    exact = moving_face(frames=max(frames, 1))[:frames]
    smooth = smooth_track(exact)
    assert smooth.shape == exact.shape
    assert frames == 0 or np.abs(smooth - exact).max() < 0.01


def test_window_zero_changes_nothing():
    track = noisy(moving_face(frames=12))
    assert np.abs(smooth_track(track, window=0) - track).max() < 0.02


def test_the_size_of_the_face_does_not_matter():
    small, large = (noisy(moving_face(frames=30, size=s), s) for s in (20.0, 400.0))
    a, b = ((smooth_track(track) - [200, 200, 0]) / s for track, s in ((small, 20.0), (large, 400.0)))
    assert np.abs(a - b).max() < 1e-4


def test_refuses_senseless_settings():
    with pytest.raises(ValueError, match="window -1"):
        LandmarkSmoother(window=-1)
