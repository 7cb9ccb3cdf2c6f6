"""How far a head moves on its neck, and when the whole person goes along.

A driver who walks towards the camera moves the head further than any neck reaches.  Carried over to the head
alone, such motion tears it off a photograph's shoulders.  Here the motion of a head is parted in two: what a
neck can do stays with the head, the rest moves the person and what stands near, as if the camera had moved.
What comes from beyond an edge of the photograph is not known: there the motion fades away.  An edge towards
which all moves is simply crossed: hair is cut by the picture's upper edge rather than pressed flat below it.

Our design: the paper and its program reenact a cropped head and know no body.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from headgen.faces import mesh
from headgen.faces.retarget import soft_limit

MOST_SHIFT, LEAST_SHIFT = 0.45, 0.12
"""Outer-eye distances that a neck carries the head at most; in pictures that the face fills, less."""
FREE_SHARE = 0.6  # of that, up to which a shift is the neck's alone
FREE_ZOOM, MOST_ZOOM = 1.06, 1.12
_HEAD = 1.3  # head over face, about the middle of the face
_STRETCH = 0.6  # of the room beside the head that a moving person may take up: more would fold the picture
_GRID = 8  # pixels between the points at which the field is worked out


@dataclass(frozen=True)
class Carry:
    """How head and body together stand in the photograph's frame: p -> middle + shift + zoom (p - middle)."""

    shift: tuple[float, float] = (0.0, 0.0)
    """x and y in pixels of the photograph."""
    zoom: float = 1.0

    @property
    def rests(self) -> bool:
        """Whether nothing but the head moves."""
        return max(abs(v) for v in self.shift) < 0.25 and abs(self.zoom - 1) < 1e-3


class Framing:
    """Parts the motion of one person's head into the neck's and the body's.

    Args:
        landmarks: (478, 3) of the photograph's face, in its pixels.
        shape: height and width of the photograph.
    """

    def __init__(self, landmarks: NDArray, shape: tuple[int, ...]) -> None:
        self._pose = mesh.fit_pose(landmarks)
        self._height, self._width = shape[:2]
        oval = landmarks[list(mesh.OVAL), :2]
        middle, half = (oval.max(0) + oval.min(0)) / 2, (oval.max(0) - oval.min(0)) / 2 * _HEAD
        room = np.stack([middle - half, [self._width, self._height] - middle - half])
        self._room = np.maximum(room, 0)  # left and top, right and bottom
        edge = np.stack([oval.min(0), [self._width, self._height] - oval.max(0)]) / self._pose.scale
        self._neck = np.clip(LEAST_SHIFT + 0.6 * edge, LEAST_SHIFT, MOST_SHIFT)
        self._fall = np.maximum(self._room, 0.06 * max(self._width, self._height))
        self._field = self._ramps()

    def part(self, landmarks: NDArray) -> tuple[NDArray[np.float64], Carry]:
        """The neck's share of a head's motion, and the body's.

        Args:
            landmarks: (478, 3) where the head shall be, in pixels of the photograph.

        Returns:
            Landmarks (478, 3) of the head if the body rested, and how the body moves.  Carried along, these
            landmarks lie where they shall, or as far on the way as the picture has room.
        """
        landmarks = np.asarray(landmarks, np.float64)
        now, own = mesh.fit_pose(landmarks), self._pose
        unit = own.scale
        wanted = (now.translation - own.translation)[:2]
        neck, room = (np.where(wanted < 0, v[0], v[1]) for v in (self._neck * unit, self._room))
        kept = soft_limit(np.abs(wanted), FREE_SHARE * neck, neck)
        most = np.maximum(_STRETCH * room, 1e-6)
        body = np.sign(wanted) * soft_limit(np.abs(wanted) - kept, most / 2, most)
        larger = np.log(now.scale / own.scale)
        largest = max(np.log1p(_STRETCH * float(self._room.min()) / (2 * unit)), 1e-6)
        more = larger - np.sign(larger) * soft_limit(abs(larger), np.log(FREE_ZOOM), np.log(MOST_ZOOM))
        zoom = float(np.exp(np.sign(more) * soft_limit(abs(more), largest / 2, largest)))
        carry = Carry((float(body[0]), float(body[1])), zoom)
        near = landmarks.copy()
        origin = own.translation
        near[:, :2] = origin[:2] + np.sign(wanted) * kept + (landmarks[:, :2] - now.translation[:2]) / zoom
        near[:, 2] = origin[2] + (landmarks[:, 2] - origin[2]) / zoom
        return near, carry

    def apply(self, frame: NDArray[np.uint8], carry: Carry) -> NDArray[np.uint8]:
        """Moves the person in a frame (H, W, 3) whose head has been drawn.

        Nothing comes from beyond its edges.
        """
        if carry.rests:
            return frame
        points, ramps = self._field
        origin = self._pose.translation[:2]
        shift = origin + (points - origin - np.array(carry.shift)) / carry.zoom - points
        # Where each point is taken from.  Moving to the right, say, brings in what lies beyond the left edge.
        (left, right), (top, bottom) = ramps
        (x_left, x_right), (y_top, y_bottom) = shift[0, [0, -1], 0], shift[[0, -1], 0, 1]
        free = np.ones(1)
        across = (left if x_left < 0 else free)[None] * (right if x_right > 0 else free)[None]
        down = (top if y_top < 0 else free)[:, None] * (bottom if y_bottom > 0 else free)[:, None]
        shift[..., 0] *= across * bottom[:, None]
        shift[..., 1] *= down * (left * right)[None]
        size = (self._width, self._height)
        where = cv2.warpAffine(
            shift.astype(np.float32), np.array([[_GRID, 0, 0], [0, _GRID, 0]], np.float32), size,
            flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        where += np.stack(
            np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32)), -1
        )
        return cv2.remap(frame, where, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)

    def _ramps(self) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
        """Points (h, w, 2) every few pixels, and for each edge how far off they are: 0 to 1, at the head."""
        axes = [np.arange(0, n + _GRID, _GRID, dtype=np.float64) for n in (self._width, self._height)]
        ramps = []
        for axis, (at, size) in enumerate(zip(axes, (self._width, self._height), strict=True)):
            off = np.clip([at / self._fall[0][axis], (size - 1 - at) / self._fall[1][axis]], 0, 1)
            ramps.append(off * off * (3 - 2 * off))
        return np.stack(np.meshgrid(*axes), -1), ramps
