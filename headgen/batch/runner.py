"""Running a batch: what is done stays, what is not is made, whatever happens in between."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import FrameType

from headgen.batch.beside import beside
from headgen.batch.executor import Executor, WorkerEvent
from headgen.batch.job import Job
from headgen.batch.local import LocalExecutor
from headgen.batch.pace import BatchPace
from headgen.batch.plan import BadRow, Plan, check_manifest
from headgen.batch.results import TABLES, digests_of, write_tables
from headgen.batch.state import State
from headgen.batch.storage import Stamp, digest_of, is_remote
from headgen.batch.worker import Outcome, WorkerSettings
from headgen.errors import InputError
from headgen.nn.threads import cores
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = ["BatchEvent", "BatchReport", "MakeExecutor", "Tally", "run_batch"]

MakeExecutor = Callable[[WorkerSettings], Executor]
_BEAT = 1.0  # seconds between two times that the status is written
_SIBLINGS = 5  # other inputs of a folder that are looked for when one is missing
_THREADS = 4  # that read changed inputs


@dataclass
class Tally:
    """How far a batch is. Jobs are counted over the manifest's rows."""

    total: int = 0
    done: int = 0
    """All that are done, those included that earlier runs have done."""
    earlier: int = 0
    """Of them, those of earlier runs."""
    failed: int = 0
    """All that have failed, those included that are not tried again."""
    frames: int = 0
    """Made in this run."""
    begun: float = field(default_factory=time.time)
    """When the run began, in seconds since 1970."""
    left: float | None = None
    """Seconds that it will take still, an estimate."""

    @property
    def waiting(self) -> int:
        """Jobs that are neither done nor failed."""
        return self.total - self.done - self.failed

    @property
    def rate(self) -> float:
        """Frames per second of this run."""
        return self.frames / max(time.time() - self.begun, 1e-9)


@dataclass(frozen=True)
class BatchEvent(ProgressEvent):
    """A step of a batch. `done` and `total` count jobs.

    Args:
        tally: how far the batch is.
        outcome: a job that has just ended; None at other steps.
        worker: a step of one worker; None at other steps.
    """

    tally: Tally = field(default_factory=Tally)
    outcome: Outcome | None = None
    worker: WorkerEvent | None = None


@dataclass(frozen=True)
class BatchReport:
    """What has become of a batch."""

    output: str
    """The folder of results, or its address."""
    plan: Plan
    """Of the manifest."""
    tally: Tally
    """At the end."""
    failures: Sequence[Outcome] = ()
    """Jobs that have failed, in order of the manifest."""
    vanished: Sequence[str] = ()
    """Results whose rows are no longer in the manifest; they are kept."""
    stopped: str = ""
    """Why it ended before all jobs were done; empty if it did not."""
    seconds: float = 0.0
    """How long this run took."""
    estimate: str = ""
    """Where the time left is from."""
    parquet: bool = True
    """Whether the results table could be written as Parquet, too."""

    @property
    def made(self) -> int:
        """Jobs that this run has done."""
        return self.tally.done - self.tally.earlier


