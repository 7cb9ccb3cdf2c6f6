"""What runs jobs, wherever it does: jobs in, outcomes out as they finish."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from headgen.batch.job import Job
from headgen.batch.worker import Outcome
from headgen.progress import ProgressEvent

__all__ = ["Executor", "WorkerCallback", "WorkerEvent"]


@dataclass(frozen=True)
class WorkerEvent:
    """A step of the work of one worker."""

    worker: str
    """Its name, which it keeps as long as it lives; one that takes its place has it too."""
    job: str
    """Name of the job it is at."""
    step: ProgressEvent


WorkerCallback = Callable[[WorkerEvent], None]


class Executor(Protocol):
    """Runs jobs on one or more `headgen.batch.worker.Worker`. Use it in a ``with`` statement.

    What it promises:

    - Every job that it takes from the iterable gives exactly one outcome, in any order, unless `abandon` is
      called, or `finish` before it was begun. It takes no more of them than keep its workers busy.
    - A worker that dies is replaced. Its job is tried once more; when that kills a worker too, the outcome is
      "failed" and says how the worker ended.
    - The same job gives the same bytes whoever runs it.
    """

    workers: int
    """How many work at a time."""

    def __enter__(self) -> Executor: ...

    def __exit__(self, *exc: object) -> None:
        """Ends the workers, whatever they are doing, and removes what they had begun."""

    def run(self, jobs: Iterable[Job], progress: WorkerCallback | None = None) -> Iterator[Outcome]:
        """Runs jobs.

        Args:
            jobs: asked for in the calling thread, one by one.
            progress: called in the calling thread, a few times a second for each worker.

        Returns:
            Outcomes as they finish. After `finish`, those of the jobs that were begun, then it ends; after
            `abandon`, it ends at once.
        """

    def finish(self) -> None:
        """Begins no more jobs; those that run go on to their end. May be called from any thread."""

    def abandon(self) -> None:
        """Stops the jobs that run; nothing half-written is left. May be called from any thread."""
