"""A segment of ``causal``, chunk by chunk: the one way in which it is made, from a file or live.

A segment begins from the clean latents before it and the speaker's rows up to there, which are read once.
What follows is made in chunks: rows of the speaker become tokens, noise becomes latents, and both stay behind
in caches. Nothing but the last latents is handed on to the next segment, so a stream that never ends takes no
more memory than one segment, and a run that was stopped goes on from a few kilobytes with the same bits.

Our design: caches are built anew at the beginning of every segment instead of being carried on for ever.
Numbers depend on how much is computed at a time, so rows are encoded a chunk at a time, whatever the
portions in which they arrive.

Shapes: F latent frames, P parts, D token width, C channels, G rows of the speaker in a latent frame.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headgen.listener.adapter import speaker_condition
from headgen.listener.gen import Guidance, ListenerPipeline
from headgen.listener.latents import soften_joints
from headgen.listener.track import SpeakerTrack
from headgen.listener.wishes import TextTokens

__all__ = ["LatentSegment"]


class LatentSegment:
    """The latents of one segment as they come about.

    Args:
        pipeline: makes them.
        portrait: (1, P, C) tokens.
        noise: (1, F, P, D) for the whole segment; fewer may be made.
        before: the speaker until the segment begins; only the end of it is looked at.
        past: (N, P, D) latents that the segment goes on from; None for a video's first.
        guidance: scales of the conditions.
        text: what is asked for; latent frame 0 is the segment's first.
    """

    @torch.inference_mode()
    def __init__(
        self,
        pipeline: ListenerPipeline,
        portrait: Tensor,
        noise: Tensor,
        before: SpeakerTrack,
        past: NDArray[np.float32] | None,
        guidance: Guidance,
        text: TextTokens | None = None,
    ) -> None:
        self.pipeline, self.past = pipeline, past
        self.made = 0
        """Latent frames so far."""
        self._passes = guidance.passes(text is not None)
        known = None if past is None else torch.from_numpy(past)[None]
        self._context, cache, self._tokens = pipeline.encode([before], portrait, 0, known, self._passes, text)
        self._cache = pipeline.transformer.new_cache(len(self._passes)) if cache is None else cache
        self._noise = noise.to(pipeline._execution_device, pipeline.transformer.dtype)
        self._unread: tuple[Tensor, int] | None = None

    @property
    def left(self) -> int:
        """Latent frames that there is noise for."""
        return self._noise.shape[1] - self.made

    @torch.inference_mode()
    def extend(
        self, rows: SpeakerTrack, steps: int, stepped: Callable[[], None] | None = None
    ) -> NDArray[np.float32]:
        """Makes the next latents.

        Args:
            rows: of the speaker, F * G of them: those in which the listener listens.
            steps: denoising steps.
            stepped: called after each; may raise to stop.

        Returns:
            (F, P, D).

        Raises:
            ValueError: no whole number of latent frames, or more than are left.
        """
        count, rest = divmod(len(rows), self.pipeline.frames_per_latent)
        if rest or not 1 <= count <= self.left:
            raise ValueError(f"{len(rows)} rows: give 1 to {self.left} latent frames")
        self.settle()
        passes = self._passes
        condition = speaker_condition(
            [rows] * len(passes), [one.audio for one in passes], [one.motion for one in passes]
        )
        device = self._noise.device
        self._tokens = self.pipeline.adapter.encode(condition.to(device), past=self._tokens)
        clean = self.pipeline.denoise(
            self._noise[:, self.made : self.made + count],
            self._context,
            self._cache,
            self._tokens,
            passes,
            self.made,
            steps,
            None if stepped is None else lambda *_: stepped(),
        )
        self._unread = clean, self.made
        self.made += count
        latents = soften_joints(clean[0].float().cpu().numpy(), self.past)
        known = latents if self.past is None else np.concatenate([self.past, latents])
        self.past = np.ascontiguousarray(known[-self.pipeline.past_latents :])
        return latents

    @torch.inference_mode()
    def settle(self) -> None:
        """Takes the latest latents into the cache: work that can wait until they were shown."""
        if self._unread is not None:
            clean, start = self._unread
            self._unread = None
            self.pipeline.remember(clean, self._context, self._cache, self._tokens, self._passes, start)
