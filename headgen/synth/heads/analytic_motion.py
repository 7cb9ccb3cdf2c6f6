"""How the analytic head's skin moves: displacements for ARKit's shapes, and how much follows the jaw.

Every shape is a sum of a few soft displacements around anatomical points of the mean head. Sizes were chosen
so that a coefficient means about as much as it does in the ICT face model (mouth corners 1.5 cm in a full
smile, chin 4 cm in a full jaw drop). Opening the jaw, lids and gaze are turns and are not in here.

Legend: N vertices of the mean head, E = 52 expressions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headgen.synth.heads.analytic_grid import EYE, LID_RADIUS, LIP_HALF_WIDTH, lip_height
from headgen.synth.heads.expressions import EXPRESSIONS

HINGE = np.array([0.0, 0.8, 0.0])
"""The axis through the jaw's condyles, cm."""
JAW_DEG = 19.0
"""Turn of a fully open jaw: the chin goes 4 cm."""
JAW_BEGINS_DEG, JAW_WHOLE_DEG = -12.0, -34.0
"""Skin below the hinge's first angle starts to follow the jaw, below the second it follows wholly."""

Field = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _near(p: np.ndarray, centre: tuple[float, float, float], sigma: tuple[float, float, float]) -> np.ndarray:
    return np.exp(-0.5 * (((p - centre) / sigma) ** 2).sum(1))[:, None]


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def lip_side(points: np.ndarray, side: np.ndarray) -> np.ndarray:
    """(N,) from -1 (lower lip) over 0 (at and beyond the corners) to 1 (upper lip).

    Args:
        points: (N, 3).
        side: (N,) 1 above the lip line, -1 below.
    """
    return side * np.sqrt(np.maximum(1 - (points[:, 0] / LIP_HALF_WIDTH) ** 2, 0))


def _lips(p: np.ndarray, height: float = 0.75) -> np.ndarray:
    return _near(p, (0, -3.4, 11.0), (1.9, height, 2.0))


def _above(side: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + side)[:, None]


def _below(side: np.ndarray) -> np.ndarray:
    return 0.5 * (1 - side)[:, None]


def _off_line(p: np.ndarray) -> np.ndarray:
    return (p[:, 1] - lip_height(np.clip(p[:, 0], -LIP_HALF_WIDTH, LIP_HALF_WIDTH)))[:, None]


def _sided(p: np.ndarray) -> np.ndarray:
    """1 on the person's left (the picture's right), 0 on the other side, soft in between."""
    return _smooth((p[:, :1] + 0.7) / 1.4)


X, Y, Z = np.eye(3)
CORNER = (2.4, -3.5, 10.2)

