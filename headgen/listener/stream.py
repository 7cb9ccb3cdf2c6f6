"""A listener as it happens: rows of the speaker go in, latents come out as soon as they are due.

Shapes: F latent frames, P parts, D token width, G video frames (and rows of the speaker) in a latent frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from headgen.listener.engine import SEGMENT, LatentEngine
from headgen.listener.gen import rows_before
from headgen.listener.latents import FRAMES_PER_LATENT
from headgen.listener.track import SpeakerTrack, joined

__all__ = ["LatentStream"]


class LatentStream:
    """The latents of ``--long causal``, to the bit, from rows in portions of any size.

    It need not be known how long the speaker will speak. Memory is bounded: that of one segment, and of the
    rows that the network remembers.

    Args:
        engine: one for ``causal`` that has turned to the portrait (`LatentEngine.attend`); its steps,
            guidance and size of a chunk are used.
        seeds: the seed of each segment by its number.
        segment: latent frames of a segment.
    """

    def __init__(
        self, engine: LatentEngine, seeds: Callable[[int], int], segment: int = SEGMENT // FRAMES_PER_LATENT
    ) -> None:
        self.engine, self.segment = engine, segment
        self._seeds = seeds
        self.steps = engine.steps
        """Denoising steps of what is made next."""
        self.at_once = engine.at_once
        """Latent frames of a chunk of what is made next."""
        config = engine.pipeline.adapter.config
        self._rows = SpeakerTrack.unknown(0, config.audio_width, config.motion_width)
        self._remembered = 0  # of these rows were answered
        self._most = engine.pipeline.past_latents * self._group + rows_before(engine.pipeline.adapter)
        self._index = 0
        self._chain = engine.chain(0, 0, seeds(0), self._rows, None)

    @property
    def _group(self) -> int:
        return self.engine.frames_per_latent

    def push(self, rows: SpeakerTrack) -> Iterator[NDArray[np.float32]]:
        """Takes the next rows of the speaker, any number.

        Yields:
            (F, P, D) latents that are due now, chunk by chunk.
        """
        self.settle()
        self._rows = joined([self._rows, rows])
        while len(self._rows) - self._remembered >= self._chunk * self._group:
            yield self._made(self._chunk)

    def finish(self) -> Iterator[NDArray[np.float32]]:
        """The speaker is gone: what is missing of a latent frame counts as unknown.

        Yields:
            (F, P, D) the last latents.
        """
        waiting = len(self._rows) - self._remembered
        count = -(-waiting // self._group)
        self._rows = self._rows.extended(count * self._group - waiting)
        if count:
            yield self._made(count)

    def settle(self) -> None:
        """Does what can wait until pictures were shown; `push` does it first of all."""
        if self._chain.made < self.segment:
            self._chain.settle()
            return
        self._index += 1
        before = self._rows[: self._remembered]
        start = self._index * self.segment * self._group
        self._chain = self.engine.chain(
            self._index, start, self._seeds(self._index), before, self._chain.past
        )

    @property
    def _chunk(self) -> int:
        """Latent frames that are made next; segments end where they end."""
        left = self.segment - self._chain.made
        return min(self.at_once, left or self.segment)

    def _made(self, count: int) -> NDArray[np.float32]:
        self.settle()
        begin = self._remembered
        self._remembered += count * self._group
        latents = self._chain.extend(self._rows[begin : self._remembered], self.steps)
        surplus = max(0, self._remembered - self._most)
        self._rows, self._remembered = self._rows[surplus:], self._remembered - surplus
        return latents
