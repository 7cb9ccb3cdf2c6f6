"""Named gestures: curves that are added to a head's motion.

Every gesture begins and ends at zero, at rest, and is built of minimum-jerk steps, so that its velocity and
acceleration are continuous and its jerk is bounded by 60 times its extent over the cube of its shortest step.
The one exception is the gaze of ``gaze_away``: saccades are over within one or two frames.

Extents, for strength 0 to 1:

===============  ==========================================================================================
nod              pitch 2 to 12 degrees down and back; .6 s
nods             2 to 6 nods at about 2.3 Hz, the first the largest (2 to 11 degrees), each smaller
shake            yaw swings of 2 to 11 degrees to either side at about 2 Hz, dying away
tilt             roll of 3 to 13 degrees, held
brow_raise       AU1 and AU2 up to 1
frown            AU4 up to 1, AU7 up to .3
smile            AU12 up to 1, AU6 up to .8 for smiles stronger than .25, lips parting (AU25) from .5
laugh            a strong smile, jaw and shoulders at about 4.8 Hz, head back 3 to 12 degrees
surprise         AU1, AU2, AU5 up to 1, jaw drop up to .45, head back up to 5 degrees
posture_shift    torso and head up to 3 cm and 6 degrees aside, and back
gaze_away        gaze 9 to 24 degrees aside, the head following by up to 6 degrees
blink            lids shut by .4 to 1
===============  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from headgen.synth.heads.expressions import expression, from_action_units
from headgen.synth.heads.model import HeadMotion
from headgen.synth.motion.blinks import CLOSING, HOLDING, OPENING, blink_curve
from headgen.synth.motion.curves import log_normal, minimum_jerk
from headgen.synth.motion.gaze import HEAD_DELAY, saccade_seconds

DURATIONS: dict[str, tuple[float, float]] = {
    "nod": (0.6, 0.15),
    "nods": (1.4, 0.3),
    "shake": (1.3, 0.25),
    "tilt": (2.0, 0.35),
    "brow_raise": (0.8, 0.35),
    "frown": (1.8, 0.4),
    "smile": (2.6, 0.35),  # felt smiles last two thirds of a second to four seconds (Ekman and Friesen 1982)
    "laugh": (1.6, 0.35),
    "surprise": (1.3, 0.2),
    "posture_shift": (6.0, 0.4),
    "gaze_away": (1.4, 0.45),
    "blink": (CLOSING[0] + HOLDING[0] + OPENING[0], 0.15),
}
"""Seconds of each gesture when none are given: median and spread of the logarithm."""
NOD_RATE, SHAKE_RATE = 2.3, 2.0  # Hz, in the "ordinary" class of Hadar et al. (1983) and at its border
LAUGH_RATE = 4.8  # notes per second: one every 210 ms (Provine and Yong 1991)
SMILE_ONSET, SMILE_OFFSET = 0.55, 0.85  # seconds


def gesture(
    kind: str,
    strength: float,
    duration: float | None,
    fps: float,
    rng: np.random.Generator,
) -> HeadMotion:
    """The curve of one gesture.

    Args:
        kind: one of `DURATIONS`.
        strength: 0 to 1.
        duration: seconds, at least .1; None draws one that is usual.
        fps: frames/s.
        rng: source of chance: side, small asymmetries, and the duration if none is given.

    Returns:
        offsets of ``round(duration * fps) + 1`` frames, 0 in the first and the last.

    Raises:
        ValueError: an unknown kind, or a strength or duration out of range.
    """
    if kind not in DURATIONS:
        raise ValueError(f"no gesture {kind!r}; known: {', '.join(DURATIONS)}")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}; give 0 to 1")
    seconds = log_normal(rng, *DURATIONS[kind]) if duration is None else duration
    if seconds < 0.1:
        raise ValueError(f"duration is {seconds} s; give at least 0.1")
    steps = max(round(seconds * fps), 2)
    times = np.arange(steps + 1) / fps
    out = HeadMotion.still(steps + 1)
    _CURVES[kind](out, times, strength, rng)
    return out


def add(motion: HeadMotion, offsets: HeadMotion, start_frame: int) -> HeadMotion:
    """Motion with a gesture added from a frame on; what lies outside the clip is cut off.

    Angles and shifts add up. Expressions take the offset's share of the room that is left, ``a + b (1 - a)``,
    or of what there is for negative offsets, ``a + b a``: smooth, always within 0 to 1, nothing where the
    gesture is nothing. Our design: a smile on top of a smile is a little more of it, with no corner where a
    limit would cut.

    Args:
        motion: T frames.
        offsets: of the gesture, any number of frames.
        start_frame: of the motion, where the gesture's first frame goes; may be negative.
    """
    first, last = max(start_frame, 0), min(start_frame + len(offsets), len(motion))
    if first >= last:
        return motion
    here, there = slice(first, last), slice(first - start_frame, last - start_frame)
    shapes = motion.expression.copy()
    part, change = shapes[here], offsets.expression[there]
    shapes[here] = part + change * np.where(change > 0, 1 - part, part)
    moved = {}
    for name in ("head", "gaze", "translation", "torso"):
        moved[name] = getattr(motion, name).copy()
        moved[name][here] += getattr(offsets, name)[there]
    return replace(motion, expression=shapes, **moved)


def bump(times: np.ndarray, start: float, onset: float, hold: float, offset: float) -> np.ndarray:
    """(T,) rises from 0 to 1 in ``onset`` seconds from ``start``, stays for ``hold``, falls in ``offset``."""
    rise = minimum_jerk((times - start) / onset)
    return rise - minimum_jerk((times - start - onset - hold) / offset)


def _held(times: np.ndarray, onset: float, offset: float, start: float = 0.0) -> np.ndarray:
    """(T,) a bump from ``start`` to the last frame; onset and offset shrink if there is no time for both."""
    room = times[-1] - start
    squeeze = min(1.0, room / (onset + offset))
    onset, offset = onset * squeeze, offset * squeeze
    return bump(times, start, onset, room - onset - offset, offset)


def _wane(times: np.ndarray, onset: float, offset: float) -> np.ndarray:
    """As `_held`, but a seventh of it is lost along the way: nobody holds an expression quite still."""
    return _held(times, onset, offset) * (1 - 0.14 * minimum_jerk(times / times[-1]))


def _side(rng: np.random.Generator) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0


def _show(out: HeadMotion, curve: np.ndarray, shapes: np.ndarray) -> None:
    out.expression[:] = np.maximum(out.expression, curve[:, None] * shapes)


def _uneven(shapes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shapes (52,) that differ a little from one another and so from side to side."""
    return np.clip(shapes * (1 + 0.08 * rng.standard_normal(len(shapes))), 0, 1)


