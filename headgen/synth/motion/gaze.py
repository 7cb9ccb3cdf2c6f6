"""Gaze: fixations and saccades on a partner's face, looks away, and eyes that hold while the head turns.

Degrees, yaw to the picture's right and pitch up. The partner is the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headgen.synth.motion.curves import add_step, drift, log_normal

FACE_POINTS = np.array([[-1.6, 0.4], [1.6, 0.4], [0.0, -2.4], [0.0, -0.6]])
"""Where on the partner's face people look: eyes, mouth, bridge of the nose; a face at about 1.2 m."""
FACE_SCATTER = 0.5  # degrees
FACE_FIXATION = (0.5, 0.8)  # seconds, median and spread of the logarithm
AWAY_FIXATION = (0.35, 0.6)
AWAY_SECONDS = (1.2, 0.5)  # how long a look away lasts
AWAY_NEAR, AWAY_FAR = 9.0, 24.0  # degrees
AWAY_DIRECTIONS = (
    (0.0, 0.28),
    (180.0, 0.28),
    (-35.0, 0.1),
    (-145.0, 0.1),
    (30.0, 0.1),
    (150.0, 0.1),
    (-90.0, 0.04),
)
"""Directions of looks away, degrees from the picture's right, and their shares: mostly sideways."""
LISTENING_AWAY, SPEAKING_AWAY = 0.25, 0.38
"""Shares of time spent looking away. A listener looks at the partner for 75 % of the time (Argyle and Cook
1976).

Our design: a speaker's share lies between the 59 % of two people in a room and the steadier look of people
who speak to a camera.
"""
SACCADE_BASE, SACCADE_PER_DEGREE = 0.021, 0.0022
"""Seconds that a saccade lasts, and seconds more per degree (Carpenter 1988), the main sequence of Bahill,
Clark and Stark (1975); with a minimum-jerk course the peak speed of 10 degrees is 440 degrees/s."""
TREMBLE_SECONDS, TREMBLE = 0.15, 0.1  # drift within a fixation; degrees
HEAD_FROM = 8.0  # degrees of a look away that the eyes make alone
HEAD_SHARE = 0.2  # of the rest is made by the head
HEAD_DELAY, HEAD_SECONDS = 0.06, (0.45, 0.2)  # the head sets off after the eyes
EYE_LIMITS = np.array([32.0, 24.0])  # degrees against the head


@dataclass(frozen=True)
class GazeShift:
    """A look away from the partner, or back.

    Attributes:
        start, end: of the look away, seconds.
        strength: 0 to 1, its distance from the partner over `AWAY_FAR`.
    """

    start: float
    end: float
    strength: float


@dataclass(frozen=True)
class Gaze:
    """Where the eyes look.

    Attributes:
        gaze: (T, 2) eyes against the head, degrees.
        head: (T, 3) what looking away adds to the head's angles, degrees.
        away: looks away, in order.
        shifts: (N, 2) time and size in degrees of all saccades of the line of sight.
    """

    gaze: np.ndarray
    head: np.ndarray
    away: list[GazeShift]
    shifts: np.ndarray


def saccade_seconds(degrees: float) -> float:
    """How long a saccade of a size lasts."""
    return SACCADE_BASE + SACCADE_PER_DEGREE * degrees


def gaze(
    frames: int,
    fps: float,
    rng: np.random.Generator,
    head: np.ndarray,
    away_share: float = LISTENING_AWAY,
    rate: float = 1.0,
    head_share: float = HEAD_SHARE,
) -> Gaze:
    """Line of sight that rests on the partner's face, moves about on it, and leaves it now and then.

    The eyes hold their target while the head moves (vestibulo-ocular reflex); large looks away take the head
    along, the eyes first.

    Args:
        frames: T.
        fps: frames/s.
        rng: source of chance.
        head: (T, 3) angles of the head in the world that the eyes make up for; only the values up to t enter
            the gaze at t.
        away_share: share of time that the line of sight is off the partner's face, 0 to .9.
        rate: scales how often the eyes move.
        head_share: of the way beyond `HEAD_FROM` degrees that the head makes, on average.
    """
    if not 0 <= away_share <= 0.9:
        raise ValueError(f"away_share is {away_share}; give 0 to 0.9")
    saccades, trembling = rng.spawn(2)
    sight = np.zeros((frames, 2))
    along = np.zeros((frames, 2))
    away: list[GazeShift] = []
    shifts = []
    # a look away of mean length makes its share of time together with the look at the partner before it
    mean_away = AWAY_SECONDS[0] * np.exp(AWAY_SECONDS[1] ** 2 / 2)
    mean_on = mean_away * (1 - away_share) / away_share if away_share else np.inf
    time, end, left, far, looking, returning = 0.0, 0.0, 0.0, 0.0, False, False
    point, turned, aim = np.zeros(2), np.zeros(2), np.zeros(2)
    while time < frames / fps:
        if time >= end:  # a new spell
            looking = not looking
            if looking:
                returning = time > 0
                spell = _on_spell(saccades, mean_on) * (saccades.random() if time == 0 else 1)
                aim, wanted = np.zeros(2), np.zeros(2)
            else:
                spell = log_normal(saccades, *AWAY_SECONDS)
                aim = _aside(saccades)
                far = float(np.linalg.norm(aim))
                left = time
                wanted = aim * max(far - HEAD_FROM, 0) / far * saccades.uniform(0.5, 1.5) * head_share
            lasts = log_normal(saccades, *HEAD_SECONDS)
            add_step(along, fps, time + HEAD_DELAY, lasts, wanted - turned)
            turned = wanted
            end = time + spell
        if looking:
            new = FACE_POINTS[saccades.integers(len(FACE_POINTS))] + FACE_SCATTER * saccades.standard_normal(
                2
            )
            fixation = log_normal(saccades, *FACE_FIXATION) / rate
        else:
            new = aim + 2.0 * saccades.standard_normal(2)
            fixation = log_normal(saccades, *AWAY_FIXATION) / rate
        size = float(np.linalg.norm(new - point))
        lasts = saccade_seconds(size)
        add_step(sight, fps, time, lasts, new - point)
        if returning:
            away.append(GazeShift(left, time + lasts, min(far / AWAY_FAR, 1.0)))
            returning = False
        shifts.append((time, size))
        point = new
        time = min(time + max(fixation, lasts + 0.08), max(end, time + lasts + 0.08))
    if not looking:
        away.append(GazeShift(left, end, min(far / AWAY_FAR, 1.0)))
    sight += TREMBLE * drift(frames, fps, trembling, TREMBLE_SECONDS, 2)
    eyes = sight - head[:, :2] - along
    return Gaze(
        gaze=EYE_LIMITS * np.tanh(eyes / EYE_LIMITS * (1 + (eyes / EYE_LIMITS) ** 2 / 3)),
        head=np.pad(along, ((0, 0), (0, 1))),
        away=away,
        shifts=np.array(shifts).reshape(-1, 2),
    )


def _on_spell(rng: np.random.Generator, mean: float) -> float:
    spread = 0.6
    return log_normal(rng, mean * np.exp(-(spread**2) / 2), spread)


def _aside(rng: np.random.Generator) -> np.ndarray:
    """Where a look away goes, (2,) degrees."""
    angles, shares = np.array(AWAY_DIRECTIONS).T
    angle = np.deg2rad(rng.choice(angles, p=shares / shares.sum()) + rng.normal(0, 12))
    far = rng.uniform(AWAY_NEAR, AWAY_FAR)
    return far * np.array([np.cos(angle), 0.7 * np.sin(angle)])
