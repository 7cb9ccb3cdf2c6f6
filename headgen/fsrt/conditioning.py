"""What fsrt-small is told about a face: dense maps drawn from its landmarks, and a few scalars.

Our design: the paper conditions its queries on ten learnt key points and a learnt expression vector.  The
small model takes both from the face tracker, which already works on real faces: each grid pixel is told
where it lies on the mean face (canonical coordinates), which part it belongs to, and where the face mesh
says that it comes from in the source (the *prior* flow).  Outside of the mesh a ring of points that turn
with the skull carries hair and ears, and a static ring beyond it ends the motion.

Shapes: G grid size, P = 8 map channels, V = 478 + 72 vertices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from headgen.faces import mesh

GRID = 128
"""Pixels a side of the maps; the crop that they describe spans [-1, 1] in x and y."""
MAP_CHANNELS = 8
"""Canonical x, y, z; face, mouth interior, eye opening, lips, iris (coverage 0..1)."""

_RING_HEAD, _RING_STILL = 1.35, 2.05  # radii, in those of the face oval
_RING_DEPTH = -0.5  # canonical z of the hair around the face, as rendered people's moves
_TOLD_HEAD, _TOLD_DEPTH = 1.5, -0.8  # of the ring in the maps: the network was trained with these
_RING_HEART = np.array([0.0, -0.3])  # centre of the oval, canonical x and y
_NECK_SHARE = 0.25  # of the head's motion that the neck straight below the chin takes part in


def _rings(frontal: NDArray, head: float = _RING_HEAD, depth: float = _RING_DEPTH) -> NDArray[np.float64]:
    """Ring points (72, 3) around a frontal face: 36 that turn with the skull, 36 that stay."""
    oval = frontal[list(mesh.OVAL)]
    rings = []
    for radius in (head, _RING_STILL):
        xy = _RING_HEART + radius * (oval[:, :2] - _RING_HEART)
        rings.append(np.column_stack([xy, np.full(len(oval), depth)]))
    return np.concatenate(rings)


@lru_cache(maxsize=1)
def _topology() -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
    """Faces (M, 3), the part of each (0 surroundings, 1 skin, 2 mouth interior, 3 eye), in drawing groups."""
    n = len(mesh.OVAL)
    oval, head, still = (
        np.array(mesh.OVAL),
        mesh.N_LANDMARKS + np.arange(n),
        mesh.N_LANDMARKS + n + np.arange(n),
    )
    following = np.roll(np.arange(n), -1)

    def strip(inner: NDArray, outer: NDArray) -> NDArray:
        a, b = inner, outer
        return np.concatenate(
            [np.stack([a, b, b[following]], 1), np.stack([a, b[following], a[following]], 1)]
        )

    lips = mesh.LIPS_INNER
    mouth = []
    upper, lower = lips[:11], (lips[0], *lips[:9:-1])
    for i in range(10):
        mouth += [(upper[i], upper[i + 1], lower[i + 1]), (upper[i], lower[i + 1], lower[i])]
    eyes = [
        (centre, contour[i], contour[(i + 1) % 16])
        for centre, contour in ((468, mesh.EYE_RIGHT), (473, mesh.EYE_LEFT))
        for i in range(16)
    ]
    groups = [strip(head, still), strip(oval, head), mesh.triangles(), np.array(mouth), np.array(eyes)]
    faces = np.concatenate(groups).astype(np.int32)
    part = np.repeat([0, 0, 1, 2, 3], [len(g) for g in groups]).astype(np.int32)
    rings = _rings(mesh.mean_face(), _TOLD_HEAD, _TOLD_DEPTH)
    canonical = np.concatenate([mesh.mean_face(), rings]).astype(np.float32)
    return faces, canonical, part


def to_unit(points: NDArray, size: float) -> NDArray:
    """Pixels of a size x size crop -> [-1, 1] from border to border, as `grid_sample` counts them."""
    return (points + 0.5) * (2.0 / size) - 1


def scalars(landmarks: NDArray, pose: mesh.Pose) -> NDArray[np.float32]:
    """Expression and pose as 20 numbers of about unit size.

    Lip gaps (5), mouth width, lip heights (2), corner heights (2), openness of each eye, brow heights (2),
    chin, gaze (2), head rotation (yaw, pitch, roll in radians).
    """
    f = pose.frontal

    def gap(i: int, j: int) -> float:
        return float(np.linalg.norm(f[i] - f[j]))

    right = np.mean([gap(i, j) for i, j in mesh.LIDS_RIGHT]) / gap(33, 133)
    left = np.mean([gap(i, j) for i, j in mesh.LIDS_LEFT]) / gap(362, 263)
    gaze_x = np.mean([f[468, 0] - f[[33, 133], 0].mean(), f[473, 0] - f[[362, 263], 0].mean()])
    gaze_y = np.mean([f[468, 1] - f[[33, 133], 1].mean(), f[473, 1] - f[[362, 263], 1].mean()])
    r = pose.rotation
    return np.array(
        [gap(i, j) * 6 for i, j in mesh.LIP_PAIRS]
        + [
            (gap(61, 291) - 0.6) * 8,
            (gap(0, 13) - 0.08) * 20,
            (gap(14, 17) - 0.1) * 20,
            (f[61, 1] + 0.78) * 10,
            (f[291, 1] + 0.78) * 10,
            (right - 0.25) * 8,
            (left - 0.25) * 8,
            (f[list(mesh.BROW_RIGHT), 1].mean() - 0.2) * 12,
            (f[list(mesh.BROW_LEFT), 1].mean() - 0.2) * 12,
            (f[152, 1] + 1.33) * 5,
            gaze_x * 25,
            gaze_y * 25,
            np.arctan2(r[0, 2], r[2, 2]) * 3,
            -np.arcsin(np.clip(r[1, 2], -1, 1)) * 3,
            np.arctan2(r[1, 0], r[1, 1]) * 3,
        ],
        np.float32,
    )


N_SCALARS = 20


@dataclass(frozen=True)
class FaceGeometry:
    """One face in a square crop, ready to be drawn."""

    vertices: NDArray[np.float64]
    """(V, 3) landmarks and rings in pixels of the crop."""
    pose: mesh.Pose
    size: float
    """Pixels a side of the crop that the vertices refer to."""

    @classmethod
    def of_source(cls, landmarks: NDArray, size: float) -> FaceGeometry:
        """Geometry of a source: its rings stand where its skull is."""
        pose = mesh.fit_pose(landmarks)
        return cls(np.concatenate([landmarks, pose.project(_rings(pose.frontal))]), pose, size)

    def moved_to(self, landmarks: NDArray) -> FaceGeometry:
        """The geometry of the same head with the target landmarks (478, 3): rings follow the skull."""
        pose = mesh.fit_pose(landmarks)
        n = len(mesh.OVAL)
        ring = _rings(self.pose.frontal)[:n]
        shift = pose.project(ring) - self.pose.project(ring)
        below = np.clip((-0.9 - ring[:, 1]) / 0.6, 0, 1)[:, None]  # 1 straight below the chin
        rings = self.vertices[mesh.N_LANDMARKS :].copy()
        rings[:n] += shift * (1 - (1 - _NECK_SHARE) * below)
        return FaceGeometry(np.concatenate([landmarks, rings]), pose, self.size)

    def draw(self, grid: int = GRID) -> Drawing:
        """Rasterises the mesh, far triangles first (triangles that face away are left out)."""
        faces, _, part = _topology()
        points = (self.vertices[:, :2] + 0.5) * (grid / self.size) - 0.5
        p = points[faces]
        turn: NDArray = (p[:, 1, 0] - p[:, 0, 0]) * (p[:, 2, 1] - p[:, 0, 1]) - (p[:, 2, 0] - p[:, 0, 0]) * (
            p[:, 1, 1] - p[:, 0, 1]
        )
        front = (part != 1) | (turn < 0)  # y down turns counter-clockwise faces round
        depth = self.vertices[:, 2][faces].mean(1)
        order = np.lexsort((-depth, np.minimum(part, 1)))
        order = order[front[order]]
        which = mesh.draw_triangles(points, faces[order], grid)
        weights = mesh.barycentric(points, faces[order], which)
        return Drawing(
            which, faces[order][which[which >= 0]], weights, part[order], points, self.pose.frontal
        )


@dataclass(frozen=True)
class Drawing:
    """A rasterised face: for each covered pixel three vertices and their weights."""

    which: NDArray[np.int32]
    corners: NDArray[np.int32]
    weights: NDArray[np.float32]
    part: NDArray[np.int32]
    points: NDArray[np.float64]
    frontal: NDArray[np.float64]
    """(478, 3) the drawn face in the canonical frame."""

    def spread(self, values: NDArray) -> NDArray[np.float32]:
        """Per-vertex values (V, K) -> (K, G, G), zero where nothing is drawn."""
        return self.lay(self.mix(values))

    def mix(self, values: NDArray, rows: NDArray | slice = slice(None)) -> NDArray[np.float32]:
        """Per-vertex values (V, K) at the covered pixels, or at some `rows` of them: (pixels, K)."""
        corners, weights = values.astype(np.float32)[self.corners[rows]], self.weights[rows]
        return np.einsum("pck,pc->pk", corners, weights)

    def lay(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values of the covered pixels (pixels, K) -> (K, G, G), zero where nothing is drawn."""
        out = np.zeros((pixels.shape[1], *self.which.shape), np.float32)
        out[:, self.which >= 0] = pixels.T
        return out

    def maps(self) -> NDArray[np.float32]:
        """The P conditioning maps (8, G, G): see `MAP_CHANNELS`."""
        grid = self.which.shape[0]
        out = np.zeros((MAP_CHANNELS, grid, grid), np.float32)
        out[:3] = self.spread(_topology()[1])
        out[3] = (self.which >= 0) & (self.part[self.which] > 0)

        def cover(*loops: NDArray) -> NDArray[np.float32]:
            canvas = np.zeros((grid, grid), np.uint8)
            for loop in loops:
                cv2.fillPoly(canvas, [np.round(loop * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
            return canvas.astype(np.float32) / 255

        p = self.points
        out[4] = cover(p[list(mesh.LIPS_INNER)])
        out[5] = cover(p[list(mesh.EYE_RIGHT)], p[list(mesh.EYE_LEFT)])
        out[6] = np.clip(cover(p[list(mesh.LIPS_OUTER)]) - out[4], 0, 1)
        for iris in (mesh.IRIS_RIGHT, mesh.IRIS_LEFT):
            centre, rim = p[iris[0]], p[list(iris[1:])]
            radius = np.linalg.norm(rim - centre, axis=1).mean()
            disc = np.zeros((grid, grid), np.uint8)
            cv2.circle(
                disc, tuple(int(v) for v in np.round(centre * 16)), int(radius * 16), 255, -1, cv2.LINE_AA, 4
            )
            out[7] = np.maximum(out[7], disc.astype(np.float32) / 255)
        out[7] *= out[5]
        return out


def prior_flow(
    source: FaceGeometry, drawing: Drawing, instead: Mapping[int, NDArray] | None = None
) -> NDArray[np.float32]:
    """Displacement (2, G, G) from each target pixel to its place in the source, in crop units ([-1, 1]).

    The mesh says where a pixel of the skin comes from.  Between the lips it says nothing: teeth are not
    stretched by a mouth that opens, they stand still in the skull, so what lies there follows the head alone.

    Args:
        source: the face that is moved.
        drawing: the target.
        instead: vertices that count as moved to other places, x and y in pixels of the source's size.
    """
    grid = drawing.which.shape[0]
    target = (drawing.points + 0.5) * (2.0 / grid) - 1
    shift = to_unit(source.vertices[:, :2], source.size) - target
    for vertex, place in (instead or {}).items():
        shift[vertex] = to_unit(source.vertices[vertex, :2], source.size) - to_unit(place, source.size)
    flow = drawing.mix(shift)
    lips = list(mesh.LIPS_INNER)
    shift[lips] = to_unit(source.pose.project(drawing.frontal[lips])[:, :2], source.size) - target[lips]
    inside = drawing.part[drawing.which[drawing.which >= 0]] == 2
    flow[inside] = drawing.mix(shift, inside)
    return drawing.lay(flow)


def border_window(
    grid: int, margin: float = 0.05, inside: tuple[float, float, float, float] = (0, 0, 1, 1)
) -> NDArray[np.float32]:
    """(G, G) weight that is 1 inside and falls smoothly to 0 at the crop's border.

    Motion is multiplied by it, so that a pasted crop meets the still picture around it without a seam.

    Args:
        grid: G.
        margin: width of the fall, in sides of the crop.
        inside: left, top, right and bottom of what the photograph covers of the crop, in its sides.  Where
            the photograph ends nothing may move either: what lies beyond its edge is not known.
    """
    x = (np.arange(grid) + 0.5) / grid
    left, top, right, bottom = inside

    def ramp(first: float, last: float) -> NDArray:
        edge = np.clip(np.minimum(x - max(first, 0), min(last, 1) - x) / margin, 0, 1)
        return edge * edge * (3 - 2 * edge)

    return np.minimum(ramp(top, bottom)[:, None], ramp(left, right)[None]).astype(np.float32)