def _nod(out: HeadMotion, times: np.ndarray, strength: float, rng: np.random.Generator) -> None:
    down = rng.uniform(0.42, 0.5) * times[-1]
    extent = (2 + 10 * strength) * rng.uniform(0.85, 1.0)
    out.head[:, 1] = -extent * bump(times, 0, down, 0, times[-1] - down)


def _nods(out: HeadMotion, times: np.ndarray, strength: float, rng: np.random.Generator) -> None:
    """Cycles that get smaller, the last one more so; longer rows start larger (Mori et al. 2025)."""
    cycles = int(np.clip(round(NOD_RATE * times[-1]), 2, 6))
    period = times[-1] / cycles
    largest = (2 + 8 * strength) * (0.85 + 0.05 * cycles) * rng.uniform(0.85, 1.0)
    for k in range(cycles):
        size = largest * (1 - 0.5 * k / (cycles - 1)) * (0.75 if k == cycles - 1 else 1)
        down = 0.46 * period
        out.head[:, 1] -= size * bump(times, k * period, down, 0, period - down)


def _shake(out: HeadMotion, times: np.ndarray, strength: float, rng: np.random.Generator) -> None:
    swings = max(int(round(2 * SHAKE_RATE * times[-1])), 2)  # halves of a cycle
    extent = (2 + 9 * strength) * rng.uniform(0.85, 1.0) * _side(rng)
    # from the middle to one side, from side to side, and back to the middle
    aims = [extent * (-1) ** k * (1 - 0.6 * k / swings) for k in range(swings)] + [0.0]
    lengths = np.array([0.7, *[1.0] * (swings - 1), 0.7])
    lengths *= times[-1] / lengths.sum()
    start, place = 0.0, 0.0
    for aim, length in zip(aims, lengths, strict=True):
        out.head[:, 0] += (aim - place) * minimum_jerk((times - start) / length)
        start, place = start + length, aim
    out.head[-1, 0] = 0  # what rounding left


def _tilt(out: HeadMotion, times: np.ndarray, strength: float, rng: np.random.Generator) -> None:
    side = _side(rng)
    curve = _held(times, 0.55, 0.7)
    out.head[:, 2] = side * (3 + 10 * strength) * curve
    out.head[:, 0] = -side * rng.uniform(0, 2) * strength * curve


def _brow_raise(out: HeadMotion, times: np.ndarray, strength: float, rng: np.random.Generator) -> None:
    units = from_action_units({"AU1": strength, "AU2": strength, "AU5": 0.25 * strength})
    _show(out, _wane(times, 0.22, 0.38), _uneven(units, rng))


