"""Listeners who were asked for something."""

from __future__ import annotations

import numpy as np
import pytest

from headgen.errors import InputError
from headgen.listener.wishes import FULL, amounts
from headgen.synth.conversation.asked import ASKED_FOR, AT_ONCE, Ask, drawn_asks
from headgen.synth.conversation.conversation import listen, make_conversation

ATTITUDE = ("neutral", 0.5)


@pytest.fixture(scope="module")
def long_talk(make_chatter):
    return make_conversation(2, 20.0, *ATTITUDE, speech=make_chatter(1, 20.0))


def told(acts):
    return [{"kind": a.kind, "start": a.start, "end": a.end, "strength": a.strength} for a in acts]


def heard(talk, asks=(), seed=3):
    return listen(talk.speech, talk.speaker, seed, talk.fps, *ATTITUDE, asks)


def test_all_wishes_may_be_asked_for():
    assert set(ASKED_FOR) == set(FULL)


@pytest.mark.parametrize("kind", ["nod", "smile", "tilt", "frown", "surprise", "gaze_away", "shake"])
def test_who_is_asked_does_more_of_it_at_once_and_for_the_time(long_talk, kind):
    start, end = 4.0, 10.0
    plain, asked = heard(long_talk)[1], heard(long_talk, [Ask(kind, 1.0, start, end)])[1]
    assert amounts(told(asked), start, end)[kind] > amounts(told(plain), start, end)[kind] + 0.2
    own = [a for a in asked if a.kind in (kind, f"{kind}s")]
    before = [a for a in own if a.start < start]
    assert before == [a for a in plain if a.kind in (kind, f"{kind}s") and a.start < start]
    busy = any(a.start < start + AT_ONCE < a.end + 1.0 for a in plain)
    assert busy or min(a.start for a in own if a.start >= start) <= start + AT_ONCE + 0.05
    unprompted = [a for a in own if a.percept is None and kind != "gaze_away"]
    assert all(start <= a.start < end + AT_ONCE for a in unprompted)


def test_what_is_asked_not_to_be_does_not_begin(long_talk):
    plain = [a.kind for a in heard(long_talk)[1]]
    kinds = [k for k in FULL if k in plain]
    assert len(kinds) >= 3
    for kind in kinds:
        asked = heard(long_talk, [Ask(kind, 0.0, 0.0, 60.0)])[1]
        assert not any(a.kind in (kind, f"{kind}s") for a in asked)


def test_who_is_asked_for_nothing_is_as_before(long_talk):
    one, other = heard(long_talk), heard(long_talk, [Ask("smile", 0.5, 59.0, 60.0)])
    assert one[1] == other[1] and np.array_equal(one[0].expression, other[0].expression)


def test_asks_fill_the_time_and_none_is_asked_for_twice_at_a_time():
    for seed in range(20):
        asks = drawn_asks(30.0, np.random.default_rng(seed))
        assert asks == drawn_asks(30.0, np.random.default_rng(seed))
        for ask in asks:
            assert 0 <= ask.start < ask.end <= 30.0
            assert sum(a.kind == ask.kind and a.start < ask.end and ask.start < a.end for a in asks) == 1


@pytest.mark.parametrize(
    "values", [("wink", 0.5, 0, 1), ("nod", 1.5, 0, 1), ("nod", 0.5, 2, 1), ("nod", 0.5, -1, 1)]
)
def test_what_nobody_can_be_asked_for(values):
    with pytest.raises(InputError):
        Ask(*values)
