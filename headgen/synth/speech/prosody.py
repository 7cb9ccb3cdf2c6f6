"""What can be heard in speech as it is spoken: pitch, loudness, activity, pauses and low-pitch regions.

Everything here is causal: value k is a function of the samples before ``(k + 1) / CONTROL_RATE`` alone, so
that a listener who goes by it cannot know the future.

Legend: N samples, M values at `CONTROL_RATE`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d
from scipy.signal import butter, sosfilt

from headgen.synth.speech.track import CONTROL_RATE, SAMPLE_RATE

__all__ = ["Heard", "low_pitch_regions", "pauses", "pitch_and_loudness", "voice_activity"]

HOP = SAMPLE_RATE // CONTROL_RATE
LOUDNESS_WINDOW = 2 * HOP
"""Samples (20 ms): two hops, so that a voice of 60 Hz does not flicker."""

PITCH_RANGE = (60.0, 500.0)
"""Hz: between these lies the pitch of adults."""
PITCH_WINDOW = 200
"""Values at half the sample rate (25 ms) that are compared with themselves."""
PERIODIC = 0.15
"""The first lag whose normalised difference falls below this is the period (YIN, step 4)."""
APERIODIC = 0.3
"""Without such a lag the deepest dip counts, up to here; above it a sound is unvoiced."""

LOW_PERCENTILE, LOW_LASTS, LOW_AFTER = 0.26, 0.11, 0.7
"""Ward and Tsukahara 2000, for English: percentile, seconds of it, seconds of speech before."""


@dataclass(frozen=True)
class Heard:
    """A stretch of speech that a listener notices.

    Attributes:
        start, end: seconds; where it goes on to the end of the speech, that end.
        known: seconds, when it could be noticed first: between `start` and `end`.
    """

    start: float
    known: float
    end: float


def pitch_and_loudness(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pitch and loudness of speech.

    The pitch is YIN's (de Cheveigne and Kawahara 2002, steps 1 to 5) on a window that ends at the present.
    Our design: the sound is low-passed at 900 Hz first, which leaves the first harmonics and takes away most
    noise; and a value further than 0.6 octaves from the median of the last tenth of a second is dropped:
    octave errors are short, real changes stay.

    Args:
        samples: (N,) from -1 to 1 at `SAMPLE_RATE`.

    Returns:
        pitch (M,) float32 Hz, 0 where unvoiced; loudness (M,) float32 root mean square of 20 ms. M is the
        number of whole hundredths of a second.
    """
    count = len(samples) // HOP
    if not count:
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    loudness = _ending_root_mean_square(np.asarray(samples, np.float64), HOP, LOUDNESS_WINDOW, count)
    low = sosfilt(butter(4, 900, fs=SAMPLE_RATE, output="sos"), np.asarray(samples, np.float64))[::2]
    strength = _ending_root_mean_square(low, HOP // 2, HOP, count)
    audible = strength > np.maximum(1e-3, 0.04 * _past_maximum(strength, 3 * CONTROL_RATE))
    pitch = np.zeros(count)
    longest = int(SAMPLE_RATE / 2 / PITCH_RANGE[0])
    length = PITCH_WINDOW + longest + 1
    padded = np.concatenate([np.zeros(length), low])
    windows = np.lib.stride_tricks.sliding_window_view(padded, length)[HOP // 2 :: HOP // 2][:count]
    where = np.flatnonzero(audible)
    for part in np.split(where, range(2000, len(where), 2000)):  # bounds the memory on long recordings
        pitch[part] = _periods(windows[part])
    return _without_octave_errors(pitch).astype(np.float32), loudness.astype(np.float32)


def voice_activity(loudness: np.ndarray) -> np.ndarray:
    """Whether somebody speaks: louder than a tenth of the loudest in the last 5 s, or just before.

    Args:
        loudness: (M,).

    Returns:
        (M,) bool; held for 80 ms, longer than most closures of stop consonants.
    """
    loud = loudness > np.maximum(3e-3, 0.1 * _past_maximum(loudness, 5 * CONTROL_RATE))
    return _past_maximum(loud.astype(np.uint8), 9).astype(bool)


def pauses(loudness: np.ndarray, least: float = 0.2) -> list[Heard]:
    """Silences between speech, each known once it has lasted for `least` seconds.

    Args:
        loudness: (M,).
        least: seconds.

    Returns:
        in order of time; silence before the first word is none.
    """
    active = voice_activity(loudness)
    found = []
    for start, end in _runs(~active):
        known = start + round(least * CONTROL_RATE)
        if start > 0 and known <= end:
            found.append(Heard(start / CONTROL_RATE, known / CONTROL_RATE, end / CONTROL_RATE))
    return found


def low_pitch_regions(pitch: np.ndarray, loudness: np.ndarray) -> list[Heard]:
    """Stretches of low pitch, the cue to back-channels of Ward and Tsukahara 2000 (P1 to P3).

    The pitch lies below the 26th percentile of what was heard so far, for at least 110 ms, after at least
    700 ms of speech. Our design: unvoiced gaps of up to 40 ms do not end a region (voiceless consonants),
    and the percentile counts once half a second of voice has been heard.

    Args:
        pitch: (M,) Hz, 0 where unvoiced.
        loudness: (M,).

    Returns:
        in order of time; `Heard.known` is when the 110 ms are over.
    """
    active = voice_activity(loudness)
    heard: list[float] = []  # sorted
    found = []
    spoken = silent = gap = 0
    start = last = None
    for k, value in enumerate(pitch.tolist()):
        silent = 0 if active[k] else silent + 1
        spoken = 0 if silent > CONTROL_RATE else spoken + int(active[k])
        low = False
        if value > 0:
            low = len(heard) >= CONTROL_RATE // 2 and bisect_left(heard, value) < LOW_PERCENTILE * len(heard)
            insort(heard, value)
        if low and spoken > LOW_AFTER * CONTROL_RATE:
            start = k if start is None else start
            last, gap = k, 0
        elif start is not None:
            gap += 1
            if value > 0 or gap > 4:
                found += _long_enough(start, last)
                start = None
    if start is not None:
        found += _long_enough(start, last)
    return found


def _long_enough(start: int, last: int | None) -> list[Heard]:
    known = start + round(LOW_LASTS * CONTROL_RATE)
    end = (last or start) + 1
    if known > end:
        return []
    return [Heard(start / CONTROL_RATE, known / CONTROL_RATE, end / CONTROL_RATE)]


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Begin and end (exclusive) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _past_maximum(values: np.ndarray, length: int) -> np.ndarray:
    """Largest of the last `length` values, the present one among them."""
    return maximum_filter1d(values, length, mode="constant", origin=length // 2 - (length + 1) % 2)


def _ending_root_mean_square(samples: np.ndarray, hop: int, window: int, count: int) -> np.ndarray:
    """(M,) root mean square of the `window` samples that end with each hop."""
    padded = np.concatenate([np.zeros(window - hop), samples[: count * hop]])
    parts = (padded**2).reshape(-1, hop).sum(1)
    return np.sqrt(np.convolve(parts, np.ones(window // hop), "valid") / window)


def _periods(windows: np.ndarray) -> np.ndarray:
    """(M',) Hz of windows (M', window + longest lag + 1) at half the sample rate, 0 where aperiodic."""
    lags = windows.shape[1] - PITCH_WINDOW
    size = 1 << (windows.shape[1] - 1).bit_length()
    first = np.fft.rfft(windows[:, :PITCH_WINDOW], size)
    products = np.fft.irfft(first.conj() * np.fft.rfft(windows, size), size)[:, :lags]
    energy = np.cumsum(np.pad(windows**2, ((0, 0), (1, 0))), 1)
    energy = energy[:, PITCH_WINDOW:][:, :lags] - energy[:, :lags]
    difference = np.maximum(energy[:, :1] + energy - 2 * products, 0)
    mean = np.cumsum(difference[:, 1:], 1) / np.arange(1, lags)
    normal = np.ones_like(difference)
    np.divide(difference[:, 1:], mean, out=normal[:, 1:], where=mean > 1e-12)
    shortest = int(SAMPLE_RATE / 2 / PITCH_RANGE[1])
    middle = normal[:, shortest:-1]
    dip = (middle <= normal[:, shortest - 1 : -2]) & (middle <= normal[:, shortest + 1 :])
    clear = dip & (middle < PERIODIC)
    dips = np.where(dip, middle, np.inf)
    at = np.where(clear.any(1), clear.argmax(1), dips.argmin(1))
    rows = np.arange(len(windows))
    depth = dips[rows, at]
    at = at + shortest
    before, here, after = (normal[rows, at + k] for k in (-1, 0, 1))
    bend = before - 2 * here + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros_like(bend), where=bend > 1e-9)
    return np.where(depth < APERIODIC, SAMPLE_RATE / 2 / (at + np.clip(shift, -0.5, 0.5)), 0.0)


def _without_octave_errors(pitch: np.ndarray) -> np.ndarray:
    """Drops values that are far from the median of the last ten."""
    padded = np.concatenate([np.zeros(9), pitch])
    octaves = np.where(padded > 0, np.log2(np.maximum(padded, 1)), np.inf)
    ordered = np.sort(np.lib.stride_tricks.sliding_window_view(octaves, 10), 1)  # unvoiced ones come last
    voiced = np.isfinite(ordered).sum(1)
    median = ordered[np.arange(len(pitch)), np.maximum(voiced - 1, 0) // 2]
    with np.errstate(invalid="ignore"):
        near = np.abs(octaves[9:] - median) < 0.6
    return np.where(near, pitch, 0.0)
