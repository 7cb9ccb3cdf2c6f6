"""A first look at a data set: a sheet of pictures and a short video, made of its own clips."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from headgen.media.image import read_image, write_image
from headgen.media.video import VideoReader, VideoWriter
from headgen.synth.dataset.records import ClipRecord, clips_folder

T = TypeVar("T")

ROWS, COLUMNS = 8, 8
TILE = 128  # pixels
VIDEO_CLIPS, VIDEO_SECONDS = 4, 4.0


def write_preview(directory: Path, records: Sequence[ClipRecord]) -> None:
    """Writes ``preview.png``, and for videos ``preview.mp4``.

    The sheet shows a frame of evenly chosen clips (of conversations speaker and listener side by side), the
    video the first seconds of a few.
    """
    videos = [video for record in records for video in _videos(directory, record)]
    pictures = []
    if videos:
        for path in _spread(videos, ROWS * COLUMNS):
            with VideoReader(path) as reader:
                pictures.append(next(iter(reader)).image)
    else:
        for record in _spread(records, ROWS * COLUMNS):
            pictures.append(read_image(clips_folder(directory) / f"{record.name}.png"))
    write_image(directory / "preview.png", sheet(pictures, COLUMNS))
    if videos:
        _write_video(directory / "preview.mp4", _spread(videos, VIDEO_CLIPS), records[0].fps)


def sheet(pictures: Sequence[np.ndarray], columns: int, tile: int = TILE) -> np.ndarray:
    """Pictures of any size in a grid of square tiles: (rows * tile, columns * tile, 3) uint8."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    out = np.zeros((rows * tile, columns * tile, 3), np.uint8)
    for k, picture in enumerate(pictures):
        y, x = tile * (k // columns), tile * (k % columns)
        out[y : y + tile, x : x + tile] = cv2.resize(picture, (tile, tile), interpolation=cv2.INTER_AREA)
    return out


def _videos(directory: Path, record: ClipRecord) -> list[Path]:
    """The clip's videos, the speaker's before the listener's."""
    names = [name for name in record.files if name.endswith(".mp4")]
    return [clips_folder(directory) / name for name in sorted(names, reverse=True)]


def _spread(items: Sequence[T], count: int) -> list[T]:
    """Up to `count` items, evenly chosen; neighbours stay pairs as far as the count is even."""
    if len(items) <= count:
        return list(items)
    pairs = np.linspace(0, len(items) // 2 - 1, max(1, count // 2)).round().astype(int)
    return [items[2 * k + side] for k in pairs for side in (0, 1)]


def _write_video(path: Path, videos: Sequence[Path], fps: float) -> None:
    with ExitStack() as stack:
        readers = [stack.enter_context(VideoReader(video)) for video in videos]
        writer = stack.enter_context(VideoWriter(path, Fraction(fps).limit_denominator(1001)))
        for number, frames in enumerate(zip(*readers, strict=False)):
            if number >= VIDEO_SECONDS * fps:
                break
            writer.write(np.hstack([frame.image for frame in frames]))
