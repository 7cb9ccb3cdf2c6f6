"""What people give is looked at before anything works on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headgen.errors import InputError
from headgen.listener.speaker import speaker_info
from headgen.media.image import read_image
from headgen.media.video import VideoReader

__all__ = ["Limits", "check_picture", "check_recording", "check_video"]


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
    """Raises InputError unless a file is a picture within the limits."""
    _check_size(path, limits)
    read_image(path)


def check_video(path: Path, limits: Limits) -> float:
    """Seconds of a video.

    Raises:
        InputError: it is none, or beyond the limits.
    """
    _check_size(path, limits)
    with VideoReader(path) as reader:
        frames = reader.info.frames or 0
        return _checked(path, float(frames / reader.info.fps), limits)


def check_recording(path: Path, limits: Limits) -> float:
    """Seconds of a video or of a recording of sound.

    Raises:
        InputError: it is neither, or beyond the limits.
    """
    _check_size(path, limits)
    return _checked(path, float(speaker_info(path).duration), limits)


def _check_size(path: Path, limits: Limits) -> None:
    size = path.stat().st_size / 1e6
    if size > limits.megabytes:
        raise InputError(f"{path.name}: has {size:.0f} MB; at most {limits.megabytes} MB are taken")


def _checked(path: Path, seconds: float, limits: Limits) -> float:
    if seconds > limits.seconds:
        raise InputError(
            f"{path.name}: lasts {seconds:.0f} s; at most {limits.seconds} s are taken; cut out a part"
        )
    return seconds
