"""Plans: which frames are made together, which are made twice, and with which seed. Plain data, no networks.

A long video is made in segments that overlap::

    segment 0   |-------- own --------|-- after --|
    segment 1                         |-- before --|------ own ------|-- after --|
    transition 0                      [start, stop)

The frames of an overlap are made by both segments, and a transition makes one of the two. So every frame of
the video belongs to exactly one segment or one transition, its owner. Without an overlap, segments stand side
by side and there are no transitions.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = [
    "Plan",
    "Planner",
    "Segment",
    "Transition",
    "derived_seed",
    "plan_segments",
    "segment_seed",
    "transition_after",
]


@dataclass(frozen=True)
class Segment:
    """Frames that are made in one go.

    Args:
        index: counted from 0.
        start: its first frame.
        stop: the frame after its last one.
        seed: of all randomness in it, 0 to 2^63 - 1.
        before: frames at its beginning that the segment before makes as well.
        after: frames at its end that the segment after makes as well.
    """

    index: int
    start: int
    stop: int
    seed: int
    before: int = 0
    after: int = 0

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def own(self) -> range:
        """The frames that no other segment makes."""
        return range(self.start + self.before, self.stop - self.after)


@dataclass(frozen=True)
class Transition:
    """Frames [start, stop) that two segments make: the last ones of the left, the first of the right.

    Args:
        index: of the left segment.
        start: the right segment's first frame.
        stop: the frame after the left segment's last one.
        seed: of all randomness in it, 0 to 2^63 - 1.
    """

    index: int
    start: int
    stop: int
    seed: int

    def __len__(self) -> int:
        return self.stop - self.start


def derived_seed(seed: int, purpose: str) -> int:
    """A seed for one part of the work, far from that of every other part.

    Args:
        seed: of the whole.
        purpose: names the part.

    Returns:
        0 to 2^63 - 1: what every generator takes.
    """
    digest = hashlib.sha256(f"{seed} {purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def segment_seed(seed: int, index: int) -> int:
    """The seed of a segment.

    Args:
        seed: of the video.
        index: of the segment.
    """
    return derived_seed(seed, f"segment {index}")


def transition_after(segment: Segment) -> Transition | None:
    """The transition from a segment to the next one, if they overlap."""
    if not segment.after:
        return None
    seed = derived_seed(segment.seed, "transition")
    return Transition(segment.index, segment.stop - segment.after, segment.stop, seed)


@dataclass(frozen=True)
class Plan:
    """A video of known length, cut into segments.

    Args:
        frames: of the whole video, at least 1.
        segments: in order; they cover the video, and no frame is in more than two of them.

    Raises:
        ValueError: the segments do not fit together.
    """

    frames: int
    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        at = 0
        previous: Segment | None = None
        for index, segment in enumerate(self.segments):
            before = 0 if previous is None else previous.after
            if (segment.index, segment.start, segment.before) != (index, at - before, before):
                raise ValueError(f"{segment} does not follow {previous}")
            if segment.before + segment.after > len(segment) or len(segment) < 1:
                raise ValueError(f"{segment} is shorter than its overlaps")
            at, previous = segment.stop, segment
        if previous is None or at != self.frames or previous.after:
            raise ValueError(f"the segments cover {at} of {self.frames} frames")

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.segments)

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """The transitions in order: none, or one from each segment to the next."""
        return tuple(t for t in map(transition_after, self.segments) if t is not None)

    def owner(self, frame: int) -> Segment | Transition:
        """The one that makes the frame as it is in the finished video."""
        if not 0 <= frame < self.frames:
            raise IndexError(f"frame {frame} of a plan of {self.frames} frames")
        last = bisect_right(self.segments, frame, key=lambda segment: segment.start) - 1
        segment = self.segments[last]
        if frame < segment.start + segment.before:
            segment = self.segments[last - 1]
        return segment if frame in segment.own else transition_after(segment) or segment

    def settled(self, known: int) -> int:
        """Frames at the beginning of the video that stay as they are, whatever comes after.

        Args:
            known: frames of the input that are fixed. A segment is settled by its own frames of the input and
                those before.

        Returns:
            The number of leading frames of the output that are settled by them.
        """
        settled = 0
        for segment in self.segments:
            if segment.stop > known:
                break
            settled = segment.own.stop
        return settled


class Planner:
    """Plans a video whose length is not known before its end: segments are made as frames become known.

    The same frames in any portions give the same plan; a longer video's plan begins with a shorter one's, but
    for the last two segments. All segments are `segment` long, except that the last two share their frames
    evenly where the last would otherwise be shorter than `least`.

    Args:
        segment: frames of a segment.
        overlap: frames that neighbours share, at most a third of a segment.
        seed: of the whole video.
        multiple: segments start at multiples of this (frames of one latent frame).
        least: frames of the shortest segment that is wanted, unless the video is shorter. A segment is only
            given out when it is certain that the next one will be as long; 1 waits for nothing.

    Raises:
        ValueError: numbers that do not fit together.
    """

    def __init__(
        self, segment: int, overlap: int = 0, seed: int = 0, *, multiple: int = 1, least: int = 1
    ) -> None:
        if segment < 1 or multiple < 1 or segment % multiple or overlap % multiple:
            raise ValueError(f"segment {segment} and overlap {overlap} must be multiples of {multiple}")
        if not 0 <= overlap <= segment // 3:
            raise ValueError(f"overlap {overlap} must be 0 to a third of a segment ({segment // 3})")
        if not 1 <= least <= segment:
            raise ValueError(f"least {least} must be 1 to {segment}")
        self.segment, self.overlap, self.seed, self.multiple = segment, overlap, seed, multiple
        self.frames = 0
        """Frames known so far."""
        self._step = segment - overlap
        # Without overlap a segment does not depend on whether another follows.
        self._certain = self._step + max(least, overlap + 1) if overlap or least > 1 else segment
        self._start = self._index = self._before = 0

    def extend(self, frames: int = 1) -> list[Segment]:
        """More frames have become known.

        Returns:
            The segments that are now certain, in order.
        """
        self.frames += frames
        made = []
        while self.frames - self._start >= self._certain:
            made.append(self._next(self.segment, self.overlap))
        return made

    def finish(self) -> list[Segment]:
        """No more frames will come.

        Returns:
            The last segments, at most two.
        """
        left = self.frames - self._start
        made = []
        if left > self.segment:  # two more, of which the second would be too short
            half = -(-(left + self.overlap) // 2)
            made.append(self._next(-(-half // self.multiple) * self.multiple, self.overlap))
            left = self.frames - self._start
        if left > 0:
            made.append(self._next(left, 0))
        return made

    def _next(self, length: int, after: int) -> Segment:
        seed = segment_seed(self.seed, self._index)
        made = Segment(self._index, self._start, self._start + length, seed, self._before, after)
        self._start, self._index, self._before = made.stop - after, self._index + 1, after
        return made


def plan_segments(
    frames: int, segment: int, overlap: int = 0, seed: int = 0, multiple: int = 1, least: int | None = None
) -> Plan:
    """Plans a video of known length.

    Args:
        frames: of the video, at least 1.
        segment: frames of a segment; no segment is longer.
        overlap: see `Planner`.
        seed: see `Planner`.
        multiple: see `Planner`.
        least: see `Planner`; None is half a segment.

    Raises:
        ValueError: numbers that do not fit together.
    """
    if frames < 1:
        raise ValueError(f"a plan has at least one frame, not {frames}")
    least = max(1, segment // 2) if least is None else least
    planner = Planner(segment, overlap, seed, multiple=multiple, least=least)
    return Plan(frames, (*planner.extend(frames), *planner.finish()))
