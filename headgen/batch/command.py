"""``headgen batch`` and ``headgen batch status``."""

from __future__ import annotations

import json as json_module
import time
from contextlib import ExitStack
from typing import Any, Literal

from rich.console import Console

from headgen.batch.pace import duration
from headgen.batch.state import read_status
from headgen.errors import HeadgenError, InputError, check_choices
from headgen.progress import Cancelled, ProgressCallback, ProgressEvent

__all__ = ["batch", "status"]

ExecutorName = Literal["local", "ray"]
LogFormat = Literal["text", "json"]


def batch(
    manifest: str,
    output: str,
    *,
    executor: ExecutorName = "local",
    workers: int | None = None,
    address: str | None = None,
    cpus: int = 1,
    gpus: float = 0.0,
    retry_failed: bool = False,
    strict: bool = False,
    dry_run: bool = False,
    check: bool = True,
    verify: bool = False,
    log: LogFormat = "text",
    metrics: str | None = None,
) -> str | None:
    """Runs the jobs of a manifest, thousands of them, and goes on where it was stopped.

    Each row is a job; its result is NAME.mp4 with a run record. Jobs that are done and have not changed are
    not done again. A bad row fails alone; results.csv (and .parquet) tell of each what became of it. Ctrl-C
    lets the current jobs end, and a second one abandons them.

    Args:
        manifest: table of jobs, .csv, .jsonl or .parquet, or its address (s3://...).
        output: folder of the results, or its address.
        executor: `local` has worker processes on this machine, `ray` has actors on a Ray cluster.
        workers: that work at a time; by default one for every two cores of this machine, with `ray` one for
            every `cpus` of them.
        address: of a Ray cluster (HOST:PORT, or auto on one of its machines); else one is started here.
        cpus: cores of each worker on a Ray cluster.
        gpus: GPUs of each worker on a Ray cluster; 0.5 lets two share one.
        retry_failed: try those again that have failed and not changed.
        strict: do nothing if any row cannot be a job.
        dry_run: only check the manifest; say what there is to do and how long it will take.
        check: measure how many frames of each result show a face, and how calm it is.
        verify: read the results again that are there, and make those anew that are not what they were.
        log: `text` for people, `json` for machines: one object a line.
        metrics: figures for Prometheus: a port for a page /metrics, or a file.

    Returns:
        What has become of it.

    Raises:
        InputError: a manifest or folder that cannot be used.
        HeadgenError: some jobs have failed, or it ended early; the message says which and why.
    """
    from headgen.batch.metrics import BatchMetrics, exposed  # they bring all libraries
    from headgen.batch.runner import run_batch
    from headgen.batch.telling import JsonLines, TextTeller, report_text

    check_choices(executor=(executor, ExecutorName), log=(log, LogFormat))
    make = None
    if executor == "ray":
        from headgen.nn.threads import cores

        workers = max(1, cores() // max(1, cpus)) if workers is None else workers
        make = _ray(address, workers, cpus, gpus)
    elif address is not None or cpus != 1 or gpus:
        raise InputError("--address, --cpus and --gpus go with --executor ray; leave them out")
    console = Console(stderr=True)
    with ExitStack() as stack:
        listeners: list[ProgressCallback] = []
        lines = stack.enter_context(JsonLines().listening()) if log == "json" else None
        listeners.append(lines or stack.enter_context(TextTeller(console)))
        if metrics is not None:
            figures = BatchMetrics()
            stack.enter_context(exposed(figures, metrics))
            listeners.append(figures)

        def tell(event: ProgressEvent) -> None:
            for listener in listeners:
                listener(event)

        report = run_batch(
            manifest, output, make_executor=make, workers=workers, retry_failed=retry_failed, strict=strict,
            dry_run=dry_run, check=check, verify=verify, progress=tell,
        )  # fmt: skip
    text: str | None = report_text(report, dry_run)
    if lines is not None:
        for bad in report.plan.bad:
            lines.write("bad row", row=bad.row, name=bad.name, error=bad.error)
        lines.end(report)
    if report.stopped.startswith("stopped by Ctrl-C"):
        console.print(text, markup=False, highlight=False, soft_wrap=True)
        raise Cancelled
    if report.stopped or report.failures:
        raise HeadgenError(text if lines is None else str(text).splitlines()[-1])
    return text if lines is None else None


def _ray(address: str | None, workers: int, cpus: int, gpus: float) -> Any:
    """What makes the executor, `headgen.batch.runner.MakeExecutor`."""
    from headgen.batch.ray_executor import RayExecutor

    return lambda settings: RayExecutor(settings, workers, address=address, cpus=cpus, gpus=gpus)


def status(output: str, *, json: bool = False) -> str:
    """Says how far a batch is, at once, however large it is.

    Args:
        output: folder of the batch, or its address.
        json: for machines.

    Returns:
        What there is to say.

    Raises:
        InputError: there is no batch.
    """
    found = read_status(output)
    if found["state"] == "running" and not found["alive"]:
        found["state"] = "killed"
    if json:
        return json_module.dumps(found)
    return "\n".join(_lines(output, found))


def _lines(output: str, found: dict[str, Any]) -> list[str]:
    now = time.time()
    running = found["state"] == "running"
    waiting = found["total"] - found["done"] - found["failed"]
    end = now if running else found["updated"]
    rate = found["frames"] / max(end - found["begun"], 1e-9)
    lines = [
        f"{output}: {found['state']}" + (f" ({found['reason']})" if found["reason"] else ""),
        f"manifest   {found['manifest']}",
        f"jobs       {found['total']}: {found['done']} done ({found['earlier']} of them by earlier runs), "
        f"{found['failed']} failed, {waiting} to do",
        f"frames     {found['frames']} in this run, {rate:.1f} a second",
    ]
    if running and found["left"] is not None:
        lines.append(
            f"time       {duration(now - found['begun'])} so far, about {duration(found['left'])} left"
        )
    if found["vanished"]:
        lines.append(f"kept       {found['vanished']} results that are no longer in the manifest")
    if running:
        lines.append(
            f"process    {found['pid']} on {found['host']}, heard {duration(now - found['updated'])} ago"
        )
        for worker, job, stage, done, total, unit in found["workers"]:
            share = f"{done}/{total}" if total else str(done)
            lines.append(f"worker {worker:4}{job}: {stage} {share} {unit}")
    elif found["state"] == "killed":
        lines.append("run headgen batch again to go on")
    return lines
