import dataclasses

import numpy as np
import pytest
import torch
from render_shapes import WHITE, posed, sphere, square, surface, topology, turned

from headgen.errors import InputError
from headgen.synth.heads.model import PARTS, Surface
from headgen.synth.render import renderer as module
from headgen.synth.render.light import procedural_light
from headgen.synth.render.rasterise import rasterise_torch
from headgen.synth.render.renderer import Renderer
from headgen.synth.render.samples import interpolate_torch
from headgen.synth.render.scene import Camera, Light, Rendered

CAMERA = Camera.portrait(64, distance=80, head=0.5)
EVEN = Light(
    np.concatenate([np.full((1, 3), 0.5 / 0.282095), np.zeros((8, 3))]).astype(np.float32),
    np.array([0, 0, 1], np.float32),
    np.zeros(3, np.float32),
)
"""The same light from everywhere: half of it leaves a white surface."""


def colour(red: int, green: int, blue: int, alpha: int = 255) -> np.ndarray:
    return np.array([[[red, green, blue, alpha]]], np.uint8)


def scene(frames: int = 2) -> tuple[list[Surface], object, object]:
    """A ball of skin with a plate of hair in front of its left half and strands cut out of a strip."""
    points, triangles, uv = sphere(7.0, 40)
    texture = np.random.default_rng(0).integers(60, 255, (64, 128, 4), np.uint8)
    texture[..., 3] = 255
    plate_points, plate, plate_uv = square(4.0, 9.0)
    strands = np.full((32, 32, 4), 90, np.uint8)
    strands[..., 3] = 255 * (np.arange(32) % 8 < 4)
    head = posed(points, turned(frames, np.linspace(-20, 20, frames)))
    landmarks = np.array([len(points) // 2, 30, len(points) // 2 + 10])
    surfaces = [
        surface("ball", triangles, uv, texture=texture, gloss=0.4),
        surface(
            "plate", plate, plate_uv, "hair", strands, plate_points - [6, 0, 0], gloss=0.3, two_sided=True
        ),
    ]
    return surfaces, head, topology(triangles, uv, landmarks)


def fields(rendered: Rendered) -> dict[str, np.ndarray]:
    return {f.name: getattr(rendered, f.name) for f in dataclasses.fields(rendered)}


def test_ground_truth_is_what_lies_at_the_pixels_centre() -> None:
    surfaces, head, face = scene(1)
    out = Renderer().render(surfaces, head, face, CAMERA, EVEN, None)
    rows, columns = np.nonzero(out.parts[0] == PARTS.index("skin"))
    # rays through the pixels' centres meet the ball, by geometry alone
    ray = np.stack(
        [
            (columns - CAMERA.centre[0]) / CAMERA.focal,
            -(rows - CAMERA.centre[1]) / CAMERA.focal,
            -np.ones(len(rows)),
        ],
        1,
    )
    along = ray[:, 2] * 80
    square_length = (ray**2).sum(1)
    root = along**2 - square_length * (80**2 - 49)
    inner = root > 0.35 * root.max()
    depth = (-along - np.sqrt(np.maximum(root, 0))) / square_length
    assert np.abs(out.depth[0][rows, columns] - depth)[inner].max() < 0.03  # facets lie inside the ball
    point = ray * depth[:, None] + [0, 0, 80]
    normals = out.normals[0][rows, columns]
    assert ((normals * point).sum(1)[inner] / 7 > 0.999).all()
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    # and the numbers agree with each other: triangle and weights lead back to the pixel
    corners = surfaces[0].triangles[out.triangle[0][rows, columns]]
    seen = (head.vertices[0][corners] * out.barycentric[0][rows, columns][..., None]).sum(1)
    u, v, z = CAMERA.project(seen).T
    assert max(np.abs(u - columns).max(), np.abs(v - rows).max()) < 0.01
    assert np.allclose(z, out.depth[0][rows, columns], atol=1e-3)
    uv = (surfaces[0].uv[corners] * out.barycentric[0][rows, columns][..., None]).sum(1)
    assert np.allclose(uv, out.uv[0][rows, columns], atol=1e-5)


def test_masks_agree_with_depth() -> None:
    surfaces, head, face = scene(2)
    out = Renderer().render(surfaces, head, face, CAMERA, EVEN, None)
    nothing = out.parts == PARTS.index("background")
    assert (np.isinf(out.depth) == nothing).all()
    assert (np.isnan(out.uv).any(-1) == nothing).all()
    assert ((out.triangle < 0) == nothing).all()
    assert (out.normals[nothing] == 0).all() and (out.barycentric[nothing] == 0).all()
    hair = out.parts == PARTS.index("hair")
    assert hair.any() and out.depth[hair].max() < 80 - 5  # the plate stands before the ball


def test_background_is_kept_to_the_byte_and_edges_are_mixed() -> None:
    points, triangles, uv = sphere(6.0, 30)
    background = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    ball = [surface("ball", triangles, uv, texture=WHITE)]
    head = posed(points, turned(1))
    out = Renderer().render(ball, head, None, CAMERA, EVEN, background)
    away = np.hypot(*np.mgrid[-31.5:32:1, -31.5:32:1])
    radius = 6 * CAMERA.focal / np.sqrt(80**2 - 36)
    assert (out.image[0][away > radius + 1.5] == background[away > radius + 1.5]).all()
    plain = (
        Renderer().render(ball, head, None, CAMERA, EVEN, np.zeros((64, 64, 3), np.uint8)).image[0, ..., 0]
    )
    linear = (plain / 255.0) ** 2.2
    inside = linear[away < radius - 3]
    # antialiased coverage adds up to the disc's area
    assert abs(linear.sum() / inside.mean() - np.pi * radius**2) < 0.012 * np.pi * radius**2
    assert len(np.unique(plain[(away > radius - 1) & (away < radius + 1)])) > 5


def test_even_light_gives_the_albedo() -> None:
    points, triangles, uv = sphere(7.0)
    for code in (40, 128, 220):
        ball = [surface("ball", triangles, uv, "clothing", colour(code, code, code))]
        out = Renderer().render(ball, posed(points, turned(1)), None, CAMERA, EVEN, None)
        albedo = ((code / 255 + 0.055) / 1.055) ** 2.4
        expected = 255 * (1.055 * (0.5 * albedo) ** (1 / 2.4) - 0.055)
        assert abs(int(out.image[0, 32, 32, 0]) - expected) < 1.5


def test_adaptive_supersampling_looks_like_the_whole_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    points, triangles, uv = sphere(7.0)
    ball = [surface("ball", triangles, uv, texture=colour(200, 150, 120), gloss=0.4)]
    head = posed(points, turned(1))
    light = procedural_light(np.random.default_rng(0), "sunny")
    some = Renderer().render(ball, head, None, CAMERA, light, None).image.astype(int)
    monkeypatch.setattr(module, "SMOOTH", ())
    every = Renderer().render(ball, head, None, CAMERA, light, None).image.astype(int)
    assert np.abs(some - every).mean() < 0.3
    assert np.abs(some - every).max() < 12


def test_batches_of_any_size_and_both_kernels_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    surfaces, head, face = scene(3)
    background = np.full((64, 64, 3), 120, np.uint8)
    light = procedural_light(np.random.default_rng(0), "studio")
    one = fields(Renderer().render(surfaces, head, face, CAMERA, light, background))
    again = fields(Renderer().render(surfaces, head, face, CAMERA, light, background))
    monkeypatch.setitem(module.PIXELS_AT_ONCE, "cpu", 1)  # one frame after the other
    batched = fields(Renderer().render(surfaces, head, face, CAMERA, light, background))
    monkeypatch.setattr(module, "rasterise", rasterise_torch)
    monkeypatch.setattr(module, "interpolate", interpolate_torch)
    general = fields(Renderer().render(surfaces, head, face, CAMERA, light, background))
    for name, values in one.items():
        assert values.tobytes() == again[name].tobytes() == batched[name].tobytes(), name
        if values.dtype.kind == "f":
            assert np.allclose(values, general[name], atol=1e-5, equal_nan=True), name
        elif name == "image":
            assert np.abs(values.astype(int) - general[name]).max() <= 1
        else:
            assert (values == general[name]).all(), name


def test_landmarks_are_projected_vertices_and_know_what_hides_them() -> None:
    points, triangles, uv = sphere(7.0, 24)
    front, back, left, outside = (
        int(np.argmax(points @ np.array(direction)))
        for direction in ((0, 0, 1), (0, 0, -1), (-0.6, 0, 0.8), (0, 1, 0))
    )
    head = posed(points, turned(1))
    camera = Camera(CAMERA.eye, CAMERA.focal, (CAMERA.centre[0], 10.0), CAMERA.size)  # the top is cut off
    plate_points, plate, plate_uv = square(2.0, 9.0)
    surfaces = [
        surface("ball", triangles, uv),
        surface("plate", plate, plate_uv, "occluder", points=plate_points - np.float32([5, 0, 0])),
    ]
    face = topology(triangles, uv, np.array([front, back, left, outside]))
    out = Renderer().render(surfaces, head, face, camera, EVEN, None)
    expected = camera.project(head.vertices[0, [front, back, left, outside]])
    assert np.allclose(out.landmarks_68[0, :4], expected, atol=1e-3)
    assert out.visible_68[0, :4].tolist() == [True, False, False, False]
    assert out.landmarks_478.shape == (1, 478, 3) and out.visible_478[0, 4]
    alone = Renderer().render(surfaces[:1], head, face, camera, EVEN, None)
    assert alone.visible_68[0, :4].tolist() == [True, False, True, False]
    without = Renderer().render(surfaces, head, None, camera, EVEN, None)
    assert np.isnan(without.landmarks_68).all() and not without.visible_478.any()


def test_lens_tints_and_mirrors_but_leaves_the_truth_alone() -> None:
    points, triangles, uv = sphere(7.0)
    lens_points, lens, lens_uv = square(3.0, 9.0)
    head, bare = posed(points, turned(1)), [surface("ball", triangles, uv, texture=colour(200, 160, 140))]

    def with_lens(tint: np.ndarray, gloss: float) -> Rendered:
        glass = surface("glass", lens, lens_uv, "lens", tint, lens_points, gloss=gloss, roughness=0.05)
        return Renderer().render([*bare, glass], head, None, CAMERA, EVEN, None)

    without = Renderer().render(bare, head, None, CAMERA, EVEN, None)
    clear, dark = with_lens(colour(255, 255, 255, 0), 0.0), with_lens(colour(0, 0, 0, 128), 0.0)
    shiny = with_lens(colour(0, 0, 0, 128), 1.0)
    middle = (0, 32, 32)
    assert abs(int(clear.image[middle][0]) - int(without.image[middle][0])) <= 4
    assert dark.image[middle][0] < 0.8 * without.image[middle][0]
    assert shiny.image[middle][0] > dark.image[middle][0]
    for name in ("parts", "depth", "triangle", "uv"):
        assert np.array_equal(getattr(dark, name), getattr(without, name), equal_nan=name == "uv")
    assert (dark.image[0, 2] == without.image[0, 2]).all()


def test_two_sided_surfaces_show_a_lit_back() -> None:
    points, triangles, uv = square(4.0, 0.0)
    behind = triangles[:, ::-1]
    head = posed(sphere(0.1, 4)[0], turned(1))
    light = Light(np.zeros((9, 3), np.float32), np.array([0, 0, 1], np.float32), np.ones(3, np.float32))
    for two_sided in (False, True):
        leaf = surface("leaf", behind, uv, "clothing", points=points, two_sided=two_sided)
        out = Renderer().render([leaf], head, None, CAMERA, light, None)
        assert (out.triangle[0, 32, 32] >= 0) == two_sided
        if two_sided:
            assert out.normals[0, 32, 32, 2] > 0.99
            assert out.image[0, 32, 32].min() > 200


def test_errors_name_what_does_not_fit() -> None:
    surfaces, head, face = scene(1)
    with pytest.raises(InputError, match=r"background.*\(32, 64, 3\)"):
        Renderer().render(surfaces, head, face, CAMERA, EVEN, np.zeros((32, 64, 3), np.uint8))
    wrong = surface(
        "cap", np.array([[0, 1, 9]]), np.zeros((4, 2), np.float32), points=np.zeros((4, 3), np.float32)
    )
    with pytest.raises(InputError, match="'cap'"):
        Renderer().render([wrong], head, face, CAMERA, EVEN, None)
    with pytest.raises(InputError, match="supersample=0"):
        Renderer(supersample=0)


@pytest.mark.gpu
def test_gpu_sees_what_the_cpu_sees() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    surfaces, head, face = scene(3)
    light = procedural_light(np.random.default_rng(0), "studio")
    one = Renderer("cpu").render(surfaces, head, face, CAMERA, light, None)
    two = Renderer("cuda").render(surfaces, head, face, CAMERA, light, None)
    assert (one.triangle == two.triangle).mean() > 0.999
    assert np.abs(one.image.astype(int) - two.image).mean() < 0.1
