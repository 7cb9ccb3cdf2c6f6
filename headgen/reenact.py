"""Reenact: one or more photographs of a person move like a driving video.

    source(s), driving video -> track faces -> encode the source once -> draw a few moments on trial, correct
    what deviates -> for each chunk of driving frames: retarget the landmarks, draw, place into the
    photograph, write

Nothing holds the whole video: frames wait only as long as the smoother looks ahead.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from headgen import hub
from headgen.errors import InputError, check_choices
from headgen.faces.crop import Crop, VideoCropper
from headgen.faces.portrait import Portrait, check_size, read_portrait
from headgen.faces.retarget import Motion, Region, RetargetOptions
from headgen.faces.smoothing import NOISE, POSE_NOISE, LandmarkSmoother
from headgen.faces.tracker import FaceTracker, MediaPipeTracker
from headgen.media import VideoReader, VideoWriter
from headgen.media.image import side_by_side
from headgen.media.output import check_output
from headgen.media.provenance import container_metadata, write_run_record
from headgen.media.video import VIDEO_SUFFIXES
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.scheduler import Planner, Result, Segment, Step, Transition, run

logger = logging.getLogger(__name__)

Start = Literal["first", "best"]
FrameMode = Literal["full", "crop"]
Precision = Literal["auto", "fp32", "bf16", "int8"]

_BEST_SAMPLE = 600  # driving frames looked at for the best start, at most
_SAMPLE = 120  # driving frames among which those are chosen that are drawn on trial, at most


@dataclass(frozen=True)
class DrivingFrame:
    """What an engine is told of one driving frame."""

    landmarks: NDArray[np.float64] | None
    """(478, 3) smoothed, in pixels of the driving video; None as long as no face has been seen."""
    image: NDArray[np.uint8]
    crop: Crop | None
    """Steady square around the driver's face, for engines that look at pixels."""


class Engine(Protocol):
    """A reenactment model, from photographs and driving frames to pictures."""

    looks_at_pixels: bool
    """Whether `DrivingFrame.crop` is needed."""
    parallel: int
    """How many calls of `render` may run at the same time, each on its share of the cores."""
    chunk: int
    """Frames to be given to one call of `render`."""

    def prepare(self, portraits: Sequence[Portrait], reference: DrivingFrame) -> None:
        """Encodes the sources; `reference` is the driving frame from which relative motion counts."""

    def render(self, frames: Sequence[DrivingFrame], whole: bool) -> list[NDArray[np.uint8]]:
        """The moving source: whole photographs (H, W, 3) uint8, or crops (side, side, 3) around the head."""


@runtime_checkable
class CalibratedEngine(Engine, Protocol):
    """An engine that can correct what it draws."""

    def calibrate(self, samples: Sequence[NDArray]) -> None:
        """Draws on trial, after `prepare`; `samples` are the driver's landmarks all over the video."""


@dataclass(frozen=True)
class Reenactment:
    """What `reenact` made."""

    output: Path
    """The video."""
    record: Path
    """The run record beside it."""
    frames: int
    """Frames written: as many as the driving video has."""
    fps: float
    """Nominal frames per second, the driving video's."""
    seconds: float
    """How long it took."""

    def __str__(self) -> str:
        """One line for people."""
        rate = self.frames / max(self.seconds, 1e-9)
        return f"{self.output}: {self.frames} frames in {self.seconds:.1f} s ({rate:.1f} a second)"


