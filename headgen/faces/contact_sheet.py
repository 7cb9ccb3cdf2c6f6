"""Contact sheets: moments of several videos below each other, heads only, to be taken in at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from headgen.faces.crop import portrait_crop
from headgen.faces.tracker import MediaPipeTracker
from headgen.media.video import VideoReader

__all__ = ["contact_sheet"]

GAP = 4  # pixels between the pictures


def contact_sheet(
    rows: Sequence[Path | NDArray[np.uint8]],
    *,
    faces: Sequence[int] | None = None,
    moments: int = 8,
    cell: int = 256,
) -> NDArray[np.uint8]:
    """A row for each video or photograph, a column for each moment, evenly spread over the first video.

    All pictures of a row show the same square, the one around the head in the first; without a face, the
    whole picture.

    Args:
        rows: videos by their paths, photographs as (H, W, 3) uint8. Videos that have fewer frames end with
            their last one.
        faces: which face of each row, 1 is the largest; all the largest by default.
        moments: columns.
        cell: side of a picture in pixels.

    Raises:
        InputError: a video that cannot be read.
    """
    videos = [row for row in rows if isinstance(row, Path)]
    count = max((_length(path) for path in videos[:1]), default=1)
    wanted = np.linspace(0, count - 1, moments).round().astype(int).tolist()
    step = cell + GAP
    sheet = np.full((len(rows) * step - GAP, moments * step - GAP, 3), 255, np.uint8)
    with MediaPipeTracker() as tracker:
        for r, row in enumerate(rows):
            pictures = _at(row, wanted) if isinstance(row, Path) else [row] * moments
            found = tracker.faces(np.ascontiguousarray(pictures[0]))
            chosen = min(faces[r] if faces else 1, len(found))
            crop = portrait_crop(found[chosen - 1].landmarks) if found else None
            for c, picture in enumerate(pictures):
                shown = _fitted(picture, cell) if crop is None else crop.take(picture, cell)
                sheet[r * step : r * step + cell, c * step : c * step + cell] = shown
    return sheet


def _length(path: Path) -> int:
    with VideoReader(path) as reader:
        return reader.info.frames or sum(1 for _ in reader)


def _at(path: Path, wanted: Sequence[int]) -> list[NDArray[np.uint8]]:
    """The frames (H, W, 3) of a video at the given places, in order."""
    found: list[NDArray[np.uint8]] = []
    with VideoReader(path) as reader:
        for frame in reader:
            found += [frame.image] * wanted.count(frame.index)
            last = frame.image
            if len(found) == len(wanted):
                break
    return found + [last] * (len(wanted) - len(found))


def _fitted(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The whole picture in a white square."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    small = cv2.resize(
        picture, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    out = np.full((side, side, 3), 255, np.uint8)
    y, x = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    out[y : y + small.shape[0], x : x + small.shape[1]] = small
    return out
