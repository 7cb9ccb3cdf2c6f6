"""A face without its surface: where the tracker's landmarks go, fast enough for hours of motion.

Posing a whole head takes milliseconds a frame. Here the displacement of each landmark is a sum over
expressions, measured once from the head model: right to first order, which is what matters to whoever needs
motion and no picture. What is not linear (lips that touch, lids on the cornea) is only in the head models.

Legend: T frames, E = 52 expressions, N = 478 landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headgen.faces import mesh
from headgen.faces.motion import head_angles
from headgen.synth.heads.expressions import EXPRESSIONS
from headgen.synth.heads.model import HeadModel, HeadMotion
from headgen.synth.heads.skeleton import Bones

PROBE_DEG = 12.0
"""Gaze at which the eyes' share is measured."""
CAMERA_CM = 80.0
"""Distance of the camera, for the size of a head that leans forwards."""


@dataclass(frozen=True)
class LinearFace:
    """The landmarks of one person as a linear function of motion.

    Attributes:
        rest: (N, 3) at rest, in outer-eye distances, x right, y up, z towards the camera; the origin lies
            amid the points that no expression moves.
        centre: (3,) cm, where that origin lies in the neutral head.
        unit: cm of the outer-eye distance.
        shapes: (E, N, 3) displacement of a full expression, in outer-eye distances.
        looks: (4, N, 3) displacement by a degree of gaze to the right, left, up and down.
    """

    rest: np.ndarray
    centre: np.ndarray
    unit: float
    shapes: np.ndarray
    looks: np.ndarray

    @classmethod
    def of(cls, model: HeadModel, identity: np.ndarray) -> LinearFace:
        """Measures a person of a head model.

        Args:
            model: which.
            identity: (K,) coefficients of the person.
        """
        neutral = model.neutral(identity)
        count = len(EXPRESSIONS)
        still = HeadMotion.still(1 + count + 4)
        expression, gaze = still.expression.copy(), still.gaze.copy()
        expression[1 : 1 + count] = np.eye(count)
        gaze[1 + count :] = [(PROBE_DEG, 0), (-PROBE_DEG, 0), (0, PROBE_DEG), (0, -PROBE_DEG)]
        probe = HeadMotion(expression, still.head, gaze, still.translation, still.torso)
        points = model.pose(neutral, probe).vertices[:, model.topology.landmarks_478].astype(np.float64)
        rest = points[0]
        unit = float(np.linalg.norm(rest[33] - rest[263]))
        centre = rest[list(mesh.RIGID)].mean(0)
        moves = (points[1:] - rest) / unit
        moves *= _lid_room(rest)[:, None]
        return cls(
            ((rest - centre) / unit).astype(np.float32),
            centre.astype(np.float32),
            unit,
            moves[:count].astype(np.float32),
            (moves[count:] / PROBE_DEG).astype(np.float32),
        )

    def shape(self, motion: HeadMotion) -> np.ndarray:
        """(T, N, 3) float32 displacement of the landmarks against the head, in outer-eye distances."""
        yaw, pitch = np.asarray(motion.gaze, np.float32).T
        gaze = np.stack([yaw.clip(0), (-yaw).clip(0), pitch.clip(0), (-pitch).clip(0)], -1)
        weights = np.concatenate([np.asarray(motion.expression, np.float32).clip(0, 1), gaze], 1)
        basis = np.concatenate([self.shapes, self.looks]).reshape(weights.shape[1], -1)
        return (weights @ basis).reshape(len(motion), mesh.N_LANDMARKS, 3)

    def pose(self, motion: HeadMotion) -> np.ndarray:
        """Where the head is.

        Returns:
            (T, 6) float32: yaw, pitch, roll in degrees as `headgen.faces.motion.head_angles` counts them, x
            to the right and y down in outer-eye distances, and the log of its size in the picture.
        """
        transform = Bones.of(motion).transforms[:, 2].astype(np.float64)
        place = transform[..., :3] @ self.centre + transform[..., 3] - self.centre
        zoom = np.log(CAMERA_CM / np.maximum(CAMERA_CM - place[:, 2], 1.0))
        parts = [
            head_angles(transform[..., :3]),
            place[:, :1] / self.unit,
            -place[:, 1:2] / self.unit,
            zoom[:, None],
        ]
        return np.concatenate(parts, 1).astype(np.float32)


def _lid_room(rest: np.ndarray) -> np.ndarray:
    """(N,) how much farther each eye's landmarks must move to shut the mean face's eyes than these."""
    room = np.ones(len(rest))
    mean = mesh.mean_face()
    for contour, _, pairs in mesh.EYES:
        gaps = [
            mesh.opening(face, pairs) / float(np.linalg.norm(face[33] - face[263])) for face in (mean, rest)
        ]
        room[list(contour)] = gaps[0] / max(gaps[1], 1e-6)
    return room
