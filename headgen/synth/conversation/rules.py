"""Rules of listening: what a listener does because of what has just been heard or seen, and out of habit.

A rule gets one `Percept` (something that the listener has noticed by now), the listener's `Manner` and a
random generator that belongs to this percept alone, and answers with what it sets off. It knows nothing else:
neither the speaker's plan nor the future. A habit is the same without a percept, asked once per frame.

Sources, by short name:

- Ward & Tsukahara 2000, "Prosodic features which cue back-channel responses in English and Japanese".
- Cathcart, Carletta & Klein 2003, "A shallow model of backchannel continuers in spoken dialogue".
- Truong, Poppe & Heylen 2010, "A rule-based backchannel prediction model using pitch and pause information".
- Bavelas, Coates & Johnson 2002, "Listener responses as a collaborative process: the role of gaze".
- Dimberg & Thunberg 1998, "Rapid facial reactions to emotional facial expressions".
- Hess & Bourgeois 2010, "You smile - I smile: emotion expression in social interaction".
- Chartrand & Bargh 1999, "The chameleon effect".
- Nakano & Kitazawa 2010, "Eyeblink entrainment at breakpoints of speech".
- Bentivoglio et al. 1997, "Analysis of blink rate patterns in normal subjects".
- Argyle & Cook 1976, "Gaze and mutual gaze"; Kendon 1967, "Some functions of gaze-direction".
- Ekman 1979, "About brows: emotional and conversational signals".

Our design: the papers state where and how often listeners react, rarely how likely and how fast one person
does. All probabilities stand in the manner, all medians of reaction times here; times are log-normal with a
spread of `LATENCY_SPREAD`, the usual shape of human reaction times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headgen.synth.conversation.attitude import Manner

LATENCY_SPREAD = 0.3
"""Standard deviation of the logarithm of reaction times: 68 % lie within a factor of 1.35 of the median."""
LATENCY_BOUNDS = (0.16, 2.0)
"""Seconds: nobody reacts sooner than a saccade, and later than this no one would see a reaction in it."""
REST_BETWEEN = {
    "nod": 0.8, "nods": 0.8, "back_channel": 1.5, "smile": 1.0, "laugh": 1.0, "frown": 2.5, "shake": 2.0,
    "tilt": 2.0, "surprise": 2.5, "brow_raise": 1.0, "blink": 0.25, "gaze_away": 0.8, "posture_shift": 3.0,
}  # fmt: skip
"""Least seconds from the end of an act to the next of its kind.

