"""Square views of a picture around a face, and how they follow a face through a video.

Pixel convention, here and in all of ``headgen.faces``: the centre of the first pixel is (0, 0), as in
OpenCV, so that landmarks can be handed to ``cv2.remap`` as they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

BORDERS = {"replicate": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT_101}

# FaceMesh indices whose place does not depend on jaw, lips or brows.
EYE_CORNERS = (33, 133, 362, 263)
NOSE_BASE = 2
TEMPLES = (127, 356)

# Lengths of the mean face in units of its outer-eye distance |33-263|.
EYES_TO_NOSE_BASE = 0.58
FACE_HEIGHT = 1.97  # forehead (10) to chin (152), mouth closed

PORTRAIT_FACE = 0.55  # forehead-to-chin as a share of the side
VIDEO_FACE = 0.62


@dataclass(frozen=True)
class Crop:
    """A square region of a picture, possibly turned, possibly reaching beyond the border.

    Attributes:
        cx: centre, x in picture pixels.
        cy: centre, y in picture pixels.
        side: side in picture pixels.
        angle: degrees from the picture's x axis to the crop's x axis; positive turns clockwise as seen.
    """

    cx: float
    cy: float
    side: float
    angle: float = 0.0

    def __post_init__(self) -> None:
        """Refuses squares without an area."""
        if not (self.side > 0 and np.isfinite([self.cx, self.cy, self.side, self.angle]).all()):
            raise ValueError(f"a crop needs finite numbers and a positive side, got {self}")

    def snapped(self) -> Crop:
        """The nearest upright crop whose edges lie between pixels: drawn at its own side it copies them."""
        side = max(1, round(self.side))
        x0, y0 = round(self.cx - (side - 1) / 2), round(self.cy - (side - 1) / 2)
        return Crop(x0 + (side - 1) / 2, y0 + (side - 1) / 2, side)

    def matrix(self, size: int) -> np.ndarray:
        """The affine map (2, 3), float64, from picture pixels to pixels of the crop drawn at ``size``."""
        turn = np.deg2rad(self.angle)
        linear = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) * (size / self.side)
        shift = (size - 1) / 2 - linear @ [self.cx, self.cy]
        return np.hstack([linear, shift[:, None]])

    def take(
        self, image: np.ndarray, size: int, border: Literal["replicate", "reflect"] = "replicate"
    ) -> np.ndarray:
        """Draws the crop.

        Args:
            image: (H, W) or (H, W, C), uint8 or float32.
            size: side of the result in pixels.
            border: what continues the picture beyond its edge.

        Returns:
            (size, size) or (size, size, C) of the same type. Shrinking averages over the area it replaces;
            enlarging is bicubic.
        """
        matrix = self.matrix(size)
        shrink = int(self.side / size + 1e-6)
        if shrink > 1:
            image, reduce = self._reduce(image, shrink)
            # reduce maps picture pixels to the smaller picture's: undo it before the crop's own map
            full = np.vstack([reduce, [0, 0, 1]])
            matrix = matrix @ np.linalg.inv(full)
        how = cv2.INTER_CUBIC if self.side < size * 1.001 else cv2.INTER_LINEAR
        return cv2.warpAffine(image, matrix, (size, size), flags=how, borderMode=BORDERS[border])

    def _reduce(self, image: np.ndarray, shrink: int) -> tuple[np.ndarray, np.ndarray]:
        """The part of the picture under the crop, ``shrink`` times smaller, and the (2, 3) map to it."""
        x0, y0, x1, y1 = self.box(image.shape)
        x0, y0 = max(0, x0 - 2 * shrink), max(0, y0 - 2 * shrink)
        x1, y1 = min(image.shape[1], x1 + 2 * shrink), min(image.shape[0], y1 + 2 * shrink)
        if x1 <= x0 or y1 <= y0:  # beside the picture altogether: keep the nearest edge
            x0, y0, x1, y1 = 0, 0, image.shape[1], image.shape[0]
        width, height = -(-(x1 - x0) // shrink), -(-(y1 - y0) // shrink)
        small = cv2.resize(image[y0:y1, x0:x1], (width, height), interpolation=cv2.INTER_AREA)
        sx, sy = width / (x1 - x0), height / (y1 - y0)
        return small, np.array([[sx, 0, (0.5 - x0) * sx - 0.5], [0, sy, (0.5 - y0) * sy - 0.5]])

    def box(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1), end exclusive: the pixels of a picture of ``shape`` that the crop can touch."""
        turn = np.deg2rad(self.angle)
        half = self.side / 2 * (abs(np.cos(turn)) + abs(np.sin(turn)))
        x0, y0 = np.floor([self.cx - half, self.cy - half]).astype(int)
        x1, y1 = np.ceil([self.cx + half, self.cy + half]).astype(int) + 1
        return max(0, int(x0)), max(0, int(y0)), min(shape[1], int(x1)), min(shape[0], int(y1))

    def to_crop(self, points: np.ndarray, size: int) -> np.ndarray:
        """Maps points (..., 2) or (..., 3) of the picture to the crop drawn at ``size``, z scaled too."""
        return _transform(points, self.matrix(size), size / self.side)

    def to_picture(self, points: np.ndarray, size: int) -> np.ndarray:
        """Maps points (..., 2) or (..., 3) of the crop drawn at ``size`` back to the picture."""
        return _transform(points, cv2.invertAffineTransform(self.matrix(size)), self.side / size)


