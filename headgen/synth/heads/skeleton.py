"""Neck and head: where they bend, how much of a turn each takes, and how the skin between them follows.

Frame of the neutral head: centimetres, x to the picture's right, y up, z towards the camera.

Legend: T frames, V vertices, B = 3 bones (torso, neck, head).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headgen.synth.heads.model import HeadMotion

TORSO_JOINT = np.array([0.0, -25.0, -4.0], np.float32)
"""Pivot of the torso's own turn, inside the chest."""
NECK_JOINT = np.array([0.0, -12.0, -3.5], np.float32)
"""Lower end of the neck, about C7 and T1."""
HEAD_JOINT = np.array([0.0, -1.0, 0.0], np.float32)
"""Between the occipital condyles, a little below and behind the ears' canals."""

NECK_SHARE = np.array([0.4, 0.65, 0.8], np.float32)
"""Share of yaw, pitch and roll that the neck below the second vertebra bends; the rest is the head's.

About 60 % of axial rotation happens between the first two vertebrae, about a third of nodding and less of
side bending above the third (Bogduk and Mercer 2000, Biomechanics of the cervical spine I; rounded).
"""

TILT = 0.47  # how much lower, per cm forwards, head and torso end at the front: chin and pit of the throat
HEAD_ENDS, TORSO_ENDS = -6.4, -13.8  # cm along the tilted height


def rotations(angles: np.ndarray) -> np.ndarray:
    """Turns as matrices.

    Args:
        angles: (..., 3) yaw to the picture's right, pitch up, roll clockwise as seen, in degrees.

    Returns:
        (..., 3, 3) float32: pitch first, then yaw, then roll, about the world's axes.
    """
    yaw, pitch, roll = np.moveaxis(np.deg2rad(np.asarray(angles, np.float64)) * [1, -1, -1], -1, 0)
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    rows = [
        [cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp],
        [sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp],
        [-sy, cy * sp, cy * cp],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2).astype(np.float32)


def turn_angles(rotation: np.ndarray) -> np.ndarray:
    """(..., 3) yaw, pitch, roll in degrees of turns (..., 3, 3); undoes `rotations` for |yaw| < 90."""
    yaw = np.arcsin(np.clip(-rotation[..., 2, 0], -1, 1))
    pitch = -np.arctan2(rotation[..., 2, 1], rotation[..., 2, 2])
    roll = -np.arctan2(rotation[..., 1, 0], rotation[..., 0, 0])
    return np.rad2deg(np.stack([yaw, pitch, roll], -1))


@dataclass(frozen=True)
class Bones:
    """Where the bones of one head are in T frames.

    Attributes:
        transforms: (T, B, 3, 4) float32: neutral head to world, of torso, neck and head.
    """

    transforms: np.ndarray

    @classmethod
    def of(cls, motion: HeadMotion) -> Bones:
        """Poses the bones: the torso turns about its pivot, the neck on the torso, the head on the neck."""
        head = np.asarray(motion.head, np.float32)
        torso = _about(TORSO_JOINT, rotations(motion.torso), np.asarray(motion.translation, np.float32))
        neck = _after(torso, _about(NECK_JOINT, rotations(NECK_SHARE * head)))
        # the head ends turned as far as the motion says, however the neck's share is rounded
        own = np.swapaxes(rotations(NECK_SHARE * head), -1, -2) @ rotations(head)
        return cls(np.stack([torso, neck, _after(neck, _about(HEAD_JOINT, own))], 1))

    def carried(self, points: np.ndarray, bone: int) -> np.ndarray:
        """(T, N, 3) points (N, 3) or (T, N, 3) of the neutral head that are fixed to a bone."""
        transform = self.transforms[:, bone]
        moved: np.ndarray = points @ np.swapaxes(transform[..., :3], -1, -2)
        return moved + transform[:, None, :, 3]


def neck_weights(points: np.ndarray) -> np.ndarray:
    """How much skin follows torso, neck and head.

    Args:
        points: (V, 3) neutral head.

    Returns:
        (V, B) float32 that sum up to 1; smooth along the neck, so that nothing tears or creases.
    """
    height = points[:, 1] + TILT * points[:, 2]
    up = np.clip((height - TORSO_ENDS) / (HEAD_ENDS - TORSO_ENDS), 0, 1)
    head = _smooth((up - 0.4) / 0.6)
    torso = 1 - _smooth(up / 0.6)
    return np.stack([torso, 1 - torso - head, head], 1).astype(np.float32)


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _about(joint: np.ndarray, turn: np.ndarray, shift: np.ndarray | None = None) -> np.ndarray:
    """(T, 3, 4) turn (T, 3, 3) about a joint, and a shift (T, 3)."""
    offset = joint - turn @ joint
    return np.concatenate([turn, (offset if shift is None else offset + shift)[..., None]], -1)


def _after(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """(T, 3, 4) transform that does `inner` and then `outer`."""
    turn = outer[..., :3]
    moved = np.einsum("tij,tj->ti", turn, inner[..., 3]) + outer[..., 3]
    return np.concatenate([turn @ inner[..., :3], moved[..., None]], -1)
