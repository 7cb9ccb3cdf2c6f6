"""Surfaces that move with more than one joint: along with the skin, or on a path of their own.

Their vertices are their own, and `placed` says where they are in each frame.

Legend: T frames, N vertices of the surface, V of the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.spatial import cKDTree

from headgen.synth.heads.model import PosedHead, Surface


def _none() -> np.ndarray:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class SkinSurface(Surface):
    """Something that lies on the skin and deforms with it: beard, brows, a face mask.

    Attributes:
        vertices: (N,) numbers of the head's vertices; `triangles` and `uv` count these.
        lift: cm in front of the skin along its normal, one or (N,).
    """

    vertices: np.ndarray = field(default_factory=_none, repr=False)
    lift: float | np.ndarray = 0.0

    @property
    def own_vertices(self) -> int:
        """How many vertices it has."""
        return len(self.vertices)

    def placed(self, head: PosedHead) -> np.ndarray:
        """(T, N, 3) float32 vertices on a posed head."""
        lift = np.broadcast_to(np.asarray(self.lift, np.float32), len(self.vertices))
        points = head.vertices[:, self.vertices] + lift[:, None] * head.normals[:, self.vertices]
        return points.astype(np.float32)

    def facing(self, head: PosedHead) -> np.ndarray:
        """(T, N, 3) float32 normals: the skin's."""
        return head.normals[:, self.vertices].astype(np.float32)


@dataclass(frozen=True)
class BoundSurface(Surface):
    """Something with a shape of its own that gives way to the face below: a mask over mouth and nose.

    Attributes:
        anchors: (N, K) numbers of the head's vertices that each vertex follows.
        weights: (N, K) how much, summing up to 1.
        offset: (N, 3) cm from their mean in the neutral head; it turns with the head.
    """

    anchors: np.ndarray = field(default_factory=_none, repr=False)
    weights: np.ndarray = field(default_factory=_none, repr=False)
    offset: np.ndarray = field(default_factory=_none, repr=False)

    @property
    def own_vertices(self) -> int:
        """How many vertices it has."""
        return len(self.anchors)

    @classmethod
    def bind(
        cls,
        name: str,
        points: np.ndarray,
        triangles: np.ndarray,
        uv: np.ndarray,
        material: str,
        texture: np.ndarray,
        neutral: np.ndarray,
        candidates: np.ndarray,
        *,
        reach: float = 1.2,
        count: int = 16,
        gloss: float = 0.05,
    ) -> BoundSurface:
        """Binds points to a neutral head.

        Args:
            name: of the surface.
            points: (N, 3) cm around the neutral head.
            triangles: (F, 3).
            uv: (N, 2).
            material: one of `MATERIALS`.
            texture: (H, W, 4) uint8.
            neutral: (V, 3) vertices of the head.
            candidates: numbers of the vertices that may be followed (skin).
            reach: cm over which movements of the skin are smoothed.
            count: K.
            gloss: of the surface.
        """
        distance, near = cKDTree(neutral[candidates]).query(points, k=count)
        weights = np.exp(-0.5 * ((distance - distance[:, :1]) / reach) ** 2)
        weights /= weights.sum(1, keepdims=True)
        anchors = np.asarray(candidates)[near]
        offset = points - (weights[..., None] * neutral[anchors]).sum(1)
        return cls(
            name,
            triangles.astype(np.int32),
            uv.astype(np.float32),
            material,
            texture,
            gloss=gloss,
            roughness=0.8,
            two_sided=True,
            anchors=anchors,
            weights=weights.astype(np.float32),
            offset=offset.astype(np.float32),
        )

    def placed(self, head: PosedHead) -> np.ndarray:
        """(T, N, 3) float32 vertices on a posed head."""
        followed = np.einsum("nk,tnkj->tnj", self.weights, head.vertices[:, self.anchors])
        turned = np.einsum("tij,nj->tni", head.head_transform[..., :3], self.offset)
        return (followed + turned).astype(np.float32)


@dataclass(frozen=True)
class MovingSurface(Surface):
    """Something rigid or not that moves by itself: a hand, a cup.

    Attributes:
        path: (T, N, 3) float32 vertices in each frame, in the frame of the neutral head's head or torso
            (`rigid`), cm. `points` holds the first frame.
    """

    path: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 3), np.float32), repr=False)

    def placed(self, head: PosedHead) -> np.ndarray:
        """(T, N, 3) float32 vertices; the head has as many frames as the path.

        Raises:
            ValueError: another number of frames.
        """
        if len(head) != len(self.path):
            raise ValueError(
                f"surface {self.name!r} moves for {len(self.path)} frames, the head for {len(head)}: "
                "take part of the path with `during`"
            )
        transform = head.head_transform if self.rigid == "head" else head.torso_transform
        turned = np.einsum("tij,tvj->tvi", transform[..., :3], self.path)
        return (turned + transform[:, None, :, 3]).astype(np.float32)

    def during(self, frames: slice | Sequence[int] | np.ndarray) -> MovingSurface:
        """The surface in some of its frames."""
        path = self.path[frames]
        return replace(self, path=path, points=path[0])


def on_skin(
    name: str,
    vertices: np.ndarray,
    triangles: np.ndarray,
    uv: np.ndarray,
    material: str,
    texture: np.ndarray,
    lift: float | np.ndarray,
    *,
    gloss: float = 0.1,
    roughness: float = 0.6,
) -> SkinSurface:
    """A `SkinSurface` of some of the head's triangles.

    Args:
        name: of the surface.
        vertices: (V,) not used beyond their number: the head's.
        triangles: (F, 3) of the head that belong to it.
        uv: (V, 2) texture places of the head's vertices for this surface.
        material: one of `MATERIALS`.
        texture: (H, W, 4) uint8.
        lift: cm, one or (V,).
        gloss: of the surface.
        roughness: of the highlight.
    """
    used, inverse = np.unique(triangles, return_inverse=True)
    height = np.broadcast_to(np.asarray(lift, np.float32), len(vertices))[used]
    return SkinSurface(
        name,
        inverse.reshape(-1, 3).astype(np.int32),
        uv[used].astype(np.float32),
        material,
        texture,
        gloss=gloss,
        roughness=roughness,
        vertices=used,
        lift=height,
    )
