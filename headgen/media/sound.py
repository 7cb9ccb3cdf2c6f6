"""Sound of any file as a stream of samples at a wanted rate, in step with the pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import av
import av.container
import av.error
import numpy as np

from headgen.errors import InputError

__all__ = ["SoundReader", "sound_stream"]

logger = logging.getLogger(__name__)

_REACH = 16  # samples of the lower rate that the resampler looks ahead
_GAP = Fraction(1, 20)  # seconds; what is missing for longer is filled with silence


def sound_stream(container: av.container.InputContainer) -> Any:
    """The first sound stream of an open file that can be decoded, or None."""
    for stream in container.streams.audio:
        if stream.codec_context is not None and stream.codec_context.sample_rate:
            return stream
    return None


class SoundReader:
    """Iterates over blocks of samples that follow each other without a gap. Each iteration starts anew.

    Whatever the length of the blocks, sample n is made of sound before ``(n + 1) / rate``: where the rate has
    to be changed, the result comes later by as much as the resampler looks ahead (1 ms, more for sources of
    less than 16 kHz).

    Args:
        path: any file with sound that FFmpeg reads.
        rate: samples per second.
        start: seconds on the clock of the file at which sample 0 lies: earlier sound is left out, silence
            fills up until later sound begins. None: where the sound begins.
        stereo: left and right channel; otherwise the mean of all channels.
    """

    def __init__(
        self, path: str | Path, rate: int, start: Fraction | None = None, *, stereo: bool = False
    ) -> None:
        self.path, self.rate, self.start, self.stereo = Path(path), rate, start, stereo
        self.begins = 0
        """Samples of silence before the sound; known with the first block."""

    def __iter__(self) -> Iterator[np.ndarray]:
        """Blocks (N,) float32 from -1 to 1, (N, 2) for stereo.

        Raises:
            InputError: the file cannot be opened, has no sound, or ends where it should not.
        """
        try:
            container = av.open(str(self.path), metadata_errors="replace")
        except (OSError, ValueError, av.error.FFmpegError) as error:
            raise InputError(f"{self.path}: its sound cannot be read; give a video or sound file") from error
        with container:
            stream = sound_stream(container)
            if stream is None:
                raise InputError(f"{self.path}: has no sound; give a video or sound file that has")
            yield from self._placed(self._decoded(container, stream))

    def _decoded(self, container: av.container.InputContainer, stream: Any) -> Iterator[av.AudioFrame]:
        damaged = False
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    if not damaged:
                        logger.warning("%s: parts of its sound are damaged and taken as silence", self.path)
                    damaged = True
                    continue
                yield from frames
        except (av.error.InvalidDataError, av.error.EOFError, av.error.OSError) as error:
            raise InputError(f"{self.path}: its sound is cut off; copy or export it again") from error

    def _placed(self, frames: Iterator[av.AudioFrame]) -> Iterator[np.ndarray]:
        """Resamples runs of frames and puts each run where its time stamps say."""
        resampler: av.AudioResampler | None = None
        kind: tuple[int, str, str] | None = None
        start = self.start
        given = 0  # samples handed out
        surplus = 0  # samples that lie before what was handed out
        end = Fraction(0)  # of the sound so far, seconds after the start

        def resampled(frame: av.AudioFrame | None) -> Iterator[np.ndarray]:
            nonlocal given, surplus
            assert resampler is not None
            for block in resampler.resample(frame):
                samples = _mixed(block, self.stereo)
                left, surplus = samples[surplus:], max(0, surplus - len(samples))
                given += len(left)
                if len(left):
                    yield left

        for frame in frames:
            stamp = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
            start = start if start is not None else stamp or Fraction(0)
            time = end if stamp is None else stamp - start
            found = (frame.sample_rate, frame.format.name, frame.layout.name)
            if found != kind or time - end > _GAP:
                if resampler is not None:
                    yield from resampled(None)
                resampler = av.AudioResampler(format="fltp", rate=self.rate)
                ratio = Fraction(self.rate, frame.sample_rate)
                place = round(time * self.rate) + (
                    0 if ratio == 1 else ceil(_REACH * max(ratio, Fraction(1)))
                )
                surplus = max(0, given - place)
                if kind is None:
                    self.begins = max(0, place)
                if place > given:
                    yield np.zeros((place - given, 2) if self.stereo else place - given, np.float32)
                    given = place
                kind, end = found, time
            end += Fraction(frame.samples, frame.sample_rate)
            yield from resampled(frame)
        if resampler is not None:
            yield from resampled(None)


def _mixed(block: av.AudioFrame, stereo: bool) -> np.ndarray:
    """(N,) mean of the channels: FFmpeg's own mix to mono is 3 dB louder than its channels.

    In stereo, (N, 2): two channels stay as they are, of another number both sides have the mean. Files of
    floating-point samples may hold anything.
    """
    channels = np.clip(np.nan_to_num(block.to_ndarray()), -1, 1).astype(np.float32)
    if not stereo:
        return channels.mean(0)
    return (channels if len(channels) == 2 else np.tile(channels.mean(0), (2, 1))).T
