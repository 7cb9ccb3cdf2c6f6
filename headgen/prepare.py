"""``headgen prepare``: raw videos to a data set of face clips (`headgen.media.clips`).

Each video is followed with the face tracker and divided into shots: a shot ends where the face is lost, where
it jumps or the picture is cut, where the head leaves the square that the shot's other frames need, or after
``max_frames``. Then the shot is cut out with one fixed square.

Two readers run over each video: one tracks ahead, the other follows and writes the shots that are complete.
So no more than the landmarks of one shot are held in memory, however long the video is.

What a run leaves besides the clips: ``prepare.json``, the options, which a later run into the same folder
must share; ``videos/NAME.json`` for each video that is done, with its clips or the reason why it has none. A
run that was stopped goes on by itself: done videos are not opened again, done clips are not written again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from headgen.errors import InputError
from headgen.faces.crop import Crop, portrait_crop
from headgen.faces.motion import MOTION_NAMES, motion_coefficients
from headgen.faces.tracker import FaceTracker, MediaPipeTracker
from headgen.media.clips import ClipWriter, clip_exists, read_info, write_index
from headgen.media.output import output_error, replacing
from headgen.media.video import Frame, VideoReader
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = ["PrepareReport", "prepare"]

logger = logging.getLogger(__name__)

SUFFIXES = {f".{ending}" for ending in ("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "ts", "wmv", "flv")}
"""Endings of the files that a folder is searched for."""
CUT = 35.0
"""Mean absolute difference (of 255) of two frames' 32 x 32 thumbnails beyond which the picture was cut."""
JUMP = 0.2
"""Movement of the face between two frames, as a share of its square's side, beyond which it jumped."""
GROWTH = 1.25
"""Change of the face's size between two frames beyond which it jumped."""


@dataclass
class PrepareReport:
    """What `prepare` did."""

    output: Path
    """The data set's folder."""
    clips: int = 0
    """Clips in the data set, those of earlier runs included."""
    frames: int = 0
    """Frames in them."""
    identities: int = 0
    """People in them."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Videos without a clip, and why."""

    def __str__(self) -> str:
        """Some lines for people."""
        lines = [f"{self.output}: {self.clips} clips, {self.frames} frames, {self.identities} identities"]
        if self.skipped:
            lines += [f"{len(self.skipped)} video(s) skipped:"]
            lines += [f"  {name}: {reason}" for name, reason in self.skipped.items()]
        return "\n".join(lines)


@dataclass
class Shot:
    """Consecutive frames of one face that fit one square. Positions in pixels of the picture."""

    start: int
    """Index of the first frame."""
    landmarks: list[np.ndarray]
    """(478, 3) per frame."""
    low: np.ndarray
    """(2,) least corner of the frames' squares."""
    high: np.ndarray
    """(2,) greatest corner."""
    sides: list[float]
    """Side of each frame's own square."""

    @classmethod
    def begin(cls, index: int, landmarks: np.ndarray, square: Crop) -> Shot:
        """A shot of one frame."""
        shot = cls(index, [], *corners(square), [])
        shot.add(landmarks, square)
        return shot

    def fits(self, square: Crop, roam: float) -> bool:
        """Whether the union with another frame's square stays small enough for the face to be large in it."""
        low, high = corners(square)
        union = (np.maximum(self.high, high) - np.minimum(self.low, low)).max()
        return union <= roam * min(square.side, float(np.median(self.sides)))

    def add(self, landmarks: np.ndarray, square: Crop) -> None:
        """Append a frame."""
        low, high = corners(square)
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        self.landmarks.append(landmarks)
        self.sides.append(square.side)

    def crop(self, height: int, width: int) -> Crop:
        """The square for all frames: moved into the picture, and shrunk to it while the faces still fit."""
        cx, cy = (self.low + self.high) / 2
        side = float((self.high - self.low).max())
        points = np.stack(self.landmarks)[..., :2].reshape(-1, 2)
        face = float(np.ptp(points, axis=0).max())
        side = max(min(side, float(min(height, width))), min(side, 1.15 * face))
        return Crop(fit_into(cx, side, width), fit_into(cy, side, height), side)


