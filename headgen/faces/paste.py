"""Putting a redrawn crop back into its picture without a seam."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from headgen.faces.crop import Crop

FEATHER = 0.1  # width of the blend, as a share of the crop's side
_COLOUR_GRID = 32  # cells a side in which colours are compared
_COLOUR_LIMIT = 14  # levels; differences beyond are another content, not another colour


class Paster:
    """Pastes crops of one place and size into pictures of one shape; everything fixed is worked out once.

    The crop fades into the picture along its edges, except where it reaches the picture's own border. Where
    it fades, its colours are drawn to the picture's: the smooth part of their difference, up to a limit, is
    taken off at the edge, and off the whole crop as far as it is the same all around.
    """

    def __init__(
        self,
        crop: Crop,
        shape: tuple[int, ...],
        size: int,
        mask: np.ndarray | None = None,
        feather: float = FEATHER,
        match_colours: bool = True,
    ) -> None:
        """Works out mask and maps.

        Args:
            crop: where the crop lies.
            shape: (H, W, ...) of the pictures.
            size: side of the crop images in pixels.
            mask: (size, size) float in [0, 1]: how much of the crop to take, besides the feathered edge.
            feather: width of the fading edge, as a share of the crop's side, up to 0.5.
            match_colours: draw the crop's colours to the picture's.
        """
        if not 0 <= feather <= 0.5:
            raise ValueError(f"feather must be between 0 and 0.5, got {feather}")
        self.size, self.match_colours = size, match_colours
        self.shape = tuple(shape[:2])
        x0, y0, x1, y1 = crop.box(shape)
        self._shift: tuple[int, int] | None = None  # where the crop's pixels are the picture's
        self._empty = x0 >= x1 or y0 >= y1
        if self._empty:
            return
        # from pixels of the box to pixels of the crop image
        self._map = crop.matrix(size)
        self._map[:, 2] += self._map[:, :2] @ [x0, y0]
        weight = _edge_weight(crop, self._map, (x1 - x0, y1 - y0), self.shape, size, feather)
        if mask is not None:
            weight *= self._draw(np.clip(mask, 0, 1).astype(np.float32), (x1 - x0, y1 - y0))
        rows, columns = np.nonzero(weight.max(1) > 0)[0], np.nonzero(weight.max(0) > 0)[0]
        self._empty = not len(rows)
        if self._empty:
            return
        # drop the rows and columns of the box that stay as they are
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        self._box = slice(y0 + top, y0 + bottom), slice(x0 + left, x0 + right)
        self._map[:, 2] += self._map[:, :2] @ [left, top]
        self._weight = np.ascontiguousarray(weight[top:bottom, left:right])
        self._rest = 1 - self._weight
        shift = np.round(self._map[:, 2])
        if np.abs(self._map - np.c_[np.eye(2), shift]).max() < 1e-6:
            self._shift = int(shift[0]), int(shift[1])
        self._ring, self._spread = _colour_weights(self._weight)

    def paste(self, frame: np.ndarray, crop_image: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Blends a crop into a picture.

        Args:
            frame: (H, W, 3) uint8.
            crop_image: (size, size, 3) uint8, or float in [0, 1].
            out: (H, W, 3) uint8 to write the box into, may be ``frame`` itself; by default a copy of it.

        Returns:
            (H, W, 3) uint8; outside the crop the bytes are the picture's.
        """
        if frame.shape[:2] != self.shape or crop_image.shape[:2] != (self.size, self.size):
            raise ValueError(
                f"made for a picture of {self.shape} and a crop of {self.size} pixels a side, "
                f"got {frame.shape[:2]} and {crop_image.shape[:2]}"
            )
        out = frame.copy() if out is None else out
        if self._empty:
            return out
        if crop_image.dtype != np.uint8:
            crop_image = cv2.convertScaleAbs(np.clip(crop_image, 0, 1), alpha=255)
        under = np.ascontiguousarray(frame[self._box])
        over = self._draw(crop_image, (under.shape[1], under.shape[0]))
        if self.match_colours:
            over = cv2.add(over, self._correction(under, over), dtype=cv2.CV_8U)
        out[self._box] = cv2.blendLinear(over, under, self._weight, self._rest)
        return out

    def _draw(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        if self._shift is not None:
            x, y = self._shift
            return np.ascontiguousarray(image[y : y + size[1], x : x + size[0]])
        turned_map = self._map
        scale = np.linalg.norm(turned_map[:, 0])  # crop pixels per picture pixel
        if scale > 1.5:  # the crop is drawn larger than its place: average
            shrink = round(image.shape[1] / scale)
            turned_map = turned_map * (shrink / image.shape[1])
            turned_map[:, 2] += (shrink / image.shape[1] - 1) / 2
            image = cv2.resize(image, (shrink, shrink), interpolation=cv2.INTER_AREA)
        how = cv2.INTER_CUBIC if scale < 0.95 and image.dtype == np.uint8 else cv2.INTER_LINEAR
        flags = how | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image, turned_map, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)

    def _correction(self, under: np.ndarray, over: np.ndarray) -> np.ndarray:
        """(H, W, 3) float32 levels to add to the crop so that its edge has the picture's colours."""
        cells = self._ring.shape[::-1]
        gap = cv2.resize(under, cells, interpolation=cv2.INTER_AREA).astype(np.float32)
        gap -= cv2.resize(over, cells, interpolation=cv2.INTER_AREA)
        # soft limit: a ring cell in which something moved must not dye its surroundings
        gap /= 1 + (gap / _COLOUR_LIMIT) ** 2
        ring = self._ring[..., None]
        everywhere = np.median(gap[self._ring > 0.25], axis=0) if (self._ring > 0.25).any() else np.zeros(3)
        local = cv2.GaussianBlur((gap - everywhere) * ring, (0, 0), 2.0)
        local *= self._spread[..., None]
        field = (local + everywhere).astype(np.float32)
        return cv2.resize(field, under.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def paste(
    frame: np.ndarray, crop_image: np.ndarray, crop: Crop, mask: np.ndarray | None = None
) -> np.ndarray:
    """Blends one crop into a picture; for many of the same place keep a `Paster`.

    Args:
        frame: (H, W, 3) uint8.
        crop_image: (size, size, 3) uint8, or float in [0, 1].
        crop: where it lies.
        mask: (size, size) float in [0, 1]: how much of the crop to take, besides the feathered edge.

    Returns:
        (H, W, 3) uint8, a new array.
    """
    if mask is not None:
        return Paster(crop, frame.shape, crop_image.shape[0], mask).paste(frame, crop_image)
    return _paster(crop, frame.shape[:2], crop_image.shape[0]).paste(frame, crop_image)


@lru_cache(maxsize=4)
def _paster(crop: Crop, shape: tuple[int, int], size: int) -> Paster:
    return Paster(crop, shape, size)


def _edge_weight(
    crop: Crop,
    to_crop: np.ndarray,
    box: tuple[int, int],
    shape: tuple[int, ...],
    size: int,
    feather: float,
) -> np.ndarray:
    """(h, w) float32 weight of the crop over its box: 1 inside, falling to 0 along its edges."""
    x, y = np.meshgrid(np.arange(box[0], dtype=np.float32), np.arange(box[1], dtype=np.float32))
    weight = np.ones((box[1], box[0]), np.float32)
    half = crop.side / 2
    reaches = (  # the picture ends before the crop does: nothing to fade into
        (crop.cx - half <= 0, crop.cx + half >= shape[1] - 1),
        (crop.cy - half <= 0, crop.cy + half >= shape[0] - 1),
    )
    for axis in (0, 1):
        place = (to_crop[axis, 0] * x + to_crop[axis, 1] * y + to_crop[axis, 2] + 0.5) / size
        for beyond, gap in zip(reaches[axis], (place, 1 - place), strict=True):
            if beyond and crop.angle == 0:
                continue
            # half a pixel keeps the outermost row of a hard edge
            step = np.clip(gap / feather, 0, 1) if feather else (gap > 0).astype(np.float32)
            weight *= step * step * (3 - 2 * step)
    return weight


def _colour_weights(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """On a coarse grid: how much a cell belongs to the fading edge, and how far its correction reaches."""
    height, width = weight.shape
    cells = min(_COLOUR_GRID, width), min(_COLOUR_GRID, height)
    ring = cv2.resize(4 * weight * (1 - weight), cells, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(ring, (0, 0), 2.0)
    # normalised by the ring's own density, and fading out with it towards the middle
    reach = np.clip(blurred / max(1e-6, 0.5 * float(blurred.max())), 0, 1)
    return ring, (reach / np.maximum(blurred, 1e-3)).astype(np.float32)
