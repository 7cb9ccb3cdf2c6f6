"""Light taken out of textures whose albedo and light are known."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from made_up_face import SCALE, SKIN, albedo, face_layout, photograph, side_light  # noqa: E402

from headgen.synth.appearance.delight import (  # noqa: E402
    asymmetry,
    delight,
    estimate_light,
    shading,
    soften_highlights,
)
from headgen.synth.appearance.texture import Projection, project_photograph  # noqa: E402
from headgen.synth.render.light import basis  # noqa: E402


@pytest.fixture(scope="module")
def layout():
    return face_layout()


def _normals(count: int, seed: int = 0) -> np.ndarray:
    normals = np.random.default_rng(seed).normal(0, 1, (count, 3))
    normals[:, 2] = np.abs(normals[:, 2]) + 0.6
    return (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)


def test_the_light_on_plain_skin_is_found_despite_birthmarks():
    normals, light = _normals(2000), side_light(0.8)
    colours = (basis(normals) @ light) * SKIN
    colours[::10] *= 0.3  # one in ten is no plain skin
    found = estimate_light(normals, colours, np.ones(len(normals)))
    seen, truth = basis(normals) @ found, (basis(normals) @ light) * SKIN
    assert np.abs(seen / truth - 1).mean() < 0.03


def test_shading_is_relative_to_the_middle_of_the_face():
    normals = _normals(500)
    lit = shading(normals, side_light(0.6), np.ones(500, bool))
    np.testing.assert_allclose(np.median(lit, 0), 1, atol=0.02)
    right, left = lit[normals[:, 0] > 0.5].mean(), lit[normals[:, 0] < -0.5].mean()
    assert right > 1.2 * left


def test_the_same_face_comes_out_whatever_side_the_light_is_on(layout):
    truth = albedo(layout)
    out = {}
    for side in (-0.7, 0.0, 0.7):
        image, points = photograph(layout, truth, side_light(side))
        seen = project_photograph(layout, image, points, SCALE)
        out[side] = delight(layout, seen)
        before = asymmetry(layout, seen.colour, seen.confidence)
        after = asymmetry(layout, out[side], seen.confidence)
        assert after < 0.03
        assert before > 0.25 or side == 0
    sure = layout.plain & (seen.confidence > 0.9)
    assert np.abs(np.log(out[0.7] / out[-0.7]))[sure].mean() < 0.05
    # the features are still there
    spot = np.hypot(layout.positions[..., 0] - 2.6, layout.positions[..., 1] + 0.5) < 0.15
    assert out[0.7][spot].mean() < 0.75 * out[0.7][sure].mean()


def test_highlights_are_softened_and_spots_are_not(layout):
    colour = albedo(layout)
    x, y, _ = np.moveaxis(layout.positions, -1, 0)
    shine = np.exp(-(x**2 + (y - 0.5) ** 2) / 0.3)[..., None]
    shiny = (colour + 0.3 * shine).astype(np.float32)
    out = soften_highlights(layout, shiny, layout.inner_face)
    at = (np.hypot(x, y - 0.5) < 0.25) & layout.covered
    assert out[at].mean() < 0.8 * shiny[at].mean()
    saturation = [np.median(c[at][:, 0] / c[at][:, 2]) for c in (shiny, out, colour)]
    assert saturation[0] < saturation[1] <= saturation[2] * 1.05
    dark = np.hypot(x - 2.6, y + 0.5) < 0.15
    np.testing.assert_allclose(out[dark], shiny[dark], rtol=0.05)


def test_too_little_skin_is_left_as_it_is(layout):
    colour = albedo(layout)
    empty = Projection(colour, np.zeros(colour.shape[:2], np.float32), np.zeros_like(colour))
    np.testing.assert_array_equal(delight(layout, empty), colour)
