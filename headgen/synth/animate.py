"""What an animated portrait is asked to do: expressions, gaze and head pose, drawn at random or given.

Also the geometry behind it: the fitted face in a new expression, with lips that meet when they should and
lids that close.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter1d

from headgen.synth.correspondence import INNER_LIP_LOWER, INNER_LIP_UPPER, LANDMARK_VERTEX
from headgen.synth.fit import Fit
from headgen.synth.ict import SKIN_VERTICES, IctHead

MOUTH_SHAPES = ("mouth", "jaw")  # beginnings of the names that belong to the mouth

LIP_PAIRS = (
    (191, 95), (80, 88), (81, 178), (82, 87), (13, 14), (312, 317), (311, 402), (310, 318), (415, 324),
)  # fmt: skip
EYE_PAIRS = {
    "R": ((246, 7), (161, 163), (160, 144), (159, 145), (158, 153), (157, 154), (173, 155)),
    "L": ((466, 249), (388, 390), (387, 373), (386, 374), (385, 380), (384, 381), (398, 382)),
}
TONGUE_LIFT = 0.45  # cm: speaking people hold it higher than the model does
UPPER_LID_SHARE = 0.85  # of a blink is the upper lid's way
PIVOT = np.array([0.0, -5.0, -1.0])  # cm: where the head turns on the neck

MAX_YAW, MAX_PITCH, MAX_ROLL = 28.0, 18.0, 14.0


@dataclass(frozen=True)
class Action:
    """One frame of an animated portrait.

    Attributes:
        expression: (E,) coefficients of the ICT shapes, blinks left out.
        blink: how far the right and left lids are closed, 0 to 1 of the portrait's own opening; wider
            below 0.
        gaze: (2,) shift of both irises in iris radii, x to the picture's right and y down.
        turn: yaw, pitch, roll in degrees, on top of the portrait's own pose.
        shift: (2,) of the head, in centimetres, picture axes.
        zoom: scale of the head relative to the portrait's.
        body: share of the head's shift that the shoulders follow.
    """

    expression: np.ndarray
    blink: tuple[float, float] = (0.0, 0.0)
    gaze: tuple[float, float] = (0.0, 0.0)
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    body: float = 0.3


@dataclass
class Animator:
    """The fitted face of a portrait in new expressions and poses.

    Attributes:
        head: the ICT model.
        fit: the portrait's fit.
        teeth: how far the upper teeth stand lower and the lower teeth higher than the model's, cm.
        source: (V, 3) the face as the photograph shows it, in the model's frame.
    """

    head: IctHead
    fit: Fit
    teeth: tuple[float, float] = (0.0, 0.0)
    source: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        """Works out the face of the photograph."""
        fit = self.fit
        self._mark_expression = self.head.expression[:, LANDMARK_VERTEX]
        self._skull_residual = fit.residual[[2, 164, 0, 5, 1]].mean(0)
        self._jaw_residual = fit.residual[[18, 200, 199, 17]].mean(0)
        self.source = self._shape(fit.expression, fit.residual)
        own = self._modelled(fit.expression)
        rest = self._modelled(np.zeros_like(fit.expression))
        up, low = np.array(LIP_PAIRS).T
        self._rest_gap = rest[up, 1] - rest[low, 1]
        self._own_gap = own[up, 1] - own[low, 1] - self._rest_gap
        self._eye_gap = {}
        marks = self.source[LANDMARK_VERTEX]
        for side, pairs in EYE_PAIRS.items():
            up, low = np.array(pairs).T
            self._eye_gap[side] = marks[up, 1] - marks[low, 1]

    def _modelled(self, expression: np.ndarray) -> np.ndarray:
        """(468, 3) landmarks of the model without residual."""
        moved = np.tensordot(expression, self._mark_expression, 1)
        return self.fit.shape[LANDMARK_VERTEX] + moved

    def _shape(self, expression: np.ndarray, residual: np.ndarray) -> np.ndarray:
        flat = self.head.expression.reshape(len(expression), -1)
        points = self.fit.shape + (expression.astype(np.float32) @ flat).reshape(-1, 3)
        points[:SKIN_VERTICES] += self.head.spread @ residual
        inside = points[SKIN_VERTICES:]
        # the lower half of the mouth goes with the jaw
        lower = self.head.lower_mouth[:, None]
        inside += lower * self._jaw_residual + (1 - lower) * self._skull_residual
        inside[:, 1] += lower[:, 0] * self.teeth[1] - (1 - lower[:, 0]) * self.teeth[0]
        inside[:, 1] += TONGUE_LIFT * self.head.tongue
        return points

    def points(self, action: Action) -> np.ndarray:
        """(V, 3) the face in the action's expression, in the model's frame."""
        expression = action.expression.copy()
        names = self.head.names
        for side, closed in zip("RL", action.blink, strict=True):
            expression[names.index(f"eyeBlink_{side}")] = np.clip(closed, 0, 1)
        residual = self.fit.residual.copy()

        up, low = np.array(LIP_PAIRS).T
        marks = self._modelled(expression)
        gap = marks[up, 1] - marks[low, 1] - self._rest_gap
        extra = residual[up, 1] - residual[low, 1]
        # what the landmarks add to the photograph's open mouth fades as the mouth closes
        fade = np.clip(gap / np.maximum(self._own_gap, 0.25), 0, 1)
        wanted = np.maximum(gap + fade * (extra + self._rest_gap), 0)
        wanted[wanted < 0.06] = 0
        change = wanted - (gap + self._rest_gap + extra)
        residual[up, 1] += change / 2
        residual[low, 1] -= change / 2

        for (side, pairs), closed in zip(EYE_PAIRS.items(), action.blink, strict=True):
            up, low = np.array(pairs).T
            current = (marks + residual)[up, 1] - (marks + residual)[low, 1]
            change = (1 - closed) * self._eye_gap[side] - current
            residual[up, 1] += UPPER_LID_SHARE * change
            residual[low, 1] -= (1 - UPPER_LID_SHARE) * change
        points = self._shape(expression, residual)
        self._seal_lips(points, np.maximum(wanted, 0))
        return points

    def _seal_lips(self, points: np.ndarray, gaps: np.ndarray) -> None:
        """Brings the two lip lines exactly as far apart as wanted; ``gaps`` (9,) at `LIP_PAIRS`."""
        up, low = np.array(LIP_PAIRS).T
        left, right = points[INNER_LIP_UPPER[0], 0], points[INNER_LIP_UPPER[-1], 0]
        at = (points[LANDMARK_VERTEX[up], 0] + points[LANDMARK_VERTEX[low], 0]) / 2
        order = np.argsort(at)
        knots = np.concatenate([[left], at[order], [right]])
        heights = np.concatenate([[0], gaps[order], [0]])
        upper, lower = points[INNER_LIP_UPPER], points[INNER_LIP_LOWER]
        reach = np.sort(upper[:, 0]), np.sort(lower[:, 0])
        grid = np.linspace(left, right, 41)
        top = np.interp(grid, reach[0], upper[np.argsort(upper[:, 0]), 1])
        bottom = np.interp(grid, reach[1], lower[np.argsort(lower[:, 0]), 1])
        gap = np.interp(grid, knots, heights)
        middle = gaussian_filter1d((top + bottom) / 2, 1.2, mode="nearest")
        # only what the lines miss their gap by is changed, and all of it only where the lips meet
        shut = np.clip(1 - gap / 0.3, 0, 1)
        share = np.where(top - bottom < gap, 1, shut)
        top_change = share * (middle + gap / 2 - top)
        bottom_change = share * (middle - gap / 2 - bottom)
        for (vertices, line, weights), change in zip(
            self.head.lip_neighbourhood, (top_change, bottom_change), strict=True
        ):
            points[vertices, 1] += weights * np.interp(points[line, 0], grid, change)

    def pose(self, action: Action) -> tuple[np.ndarray, float, np.ndarray]:
        """Rotation, scale and translation of the head in the action, as in `Fit`."""
        fit = self.fit
        rotation = rotation_matrix(*action.turn) @ fit.rotation
        scale = fit.scale * action.zoom
        flip = np.array([1.0, -1.0])
        pivot = fit.scale * (fit.rotation @ PIVOT)[:2] * flip + fit.translation
        pivot = pivot + np.array(action.shift) * fit.scale
        return rotation, scale, pivot - scale * (rotation @ PIVOT)[:2] * flip


def rotation_matrix(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """(3, 3) turn in the camera's frame (y up).

    Args:
        yaw: degrees to the picture's right.
        pitch: degrees up.
        roll: degrees clockwise as seen.
    """
    y, p, r = np.deg2rad([yaw, -pitch, -roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def own_action(fit: Fit) -> Action:
    """The portrait as it is."""
    expression = fit.expression.copy()
    return Action(expression)


def random_action(
    head: IctHead, fit: Fit, rng: np.random.Generator, kind: str, *, calm_lids: bool = False
) -> Action:
    """Draws an action.

    Args:
        head: the ICT model.
        fit: the portrait's fit.
        rng: source of chance.
        kind: ``closed`` (mouth shut, little else), ``open`` (jaw open from a neutral mouth), ``pose`` (the
            portrait's own mouth) or ``mixed``.
        calm_lids: no blinks and smaller brows, for people with glasses.
    """
    own = fit.expression
    names = head.names
    mouth = np.array([name.startswith(MOUTH_SHAPES) for name in names])
    lids = np.array([name.startswith("eyeBlink") for name in names])
    keep = 0.0
    if kind == "mixed" and rng.random() < 0.45:
        keep = rng.uniform(0.2, 1.0)
    if kind == "pose":
        keep = 1.0
    out = np.where(mouth, keep * own, own * rng.uniform(0.2, 1.0))
    out = np.where(lids, 0, out)

    def add(name: str, value: float) -> None:
        for k, n in enumerate(names):
            if n == name or n[:-2] == name:
                out[k] = out[k] + value

    def uneven(name: str, value: float, spread: float = 0.15) -> None:
        for side in ("_L", "_R"):
            add(name + side, value * (1 + rng.normal(0, spread)))

    if kind == "closed":
        uneven("mouthSmile", rng.choice([0.0, 0.0, rng.uniform(0, 0.35)]))
        uneven("mouthPress", rng.uniform(0, 0.3))
        if rng.random() < 0.25:
            uneven("mouthFrown", rng.uniform(0, 0.6))
        if rng.random() < 0.15:
            add("mouthPucker", rng.uniform(0.2, 0.8))
    elif kind == "open":
        jaw = 0.08 + 0.8 * rng.beta(1.2, 1.8)
        add("jawOpen", jaw)
        pick = rng.random()
        if pick < 0.25:
            add("mouthFunnel", rng.uniform(0.2, 0.9))
        elif pick < 0.4:
            uneven("mouthSmile", rng.uniform(0.2, 0.9))
        elif pick < 0.55:
            uneven("mouthLowerDown", rng.uniform(0.2, 0.8))
            uneven("mouthUpperUp", rng.uniform(0.0, 0.5))
        elif pick < 0.65:
            uneven("mouthStretch", rng.uniform(0.2, 0.8))
    elif kind == "mixed":
        if rng.random() < 0.6:
            add("jawOpen", min(rng.exponential(0.2), 0.85))
        for name, chance, most in (
            ("mouthSmile", 0.35, 1.0), ("mouthFrown", 0.2, 0.9), ("mouthStretch", 0.15, 0.8),
            ("mouthUpperUp", 0.2, 0.7), ("mouthLowerDown", 0.25, 0.8), ("mouthPress", 0.15, 0.7),
            ("mouthDimple", 0.1, 0.7), ("cheekSquint", 0.2, 0.8), ("noseSneer", 0.1, 0.7),
        ):  # fmt: skip
            if rng.random() < chance:
                uneven(name, rng.uniform(0.1, most))
        for name, chance, most in (
            ("mouthPucker", 0.22, 1.0), ("mouthFunnel", 0.22, 0.9), ("mouthRollLower", 0.12, 0.8),
            ("mouthRollUpper", 0.12, 0.8), ("mouthShrugLower", 0.12, 0.7), ("mouthShrugUpper", 0.08, 0.6),
            ("jawLeft", 0.08, 0.6), ("jawRight", 0.08, 0.6), ("mouthLeft", 0.1, 0.7),
            ("mouthRight", 0.1, 0.7),
        ):  # fmt: skip
            if rng.random() < chance:
                add(name, rng.uniform(0.1, most))

    brows = 0.6 if calm_lids else 1.0
    pick = rng.random()
    if pick < 0.25:
        uneven("browInnerUp", brows * rng.uniform(0.2, 1.0))
        uneven("browOuterUp", brows * rng.uniform(0.2, 1.0))
    elif pick < 0.45:
        uneven("browDown", brows * rng.uniform(0.2, 1.0))
    elif pick < 0.55:
        uneven("browInnerUp", brows * rng.uniform(0.2, 1.0))
    if rng.random() < 0.2:
        uneven("eyeSquint", rng.uniform(0.1, 0.7))

    blink = np.full(2, rng.normal(0, 0.08))
    pick = rng.random()
    if not calm_lids:
        if pick < 0.15:
            blink[:] = 1.0
        elif pick < 0.25:
            blink[:] = rng.uniform(0.25, 0.9) + rng.normal(0, 0.03, 2)
        elif pick < 0.30:
            blink[rng.integers(2)] = rng.uniform(0.7, 1.0)
        elif pick < 0.36:
            blink[:] = -rng.uniform(0.1, 0.35)
    moderate = 1.0 if kind in ("mixed", "pose") else 0.6
    gaze = rng.normal(0, [0.35, 0.2]) if rng.random() < 0.5 else np.zeros(2)
    turn = np.clip(
        rng.standard_t(6, 3) * [11.5, 7.0, 5.0] * moderate,
        [-MAX_YAW, -MAX_PITCH, -MAX_ROLL],
        [MAX_YAW, MAX_PITCH, MAX_ROLL],
    )
    own_yaw = np.rad2deg(np.arcsin(np.clip(fit.rotation[0, 2], -1, 1)))
    # a face seen half from the side hides its other cheek: it may not turn far to the other side
    lowest, highest = (-34.0, own_yaw + 22) if own_yaw < 0 else (own_yaw - 22, 34.0)
    turn[0] = np.clip(own_yaw + turn[0], lowest, highest) - own_yaw
    return Action(
        expression=np.clip(out, 0, 1).astype(np.float32),
        blink=(float(np.clip(blink[0], -0.4, 1)), float(np.clip(blink[1], -0.4, 1))),
        gaze=(float(np.clip(gaze[0], -0.8, 0.8)), float(np.clip(gaze[1], -0.5, 0.5))),
        turn=(float(turn[0]), float(turn[1]), float(turn[2])),
        shift=(float(rng.normal(0, 0.9)), float(rng.normal(0, 0.6))),
        zoom=float(np.exp(rng.normal(0, 0.03))),
        body=float(rng.uniform(0.2, 1.0)),
    )
