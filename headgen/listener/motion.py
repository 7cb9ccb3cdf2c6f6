"""A speaker's facial motion as a listener sees it: features of tracked landmarks, frame by frame.

Row k is made of the landmarks of frames 0 to k alone. What a face does is told against how that face rests,
so that who speaks, and where the camera stands, hardly enters: every quantity is taken less a running level
of what has been seen so far, and divided by a constant that makes its usual size about 1.

`MotionFeatures` takes frames as they come; `motion_features` is the same for a whole track.
"""

from __future__ import annotations

import numpy as np

from headgen.faces.mesh import N_LANDMARKS, fit_pose
from headgen.faces.motion import MOTION_NAMES, motion_of_pose
from headgen.listener.track import FPS

PLACE_NAMES = ("place_x", "place_y", "size")
MEASURED_NAMES = (*MOTION_NAMES, *PLACE_NAMES)
"""What is measured of one frame: the motion coefficients; where the face is in the picture, x and y (down) in
pixels; the natural logarithm of its size, in pixels per outer-eye distance."""
MOTION_FEATURE_NAMES = (*MOTION_NAMES, *(f"{name}_speed" for name in MOTION_NAMES), *PLACE_NAMES)
"""Columns of the features: coefficients against their level, their speeds, place and size."""

_OWN = np.nan  # no level that people share: the first frame's value is the first guess
# Coefficient: level of most people, size of its motion, size of its speed (per second).
_CONSTANTS = {
    "yaw": (_OWN, 5.0, 15.0),
    "pitch": (_OWN, 4.0, 13.0),
    "roll": (_OWN, 3.0, 10.0),
    "jaw_open": (0.765, 0.05, 0.3),
    "mouth_open": (0.055, 0.1, 0.65),
    "mouth_width": (0.535, 0.05, 0.4),
    "mouth_pucker": (-0.07, 0.015, 0.12),
    "lip_upper": (-0.245, 0.03, 0.27),
    "lip_lower": (-0.3, 0.08, 0.55),
    "smile_left": (-0.26, 0.03, 0.2),
    "smile_right": (-0.26, 0.03, 0.2),
    "eye_left": (0.28, 0.08, 0.75),
    "eye_right": (0.28, 0.08, 0.75),
    "brow_left": (_OWN, 0.015, 0.1),
    "brow_right": (_OWN, 0.015, 0.1),
    "gaze_x": (0.0, 0.08, 0.6),
    "gaze_y": (0.1, 0.06, 0.55),
    "place_x": (_OWN, 0.12, 1.0),
    "place_y": (_OWN, 0.12, 1.0),
    "size": (_OWN, 0.02, 0.2),
}
"""In the units of `MOTION_NAMES`; places in outer-eye distances, size in natural logarithms. Measured on
thirteen recordings of faces that talk and move: median level, and standard deviations over all of them."""
_LEVEL, _SIZE, _SPEED = np.array([_CONSTANTS[name] for name in MEASURED_NAMES]).T

LEVEL_SECONDS = 20.0
"""Time constant of the running level; until then it is about the mean of what has been seen."""
GUESS_FRAMES = 6.0
"""Frames that the first guess of a level is worth."""
FAR = 3.0
"""A value counts towards the level less the farther off it is, down to one part in this."""
STILL_HERTZ = 5.0
"""Cut-off of the filter against the tracker's jitter for a face that does not move. It lags by .8 of a frame
(32 ms) then, and by less the faster the face moves: .4 at 5 sizes per second, .15 at 20, as in blinks."""
LIMIT = 6.0
"""Largest feature: a slip of the tracker is no larger than this."""


def measure_face(landmarks: np.ndarray) -> np.ndarray:
    """What the features of a frame are made of.

    The pose is fitted to the mean face: a person's own face made it no steadier.

    Args:
        landmarks: (478, 3) tracked, in pixels.

    Returns:
        (20,) float64, columns as in `MEASURED_NAMES`.
    """
    pose = fit_pose(landmarks)
    return np.concatenate([motion_of_pose(pose), pose.translation[:2], [np.log(pose.scale)]])


class MotionFeatures:
    """Turns a track of one speaker's face into features; give it the frames in order.

    Our design: the level is an exponentially weighted mean in which what lies far off counts less (blinks and
    wide open mouths hardly move it), begun with a guess that is worth a few frames. Against levels known from
    hindsight a plain mean errs by .39 sizes in the first three seconds, this one by .34; and a mouth that is
    open in the first frame reads as open. The filter is a one-euro filter (Casiez, Roussel & Vogel 2012, "1
    euro filter"): the speeds' error falls by a sixth, the values' does not rise.
    """

    width = len(MOTION_FEATURE_NAMES)

    def __init__(self) -> None:
        self._first: np.ndarray | None = None  # (3,) place and size of the first face
        self._last: np.ndarray | None = None  # (20,) filtered values of the frame before, in sizes
        self._guess = self._level = self._sum = self._mass = np.zeros(len(MEASURED_NAMES))

    def push(self, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Takes in frames.

        Args:
            landmarks: (n, 478, 3) tracked at `FPS` frames per second, in pixels; NaN where there is no face.

        Returns:
            (n, 37) float32 features of these frames, columns as in `MOTION_FEATURE_NAMES`, zero without a
            face; (n,) bool, where there is a face.

        Raises:
            ValueError: landmarks of another shape.
        """
        if landmarks.shape[1:] != (N_LANDMARKS, 3):
            raise ValueError(f"landmarks are {landmarks.shape}: expected (n, {N_LANDMARKS}, 3)")
        seen = np.isfinite(landmarks).all((1, 2))
        rows = np.zeros((len(landmarks), self.width), np.float32)
        for k, frame in enumerate(landmarks):
            if seen[k]:
                rows[k] = self._row(measure_face(frame))
            else:
                self._last = None
        return rows, seen

    def _row(self, values: np.ndarray) -> np.ndarray:
        """(37,) features of a frame with a face, from what `measure_face` says (20,); changes it."""
        begins = self._first is None
        if self._first is None:
            self._first = values[-3:].copy()
        values[-3:] -= self._first
        values[-3:-1] /= np.exp(self._first[-1])
        values /= _SIZE
        if begins:
            self._guess = self._level = np.where(np.isnan(_LEVEL), values, _LEVEL / _SIZE)
        change = np.zeros_like(values)
        if self._last is not None:
            change = values - self._last
            cut_off = STILL_HERTZ + np.abs(change) * FPS
            change /= 1 + FPS / (2 * np.pi * cut_off)
            values = self._last + change
        self._last = values
        weight = 1 / np.clip(np.abs(values - self._level), 1, FAR)
        fade = np.exp(-1 / (FPS * LEVEL_SECONDS))
        self._sum = fade * self._sum + weight * values
        self._mass = fade * self._mass + weight
        self._level = (GUESS_FRAMES * self._guess + self._sum) / (GUESS_FRAMES + self._mass)
        off = values - self._level
        off[-3:-1] /= np.exp(self._level[-1] * _SIZE[-1])  # eye distances of the present size
        speed = change * FPS * _SIZE / _SPEED
        return np.clip(np.concatenate([off[:-3], speed[:-3], off[-3:]]), -LIMIT, LIMIT)


def motion_features(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features of a whole track.

    Args:
        landmarks: (T, 478, 3) tracked at `FPS` frames per second, in pixels; NaN where there is no face.

    Returns:
        (T, 37) float32, columns as in `MOTION_FEATURE_NAMES`, and (T,) bool; see `MotionFeatures.push`.
    """
    return MotionFeatures().push(landmarks)
