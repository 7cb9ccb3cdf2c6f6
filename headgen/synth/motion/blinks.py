"""Blinks: when they come, and how the lids move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headgen.synth.motion.curves import (
    frame_times,
    interval_median,
    log_normal,
    minimum_jerk,
    quick_start,
)

RESTING_RATE, SPEAKING_RATE = 17.0, 26.0
"""Blinks per minute at rest and in conversation (Bentivoglio et al. 1997)."""
INTERVAL_SPREAD = 0.7  # standard deviation of the intervals' logarithm: they are log-normal
DOUBLE_SHARE, DOUBLE_GAP = 0.06, (0.33, 0.15)  # blinks that another follows; seconds to it
PARTIAL_SHARE = 0.3  # of blinks do not close the eye
CLOSING, HOLDING, OPENING = (0.115, 0.15), (0.02, 0.5), (0.42, 0.2)
"""Seconds of the whole phases, median and spread of the logarithm; opening has a long tail."""
SHIFT_FROM, SHIFT_FULL, SHIFT_CHANCE = 10.0, 30.0, 0.35
"""Degrees from which gaze shifts may come with a blink, at which they do so with the full chance (Evinger et
al. 1994: the larger the shift, the likelier the blink)."""
APART = 0.25  # seconds between the starts of two blinks at least


@dataclass(frozen=True)
class Blink:
    """One blink.

    Attributes:
        start, end: seconds.
        strength: 0 to 1, how far the lids close.
    """

    start: float
    end: float
    strength: float


def blink_curve(
    times: np.ndarray, start: float, strength: float, closing: float, holding: float, opening: float
) -> np.ndarray:
    """Closure (T,) of one blink: quick to close, slow to open, at rest and smooth at both ends.

    Args:
        times: (T,) seconds.
        start: seconds.
        strength: closure reached.
        closing: seconds of the phase.
        holding: seconds shut.
        opening: seconds of the phase.
    """
    shut = minimum_jerk((times - start) / closing)
    return strength * (shut - quick_start((times - start - closing - holding) / opening))


def blinks(
    frames: int,
    fps: float,
    rng: np.random.Generator,
    rate: float = RESTING_RATE,
    forced: Sequence[float] = (),
    shifts: np.ndarray | None = None,
) -> tuple[np.ndarray, list[Blink]]:
    """Spontaneous blinks, those that come with large gaze shifts, and those that are asked for.

    Intervals of spontaneous blinks are log-normal (Bentivoglio et al. 1997) and count from the last blink of
    any kind. A blink that would begin within `APART` seconds after another is left out, unless it is forced.

    Args:
        frames: T.
        fps: frames/s.
        rng: source of chance.
        rate: spontaneous blinks per minute, doubles included.
        forced: seconds at which the eyes shall begin to close, in order; such blinks are complete.
        shifts: (N, 2) times and sizes (degrees) of gaze shifts, in order.

    Returns:
        closure (T, 2) of the left and the right eye, 0 open to 1 shut; and the blinks in order.
    """
    times = frame_times(frames, fps)
    seconds = frames / fps
    own, evoked, shape = rng.spawn(3)
    caused: list[tuple[float, bool]] = [(time, True) for time in forced if 0 <= time < seconds]
    for time, size in np.zeros((0, 2)) if shifts is None else shifts:
        chance = SHIFT_CHANCE * np.clip((size - SHIFT_FROM) / (SHIFT_FULL - SHIFT_FROM), 0, 1)
        if evoked.random() < chance:
            caused.append((float(time), False))
    caused = sorted(caused, reverse=True)
    median = interval_median(rate / (1 + DOUBLE_SHARE), INTERVAL_SPREAD)
    due = log_normal(own, median, INTERVAL_SPREAD) * float(own.random())
    left = np.ones((frames, 2))
    made: list[Blink] = []
    while True:
        time, wanted = caused.pop() if caused and caused[-1][0] <= due else (due, False)
        if time >= seconds:
            break
        # whatever made the eye blink, it has now been wetted: the next interval begins
        double = own.random() < DOUBLE_SHARE
        due = time + log_normal(own, *(DOUBLE_GAP if double else (median, INTERVAL_SPREAD)))
        (stream,) = shape.spawn(1)
        if made and time - made[-1].start < APART and not wanted:
            continue
        strength = 1.0
        if not wanted and stream.random() < PARTIAL_SHARE:
            strength = float(stream.uniform(0.45, 0.9))
        phases = [log_normal(stream, *phase) for phase in (CLOSING, HOLDING, OPENING)]
        late = stream.normal(0, 0.004, 2)
        even = np.minimum(1 + stream.normal(0, 0.02, 2), 1)
        first, last = math.ceil(time * fps), math.ceil((time + sum(phases) + np.abs(late).max()) * fps)
        during = slice(first, last + 1)
        for eye in range(2):
            start = time + abs(late[eye])
            left[during, eye] *= 1 - blink_curve(times[during], start, strength * even[eye], *phases)
        made.append(Blink(time, time + sum(phases), strength))
    return 1 - left, made
