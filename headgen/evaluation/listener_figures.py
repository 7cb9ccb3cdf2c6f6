"""Figures of listeners' motion for a report: the papers' own, and events, with what baselines have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headgen.evaluation.baselines import mirror, nearest_neighbour, random_motion, still
from headgen.evaluation.bench_listener import KINDS, TOLERANCE
from headgen.evaluation.bootstrap import Estimate, bootstrap_difference, bootstrap_interval, ratio
from headgen.evaluation.metric_table import LISTEN_METRICS
from headgen.evaluation.motion_events import EventClip, event_report, event_scores, shuffled_counts
from headgen.evaluation.motion_metrics import (
    ListenerClip,
    listener_differences,
    listener_report,
    motion_distance,
    motion_scale,
)
from headgen.faces.events import motion_events
from headgen.listener.track import FPS

__all__ = ["ListenerSet", "baseline_motions"]

SHUFFLES = 50
"""Of events, from which chance is known."""


def baseline_motions(
    speakers: Sequence[NDArray], truths: Sequence[NDArray], seed: int, rest: NDArray | None = None
) -> dict[str, list[NDArray]]:
    """Motion (T, K) of every baseline for every clip; see `headgen.evaluation.baselines.LISTEN_BASELINES`.

    Args:
        speakers: (T, K) of each clip; two clips or more.
        truths: likewise, of the true listeners.
        seed: of random motion.
        rest: (K,) pose about which baselines move, if systems are not told the true listener's first one.
    """
    made: dict[str, list[NDArray]] = {
        "static": [],
        "random motion": [],
        "mirror": [],
        "nearest neighbour": [],
    }
    for k, (speaker, truth) in enumerate(zip(speakers, truths, strict=True)):
        first = truth[np.isfinite(truth).all(1)][0] if rest is None else rest
        rng = np.random.default_rng([seed, k])
        other = truths[int((k + 1 + rng.integers(len(truths) - 1)) % len(truths))]
        there = np.concatenate([other, other[::-1]])[np.arange(len(truth)) % (2 * len(other))]
        made["static"].append(still(first, len(truth)))
        made["random motion"].append(random_motion(first, there, rng))
        made["mirror"].append(mirror(first, speaker))
        made["nearest neighbour"].append(nearest_neighbour(k, speakers, truths))
    return made


class ListenerSet:
    """Speakers and true listeners that systems are measured on.

    Args:
        speakers: motion (T, K) of each clip at 25 frames a second; NaN in frames without a face.
        truths: likewise, of the true listeners.
        events: of the true listeners, where they are listed; else they are found in the motion.
        seed: of clusters, resampling and chance.
        resamples: of the bootstrap.
    """

    def __init__(
        self,
        speakers: Sequence[NDArray],
        truths: Sequence[NDArray],
        events: Sequence[Sequence[Any] | None],
        seed: int,
        resamples: int,
    ) -> None:
        self.speakers, self.truths, self.seed, self.resamples = speakers, truths, seed, resamples
        self.scale = motion_scale(truths)
        self.seconds = np.array([len(truth) / FPS for truth in truths])
        self.events = [
            motion_events(truth) if listed is None else listed
            for truth, listed in zip(truths, events, strict=True)
        ]

    def truth(self) -> dict[str, float]:
        """The true listeners' own figures, where those are the aim."""
        report = self._report(self.truths)
        found = {}
        for part in ("pose", "expression"):
            for name in ("sid", "var", "var_within"):
                found[f"{name}_{part}"] = report[f"{name}_truth_{part}"].value
        for kind, kinds in KINDS.items():
            count = sum(event.kind in kinds for events in self.events for event in events)
            found[f"{kind}_per_minute"] = count / self.seconds.sum() * 60
        return found

    def estimates(self, motions: Sequence[NDArray]) -> dict[str, Estimate]:
        """All figures of a system's motion (T, K)."""
        found = {name: e for name, e in self._report(motions).items() if name in LISTEN_METRICS}
        for kind in KINDS:
            pairs = self._events(kind, motions)
            report = event_report(pairs, TOLERANCE, self.seed, SHUFFLES)
            for name in ("f1", "f1_above_chance", "tiou", "delay"):
                found[f"{kind}_{name}"] = report[name]
            counts = np.array([[len(p.found), p.duration / 60] for p in pairs])
            found[f"{kind}_per_minute"] = bootstrap_interval(
                counts, _rate, np.random.default_rng(self.seed), resamples=self.resamples
            )
        return found

    def shortfalls(self, ours: Sequence[NDArray], others: Sequence[NDArray]) -> dict[str, Estimate]:
        """How much further one system is from what is wanted than another, where less or more is better."""
        differences = listener_differences(
            self._clips(ours), self._clips(others), scale=self.scale, seed=self.seed, resamples=self.resamples
        )
        found = {}
        for name, d in differences.items():
            if name in LISTEN_METRICS and LISTEN_METRICS[name].better == "lower":
                found[name] = d
            elif name in LISTEN_METRICS and LISTEN_METRICS[name].better == "higher":
                found[name] = Estimate(-d.value, -d.high, -d.low)
        for kind in KINDS:
            a, b = (self._counts(self._events(kind, motions)) for motions in (ours, others))
            for name, value in (("f1", _f1), ("f1_above_chance", _f1_above), ("tiou", _tiou)):
                d = bootstrap_difference(
                    a, b, value, np.random.default_rng(self.seed), resamples=self.resamples
                )
                found[f"{kind}_{name}"] = Estimate(-d.value, -d.high, -d.low)
        return found

    def each(self, motions: Sequence[NDArray]) -> dict[str, list[float | None]]:
        """Distances and errors clip by clip, to find the worst."""
        rows: dict[str, list[float | None]] = {}
        for part, columns in (("pose", slice(0, 3)), ("expression", slice(3, None))):
            rows[f"fd_{part}"], rows[f"mse_{part}"] = [], []
            for truth, made in zip(self.truths, motions, strict=True):
                both = np.isfinite(truth).all(1) & np.isfinite(made).all(1)
                a, b = ((x / self.scale)[both][:, columns] for x in (truth, made))
                rows[f"fd_{part}"].append(motion_distance(a, b) if len(a) > 1 else None)
                rows[f"mse_{part}"].append(float(((a - b) ** 2).mean()) if len(a) else None)
        return rows

    def _clips(self, motions: Sequence[NDArray]) -> list[ListenerClip]:
        return [ListenerClip(*three) for three in zip(self.speakers, self.truths, motions, strict=True)]

    def _report(self, motions: Sequence[NDArray]) -> dict[str, Estimate]:
        clips = self._clips(motions)
        return listener_report(clips, scale=self.scale, seed=self.seed, resamples=self.resamples)

    def _events(self, kind: str, motions: Sequence[NDArray]) -> list[EventClip]:
        kinds = KINDS[kind]
        return [
            EventClip(
                [e for e in motion_events(motion) if e.kind in kinds],
                [e for e in truth if e.kind in kinds],
                seconds,
            )
            for motion, truth, seconds in zip(motions, self.events, self.seconds, strict=True)
        ]

    def _counts(self, pairs: Sequence[EventClip]) -> NDArray[np.float64]:
        """(C, 10) counts of each clip, and what chance gives."""
        counts = np.array([event_scores(p.found, p.truth, TOLERANCE).counts for p in pairs])
        chance = shuffled_counts(pairs, TOLERANCE, np.random.default_rng(self.seed), SHUFFLES).mean(0)
        return np.hstack([counts, chance])


def _rate(counts: np.ndarray) -> np.ndarray:
    return ratio(counts[..., 0], counts[..., 1])


def _f1(counts: np.ndarray) -> np.ndarray:
    return ratio(2 * counts[..., 0], counts[..., 1] + counts[..., 2])


def _f1_above(counts: np.ndarray) -> np.ndarray:
    return _f1(counts) - np.nan_to_num(_f1(counts[..., 5:]))


def _tiou(counts: np.ndarray) -> np.ndarray:
    return ratio(counts[..., 3], counts[..., 0])