LEFT: dict[str, Field] = {
    "browDown": lambda p, s: (
        _near(p, (2.7, 5.9, 10.2), (1.9, 1.0, 2.5)) * [-0.26, -0.4, 0.2]
        + _near(p, (1.2, 5.6, 10.8), (0.9, 1.0, 1.5)) * [-0.16, -0.12, 0.08]
    ),
    "browOuterUp": lambda p, s: _near(p, (4.4, 6.3, 9.3), (1.7, 1.3, 2.4)) * [0.12, 0.8, -0.2],
    "cheekSquint": lambda p, s: _near(p, (4.4, 0.7, 8.7), (1.8, 1.3, 2.2)) * [0, 0.5, 0.25],
    "eyeSquint": lambda p, s: _near(p, (3.2, 2.0, 9.4), (1.7, 0.7, 1.6)) * [0, 0.22, 0.1],
    "eyeWide": lambda p, s: _near(p, (3.2, 5.4, 10.0), (1.9, 0.9, 1.8)) * [0, 0.12, 0],
    "mouthDimple": lambda p, s: _near(p, CORNER, (1.1, 1.0, 1.4)) * [0.12, 0.18, -0.55],
    "mouthFrown": lambda p, s: _near(p, (2.6, -3.7, 10.1), (1.3, 1.0, 1.7)) * [0.15, -0.55, -0.15],
    "mouthSmile": lambda p, s: (
        _near(p, CORNER, (1.6, 1.35, 2.4)) * [0.7, 0.88, -0.8]
        + _near(p, (4.1, -0.7, 9.0), (1.5, 1.5, 2.2)) * [0.2, 0.42, 0.32]
        + _sided(p) * _near(p, (1.0, -3.4, 11.2), (0.9, 0.9, 1.2)) * [0.12, 0.1, -0.12]
    ),
    "mouthStretch": lambda p, s: _near(p, CORNER, (1.3, 1.2, 1.8)) * [0.62, -0.25, -0.55],
    "mouthLowerDown": lambda p, s: (
        _sided(p) * _below(s) * _near(p, (1.1, -4.0, 11.0), (1.2, 1.1, 1.6)) * [0.05, -0.5, -0.06]
    ),
    "mouthUpperUp": lambda p, s: (
        _sided(p)
        * (
            _above(s) * _near(p, (1.1, -2.7, 11.2), (1.2, 1.1, 1.6)) * [0.05, 0.5, -0.03]
            + _near(p, (2.3, -1.5, 10.3), (1.1, 1.1, 1.5)) * [0.06, 0.3, 0.1]
        )
    ),
    "mouthPress": lambda p, s: (
        _sided(p) * _lips(p) * (-0.35 * _off_line(p) * Y - 0.06 * Z)
        + _near(p, CORNER, (0.8, 0.7, 1.0)) * [0, 0.1, -0.1]
    ),
    "noseSneer": lambda p, s: (
        _near(p, (1.5, -0.4, 11.0), (1.0, 1.3, 1.6)) * [0.08, 0.5, 0.05]
        + _sided(p) * _above(s) * _near(p, (0.9, -2.6, 11.2), (1.3, 1.0, 1.6)) * [0, 0.3, 0]
        + _near(p, (2.4, 5.8, 10.3), (1.6, 1.0, 2.4)) * [-0.1, -0.25, 0.08]
        + _near(p, (0.9, 3.2, 10.6), (0.6, 0.9, 1.0)) * [0.0, 0.12, 0.1]
    ),
}
"""Shapes of the person's left; the right ones are their mirror images. Given points and `lip_side`."""

WHOLE: dict[str, Field] = {
    "browInnerUp": lambda p, s: (
        (_near(p, (-1.4, 6.1, 10.7), (1.2, 1.4, 2.2)) + _near(p, (1.4, 6.1, 10.7), (1.2, 1.4, 2.2)))
        * [0, 0.62, -0.02]
    ),
    "cheekPuff": lambda p, s: (
        _near(p, (4.0, -2.7, 8.9), (1.8, 1.9, 2.4)) * [0.5, 0.1, 0.75]
        + _near(p, (-4.0, -2.7, 8.9), (1.8, 1.9, 2.4)) * [-0.5, 0.1, 0.75]
        + _lips(p, 1.4) * [0, 0, 0.25]
    ),
    "mouthFunnel": lambda p, s: (
        _lips(p, 0.9) * (_above(s) * [0, 0.42, 0.6] + _below(s) * [0, -0.6, 0.6] - 0.17 * p[:, :1] * X)
    ),
    "mouthPucker": lambda p, s: _lips(p, 1.0) * (-0.3 * p[:, :1] * X + 0.8 * Z + 0.22 * _off_line(p) * Y),
    "mouthLeft": lambda p, s: _near(p, (0, -3.4, 10.8), (2.6, 1.5, 2.6)) * [1.1, 0.0, -0.2],
    "mouthRollLower": lambda p, s: _below(s) * _near(p, (0, -3.85, 11.2), (1.8, 0.6, 1.2)) * [0, 0.22, -0.5],
    "mouthRollUpper": lambda p, s: _above(s) * _near(p, (0, -2.9, 11.4), (1.8, 0.55, 1.2)) * [0, -0.2, -0.45],
    "mouthShrugLower": lambda p, s: (
        _near(p, (0, -5.7, 10.6), (1.8, 1.4, 2.0)) * [0, 0.5, 0.3] + _lips(p, 1.1) * [0, 0.42, 0.3]
    ),
    "mouthShrugUpper": lambda p, s: _above(s) * _near(p, (0, -2.7, 11.4), (1.7, 0.9, 1.6)) * [0, 0.5, 0.1],
}
"""Shapes without a side."""


