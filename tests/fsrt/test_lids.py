"""The line of lashes of an eye that shuts."""

from __future__ import annotations

import numpy as np
import pytest

from headgen.faces import mesh
from headgen.fsrt.lids import LashLines

SIDE = 200


def face(openings=(0.3, 0.3)):
    """(478, 2) landmarks of two eyes, 60 pixels wide, lids apart by these shares of it."""
    points = np.zeros((478, 2))
    for (contour, _, _), x, share in zip(mesh.EYES, (30, 110), openings, strict=True):
        for k, landmark in enumerate(contour):
            along = np.cos(np.pi * k / 8)
            high = 30 * share * np.sin(np.pi * k / 8)
            points[landmark] = [x + 30 + 30 * along, 100 - high]
    return points


def photograph():
    """Skin, white eyes, and lashes along the upper lids."""
    picture = np.full((SIDE, SIDE, 3), (200, 160, 140), np.uint8)
    picture[92:108, 30:170] = 250
    points = face()
    for contour, _, _ in mesh.EYES:
        for x, y in points[list(contour[:9])].astype(int):
            picture[y - 3 : y + 4, x - 4 : x + 5] = (40, 30, 25)
    return picture


@pytest.fixture
def still():
    """Where each pixel comes from when nothing moves."""
    line = np.arange(SIDE, dtype=np.float32)
    return np.stack(np.meshgrid(line, line), -1)


def test_open_eyes_stay_as_they_are(still):
    picture = photograph()
    moved = picture.copy()
    LashLines(picture, face()).draw(moved, still, face((0.3, 0.25)))
    assert np.array_equal(moved, picture)


def test_a_shut_eye_shows_a_dark_line_and_the_other_stays(still):
    picture = photograph()
    moved = picture.copy()
    LashLines(picture, face()).draw(moved, still, face((0.02, 0.3)))
    assert moved[98:102, 50:70].mean() < 60  # the white of the eye is as dark as its lashes
    assert np.array_equal(moved[:, 105:], picture[:, 105:])
    assert np.array_equal(moved[:80], picture[:80]) and np.array_equal(moved[125:], picture[125:])


def test_halfway_it_is_half_as_dark(still):
    picture = photograph()
    shades = []
    for opening in (0.3, 0.14, 0.02):
        moved = picture.copy()
        LashLines(picture, face()).draw(moved, still, face((opening, opening)))
        shades.append(float(moved[99:102, 55:65].mean()))
    assert shades[0] > shades[1] + 40 > shades[2] + 80


def test_eyes_that_the_photograph_does_not_show_open_bring_their_own_line(still):
    picture = photograph()
    moved = picture.copy()
    LashLines(picture, face((0.03, 0.03))).draw(moved, still, face((0.0, 0.0)))
    assert np.array_equal(moved, picture)
