"""The line of lashes of an eye that shuts.

A flow on a grid cannot make a gap vanish: between the lids of a shut eye a strip of the photograph's open eye
stays, pressed together, with its white and its highlight.  Our design: as the lids meet, what would be copied
from between the lids of the photograph turns as dark as the lashes, and the strip becomes the line that
people see, and that trackers take for a shut eye.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from headgen.faces import mesh

_MEETS, _APART = 0.25, 0.6
"""Openings, in those of the photograph, at which the line is whole and at which it begins."""
_DARKEST = 20  # percentile of the luma along the upper lid that counts as lashes
_NARROWEST = 0.1  # of an eye's width: eyes that are shut in the photograph bring their own line
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_PAD = 0.1  # of an eye's width, around the eye in the photograph
_ROOM = 0.35  # of an eye's width, around the moved eye: where its line and its iris may lie


@dataclass(frozen=True)
class _Eye:
    """One open eye of the photograph."""

    contour: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    opening: float
    """Mean gap between the lids, of the eye's width."""
    corner: NDArray[np.float32]
    """(2,) pixel at which `inside` lies."""
    inside: NDArray[np.uint8]
    """255 between the lids."""
    dark: NDArray[np.float32]
    """(3,) colour of the lashes."""


class LashLines:
    """Darkens what lies between the lids of a photograph as they meet.

    Args:
        photograph: (H, W, 3) uint8 RGB.
        points: (478, 2) or more columns: landmarks in its pixels.
    """

    def __init__(self, photograph: NDArray[np.uint8], points: NDArray) -> None:
        self._eyes: list[_Eye] = []
        for contour, _, pairs in mesh.EYES:
            outline = points[list(contour), :2]
            width = float(np.linalg.norm(outline[0] - outline[8]))
            opening = mesh.opening(points[:, :2], pairs) / width
            if opening < _NARROWEST:
                continue
            x0, y0 = np.floor(outline.min(0) - _PAD * width).astype(int)
            x1, y1 = np.ceil(outline.max(0) + _PAD * width).astype(int) + 1
            if min(x0, y0) < 0 or x1 > photograph.shape[1] or y1 > photograph.shape[0]:
                continue
            inside = np.zeros((y1 - y0, x1 - x0), np.uint8)
            cv2.fillPoly(inside, [np.round((outline - [x0, y0]) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
            inside = cv2.GaussianBlur(inside, (0, 0), max(0.02 * width, 0.5))
            lashes = np.zeros(inside.shape, np.uint8)
            line = np.round((outline[:9] - [x0, y0]) * 16).astype(np.int32)
            cv2.polylines(lashes, [line], False, 255, max(1, round(0.06 * width)), cv2.LINE_8, 4)
            there = photograph[y0:y1, x0:x1][lashes > 0].astype(np.float32)
            luma = there @ _LUMA
            dark = there[luma <= np.percentile(luma, _DARKEST)].mean(0)
            corner = np.array([x0, y0], np.float32)
            self._eyes.append(_Eye(contour, pairs, opening, corner, inside, dark.astype(np.float32)))

    def draw(self, moved: NDArray[np.uint8], places: NDArray, points: NDArray) -> None:
        """Draws the lines into a moved photograph, in place.

        Args:
            moved: (h, w, 3) uint8.
            places: (h, w, 2) float32, where in the photograph each pixel was taken from.
            points: (478, 2) or more columns: moved landmarks, in pixels of `moved`.
        """
        for eye in self._eyes:
            outline = points[list(eye.contour), :2]
            width = float(np.linalg.norm(outline[0] - outline[8]))
            now = mesh.opening(points[:, :2], eye.pairs) / width / eye.opening
            share = np.clip((_APART - now) / (_APART - _MEETS), 0, 1)
            if share == 0:
                continue
            there = eye_part(outline, moved.shape)
            if there is None:
                continue
            at = places[there] - eye.corner
            weight = cv2.remap(eye.inside, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
            weight = weight[..., None] * np.float32(share / 255)
            part = moved[there]
            part[:] = (part + (eye.dark - part) * weight + 0.5).astype(np.uint8)


def eye_part(outline: NDArray, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Rows and columns of a picture in which a moved eye may show; None if it lies beside the picture.

    Args:
        outline: (16, 2) the eye's contour, in pixels of the picture.
        shape: height and width of the picture.
    """
    pad = _ROOM * float(np.linalg.norm(outline[0] - outline[8]))
    x0, y0 = np.maximum(np.floor(outline.min(0) - pad).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(outline.max(0) + pad).astype(int) + 1, shape[1::-1])
    return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None