def reenact(
    source: list[Path],
    driving: Path,
    output: Path,
    *,
    model: str = "fsrt-small",
    motion: Motion = "relative",
    start: Start = "first",
    frame: FrameMode = "full",
    region: Region = "all",
    multiplier: float = 1.0,
    eyes: float = 1.0,
    lips: float = 1.0,
    smoothing: float = 1.0,
    face: int = 1,
    calibrate: bool = True,
    compare: bool = False,
    max_size: int = 1280,
    precision: Precision = "auto",
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Reenactment:
    """Makes photographs of a person move like a driving video.

    The output has the driving video's frames, times and sound. A run record, `OUTPUT.json`, is written
    beside it.

    Args:
        source: one photograph of the person, or several; the first one is what moves.
        driving: the video whose motion is taken over.
        output: the video to be written (.mp4, .mov or .mkv).
        model: name of the model, see `headgen weights list`.
        motion: `relative` adds the driver's changes to the source's own pose and expression; `absolute` takes
            the driver's head pose and how far the mouth and the eyes are open as they are.
        start: driving frame from which relative motion counts: the `first` with a face, or the one `best`
            matching the source.
        frame: `full` keeps the whole photograph, `crop` writes the square around the head.
        region: what moves: `all`, only the head `pose`, only the `expression`, only `eyes` and brows, or only
            `lips` and jaw.
        multiplier: strength of the motion, 0 to 3.
        eyes: strength of eye and brow motion, 0 to 3.
        lips: strength of mouth and jaw motion, 0 to 3.
        smoothing: how much of the face tracker's tremor is taken off the driver's motion, 0 to 3; 0 leaves it
            as it was tracked, more than 1 makes blinks and speech softer.
        face: which face of the first photograph moves, where it shows several: 1 is the largest.
        calibrate: draw a few moments on trial before, track them, and correct in all frames what deviates
            from the driver (fsrt-small only); what is taken over is the same, it arrives more exactly.
        compare: write photograph, driving video and result side by side.
        max_size: longest side of the output in pixels; a larger photograph is made smaller.
        precision: arithmetic of the network; `auto` takes bfloat16 where the processor has it in hardware,
            `int8` is for the full-size FSRT on processors that have not.
        device: `auto`, `cpu`, `cuda`, ...
        seed: kept in the run record; these models draw no random numbers.
        progress: called after every frame.

    Returns:
        Where the video and its record lie, and how long it took.

    Raises:
        InputError: a file or an option that cannot be used.
        WeightsError: an unknown model, or weights that are missing or damaged.
    """
    begun = time.perf_counter()
    sources, driving, output = [Path(p) for p in source], Path(driving), Path(output)
    options = RetargetOptions(motion, region, multiplier, eyes, lips)
    check_choices(start=(start, Start), frame=(frame, FrameMode), precision=(precision, Precision))
    if not 0 <= smoothing <= 3:
        raise InputError(f"smoothing={smoothing} is out of range; give a value from 0 to 3.")
    if not sources:
        raise InputError("no source photograph was given; name one with --source")
    check_output(output, suffixes=VIDEO_SUFFIXES, inputs=[*sources, driving])
    engine, weights = _engine(model, options, precision, device)
    with MediaPipeTracker() as tracker, VideoReader(driving) as reader:
        portraits = [
            read_portrait(path, tracker, max_size, 1 if k else face) for k, path in enumerate(sources)
        ]
        reference = _best_start(reader, tracker, portraits[0], progress) if start == "best" else None
        calibrated = calibrate and isinstance(engine, CalibratedEngine)
        samples = _samples(reader, tracker, progress) if calibrated else []
        info = reader.info
        writer = VideoWriter(
            output,
            info.fps,
            time_base=info.time_base,
            audio_from=driving if info.has_audio else None,
            metadata=container_metadata(model),
        )
        with writer:
            frames = 0
            whole = frame == "full"
            for shown, source_frame, moment in _rendered(
                engine, whole, portraits, reader, tracker, reference, samples, smoothing
            ):
                if compare:
                    shown = side_by_side(portraits[0].image, source_frame, shown)
                writer.write(shown, moment)
                frames += 1
                if progress is not None:
                    progress(ProgressEvent("reenact", frames, info.frames))
    seconds = time.perf_counter() - begun
    record = write_run_record(
        output,
        command="reenact",
        model=model,
        inputs={"source": sources, "driving": [driving]},
        weights=weights,
        options={
            "motion": motion,
            "start": start,
            "frame": frame,
            "region": region,
            "multiplier": multiplier,
            "eyes": eyes,
            "lips": lips,
            "smoothing": smoothing,
            "face": face,
            "calibrate": calibrated,
            "compare": compare,
            "max_size": max_size,
            "precision": precision,
            "device": device,
        },  # fmt: skip
        seed=seed,
        notes={"frames": frames, "seconds": round(seconds, 2)},
    )
    return Reenactment(output, record, frames, float(info.fps), seconds)


def _engine(
    model: str, options: RetargetOptions, precision: Precision, device: str
) -> tuple[Engine, dict[str, str]]:
    """The engine of a named model, and the SHA-256 of its weights by file name."""
    from headgen.fsrt.engines import load_engine

    files = hub.resolve(model)
    return load_engine(files.folder, options, precision, device), files.sha256


def _best_start(
    reader: VideoReader, tracker: FaceTracker, portrait: Portrait, progress: ProgressCallback | None
) -> DrivingFrame:
    """The driving frame whose pose and expression are most like the source's.

    Long videos are looked at in steps; motion before the best frame is transferred like motion after it.
    """
    from headgen.faces.mesh import fit_pose
    from headgen.fsrt.conditioning import scalars

    def describe(landmarks: NDArray) -> NDArray:
        return scalars(landmarks, fit_pose(landmarks))

    wanted = describe(portrait.landmarks)
    step = max(1, (reader.info.frames or 1) // _BEST_SAMPLE)
    best: DrivingFrame | None = None
    least = np.inf
    for landmarks, image in _looked_through(reader, tracker, step, "look for the best start", progress):
        apart = float(np.square(describe(landmarks) - wanted).sum())
        if apart < least:
            best, least = DrivingFrame(landmarks, image, None), apart
    if best is None:
        raise _no_driver(reader.path)
    return best


def _samples(
    reader: VideoReader, tracker: FaceTracker, progress: ProgressCallback | None
) -> list[NDArray[np.float64]]:
    """The driver's landmarks (478, 3) at moments spread over the whole video."""
    step = -(-(reader.info.frames or 1) // _SAMPLE)
    return [
        landmarks for landmarks, _ in _looked_through(reader, tracker, step, "look at the driver", progress)
    ]


def _looked_through(
    reader: VideoReader, tracker: FaceTracker, step: int, stage: str, progress: ProgressCallback | None
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.uint8]]]:
    """Landmarks, not smoothed, and picture of every `step`-th driving frame that shows a face."""
    tracker.reset()
    for item in reader:
        if item.index % step:
            continue
        track = tracker.track(item.image)
        if progress is not None:
            progress(ProgressEvent(stage, item.index + 1, reader.info.frames))
        if track is not None:
            yield track.landmarks, item.image


def _no_driver(path: Path) -> InputError:
    return InputError(
        f"{path}: no face was found in any frame of this video; use one that shows a face from the front"
    )


def _followed(
    reader: VideoReader, tracker: FaceTracker, with_crops: bool, smoothing: float
) -> Iterator[tuple[DrivingFrame, Fraction]]:
    """Driving frames with smoothed landmarks and, if wanted, steady crops, in order."""
    smoother = _smoother(smoothing)
    cropper = VideoCropper() if with_crops else None
    waiting: deque[tuple[NDArray[np.uint8], Fraction]] = deque()
    smoothed: deque[NDArray | None] = deque()
    crops: deque[Crop | None] = deque()
    tracker.reset()
    seen = told = False

    def ready() -> Iterator[tuple[DrivingFrame, Fraction]]:
        while waiting and smoothed and (cropper is None or crops):
            image, moment = waiting.popleft()
            yield DrivingFrame(smoothed.popleft(), image, crops.popleft() if cropper else None), moment

    for item in reader:
        track = tracker.track(item.image)
        landmarks = None if track is None else track.landmarks
        if track is not None and not seen:
            check_size(reader.path, track)
            seen = True
        if track is not None and track.n_faces > 1 and not told:
            logger.warning("%s: %d faces were found, the largest is followed", reader.path, track.n_faces)
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
        raise _no_driver(reader.path)
    smoothed.extend(smoother.flush())
    if cropper:
        crops.extend(cropper.flush())
    yield from ready()


def _smoother(strength: float) -> LandmarkSmoother:
    """The usual one takes a tracker's noise of 1 times what it is; another strength, of more or of none."""
    if strength == 0:
        return LandmarkSmoother(window=0)
    return LandmarkSmoother(noise=strength * NOISE, pose_noise=strength * POSE_NOISE)


class _Segments:
    """An engine to the scheduler: its segments are chunks of driving frames, tracked just before.

    Args:
        engine: draws chunks of frames.
        whole: see `Engine.render`.
    """

    chained, fingerprint = False, ""

    def __init__(self, engine: Engine, whole: bool) -> None:
        self.engine, self.whole = engine, whole
        self.parallel, self.chunk = engine.parallel, engine.chunk
        self._frames: dict[int, DrivingFrame] = {}
        self._shown: deque[tuple[NDArray[np.uint8], Fraction]] = deque()

    def plan(self, frames: Iterator[tuple[DrivingFrame, Fraction]]) -> Iterator[Segment]:
        """Driving frames as segments, each as soon as its frames are there."""
        planner = Planner(self.chunk)
        for frame, moment in frames:
            self._frames[planner.frames] = frame
            self._shown.append((frame.image, moment))
            yield from planner.extend()
        yield from planner.finish()

    def prepare(self, job: tuple[Sequence[Portrait], DrivingFrame, Sequence[NDArray]]) -> None:
        portraits, reference, samples = job
        self.engine.prepare(portraits, reference)
        if samples and isinstance(self.engine, CalibratedEngine):
            self.engine.calibrate(samples)

    def render(self, segment: Segment, previous: Result | None, step: Step) -> Result:
        frames = [self._frames.pop(k) for k in range(segment.start, segment.stop)]
        pictures = self.engine.render(frames, self.whole)
        return {str(k): picture for k, picture in enumerate(pictures, segment.start)}

    def draw(
        self, source: Segment | Transition, result: Result, start: int, stop: int
    ) -> list[NDArray[np.uint8]]:
        return [result[str(k)] for k in range(start, stop)]

    def shown(self) -> tuple[NDArray[np.uint8], Fraction]:
        """Picture and time of the driving frame after the one asked for last."""
        return self._shown.popleft()


def _rendered(
    engine: Engine,
    whole: bool,
    portraits: Sequence[Portrait],
    reader: VideoReader,
    tracker: FaceTracker,
    reference: DrivingFrame | None,
    samples: Sequence[NDArray],
    smoothing: float,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], Fraction]]:
    """Rendered picture, driving frame and time of every driving frame, in order.

    While no face has been seen yet, the source stands still as in the first frame that shows one; while the
    face is lost, it keeps its last motion.  Threads of their own draw some chunks while others are tracked.
    """
    followed = _followed(reader, tracker, engine.looks_at_pixels, smoothing)
    first = next(followed)
    start = reference or (first[0] if first[0].landmarks is not None else _first_face(reader.path))
    # A best frame is looked at through the first frame's square, so that places compare.
    start = start if first[0].crop is None else replace(start, crop=first[0].crop)
    segments = _Segments(engine, whole)
    plan = segments.plan(chain([first], followed))
    with closing(run(plan, segments, (portraits, start, samples))) as pictures:
        for _, picture in pictures:
            yield picture, *segments.shown()


def _first_face(path: Path) -> DrivingFrame:
    """The first driving frame that shows a face, of a video that starts without one."""
    with MediaPipeTracker() as tracker, VideoReader(path) as reader:
        for item in reader:
            track = tracker.track(item.image)
            if track is not None:
                return DrivingFrame(track.landmarks, item.image, None)
    raise _no_driver(path)
