"""Surfaces put together for drawing: one list of triangles, and all vertices of a posed head and its things.

Legend: T frames, V vertices of the head, W vertices of all (the head's first), F triangles, S surfaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headgen.errors import InputError
from headgen.synth.heads.model import MATERIALS, PARTS, PosedHead, Surface

STRANDS = ("hair", "brows", "beard", "lashes")
"""Materials whose highlight runs across the strands."""


@dataclass(frozen=True)
class Assembly:
    """What surfaces look like whatever the pose.

    Attributes:
        surfaces: in the order in which their triangles are numbered.
        head_vertices: V.
        triangles: (F, 3) int32 into the W vertices.
        corner_uv: (F, 3, 2) float32.
        surface: (F,) int64 surface of each triangle.
        part: (S,) uint8 number in `PARTS` of each surface.
        two_sided: (F,) bool.
        lens: (F,) bool, transparent: drawn as a layer of its own.
        first: (S,) first vertex of each surface among the W, 0 for those that share the head's.
        rest_normals: per surface (P, 3) float32 in the neutral head's frame, None where the head's own count.
        rest_strands: per surface (P, 3) float32 direction of its strands, None for other materials.
    """

    surfaces: tuple[Surface, ...]
    head_vertices: int
    triangles: np.ndarray
    corner_uv: np.ndarray
    surface: np.ndarray
    part: np.ndarray
    two_sided: np.ndarray
    lens: np.ndarray
    first: tuple[int, ...]
    rest_normals: tuple[np.ndarray | None, ...]
    rest_strands: tuple[np.ndarray | None, ...]

    @classmethod
    def of(cls, surfaces: Sequence[Surface], head_vertices: int) -> Assembly:
        """Puts surfaces together.

        Raises:
            InputError: a surface whose triangles or UV do not go with its vertices.
        """
        first, triangles, corner_uv = [], [], []
        normals: list[np.ndarray | None] = []
        strands: list[np.ndarray | None] = []
        count = head_vertices
        for surface in surfaces:
            shared = surface.own_vertices is None
            own = head_vertices if surface.own_vertices is None else surface.own_vertices
            if len(surface.uv) != own or (len(surface.triangles) and surface.triangles.max() >= own):
                raise InputError(
                    f"surface {surface.name!r} has {len(surface.uv)} texture places and triangles up to "
                    f"vertex {surface.triangles.max(initial=-1)} for {own} vertices; give a place per vertex"
                )
            first.append(0 if shared else count)
            triangles.append(surface.triangles.astype(np.int32) + first[-1])
            corner_uv.append(surface.uv[surface.triangles].astype(np.float32))
            if shared:
                normals.append(None)
                strands.append(None)
            elif surface.points is None:
                normals.append(None)
                strands.append(None)
                count += own
            else:
                normals.append(vertex_normals(surface.points, surface.triangles))
                along = surface.material in STRANDS
                strands.append(strand_directions(surface) if along else None)
                count += own
        sizes = [len(t) for t in triangles]
        number = np.repeat(np.arange(len(surfaces)), sizes)

        def each(values: list[bool]) -> np.ndarray:
            return np.repeat(np.array(values, bool), sizes)

        return cls(
            tuple(surfaces),
            head_vertices,
            np.concatenate([*triangles, np.zeros((0, 3), np.int32)]),
            np.concatenate([*corner_uv, np.zeros((0, 3, 2), np.float32)]),
            number,
            np.array([PARTS.index(MATERIALS[s.material]) for s in surfaces], np.uint8),
            each([s.two_sided for s in surfaces]),
            each([s.material == "lens" for s in surfaces]),
            tuple(first),
            tuple(normals),
            tuple(strands),
        )

    def placed(self, head: PosedHead, frames: slice) -> tuple[np.ndarray, np.ndarray]:
        """Vertices and normals (T, W, 3) float32 of some frames of a posed head."""
        points, normals = [head.vertices[frames]], [head.normals[frames]]
        for surface, rest in zip(self.surfaces, self.rest_normals, strict=True):
            if surface.own_vertices is None:
                continue
            if type(surface) is Surface and rest is not None:
                transform = _transform(surface, head)[frames]
                assert surface.points is not None
                moved = surface.points.astype(np.float32) @ transform[..., :3].transpose(0, 2, 1)
                points.append(moved + transform[:, None, :, 3])
                normals.append(rest @ transform[..., :3].transpose(0, 2, 1))
                continue
            part = head[frames]
            there = surface.during(frames)
            points.append(there.placed(part))
            facing = there.facing(part)
            if facing is None:
                facing = np.stack([vertex_normals(p, surface.triangles) for p in points[-1]])
            normals.append(facing)
        if len(points) == 1:
            return points[0].astype(np.float32), normals[0].astype(np.float32)
        return (
            np.concatenate(points, 1).astype(np.float32),
            np.concatenate(normals, 1).astype(np.float32),
        )

    def strands(self, head: PosedHead, frames: slice) -> np.ndarray | None:
        """(T, W, 3) float32 directions of strands, zero where there are none; None without strands."""
        if all(rest is None for rest in self.rest_strands):
            return None
        count = self.head_vertices + sum(s.own_vertices or 0 for s in self.surfaces)
        transforms = head.head_transform[frames]
        out = np.zeros((len(transforms), count, 3), np.float32)
        for surface, start, rest in zip(self.surfaces, self.first, self.rest_strands, strict=True):
            if rest is not None:
                turn = _transform(surface, head)[frames][..., :3]
                out[:, start : start + len(rest)] = rest @ turn.transpose(0, 2, 1)
        return out


def _transform(surface: Surface, head: PosedHead) -> np.ndarray:
    return head.head_transform if surface.rigid == "head" else head.torso_transform


def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) float32 unit normals, weighted by area; vertices at one place (seams) share theirs."""
    keys = np.round(points.astype(np.float64) * 1e4).astype(np.int64)
    _, place = np.unique(keys, axis=0, return_inverse=True)
    place = place.reshape(-1)
    corners = points[triangles].astype(np.float64)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros((place.max(initial=-1) + 1, 3))
    for corner in range(3):
        index = place[triangles[:, corner]]
        for axis in range(3):
            total[:, axis] += np.bincount(index, across[:, axis], len(total))
    return _unit(total[place])


def strand_directions(surface: Surface) -> np.ndarray:
    """(V, 3) float32 unit directions in which v of the texture grows: hair strips run along it."""
    assert surface.points is not None
    corners = surface.points[surface.triangles].astype(np.float64)
    uv = surface.uv[surface.triangles].astype(np.float64)
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    (u1, v1), (u2, v2) = (uv[:, 1] - uv[:, 0]).T, (uv[:, 2] - uv[:, 0]).T
    turned = u1 * v2 - u2 * v1
    along = (edge2 * u1[:, None] - edge1 * u2[:, None]) * np.sign(turned)[:, None]
    total = np.zeros((len(surface.points), 3))
    for corner in range(3):
        for axis in range(3):
            total[:, axis] += np.bincount(surface.triangles[:, corner], along[:, axis], len(total))
    return _unit(total)


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(length, 1e-12)).astype(np.float32)
