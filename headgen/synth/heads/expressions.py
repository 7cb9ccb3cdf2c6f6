"""Names of facial expressions: ARKit's 52 shapes, and the FACS action units that they make up.

An expression is a vector of 52 coefficients from 0 to 1 in the order of `EXPRESSIONS`. FACS intensities run
from 0 (absent) to 1 (maximum, "E"). The mapping follows the table in the ICT face model's README; where a
unit
has no shape of its own there, the nearest one stands for it and the table says so.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

EXPRESSIONS = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft",
    "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight",
    "eyeLookUpLeft",
    "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward",
    "jawLeft",
    "jawOpen", "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft",
    "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight",
    "tongueOut",
)  # fmt: skip
"""ARKit's shapes. Left and Right are the person's own."""

INDEX = {name: k for k, name in enumerate(EXPRESSIONS)}

ACTION_UNITS: dict[str, dict[str, float]] = {
    "AU1": {"browInnerUp": 1.0},
    "AU2": {"browOuterUp": 1.0},
    "AU4": {"browDown": 1.0},
    "AU5": {"eyeWide": 1.0},
    "AU6": {"cheekSquint": 1.0},
    "AU7": {"eyeSquint": 1.0},
    "AU9": {"noseSneer": 1.0},
    "AU10": {"mouthUpperUp": 1.0},
    "AU12": {"mouthSmile": 1.0},
    "AU14": {"mouthDimple": 1.0},
    "AU15": {"mouthFrown": 1.0},
    "AU16": {"mouthLowerDown": 1.0},
    "AU17": {"mouthShrugLower": 1.0},
    "AU18": {"mouthPucker": 1.0},
    "AU20": {"mouthStretch": 1.0},
    "AU22": {"mouthFunnel": 1.0},
    "AU24": {"mouthPress": 1.0},
    "AU25": {"mouthLowerDown": 0.4, "mouthUpperUp": 0.2},  # lips part: no shape of its own
    "AU26": {"jawOpen": 0.4},  # jaw drop
    "AU27": {"jawOpen": 1.0},  # mouth stretch
    "AU28": {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
    "AU29": {"jawForward": 1.0},
    "AU33": {"cheekPuff": 1.0},
    "AU43": {"eyeBlink": 1.0},
    "AU45": {"eyeBlink": 1.0},
}
"""Shapes (without side: both) that an action unit of full intensity sets, and how far."""


def expression(values: Mapping[str, float]) -> np.ndarray:
    """(52,) coefficients from names; a name without its side sets both sides.

    Raises:
        ValueError: an unknown name.
    """
    out = np.zeros(len(EXPRESSIONS), np.float32)
    for name, value in values.items():
        hits = [INDEX[n] for n in (name, f"{name}Left", f"{name}Right") if n in INDEX]
        if not hits:
            raise ValueError(f"no expression {name!r}; known: {', '.join(EXPRESSIONS)}")
        out[hits] = value
    return out


def from_action_units(intensities: Mapping[str, float]) -> np.ndarray:
    """(52,) coefficients of a set of FACS action units; contributions add up and end at 1.

    Args:
        intensities: from 0 to 1 by unit, ``"AU12"``; ``"AU12L"`` and ``"AU12R"`` are one-sided.

    Raises:
        ValueError: an unknown unit.
    """
    out = np.zeros(len(EXPRESSIONS), np.float32)
    for unit, intensity in intensities.items():
        side = {"L": "Left", "R": "Right"}.get(unit[-1], "")
        shapes = ACTION_UNITS.get(unit[:-1] if side else unit)
        if shapes is None:
            raise ValueError(f"no action unit {unit!r}; known: {', '.join(ACTION_UNITS)}")
        for name, share in shapes.items():
            sided = name + side if name + side in INDEX else name
            out += intensity * share * expression({sided: 1.0})
    return np.clip(out, 0, 1)


def to_action_units(coefficients: np.ndarray) -> dict[str, np.ndarray]:
    """Intensities of the units that own a shape, from coefficients (..., 52).

    Returns:
        for every unit that fully owns its shapes the mean of both sides, (...) from 0 to 1. AU25, AU26 and
        AU43 share the shapes of others: AU26 is the jaw drop up to its own full intensity, AU27 what lies
        beyond it.
    """
    out = {}
    for unit, shapes in ACTION_UNITS.items():
        if unit in ("AU25", "AU26", "AU27", "AU43"):
            continue
        picked = np.flatnonzero(expression(dict.fromkeys(shapes, 1.0)))
        out[unit] = coefficients[..., picked].mean(-1)
    jaw = coefficients[..., INDEX["jawOpen"]]
    drop = ACTION_UNITS["AU26"]["jawOpen"]
    out["AU26"] = np.clip(jaw / drop, 0, 1)
    out["AU27"] = np.clip((jaw - drop) / (1 - drop), 0, 1)
    return out
