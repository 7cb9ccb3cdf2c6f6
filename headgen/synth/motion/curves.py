"""Building blocks of motion: smooth steps, causal coloured noise, and times of events.

Everything here is causal: a value at time t depends on random numbers that were drawn for times up to t only,
in an order that does not depend on how long the curve is. The first n frames of a longer curve are therefore
the curve of n frames, which is what lets a listener react to a speaker without knowing the future.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.signal import butter, sosfilt, sosfreqz
from scipy.special import betainc

SETTLE = 3.0  # periods of the slowest frequency that a noise filter runs before its first value is used


def minimum_jerk(share: np.ndarray) -> np.ndarray:
    """Way travelled, 0 to 1, after a share of a movement's time (Flash and Hogan 1985).

    Velocity and acceleration are zero at both ends; below 0 it rests at 0, above 1 at 1.
    """
    x = np.clip(share, 0, 1)
    return x**3 * (10 - 15 * x + 6 * x**2)


def add_step(curve: np.ndarray, fps: float, start: float, seconds: float, change: np.ndarray) -> None:
    """Adds a minimum-jerk step to a curve (T, C), in place.

    Args:
        curve: (T, C) from time 0.
        fps: frames/s.
        start: seconds, at or after 0.
        seconds: how long the step takes.
        change: (C,) in all.
    """
    first = math.ceil(start * fps)
    last = max(math.ceil((start + seconds) * fps), first)
    times = np.arange(first, min(last, len(curve))) / fps
    curve[first:last] += minimum_jerk((times - start) / seconds)[:, None] * change
    curve[last:] += change


def quick_start(share: np.ndarray) -> np.ndarray:
    """As `minimum_jerk`, but fast at first with a long tail: half of the way after .26 of the time.

    The distribution function of Beta(2, 5).
    """
    return betainc(2.0, 5.0, np.clip(share, 0, 1))


def frame_times(frames: int, fps: float) -> np.ndarray:
    """(T,) seconds of frames from 0."""
    return np.arange(frames) / fps


def band_noise(
    frames: int, fps: float, rng: np.random.Generator, low: float, high: float, channels: int = 1
) -> np.ndarray:
    """Gaussian noise of one frequency band whose *velocity* has unit variance.

    Scaled by the filter's own response, not by the noise that happened to come.

    Args:
        frames: T.
        fps: frames/s.
        rng: source of chance.
        low: Hz, above 0.
        high: Hz; cut at nine tenths of half the frame rate.
        channels: independent curves.

    Returns:
        (T, channels), in units in which its derivative per second has variance 1.
    """
    high = min(high, 0.45 * fps)
    if not 0 < low < high:
        raise ValueError(f"no band from {low} to {high} Hz at {fps} frames/s")
    sections = butter(3, [low, high], btype="bandpass", fs=fps, output="sos")
    burn = round(SETTLE * fps / low)
    white = rng.standard_normal((burn + frames, channels))
    frequency, response = sosfreqz(sections, worN=8192, fs=fps)
    power = np.mean((np.abs(response) * 2 * np.pi * frequency) ** 2)
    return sosfilt(sections, white, axis=0)[burn:] / np.sqrt(power)


def drift(frames: int, fps: float, rng: np.random.Generator, seconds: float, channels: int = 1) -> np.ndarray:
    """Slow Gaussian wandering with unit variance.

    A critically damped second-order process (two first-order lags in a row), so that its speed is finite.

    Args:
        frames: T.
        fps: frames/s.
        rng: source of chance.
        seconds: time constant of each lag.
        channels: independent curves.

    Returns:
        (T, channels).
    """
    keep = np.exp(-1 / (fps * seconds))
    sections = np.array([[(1 - keep) ** 2, 0, 0, 1, -2 * keep, keep**2]])
    burn = round(4 * SETTLE * fps * seconds)
    white = rng.standard_normal((burn + frames, channels))
    # variance of the impulse response's sum of squares, in closed form
    square = keep**2
    gain = (1 - keep) ** 4 * (1 + square) / (1 - square) ** 3
    return sosfilt(sections, white, axis=0)[burn:] / np.sqrt(gain)


def log_normal(rng: np.random.Generator, median: float, spread: float) -> float:
    """A positive number of this median, whose logarithm has this standard deviation."""
    return float(median * np.exp(spread * rng.standard_normal()))


def event_times(
    seconds: float, rng: np.random.Generator, median: float, spread: float
) -> Iterator[tuple[float, np.random.Generator]]:
    """Times of a renewal process with log-normal intervals, each with a stream of its own.

    Args:
        seconds: end of the clip.
        rng: source of chance.
        median: of the intervals, seconds.
        spread: standard deviation of their logarithm.

    Yields:
        time and a generator for everything that concerns this event. The first time lies anywhere in its
        interval, so that clips do not all begin right after an event.
    """
    time = log_normal(rng, median, spread) * float(rng.random())
    while time < seconds:
        (own,) = rng.spawn(1)
        yield time, own
        time += log_normal(rng, median, spread)


def interval_median(per_minute: float, spread: float) -> float:
    """Median of log-normal intervals, seconds, whose mean makes so many events per minute."""
    return 60 / per_minute * float(np.exp(-(spread**2) / 2))
