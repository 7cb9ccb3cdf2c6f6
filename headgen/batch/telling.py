"""Telling how a batch goes: bars on a terminal, lines in a log, JSON for machines."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from headgen.batch.pace import duration
from headgen.batch.runner import BatchEvent, BatchReport, Tally
from headgen.batch.worker import Outcome
from headgen.progress import ProgressEvent

__all__ = ["JsonLines", "TextTeller", "report_text"]

_PLAIN = 10.0  # seconds between two lines on how far it is, off a terminal
_SHOWN = 20  # failures that the last report shows


def _far(tally: Tally) -> str:
    left = f", {duration(tally.left)} left" if tally.left is not None and tally.waiting else ""
    failed = f", {tally.failed} failed" if tally.failed else ""
    return f"{tally.done} of {tally.total} done{failed}, {tally.rate:.1f} frames/s{left}"


class TextTeller:
    """Shows the whole and each worker as bars, failures as lines above; off a terminal all as lines.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._told = 0.0

    def __enter__(self) -> TextTeller:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, event: ProgressEvent) -> None:
        """Takes one event."""
        if not isinstance(event, BatchEvent):
            self._show(event.stage, event.done, event.total, f"{event.done}/{event.total} {event.unit}")
            return
        outcome, tally = event.outcome, event.tally
        if outcome is not None and outcome.status == "failed":
            self._line(f"failed: {outcome.name} (row {outcome.row}): {outcome.error}")
        for text in outcome.warnings if outcome is not None else ():
            self._line(f"{outcome.name if outcome else ''}: {text}")
        self._show("batch", event.done, event.total, _far(tally))
        if event.worker is not None:
            step, name = event.worker.step, f"worker {event.worker.worker}"
            self._show(name, step.done, step.total, f"{event.worker.job}: {step.stage}")
        if self._bars.disable and outcome is not None and time.monotonic() - self._told > _PLAIN:
            self._told = time.monotonic()
            self._line(_far(tally))

    def _show(self, name: str, done: int, total: int | None, text: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total, text=text)
        shown = None if total is None else max(total, done)
        self._bars.update(self._tasks[name], completed=done, total=shown, text=text)

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class JsonLines(logging.Handler):
    """Writes what happens as one JSON object a line: jobs as they end, remarks, and the end.

    Args:
        stream: where to.
    """

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        super().__init__(logging.INFO)
        self._stream = stream
        self._begun = False

    def emit(self, record: logging.LogRecord) -> None:
        """Writes what the library remarks on."""
        self.write(record.levelname.lower(), message=record.getMessage())

    def write(self, event: str, **values: Any) -> None:
        """Writes one line."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._stream.write(json.dumps({"time": now, "event": event, **values}) + "\n")
        self._stream.flush()

    def __call__(self, event: ProgressEvent) -> None:
        """Takes one event."""
        if not isinstance(event, BatchEvent):
            return
        if not self._begun:
            self._begun = True
            self.write("begun", **_counts(event.tally))
        if event.outcome is not None:
            self.write("job", **_plain(event.outcome), batch=_counts(event.tally))

    @contextmanager
    def listening(self) -> Iterator[JsonLines]:
        """Inside, remarks of the library are written as well."""
        logger = logging.getLogger("headgen")
        logger.addHandler(self)
        try:
            yield self
        finally:
            logger.removeHandler(self)

    def end(self, report: BatchReport) -> None:
        """Writes the last line."""
        self.write(
            "ended", **_counts(report.tally), made=report.made, seconds=round(report.seconds, 3),
            stopped=report.stopped, vanished=list(report.vanished), output=report.output,
        )  # fmt: skip


def _counts(tally: Tally) -> dict[str, Any]:
    left = None if tally.left is None else round(tally.left, 1)
    return {
        "total": tally.total, "done": tally.done, "failed": tally.failed, "waiting": tally.waiting,
        "frames": tally.frames, "frames_per_second": round(tally.rate, 3), "seconds_left": left,
    }  # fmt: skip


def _plain(outcome: Outcome) -> dict[str, Any]:
    row = outcome.as_row()
    row["outputs"] = [one.name for one in outcome.outputs]
    for name in ("stamps", "digests"):
        row.pop(name, None)
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}


def report_text(report: BatchReport, dry_run: bool) -> str:
    """What has become of a batch, or would, for people."""
    tally, plan = report.tally, report.plan
    lines = []
    if plan.bad:
        lines += [f"{len(plan.bad)} of {tally.total} rows cannot be jobs:", plan.report()]
    if dry_run:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(plan.kinds.items())) or "none"
        lines.append(
            f"{len(plan.jobs)} jobs ({kinds}), {duration(plan.seconds)} of video, {plan.frames} frames"
        )
        lines.append(f"{tally.done} are done already, {tally.waiting} to do, {tally.failed} have failed")
        if tally.waiting and tally.left is not None:
            lines.append(f"about {duration(tally.left)} to go ({report.estimate})")
        lines += _gone(report)
        return "\n".join(lines)
    begun = {bad.name for bad in plan.bad}
    late = [outcome for outcome in report.failures if outcome.name not in begun]
    if late:
        lines.append(f"{len(late)} jobs failed:")
        lines += [f"  row {one.row}, {one.name}: {one.error}" for one in late[:_SHOWN]]
        if len(late) > _SHOWN:
            lines.append(f"  and {len(late) - _SHOWN} more; {report.output}/results.csv has them all")
    rate = f", {tally.frames} frames, {tally.rate:.1f} a second" if tally.frames else ""
    lines.append(
        f"{report.output}: {tally.done} of {tally.total} jobs are done ({report.made} of them now, in "
        f"{duration(report.seconds)}{rate}), {tally.failed} failed, {tally.waiting} to do"
    )
    lines += _gone(report)
    if not report.parquet:
        lines.append("results.csv was written; results.parquet needs pip install 'headgen[batch]'")
    if report.stopped:
        lines.append(f"ended early: {report.stopped}; run the same command to go on")
    return "\n".join(lines)


def _gone(report: BatchReport) -> list[str]:
    if not report.vanished:
        return []
    shown = ", ".join(report.vanished[:5]) + (" ..." if len(report.vanished) > 5 else "")
    return [f"{len(report.vanished)} results are no longer in the manifest and are kept: {shown}"]
