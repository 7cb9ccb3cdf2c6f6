"""The page that says how good the embedded models are: evaluated anew, written as Markdown with pictures."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

from headgen.errors import InputError
from headgen.evaluation.bootstrap import Estimate
from headgen.evaluation.evaluate_listen import evaluate_listen
from headgen.evaluation.evaluate_reenact import evaluate_reenact
from headgen.evaluation.report_page import ARROWS, LEAST_SHOWN
from headgen.evaluation.results import Results
from headgen.media.output import check_output, replacing
from headgen.progress import ProgressCallback
from headgen.synth.dataset.make import videos as make_videos

__all__ = ["quality"]

SECONDS, SIZE = 3.0, 256
"""Of the rendered people's videos."""
SHOWN = 2
"""Worst cases of each evaluation that the page shows."""


def quality(
    output: Path,
    talks: Path,
    *,
    people: int = 4,
    clips: int = 20,
    drivings: Path | None = None,
    portraits: Path | None = None,
    frames: int = 75,
    pictures: bool = True,
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Path:
    """Evaluates the embedded models on synthetic tests and on videos of one's own, and writes a page on it.

    Rendered people move their own first frames; the listener listens to held-out synthetic conversations.
    With `drivings` and `portraits`, these are reenacted too. Worst cases are written beside the page.

    Args:
        output: the page (.md).
        talks: folder made by `headgen synth listening`.
        people: rendered people who are reenacted.
        clips: held-out conversations, at most.
        drivings: driving video of one's own, or a folder of them.
        portraits: photograph of one's own, or a folder of them.
        frames: of each driving video, from its beginning.
        pictures: write pictures of the worst cases; a page that others will see must show nobody who does not
            want it.
        device: `auto`, `cpu`, `cuda`, ...
        seed: of everything.
        progress: told of each part.

    Returns:
        The page.

    Raises:
        InputError: files or options that cannot be used.
        MissingExtraError: the ``synth`` extra is not installed.
    """
    output = check_output(output, suffixes=(".md",))
    if (drivings is None) != (portraits is None):
        raise InputError("drivings and portraits go together; give both, or neither")
    options: dict[str, Any] = {"device": device, "seed": seed, "progress": progress}
    with tempfile.TemporaryDirectory() as passing:
        folder = Path(passing)
        make_videos(folder / "people", people, seed, size=SIZE, seconds=SECONDS, progress=progress)
        parts = {
            "Reenacting rendered people": evaluate_reenact(
                folder / "people" / "clips", folder / "self", protocol="self", frames=frames, **options
            ).results,
            "Listening in synthetic conversations": evaluate_listen(
                talks, folder / "listen", layout="motion", clips=clips, **options
            ).results,
        }
        if drivings is not None and portraits is not None:
            parts["Reenacting photographs"] = evaluate_reenact(
                drivings, folder / "cross", portraits=portraits, frames=frames, **options
            ).results
    text = [
        "# How good it is",
        "Written by `headgen evaluate quality`; [what the metrics are](evaluation.md). Means with 95 % "
        "intervals over items. In brackets stand figures that a baseline has by construction.",
    ]
    for k, (title, results) in enumerate(parts.items()):
        text += [f"## {title}", *_section(results)]
        if pictures:
            for n, picture in enumerate(results.pictures[:SHOWN]):
                path = output.with_name(f"{output.stem}-{k}-{n}.webp")
                with replacing(path) as part:
                    part.write_bytes(picture.data)
                text.append(f"![{picture.caption}]({path.name})\n\n{picture.caption}")
    with replacing(output) as part:
        part.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    return output


def _section(results: Results) -> list[str]:
    """Verdicts and the table of one evaluation."""
    lines = []
    for other in results.baselines:
        fair = [c for c in results.comparisons() if c.other == other and not c.cheated]
        words = [
            f"{label} {', '.join(c.metric for c in fair if c.outcome == outcome)}"
            for outcome, label in (("better", "better:"), ("alike", "not told apart:"), ("worse", "worse:"))
            if any(c.outcome == outcome for c in fair)
        ]
        if words:
            lines.append(
                f"- `{results.judged}` against *{other}*, where it cannot cheat: {'; '.join(words)}."
            )
    truth = ["true"] if results.truth else []
    head = ["metric", *truth, *results.systems]
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, metric in results.metrics.items():
        own = [_number(results.truth.get(name, math.nan))] if truth else []
        cells = []
        for system in results.systems:
            shown = _interval(results.estimates[system].get(name))
            cells.append(f"({shown})" if shown and system in metric.cheats else shown)
        rows.append("| " + " | ".join([f"{name} {ARROWS[metric.better]}", *own, *cells]) + " |")
    return [f"{len(results.items)} items.", "\n".join(lines), "\n".join(rows)]


def _number(value: float) -> str:
    if abs(value) < LEAST_SHOWN:
        return "0"
    return f"{value:.3g}" if math.isfinite(value) else ""


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or not math.isfinite(estimate.value):
        return ""
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return _number(estimate.value)
    return f"{_number(estimate.value)} [{_number(estimate.low)}, {_number(estimate.high)}]"
