"""``headgen join``: head videos of one person become one, without visible joins.

Files are read once, one after the other. What is held in memory are the frames near one join.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from math import ceil
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly

from headgen import hub
from headgen.errors import InputError, check_choices
from headgen.faces.portrait import check_size
from headgen.faces.tracker import FaceTracker, MediaPipeTracker
from headgen.fsrt.small import FSRTSmall
from headgen.fsrt.small_engine import SmallEngine
from headgen.listener.edit import OUTER, ListenerEditor
from headgen.listener.engine import Precision, TransitionKind, load_editor
from headgen.listener.latents import FRAMES_PER_LATENT
from headgen.listener.motion import MotionFeatures
from headgen.listener.seam import MOST_INNER, Seam, SeamPainter, Side, dissolve, fill_gaps, likeness
from headgen.listener.speaker import SpeakerInfo, speaker_info
from headgen.listener.speech import speech_features
from headgen.listener.track import FPS, SAMPLE_RATE, SpeakerTrack
from headgen.media import VideoReader, VideoWriter, probe
from headgen.media.output import check_output
from headgen.media.provenance import container_metadata, write_run_record
from headgen.media.splice import RATE, Stretch, read_mono, splice
from headgen.media.video import VIDEO_SUFFIXES
from headgen.nn.precision import resolve_device, resolve_dtype
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.scheduler.plan import derived_seed

__all__ = ["Joining", "Part", "join", "plan"]

logger = logging.getLogger(__name__)

EDITOR, PAINTER = "listener-edit", "fsrt-small"
"""The models that rewrite motion and draw it."""
ANOTHER = 0.7
"""Likeness under which two faces are taken for two people's, see `likeness`. Of ten people in real videos,
parts of one video were at least .75 alike, and of the 45 pairs of two people 42 less than .7."""
HEARD_BEFORE = 6.0
"""Seconds of sound before a window by which its loudness and pitch are judged."""


@dataclass(frozen=True)
class Joining:
    """What `join` made."""

    output: Path
    """The video."""
    record: Path
    """The run record beside it."""
    frames: int
    """Frames written."""
    joins: tuple[float, ...]
    """Seconds at which the joins are."""
    rewritten: int
    """Frames around them that were made anew."""
    seconds: float
    """How long it took."""

    def __str__(self) -> str:
        """One line for people."""
        places = ", ".join(f"{second:.2f}" for second in self.joins)
        return (
            f"{self.output}: {self.frames} frames in {self.seconds:.1f} s, joined at {places} s "
            f"({self.rewritten} frames made anew)"
        )


@dataclass(frozen=True)
class Part:
    """One of the videos, in frames of the output's rate.

    Attributes:
        path: of the file.
        frames: how many it has.
        first: the first one that is kept; those before are of the time of the video before.
        stop: the one after the last that is kept.
        head: frames from the first one on that belong to the join before it.
        tail: frames up to the last one that belong to the join after it.
    """

    path: Path
    frames: int
    first: int
    stop: int
    head: int
    tail: int


def join(
    videos: list[Path],
    output: Path,
    *,
    transition: TransitionKind = "edit",
    window: float = 0.48,
    overlap: int = 0,
    precision: Precision = "auto",
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Joining:
    """Joins head videos of one person so that the joins do not show.

    Frames near a join are made anew, all others are only encoded again. The output has the first video's size
    and rate, all frames of all videos, and their sound. A run record, `OUTPUT.json`, is written beside it.

    Args:
        videos: two or more, in order.
        output: the video to be written (.mp4, .mov or .mkv).
        transition: how videos are joined: `edit` rewrites the face's motion and draws it, `crossfade`
            dissolves the pictures into each other, `none` cuts.
        window: seconds that are made anew on each side of a join, 0.16 to 0.64.
        overlap: frames by which each video overlaps the next: its last ones show the same time as the first
            ones of the next.
        precision: arithmetic of the network that draws: `auto`, `fp32` or `bf16`.
        device: `auto`, `cpu`, `cuda`, ...
        seed: another one gives other motion in the windows.
        progress: called after every frame.

    Returns:
        Where the video and its record lie, and what was made anew.

    Raises:
        InputError: a file or an option that cannot be used, such as a video that is too short, or that shows
            no face near a join.
        WeightsError: weights that are missing or damaged.
    """
    begun = time.perf_counter()
    paths, output = [Path(path) for path in videos], Path(output)
    check_choices(transition=(transition, TransitionKind), precision=(precision, Precision))
    inner = round(2 * window * FPS / FRAMES_PER_LATENT)
    if not 2 <= inner <= MOST_INNER:
        raise InputError(f"window={window} is out of range; give 0.16 to 0.64 seconds.")
    if overlap < 0:
        raise InputError(f"overlap={overlap} is out of range; give 0 or more frames.")
    if len(paths) < 2:
        raise InputError(f"{len(paths)} video was given to join; name two or more, in order")
    check_output(output, suffixes=VIDEO_SUFFIXES, inputs=paths)
    infos, shape = [speaker_info(path) for path in paths], _Format.of(paths[0])
    parts = plan(infos, shape.fps, overlap, inner)
    changes = shape.changes(paths)
    weights: dict[str, str] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sound = _sound(infos, parts, shape.fps, folder / "sound.wav")
        joiner: _Joiner = _Joiner(transition, inner, shape.fps)
        if transition == "edit":
            files = [hub.resolve(name) for name in (EDITOR, PAINTER)]
            weights = {f"{f.folder.name}/{name}": digest for f in files for name, digest in f.sha256.items()}
            where = resolve_device(device)
            painter = SmallEngine(
                FSRTSmall.from_pretrained(files[1].folder), where, resolve_dtype(precision, where)
            )
            joiner = _EditJoiner(
                inner, shape.fps, load_editor(files[0].folder).to(where), SeamPainter(painter),
                stack.enter_context(MediaPipeTracker()), seed,
            )  # fmt: skip
        model = EDITOR if transition == "edit" else "none"
        writer = stack.enter_context(
            VideoWriter(output, shape.fps, audio_from=sound, metadata=container_metadata(model))
        )
        total = sum(part.stop - part.first for part in parts)
        for image in stack.enter_context(closing(_joined(parts, infos, shape, joiner, sound))):
            writer.write(image)
            if progress is not None:
                progress(ProgressEvent("join", writer.frames, total))
    seconds = time.perf_counter() - begun
    cuts = tuple(float(cut / shape.fps) for cut in _cuts(parts))
    record = write_run_record(
        output,
        command="join",
        model=model,
        inputs={"videos": paths},
        weights=weights,
        options={
            "transition": transition, "window": window, "overlap": overlap, "precision": precision,
            "device": device,
        },
        seed=seed,
        notes={
            "frames": total, "joins at seconds": cuts, "frames made anew": joiner.made,
            "converted": changes, "doubts": joiner.doubts, "seconds": round(seconds, 2),
        },
    )  # fmt: skip
    return Joining(output, record, total, cuts, joiner.made, seconds)


@dataclass(frozen=True)
class _Format:
    """What all videos are made to be: size and rate of the first one."""

    width: int
    height: int
    fps: Fraction

    @classmethod
    def of(cls, path: Path) -> _Format:
        info = probe(path)
        return cls(info.width, info.height, info.fps)

    def changes(self, paths: Sequence[Path]) -> list[str]:
        """What has to be done to the other videos; a cut picture is told in a warning."""
        out = []
        for path in paths[1:]:
            info = probe(path)
            if info.fps != self.fps:
                out.append(
                    f"{path.name}: from {float(info.fps):.2f} to {float(self.fps):.2f} frames a second"
                )
            if (info.width, info.height) != (self.width, self.height):
                out.append(f"{path.name}: from {info.width}x{info.height} to {self.width}x{self.height}")
                if abs(info.width * self.height / (info.height * self.width) - 1) > 0.02:
                    logger.warning("%s: is cut to the shape of the first video", path)
        return out

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture at this size: enlarged or made smaller until it covers it, and cut."""
        height, width = image.shape[:2]
        if (width, height) == (self.width, self.height):
            return image
        scale = max(self.width / width, self.height / height)
        size = max(self.width, round(width * scale)), max(self.height, round(height * scale))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        scaled = cv2.resize(image, size, interpolation=how)
        x, y = (size[0] - self.width) // 2, (size[1] - self.height) // 2
        return np.ascontiguousarray(scaled[y : y + self.height, x : x + self.width])

    def frames(self, part: Part) -> Generator[NDArray[np.uint8], None, None]:
        """The frames of a video at this rate and size: each picture at the frame nearest to its time."""
        with VideoReader(part.path) as reader:
            pictures = iter(reader)
            shown = next(pictures)
            given = 0
            for upcoming in pictures:
                place = round(upcoming.time * self.fps)
                if place > given:
                    picture = self.apply(shown.image)
                    for _ in range(given, min(place, part.frames)):
                        yield picture
                    given = place
                shown = upcoming
            picture = self.apply(shown.image)
            for _ in range(given, part.frames):
                yield picture


