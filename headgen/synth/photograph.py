"""Photographs prepared for warping: what lies beyond their edges, in their holes, and who is on them."""

from __future__ import annotations

import cv2
import numpy as np

TRIM = 2
MARGIN = 112  # pixels put around the photograph: room for shoulders that move aside


def pad_photograph(image: np.ndarray, margin: int = MARGIN) -> np.ndarray:
    """Continues a photograph beyond its edges: its border repeated, and blurred more the farther out."""
    inner = image[TRIM:-TRIM, TRIM:-TRIM]  # the outermost pixels often hold a dark or bright rim
    padded = cv2.copyMakeBorder(inner, *(margin + TRIM,) * 4, cv2.BORDER_REPLICATE)
    inside = np.zeros(padded.shape[:2], np.uint8)
    inside[margin:-margin, margin:-margin] = 1
    away = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    out = padded.astype(np.float32)
    for start, sigma in ((2, 2.0), (8, 5.0), (20, 10.0)):
        weight = np.clip((away - start) / 8, 0, 1)[..., None]
        out = out * (1 - weight) + cv2.GaussianBlur(padded, (0, 0), sigma).astype(np.float32) * weight
    return np.clip(out + 0.5, 0, 255).astype(np.uint8)


def fill_holes(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fills unknown pixels smoothly from the known ones (pull and push over a pyramid).

    Args:
        values: (H, W, C) float32.
        known: (H, W) weights from 0 to 1.
    """
    weights = known[..., None].astype(np.float32)
    pyramid = [(values * weights, weights)]
    while min(pyramid[-1][0].shape[:2]) > 2:
        colour, weight = pyramid[-1]
        half = (max(1, (colour.shape[1] + 1) // 2), max(1, (colour.shape[0] + 1) // 2))
        smaller = cv2.resize(np.dstack([colour, weight]), half, interpolation=cv2.INTER_AREA)
        pyramid.append((smaller[..., :-1], smaller[..., -1:]))
    colour, weight = pyramid[-1]
    filled = colour / np.maximum(weight, 1e-6)
    for colour, weight in pyramid[-2::-1]:
        above = cv2.resize(filled, colour.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        above = above.reshape(colour.shape)
        sure = np.clip(weight * 4, 0, 1)
        filled = sure * colour / np.maximum(weight, 1e-6) + (1 - sure) * above
    return filled


def polygon_mask(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) float32 from 0 to 1, antialiased, of a polygon (N, 2), its outline included."""
    mask = np.zeros(shape, np.uint8)
    points = np.round(polygon * 16).astype(np.int32)
    cv2.fillPoly(mask, [points], 255, lineType=cv2.LINE_AA, shift=4)
    return mask.astype(np.float32) / 255


def line_mask(line: np.ndarray, shape: tuple[int, int], thickness: float, blur: float) -> np.ndarray:
    """(H, W) float32 from 0 to 1: a soft polyline (N, 2) without its end points."""
    mask = np.zeros(shape, np.uint8)
    points = np.round(line * 16).astype(np.int32)
    thick = max(1, round(thickness))
    cv2.polylines(mask, [points[1:-1]], False, 255, thick, cv2.LINE_AA, shift=4)
    return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), max(blur, 0.3))


def sample(image: np.ndarray, places: np.ndarray, how: int = cv2.INTER_LINEAR) -> np.ndarray:
    """The image at places (H, W, 2) of its own pixels, mirrored beyond its edges."""
    places = places.astype(np.float32, copy=False)
    return cv2.remap(image, places[..., 0], places[..., 1], how, borderMode=cv2.BORDER_REFLECT_101)


class PersonSegmenter:
    """The person in a photograph, by MediaPipe's selfie segmentation."""

    def __init__(self) -> None:
        """Loads the network."""
        import mediapipe as mp

        self._network = mp.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(H, W) float32 from 0 to 1, its edge drawn to the photograph's."""
        mask = self._network.process(image).segmentation_mask
        if mask is None:
            return np.ones(image.shape[:2], np.float32)
        guide = image.astype(np.float32) / 255
        fine = cv2.ximgproc.guidedFilter(guide, mask.astype(np.float32), 6, 1e-3)
        return np.clip((fine - 0.25) / 0.5, 0, 1).astype(np.float32)
