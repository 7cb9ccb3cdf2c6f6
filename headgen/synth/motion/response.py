"""What the named expressions do to measured motion coefficients: from `HeadMotion` to tracked quantities.

`RESPONSE` was measured on the ICT face (neutral identity): each shape set to 1, landmarks read at the
vertices of `headgen.synth.correspondence`, coefficients by `headgen.faces.motion`. `measure_response` does it
again. The gap of the lips is signed here, so that shapes that close the mouth and shapes that open it add up.
"""

from __future__ import annotations

import numpy as np

from headgen.faces.mesh import LIP_PAIRS
from headgen.faces.motion import MOTION_NAMES, expression_coefficients, head_angles, head_rotation
from headgen.synth.correspondence import LANDMARK_VERTEX
from headgen.synth.heads.expressions import EXPRESSIONS
from headgen.synth.heads.model import HeadMotion
from headgen.synth.ict import IctHead
from headgen.synth.motion.statistics import gaze_offsets

RESTING = {
    "jaw_open": 0.727,
    "mouth_open": 0.009,
    "mouth_width": 0.568,
    "mouth_pucker": -0.017,
    "lip_upper": -0.251,
    "lip_lower": -0.259,
    "smile_left": -0.273,
    "smile_right": -0.273,
    "eye_left": 0.345,
    "eye_right": 0.345,
    "brow_left": 0.268,
    "brow_right": 0.268,
}
"""Coefficients of the neutral ICT face."""

