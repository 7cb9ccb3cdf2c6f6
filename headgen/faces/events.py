"""Nods, shakes, blinks, smiles and raised brows in curves of a moving face.

Everything here looks at whole clips, forwards and backwards: it measures, it does not generate. Times are
seconds from the clip's beginning.

Thresholds were chosen on 40 synthetic conversations of 30 s, whose events are known. On 40 others, with and
without a tracker's noise on the true motion, the F1 is .97 for nods (135), 1.00 for shakes (11), blinks
(303) and smiles (40), and .98 or more for raised brows (68). Starts may be .5 s off, those of blinks .2 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter1d, percentile_filter
from scipy.signal import find_peaks, peak_widths

from headgen.faces.motion import MOTION_NAMES

__all__ = [
    "MotionEvent",
    "blinks",
    "brow_raises",
    "full_extent",
    "motion_events",
    "nods",
    "runs",
    "shakes",
    "smiles",
]

Kind = Literal["nod", "nods", "shake", "blink", "smile", "brow_raise"]
"""Kinds of events, by the names that synthetic conversations use. A ``nod`` goes down and up once, ``nods``
do so several times in a row."""

TREMOR = 0.05
"""Seconds, standard deviation: of the smoothing that takes a tracker's noise off the head's angles."""
NOD, NOD_WINDOW, NOD_GAP = 2.5, 0.7, 0.8
"""Degrees that the head must dip under what comes before and after; seconds in which it has to go down and
come back; seconds between the lowest points of one row of nods. Our design: of the thresholds that do nearly
as well, the lowest, because generated nods may be weaker than those that it was chosen on."""
SHAKE, SHAKE_WINDOW, SHAKE_GAP, SHAKE_TURNS = 2.5, 0.8, 0.5, 3
"""Degrees and seconds likewise, of a swing to one side; turning points that make a shake."""
EDGE = 0.1
"""Share of a nod's, a swing's or a blink's height that is left where it begins and ends."""
BLINK, BLINK_WINDOW = 0.3, 1.0
"""Share of the way to shut eyes that the lids must close and open again; seconds in which they have to."""
SMILE, SMILE_SHORTEST = 0.3, 0.4
"""Share of a full smile that one has to reach; seconds, shorter ones are consonants."""
BROWS, BROWS_SHORTEST = 0.3, 0.12
"""Likewise for raised brows."""
REST_SHARE, REST_WINDOW = 20.0, 15.0
"""Percentile and seconds of the running level that a resting face keeps to."""
FULL_SHARE = 99.5
"""Percentile of a set of clips' movement that is taken for the full one."""
FULL_BLINK, FULL_SMILE, FULL_RAISE = 0.29, 0.21, 0.10
"""What a full blink, smile and raise change in the curves that `motion_events` makes: the lid gap over the
eye's width; the height of the mouth corners with half the mouth's width, and the height of the brows, in
outer-eye distances. Measured on the ICT face (`headgen.synth.motion.response`)."""


@dataclass(frozen=True)
class MotionEvent:
    """Something that a face was seen to do.

    Attributes:
        kind: see `Kind`.
        start, end: seconds.
        strength: the largest dip or swing in degrees for nods and shakes; for the others the share of the
            full movement, 1 for shut eyes or a full smile.
    """

    kind: Kind
    start: float
    end: float
    strength: float


def motion_events(motion: np.ndarray, fps: float = 25.0) -> list[MotionEvent]:
    """All events of a tracked face, in order of time.

    Args:
        motion: (T, K) columns as in `headgen.faces.motion.MOTION_NAMES`; NaN where no face was found.
        fps: frames/s.

    Raises:
        ValueError: wrong columns.
    """
    if motion.ndim != 2 or motion.shape[1] != len(MOTION_NAMES):
        raise ValueError(f"expected (T, {len(MOTION_NAMES)}) coefficients, got {motion.shape}")
    column = dict(zip(MOTION_NAMES, motion.T, strict=True))
    eyes = (column["eye_left"] + column["eye_right"]) / 2
    brows = (column["brow_left"] + column["brow_right"]) / 2
    # a dropping jaw takes the corners down with it, but hardly makes the mouth narrower
    mouth = (column["smile_left"] + column["smile_right"] + column["mouth_width"]) / 2
    found = [
        *nods(column["pitch"], fps),
        *shakes(column["yaw"], fps),
        *blinks(eyes, FULL_BLINK, fps),
        *smiles(mouth, FULL_SMILE, fps),
        *brow_raises(brows, FULL_RAISE, fps),
    ]
    return sorted(found, key=lambda event: event.start)


