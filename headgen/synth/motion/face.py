"""Faces at rest that are not quite at rest: slow drift, brief twitches, smiles and raised brows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headgen.synth.heads.expressions import EXPRESSIONS, INDEX
from headgen.synth.heads.model import HeadMotion
from headgen.synth.motion.curves import (
    drift,
    event_times,
    frame_times,
    interval_median,
    log_normal,
)
from headgen.synth.motion.gestures import add, bump, gesture

DRIFT_SECONDS = 1.6
DRIFT = {
    "browInnerUp": 0.05, "browDown": 0.06, "browOuterUp": 0.03, "eyeSquint": 0.07, "eyeWide": 0.04,
    "cheekSquint": 0.04, "mouthSmile": 0.06, "mouthFrown": 0.05, "mouthPress": 0.09, "mouthDimple": 0.05,
    "mouthPucker": 0.04, "mouthRollLower": 0.04, "mouthShrugLower": 0.05, "mouthLeft": 0.02,
    "mouthRight": 0.02,
}  # fmt: skip
"""Typical height of each shape's slow drift (without side: each side, mostly together)."""
TWITCHES = (
    ("mouthPress",), ("mouthDimpleLeft",), ("mouthDimpleRight",), ("browDown",), ("browInnerUp",),
    ("mouthRollLower",), ("mouthShrugLower",), ("noseSneer",), ("mouthPucker",), ("eyeSquint", "cheekSquint"),
)  # fmt: skip
TWITCHES_PER_MINUTE, TWITCH_SECONDS = 5.0, (0.4, 0.3)
SMILES_PER_MINUTE, BROWS_PER_MINUTE = (2.5, 1.5), (2.0, 8.0)  # of listeners, of speakers
EVENT_SPREAD = 0.8  # of the intervals' logarithm


@dataclass(frozen=True)
class FaceEvent:
    """Something that a face did.

    Attributes:
        kind: ``smile`` or ``brow_raise``.
        start, end: seconds.
        strength: 0 to 1.
    """

    kind: str
    start: float
    end: float
    strength: float


def face(
    frames: int, fps: float, rng: np.random.Generator, rate: float = 1.0, speaking: bool = False
) -> tuple[np.ndarray, list[FaceEvent]]:
    """Expression of someone who is not asked for any.

    Args:
        frames: T.
        fps: frames/s.
        rng: source of chance.
        rate: scales how often something happens, and the drift's height.
        speaking: a speaker's brows (many raises) rather than a listener's.

    Returns:
        (T, 52) coefficients from 0 to 1; what happened, in order.
    """
    slow, twitch, smiles, brows = rng.spawn(4)
    motion = HeadMotion.still(frames)
    motion.expression[:] = _drift(frames, fps, slow) * min(rate, 1.5) ** 0.5
    times = frame_times(frames, fps)
    median = interval_median(TWITCHES_PER_MINUTE * rate, EVENT_SPREAD)
    for start, own in event_times(frames / fps, twitch, median, EVENT_SPREAD):
        names = TWITCHES[own.integers(len(TWITCHES))]
        seconds, height = log_normal(own, *TWITCH_SECONDS), own.uniform(0.08, 0.35)
        during = np.flatnonzero((times >= start) & (times <= start + seconds))
        curve = height * bump(times[during], start, 0.4 * seconds, 0.1 * seconds, 0.5 * seconds)
        for name in names:
            place = (during[:, None], _sides(name))
            motion.expression[place] += curve[:, None] * (1 - motion.expression[place])
    events: list[FaceEvent] = []
    for kind, stream, per_minute, lowest in (
        ("smile", smiles, SMILES_PER_MINUTE[speaking], 0.25),
        ("brow_raise", brows, BROWS_PER_MINUTE[speaking], 0.3),
    ):
        median = interval_median(per_minute * rate, EVENT_SPREAD)
        for start, own in event_times(frames / fps, stream, median, EVENT_SPREAD):
            strength = lowest + (1 - lowest) * float(own.beta(1.3, 2.2))
            first = round(start * fps)
            curves = gesture(kind, strength, None, fps, own)
            motion = add(motion, curves, first)
            events.append(FaceEvent(kind, first / fps, (first + len(curves) - 1) / fps, strength))
    return motion.expression, sorted(events, key=lambda event: event.start)


def _sides(name: str) -> list[int]:
    return [INDEX[n] for n in (name, f"{name}Left", f"{name}Right") if n in INDEX]


def _drift(frames: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    """(T, 52): wandering that is mostly near zero and now and then rises."""
    out = np.zeros((frames, len(EXPRESSIONS)))
    for (name, height), own in zip(DRIFT.items(), rng.spawn(len(DRIFT)), strict=True):
        both, *apart = drift(frames, fps, own, DRIFT_SECONDS, 3).T
        for column, side in zip(_sides(name), apart, strict=False):
            # a soft rectifier: shapes cannot go below zero, and most are at rest for most of the time
            out[:, column] = height * np.log1p(np.exp(3 * (0.92 * both + 0.39 * side) - 1.5)) / 2
    return np.clip(out, 0, 0.5)
