"""Beards and brows: in the right place, in front of the skin, and moving with it."""

import numpy as np
import pytest

from headgen.synth.appearance.facial_hair import BEARDS, beard, brows
from headgen.synth.appearance.strands import HairColour
from headgen.synth.heads.expressions import expression
from headgen.synth.heads.model import HeadMotion

BROWN = HairColour.named("brown")


def covered(surface, person, place):
    """Whether the texture of a skin surface is opaque at its vertex nearest to a place."""
    own = person.neutral[surface.vertices]
    nearest = np.linalg.norm(own - place, axis=1).argmin()
    height, width = surface.texture.shape[:2]
    column, row = (surface.uv[nearest] * [width, height]).astype(int)
    window = surface.texture[max(row - 6, 0) : row + 7, max(column - 6, 0) : column + 7, 3]
    return (window >= 128).mean()


def test_a_full_beard_covers_chin_and_cheeks_but_not_lips(people):
    for person in people:
        marks = person.anatomy.landmarks
        inner = beard(person.anatomy, person.model.topology, "full", BROWN, np.random.default_rng(0))[0]
        assert covered(inner, person, marks[8]) > 0.8
        assert covered(inner, person, 0.5 * (marks[3] + marks[4])) > 0.8
        assert covered(inner, person, 0.5 * (marks[51] + marks[33])) > 0.6
        assert covered(inner, person, marks[57]) < 0.5
        assert np.linalg.norm(person.neutral[inner.vertices] - marks[30], axis=1).min() > 0.5  # no hairy nose
        assert np.linalg.norm(person.neutral[inner.vertices] - marks[37], axis=1).min() > 1.0


@pytest.mark.parametrize("style", list(BEARDS)[::2])
def test_shells_lie_in_front_of_the_skin_one_over_the_other(person, style):
    shells = beard(person.anatomy, person.model.topology, style, BROWN, np.random.default_rng(1))
    lifts = [np.max(s.lift) for s in shells]
    assert min(np.min(s.lift) for s in shells) > 0
    assert lifts == sorted(lifts) and lifts[-1] < 1.2
    shares = [(s.texture[..., 3] >= 128).mean() for s in shells]
    assert shares == sorted(shares, reverse=True) and shares[-1] > 0


def test_a_beard_goes_with_the_jaw_and_brows_with_the_forehead(person):
    model = person.model
    still = HeadMotion.still(2)
    moved = still.expression.copy()
    moved[1] = expression({"jawOpen": 0.7, "browInnerUp": 1.0, "browOuterUp": 1.0})
    motion = HeadMotion(moved, still.head, still.gaze, still.translation, still.torso)
    head = model.pose(person.neutral, motion)
    chin = beard(person.anatomy, model.topology, "chin", BROWN, np.random.default_rng(0))[-1]
    brow = brows(person.anatomy, model.topology, BROWN, np.random.default_rng(0))
    down = np.diff(chin.placed(head)[..., 1].mean(1))[0]
    up = np.diff(brow.placed(head)[..., 1].mean(1))[0]
    assert down < -0.8 and up > 0.1
    gap = chin.placed(head) - head.vertices[:, chin.vertices]
    assert np.allclose(np.linalg.norm(gap, axis=-1), chin.lift, atol=1e-4)
    assert chin.facing(head).shape == chin.placed(head).shape == (2, chin.own_vertices, 3)


def test_brows_lie_along_the_landmarks_and_grow_with_thickness(person):
    marks = person.anatomy.landmarks
    thin, thick = (
        brows(person.anatomy, person.model.topology, BROWN, np.random.default_rng(0), thickness=t)
        for t in (0.6, 1.4)
    )
    for corner in (18, 19, 20, 23, 24, 25):
        assert covered(thick, person, marks[corner]) > 0.2
    assert (thick.texture[..., 3] > 127).sum() > 1.5 * (thin.texture[..., 3] > 127).sum()
    assert covered(thick, person, marks[27]) == 0  # no monobrow


def test_unknown_beard(person):
    with pytest.raises(ValueError, match="goatee"):
        beard(person.anatomy, person.model.topology, "walrus", BROWN, np.random.default_rng(0))
