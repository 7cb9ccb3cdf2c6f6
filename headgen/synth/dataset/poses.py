"""Single frames of a wide range of poses and expressions: for stills, and for training reenactment."""

from __future__ import annotations

import numpy as np

from headgen.synth.heads.expressions import INDEX, from_action_units
from headgen.synth.heads.model import HeadMotion

HEAD_SPREAD = (17.0, 9.0, 6.0)  # degrees of yaw, pitch, roll
HEAD_MOST = (55.0, 30.0, 25.0)
GAZE_SPREAD, GAZE_MOST = (11.0, 6.0), (28.0, 18.0)
FACES: tuple[dict[str, float], ...] = (
    {}, {"AU12": 0.5, "AU6": 0.3}, {"AU12": 1.0, "AU6": 0.8, "AU25": 0.8},
    {"AU1": 0.9, "AU2": 0.8, "AU5": 0.5}, {"AU4": 0.8, "AU7": 0.4}, {"AU15": 0.8, "AU17": 0.4},
    {"AU9": 0.6, "AU10": 0.6}, {"AU20": 0.6}, {"AU24": 0.8}, {"AU14": 0.6}, {"AU12L": 0.8, "AU6L": 0.4},
    {"AU12R": 0.8, "AU6R": 0.4}, {"AU1": 0.7, "AU4": 0.6, "AU15": 0.6},
    {"AU1": 1.0, "AU2": 1.0, "AU5": 0.9, "AU26": 0.8},
)  # fmt: skip
"""Action units of faces that people make; any strength of any of them is drawn."""


def random_frame(rng: np.random.Generator) -> HeadMotion:
    """One frame: a face that people make, a mouth that speaks or rests, lids, gaze and a turn of the head.

    Our design: the distribution is wider and flatter than people's, so that what is rare is learnt too.
    """
    units: dict[str, float] = {}
    for k in rng.choice(len(FACES), 2, replace=False):
        for unit, strength in FACES[k].items():
            units[unit] = max(units.get(unit, 0.0), strength * float(rng.beta(1.2, 1.2)))
    expression = from_action_units(units)

    def add(name: str, value: float) -> None:
        expression[INDEX[name]] = np.clip(expression[INDEX[name]] + value, 0, 1)

    mouth = rng.random()
    if mouth < 0.55:
        jaw = float(rng.beta(1.1, 1.9))
        add("jawOpen", 0.9 * jaw)
        shape = rng.random()
        if shape < 0.25:
            add("mouthFunnel", float(rng.uniform(0.2, 0.9)))
        elif shape < 0.4:
            add("mouthPucker", float(rng.uniform(0.2, 0.8)))
        elif shape < 0.6:
            for side in ("Left", "Right"):
                add(f"mouthLowerDown{side}", float(rng.uniform(0.1, 0.7)))
                add(f"mouthUpperUp{side}", float(rng.uniform(0.0, 0.5)))
        elif shape < 0.7:
            add("mouthClose", 0.9 * jaw * float(rng.uniform(0.3, 1.0)))
    elif mouth < 0.7:
        add(str(rng.choice(["mouthPucker", "mouthRollLower", "mouthRollUpper", "mouthShrugLower"])), 0.7)
    if rng.random() < 0.12:
        add(str(rng.choice(["jawLeft", "jawRight", "mouthLeft", "mouthRight"])), float(rng.uniform(0.2, 0.7)))
    lids = rng.random()
    if lids < 0.15:
        blink = np.ones(2)
    elif lids < 0.30:
        blink = np.full(2, rng.uniform(0.2, 0.9)) + rng.normal(0, 0.04, 2)
    elif lids < 0.36:
        blink = np.where(np.arange(2) == rng.integers(2), rng.uniform(0.7, 1.0), 0.0)
    else:
        blink = np.full(2, max(0.0, rng.normal(0, 0.06)))
    for side, value in zip(("Left", "Right"), blink, strict=True):
        add(f"eyeBlink{side}", float(np.clip(value, 0, 1)))
    head = np.clip(rng.standard_t(6, 3) * HEAD_SPREAD, -np.array(HEAD_MOST), HEAD_MOST)
    gaze = np.clip(rng.normal(0, GAZE_SPREAD), -np.array(GAZE_MOST), GAZE_MOST)
    if rng.random() < 0.5:  # most people look into the camera
        gaze = np.clip(-0.9 * head[:2] + rng.normal(0, 1.5, 2), -np.array(GAZE_MOST), GAZE_MOST)
    return HeadMotion(
        expression=expression[None].astype(np.float32),
        head=head[None].astype(np.float32),
        gaze=gaze[None].astype(np.float32),
        translation=(rng.normal(0, [0.9, 0.6, 1.5])[None]).astype(np.float32),
        torso=(rng.normal(0, [4.0, 2.0, 2.0])[None]).astype(np.float32),
    )
