"""Attitudes of a listener: how likely, how strong, how fast and of what kind the reactions are.

An attitude at an intensity is a `Manner`: numbers that the rules of listening read. Intensity 0 is the same
impassive person whatever the attitude, 1 its fullest form; between them all numbers are interpolated, so the
control is continuous.

Our design: there is no published table of these numbers for acted attitudes. The neutral manner at intensity
one half is tuned to what is published on listeners in general (see `headgen.synth.conversation.rules`); the
others move away from it in the direction that the attitude's name says.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from headgen.errors import InputError
from headgen.synth.heads.expressions import expression

ATTITUDES = ("warm", "neutral", "sceptical", "bored", "surprised")
"""What a listener may think of what is said."""

FACE_AT_REST: dict[str, dict[str, float]] = {
    "warm": {"mouthSmile": 0.10, "cheekSquint": 0.06, "browInnerUp": 0.05},
    "neutral": {},
    "sceptical": {"browDown": 0.14, "mouthPress": 0.12, "eyeSquint": 0.12},
    "bored": {"eyeBlink": 0.16, "mouthFrown": 0.08},
    "surprised": {"browInnerUp": 0.12, "browOuterUp": 0.10, "eyeWide": 0.14},
}
"""Expression that an attitude keeps all the time, at full intensity. Too weak to count as an event."""

HEAD_AT_REST: dict[str, tuple[float, float, float]] = {
    "warm": (0.0, 0.0, 2.5),
    "neutral": (0.0, 0.0, 0.0),
    "sceptical": (3.5, -2.0, -2.0),
    "bored": (2.5, -3.5, 3.5),
    "surprised": (0.0, 1.5, 0.0),
}
"""Yaw, pitch and roll in degrees that an attitude keeps all the time, at full intensity."""


@dataclass(frozen=True)
class Manner:
    """How somebody listens. Probabilities are per occasion, given by the rule that reads them.

    Attributes:
        nod: probability of a nod at a place where the speaker invites a back-channel.
        nods: probability of several nods in a row at an emphasis.
        voice: probability that such a back-channel is also spoken ("mm-hm").
        mirror_smile: probability of smiling back.
        own_smile: probability of a polite smile at a pause of the speaker.
        mirror_laugh: probability of laughing along.
        mirror_nod: probability of nodding back to a nod.
        question_brow: probability of raised brows at a question.
        question_tilt: probability of a tilted head at a question.
        tilt: probability of a tilted head at a pause.
        shake: probability of a head shake at an emphasis.
        frown: probability of a frown at an emphasis.
        emphasis_brow: probability of raised brows at an emphasis.
        surprise: probability of a surprised face at an emphasis.
        gaze: share of the time, 0 to 1, spent looking at the speaker.
        away: mean length of a look away in seconds.
        blinks: unprompted blinks per minute.
        blink_length: length of a blink in seconds.
        boundary_blink: probability of a blink at a pause of the speaker.
        shifts: unprompted shifts of posture per minute.
        mirror_shift: probability of following the speaker's shift of posture.
        latency: factor on all reaction times.
        size: factor on the strength of all reactions.
    """

    nod: float
    nods: float
    voice: float
    mirror_smile: float
    own_smile: float
    mirror_laugh: float
    mirror_nod: float
    question_brow: float
    question_tilt: float
    tilt: float
    shake: float
    frown: float
    emphasis_brow: float
    surprise: float
    gaze: float
    away: float
    blinks: float
    blink_length: float
    boundary_blink: float
    shifts: float
    mirror_shift: float
    latency: float
    size: float


IMPASSIVE = Manner(
    nod=0.12, nods=0.03, voice=0.15, mirror_smile=0.2, own_smile=0.0, mirror_laugh=0.2, mirror_nod=0.05,
    question_brow=0.1, question_tilt=0.05, tilt=0.02, shake=0.0, frown=0.0, emphasis_brow=0.02, surprise=0.0,
    gaze=0.75, away=1.2, blinks=12.0, blink_length=0.28, boundary_blink=0.25, shifts=0.8, mirror_shift=0.1,
    latency=1.15, size=0.6,
)  # fmt: skip
"""Intensity 0 of every attitude."""

FULL: dict[str, Manner] = {
    "warm": Manner(
        nod=0.75, nods=0.45, voice=0.5, mirror_smile=0.98, own_smile=0.4, mirror_laugh=0.95, mirror_nod=0.6,
        question_brow=0.6, question_tilt=0.4, tilt=0.08, shake=0.0, frown=0.0, emphasis_brow=0.15,
        surprise=0.03, gaze=0.88, away=0.9, blinks=14.0, blink_length=0.28, boundary_blink=0.5, shifts=1.5,
        mirror_shift=0.7, latency=0.85, size=1.1,
    ),
    "neutral": Manner(
        nod=0.5, nods=0.2, voice=0.35, mirror_smile=0.7, own_smile=0.04, mirror_laugh=0.7, mirror_nod=0.25,
        question_brow=0.5, question_tilt=0.25, tilt=0.05, shake=0.0, frown=0.02, emphasis_brow=0.1,
        surprise=0.0, gaze=0.75, away=1.2, blinks=15.0, blink_length=0.28, boundary_blink=0.45, shifts=1.5,
        mirror_shift=0.4, latency=1.0, size=0.9,
    ),
    "sceptical": Manner(
        nod=0.04, nods=0.0, voice=0.1, mirror_smile=0.12, own_smile=0.0, mirror_laugh=0.12, mirror_nod=0.03,
        question_brow=0.3, question_tilt=0.4, tilt=0.3, shake=0.3, frown=0.45, emphasis_brow=0.1,
        surprise=0.0, gaze=0.78, away=1.3, blinks=12.0, blink_length=0.28, boundary_blink=0.35, shifts=2.0,
        mirror_shift=0.1, latency=1.0, size=0.95,
    ),
    "bored": Manner(
        nod=0.04, nods=0.0, voice=0.2, mirror_smile=0.1, own_smile=0.0, mirror_laugh=0.1, mirror_nod=0.02,
        question_brow=0.1, question_tilt=0.05, tilt=0.1, shake=0.0, frown=0.02, emphasis_brow=0.0,
        surprise=0.0, gaze=0.42, away=2.2, blinks=18.0, blink_length=0.52, boundary_blink=0.3, shifts=4.0,
        mirror_shift=0.05, latency=1.5, size=0.6,
    ),
    "surprised": Manner(
        nod=0.2, nods=0.08, voice=0.35, mirror_smile=0.5, own_smile=0.02, mirror_laugh=0.5, mirror_nod=0.1,
        question_brow=0.8, question_tilt=0.2, tilt=0.06, shake=0.05, frown=0.0, emphasis_brow=0.5,
        surprise=0.4, gaze=0.9, away=0.8, blinks=10.0, blink_length=0.24, boundary_blink=0.3, shifts=1.5,
        mirror_shift=0.3, latency=0.75, size=1.1,
    ),
}  # fmt: skip
"""Intensity 1 of each attitude."""


def manner(attitude: str, intensity: float) -> Manner:
    """How a listener of this attitude behaves.

    Args:
        attitude: one of `ATTITUDES`.
        intensity: 0 (impassive) to 1 (fullest form).

    Raises:
        InputError: an unknown attitude, or an intensity out of range.
    """
    check(attitude, intensity)
    full = FULL[attitude]
    mixed = {}
    for field in fields(Manner):
        low, high = getattr(IMPASSIVE, field.name), getattr(full, field.name)
        mixed[field.name] = low + intensity * (high - low)
    return Manner(**mixed)


def rest(attitude: str, intensity: float) -> tuple[np.ndarray, np.ndarray]:
    """Face and head that a listener of this attitude keeps all the time.

    Args:
        attitude: one of `ATTITUDES`.
        intensity: 0 to 1.

    Returns:
        expression (52,) and yaw, pitch, roll (3,) in degrees.

    Raises:
        InputError: an unknown attitude, or an intensity out of range.
    """
    check(attitude, intensity)
    head = np.array(HEAD_AT_REST[attitude], np.float32)
    return intensity * expression(FACE_AT_REST[attitude]), intensity * head


def drawn_attitude(rng: np.random.Generator) -> tuple[str, float]:
    """An attitude, and an intensity from hardly any to full."""
    return str(rng.choice(ATTITUDES)), float(rng.uniform(0.1, 1.0))


def check(attitude: str, intensity: float) -> None:
    """Raises InputError for an unknown attitude or an intensity that is not from 0 to 1."""
    if attitude not in ATTITUDES:
        raise InputError(f"no attitude {attitude!r}; known: {', '.join(ATTITUDES)}")
    if not 0 <= intensity <= 1:
        raise InputError(f"intensity {intensity} of the attitude: give a number from 0 to 1")
