"""People for the ICT head: fitted to a photograph's landmarks, drawn at random, or mixed of several.

Frame of the pictures: pixels, y down; seen without perspective, as in `headgen.synth.fit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import lsq_linear

from headgen.synth.fit import EXPRESSION_SPREAD, FITTED, LIPS, NOISE_CM, Fit, fit_face, landmark_weights
from headgen.synth.heads.expressions import EXPRESSIONS
from headgen.synth.heads.ict_model import (
    BODY_VERTICES,
    EYE_SOCKET_VERTICES,
    EYE_TURNED_OUT_DEG,
    LIDS,
    MAX_GAZE_DEG,
    SIDES,
    SKIN_VERTICES,
    IctModel,
)
from headgen.synth.heads.model import HeadMotion, PosedHead
from headgen.synth.heads.skeleton import turn_angles
from headgen.synth.ict import IctHead

ROUNDS = 4
UPPER_JAW, LOWER_JAW = [2, 164, 0, 5, 1], [18, 200, 199, 17]  # landmarks whose residual carries the teeth
EYE_SIZES = (0.92, 1.08)  # what a fitted eye's width may do to its eyeball
MOUTH = ("mouth", "jaw")  # beginnings of the names that belong to the mouth
IRIS_LANDMARKS = {"R": 468, "L": 473}

DAMPING = 0.8
LARGEST = 2.0
"""Random coefficients are drawn from N(0, `DAMPING`) within this: no caricatures."""


@dataclass(frozen=True)
class FittedHead:
    """A person fitted to a photograph.

    Attributes:
        neutral: (V, 3) float32 neutral vertices of the `IctModel`.
        motion: one frame: expression, turn and gaze of the photograph.
        posed: the head in that frame.
        scale: pixels per centimetre.
        translation: (2,) pixels, where the world's origin lies in the picture.
        error: root mean square distance of the head's landmarks from the photograph's, in outer-eye distances.
    """

    neutral: np.ndarray
    motion: HeadMotion
    posed: PosedHead
    scale: float
    translation: np.ndarray
    error: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) world points to picture x, y (down) and depth (towards the camera), all in pixels."""
        moved = np.asarray(points, np.float64) * (self.scale * np.array([1, -1, 1]))
        moved[..., :2] += self.translation
        return moved


def fit_head(model: IctModel, ict: IctHead, landmarks: np.ndarray) -> FittedHead:
    """Fits a head to a photograph so that its pose there shows the photograph's landmarks.

    The identity comes from `fit_face`. What its 40 modes leave is spread smoothly over the skin; teeth go
    with the jaws, eyeballs and sockets with the lids, lashes with their roots. Lips are closed in the neutral
    face and opened again by the expression alone, so that everybody can close the mouth.

    Args:
        model: the head.
        ict: the same model as the fit sees it.
        landmarks: (478, 3) or (468, 3) tracked; x and y in picture pixels. Without the irises the gaze stays 0.

    Raises:
        ValueError: the landmarks do not show a face.
    """
    fit = fit_face(ict, landmarks)
    base = model.neutral(fit.identity)[model.first]
    target = landmarks[:, :2].astype(np.float64)
    expression = _arkit_coefficients(ict, fit)
    motion = _motion(fit, expression, np.zeros(2))
    residual = fit.residual.astype(np.float32)
    basis = model.landmark_shapes()
    eyes = np.linalg.norm(target[33] - target[263])
    best: FittedHead | None = None
    for turn in range(ROUNDS):
        merged = carry(model, ict, base, residual)
        neutral = merged[model.origin]
        posed = model.pose(neutral, motion)
        translation = _translation(fit, posed)
        head = FittedHead(neutral, motion, posed, fit.scale, translation, 0.0)
        seen = head.project(posed.vertices[0, model.topology.landmarks_478])[:468, :2]
        gap = (target[:468] - seen) * [1, -1] / fit.scale
        error = float(np.sqrt((gap**2).sum(1).mean()) * fit.scale / eyes)
        if best is None or error < best.error:
            best = FittedHead(neutral, motion, posed, fit.scale, translation, error)
        if turn < ROUNDS - 1:
            # first the mouth by expression, then all the rest by shape
            expression = _refitted_mouth(expression, gap, basis, fit)
            gaze = _gaze(model, merged, head, target) if len(target) == 478 else np.zeros(2)
            motion = _motion(fit, expression, gaze)
            if turn:
                residual = residual + (np.hstack([gap, np.zeros((468, 1))]) @ fit.rotation).astype(np.float32)
    assert best is not None
    return best