def _transform(points: np.ndarray, matrix: np.ndarray, scale: float) -> np.ndarray:
    points = np.asarray(points)
    out = points[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    if points.shape[-1] == 3:
        out = np.concatenate([out, points[..., 2:] * scale], -1)
    return out.astype(np.float32)


def face_scale(landmarks: np.ndarray) -> float:
    """The face's size: its outer-eye distance in pixels as it would be seen from the front.

    Made of distances in depth too, between points that neither mouth nor brows move.

    Args:
        landmarks: (478, 3) or (468, 3).
    """
    eyes = np.linalg.norm(landmarks[33] - landmarks[263])
    drop = np.linalg.norm(landmarks[list(EYE_CORNERS)].mean(0) - landmarks[NOSE_BASE])
    return float(0.5 * (eyes + drop / EYES_TO_NOSE_BASE))


def _head_centre(landmarks: np.ndarray) -> np.ndarray:
    """(2,) a point between hair and chin that stays in the middle of the head when it turns."""
    eyes = landmarks[list(EYE_CORNERS), :2].mean(0)
    temples = landmarks[list(TEMPLES), :2].mean(0)
    return 0.5 * (eyes + temples) + 0.45 * (landmarks[NOSE_BASE, :2] - eyes)


def portrait_crop(landmarks: np.ndarray, scale: float = 1.0, face: float = PORTRAIT_FACE) -> Crop:
    """The upright square around a face, with hair and some neck.

    Args:
        landmarks: (478, 3) in picture pixels.
        scale: side relative to the usual one.
        face: share of the usual side from forehead to chin, mouth closed.

    Returns:
        A crop that keeps its side when the mouth opens and, nearly, when the head turns.
    """
    side = face_scale(landmarks) * FACE_HEIGHT / face * scale
    cx, cy = _head_centre(landmarks)
    return Crop(float(cx), float(cy), float(side))


class VideoCropper:
    """Follows a face with a square that stands still whenever it can.

    The square moves only when the face's centre has drifted from the middle by more than ``slack`` sides, and
    changes its side only when the face has grown or shrunk by more than ``size_slack``; both movements are
    spread over ``look_ahead`` frames on either side. A frame without a face keeps the square.

    Streaming: ``push`` every frame's landmarks, take the crops that come back in order, ``flush`` at the end.
    A crop comes ``look_ahead`` frames after its frame.
    """

    def __init__(
        self,
        face: float = VIDEO_FACE,
        scale: float = 1.0,
        look_ahead: int = 12,
        slack: float = 0.12,
        size_slack: float = 0.25,
    ) -> None:
        """Sets the framing.

        Args:
            face: share of the side from forehead to chin.
            scale: side relative to that.
            look_ahead: frames, at least 0.
            slack: how far the face may leave the middle, as a share of the side.
            size_slack: relative change of the face's size that is let pass.
        """
        self.face, self.scale, self.look_ahead = face, scale, look_ahead
        self.slack, self.size_slack = slack, size_slack
        weights = np.hanning(2 * look_ahead + 3)[1:-1]
        self._weights = weights / weights.sum()
        self._opening: list[np.ndarray | None] = []  # frames before the first square is decided
        self._place: np.ndarray | None = None  # (cx, cy, log side) now
        self._window: deque[np.ndarray] = deque(maxlen=2 * look_ahead + 1)
        self._owed = 0

    def push(self, landmarks: np.ndarray | None) -> list[Crop]:
        """Adds a frame: landmarks (478, 3), or None without a face. Returns the crops that are ready."""
        target = None if landmarks is None else self._target(landmarks)
        if self._place is not None:
            return self._follow(target)
        self._opening.append(target)
        seen = [t for t in self._opening if t is not None]
        # the first face and the frames around it place the first square
        if len(self._opening) <= self.look_ahead or not seen:
            return []
        return self._begin(seen)

    def flush(self) -> list[Crop]:
        """Returns the crops still owed; a video without any face owes none. The cropper can start again."""
        out: list[Crop] = []
        if self._place is None:
            seen = [t for t in self._opening if t is not None]
            if seen:
                out += self._begin(seen)
        if self._place is not None:
            last = self._window[-1]
            while self._owed:
                out += self._step(last, new=False)
        self._opening, self._place, self._owed = [], None, 0
        self._window.clear()
        return out

    def _target(self, landmarks: np.ndarray) -> np.ndarray:
        crop = portrait_crop(landmarks, self.scale, self.face)
        return np.array([crop.cx, crop.cy, np.log(crop.side)])

    def _begin(self, seen: list[np.ndarray]) -> list[Crop]:
        self._place = np.median(seen, 0)
        for _ in range(self.look_ahead):
            self._window.append(self._place)
        opening, self._opening = self._opening, []
        return [crop for target in opening for crop in self._follow(target)]

    def _follow(self, target: np.ndarray | None) -> list[Crop]:
        assert self._place is not None
        if target is not None:
            reach = self.slack * np.exp(self._place[2])
            limit = np.array([reach, reach, np.log1p(self.size_slack)])
            self._place = np.clip(self._place, target - limit, target + limit)
        return self._step(self._place, new=True)

    def _step(self, place: np.ndarray, *, new: bool) -> list[Crop]:
        self._window.append(place)
        self._owed += new
        if len(self._window) < 2 * self.look_ahead + 1:
            return []
        self._owed -= 1
        cx, cy, log_side = self._weights @ np.array(self._window)
        return [Crop(float(cx), float(cy), float(np.exp(log_side)))]


def video_crop(track: Iterable[np.ndarray | None], **options: float) -> Iterator[Crop]:
    """One crop per frame of a landmark track: `VideoCropper` as a generator.

    Args:
        track: (478, 3) landmarks per frame, None where there is no face.
        **options: those of `VideoCropper`.
    """
    cropper = VideoCropper(**options)  # type: ignore[arg-type]
    for landmarks in track:
        yield from cropper.push(landmarks)
    yield from cropper.flush()