def _frown(out: HeadMotion, times: np.ndarray, strength: float, rng: np.random.Generator) -> None:
    units = from_action_units({"AU4": strength, "AU7": 0.3 * strength})
    _show(out, _wane(times, 0.4, 0.6), _uneven(units, rng))


def _smile(out: HeadMotion, times: np.ndarray, strength: float, rng: np.random.Generator) -> None:
    curve = _wane(times, SMILE_ONSET, SMILE_OFFSET)
    cheeks = 0.8 * max(strength - 0.25, 0) / 0.75
    lips = max(strength - 0.5, 0) * 1.2
    _show(out, curve, _uneven(from_action_units({"AU12": strength, "AU6": cheeks, "AU25": lips}), rng))


def _laugh(out: HeadMotion, times: np.ndarray, strength: float, rng: np.random.Generator) -> None:
    whole = _wane(times, 0.35, 0.6)
    face = from_action_units({"AU12": 0.5 + 0.5 * strength, "AU6": 0.4 + 0.5 * strength, "AU25": 0.5})
    _show(out, whole, _uneven(face, rng))
    first, last = 0.15 * times[-1], 0.85 * times[-1]
    notes = max(round(LAUGH_RATE * (last - first)), 1)
    beat = (last - first) / notes
    pulses = np.zeros(len(times))
    for k in range(notes):  # notes get weaker along the row
        pulses += (1 - 0.5 * k / notes) * bump(times, first + k * beat, 0.45 * beat, 0, 0.55 * beat)
    jaw = (0.12 + 0.25 * strength) * (0.5 * whole + 0.5 * pulses)
    _show(out, jaw, expression({"jawOpen": 1.0}))
    out.head[:, 1] = (3 + 9 * strength) * whole * rng.uniform(0.7, 1) - 1.2 * strength * pulses
    out.translation[:, 1] = 0.35 * strength * pulses
    out.torso[:, 1] = 2 * strength * whole


def _surprise(out: HeadMotion, times: np.ndarray, strength: float, rng: np.random.Generator) -> None:
    curve = _held(times, 0.2, 0.6)
    units = {"AU1": strength, "AU2": strength, "AU5": strength}
    _show(out, curve, _uneven(from_action_units(units), rng))
    _show(out, curve, expression({"jawOpen": 0.45 * strength}))
    out.head[:, 1] = 5 * strength * curve
    out.translation[:, 2] = -1.2 * strength * curve


def _posture_shift(out: HeadMotion, times: np.ndarray, strength: float, rng: np.random.Generator) -> None:
    curve = _held(times, 1.3, 1.5)
    side = _side(rng)
    out.translation[:, 0] = side * 3 * strength * curve
    out.translation[:, 2] = rng.uniform(-2, 2) * strength * curve
    out.torso[:, 2] = side * 4 * strength * curve
    out.torso[:, 0] = side * rng.uniform(-2, 6) * strength * curve
    out.head[:, 2] = -side * 3 * strength * curve


def _gaze_away(out: HeadMotion, times: np.ndarray, strength: float, rng: np.random.Generator) -> None:
    far = 9 + 15 * strength
    angle = np.deg2rad(rng.choice([0.0, 180.0, -35.0, -145.0, 30.0, 150.0]) + rng.normal(0, 10))
    aim = far * np.array([np.cos(angle), 0.7 * np.sin(angle)])
    jump = min(saccade_seconds(far), 0.3 * times[-1])
    sight = bump(times, 0, jump, times[-1] - 2 * jump, jump)
    share = 0.4 * max(far - 8, 0) / far * rng.uniform(0.5, 1)
    # the head sets off late, and is back by the time that the gesture ends
    follow = share * _held(times, 0.45, 0.45, start=min(HEAD_DELAY, 0.2 * times[-1]))
    out.head[:, :2] = follow[:, None] * aim
    out.gaze[:] = (sight - follow)[:, None] * aim


def _blink(out: HeadMotion, times: np.ndarray, strength: float, rng: np.random.Generator) -> None:
    phases = np.array([CLOSING[0], HOLDING[0], OPENING[0]])
    closing, holding, opening = phases * times[-1] / phases.sum()
    lids = blink_curve(times, 0, 0.4 + 0.6 * strength, closing, holding, opening)
    _show(out, np.maximum(lids, 0), expression({"eyeBlink": 1.0}))


_CURVES: dict[str, Callable[[HeadMotion, np.ndarray, float, np.random.Generator], None]] = {
    "nod": _nod,
    "nods": _nods,
    "shake": _shake,
    "tilt": _tilt,
    "brow_raise": _brow_raise,
    "frown": _frown,
    "smile": _smile,
    "laugh": _laugh,
    "surprise": _surprise,
    "posture_shift": _posture_shift,
    "gaze_away": _gaze_away,
    "blink": _blink,
}
