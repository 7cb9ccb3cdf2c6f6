"""The augmentations of FSRT's training (arXiv 2404.09736): a pair of frames becomes one training sample.

What each part of the model gets to see:

===================================== ============= ==============================================
picture                               colours       geometry
===================================== ============= ==============================================
``source``, ``target``                first jitter  window: the whole frame, or a part of it
``source_motion``, ``driving_motion`` second jitter whole frame
``driving_closeup``                   third jitter  box of the driving landmarks
===================================== ============= ==============================================

The encoder reads colours from ``source`` and is asked for ``target``; key points and expressions come from
the other pictures, whose colours and framing tell nothing of the target's. Key points are found on the whole
frame and then mapped into the window (`map_to_window`), where they may lie as far out as +-2.

Shapes: S sources, H x W the model's picture. Normalised coordinates: (x, y), a picture spans [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import cv2
import numpy as np
import torch
from torch import Tensor

from headgen.training.data import Pair

__all__ = [
    "KEYPOINT_LANDMARKS",
    "Augmentation",
    "ColourJitter",
    "Sample",
    "Window",
    "map_to_window",
    "normalise",
]

KEYPOINT_LANDMARKS = (1, 152, 61, 291, 33, 263, 234, 454, 10, 13)
"""Landmarks a key-point detector can be taught: nose, chin, mouth corners, eyes, cheeks, forehead, lip."""
KEYPOINT_MIRROR = (0, 1, 3, 2, 5, 4, 7, 6, 8, 9)
"""Which of them each becomes in a mirrored picture."""


class Sample(TypedDict):
    """What the loader collates (a leading B is added then). Pictures are uint8."""

    source: Tensor
    """(S, 3, H, W), for the encoder."""
    target: Tensor
    """(3, H, W), the driving frame to be predicted."""
    source_motion: Tensor
    """(S, 3, H, W), for key points and expression of the sources."""
    driving_motion: Tensor
    """(3, H, W), for key points and expression of the driving frame."""
    driving_closeup: Tensor
    """(3, H, W), for another look at the driving expression."""
    use_closeup: Tensor
    """() bool, whether the expression of the close-up goes to the decoder."""
    window: Tensor
    """(3,) float32: centre x, y and half side of the window, normalised coordinates of the whole frame."""
    source_points: Tensor
    """(S, 10, 2) float32, `KEYPOINT_LANDMARKS` of ``source_motion``, normalised."""
    driving_points: Tensor
    """(10, 2) float32, those of ``driving_motion``."""


@dataclass(frozen=True)
class Window:
    """A square part of a picture in its normalised coordinates; (0, 0, 1) is all of it."""

    x: float
    y: float
    half: float


def normalise(points: np.ndarray, size: int) -> np.ndarray:
    """Pixels of a square picture, (..., 2), to normalised coordinates; (0, 0) is a pixel's centre."""
    return (points + 0.5) * (2 / size) - 1


def map_to_window(keypoints: Tensor, window: Tensor) -> Tensor:
    """Key points of the whole frame in the normalised coordinates of a window.

    Args:
        keypoints: (B, ..., P, 2).
        window: (B, 3) centre x, y and half side.
    """
    shape = (-1,) + (1,) * (keypoints.ndim - 2)
    return (keypoints - window[:, :2].reshape(*shape, 2)) / window[:, 2].reshape(*shape, 1)


def take_window(image: np.ndarray, window: Window, size: int) -> np.ndarray:
    """The window of a picture (H, H, 3) uint8 as (size, size, 3); its border pixels repeat beyond it."""
    side = image.shape[0]
    if window == Window(0, 0, 1) and side == size:
        return image
    scale = size / (window.half * side)  # output pixels per input pixel
    if scale < 1:  # shrink first, with every pixel counted, so that nothing aliases
        side = max(size, round(side * scale))
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        scale = size / (window.half * side)
    left, top = (np.array([window.x, window.y]) - window.half + 1) * side / 2
    # cv2 puts pixel centres on whole numbers; ours lie at i + 0.5.
    matrix = np.array([[scale, 0, -scale * left], [0, scale, -scale * top]])
    matrix[:, 2] += 0.5 * scale - 0.5
    return cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


@dataclass(frozen=True)
class ColourJitter:
    """Random changes of colour; the defaults are the paper's."""

    brightness: float = 0.1
    """Factor in 1 +- this."""
    contrast: float = 0.1
    """Factor in 1 +- this, about the mean grey."""
    saturation: float = 0.1
    """Factor in 1 +- this."""
    hue: float = 0.1
    """Turn of the colour circle in +- this (1 is once around)."""

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """One setting (brightness, contrast, saturation, hue), to be applied to any number of pictures."""
        spread = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        return rng.uniform(-spread, spread) + (1, 1, 1, 0)

    @staticmethod
    def apply(image: np.ndarray, setting: np.ndarray) -> np.ndarray:
        """The changed picture, (H, W, 3) uint8 to uint8."""
        brightness, contrast, saturation, hue = setting
        x = np.minimum(image.astype(np.float32) * (brightness / 255), 1)
        mean = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY).mean()
        x = np.clip((x - mean) * contrast + mean, 0, 1)
        hsv = cv2.cvtColor(x, cv2.COLOR_RGB2HSV)  # hue in degrees, the others in [0, 1]
        hsv[..., 0] = (hsv[..., 0] + 360 * hue) % 360
        hsv[..., 1] = np.minimum(hsv[..., 1] * saturation, 1)
        return np.rint(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).astype(np.uint8)


