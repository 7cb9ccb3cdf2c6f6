"""One person's speech: samples, words and phones with their times, pitch and loudness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 16_000
"""Samples per second of all speech in the synthetic world."""
CONTROL_RATE = 100
"""Values per second of pitch and loudness."""


@dataclass(frozen=True)
class Phone:
    """One speech sound.

    Attributes:
        symbol: in IPA; empty for silence.
        start, end: seconds.
        stressed: whether it belongs to a stressed syllable.
    """

    symbol: str
    start: float
    end: float
    stressed: bool = False


@dataclass(frozen=True)
class Word:
    """One word.

    Attributes:
        text: as written, with the punctuation that follows it.
        start, end: seconds.
    """

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Speech:
    """Speech of one person; silent where nobody speaks.

    Attributes:
        samples: (N,) float32 from -1 to 1 at `SAMPLE_RATE`.
        phones: in order of time; none for recorded speech.
        words: in order of time; none for recorded speech.
        pitch: (M,) float32 Hz at `CONTROL_RATE`, 0 where unvoiced; value k is measured from samples before
            ``(k + 1) / CONTROL_RATE`` only.
        loudness: (M,) float32 root mean square of the samples, measured likewise.
    """

    samples: np.ndarray
    phones: tuple[Phone, ...]
    words: tuple[Word, ...]
    pitch: np.ndarray
    loudness: np.ndarray

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / SAMPLE_RATE
