"""Motion statistics of videos and of generated motion, through the same quantities."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headgen.errors import InputError
from headgen.faces.events import runs
from headgen.faces.mesh import fit_pose
from headgen.faces.motion import motion_coefficients
from headgen.media.video import VideoReader
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.synth.heads.model import HeadMotion
from headgen.synth.motion.response import coefficients_of
from headgen.synth.motion.statistics import MotionStatistics, motion_statistics

SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"}
"""Endings of files that count as videos in a folder."""
SHORTEST = 2.0  # seconds of unbroken track


def find_videos(place: Path) -> list[Path]:
    """Videos in a folder and those below it, by path; or the one file given.

    Raises:
        InputError: no such place, or no video there.
    """
    place = Path(place)
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise InputError(f"{place}: no such folder; give a folder with videos")
    found = sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{place}: no video in it; known endings are {', '.join(sorted(SUFFIXES))}")
    return found


def video_coefficients(path: Path) -> tuple[np.ndarray, float]:
    """Motion coefficients of the face in a video, over the longest stretch in which it is seen throughout.

    The pose is fitted to the person's own face, the median over the stretch.

    Args:
        path: the video.

    Returns:
        (T, K) columns as in `headgen.faces.motion.MOTION_NAMES`; frames/s.

    Raises:
        InputError: not a video, or no face for long enough.
    """
    from headgen.faces.tracker import MediaPipeTracker

    landmarks = []
    with VideoReader(path) as reader, MediaPipeTracker(mirror=True) as tracker:
        fps = float(reader.info.fps)
        for frame in reader:
            track = tracker.track(frame.image)
            landmarks.append(None if track is None else track.landmarks)
    stretches = runs(np.array([points is not None for points in landmarks]))
    start, stop = max(stretches, key=lambda run: run[1] - run[0], default=(0, 0))
    if stop - start < SHORTEST * fps:
        raise InputError(
            f"{path}: no face for {SHORTEST:g} s on end; give a video of one face seen throughout"
        )
    seen = np.stack([points for points in landmarks[start:stop] if points is not None])
    own = np.median([fit_pose(points).frontal for points in seen], axis=0)
    return motion_coefficients(seen, own), fps


def measure_videos(place: Path, progress: ProgressCallback | None = None) -> dict[str, MotionStatistics]:
    """Statistics of every video of a folder, by its path there.

    Args:
        place: folder, searched through, or a single file.
        progress: called after every video.

    Raises:
        InputError: see `find_videos` and `video_coefficients`.
    """
    paths = find_videos(place)
    out = {}
    for k, path in enumerate(paths):
        name = path.name if Path(place).is_file() else str(path.relative_to(place))
        out[name] = motion_statistics(*video_coefficients(path))
        if progress is not None:
            progress(ProgressEvent("track", k + 1, len(paths), "videos"))
    return out


def measure_motion(motion: HeadMotion, fps: float) -> MotionStatistics:
    """Statistics of generated motion: the same code on what a perfect tracker would read off it.

    Args:
        motion: T frames.
        fps: frames/s.
    """
    return motion_statistics(coefficients_of(motion), fps)
