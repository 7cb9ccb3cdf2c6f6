"""How a face moves, as named numbers: head pose in degrees, mouth, lips, eyes, brows and gaze.

Everything but the pose is measured on frontalised landmarks (`headgen.faces.mesh.fit_pose`) in units of the
face's own outer-eye distance, so that neither the pose nor the size of the face enters. *Left* and *right*
are the person's.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from headgen.faces.mesh import (
    BROW_LEFT,
    BROW_RIGHT,
    IRIS_LEFT,
    IRIS_RIGHT,
    LIDS_LEFT,
    LIDS_RIGHT,
    LIP_PAIRS,
    Pose,
    fit_pose,
)

MOTION_NAMES = (
    "yaw",  # degrees, positive towards the right side of the picture
    "pitch",  # degrees, positive up
    "roll",  # degrees, positive clockwise as seen
    "jaw_open",  # chin below the nose base; at rest .65 to .9, wide open some .2 more
    "mouth_open",  # gap of the inner lips; shut 0, wide open about .6
    "mouth_width",  # distance of the mouth corners; at rest .45 to .6, broad smile up to .8
    "mouth_pucker",  # lips before the nose base, towards the camera; at rest -.1 to -.05
    "lip_upper",  # upper lip's edge over the nose base, positive up; at rest -.3 to -.2
    "lip_lower",  # lower lip's edge over the nose base, positive up; falls with the jaw
    "smile_left",  # mouth corner over the nose base, positive up; at rest about -.27, smile -.18
    "smile_right",
    "eye_left",  # lid gap over the eye's width; shut under .12, open .25 to .4
    "eye_right",
    "brow_left",  # brow over the eye corners; at rest .2 to .28, raised +.06
    "brow_right",
    "gaze_x",  # iris beside the middle of the eye, in half widths of the eye; positive right in the picture
    "gaze_y",  # iris over the line of the eye corners, likewise; positive up
)
"""Names of the motion coefficients, in the order of the columns; units and ranges in the comments."""

_NOSE_BASE, _CHIN = 2, 152
_CORNERS_LEFT, _CORNERS_RIGHT = (362, 263), (133, 33)  # inner, outer


def head_angles(rotation: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll in degrees, with the signs of `MOTION_NAMES`.

    Args:
        rotation: (..., 3, 3) from the canonical frame to the camera.

    Returns:
        (..., 3). The head first rolls, then pitches, then yaws.
    """
    turns = np.asarray(rotation)
    flat = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_euler("YXZ", degrees=True)
    return (flat * [1, -1, -1]).reshape(*turns.shape[:-2], 3)


def head_rotation(angles: np.ndarray) -> np.ndarray:
    """The rotation (..., 3, 3) of yaw, pitch and roll (..., 3) in degrees: inverse of `head_angles`."""
    degrees = np.asarray(angles, np.float64) * [1, -1, -1]
    flat = Rotation.from_euler("YXZ", degrees.reshape(-1, 3), degrees=True).as_matrix()
    return flat.reshape(*degrees.shape[:-1], 3, 3)


def expression_coefficients(frontal: np.ndarray) -> np.ndarray:
    """The coefficients after the pose, from frontalised landmarks.

    Args:
        frontal: (..., 478, 3) in the canonical frame (y up, z towards the camera), any unit.

    Returns:
        (..., len(MOTION_NAMES) - 3).
    """
    unit = np.linalg.norm(frontal[..., 33, :] - frontal[..., 263, :], axis=-1)
    points = frontal / unit[..., None, None]
    nose = points[..., _NOSE_BASE, :]

    def gap(pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
        a, b = (points[..., [pair[k] for pair in pairs], :] for k in (0, 1))
        return np.linalg.norm(a - b, axis=-1).mean(-1)

    def over_nose(index: int) -> np.ndarray:
        return points[..., index, 1] - nose[..., 1]

    def brow(indices: tuple[int, ...], corners: tuple[int, int]) -> np.ndarray:
        return points[..., list(indices), 1].mean(-1) - points[..., list(corners), 1].mean(-1)

    def gaze(iris: tuple[int, ...], corners: tuple[int, int]) -> np.ndarray:
        a, b = (points[..., corner, :2] for corner in corners)
        offset = points[..., list(iris), :2].mean(-2) - (a + b) / 2
        along = (b - a) * np.sign((b - a)[..., :1])  # from the picture's left to its right
        half = np.linalg.norm(along, axis=-1, keepdims=True) / 2
        along = along / (2 * half)
        across = np.stack([-along[..., 1], along[..., 0]], -1)
        return np.stack([(offset * along).sum(-1), (offset * across).sum(-1)], -1) / half

    looks = 0.5 * (gaze(IRIS_LEFT, _CORNERS_LEFT) + gaze(IRIS_RIGHT, _CORNERS_RIGHT))
    columns = [
        -over_nose(_CHIN),
        gap(LIP_PAIRS[:3]),
        gap(((61, 291),)),
        points[..., [0, 13, 14, 17], 2].mean(-1) - nose[..., 2],
        over_nose(13),
        over_nose(14),
        over_nose(291),
        over_nose(61),
        gap(LIDS_LEFT) / gap((_CORNERS_LEFT,)),
        gap(LIDS_RIGHT) / gap((_CORNERS_RIGHT,)),
        brow(BROW_LEFT, _CORNERS_LEFT),
        brow(BROW_RIGHT, _CORNERS_RIGHT),
        looks[..., 0],
        looks[..., 1],
    ]
    return np.stack(columns, -1)


def motion_of_pose(pose: Pose) -> np.ndarray:
    """The coefficients (K,) of one fitted face."""
    return np.concatenate([head_angles(pose.rotation), expression_coefficients(pose.frontal)])


def motion_coefficients(landmarks: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
    """Named motion coefficients of tracked landmarks.

    Args:
        landmarks: (T, 478, 3) or (478, 3) in pixels; frames without a face are NaN.
        reference: (478, 3) the person's own face in the canonical frame, for a steadier pose; the mean face
            by default.

    Returns:
        (T, K) or (K,) float32, columns as in `MOTION_NAMES`; NaN for frames without a face. Gaze means
        nothing while the eyes are shut.
    """
    frames = np.asarray(landmarks)
    if frames.ndim == 2:
        return motion_coefficients(frames[None], reference)[0]
    out = np.full((len(frames), len(MOTION_NAMES)), np.nan, np.float32)
    for k, frame in enumerate(frames):
        if np.isfinite(frame).all():
            out[k] = motion_of_pose(fit_pose(frame, reference))
    return out
