"""Listeners who were asked for something: to nod more, never to smile, to look away for a while.

Our design: what somebody does out of an attitude comes in company (who doubts frowns, tilts the head and
hardly smiles), so a model that learnt from attitudes alone could not give one without the others. Who was
asked for something does it besides all that the attitude brings, begins within half a second, and stops when
the time is over. How much of it came of that is told by the events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headgen.errors import InputError
from headgen.synth.conversation.attitude import Manner
from headgen.synth.conversation.rules import REST_BETWEEN, Reaction, blink_length

__all__ = ["ASKED_FOR", "Ask", "Asked", "drawn_asks"]

ASKED_FOR: dict[str, tuple[float, float, float]] = {
    "nod": (0.35, 0.5, 1.6), "smile": (0.65, 1.6, 3.4), "laugh": (0.4, 1.2, 2.2), "shake": (0.35, 0.9, 1.5),
    "tilt": (0.45, 1.4, 2.6), "frown": (0.5, 1.2, 2.6), "brow_raise": (0.35, 0.6, 1.2),
    "surprise": (0.45, 1.0, 1.8), "gaze_away": (0.6, 0.6, 2.4), "blink": (0.2, 0.2, 0.3),
    "posture_shift": (0.8, 4.0, 8.0),
}  # fmt: skip
"""What may be asked for: the share of the time that is spent on as much of it as people do, and between how
many seconds one lasts."""
SEVERAL = 0.9
"""Seconds from which a nod is several nods."""
AT_ONCE = 0.4
"""Seconds within which somebody begins to do what is asked for."""
LEAST_GAP = 0.1
"""Seconds between two of a kind, on average and beside `REST_BETWEEN`, at least."""
NEVER = 0.25
"""Share of what is asked for that is asked for not to be."""
STRENGTHS = (0.45, 1.0)
HOLDS = (3.0, 12.0)
"""Seconds for which something is asked for."""
AT_A_TIME = (0, 1, 1, 1, 2, 2, 3)
"""Things that are asked for at the same time: drawn evenly."""


@dataclass(frozen=True)
class Ask:
    """Something that a listener is asked for.

    Attributes:
        kind: one of `ASKED_FOR`.
        level: 0 (none of it) to 1 (as much as people do).
        start, end: seconds between which it holds.

    Raises:
        InputError: an unknown kind, or numbers out of range.
    """

    kind: str
    level: float
    start: float
    end: float

    def __post_init__(self) -> None:
        if self.kind not in ASKED_FOR:
            raise InputError(f"no listener can be asked for {self.kind!r}; known: {', '.join(ASKED_FOR)}")
        if not 0 <= self.level <= 1 or not 0 <= self.start < self.end:
            raise InputError(f"{self}: give a level from 0 to 1 and times in order")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def drawn_asks(duration: float, rng: np.random.Generator) -> tuple[Ask, ...]:
    """What a listener may be asked for in so many seconds; something else every few seconds.

    Args:
        duration: seconds.
        rng: chooses.
    """
    asks: list[Ask] = []
    start = 0.0
    while start < duration:
        end = min(duration, start + float(rng.uniform(*HOLDS)))
        end = duration if duration - end < HOLDS[0] else end
        count = AT_A_TIME[int(rng.integers(len(AT_A_TIME)))]
        for k in rng.permutation(len(ASKED_FOR))[:count]:
            level = 0.0 if rng.random() < NEVER else float(rng.uniform(0.2, 1.0))
            asks.append(Ask(tuple(ASKED_FOR)[k], level, start, end))
        start = end
    return tuple(asks)


class Asked:
    """What a listener does because of having been asked.

    Args:
        asks: at most one of a kind at a time.
        fps: frames per second.
    """

    def __init__(self, asks: Sequence[Ask], fps: float) -> None:
        self.asks, self.fps = tuple(asks), fps

    def now(self, frame: int) -> list[Ask]:
        """What holds in a frame."""
        return [a for a in self.asks if a.start <= frame / self.fps < a.end]

    def forbids(self, kind: str, frame: int) -> bool:
        """Whether nothing of a kind of event is to begin in a frame."""
        named = "nod" if kind == "nods" else kind
        return any(a.kind == named and a.level == 0 for a in self.now(frame))

    def reaction(self, ask: Ask, frame: int, manner: Manner, rng: np.random.Generator) -> Reaction | None:
        """What is done in a frame for something that holds then; mostly nothing.

        Args:
            ask: what holds.
            frame: number of the frame.
            manner: of the listener.
            rng: of this frame and kind.
        """
        share, shortest, longest = ASKED_FOR[ask.kind]
        first = frame / self.fps < ask.start + 1 / self.fps
        gap = (shortest + longest) / 2 * (1 / max(share * ask.level, 1e-9) - 1) - REST_BETWEEN[ask.kind]
        taken = rng.random() * max(gap, LEAST_GAP) * self.fps < 1
        delay = rng.uniform(0, AT_ONCE) if first else 0.0
        length, size = float(rng.uniform(shortest, longest)), float(rng.uniform(*STRENGTHS))
        side = 1 if rng.random() < 0.5 else -1
        if ask.level == 0 or not (first or taken):
            return None
        if ask.kind == "blink":
            return Reaction("blink", delay, blink_length(manner, rng), 1.0)
        kind = "nods" if ask.kind == "nod" and length >= SEVERAL else ask.kind
        return Reaction(kind, delay, length, size, sideways=side if kind in ("tilt", "posture_shift") else 0)
