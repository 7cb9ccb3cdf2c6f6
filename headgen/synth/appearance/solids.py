"""Meshes of simple solids: tubes, plates, grids and capsules. Frame and unit are the caller's."""

from __future__ import annotations

import numpy as np


def grid_triangles(rows: int, columns: int, *, closed: bool = False) -> np.ndarray:
    """(F, 3) int32 triangles of a grid of vertices, row after row.

    Counter-clockwise seen from where rows grow downwards and columns to the right.

    Args:
        rows: of vertices.
        columns: of vertices.
        closed: whether the last column joins the first.
    """
    index = np.arange(rows * columns).reshape(rows, columns)
    if closed:
        index = np.concatenate([index, index[:, :1]], 1)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    pairs = [np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)]
    return np.concatenate(pairs).astype(np.int32)


def grid_uv(rows: int, columns: int) -> np.ndarray:
    """(rows * columns, 2) float32 texture places over the whole picture."""
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    return np.stack([u, v], -1).reshape(-1, 2).astype(np.float32)


def tube(
    line: np.ndarray,
    radii: np.ndarray | float,
    *,
    sides: int = 8,
    closed: bool = False,
    up: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A tube around a line.

    Args:
        line: (S, 3).
        radii: one, (S,), or (S, 2): half width across and along `up`.
        sides: of its cross-section.
        closed: whether the line is a ring; otherwise the ends are covered.
        up: (3,) or (S, 3) direction that the second radius follows; upright by default.

    Returns:
        points (P, 3) and triangles (F, 3), facing outwards.
    """
    line = np.asarray(line, np.float64)
    steps = len(line)
    along = np.roll(line, -1, 0) - np.roll(line, 1, 0) if closed else np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-12
    upward = np.broadcast_to(np.array([0.0, 1.0, 0.0]) if up is None else up, line.shape)
    across = np.cross(along, upward)
    weak = np.linalg.norm(across, axis=1) < 1e-3
    across[weak] = np.cross(along[weak], [0.0, 0.0, 1.0])
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-12
    upward = np.cross(across, along)
    radius = np.asarray(radii, np.float64)
    radius = np.broadcast_to(radius[..., None] if radius.ndim < 2 else radius, (steps, 2))
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = (
        np.cos(turn)[None, :, None] * across[:, None] * radius[:, :1, None]
        + np.sin(turn)[None, :, None] * upward[:, None] * radius[:, 1:, None]
    )
    points = (line[:, None] + ring).reshape(-1, 3)
    if closed:
        points = np.concatenate([points, points[:sides]])
        return points, grid_triangles(steps + 1, sides, closed=True)
    triangles = grid_triangles(steps, sides, closed=True)
    first, last = len(points), len(points) + 1
    ring0, ring1 = np.arange(sides), (steps - 1) * sides + np.arange(sides)
    caps = np.concatenate(
        [
            np.stack([np.full(sides, first), ring0, np.roll(ring0, -1)], 1),
            np.stack([np.full(sides, last), np.roll(ring1, -1), ring1], 1),
        ]
    )
    points = np.concatenate([points, line[:1], line[-1:]])
    return points, np.concatenate([triangles, caps]).astype(np.int32)


def capsule(
    start: np.ndarray, end: np.ndarray, r0: float, r1: float, *, sides: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """A cone with round ends from start to end (3,): points (P, 3) and triangles (F, 3)."""
    axis = end - start
    length = float(np.linalg.norm(axis))
    axis = axis / (length + 1e-12)
    angles = np.linspace(-np.pi / 2, 0, 5)
    low = [(r0 * np.sin(a), r0 * np.cos(a)) for a in angles]
    high = [(length + r1 * np.sin(-a), r1 * np.cos(a)) for a in angles[::-1]]
    profile = np.array(low + high)
    line = start + profile[:, :1] * axis
    side = np.cross(axis, [0.0, 0.0, 1.0])
    if np.linalg.norm(side) < 1e-3:
        side = np.cross(axis, [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    other = np.cross(side, axis)
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * other
    points = line[:, None] + np.maximum(profile[:, 1], 1e-4)[:, None, None] * ring
    return points.reshape(-1, 3), grid_triangles(len(profile), sides, closed=True)


def joined(meshes: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Several meshes (points, triangles) as one."""
    points, triangles, count = [], [], 0
    for more, faces in meshes:
        points.append(more)
        triangles.append(faces + count)
        count += len(more)
    return np.concatenate(points), np.concatenate(triangles).astype(np.int32)
