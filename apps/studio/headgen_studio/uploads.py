"""What people give is looked at before anything works on it: kinds, sizes and lengths.

Files are only ever decoded, never executed or unpickled, and only as kinds that are listed here: some of what
Pillow and FFmpeg can read leads to other files or programs (playlists, PostScript). Headers are not believed:
a picture's size is checked before it is unpacked, and a video's length is that of its packets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import av.container
from PIL import Image, UnidentifiedImageError

from headgen.errors import InputError
from headgen.listener.speaker import speaker_info
from headgen.media.image import read_image
from headgen.media.video import VideoReader

__all__ = ["Limits", "check_picture", "check_recording", "check_video"]

PICTURES = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "PPM")
"""Kinds of pictures that are taken, as Pillow names them."""
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpeg,mpegts,mpegvideo,ogg,"
    "wav,w64,aiff,mp3,aac,flac,amr,caf"
)
"""Kinds of videos and recordings that are taken, as FFmpeg names them."""
MOST_RATE = 240
"""Frames a second of the fastest video that is taken."""


@dataclass(frozen=True)
class Limits:
    """What is taken."""

    megabytes: int = 200
    """Of a file."""
    seconds: int = 600
    """Of a video or a recording."""
    megapixels: int = 50
    """Of a picture or of a video's frame."""


def check_picture(path: Path, limits: Limits) -> None:
    """Checks a photograph.

    Raises:
        InputError: it is no picture of a kind that is taken, damaged, or beyond the limits.
    """
    _check_size(path, limits)
    Image.init()  # or Pillow would not know all of these kinds yet
    try:
        with Image.open(path, formats=[kind for kind in PICTURES if kind in Image.OPEN]) as picture:
            _check_pixels(path, *picture.size, limits)
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{path.name}: has too many pixels; at most {limits.megapixels} million are taken; make it "
            "smaller"
        ) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path.name}: is not a picture of a kind that is taken; give a JPEG, PNG, WebP or TIFF picture"
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(f"{path.name}: is damaged or cut off; copy or export it again") from error
    _named(path, lambda: read_image(path))


def check_video(path: Path, limits: Limits) -> float:
    """Checks a video.

    Returns:
        Its seconds.

    Raises:
        InputError: it is none of a kind that is taken, damaged, or beyond the limits.
    """
    _check_size(path, limits)
    seconds = _length(path, limits)

    def first() -> None:
        with VideoReader(path) as reader:
            _check_pixels(path, reader.info.width, reader.info.height, limits)
            for frame in reader:
                _check_pixels(path, frame.image.shape[1], frame.image.shape[0], limits)
                return

    _named(path, first)
    return seconds


def check_recording(path: Path, limits: Limits) -> float:
    """Checks a video or a recording of sound.

    Returns:
        Its seconds.

    Raises:
        InputError: it is neither, damaged, or beyond the limits.
    """
    _check_size(path, limits)
    seconds = _length(path, limits)
    _named(path, lambda: speaker_info(path))
    return seconds


def _check_size(path: Path, limits: Limits) -> None:
    size = path.stat().st_size / 1e6
    if size > limits.megabytes:
        raise InputError(
            f"{path.name}: has {size:.0f} MB; at most {limits.megabytes} MB are taken; export it smaller"
        )


def _check_pixels(path: Path, width: int, height: int, limits: Limits) -> None:
    if width * height > limits.megapixels * 1e6:
        raise InputError(
            f"{path.name}: has {width} x {height} pixels; at most {limits.megapixels} million are taken; "
            "make it smaller"
        )


def _length(path: Path, limits: Limits) -> float:
    """Seconds from the first packet to the end of the last, whatever the header says."""
    try:
        with av.open(
            str(path), metadata_errors="replace", options={"format_whitelist": CONTAINERS}
        ) as container:
            streams = container.streams.video or container.streams.audio
            if not streams:
                raise _no_recording(path)
            return _packets(path, container, streams[0], limits)
    except (OSError, ValueError, EOFError) as error:
        raise _no_recording(path) from error


def _packets(
    path: Path, container: av.container.InputContainer, stream: av.stream.Stream, limits: Limits
) -> float:
    first: float | None = None
    last, count = 0.0, 0
    pictures = stream.type == "video"
    for packet in container.demux(stream):
        if packet.time_base is None or not packet.size:
            continue
        moment = packet.pts if packet.pts is not None else packet.dts
        if moment is not None:
            begin = float(moment * packet.time_base)
            first = begin if first is None else min(first, begin)
            last = max(last, begin + float((packet.duration or 0) * packet.time_base))
        count += 1
        seconds = last - (first or 0.0)
        if seconds > limits.seconds:
            raise InputError(f"{path.name}: lasts longer than {limits.seconds} s; cut out a part")
        if pictures and count > MOST_RATE * limits.seconds:
            raise InputError(
                f"{path.name}: has more than {count - 1} frames; export it with at most 60 a second"
            )
    if not count:
        raise InputError(f"{path.name}: has nothing in it; export it again")
    return last - (first or 0.0)


def _no_recording(path: Path) -> InputError:
    return InputError(
        f"{path.name}: is not a video or recording that can be read; give MP4, MOV, MKV, WebM, WAV or MP3"
    )


def _named(path: Path, look: Callable[[], object]) -> None:
    """Has the library look at a file, and names the file without its folder if something is wrong."""
    try:
        look()
    except InputError as error:
        raise InputError(str(error).replace(str(path), path.name)) from error
