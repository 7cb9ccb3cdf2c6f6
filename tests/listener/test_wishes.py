"""Wishes: their tokens, and what events amount to."""

from __future__ import annotations

import itertools

import pytest
import torch

from headgen.errors import InputError
from headgen.listener.wishes import (
    ATTITUDES,
    FULL,
    HOLD,
    SIDED,
    TOKEN_WIDTH,
    WISHES,
    TextTokens,
    Wish,
    amounts,
    text_tokens,
    with_chance,
    with_sides,
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


def test_a_token_says_to_which_side():
    wishes = [Wish("tilt", 0.5, side=-1), Wish("tilt", 0.5, side=1), Wish("tilt", 0.5)]
    tokens = text_tokens([wishes], 4).tokens[0]
    amount = len(WISHES) + WISHES.index("tilt")
    assert tokens[:, amount].tolist() == [-0.5, 0.5, 0.5]
    assert (tokens[:, WISHES.index("tilt")] == 1).all()


def test_sides_fill_the_time_and_are_the_same_whoever_reads_it():
    plain = [Wish("nod"), Wish("tilt", 0.0), Wish("tilt", 0.4, side=1)]
    asked = Wish("gaze_away", 0.9, 2.0, 70.0)
    pieces = with_sides([*plain, asked], 0.0, 100.0)
    assert pieces[:3] == plain
    pieces = pieces[3:]
    assert pieces[0].start == 2.0 and pieces[-1].end == 70.0
    assert all(a.end == b.start and b.end - b.start <= HOLD for a, b in itertools.pairwise(pieces))
    assert {piece.side for piece in pieces} == {-1, 1} and {piece.amount for piece in pieces} == {0.9}
    part = with_sides([asked], 30.0, 40.0)
    assert part[0].start <= 30.0 and part[-1].end >= 40.0 and len(part) < 6
    assert set(part) <= set(pieces)
    endless = with_sides([Wish(name) for name in SIDED], 3600.0, 3610.0)
    assert len(endless) < 5 * len(SIDED)


def test_a_seed_draws_the_sides():
    def drawn(seed):
        return [piece.side for piece in with_sides(with_chance([Wish("tilt")], seed), 0.0, 60.0)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert drawn(-1) and sum(side > 0 for seed in range(20) for side in drawn(seed)) in range(160, 240)


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
        (("nod", 1, 0.0, 2.0, 1), "side=1; give -1, 0 or 1, and a side to tilt"),
        (("tilt", 1, 0.0, 2.0, 2), "side=2"),
    ],
)
def test_wishes_that_make_no_sense_are_named(wish, message):
    with pytest.raises(InputError, match=message):
        Wish(*wish)