def nods(pitch: np.ndarray, fps: float = 25.0, least: float = NOD) -> list[MotionEvent]:
    """Nods: the head goes down and comes back within a moment, once or several times.

    Our design: the dip is measured against its own surroundings (prominence within `NOD_WINDOW` seconds), not
    on a band-passed curve. A band-pass swings below zero after a head has gone *up* and come back, which
    laughing and surprised heads do, and such swings pass for nods.

    Args:
        pitch: (T,) degrees, positive up; NaN where it is not known.
        fps: frames/s.
        least: degrees that the head has to dip.

    Returns:
        events of kind ``nod`` and ``nods``.
    """
    angle, known = _without_gaps(pitch)
    smooth = gaussian_filter1d(angle, TREMOR * fps, mode="nearest")
    rows = _rows(_turns(-smooth, fps, least, NOD_WINDOW), NOD_GAP)
    return _seen([_event("nod" if len(row) == 1 else "nods", row) for row in rows], known, fps)


def shakes(yaw: np.ndarray, fps: float = 25.0, least: float = SHAKE) -> list[MotionEvent]:
    """Head shakes: the head swings to one side, to the other and back, without a pause.

    Args:
        yaw: (T,) degrees; NaN where it is not known.
        fps: frames/s.
        least: degrees of a swing.

    Returns:
        events of kind ``shake``.
    """
    angle, known = _without_gaps(yaw)
    smooth = gaussian_filter1d(angle, TREMOR * fps, mode="nearest")
    sides = [turn for curve in (smooth, -smooth) for turn in _turns(curve, fps, least, SHAKE_WINDOW)]
    rows = _rows(sorted(sides, key=lambda turn: turn.time), SHAKE_GAP)
    return _seen([_event("shake", row) for row in rows if len(row) >= SHAKE_TURNS], known, fps)


def blinks(openness: np.ndarray, full: float, fps: float = 25.0) -> list[MotionEvent]:
    """Blinks: the eyes shut and open again within `BLINK_WINDOW` seconds.

    They are measured against their surroundings, like nods: eyes that look down or smile are half shut, and
    blink all the same.

    Args:
        openness: (T,) of the eyes, any unit and offset, larger is wider; NaN where it is not known.
        full: change from open to shut in the curve's unit, more than 0; see `full_extent`.
        fps: frames/s.

    Returns:
        events of kind ``blink``.
    """
    lids, known = _without_gaps(openness)
    dips = _turns(-lids, fps, BLINK * full, BLINK_WINDOW)
    return _seen([_event("blink", [dip], full) for dip in dips], known, fps)


def smiles(curve: np.ndarray, full: float, fps: float = 25.0) -> list[MotionEvent]:
    """Smiles and laughs: the mouth corners rise or part and stay so.

    Args:
        curve: (T,) height of the mouth corners, width of the mouth, or a coefficient of smiling; any unit and
            offset, larger is more of a smile; NaN where it is not known.
        full: change from rest to a full smile in the curve's unit, more than 0; see `full_extent`.
        fps: frames/s.

    Returns:
        events of kind ``smile``.
    """
    return _rises("smile", curve, full, fps, SMILE, SMILE_SHORTEST)


def brow_raises(curve: np.ndarray, full: float, fps: float = 25.0) -> list[MotionEvent]:
    """Raised brows.

    Args:
        curve: (T,) height of the brows, any unit and offset, larger is higher; NaN where it is not known.
        full: change from rest to fully raised in the curve's unit, more than 0; see `full_extent`.
        fps: frames/s.

    Returns:
        events of kind ``brow_raise``.
    """
    return _rises("brow_raise", curve, full, fps, BROWS, BROWS_SHORTEST)


