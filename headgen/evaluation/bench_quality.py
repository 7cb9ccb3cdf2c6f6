"""Quality of `headgen reenact` on portraits and driving videos of one's own, in figures of the face tracker.

Every figure compares what the output's face does or looks like with the driver's motion or the portrait's
skin, through the landmarks that headgen's own tracker finds. They say how well motion and likeness are kept;
hair, teeth, eyes and background are in none of them, so the videos have to be looked at as well.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from headgen.errors import InputError
from headgen.evaluation.face_motion import (
    LEAST_FRAMES,
    jitter_ratio,
    landmark_distances,
    motion_figures,
    placement,
)
from headgen.evaluation.face_texture import Face, sharpness, softened, texture_ssim
from headgen.faces.tracker import FaceTracker, MediaPipeTracker
from headgen.media import VideoReader, read_image, write_image
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.reenact import FrameMode, reenact

__all__ = ["PICTURES", "VIDEOS", "bench", "check_names", "files_of", "made_folder", "score"]

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
"""Endings that a folder of portraits is searched for."""
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg")
"""Endings that a folder of driving videos is searched for."""

TRIPLES = 16
"""Triples of consecutive frames from which jitter is measured, at most."""

Landmarks = NDArray[np.floating]
"""(478, 3) tracked points in pixels, as in `headgen.faces.mesh`."""


def bench(
    drivings: Path,
    portraits: Path | None = None,
    *,
    model: str = "fsrt-small",
    frame: FrameMode = "full",
    self_reenact: bool = False,
    frames: int = 60,
    keep: Path | None = None,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Reenacts every portrait with every driving video and measures motion, likeness, sharpness and jitter.

    Motion error 0 is the driver's motion, 1 no motion at all. All other options of `headgen reenact` have
    their defaults. Look at the videos too (`keep`): hair, teeth, eyes and background are not measured.

    Args:
        drivings: driving video, or a folder of them.
        portraits: photograph of a person, or a folder of them; not used with `self_reenact`.
        model: name of the model, see `headgen weights list`.
        frame: `full` scores the whole photograph, `crop` the square around the head.
        self_reenact: instead of portraits, let every driving video move its own first frame, which the rest
            of the video then shows the truth for.
        frames: frames of each video that are looked at, at most, evenly spaced; 5 or more.
        keep: folder for the videos, PORTRAIT_DRIVING.mp4 or with `self_reenact` DRIVING_self.mp4; by default
            they are thrown away.
        progress: told of each pair.

    Returns:
        `pairs`: for each pair the names of its files and its figures as in `score`; `median`: the medians of
        the figures over all pairs. A figure for which nothing could be measured is None.

    Raises:
        InputError: a folder without pictures or videos, no portraits, two outputs of one name, a picture
            without a face, too few frames, or whatever `headgen reenact` refuses.
        WeightsError: an unknown model, or weights that are missing or damaged.
    """
    if frames < LEAST_FRAMES:
        raise InputError(f"frames={frames} is too few to judge motion; give {LEAST_FRAMES} or more")
    videos = files_of(Path(drivings), VIDEOS, "driving video")
    if self_reenact:
        jobs = [(video, video, f"{video.stem}_self.mp4") for video in videos]
    elif portraits is None:
        raise InputError("no portraits were given; name them with --portraits, or use --self-reenact")
    else:
        pictures = files_of(Path(portraits), PICTURES, "picture")
        jobs = [(p, video, f"{p.stem}_{video.stem}.mp4") for p in pictures for video in videos]
    check_names([name for *_, name in jobs])

    pairs: list[dict[str, Any]] = []
    followed: dict[Path, dict[int, Landmarks | None]] = {}
    with MediaPipeTracker() as tracker, tempfile.TemporaryDirectory() as passing:
        folder = Path(passing) if keep is None else made_folder(Path(keep))
        for source, driving, name in jobs:
            picture = _first_frame(source, Path(passing)) if self_reenact else source
            face = _face(source, read_image(picture), tracker)
            done = reenact([picture], driving, folder / name, model=model, frame=frame)
            figures = score(
                face,
                driving,
                done.output,
                tracker,
                count=done.frames,
                frames=frames,
                followed=followed.setdefault(driving, {}),
                truth=self_reenact,
            )
            if keep is None:
                done.output.unlink()
            shown = f"first frame of {source.name}" if self_reenact else source.name
            pairs.append({"source": shown, "driving": driving.name, **_rounded(figures)})
            if progress is not None:
                progress(ProgressEvent("measure", len(pairs), len(jobs), "pairs"))
    figures_only = [{k: v for k, v in p.items() if k not in ("source", "driving")} for p in pairs]
    return {"pairs": pairs, "median": _rounded(_medians(figures_only))}