def run_batch(
    manifest: str | Path,
    output: str | Path,
    *,
    make_executor: MakeExecutor | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    strict: bool = False,
    dry_run: bool = False,
    check: bool = True,
    verify: bool = False,
    progress: ProgressCallback | None = None,
) -> BatchReport:
    """Makes what a manifest asks for, as far as it is not there yet.

    A job is done again if its inputs' contents, its options, its model or headgen has changed, or if its
    result is gone. A row that cannot be a job fails, and so does a job that does; the others go on.

    In the main thread, the first Ctrl-C lets the current jobs end, and the second one abandons them.

    Args:
        manifest: table of jobs, see `headgen.batch.manifest`; or its address.
        output: folder of the results, or its address; made if it does not exist.
        make_executor: makes what runs the jobs; None: worker processes on this machine.
        workers: of these; None: one for every two cores.
        retry_failed: try those again that have failed before and have not changed.
        strict: do nothing if a row cannot be a job.
        dry_run: only check and count.
        check: measure every result's share of frames with a face, and its jitter.
        verify: read all results again, and make those anew that are not what they were.
        progress: called with `ProgressEvent` while inputs are looked at, and with `BatchEvent` as jobs are
            done; may raise `Cancelled`, which abandons the current jobs.

    Raises:
        InputError: the manifest cannot be read, has unknown columns, or (`strict`) bad rows; another run
            works in the folder, or it cannot be written.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers={workers} is out of range; give 1 or more.")
    count = workers or max(1, cores() // 2)
    make = make_executor or (lambda settings: LocalExecutor(settings, count))
    plan = check_manifest(manifest, progress=progress)
    if strict and plan.bad:
        raise InputError(f"{plan.manifest}: {len(plan.bad)} rows cannot be jobs\n{plan.report()}")
    run = _Run(plan, State(str(output)), check, progress)
    if dry_run:
        with run.state.looking():
            run.sort(retry_failed, verify)
        run.tally.left = run.pace.seconds(count)
        return run.report()
    with run.state:
        run.sort(retry_failed, verify)
        run.go(make)
    return run.report()


def _digest(path: str) -> str:
    """SHA-256 of an input; empty if it cannot be read: its jobs are begun again, and say so."""
    try:
        return digest_of(path)
    except InputError:
        return ""


class _Run:
    """One run."""

    def __init__(self, plan: Plan, state: State, check: bool, progress: ProgressCallback | None) -> None:
        self.plan, self.state, self.check, self.progress = plan, state, check, progress
        self.known: dict[str, Outcome] = {}
        self.todo: dict[str, Job] = {}
        self.new: list[Outcome] = []
        """Rows that cannot be jobs, and that the log does not know yet."""
        self.vanished: list[str] = []
        self.tally = Tally(len(plan.jobs) + len(plan.bad))
        self.stopped = ""
        self.parquet = True
        self._beginning = time.monotonic()
        self._failed: set[str] = set()
        self._at_work: dict[str, WorkerEvent] = {}

    # -- what is to be done

    def sort(self, retry_failed: bool, verify: bool) -> None:
        """Decides what is to be done."""
        self.known = self.state.log.outcomes()
        self._digests = digests_of(self.known.values())
        self._sizes = self.state.place.sizes() if self.state.place.remote else None
        inputs = {path for job in self.plan.jobs for path in job.files}
        bad = list(self.plan.bad)
        done: list[Job] = []
        self._read_changed([job for job in self.plan.jobs if job.name in self.known])
        for job in self.plan.jobs:
            before = self.known.get(job.name)
            problem = self._in_the_way(job, before, inputs)
            if problem:
                bad.append(BadRow.of(job, problem))
            elif before is None or not self._is_same(job, before):
                self.todo[job.name] = job
            elif before.status == "done" and self._is_there(before):
                done.append(job)
            elif before.status == "failed" and not retry_failed:
                self._failed.add(job.name)
            else:
                self.todo[job.name] = job
        if verify:
            done = self._verified(done)
        self.tally.done = len(done)
        for row in bad:
            before = self.known.get(row.name)
            if before is not None and before.status == "done" and row.lacks_inputs and self._is_there(before):
                self.tally.done += 1  # it was made while they were there
                continue
            self._failed.add(row.name)
            if before is None or (before.status, before.error) != ("failed", row.error):
                self.new.append(Outcome(row.name, row.row, row.kind, "failed", error=row.error))
        self.tally.earlier, self.tally.failed = self.tally.done, len(self._failed)
        rows = {job.name for job in self.plan.jobs} | {row.name for row in bad}
        self.vanished = [name for name, one in self.known.items() if name not in rows and one.outputs]
        self.names = rows
        self.pace = BatchPace(self.todo.values(), self.known.values())

    def _read_changed(self, jobs: Iterable[Job]) -> None:
        """Digests of inputs whose stamps are new although their jobs are not."""
        wanted = {(path, self._stamp(path)) for job in jobs for path in job.files} - self._digests.keys()
        if not wanted:
            return
        with ThreadPoolExecutor(_THREADS) as pool:
            found = zip(wanted, pool.map(lambda one: _digest(one[0]), wanted), strict=True)
            for done, (one, digest) in enumerate(found, 1):
                self._digests[one] = digest
                self._tell(ProgressEvent("read changed inputs", done, len(wanted), unit="files"))

    def _stamp(self, path: str) -> Stamp:
        stamp = self.plan.probed[path].stamp
        assert stamp is not None  # else its row would be no job
        return stamp

    def _is_same(self, job: Job, before: Outcome) -> bool:
        """Whether the log's job of that name is this one, to the last byte of its inputs."""
        digests = {path: self._digests[path, self._stamp(path)] for path in job.files}
        return job.identity(digests) == before.identity

    def _is_there(self, before: Outcome) -> bool:
        if self._sizes is not None:
            return all(self._sizes.get(one.name) == one.size for one in before.outputs)
        try:
            return all(
                os.path.getsize(self.state.place.path / one.name) == one.size for one in before.outputs
            )
        except OSError:
            return False

    def _in_the_way(self, job: Job, before: Outcome | None, inputs: set[str]) -> str:
        """What stands where the job's results are to go, if that is not its own."""
        own = {one.name for one in before.outputs} if before is not None else set()
        for name in job.outputs:
            address = self.state.place.address_of(name)
            if address in inputs:
                return f"its result {address} would replace an input; give it another name"
            if name in own:
                continue
            if self._has(name) and not self._has(f"{name}.json"):
                return f"{address} is there already and not of this batch; move it or choose another name"
        return ""

    def _has(self, name: str) -> bool:
        if self._sizes is not None:
            return name in self._sizes
        return os.path.exists(self.state.place.path / name)

    def _verified(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of the jobs whose results' bytes are what they were; the others are made anew."""
        kept = []
        with ThreadPoolExecutor(_THREADS) as pool:
            whole = pool.map(self._is_whole, (self.known[job.name] for job in jobs))
            for done, (job, good) in enumerate(zip(jobs, whole, strict=True), 1):
                if good:
                    kept.append(job)
                else:
                    self.todo[job.name] = job
                self._tell(ProgressEvent("verify results", done, len(jobs), unit="jobs"))
        return kept

    def _is_whole(self, before: Outcome) -> bool:
        return all(self.state.place.digest(one.name) == one.sha256 for one in before.outputs)

    # -- doing it

    def go(self, make: MakeExecutor) -> None:
        """Runs the jobs and writes down what becomes of them."""
        try:
            for outcome in self.new:
                self._note(outcome)
            self._event()
            if self.todo:
                with ExitStack() as stack:
                    settings = WorkerSettings(self.state.place.address, self.state.work, check=self.check)
                    executor = stack.enter_context(make(settings))
                    self._workers = executor.workers
                    stack.enter_context(self._beating(executor))
                    stack.enter_context(self._interruptible(executor))
                    for outcome in executor.run(list(self.todo.values()), self._worker_event):
                        self._take(outcome, executor)
        except BaseException as error:
            self.stopped = self.stopped or str(error) or "interrupted"
            with suppress(InputError):  # what went wrong first is what is told
                self._finish()
            raise
        self._finish()

    def _take(self, outcome: Outcome, executor: Executor) -> None:
        self._at_work = {k: v for k, v in self._at_work.items() if v.job != outcome.name}
        if outcome.status == "stopped":
            self._stop(outcome.error, executor)
            return
        lost = next((folder for folder in map(self._lost_folder, outcome.missing) if folder), "")
        if lost:
            self._stop(f"{lost}: the folder of inputs is gone; bring it back and run again", executor)
            return
        job = self.todo[outcome.name]
        if outcome.status == "failed" and not outcome.identity and not outcome.missing:
            outcome = self._identified(job, outcome)
        try:
            self._note(outcome)
        except InputError as error:
            self._stop(str(error), executor)
            return
        del self.todo[outcome.name]
        if outcome.status == "done":
            self.tally.done += 1
        else:
            self.tally.failed += 1
            self._failed.add(outcome.name)
        self.tally.frames += outcome.frames
        self.pace.ended(job, outcome)
        self.tally.left = self.pace.seconds(self._workers)
        self._event(outcome=outcome)

    def _note(self, outcome: Outcome) -> None:
        self.state.log.append(outcome)
        self.known[outcome.name] = outcome

    def _identified(self, job: Job, outcome: Outcome) -> Outcome:
        """A job whose worker died without a word; it is not to be tried in every run."""
        stamps = {path: self._stamp(path) for path in job.files}
        try:
            digests = {path: digest_of(path) for path in job.files}
        except InputError:
            return outcome
        return replace(outcome, stamps=stamps, digests=digests, identity=job.identity(digests))

    def _lost_folder(self, path: str) -> str:
        """The folder of a missing input, if the others in it are missing too: a disk or a mount is gone."""
        if is_remote(path):
            return ""
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            return folder
        siblings = (
            other
            for other in self.plan.probed
            if other != path and os.path.dirname(other) == folder and not is_remote(other)
        )
        others = list(islice(siblings, _SIBLINGS))
        return folder if others and not any(map(os.path.exists, others)) else ""

    def _stop(self, reason: str, executor: Executor) -> None:
        self.stopped = self.stopped or reason
        executor.finish()

    def _finish(self) -> None:
        """Writes the tables and the last word on how it went."""
        waiting = [Outcome(job.name, job.row, job.kind, "waiting") for job in self.todo.values()]
        self.parquet = write_tables(self.state.tables, self.known.values(), waiting, self.names)
        self.state.publish([name for name in TABLES if self.parquet or name.endswith(".csv")])
        self.state.write_status(self._status("stopped" if self.stopped else "finished"))

    # -- telling

    def _tell(self, event: ProgressEvent) -> None:
        if self.progress is not None:
            self.progress(event)

    def _event(self, outcome: Outcome | None = None, worker: WorkerEvent | None = None) -> None:
        tally = self.tally
        self._tell(
            BatchEvent(
                "batch", tally.done + tally.failed, tally.total, "jobs", tally=tally, outcome=outcome,
                worker=worker,
            )
        )  # fmt: skip

    def _worker_event(self, event: WorkerEvent) -> None:
        self._at_work[event.worker] = event
        self._event(worker=event)

    def _status(self, state: str) -> dict[str, object]:
        tally = self.tally
        return {
            "state": state,
            "manifest": self.plan.manifest,
            "reason": self.stopped,
            "total": tally.total,
            "done": tally.done,
            "earlier": tally.earlier,
            "failed": tally.failed,
            "frames": tally.frames,
            "begun": tally.begun,
            "left": tally.left,
            "vanished": len(self.vanished),
            "workers": [
                [one.worker, one.job, one.step.stage, one.step.done, one.step.total, one.step.unit]
                for one in sorted(self._at_work.values(), key=lambda one: one.worker)
            ],
        }

    def _beating(self, executor: Executor) -> AbstractContextManager[None]:
        """Inside, the status is written every second, also while no job says anything."""

        def beat(ended: threading.Event) -> None:
            while True:
                try:
                    self.state.write_status(self._status("running"))
                except InputError as error:
                    self._stop(str(error), executor)
                    return
                if ended.wait(_BEAT):
                    return

        return beside(beat, "headgen-batch-status")

    @contextmanager
    def _interruptible(self, executor: Executor) -> Iterator[None]:
        """Inside, the first Ctrl-C lets the current jobs end, and the second one abandons them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def interrupt(number: int, frame: FrameType | None) -> None:
            if self.stopped:
                self.stopped = "stopped by Ctrl-C; the current jobs were abandoned"
                executor.abandon()
            else:
                self._stop("stopped by Ctrl-C; the current jobs were finished", executor)

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def report(self) -> BatchReport:
        """What has become of it."""
        failures = sorted(
            (self.known[name] for name in self._failed if name in self.known), key=lambda o: o.row
        )
        return BatchReport(
            self.state.place.address, self.plan, self.tally, failures, self.vanished, self.stopped,
            time.monotonic() - self._beginning, self.pace.source, self.parquet,
        )  # fmt: skip
