"""Whether somebody speaks: silero-vad, chunk by chunk, with its state carried along."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution

import numpy as np
import torch

from headgen.listener.track import SAMPLE_RATE

__all__ = ["CHUNK", "VoiceActivity", "one_thread"]

CHUNK = 512
"""Samples (32 ms) that the network takes at a time."""


class VoiceActivity:
    """The recurrent network of silero-vad (MIT licence) on one stream of sound.

    Every stream has a network of its own, 2 MB that load in 50 ms, because the network holds the state. The
    package is not imported: that would set the number of torch's threads for the whole program.
    """

    def __init__(self) -> None:
        path = distribution("silero-vad").locate_file("silero_vad/data/silero_vad.jit")
        with warnings.catch_warnings():  # the package offers its network in no form that torch still likes
            warnings.simplefilter("ignore", DeprecationWarning)
            self._network = torch.jit.load(str(path), map_location="cpu").eval()

    @torch.inference_mode()
    def __call__(self, chunk: np.ndarray) -> float:
        """The next chunk.

        Args:
            chunk: (CHUNK,) float32, follows the one before without a gap.

        Returns:
            probability of speech in it.
        """
        # Without the optimiser: it would change its mind, and with it the last bits, after a few chunks.
        with torch.jit.optimized_execution(False):
            return float(self._network(torch.from_numpy(chunk)[None], SAMPLE_RATE))


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes on one core inside: on more the small network takes longer, and six times the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