def corners(square: Crop) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest corner of an upright square."""
    centre = np.array([square.cx, square.cy])
    return centre - square.side / 2, centre + square.side / 2


def fit_into(centre: float, side: float, length: int) -> float:
    """The centre moved so that the span lies inside [-0.5, length - 0.5]; in the middle if it is longer."""
    if side >= length:
        return (length - 1) / 2
    return float(np.clip(centre, side / 2 - 0.5, length - 0.5 - side / 2))


def prepare(
    videos: Path,
    output: Path,
    size: int = 256,
    scale: float = 1.0,
    roam: float = 1.5,
    min_frames: int = 24,
    max_frames: int = 500,
    min_side: int = 96,
    validation: float = 0.05,
    progress: ProgressCallback | None = None,
) -> PrepareReport:
    """Make a data set for training from raw face videos: stable crops, landmarks, motion. Resumes by itself.

    Identity: the first folder below VIDEOS that a file lies in (``id10001/xyz/0001.mp4``), or the file's own
    name.

    Args:
        videos: a video, or a folder that is searched with its subfolders.
        output: folder of the data set; made if need be.
        size: side of the square frames in pixels, even.
        scale: side of the square relative to the usual framing with hair and neck.
        roam: how many times larger than the head's own square a shot's square may be, so that it can move in
            it.
        min_frames: shorter shots are dropped.
        max_frames: longer shots are divided.
        min_side: heads whose own square is smaller (pixels of the video) are dropped.
        validation: share of the identities that are kept for validation.
        progress: called after each frame.

    Returns:
        What is in the data set, and which videos were skipped.

    Raises:
        InputError: no video there, options out of range, an output that was made with other options or cannot
            be written, or no usable face in any video.
    """
    videos, output = Path(videos), Path(output)
    options = {"size": size, "scale": scale, "roam": roam, "min_frames": min_frames, "max_frames": max_frames,
               "min_side": min_side, "validation": validation}  # fmt: skip
    check_options(options)
    files = find_videos(videos)
    try:
        report = PrepareReport(output)
        check_output_folder(output, options)
        with MediaPipeTracker() as tracker:
            for name, path in files.items():
                record = output / "videos" / f"{name}.json"
                if record.is_file():
                    reason = json.loads(record.read_text()).get("skipped")
                else:
                    reason = prepare_video(
                        path, name, identity_of(path, videos), output, options, tracker, progress
                    )
                    logger.log(logging.WARNING if reason else logging.INFO, "%s: %s", path, reason or "done")
                if reason:
                    report.skipped[str(path)] = reason
        if len(report.skipped) == len(files) and not any((output / "clips").glob("*.safetensors")):
            first, reason = next(iter(report.skipped.items()))
            raise InputError(f"{videos}: no usable face in {len(files)} video(s) ({first}: {reason})")
        infos = write_index(output)
    except OSError as error:
        raise output_error(output, error) from error
    report.clips, report.frames = len(infos), sum(info.frames for info in infos)
    report.identities = len({info.identity for info in infos})
    return report


def check_options(options: dict[str, Any]) -> None:
    """Raises InputError for the first option that is out of range."""
    limits = {
        "size": (
            32 <= options["size"] <= 2048 and options["size"] % 2 == 0,
            "an even number from 32 to 2048",
        ),
        "scale": (0.5 <= options["scale"] <= 3, "between 0.5 and 3"),
        "roam": (1 <= options["roam"] <= 4, "between 1 and 4"),
        "min_frames": (options["min_frames"] >= 2, "2 or more"),
        "max_frames": (options["max_frames"] >= options["min_frames"], "min_frames or more"),
        "min_side": (options["min_side"] >= 1, "1 or more"),
        "validation": (0 <= options["validation"] < 1, "0 or more and below 1"),
    }
    for name, (good, expected) in limits.items():
        if not good:
            raise InputError(f"{name} is {options[name]}; it must be {expected}")


def find_videos(videos: Path) -> dict[str, Path]:
    """The videos by the names that their clips will have, sorted.

    Raises:
        InputError: nothing there.
    """
    if videos.is_file():
        return {safe_name(videos.stem): videos}
    if not videos.is_dir():
        raise InputError(f"{videos}: no such file or folder; give a video or a folder of videos")
    found: dict[str, Path] = {}
    for path in sorted(videos.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith("."):
            name = safe_name("__".join(path.relative_to(videos).with_suffix("").parts))
            if name in found:  # two endings, or characters that a name cannot have
                name += "_" + hashlib.sha256(str(path.relative_to(videos)).encode()).hexdigest()[:8]
            found[name] = path
    if not found:
        raise InputError(f"{videos}: no videos in this folder (looked for {', '.join(sorted(SUFFIXES))})")
    return found


def safe_name(text: str) -> str:
    """A plain file name."""
    kept = "".join(c if c.isalnum() or c in "-_." else "_" for c in text)
    return kept.lstrip(".") or "video"


def identity_of(path: Path, videos: Path) -> str:
    """The first folder below the searched one, or the file's name."""
    parts = path.relative_to(videos).parts if videos.is_dir() else (path.name,)
    return parts[0] if len(parts) > 1 else path.stem


def split_of(identity: str, validation: float) -> str:
    """The same for every clip of an identity, on every machine."""
    draw = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") / 2**64
    return "val" if draw < validation else "train"


