"""Captions of a clip, made from its events: the same behaviour in several phrasings, for text control.

Styles, from terse to detailed:

- ``attitude``: who somebody is, without events ("a rather bored listener");
- ``tags``: kinds and counts, comma separated;
- ``instruction``: what to do, with frequencies ("listen warmly: smile a lot and nod often");
- ``summary``: who somebody is and does most ("a warm listener who nods three times and smiles");
- ``sentence``: kinds and counts in prose;
- ``timed``: what happens in stretches of a few seconds ("0-3 s: nods twice; 3-6 s: smiles");
- ``narrative``: every act in order, with its cause;
- ``machine``: a JSON list of ``[kind, start, end, strength]`` in seconds, which `read_machine` reads.

Our design: a grammar with tables of synonyms, no language model; every statement follows from the events.
Blinks are told by ``machine`` and, sometimes, by ``tags`` and ``sentence``: nobody else would mention them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headgen.synth.conversation.events import Event
from headgen.synth.conversation.phrasing import (
    TAGS,
    VERBS,
    by_kind,
    clause,
    listed,
    pick,
)

STYLES = ("attitude", "tags", "instruction", "summary", "sentence", "timed", "narrative", "machine")
"""Ways to describe a clip."""

PEOPLE = {
    "listener": ("the listener", "the person listening", "a listener"),
    "speaker": ("the speaker", "the person talking", "somebody who talks"),
}
ADJECTIVES = {
    "warm": ("warm", "friendly", "kind", "encouraging"),
    "neutral": ("neutral", "attentive", "matter-of-fact"),
    "sceptical": ("sceptical", "doubtful", "unconvinced"),
    "bored": ("bored", "uninterested", "absent-minded"),
    "surprised": ("surprised", "astonished", "amazed"),
}
ADVERBS = {
    "warm": ("warmly", "in a friendly way", "with sympathy"),
    "neutral": ("neutrally", "calmly", "in a matter-of-fact way"),
    "sceptical": ("sceptically", "with doubt", "without being convinced"),
    "bored": ("without interest", "in a bored way", "absent-mindedly"),
    "surprised": ("with surprise", "in astonishment", "with amazement"),
}
DEGREES = (
    (0.35, ("slightly", "mildly", "somewhat")),
    (0.7, ("", "rather", "fairly")),
    (1.1, ("very", "really")),
)
"""Words for intensities up to a value."""
NOTHING = {
    "listener": ("just listens", "keeps still", "listens quietly", "stays still"),
    "speaker": ("just talks", "talks without a gesture", "goes on talking"),
}
"""What somebody does who does nothing that is told."""
CAUSES = {
    "pause": ("as the speaker pauses", "in the pause", "when the speaker stops for a moment"),
    "low_pitch": ("as the speaker's voice drops", "at the low voice", "as the voice sinks"),
    "emphasis": ("at the stress on{word}", "when the speaker stresses{word}", "at the emphasis on{word}"),
    "question": ("at the question", "on being asked", "as the speaker asks"),
    "smile": ("in reply to the speaker's smile", "at the speaker's smile", "as the speaker smiles"),
    "laugh": ("as the speaker laughs", "in reply to the speaker's laughter"),
    "nod": ("after the speaker's nod", "in reply to a nod"),
    "shake": ("after the speaker's head shake",),
    "brow_raise": ("in reply to the speaker's raised brows", "as the speaker's brows go up"),
    "posture_shift": ("following the speaker's change of posture", "as the speaker leans aside"),
}
"""What set an act off, by the kind of its cause."""
TOGETHER = 0.15
"""Seconds between the beginnings of two acts that are done at the same time."""
NEXT = ("then", "next", "after that", "a little later")
OFTEN, RARELY = 10.0, 4.0
"""Events per minute from which something is done often, and below which rarely."""
FREQUENCIES = {"often": ("often", "a lot", "again and again"), "now": ("now and then", "from time to time"),
               "rarely": ("a little", "hardly more than once", "rarely")}  # fmt: skip
ASKED_FOR = (
    "nod",
    "smile",
    "laugh",
    "shake",
    "tilt",
    "frown",
    "brow_raise",
    "surprise",
    "gaze_away",
    "back_channel",
)
"""Kinds that an instruction may ask for; several nods count as nodding."""
TOLD_BY_SPEAKER = (
    "question",
    "filler",
    "laugh",
    "smile",
    "nod",
    "shake",
    "brow_raise",
    "gaze_away",
    "posture_shift",
)
"""Kinds that a description of the speaker tells."""


@dataclass(frozen=True)
class Caption:
    """A description of one person in a clip.

    Attributes:
        who: ``speaker`` or ``listener``.
        style: one of `STYLES`.
        text: in English; JSON for ``machine``.
    """

    who: str
    style: str
    text: str


def write_captions(
    events: Sequence[Event], duration: float, attitude: str, intensity: float, rng: np.random.Generator
) -> tuple[Caption, ...]:
    """Describes both people in all styles; the speaker without an attitude.

    Args:
        events: of both, in order of time, numbered by their place.
        duration: of the clip, seconds.
        attitude: of the listener.
        intensity: of the attitude, 0 to 1.
        rng: chooses the words.
    """
    own = [event for event in events if event.who == "listener"]
    shown = [event for event in own if event.kind != "blink"]
    maybe_blinks = own if rng.random() < 0.3 else shown
    spoken = [event for event in events if event.who == "speaker"]
    told = [event for event in spoken if event.kind in TOLD_BY_SPEAKER]
    texts = [
        ("listener", "attitude", attitude_text(attitude, intensity, rng)),
        ("listener", "tags", tags(maybe_blinks, rng, attitude)),
        ("listener", "instruction", instruction(shown, duration, rng, "listener", attitude)),
        ("listener", "summary", summary(shown, rng, attitude, intensity)),
        ("listener", "sentence", sentence(maybe_blinks, rng, "listener")),
        ("listener", "timed", timed(shown, duration, rng, "listener")),
        ("listener", "narrative", narrative(shown, events, rng, "listener")),
        ("listener", "machine", machine(own)),
        ("speaker", "tags", tags(told, rng)),
        ("speaker", "instruction", instruction(told, duration, rng, "speaker")),
        ("speaker", "sentence", sentence(told, rng, "speaker")),
        ("speaker", "timed", timed(told, duration, rng, "speaker")),
        ("speaker", "narrative", narrative(told, events, rng, "speaker")),
        ("speaker", "machine", machine(spoken)),
    ]
    return tuple(Caption(*text) for text in texts)


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def degree(intensity: float, rng: np.random.Generator) -> str:
    """A word for an intensity; may be empty."""
    return next(pick(words, rng) for limit, words in DEGREES if intensity < limit)


def described(attitude: str, intensity: float, rng: np.random.Generator) -> str:
    """Adjective and degree, as "rather bored"."""
    return f"{degree(intensity, rng)} {pick(ADJECTIVES[attitude], rng)}".strip()


def attitude_text(attitude: str, intensity: float, rng: np.random.Generator) -> str:
    """How somebody listens, without what happens."""
    how = described(attitude, intensity, rng)
    article = "an" if how[0] in "aeiou" else "a"
    patterns = (f"{article} {how} listener", f"the listener seems {how}", f"{article} {how} person listens")
    return capital(pick(patterns, rng)) + "."


def summary(events: Sequence[Event], rng: np.random.Generator, attitude: str, intensity: float) -> str:
    """Who somebody is, and the two or three things that are done most."""
    how = described(attitude, intensity, rng)
    person = f"{'an' if how[0] in 'aeiou' else 'a'} {how} listener"
    groups = sorted(by_kind(events), key=len, reverse=True)[: int(rng.integers(2, 4))]
    if not groups:
        return capital(f"{person} who {pick(NOTHING['listener'], rng)}.")
    return capital(f"{person} who {listed([clause(group, rng) for group in groups], rng)}.")


def tags(events: Sequence[Event], rng: np.random.Generator, attitude: str | None = None) -> str:
    """Kinds and counts."""
    parts = [pick(ADJECTIVES[attitude], rng)] if attitude else []
    for group in by_kind(events):
        name = pick(TAGS[group[0].kind], rng)
        parts.append(name if len(group) == 1 else f"{name} x{len(group)}")
    return ", ".join(parts) if parts else "still"


def sentence(events: Sequence[Event], rng: np.random.Generator, who: str) -> str:
    """Kinds and counts, in prose."""
    person = pick(PEOPLE[who], rng)
    if not events:
        return capital(f"{person} {pick(NOTHING[who], rng)}.")
    return capital(f"{person} {listed([clause(group, rng) for group in by_kind(events)], rng)}.")


def timed(events: Sequence[Event], duration: float, rng: np.random.Generator, who: str) -> str:
    """What begins in each of several equal stretches of the clip."""
    count = max(1, round(duration / rng.uniform(2.0, 4.5)))
    edges = [*(round(duration * k / count, 1) for k in range(count)), duration]
    parts = []
    for start, end in zip(edges, edges[1:], strict=False):
        groups = by_kind([event for event in events if start <= event.start < end])
        what = listed([clause(group, rng) for group in groups], rng) or pick(NOTHING[who], rng)
        parts.append(f"{start:g}-{round(end, 2):g} s: {what}")
    return "; ".join(parts)


def instruction(
    events: Sequence[Event],
    duration: float,
    rng: np.random.Generator,
    who: str,
    attitude: str | None = None,
) -> str:
    """What to do, and how often, so that this clip would come of it."""
    parts = []
    for kind in ASKED_FOR:
        alike = ("nod", "nods") if kind == "nod" else (kind,)
        count = sum(event.kind in alike for event in events)
        if not count:
            continue
        rate = 60 * count / duration
        often = "often" if rate >= OFTEN and count > 2 else "rarely" if rate < RARELY or count == 1 else "now"
        verb, rest = VERBS[kind][0]
        if count == 1:
            parts.append(f"{verb} {rest} once".replace("  ", " "))
        else:
            parts.append(f"{verb} {rest} {pick(FREQUENCIES[often], rng)}".replace("  ", " "))
    if who == "listener" and not any(event.kind == "gaze_away" for event in events):
        parts.append(pick(("keep looking at the speaker", "do not look away"), rng))
    present = {event.kind for event in events}
    absent = [
        kind
        for kind, alike in (("nod", {"nod", "nods"}), ("smile", {"smile", "laugh"}))
        if not alike & present
    ]
    if absent and rng.random() < 0.6:
        parts.append(f"do not {pick(absent, rng)}")
    what = listed(parts, rng) if parts else "keep still"
    if attitude is None:
        return capital(f"{pick(('talk and', 'while talking,', 'speak,'), rng)} {what}.")
    how = pick(ADVERBS[attitude], rng)
    opening = (
        pick((f"listen {how}: ", f"listen {how}; ", f"react {how}: "), rng) if rng.random() < 0.7 else ""
    )
    return capital(f"{opening}{what}.")


def narrative(
    events: Sequence[Event], everything: Sequence[Event], rng: np.random.Generator, who: str
) -> str:
    """Every act in order, with its time now and then, and with what set it off."""
    person = pick(PEOPLE[who], rng)
    if not events:
        return capital(f"{person} {pick(NOTHING[who], rng)}.")
    sentences: list[str] = []
    left = list(events)
    while left:
        count = int(rng.integers(1, 4))
        group, left = left[:count], left[count:]
        acts = ""
        for k, event in enumerate(group):
            act = clause([event], rng)
            if event.text and event.kind in ("back_channel", "question", "filler"):
                act = f'says "{event.text}"'
            if event.cause is not None:
                act += " " + because(everything[event.cause], rng)
            if k:
                acts += " and " if event.start - group[k - 1].start < TOGETHER else ", then "
            acts += act
        lead = pick(NEXT, rng) + " " if sentences else ""
        if rng.random() < 0.5:
            lead = f"at {group[0].start:.1f} s "
        sentences.append(capital(f"{lead}{person if not sentences else f'the {who}'} {acts}."))
    return " ".join(sentences)


def because(cause: Event, rng: np.random.Generator) -> str:
    """What set an act off."""
    word = f' "{cause.text.strip(".,!?;:")}"' if cause.text else " a word"
    return pick(CAUSES[cause.kind], rng).format(word=word)


def machine(events: Sequence[Event]) -> str:
    """A JSON list of ``[kind, start, end, strength]``, times in seconds to a hundredth."""
    return json.dumps([[e.kind, round(e.start, 2), round(e.end, 2), round(e.strength, 2)] for e in events])


def read_machine(text: str) -> list[tuple[str, float, float, float]]:
    """Kind, start, end and strength of each event of a ``machine`` caption."""
    return [(str(kind), float(start), float(end), float(size)) for kind, start, end, size in json.loads(text)]