def carry(model: IctModel, ict: IctHead, merged: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Spreads what landmarks add to a neutral head over all its parts.

    Args:
        model: the head.
        ict: the same model as the fit sees it, with the kernel that spreads.
        merged: (M, 3) neutral vertices before doubling.
        residual: (468, 3) cm.

    Returns:
        (M, 3) float32 neutral vertices with closed lips.
    """
    out = merged.astype(np.float32).copy()
    out[:SKIN_VERTICES] += ict.spread @ residual
    lower = ict.lower_mouth[:, None]
    inside = slice(SKIN_VERTICES, BODY_VERTICES)
    out[inside] += lower * residual[LOWER_JAW].mean(0) + (1 - lower) * residual[UPPER_JAW].mean(0)
    for side in SIDES:
        rim = np.unique(np.concatenate(LIDS[side]))
        shift = (out[rim] - merged[rim]).mean(0)
        sockets = EYE_SOCKET_VERTICES[side]
        out[sockets] = merged[sockets] + shift
        left, right = LIDS[side][0][[0, -1]]
        widths = [np.linalg.norm(points[right] - points[left]) for points in (out, merged)]
        centre, radius = model.eye_placement(merged, side)
        model.set_eye(out, side, centre + shift, radius * float(np.clip(widths[0] / widths[1], *EYE_SIZES)))
        lashes, roots = model.lash_roots[side]
        out[lashes] += out[roots] - merged[roots]
    model.close_lips(out)
    return out


def random_identity(rng: np.random.Generator, count: int = 60) -> np.ndarray:
    """(count,) float32 identity coefficients of a plausible new person."""
    drawn = rng.standard_normal(count) * DAMPING
    return np.clip(drawn, -LARGEST, LARGEST).astype(np.float32)


def mixed_shape(neutrals: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """(V, 3) float32 neutral head between several, all of the same model.

    Eyeballs stay spheres, as all of them are the same mesh, moved and scaled.

    Args:
        neutrals: N neutral heads (V, 3).
        weights: (N,) shares; are scaled to sum up to 1.

    Raises:
        ValueError: not one weight for each head, or a sum of 0.
    """
    weights = np.asarray(weights, np.float64)
    if weights.shape != (len(neutrals),) or weights.sum() <= 0:
        raise ValueError(f"weights {weights.tolist()} for {len(neutrals)} heads: expected one positive share each")
    shares = weights / weights.sum()
    return sum(w * n for w, n in zip(shares, neutrals, strict=True)).astype(np.float32)


def _arkit_coefficients(ict: IctHead, fit: Fit) -> np.ndarray:
    """(E,) the fit's expression in the order of `EXPRESSIONS`; what ARKit has once takes both sides' mean."""
    values = dict(zip(ict.names, fit.expression, strict=True))
    out = np.zeros(len(EXPRESSIONS), np.float32)
    for k, name in enumerate(EXPRESSIONS):
        sided = name.replace("Left", "_L").replace("Right", "_R")
        both = [values[part] for part in (name, sided, f"{name}_L", f"{name}_R") if part in values]
        out[k] = np.mean(both) if both else 0
    return np.clip(out, 0, 1)


def _motion(fit: Fit, expression: np.ndarray, gaze: np.ndarray) -> HeadMotion:
    still = HeadMotion.still()
    return HeadMotion(
        expression=expression[None].astype(np.float32),
        head=turn_angles(fit.rotation)[None].astype(np.float32),
        gaze=gaze[None].astype(np.float32),
        translation=still.translation,
        torso=still.torso,
    )


def _translation(fit: Fit, posed: PosedHead) -> np.ndarray:
    """(2,) pixels: the fit's head turns about the origin, the posed one on its neck."""
    return fit.translation - fit.scale * posed.head_transform[0, :2, 3] * [1, -1]


def _refitted_mouth(expression: np.ndarray, gap: np.ndarray, basis: np.ndarray, fit: Fit) -> np.ndarray:
    """(E,) the expression with the mouth's coefficients changed to close gaps (468, 2) cm at the lips."""
    used = np.array([
        k
        for k, name in enumerate(EXPRESSIONS)
        if name.startswith(MOUTH) and (name in FITTED or name.removesuffix("Left").removesuffix("Right") in FITTED)
    ])  # fmt: skip
    weights = landmark_weights()
    weights[list(LIPS)] *= 2
    weights = np.repeat(np.sqrt(weights), 2) / NOISE_CM
    columns = (basis[used] @ fit.rotation[:2].T).reshape(len(used), -1).T * weights[:, None]
    prior = np.eye(len(used)) / EXPRESSION_SPREAD
    solved = lsq_linear(
        np.vstack([columns, prior]),
        np.concatenate([gap.ravel() * weights, np.zeros(len(used))]),
        bounds=(-expression[used] - 1e-6, 1 - expression[used] + 1e-6),
    )
    out = expression.copy()
    out[used] = np.clip(out[used] + solved.x, 0, 1)
    return out


def _gaze(model: IctModel, merged: np.ndarray, head: FittedHead, target: np.ndarray) -> np.ndarray:
    """(2,) degrees: the turn of both eyes, on average, that brings the irises to where they were tracked."""
    transform = head.posed.head_transform[0]
    found = []
    for side in SIDES:
        centre, radius = model.eye_placement(merged, side)
        middle = head.project(transform[:, :3] @ centre + transform[:, 3])
        offset = (target[IRIS_LANDMARKS[side]] - middle[:2]) * [1, -1] / (head.scale * radius)
        across = np.clip(offset, -0.7, 0.7)
        forward = np.sqrt(1 - (across**2).sum())
        x, y, z = transform[:, :3].T @ np.array([*across, forward])
        out = EYE_TURNED_OUT_DEG * (1 if side == "L" else -1)
        found.append([np.rad2deg(np.arctan2(x, z)) - out, np.rad2deg(np.arcsin(np.clip(y, -1, 1)))])
    return np.clip(np.mean(found, 0), -MAX_GAZE_DEG, MAX_GAZE_DEG)
