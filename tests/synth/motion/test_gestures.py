"""Gestures begin and end at rest, go where they should, and can be added anywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headgen.synth.heads.expressions import INDEX
from headgen.synth.heads.model import HeadMotion
from headgen.synth.motion.gestures import DURATIONS, add, gesture

FPS = 25.0
PARTS = ("expression", "head", "gaze", "translation", "torso")


def make(kind: str, strength: float = 0.8, duration: float | None = None, seed: int = 0, fps: float = FPS):
    return gesture(kind, strength, duration, fps, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", DURATIONS)
@pytest.mark.parametrize("duration", [0.3, None, 4.0])
def test_every_gesture_begins_and_ends_at_zero(kind, duration):
    for seed in range(3):
        curves = make(kind, 1.0, duration, seed)
        for part in PARTS:
            values = getattr(curves, part)
            np.testing.assert_allclose(values[[0, -1]], 0, atol=1e-5)
        assert curves.expression.min() >= 0 and curves.expression.max() <= 1
        assert max(np.abs(getattr(curves, part)).max() for part in PARTS) > 0.3
    if duration is not None:
        assert len(curves) == round(duration * FPS) + 1


@pytest.mark.parametrize("kind", sorted(set(DURATIONS) - {"gaze_away"}))
def test_gestures_are_smooth(kind):
    """No jump in velocity: at a hundredth of a second nothing turns at once."""
    fps = 1000.0
    curves = make(kind, 1.0, None, 1, fps)
    for part in PARTS:
        values = np.pad(getattr(curves, part).astype(np.float64), ((20, 20), (0, 0)))
        if (extent := np.abs(values).max()) > 0:
            velocity = np.diff(values[::10], axis=0) * fps / 10
            acceleration = np.abs(np.diff(velocity, axis=0)).max() * fps / 10
            assert acceleration < 8 * extent / 0.05**2, part


@pytest.mark.parametrize("kind", DURATIONS)
def test_strength_scales_the_extent(kind):
    weak, strong = (
        max(np.abs(getattr(make(kind, s, 1.5), part)).max() for part in ("head", "translation"))
        + make(kind, s, 1.5).expression.max()
        for s in (0.1, 0.9)
    )
    assert weak < strong


def test_nods_go_down_again_and_again_and_get_smaller():
    pitch = make("nods", 0.7, 2.0).head[:, 1]
    dips = np.flatnonzero((pitch[1:-1] < pitch[:-2]) & (pitch[1:-1] <= pitch[2:])) + 1
    assert len(dips) == round(2.3 * 2)
    assert (np.diff(pitch[dips]) > 0).all()
    assert make("nod", 1.0).head[:, 1].min() < -8


def test_shakes_go_to_both_sides_and_laughs_repeat():
    yaw = make("shake", 0.8).head[:, 0]
    assert yaw.max() > 3 and yaw.min() < -3
    jaw = make("laugh", 0.8, 2.0, fps=100).expression[:, INDEX["jawOpen"]].astype(float)
    peaks = (jaw[1:-1] > jaw[:-2]) & (jaw[1:-1] >= jaw[2:])
    assert 6 <= peaks.sum() <= 8  # 4.8 a second in the middle 1.4 s


def test_strong_smiles_lift_the_cheeks():
    weak, strong = (make("smile", s).expression.max(0)[INDEX["cheekSquintLeft"]] for s in (0.2, 0.9))
    assert weak == 0 and strong > 0.3


def test_a_look_away_keeps_head_and_eyes_on_the_way():
    curves = make("gaze_away", 1.0, 2.0)
    sight = np.linalg.norm(curves.gaze + curves.head[:, :2], axis=1)
    middle = sight[5:-5]
    assert middle.min() > 12 and np.ptp(middle) < 0.1


def test_adding_keeps_expressions_in_range_and_the_rest_untouched():
    base = HeadMotion.still(100)
    base = replace(base, expression=np.full_like(base.expression, 0.9))
    smile = make("smile", 1.0, 1.0)
    out = add(base, smile, 30)
    assert out.expression.max() <= 1
    assert out.expression[40, INDEX["mouthSmileLeft"]] > 0.95
    np.testing.assert_array_equal(out.expression[:30], base.expression[:30])
    np.testing.assert_array_equal(out.expression[56:], base.expression[56:])
    negative = replace(smile, expression=-smile.expression)
    assert add(base, negative, 30).expression.min() >= 0


@pytest.mark.parametrize("start", [-10, 90, 200, -300])
def test_what_lies_outside_the_clip_is_cut_off(start):
    base = HeadMotion.still(100)
    nod = make("nod", 1.0, 1.0)
    out = add(base, nod, start)
    assert len(out) == 100
    whole = np.zeros(600)
    whole[300 + start : 300 + start + len(nod)] = nod.head[:, 1] if start > -300 else 0
    np.testing.assert_allclose(out.head[:, 1], whole[300:400], atol=1e-6)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="known: nod"):
        make("wave")
    with pytest.raises(ValueError, match="strength"):
        make("nod", 1.5)
    with pytest.raises(ValueError, match="duration"):
        make("nod", 0.5, 0.01)
