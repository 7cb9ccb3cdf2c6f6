"""Whether a mouth moves with the sound: correlation and offset, without any network.

SyncNet (Chung and Zisserman 2016), whose confidence papers report, is a trained network that headgen does not
have. What is measured here goes by other names and must not be compared with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d

from headgen.media.sound import SoundReader

__all__ = ["LipSync", "lip_sync", "loudness"]

RATE = 16_000
MOST_OFFSET = 0.5
"""Seconds by which a mouth may be early or late."""
FLOOR = 1e-4
"""Of full scale: under it, sound is silence."""
TREND = 1.0
"""Seconds: slower changes, such as a smile or a voice that is raised, are left out."""


class LipSync(NamedTuple):
    """How a mouth goes with a sound.

    Attributes:
        correlation: at the offset found, -1 to 1; higher is better. Good speech reaches .3 to .6, because
            what is loud is not always open.
        offset: seconds by which the mouth is late, negative if it is early; best near 0.
    """

    correlation: float
    offset: float


def loudness(path: Path, frames: int, fps: float) -> np.ndarray:
    """Loudness of a file's sound around each frame of its video: (frames,) in decibels of full scale.

    Raises:
        InputError: the file has no sound.
    """
    edges = np.round(np.arange(frames + 1) * RATE / fps).astype(int)
    energy, counts = np.zeros(frames), np.zeros(frames)
    place = 0
    for block in SoundReader(path, RATE):
        which = np.searchsorted(edges, np.arange(place, place + len(block)), side="right") - 1
        inside = which < frames
        energy += np.bincount(which[inside], np.square(block[inside], dtype=np.float64), frames)
        counts += np.bincount(which[inside], minlength=frames)
        place += len(block)
        if place >= edges[-1]:
            break
    return 10 * np.log10(energy / np.maximum(counts, 1) + FLOOR**2)


def lip_sync(mouth: np.ndarray, sound: np.ndarray, fps: float) -> LipSync | None:
    """How a mouth's opening goes with the loudness of a sound.

    Our design: both lose their slow trend, and of all offsets up to half a second that with the highest
    correlation is taken, refined by a parabola to a part of a frame.

    Args:
        mouth: (T,) opening, any unit; NaN where it is not known.
        sound: (T,) loudness in decibels.
        fps: frames a second.

    Returns:
        None if the mouth or the sound does nothing, or the video is shorter than two seconds.
    """
    known = np.isfinite(mouth)
    if len(mouth) < 2 * fps or known.mean() < 0.5:
        return None
    frames = np.arange(len(mouth))
    a, b = (_lively(x, fps) for x in (np.interp(frames, frames[known], mouth[known]), sound))
    if min(a.std(), b.std()) < 1e-9:
        return None
    most = int(MOST_OFFSET * fps)
    lags = np.arange(-most, most + 1)
    found = np.array([_correlation(a, b, lag) for lag in lags])
    best = int(found.argmax())
    shift = 0.0
    if 0 < best < len(lags) - 1:
        left, top, right = found[best - 1 : best + 2]
        curve = left - 2 * top + right
        shift = 0.5 * (left - right) / curve if curve < 0 else 0.0
    return LipSync(float(found[best]), float((lags[best] + shift) / fps))


def _lively(curve: np.ndarray, fps: float) -> np.ndarray:
    return curve - gaussian_filter1d(curve.astype(np.float64), TREND * fps, mode="nearest")


def _correlation(mouth: np.ndarray, sound: np.ndarray, lag: int) -> float:
    """Of the mouth ``lag`` frames later than the sound."""
    a = mouth[max(0, lag) : len(mouth) + min(0, lag)]
    b = sound[max(0, -lag) : len(sound) + min(0, -lag)]
    a, b = a - a.mean(), b - b.mean()
    spread = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / spread) if spread > 0 else 0.0
