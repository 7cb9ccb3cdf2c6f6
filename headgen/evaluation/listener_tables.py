"""The report of a listener's measurement as tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from headgen.evaluation.printed import printed

__all__ = ["tables"]

WIDTH = 320
"""Columns, at most; a narrower terminal breaks lines."""
MOST_PLACES = 4


def tables(facts: Mapping[str, Any]) -> str:
    """All parts of `headgen.evaluation.bench_listener.bench`, numbers as in its JSON."""
    return printed(
        f"{facts['model']}: {facts['conversations']} held-out conversations of {facts['seconds']:g} s, "
        f"{facts['long']}, {facts['steps']} steps, seed {facts['seed']}; 95 % intervals over conversations",
        _reacts(facts["reacts"]),
        _differences(facts["reacts"]),
        _heard(facts["reacts"]),
        _events(facts["events"]),
        _guidance(facts["guidance"]),
        _causality(facts["causality"]),
        _speed(facts["speed"]),
        width=WIDTH,
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _number(value: float | None, digits: int = 3) -> str:
    """So many significant digits, four places at most."""
    if value is None:
        return "-"
    if abs(value) < 5 * 10 ** -(MOST_PLACES + 1):
        return "0"
    return f"{value:.{min(MOST_PLACES, max(0, digits - 1 - math.floor(math.log10(abs(value)))))}f}"


def _interval(estimate: Mapping[str, float | None]) -> str:
    if estimate["value"] is None:
        return "-"
    ends = (_number(estimate[end], 2) for end in ("low", "high"))
    return f"{_number(estimate['value'])} ({'..'.join(ends)})"


def _reacts(facts: Mapping[str, Any]) -> Table:
    figures, best = facts["figures"], facts["best"]
    table = _table(
        "Reacts: motion against the true listeners'; *: better than every other one beyond chance",
        "figure", "truth", *figures, "best",
    )  # fmt: skip
    for name, nearest in best.items():
        figure, _, part = name.rpartition("_")
        aim = figures["ours"].get(f"{figure}_truth_{part}")
        table.add_row(
            name,
            "" if aim is None else _number(aim["value"]),
            *(_interval(figures[system][name]) for system in figures),
            nearest["system"] + " *" * nearest["sure"],
        )
    return table


def _differences(facts: Mapping[str, Any]) -> Table:
    return _less("Ours less the others, on the same conversations", facts["best"], facts["differences"])


def _heard(facts: Mapping[str, Any]) -> Table:
    return _less("Heard: with the speaker less with another one", facts["best"], facts["heard"])


def _less(title: str, names: Iterable[str], differences: Mapping[str, Any]) -> Table:
    table = _table(title, "figure", *differences)
    for name in names:
        table.add_row(name, *(_interval(of_one[name]) for of_one in differences.values()))
    return table


def _events(facts: Mapping[str, Any]) -> Table:
    shown = ("f1", "chance_f1", "f1_above_chance", "tiou", "delay")
    table = _table(f"Events, starts within {facts['tolerance']:g} s", "kind", "system", "a minute", *shown)
    for kind, systems in facts.items():
        if kind == "tolerance":
            continue
        table.add_row(kind, "listed", _number(systems["listed_per_minute"]))
        for system, report in systems.items():
            if system in ("listed_per_minute", "ours_above_shuffled"):
                continue
            figures = (_interval(report[name]) for name in shown)
            table.add_row("", system, _number(report["per_minute"]), *figures)
        if "ours_above_shuffled" in systems:
            table.add_row("", "ours - shuffled", "", _interval(systems["ours_above_shuffled"]))
    return table


def _guidance(facts: Mapping[str, Any]) -> Table:
    scales = list(facts["audio"]["fd_pose"])
    table = _table(
        f"Guidance scales, {facts['conversations']} conversations",
        "scale of", "figure", "expected", "truth", *scales, "last - first", "as expected",
    )  # fmt: skip
    for condition in ("audio", "motion"):
        entry = facts[condition]
        for name, behaviour in entry["behaviours"].items():
            values = (_interval(behaviour["scales"][scale]) for scale in scales)
            sure = behaviour["as_expected"] and (behaviour["change"]["low"] or 0) > 0
            table.add_row(
                condition,
                f"{name}, {behaviour['lag']:g} s later",
                "rises",
                _number(behaviour["truth"]),
                *values,
                _interval(behaviour["change"]),
                ("yes" if behaviour["as_expected"] else "no") + " *" * sure,
            )
        for name in ("fd_pose", "fd_expression"):
            table.add_row(condition, name, "", "", *(_interval(entry[name][scale]) for scale in scales))
    return table


def _causality(facts: Mapping[str, Any]) -> Table:
    table = _table(
        "Causality: frames that stay to the bit when the speaker changes",
        "made as", "frames", "changed from", "promised", "settled", "gone", "another speaker", "holds",
    )  # fmt: skip
    for name, entry in facts.items():
        numbers = (entry[key] for key in ("frames", "changed_from", "required", "settled"))
        counts = entry["identical"].values()
        table.add_row(name, *map(str, numbers), *map(str, counts), "yes" if entry["holds"] else "no")
    return table


def _speed(facts: Mapping[str, Any]) -> Table:
    table = _table(
        f"Speed: seconds for a second of video, {facts['threads']} threads, medians of {facts['rounds']}",
        "part", "seconds", "CPU seconds", "times real time",
    )  # fmt: skip
    parts = {**facts["parts"], "all, one after the other": facts["all"]}
    for name, part in parts.items():
        table.add_row(name, *(_number(part[key]) for key in ("seconds", "cpu_seconds", "times_real_time")))
    return table
