"""How well two lists of events of a moving face agree: those that were found and those that should be there.

`headgen.faces.events` finds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

from headgen.evaluation.bootstrap import Estimate, bootstrap_difference, bootstrap_interval, ratio

__all__ = [
    "EventClip",
    "EventScores",
    "Timed",
    "event_report",
    "event_scores",
    "shuffled_counts",
]


class Timed(Protocol):
    """Whatever has a start and an end: a `MotionEvent`, or an event of a synthetic conversation."""

    @property
    def start(self) -> float:
        """Seconds."""

    @property
    def end(self) -> float:
        """Seconds."""


@dataclass(frozen=True)
class EventScores:
    """How well events that were found agree with the true ones; counts and sums, which add up over clips.

    Attributes:
        matched: pairs of a found event and a true one.
        found: found events.
        truth: true events.
        overlap: sum over the pairs of their intersection over union in time.
        delay: sum over the pairs of the found event's start less the true one's, seconds.
    """

    matched: float
    found: float
    truth: float
    overlap: float
    delay: float

    @property
    def counts(self) -> np.ndarray:
        """(5,) all attributes, in their order."""
        return np.array([self.matched, self.found, self.truth, self.overlap, self.delay])

    @property
    def precision(self) -> float:
        """Share of the found events that are true, 0 to 1, higher is better; NaN if none were found."""
        return float(_precision(self.counts))

    @property
    def recall(self) -> float:
        """Share of the true events that were found, 0 to 1, higher is better; NaN if there are none."""
        return float(_recall(self.counts))

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 to 1, higher is better; NaN if both lists are empty."""
        return float(_f1(self.counts))

    @property
    def tiou(self) -> float:
        """Mean intersection over union in time of the pairs, 0 to 1, higher is better; NaN without pairs."""
        return float(_tiou(self.counts))

    @property
    def mean_delay(self) -> float:
        """Mean seconds by which found events start after the true ones; best near 0; NaN without pairs."""
        return float(_delay(self.counts))


def _precision(counts: np.ndarray) -> np.ndarray:
    return ratio(counts[..., 0], counts[..., 1])


def _recall(counts: np.ndarray) -> np.ndarray:
    return ratio(counts[..., 0], counts[..., 2])


def _f1(counts: np.ndarray) -> np.ndarray:
    return ratio(2 * counts[..., 0], counts[..., 1] + counts[..., 2])


def _tiou(counts: np.ndarray) -> np.ndarray:
    return ratio(counts[..., 3], counts[..., 0])


def _delay(counts: np.ndarray) -> np.ndarray:
    return ratio(counts[..., 4], counts[..., 0])


def event_scores(found: Sequence[Timed], truth: Sequence[Timed], tolerance: float) -> EventScores:
    """Compares two lists of events of one clip, whatever their kinds: choose the kinds before.

    A found event and a true one may be paired if they start within the tolerance of one another. Each event
    is in one pair at most; of all ways to pair them the one with the most pairs is taken, and of those the
    one with the least sum of differences (linear assignment).

    Args:
        found: events that were detected or generated.
        truth: events that should be there.
        tolerance: seconds, more than 0.
    """
    return _compare(_spans(found), _spans(truth), tolerance)


def _spans(events: Sequence[Timed]) -> np.ndarray:
    """(N, 2) starts and ends."""
    return np.array([(event.start, event.end) for event in events], np.float64).reshape(-1, 2)


def _compare(found: np.ndarray, truth: np.ndarray, tolerance: float) -> EventScores:
    late = np.subtract.outer(found[:, 0], truth[:, 0])
    apart = np.abs(late)
    # one forbidden pair costs more than all allowed ones together, so as many as can be are allowed ones
    forbidden = tolerance * (min(apart.shape) + 1)
    i, j = linear_sum_assignment(np.where(apart <= tolerance, apart, forbidden))
    i, j = i[apart[i, j] <= tolerance], j[apart[i, j] <= tolerance]
    a, b = found[i], truth[j]
    shared = np.maximum(np.minimum(a[:, 1], b[:, 1]) - np.maximum(a[:, 0], b[:, 0]), 0)
    whole = np.maximum(a[:, 1], b[:, 1]) - np.minimum(a[:, 0], b[:, 0])
    overlap = np.where(whole > 0, shared / np.where(whole > 0, whole, 1), 1.0)  # both of no length: the same
    return EventScores(len(i), len(found), len(truth), float(overlap.sum()), float(late[i, j].sum()))


@dataclass(frozen=True)
class EventClip:
    """Events of one clip, of the kinds that are to be compared.

    Attributes:
        found: events that were detected or generated.
        truth: events that should be there.
        duration: seconds of the clip.
    """

    found: Sequence[Timed]
    truth: Sequence[Timed]
    duration: float


def shuffled_counts(
    clips: Sequence[EventClip], tolerance: float, generator: np.random.Generator, shuffles: int = 200
) -> np.ndarray:
    """What agrees by chance: the found events moved round the clip, each clip by a time of its own.

    A circular shift keeps how many events there are, how long they last and how they cluster, and takes away
    only when they happen.

    Args:
        clips: any number.
        tolerance: seconds, as in `event_scores`.
        generator: source of chance.
        shuffles: how often all clips are shifted.

    Returns:
        (shuffles, C, 5) `EventScores.counts`.
    """
    out = np.zeros((shuffles, len(clips), 5))
    for c, clip in enumerate(clips):
        found, truth = _spans(clip.found), _spans(clip.truth)
        for k, shift in enumerate(generator.uniform(0, clip.duration, shuffles)):
            start = (found[:, 0] + shift) % clip.duration
            moved = np.stack([start, start + found[:, 1] - found[:, 0]], 1)
            out[k, c] = _compare(moved, truth, tolerance).counts
    return out


def event_report(
    clips: Sequence[EventClip], tolerance: float, seed: int = 0, shuffles: int = 200
) -> dict[str, Estimate]:
    """Scores over all clips together, with confidence intervals over clips, beside chance.

    Args:
        clips: at least one.
        tolerance: seconds, as in `event_scores`.
        seed: of the resampling and of the shuffles.
        shuffles: of the baseline.

    Returns:
        ``precision``, ``recall``, ``f1``, ``tiou`` and ``delay`` as in `EventScores`, each with its 95 %
        interval; ``chance_f1``: the mean F1 of `shuffled_counts`, and the range in which 95 % of the shuffles
        lie; ``f1_above_chance``: F1 less what chance gives on the same clips, with its 95 % interval.
    """
    resampling, shuffling = np.random.default_rng(seed).spawn(2)
    counts = np.array([event_scores(c.found, c.truth, tolerance).counts for c in clips])
    chance = shuffled_counts(clips, tolerance, shuffling, shuffles)
    figures = {"precision": _precision, "recall": _recall, "f1": _f1, "tiou": _tiou, "delay": _delay}
    report = {name: bootstrap_interval(counts, value, resampling) for name, value in figures.items()}
    f1 = _f1(chance.mean(1))
    report["chance_f1"] = Estimate(float(f1.mean()), *map(float, np.quantile(f1, [0.025, 0.975])))
    report["f1_above_chance"] = bootstrap_difference(counts, chance.mean(0), _f1, resampling)
    return report
