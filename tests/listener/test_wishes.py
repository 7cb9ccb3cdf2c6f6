"""Wishes: their tokens, and what events amount to."""

from __future__ import annotations

import pytest
import torch

from headgen.errors import InputError
from headgen.listener.wishes import (
    ATTITUDES,
    FULL,
    TOKEN_WIDTH,
    WISHES,
    TextTokens,
    Wish,
    amounts,
    text_tokens,
)


def test_attitudes_and_behaviours_are_those_of_the_synthetic_world():
    from headgen.synth.conversation import attitude, events

    assert ATTITUDES == attitude.ATTITUDES
    assert set(FULL) <= set(events.LISTENER_KINDS)


def test_a_token_says_which_and_how_much_and_when():
    text = text_tokens([[Wish("smile", 0.5, 2.0, 4.0)], [Wish("nod"), Wish("warm", 0.25, 1.0)]], 4, first=1.0)
    assert text.tokens.shape == (2, 2, TOKEN_WIDTH)
    place = WISHES.index("smile")
    assert text.tokens[0, 0].nonzero()[:, 0].tolist() == [place, len(WISHES) + place]
    assert text.tokens[0, 0, len(WISHES) + place] == 0.5
    assert text.start.tolist() == [[6, 0], [-6, 0]] and text.end[0].tolist() == [19, 0]
    assert (text.end[1] > 10**8).all()
    twice = text.repeated([True, False])
    assert torch.equal(twice.end[:2], text.end) and torch.equal(twice.end[2:], text.start)
    assert isinstance(text.to("cpu"), TextTokens) and text_tokens([[]], 4, length=3).end.tolist() == [[0] * 3]


def test_amounts_count_strength_and_time_within_the_bounds():
    events = [
        {"kind": "nod", "start": 0.0, "end": 1.0, "strength": 0.5},
        {"kind": "nods", "start": 3.5, "end": 5.0, "strength": 1.0},
        {"kind": "back_channel", "start": 1.0, "end": 2.0, "strength": 1.0},
        {"kind": "gaze_away", "start": 0.0, "end": 9.0, "strength": 1.0},
    ]
    found = amounts(events, 0, 4)
    assert found["nod"] == pytest.approx((0.5 + 0.5) / 4 / FULL["nod"])
    assert found["gaze_away"] == 1 and found["smile"] == 0 and set(found) == set(FULL)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (("dance",), "asked for 'dance'; known: warm"),
        (("nod", 1.2), "nod: an amount of 1.2"),
        (("nod", 1, 3.0, 2.0), "from 3.0 to 2.0 s is no time"),
    ],
)
def test_wishes_that_make_no_sense_are_named(wish, message):
    with pytest.raises(InputError, match=message):
        Wish(*wish)
