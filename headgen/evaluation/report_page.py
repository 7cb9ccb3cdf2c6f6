"""A report as one HTML file that needs no other: tables, intervals drawn as SVG, worst cases that move."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headgen.evaluation.bootstrap import Estimate
from headgen.evaluation.results import FAULTS, FAULTS_TOLD, Results
from headgen.media.output import replacing

__all__ = ["beside", "write_page"]

FRAME_MS = 120
QUALITY = 60
LABEL = 16
"""Height of the line that names a column, in pixels."""
PLOT_WIDTH, ROW = 460, 18
LEAST_SHOWN = 1e-9
"""Of figures: what is less is rounding."""
ARROWS = {"lower": "↓", "higher": "↑", "one": "→1", "zero": "→0", "truth": "→true"}
STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1180px;padding:0 1em;color:#222;
background:#fff}
table{border-collapse:collapse;margin:.6em 0;font-size:13px}th,td{padding:.18em .6em;text-align:right;
border-bottom:1px solid #e3e3e3;white-space:nowrap}th:first-child,td:first-child{text-align:left}
td.why,th.why{white-space:normal;text-align:left;max-width:44em}.better{background:#dff2e1}.worse{background:#fbe1df}
.cheat{color:#888;font-style:italic}small{color:#666}figure{margin:1em 0}figcaption{font-size:13px}
img{max-width:100%}details{margin:.5em 0}.plots{display:flex;flex-wrap:wrap;gap:1em}
"""


def write_page(results: Results, path: Path) -> Path:
    """Writes the report.

    Raises:
        InputError: the file cannot be written.
    """
    parts = [
        f"<h1>{escape(results.title)}</h1>",
        _systems(results),
        _verdicts(results),
        _faults(results),
        "<h2>Figures</h2><p>Means over items with 95 % intervals (bootstrap over items). Green: the judged "
        "system is better than this one beyond chance; red: worse; grey italics: a baseline has it by "
        "construction.</p>",
        _figures(results),
        "<h2>Intervals</h2>",
        _plots(results),
        _pictures(results),
        _cheats(results),
        _items(results),
        _facts(results),
    ]
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(results.title)}</title>'
        f"<style>{STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )
    with replacing(path) as part:
        part.write_text(page, encoding="utf-8")
    return path


def beside(columns: Mapping[str, Sequence[NDArray[np.uint8]]]) -> bytes:
    """An animated WebP of videos side by side, each with its name above; shorter ones stay at their end.

    Args:
        columns: frames (H, W, 3) RGB of one height, by name; those without frames are left out.
    """
    shown = {name: frames for name, frames in columns.items() if frames}
    count = max(map(len, shown.values()))
    pictures = []
    for k in range(count):
        row = []
        for name, frames in shown.items():
            frame = frames[min(k, len(frames) - 1)]
            head = np.full((LABEL, frame.shape[1], 3), 255, np.uint8)
            cv2.putText(
                head, name, (2, LABEL - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (40, 40, 40), 1, cv2.LINE_AA
            )
            row.append(np.vstack([head, frame]))
        pictures.append(Image.fromarray(np.hstack(row)))
    file = io.BytesIO()
    pictures[0].save(
        file, "WEBP", save_all=True, append_images=pictures[1:], duration=FRAME_MS, loop=0, quality=QUALITY
    )
    return file.getvalue()


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞" if value < 0 else ""
    if abs(value) < LEAST_SHOWN:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 4)}f}"


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or math.isnan(estimate.value):
        return ""
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return _number(estimate.value)
    return f"{_number(estimate.value)} <small>{_number(estimate.low)}..{_number(estimate.high)}</small>"


def _systems(results: Results) -> str:
    kinds = {results.judged: "judged", **dict.fromkeys(results.baselines, "baseline")}
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td class=why>{escape(about)}</td><td>{kinds.get(name, '')}</td></tr>"
        for name, about in results.systems.items()
    )
    return f"<p>{len(results.items)} items.</p><table>{rows}</table>"


def _verdicts(results: Results) -> str:
    lines = []
    for other in results.systems:
        fair = [c for c in results.comparisons() if c.other == other and not c.cheated]
        if not fair:
            continue
        words = [
            f"{label}: {', '.join(c.metric for c in fair if c.outcome == outcome) or 'nothing'}"
            for outcome, label in (
                ("better", "<b>better</b>"), ("alike", "not told apart"), ("worse", "<b>worse</b>")
            )
        ]  # fmt: skip
        lines.append(f"<li>against <b>{escape(other)}</b>, where it cannot cheat: {'; '.join(words)}.</li>")
    return f"<h2>{escape(results.judged)} against the others</h2><ul>{''.join(lines)}</ul>"


def _faults(results: Results) -> str:
    faults = "".join(f"<li>{escape(str(fault))}</li>" for fault in results.faults())
    return f"<h2>{FAULTS}</h2><ol>{faults}</ol><p>{FAULTS_TOLD}</p>" if faults else ""


