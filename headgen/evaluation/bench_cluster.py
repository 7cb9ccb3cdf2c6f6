"""A batch on a Ray cluster of two machines, one of which is lost half way: its bytes, and its speed."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from headgen.batch.executor import Executor
from headgen.batch.local import LocalExecutor
from headgen.batch.ray_executor import RayExecutor
from headgen.batch.results import Log
from headgen.batch.runner import run_batch
from headgen.batch.worker import WorkerSettings
from headgen.errors import HeadgenError, MissingExtraError
from headgen.evaluation.bench_batch import leftovers_of, make_batch, results_of, speed_of
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = ["ClusterFigures", "bench"]

_WORKERS = 2  # one on each node
_STORE = 80_000_000  # bytes of a node's object store, Ray's least: rows are small


@dataclass(frozen=True)
class ClusterFigures:
    """What `bench` has measured."""

    jobs: int
    done: int
    failed: int
    lost_at: int
    """Outcomes that were there when the second machine was lost."""
    same: bool
    """The results are those of local workers, to the last byte."""
    once: bool
    """No job has more than one line in the log."""
    leftovers: tuple[str, ...]
    """Files that do not belong there."""
    load: float
    """Processes that wanted a core before it began; 0 on a machine that rests."""
    rates: dict[str, float]
    """Jobs a second: of two local workers, and of two Ray workers until the machine was lost."""
    between: dict[str, float]
    """Milliseconds between two jobs of a worker, in which it has nothing to do, for each of them."""


def bench(
    *, jobs: int = 200, folder: Path | None = None, progress: ProgressCallback | None = None
) -> ClusterFigures:
    """Runs a batch on two local workers, then on a Ray cluster of two nodes, and kills one node half way.

    Both nodes are on this machine, of one core each. Ten of the jobs are broken in different ways.

    Args:
        jobs: rows of the manifest, at least 20.
        folder: where all is kept; a temporary one by default.
        progress: told of each job.

    Raises:
        MissingExtraError: Ray is not installed.
        HeadgenError: results differ, or something is left over.
    """
    load = float(os.getloadavg()[0])
    rates, between = {}, {}
    with tempfile.TemporaryDirectory(prefix="headgen-bench-") as own:
        place = Path(folder or own)
        manifest = make_batch(place / "inputs", jobs)

        def run(name: str, make: Callable[[WorkerSettings], Executor], lose: Callable[[], None]) -> Any:
            ended: list[tuple[float, Any]] = []

            def note(event: Any) -> None:
                if getattr(event, "outcome", None) is None:
                    return
                ended.append((time.perf_counter(), event.outcome))
                if progress is not None:
                    progress(ProgressEvent(name, len(ended), jobs, "jobs"))
                if len(ended) == jobs // 2:
                    rates[name], between[name] = speed_of(ended, _WORKERS)
                    lose()

            return run_batch(manifest, place / name, make_executor=make, progress=note)

        run("local", lambda settings: LocalExecutor(settings, _WORKERS), lambda: None)
        with _two_nodes() as (address, lose):
            make = partial(RayExecutor, workers=_WORKERS, address=address)
            report = run("ray", make, lose)
        expected, found = results_of(place / "local"), results_of(place / "ray")
        leftovers = leftovers_of(place / "ray", found)
        names = [row["name"] for row in Log(place / "ray/.headgen/log.jsonl").read()]
        if found != expected or leftovers:
            raise HeadgenError(
                f"the cluster made other results than local workers, or leftovers: {leftovers}"
            )
        return ClusterFigures(
            jobs, report.tally.done, report.tally.failed, jobs // 2, found == expected,
            len(names) == len(set(names)), tuple(leftovers), load, rates, between,
        )  # fmt: skip


@contextmanager
def _two_nodes() -> Iterator[tuple[str, Callable[[], None]]]:
    """The address of a cluster of two nodes of one core, and what kills one of them."""
    try:
        from ray.cluster_utils import Cluster
    except ModuleNotFoundError:
        raise MissingExtraError("ray", "cluster", "Measuring a Ray cluster") from None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # as local workers have it
    one: dict[str, Any] = {"num_cpus": 1, "object_store_memory": _STORE}
    cluster = Cluster(initialize_head=True, head_node_args={**one, "include_dashboard": False})
    try:
        second = cluster.add_node(**one)
        yield cluster.address, lambda: cluster.remove_node(second, allow_graceful=False)
    finally:
        cluster.shutdown()
