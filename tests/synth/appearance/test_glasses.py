"""Glasses: on the nose, before the eyes, over the ears, and nowhere in the flesh."""

import numpy as np
import pytest

from headgen.synth.appearance.glasses import FRAMES, glasses
from headgen.synth.appearance.solids import capsule, tube


@pytest.mark.parametrize("style", FRAMES)
def test_frames_touch_no_skin_and_lenses_stand_before_the_eyes(people, style):
    for person in people:
        frame, *lenses = glasses(person.anatomy, style, np.random.default_rng(0))
        height, _ = person.anatomy.skin.height(frame.points.astype(np.float64))
        assert height.min() > 0
        assert frame.material == "glasses" and [s.material for s in lenses] == ["lens", "lens"]
        for lens, first in zip(lenses, (36, 42), strict=True):
            eye = person.anatomy.landmarks[first : first + 6]
            low, high = lens.points[:, :2].min(0), lens.points[:, :2].max(0)
            assert (low < eye[:, :2].min(0)).all() and (high > eye[:, :2].max(0)).all()
            assert lens.points[:, 2].min() > eye[:, 2].max()
            assert lens.points[:, 2].min() < eye[:, 2].max() + 2.5  # and not far away


def test_temples_reach_behind_the_ears_on_both_sides(people):
    for person in people:
        points = glasses(person.anatomy, "wayfarer", np.random.default_rng(0))[0].points
        for sign, box in zip((-1, 1), person.anatomy.ears, strict=True):
            mine = points[np.sign(points[:, 0]) == sign]
            middle = box.mean(0)
            assert mine[:, 2].min() < middle[2]
            over = mine[np.abs(mine[:, 2] - middle[2]) < 1.0]
            assert over[:, 1].max() > box[1, 1] - 0.3
            assert mine[mine[:, 2].argmin(), 1] < box[1, 1]  # bent down behind


def test_styles_differ_as_named(person):
    def parts(style):
        return glasses(person.anatomy, style, np.random.default_rng(0), colour="black")

    def span(surface):
        return np.ptp(surface.points, axis=0)

    round_, flat = span(parts("round")[1]), span(parts("rectangular")[1])
    assert round_[1] / round_[0] > flat[1] / flat[0] + 0.15
    assert parts("sun glasses")[1].texture[0, 0, 3] > 150 > 60 > parts("round")[1].texture[0, 0, 3]
    lens = parts("half rim")[1].points
    low = parts("half rim")[0].points
    below = low[
        (low[:, 2] > lens[:, 2].mean() - 1) & (low[:, 1] < lens[:, 1].mean() - 0.6) & (np.abs(low[:, 0]) > 2)
    ]
    assert len(below) == 0
    with pytest.raises(ValueError, match="aviator"):
        glasses(person.anatomy, "monocle", np.random.default_rng(0))


def test_tubes_and_capsules_face_outwards():
    def volume(points, triangles):
        a, b, c = (points[triangles[:, k]] for k in range(3))
        return float((np.cross(a, b) * c).sum() / 6)

    line = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    for order in ([0, 1, 2], [1, 0, 2], [1, 2, 0]):
        assert volume(*tube(line[:, order], 0.5, sides=32)) == pytest.approx(np.pi / 2, rel=0.02)
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    ring = 3 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], 1)
    assert volume(*tube(ring, 0.3, sides=24, closed=True, up=np.array([0.0, 0, 1]))) == pytest.approx(
        2 * np.pi**2 * 3 * 0.09, rel=0.03
    )
    round_ended = volume(*capsule(np.zeros(3), np.array([0.0, 2, 0]), 0.5, 0.5, sides=32))
    assert round_ended == pytest.approx(np.pi * (0.5 + 4 / 3 * 0.125), rel=0.06)
