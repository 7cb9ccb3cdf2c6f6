"""Stretches of sound from several files, one after the other, in a WAV file."""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from headgen.media.output import output_error
from headgen.media.sound import SoundReader

__all__ = ["RATE", "Stretch", "read_mono", "splice"]

RATE = 48_000
"""Samples per second of the WAV file."""
FADE = RATE // 200
"""Samples over which sound fades at a join: 5 ms, enough not to click."""


@dataclass(frozen=True)
class Stretch:
    """A part of a file's sound.

    Attributes:
        path: of the file; None for silence.
        start: seconds on the clock of the file at which the stretch begins.
        samples: how long it is, at `RATE`.
        goes_on: samples that are of the same time as the beginning of the next stretch; 0 if none are.
    """

    path: Path | None
    start: Fraction
    samples: int
    goes_on: int = 0


def splice(stretches: Sequence[Stretch], output: Path) -> None:
    """Writes stretches of sound one after the other: 16-bit stereo.

    Where a stretch goes on, it is cross-faded into the next one; where not, both fade to silence.

    Args:
        stretches: in order; the file is as long as all of them together.
        output: the WAV file.

    Raises:
        InputError: sound that cannot be read, or a full disk.
    """
    try:
        with wave.open(str(output), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(RATE)
            for block in _joined(stretches):
                file.writeframesraw(np.round(block * 32767).astype("<i2").tobytes())
    except OSError as error:
        raise output_error(output, error) from error


def read_mono(path: Path, first: int, count: int) -> np.ndarray:
    """(count,) float32 samples of a WAV file that `splice` wrote; silence beyond its ends."""
    with wave.open(str(path), "rb") as file:
        begin, end = max(0, first), min(first + count, file.getnframes())
        out = np.zeros(count, np.float32)
        if begin < end:
            file.setpos(begin)
            samples = np.frombuffer(file.readframes(end - begin), "<i2").reshape(-1, 2)
            out[begin - first : end - first] = samples.mean(1) / 32767
    return out


def _joined(stretches: Sequence[Stretch]) -> Iterator[np.ndarray]:
    tail: np.ndarray | None = None
    rise = (np.arange(FADE, dtype=np.float32)[:, None] + 0.5) / FADE
    for k, stretch in enumerate(stretches):
        fade = min(FADE, stretch.samples // 2)
        last = k == len(stretches) - 1
        after = 0 if last else min(FADE, stretch.goes_on)
        done, held = 0, np.zeros((0, 2), np.float32)
        for block in _samples(stretch, stretch.samples + after):
            # The last samples wait until it is known that they are the last.
            held = np.concatenate([held, block])
            if done == 0 and len(held) >= fade and tail is not None:
                held[:fade] *= rise[:fade]
                held[: min(fade, len(tail))] += tail[:fade] * (1 - rise[: min(fade, len(tail))])
                tail = None
            if tail is None and len(held) > fade + FADE:
                yield held[: -fade - FADE]
                done += len(held) - fade - FADE
                held = held[-fade - FADE :]
        tail = held[len(held) - after :].copy()
        held = held[: len(held) - after]
        if not last and after == 0:
            held[len(held) - fade :] *= 1 - rise[:fade]
        yield held


def _samples(stretch: Stretch, count: int) -> Iterator[np.ndarray]:
    """Blocks (N, 2) of exactly `count` samples in all."""
    given = 0
    if stretch.path is not None:
        for block in SoundReader(stretch.path, RATE, stretch.start, stereo=True):
            block = block[: count - given]
            given += len(block)
            yield block
            if given == count:
                return
    while given < count:
        silence = np.zeros((min(RATE, count - given), 2), np.float32)
        given += len(silence)
        yield silence
