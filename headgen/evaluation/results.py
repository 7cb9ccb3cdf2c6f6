"""What an evaluation found: figures with intervals, differences between systems, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from headgen.evaluation.bootstrap import Estimate, bootstrap_difference, bootstrap_interval
from headgen.evaluation.metric_table import AIMS, Metric, shortfall
from headgen.media.output import replacing

__all__ = ["Comparison", "Fault", "Moving", "Results", "estimated", "plain", "worst_items"]

Outcome = Literal["better", "worse", "alike"]

LEAST_FAULT = 0.05
"""Size from which on a fault is told."""
FAULTS = "What is wrong, the worst first"
FAULTS_TOLD = (
    "Told is what leaves its aim out of its interval, and what is worse beyond chance than a baseline that "
    "cannot cheat; in brackets what is wanted, and how far off it is, as a share of that."
)


@dataclass(frozen=True)
class Moving:
    """An animated picture for a report."""

    caption: str
    data: bytes
    """WebP."""


@dataclass(frozen=True)
class Comparison:
    """How the system compares with another one by a metric.

    Attributes:
        metric: its name.
        other: the other system.
        outcome: ``alike`` where the interval of the difference holds 0.
        cheated: why the other one has a good figure by construction; empty if it cannot.
    """

    metric: str
    other: str
    outcome: Outcome
    cheated: str


@dataclass(frozen=True)
class Fault:
    """Where the judged system is wrong beyond chance.

    Attributes:
        metric: its name.
        value: of the system.
        wanted: what it should be at least.
        of: whose figure that is: a baseline's name, `true`, or `right` for an aim.
        size: how far off it is, as a share of what is wanted; of 1 where that is 0.
    """

    metric: str
    value: float
    wanted: float
    of: str
    size: float

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.metric} {self.value:.3g} ({self.of}: {self.wanted:.3g}; {100 * self.size:.0f} % off)"


@dataclass
class Results:
    """Figures of some systems on the same items.

    Attributes:
        title: of the report.
        facts: what was evaluated and how: options, models, versions.
        metrics: those that were measured, by name.
        systems: what each is, by name; the first is the one that the report is about.
        baselines: which of them are baselines.
        items: names of what was scored.
        values: by system and metric, one value for each item, None where it is not defined.
        estimates: by system and metric.
        shortfalls: by other system and metric, the first system's `shortfall` less the other's.
        truth: by metric, the true videos' own figure where there is one.
        pictures: worst cases.
    """

    title: str
    facts: dict[str, Any]
    metrics: dict[str, Metric]
    systems: dict[str, str]
    baselines: tuple[str, ...]
    items: list[str]
    values: dict[str, dict[str, list[float | None]]]
    estimates: dict[str, dict[str, Estimate]]
    shortfalls: dict[str, dict[str, Estimate]]
    truth: dict[str, float] = field(default_factory=dict)
    pictures: list[Moving] = field(default_factory=list)

    @property
    def judged(self) -> str:
        """The system that the report is about."""
        return next(iter(self.systems))

    def comparisons(self) -> list[Comparison]:
        """The judged system against every other one, by every metric for which both have a figure."""
        found = []
        for other, differences in self.shortfalls.items():
            for name, difference in differences.items():
                if not math.isfinite(difference.value):
                    continue
                outcome: Outcome = (
                    "better" if difference.high < 0 else "worse" if difference.low > 0 else "alike"
                )
                found.append(Comparison(name, other, outcome, self.metrics[name].cheats.get(other, "")))
        return found

    def faults(self) -> list[Fault]:
        """What is wrong with the judged system beyond chance, the worst first.

        Our design: wrong is what leaves its aim out of its interval (1, 0, or the true videos' figure), and
        what is worse than a baseline that cannot cheat. Unlike units become comparable as shares of what is
        wanted.

        Returns:
            one for each metric, the largest.
        """
        found: dict[str, Fault] = {}

        def note(metric: str, value: float, wanted: float, of: str, apart: float) -> None:
            size = apart / (abs(wanted) or 1.0)
            if size >= LEAST_FAULT and (metric not in found or found[metric].size < size):
                found[metric] = Fault(metric, value, wanted, of, size)

        own = self.estimates[self.judged]
        for name, metric in self.metrics.items():
            aim = self.truth.get(name) if metric.better == "truth" else AIMS.get(metric.better)
            if name in own and aim is not None and not own[name].low <= aim <= own[name].high:
                value = own[name].value
                note(name, value, aim, "true" if metric.better == "truth" else "right", abs(value - aim))
        for c in self.comparisons():
            if c.outcome == "worse" and not c.cheated and c.other in self.baselines:
                apart = self.shortfalls[c.other][c.metric].value
                note(c.metric, own[c.metric].value, self.estimates[c.other][c.metric].value, c.other, apart)
        return sorted(found.values(), key=lambda fault: -fault.size)

    def plain(self) -> dict[str, Any]:
        """All figures as JSON holds them."""
        return plain(
            {
                "title": self.title,
                "facts": self.facts,
                "systems": self.systems,
                "baselines": self.baselines,
                "metrics": {
                    name: {"better": m.better, "unit": m.unit, "about": m.about, "cheats": dict(m.cheats)}
                    for name, m in self.metrics.items()
                },
                "truth": self.truth,
                "estimates": self.estimates,
                "shortfalls": self.shortfalls,
                "comparisons": [vars(c) for c in self.comparisons()],
                "faults": [vars(fault) for fault in self.faults()],
                "items": self.items,
                "values": self.values,
            }
        )

    def write(self, folder: Path) -> None:
        """Writes ``results.json`` and ``results.csv``.

        Raises:
            InputError: the folder cannot be written.
        """
        with replacing(folder / "results.json") as part:
            part.write_text(json.dumps(self.plain(), indent=1) + "\n", encoding="utf-8")
        lines = io.StringIO()
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(["item", "system", "metric", "value"])
        for system, metrics in self.values.items():
            for metric, values in metrics.items():
                for item, value in zip(self.items, values, strict=True):
                    table.writerow([item, system, metric, "" if value is None else f"{value:.6g}"])
        for system, estimates in self.estimates.items():
            for metric, estimate in estimates.items():
                for end, value in estimate._asdict().items():
                    shown = f"{value:.6g}" if math.isfinite(value) else ""
                    table.writerow(["all", system, f"{metric}.{end}", shown])
        with replacing(folder / "results.csv") as part:
            part.write_text(lines.getvalue(), encoding="utf-8")


def estimated(
    values: Mapping[str, Mapping[str, Sequence[float | None]]],
    metrics: Mapping[str, Metric],
    judged: str,
    seed: int,
    resamples: int = 2000,
) -> tuple[dict[str, dict[str, Estimate]], dict[str, dict[str, Estimate]]]:
    """Means over items with their intervals, and how the shortfalls of two systems differ.

    Items are resampled, those of two systems together; an item for which a metric is not defined does not
    count, in a difference neither one that only one system has.

    Args:
        values: by system and metric, one for each item.
        metrics: what they are.
        judged: the system that the others are compared with.
        seed: of the resampling.
        resamples: of the bootstrap.

    Returns:
        `Results.estimates` and `Results.shortfalls`.
    """
    estimates: dict[str, dict[str, Estimate]] = {}
    shortfalls: dict[str, dict[str, Estimate]] = {}
    for system, found in values.items():
        estimates[system] = {}
        for name, each in found.items():
            numbers = _numbers(each)
            numbers = numbers[np.isfinite(numbers)]
            if len(numbers):
                rng = np.random.default_rng(seed)
                estimates[system][name] = bootstrap_interval(
                    numbers[:, None], _first, rng, resamples=resamples
                )
    for system, found in values.items():
        if system == judged:
            continue
        shortfalls[system] = {}
        for name, each in found.items():
            if name not in values[judged] or name not in metrics:
                continue
            ours, theirs = (
                shortfall(metrics[name].better, _numbers(x)) for x in (values[judged][name], each)
            )
            both = np.isfinite(ours) & np.isfinite(theirs)
            if both.any():
                shortfalls[system][name] = bootstrap_difference(
                    ours[both][:, None], theirs[both][:, None], _first, np.random.default_rng(seed),
                    resamples=resamples,
                )  # fmt: skip
    return estimates, shortfalls


def worst_items(
    values: Mapping[str, Sequence[float | None]], metrics: Mapping[str, Metric], name: str, count: int
) -> list[int]:
    """Places of the items with the greatest shortfall by a metric, the worst first."""
    if name not in values:
        return []
    far = shortfall(metrics[name].better, _numbers(values[name]))
    order = np.argsort(np.where(np.isfinite(far), -far, np.inf), kind="stable")
    return [int(k) for k in order[:count] if np.isfinite(far[k])]


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _first(statistics: np.ndarray) -> np.ndarray:
    return statistics[..., 0]


def plain(value: Any) -> Any:
    """Facts as JSON holds them: estimates by name, six digits, None for what is not finite."""
    if isinstance(value, Estimate):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Path):
        return value.name
    return value