def jaw_weights(points: np.ndarray, side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much of the jaw's turn skin takes.

    Args:
        points: (N, 3) of the mean head's skin.
        side: (N,) `lip_side`.

    Returns:
        (N,) with the lips apart, and (N,) with the lips held together (``mouthClose``); 0 to 1.
    """
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    # of contiguous arrays: of columns NumPy rounds it by where the memory lies
    angle = np.rad2deg(np.arctan2(np.array(y - HINGE[1], order="C"), np.array(z - HINGE[2], order="C")))
    below = _smooth((JAW_BEGINS_DEG - angle) / (JAW_BEGINS_DEG - JAW_WHOLE_DEG))
    free = below * _smooth((angle + 80) / 24) * _smooth((z - 1.0) / 4.5)
    free *= 1 - 0.6 * _smooth((x - 2.2) / 3.6)  # cheeks hang on the skull too
    off = y - lip_height(np.clip(points[:, 0], -LIP_HALF_WIDTH, LIP_HALF_WIDTH))
    reach = np.where(off > 0, 1.3, 2.4)
    # the lower lip goes down with the jaw and the upper one stays, as far as they are apart
    lips = np.abs(side) ** 0.85 * np.exp(-((off / reach) ** 2)) * (z > 8)
    free = free * (1 - lips) + lips * (side < 0)
    held = _smooth((4.6 - x) / 2.2) * np.exp(-((off / 1.9) ** 2)) * (z > 7)
    return free, free * (1 - held)


def lid_skin(points: np.ndarray) -> np.ndarray:
    """(N,) 1 on the lids' skin, which only lids move, 0 away from it."""
    offset = np.abs(points * [1, 0, 0]) + points * [0, 1, 1] - EYE
    flat = np.hypot(offset[:, 0] / 1.55, offset[:, 1] / 1.0)
    height = np.linalg.norm(offset, axis=1) - LID_RADIUS
    return (1 - _smooth((flat - 0.75) / 0.55)) * (1 - _smooth(height / 0.7))


def displacements(points: np.ndarray, side: np.ndarray) -> np.ndarray:
    """What each shape moves.

    Args:
        points: (N, 3) of the mean head's skin.
        side: (N,) 1 above the lip line, -1 below.

    Returns:
        (E, N, 3) float32 cm at a coefficient of 1; zero for lids, gaze, ``jawOpen`` and ``mouthClose``.
    """
    out = np.zeros((len(EXPRESSIONS), len(points), 3))
    lip = lip_side(points, side)
    mirror = np.array([-1.0, 1.0, 1.0])
    jaw = jaw_weights(points, lip)[0][:, None]
    for k, name in enumerate(EXPRESSIONS):
        stem, _, last = name.partition("Left" if name.endswith("Left") else "Right")
        if name in ("jawLeft", "jawRight"):
            out[k] = jaw * X * (0.85 if name == "jawLeft" else -0.85)
        elif name == "jawForward":
            out[k] = jaw * [0, -0.1, 0.95]
        elif name == "mouthRight":
            out[k] = WHOLE["mouthLeft"](points * mirror, lip) * mirror
        elif name in WHOLE:
            out[k] = WHOLE[name](points, lip)
        elif stem in LEFT and not last:
            flip = mirror if name.endswith("Right") else np.ones(3)
            out[k] = LEFT[stem](points * flip, lip) * flip
    out *= 1 - lid_skin(points)[:, None]
    return out.astype(np.float32)
