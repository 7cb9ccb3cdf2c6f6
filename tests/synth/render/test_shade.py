import numpy as np
import torch
from render_shapes import posed, sphere, square, surface, turned

from headgen.synth.render.light import basis, procedural_light
from headgen.synth.render.occlusion import Face, creases
from headgen.synth.render.renderer import Renderer
from headgen.synth.render.scene import Camera, Light
from headgen.synth.render.shade import Developer, developed, harmonics_basis, key_light, undeveloped
from headgen.synth.render.texture import Atlas

CAMERA = Camera.portrait(96, distance=80, head=0.5)
DARK = Light(np.zeros((9, 3), np.float32), np.array([0, 0, 1], np.float32), np.zeros(3, np.float32))


def lit_from(direction: tuple[float, float, float], ambient: float = 0.0) -> Light:
    harmonics = np.zeros((9, 3), np.float32)
    harmonics[0] = ambient / 0.282095
    sun = np.array(direction, np.float32)
    return Light(harmonics, sun / np.linalg.norm(sun), np.full(3, 0.6, np.float32))


def ball(material: str, code: int = 180, **options: float) -> np.ndarray:
    points, triangles, uv = sphere(7.0, 40)
    texture = np.array([[[code, code, code, 255]]], np.uint8)
    light = lit_from((1, 0.0, 0.3), 0.02)
    shape = surface("ball", triangles, uv, material, texture, **options)
    return (
        Renderer().render([shape], posed(points, turned(1)), None, CAMERA, light, None).image[0].astype(int)
    )


def test_development_is_undone_exactly() -> None:
    codes = np.arange(256)
    assert np.abs(developed(undeveloped(codes)) - codes).max() < 0.6
    developer = Developer(torch.device("cpu"))
    there = developer.develop(developer.undevelop(torch.arange(256, dtype=torch.uint8)))
    assert (there.numpy() == codes).all()
    assert developed(np.array([0.18, 100.0, -1.0])).round().tolist() == [118, 255, 0]


