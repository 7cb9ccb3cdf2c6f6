"""The face mesh: topology, mean face, pose fit, and drawing per-vertex values onto a pixel grid.

Landmarks are the 478 points of MediaPipe's face mesh with irises: (478, 3), x and y in pixels (y down),
z on the x scale (negative towards the camera).  The *canonical frame* has x to the right of the picture,
y up and z towards the camera; its unit is the distance between the outer eye corners of the mean face.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

LIPS_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
LIPS_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
# An eye's contour starts at the outer corner and runs along the upper lid first.
EYE_RIGHT = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
EYE_LEFT = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
IRIS_RIGHT, IRIS_LEFT = (468, 469, 470, 471, 472), (473, 474, 475, 476, 477)
SKIN = 468
"""How many landmarks come before the irises, which look around."""
LIDS_RIGHT = ((159, 145), (158, 153), (160, 144))
"""Pairs of upper and lower lid of the right eye, the middle one first."""
LIDS_LEFT = ((386, 374), (385, 380), (387, 373))
"""Pairs of upper and lower lid of the left eye, the middle one first."""
EYES = ((EYE_RIGHT, IRIS_RIGHT, LIDS_RIGHT), (EYE_LEFT, IRIS_LEFT, LIDS_LEFT))
"""For each eye its contour, its iris and its pairs of upper and lower lid."""
LIP_PAIRS = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402))
"""Pairs of upper and lower inner lip, from the middle outwards."""
BROW_RIGHT, BROW_LEFT = (70, 63, 105, 66, 107), (300, 293, 334, 296, 336)
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
# Points that neither jaw, lips, lids nor brows move: they carry the head pose.
RIGID = (
    33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 8, 10, 151, 67, 297, 103, 332, 54, 284, 21, 251,
    162, 389, 127, 356, 234, 454, 116, 345, 193, 417, 198, 420, 143, 372,
)  # fmt: skip
N_LANDMARKS = 478
_Y_DOWN_TO_UP = np.array([1.0, -1.0, -1.0])


def lids(contour: Sequence[int]) -> tuple[list[int], list[int]]:
    """Upper and lower lid of an eye's contour, see `EYES`: seven points each, from the outer corner on."""
    return list(contour[1:8]), list(contour[:8:-1])


def scale_lids(face: Floats, contour: Sequence[int], ratio: float) -> None:
    """Scales the opening of one eye of a face (478, 3) in place: both lids towards a line between them."""
    upper, lower = lids(contour)
    line = 0.3 * face[upper] + 0.7 * face[lower]
    face[upper] = line + ratio * (face[upper] - line)
    face[lower] = line + ratio * (face[lower] - line)


def opening(points: Floats, pairs: Sequence[tuple[int, int]]) -> float:
    """Mean distance of pairs of upper and lower lid or lip among points (478, 2 or 3)."""
    return float(np.mean([np.linalg.norm(points[a] - points[b]) for a, b in pairs]))


@lru_cache(maxsize=1)
def triangles() -> NDArray[np.int32]:
    """The 852 triangles (852, 3) of the mesh; the mouth and the eyes are left open.

    MediaPipe publishes the tessellation as edges only; every triangle is a cycle of three of them.  All
    turn counter-clockwise in the canonical frame seen from the front (y up).
    """
    import mediapipe as mp

    edges = mp.solutions.face_mesh.FACEMESH_TESSELATION
    neighbours = defaultdict(set)
    for a, b in edges:
        neighbours[a].add(b)
        neighbours[b].add(a)
    found = {tuple(sorted((a, b, c))) for a, b in edges for c in neighbours[a] & neighbours[b]}
    owners = Counter(e for t in found for e in combinations(t, 2))
    # A cycle around a smaller triangle is no face of its own: each of its edges has a third owner.
    faces = np.array(sorted(t for t in found if min(owners[e] for e in combinations(t, 2)) < 3), np.int32)
    x, y = mean_face()[faces][..., 0], mean_face()[faces][..., 1]
    turn: Floats = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    return np.where(turn[:, None] < 0, faces[:, [0, 2, 1]], faces)


@lru_cache(maxsize=1)
def mean_face() -> NDArray[np.float32]:
    """The mean face (478, 3) in the canonical frame: symmetric, at rest, our own measurement.

    Average of frontalised landmarks tracked in public-domain portraits (generalised Procrustes).
    """
    return np.load(Path(__file__).with_name("mean_face.npy"))


@lru_cache(maxsize=1)
def mirror_index() -> NDArray[np.int64]:
    """For every landmark the index of its mirror image (478,)."""
    face = mean_face()
    gap = np.linalg.norm(face[:, None] * [-1, 1, 1] - face[None], axis=2)
    return gap.argmin(1)


