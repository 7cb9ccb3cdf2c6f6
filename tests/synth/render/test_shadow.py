import numpy as np
import torch
from render_shapes import posed, sphere, square, surface, turned

from headgen.synth.render.renderer import Renderer
from headgen.synth.render.scene import Camera, Light

CAMERA = Camera.portrait(96, distance=80, head=0.5)


def sunlit(direction: tuple[float, float, float], *shapes, frames: int = 1) -> np.ndarray:
    sun = np.array(direction, np.float32)
    light = Light(np.zeros((9, 3), np.float32), sun / np.linalg.norm(sun), np.full(3, 0.5, np.float32))
    head = posed(sphere(0.1, 4)[0], turned(frames, shift=np.array([[3.0 * k, 0, 0] for k in range(frames)])))
    return Renderer().render(shapes, head, None, CAMERA, light, None).image[..., 0].astype(int)


def test_shadow_falls_away_from_the_sun_and_moves_with_what_casts_it() -> None:
    points, triangles, uv = square(8.0, 0.0)
    card_points, card, card_uv = square(1.5, 6.0)
    wall = surface("wall", triangles, uv, "clothing", points=points)
    caster = surface("card", card, card_uv, "occluder", points=card_points, two_sided=True)
    bare, shaded = sunlit((1.0, 0.0, 1.0), wall)[0], sunlit((1.0, 0.0, 1.0), wall, caster)[0]
    # the sun is on the right at 45 degrees: the shadow lies 6 cm to the left of the card
    scale = CAMERA.focal / 80
    dark = (bare > 100) & (shaded < 0.3 * bare)
    rows, columns = np.nonzero(dark)
    assert abs((columns.mean() - 47.5) / scale + 6.0) < 0.3
    assert abs((rows.mean() - 47.5) / scale) < 0.3
    assert abs(dark.sum() / scale**2 - 9.0) < 3.0  # the card's own size
    soft = (bare > 100) & (shaded > 0.4 * bare) & (shaded < 0.9 * bare)
    assert soft.sum() > 10
    wide = surface("wall", triangles, uv, "clothing", points=points * 3)
    first, second = sunlit((1.0, 0.0, 1.0), wide, caster, frames=2)  # the second frame is 3 cm to the right
    places = [np.nonzero(frame[40:56, :46] < 60)[1].mean() for frame in (first, second)]
    assert abs((places[1] - places[0]) / scale - 3.0) < 0.7


def test_round_things_do_not_shade_their_own_lit_side() -> None:
    points, triangles, uv = sphere(7.0, 40)
    for direction in ((0.0, 0.0, 1.0), (1.0, 0.3, 0.4), (0.0, 1.0, 0.0), (-0.7, 0.6, -0.2)):
        image = sunlit(direction, surface("ball", triangles, uv, "clothing", points=points))[0]
        sun = np.array(direction) / np.linalg.norm(direction)
        y, x = np.mgrid[0:96, 0:96]
        nx, ny = (x - 47.5) / CAMERA.focal * 76 / 7, -(y - 47.5) / CAMERA.focal * 76 / 7
        inside = nx**2 + ny**2 < 0.75
        normal = np.stack([nx, ny, np.sqrt(np.maximum(1 - nx**2 - ny**2, 0))], -1)
        facing = normal @ sun
        linear = (image / 255.0) ** 2.2
        lit = inside & (facing > 0.35)
        if lit.any():
            assert np.abs(linear[lit] - 0.5 * facing[lit]).max() < 0.08
        assert (linear[inside & (facing < -0.05)] == 0).all()


def test_no_sun_no_shadow_pass() -> None:
    points, triangles, uv = sphere(7.0)
    light = Light(np.ones((9, 3), np.float32), np.array([0, 0, 1], np.float32), np.zeros(3, np.float32))
    shape = surface("ball", triangles, uv)
    image = Renderer().render([shape], posed(points, turned(1)), None, CAMERA, light, None).image
    assert image.max() > 50 and torch.isfinite(torch.from_numpy(image).float()).all()
