"""Where the eyes of a reenacted photograph look.

A network that draws a whole face follows an iris less than half of the way, and a mesh that holds an eye by
its lids smears it.  Our design: the photograph's own eyes are taken apart into the white and the iris
(`headgen.faces.irises`), and the iris is put in its new place in the photograph, before lids and head move.
Where an eye has turned, the picture between its lids is that photograph's, and nothing is drawn there.  An
eye that shuts, or opens far beyond the photograph's, is the network's: it knows lids better.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from headgen.faces import mesh
from headgen.faces.irises import Irises
from headgen.fsrt.conditioning import FaceGeometry
from headgen.fsrt.lids import eye_part

_SOFT = 0.03  # of an eye's width: how soft the border of what lies between the lids is
_TURNS, _TURNED = 0.15, 0.45  # iris radii by which an eye has begun to turn, and has turned
_SHUTS, _OPEN = 0.6, 0.9  # openings, over the photograph's, at which an eye is the network's, and no longer
_WIDER, _WIDE = 1.2, 1.5  # the same for eyes that open


class Gaze:
    """Turns the eyes of one photograph.

    Args:
        photograph: (H, W, 3) uint8 RGB.
        landmarks: (478, 3) in its pixels.
        geometry: of the same face, of any size.
    """

    def __init__(self, photograph: NDArray[np.uint8], landmarks: NDArray, geometry: FaceGeometry) -> None:
        self._source = geometry.pose
        self._irises = Irises(photograph, landmarks)
        frontal = geometry.pose.frontal
        self._rest = _gaze(frontal)
        self._widths = np.array([_width(frontal, contour) for contour, _, _ in mesh.EYES])
        self._opening = [_opening(frontal, k) for k in range(len(mesh.EYES))]
        rims = [np.linalg.norm(frontal[list(i[1:]), :2] - frontal[i[0], :2], axis=1) for _, i, _ in mesh.EYES]
        self._radii = [float(rim.mean()) / width for rim, width in zip(rims, self._widths, strict=True)]
        self._unit = len(photograph) / geometry.size

    def still(self, face: FaceGeometry) -> dict[int, NDArray[np.float64]]:
        """Where irises of a moved face would be had its eyes not turned: vertex to x and y in its pixels."""
        frontal = face.pose.frontal
        out = {}
        for k in self._irises.which:
            contour, iris, _ = mesh.EYES[k]
            point = frontal[iris[0]].copy()
            point[:2] = _middle(frontal, contour) + self._rest[k] * _width(frontal, contour)
            out[iris[0]] = face.pose.project(point[None])[0, :2]
        return out

    def turn(
        self,
        moved: NDArray[np.uint8],
        face: FaceGeometry,
        places: NDArray[np.float32],
        scale: float,
        points: NDArray,
    ) -> None:
        """Puts the irises where a moved face has them, in place; they are round there.

        Args:
            moved: (h, w, 3) uint8, the photograph as it has been moved.
            face: the moved face.
            places: (h, w, 2) where in the photograph each pixel was taken from.
            scale: size of the photograph's pixels in which places count, in those of this one.
            points: (478, 2) or more columns, landmarks of the moved face in pixels of `moved`.
        """
        change = (_gaze(face.pose.frontal) - self._rest) * self._widths[:, None]
        # The eyes turn in the head's own frame.
        seen = np.column_stack([change, np.zeros(len(change))]) @ self._source.rotation.T * self._source.scale
        shifts = seen[:, :2] * [1, -1] * self._unit
        changes = self._irises.changes(shifts, face.vertices[: mesh.N_LANDMARKS])
        for k, (corner, difference) in changes.items():
            there = eye_part(points[list(mesh.EYES[k][0]), :2], moved.shape)
            if there is None:
                continue
            at = (places[there] + np.float32(0.5)) * np.float32(scale) - np.array(corner, np.float32)
            at -= np.float32(0.5)
            here = cv2.remap(difference, at, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
            part = moved[there]
            part[:] = np.clip(part + here + 0.5, 0, 255).astype(np.uint8)

    def shares(self, face: FaceGeometry) -> dict[int, float]:
        """How much of what lies between the lids of a moved face is the photograph's: 0 to 1 by eye."""
        turned = np.linalg.norm(_gaze(face.pose.frontal) - self._rest, axis=1)
        out = {}
        for k in self._irises.which:
            opened = _opening(face.pose.frontal, k) / self._opening[k]
            lids = _step(opened, _SHUTS, _OPEN) * (1 - _step(opened, _WIDER, _WIDE))
            out[k] = lids * _step(float(turned[k]) / self._radii[k], _TURNS, _TURNED)
        return out

    def between_lids(
        self, face: FaceGeometry, points: NDArray, corner: tuple[int, int], shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """How much of a picture is the photograph's, see `shares`: (h, w), 0 but between lids.

        Args:
            face: the moved face.
            points: (478, 2) or more columns, its landmarks in pixels of the picture.
            corner: x and y of the part of the picture that is wanted.
            shape: its height and width.
        """
        mask, width = np.zeros(shape[:2], np.uint8), 1.0
        for k, share in self.shares(face).items():
            outline = points[list(mesh.EYES[k][0]), :2]
            width = float(np.linalg.norm(outline[0] - outline[8]))
            line = np.round((outline - corner) * 16).astype(np.int32)
            cv2.fillPoly(mask, [line], round(255 * share), cv2.LINE_AA, 4)
        return cv2.GaussianBlur(mask, (0, 0), max(_SOFT * width, 0.5)).astype(np.float32) / 255


def _step(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high` on, smooth between."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


def _middle(frontal: NDArray, contour: tuple[int, ...]) -> NDArray[np.float64]:
    return (frontal[contour[0], :2] + frontal[contour[8], :2]) / 2


def _width(frontal: NDArray, contour: tuple[int, ...]) -> float:
    return float(np.linalg.norm(frontal[contour[0], :2] - frontal[contour[8], :2]))


def _opening(frontal: NDArray, which: int) -> float:
    """Lid gap over eye width of one of `mesh.EYES`."""
    contour, _, pairs = mesh.EYES[which]
    return mesh.opening(frontal, pairs) / _width(frontal, contour)


def _gaze(frontal: NDArray) -> NDArray[np.float64]:
    """(2, 2) x and y of each iris of a frontal face, from the middle of its eye and in the eye's widths."""
    return np.stack([(frontal[i[0], :2] - _middle(frontal, c)) / _width(frontal, c) for c, i, _ in mesh.EYES])