def eye_distance(landmarks: Floats) -> float:
    """Distance of the outer eye corners of landmarks (478, 3) in pixels, depth included."""
    return float(np.linalg.norm(landmarks[33] - landmarks[263]))


def facing(landmarks: Floats) -> NDArray[np.float64]:
    """Cosine between the skin's normal and the direction to the camera at every landmark (478, 3): (478,).

    0 at the irises, which belong to no triangle.
    """
    points = landmarks * _Y_DOWN_TO_UP
    a, b, c = (points[triangles()[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)  # as long as twice the triangle's area: larger ones count more
    sums = np.zeros((len(points), 3))
    for k in range(3):
        np.add.at(sums, triangles()[:, k], normals)
    return sums[:, 2] / np.maximum(np.linalg.norm(sums, axis=1), 1e-9)


@dataclass(frozen=True)
class Pose:
    """Weak-perspective head pose: landmark = scale * rotation @ frontal + translation (y up)."""

    rotation: NDArray[np.float64]
    """(3, 3) canonical frame -> camera."""
    scale: float
    """Pixels per canonical unit."""
    translation: NDArray[np.float64]
    """(3,) pixels, x right, y down, z away from the camera: where the canonical origin lies."""
    frontal: NDArray[np.float64]
    """(478, 3) landmarks in the canonical frame: the expression and identity without the pose."""

    def project(self, points: Floats) -> NDArray[np.float64]:
        """Canonical points (N, 3) -> picture (N, 3) in pixels, y down."""
        return (self.scale * points @ self.rotation.T) * _Y_DOWN_TO_UP + self.translation


def fit_similarity(points: Floats, reference: Floats) -> tuple[NDArray, float]:
    """Rotation (3, 3) and scale that carry centred reference points (N, 3) onto centred points (N, 3).

    Least squares in closed form (Umeyama 1991).
    """
    u, s, vt = np.linalg.svd(points.T @ reference)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return (u * sign) @ vt, float((s * sign).sum() / (reference**2).sum())


def fit_pose(landmarks: Floats, reference: Floats | None = None) -> Pose:
    """Head pose of landmarks (478, 3) in pixels, from the rigid points only.

    Args:
        landmarks: (478, 3) tracked points.
        reference: (478, 3) face in the canonical frame to align to; the mean face by default.  A person's
            own frontal landmarks give a steadier pose over a video than the mean face does.
    """
    reference = mean_face() if reference is None else reference
    rigid = list(RIGID)
    points = np.asarray(landmarks, np.float64) * _Y_DOWN_TO_UP
    a, b = points[rigid], np.asarray(reference, np.float64)[rigid]
    rotation, scale = fit_similarity(a - a.mean(0), b - b.mean(0))
    origin = a.mean(0) - scale * rotation @ b.mean(0)
    frontal = (points - origin) @ rotation / scale
    return Pose(rotation, scale, origin * _Y_DOWN_TO_UP, frontal)


def draw_triangles(points: Floats, faces: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """Which triangle covers each pixel of a size x size grid: (size, size) indices, -1 for none.

    Args:
        points: (N, 2) x, y in pixels of the grid; the centre of the first pixel is (0, 0).
        faces: (M, 3) vertex indices, painted in the order given: the last one wins.
        size: pixels a side.
    """
    canvas = np.full((size, size), -1, np.int32)
    corners = np.round(points[faces] * 16).astype(np.int32)
    for k in range(len(faces)):
        cv2.fillConvexPoly(canvas, corners[k], k, shift=4)
    return canvas


def barycentric(points: Floats, faces: NDArray[np.int32], which: NDArray[np.int32]) -> NDArray[np.float32]:
    """Barycentric weights (P, 3) of the covered pixels of `draw_triangles`, row by row.

    Weights of pixels that lie a fraction outside their triangle are clipped to it.
    """
    yy, xx = np.nonzero(which >= 0)
    a, b, c = (points[faces[:, i]].astype(np.float32) for i in range(3))
    ab, ac = b - a, c - a
    det = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    det = np.where(np.abs(det) < 1e-6, 1e-6, det)
    tid = which[yy, xx]
    q = np.stack([xx, yy], 1).astype(np.float32) - a[tid]
    v = (q[:, 0] * ac[tid, 1] - q[:, 1] * ac[tid, 0]) / det[tid]
    w = (ab[tid, 0] * q[:, 1] - ab[tid, 1] * q[:, 0]) / det[tid]
    weights = np.clip(np.stack([1 - v - w, v, w], 1), 0, 1)
    return weights / weights.sum(1, keepdims=True)
