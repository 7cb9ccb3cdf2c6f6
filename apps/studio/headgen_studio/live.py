"""Short work beside the queue, in the process for previews: faces, one frame, what a text means.

What was looked at last stays in memory, so that a slider shows its picture at once.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from headgen.faces.driving import MOTION_SUFFIX
from headgen_studio.uploads import Limits, check_picture, check_video

__all__ = ["Faces", "faces", "preview", "understood"]

Faces = tuple[NDArray[np.uint8], list[tuple[int, int, int, int]]]
"""A picture with the faces marked, and the square (left, top, right, bottom) of each in its pixels."""

SHOWN = 640  # longest side of pictures that are only looked at
GAP = 12  # pixels between a picture and its detail
MARK, CHOSEN = (245, 245, 245), (66, 177, 170)


def faces(picture: Path, face: int, max_size: int) -> Faces:
    """Marks the faces of a photograph; beside it stands what is cut out around the one that is chosen.

    Args:
        picture: the photograph.
        face: which one is chosen; 1 is the largest.
        max_size: see `headgen.reenact`.

    Raises:
        InputError: not a picture, no face in it, or too small a face.
    """
    image, squares, cut = _found(picture, picture.stat().st_mtime_ns, face, max_size)
    shown = image.copy()
    thin = max(1, round(max(image.shape[:2]) / 320))
    for k, (left, top, right, bottom) in enumerate(squares, 1):
        colour = CHOSEN if k == face else MARK
        cv2.rectangle(shown, (left, top), (right, bottom), (0, 0, 0), 3 * thin)
        cv2.rectangle(shown, (left, top), (right, bottom), colour, 2 * thin)
        if len(squares) > 1:
            place = (max(0, left) + 4 * thin, max(0, top) + 14 * thin)
            for width, ink in ((4 * thin, (0, 0, 0)), (thin, colour)):
                cv2.putText(shown, str(k), place, cv2.FONT_HERSHEY_SIMPLEX, 0.45 * thin, ink, width)
    gap = np.full((len(shown), GAP, 3), 255, np.uint8)
    return np.hstack([shown, gap, cut]), squares


@lru_cache(maxsize=16)
def _found(
    picture: Path, stamp: int, face: int, max_size: int
) -> tuple[NDArray[np.uint8], list[tuple[int, int, int, int]], NDArray[np.uint8]]:
    from headgen.faces.crop import portrait_crop
    from headgen.faces.portrait import read_portrait
    from headgen.faces.tracker import MediaPipeTracker

    with MediaPipeTracker() as tracker:
        portrait = read_portrait(picture, tracker, max_size, face)  # says what is wrong with a picture
        tracks = tracker.faces(portrait.image)
    image = portrait.image
    scale = min(1.0, SHOWN / max(image.shape[:2]))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    squares = []
    for track in tracks:
        crop = portrait_crop(track.landmarks)
        half = crop.side / 2
        corners = np.array([crop.cx - half, crop.cy - half, crop.cx + half, crop.cy + half]) * scale
        squares.append(tuple(corners.round().astype(int).clip(0, np.array([*size, *size]) - 1).tolist()))
    cut = portrait_crop(portrait.landmarks).take(image, size[1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), squares, cut


def preview(
    source: tuple[Path, ...],
    driving: Path,
    share: float,
    model: str,
    face: int,
    max_size: int,
    start: str,
    frame: str,
    options: dict[str, Any],
    limits: Limits,
) -> NDArray[np.uint8]:
    """One moment of a reenactment.

    Args:
        source: photographs.
        driving: video or saved motion.
        share: which moment, 0 (the first) to 1.
        model: see `headgen.reenact`, like all that follows.
        face: which one moves.
        max_size: of the picture.
        start: from where relative motion counts.
        frame: whole photograph or the head.
        options: of `headgen.faces.retarget.RetargetOptions`.
        limits: of uploads: nobody has looked at the files before.

    Raises:
        InputError: see `headgen.reenact`.
    """
    from headgen.faces.retarget import RetargetOptions

    stamps = tuple(path.stat().st_mtime_ns for path in (*source, driving))
    shown = _previewed(source, driving, stamps, model, face, max_size, limits)
    moment = round(min(max(share, 0.0), 1.0) * (len(shown) - 1))
    return shown.draw(moment, RetargetOptions(**options), start, frame)


@lru_cache(maxsize=4)
def _previewed(
    source: tuple[Path, ...],
    driving: Path,
    stamps: tuple[int, ...],
    model: str,
    face: int,
    max_size: int,
    limits: Limits,
) -> Any:
    from headgen.reenact import Preview

    for path in source:
        check_picture(path, limits)
    if driving.suffix != MOTION_SUFFIX:
        check_video(driving, limits)
    return Preview(source, driving, model=model, face=face, max_size=max_size)


def understood(text: str) -> tuple[str, str]:
    """What a listener's text is taken to ask for, and what of it is doubtful; both in words.

    Raises:
        InputError: nothing of it was understood.
    """
    from headgen import hub
    from headgen.listener.text import load_text_encoder, read_text

    request = read_text(text, load_text_encoder(hub.resolve("listener-text").folder))
    return request.understood, request.doubts
