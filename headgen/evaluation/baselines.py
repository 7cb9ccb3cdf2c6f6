"""What any system has to be better than: reenactments and listeners that need no model.

Reenactments are made frame by frame while the driving video passes; listeners are motion only,
(T, K) coefficients as `headgen.faces.motion.MOTION_NAMES`.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from headgen.faces.mesh import SKIN, eye_distance

__all__ = [
    "LISTEN_BASELINES",
    "REENACT_BASELINES",
    "WARP",
    "LandmarkWarp",
    "mirror",
    "nearest_neighbour",
    "random_motion",
    "still",
]

WARP = "landmark warp"
REENACT_BASELINES = {
    "static": "the portrait in every frame",
    "driver copy": "the driving video itself",
    WARP: "the portrait's triangles moved as the driver's landmarks move",
}
LISTEN_BASELINES = {
    "static": "the listener's first pose, or a face at rest, held",
    "random motion": "another true listener's motion with its phases at random: as lively, at random times",
    "mirror": "the speaker's own motion about its mean, on the listener's first pose",
    "nearest neighbour": "the true listener of the other clip whose speaker moves most like this one",
}

EDGE_POINTS = 5
"""Points along each side of the picture that stay where they are."""


class LandmarkWarp:
    """Moves a portrait by its landmarks: every triangle of them goes where the driver's changes take it.

    Args:
        image: (H, W, 3) RGB.
        landmarks: (478, 3) of its face.
    """

    def __init__(self, image: NDArray[np.uint8], landmarks: NDArray) -> None:
        self._image, self._landmarks = image, landmarks
        height, width = image.shape[:2]
        x, y = np.linspace(0, width - 1, EDGE_POINTS), np.linspace(0, height - 1, EDGE_POINTS)
        grid = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
        self._edge = grid[np.isin(grid[:, 0], (0, width - 1)) | np.isin(grid[:, 1], (0, height - 1))]
        self._points = np.concatenate([landmarks[:SKIN, :2], self._edge]).astype(np.float64)
        self._triangles = Delaunay(self._points).simplices
        self._first: NDArray | None = None
        self._shown = image

    def frame(self, driver: NDArray | None) -> NDArray[np.uint8]:
        """The picture for a driving frame's landmarks (478, 3); without a face, the one before again.

        Motion counts from the first driver given, in proportion to the faces' sizes.
        """
        if driver is None:
            return self._shown
        if self._first is None:
            self._first = driver
        scale = eye_distance(self._landmarks) / eye_distance(self._first)
        moved = self._points.copy()
        moved[:SKIN] += (driver - self._first)[:SKIN, :2] * scale
        self._shown = self._warped(moved)
        return self._shown

    def _warped(self, moved: NDArray[np.float64]) -> NDArray[np.uint8]:
        height, width = self._image.shape[:2]
        corners = np.round(moved[self._triangles] * 16).astype(np.int32)
        which = np.zeros((height, width), np.int32)
        for k, triangle in enumerate(corners):
            cv2.fillConvexPoly(which, triangle, k, shift=4)
        ones = np.ones((len(self._triangles), 1, 3))
        there = np.concatenate([moved[self._triangles].transpose(0, 2, 1), ones], 1)
        back = self._points[self._triangles].transpose(0, 2, 1) @ np.linalg.pinv(there)  # (M, 2, 3)
        field = back[which].astype(np.float32)
        y, x = np.mgrid[:height, :width].astype(np.float32)
        place = field[..., 0] * x[..., None] + field[..., 1] * y[..., None] + field[..., 2]
        return cv2.remap(self._image, place, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def still(rest: NDArray, frames: int) -> NDArray[np.float64]:
    """A listener (frames, K) who holds a pose (K,)."""
    return np.repeat(np.asarray(rest, np.float64)[None], frames, 0)


def mirror(rest: NDArray, speaker: NDArray) -> NDArray[np.float64]:
    """A listener (T, K) who does what the speaker (T, K) does, about the pose (K,)."""
    return rest + _filled(speaker) - _filled(speaker).mean(0)


def random_motion(rest: NDArray, other: NDArray, generator: np.random.Generator) -> NDArray[np.float64]:
    """Motion (T, K) as lively as another listener's, at random times.

    Our design: every coefficient's spectrum of `other` is kept and its phases are drawn anew, the same turn
    for all coefficients of a frequency, so that what moves together still does.

    Args:
        rest: (K,) pose about which it moves.
        other: (T, K) of a real listener.
        generator: source of chance.
    """
    motion = _filled(other)
    spectrum = np.fft.rfft(motion - motion.mean(0), axis=0)
    turns = np.exp(2j * np.pi * generator.random(len(spectrum)))[:, None]
    return rest + np.fft.irfft(spectrum * turns, len(motion), axis=0)


def nearest_neighbour(which: int, speakers: Sequence[NDArray], listeners: Sequence[NDArray]) -> NDArray:
    """The listener (T, K) of the other clip whose speaker is most like this one's.

    Learning2Listen (Ng et al. 2022) looks for the nearest speaker in a training set. Our design: the other
    clips of the test set are the set, and the distance is the mean squared one of the two motions about their
    means.

    Args:
        which: the clip.
        speakers: (T, K) of every clip, of its own length.
        listeners: likewise.

    Returns:
        that listener, repeated back and forth if it is shorter than this clip.
    """
    own = _filled(speakers[which])
    own = own - own.mean(0)
    spread = np.maximum(own.std(0), 1e-6)

    def distance(k: int) -> float:
        other = _filled(speakers[k])
        frames = min(len(own), len(other))
        apart = own[:frames] - (other - other.mean(0))[:frames]
        return float(np.square(apart / spread).mean())

    others = [k for k in range(len(speakers)) if k != which]
    nearest = min(others, key=distance)
    motion = _filled(listeners[nearest])
    there = np.concatenate([motion, motion[::-1]])
    return there[np.arange(len(own)) % len(there)]


def _filled(motion: NDArray) -> NDArray[np.float64]:
    """(T, K) with frames without a face bridged; zeros if there is none with one."""
    values = np.asarray(motion, np.float64)
    known = np.isfinite(values).all(1)
    if not known.any():
        return np.zeros_like(values)
    frames = np.arange(len(values))
    return np.stack([np.interp(frames, frames[known], column[known]) for column in values.T], 1)
