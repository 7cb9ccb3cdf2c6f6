"""Words for events: what an act is called, how often and how strongly it is done.

Everything is written so that it stays true: a number is a count of events, and a word of strength is used
only where all events that it stands for are weak, or all are strong.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headgen.synth.conversation.events import Event

VERBS: dict[str, tuple[tuple[str, str], ...]] = {
    "nod": (("nod", ""), ("dip", "the head"), ("bob", "the head")),
    "nods": (("nod", "repeatedly"), ("nod", "several times in a row"), ("keep", "nodding for a moment")),
    "shake": (("shake", "the head"),),
    "tilt": (("tilt", "the head"), ("cock", "the head"), ("lean", "the head to one side")),
    "smile": (("smile", ""), ("break", "into a smile"), ("let", "a smile show")),
    "laugh": (("laugh", ""), ("chuckle", "")),
    "brow_raise": (("raise", "the eyebrows"), ("lift", "the brows")),
    "frown": (("frown", ""), ("knit", "the brows"), ("draw", "the eyebrows together")),
    "surprise": (("look", "surprised"), ("open", "the eyes wide in surprise")),
    "blink": (("blink", ""),),
    "gaze_away": (("look", "away"), ("glance", "aside"), ("avert", "the eyes"), ("let", "the gaze wander")),
    "posture_shift": (("shift", "position"), ("lean", "sideways for a while"), ("change", "posture")),
    "back_channel": (("murmur", "in reply"), ("make", "a short sound of attention")),
    "question": (("ask", "something"),),
    "filler": (("hesitate", ""), ("search", "for words")),
    "pause": (("pause", ""), ("fall", "silent")),
    "emphasis": (("stress", "a word"), ("put", "weight on a word")),
    "phrase": (("speak", "a phrase"), ("say", "something")),
}
"""Verb and the rest of its phrase, by kind of event; the verb's third person ends in -s, or else in -es."""

NOUNS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "nod": (("give", "nod", "nods"),),
    "nods": (("give", "series of nods", "series of nods"),),
    "shake": (("give", "shake of the head", "shakes of the head"),),
    "smile": (("show", "smile", "smiles"), ("give", "smile", "smiles")),
    "laugh": (("give", "laugh", "laughs"),),
    "frown": (("show", "frown", "frowns"),),
    "surprise": (("show", "look of surprise", "looks of surprise"),),
    "gaze_away": (("cast", "glance aside", "glances aside"),),
    "question": (("ask", "question", "questions"),),
    "pause": (("make", "pause", "pauses"),),
    "phrase": (("say", "phrase", "phrases"),),
}
"""Verb, noun and its plural."""

TAGS: dict[str, tuple[str, ...]] = {
    "nod": ("nod", "head nod"),
    "nods": ("repeated nods", "nodding"),
    "shake": ("head shake", "shaking head"),
    "tilt": ("head tilt", "tilted head"),
    "smile": ("smile", "smiling"),
    "laugh": ("laugh", "laughing"),
    "brow_raise": ("raised brows", "brow raise"),
    "frown": ("frown", "knitted brows"),
    "surprise": ("surprised face", "surprise"),
    "blink": ("blink",),
    "gaze_away": ("look away", "gaze aversion"),
    "posture_shift": ("posture shift", "leaning"),
    "back_channel": ("mm-hm", "verbal back-channel"),
    "question": ("question",),
    "filler": ("hesitation", "filler"),
    "pause": ("pause",),
    "emphasis": ("emphasis", "stressed word"),
    "phrase": ("phrase",),
}
"""Short names."""

WEAK, STRONG = 0.4, 0.75
"""Strengths below and above which words of strength are used."""
GRADED = frozenset({"nod", "nods", "shake", "tilt", "smile", "laugh", "brow_raise", "frown", "surprise"})
"""Kinds whose strength can be seen."""
SLIGHTLY, SLIGHT = ("slightly", "faintly", "a little"), ("slight", "small", "faint")
CLEARLY, CLEAR = ("clearly", "markedly", "strongly"), ("clear", "big", "marked")
NUMBERS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip


def pick(options: Sequence[str], rng: np.random.Generator) -> str:
    """One of the options."""
    return options[int(rng.integers(len(options)))]


def number(count: int) -> str:
    """A count in words, in figures above twelve."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def times(count: int) -> str:
    """How often: nothing for once."""
    return {1: "", 2: "twice"}.get(count, f"{number(count)} times")


def conjugated(verb: str, imperative: bool) -> str:
    """Third person singular, or the verb itself."""
    if imperative:
        return verb
    return verb + ("es" if verb.endswith(("ss", "sh", "ch")) else "s")


def grade(events: Sequence[Event]) -> int:
    """-1 if all are weak, 1 if all are strong, else 0."""
    if all(event.kind in GRADED and event.strength < WEAK for event in events):
        return -1
    return int(all(event.kind in GRADED and event.strength > STRONG for event in events))


def clause(events: Sequence[Event], rng: np.random.Generator, imperative: bool = False) -> str:
    """A verb phrase for events of one kind, with their number: "smiles broadly twice".

    Args:
        events: at least one; all of the same kind.
        rng: chooses the words.
        imperative: "smile", not "smiles".
    """
    kind, count, level = events[0].kind, len(events), grade(events)
    if kind in NOUNS and rng.random() < 0.5:
        nouns = NOUNS[kind]
        verb, one, many = nouns[int(rng.integers(len(nouns)))]
        size = "" if not level else pick(CLEAR if level > 0 else SLIGHT, rng) + " "
        article = "an" if (size or one)[0] in "aeiou" else "a"
        thing = f"{article} {size}{one}" if count == 1 else f"{number(count)} {size}{many}"
        return f"{conjugated(verb, imperative)} {thing}"
    options = VERBS[kind]
    verb, rest = options[int(rng.integers(len(options)))]
    adverb = "" if not level else pick(CLEARLY if level > 0 else SLIGHTLY, rng)
    words = [conjugated(verb, imperative), rest, adverb, repetition(kind, rest, count)]
    return " ".join(word for word in words if word)


def repetition(kind: str, rest: str, count: int) -> str:
    """How often; "on two occasions" where "twice" would belong to a number inside the phrase."""
    if count > 1 and (kind == "nods" or "for a" in rest):
        return f"on {number(count)} occasions"
    return times(count)


def listed(parts: Sequence[str], rng: np.random.Generator) -> str:
    """Parts with commas and a last "and"."""
    if len(parts) < 2:
        return "".join(parts)
    last = pick((" and ", ", and "), rng)
    return ", ".join(parts[:-1]) + last + parts[-1]


def by_kind(events: Sequence[Event]) -> list[list[Event]]:
    """Events put together by kind, kinds in the order of their first."""
    groups: dict[str, list[Event]] = {}
    for event in events:
        groups.setdefault(event.kind, []).append(event)
    return list(groups.values())
