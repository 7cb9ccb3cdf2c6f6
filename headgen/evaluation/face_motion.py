"""How well one face's motion follows another's, how restless it is, and where its landmarks lie."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headgen.faces.mesh import SKIN, eye_distance, fit_pose
from headgen.faces.motion import MOTION_NAMES, expression_coefficients, head_angles

__all__ = [
    "CHANNELS",
    "LEAST_FRAMES",
    "TRACKING_NOISE",
    "Landmarks",
    "bend",
    "channel_figures",
    "jitter_ratio",
    "landmark_distances",
    "motion_channels",
    "motion_figures",
    "placement",
    "relative_channels",
]

CHANNELS = ("yaw", "pitch", "roll", "mouth_open", "mouth_width", "eye_left", "eye_right", "brow")
"""What is compared of the motion. The first three are the head's pose in degrees; mouth and brow are in
outer-eye distances, the eyes' openness is relative to the video's own open eyes."""
SCALES = np.array([4, 4, 4, 0.05, 0.04, 0.25, 0.25, 0.03])
"""Root mean square of a channel's motion from which it counts in full."""
FLOORS = np.array([1, 1, 1, 0.012, 0.012, 0.08, 0.08, 0.008])
"""Standard deviation of the driver's channel under which it is left out: most of it is tracking noise."""
LEAST_FRAMES = 5
"""Frames with both faces under which motion is not judged."""
TRACKING_NOISE = 1e-5
"""Added to both sides of the jitter ratio, in squared outer-eye distances: about what tracking alone has."""

Landmarks = NDArray[np.floating]
"""(478, 3) tracked points in pixels, as in `headgen.faces.mesh`."""


def motion_channels(landmarks: Sequence[Landmarks]) -> NDArray[np.float64]:
    """How a face moves against its own first frame.

    Args:
        landmarks: T times (478, 3) in pixels.

    Returns:
        (T, 8), columns and units as in `CHANNELS`; the first row is 0. The pose is the turn from the first
        frame's, the eyes' openness is divided by its 80th percentile over the frames.
    """
    poses = [fit_pose(frame) for frame in landmarks]
    return relative_channels(
        np.stack([pose.rotation for pose in poses]),
        expression_coefficients(np.stack([pose.frontal for pose in poses])),
    )


def relative_channels(
    rotations: NDArray[np.floating], expression: NDArray[np.floating]
) -> NDArray[np.float64]:
    """`motion_channels` of frames whose pose is known.

    Args:
        rotations: (T, 3, 3) of the head, canonical frame to camera.
        expression: (T, len(MOTION_NAMES) - 3) coefficients after the pose.
    """
    turns = rotations @ rotations[0].T
    named = dict(zip(MOTION_NAMES[3:], expression.T, strict=True))
    eyes = [named[side] / max(np.percentile(named[side], 80), 0.05) for side in ("eye_left", "eye_right")]
    brow = (named["brow_left"] + named["brow_right"]) / 2
    shown = np.stack([named["mouth_open"], named["mouth_width"], *eyes, brow], 1)
    return np.hstack([head_angles(turns), shown - shown[0]])


def motion_figures(driving: Sequence[Landmarks], output: Sequence[Landmarks]) -> dict[str, Any]:
    """How well an output's motion follows the driver's.

    Args:
        driving: landmarks of T driving frames, each (478, 3) in pixels.
        output: those of the same frames of the output.

    Returns:
        - motion_error: squared difference of the channels over the driver's squared motion, both summed over
          frames and, weighted so that lively channels count alike whatever their unit, over channels. 0 is
          the driver's motion, 1 no motion, and wrong motion is more.
        - motion_error_pose, motion_error_expression: of the pose channels and of the others alone.
        - motion_correlation: mean correlation of the channels, -1 to 1.
        - gain: for each channel the slope of the output's motion over the driver's.

        Channels in which the driver hardly moves are left out; None where nothing is left.
    """
    if len(driving) < LEAST_FRAMES:
        return channel_figures(np.zeros((0, len(CHANNELS))), np.zeros((0, len(CHANNELS))))
    return channel_figures(motion_channels(driving), motion_channels(output))