Ward & Tsukahara 2000 (P4) ask for 0.8 s between back-channels; the others are our design.
"""
BACK_CHANNELS = ("mm-hm", "mm", "uh-huh", "yeah", "right", "okay")
"""What listeners say without taking the turn."""


@dataclass(frozen=True)
class Percept:
    """Something about the speaker that the listener has noticed.

    Attributes:
        kind: ``pause``, ``low_pitch``, ``emphasis``, ``question``, ``smile``, ``laugh``, ``nod``,
            ``brow_raise`` or ``posture_shift``.
        frame: number of the frame in which it was noticed; all that it rests on lies before that frame's end.
        strength: 0 to 1.
        looked_at: whether the speaker looked at the listener then.
        sideways: cm to the picture's right that the speaker moved, for a shift of posture.
    """

    kind: str
    frame: int
    strength: float
    looked_at: bool = True
    sideways: float = 0.0


@dataclass(frozen=True)
class Reaction:
    """Something that the listener is about to do.

    Attributes:
        kind: one of `headgen.synth.conversation.events.LISTENER_KINDS`.
        delay: seconds from the percept (or from now, for a habit) to its beginning.
        duration: seconds.
        strength: 0 to 1.
        text: what is said with it.
        sideways: -1 or 1, for what has a side.
    """

    kind: str
    delay: float
    duration: float
    strength: float
    text: str = ""
    sideways: int = 0


Rule = Callable[[Percept, Manner, np.random.Generator], list[Reaction]]


def latency(median: float, manner: Manner, rng: np.random.Generator) -> float:
    """Seconds from noticing something to reacting: log-normal, within `LATENCY_BOUNDS`."""
    drawn = median * manner.latency * np.exp(LATENCY_SPREAD * rng.standard_normal())
    return float(np.clip(drawn, *LATENCY_BOUNDS))


def strength(percept: float, manner: Manner, rng: np.random.Generator) -> float:
    """How strong a reaction is: by the manner, by what set it off, and a little by chance; 0.2 to 1."""
    drawn = manner.size * (0.55 + 0.4 * percept) * np.exp(0.15 * rng.standard_normal())
    return float(np.clip(drawn, 0.2, 1.0))


def back_channel(
    percept: Percept, manner: Manner, rng: np.random.Generator, median: float, share: float
) -> list[Reaction]:
    """A nod where the speaker invites one, sometimes with a spoken "mm-hm".

    Speakers who look at their listener then get most of the responses (Bavelas 2002: the gaze window), so the
    probability halves when they look elsewhere.
    """
    chance = share * manner.nod * (1.0 if percept.looked_at else 0.5)
    spoken = rng.random() < manner.voice
    taken = rng.random() < chance
    delay = latency(median, manner, rng)
    size = strength(percept.strength, manner, rng)
    several = rng.random() < 0.4 * manner.nods
    duration = rng.uniform(1.0, 1.7) if several else rng.uniform(0.5, 0.85)
    words = str(rng.choice(BACK_CHANNELS))
    out = []
    if taken:
        out.append(Reaction("nods" if several else "nod", delay, duration, size))
    # Those who hardly nod still give a spoken sign of life now and then.
    if spoken and (taken or rng.random() < 0.25 * share):
        out.append(Reaction("back_channel", delay, rng.uniform(0.35, 0.6), size, words))
    return out


def nod_after_pause(percept: Percept, manner: Manner, rng: np.random.Generator) -> list[Reaction]:
    """Truong et al. 2010, Cathcart et al. 2003: back-channels follow pauses after a stretch of speech."""
    return back_channel(percept, manner, rng, median=0.4, share=1.0)


def nod_after_low_pitch(percept: Percept, manner: Manner, rng: np.random.Generator) -> list[Reaction]:
    """Ward & Tsukahara 2000: 110 ms of low pitch after 700 ms of speech cue feedback 700 ms later.

    Our design: half as likely as after a pause, because most pauses follow a low pitch and so invite twice.
    """
    return back_channel(percept, manner, rng, median=0.65, share=0.5)


def nods_at_emphasis(percept: Percept, manner: Manner, rng: np.random.Generator) -> list[Reaction]:
    """Several nods agree with what the speaker stresses."""
    if rng.random() >= manner.nods * (0.5 + 0.5 * percept.strength):
        return []
    delay = latency(0.55, manner, rng)
    return [Reaction("nods", delay, rng.uniform(1.0, 1.8), strength(percept.strength, manner, rng))]


def doubt_at_emphasis(percept: Percept, manner: Manner, rng: np.random.Generator) -> list[Reaction]:
    """A frown, a head shake, or both, at what the speaker stresses (Ekman 1979: lowered brows for doubt)."""
    out = []
    if rng.random() < manner.frown:
        delay = latency(0.6, manner, rng)
        out.append(Reaction("frown", delay, rng.uniform(1.2, 2.6), strength(percept.strength, manner, rng)))
    if rng.random() < manner.shake:
        delay = latency(0.7, manner, rng)
        out.append(Reaction("shake", delay, rng.uniform(0.9, 1.5), strength(percept.strength, manner, rng)))
    return out


def surprise_at_emphasis(percept: Percept, manner: Manner, rng: np.random.Generator) -> list[Reaction]:
    """Raised brows, or a whole surprised face, at what the speaker stresses (Ekman 1979)."""
    delay = latency(0.45, manner, rng)
    size = strength(percept.strength, manner, rng)
    draw = rng.random()
    if draw < manner.surprise * (0.4 + 0.6 * percept.strength):
        return [Reaction("surprise", delay, rng.uniform(1.0, 1.8), size)]
    if draw > 1 - manner.emphasis_brow:
        return [Reaction("brow_raise", delay, rng.uniform(0.6, 1.1), size)]
    return []


def attend_to_question(percept: Percept, manner: Manner, rng: np.random.Generator) -> list[Reaction]:
    """Raised brows and a tilted head at a question (Ekman 1979: brows of those who are asked)."""
    out = []
    if rng.random() < manner.question_brow:
        delay = latency(0.45, manner, rng)
        size = strength(percept.strength, manner, rng)
        out.append(Reaction("brow_raise", delay, rng.uniform(0.7, 1.3), size))
    if rng.random() < manner.question_tilt:
        delay = latency(0.6, manner, rng)
        out.append(tilt(delay, strength(percept.strength, manner, rng), rng))
    return out


def tilt_after_pause(percept: Percept, manner: Manner, rng: np.random.Generator) -> list[Reaction]:
    """A tilted head while what was said sinks in."""
    if rng.random() >= manner.tilt:
        return []
    return [tilt(latency(0.6, manner, rng), strength(percept.strength, manner, rng), rng)]


def tilt(delay: float, size: float, rng: np.random.Generator) -> Reaction:
    """A tilted head to either side."""
    return Reaction("tilt", delay, rng.uniform(1.4, 2.6), size, sideways=1 if rng.random() < 0.5 else -1)


def mirror_smile(percept: Percept, manner: Manner, rng: np.random.Generator) -> list[Reaction]:
    """Hess & Bourgeois 2010: smiles are returned, later and weaker.

    Dimberg & Thunberg 1998 find the muscle's first activity after 300 to 400 ms; what is seen comes later.
    """
    if rng.random() >= manner.mirror_smile:
        return []
    size = 0.85 * strength(percept.strength, manner, rng)
    return [Reaction("smile", latency(0.6, manner, rng), rng.uniform(1.6, 3.4), size)]


def mirror_laugh(percept: Percept, manner: Manner, rng: np.random.Generator) -> list[Reaction]:
    """Laughter is contagious: laughing along, or else a smile (Hess & Bourgeois 2010)."""
    delay = latency(0.5, manner, rng)
    size = 0.9 * strength(percept.strength, manner, rng)
    draw = rng.random()
    if draw < 0.8 * manner.mirror_laugh:
        return [Reaction("laugh", delay, rng.uniform(1.2, 2.2), size)]
    if draw < manner.mirror_laugh:
        return [Reaction("smile", delay, rng.uniform(1.6, 3.0), size)]
    return []


def polite_smile(percept: Percept, manner: Manner, rng: np.random.Generator) -> list[Reaction]:
    """A smile at a pause, as a back-channel of its own."""
    if rng.random() >= manner.own_smile:
        return []
    size = strength(percept.strength, manner, rng)
    return [Reaction("smile", latency(0.5, manner, rng), rng.uniform(1.8, 3.6), size)]


def mirror_nod(percept: Percept, manner: Manner, rng: np.random.Generator) -> list[Reaction]:
    """Chartrand & Bargh 1999: gestures of the other are taken over."""
    if rng.random() >= manner.mirror_nod:
        return []
    size = 0.9 * strength(percept.strength, manner, rng)
    return [Reaction("nod", latency(0.6, manner, rng), rng.uniform(0.5, 0.85), size)]


def mirror_brows(percept: Percept, manner: Manner, rng: np.random.Generator) -> list[Reaction]:
    """Raised brows answer raised brows; as likely as at an emphasis, which they go with (Ekman 1979)."""
    if rng.random() >= manner.emphasis_brow:
        return []
    size = 0.85 * strength(percept.strength, manner, rng)
    return [Reaction("brow_raise", latency(0.5, manner, rng), rng.uniform(0.6, 1.1), size)]


def mirror_posture(percept: Percept, manner: Manner, rng: np.random.Generator) -> list[Reaction]:
    """Chartrand & Bargh 1999: posture is taken over, as in a mirror, after a while."""
    if rng.random() >= manner.mirror_shift:
        return []
    # As in a mirror: the speaker leans to the right of the picture that the listener looks at, the listener
    # to that side of the room, which is the left of the listener's own picture.
    side = -1 if percept.sideways > 0 else 1
    size = strength(percept.strength, manner, rng)
    return [Reaction("posture_shift", latency(1.0, manner, rng), rng.uniform(4.0, 8.0), size, sideways=side)]


def blink_at_boundary(percept: Percept, manner: Manner, rng: np.random.Generator) -> list[Reaction]:
    """Nakano & Kitazawa 2010: listeners blink 250 to 500 ms after a pause begins.

    Our design: they count from the speaker's own blink at the pause, we from the pause, which is heard.
    """
    if rng.random() >= manner.boundary_blink:
        return []
    return [Reaction("blink", latency(0.22, manner, rng), blink_length(manner, rng), 1.0)]


RULES: dict[str, tuple[Rule, ...]] = {
    "pause": (nod_after_pause, tilt_after_pause, polite_smile, blink_at_boundary),
    "low_pitch": (nod_after_low_pitch,),
    "emphasis": (nods_at_emphasis, doubt_at_emphasis, surprise_at_emphasis),
    "question": (attend_to_question,),
    "smile": (mirror_smile,),
    "laugh": (mirror_laugh,),
    "nod": (mirror_nod,),
    "brow_raise": (mirror_brows,),
    "posture_shift": (mirror_posture,),
}
"""Rules by what sets them off."""


Habit = Callable[[Manner, float, np.random.Generator], Reaction | None]


def blink(manner: Manner, fps: float, rng: np.random.Generator) -> Reaction | None:
    """Blinks without a cause, at random times (Bentivoglio et al. 1997: 17 a minute at rest, 26 talking)."""
    if rng.random() >= manner.blinks / 60 / fps:
        return None
    return Reaction("blink", 0.0, blink_length(manner, rng), 1.0)


def look_away(manner: Manner, fps: float, rng: np.random.Generator) -> Reaction | None:
    """Argyle & Cook 1976: listeners look at the speaker three quarters of the time, with short looks away."""
    # Right after a look away there is none (`REST_BETWEEN`), so the rest of the looking time is shorter.
    looking = manner.away * manner.gaze / (1 - manner.gaze) - REST_BETWEEN["gaze_away"]
    if rng.random() >= 1 / max(looking, 0.2) / fps:
        return None
    # Mean one, so that the share of time comes out: exp(-s^2 / 2) is the log-normal's own correction.
    length = manner.away * np.exp(0.4 * rng.standard_normal() - 0.08)
    return Reaction("gaze_away", 0.0, float(np.clip(length, 0.4, 5.0)), rng.uniform(0.4, 1.0))


def shift_posture(manner: Manner, fps: float, rng: np.random.Generator) -> Reaction | None:
    """Leaning aside now and then, for a few seconds."""
    if rng.random() >= manner.shifts / 60 / fps:
        return None
    side = 1 if rng.random() < 0.5 else -1
    return Reaction("posture_shift", 0.0, rng.uniform(4.0, 8.0), rng.uniform(0.4, 1.0), sideways=side)


def blink_length(manner: Manner, rng: np.random.Generator) -> float:
    """Seconds of one blink, log-normal about the manner's."""
    return float(np.clip(manner.blink_length * np.exp(0.12 * rng.standard_normal()), 0.2, 0.9))


HABITS: dict[str, Habit] = {"blink": blink, "gaze_away": look_away, "posture_shift": shift_posture}
"""What a listener does without a cause."""
