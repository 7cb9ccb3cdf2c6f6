"""From triangle numbers on a grid of points to surface points: place, texture place, normal, light.

A grid of scale s has s points per pixel and direction; every pixel's centre is one of them, so that ground
truth and colour come from one pass over the triangles. Values of samples are stored channel by channel, as a
CPU's vector instructions want them.

Legend: T frames, W vertices, F triangles, A attributes, N samples, H x W pixels, G x K grid points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headgen.synth.render.rasterise import SNAP, Mesh, edge_weights, edges, njit, snap
from headgen.synth.render.scene import Camera


@dataclass(frozen=True)
class Samples:
    """Points of surfaces.

    Attributes:
        frame: (N,) int64.
        triangle: (N,) int64.
        surface: (N,) int64.
        barycentric: (3, N) float32, perspective-correct, from 0 to 1.
        depth: (N,) float32 cm.
        place: (2, N) float32 u, v in pixels of the picture.
        uv: (2, N) float32.
        normal: (3, N) float32 unit vectors; towards the camera on two-sided surfaces.
        light: (N,) float32 share of the light around that reaches the point.
        strand: (3, N) float32 direction of strands, zero where there are none; None without strands.
    """

    frame: Tensor
    triangle: Tensor
    surface: Tensor
    barycentric: Tensor
    depth: Tensor
    place: Tensor
    uv: Tensor
    normal: Tensor
    light: Tensor
    strand: Tensor | None

    def first(self, count: int) -> Samples:
        """The first ones."""
        values = (None if value is None else value[..., :count] for value in vars(self).values())
        return Samples(*values)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Grid:
    """Points of the picture at which surfaces are seen: at every multiple of 1 / s pixel.

    Attributes:
        scale: s.
        size: (G, K) = (s (H + 1) - 1, s (W + 1) - 1); pixel (0, 0) has its centre at point (s - 1, s - 1).
        points: (T, W, 3) float64 vertices in units of the grid, depth in cm.
    """

    scale: int
    size: tuple[int, int]
    points: Tensor

    def centres(self, values: Tensor) -> Tensor:
        """(T, H, W) view of values (T, G, K) at the pixels' centres."""
        s = self.scale
        return values[:, s - 1 : self.size[0] - s + 1 : s, s - 1 : self.size[1] - s + 1 : s]


def project(points: Tensor, camera: Camera) -> Tensor:
    """(T, W, 3) float64 u, v in pixels and depth in cm, as `Camera.project`."""
    x, y, z = points.double().unbind(-1)
    ex, ey, ez = camera.eye
    depth = ez - z
    scale = camera.focal / depth
    u = camera.centre[0] + scale * (x - ex)
    v = camera.centre[1] - scale * (y - ey)
    return torch.stack([u, v, depth], -1)


def grid(projected: Tensor, camera: Camera, scale: int) -> Grid:
    """A grid of `scale` points per pixel and direction over projected vertices."""
    height, width = camera.size
    points = projected.clone()
    points[..., :2] = projected[..., :2] * scale + (scale - 1)
    return Grid(scale, (scale * (height + 1) - 1, scale * (width + 1) - 1), points)


def unhidden(points: Tensor, inverse: Tensor, where: Grid, tolerance: float) -> Tensor:
    """Whether projected points lie inside the picture and not behind what is seen around them.

    Args:
        points: (T, N, 3) u, v in pixels, depth in cm.
        inverse: (T, G, K) inverse depth of what is seen on a grid.
        where: the grid.
        tolerance: cm that a point may lie deeper than the deepest of the four grid points around it.

    Returns:
        (T, N) bool.
    """
    (rows, columns), s = where.size, where.scale
    x, y = points[..., 0] * s + (s - 1), points[..., 1] * s + (s - 1)
    inside = (x >= s / 2 - 1) & (x < columns - s / 2) & (y >= s / 2 - 1) & (y < rows - s / 2)
    frame = torch.arange(len(points), device=points.device)[:, None]
    left, top = (c.floor().nan_to_num(0) for c in (x, y))
    deepest = torch.zeros_like(x)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, row = (left + dx).clamp(0, columns - 1).long(), (top + dy).clamp(0, rows - 1).long()
        deepest = torch.maximum(deepest, 1 / inverse[frame, row, column])
    return inside & (points[..., 2] <= deepest + tolerance)


def interpolate(
    grid: Grid,
    where: Tensor,
    triangle: Tensor,
    mesh: Mesh,
    attributes: Tensor,
    crease: Tensor,
    depth: Tensor,
) -> Samples:
    """Surface points seen at grid points.

    Args:
        grid: the grid.
        where: (N,) flat numbers of grid points over all frames.
        triangle: (N,) int64 triangle seen at each.
        mesh: the triangles.
        attributes: (T, W, 3 or 6) float32 normal and, if anything has them, direction of strands.
        crease: (T, H, W) float32 light in creases at the pixels' centres. A point takes that of the pixel
            around it which is nearest in depth, so that edges stay sharp.
        depth: (T, H, W) float32 cm at the pixels' centres.
    """
    how = _interpolate_numba if where.device.type == "cpu" else interpolate_torch
    return how(grid, where, triangle, mesh, attributes, crease, depth)


