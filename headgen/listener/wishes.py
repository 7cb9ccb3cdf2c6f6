"""What a text asks a listener to do, in numbers: wishes, and the tokens of them that the network reads.

Our design: the network is not shown words. A wish names one attitude or behaviour, how much of it there is to
be, and when; its token says just that. So what a text asks for can be told to its writer, and the network
learns from the events of synthetic conversations what any of their captions could say. Words become wishes in
a small encoder of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headgen.errors import InputError
from headgen.listener.track import FPS

ATTITUDES = ("warm", "neutral", "sceptical", "bored", "surprised")
"""How somebody listens all the time."""
FULL = {
    "nod": 0.25, "smile": 0.45, "laugh": 0.3, "shake": 0.25, "tilt": 0.3, "frown": 0.35, "brow_raise": 0.25,
    "surprise": 0.3, "gaze_away": 0.5, "blink": 0.2, "posture_shift": 0.8,
}  # fmt: skip
"""Behaviours, and the share of the time, weighted by strength, that counts as the full amount of each."""
WISHES = (*ATTITUDES, *FULL)
"""All that can be wished for."""
SIDED = ("tilt", "gaze_away", "posture_shift")
"""Behaviours that go to one side of the picture, and as often to the other one.  Our design: a network that
predicts clean latents errs towards their mean, which is no tilt at all; so it is told the side."""
HOLD = 3.0
"""Seconds for which a side is drawn."""
TOKEN_WIDTH = 2 * len(WISHES)
"""Numbers of a token: which wish, and how much of it; less than 0 for what goes to the picture's left."""


@dataclass(frozen=True)
class Wish:
    """One thing that a listener is asked to do or to be.

    Attributes:
        name: one of `WISHES`.
        amount: 0 (none of it) to 1 (as much as people do).
        start, end: seconds of the video between which it holds.
        side: 1 to the picture's right, -1 to its left, 0 to either; for those of `SIDED`.
        chance: from which sides are drawn, 0 or more.

    Raises:
        InputError: an unknown name, or numbers out of range.
    """

    name: str
    amount: float = 1.0
    start: float = 0.0
    end: float = math.inf
    side: int = 0
    chance: int = 0

    def __post_init__(self) -> None:
        if self.name not in WISHES:
            raise InputError(f"nobody can be asked for {self.name!r}; known: {', '.join(WISHES)}")
        if not 0 <= self.amount <= 1:
            raise InputError(f"{self.name}: an amount of {self.amount} is out of range; give 0 to 1")
        if not 0 <= self.start < self.end:
            raise InputError(
                f"{self.name}: from {self.start} to {self.end} s is no time; give 0 <= from < to"
            )
        if self.side not in (-1, 0, 1) or (self.side and self.name not in SIDED):
            raise InputError(
                f"{self.name}: side={self.side}; give -1, 0 or 1, and a side to {', '.join(SIDED)} only"
            )


@dataclass(frozen=True)
class TextTokens:
    """Wishes of a batch, as the network reads them.

    Attributes:
        tokens: (B, L, `TOKEN_WIDTH`).
        start, end: (B, L) int64: latent frame `f` reads a token if ``start <= f < end``; where they are equal
            there is no token.
    """

    tokens: Tensor
    start: Tensor
    end: Tensor

    def to(self, device: torch.device | str) -> TextTokens:
        """The same on another device."""
        return TextTokens(self.tokens.to(device), self.start.to(device), self.end.to(device))

    def repeated(self, keep: Sequence[bool]) -> TextTokens:
        """The batch several times over; withheld where `keep` is False."""
        end = torch.cat([self.end if kept else self.start for kept in keep])
        return TextTokens(self.tokens.repeat(len(keep), 1, 1), self.start.repeat(len(keep), 1), end)


def token(wish: Wish) -> list[float]:
    """The numbers of a wish."""
    which = [float(wish.name == other) for other in WISHES]
    return which + [wish.amount * (wish.side or 1) * one for one in which]


def with_chance(wishes: Sequence[Wish], seed: int) -> tuple[Wish, ...]:
    """Wishes whose sides are drawn by a video's seed."""
    return tuple(replace(wish, chance=seed % 2**62) for wish in wishes)


def with_sides(wishes: Sequence[Wish], start: float, end: float) -> list[Wish]:
    """Wishes as a network reads them that is told sides: what may go to either side goes to one at a time.

    Args:
        wishes: what is asked for.
        start: second of the video from which on it is read.
        end: second until which.

    Returns:
        Those without a side as they are; the others in pieces of `HOLD` seconds with sides, drawn by
        `Wish.chance` and by how long the wish has held, so that all who read a time read the same.
    """
    found: list[Wish] = []
    for wish in wishes:
        if wish.name not in SIDED or wish.side or not wish.amount:
            found.append(wish)
            continue
        number = max(0, math.floor((start - wish.start) / HOLD))
        while (begin := wish.start + number * HOLD) < min(wish.end, end):
            rng = np.random.default_rng((wish.chance, WISHES.index(wish.name), number))
            side = 1 if rng.random() < 0.5 else -1
            found.append(replace(wish, start=begin, end=min(begin + HOLD, wish.end), side=side))
            number += 1
    return found


def text_tokens(
    wishes: Sequence[Sequence[Wish]], frames_per_latent: int, first: float = 0.0, length: int = 0
) -> TextTokens:
    """Wishes as tokens.

    Args:
        wishes: of each video of a batch.
        frames_per_latent: video frames in a latent frame.
        first: second of the video at which latent frame 0 begins.
        length: least L.
    """
    longest = max(length, *(len(some) for some in wishes))
    tokens = torch.zeros(len(wishes), longest, TOKEN_WIDTH)
    start, end = (torch.zeros(len(wishes), longest, dtype=torch.int64) for _ in range(2))
    for b, some in enumerate(wishes):
        for k, wish in enumerate(some):
            tokens[b, k] = torch.tensor(token(wish))
            start[b, k], end[b, k] = (
                latent_frame(second - first, frames_per_latent) for second in (wish.start, wish.end)
            )
    return TextTokens(tokens, start, end)


def latent_frame(second: float, frames_per_latent: int) -> int:
    """The latent frame that begins nearest to a second."""
    return round(min(second, 10.0**9) * FPS / frames_per_latent)


def amounts(events: Sequence[Mapping[str, Any]], start: float, end: float) -> dict[str, float]:
    """How much of each behaviour of `FULL` there is between two seconds, 0 to 1.

    Args:
        events: the listener's, with ``kind``, ``start``, ``end`` (seconds) and ``strength`` (0 to 1).
        start: second.
        end: second, later.
    """
    shares = dict.fromkeys(FULL, 0.0)
    for event in events:
        kind = "nod" if event["kind"] == "nods" else event["kind"]
        overlap = min(event["end"], end) - max(event["start"], start)
        if kind in shares and overlap > 0:
            shares[kind] += overlap * event["strength"] / (end - start)
    return {kind: min(1.0, share / FULL[kind]) for kind, share in shares.items()}
