"""Sound carried from one file into another, packet by packet beside the frames."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import av.error

from headgen.errors import InputError

__all__ = ["AudioTrack"]

logger = logging.getLogger(__name__)

_COPIED = {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}
"""Codecs that MP4, MOV and Matroska all hold and players find there."""

_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)


class AudioTrack:
    """The first sound stream of a file on its way into an output container.

    Packets are handed over as the video advances, so that neither side waits for the other in memory.
    """

    def __init__(
        self,
        path: Path,
        source: av.container.InputContainer,
        output: av.container.OutputContainer,
        start: Fraction,
    ) -> None:
        self._path = path
        self._source = source
        self._output = output
        self._start = start
        self._input: Any = source.streams.audio[0]
        context = self._input.codec_context
        self._copies = context.name in _COPIED
        self._stream: Any
        if self._copies:
            self._stream = output.add_stream_from_template(self._input)
        else:
            rate = context.sample_rate if context.sample_rate in _AAC_RATES else 48000
            layout = "mono" if context.channels == 1 else "stereo"
            self._stream = output.add_stream("aac", rate=rate, layout=layout)
        self._packets: Iterator[Any] | None = self._transfer()
        self._waiting: Any = None

    @classmethod
    def open(cls, path: Path, output: av.container.OutputContainer, start: Fraction) -> AudioTrack | None:
        """Connects the sound of `path` to `output`.

        Args:
            path: file with sound, or without: then the result is None.
            output: container that has not been written to yet.
            start: seconds on the clock of `path` that become 0 in the output.

        Raises:
            InputError: the file cannot be opened.
        """
        try:
            source = av.open(str(path), metadata_errors="replace")
        except (OSError, ValueError, av.error.FFmpegError) as error:
            raise InputError(f"{path}: its sound cannot be read; give a video or sound file") from error
        streams = source.streams.audio
        if not streams or streams[0].codec_context is None or not streams[0].codec_context.sample_rate:
            if streams:
                logger.warning("%s: its sound cannot be decoded; the output has none", path)
            source.close()
            return None
        return cls(path, source, output, start)

    def advance(self, until: Fraction | None) -> None:
        """Writes all sound that starts before a time.

        Args:
            until: seconds since the start of the output; None: all that is left.

        Raises:
            InputError: the sound is damaged.
            OSError: the output cannot be written.
        """
        while self._packets is not None:
            packet = self._waiting or next(self._packets, None)
            self._waiting = None
            if packet is None:
                self._packets = None
                return
            if until is not None and packet.pts is not None and packet.pts * packet.time_base > until:
                self._waiting = packet
                return
            self._output.mux_one(packet)

    def close(self) -> None:
        """Closes the source."""
        self._packets = None
        with suppress(OSError):
            self._source.close()

    def _transfer(self) -> Iterator[Any]:
        try:
            if self._copies:
                yield from self._copy()
            else:
                yield from self._encode()
        except (av.error.InvalidDataError, av.error.EOFError) as error:
            raise InputError(f"{self._path}: its sound is damaged; copy or export the file again") from error

    def _copy(self) -> Iterator[Any]:
        shift = round(self._start / self._input.time_base)
        for packet in self._source.demux(self._input):
            if packet.dts is None:  # the empty packet at the end
                continue
            packet.dts -= shift
            if packet.pts is not None:
                packet.pts -= shift
            packet.stream = self._stream
            yield packet

    def _encode(self) -> Iterator[Any]:
        for frame in self._source.decode(self._input):
            if frame.pts is not None:
                frame.pts -= round(self._start / frame.time_base)
            yield from self._stream.encode(frame)
        yield from self._stream.encode(None)
