"""The page that says how good the embedded models are: evaluated anew, written as Markdown with pictures."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headgen.errors import InputError
from headgen.evaluation.bootstrap import Estimate
from headgen.evaluation.evaluate_listen import evaluate_listen
from headgen.evaluation.evaluate_reenact import evaluate_reenact
from headgen.evaluation.report_page import ARROWS, LEAST_SHOWN
from headgen.evaluation.results import FAULTS, FAULTS_TOLD, Results
from headgen.listener.engine import Long
from headgen.media.output import check_output, replacing
from headgen.progress import ProgressCallback
from headgen.synth.dataset.make import videos as make_videos

__all__ = ["quality"]

SECONDS, SIZE = 3.0, 256
"""Of the rendered people's videos."""
SHOWN = 2
"""Worst cases of each evaluation that the page shows."""
REENACTOR = "fsrt-small"
LISTENERS: tuple[tuple[str, Long, str], ...] = (
    ("listener-small", "segments", "in segments"),
    ("listener-fast", "causal", "live"),
)
"""Embedded listeners, how they go long, and that in words."""
MODELS = (REENACTOR, *(model for model, _, _ in LISTENERS))
BEGIN, END = "<!-- evaluated -->", "<!-- end of evaluated -->"
"""Around the tables in a card."""
WRITTEN = "Written by `headgen evaluate quality`"
READ = "Means with 95 % intervals over items. In brackets stand figures that a baseline has by construction."


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
    cards: Path | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Path:
    """Evaluates the embedded models on synthetic tests and on videos of one's own, and writes a page on it.

    Rendered people move their own first frames; the listeners listen to held-out synthetic conversations:
    `listener-small` in segments, `listener-fast` in chunks as live. With `drivings` and `portraits`, these
    are reenacted too. Worst cases are written beside the page.

    Args:
        output: the page (.md).
        talks: folder made by `headgen synth listening`.
        people: rendered people who are reenacted.
        clips: held-out conversations, at most.
        drivings: driving video of one's own, or a folder of them.
        portraits: photograph of one's own, or a folder of them.
        frames: of each driving video, from its beginning.
        pictures: write pictures of the worst cases of one's own videos too; a page that others will see must
            show nobody who does not want it. Rendered people are always shown.
        cards: folder with a folder for every model, whose card (README.md) gets the model's tables too, in
            place of those of the last time.
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
    if cards is not None:
        for model in MODELS:
            _divided(_card(cards, model))
    options: dict[str, Any] = {"device": device, "seed": seed, "progress": progress}
    heard: dict[str, Any] = {"layout": "motion", "clips": clips, **options}
    parts = []
    with tempfile.TemporaryDirectory() as passing:
        folder = Path(passing)
        make_videos(folder / "people", people, seed, size=SIZE, seconds=SECONDS, progress=progress)
        rendered = evaluate_reenact(
            folder / "people" / "clips", folder / "self", protocol="self", frames=frames, **options
        )
        parts.append(_Part("Reenacting rendered people", REENACTOR, rendered.results, pictures=True))
        for model, long, way in LISTENERS:
            made = evaluate_listen(talks, folder / model, model=model, long=long, **heard)
            title = f"Listening in synthetic conversations, {way}"
            parts.append(_Part(title, model, made.results, pictures=True))
        if drivings is not None and portraits is not None:
            own = evaluate_reenact(drivings, folder / "cross", portraits=portraits, frames=frames, **options)
            parts.append(_Part("Reenacting photographs", REENACTOR, own.results, pictures))
    tables: dict[str, list[str]] = {model: [] for model in MODELS}
    text = ["# How good it is", f"{WRITTEN}; [what the metrics are](evaluation.md). {READ}"]
    text += [f"## {FAULTS}", *_faults(parts)]
    for old in _pictures(output):
        old.unlink(missing_ok=True)
    for k, part in enumerate(parts):
        section = _section(part.results)
        text += [f"## {part.title}", *section]
        tables[part.model] += [f"### {part.title}", *section]
        for n, picture in enumerate(part.results.pictures[: SHOWN if part.pictures else 0]):
            path = output.with_name(f"{output.stem}-{k}-{n}.webp")
            with replacing(path) as unfinished:
                unfinished.write_bytes(picture.data)
            text.append(f"![{picture.caption}]({path.name})\n\n{picture.caption}")
    _write(output, text)
    if cards is not None:
        for model in MODELS:
            before, after = _divided(_card(cards, model))
            faults = [f"### {FAULTS}", *_faults([part for part in parts if part.model == model])]
            written = [before, BEGIN, f"## Evaluated\n\n{WRITTEN}. {READ}", *faults, *tables[model], END]
            _write(_card(cards, model), [*written, after] if after else written)
    return output


@dataclass(frozen=True)
class _Part:
    """One evaluation: its title, the model that it is about, and whether its worst cases may be seen."""

    title: str
    model: str
    results: Results
    pictures: bool


def _pictures(page: Path) -> list[Path]:
    """Those that the page of the last time shows."""
    if not page.is_file():
        return []
    text = page.read_text(encoding="utf-8", errors="replace")
    names = re.findall(rf"\]\(({re.escape(page.stem)}-\d+-\d+\.webp)\)", text)
    return [page.with_name(name) for name in names]


def _card(cards: Path, model: str) -> Path:
    return cards / model / "README.md"


def _divided(card: Path) -> tuple[str, str]:
    """What stands before and behind the tables of a model's card."""
    try:
        text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{card}: is no readable card of a model; give the folder weights/") from error
    before, found, rest = text.partition(BEGIN)
    if not found:
        return text.strip(), ""
    _, found, after = rest.partition(END)
    if not found:
        raise InputError(f"{card}: has {BEGIN} without {END}; put that behind the tables, or take both out")
    return before.strip(), after.strip()


def _write(path: Path, paragraphs: Sequence[str]) -> None:
    with replacing(path) as part:
        part.write_text("\n\n".join(paragraphs) + "\n", encoding="utf-8")


def _faults(parts: Sequence[_Part]) -> list[str]:
    """What is wrong in all parts, ranked."""
    found = [(fault, part) for part in parts for fault in part.results.faults()]
    found.sort(key=lambda one: -one[0].size)
    lines = [
        f"{k}. `{part.model}`, {part.title[0].lower()}{part.title[1:]}: {fault}"
        for k, (fault, part) in enumerate(found, 1)
    ]
    return [FAULTS_TOLD, "\n".join(lines)] if lines else ["Nothing beyond chance."]


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
