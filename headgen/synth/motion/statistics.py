"""Statistics of how a head moves, from named motion coefficients over time.

One function serves tracked videos and generated motion alike (`headgen.synth.motion.measure` brings both into
the same columns), so that the two can be compared line by line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from headgen.faces.motion import MOTION_NAMES
from headgen.synth.motion.detection import (
    find_blinks,
    find_brow_raises,
    find_saccades,
    runs,
    smiling,
    talking,
)

AXES = ("yaw", "pitch", "roll")
BANDS = ((0.0, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 8.0))
"""Hz, of the velocity spectrum."""
GAZE_GAIN = 0.0119
"""Half widths of the eye that the iris moves per degree of gaze, near straight ahead.

From anatomy: the iris lies 9.9 mm before the centre of rotation, half a lid fissure is 14.5 mm. The
evaluation videos bear it out only roughly: where eyes hold a target while the head turns, gaze speed over
head speed is the gain. Of the fits that correlate beyond .8, four (in three clips) give .006 to .016, .010 on
average; the fifth, of 16 frames, has the opposite sign: those eyes went with the head.
"""
STILL_SPEED = 2.0  # degrees/s of all three axes together
AWAY = 8.0  # degrees from the clip's usual line of sight
NOISE_ABOVE = 9.0  # Hz: what a head's position still shows there is the tracker's noise
SMOOTHING = 1 / 25  # seconds, standard deviation, of positions before speeds are taken
LEAKAGE_SECONDS = 0.2  # standard deviation: what is slower belongs to the head
MOUTH_BAND = (2.0, 8.0)  # Hz
TALKED_ENOUGH = 1.5  # seconds, for statistics of talking


@dataclass(frozen=True)
class MotionStatistics:
    """What was measured in one clip; NaN where the clip does not say.

    Attributes:
        seconds: length of the clip.
        fps: frames/s.
        blinks, saccades, brow_raises: how many.
        open_seconds: time with open eyes, which the saccades were counted in.
        blink_durations, blink_closings, blink_openings: seconds, one per blink (see `LidClosure`).
        blink_intervals: seconds between the deepest points of successive blinks.
        fixations: seconds between successive saccades.
        head_rms: (3,) degrees about the clip's mean, in the order of `AXES`; this and what follows of the
            head is measured on angles `without_leakage`.
        head_speed: (3,) median of the absolute speed, degrees/s.
        head_speed_high: (3,) its 95th percentile.
        head_spectrum: (3, 5) power of the velocity in `BANDS`, (degrees/s)^2, less the tracker's noise.
        still_share: of frames in which the head turns slower than `STILL_SPEED`.
        away_share: of frames in which the line of sight is `AWAY` degrees off the clip's median.
        smile_share: of frames with raised lip corners.
        talking_seconds: time in which the lips keep moving.
        mouth_mean, mouth_rms, mouth_high: mean, standard deviation and 95th percentile of the gap of the lips
            while talking, in outer-eye distances.
        mouth_rate: Hz at which the opening speed's spectrum peaks between 2 and 8 Hz.
    """

    seconds: float
    fps: float
    blinks: int
    saccades: int
    brow_raises: int
    open_seconds: float
    blink_durations: tuple[float, ...]
    blink_closings: tuple[float, ...]
    blink_openings: tuple[float, ...]
    blink_intervals: tuple[float, ...]
    fixations: tuple[float, ...]
    head_rms: tuple[float, ...]
    head_speed: tuple[float, ...]
    head_speed_high: tuple[float, ...]
    head_spectrum: tuple[tuple[float, ...], ...]
    still_share: float
    away_share: float
    smile_share: float
    talking_seconds: float
    mouth_mean: float
    mouth_rms: float
    mouth_high: float
    mouth_rate: float


def motion_statistics(coefficients: np.ndarray, fps: float) -> MotionStatistics:
    """Measures a clip.

    Args:
        coefficients: (T, K) as `headgen.faces.motion.motion_coefficients` gives them, columns `MOTION_NAMES`,
            without gaps.
        fps: frames/s.

    Raises:
        ValueError: fewer than 16 frames, a gap, or wrong columns.
    """
    if coefficients.ndim != 2 or coefficients.shape[1] != len(MOTION_NAMES) or len(coefficients) < 16:
        raise ValueError(f"expected (16 or more, {len(MOTION_NAMES)}) coefficients, got {coefficients.shape}")
    if not np.isfinite(coefficients).all():
        raise ValueError("coefficients with gaps: measure the stretches apart")
    columns = {name: coefficients[:, k].astype(np.float64) for k, name in enumerate(MOTION_NAMES)}
    angles = np.stack([columns[axis] for axis in AXES], 1)
    lids = (columns["eye_left"] + columns["eye_right"]) / 2
    brows = (columns["brow_left"] + columns["brow_right"]) / 2
    corners = (columns["smile_left"] + columns["smile_right"]) / 2
    mouth = columns["mouth_open"]

    blinks = find_blinks(lids, fps)
    open_eyes = _away_from(lids < 0.6 * np.percentile(lids, 80), round(0.12 * fps))
    gaze = gaze_degrees(np.stack([columns["gaze_x"], columns["gaze_y"]], 1))
    saccades = find_saccades(gaze, fps, open_eyes)
    sight = gaze + angles[:, :2]
    usual = np.median(sight[open_eyes] if open_eyes.any() else sight, axis=0)
    away = np.linalg.norm(sight - usual, axis=1)[open_eyes] > AWAY

    angles = without_leakage(angles, np.stack([columns["jaw_open"], mouth, lids], 1), fps)
    smooth = gaussian_filter1d(angles, SMOOTHING * fps, axis=0, mode="nearest")
    speed = np.abs(np.gradient(smooth, axis=0)) * fps
    talks = talking(mouth, fps)
    talked = float(talks.sum() / fps)
    spoken = mouth[talks] if talked >= TALKED_ENOUGH else np.full(1, np.nan)
    return MotionStatistics(
        seconds=len(coefficients) / fps,
        fps=fps,
        blinks=len(blinks),
        saccades=len(saccades),
        brow_raises=len(find_brow_raises(brows, fps)),
        open_seconds=float(open_eyes.sum() / fps),
        blink_durations=tuple(blink.duration for blink in blinks),
        blink_closings=tuple(blink.closing for blink in blinks),
        blink_openings=tuple(blink.opening for blink in blinks),
        blink_intervals=tuple(float(gap) for gap in np.diff([blink.time for blink in blinks])),
        fixations=tuple(float(gap) for gap in np.diff(saccades) / fps),
        head_rms=_three(angles.std(0)),
        head_speed=_three(np.median(speed, axis=0)),
        head_speed_high=_three(np.percentile(speed, 95, axis=0)),
        head_spectrum=tuple(tuple(float(p) for p in velocity_power(angle, fps)) for angle in angles.T),
        still_share=float((np.linalg.norm(speed, axis=1) < STILL_SPEED).mean()),
        away_share=float(away.mean()) if len(away) else float("nan"),
        smile_share=float(smiling(corners, fps).mean()),
        talking_seconds=talked,
        mouth_mean=float(spoken.mean()),
        mouth_rms=float(spoken.std()) if talked >= TALKED_ENOUGH else float("nan"),
        mouth_high=float(np.percentile(spoken, 95)),
        mouth_rate=_opening_rate(mouth, talks, fps) if talked >= TALKED_ENOUGH else float("nan"),
    )


def gaze_degrees(offsets: np.ndarray) -> np.ndarray:
    """Gaze against the head in degrees from iris offsets (..., 2) in half widths of the eye."""
    return np.rad2deg(np.arcsin(np.clip(np.asarray(offsets) * np.deg2rad(1) / GAZE_GAIN, -1, 1)))


def gaze_offsets(degrees: np.ndarray) -> np.ndarray:
    """Iris offsets (..., 2) in half widths of the eye: the inverse of `gaze_degrees`."""
    return np.sin(np.deg2rad(degrees)) * (GAZE_GAIN / np.deg2rad(1))


def without_leakage(angles: np.ndarray, face: np.ndarray, fps: float) -> np.ndarray:
    """Head angles less what the face explains of their quick part.

    A tracker takes a dropping jaw or a closing lid for a little head motion, pitch above all: of
    the velocity power at 2 to 8 Hz in the median measured clip, jaw, lips and lids explain 47 % of the
    pitch's, 15 % of the yaw's and 2 % of the roll's. Our design: the part above about 1 Hz that is a linear
    function of the face is subtracted. Nods in step with the jaw go with it.

    Args:
        angles: (T, 3) degrees.
        face: (T, C) coefficients that may leak.
        fps: frames/s.

    Returns:
        (T, 3).
    """
    reach = LEAKAGE_SECONDS * fps
    quick, cause = (x - gaussian_filter1d(x, reach, axis=0, mode="nearest") for x in (angles, face))
    # speeds weigh what matters to the spectrum; a face that does not move explains nothing
    used = cause.std(0) > 1e-6
    if not used.any():
        return angles
    cause = cause[:, used]
    gains = np.linalg.lstsq(np.diff(cause, axis=0), np.diff(quick, axis=0), rcond=None)[0]
    return angles - cause @ gains


def velocity_power(angle: np.ndarray, fps: float) -> np.ndarray:
    """Power of an angle's velocity in each of `BANDS`.

    Our design: the position's spectrum above `NOISE_ABOVE` is taken for white noise of the tracker and
    subtracted at all frequencies, because differentiation would otherwise make it most of the highest band.

    Args:
        angle: (T,) degrees.
        fps: frames/s.

    Returns:
        (5,) (degrees/s)^2.
    """
    window = np.hanning(len(angle) + 2)[1:-1]
    spectrum = np.abs(np.fft.rfft((angle - angle.mean()) * window)) ** 2 / (window**2).sum()
    frequency = np.fft.rfftfreq(len(angle), 1 / fps)
    noise = spectrum[frequency > NOISE_ABOVE]
    if len(noise):
        spectrum = spectrum - noise.mean()
    power = spectrum * (2 * np.pi * frequency) ** 2 * 2 / len(angle)
    # bands, not single frequencies, are kept from going below zero: noise is right on average only
    bands = [power[(frequency >= low) & (frequency < high)].sum() for low, high in BANDS]
    return np.maximum(bands, 0)


def _opening_rate(mouth: np.ndarray, talks: np.ndarray, fps: float) -> float:
    """Frequency at which the speed of the lips' gap has most power while talking."""
    start, stop = max(runs(talks), key=lambda run: run[1] - run[0])
    speed = np.gradient(mouth[start:stop]) * fps
    size = 8 * len(speed)
    power = np.abs(np.fft.rfft(speed * np.hanning(len(speed)), size)) ** 2
    frequency = np.fft.rfftfreq(size, 1 / fps)
    inside = (frequency >= MOUTH_BAND[0]) & (frequency <= MOUTH_BAND[1])
    return float(frequency[inside][np.argmax(power[inside])])


