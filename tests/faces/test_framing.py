"""The motion of a head, parted into the neck's and the body's."""

from __future__ import annotations

import numpy as np
import pytest

from headgen.faces import mesh
from headgen.faces.framing import MOST_SHIFT, MOST_ZOOM, Carry, Framing

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


def moved_ramp(framing, carry):
    """Where (H, W, 2) each pixel of a moved picture comes from, x and y in pixels."""
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    ramp = np.dstack([xx * 255 / SHAPE[1], yy * 255 / SHAPE[0], 0 * xx]).astype(np.uint8)
    moved = framing.apply(ramp, carry)[..., :2].astype(np.float64)
    return moved * [SHAPE[1] / 255, SHAPE[0] / 255]


@pytest.mark.parametrize(("x", "y", "zoom"), [(230, 260, 1.25), (60, 90, 1.0), (150, 150, 0.7)])
def test_nothing_folds_and_nothing_comes_from_beyond_the_edges(framing, x, y, zoom):
    near, carry = framing.part(face(x, y, zoom * UNIT))
    source = moved_ramp(framing, carry)
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    assert np.abs(source - np.dstack([xx, yy])).max() > 12
    assert np.diff(source[..., 0], axis=1).min() >= -3  # a grey level is 1.6 pixels
    assert np.diff(source[..., 1], axis=0).min() >= -3
    # beyond an edge its last pixels would be repeated
    for axis, line in ((0, source[200, :, 0]), (1, source[:, 150, 1])):
        size = SHAPE[1 - axis]
        assert np.count_nonzero(line <= line.min() + 0.1) <= 8 or line.min() > 0.05 * size
        assert np.count_nonzero(line >= line.max() - 0.1) <= 8 or line.max() < 0.95 * size


def test_hair_is_cut_by_the_upper_edge_rather_than_pressed_flat(framing):
    _, carry = framing.part(face(150, 80))
    assert carry.shift[1] < -15
    above = moved_ramp(framing, carry)[:100, 150, 1]
    assert above[0] == pytest.approx(-carry.shift[1], abs=3)
    assert np.diff(above[::10]).max() < 14 and np.diff(above[::10]).min() > 6  # ten rows remain ten rows


def test_motion_has_no_jump_where_it_changes_direction(framing):
    picture = np.random.default_rng(0).integers(0, 255, (50, 38, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    picture = picture[: SHAPE[0], : SHAPE[1]]
    a, b = (framing.apply(picture, Carry((sign * 0.3, 40.0), 1.0)).astype(int) for sign in (-1, 1))
    assert np.abs(a - b).mean() < 12


def test_a_face_that_fills_the_picture_moves_less():
    close = Framing(face(150, 150, 160.0), (300, 300, 3))
    near, carry = close.part(face(150, 60, 160.0))
    assert abs(carry.shift[1]) < 0.05 * 90
    assert 0 < 150 - middle(near)[1] < 0.6 * 90