def full_extent(curves: Iterable[np.ndarray], fps: float = 25.0) -> float:
    """The ``full`` of `smiles` and `brow_raises`, and of `blinks` if curves are negated, on an unknown scale.

    Our design: it is learnt from several clips, ten or more, preferably the real listeners', because a single
    clip need not hold a smile, and the largest of its idle movements would then pass for one.

    Args:
        curves: (T,) each, of one unit, rising with the movement; NaN where they are not known.
        fps: frames/s.

    Returns:
        nearly the largest rise above rest, in the curves' unit.
    """
    return float(np.percentile(np.concatenate([_above_rest(curve, fps) for curve in curves]), FULL_SHARE))


def _above_rest(curve: np.ndarray, fps: float) -> np.ndarray:
    """(T,) a curve less its running level at rest; gaps are bridged."""
    filled, _ = _without_gaps(curve)
    return filled - percentile_filter(filled, REST_SHARE, size=_odd(REST_WINDOW * fps), mode="nearest")


def _without_gaps(curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curve (T,) with its gaps bridged, level if nothing is known; and (T,) which frames were known."""
    values = np.asarray(curve, np.float64)
    known = np.isfinite(values)
    frames = np.arange(len(values))
    return np.interp(frames, frames[known], values[known]) if known.any() else np.zeros(len(values)), known


def _seen(events: list[MotionEvent], known: np.ndarray, fps: float) -> list[MotionEvent]:
    """Events of which at least half the frames were known."""
    return [e for e in events if known[int(e.start * fps) : round(e.end * fps) + 1].mean() >= 0.5]


@dataclass(frozen=True)
class _Turn:
    """A peak of a curve: seconds, and how far it stands out from its surroundings."""

    time: float
    start: float
    end: float
    height: float


def _turns(curve: np.ndarray, fps: float, least: float, window: float) -> list[_Turn]:
    """Peaks that stand out by more than ``least`` from both sides within so many seconds."""
    frames = _odd(window * fps)
    # a level stretch as long as the window has nothing to stand out from
    peaks, found = find_peaks(curve, plateau_size=(None, frames - 2), prominence=least, wlen=frames)
    outline = found["prominences"], found["left_bases"], found["right_bases"]
    _, _, left, right = peak_widths(curve, peaks, 1 - EDGE, outline)
    for k in range(len(peaks) - 1):  # the second of two quick blinks stands on the slope of the first
        valley = peaks[k] + int(np.argmin(curve[peaks[k] : peaks[k + 1]]))
        right[k], left[k + 1] = min(right[k], valley), max(left[k + 1], valley)
    columns = (peaks / fps, left / fps, right / fps, found["prominences"])
    return [_Turn(*map(float, row)) for row in zip(*columns, strict=True)]


def _odd(frames: float) -> int:
    """The nearest odd number of frames: a window with a middle."""
    return 2 * int(frames / 2) + 1


def _rows(turns: Sequence[_Turn], gap: float) -> list[list[_Turn]]:
    """Turns in order of time, parted where two are more seconds apart than ``gap``."""
    out: list[list[_Turn]] = []
    for turn in turns:
        if out and turn.time - out[-1][-1].time <= gap:
            out[-1].append(turn)
        else:
            out.append([turn])
    return out


def _event(kind: Kind, row: Sequence[_Turn], whole: float = 1.0) -> MotionEvent:
    start, end = min(turn.start for turn in row), max(turn.end for turn in row)
    return MotionEvent(kind, start, end, max(turn.height for turn in row) / whole)


def _rises(
    kind: Kind, curve: np.ndarray, full: float, fps: float, share: float, shortest: float
) -> list[MotionEvent]:
    """Stretches in which a curve reaches a share of the full movement, until half of that is left."""
    height, least = _above_rest(curve, fps), share * full
    out = []
    for start, stop in runs(height > least / 2):
        top = float(height[start:stop].max())
        if top > least and stop - start >= shortest * fps:
            out.append(MotionEvent(kind, start / fps, stop / fps, top / full))
    return _seen(out, np.isfinite(curve), fps)


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Stretches [start, stop) of a boolean curve (T,) that are true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
