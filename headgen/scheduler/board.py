"""The board of a run: what has been made, what may be made next, and what waits to be handed out.

It computes nothing and knows no threads: `run` asks it for work and tells it of what is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headgen.scheduler.engine import Picture, Result
from headgen.scheduler.plan import Segment, Transition, transition_after

__all__ = ["Board", "Draw", "Refine", "Render", "Task"]


@dataclass(frozen=True)
class Render:
    """A segment's result is to be made."""

    segment: Segment
    keep: bool
    """Whether the result will soon be drawn; else it goes to the disk."""


@dataclass(frozen=True)
class Refine:
    """A transition's result is to be made; both segments have theirs."""

    transition: Transition


@dataclass(frozen=True)
class Draw:
    """Pictures [start, stop) are to be drawn."""

    source: Segment | Transition
    start: int
    stop: int


Task = Render | Refine | Draw


class Board:
    """State of a run.

    The window are the segments from the one that is being handed out to `ahead` further ones. Only results
    inside of it are held in memory. In order, no segment outside of it is begun; out of order, results of
    others go to the disk until the window reaches them.

    Args:
        parallel: tasks at a time.
        order: indices of the segments in the order in which they are rendered; None: in order of time.
    """

    def __init__(self, parallel: int, order: Sequence[int] | None = None) -> None:
        self.parallel, self.ahead = parallel, parallel + 1
        self.chunk, self.chained = 1, False  # the engine's, known once it is prepared
        self.segments: dict[int, Segment] = {}
        """Those given and not yet handed out."""
        self.results: dict[int, Result] = {}
        self.refined: dict[int, Result] = {}
        self._anyhow = order is not None
        self._waiting: deque[int] = deque(order or ())
        self._added = 0
        self._ended = False
        self._done: set[int] = set()
        self._unrefined: deque[Transition] = deque()
        self._undrawn: deque[Draw] = deque()  # pieces in order of time, cut off as they are begun
        self._drawing: deque[Draw] = deque()  # begun or done, not handed out
        self._pictures: dict[int, list[Picture]] = {}
        self._first = 0  # segment that is being handed out

    def add(self, segments: Iterable[Segment]) -> None:
        """More segments of the video, in order of time."""
        for segment in segments:
            self.segments[segment.index] = segment
            if not self._anyhow:
                self._waiting.append(segment.index)
            if segment.own:
                self._undrawn.append(Draw(segment, segment.own.start, segment.own.stop))
            if (transition := transition_after(segment)) is not None:
                self._unrefined.append(transition)
                self._undrawn.append(Draw(transition, transition.start, transition.stop))
            self._added = segment.index + 1

    def end(self) -> None:
        """No more segments will come."""
        self._ended = True

    @property
    def hungry(self) -> bool:
        """Whether another segment should be added."""
        return not self._ended and self._added - self._first < self.ahead

    @property
    def finished(self) -> bool:
        """Whether everything has been handed out."""
        return self._ended and not self._undrawn and not self._drawing

    def in_window(self, index: int) -> bool:
        """Whether the segment's result is held in memory."""
        return index < self._first + self.ahead

    def take(self) -> Task | None:
        """The next task that can be begun; None if there is none now."""
        return self._take_draw() or self._take_refine() or self._take_render()

    def _take_draw(self) -> Draw | None:
        if not self._undrawn or len(self._drawing) > self.parallel:
            return None
        piece = self._undrawn[0]
        index = piece.source.index
        ready = index in (self.refined if isinstance(piece.source, Transition) else self._done)
        if not ready or not self.in_window(index):
            return None
        stop = min(piece.start + self.chunk, piece.stop)
        task = Draw(piece.source, piece.start, stop)
        if stop == piece.stop:
            self._undrawn.popleft()
        else:
            self._undrawn[0] = Draw(piece.source, stop, piece.stop)
        self._drawing.append(task)
        return task

    def _take_refine(self) -> Refine | None:
        if not self._unrefined:
            return None
        right = self._unrefined[0].index + 1
        if not {right - 1, right} <= self._done or not self.in_window(right):
            return None
        return Refine(self._unrefined.popleft())

    def _take_render(self) -> Render | None:
        if not self._waiting:
            return None
        index = self._waiting[0]
        keep = self.in_window(index)
        if not (keep or self._anyhow) or (self.chained and index and index - 1 not in self._done):
            return None
        self._waiting.popleft()
        return Render(self.segments[index], keep)

    def rendered(self, segment: Segment, result: Result | None) -> None:
        """A segment's result is there; None: on the disk."""
        self._done.add(segment.index)
        if result is not None and self.in_window(segment.index):
            self.results[segment.index] = result

    def drawn(self, task: Draw, pictures: list[Picture]) -> None:
        """Pictures are there."""
        assert len(pictures) == task.stop - task.start, "an engine draws every frame that is asked for"
        self._pictures[task.start] = pictures

    def hand_out(self) -> tuple[int, list[Picture]] | None:
        """The next pictures in order of time, and the first one's frame; None while they are not there."""
        if not self._drawing or self._drawing[0].start not in self._pictures:
            return None
        task = self._drawing.popleft()
        following = self._drawing or self._undrawn
        first = following[0].source.index if following else self._added
        for index in range(self._first, first):
            old = index - 1 if self.chained else index  # the next one to be rendered may continue from it
            self.segments.pop(old, None)
            self.results.pop(old, None)
            self.refined.pop(index, None)
        self._first = first
        return task.start, self._pictures.pop(task.start)
