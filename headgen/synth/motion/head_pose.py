"""Head pose: coloured noise with the velocity spectrum of people, and shifts of posture.

Angles are in degrees, as in `HeadMotion`: yaw to the picture's right, pitch up, roll clockwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headgen.synth.motion.curves import (
    add_step,
    band_noise,
    drift,
    event_times,
    interval_median,
    log_normal,
)

NOISE_BANDS = ((0.12, 0.45), (0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 7.5))
"""Hz; those of `statistics.BANDS`, kept off standstill and off the highest frequencies of the frame rate."""
SPEAKING_POWER = np.array(
    [
        [0.05, 2.6, 6.0, 11.0, 18.5],
        [11.0, 7.5, 17.0, 35.0, 25.5],
        [4.3, 0.05, 2.9, 4.8, 4.6],
    ]
)
"""(3, 5) velocity power by axis and band, (degrees/s)^2, of a person of liveliness 1 who speaks.

Found by bringing the medians of generated clips, looks away and postures included, to the measured ones."""
LIVELINESS_POWER = np.array([2.9, 2.9, 1.8, 1.3, 1.25])
"""Power of each band that liveliness is raised to; 2 in all would scale all motion alike.

Over the measured clips, slow motion differs far more between people than quick motion: slopes of the
logarithm of the band's power over the logarithm of the head's median speed, averaged over the axes.
"""
LISTENING = np.array([0.6, 0.6, 0.5, 0.35, 0.25])
"""Power of a listener's noise relative to a speaker's, by band.

Our design: listeners keep still but for their gestures, which are added as events; speech moves the head
nearly without pause (Hadar, Steiner and Rose 1984), most at syllable and stress rates.
"""
ACTIVITY_SECONDS, ACTIVITY_SPREAD = 1.2, 0.75

POSTURE_PER_MINUTE = 2.0
POSTURE_SPREAD = 0.7
POSTURE_SECONDS = (1.3, 0.25)  # median and spread of the logarithm
POSTURE_HEAD = np.array([2.3, 2.0, 1.6])  # degrees, standard deviation of a posture about upright
POSTURE_TORSO = np.array([2.3, 1.5, 1.0])
POSTURE_CENTIMETRES = np.array([1.2, 0.4, 1.2])
SWAY_SECONDS, SWAY_CENTIMETRES = 1.5, np.array([0.25, 0.12, 0.25])  # what breathing and balance add


def head_pose(
    frames: int, fps: float, rng: np.random.Generator, liveliness: float = 1.0, speaking: bool = True
) -> np.ndarray:
    """Restless motion of a head about straight ahead.

    Sum of five band-limited noises per axis with the measured velocity power, louder and quieter by turns.

    Args:
        frames: T.
        fps: frames/s.
        rng: source of chance.
        liveliness: 1 for the median person measured; people range from about .3 to 5.
        speaking: a speaker's spectrum, else a listener's.

    Returns:
        (T, 3) degrees.
    """
    power = SPEAKING_POWER * liveliness**LIVELINESS_POWER
    if not speaking:
        power = power * LISTENING
    *streams, own = rng.spawn(len(NOISE_BANDS) + 1)
    activity = np.exp(
        ACTIVITY_SPREAD * drift(frames, fps, own, ACTIVITY_SECONDS) - ACTIVITY_SPREAD**2
    )  # mean square 1
    out = np.zeros((frames, 3))
    for stream, (low, high), level in zip(streams, NOISE_BANDS, power.T, strict=True):
        out += band_noise(frames, fps, stream, low, high, channels=3) * np.sqrt(level)
    return out * activity


@dataclass(frozen=True)
class PostureShift:
    """A change of posture.

    Attributes:
        start, end: seconds.
        strength: 0 to 1, of the way moved.
    """

    start: float
    end: float
    strength: float


@dataclass(frozen=True)
class Posture:
    """How head and torso are held.

    Attributes:
        head, torso: (T, 3) degrees.
        translation: (T, 3) cm.
        shifts: changes of posture, in order.
    """

    head: np.ndarray
    torso: np.ndarray
    translation: np.ndarray
    shifts: list[PostureShift]


def posture(
    frames: int, fps: float, rng: np.random.Generator, liveliness: float = 1.0, rate: float = 1.0
) -> Posture:
    """A posture that is held, swayed in, and exchanged for another now and then.

    Args:
        frames: T.
        fps: frames/s.
        rng: source of chance.
        liveliness: scales how far postures lie apart.
        rate: scales how often they change; 1 is `POSTURE_PER_MINUTE`.
    """
    first, process, sway = rng.spawn(3)
    size = np.concatenate([POSTURE_HEAD, POSTURE_TORSO, POSTURE_CENTIMETRES]) * min(liveliness, 2.0) ** 0.5

    def hold(stream: np.random.Generator) -> np.ndarray:
        free = stream.standard_normal(9)
        free[:3] = 0.8 * free[:3] - 0.4 * free[3:6]  # the head stays turned to the partner
        return np.clip(free, -2, 2) * size

    held = 0.5 * hold(first)
    pose = np.tile(held, (frames, 1))
    shifts: list[PostureShift] = []
    median = interval_median(POSTURE_PER_MINUTE * rate, POSTURE_SPREAD)
    for start, own in event_times(frames / fps, process, median, POSTURE_SPREAD):
        lasts = log_normal(own, *POSTURE_SECONDS)
        new = hold(own)
        if shifts and start < shifts[-1].end:
            continue
        add_step(pose, fps, start, lasts, new - held)
        way = float(np.linalg.norm((new - held) / size)) / 6
        shifts.append(PostureShift(start, start + lasts, min(way, 1.0)))
        held = new
    swaying = drift(frames, fps, sway, SWAY_SECONDS, 3) * SWAY_CENTIMETRES
    return Posture(pose[:, :3], pose[:, 3:6], pose[:, 6:] + swaying, shifts)
