"""Fitting the ICT face to tracked landmarks: pose, identity and expression by regularised least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headgen.synth.correspondence import LANDMARK_VERTEX
from headgen.synth.ict import IctHead

FITTED = (
    "browDown", "browInnerUp", "browOuterUp", "cheekSquint", "eyeBlink", "eyeSquint", "eyeWide", "jawLeft",
    "jawOpen", "jawRight", "mouthDimple", "mouthFrown", "mouthFunnel", "mouthLeft", "mouthLowerDown",
    "mouthPress", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower",
    "mouthShrugUpper", "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer",
)  # fmt: skip
"""Expressions that the fit may use."""

NOISE_CM = 0.15  # expected landmark error
EXPRESSION_SPREAD = 0.4  # expected size of expression coefficients
ROUNDS = 6

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176,
    149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
LIPS = (
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 146, 91, 181, 84, 17, 314, 405, 321, 375, 78, 191, 80,
    81, 82, 13, 312, 311, 310, 415, 308, 95, 88, 178, 87, 14, 317, 402, 318, 324,
)  # fmt: skip
EYES = (
    33, 246, 161, 160, 159, 158, 157, 173, 133, 7, 163, 144, 145, 153, 154, 155,
    362, 398, 384, 385, 386, 387, 388, 466, 263, 382, 381, 380, 374, 373, 390, 249,
)  # fmt: skip


@dataclass(frozen=True)
class Fit:
    """A fitted face, weak perspective.

    Picture position of a model point X: ``scale * (rotation @ X)[:2] * (1, -1) + translation``; its depth in
    pixels towards the camera: ``scale * (rotation @ X)[2]``.

    Attributes:
        rotation: (3, 3) from the model's frame to the camera's (y up, z towards the camera).
        scale: pixels per centimetre.
        translation: (2,) picture pixels.
        identity: (K,) coefficients.
        expression: (E,) coefficients of all shapes (zero for those not fitted).
        shape: (V, 3) the person's neutral face in the model's frame, without residual.
        residual: (468, 3) what the landmarks add to the model, in the model's frame.
        error: root mean square landmark error of the model alone, in outer-eye distances.
    """

    rotation: np.ndarray
    scale: float
    translation: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    shape: np.ndarray
    residual: np.ndarray
    error: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) model points to picture x, y and depth."""
        return project(points, self.rotation, self.scale, self.translation)


def project(points: np.ndarray, rotation: np.ndarray, scale: float, translation: np.ndarray) -> np.ndarray:
    """(N, 3) model points to picture x, y (down) and depth (towards the camera), all in pixels."""
    out: np.ndarray = points @ (rotation.T * scale).astype(np.float32)
    out[:, 1] = -out[:, 1]
    out[:, :2] += translation.astype(np.float32)
    return out


def landmark_weights() -> np.ndarray:
    """(468,) how much each landmark counts in the fit."""
    weights = np.full(468, 0.5)
    weights[list(LIPS)] = 1.5
    weights[list(EYES)] = 1.5
    weights[list(OVAL)] = 0.35  # the outline is where tracker and model mean different things
    return weights


def fit_face(head: IctHead, landmarks: np.ndarray) -> Fit:
    """Fits the model to one picture.

    Args:
        head: the model.
        landmarks: (478, 3) or (468, 3); x and y in picture pixels (y down) are used.
    """
    target = landmarks[:468, :2].astype(np.float64) * [1, -1]
    weights = landmark_weights()
    used = np.array([i for i, n in enumerate(head.names) if n in FITTED or n[:-2] in FITTED])
    modes = len(head.identity)
    base = head.neutral[LANDMARK_VERTEX].astype(np.float64)
    identity_basis = head.identity[:, LANDMARK_VERTEX].astype(np.float64)
    basis = np.concatenate([identity_basis, head.expression[used][:, LANDMARK_VERTEX].astype(np.float64)])
    prior = np.concatenate([np.ones(modes), np.full(len(used), 1 / EXPRESSION_SPREAD)])
    x = np.zeros(len(basis))
    for _ in range(ROUNDS):
        points = base + np.tensordot(x, basis, 1)
        rotation, scale, shift = _weak_perspective(points, target, weights)
        if not np.isfinite(scale):
            raise ValueError("landmarks do not show a face")
        columns = (basis @ (rotation[:2].T * scale)).reshape(len(basis), -1).T  # (2 * 468, K)
        rest = (target - shift - base @ (rotation[:2].T * scale)).reshape(-1)
        w = np.repeat(weights, 2) / (scale * NOISE_CM) ** 2
        x = _bounded_ridge(columns, rest, w, prior, modes)
    points = base + np.tensordot(x, basis, 1)
    rotation, scale, shift = _weak_perspective(points, target, weights)
    gap = target - shift - points @ (rotation[:2].T * scale)
    residual = np.hstack([gap / scale, np.zeros((468, 1))]) @ rotation
    expression = np.zeros(len(head.names), np.float32)
    expression[used] = x[modes:]
    shape = head.neutral + np.tensordot(x[:modes].astype(np.float32), head.identity, 1)
    eyes = np.linalg.norm(target[33] - target[263])
    return Fit(
        rotation=rotation,
        scale=float(scale),
        translation=shift * [1, -1],
        identity=x[:modes].astype(np.float32),
        expression=expression,
        shape=shape,
        residual=residual.astype(np.float32),
        error=float(np.sqrt((gap**2).sum(1).mean()) / eyes),
    )


def _weak_perspective(
    points: np.ndarray, target: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray]:
    """Rotation, scale and shift that bring 3D points (N, 3) closest to 2D points (N, 2), y up."""
    w = weights / weights.sum()
    p0, t0 = w @ points, w @ target
    p, t = points - p0, target - t0
    affine = np.linalg.solve((p * w[:, None]).T @ p, (p * w[:, None]).T @ t).T  # (2, 3)
    u, s, vt = np.linalg.svd(affine, full_matrices=False)
    scale = float(s.mean())
    two = u @ vt
    rotation = np.vstack([two, np.cross(two[0], two[1])])
    return rotation, scale, t0 - scale * (rotation[:2] @ p0)


def _bounded_ridge(
    columns: np.ndarray, rest: np.ndarray, w: np.ndarray, prior: np.ndarray, modes: int
) -> np.ndarray:
    """Ridge regression whose coefficients from ``modes`` on stay between 0 and 1 (active set)."""
    gram = (columns * w[:, None]).T @ columns + np.diag(prior**2)
    right = (columns * w[:, None]).T @ rest
    x = np.zeros(len(right))
    free = np.ones(len(right), bool)
    for _ in range(6):
        fixed = ~free
        x[free] = np.linalg.solve(
            gram[np.ix_(free, free)], right[free] - gram[np.ix_(free, fixed)] @ x[fixed]
        )
        outside = free & (np.arange(len(x)) >= modes) & ((x < 0) | (x > 1))
        if not outside.any():
            break
        x[outside] = np.clip(x[outside], 0, 1)
        free &= ~outside
    return x
