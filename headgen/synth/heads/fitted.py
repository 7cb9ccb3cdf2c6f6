"""People for the ICT head: fitted to a photograph's landmarks, drawn at random, or mixed of several.

Frame of the pictures: pixels, y down; seen without perspective, as in `headgen.synth.fit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import lsq_linear
from scipy.spatial.distance import cdist

from headgen.synth.correspondence import LANDMARK_VERTEX
from headgen.synth.fit import EXPRESSION_SPREAD, FITTED, NOISE_CM, Fit, fit_face, landmark_weights
from headgen.synth.heads.expressions import EXPRESSIONS
from headgen.synth.heads.ict_model import (
    BODY_VERTICES,
    EYE_REST_DEG,
    EYE_SOCKET_VERTICES,
    LIDS,
    MAX_GAZE_DEG,
    SIDES,
    SKIN_VERTICES,
    IctModel,
)
from headgen.synth.heads.model import HeadMotion, PosedHead
from headgen.synth.heads.skeleton import turn_angles
from headgen.synth.heads.tracked_vertices import TRACKED_VERTEX
from headgen.synth.ict import SPREAD_CM, IctHead

ROUNDS = 4
SHARED_ERROR_CM = 0.4
SPREAD_DOUBT = 0.06  # of landmarks that lie close together and disagree: lips stay smooth
LIP_PAIRS = (
    (191, 95), (80, 88), (81, 178), (82, 87), (13, 14), (312, 317), (311, 402), (310, 318), (415, 324),
)  # fmt: skip
"""Landmarks of the upper and the lower inner lip that meet."""
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
        error: root mean square distance of the head's landmarks from the photograph's, in outer-eye
            distances.
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


class HeadFitter:
    """Fits `IctModel` heads to photographs."""

    def __init__(self, model: IctModel, ict: IctHead) -> None:
        """Prepares fits.

        Args:
            model: the head.
            ict: the same model as `fit_face` sees it.
        """
        self.model = model
        self.ict = ict
        self._shapes = model.expression_shapes(TRACKED_VERTEX)
        self._offset = ict.neutral[TRACKED_VERTEX] - ict.neutral[LANDMARK_VERTEX]
        self._spread = self._spreading()

    def _spreading(self) -> np.ndarray:
        """(SKIN_VERTICES, 468) weights that carry displacements from the landmarks to all skin vertices.

        The kernel of `IctHead.spread`, on an open mouth and eyes, between the tracker's own vertices.
        """
        ict = self.ict
        opened = ict.neutral + np.tensordot(
            ict.coefficients({"jawOpen": 0.9, "eyeWide": 1}), ict.expression, 1
        )
        anchors = opened[TRACKED_VERTEX]
        gram = _kernel(anchors, anchors) + SPREAD_DOUBT * np.eye(len(anchors))
        return np.linalg.solve(gram, _kernel(anchors, opened[:SKIN_VERTICES])).T.astype(np.float32)

    def fit(self, landmarks: np.ndarray) -> FittedHead:
        """Fits a head to a photograph so that its pose there shows the photograph's landmarks.

        The identity comes from `fit_face`. What its 40 modes leave is spread smoothly over the skin; teeth go
        with the jaws, eyeballs and sockets with the lids, lashes with their roots. Lips are closed in the
        neutral face and opened again by the expression alone, so that everybody can close the mouth.

        Args:
            landmarks: (478, 3) or (468, 3) tracked; x and y in picture pixels. Without irises the gaze is 0.

        Raises:
            ValueError: the landmarks do not show a face.
        """
        model = self.model
        try:
            first = fit_face(self.ict, landmarks)
        except np.linalg.LinAlgError as cause:
            raise ValueError("landmarks do not show a face") from cause
        # what the fit takes for its own vertices' places was tracked at others
        moved = landmarks[:468, :2] - (self._offset @ first.rotation[:2].T) * [1, -1] * first.scale
        fit = fit_face(self.ict, moved)
        target = landmarks[:, :2].astype(np.float64)
        identity, residual = self._cautious_identity(fit, moved)
        base = model.neutral(identity)[model.first]
        eyes = np.linalg.norm(target[33] - target[263])
        expression = _arkit_coefficients(self.ict, fit)
        gaze = np.zeros(2)
        best: FittedHead | None = None
        for turn in range(ROUNDS):
            merged = self.carry(base, _without_lip_gap(residual))
            neutral = merged[model.origin]
            motion = _motion(fit, expression, gaze)
            posed = model.pose(neutral, motion)
            # the fit's head turns about the origin, the posed one on its neck
            translation = fit.translation - fit.scale * posed.head_transform[0, :2, 3] * [1, -1]
            head = FittedHead(neutral, motion, posed, fit.scale, translation, 0.0)
            seen = head.project(posed.vertices[0, model.topology.landmarks_478])[:468, :2]
            gap = (target[:468] - seen) * [1, -1] / fit.scale
            error = float(np.sqrt((gap**2).sum(1).mean()) * fit.scale / eyes)
            if best is None or error < best.error:
                best = replace(head, error=error)
            # first the mouth by expression, then all the rest by shape
            expression = self._refitted_mouth(expression, gap, fit)
            if len(target) == 478:
                gaze = self._gaze(merged, head, target)
            if turn:
                residual = residual + (np.hstack([gap, np.zeros((468, 1))]) @ fit.rotation).astype(np.float32)
        assert best is not None
        return best

    def _cautious_identity(self, fit: Fit, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The identity with its depth in doubt.

        Our design: `fit_face` takes landmark errors as independent, follows them to the last and pays with
        the shape's depth, which they hardly show. Here errors are `SHARED_ERROR_CM` large, as if whole
        regions shared them, so that the shape stays near the population's mean in what is not seen clearly;
        the residual makes up for the rest.

        Returns:
            coefficients (K,) and what they leave: (468, 3) cm in the model's frame.
        """
        ict = self.ict
        base = (ict.neutral + np.tensordot(fit.expression, ict.expression, 1))[LANDMARK_VERTEX]
        camera = fit.rotation[:2].T
        seen = (landmarks[:468] - fit.translation) * [1, -1] / fit.scale - base @ camera
        columns = (ict.identity[:, LANDMARK_VERTEX] @ camera).reshape(len(ict.identity), -1).T
        weights = np.repeat(landmark_weights(), 2) / SHARED_ERROR_CM**2
        gram = (columns * weights[:, None]).T @ columns + np.eye(columns.shape[1])
        identity = np.linalg.solve(gram, (columns * weights[:, None]).T @ seen.ravel())
        gap = seen - (columns @ identity).reshape(-1, 2)
        residual = np.hstack([gap, np.zeros((468, 1))]) @ fit.rotation
        return identity.astype(np.float32), residual.astype(np.float32)

    def carry(self, merged: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """Spreads what landmarks add to a neutral head over all its parts.

        Args:
            merged: (M, 3) neutral vertices before doubling.
            residual: (468, 3) cm.

        Returns:
            (M, 3) float32 neutral vertices with closed lips.
        """
        model = self.model
        out = merged.astype(np.float32).copy()
        out[:SKIN_VERTICES] += self._spread @ residual
        lower = self.ict.lower_mouth[:, None]
        inside = slice(SKIN_VERTICES, BODY_VERTICES)
        out[inside] += lower * residual[LOWER_JAW].mean(0) + (1 - lower) * residual[UPPER_JAW].mean(0)
        for side in SIDES:
            rim = np.unique(np.concatenate(LIDS[side]))
            shift = (out[rim] - merged[rim]).mean(0)
            sockets = EYE_SOCKET_VERTICES[side]
            out[sockets] = merged[sockets] + shift
            left, right = LIDS[side][0][[0, -1]]
            new, old = (float(np.linalg.norm(points[right] - points[left])) for points in (out, merged))
            centre, radius = model.eye_placement(merged, side)
            model.set_eye(out, side, centre + shift, radius * float(np.clip(new / old, *EYE_SIZES)))
            lashes, roots = model.lash_roots[side]
            out[lashes] += out[roots] - merged[roots]
        model.close_lips(out)
        return out

    def _refitted_mouth(self, expression: np.ndarray, gap: np.ndarray, fit: Fit) -> np.ndarray:
        """(E,) the expression with the mouth's coefficients changed to close gaps (468, 2) cm at the lips."""
        stems = [name.removesuffix("Left").removesuffix("Right") for name in EXPRESSIONS]
        used = np.array([
            k
            for k, (name, stem) in enumerate(zip(EXPRESSIONS, stems, strict=True))
            if name.startswith(MOUTH) and (name in FITTED or stem in FITTED)
        ])  # fmt: skip
        weights = np.repeat(np.sqrt(landmark_weights()), 2) / NOISE_CM
        columns = (self._shapes[used] @ fit.rotation[:2].T).reshape(len(used), -1).T * weights[:, None]
        prior = np.eye(len(used)) / EXPRESSION_SPREAD
        solved = lsq_linear(
            np.vstack([columns, prior]),
            np.concatenate([gap.ravel() * weights, np.zeros(len(used))]),
            bounds=(-expression[used] - 1e-6, 1 - expression[used] + 1e-6),
        )
        out = expression.copy()
        out[used] = np.clip(out[used] + solved.x, 0, 1)
        return out

    def _gaze(self, merged: np.ndarray, head: FittedHead, target: np.ndarray) -> np.ndarray:
        """(2,) degrees: the mean turn of both eyes that brings the irises to where they were tracked."""
        transform = head.posed.head_transform[0]
        found = []
        for side in SIDES:
            centre, radius = self.model.eye_placement(merged, side)
            middle = head.project(transform[:, :3] @ centre + transform[:, 3])
            offset = (target[IRIS_LANDMARKS[side]] - middle[:2]) * [1, -1] / (head.scale * radius)
            across = np.clip(offset, -0.7, 0.7)
            forward = np.sqrt(1 - (across**2).sum())
            x, y, z = transform[:, :3].T @ np.array([*across, forward])
            points_at = np.rad2deg([np.arctan2(x, z), np.arcsin(np.clip(y, -1, 1))])
            found.append(points_at - EYE_REST_DEG[side])
        return np.clip(np.mean(found, 0), -MAX_GAZE_DEG, MAX_GAZE_DEG)


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
        raise ValueError(
            f"weights {weights.tolist()} for {len(neutrals)} heads: expected one positive share each"
        )
    shares = weights / weights.sum()
    return sum(w * n for w, n in zip(shares, neutrals, strict=True)).astype(np.float32)


def _without_lip_gap(residual: np.ndarray) -> np.ndarray:
    """(468, 3) what landmarks add, less what opens the lips: that is the expression's."""
    out = residual.copy()
    up, low = np.array(LIP_PAIRS).T
    out[up, 1] = out[low, 1] = (residual[up, 1] + residual[low, 1]) / 2
    return out


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


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matern kernel of smoothness 3/2 between points (N, 3) and (M, 3)."""
    distance = cdist(a, b) * (np.sqrt(3) / SPREAD_CM)
    kernel: np.ndarray = (1 + distance) * np.exp(-distance)
    return kernel
