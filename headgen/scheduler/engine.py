"""What the scheduler asks of an engine.

    job -> prepare, once
    segment -> render -> result          a small one (latents), in any order, cached on disk if wished
    left and right result -> refine -> result of their transition
    result -> draw -> pictures           a few frames at a time, shortly before they are written

Results are what waits in memory and on disk, pictures are not: that keeps an hour of video small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headgen.scheduler.plan import Segment, Transition

__all__ = ["Engine", "JoiningEngine", "Picture", "Result", "Step"]

Picture = NDArray[np.uint8]
"""(H, W, 3) RGB."""
Result = Mapping[str, NDArray[Any]]
"""What `render` and `refine` make, by name: arrays of any kind that safetensors holds."""
Step = Callable[[float], None]
"""Called now and then by an engine with the share of its present work that is done, 0 to 1.

It raises `headgen.progress.Cancelled` if the work is no longer wanted: let it through.
"""


class Engine(Protocol):
    """Makes the pictures of a video in segments.

    The same segment must give the same result whenever and wherever it is rendered: all randomness comes from
    its seed, and nothing is carried over from one call to the next.
    """

    parallel: int
    """How many calls may run at the same time in threads, each on its share of the cores."""
    chunk: int
    """Frames of one call of `draw`, at most."""
    chained: bool
    """Whether a segment continues from the result of the one before; such segments run in order only."""
    fingerprint: str
    """Stands for all that has a part in the results beside the segment (`cache.fingerprint`): the weights'
    hashes, options, the inputs' contents. Read after `prepare`, and only for the cache."""

    def prepare(self, job: Any) -> None:
        """Loads and encodes what all segments need.

        Args:
            job: what is to be made, as it was given to `run`.
        """

    def render(self, segment: Segment, previous: Result | None, step: Step) -> Result:
        """Makes a segment.

        Args:
            segment: all of its frames are to be made, the overlaps too.
            previous: result of the segment before if `chained`, else (and for the first) None.
            step: see `Step`.
        """

    def draw(self, source: Segment | Transition, result: Result, start: int, stop: int) -> list[Picture]:
        """Makes pictures of a result.

        Args:
            source: what the result was made for; its first frame is `source.start`.
            result: from `render` or `refine`, or read from the cache.
            start: first frame wanted, counted in the whole video.
            stop: the frame after the last one wanted.
        """


class JoiningEngine(Engine, Protocol):
    """An engine for plans whose segments overlap."""

    def refine(self, transition: Transition, left: Result, right: Result, step: Step) -> Result:
        """Joins two segments.

        Args:
            transition: its frames are the last ones of the left segment and the first of the right one.
            left: result of the left segment, all of its frames.
            right: result of the right segment.
            step: see `Step`.

        Returns:
            A result for the frames of the transition alone.
        """
