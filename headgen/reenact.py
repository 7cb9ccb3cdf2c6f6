"""Reenact: one or more photographs of a person move like a driving video.

    source(s), driving video -> track faces -> encode the source once -> draw a few moments on trial, correct
    what deviates -> for each chunk of driving frames: retarget the landmarks, draw, place into the
    photograph, write

Nothing holds the whole video: frames wait only as long as the smoother looks ahead.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from headgen import hub
from headgen.errors import InputError, check_choices
from headgen.faces.crop import VIDEO_FACE, portrait_crop
from headgen.faces.driving import (
    NO_PICTURE,
    Driver,
    DrivingFrame,
    followed,
    looked_through,
    no_driver,
    open_driver,
)
from headgen.faces.portrait import Portrait, read_portrait
from headgen.faces.retarget import Motion, Region, RetargetOptions
from headgen.faces.tracker import MediaPipeTracker
from headgen.media import VideoWriter
from headgen.media.image import side_by_side
from headgen.media.output import check_output
from headgen.media.provenance import container_metadata, write_run_record
from headgen.media.video import VIDEO_SUFFIXES
from headgen.nn.threads import shared_cores
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.scheduler import Planner, Result, Segment, Step, Transition, run

Start = Literal["first", "best"]
FrameMode = Literal["full", "crop"]
Precision = Literal["auto", "fp32", "bf16", "int8"]

_BEST_SAMPLE = 600  # driving frames looked at for the best start, at most
_SAMPLE = 120  # driving frames among which those are chosen that are drawn on trial, at most


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

    def retune(self, options: RetargetOptions) -> None:
        """Transfers otherwise from now on, without what `calibrate` has learnt."""

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
        driving: the video whose motion is taken over, or a motion that `headgen save-motion` has saved.
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
    options = check_options(motion, start, frame, region, multiplier, eyes, lips, smoothing, precision)
    if not sources:
        raise InputError("no source photograph was given; name one with --source")
    check_output(output, suffixes=VIDEO_SUFFIXES, inputs=[*sources, driving])
    engine, weights = _engine(model, options, precision, device)
    with open_driver(driving) as driver, shared_cores(engine.parallel):
        if not driver.has_pictures and (compare or engine.looks_at_pixels):
            who = "compare" if compare else f"model {model}"
            raise InputError(f"{driving}: a saved motion has no pictures, which {who} needs; give the video")
        portraits = _portraits(sources, max_size, face)
        reference = _best_start(driver, portraits[0], progress) if start == "best" else None
        calibrated = calibrate and isinstance(engine, CalibratedEngine)
        samples = _samples(driver, progress) if calibrated else []
        writer = VideoWriter(
            output,
            driver.fps,
            time_base=driver.time_base,
            audio_from=driving if driver.has_audio else None,
            metadata=container_metadata(model),
        )
        with writer:
            frames = 0
            whole = frame == "full"
            for shown, source_frame, moment in _rendered(
                engine, whole, portraits, driver, reference, samples, smoothing
            ):
                if compare:
                    shown = side_by_side(portraits[0].image, source_frame, shown)
                writer.write(shown, moment)
                frames += 1
                if progress is not None:
                    progress(ProgressEvent("reenact", frames, driver.frames))
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
    return Reenactment(output, record, frames, float(driver.fps), seconds)


def check_options(
    motion: Motion,
    start: Start,
    frame: FrameMode,
    region: Region,
    multiplier: float,
    eyes: float,
    lips: float,
    smoothing: float,
    precision: Precision,
) -> RetargetOptions:
    """Checks what can be checked of `reenact`'s options without files.

    Raises:
        InputError: a value that is not offered or out of range.
    """
    check_choices(start=(start, Start), frame=(frame, FrameMode), precision=(precision, Precision))
    if not 0 <= smoothing <= 3:
        raise InputError(f"smoothing={smoothing} is out of range; give a value from 0 to 3.")
    return RetargetOptions(motion, region, multiplier, eyes, lips)


class Preview:
    """Single moments of a reenactment, drawn at once, while somebody tries options.

    What `reenact` makes is a little more exact: it also smooths the driver and calibrates.

    Args:
        source: see `reenact`, like the others.
        driving: its first `seconds` are looked at, at `moments` moments.
        model: name of the model.
        face: of the first photograph.
        max_size: longest side of the picture.
        precision: of the network.
        device: where it runs.
        moments: how many, at most.
        seconds: of the driving video; those before a face is seen do not count.

    Raises:
        InputError, WeightsError: see `reenact`.
    """

    def __init__(
        self,
        source: Sequence[Path],
        driving: Path,
        *,
        model: str = "fsrt-small",
        face: int = 1,
        max_size: int = 1280,
        precision: Precision = "auto",
        device: str = "auto",
        moments: int = 24,
        seconds: float = 10.0,
    ) -> None:
        self._engine, _ = _engine(model, RetargetOptions(), precision, device)
        self._portraits = _portraits([Path(path) for path in source], max_size, face)
        with open_driver(driving) as driver:
            length = min(driver.frames or np.inf, seconds * float(driver.fps))
            step = max(1, int(length / moments))
            seen = islice(looked_through(driver, step, "look at the driver", None), moments)
            self._frames = [self._frame(*one) for one in seen]
        if not self._frames:
            raise no_driver(driving)
        self._start: Start | None = None

    def __len__(self) -> int:
        """How many moments there are."""
        return len(self._frames)

    def draw(
        self, moment: int, options: RetargetOptions, start: Start = "first", frame: FrameMode = "full"
    ) -> NDArray[np.uint8]:
        """The source (H, W, 3) as it moves at a moment.

        Args:
            moment: 0 to `len` - 1.
            options: what is transferred and how strongly.
            start: see `reenact`; the `best` of the moments.
            frame: see `reenact`.
        """
        if start != self._start:
            self._engine.prepare(self._portraits, self._reference(start))
            self._start = start
        self._engine.retune(options)
        return self._engine.render([self._frames[moment]], frame == "full")[0]

    def _frame(self, landmarks: NDArray[np.float64], image: NDArray[np.uint8]) -> DrivingFrame:
        if not self._engine.looks_at_pixels:  # a minute of pictures would fill the memory
            return DrivingFrame(landmarks, NO_PICTURE, None)
        return DrivingFrame(landmarks, image, portrait_crop(landmarks, face=VIDEO_FACE))

    def _reference(self, start: Start) -> DrivingFrame:
        if start == "first":
            return self._frames[0]
        wanted = _description(self._portraits[0].landmarks)
        return min(self._frames, key=lambda f: _apart(f.landmarks, wanted))


def _engine(
    model: str, options: RetargetOptions, precision: Precision, device: str
) -> tuple[Engine, dict[str, str]]:
    """The engine of a named model, and the SHA-256 of its weights by file name."""
    from headgen.fsrt.engines import load_engine

    files = hub.resolve(model)
    return load_engine(files.folder, options, precision, device), files.sha256


def _portraits(sources: Sequence[Path], max_size: int, face: int) -> list[Portrait]:
    """The photographs; of the first one, the face that was chosen."""
    with MediaPipeTracker() as tracker:
        return [read_portrait(path, tracker, max_size, 1 if k else face) for k, path in enumerate(sources)]


def _best_start(driver: Driver, portrait: Portrait, progress: ProgressCallback | None) -> DrivingFrame:
    """The driving frame whose pose and expression are most like the source's.

    Long videos are looked at in steps; motion before the best frame is transferred like motion after it.
    """
    wanted = _description(portrait.landmarks)
    step = max(1, (driver.frames or 1) // _BEST_SAMPLE)
    best: DrivingFrame | None = None
    least = np.inf
    for landmarks, image in looked_through(driver, step, "look for the best start", progress):
        apart = _apart(landmarks, wanted)
        if apart < least:
            best, least = DrivingFrame(landmarks, image, None), apart
    if best is None:
        raise no_driver(driver.path)
    return best


def _description(landmarks: NDArray | None) -> NDArray:
    """Pose and expression in numbers that may be compared."""
    from headgen.faces.mesh import fit_pose
    from headgen.fsrt.conditioning import scalars

    assert landmarks is not None
    return scalars(landmarks, fit_pose(landmarks))


def _apart(landmarks: NDArray | None, wanted: NDArray) -> float:
    return float(np.square(_description(landmarks) - wanted).sum())


def _samples(driver: Driver, progress: ProgressCallback | None) -> list[NDArray[np.float64]]:
    """The driver's landmarks (478, 3) at moments spread over the whole video."""
    step = -(-(driver.frames or 1) // _SAMPLE)
    return [landmarks for landmarks, _ in looked_through(driver, step, "look at the driver", progress)]


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
    driver: Driver,
    reference: DrivingFrame | None,
    samples: Sequence[NDArray],
    smoothing: float,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], Fraction]]:
    """Rendered picture, driving frame and time of every driving frame, in order.

    While no face has been seen yet, the source stands still as in the first frame that shows one; while the
    face is lost, it keeps its last motion.  Threads of their own draw some chunks while others are tracked.
    """
    frames = followed(driver, engine.looks_at_pixels, smoothing)
    first = next(frames)
    start = reference or (first[0] if first[0].landmarks is not None else _first_face(driver.path))
    # A best frame is looked at through the first frame's square, so that places compare.
    start = start if first[0].crop is None else replace(start, crop=first[0].crop)
    segments = _Segments(engine, whole)
    plan = segments.plan(chain([first], frames))
    with closing(run(plan, segments, (portraits, start, samples))) as pictures:
        for _, picture in pictures:
            yield picture, *segments.shown()


def _first_face(path: Path) -> DrivingFrame:
    """The first driving frame that shows a face, of a video that starts without one."""
    with open_driver(path) as driver:
        for item in driver.tracked():
            if item.track is not None:
                return DrivingFrame(item.track.landmarks, item.image, None)
    raise no_driver(path)
