"""What is kept of a face that is followed through a video: some 600 bytes a frame, whatever the pictures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headgen.evaluation.face_motion import (
    LEAST_FRAMES,
    SKIN,
    TRACKING_NOISE,
    bend,
    channel_figures,
    relative_channels,
)
from headgen.faces.mesh import eye_distance, fit_pose
from headgen.faces.motion import MOTION_NAMES, motion_of_pose

__all__ = [
    "FaceTrace",
    "expression_error",
    "followed_motion",
    "gaze_gain",
    "pose_error",
    "restlessness",
    "seam_jump",
]

SEAM_REACH = 1
"""Frames around a join in which its jump may lie."""
LEAST_STEP = 0.004
"""Outer-eye distances a frame that count as a step at least: under it, tracking noise would be compared."""

LEAST_GAZE = 0.03
"""Half eye widths, standard deviation: under it a driver's eyes do not turn, they tremble."""
OPEN_EYE = 0.12
"""Lid gap over eye width from which an iris is seen."""


class FaceTrace:
    """A face's pose and expression, frame by frame, and how its landmarks move from one to the next.

    Frames without a face are NaN.
    """

    def __init__(self) -> None:
        self._rows: list[NDArray[np.float64]] = []
        self._turns: list[NDArray[np.float64]] = []
        self._bends: list[float] = []
        self._steps: list[float] = []
        self._last: list[NDArray | None] = [None, None]

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, landmarks: NDArray | None) -> None:
        """Takes the landmarks (478, 3) of the next frame in pixels; None without a face."""
        before, now = self._last
        self._last = [now, landmarks]
        if landmarks is None:
            self._rows.append(np.full(len(MOTION_NAMES), np.nan))
            self._turns.append(np.full((3, 3), np.nan))
        else:
            pose = fit_pose(landmarks)
            self._rows.append(motion_of_pose(pose))
            self._turns.append(pose.rotation)
        step = curve = np.nan
        if landmarks is not None and now is not None:
            apart = (landmarks - now)[:SKIN, :2]
            step = float(np.sqrt((apart**2).sum(1).mean())) / eye_distance(landmarks)
            if before is not None:
                curve = bend(before, now, landmarks)
        self._steps.append(step)
        if len(self._rows) > 1:
            self._bends.append(curve)

    @property
    def coefficients(self) -> NDArray[np.float64]:
        """(T, K), columns as `headgen.faces.motion.MOTION_NAMES`."""
        return np.array(self._rows).reshape(-1, len(MOTION_NAMES))

    @property
    def rotations(self) -> NDArray[np.float64]:
        """(T, 3, 3) of the head, canonical frame to camera."""
        return np.array(self._turns).reshape(-1, 3, 3)

    @property
    def bends(self) -> NDArray[np.float64]:
        """(T,) `headgen.evaluation.face_motion.bend` of each frame and its two neighbours."""
        return np.array([*self._bends, np.nan][: len(self)])

    @property
    def steps(self) -> NDArray[np.float64]:
        """(T,) root mean square distance of the landmarks from the frame before, in outer-eye distances."""
        return np.array(self._steps)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(T,) frames with a face."""
        return np.isfinite(self.coefficients).all(1)


def followed_motion(driving: FaceTrace, output: FaceTrace) -> dict[str, float | None]:
    """`headgen.evaluation.face_motion.motion_figures` of two traces, the gains named ``gain_CHANNEL``."""
    both = _both(driving, output)
    if not both.any():
        figures = channel_figures(np.zeros((0, 8)), np.zeros((0, 8)))
    else:
        wanted, found = (
            relative_channels(t.rotations[both], t.coefficients[both][:, 3:]) for t in (driving, output)
        )
        figures = channel_figures(wanted, found)
    gains = figures.pop("gain")
    return {**figures, **{f"gain_{name}": gain for name, gain in gains.items()}}


def restlessness(driving: FaceTrace, output: FaceTrace) -> float | None:
    """How restless an output's landmarks are, over the driver's, of all frames with neighbours.

    Ratio of the medians of `FaceTrace.bends`, the tracker's own noise added to both: 1 is as restless, less
    is calmer; a still picture has .2 or so. None if either has no three frames with a face in a row.
    """
    known = [trace.bends[np.isfinite(trace.bends)] for trace in (driving, output)]
    if not all(map(len, known)):
        return None
    below, above = (statistics.median(values) + TRACKING_NOISE for values in known)
    return float(above / below)


def pose_error(truth: FaceTrace, output: FaceTrace, relative: bool = False) -> float | None:
    """Mean absolute difference of yaw, pitch and roll, in degrees; lower is better.

    Source: reported by PIRender (Ren et al. 2021) and after it as pose distance.

    Args:
        truth: how the head should move.
        output: how it does.
        relative: of the changes since the first frame that both show, as for another person's portrait.

    Returns:
        None if no frame shows both faces.
    """
    return _difference(truth, output, slice(0, 3), relative)


def expression_error(truth: FaceTrace, output: FaceTrace, relative: bool = False) -> float | None:
    """Mean absolute difference of the tracker's expression coefficients; lower is better.

    As `pose_error`, of the coefficients after the pose, in outer-eye distances and ratios of the eyes (all of
    them are of the order of .1). The tracker stands for the 3D face model of PIRender and others, whose
    numbers are on another scale.
    """
    return _difference(truth, output, slice(3, None), relative)


def gaze_gain(driving: FaceTrace, output: FaceTrace) -> float | None:
    """How far the eyes turn sideways, over the driver's: the slope of ``gaze_x``; 1 is best, 0 a fixed stare.

    Our design: reenactment is seldom judged by gaze, although people look at the eyes first. Only frames in
    which the driver's eyes are open count.

    Returns:
        None if no frames show both faces, or the driver's eyes hardly turn.
    """
    names = [MOTION_NAMES.index(name) for name in ("eye_left", "eye_right", "gaze_x")]
    own, found = (trace.coefficients[_both(driving, output)][:, names] for trace in (driving, output))
    open_ = own[:, :2].min(1) > OPEN_EYE if len(own) else np.zeros(0, bool)
    if open_.sum() < LEAST_FRAMES or own[open_, 2].std() < LEAST_GAZE:
        return None
    wanted = own[open_, 2] - own[open_, 2].mean()
    return float((wanted * found[open_, 2]).mean() / (wanted**2).mean())


def _difference(truth: FaceTrace, output: FaceTrace, columns: slice, relative: bool) -> float | None:
    both = _both(truth, output)
    if not both.any():
        return None
    a, b = (t.coefficients[both][:, columns] for t in (truth, output))
    if relative:
        a, b = a - a[0], b - b[0]
    apart = b - a
    if columns.stop == 3:
        apart = (apart + 180) % 360 - 180
    return float(np.abs(apart).mean())


def _both(a: FaceTrace, b: FaceTrace) -> NDArray[np.bool_]:
    if len(a) != len(b):
        raise ValueError(f"the traces are of {len(a)} and {len(b)} frames; they must be of the same")
    return a.seen & b.seen


def seam_jump(steps: NDArray[np.floating], seams: Sequence[int]) -> float | None:
    """How far a face jumps where segments are joined, over how fast it moves elsewhere.

    Our design: mean over the joins of the largest step from a frame to the next nearby, over the 95th
    percentile of the steps elsewhere. 1 and below: joins cannot be told from motion; a hard cut has 5 and
    more.

    Args:
        steps: (T,) from frame to frame, as `FaceTrace.steps`, NaN where not known.
        seams: frames that begin a segment.

    Returns:
        None if no join, or nothing else, can be measured.
    """
    frames = np.arange(len(steps))
    near = [frames[abs(frames - seam) <= SEAM_REACH] for seam in seams if 0 < seam < len(steps)]
    at = [float(np.nanmax(steps[place])) for place in near if np.isfinite(steps[place]).any()]
    elsewhere = np.delete(steps, np.concatenate(near)) if near else steps
    elsewhere = elsewhere[np.isfinite(elsewhere)]
    if not at or not len(elsewhere):
        return None
    return float(np.mean(at) / max(float(np.percentile(elsewhere, 95)), LEAST_STEP))
