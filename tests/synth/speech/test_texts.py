import re

import numpy as np
import pytest

from headgen.synth.speech.small_talk import GRAMMAR, TOPICS
from headgen.synth.speech.texts import KINDS, parse, talk
from headgen.synth.speech.voices import SENTIMENTS


def test_markup_becomes_phrases():
    phrases = parse("we came home late, | and *nobody* was there. || <surprised> are you *sure*? | ha ha ha!",
                    np.random.default_rng(0))  # fmt: skip
    assert [p.text for p in phrases] == [
        "We came home late,", "and nobody was there.", "Are you sure?", "Ha ha ha!"
    ]  # fmt: skip
    assert [p.kind for p in phrases] == ["phrase", "phrase", "question", "laugh"]
    assert [p.emphasis for p in phrases] == [(), (1,), (2,), ()]
    assert [p.sentiment for p in phrases] == ["neutral", "neutral", "surprised", "surprised"]
    assert phrases[0].pause < phrases[1].pause


def test_every_alternative_can_be_said():
    used = set(TOPICS)
    for options in GRAMMAR.values():
        for option in options:
            names = re.findall(r"\{(\w+)(?:\.\d)?\}", option)
            assert set(names) <= set(GRAMMAR), option
            used |= set(names)
            assert option.count("*") % 2 == 0 and option.count("{") == len(names), option
            assert set(re.findall(r"<(\w+)>", option)) <= set(SENTIMENTS), option
    assert used == set(GRAMMAR), "an alternative that nobody asks for"


def test_a_thousand_conversations_differ():
    said = set()
    for seed in range(1000):
        phrases = talk(np.random.default_rng(seed), 10)
        said.add(tuple(p.text for p in phrases))
        for p in phrases:
            assert p.kind in KINDS and p.sentiment in SENTIMENTS and 0.05 <= p.pause <= 1.8
            assert not re.search(r"[{}*|<>\d]|\ba [aeiou]", p.text), p.text
            assert all(k < len(p.text.split()) for k in p.emphasis)
    assert len(said) >= 999


def test_people_fill_pauses_ask_and_stress():
    phrases = [p for seed in range(100) for p in talk(np.random.default_rng(seed), 20)]
    words = sum(len(p.text.split()) for p in phrases)
    kinds = {kind: sum(p.kind == kind for p in phrases) for kind in KINDS}
    assert 1.3 < 100 * kinds["filler"] / words < 4
    assert kinds["question"] > 0.05 * len(phrases) and kinds["laugh"] > 10
    assert sum(len(p.emphasis) for p in phrases) > 0.02 * words


def test_same_seed_same_words_and_mood_matters():
    assert talk(np.random.default_rng(5), 20) == talk(np.random.default_rng(5), 20)

    def sad(mood):
        phrases = [p for seed in range(60) for p in talk(np.random.default_rng(seed), 10, mood=mood)]
        return sum(p.sentiment == "sad" for p in phrases) / len(phrases)

    assert sad("sad") > 1.5 * sad("happy")


@pytest.mark.parametrize("seconds", [6, 30])
def test_length_follows_the_wish(seconds):
    counts = [sum(len(p.text.split()) for p in talk(np.random.default_rng(k), seconds)) for k in range(20)]
    assert 1.8 * seconds < np.mean(counts) < 3 * seconds + 4
