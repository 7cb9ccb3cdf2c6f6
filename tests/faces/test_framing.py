"""The motion of a head, parted into the neck's and the body's."""

from __future__ import annotations

import numpy as np
import pytest

from headgen.faces import mesh
from headgen.faces.framing import MOST_SHIFT, MOST_ZOOM, Framing

SHAPE = (400, 300, 3)
UNIT = 50.0  # outer-eye distance in pixels


def face(x=150.0, y=150.0, unit=UNIT):
    return mesh.mean_face().astype(np.float64) * [unit, -unit, -unit] + [x, y, 0]


@pytest.fixture(scope="module")
def framing():
    return Framing(face(), SHAPE)


def middle(points):
    return mesh.fit_pose(points).translation[:2]


def test_a_small_motion_is_the_necks_alone(framing):
    wanted = face(150 + 0.2 * UNIT, 150 - 0.2 * UNIT, 1.03 * UNIT)
    near, carry = framing.part(wanted)
    np.testing.assert_allclose(near, wanted, atol=1e-6)
    assert carry.rests
    picture = np.zeros(SHAPE, np.uint8)
    assert framing.apply(picture, carry) is picture


@pytest.mark.parametrize(
    ("x", "y", "zoom"), [(175, 150, 1.0), (150, 195, 1.0), (150, 150, 1.25), (130, 170, 1.2)]
)
def test_a_large_motion_takes_the_person_along_to_the_wanted_place(framing, x, y, zoom):
    wanted = face(x, y, zoom * UNIT)
    near, carry = framing.part(wanted)
    assert np.abs(middle(near) - 150).max() <= MOST_SHIFT * UNIT + 1e-6
    assert mesh.fit_pose(near).scale < 1.02 * MOST_ZOOM * UNIT
    assert not carry.rests
    # a dot drawn at the nose of the near face is found near the wanted nose after the person has moved
    picture = np.zeros(SHAPE, np.uint8)
    nose = np.round(near[4, :2]).astype(int)
    picture[nose[1] - 2 : nose[1] + 3, nose[0] - 2 : nose[0] + 3] = 255
    moved = framing.apply(picture, carry)[..., 0].astype(np.float64)
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    found = np.array([(xx * moved).sum(), (yy * moved).sum()]) / moved.sum()
    before = np.linalg.norm(nose - wanted[4, :2])
    assert np.linalg.norm(found - wanted[4, :2]) < max(2.5, 0.35 * before)


def test_the_pictures_edges_stay_and_nothing_folds(framing):
    _, carry = framing.part(face(230, 260, 1.25 * UNIT))
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    ramp = np.dstack([xx * 255 / SHAPE[1], yy * 255 / SHAPE[0], 0 * xx]).astype(np.uint8)
    moved = framing.apply(ramp, carry)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        assert np.abs(moved[edge].astype(int) - ramp[edge]).max() <= 1
    assert np.abs(moved.astype(int) - ramp).max() > 10
    assert np.diff(moved[..., 0].astype(int), axis=1).min() >= -1
    assert np.diff(moved[..., 1].astype(int), axis=0).min() >= -1


def test_a_face_that_fills_the_picture_moves_less():
    close = Framing(face(150, 150, 160.0), (300, 300, 3))
    near, carry = close.part(face(150, 60, 160.0))
    assert abs(carry.shift[1]) < 0.05 * 90
    assert 0 < 150 - middle(near)[1] < 0.6 * 90
