"""The driver of a reenactment, frame by frame: a video that is tracked, or a motion that was saved before.

A saved motion (``headgen save-motion``) holds what the tracker saw, not the pictures: it is small, shows
nobody, and moves a photograph to the bit as the video does that it was taken of.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from headgen.errors import InputError
from headgen.faces.crop import Crop, VideoCropper
from headgen.faces.mesh import N_LANDMARKS
from headgen.faces.portrait import check_size
from headgen.faces.smoothing import NOISE, POSE_NOISE, LandmarkSmoother
from headgen.faces.tracker import MediaPipeTracker, Track
from headgen.media.output import check_output, replacing
from headgen.media.tensors import write_tensors
from headgen.media.video import Frame, VideoReader
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = [
    "MOTION_SUFFIX",
    "NO_PICTURE",
    "Driver",
    "DrivingFrame",
    "followed",
    "looked_through",
    "no_driver",
    "open_driver",
    "save_motion",
]

logger = logging.getLogger(__name__)

MOTION_SUFFIX = ".safetensors"
"""Ending of saved motions."""
KIND = "headgen motion 1"
"""What a saved motion says that it is."""
NO_PICTURE = np.zeros((0, 0, 3), np.uint8)
"""In the place of a driving frame's picture that nobody needs."""


@dataclass(frozen=True)
class DrivingFrame:
    """What an engine is told of one driving frame."""

    landmarks: NDArray[np.float64] | None
    """(478, 3) smoothed, in pixels of the driving video; None as long as no face has been seen."""
    image: NDArray[np.uint8]
    """Of no size where the driver is a saved motion, or nobody looks at it."""
    crop: Crop | None
    """Steady square around the driver's face, for engines that look at pixels."""


@dataclass(frozen=True)
class Tracked:
    """One frame of a driver as it was tracked."""

    index: int
    time: Fraction
    """Seconds since the first frame."""
    image: NDArray[np.uint8]
    track: Track | None


class Driver(Protocol):
    """Frames with tracked faces; use as a context manager."""

    path: Path
    fps: Fraction
    """Nominal frames per second."""
    frames: int | None
    """How many, an estimate; None if the file does not say."""
    time_base: Fraction
    """Every frame's time is a multiple of it, in seconds."""
    has_audio: bool
    has_pictures: bool

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def tracked(self, step: int = 1) -> Iterator[Tracked]:
        """Every `step`-th frame, from the beginning."""


def open_driver(path: Path) -> Driver:
    """The driver in a file.

    Args:
        path: a video, or a saved motion by its ending `MOTION_SUFFIX`.

    Raises:
        InputError: it is neither, or damaged.
    """
    return _Saved(path) if path.suffix.lower() == MOTION_SUFFIX else _Filmed(path)


class _Filmed:
    """A video."""

    has_pictures = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = VideoReader(path)
        info = self._reader.info
        self.fps, self.frames, self.time_base = info.fps, info.frames, info.time_base
        self.has_audio = info.has_audio
        self._tracker = MediaPipeTracker()
        self._coming: Generator[Frame] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._reader.close()
        self._tracker.close()

    def _stop(self) -> None:
        """Ends the running iteration."""
        if self._coming is not None:
            self._coming.close()
            self._coming = None

    def tracked(self, step: int = 1) -> Iterator[Tracked]:
        """See `Driver`."""
        self._stop()
        self._tracker.reset()
        self._coming = _ahead(self._reader.every(step))
        for item in self._coming:
            yield Tracked(item.index, item.time, item.image, self._tracker.track(item.image))


