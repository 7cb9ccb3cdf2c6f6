"""What a run tells while it works: which segment is begun, finished or found, and how long it will take."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal

from headgen.progress import ProgressEvent

__all__ = ["Pace", "SegmentEvent", "What"]

What = Literal["begun", "step", "finished", "cached", "written", "waiting"]
_RECENT = 31  # pieces of work that the rate is taken from


@dataclass(frozen=True)
class SegmentEvent(ProgressEvent):
    """One step of a run. `done` counts the frames handed out so far, `total` is the plan's.

    Args:
        what: a segment's result was `begun`, came a `step` further, was `finished`, or was found `cached`; or
            a frame was `written`: handed out, and the next one asked for; or nothing happened for a while
            (`waiting`), and the callback may still want to cancel.
        segment: index of the segment; None where no single one is meant.
        share: how much of the segment is done, 0 to 1.
        seconds_left: estimate for the whole run; None while nothing is known.
    """

    what: What = "written"
    segment: int | None = None
    share: float = 0.0
    seconds_left: float | None = None


class Pace:
    """Estimates the time left from how long pieces of work took lately.

    The median of the last pieces counts, so that one slow one (the first, as a rule) does not.

    Args:
        parallel: pieces of work that are done at the same time.
    """

    def __init__(self, parallel: int) -> None:
        self.parallel = parallel
        self._rates: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_RECENT))

    def took(self, kind: str, frames: int, seconds: float) -> None:
        """A piece of work is done.

        Args:
            kind: of the work; "write" is what the receiver of the frames does, beside all else.
            frames: that it made.
            seconds: that it took.
        """
        self._rates[kind].append(seconds / frames)

    def left(self, frames: Mapping[str, int]) -> float | None:
        """Seconds until all is done.

        Args:
            frames: still to be made, by kind of work.

        Returns:
            An estimate; None before each kind of work that is left has been done once.
        """
        wanted = {kind: n for kind, n in frames.items() if n > 0}
        if not all(self._rates[kind] for kind in wanted):
            return None
        seconds = {kind: n * median(self._rates[kind]) for kind, n in wanted.items()}
        writing = seconds.pop("write", 0.0)
        return max(sum(seconds.values()) / self.parallel, writing)
