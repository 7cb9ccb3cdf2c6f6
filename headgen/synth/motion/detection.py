"""Finding blinks, saccades, raised brows, smiles and talking in curves of named coefficients.

All of it looks at whole clips, forwards and backwards: it measures, it does not generate. The same code runs
on tracked and on generated curves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import percentile_filter, uniform_filter1d

from headgen.faces.events import runs

LEVEL_WINDOW = 4.0  # seconds: over which an eye's open state or a brow's rest is taken to be constant
BLINK_DEPTH = 0.25  # share of the lid gap that has to vanish
BLINK_LONGEST = 0.5  # seconds at half closure (Stern et al. 1984); longer ones are closed eyes
SACCADE_SPEED = 30.0  # degrees/s over two frames: about 2.5 degrees at 25 frames/s, above the tracker's noise
SACCADE_GAP = 0.1  # seconds
BROW_RAISE = 0.025  # outer-eye distances, a quarter of the full raise of the ICT face
BROW_SHORTEST, BROW_LONGEST = 0.12, 3.0  # seconds
SMILE = 0.035  # outer-eye distances that the lip corners rise, a third of the full smile of the ICT face
SMILE_SHORTEST = 0.4  # seconds; shorter rises are consonants
TALK_WINDOW, TALK_SPREAD = 0.8, 0.02  # seconds; standard deviation of the lips' gap in outer-eye distances


@dataclass(frozen=True)
class LidClosure:
    """One blink.

    Attributes:
        time: of the deepest closure, seconds.
        depth: share of the open gap that vanished, 0 to 1.
        duration: seconds below half of its own depth.
        closing: seconds from a tenth to nine tenths of the depth.
        opening: likewise, on the way back.
    """

    time: float
    depth: float
    duration: float
    closing: float
    opening: float


def find_blinks(lids: np.ndarray, fps: float) -> list[LidClosure]:
    """Blinks in a curve of lid gaps (T,), any unit; those cut off by the clip's ends are left out."""
    if len(lids) < 5:
        return []
    window = max(5, round(LEVEL_WINDOW * fps))
    wide = percentile_filter(lids, 85, size=window, mode="nearest")
    gap = lids / np.maximum(wide, 1e-6)
    found = []
    for start, stop in runs(gap < 1 - BLINK_DEPTH):
        deepest = start + int(np.argmin(gap[start:stop]))
        depth = 1 - float(gap[deepest])
        levels = [1 - share * depth for share in (0.1, 0.5, 0.9)]
        falls = [_crossing(gap, deepest, -1, level) for level in levels]
        rises = [_crossing(gap, deepest, 1, level) for level in levels]
        if falls[1] is None or rises[1] is None or falls[2] is None or rises[2] is None:
            continue
        duration = (rises[1] - falls[1]) / fps
        if duration > BLINK_LONGEST:
            continue
        closing = np.nan if falls[0] is None else (falls[2] - falls[0]) / fps
        opening = np.nan if rises[0] is None else (rises[0] - rises[2]) / fps
        found.append(LidClosure(deepest / fps, depth, duration, closing, opening))
    return found


def _crossing(curve: np.ndarray, start: int, step: int, level: float) -> float | None:
    """Frame, interpolated, at which a curve first reaches a level on the way from ``start``."""
    k = start
    while 0 <= k + step < len(curve):
        if curve[k + step] >= level:
            return k + step * float((level - curve[k]) / (curve[k + step] - curve[k]))
        k += step
    return None


def find_saccades(gaze: np.ndarray, fps: float, valid: np.ndarray) -> np.ndarray:
    """Frames at which the eyes jump.

    Args:
        gaze: (T, 2) eyes against the head, degrees. Eyes that hold a point while the head turns move too
            slowly to count.
        fps: frames/s.
        valid: (T,) frames in which the eyes are open.

    Returns:
        (N,) frames of the greatest speed.
    """
    if len(gaze) < 3:
        return np.zeros(0, np.int64)
    speed = np.zeros(len(gaze))
    speed[1:-1] = np.linalg.norm(gaze[2:] - gaze[:-2], axis=1) * fps / 2
    seen = valid.copy()
    seen[1:-1] &= valid[2:] & valid[:-2]
    speed[~seen] = 0
    found: list[int] = []
    for start, stop in runs(speed > SACCADE_SPEED):
        peak = start + int(np.argmax(speed[start:stop]))
        if not found or peak - found[-1] >= SACCADE_GAP * fps:
            found.append(peak)
    return np.array(found, np.int64)


def find_brow_raises(brows: np.ndarray, fps: float) -> list[tuple[int, int]]:
    """Stretches [start, stop) of frames with raised brows; ``brows`` (T,) in outer-eye distances."""
    window = max(5, round(LEVEL_WINDOW * fps))
    rest = percentile_filter(brows, 25, size=window, mode="nearest")
    raised = runs(brows - rest > BROW_RAISE)
    return [(a, b) for a, b in raised if BROW_SHORTEST <= (b - a) / fps <= BROW_LONGEST]


def smiling(corners: np.ndarray, fps: float) -> np.ndarray:
    """(T,) frames in which the lip corners (T,), outer-eye distances, stand above the clip's own rest."""
    out = np.zeros(len(corners), bool)
    for start, stop in runs(corners - np.percentile(corners, 20) > SMILE):
        if stop - start >= SMILE_SHORTEST * fps:
            out[start:stop] = True
    return out


def talking(mouth: np.ndarray, fps: float) -> np.ndarray:
    """(T,) frames around which the lips' gap (T,), outer-eye distances, keeps changing."""
    size = max(3, round(TALK_WINDOW * fps))
    mean = uniform_filter1d(mouth, size, mode="nearest")
    spread = np.sqrt(np.maximum(uniform_filter1d(mouth**2, size, mode="nearest") - mean**2, 0))
    return spread > TALK_SPREAD
