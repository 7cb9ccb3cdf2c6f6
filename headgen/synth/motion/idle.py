"""A whole head that does nothing in particular: pose, gaze, blinks and face together, with their events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headgen.synth.conversation.events import Event
from headgen.synth.heads.expressions import INDEX
from headgen.synth.heads.model import HeadMotion
from headgen.synth.motion.blinks import RESTING_RATE, SPEAKING_RATE, blinks
from headgen.synth.motion.face import face
from headgen.synth.motion.gaze import HEAD_SHARE, LISTENING_AWAY, SPEAKING_AWAY, gaze
from headgen.synth.motion.head_pose import head_pose, posture


@dataclass(frozen=True)
class Style:
    """How much a person moves; 1 is the median of people.

    Attributes:
        liveliness: of the head.
        posture: rate of posture shifts.
        gaze: rate of eye movements.
        away: factor on the share of looks away.
        blinks: factor on the blink rate.
        face: rate and height of facial movement.
    """

    liveliness: float = 1.0
    posture: float = 1.0
    gaze: float = 1.0
    away: float = 1.0
    blinks: float = 1.0
    face: float = 1.0


STYLES = {
    "calm": Style(0.55, 0.6, 0.85, 0.8, 0.8, 0.6),
    "natural": Style(),
    "lively": Style(2.2, 1.6, 1.15, 1.2, 1.15, 1.6),
}
SPONTANEOUS = 0.85  # of the blinks; gaze shifts bring the others
SPREAD = Style(0.68, 0.4, 0.15, 0.25, 0.35, 0.4)
"""Differences between people of one style: standard deviations of the factors' logarithms. That of the head
is the measured one ("head speed, spread of log between clips" of `statistics.summarise`)."""


def draw_style(name: str, rng: np.random.Generator) -> Style:
    """A person of a style: its factors with the variation between people.

    Args:
        name: ``calm``, ``natural`` or ``lively``.
        rng: source of chance.

    Raises:
        ValueError: an unknown style.
    """
    if name not in STYLES:
        raise ValueError(f"no style {name!r}; known: {', '.join(STYLES)}")
    middle = STYLES[name]
    # one temperament for the whole person, and a part of its own for every factor
    temper = rng.standard_normal()
    factors = {}
    for field, spread in vars(SPREAD).items():
        z = np.clip(0.6 * temper + 0.8 * rng.standard_normal(), -2.5, 2.5)
        factors[field] = float(getattr(middle, field) * np.exp(spread * z))
    return Style(**factors)


def idle_motion(
    frames: int,
    fps: float,
    rng: np.random.Generator,
    style: str | Style = "natural",
    who: str = "listener",
    first: int = 0,
    blink_at: Sequence[float] = (),
) -> tuple[HeadMotion, list[Event]]:
    """Motion of a head that listens, or that speaks but for its mouth.

    Gestures are added on top (`headgen.synth.motion.gestures.add`), and for a speaker the mouth. The motion
    up to a time does not change with the clip's length, nor with what is asked for after that time.

    Args:
        frames: T.
        fps: frames/s.
        rng: source of chance.
        style: ``calm``, ``natural`` or ``lively``: a person of that style is drawn; or a `Style`, taken as it
            is.
        who: ``listener`` or ``speaker``, which decides the statistics and whose events they are.
        first: number of the first event.
        blink_at: seconds at which a blink begins in any case, in order.

    Returns:
        T frames; events in order of their start, cut off at the clip's end.

    Raises:
        ValueError: an unknown style or person.
    """
    if who not in ("listener", "speaker"):
        raise ValueError(f"who is {who!r}; give 'listener' or 'speaker'")
    person, held, moving, looking, lids, expressions = rng.spawn(6)
    if isinstance(style, str):
        style = draw_style(style, person)
    speaking = who == "speaker"

    posed = posture(frames, fps, held, style.liveliness, style.posture)
    angles = posed.head + head_pose(frames, fps, moving, style.liveliness, speaking)
    share = (SPEAKING_AWAY if speaking else LISTENING_AWAY) * style.away
    turning = HEAD_SHARE * min(style.liveliness, 2.5)
    looks = gaze(frames, fps, looking, angles + posed.torso, min(share, 0.8), style.gaze, turning)
    rate = SPONTANEOUS * style.blinks * (SPEAKING_RATE if speaking else RESTING_RATE)
    closure, blinked = blinks(frames, fps, lids, rate, blink_at, looks.shifts)
    shapes, shown = face(frames, fps, expressions, style.face, speaking)
    for eye, name in enumerate(("eyeBlinkLeft", "eyeBlinkRight")):
        shapes[:, INDEX[name]] = closure[:, eye]

    motion = HeadMotion(
        expression=shapes.astype(np.float32),
        head=(angles + looks.head).astype(np.float32),
        gaze=looks.gaze.astype(np.float32),
        translation=posed.translation.astype(np.float32),
        torso=posed.torso.astype(np.float32),
    )
    found = [("blink", b.start, b.end, b.strength) for b in blinked]
    found += [("gaze_away", a.start, a.end, a.strength) for a in looks.away]
    found += [("posture_shift", s.start, s.end, s.strength) for s in posed.shifts]
    found += [(e.kind, e.start, e.end, e.strength) for e in shown]
    end = frames / fps
    events = [
        Event(kind, who, float(start), float(min(stop, end)), float(strength), first + number)
        for number, (kind, start, stop, strength) in enumerate(
            sorted((f for f in found if f[1] < end), key=lambda f: (f[1], f[0]))
        )
    ]
    return motion, events
