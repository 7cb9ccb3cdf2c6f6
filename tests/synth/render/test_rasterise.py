import numpy as np
import pytest
import torch
from render_shapes import WHITE, sphere, surface

from headgen.synth.render.assembly import Assembly
from headgen.synth.render.rasterise import Mesh, rasterise, rasterise_torch
from headgen.synth.render.texture import Atlas


def mesh_of(
    triangles: np.ndarray, uv: np.ndarray, texture: np.ndarray = WHITE, two_sided: bool = False
) -> Mesh:
    assembly = Assembly.of([surface("shape", triangles, uv, texture=texture, two_sided=two_sided)], len(uv))
    atlas = Atlas([texture], [0], torch.device("cpu"))
    number = torch.from_numpy(assembly.surface)
    return Mesh(
        torch.from_numpy(assembly.triangles),
        torch.from_numpy(assembly.corner_uv),
        torch.from_numpy(assembly.two_sided),
        number,
        atlas,
        drawn=torch.ones(len(triangles), dtype=torch.bool),
        cutout=atlas.cutout[number],
    )


def soup(rng: np.random.Generator, count: int) -> tuple[torch.Tensor, np.ndarray]:
    """Random triangles, some far outside, thin, behind the camera or exactly on the grid."""
    points = rng.uniform(-20, 84, (2, 3 * count, 3))
    points[..., 2] = rng.uniform(20, 60, points.shape[:2])
    points[:, ::7, :2] = np.round(points[:, ::7, :2])
    points[:, ::41, 2] = -3.0
    points[:, 30:33, 0] = points[:, 30:31, 0]
    return torch.from_numpy(points), np.arange(3 * count).reshape(-1, 3)


@pytest.mark.parametrize("two_sided", [False, True])
def test_both_implementations_see_the_same(two_sided: bool) -> None:
    rng = np.random.default_rng(0)
    points, triangles = soup(rng, 400)
    texture = np.full((9, 7, 4), 255, np.uint8)
    texture[..., 3] = rng.integers(0, 256, (9, 7))
    uv = rng.uniform(-0.1, 1.1, (len(points[0]), 2)).astype(np.float32)
    mesh = mesh_of(triangles, uv, texture, two_sided)
    triangle, inverse = rasterise(points, mesh, (50, 64))
    other, other_inverse = rasterise_torch(points, mesh, (50, 64))
    assert torch.equal(triangle, other)
    assert torch.equal(inverse, other_inverse)
    assert 0.3 < (triangle >= 0).float().mean() <= 1
    assert len(torch.unique(triangle)) > 50


def test_a_grid_of_triangles_covers_each_point_once() -> None:
    # corners on grid points and between: every point of the square must belong to exactly one triangle
    steps = np.arange(0, 33, 2.5)
    x, y = np.meshgrid(steps, steps)
    flat = np.stack([x.ravel(), y.ravel(), np.full(x.size, 50.0)], -1)
    n = len(steps)
    a = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    triangles = np.concatenate([np.stack([a, a + n, a + n + 1], 1), np.stack([a, a + n + 1, a + 1], 1)])
    uv = np.zeros((len(flat), 2), np.float32)
    count = np.zeros((34, 34), int)
    for triangle in triangles:
        seen, _ = rasterise(torch.from_numpy(flat[None]), mesh_of(triangle[None], uv), (34, 34))
        count += (seen[0] >= 0).numpy()
    inside = np.zeros_like(count)
    inside[:33, :33] = 1  # the last column and row of corners, at 32.5, end between points
    assert (count == inside).all()


def test_nearer_surfaces_win_and_backs_are_not_drawn() -> None:
    points, triangles, uv = sphere(10)
    placed = torch.from_numpy(points[None].astype(np.float64)) * torch.tensor([2.0, -2.0, -1.0]) + 40
    mesh = mesh_of(triangles, uv)
    triangle, inverse = rasterise(placed, mesh, (80, 80))
    y, x = np.nonzero(triangle[0].numpy() >= 0)
    depth = 1 / inverse[0].numpy()[y, x]
    flat = np.hypot(x - 40, y - 40) / 2
    expected = 40 - np.sqrt(np.maximum(100 - flat**2, 0))
    inner = flat < 9
    assert np.abs(depth - expected)[inner].max() < 0.15  # facets are flat
    assert abs(len(x) - np.pi * 400) < 20
    behind, _ = rasterise(placed, mesh_of(triangles[:, ::-1], uv), (80, 80))
    far = 1 / rasterise(placed, mesh_of(triangles[:, ::-1], uv), (80, 80))[1][0, 40, 40]
    assert (behind[0, 40, 40] >= 0) and far > 45  # turned inside out one looks at the far half


def test_cut_out_texture_leaves_holes() -> None:
    texture = np.full((4, 4, 4), 255, np.uint8)
    texture[:, 2:, 3] = 0
    points = torch.tensor([[[0.0, 0, 50], [0, 31, 50], [31, 31, 50], [31, 0, 50]]], dtype=torch.float64)
    uv = np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    seen, _ = rasterise(points, mesh_of(triangles, uv, texture), (32, 32))
    assert (seen[0, 1:30, 1:15] >= 0).all()
    assert (seen[0, 1:30, 17:] < 0).all()
