"""A photograph of a person with its face found, checked for what the models need."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from headgen.errors import InputError
from headgen.faces.tracker import FaceTracker, Track
from headgen.media.image import read_image

__all__ = ["SMALLEST_FACE", "Portrait", "check_size", "read_portrait"]

logger = logging.getLogger(__name__)

SMALLEST_FACE = 20.0
"""Least distance of the outer eye corners in pixels at which a face can be moved or followed."""


@dataclass(frozen=True)
class Portrait:
    """A source photograph with its face."""

    path: Path
    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    landmarks: NDArray[np.float32]
    """(478, 3) in pixels of the image."""
    face: int = 1
    """Which of the picture's faces: 1 is the largest."""


def read_portrait(path: Path, tracker: FaceTracker, max_size: int, face: int = 1) -> Portrait:
    """Reads a photograph and finds its face.

    Args:
        path: the picture.
        tracker: finds the face.
        max_size: a picture whose longest side has more pixels is made smaller.
        face: which one, where there are several: 1 is the largest, 2 the next.

    Raises:
        InputError: not a picture, no face in it, not that many, or one that is too small.
    """
    if face < 1:
        raise InputError(f"face={face} is out of range; give 1 for the largest face, 2 for the next")
    image = read_image(path)
    longest = max(image.shape[:2])
    if longest > max_size:
        width, height = (max(1, round(n * max_size / longest)) for n in image.shape[1::-1])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    largest = tracker.track(image, still=True)
    if largest is None:
        raise InputError(
            f"{path}: no face was found in this picture; use a photograph that shows the face from the "
            "front, well lit and not covered"
        )
    if face > largest.n_faces:
        raise InputError(
            f"{path}: there is no face {face}; of {largest.n_faces} that were found, 1 is the largest"
        )
    track = largest if face == 1 else tracker.faces(image)[face - 1]
    if face == 1 and track.n_faces > 1:
        logger.warning(
            "%s: %d faces were found, the largest is used; ask for face 2, or crop the picture, "
            "to choose another",
            path,
            track.n_faces,
        )
    check_size(path, track)
    return Portrait(path, image, track.landmarks, face)


def check_size(path: Path, track: Track) -> None:
    """Raises InputError if the face is too small."""
    found = track.eye_distance
    if found < SMALLEST_FACE:
        raise InputError(
            f"{path}: the face is too small ({found:.0f} pixels between the outer eye corners, at least "
            f"{SMALLEST_FACE:.0f} are needed); use a larger picture or one taken from closer"
        )
