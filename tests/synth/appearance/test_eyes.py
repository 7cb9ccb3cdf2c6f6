"""Eyes from chance: how often which colour comes, and what lies where in the textures."""

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from headgen.synth.appearance.eyes import (  # noqa: E402
    IRISES,
    LIGHT,
    LIMBUS_UV,
    draw_eye_colour,
    iris_texture,
    lash_texture,
    sclera_texture,
)
from headgen.synth.heads.eyeball import IRIS_UV_RADIUS  # noqa: E402


def _radius(size: int, limbus: float) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.hypot(x, y) / (limbus * size)


def test_colours_come_as_often_as_among_people():
    rng = np.random.default_rng(0)
    names = Counter(draw_eye_colour(rng).name for _ in range(3000))
    for name, (share, *_) in IRISES.items():
        assert names[name] / 3000 == pytest.approx(share, abs=0.03)
    dark = sum(draw_eye_colour(rng, 0.1).name in LIGHT for _ in range(500))
    light = sum(draw_eye_colour(rng, 1.0).name in LIGHT for _ in range(500))
    assert dark < 10 and 150 < light < 350


def test_pupil_iris_and_limbus_lie_where_the_eyeball_has_them():
    rng = np.random.default_rng(1)
    colour = draw_eye_colour(rng, 1.0)
    texture = iris_texture(colour, rng)
    assert texture.shape == (256, 256, 4) and texture.dtype == np.uint8 and texture[..., 3].min() == 255
    light, radius = texture[..., :3].mean(-1), _radius(256, IRIS_UV_RADIUS)
    pupil = light[radius < 0.8 * colour.pupil]
    iris = light[(radius > colour.pupil + 0.1) & (radius < 0.75)]
    white = light[radius > 1.04]
    assert pupil.max() < 30 < iris.mean() < white.mean()


def test_both_eyes_are_alike_and_the_same_seed_gives_the_same_eye():
    colour = draw_eye_colour(np.random.default_rng(2), 1.0)
    one, other = (iris_texture(colour, np.random.default_rng(k))[..., :3] for k in (3, 4))
    assert not np.array_equal(one, other)
    ring = np.abs(_radius(256, IRIS_UV_RADIUS) - 0.7) < 0.2
    assert np.abs(one[ring].mean(0) - other[ring].mean(0)).max() < 8
    np.testing.assert_array_equal(one, iris_texture(colour, np.random.default_rng(3))[..., :3])


def test_the_white_joins_the_iris_and_reddens_away_from_it():
    rng = np.random.default_rng(5)
    colour = draw_eye_colour(rng)
    white = sclera_texture(colour, rng)[..., :3].astype(float)
    radius = _radius(512, LIMBUS_UV)
    near = white[(radius > 1.2) & (radius < 1.5)].mean(0)
    far = white[(radius > 2.6) & (radius < 3.2)].mean(0)
    assert near.min() > 150  # it is white
    assert far[0] / far[1] > near[0] / near[1]
    edge = iris_texture(colour, rng)[..., :3][_radius(256, IRIS_UV_RADIUS) > 1.04].astype(float).mean(0)
    inner = white[(radius > 1.0) & (radius < 1.06)].mean(0)
    assert np.abs(edge - inner).max() < 45


def test_lashes_grow_from_the_lid():
    # a strip over an eyeball, its lower edge at the lid, and one below it, its upper edge at the lid
    upper = np.array([[-1, 1, 1], [1, 1, 1], [1, 1.5, 1.6], [-1, 1.5, 1.6]])
    neutral = np.concatenate([upper, upper * [1, -1, 1], [[-1, 0.9, 0.8], [1, 0.9, 0.8], [-1, -0.9, 0.8]]])
    square = np.array([[0.02, 0.4], [0.98, 0.4], [0.98, 0.1], [0.02, 0.1]])
    uv = np.concatenate([square, 1 - square[[1, 0, 3, 2]], np.zeros((3, 2))])
    triangles = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    lashes = lash_texture(neutral, triangles, uv, np.array([8, 9, 10]), np.random.default_rng(0), size=256)
    rows = (lashes[..., 3] > 127).mean(1)
    assert rows[int(0.38 * 256)] > rows[int(0.3 * 256)] > rows[int(0.12 * 256)]
    assert rows[int(0.62 * 256)] > rows[int(0.75 * 256)]
    assert rows[: int(0.3 * 256)].sum() > rows[int(0.7 * 256) :].sum()  # upper lashes are longer
    assert rows[int(0.45 * 256) : int(0.55 * 256)].max() == 0