def check_output_folder(output: Path, options: dict[str, Any]) -> None:
    """Makes the folder, or makes sure that it was begun with the same options."""
    path = output / "prepare.json"
    if path.is_file():
        before = json.loads(path.read_text())
        changed = [
            f"{name} {before.get(name)} -> {value}"
            for name, value in options.items()
            if before.get(name) != value
        ]
        if changed:
            raise InputError(
                f"{output}: was begun with other options ({', '.join(changed)}); use another --output"
            )
    else:
        (output / "videos").mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_text(json.dumps(options, indent=1) + "\n")


def prepare_video(
    path: Path,
    name: str,
    identity: str,
    output: Path,
    options: dict[str, Any],
    tracker: FaceTracker,
    progress: ProgressCallback | None,
) -> str:
    """Makes the clips of one video and its record; returns the reason why it is skipped, or nothing."""
    clips: list[str] = []
    dropped: list[str] = []
    reason = ""
    try:
        with VideoReader(path) as tracked, VideoReader(path) as followed:
            info = tracked.info
            behind = iter(followed)
            tracker.reset()
            for shot in find_shots(tracked, tracker, options, dropped, progress, path.name):
                clip = f"{name}_{shot.start:06d}"
                crop = shot.crop(info.height, info.width)
                if not (clip_exists(output, clip) and read_info(output, clip).frames == len(shot.landmarks)):
                    split = split_of(identity, options["validation"])
                    extra = {
                        "video": path.name, "first_frame": str(shot.start),
                        "crop": f"{crop.cx:.2f} {crop.cy:.2f} {crop.side:.2f}",
                    }  # fmt: skip
                    with ClipWriter(
                        output, clip, fps=info.fps, size=options["size"], identity=identity, split=split,
                        motion_names=MOTION_NAMES, extra=extra,
                    ) as writer:  # fmt: skip
                        write_shot(writer, shot, crop, behind, options["size"])
                clips.append(clip)
    except InputError as error:  # unreadable, or damaged further on: what came before is good
        reason = str(error).removeprefix(f"{path}: ")
    if not clips and not reason:
        reason = "no usable face" + (f" ({', '.join(dict.fromkeys(dropped))})" if dropped else " found")
    with replacing(output / "videos" / f"{name}.json") as part:
        part.write_text(json.dumps({"video": str(path), "clips": clips, "skipped": reason}, indent=1) + "\n")
    return reason


def write_shot(writer: ClipWriter, shot: Shot, crop: Crop, frames: Iterator[Frame], size: int) -> None:
    """Cuts the shot's frames out of the stream, which stands before the shot."""
    landmarks = crop.to_crop(np.stack(shot.landmarks), size)
    motion = motion_coefficients(landmarks)
    for frame in frames:
        index = frame.index - shot.start
        if index >= 0:
            writer.write(crop.take(frame.image, size), landmarks[index], motion[index])
        if index == len(shot.landmarks) - 1:
            return


def find_shots(
    frames: VideoReader,
    tracker: FaceTracker,
    options: dict[str, Any],
    dropped: list[str],
    progress: ProgressCallback | None,
    label: str,
) -> Iterator[Shot]:
    """Follows the largest face and yields each shot when complete; why others go is put into ``dropped``."""
    shot: Shot | None = None
    last: Crop | None = None
    before: np.ndarray | None = None
    several = False

    def usable(found: Shot | None) -> bool:
        if found is None:
            return False
        if len(found.landmarks) < options["min_frames"]:
            dropped.append(f"shots shorter than {options['min_frames']} frames")
            return False
        return True

    for frame in frames:
        thumbnail = cv2.resize(frame.image, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
        cut = before is not None and float(np.abs(thumbnail - before).mean()) > CUT
        before = thumbnail
        if cut:
            tracker.reset()
        track = tracker.track(frame.image)
        square = None if track is None else portrait_crop(track.landmarks, options["scale"])
        if track is not None and track.n_faces > 1 and not several:
            several = True
            logger.warning("%s: %d faces; the largest is taken", label, track.n_faces)
        if square is not None and square.side < options["min_side"]:
            dropped.append(f"head smaller than {options['min_side']} pixels")
            square = None
        if shot is not None and (
            square is None
            or cut
            or jumped(last, square)
            or not shot.fits(square, options["roam"])
            or len(shot.landmarks) == options["max_frames"]
        ):
            if usable(shot):
                yield shot
            shot = None
        if square is not None and track is not None:
            if shot is None:
                shot = Shot.begin(frame.index, track.landmarks, square)
            else:
                shot.add(track.landmarks, square)
        last = square
        if progress is not None:
            progress(ProgressEvent(label, frame.index + 1, frames.info.frames))
    if usable(shot):
        assert shot is not None
        yield shot


def jumped(last: Crop | None, square: Crop) -> bool:
    """Whether a face moved or grew more between two frames than a head does."""
    if last is None:
        return False
    moved = np.hypot(square.cx - last.cx, square.cy - last.cy) > JUMP * min(square.side, last.side)
    return bool(moved) or not 1 / GROWTH < square.side / last.side < GROWTH
