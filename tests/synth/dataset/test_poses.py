"""Frames of a wide range of poses and expressions."""

from __future__ import annotations

import numpy as np

from headgen.synth.dataset.poses import HEAD_MOST, random_frame
from headgen.synth.heads.expressions import INDEX
from headgen.synth.heads.model import joined


def test_frames_cover_shut_and_open_mouths_and_eyes_and_keep_their_limits():
    frames = joined([random_frame(np.random.default_rng(k)) for k in range(400)])
    expression = frames.expression
    assert expression.min() >= 0 and expression.max() <= 1
    jaw, blink = expression[:, INDEX["jawOpen"]], expression[:, INDEX["eyeBlinkLeft"]]
    assert 0.25 < (jaw < 0.05).mean() < 0.7 and (jaw > 0.4).mean() > 0.1
    assert 0.1 < (blink > 0.95).mean() < 0.3 and (blink < 0.2).mean() > 0.5
    assert (np.abs(frames.head) <= HEAD_MOST).all() and frames.head[:, 0].std() > 10
    one_sided = np.abs(blink - expression[:, INDEX["eyeBlinkRight"]]) > 0.5
    assert 0.01 < one_sided.mean() < 0.15


def test_the_same_seed_gives_the_same_frame():
    a, b = (random_frame(np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(a.expression, b.expression) and np.array_equal(a.head, b.head)
