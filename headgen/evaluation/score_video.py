"""Figures of one output video, gathered while its frames pass: nothing holds a whole video."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from headgen.errors import InputError
from headgen.evaluation.face_motion import landmark_distances, placement
from headgen.evaluation.face_texture import Face, colour_difference, sharpness, softened, texture_ssim
from headgen.evaluation.face_trace import FaceTrace
from headgen.evaluation.feature_extractors import CLIP_FRAMES, I3D, FilterBank, Identity, Inception
from headgen.evaluation.feature_metrics import FeatureSet, aed, csim, frechet, kernel_distance
from headgen.evaluation.image_metrics import l1, ms_ssim, psnr, ssim, to_batch
from headgen.evaluation.perceptual import LPIPS, Backbone
from headgen.evaluation.temporal_metrics import TemporalMeter
from headgen.media.video import Frame
from headgen.nn.precision import resolve_device

__all__ = ["THUMBS", "FeatureSets", "Judges", "VideoScore", "in_step", "thumbnail"]

COMPARED = 256
"""Longest side in pixels at which pictures are compared with the true ones, as papers on reenactment do."""
LOOKS = 24
"""Frames of a video whose skin is compared, at most; it is the slowest part."""
PIXEL_LOOKS = 32
"""Frames that are compared with the true ones, at most."""
FLOWS = 60
"""Pairs of frames that are followed by optical flow, at most."""
BATCH = 8
THUMBS, THUMB_HEIGHT = 24, 144
"""Frames and pixels of the small pictures for reports."""


@dataclass
class Judges:
    """Networks that some metrics need, and where they run.

    Attributes:
        lpips: see `headgen.evaluation.perceptual`; None where no weights were given, likewise below.
        inception: see `headgen.evaluation.feature_extractors`.
        i3d: likewise.
        identity: likewise.
        device: of pictures and networks.
    """

    lpips: LPIPS | None = None
    inception: Inception | None = None
    i3d: I3D | None = None
    identity: Identity | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    filters: FilterBank = field(default_factory=FilterBank)

    @classmethod
    def load(
        cls,
        lpips: Path | None,
        lpips_backbone: Backbone,
        inception: Path | None,
        i3d: Path | None,
        identity: Path | None,
        device: str,
    ) -> Judges:
        """Loads those whose weights are given.

        Raises:
            WeightsError: a file is missing or something else.
        """
        where = resolve_device(device)
        return cls(
            None if lpips is None else LPIPS.load(lpips, lpips_backbone).to(where),
            None if inception is None else Inception(inception, where),
            None if i3d is None else I3D(i3d, where),
            None if identity is None else Identity(identity, where),
            where,
        )


class FeatureSets:
    """Features of all frames and clips of one system, for the figures of whole sets.

    Args:
        judges: what describes pictures.
        seed: of the samples that are kept.
    """

    def __init__(self, judges: Judges, seed: int) -> None:
        self._judges, self._seed = judges, seed
        rngs = np.random.default_rng(seed).spawn(3)
        self.filters, self.inception, self.i3d = (FeatureSet(rng) for rng in rngs)

    def add_pictures(self, images: torch.Tensor) -> None:
        """Takes pictures (N, 3, H, W) in [0, 1]."""
        self.filters.add(self._judges.filters(images).cpu().numpy())
        if self._judges.inception is not None:
            self.inception.add(self._judges.inception(images).float().cpu().numpy())

    def add_clip(self, images: torch.Tensor) -> None:
        """Takes a clip (CLIP_FRAMES, 3, H, W) in [0, 1]."""
        if self._judges.i3d is not None:
            self.i3d.add(self._judges.i3d(images.transpose(0, 1)[None]).float().cpu().numpy())

    def against(self, truth: FeatureSets) -> dict[str, float]:
        """``filter_frechet`` and, where there are weights, ``fid``, ``kid`` and ``fvd``."""
        found = {"filter_frechet": frechet(truth.filters, self.filters)}
        if self._judges.inception is not None:
            found["fid"] = frechet(truth.inception, self.inception)
            rng = np.random.default_rng(self._seed)
            found["kid"], _ = kernel_distance(truth.inception, self.inception, rng)
        if self._judges.i3d is not None:
            found["fvd"] = frechet(truth.i3d, self.i3d)
        return found


class VideoScore:
    """Figures of one video.

    Args:
        source: the portrait that should be shown.
        frames: how many are expected, so that those looked at are spread over the video.
        judges: networks.
        sets: features of the system's videos; None if no set is compared.
    """

    def __init__(self, source: Face, frames: int, judges: Judges, sets: FeatureSets | None = None) -> None:
        self._source, self._judges, self._sets = source, judges, sets
        self._skin, self._pixels, self._thumb = (max(1, frames // n) for n in (LOOKS, PIXEL_LOOKS, THUMBS))
        self._meter = TemporalMeter(max(1, frames // FLOWS))
        self._place: NDArray[np.float64] | None = None
        self._rows: dict[str, list[float]] = {}
        self._waiting: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
        self._clip: list[NDArray[np.uint8]] = []
        self._own: NDArray | None = None
        self.trace = FaceTrace()
        self.thumbs: list[NDArray[np.uint8]] = []

    def push(
        self,
        image: NDArray[np.uint8],
        landmarks: NDArray | None,
        truth: NDArray[np.uint8] | None = None,
        true_landmarks: NDArray | None = None,
    ) -> None:
        """Takes the next frame.

        Args:
            image: (H, W, 3) RGB of the output.
            landmarks: (478, 3) of its face; None without one.
            truth: the true frame, any size; None where there is none.
            true_landmarks: of its face.
        """
        k = len(self.trace)
        self.trace.add(landmarks)
        if k % self._thumb == 0 and len(self.thumbs) < THUMBS:
            self.thumbs.append(thumbnail(image))
        self._meter.push(image, landmarks)
        if landmarks is not None and k % self._skin == 0:
            self._look_at_skin(image, landmarks, truth, true_landmarks)
        if truth is not None and self._place is None and k == 0:
            self._place = placement(true_landmarks, landmarks, truth.shape, image.shape)
        if truth is not None and landmarks is not None and true_landmarks is not None:
            assert self._place is not None
            self._add("akd", landmark_distances(true_landmarks, landmarks, self._place))
        if k % self._pixels == 0:
            shown = image if truth is None else self._fitted(truth, image.shape)
            self._waiting.append((reduced(shown), reduced(image)))
            if len(self._waiting) == BATCH:
                self._compare(truth is not None)
        if self._judges.i3d is not None and self._sets is not None:
            self._clip.append(cv2.resize(image, (COMPARED, COMPARED), interpolation=cv2.INTER_AREA))
            if len(self._clip) == CLIP_FRAMES:
                self._sets.add_clip(to_batch(self._clip, self._judges.device))
                self._clip = []
        self._with_truth = truth is not None

    def figures(self) -> dict[str, float | None]:
        """What was found; None where nothing could be measured.

        ``face_fraction``: share of the frames in which the tracker found a face, 0 to 1, higher is better.
        All others as in `headgen.evaluation.metric_table`; those that need the driver are made of `trace`.
        """
        if self._waiting:
            self._compare(self._with_truth)
        seen = self.trace.seen
        sharp = self._rows.pop("sharpness", [])
        return {
            "face_fraction": float(seen.mean()) if len(seen) else None,
            "sharpness": statistics.median(sharp) if sharp else None,
            **{name: float(np.mean(values)) for name, values in self._rows.items()},
            **self._meter.figures(),
        }

    def _add(self, name: str, value: float | None) -> None:
        if value is not None:
            self._rows.setdefault(name, []).append(value)

    def _look_at_skin(
        self,
        image: NDArray[np.uint8],
        landmarks: NDArray,
        truth: NDArray[np.uint8] | None,
        true_landmarks: NDArray | None,
    ) -> None:
        face = Face(image, landmarks)
        self._add("texture_ssim", texture_ssim(self._source, face))
        self._add("colour_difference", colour_difference(self._source, face))
        self._add("sharpness", sharpness(self._source, face))
        if self._judges.identity is not None:
            if self._own is None:
                self._own = self._judges.identity(self._source.image, self._source.landmarks)
            shown = self._judges.identity(image, landmarks)
            self._add("csim", float(csim(self._own, shown)))
            if truth is not None and true_landmarks is not None:
                self._add("aed", float(aed(self._judges.identity(truth, true_landmarks), shown)))

    def _fitted(self, truth: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The true frame where the output shows it."""
        assert self._place is not None
        soft = softened(truth, 1 / self._place[0, 0])
        return cv2.warpAffine(soft, self._place, (shape[1], shape[0]), borderMode=cv2.BORDER_REPLICATE)

    def _compare(self, with_truth: bool) -> None:
        truths, outputs = (to_batch(list(x), self._judges.device) for x in zip(*self._waiting, strict=True))
        self._waiting = []
        if self._sets is not None:
            self._sets.add_pictures(outputs)
        if not with_truth:
            return
        metrics = {"l1": l1, "psnr": psnr, "ssim": ssim, "ms_ssim": ms_ssim}
        if self._judges.lpips is not None:
            metrics["lpips"] = self._judges.lpips
        with torch.inference_mode():
            for name, metric in metrics.items():
                for value in metric(truths, outputs).tolist():
                    if np.isfinite(value):
                        self._add(name, value)


def reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture of at most `COMPARED` pixels a side."""
    scale = COMPARED / max(image.shape[:2])
    return image if scale >= 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture of `THUMB_HEIGHT` pixels in height, and hardly more in width."""
    height, width = image.shape[:2]
    wide = min(round(width * THUMB_HEIGHT / height), 2 * THUMB_HEIGHT)
    return cv2.resize(image, (max(2, wide), THUMB_HEIGHT), interpolation=cv2.INTER_AREA)


def in_step(
    drivers: Iterator[Frame], outputs: Iterator[Frame], same_count: bool, tick: Fraction, path: Path
) -> Iterator[tuple[Frame, Frame]]:
    """Every driving frame with the output's frame of the same number, or of the same time.

    Args:
        drivers: frames of the driving video.
        outputs: frames of the output.
        same_count: whether both hold as many, so that numbers can be trusted where rates differ.
        tick: seconds between two of the output's frames.
        path: the output, for messages.

    Raises:
        InputError: the output has no frame.
    """
    shown = next(outputs, None)
    if shown is None:
        raise InputError(f"{path}: has no frames; make it again")
    following = next(outputs, None)
    for driver in drivers:
        while following is not None and (
            following.index <= driver.index if same_count else following.time <= driver.time + tick / 2
        ):
            shown, following = following, next(outputs, None)
        yield driver, shown
