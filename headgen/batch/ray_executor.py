"""Jobs on a Ray cluster: rows of paths travel there, rows of results come back, files stay where they are.

    run -> actor 1 (headgen.batch.worker.Worker) -> Outcome
        -> actor 2 ...

Our design: actors that this process hands one job at a time, not an actor pool of Ray Data. Ray Data repeats
a lost task on and on or fails the whole run, so that one job that kills its worker (memory, a crash in a
codec) ends the night; it gives no progress of a running task and stops one only by killing it. Handing out
a job costs some milliseconds either way.

Results go to a folder that all machines see, or to an address (``s3://...``); the same holds for inputs.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import headgen
from headgen.batch.executor import WorkerCallback, WorkerEvent
from headgen.batch.job import Job
from headgen.batch.storage import is_remote
from headgen.batch.worker import Outcome, Worker, WorkerSettings
from headgen.errors import HeadgenError, InputError
from headgen.progress import Cancelled, ProgressEvent
from headgen.scheduler.ray_session import check_resources, ray_session

__all__ = ["RayExecutor"]

logger = logging.getLogger(__name__)

_LOOK = 0.3  # seconds between two looks at what the workers are at
_GRACE = 20  # seconds that a stopped job has for clearing up
_TRIES = 2  # workers that one job may cost, machines that go away aside
_STARTS = 3  # times that every worker may fail to start before the run ends
_KNOWN = 15  # seconds after which the cluster knows that a machine has gone
_PATIENCE = 60  # seconds without any worker after which the user is told


@dataclass(frozen=True)
class _Hello:
    """What a worker says of itself when it has started."""

    host: str
    node: str
    versions: tuple[str, str]
    sees_output: bool
    folder: str
    """Its own, for what is not finished."""


class _Actor:
    """A worker in a process of Ray's; `look` and `stop` are called while `run` goes on."""

    def __init__(self, settings: WorkerSettings, name: str) -> None:
        self._stopped = False
        self._step: ProgressEvent | None = None
        self._stack = ExitStack()
        self._sees = is_remote(settings.output) or settings.work.is_dir()
        # One that is thought lost may live on behind a broken network: none works in another one's folder.
        within = None if is_remote(settings.output) or not self._sees else settings.work
        self._folder = tempfile.mkdtemp(prefix=f"worker-{name}-", dir=within)
        self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._worker = self._stack.enter_context(Worker(replace(settings, work=Path(self._folder)), name))

    def hello(self) -> _Hello:
        """Where it is, and whether it can work there."""
        import ray

        node = ray.get_runtime_context().get_node_id()
        versions = (headgen.__version__, platform.python_version())
        return _Hello(platform.node(), node, versions, self._sees, self._folder)

    def run(self, job: Job) -> Outcome | None:
        """Does a job; None if it was stopped."""
        self._stopped, self._step = False, None
        try:
            return self._worker.run(job, self._note)
        except Cancelled:
            return None

    def _note(self, step: ProgressEvent) -> None:
        self._step = step
        if self._stopped:
            raise Cancelled

    def look(self) -> ProgressEvent | None:
        """The last step of the job."""
        return self._step

    def stop(self) -> None:
        """Lets the job end where it is."""
        self._stopped = True

    def close(self) -> None:
        """Removes what is its own."""
        self._stack.close()


@dataclass
class _Slot:
    """The place of one worker, in which others may take its place."""

    name: str
    actor: Any
    ref: Any
    """What is awaited: its hello, or the outcome of `job`."""
    hello: _Hello | None = None
    """None while it starts."""
    job: Job | None = None
    losses: tuple[str, ...] = ()
    """Machines on which workers have died of the job, or beside it."""
    look: Any = None
    """What it was last asked for."""
    told: ProgressEvent | None = None
    """What it answered."""