def score(
    source: Face,
    driving: Path,
    output: Path,
    tracker: FaceTracker,
    *,
    count: int,
    frames: int = 60,
    followed: dict[int, Landmarks | None] | None = None,
    truth: bool = False,
) -> dict[str, Any]:
    """Figures of one reenactment.

    Args:
        source: the photograph that moves.
        driving: driving video.
        output: the reenactment, frame for frame.
        tracker: used on every frame as on a photograph: several looks keep its noise small.
        count: frames of both videos.
        frames: frames looked at, at most, evenly spaced.
        followed: landmarks of the driving video by frame, filled in here; to be given again for the next
            output of the same driving video.
        truth: whether the driving video shows what the output should: adds the last three figures.

    Returns:
        Figures of `motion_figures`, and

        - texture_ssim: mean of `texture_ssim` between source and output.
        - sharpness: median of `sharpness`, output over source.
        - jitter: `jitter_ratio`, output over driving video.
        - face_fraction: share of the output's frames in which a face was found.
        - akd: mean distance of the output's landmarks from the truth, in outer-eye distances.
        - akd_still: the same for the first frame standing still.
        - psnr: mean of the frames' peak signal-to-noise ratios against the truth, in decibels, 60 at most.
    """
    wanted, middles = _sampled(count, frames)
    compared, textured = set(wanted), set(wanted[::2])
    looked_at = compared | {k + step for k in middles for step in (-1, 0, 1)}
    drivers = {} if followed is None else followed
    outputs: dict[int, Landmarks | None] = {}
    ssim, sharp, psnr = [], [], []
    place: NDArray[np.float64] | None = None
    with VideoReader(driving) as driver_frames, VideoReader(output) as output_frames:
        for driver, shown in zip(driver_frames, output_frames, strict=True):
            k = shown.index
            if k not in looked_at:
                continue
            if k not in drivers:
                drivers[k] = _track(tracker, driver.image)
            found = outputs[k] = _track(tracker, shown.image)
            if found is not None and k in textured:
                face = Face(shown.image, found)
                ssim.append(texture_ssim(source, face))
                sharp.append(sharpness(source, face))
            if truth and k in compared:
                if place is None:
                    place = placement(drivers[k], found, driver.image.shape, shown.image.shape)
                psnr.append(_psnr(driver.image, shown.image, place))

    both = [(d, o) for d, o in ((drivers[k], outputs[k]) for k in wanted) if d is not None and o is not None]
    figures = motion_figures([d for d, _ in both], [o for _, o in both])
    figures["texture_ssim"] = _over(statistics.fmean, ssim)
    figures["sharpness"] = _over(statistics.median, sharp)
    figures["jitter"] = jitter_ratio(
        *([[track[k + step] for step in (-1, 0, 1)] for k in middles] for track in (drivers, outputs))
    )
    figures["face_fraction"] = statistics.fmean(outputs[k] is not None for k in wanted)
    if truth:
        assert place is not None, "a video has a frame"
        figures["akd"] = _over(statistics.fmean, [landmark_distances(d, o, place) for d, o in both])
        figures["akd_still"] = _over(statistics.fmean, [landmark_distances(d, both[0][0]) for d, _ in both])
        figures["psnr"] = _over(statistics.fmean, psnr)
    return figures


def _psnr(truth: NDArray[np.uint8], output: NDArray[np.uint8], place: NDArray[np.float64]) -> float:
    """Peak signal-to-noise ratio in decibels, 60 at most."""
    size = output.shape[1::-1]
    fitted = cv2.warpAffine(softened(truth, 1 / place[0, 0]), place, size, borderMode=cv2.BORDER_REPLICATE)
    error = float(((output.astype(np.float32) - fitted) ** 2).mean())
    return min(60.0, 10 * float(np.log10(255**2 / max(error, 1e-3))))


def _sampled(count: int, frames: int) -> tuple[list[int], list[int]]:
    """Indices of the frames to be compared, and of the middle ones of the triples for jitter."""
    wanted = [round(k) for k in np.linspace(0, count - 1, min(count, frames))]
    middles = [k for k in wanted if 0 < k < count - 1]
    return wanted, middles[:: max(1, -(-len(middles) // TRIPLES))]


def _track(tracker: FaceTracker, image: NDArray[np.uint8]) -> Landmarks | None:
    track = tracker.track(image, still=True)
    return None if track is None else track.landmarks.astype(np.float64)


def _face(path: Path, image: NDArray[np.uint8], tracker: FaceTracker) -> Face:
    landmarks = _track(tracker, image)
    if landmarks is None:
        raise InputError(f"{path}: no face was found to start from; use one that shows it from the front")
    return Face(image, landmarks)


def _first_frame(video: Path, folder: Path) -> Path:
    """A picture of the video's first frame."""
    with VideoReader(video) as reader:
        return write_image(folder / f"{video.stem}.png", next(iter(reader)).image)


def files_of(path: Path, endings: Sequence[str], kind: str) -> list[Path]:
    """The file itself, or the files of that kind in a folder by name.

    Raises:
        InputError: the folder holds none.
    """
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in endings and not p.name.startswith("."))
    if not found:
        raise InputError(f"{path}: the folder holds no {kind}; put one there ({', '.join(endings)})")
    return found


def check_names(names: Sequence[str]) -> None:
    """Raises InputError if two outputs would have one name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{twice[0]}: two outputs would have this name; rename a portrait or driving video")


def made_folder(folder: Path) -> Path:
    """The folder, which is made if it does not exist.

    Raises:
        InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be made ({error.strerror}); choose another") from error
    return folder


def _over(average: Callable[[list[float]], float], values: Sequence[float | None]) -> float | None:
    """An average of the values that there are."""
    known = [value for value in values if value is not None]
    return float(average(known)) if known else None


def _medians(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of every figure, and of the figures inside of it."""
    return {
        name: _medians([row[name] for row in rows])
        if isinstance(value, dict)
        else _over(statistics.median, [row[name] for row in rows])
        for name, value in rows[0].items()
    }


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """Four digits of every figure."""
    return {
        name: _rounded(value) if isinstance(value, dict) else None if value is None else float(f"{value:.4g}")
        for name, value in figures.items()
    }