def channel_figures(wanted: NDArray[np.floating], found: NDArray[np.floating]) -> dict[str, Any]:
    """`motion_figures` of the channels (T, 8) of a driver and of an output."""
    nothing: dict[str, Any] = dict.fromkeys(
        ("motion_error", "motion_error_pose", "motion_error_expression", "motion_correlation")
    )
    if len(wanted) < LEAST_FRAMES:
        return {**nothing, "gain": dict.fromkeys(CHANNELS)}
    lively = wanted.std(0) > FLOORS
    pose = np.arange(len(CHANNELS)) < 3
    weights = 1 / np.maximum(np.sqrt((wanted**2).mean(0)), SCALES) ** 2

    def error(chosen: NDArray[np.bool_]) -> float | None:
        if not chosen.any():
            return None
        apart, moved = ((found - wanted) ** 2).sum(0), (wanted**2).sum(0)
        return float((weights * apart)[chosen].sum() / (weights * moved)[chosen].sum())

    covariance = ((wanted - wanted.mean(0)) * (found - found.mean(0))).mean(0)
    gains = covariance / np.maximum(wanted.var(0), 1e-12)
    moves = found.std(0) > FLOORS / 8  # else what correlates is noise
    correlations = np.where(moves, covariance / np.maximum(wanted.std(0) * found.std(0), 1e-12), 0)
    return {
        "motion_error": error(lively),
        "motion_error_pose": error(lively & pose),
        "motion_error_expression": error(lively & ~pose),
        "motion_correlation": float(correlations[lively].mean()) if lively.any() else None,
        "gain": {
            name: float(gain) if moving else None
            for name, gain, moving in zip(CHANNELS, gains, lively, strict=True)
        },
    }


def jitter_ratio(
    driving: Sequence[Sequence[Landmarks | None]], output: Sequence[Sequence[Landmarks | None]]
) -> float | None:
    """How restless an output's landmarks are, over the driver's: 1 is as restless, less is calmer.

    Args:
        driving: triples of consecutive frames' landmarks; triples without a face in all frames do not count.
        output: the same of the output.

    Returns:
        Ratio of the medians of the squared second differences in outer-eye distances, `TRACKING_NOISE` added
        to both; None if either has no triple.
    """
    restless = [
        [bend(a, b, c) for a, b, c in triples if a is not None and b is not None and c is not None]
        for triples in (driving, output)
    ]
    if not all(restless):
        return None
    below, above = (statistics.median(values) + TRACKING_NOISE for values in restless)
    return above / below


def bend(before: Landmarks, now: Landmarks, after: Landmarks) -> float:
    """Mean squared second difference of three frames' landmarks, in squared outer-eye distances."""
    apart = (before - 2 * now + after)[:SKIN, :2]
    return float((apart**2).sum(1).mean()) / eye_distance(now) ** 2


def landmark_distances(
    truth: Landmarks, output: Landmarks, place: NDArray[np.float64] | None = None
) -> float:
    """Mean distance of an output's landmarks from the true ones, in outer-eye distances.

    Args:
        truth: (478, 3) in pixels of the driving video.
        output: (478, 3) in pixels of the output.
        place: (2, 3) map from pixels of the driving video to the output's; None: the same.
    """
    scale, shift = (1.0, np.zeros(2)) if place is None else (place[0, 0], place[:, 2])
    apart = truth[:SKIN, :2] * scale + shift - output[:SKIN, :2]
    return float(np.linalg.norm(apart, axis=1).mean() / (scale * eye_distance(truth)))


def placement(
    driver: Landmarks | None, output: Landmarks | None, shape: Sequence[int], output_shape: Sequence[int]
) -> NDArray[np.float64]:
    """Map (2, 3) of scale and shift from pixels of the driving video to those of the output.

    Fitted to both faces in least squares where the sizes differ; a row or column that makes a size even is
    no difference.
    """
    place = np.eye(2, 3)
    if all(b == a + a % 2 for a, b in zip(shape[:2], output_shape[:2], strict=True)):
        return place
    if driver is None or output is None:  # the output's width is the only hint
        return place * (output_shape[1] / shape[1])
    a, b = driver[:SKIN, :2], output[:SKIN, :2]
    scale = ((a - a.mean(0)) * (b - b.mean(0))).sum() / ((a - a.mean(0)) ** 2).sum()
    return np.hstack([np.eye(2) * scale, (b.mean(0) - scale * a.mean(0))[:, None]])
