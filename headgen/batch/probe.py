"""Whether an input can be what it is to be: a look at its head, without decoding it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import av
from PIL import Image

from headgen.batch.storage import Stamp, is_remote, place_of, stamp
from headgen.errors import HeadgenError, InputError
from headgen.listener.speaker import speaker_info
from headgen.media.image import read_image
from headgen.media.video import probe

__all__ = ["ROLES", "Probed", "Role", "probe_all"]

Role = Literal["picture", "video", "speaker"]
ROLES: dict[str, Role] = {
    "source": "picture",
    "portrait": "picture",
    "driving": "video",
    "speaker": "speaker",
}
"""What each input of a command is to be."""

_THREADS = 8
_QUICK = {"analyzeduration": "0"}  # containers that say what is in them are believed


@dataclass(frozen=True)
class Probed:
    """What a look at a file has told."""

    stamp: Stamp | None = None
    problem: str = ""
    """What is wrong and what to do, without the file's name; empty if nothing is."""
    frames: int | None = None
    seconds: float | None = None
    """How long it lasts; None of a picture, and where the file does not say."""


def probe_all(wanted: Iterable[tuple[str, Role]]) -> Iterator[tuple[tuple[str, Role], Probed]]:
    """Looks at many files at a time, at each once.

    A broken picture or video whose head is whole is not found out here: it fails its own job later.

    Args:
        wanted: files (absolute path or address) with what they are to be, each once.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        chunk = list(wanted)
        yield from zip(chunk, pool.map(_probed, chunk), strict=True)


def _probed(file: tuple[str, Role]) -> Probed:
    path, role = file
    found: Stamp | None = None
    try:
        found = stamp(path)
        if role == "picture":
            _look_at_picture(path)
            return Probed(found)
        frames, seconds = _look_at_video(path, role, found)
    except InputError as error:
        return Probed(found, str(error).removeprefix(f"{path}: "))
    return Probed(found, "", frames, seconds)


def _opened(path: str) -> AbstractContextManager[Any]:
    """A path as it is, or a file to seek in: of remote files only the parts are read that are asked for."""
    if not is_remote(path):
        return nullcontext(path)
    filesystem, inside = place_of(path)
    return filesystem.open(inside, "rb")


def _look_at_picture(path: str) -> None:
    try:
        with _opened(path) as file, Image.open(file) as picture:
            if getattr(picture, "n_frames", 1) == 1 or picture.format == "MPO":
                return
    except Exception:  # what libraries raise of broken files is of many kinds
        pass
    _thoroughly(path, read_image, "is not a picture that can be read; give a JPEG or PNG file")


def _look_at_video(path: str, role: Role, known: Stamp) -> tuple[int | None, float | None]:
    """Frames and seconds; None where the head of the file does not say."""
    try:
        with _opened(path) as file, av.open(file, metadata_errors="replace", options=_QUICK) as container:
            kind = container.format.name
            if kind == "tty" or kind == "image2" or kind.endswith("_pipe"):
                raise ValueError(kind)
            pictures = [s for s in container.streams.video if not _is_cover(s)]
            seconds = container.duration / av.time_base if container.duration else None
            if not pictures and role == "speaker" and container.streams.audio:
                return None, seconds
            stream = pictures[0]
            if stream.duration and stream.time_base:
                seconds = float(stream.duration * stream.time_base)
            entries: Any = stream.index_entries if "mov" in kind else ()
            if not len(entries) or entries[-1].pos + entries[-1].size <= known.size:
                rate = stream.average_rate or stream.guessed_rate
                frames = stream.frames or (round(seconds * rate) if seconds and rate else 0)
                return frames or None, seconds
    except Exception:  # as of pictures
        pass
    if role == "speaker":
        advice = "is neither a video nor sound that can be read; give MP4, MOV, MKV, WebM, WAV or M4A"
        info = _thoroughly(path, speaker_info, advice)
        return (None, None) if info is None else (info.frames, float(info.duration))
    advice = "is not a video that can be read whole; give a video such as MP4, MOV, MKV, WebM or AVI"
    found = _thoroughly(path, probe, advice)
    return (None, None) if found is None else (found.frames, found.duration and float(found.duration))


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _thoroughly(path: str, read: Callable[[Path], Any], advice: str) -> Any:
    """Asks the reader of the command itself, which may know better and says exactly what is wrong."""
    if is_remote(path):
        raise InputError(f"{path}: {advice}")
    try:
        return read(Path(path))
    except HeadgenError:
        raise
    except Exception as error:  # one broken file is its row's trouble, not the manifest's
        raise InputError(f"{path}: {advice}") from error
