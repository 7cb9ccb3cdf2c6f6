"""The timeline under a listener's video: who speaks, what the listener does, where segments meet."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

__all__ = ["timeline_html"]

LANES = {
    "Nods": ("nod", "nods"),
    "Shakes": ("shake",),
    "Smiles": ("smile",),
    "Brows": ("brow_raise",),
    "Blinks": ("blink",),
}
"""Lanes of the listener, and the kinds of events in each."""
NAMES = {
    "nod": "nods",
    "nods": "nods several times",
    "shake": "shakes the head",
    "smile": "smiles",
    "brow_raise": "raises the brows",
    "blink": "blinks",
}
UNITS = {
    "nod": "{:.0f}°",
    "nods": "{:.0f}°",
    "shake": "{:.0f}°",
}  # the others are shares of the full movement
MARKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
"""Seconds between two marks of the scale."""
MOST_MARKS = 9


def timeline_html(record: Path) -> str:
    """The timeline of a run record that `headgen listen` wrote; nothing if it has none.

    A page's script moves the ``playhead`` with the video of the same ``take``, and a click seeks.
    """
    try:
        told = json.loads(record.read_text(encoding="utf-8"))["notes"]["timeline"]
    except (OSError, ValueError, KeyError):
        return ""
    seconds = told["seconds"]
    lanes = [_lane("Speaker", _energy(told) + _bars(told["speech"], seconds, "speech", "speaks"))]
    for name, kinds in LANES.items():
        events = [event for event in told["events"] if event["kind"] in kinds]
        marks = "".join(_event(event, seconds) for event in events)
        lanes.append(_lane(name, marks, len(events)))
    if len(told["segments"]) > 1:
        joins = told["transitions"] or [[start, start] for start, _ in told["segments"][1:]]
        lanes.append(_lane("Joins", _bars(joins, seconds, "join", "two segments meet")))
    lanes.append(f'<div class="scale"><span></span><div>{_scale(seconds)}</div></div>')
    return (
        '<div class="timeline" tabindex="0" role="slider" aria-label="Timeline of the take" '
        f'aria-valuemin="0" aria-valuemax="{seconds:.1f}" aria-valuenow="0">'
        + "".join(lanes)
        + '<div class="overlay"><i class="playhead"></i></div></div>'
    )


def _lane(name: str, marks: str, count: int | None = None) -> str:
    number = "" if count is None else f" <b>{count}</b>"
    return f'<div class="lane"><span>{name}{number}</span><div>{marks}</div></div>'


def _energy(told: dict[str, Any]) -> str:
    """The speaker's loudness as an area; it stretches with the lane."""
    values = told["energy"]
    points = " ".join(f"{k + 0.5:g},{1 - value:.2f}" for k, value in enumerate(values))
    return (
        f'<svg viewBox="0 0 {len(values)} 1" preserveAspectRatio="none" aria-hidden="true">'
        f'<polygon points="0,1 {points} {len(values)},1"/></svg>'
    )


def _event(event: dict[str, Any], seconds: float) -> str:
    strength = UNITS.get(event["kind"], "{:.0%}").format(event["strength"])
    text = f"{NAMES[event['kind']]}, {event['start']:.1f} s, {strength}"
    return _bar(event["start"], event["end"], seconds, event["kind"], text)


def _bars(spans: list[list[float]], seconds: float, kind: str, text: str) -> str:
    return "".join(_bar(a, b, seconds, kind, f"{text}, {a:.1f} to {b:.1f} s") for a, b in spans)


def _bar(start: float, end: float, seconds: float, kind: str, text: str) -> str:
    left, width = 100 * start / seconds, 100 * (end - start) / seconds
    place = f"left:{left:.2f}%;width:max({width:.2f}%,3px)"
    return f'<i class="{kind}" style="{place}" title="{html.escape(text)}"></i>'


def _scale(seconds: float) -> str:
    step = next((mark for mark in MARKS if seconds / mark <= MOST_MARKS), MARKS[-1])
    times = range(0, int(seconds) + 1, step)
    return "".join(f'<i style="left:{100 * t / seconds:.2f}%">{_clock(t)}</i>' for t in times)


def _clock(seconds: int) -> str:
    return str(seconds) if seconds < 60 else f"{seconds // 60}:{seconds % 60:02}"
