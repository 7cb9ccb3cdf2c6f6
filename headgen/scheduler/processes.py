"""An engine that works in several processes: to `run` it is an engine like any other."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from headgen.errors import HeadgenError
from headgen.nn.threads import shared_cores
from headgen.progress import Cancelled
from headgen.scheduler.engine import Engine, Picture, Result, Step
from headgen.scheduler.plan import Segment, Transition

__all__ = ["ProcessEngine"]

_LOOK = 0.05  # seconds between two looks at whether the work is still wanted


class ProcessEngine:
    """Engines of the same kind in processes of their own, each on its share of the cores.

    Jobs, results and pictures travel between the processes, so they must be picklable; results go back to a
    process for every chunk drawn of them and are best small. A program that uses this as its main module
    keeps its own start behind ``if __name__ == "__main__"``, as always with spawned processes.

    Use it in a ``with`` statement: leaving it ends the processes.

    Args:
        make: makes an engine; called in every process, so it must be picklable: a function of a module, or a
            `functools.partial` of one.
        workers: number of processes.
    """

    def __init__(self, make: Callable[[], Engine], workers: int) -> None:
        if workers < 1:
            raise ValueError(f"{workers} processes; at least one is needed")
        self.make, self.parallel = make, workers
        self.chunk, self.chained, self.fingerprint = 1, False, ""  # the engines', once prepared
        self._processes: list[BaseProcess] = []
        self._idle: SimpleQueue[tuple[BaseProcess, Connection]] = SimpleQueue()

    def __enter__(self) -> ProcessEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes, whatever they are doing."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
        self._processes = []
        self._idle = SimpleQueue()

    def prepare(self, job: Any) -> None:
        """Starts the processes, unless they run already, and prepares an engine in each."""
        if not all(process.is_alive() for process in self._processes):
            self.close()  # some were ended in the midst of their work
        if not self._processes:
            self._start()
        workers = [self._idle.get() for _ in self._processes]
        try:
            for _, connection in workers:
                connection.send(("prepare", (job,)))
            for process, connection in workers:
                self.chunk, self.chained, self.fingerprint = _answer(process, connection, None)
        except BaseException:
            self.close()
            raise
        for worker in workers:
            self._idle.put(worker)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        for _ in range(self.parallel):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, self.make, self.parallel), daemon=True)
            process.start()
            theirs.close()  # so that a dead process is noticed
            self._processes.append(process)
            self._idle.put((process, ours))

    def render(self, segment: Segment, previous: Result | None, step: Step) -> Result:
        """See `Engine`."""
        return self._call("render", step, segment, previous)

    def refine(self, transition: Transition, left: Result, right: Result, step: Step) -> Result:
        """See `Engine`."""
        return self._call("refine", step, transition, left, right)

    def draw(self, source: Segment | Transition, result: Result, start: int, stop: int) -> list[Picture]:
        """See `Engine`."""
        return self._call("draw", None, source, result, start, stop)

    def _call(self, method: str, step: Step | None, *arguments: Any) -> Any:
        process, connection = self._idle.get()
        try:
            connection.send((method, arguments))
            return _answer(process, connection, step)
        except Cancelled:
            process.kill()  # it is in the midst of something
            process.join()
            raise
        finally:
            self._idle.put((process, connection))


def _answer(process: BaseProcess, connection: Connection, step: Step | None) -> Any:
    """Waits for a process's answer."""
    share = 0.0
    while True:
        try:
            while step is not None and not connection.poll(_LOOK):
                step(share)
            kind, value = connection.recv()
        except (EOFError, ConnectionError) as error:
            process.join(1)
            raise HeadgenError(
                f"a worker process ended before its work was done (exit code {process.exitcode}); if memory "
                "ran out, use fewer workers"
            ) from error
        if kind == "done":
            return value
        if kind == "failed":
            raise value
        share = value
        if step is not None:
            step(share)


def _serve(connection: Connection, make: Callable[[], Engine], parallel: int) -> None:
    """A worker process: does what it is asked until nobody is there to ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; one ends the others
    engine: Engine | None = None
    with shared_cores(parallel):
        while True:
            try:
                method, arguments = connection.recv()
            except (EOFError, ConnectionError):
                return
            try:
                if method == "prepare":
                    engine = engine or make()
                    engine.prepare(*arguments)
                    answer: Any = engine.chunk, engine.chained, engine.fingerprint
                elif method == "draw":
                    assert engine is not None
                    answer = engine.draw(*arguments)
                else:
                    tell = partial(_tell_step, connection)
                    answer = getattr(engine, method)(*arguments, tell)
                connection.send(("done", answer))
            except Exception as error:
                error.add_note("In a worker process:\n" + "".join(traceback.format_exception(error)))
                connection.send(("failed", error))


def _tell_step(connection: Connection, share: float) -> None:
    connection.send(("step", share))
