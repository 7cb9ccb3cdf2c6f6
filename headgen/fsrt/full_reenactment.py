"""The full-size FSRT at work on real photographs and videos: crops, motion, pixels, detail, paste-back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from headgen.errors import InputError
from headgen.faces.crop import VIDEO_FACE, portrait_crop
from headgen.faces.detail import DetailTransfer
from headgen.faces.paste import Paster
from headgen.faces.retarget import RetargetOptions
from headgen.faces.tracker import MediaPipeTracker
from headgen.fsrt.full_engine import EnginePrecision, FullEngine
from headgen.fsrt.model import FSRT
from headgen.nn.kept import kept

if TYPE_CHECKING:
    from headgen.faces.driving import DrivingFrame
    from headgen.faces.portrait import Portrait

NETWORK_SIZE = 256
LARGEST_CROP = 768
"""Side of the crop, in pixels, up to which detail is transferred."""


class FullReenactment:
    """Reenacts with `FullEngine`: key points and expression come from the driver's pixels.

    Args:
        engine: the networks.
        options: what is transferred and how strongly; the expression vector of this model cannot be divided
            into eyes and lips.

    Raises:
        InputError: an option that this model cannot follow.
    """

    looks_at_pixels = True
    parallel, chunk = 1, 4  # its decoder keeps all cores busy with one frame

    def __init__(self, engine: FullEngine, options: RetargetOptions) -> None:
        self.engine = engine
        self.retune(options)

    def retune(self, options: RetargetOptions) -> None:
        """Transfers otherwise from now on.

        Raises:
            InputError: an option that this model cannot follow.
        """
        if options.region in ("eyes", "lips") or options.eyes != 1 or options.lips != 1:
            raise InputError(
                "the full-size FSRT moves the whole expression; use --model fsrt-small for eyes and lips on "
                "their own"
            )
        self.options = options

    @classmethod
    def load(
        cls, folder: Path, options: RetargetOptions, precision: EnginePrecision, device: str
    ) -> FullReenactment:
        """Loads converted weights (`headgen weights convert`)."""
        return cls(kept(_load_engine, folder, precision, device), options)

    def prepare(self, portraits: Sequence[Portrait], reference: DrivingFrame) -> None:
        """Encodes the sources and fixes the frame from which motion counts."""
        crops = [portrait_crop(p.landmarks, face=VIDEO_FACE) for p in portraits]
        pictures = np.stack([c.take(p.image, NETWORK_SIZE) for c, p in zip(crops, portraits, strict=True)])
        self._image, self._crop = portraits[0].image, crops[0]
        self._state = self.engine.encode(pictures)
        self._own, self._own_expression = self._state.keypoints[:1], self._state.expression[:1]
        if reference.crop is None:
            assert reference.landmarks is not None
            reference = replace(reference, crop=portrait_crop(reference.landmarks, face=VIDEO_FACE))
        self._first, _ = self.engine.motion(self._driver([reference]))
        self._scale = self.engine.movement_scale(self._own, self._first)
        side = self._side = int(np.clip(round(crops[0].side), NETWORK_SIZE, LARGEST_CROP))
        self._still = crops[0].take(portraits[0].image, side)
        self._detail = DetailTransfer(self._still, crops[0].to_crop(portraits[0].landmarks, side))
        self._paster = Paster(crops[0], portraits[0].image.shape[:2], side)
        self._tracker = MediaPipeTracker()

    @staticmethod
    def _driver(frames: Sequence[DrivingFrame]) -> NDArray[np.uint8]:
        crops = []
        for frame in frames:
            assert frame.crop is not None
            crops.append(frame.crop.take(frame.image, NETWORK_SIZE))
        return np.stack(crops)

    def render(self, frames: Sequence[DrivingFrame], whole: bool) -> list[NDArray[np.uint8]]:
        """The source with the frames' motion; as it is where there is no motion yet."""
        moving = [f for f in frames if f.crop is not None]
        drawn = iter(self._draw(moving) if moving else [])
        crops = [self._still if f.crop is None else next(drawn) for f in frames]
        return [self._paster.paste(self._image, crop) for crop in crops] if whole else crops

    def _draw(self, frames: Sequence[DrivingFrame]) -> list[NDArray[np.uint8]]:
        keypoints, expression = self.engine.motion(self._driver(frames))
        o = self.options
        if o.motion == "relative":
            keypoints = self._own + (keypoints - self._first) * (self._scale * o.multiplier)
        else:
            keypoints = self._own + (keypoints - self._own) * o.multiplier
        if o.region == "expression":
            keypoints = self._own.expand_as(keypoints).contiguous()
        if o.region == "pose":
            expression = self._own_expression.expand_as(expression).contiguous()
        pictures = self.engine.decode(self._state, keypoints, expression)
        return [self._sharpen(p) for p in np.clip(pictures * 255 + 0.5, 0, 255).astype(np.uint8)]

    def _sharpen(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Detail of the photograph, where a face is found in the generated frame; else the frame enlarged."""
        track = self._tracker.track(picture)
        if track is None:
            return cv2.resize(picture, (self._side, self._side), interpolation=cv2.INTER_CUBIC)
        return self._detail.apply(picture, track.landmarks)


def _load_engine(folder: Path, precision: EnginePrecision, device: str) -> FullEngine:
    return FullEngine(FSRT.from_pretrained(folder), precision, device)
