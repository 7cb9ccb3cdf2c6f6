"""Speakers as they come: a file at the pace of real time, a camera and a microphone.

Devices are read by FFmpeg (video4linux2 and ALSA, both inside PyAV's wheels for Linux), each in a thread.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np

from headgen.errors import InputError
from headgen.listener.speaker import Piece
from headgen.listener.track import FPS, SAMPLE_RATE

__all__ = ["Device", "captured", "devices", "in_real_time"]


def in_real_time(
    pieces: Iterable[Piece],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[Piece, None, None]:
    """Hands each piece out when a speaker would have got there, counted from the first call on."""
    begun = clock()
    for piece in pieces:
        wait = begun + float(piece.until) - clock()
        if wait > 0:
            sleep(wait)
        yield piece


@dataclass(frozen=True)
class Device:
    """A camera or a microphone, as FFmpeg opens it.

    Attributes:
        name: such as "/dev/video0" or "default".
        format: of FFmpeg, such as "v4l2" or "alsa".
        options: of that format.
    """

    name: str
    format: str
    options: Mapping[str, str] = field(default_factory=dict)


def devices(folder: Path = Path("/dev")) -> tuple[Device | None, Device | None]:
    """The first camera and the microphone of this machine; None for what it has not.

    Args:
        folder: of the device files of Linux.
    """
    cameras = sorted(folder.glob("video*"))
    camera = Device(str(cameras[0]), "v4l2", {"framerate": str(FPS)}) if cameras else None
    microphone = Device("default", "alsa") if list(folder.glob("snd/pcm*c")) else None
    return camera, microphone


def captured(
    camera: Device | None, microphone: Device | None, clock: Callable[[], float] = time.monotonic
) -> Generator[Piece, None, None]:
    """What a camera and a microphone catch; the microphone's samples are the clock, if there is one.

    Args:
        camera: or None, then nothing is seen.
        microphone: or None, then nothing is heard.
        clock: seconds.

    Yields:
        A piece for every block of sound, or for every picture; without end, unless a device ends.

    Raises:
        InputError: neither is there, or one cannot be opened or stops.
    """
    if camera is None and microphone is None:
        raise InputError(
            "this machine has no camera and no microphone that could be read (/dev/video*, ALSA); give a "
            "file as --speaker, or run `headgen serve`, whose page uses those of a browser"
        )
    arrived: queue.Queue[tuple[float, np.ndarray | Exception | None, bool]] = queue.Queue(500)
    stopped = threading.Event()
    given = [device for device in (camera, microphone) if device is not None]
    threads = [
        threading.Thread(
            target=_read, args=(device, device is microphone, arrived, stopped, clock), daemon=True
        )
        for device in given
    ]
    for thread in threads:
        thread.start()
    begun: float | None = None
    heard = 0
    pictures: list[tuple[Fraction, np.ndarray]] = []
    try:
        while True:
            now, item, is_sound = arrived.get()
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            if is_sound:
                begun = now - len(item) / SAMPLE_RATE if begun is None else begun
                heard += len(item)
                yield Piece(Fraction(heard, SAMPLE_RATE), item, tuple(pictures))
                pictures = []
            elif microphone is None:
                begun = now if begun is None else begun
                seen = Fraction(now - begun).limit_denominator(1000)
                yield Piece(seen + Fraction(1, FPS), pictures=((seen, item),))
            elif begun is not None:
                pictures.append((Fraction(now - begun).limit_denominator(1000), item))
    finally:
        stopped.set()
        for thread in threads:
            thread.join(timeout=2)


def _read(
    device: Device,
    is_sound: bool,
    arrived: queue.Queue[tuple[float, np.ndarray | Exception | None, bool]],
    stopped: threading.Event,
    clock: Callable[[], float],
) -> None:
    """Puts what a device catches, with the time, until somebody stops it; None at its end."""
    end: Exception | None = None
    try:
        with av.open(device.name, format=device.format, options=dict(device.options)) as container:
            resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
            for frame in container.decode(audio=0) if is_sound else container.decode(video=0):
                blocks = resampler.resample(frame) if isinstance(frame, av.AudioFrame) else [frame]
                for block in blocks:
                    if isinstance(block, av.AudioFrame):
                        item = block.to_ndarray()[0].astype(np.float32)
                    else:
                        item = block.to_ndarray(format="rgb24")
                    with suppress(queue.Full):  # nobody listens: what comes is lost, as it would be anyway
                        arrived.put_nowait((clock(), item, is_sound))
                if stopped.is_set():
                    return
    except (OSError, ValueError, IndexError, av.error.FFmpegError) as error:
        end = InputError(
            f"{device.name}: cannot be read by {device.format} ({error}); plug it in, or give a file"
        )
    arrived.put((clock(), end, is_sound))