class RayExecutor:
    """Runs jobs on actors of a Ray cluster; see `headgen.batch.executor.Executor`.

    A worker that dies takes one of two tries of its job with it; one whose machine goes away does not, since
    the job has no part in that. Either is replaced, on whichever machine has room. All machines have the same
    headgen and Python; the output folder is one that all of them see, or an address.

    Args:
        settings: of the run; `threads` is what each worker uses, `cpus` by default.
        workers: actors; those that find no room wait until the cluster grows.
        address: of a cluster (`ray_session`); None for one on this machine, which ends with the executor.
        cpus: cores that each actor takes from the cluster, at least 1.
        gpus: GPUs that each takes; 0.5 lets two share one. 0: it works on the processor.
    """

    def __init__(
        self, settings: WorkerSettings, workers: int, *, address: str | None = None, cpus: int = 1,
        gpus: float = 0,
    ) -> None:  # fmt: skip
        if workers < 1:
            raise InputError(f"workers={workers} is out of range; give 1 or more.")
        if cpus < 1:
            raise InputError(f"cpus={cpus} is out of range; give 1 core or more to each worker.")
        if gpus < 0:
            raise InputError(f"gpus={gpus} is out of range; give 0 or more.")
        self.settings = replace(settings, threads=settings.threads or cpus)
        self.workers, self.address, self.cpus, self.gpus = workers, address, cpus, gpus
        self._slots: list[_Slot] = []
        self._failed_starts = 0
        self._finishing, self._abandoned = threading.Event(), threading.Event()
        self._stack = ExitStack()

    def __enter__(self) -> RayExecutor:
        needs = self.workers, self.cpus, self.gpus
        self._ray = self._stack.enter_context(ray_session(self.address, *needs))
        check_resources(self._ray, *needs)
        if not is_remote(self.settings.output):
            self.settings.work.mkdir(parents=True, exist_ok=True)  # by it, workers know the folder
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_restarts": 0}
        self._actor = self._ray.remote(**options, concurrency_groups={"talk": 1})(_Actor)
        for k in range(self.workers):
            self._slots.append(self._started(str(k + 1)))
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop_jobs()
        closing = [self._talk(slot.actor.close) for slot in self._slots if slot.hello is not None]
        if closing:
            self._ray.wait(closing, num_returns=len(closing), timeout=_GRACE)
        for slot in self._slots:
            self._ray.kill(slot.actor)
        self._slots = []
        self._stack.close()

    def finish(self) -> None:
        """See `Executor`."""
        self._finishing.set()

    def abandon(self) -> None:
        """See `Executor`."""
        self._abandoned.set()

    def run(self, jobs: Iterable[Job], progress: WorkerCallback | None = None) -> Iterator[Outcome]:
        """See `Executor`.

        Raises:
            InputError: a machine of the cluster does not see the output folder or an input that this one
                sees, or has another headgen or Python.
            HeadgenError: workers do not start.
        """
        source = iter(jobs)
        again: deque[tuple[Job, tuple[str, ...]]] = deque()  # of workers that died, and where
        nobody_since = time.monotonic()

        def next_job() -> tuple[Job, tuple[str, ...]] | None:
            if again:
                return again.popleft()
            job = None if self._finishing.is_set() else next(source, None)
            return None if job is None else (job, ())

        exhausted = False
        while not self._abandoned.is_set():
            for slot in self._slots:
                if slot.hello is None or slot.job is not None or (exhausted and not again):
                    continue
                if (found := next_job()) is None:
                    exhausted = True
                else:
                    slot.job, slot.losses = found
                    slot.told = slot.look = None
                    slot.ref = slot.actor.run.remote(slot.job)
            if exhausted and not again and not any(slot.job for slot in self._slots):
                return
            waited = [slot.ref for slot in self._slots if slot.hello is None or slot.job is not None]
            ready, _ = self._ray.wait(waited, num_returns=1, timeout=_LOOK)
            if progress is not None:
                self._report(progress)
            if any(slot.hello for slot in self._slots):
                nobody_since = time.monotonic()
            elif time.monotonic() - nobody_since > _PATIENCE:
                logger.warning("no worker has started yet: the cluster has no room for one, or starts slowly")
                nobody_since = time.monotonic()
            for slot in [slot for slot in self._slots if slot.ref in ready]:
                yield from self._answered(slot, again)
        self._stop_jobs()

    def _answered(self, slot: _Slot, again: deque[tuple[Job, tuple[str, ...]]]) -> Iterator[Outcome]:
        """What became of a worker's start or job."""
        from ray.exceptions import RayActorError, RayTaskError

        try:
            answer = self._ray.get(slot.ref)
        except RayTaskError as error:  # raised by our own code on the worker
            raise HeadgenError(f"worker {slot.name}: {error.cause!r}") from error
        except RayActorError as error:
            yield from self._lost(slot, error, again)
            return
        if slot.hello is None:
            self._failed_starts = 0
            slot.hello = self._checked(answer)
            return
        job, slot.job = slot.job, None
        assert job is not None
        if answer is not None:
            self._check_sight(slot.hello, answer)
            yield replace(answer, attempts=1 + len(self._on_living(slot.losses)))

    def _lost(
        self, slot: _Slot, error: Exception, again: deque[tuple[Job, tuple[str, ...]]]
    ) -> Iterator[Outcome]:
        """A worker died: another one takes its place, and its job is tried again or given up."""
        job, hello, ended = slot.job, slot.hello, _how(error)
        if hello is None:
            self._failed_starts += 1
            if self._failed_starts >= _STARTS * self.workers:
                raise HeadgenError(f"workers do not start on the cluster: {ended}")
        with suppress(Exception):  # it may only be out of reach
            self._ray.kill(slot.actor)
        self._slots[self._slots.index(slot)] = self._started(slot.name)
        if hello is not None and not is_remote(self.settings.output):
            shutil.rmtree(hello.folder, ignore_errors=True)
        if job is None or hello is None:
            return
        losses = (*slot.losses, hello.node)
        deadline = time.monotonic() + _KNOWN
        while (tries := len(self._on_living(losses))) >= _TRIES and time.monotonic() < deadline:
            time.sleep(_LOOK)  # the cluster does not know at once that a machine has gone
        if tries < _TRIES:
            logger.warning(
                "%s: its worker on %s was lost (%s); it is begun anew", job.name, hello.host, ended
            )  # fmt: skip
            again.append((job, losses))
        else:
            told = f"its worker died {tries} times ({ended}); if memory ran out, use fewer workers"
            yield Outcome(job.name, job.row, job.kind, "failed", error=told, worker=slot.name, attempts=tries)

    def _started(self, name: str) -> _Slot:
        actor = self._actor.remote(self.settings, name)
        return _Slot(name, actor, actor.hello.remote())

    def _checked(self, hello: _Hello) -> _Hello:
        """Raises InputError if a worker cannot do here what this process would."""
        ours = (headgen.__version__, platform.python_version())
        if hello.versions != ours:
            theirs, own = ("headgen {} on Python {}".format(*pair) for pair in (hello.versions, ours))
            raise InputError(
                f"machine {hello.host} has {theirs}, this one has {own}; install the same on all machines, "
                "so that all make the same bytes"
            )
        if not hello.sees_output:
            raise InputError(
                f"machine {hello.host} does not see {self.settings.output}; give an output folder that all "
                "machines share, or an address such as s3://BUCKET/FOLDER"
            )
        return hello

    def _check_sight(self, hello: _Hello, outcome: Outcome) -> None:
        """Raises InputError if inputs are missing on a worker's machine only: so would be others."""
        unseen = [path for path in outcome.missing if not is_remote(path) and os.path.exists(path)]
        if unseen:
            raise InputError(
                f"machine {hello.host} does not see {unseen[0]}, which this one sees; put inputs into a "
                "folder that all machines share, or give addresses such as s3://BUCKET/FILE"
            )

    def _on_living(self, losses: tuple[str, ...]) -> list[str]:
        """Of the machines on which workers were lost, those that are still there."""
        living = {one["NodeID"] for one in self._ray.nodes() if one["Alive"]} if losses else set()
        return [node for node in losses if node in living]

    def _report(self, progress: WorkerCallback) -> None:
        """Tells what the workers are at, as of the last look, and looks again."""
        looked = {slot.look: slot for slot in self._slots if slot.look is not None and slot.job is not None}
        ready, _ = self._ray.wait(list(looked), num_returns=len(looked), timeout=0) if looked else ([], [])
        for ref in ready:
            slot = looked[ref]
            slot.look = None
            with suppress(Exception):  # that it died is told by its job
                step = self._ray.get(ref)
                if step is not None and step != slot.told and slot.job is not None:
                    slot.told = step
                    progress(WorkerEvent(slot.name, slot.job.name, step))
        for slot in self._slots:
            if slot.job is not None and slot.look is None:
                slot.look = self._talk(slot.actor.look)

    def _stop_jobs(self) -> None:
        """Stops what runs; workers that do not listen are ended by `__exit__`."""
        running = [slot for slot in self._slots if slot.job is not None]
        for slot in running:
            self._talk(slot.actor.stop)
        if running:
            refs = [slot.ref for slot in running]
            self._ray.wait(refs, num_returns=len(refs), timeout=_GRACE)
        for slot in running:
            slot.job = None

    @staticmethod
    def _talk(method: Any) -> Any:
        return method.options(concurrency_group="talk").remote()


def _how(error: Exception) -> str:
    """How a worker ended, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = next((line for line in reversed(lines) if "exit" in line.lower() or "died" in line.lower()), "")
    text = text or (lines[-1] if lines else type(error).__name__)
    return text.split(". Some common causes")[0].removeprefix("The actor is dead because its ")[:300]