RESPONSE: dict[str, dict[str, float]] = {
    "browDownLeft": {"eye_left": -0.006, "brow_left": -0.028},
    "browDownRight": {"eye_right": -0.006, "brow_right": -0.028},
    "browInnerUp": {"jaw_open": 0.004, "lip_lower": -0.004, "brow_left": 0.035, "brow_right": 0.035},
    "browOuterUpLeft": {"eye_left": 0.011, "brow_left": 0.066},
    "browOuterUpRight": {"eye_right": 0.011, "brow_right": 0.066},
    "cheekPuff": {
        "jaw_open": -0.006,
        "mouth_open": -0.011,
        "mouth_width": -0.063,
        "mouth_pucker": 0.038,
        "lip_upper": -0.019,
        "lip_lower": -0.014,
    },
    "cheekSquintLeft": {"mouth_width": 0.011, "smile_left": 0.007, "eye_left": -0.089, "brow_left": -0.009},
    "cheekSquintRight": {
        "mouth_width": 0.011,
        "smile_right": 0.007,
        "eye_right": -0.089,
        "brow_right": -0.009,
    },
    "eyeBlinkLeft": {"eye_left": -0.289, "brow_left": 0.006},
    "eyeBlinkRight": {"eye_right": -0.289, "brow_right": 0.006},
    "eyeLookDownLeft": {"eye_left": -0.164, "brow_left": 0.016},
    "eyeLookDownRight": {"eye_right": -0.164, "brow_right": 0.017},
    "eyeLookInLeft": {"jaw_open": 0.010, "mouth_width": 0.008},
    "eyeLookInRight": {"jaw_open": 0.010, "mouth_width": 0.008},
    "eyeLookOutLeft": {"jaw_open": -0.008, "mouth_width": -0.006, "eye_left": -0.020, "brow_left": -0.004},
    "eyeLookOutRight": {"jaw_open": -0.008, "mouth_width": -0.006, "eye_right": -0.020, "brow_right": -0.004},
    "eyeLookUpLeft": {"eye_left": 0.058, "brow_left": -0.010},
    "eyeLookUpRight": {"eye_right": 0.058, "brow_right": -0.010},
    "eyeSquintLeft": {"eye_left": -0.077, "brow_left": -0.005},
    "eyeSquintRight": {"eye_right": -0.077, "brow_right": -0.004},
    "eyeWideLeft": {"eye_left": 0.098, "brow_left": -0.008},
    "eyeWideRight": {"eye_right": 0.098, "brow_right": -0.008},
    "jawForward": {
        "jaw_open": 0.018,
        "mouth_open": -0.037,
        "mouth_width": 0.010,
        "mouth_pucker": 0.053,
        "lip_lower": -0.015,
        "smile_left": -0.006,
        "smile_right": -0.006,
    },
    "jawLeft": {"mouth_open": -0.007, "mouth_width": 0.006, "mouth_pucker": 0.005, "smile_left": 0.004},
    "jawOpen": {
        "jaw_open": 0.305,
        "mouth_open": 0.410,
        "mouth_width": -0.064,
        "mouth_pucker": -0.109,
        "lip_upper": -0.016,
        "lip_lower": -0.384,
        "smile_left": -0.136,
        "smile_right": -0.136,
        "eye_left": 0.006,
        "eye_right": 0.006,
    },
    "jawRight": {"mouth_open": -0.007, "mouth_width": 0.006, "mouth_pucker": 0.005, "smile_right": 0.004},
    "mouthClose": {
        "jaw_open": -0.044,
        "mouth_open": -0.456,
        "mouth_width": 0.032,
        "mouth_pucker": 0.099,
        "lip_upper": -0.008,
        "lip_lower": 0.428,
        "smile_left": 0.153,
        "smile_right": 0.153,
    },
    "mouthDimpleLeft": {"jaw_open": -0.007, "mouth_width": 0.014, "lip_lower": 0.005, "smile_left": 0.032},
    "mouthDimpleRight": {"jaw_open": -0.007, "mouth_width": 0.014, "lip_lower": 0.005, "smile_right": 0.032},
    "mouthFrownLeft": {"jaw_open": -0.009, "mouth_width": 0.024, "smile_left": -0.048},
    "mouthFrownRight": {"jaw_open": -0.009, "mouth_width": 0.024, "smile_right": -0.048},
    "mouthFunnel": {
        "jaw_open": 0.044,
        "mouth_open": 0.121,
        "mouth_width": -0.077,
        "mouth_pucker": 0.075,
        "lip_upper": 0.059,
        "lip_lower": -0.095,
    },
    "mouthLeft": {
        "jaw_open": 0.016,
        "mouth_open": -0.008,
        "mouth_width": -0.078,
        "mouth_pucker": -0.018,
        "lip_upper": -0.015,
        "lip_lower": -0.007,
        "smile_left": 0.046,
        "smile_right": -0.014,
    },
    "mouthLowerDownLeft": {
        "jaw_open": 0.020,
        "mouth_open": 0.035,
        "mouth_pucker": -0.005,
        "lip_lower": -0.038,
        "smile_left": -0.013,
    },
    "mouthLowerDownRight": {
        "jaw_open": 0.020,
        "mouth_open": 0.035,
        "mouth_pucker": -0.005,
        "lip_lower": -0.038,
        "smile_right": -0.013,
    },
    "mouthPressLeft": {"jaw_open": -0.027, "mouth_open": -0.017, "lip_lower": 0.013, "smile_left": 0.017},
    "mouthPressRight": {"jaw_open": -0.027, "mouth_open": -0.017, "lip_lower": 0.013, "smile_right": 0.017},
    "mouthPucker": {
        "jaw_open": -0.016,
        "mouth_open": -0.020,
        "mouth_width": -0.104,
        "mouth_pucker": 0.086,
        "lip_upper": 0.004,
        "lip_lower": 0.010,
        "smile_left": 0.032,
        "smile_right": 0.032,
    },
    "mouthRight": {
        "jaw_open": 0.016,
        "mouth_open": -0.008,
        "mouth_width": -0.078,
        "mouth_pucker": -0.018,
        "lip_upper": -0.015,
        "lip_lower": -0.007,
        "smile_left": -0.014,
        "smile_right": 0.046,
    },
    "mouthRollLower": {"mouth_open": 0.037, "mouth_width": 0.008, "mouth_pucker": -0.049, "lip_lower": 0.042},
    "mouthRollUpper": {
        "jaw_open": -0.014,
        "mouth_open": -0.046,
        "mouth_width": 0.036,
        "mouth_pucker": -0.037,
        "lip_upper": 0.034,
        "lip_lower": 0.014,
        "smile_left": 0.020,
        "smile_right": 0.020,
    },
    "mouthShrugLower": {
        "jaw_open": -0.091,
        "mouth_open": -0.095,
        "mouth_width": 0.016,
        "mouth_pucker": 0.030,
        "lip_lower": 0.077,
        "smile_left": 0.019,
        "smile_right": 0.019,
    },
    "mouthShrugUpper": {
        "jaw_open": 0.025,
        "mouth_open": 0.055,
        "lip_upper": 0.034,
        "lip_lower": -0.025,
        "smile_left": -0.023,
        "smile_right": -0.023,
    },
    "mouthSmileLeft": {
        "jaw_open": -0.015,
        "mouth_width": 0.098,
        "mouth_pucker": -0.005,
        "lip_upper": 0.018,
        "lip_lower": 0.018,
        "smile_left": 0.115,
        "eye_left": -0.020,
    },
    "mouthSmileRight": {
        "jaw_open": -0.015,
        "mouth_width": 0.098,
        "mouth_pucker": -0.005,
        "lip_upper": 0.018,
        "lip_lower": 0.018,
        "smile_right": 0.115,
        "eye_right": -0.020,
    },
    "mouthStretchLeft": {
        "jaw_open": -0.007,
        "mouth_width": 0.080,
        "mouth_pucker": -0.005,
        "smile_left": -0.033,
    },
    "mouthStretchRight": {
        "jaw_open": -0.007,
        "mouth_width": 0.080,
        "mouth_pucker": -0.005,
        "smile_right": -0.033,
    },
    "mouthUpperUpLeft": {
        "jaw_open": 0.011,
        "mouth_open": 0.034,
        "mouth_width": 0.004,
        "lip_upper": 0.031,
        "lip_lower": -0.009,
        "smile_left": 0.037,
        "smile_right": -0.012,
        "eye_left": -0.008,
    },
    "mouthUpperUpRight": {
        "jaw_open": 0.011,
        "mouth_open": 0.034,
        "mouth_width": 0.004,
        "lip_upper": 0.031,
        "lip_lower": -0.009,
        "smile_left": -0.012,
        "smile_right": 0.037,
        "eye_right": -0.008,
    },
    "noseSneerLeft": {
        "jaw_open": 0.016,
        "mouth_open": 0.030,
        "mouth_width": -0.006,
        "lip_upper": 0.020,
        "lip_lower": -0.014,
        "smile_left": 0.051,
        "smile_right": -0.019,
        "eye_left": -0.044,
        "brow_left": -0.025,
    },
    "noseSneerRight": {
        "jaw_open": 0.016,
        "mouth_open": 0.030,
        "mouth_width": -0.006,
        "lip_upper": 0.020,
        "lip_lower": -0.014,
        "smile_left": -0.019,
        "smile_right": 0.051,
        "eye_right": -0.044,
        "brow_right": -0.025,
    },
}
"""What a shape at 1 adds to each coefficient; changes below .004 are left out.

A sum of these lies within 0.002 outer-eye distances of the deformed ICT face's own coefficients (root mean
square over the coefficients and 200 random faces of one to five shapes).
"""

