"""What pictures do in time that no face asked for: flicker, warping error, frozen frames.

A `TemporalMeter` looks at frames as they come and keeps two of them.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from headgen.faces.mesh import OVAL

__all__ = ["TemporalMeter"]

SIZE = 256
"""Longest side at which frames are compared."""
HEAD_GROWTH = 1.6
"""The head with hair and neck over the oval of the face: what lies outside is background."""
LEAST_BACKGROUND = 0.02
"""Share of the picture under which its background is not judged."""
FROZEN_MEAN, FROZEN_SHARE, FROZEN_STEP = 0.1, 2e-4, 4
"""A frame repeats the one before if they differ by less on average, and by more than so many grey levels in a
smaller share of the pixels only: a lossy codec ripples that much."""
OCCLUDED = 1.0, 0.01
"""Pixels, and share of the flow, by which flows there and back may disagree before a pixel counts as covered
(Sundaram et al. 2010, for pictures of this size)."""


class TemporalMeter:
    """Measures a video frame by frame.

    Args:
        every: pairs of frames of which one is followed by optical flow, the slow part.
    """

    def __init__(self, every: int = 1) -> None:
        self._every = every
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._last: list[NDArray[np.uint8]] = []
        self._flicker: list[float] = []
        self._warping: list[float] = []
        self._frozen: list[bool] = []

    def push(self, image: NDArray[np.uint8], landmarks: NDArray | None) -> None:
        """Takes the next frame (H, W, 3) RGB and its landmarks (478, 3), None without a face."""
        longest = max(image.shape[:2])
        scale = min(1.0, SIZE / longest)
        small = (
            image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        )
        luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        if self._last:
            before = self._last[-1]
            apart = cv2.absdiff(before, luma)
            self._frozen.append(
                float(apart.mean()) < FROZEN_MEAN and float((apart > FROZEN_STEP).mean()) < FROZEN_SHARE
            )
            if len(self._frozen) % self._every == 0:
                self._warping.append(self._warping_error(before, luma))
        if len(self._last) == 2 and landmarks is not None:
            background = ~_head(landmarks * scale, luma.shape)
            if background.mean() > LEAST_BACKGROUND:
                a, b, c = (x.astype(np.float32) for x in (*self._last, luma))
                # of white noise of standard deviation s, the second difference has s sqrt(6)
                bend = (a - 2 * b + c)[background]
                self._flicker.append(float(np.sqrt((bend**2).mean() / 6)))
        self._last = [*self._last[-1:], luma]

    def figures(self) -> dict[str, float | None]:
        """What was found; None where nothing could be measured.

        - flicker: root mean square of the luma's second difference in time outside the head, as the standard
          deviation of the noise that would have it, in grey levels of 255; mean over frames. Our design after
          VBench's temporal flickering (Huang et al. 2024), which takes differences of whole pictures that
          stand still; second differences leave slow changes out, and the head may move. 0 or more, lower is
          better.
        - warping_error: mean absolute difference of a frame and the one before it, brought onto it by the
          optical flow between them (DIS, Kroeger et al. 2016), where nothing was covered, in grey levels of
          255; after Lai et al. 2018, who square it. Motion costs nothing, boiling and tearing do. 0 or more,
          lower is better.
        - frozen: share of the frames that repeat the one before, 0 to 1, best as in a real video: 0.
        """

        def mean(values: list[float]) -> float | None:
            return float(np.mean(values)) if values else None

        return {
            "flicker": mean(self._flicker),
            "warping_error": mean(self._warping),
            "frozen": mean([float(x) for x in self._frozen]),
        }

    def _warping_error(self, before: NDArray[np.uint8], now: NDArray[np.uint8]) -> float:
        back = self._flow.calc(now, before, None)
        there = self._flow.calc(before, now, None)
        height, width = now.shape
        grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
        place = grid + back
        brought = cv2.remap(before, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        returned = cv2.remap(there, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        least, share = OCCLUDED
        gap = ((back + returned) ** 2).sum(-1)
        allowed = least**2 + share * ((back**2).sum(-1) + (returned**2).sum(-1))
        inside = ((place >= 0) & (place <= [width - 1, height - 1])).all(-1)
        open_ = inside & (gap <= allowed)
        if not open_.any():
            return float(cv2.absdiff(brought, now).mean())
        return float(cv2.absdiff(brought, now)[open_].mean())


def _head(landmarks: NDArray, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    oval = landmarks[list(OVAL), :2]
    middle = oval.mean(0)
    points = np.round(middle + (oval - middle) * HEAD_GROWTH).astype(np.int32)
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [points], 1)
    chest = np.array([points[:, 0].min(), points[:, 1].max()]), np.array([points[:, 0].max(), shape[0]])
    mask[max(0, int(middle[1])) :, max(0, chest[0][0]) : max(0, chest[1][0])] = (
        1  # shoulders move with the head
    )
    return mask > 0