def test_harmonics_of_both_modules_agree() -> None:
    directions = np.random.default_rng(0).standard_normal((50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert np.allclose(
        harmonics_basis(torch.from_numpy(directions.T)).numpy().T, basis(directions), atol=1e-5
    )


def test_textures_are_sampled_between_texels_and_not_beyond_their_edge() -> None:
    rng = np.random.default_rng(0)
    textures = [rng.integers(0, 256, shape, np.uint8) for shape in ((5, 7, 4), (1, 1, 4), (8, 4, 4))]
    atlas = Atlas(textures, [0, 0, 0], torch.device("cpu"))
    linear = [
        np.where(t / 255 <= 0.04045, t / 255 / 12.92, ((t / 255 + 0.055) / 1.055) ** 2.4) for t in textures
    ]
    uv = torch.tensor([[3.5 / 7, 0.3, -1.0, 2.0 / 4], [2.5 / 5, 0.9, 2.0, 4.5 / 8]])
    got = atlas.sample(torch.tensor([0, 1, 0, 2]), uv).numpy().T
    expected = [linear[0][2, 3], linear[1][0, 0], linear[0][4, 0], (linear[2][4, 1] + linear[2][4, 2]) / 2]
    assert np.allclose(got, np.array(expected)[:, :3], atol=1e-5)


def test_coarser_levels_keep_the_mean_and_thin_hairs() -> None:
    texture = np.full((64, 64, 4), 100, np.uint8)
    texture[..., 3] = np.where(np.arange(64) % 8 == 3, 255, 0)
    coarse = Atlas([texture], [2], torch.device("cpu"))
    assert int(coarse.width) == 16
    share = (coarse.alpha.numpy() >= 128).mean()
    assert 0.06 < share < 0.6  # an eighth would be gone without care
    grey = np.random.default_rng(0).integers(0, 256, (64, 64, 4), np.uint8)
    grey[..., 3] = 255
    middle = Atlas([grey], [5], torch.device("cpu")).sample(
        torch.zeros(1, dtype=torch.int64), torch.full((2, 1), 0.5)
    )
    assert abs(float(developed(middle.numpy()).mean()) - grey[..., :3].mean()) < 4


def test_skin_is_redder_where_the_light_ends() -> None:
    skin, cloth = ball("skin"), ball("clothing")
    edge = skin[48, 24:44] - cloth[48, 24:44]
    assert edge[:, 0].max() > 20
    assert (skin[48, 24:44, 0] - skin[48, 24:44, 2]).max() > 15
    assert np.abs(skin[48, 70] - cloth[48, 70]).max() < 12


def test_wet_things_glint_and_matt_ones_do_not() -> None:
    matt, satin, wet = (ball("clothing", 60, gloss=g, roughness=r) for g, r in ((0, 0.5), (1, 0.5), (1, 0.2)))
    assert wet.max() > 220 and matt.max() < 70
    assert (wet > 150).sum() < (satin > matt + 8).sum()  # a narrow highlight and a wide one


def test_eyes_mirror_the_strongest_light_even_without_a_sun() -> None:
    points, triangles, uv = sphere(7.0, 40)
    shape = surface(
        "eye", triangles, uv, "iris", np.array([[[40, 30, 20, 255]]], np.uint8), gloss=1.0, roughness=0.1
    )
    light = procedural_light(np.random.default_rng(0), "overcast")
    assert not light.sun_colour.any()
    image = (
        Renderer().render([shape], posed(points, turned(1)), None, CAMERA, light, None).image[0].astype(int)
    )
    direction, colour = key_light(light)
    assert direction[1] > 0.5 and colour.min() > 0
    brightest = np.unravel_index(image.sum(-1).argmax(), image.shape[:2])
    assert brightest[0] < 40 and image.max() > 2 * np.median(image[30:60, 30:60])


def test_strands_shine_across() -> None:
    points, triangles, uv = square(6.0, 0.0)
    bent = points.copy()
    bent[:, 2] = 0
    head = posed(sphere(0.1, 4)[0], turned(1))
    light = lit_from((0.0, 0.9, 1.0))

    def image(places: np.ndarray) -> np.ndarray:
        hair = surface(
            "hair",
            triangles,
            places,
            "hair",
            np.array([[[60, 40, 30, 255]]], np.uint8),
            bent,
            gloss=0.6,
            two_sided=True,
        )
        return Renderer().render([hair], head, None, CAMERA, light, None).image[0].astype(int)

    down, across = image(uv), image(uv[:, ::-1].copy())
    # light from above: strands that hang mirror it along a band, those that lie do so everywhere alike
    assert np.ptp(down[30:66, 48].sum(-1)) != np.ptp(across[30:66, 48].sum(-1))
    assert abs(down[48, 48] - across[48, 48]).max() > 3


def test_mouth_is_dark_inside_and_closed_lips_shut_out_light() -> None:
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)

    def lips(open_cm: float) -> torch.Tensor:
        ring = np.stack([2.5 * np.cos(angle), open_cm / 2 * np.sin(angle), np.zeros(20)], -1)
        return torch.tensor(ring[None], dtype=torch.float32)

    depth = torch.tensor([0.3, 1.0, 3.0, 6.0])
    points = torch.stack([torch.zeros(4), torch.zeros(4), -depth], 1)
    towards = torch.tensor([[0.0, 0.0, 1.0]]).expand(4, 3)
    frame, eyes = torch.zeros(4, dtype=torch.int64), torch.zeros(1, 2, 3)
    wide, narrow = (Face(eyes, lips(o), None).in_mouth(frame, points, towards) for o in (3.0, 0.2))
    assert (wide[:-1] > wide[1:]).all() and wide[0] > 0.7 and wide[3] < 0.3
    assert (narrow < wide).all() and narrow[1] < 0.5
    before = Face(eyes, lips(0.2), None).in_mouth(frame[:1], torch.tensor([[0.0, 0.0, 0.5]]), towards[:1])
    assert before[0] == 1


def test_eye_is_darker_under_the_upper_lid() -> None:
    x = torch.linspace(-1.5, 1.5, 17)
    upper, lower = torch.stack([x, 0.5 - 0.2 * x**2, 0 * x]), torch.stack([x, -0.5 + 0.2 * x**2, 0 * x])
    far = torch.full_like(upper, 50.0)
    face = Face(torch.zeros(1, 2, 3), None, torch.stack([upper, lower, far, far], 1)[:, None])
    heights = torch.tensor([0.45, 0.25, 0.0, -0.45])
    points = torch.stack([torch.zeros(4), heights, torch.zeros(4)], 1)
    light = face.under_lids(torch.zeros(4, dtype=torch.int64), points)
    assert light[0] < light[1] < light[2]
    assert light[0] < light[3] < light[2]
    assert light[2] > 0.95


def test_creases_are_dark_and_planes_and_silhouettes_are_not() -> None:
    x = torch.linspace(-8, 8, 64)
    plane = (80 + 0.7 * x).expand(1, 64, 64)
    assert torch.allclose(creases(plane, 4.0)[:, :, 12:-12], torch.tensor(1.0), atol=1e-3)
    groove = (80 - 0.7 * x.abs()).expand(1, 64, 64)
    light = creases(groove, 4.0)[0, 32]
    assert light[32] < 0.85 and light[14] > 0.99 and light.argmin() in (31, 32)
    ridge = creases((80 + 0.7 * x.abs()).expand(1, 64, 64), 4.0)[0, 32, 12:-12]
    assert torch.allclose(ridge, torch.tensor(1.0), atol=1e-3)
    ball = torch.where(x.abs() < 4, 80.0, torch.inf).expand(1, 64, 64)
    assert (creases(ball, 4.0)[ball < 100] > 0.99).all()