SHUT = 0.055  # lid gap over the eye's width when shut, ICT face: what is left of the open .345
GAP_DIRECTION = np.array([0.0, 0.87, 0.5])  # from the lower to the upper lip as the jaw drops, ICT face
_MEASURED = tuple(RESTING)  # coefficients between the pose and the gaze


def measure_response(head: IctHead) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """`RESTING` and `RESPONSE`, measured on an ICT head.

    Args:
        head: the model.

    Returns:
        resting coefficients; for every expression of `EXPRESSIONS` that the model has, its changes.
    """
    rest = _coefficients(head.neutral)
    changes = {}
    for name in EXPRESSIONS:
        moved = head.neutral + np.tensordot(_shapes(head, name), head.expression, 1)
        difference = _coefficients(moved) - rest
        kept = {c: float(d) for c, d in zip(_MEASURED, difference, strict=True) if abs(d) >= 0.004}
        if kept:
            changes[name] = kept
    return dict(zip(_MEASURED, map(float, rest), strict=True)), changes


def _shapes(head: IctHead, name: str) -> np.ndarray:
    """(E,) coefficients of the ICT model for one ARKit shape."""
    own = name.replace("Left", "_L").replace("Right", "_R") if name[-4:] in ("Left", "ight") else name
    own = {"jaw_L": "jawLeft", "jaw_R": "jawRight", "mouth_L": "mouthLeft", "mouth_R": "mouthRight"}.get(
        own, own
    )
    hits = [own, f"{own}_L", f"{own}_R"]
    return np.array([n in hits for n in head.names], np.float32)


def _coefficients(vertices: np.ndarray) -> np.ndarray:
    """(12,) coefficients of a head's vertices (V, 3); the lips' gap is signed."""
    landmarks = np.zeros((478, 3))
    landmarks[:468] = vertices[LANDMARK_VERTEX]
    unit = np.linalg.norm(landmarks[33] - landmarks[263])
    # the irises are no vertices of the model: gaze comes from its angle instead
    values = expression_coefficients(landmarks)[: len(_MEASURED)].copy()
    upper, lower = np.array(LIP_PAIRS[:3]).T
    gap = (landmarks[upper] - landmarks[lower]).mean(0) @ GAP_DIRECTION
    values[MOTION_NAMES.index("mouth_open") - 3] = gap / unit
    return values


def _matrix() -> np.ndarray:
    """(52, 12) of `RESPONSE`."""
    out = np.zeros((len(EXPRESSIONS), len(_MEASURED)))
    for name, changes in RESPONSE.items():
        for coefficient, change in changes.items():
            out[EXPRESSIONS.index(name), _MEASURED.index(coefficient)] = change
    return out


def coefficients_of(motion: HeadMotion) -> np.ndarray:
    """Motion coefficients that a perfect tracker would read off a face moved so.

    Head angles are those of torso and head together. Gaze goes by `statistics.GAZE_GAIN`; lids and lips stop
    where they meet.

    Args:
        motion: T frames.

    Returns:
        (T, K) columns as in `MOTION_NAMES`.
    """
    turn = head_rotation(motion.torso) @ head_rotation(motion.head)
    face = np.array([RESTING[name] for name in _MEASURED]) + motion.expression @ _matrix()
    columns = dict(zip(_MEASURED, face.T, strict=True))
    columns["mouth_open"] = np.maximum(columns["mouth_open"], 0)
    for eye in ("eye_left", "eye_right"):
        columns[eye] = np.maximum(columns[eye], SHUT)
    angles = head_angles(turn)
    offsets = gaze_offsets(motion.gaze)
    pose = [angles[:, k] for k in range(3)]
    return np.stack([*pose, *(columns[name] for name in _MEASURED), offsets[:, 0], offsets[:, 1]], 1)
