"""Jobs in worker processes of this machine, each on its share of the cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from headgen.batch.executor import WorkerCallback, WorkerEvent
from headgen.batch.job import Job
from headgen.batch.worker import Outcome, Worker, WorkerSettings
from headgen.errors import HeadgenError, InputError
from headgen.nn.threads import cores
from headgen.progress import ProgressEvent

__all__ = ["LocalExecutor"]

_TRIES = 2  # worker processes that one job may cost
_STARTS = 3  # times that processes may fail to start, one after the other
_LOOK = 0.25  # seconds between two looks at whether to stop
_TELL = 0.2  # seconds between two steps that a worker tells
_SACRIFICE = 500  # added to how readily the system ends a worker when memory runs out, rather than the run


@dataclass
class _Slot:
    """The place of one worker, in which others may take its place."""

    name: str
    process: BaseProcess
    connection: Connection
    started: bool = False
    job: Job | None = None
    tries: int = 0


class LocalExecutor:
    """Runs jobs in processes of their own; see `headgen.batch.executor.Executor`.

    Models are loaded once for each worker. A worker ends when this process does, however that ends. A
    program that uses this as its main module keeps its own start behind ``if __name__ == "__main__"``.

    Args:
        settings: of the run; `threads` is by default the machine's cores divided by the workers.
        workers: processes.

    Raises:
        InputError: fewer than one worker.
    """

    def __init__(self, settings: WorkerSettings, workers: int) -> None:
        if workers < 1:
            raise InputError(f"workers={workers} is out of range; give 1 or more.")
        self.settings = replace(settings, threads=settings.threads or max(1, cores() // workers))
        self.workers = workers
        self._slots: list[_Slot] = []
        self._failed_starts = 0
        self._finishing, self._abandoned = threading.Event(), threading.Event()

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *exc: object) -> None:
        for slot in self._slots:
            slot.process.kill()
        for slot in self._slots:
            slot.process.join()
            slot.connection.close()
        self._slots = []

    def finish(self) -> None:
        """See `Executor`."""
        self._finishing.set()

    def abandon(self) -> None:
        """See `Executor`."""
        self._abandoned.set()

    def run(self, jobs: Iterable[Job], progress: WorkerCallback | None = None) -> Iterator[Outcome]:
        """See `Executor`.

        Raises:
            HeadgenError: worker processes do not start.
        """
        source = iter(jobs)
        again: deque[tuple[Job, int]] = deque()  # of workers that died, with the tries they have had
        exhausted = False
        while not self._abandoned.is_set():
            while not exhausted and len(again) < self._idle():
                job = None if self._finishing.is_set() else next(source, None)
                exhausted = job is None
                if job is not None:
                    again.append((job, 0))
            if self._finishing.is_set():
                again = deque(one for one in again if one[1])  # those that no worker has begun stay undone
            if not again and not any(slot.job for slot in self._slots):
                return
            self._hand_out(again)
            watched = [one for slot in self._slots for one in (slot.connection, slot.process.sentinel)]
            ready = set(wait(watched, _LOOK))
            for slot in list(self._slots):
                if slot.connection in ready or slot.process.sentinel in ready:
                    yield from self._answered(slot, again, progress)

    def _idle(self) -> int:
        """Workers without a job, those included that have not been started."""
        return self.workers - sum(slot.job is not None for slot in self._slots)

    def _hand_out(self, waiting: deque[tuple[Job, int]]) -> None:
        free = [slot for slot in self._slots if slot.job is None]
        for _ in range(min(len(waiting), self._idle()) - len(free)):
            names = {slot.name for slot in self._slots}
            name = next(str(k + 1) for k in range(self.workers) if str(k + 1) not in names)
            self._slots.append(self._start(name))
        for slot in free:
            if slot.started and waiting:
                slot.job, tries = waiting.popleft()
                slot.tries = tries + 1
                with suppress(OSError):  # it has just died, which is dealt with when it is noticed
                    slot.connection.send(slot.job)

    def _start(self, name: str) -> _Slot:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, self.settings, name), name=f"headgen-worker-{name}", daemon=True
        )
        process.start()
        theirs.close()  # so that a dead process is noticed
        return _Slot(name, process, ours)

    def _answered(
        self, slot: _Slot, again: deque[tuple[Job, int]], progress: WorkerCallback | None
    ) -> Iterator[Outcome]:
        """Takes what a worker has said, or notices that it is no more."""
        while True:
            try:  # of the connection alone: errors of who is told are theirs
                if not slot.connection.poll():
                    return
                said = slot.connection.recv()
            except (EOFError, OSError):
                yield from self._lost(slot, again)
                return
            if isinstance(said, Outcome):
                tries, slot.job = slot.tries, None
                yield replace(said, attempts=tries)
            elif isinstance(said, ProgressEvent):
                if progress is not None and slot.job is not None:
                    progress(WorkerEvent(slot.name, slot.job.name, said))
            else:
                slot.started, self._failed_starts = True, 0

    def _lost(self, slot: _Slot, again: deque[tuple[Job, int]]) -> Iterator[Outcome]:
        """A worker died: its job is tried once more by another one, or given up."""
        slot.process.join()
        slot.connection.close()
        self._slots.remove(slot)
        ended = _how(slot.process.exitcode)
        if not slot.started:
            self._failed_starts += 1
            if self._failed_starts >= _STARTS:
                raise HeadgenError(f"worker processes do not start ({ended}); run headgen doctor")
        if slot.job is None:
            return
        if slot.tries < _TRIES:
            again.append((slot.job, slot.tries))
            return
        job = slot.job
        times = "twice" if slot.tries == 2 else f"{slot.tries} times"
        told = f"its worker process died {times} ({ended})"
        yield Outcome(
            job.name, job.row, job.kind, "failed", error=told, worker=slot.name, attempts=slot.tries
        )


def _how(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    if -code == signal.SIGKILL:
        return f"{name}: as a rule memory ran out; use fewer workers or a smaller max_size"
    return name


def _serve(connection: Connection, settings: WorkerSettings, name: str) -> None:
    """A worker process: does what it is given until nobody is there to give."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the run decides
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    with suppress(OSError):  # not every system has it
        Path("/proc/self/oom_score_adj").write_text(str(_SACRIFICE), encoding="ascii")
    last = 0.0

    def tell(step: ProgressEvent) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _TELL or step.done == step.total:
            last = now
            # Events of the scheduler say more than is worth sending.
            connection.send(ProgressEvent(step.stage, step.done, step.total, step.unit))

    with Worker(settings, name) as worker:
        connection.send("ready")
        while True:
            try:
                job = connection.recv()
            except (EOFError, OSError):
                return
            connection.send(worker.run(job, tell))


def _end_with(parent: int) -> None:
    """Ends this process as soon as its parent has ended, even in the midst of a job."""
    wait([parent])
    os._exit(1)