def _figures(results: Results) -> str:
    outcomes = {(c.metric, c.other): c for c in results.comparisons()}
    head = "".join(f"<th>{escape(name)}</th>" for name in results.systems)
    truth = "<th>true</th>" if results.truth else ""
    rows = []
    for name, metric in results.metrics.items():
        cells = []
        for system in results.systems:
            found = outcomes.get((name, system))
            cheated = system in metric.cheats
            look = "cheat" if cheated else found.outcome if found is not None else ""
            title = metric.cheats.get(system, "")
            cells.append(
                f'<td class="{look}" title="{escape(title)}">'
                f"{_interval(results.estimates[system].get(name))}</td>"
            )
        own = f"<td>{_number(results.truth[name]) if name in results.truth else ''}</td>" if truth else ""
        rows.append(
            f'<tr><td title="{escape(metric.about)}">{name} {ARROWS[metric.better]}</td>'
            f"{own}{''.join(cells)}</tr>"
        )
    return f"<table><tr><th>metric</th>{truth}{head}</tr>{''.join(rows)}</table>"


def _plots(results: Results) -> str:
    drawn = []
    for name, metric in results.metrics.items():
        found = {system: results.estimates[system].get(name) for system in results.systems}
        shown = {s: e for s, e in found.items() if e is not None and math.isfinite(e.value)}
        if len(shown) > 1:
            drawn.append(_plot(f"{name} ({metric.unit}) {ARROWS[metric.better]}", shown, results))
    return f'<div class="plots">{"".join(drawn)}</div>'


def _plot(title: str, shown: Mapping[str, Estimate], results: Results) -> str:
    ends = [x for e in shown.values() for x in e if math.isfinite(x)]
    low, high = min(ends), max(ends)
    pad = 0.06 * (high - low) or 1.0
    low, high = low - pad, high + pad
    left = 130

    def x(value: float) -> float:
        return round(left + (PLOT_WIDTH - left - 10) * (value - low) / (high - low), 1)

    height = ROW * len(shown) + 40
    parts = [f'<text x="4" y="14" font-weight="bold">{escape(title)}</text>']
    for k, (system, estimate) in enumerate(shown.items()):
        y = 32 + ROW * k
        colour = "#0b6" if system == results.judged else "#999" if system in results.baselines else "#36c"
        if math.isfinite(estimate.low) and math.isfinite(estimate.high):
            parts.append(
                f'<line x1="{x(estimate.low)}" x2="{x(estimate.high)}" y1="{y}" y2="{y}" stroke="{colour}" '
                'stroke-width="3"/>'
            )
        parts.append(
            f'<circle cx="{x(estimate.value)}" cy="{y}" r="4" fill="{colour}"/>'
            f'<text x="4" y="{y + 4}">{escape(system)}</text>'
        )
    y = height - 4
    parts.append(f'<text x="{left}" y="{y}" fill="#888">{_number(low)}</text>')
    parts.append(f'<text x="{PLOT_WIDTH - 10}" y="{y}" fill="#888" text-anchor="end">{_number(high)}</text>')
    return f'<svg width="{PLOT_WIDTH}" height="{height}" font-size="11">{"".join(parts)}</svg>'


def _pictures(results: Results) -> str:
    if not results.pictures:
        return ""
    shown = "".join(
        f'<figure><figcaption>{escape(p.caption)}</figcaption><img alt="{escape(p.caption)}" '
        f'src="data:image/webp;base64,{base64.b64encode(p.data).decode()}"></figure>'
        for p in results.pictures
    )
    return f"<h2>Worst cases of {escape(results.judged)}</h2>{shown}"


def _cheats(results: Results) -> str:
    rows = ""
    for name, m in results.metrics.items():
        reasons = "; ".join(f"<b>{escape(who)}</b>: {escape(why)}" for who, why in m.cheats.items())
        rows += (
            f"<tr><td>{name} {ARROWS[m.better]}</td><td class=why>{escape(m.about)} ({escape(m.unit)})</td>"
            f"<td class=why>{reasons}</td></tr>"
        )
    return (
        "<h2>What the metrics are, and who can cheat them</h2><p>A baseline cheats a metric if it has a good "
        "figure by construction. Definitions and sources stand in docs/evaluation.md.</p>"
        f"<table><tr><th>metric</th><th class=why>tells</th><th class=why>cheated by</th></tr>{rows}</table>"
    )


def _items(results: Results) -> str:
    values = results.values[results.judged]
    shown = [name for name in results.metrics if name in values]
    head = "".join(f"<th>{name}</th>" for name in shown)
    rows = "".join(
        f"<tr><td>{escape(item)}</td>"
        + "".join(f"<td>{_number(math.nan if (v := values[n][k]) is None else v)}</td>" for n in shown)
        + "</tr>"
        for k, item in enumerate(results.items)
    )
    return (
        f"<details><summary>Item by item: {escape(results.judged)}</summary>"
        f"<table><tr><th>item</th>{head}</tr>{rows}</table></details>"
    )


def _facts(results: Results) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td class=why>{escape(_words(value))}</td></tr>"
        for name, value in results.facts.items()
    )
    return f"<h2>How it was measured</h2><table>{rows}</table>"


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