def landmark_box(landmarks: np.ndarray, size: int) -> tuple[float, float, float]:
    """Centre x, y and half side of the smallest square around landmarks (N, 3) of a picture, normalised."""
    points = normalise(landmarks[:, :2], size)
    low, high = points.min(0), points.max(0)
    x, y = (low + high) / 2
    return float(x), float(y), float((high - low).max() / 2)


def draw_window(landmarks: np.ndarray, size: int, rng: np.random.Generator, limit: float = 2.0) -> Window:
    """A window around the source landmarks that may leave parts of the driving head outside.

    It lies within the picture, and no point of the picture falls beyond +-``limit`` of it: with c the larger
    coordinate of the centre, (1 + c) / half <= limit.
    """
    x, y, half = landmark_box(landmarks, size)
    half = float(np.clip(half * rng.uniform(1.0, 1.6), 1 / limit, 1))
    reach = min(1 - half, limit * half - 1)  # how far the centre may lie from the picture's
    x, y = np.clip([x, y] + rng.uniform(-0.1, 0.1, 2) * half, -reach, reach)
    return Window(float(x), float(y), half)


class Augmentation:
    """Turns a `Pair` into a `Sample`; a transform of `PairDataset`.

    Args:
        size: H = W of the sample's pictures, the model's ``image_size``.
        flip: probability of a mirrored sample.
        out_of_frame: probability of a window around the source landmarks instead of the whole frame.
        closeup: probability that the decoder gets the expression of the close-up.
        closeup_margin: side of the close-up as a multiple of the landmarks' box, which is squared so that no
            shape is distorted.
        jitter: the range of the three colour jitters.
    """

    def __init__(
        self,
        size: int = 256,
        *,
        flip: float = 0.5,
        out_of_frame: float = 0.5,
        closeup: float = 0.75,
        closeup_margin: float = 1.2,
        jitter: ColourJitter | None = None,
    ) -> None:
        self.size, self.flip, self.out_of_frame = size, flip, out_of_frame
        self.closeup, self.closeup_margin = closeup, closeup_margin
        self.jitter = ColourJitter() if jitter is None else jitter

    @classmethod
    def none(cls, size: int = 256) -> Augmentation:
        """The same pictures without any change, for validation."""
        return cls(size, flip=0, out_of_frame=0, closeup=0, jitter=ColourJitter(0, 0, 0, 0))

    def __call__(self, pair: Pair, rng: np.random.Generator) -> Sample:
        """Augments one pair; all randomness comes from ``rng``."""
        sources, driving = pair["source"], pair["driving"]
        source_landmarks, driving_landmarks = pair["source_landmarks"], pair["driving_landmarks"]
        side = driving.shape[0]
        source_points = normalise(source_landmarks[:, KEYPOINT_LANDMARKS, :2], side)
        driving_points = normalise(driving_landmarks[KEYPOINT_LANDMARKS, :2], side)
        if rng.random() < self.flip:
            sources, driving = sources[:, :, ::-1], driving[:, ::-1]
            mirror = np.array([-1, 1], np.float32)
            source_points = source_points[:, KEYPOINT_MIRROR] * mirror
            driving_points = driving_points[KEYPOINT_MIRROR, :] * mirror
            source_landmarks = source_landmarks * [-1, 1, 1] + [side - 1, 0, 0]
            driving_landmarks = driving_landmarks * [-1, 1, 1] + [side - 1, 0, 0]

        whole = Window(0, 0, 1)
        cropped = rng.random() < self.out_of_frame
        window = draw_window(source_landmarks[0], side, rng) if cropped else whole
        x, y, half = landmark_box(driving_landmarks, side)
        face = Window(x, y, half * self.closeup_margin)
        use_closeup = rng.random() < self.closeup
        first, second, third = (self.jitter.draw(rng) for _ in range(3))

        def view(image: np.ndarray, part: Window, setting: np.ndarray) -> Tensor:
            picture = take_window(np.ascontiguousarray(image), part, self.size)
            if self.jitter != ColourJitter(0, 0, 0, 0):
                picture = ColourJitter.apply(picture, setting)
            return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))

        return Sample(
            source=torch.stack([view(image, window, first) for image in sources]),
            target=view(driving, window, first),
            source_motion=torch.stack([view(image, whole, second) for image in sources]),
            driving_motion=view(driving, whole, second),
            driving_closeup=view(driving, face, third),
            use_closeup=torch.tensor(use_closeup),
            window=torch.tensor([window.x, window.y, window.half]),
            source_points=torch.from_numpy(source_points.astype(np.float32)),
            driving_points=torch.from_numpy(driving_points.astype(np.float32)),
        )
