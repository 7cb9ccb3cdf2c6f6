"""What people say: an endless supply of small talk from a grammar of our own.

A grammar is a table of alternatives. ``{name}`` stands for one of the alternatives of that name, chosen anew
each time; ``{name.k}`` (k a digit) stays the same within one topic, so that a story keeps its subject. The
text that results is marked up: ``|`` ends a phrase with a short pause and ``||`` with a long one, ``*word*``
is emphasised, ``<happy>`` says how the rest up to the next mark is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from headgen.synth.speech.small_talk import FILLERS, GRAMMAR, TOPICS

__all__ = ["KINDS", "Phrase", "parse", "talk"]

KINDS = ("phrase", "question", "filler", "laugh")
"""What a phrase is."""

SHORT_PAUSE, LONG_PAUSE = (0.16, 0.45), (0.62, 0.4)
"""Median in seconds and spread of the logarithm. The two kinds are the brief (below .2 s) and medium (.2 to
1 s) pauses of Campione and Veronis 2002; the logarithms of durations are normal in two parts in Demol and
others 2007. Our design: the medians."""
FILLER_RATE = 0.18
"""Chance of a filler before a phrase. It makes about 3 in 100 words; spontaneous speech has 2 to 6, Bortfeld
and others 2001 among those who counted."""


@dataclass(frozen=True)
class Phrase:
    """Words that are said in one go.

    Attributes:
        text: with its punctuation.
        kind: one of `KINDS`.
        emphasis: numbers of the words (as split at spaces) that are stressed strongly.
        sentiment: one of `headgen.synth.speech.voices.SENTIMENTS`.
        pause: seconds of silence after it.
    """

    text: str
    kind: str = "phrase"
    emphasis: tuple[int, ...] = ()
    sentiment: str = "neutral"
    pause: float = 0.3


def talk(
    rng: np.random.Generator, seconds: float, rate: float = 160.0, mood: str | None = None
) -> list[Phrase]:
    """What one person says in a conversation: topics one after the other, with fillers and pauses.

    Args:
        rng: what is drawn with.
        seconds: about how long it takes; the last phrase is complete, so it may be a few seconds longer.
        rate: of the voice, words a minute.
        mood: a sentiment whose topics are preferred; None for any.

    Returns:
        at least one phrase.
    """
    phrases: list[Phrase] = []
    needed = seconds
    names: list[str] = []
    while needed > 0:
        names = names or list(TOPICS)
        weights = np.array([4.0 if TOPICS[name] == mood else 1.0 for name in names])
        topic = names.pop(rng.choice(len(names), p=weights / weights.sum()))
        for phrase in parse(_expanded(f"{{{topic}}}", rng, {}), rng):
            if phrases and phrase.kind != "laugh" and rng.random() < FILLER_RATE:
                phrases.append(_filler(rng, new_sentence=phrases[-1].text[-1] in ".!?"))
                needed -= _duration(phrases[-1], rate)
                phrase = replace(phrase, text=_continued(phrase.text))
            phrases.append(phrase)
            needed -= _duration(phrase, rate)
            if needed <= 0:
                break
    return phrases


def parse(text: str, rng: np.random.Generator) -> list[Phrase]:
    """Phrases of a marked-up text.

    Args:
        text: for example ``"<happy> We *won*! || Did you hear that?"``.
        rng: for the lengths of the pauses.
    """
    phrases: list[Phrase] = []
    sentiment = "neutral"
    for piece, end in re.findall(r"([^|]+)(\|*)", text):
        mark = re.match(r"\s*<(\w+)>", piece)
        if mark:
            sentiment, piece = mark.group(1), piece[mark.end() :]
        words = piece.split()
        if not words:
            continue
        emphasis = tuple(k for k, word in enumerate(words) if word.startswith("*"))
        said = " ".join(words).replace("*", "")
        if not phrases or phrases[-1].text[-1] in ".!?":
            said = said[0].upper() + said[1:]
        asks = said.endswith("?")
        kind = "laugh" if said.lower().startswith("ha ha") else "question" if asks else "phrase"
        median, spread = SHORT_PAUSE if end == "|" else LONG_PAUSE
        pause = float(np.clip(median * np.exp(spread * rng.standard_normal()), 0.05, 1.8))
        phrases.append(Phrase(said, kind, emphasis, sentiment, round(pause, 3)))
    return phrases


def _filler(rng: np.random.Generator, new_sentence: bool) -> Phrase:
    pause = float(np.clip(0.2 * np.exp(0.6 * rng.standard_normal()), 0.05, 1.0))
    text = FILLERS[rng.integers(len(FILLERS))]
    if new_sentence:
        text = text[0].upper() + text[1:]
    return Phrase(text, "filler", pause=round(pause, 3))


def _continued(text: str) -> str:
    """The text of a phrase as it is written after a comma."""
    first = text.split()[0].split("'")[0].rstrip(",.!?")
    proper = first == "I" or any(first in name.split() for name in (*GRAMMAR["name"], *GRAMMAR["place"]))
    return text if proper else text[0].lower() + text[1:]


def _duration(phrase: Phrase, rate: float) -> float:
    """Seconds that a phrase takes, about: espeak's words a minute count five letters to a word."""
    return phrase.pause + max(len(phrase.text) / 5.6, 1) * 60 / rate


def _expanded(text: str, rng: np.random.Generator, kept: dict[str, str]) -> str:
    """A text of the grammar with nothing left to choose."""

    def choose(match: re.Match[str]) -> str:
        key, name = match.group(1), match.group(2)
        if key in kept:
            return kept[key]
        options = GRAMMAR[name]
        chosen = _expanded(options[rng.integers(len(options))], rng, kept)
        if key != name:
            kept[key] = chosen
        return chosen

    whole = re.sub(r"\{((\w+?)(?:\.\d)?)\}", choose, text)
    return re.sub(r"\b([Aa]) (?=\*?[aeiou])", r"\1n ", whole)
