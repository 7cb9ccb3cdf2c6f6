"""Phrasings that the text encoder was not trained on, and how well it understands them.

Training draws on none of these (`tests/training/test_text.py` holds it to that). Their words need not be new:
what is measured is whether the encoder understands another way to put them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgen.listener.text import TextEncoder, understand
from headgen.listener.wishes import ATTITUDES, WISHES

__all__ = ["AFTERWARDS", "MIXED", "NEGATED", "NEGATED_AFTERWARDS", "PHRASINGS", "phrasing_report"]

Entry = tuple[str, Mapping[str, float]]
"""A text, and what it asks for."""

PHRASINGS: dict[str, tuple[str, ...]] = {
    "warm": (
        "a caring person who listens with kindness",
        "be nice and supportive to the speaker",
        "her reactions are friendly",
        "shows that she is fond of the speaker, full of sympathy",
        "keep the mood warm",
        "reacts with a lot of warmth and affection",
    ),
    "neutral": (
        "a composed face, nothing else",
        "no emotions, neutral",
        "stays objective and reserved",
        "remain calm throughout the talk",
        "her manner is neutral",
        "a person who listens soberly",
    ),
    "sceptical": (
        "she has her doubts about all this",
        "a critical mind who mistrusts what he hears",
        "listens like somebody who is not convinced",
        "show some scepticism",
        "her manner is suspicious",
        "be dubious about the story",
    ),
    "bored": (
        "the talk bores the listener",
        "she finds the whole thing boring",
        "looks like somebody who is tired of it all",
        "an inattentive, listless face",
        "her mood: boredom",
        "react as if weary of the topic",
    ),
    "surprised": (
        "somebody who is amazed by the story",
        "listen in utter amazement",
        "she is astounded at the news",
        "her mood: astonishment",
        "all astonishment from head to toe",
        "act as if flabbergasted by everything",
    ),
    "nod": (
        "her head keeps nodding",
        "agrees by moving the head up and down",
        "answer every pause with a nod",
        "a listener who nods her agreement",
        "shows with nods that he understands",
        "the head should bob in agreement",
    ),
    "smile": (
        "there is a smile on her lips",
        "the mouth turns into a grin",
        "has a smiling expression",
        "greet the words with a smile",
        "her lips curl up happily",
        "shows how happy he is by smiling",
    ),
    "laugh": (
        "lets out a chuckle",
        "the joke makes her laugh",
        "reply to the jokes with laughter",
        "somebody who starts to giggle",
        "he laughs and laughs",
        "roar with laughter",
    ),
    "shake": (
        "her head moves left and right",
        "expresses disagreement with a head shake",
        "answers no by shaking his head",
        "the head swings from side to side",
        "in denial, the listener shakes the head",
        "a shaking of her head",
    ),
    "tilt": (
        "her head is leaning to the side",
        "holds the head tilted to one side",
        "listen with a slanted head",
        "the head should be cocked",
        "tips her head sideways",
        "with the head at an angle",
    ),
    "frown": (
        "her eyebrows are drawn together",
        "with a wrinkled brow",
        "listen with a scowl on the face",
        "puts on a frown",
        "the forehead is creased",
        "her brows are knit in a frown",
    ),
    "brow_raise": (
        "her brows are raised",
        "the eyebrows move up",
        "listens with lifted eyebrows",
        "one eyebrow goes up",
        "react by raising the brows",
        "the listener's eyebrows should rise",
    ),
    "surprise": (
        "her jaw drops open",
        "eyes wide open in astonishment",
        "reacts with a startled face",
        "her eyes grow wide",
        "pulls an astonished expression",
        "puts on a look of amazement, eyes wide",
    ),
    "gaze_away": (
        "her eyes drift away from the speaker",
        "does not keep eye contact",
        "turns the gaze elsewhere",
        "the listener's gaze should wander",
        "keeps glancing to the side",
        "looks down at the floor and away",
    ),
    "blink": (
        "her eyelids blink",
        "opens and closes the eyes",
        "bats her lashes",
        "with blinking eyes",
        "the listener should blink her eyes",
        "react with a flutter of the eyelids",
    ),
    "posture_shift": (
        "shifts about in the chair",
        "her posture changes",
        "fidgets in his seat",
        "moves her body from side to side",
        "sits leaning to one side, then shifts",
        "the body should sway",
    ),
}
"""By what is asked for."""

NEGATED: dict[str, tuple[str, ...]] = {
    "nod": ("a listener who is never seen to nod", "absolutely no nodding",
            "whatever happens, no nods from her",
            "I would rather she did not nod", "there is never a nod in reply"),
    "smile": ("a listener who is never seen to smile", "absolutely no smiling",
              "whatever happens, no smile from her",
              "I would rather she did not smile", "there is never a smile in reply"),
    "frown": ("a listener who is never seen to frown", "absolutely no frowning",
              "whatever happens, no frown from her",
              "I would rather she did not frown", "there is never a frown in reply"),
    "tilt": ("a listener who is never seen to tilt the head", "absolutely no tilting of the head",
             "whatever happens, no head tilt from her", "I would rather she did not tilt her head",
             "there is never a tilted head"),
    "gaze_away": ("a listener who is never seen to look away", "absolutely no looking away",
                  "whatever happens, no glance aside from her", "I would rather she did not look away",
                  "keep both eyes on the speaker"),
    "surprise": ("a listener who is never seen to look surprised", "absolutely no surprised faces",
                 "whatever happens, no wide eyes", "I would rather she did not look surprised",
                 "there is never a surprised look in reply"),
    "laugh": ("a listener who is never seen to laugh", "absolutely no laughing",
              "whatever happens, no laughter from her", "I would rather she did not laugh",
              "there is never a chuckle in reply"),
}  # fmt: skip
"""By what is not to be done."""

AFTERWARDS: dict[str, tuple[str, ...]] = {
    "nod": (
        "her head keeps nodding as he talks",
        "gives the occasional nod of approval",
        "signals yes with repeated nods",
        "please nod whenever you agree",
        "with small nods of understanding",
    ),
    "smile": (
        "the mouth breaks into a grin",
        "smiles back at whoever is talking",
        "has a warm smile for the speaker",
        "cannot hide a smile",
        "listens with a smile playing on the lips",
    ),
    "tilt": (
        "her head tips over to one side",
        "cocks his head like a curious dog",
        "listens with the head tilted",
        "lets the head sink towards the shoulder",
        "tilting the head now and again",
    ),
    "frown": (
        "his brows are furrowed",
        "wears a deep frown",
        "draws the brows together as if puzzled",
        "scowls at every sentence",
        "the forehead shows wrinkles",
    ),
    "surprise": (
        "the eyes fly wide open",
        "looks as if struck by surprise",
        "shows a startled look",
        "gasps in astonishment",
        "mouth and eyes wide open in amazement",
    ),
    "gaze_away": (
        "does not meet the speaker's gaze",
        "her eyes stray from the speaker",
        "stares out of the window",
        "never holds eye contact for long",
        "keeps looking somewhere else",
    ),
}
"""By what is asked for: written when nothing of the encoder was changed any more."""

NEGATED_AFTERWARDS: dict[str, tuple[str, ...]] = {
    "nod": (
        "please, no more nods",
        "listens and never once nods",
    ),
    "smile": (
        "keep any smile off the face",
        "doesn't crack a smile",
    ),
    "tilt": (
        "head held upright, never tilted",
        "do not cock the head",
    ),
    "frown": (
        "without a trace of a frown",
        "refuses to scowl",
    ),
    "surprise": (
        "is not to gasp in surprise",
        "never looks astonished",
    ),
    "gaze_away": (
        "eyes stay fixed on the speaker",
        "her gaze never wanders",
    ),
}
"""The same of what is not to be done."""

MIXED: tuple[Entry, ...] = (
    ("smiles warmly and nods", {"warm": 0.75, "smile": 0.75, "nod": 0.75}),
    ("a sceptical listener who frowns a lot but never shakes the head", {"sceptical": 0.75, "frown": 1,
     "shake": 0}),
    ("nods often, smiles slightly, and does not look away", {"nod": 1, "smile": 0.3, "gaze_away": 0}),
    ("bored; looks away all the time and hardly blinks", {"bored": 0.75, "gaze_away": 1, "blink": 0.3}),
    ("raises her eyebrows and tilts the head, without smiling", {"brow_raise": 0.75, "tilt": 0.75,
     "smile": 0}),
    ("laughs once, then smiles for a while", {"laugh": 0.3, "smile": 0.75}),
    ("neither frowns nor shakes her head, only nods now and then", {"frown": 0, "shake": 0, "nod": 0.5}),
    ("very surprised, with wide eyes and raised brows", {"surprised": 1, "surprise": 0.75,
     "brow_raise": 0.75}),
    ("gives a broad smile and many nods", {"smile": 1, "nod": 1}),
    ("slightly bored, fidgets a little, no nodding", {"bored": 0.35, "posture_shift": 0.3, "nod": 0}),
    ("shakes the head again and again and frowns deeply", {"shake": 1, "frown": 1}),
    ("friendly, keeps eye contact and giggles at times", {"warm": 0.75, "gaze_away": 0, "laugh": 0.5}),
    ("she tilts her head a bit, and her gaze wanders", {"tilt": 0.3, "gaze_away": 0.75}),
    ("don't nod, don't smile", {"nod": 0, "smile": 0}),
    ("a smile, but on no account a laugh", {"smile": 0.75, "laugh": 0}),
    ("nods without smiling or laughing", {"nod": 0.75, "smile": 0, "laugh": 0}),
)  # fmt: skip
"""Several things at once, with degrees."""
NEAR = 0.2
"""Amounts that differ by less agree."""


def phrasing_report(encoder: TextEncoder) -> dict[str, Any]:
    """How well phrasings that were not trained on are understood.

    Returns:
        ``wishes``: for each of `WISHES` precision and recall over all texts (a wish that is asked not to be
        counts only if that was understood); ``precision`` and ``recall`` over all; for each group of texts
        how many there are and are wholly ``right``; ``amounts``: share of amounts of `MIXED` that are right
        to `NEAR`; and ``wrong``: text, expected and understood.
    """
    groups: dict[str, list[Entry]] = {
        "attitudes": _asking({name: PHRASINGS[name] for name in ATTITUDES}, 0.75),
        "behaviours": _asking(
            {name: texts for name, texts in PHRASINGS.items() if name not in ATTITUDES}, 0.75
        ),
        "negated": _asking(NEGATED, 0.0),
        "mixed": list(MIXED),
        "afterwards": _asking(AFTERWARDS, 0.75) + _asking(NEGATED_AFTERWARDS, 0.0),
    }
    counts = {name: [0, 0, 0] for name in WISHES}  # understood rightly, understood, expected
    report: dict[str, Any] = {"wrong": []}
    near = []
    for group, entries in groups.items():
        right = 0
        for text, expected in entries:
            found = understand(text, encoder)
            agree = [
                name for name in expected if name in found and (found[name] == 0) == (expected[name] == 0)
            ]
            for name in agree:
                counts[name][0] += 1
            for name in found:
                counts[name][1] += 1
            for name in expected:
                counts[name][2] += 1
            if group == "mixed":
                near += [name in found and abs(found[name] - expected[name]) < NEAR for name in expected]
            if len(agree) == len(expected) == len(found):
                right += 1
            else:
                report["wrong"].append({"text": text, "expected": dict(expected), "understood": found})
        report[group] = {"texts": len(entries), "right": right}
    report["wishes"] = {
        name: {"precision": _share(right, found), "recall": _share(right, expected)}
        for name, (right, found, expected) in counts.items()
    }
    totals = [sum(one[k] for one in counts.values()) for k in range(3)]
    report["precision"], report["recall"] = _share(totals[0], totals[1]), _share(totals[0], totals[2])
    report["amounts"] = sum(near) / len(near)
    return report


def _asking(table: Mapping[str, Sequence[str]], amount: float) -> list[Entry]:
    return [(text, {name: amount}) for name, texts in table.items() for text in texts]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def all_texts() -> Sequence[str]:
    """Every text of this file."""
    tables = (PHRASINGS, NEGATED, AFTERWARDS, NEGATED_AFTERWARDS)
    texts = [text for table in tables for some in table.values() for text in some]
    return [*texts, *(text for text, _ in MIXED)]
