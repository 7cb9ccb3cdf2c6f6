"""Shadows of the sun, by a picture taken from where it stands.

The picture shows the sides that are turned away from the sun: what is lit then lies well before what the map
holds and cannot shade itself, and skin just beyond the edge of the light keeps its glow.

Legend: T frames, W vertices, N samples, G points along a side of the map.
"""

from __future__ import annotations

import torch
from torch import Tensor

from headgen.synth.render.rasterise import Mesh, rasterise

DISTANCE = 1000.0  # cm: the sun's rays are nearly parallel
REACH = 24.0  # cm around the world's origin that the map holds: head and neck
SIDE = 288  # points of the map's side
BIAS, BEYOND = 0.06, 1.0
"""Depth in cm by which a point must lie behind what the map holds: where it faces the sun, and beyond the
edge of the light, where the map holds the point's own surface."""
EDGE = (0.3, -0.05)  # cosines to the sun between which the one goes over into the other
LIFT = 0.05  # cm that points are lifted off their surface


class Shadow:
    """Which points of some frames the sun reaches."""

    def __init__(self, points: Tensor, mesh: Mesh, sun: Tensor) -> None:
        """Takes the sun's pictures.

        Args:
            points: (T, W, 3) vertices, world.
            mesh: what casts shadows.
            sun: (3,) unit vector towards the sun.
        """
        up = sun.new_tensor([0.0, 1.0, 0.0] if abs(float(sun[1])) < 0.9 else [0.0, 0.0, 1.0])
        right = torch.linalg.cross(up, sun)
        right = right / right.norm()
        # mirrored, so that the rasteriser leaves out what faces the sun
        self._axes = torch.stack([-right, -torch.linalg.cross(sun, right), -sun])  # rows
        seen = torch.stack(self._seen(points.movedim(-1, 0).double()), -1)
        self._inverse = rasterise(seen.contiguous(), mesh, (SIDE, SIDE))[1]

    def _seen(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Column and row on the map and distance from the sun of world points (3, ...)."""
        x, y, z = points
        u, v, depth = (
            axis[0].to(x.dtype) * x + axis[1].to(x.dtype) * y + axis[2].to(x.dtype) * z for axis in self._axes
        )
        depth = depth + DISTANCE
        scale = (SIDE / 2 / REACH * DISTANCE) / depth
        return u * scale + (SIDE - 1) / 2, v * scale + (SIDE - 1) / 2, depth

    def __call__(self, frame: Tensor, points: Tensor, normals: Tensor) -> Tensor:
        """(N,) share of the sun that reaches points (3, N) with normals (3, N) in frames (N,)."""
        u, v, depth = self._seen(points + LIFT * normals)
        flat, first = self._inverse.view(-1), (frame * (SIDE * SIDE)).int()
        facing = -(self._axes[2] @ normals)
        beyond = ((EDGE[0] - facing) / (EDGE[0] - EDGE[1])).clamp(0, 1)
        farthest = 1 / (depth - (BIAS + (BEYOND - BIAS) * beyond * beyond))
        lit = torch.zeros_like(depth)
        column, row = u.round(), v.round()
        across, down = _spline(u - column), _spline(v - row)
        columns = [(column + (d - 1)).clamp_(0, SIDE - 1).int() for d in range(3)]
        for dy in range(3):
            start = (row + (dy - 1)).clamp_(0, SIDE - 1).int() * SIDE + first
            for dx in range(3):
                reached = flat.index_select(0, start + columns[dx]) <= farthest
                lit += reached * (across[dx] * down[dy])
        return lit


def _spline(offset: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights of the three points around a place (quadratic B-spline): shadows end softly between points."""
    return 0.5 * (0.5 - offset) ** 2, 0.75 - offset**2, 0.5 * (0.5 + offset) ** 2
