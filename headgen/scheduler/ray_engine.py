"""An engine whose work is done all over a Ray cluster: to `run` it is an engine like any other.

    run, on this machine -> render, refine, draw as tasks of actors -> pictures, in order -> encoder, here

Results (latents) and pictures come back here, where the video is written; of either, no more are on their way
than `Board` lets be begun. Files that the engines load lie on every machine where they lie here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from headgen.errors import HeadgenError, InputError
from headgen.nn.threads import take_share
from headgen.progress import Cancelled
from headgen.scheduler.engine import Engine, Picture, Result, Step
from headgen.scheduler.plan import Segment, Transition
from headgen.scheduler.ray_session import check_resources, ray_session

__all__ = ["RayEngine"]

logger = logging.getLogger(__name__)

_LOOK = 0.25  # seconds between two looks at whether the work is still wanted, and how far it is
_PATIENCE = 600  # seconds that work waits for a worker that is ready
_TRIES = 3  # workers that one piece of work may cost


class _Actor:
    """An engine in a process of Ray's; `look` and `stop` are called while others go on."""

    def __init__(self, make: Callable[[], Engine], threads: int) -> None:
        take_share(threads)
        self._engine = make()
        self._share, self._stopped = 0.0, False

    def prepare(self, job: Any) -> tuple[int, bool, str]:
        """Prepares the engine; what it says of itself."""
        self._engine.prepare(job)
        return self._engine.chunk, self._engine.chained, self._engine.fingerprint

    def call(self, method: str, steps: bool, *arguments: Any) -> Any:
        """Does a piece of work; None if it was stopped."""
        self._share, self._stopped = 0.0, False
        try:
            return getattr(self._engine, method)(*arguments, *([self._step] if steps else []))
        except Cancelled:
            return None

    def _step(self, share: float) -> None:
        self._share = share
        if self._stopped:
            raise Cancelled

    def look(self) -> float:
        """How much of the work is done, 0 to 1."""
        return self._share

    def stop(self) -> None:
        """Lets the work end at its next step."""
        self._stopped = True


@dataclass
class _Worker:
    """An actor, and whether it knows the job."""

    actor: Any
    ready: Any
    """Its `prepare`, while that has not been waited for."""