def _ahead(frames: Iterator[Frame]) -> Generator[Frame]:
    """The same frames; one is decoded while the one before is looked at."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, frames, None)
        while (frame := coming.result()) is not None:
            coming = thread.submit(next, frames, None)
            yield frame


class _Saved:
    """A motion that was saved."""

    has_audio = has_pictures = False

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise InputError(f"{path}: no such file; give a video or a saved motion")
        try:
            with safe_open(path, "np") as file:
                told = json.loads((file.metadata() or {})["motion"])
                self._landmarks, self._ticks = file.get_tensor("landmarks"), file.get_tensor("ticks")
            self.fps, self.time_base = Fraction(told["fps"]), Fraction(told["time_base"])
            right = told["kind"] == KIND and self._landmarks.shape == (len(self._ticks), N_LANDMARKS, 3)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, ZeroDivisionError):
            right = False
        if not right:
            raise InputError(f"{path}: is no saved motion; make one with: headgen save-motion")
        self.frames: int | None = len(self._ticks)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def tracked(self, step: int = 1) -> Iterator[Tracked]:
        """See `Driver`."""
        for k in range(0, len(self._ticks), step):
            points = self._landmarks[k]
            track = Track(points, 1) if np.isfinite(points).all() else None
            yield Tracked(k, int(self._ticks[k]) * self.time_base, NO_PICTURE, track)


def save_motion(driving: Path, output: Path, *, progress: ProgressCallback | None = None) -> Path:
    """Saves the motion of a driving video, to move photographs with it again.

    Args:
        driving: a video that shows a face.
        output: the motion to be written (.safetensors); 6 kB a frame.
        progress: called after every frame.

    Returns:
        The output.

    Raises:
        InputError: a file that cannot be used, or no face in it.
    """
    driving, output = Path(driving), Path(output)
    check_output(output, suffixes=[MOTION_SUFFIX], inputs=[driving])
    nobody = np.full((N_LANDMARKS, 3), np.nan, np.float32)
    landmarks, ticks = [], []
    with _Filmed(driving) as driver:
        for item in driver.tracked():
            landmarks.append(nobody if item.track is None else item.track.landmarks.astype(np.float32))
            ticks.append(int(item.time / driver.time_base))
            if progress is not None:
                progress(ProgressEvent("look at the driver", item.index + 1, driver.frames))
        told = {"kind": KIND, "fps": str(driver.fps), "time_base": str(driver.time_base)}
    tracks = np.stack(landmarks)
    seen = np.isfinite(tracks).all((1, 2))
    if not seen.any():
        raise no_driver(driving)
    check_size(driving, Track(tracks[seen][0], 1))
    with replacing(output) as part:
        write_tensors(
            part, {"landmarks": tracks, "ticks": np.array(ticks, np.int64)}, {"motion": json.dumps(told)}
        )
    return output


def looked_through(
    driver: Driver, step: int, stage: str, progress: ProgressCallback | None
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.uint8]]]:
    """Landmarks, not smoothed, and picture of every `step`-th driving frame that shows a face."""
    for item in driver.tracked(step):
        if progress is not None:
            progress(ProgressEvent(stage, item.index + 1, driver.frames))
        if item.track is not None:
            yield item.track.landmarks, item.image


def followed(driver: Driver, with_crops: bool, smoothing: float) -> Iterator[tuple[DrivingFrame, Fraction]]:
    """Driving frames with smoothed landmarks and, if wanted, steady crops, in order.

    Args:
        driver: whose frames.
        with_crops: whether crops are wanted.
        smoothing: strength; 1 is made for the tracker's noise, 0 leaves the landmarks as they are.

    Raises:
        InputError: at the end, no face was found; or it is too small.
    """
    smoother = _smoother(smoothing)
    cropper = VideoCropper() if with_crops else None
    waiting: deque[tuple[NDArray[np.uint8], Fraction]] = deque()
    smoothed: deque[NDArray | None] = deque()
    crops: deque[Crop | None] = deque()
    seen = told = False

    def ready() -> Iterator[tuple[DrivingFrame, Fraction]]:
        while waiting and smoothed and (cropper is None or crops):
            image, moment = waiting.popleft()
            yield DrivingFrame(smoothed.popleft(), image, crops.popleft() if cropper else None), moment

    for item in driver.tracked():
        track = item.track
        landmarks = None if track is None else track.landmarks
        if track is not None and not seen:
            check_size(driver.path, track)
            seen = True
        if track is not None and track.n_faces > 1 and not told:
            logger.warning("%s: %d faces were found, the largest is followed", driver.path, track.n_faces)
            told = True
        if not seen:
            yield DrivingFrame(None, item.image, None), item.time
            continue
        waiting.append((item.image, item.time))
        smoothed.extend(smoother.push(landmarks))
        if cropper:
            crops.extend(cropper.push(landmarks))
        yield from ready()
    if not seen:
        raise no_driver(driver.path)
    smoothed.extend(smoother.flush())
    if cropper:
        crops.extend(cropper.flush())
    yield from ready()


def _smoother(strength: float) -> LandmarkSmoother:
    if strength == 0:
        return LandmarkSmoother(window=0)
    return LandmarkSmoother(noise=strength * NOISE, pose_noise=strength * POSE_NOISE)


def no_driver(path: Path) -> InputError:
    """What to tell where no frame shows a face."""
    return InputError(
        f"{path}: no face was found in any frame of this video; use one that shows a face from the front"
    )
