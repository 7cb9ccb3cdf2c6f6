"""Colours of the mouth, on two made-up rows of teeth."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from headgen.synth.appearance.mouth import draw_mouth_colour, lining_texture, teeth_texture  # noqa: E402

TEETH = 4


def _teeth() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Upper and lower plates of 0.8 x 1.0 cm side by side, each with a square of the texture."""
    vertices, triangles, uv = [], [], []
    for row, (bottom, top) in enumerate(((0.0, 1.0), (-1.1, -0.1))):
        for k in range(TEETH):
            start = len(vertices)
            for y in np.linspace(bottom, top, 9):
                for x in (0.0, 0.8):
                    vertices.append((k + x, y, 9.0))
                    uv.append(((k + 0.1 + x) / TEETH, (row + 0.05 + 0.9 * (top - y)) / 2))
            for r in range(8):
                a = start + 2 * r
                triangles += [(a, a + 1, a + 3), (a, a + 3, a + 2)]
    return np.array(vertices), np.array(triangles), np.array(uv)


def test_teeth_are_yellower_at_the_gum_and_differ_a_little():
    vertices, triangles, uv = _teeth()
    colour = draw_mouth_colour(np.random.default_rng(0))
    texture = teeth_texture(colour, vertices, triangles, uv, np.random.default_rng(1), 256)[..., :3]
    upper, lower = texture[:128].astype(float), texture[128:].astype(float)

    def yellow(rows: np.ndarray) -> float:
        return float((rows[..., 0] / rows[..., 2]).mean())

    assert yellow(upper[10:25]) > yellow(upper[60:80])  # the gum is above
    assert yellow(lower[105:118]) > yellow(lower[50:70])  # and below
    shades = [upper[60:80, 10 + 64 * k : 50 + 64 * k].mean() for k in range(TEETH)]
    assert 0.5 < np.ptp(shades) < 40
    assert min(shades) > 120


def test_gums_go_with_the_skin_and_teeth_do_not():
    light = [draw_mouth_colour(np.random.default_rng(k), 1.0) for k in range(40)]
    dark = [draw_mouth_colour(np.random.default_rng(k), 0.0) for k in range(40)]
    assert np.mean([c.gums for c in dark]) < 0.8 * np.mean([c.gums for c in light])
    np.testing.assert_allclose([c.teeth for c in dark], [c.teeth for c in light])


def test_linings_darken_with_depth():
    vertices = np.array([[0, 0, 9.0], [1, 0, 9.0], [0, 0, 1.0], [1, 0, 1.0]])
    triangles = np.array([[0, 1, 3], [0, 3, 2]])
    uv = np.array([[0, 1], [1, 1], [0, 0], [1, 0.0]])
    colour = np.array([0.4, 0.15, 0.14])
    texture = lining_texture(colour, vertices, triangles, uv, np.random.default_rng(0), 9.0, 64)
    assert texture.shape == (64, 64, 4) and texture[..., 3].min() == 255
    front, back = texture[56:, :, :3].mean((0, 1)), texture[:8, :, :3].mean((0, 1))
    assert back.mean() < 0.7 * front.mean()
    assert front[0] > 1.3 * front[1]  # flesh