def _away_from(mask: np.ndarray, frames: int) -> np.ndarray:
    """(T,) frames farther than so many from all that are marked."""
    kernel = np.ones(2 * frames + 1)
    return np.convolve(mask, kernel)[frames : frames + len(mask)] < 0.5


def _three(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def summarise(clips: Iterable[MotionStatistics]) -> dict[str, float]:
    """One number per statistic, over several clips.

    Rates are events over time, all clips together; durations and intervals are medians over all events;
    shares that most clips have none of (looks away, smiles) are shares of all time; everything else is the
    median over the clips that have it. NaN where no clip has it.

    Returns:
        values by name, in a fixed order; names end in their unit where they have one.
    """
    clips = list(clips)
    seconds = sum(clip.seconds for clip in clips)
    eyes_open = sum(clip.open_seconds for clip in clips)

    def pooled(name: str) -> np.ndarray:
        values = np.array([value for clip in clips for value in getattr(clip, name)], np.float64)
        return values[np.isfinite(values)]

    def median(values: Iterable[float]) -> float:
        kept = [value for value in values if np.isfinite(value)]
        return float(np.median(kept)) if kept else float("nan")

    def rate(name: str, time: float) -> float:
        return sum(getattr(clip, name) for clip in clips) / time if time else float("nan")

    def share(name: str) -> float:
        known = [(getattr(clip, name), clip.seconds) for clip in clips if np.isfinite(getattr(clip, name))]
        return sum(s * t for s, t in known) / sum(t for _, t in known) if known else float("nan")

    intervals = pooled("blink_intervals")
    out = {
        "blinks per minute": 60 * rate("blinks", seconds),
        "blink duration at half closure, s": median(pooled("blink_durations")),
        "blink closing time, s": median(pooled("blink_closings")),
        "blink opening time, s": median(pooled("blink_openings")),
        "blink interval, s": median(intervals),
        "blink interval, spread of log": float(np.log(intervals).std()) if len(intervals) > 4 else np.nan,
    }
    for k, axis in enumerate(AXES):
        out[f"{axis} rms, deg"] = median(clip.head_rms[k] for clip in clips)
        out[f"{axis} speed median, deg/s"] = median(clip.head_speed[k] for clip in clips)
        out[f"{axis} speed 95th percentile, deg/s"] = median(clip.head_speed_high[k] for clip in clips)
        for b, (low, high) in enumerate(BANDS):
            out[f"{axis} velocity {low:g}-{high:g} Hz, (deg/s)^2"] = median(
                clip.head_spectrum[k][b] for clip in clips
            )
    out["still share"] = median(clip.still_share for clip in clips)
    speeds = np.array([np.linalg.norm(clip.head_speed) for clip in clips])
    out["head speed, spread of log between clips"] = float(np.log(speeds).std()) if len(clips) > 4 else np.nan
    out["gaze aversion share"] = share("away_share")
    out["fixation, s"] = median(pooled("fixations"))
    out["saccades per second"] = rate("saccades", eyes_open)
    out["brow raises per minute"] = 60 * rate("brow_raises", seconds)
    out["smile share"] = share("smile_share")
    for name, title in (
        ("mouth_mean", "mouth opening mean, eye distances"),
        ("mouth_rms", "mouth opening rms, eye distances"),
        ("mouth_high", "mouth opening 95th percentile, eye distances"),
        ("mouth_rate", "mouth opening rate, Hz"),
    ):
        out[title] = median(getattr(clip, name) for clip in clips)
    return out