def interpolate_torch(
    grid: Grid,
    where: Tensor,
    triangle: Tensor,
    mesh: Mesh,
    attributes: Tensor,
    crease: Tensor,
    depth: Tensor,
) -> Samples:
    """The same on any device; see `interpolate`."""
    points, (height, width), s = grid.points, grid.size, grid.scale
    frame = torch.div(where, height * width, rounding_mode="floor")
    y = torch.div(where, width, rounding_mode="floor") - frame * height
    x = where % width
    flat = (mesh.triangles[triangle] + (frame * points.shape[1])[:, None]).view(-1)
    corners = snap(points.view(-1, 3)[flat]).view(-1, 3, 3)
    right, down, area = edges(corners)
    weights, total = edge_weights(corners, right, down, x, y)
    share = weights * corners[..., 2] / total[:, None]
    uv = (mesh.corner_uv[triangle] * share[..., None]).sum(1).float()
    values = attributes.view(-1, attributes.shape[-1])[flat].view(len(x), 3, -1)
    values = (values * share[..., None]).sum(1).float().t().contiguous()
    length = values[:3].norm(dim=0).clamp(min=1e-9)
    values[:3] /= torch.where(mesh.two_sided[triangle] & (area < 0), -length, length)
    u, v = (x - (s - 1)) / s, (y - (s - 1)) / s
    own = area.abs() / total
    light, apart = torch.zeros_like(own, dtype=torch.float32), torch.full_like(own, torch.inf)
    rows, columns = depth.shape[1:]
    for down_by, right_by in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row = (v.floor().long() + down_by).clamp(0, rows - 1)
        column = (u.floor().long() + right_by).clamp(0, columns - 1)
        distance = (depth[frame, row, column] - own).abs()
        light = torch.where(distance < apart, crease[frame, row, column], light)
        apart = torch.minimum(distance, apart)
    return Samples(
        frame,
        triangle,
        mesh.surface[triangle],
        share.float().t().contiguous(),
        own.float(),
        torch.stack([u, v]).float(),
        uv.t().contiguous(),
        values[:3],
        light,
        values[3:] if len(values) > 3 else None,
    )


def _interpolate_numba(
    grid: Grid,
    where: Tensor,
    triangle: Tensor,
    mesh: Mesh,
    attributes: Tensor,
    crease: Tensor,
    depth: Tensor,
) -> Samples:
    """The same on one core, in one pass; see `interpolate`."""
    count, width = len(where), attributes.shape[2]
    frame, share, deep = (
        np.empty(count, np.int64),
        np.empty((3, count), np.float32),
        np.empty(count, np.float32),
    )
    place, uv = np.empty((2, count), np.float32), np.empty((2, count), np.float32)
    values, light = np.empty((width, count), np.float32), np.zeros(count, np.float32)
    _interpolate(
        grid.points.numpy(),
        grid.size[0],
        grid.size[1],
        grid.scale,
        mesh.triangles.numpy(),
        mesh.two_sided.numpy(),
        mesh.corner_uv.numpy(),
        attributes.numpy(),
        crease.numpy(),
        depth.numpy(),
        where.numpy(),
        triangle.numpy(),
        frame,
        share,
        deep,
        place,
        uv,
        light,
        values,
    )
    strands = torch.from_numpy(values[3:]) if width > 3 else None
    surface = mesh.surface.index_select(0, triangle)
    return Samples(
        torch.from_numpy(frame),
        triangle,
        surface,
        torch.from_numpy(share),
        torch.from_numpy(deep),
        torch.from_numpy(place),
        torch.from_numpy(uv),
        torch.from_numpy(values[:3]),
        torch.from_numpy(light),
        strands,
    )


@njit(cache=True, nogil=True)
def _interpolate(  # type: ignore[no-untyped-def]
    points, rows, columns, scale, triangles, two_sided, corner_uv, attributes, crease, depth, where, triangle,
    frame, share, deep, place, uv, light, values,
):  # fmt: skip
    """See `interpolate`."""
    width = attributes.shape[2]
    mixed = np.empty(width)
    for n in range(len(where)):
        t, rest = divmod(where[n], rows * columns)
        row, column = divmod(rest, columns)
        f = triangle[n]
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ax, ay = np.rint(points[t, a, 0] * SNAP), np.rint(points[t, a, 1] * SNAP)
        bx, by = np.rint(points[t, b, 0] * SNAP), np.rint(points[t, b, 1] * SNAP)
        cx, cy = np.rint(points[t, c, 0] * SNAP), np.rint(points[t, c, 1] * SNAP)
        x, y = column * SNAP, row * SNAP
        wa = (cy - by) * (x - bx) + (bx - cx) * (y - by)
        wb = (ay - cy) * (x - cx) + (cx - ax) * (y - cy)
        wc = (by - ay) * (x - ax) + (ax - bx) * (y - ay)
        area = wa + wb + wc
        wa, wb, wc = wa / points[t, a, 2], wb / points[t, b, 2], wc / points[t, c, 2]
        total = wa + wb + wc
        wa, wb, wc = wa / total, wb / total, wc / total
        share[0, n], share[1, n], share[2, n] = wa, wb, wc
        deep[n] = area / total
        for k in range(2):
            uv[k, n] = wa * corner_uv[f, 0, k] + wb * corner_uv[f, 1, k] + wc * corner_uv[f, 2, k]
        for k in range(width):
            mixed[k] = wa * attributes[t, a, k] + wb * attributes[t, b, k] + wc * attributes[t, c, k]
        length = max(np.sqrt(mixed[0] ** 2 + mixed[1] ** 2 + mixed[2] ** 2), 1e-9)
        if two_sided[f] and area < 0:
            length = -length
        u, v = (column - (scale - 1)) / scale, (row - (scale - 1)) / scale
        apart = np.inf
        for k in range(4):
            py = min(max(int(np.floor(v)) + k // 2, 0), depth.shape[1] - 1)
            px = min(max(int(np.floor(u)) + k % 2, 0), depth.shape[2] - 1)
            distance = abs(depth[t, py, px] - area / total)
            if distance < apart:
                apart = distance
                light[n] = crease[t, py, px]
        frame[n] = t
        place[0, n], place[1, n] = u, v
        for k in range(width):
            values[k, n] = mixed[k] / length if k < 3 else mixed[k]