class RayEngine:
    """Engines of the same kind on actors of a Ray cluster, each on its own cores.

    A worker that is lost, or its machine, is replaced, and its work done again: it gives the same result.
    Use it in a ``with`` statement: leaving it ends the workers, and a cluster of its own.

    Args:
        make: makes an engine; called on every worker, so it must be picklable.
        workers: actors. Those that find no room begin when the cluster grows; one is enough to begin.
        address: of a cluster (`ray_session`); None for one on this machine.
        cpus: cores of each worker, at least 1.
        gpus: GPUs of each; 0.5 lets two share one.

    Raises:
        InputError: numbers out of range.
    """

    def __init__(
        self, make: Callable[[], Engine], workers: int, *, address: str | None = None, cpus: int = 1,
        gpus: float = 0,
    ) -> None:  # fmt: skip
        if min(workers, cpus) < 1 or gpus < 0:
            raise InputError(f"{workers} workers of {cpus} cores and {gpus} GPUs: give 1, 1 and 0 or more.")
        self.make, self.parallel, self.address = make, workers, address
        self.cpus, self.gpus = cpus, gpus
        self.chunk, self.chained, self.fingerprint = 1, False, ""  # the engines', once prepared
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._actors: set[Any] = set()
        self._job: Any = None
        self._stack = ExitStack()

    def __enter__(self) -> RayEngine:
        needs = self.parallel, self.cpus, self.gpus
        self._ray = self._stack.enter_context(ray_session(self.address, *needs))
        check_resources(self._ray, *needs)
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_restarts": 0}
        self._actor = self._ray.remote(**options, concurrency_groups={"talk": 1})(_Actor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for actor in self._actors:
            with suppress(Exception):  # it is dead already
                self._ray.kill(actor)
        self._actors, self._job = set(), None
        self._idle = SimpleQueue()
        self._stack.close()

    def prepare(self, job: Any) -> None:
        """Starts the workers, unless they run already, and has each prepare an engine."""
        workers = [self._idle.get() for _ in range(self.parallel)] if self._actors else []
        self._job = self._ray.put(job)
        for k in range(self.parallel):
            actor = workers[k].actor if workers else self._started()
            self._idle.put(_Worker(actor, actor.prepare.remote(self._job)))
        self.chunk, self.chained, self.fingerprint = self._first_ready()

    def _started(self) -> Any:
        actor = self._actor.remote(self.make, self.cpus)
        self._actors.add(actor)
        return actor

    def _first_ready(self) -> tuple[int, bool, str]:
        """What the first prepared engine says of itself; it goes to the front of the queue."""
        workers = [self._idle.get() for _ in range(self.parallel)]
        ready, _ = self._ray.wait([worker.ready for worker in workers], num_returns=1)
        workers.sort(key=lambda worker: worker.ready not in ready)
        for worker in workers:
            self._idle.put(worker)
        from ray.exceptions import RayActorError

        try:
            answer: tuple[int, bool, str] = self._get(ready[0])
        except RayActorError as error:
            raise HeadgenError(f"a worker ended as it started: {_reason(error)}") from error
        return answer

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
        """A piece of work, on whichever worker is free."""
        from ray.exceptions import RayActorError

        for attempt in range(_TRIES):
            worker = self._next_ready(step)
            try:
                return self._done(worker, method, step, arguments)
            except RayActorError as error:
                self._actors.discard(worker.actor)
                with suppress(Exception):  # it may only be out of reach
                    self._ray.kill(worker.actor)
                actor = self._started()
                worker = _Worker(actor, actor.prepare.remote(self._job))
                if attempt + 1 == _TRIES:
                    raise HeadgenError(
                        f"{_TRIES} workers were lost over the same piece of work ({_reason(error)}); if "
                        "memory ran out, use fewer workers"
                    ) from error
                logger.warning("a worker was lost (%s); its work is done again", _reason(error))
            finally:
                self._idle.put(worker)
        raise AssertionError

    def _next_ready(self, step: Step | None) -> _Worker:
        """A free worker that is prepared; others start meanwhile."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            worker = self._idle.get()
            if worker.ready is None or self._ray.wait([worker.ready], timeout=_LOOK)[0]:
                return worker
            self._idle.put(worker)
            if step is not None:
                step(0.0)
        raise HeadgenError(
            f"no worker of the cluster was ready within {_PATIENCE // 60} minutes; is there room for one? "
            "`ray status` tells"
        )

    def _done(self, worker: _Worker, method: str, step: Step | None, arguments: tuple[Any, ...]) -> Any:
        if worker.ready is not None:
            self._get(worker.ready)
            worker.ready = None
        ref = worker.actor.call.remote(method, step is not None, *arguments)
        share, looked = 0.0, None
        while not self._ray.wait([ref], timeout=_LOOK)[0]:
            if step is None:
                continue
            if looked is None:
                looked = self._talk(worker.actor.look)
            elif self._ray.wait([looked], timeout=0)[0]:
                share, looked = self._get(looked), None
            try:
                step(share)
            except Cancelled:
                self._talk(worker.actor.stop)
                raise
        return self._get(ref)

    def _get(self, ref: Any) -> Any:
        """An answer; what went wrong on the worker is raised here as what it was."""
        from ray.exceptions import RayTaskError

        try:
            return self._ray.get(ref)
        except RayTaskError as error:
            raise (error.cause or error) from None

    @staticmethod
    def _talk(method: Any) -> Any:
        return method.options(concurrency_group="talk").remote()


def _reason(error: Exception) -> str:
    """Why an actor is no more, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).split(". Some common causes")[0][:300]