def plan(infos: Sequence[SpeakerInfo], fps: Fraction, overlap: int, inner: int) -> list[Part]:
    """Which frames of the videos are kept, and which belong to joins.

    Args:
        infos: of the videos.
        fps: of the output.
        overlap: frames by which they overlap.
        inner: latent frames that are rewritten around a join.

    Raises:
        InputError: a video that is too short for its joins.
    """
    wanted = (inner // 2 + inner % 2 + OUTER) * FRAMES_PER_LATENT
    reach = ceil(wanted * fps / FPS)
    least = ceil(2 * FRAMES_PER_LATENT * fps / FPS)
    parts = []
    for k, info in enumerate(infos):
        frames = round(info.duration * fps)
        before, after = k > 0, k < len(infos) - 1
        first = overlap // 2 if before else 0
        stop = frames - (overlap - overlap // 2 if after else 0)
        room = (stop - first) // (before + after)
        if room < least or frames <= overlap:
            need = max(least * (before + after) + (frames - stop + first), overlap + 1)
            raise InputError(
                f"{info.path}: has {frames} frames, too few to be joined; {need} are needed here, so leave "
                "it out or give a longer one"
            )
        near = min(room, reach)
        parts.append(
            Part(
                info.path, frames, first, stop, first + near if before else 0,
                near + frames - stop if after else 0,
            )
        )  # fmt: skip
    return parts


def _cuts(parts: Sequence[Part]) -> list[int]:
    """First frame of every video but the first, in the output."""
    return np.cumsum([part.stop - part.first for part in parts[:-1]]).tolist()


def _sound(infos: Sequence[SpeakerInfo], parts: Sequence[Part], fps: Fraction, path: Path) -> Path | None:
    """Writes the sound of all videos, each as long as its frames; None if none has any."""
    if not any(info.has_audio for info in infos):
        return None
    ends = [round(end * RATE / fps) for end in [0, *_cuts(parts), sum(p.stop - p.first for p in parts)]]
    splice(
        [
            Stretch(
                info.path if info.has_audio else None,
                (info.start or Fraction(0)) + part.first / fps,
                stop - begin,
                round((part.frames - part.stop) * RATE / fps),
            )
            for info, part, begin, stop in zip(infos, parts, ends[:-1], ends[1:], strict=True)
        ],
        path,
    )
    return path


def _joined(
    parts: Sequence[Part],
    infos: Sequence[SpeakerInfo],
    shape: _Format,
    joiner: _Joiner,
    sound: Path | None,
) -> Generator[NDArray[np.uint8], None, None]:
    """The frames of the output."""
    tail: list[NDArray[np.uint8]] = []
    cuts = [0, *_cuts(parts)]
    for k, part in enumerate(parts):
        with closing(shape.frames(part)) as frames:
            head = list(islice(frames, part.head))
            if k > 0:
                pair = parts[k - 1], part
                heard = tuple(info.has_audio for info in infos[k - 1 : k + 1])
                track = None
                if sound is not None and any(heard):
                    track = _Sound(sound, round(cuts[k] * RATE / shape.fps), heard)
                yield from joiner(k, pair, tail, head, track)
            yield from islice(frames, part.frames - part.head - part.tail)
            tail = list(frames)


@dataclass(frozen=True)
class _Sound:
    """The sound around a join: the file, the sample after the join, and which sides have any."""

    path: Path
    at: int
    sides: tuple[bool, ...]

    def track(self, rows: NDArray[np.float64], history: int) -> SpeakerTrack:
        """What is heard in the rows of a window (seconds from the join on) and before it."""
        before = history + round(HEARD_BEFORE * FPS)
        count = len(rows) + before
        first = self.at + round((rows[0] - before / FPS) * RATE)
        samples = resample_poly(read_mono(self.path, first, count * RATE // FPS), 1, RATE // SAMPLE_RATE)
        audio = speech_features(samples.astype(np.float32), count)[-len(rows) - history :]
        seconds = np.arange(len(audio)) / FPS + rows[-1] - (len(audio) - 1) / FPS
        heard = np.where(seconds < -1e-6, *self.sides) & (self.at / RATE + seconds >= 0)
        unseen = np.zeros((len(audio), MotionFeatures.width), np.float32)
        audio = np.where(heard[:, None], audio, np.float32(0))
        return SpeakerTrack(audio, unseen, heard, np.zeros(len(audio), bool))


class _Joiner:
    """Makes the frames around a join.

    Args:
        transition: `crossfade` or `none`.
        inner: latent frames that are made anew.
        fps: frames per second.
    """

    def __init__(self, transition: TransitionKind, inner: int, fps: Fraction) -> None:
        self.transition, self.inner, self.fps = transition, inner, fps
        self.made = 0
        """Frames that were made anew."""
        self.doubts: list[str] = []
        """What the user has been warned of."""

    def __call__(
        self,
        index: int,
        parts: tuple[Part, Part],
        tail: list[NDArray[np.uint8]],
        head: list[NDArray[np.uint8]],
        sound: _Sound | None,
    ) -> Iterator[NDArray[np.uint8]]:
        """The kept frames of a video's end and of the next one's beginning.

        Args:
            index: of the join, from 1.
            parts: the two videos.
            tail: the last frames of the first one, those beyond the join included.
            head: the first frames of the second one, those before the join included.
            sound: around the join.
        """
        beyond, before = parts[0].frames - parts[0].stop, parts[1].first
        kept = tail[: len(tail) - beyond] + head[before:]
        cut = len(tail) - beyond
        numbers, pictures = self.make(index, parts, (-cut, tail), (-before, head), sound)
        self.made += len(pictures)
        kept[cut + numbers.start : cut + numbers.stop] = pictures
        yield from kept

    def make(
        self,
        index: int,
        parts: tuple[Part, Part],
        left: tuple[int, list[NDArray[np.uint8]]],
        right: tuple[int, list[NDArray[np.uint8]]],
        sound: _Sound | None,
    ) -> tuple[range, list[NDArray[np.uint8]]]:
        """New pictures and their numbers; 0 is the first frame after the join.

        Args:
            index: of the join, from 1.
            parts: the two videos.
            left: number of the first of the frames before the join, and the frames.
            right: likewise after it.
            sound: around the join.
        """
        if self.transition == "none":
            return range(0), []
        half = min(
            self.inner * FRAMES_PER_LATENT / 2 * float(self.fps) / FPS, -left[0], right[0] + len(right[1])
        )
        nothing = np.zeros((0, 0, 0), np.float32)
        numbers = range(-int(half), int(half))
        return numbers, dissolve(Side(*left, nothing), Side(*right, nothing), numbers, half)


class _EditJoiner(_Joiner):
    """Rewrites the motion of the face around a join, and draws it.

    Args:
        inner: latent frames to be rewritten.
        fps: frames per second.
        editor: rewrites motion.
        painter: draws it.
        tracker: finds the faces.
        seed: of the video.
    """

    def __init__(
        self,
        inner: int,
        fps: Fraction,
        editor: ListenerEditor,
        painter: SeamPainter,
        tracker: FaceTracker,
        seed: int,
    ) -> None:
        super().__init__("edit", inner, fps)
        self.editor, self.painter, self.tracker, self.seed = editor, painter, tracker, seed

    def make(
        self,
        index: int,
        parts: tuple[Part, Part],
        left: tuple[int, list[NDArray[np.uint8]]],
        right: tuple[int, list[NDArray[np.uint8]]],
        sound: _Sound | None,
    ) -> tuple[range, list[NDArray[np.uint8]]]:
        """See `_Joiner.make`."""
        sides = [
            self._tracked(part, *given, name)
            for part, given, name in zip(parts, (left, right), ("last", "first"), strict=True)
        ]
        rooms = [int(room * FPS / self.fps) for room in (-left[0], right[0] + len(right[1]))]
        inner = min(self.inner, (min(rooms) - FRAMES_PER_LATENT) // 2)
        seam = Seam(sides[0], sides[1], self.fps, inner, (self.editor.window - inner) // 2)
        track = None if sound is None else sound.track(seam.rows, self.editor.adapter.history)
        generator = torch.Generator().manual_seed(derived_seed(self.seed, f"join {index}"))
        path = seam.path(self.editor, track, generator)
        targets = seam.targets(path)
        both, where = self.painter.meeting(seam, targets)
        alike = likeness(*both, where)
        if alike < ANOTHER:
            doubt = f"{parts[1].path}: does not seem to show the person of {parts[0].path.name}"
            self.doubts.append(f"{doubt} (likeness {alike:.2f})")
            logger.warning(
                "%s; they are joined all the same, but one may be seen turning into the other", doubt
            )
        return seam.numbers(), self.painter.draw(seam, targets, both)

    def _tracked(self, part: Part, first: int, frames: list[NDArray[np.uint8]], name: str) -> Side:
        self.tracker.reset()
        tracks = [self.tracker.track(frame) for frame in frames]
        landmarks = fill_gaps([None if track is None else track.landmarks for track in tracks])
        if landmarks is None:
            raise InputError(
                f"{part.path}: no face was found in its {name} {len(frames) / float(self.fps):.1f} s, "
                "where it is joined; cut it to where its face shows, or use --transition crossfade"
            )
        check_size(part.path, next(track for track in tracks if track is not None))
        if any(track is not None and track.n_faces > 1 for track in tracks):
            logger.warning("%s: several faces were found, the largest is followed", part.path)
        return Side(first, frames, landmarks)
