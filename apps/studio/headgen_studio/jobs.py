"""The queue: all heavy work of all users, one job after the other, whoever is looking.

A job belongs to the studio, not to a browser's tab: it goes on when the tab is closed, and is found again
when it is opened. One process does the work (`Worker`); what waits survives a restart of the studio.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headgen.errors import HeadgenError, InputError
from headgen.progress import Cancelled
from headgen_studio.history import History, Job
from headgen_studio.tasks import TASKS
from headgen_studio.worker import Event, Progress, Worker, WorkerError

__all__ = ["JobQueue", "Standing"]

logger = logging.getLogger(__name__)

FRESH = 0.3
"""Share of the newest job in the running mean of how long a second of video takes."""
SCRATCH = "scratch"
"""Folder of temporary files inside a job's."""
BROKEN = "something went wrong inside headgen; the studio's log has the details"
STOPPED = "the studio was stopped while this was made; run it again"


@dataclass(frozen=True)
class Standing:
    """How a job stands."""

    job: Job
    position: int = 0
    """How many jobs come before it, the one that is being made included."""
    stage: str = ""
    done: int = 0
    total: int | None = None
    unit: str = "frames"
    seconds_left: float | None = None
    """Until it is done, with what comes before it; None while nobody knows."""

    @property
    def share(self) -> float | None:
        """Of the stage that is done; None while unknown."""
        return min(1.0, self.done / self.total) if self.total else None


class JobQueue:
    """Runs jobs in the order in which they were asked for.

    Args:
        history: where jobs live.
        most_waiting: jobs that may wait; more are refused.
    """

    def __init__(self, history: History, most_waiting: int = 100) -> None:
        self.history, self.most_waiting = history, most_waiting
        self._worker = Worker()
        self._changed = threading.Condition()  # guards what follows
        self._jobs: dict[str, Job] = {}
        self._waiting: list[Job] = []
        self._running: Job | None = None
        self._event: Progress | None = None
        self._stage_begun = 0.0
        self._unwanted: set[str] = set()
        self._pace: dict[str, float] = {}  # seconds for a second of video, by command
        self._closed = False
        self._recover()
        self._thread = threading.Thread(target=self._work, name="studio-jobs", daemon=True)
        self._thread.start()

    def submit(
        self,
        command: str,
        options: Mapping[str, Any],
        inputs: Mapping[str, Iterable[Path]],
        *,
        user: str = "",
        client: str = "",
        work: float = 0.0,
        series: str = "",
    ) -> Job:
        """Queues a job.

        Args:
            command: one of `headgen_studio.tasks.TASKS`.
            options: of the library's verb.
            inputs: files by role; they are kept with the job.
            user: who is logged in.
            client: browser or script that asks.
            work: seconds of video to be made.
            series: key of the job that this one is shown together with.

        Raises:
            InputError: too many jobs wait, or the disk is full.
        """
        with self._changed:
            if len(self._waiting) >= self.most_waiting:
                raise InputError(
                    f"the studio is busy: {len(self._waiting)} jobs are waiting already; try again later"
                )
            job = self.history.create(
                command, options, inputs, user=user, client=client, work=work, series=series
            )
            self._jobs[job.key] = job
            self._waiting.append(job)
            self._changed.notify_all()
        return job

    def at_once(
        self,
        worker: Worker,
        command: str,
        options: Mapping[str, Any],
        inputs: Mapping[str, Iterable[Path]],
        *,
        user: str = "",
        client: str = "",
    ) -> Job:
        """Does a job of a second or two beside the queue, and keeps it like any other.

        Args:
            worker: process that does it.
            command: one of `headgen_studio.tasks.TASKS`.
            options: of the library's verb.
            inputs: files by role; they are kept with the job.
            user: who is logged in.
            client: browser or script that asks.

        Raises:
            HeadgenError: what the library raises; nothing of the job is kept then.
            WorkerError: anything else.
        """
        job = self.history.create(command, options, inputs, user=user, client=client)
        job.state, job.begun = "running", time.time()
        try:
            job.outputs = worker.call(
                TASKS[command], folder=job.folder, inputs=job.input_paths(), options=dict(job.options)
            )
        except BaseException as error:
            self.history.delete(job)
            if isinstance(error, HeadgenError):
                raise InputError(without_folders(str(error), job)) from error
            raise
        with self._changed:
            job.state, job.ended = "done", time.time()
            self._jobs[job.key] = job
            self.history.save(job)
            for old in self.history.make_room():
                self._jobs.pop(old.key, None)
        return job

    def get(self, key: str) -> Job | None:
        """A job by its key, finished ones included; None if there is none."""
        with self._changed:
            return self._jobs.get(key)

    def jobs(self, *, user: str | None = None, client: str | None = None) -> list[Job]:
        """Jobs of a user or of a browser, or all; the oldest first."""
        with self._changed:
            return [
                job
                for job in self._jobs.values()
                if (user is None or job.user == user) and (client is None or job.client == client)
            ]

    def standing(self, job: Job) -> Standing:
        """How a job stands now."""
        with self._changed:
            running = self._running
            if job is running:
                event = self._event
                if event is None:
                    return Standing(job, stage="start", seconds_left=self._left())
                return Standing(job, 0, event.stage, event.done, event.total, event.unit, self._left())
            if job not in self._waiting:
                return Standing(job)
            before = self._waiting[: self._waiting.index(job)]
            times = [self._takes(other) for other in (*before, job)]
            if running is not None:
                times.append(self._left())
            known = [seconds for seconds in times if seconds is not None]
            left = sum(known) if len(known) == len(times) else None
            return Standing(job, len(before) + (running is not None), seconds_left=left)

    def cancel(self, key: str) -> bool:
        """Stops a job that waits or runs, and deletes what there is of it; returns whether there was one."""
        with self._changed:
            job = self._jobs.get(key)
            if job is None or job.finished:
                return False
            if job in self._waiting:
                self._waiting.remove(job)
                self._forget(job)
            else:
                self._unwanted.add(key)
            return True

    def delete(self, key: str) -> None:
        """Deletes a job and its results; one that is not finished is cancelled."""
        if self.cancel(key):
            return
        with self._changed:
            job = self._jobs.pop(key, None)
            if job is not None:
                self.history.delete(job)

    def wait(self, job: Job, timeout: float | None = None) -> bool:
        """Waits until a job is finished; returns whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: job.finished, timeout)

    def warm(self) -> None:
        """Starts the process ahead of the first job."""
        self._worker.start()

    def close(self) -> None:
        """Ends all work; what waits is done after the next start."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._worker.close()
        self._thread.join()

    @property
    def worker_pid(self) -> int | None:
        """Of the process that works; None if there is none."""
        return self._worker.pid

    @property
    def busy(self) -> tuple[int, int]:
        """How many jobs run and how many wait."""
        with self._changed:
            return int(self._running is not None), len(self._waiting)

    def _recover(self) -> None:
        """Finds the jobs of earlier runs: what waited waits again, what was running has failed."""
        for job in self.history.load():
            if job.state == "running":
                job.state, job.error, job.ended = "failed", STOPPED, time.time()
                shutil.rmtree(job.folder / SCRATCH, ignore_errors=True)
                self.history.save(job)
            if job.state == "cancelled" or (not job.finished and job.command not in TASKS):
                self.history.delete(job)
                continue
            self._jobs[job.key] = job
            if job.state == "waiting":
                self._waiting.append(job)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job = self._running = self._waiting.pop(0)
                self._event, self._stage_begun = None, time.time()
                job.state, job.begun = "running", time.time()
                self._save(job)
            outputs, state, error = self._run(job)
            shutil.rmtree(job.folder / SCRATCH, ignore_errors=True)
            with self._changed:
                self._running, self._event = None, None
                if self._closed:  # the next start says so
                    return
                if state == "cancelled" or job.key in self._unwanted:
                    self._unwanted.discard(job.key)
                    self._forget(job)
                    continue
                job.state, job.error, job.outputs, job.ended = state, error, outputs, time.time()
                if state == "done" and job.work > 0:
                    pace = (job.ended - job.begun) / job.work
                    known = self._pace.get(job.command, pace)
                    self._pace[job.command] = known + FRESH * (pace - known)
                self._save(job)
                for old in self.history.make_room():
                    self._jobs.pop(old.key, None)
                self._changed.notify_all()

    def _save(self, job: Job) -> None:
        """Writes what is known of a job; a full disk does not end the queue."""
        try:
            self.history.save(job)
        except InputError as error:
            logger.error("%s", error)

    def _run(self, job: Job) -> tuple[list[str], Any, str]:
        """Outputs, state and error of a job."""
        try:
            outputs = self._worker.call(
                TASKS[job.command],
                scratch=job.folder / SCRATCH,
                tell=lambda event: self._tell(job, event),
                cancelled=lambda: self._closed or job.key in self._unwanted,
                folder=job.folder,
                inputs=job.input_paths(),
                options=job.options,
            )
            return outputs, "done", ""
        except Cancelled:
            return [], "cancelled", ""
        except HeadgenError as error:
            return [], "failed", without_folders(str(error), job)
        except WorkerError as error:
            if not self._closed:
                logger.error("job %s: %s", job.key, error)
            return [], "failed", BROKEN

    def _tell(self, job: Job, event: Event) -> None:
        with self._changed:
            if isinstance(event, str):
                job.notices.append(without_folders(event, job))
                return
            if self._event is None or event.stage != self._event.stage or event.done < self._event.done:
                self._stage_begun = time.time()
            self._event = event

    def _forget(self, job: Job) -> None:
        job.state, job.ended = "cancelled", time.time()
        self._jobs.pop(job.key, None)
        self.history.delete(job)
        self._changed.notify_all()

    def _takes(self, job: Job) -> float | None:
        """Seconds that a whole job is expected to take."""
        pace = self._pace.get(job.command)
        return None if pace is None else pace * job.work

    def _left(self) -> float | None:
        """Seconds that the running job still needs: the larger of what its stage and earlier jobs tell."""
        assert self._running is not None
        guesses = []
        if (whole := self._takes(self._running)) is not None:
            guesses.append(max(0.0, whole - (time.time() - self._running.begun)))
        event = self._event
        if event is not None and event.seconds_left is not None:
            guesses.append(event.seconds_left)
        elif event is not None and event.total and event.done:
            spent = time.time() - self._stage_begun
            guesses.append(spent * max(0, event.total - event.done) / event.done)
        return max(guesses) if guesses else None


def without_folders(message: str, job: Job) -> str:
    """A message of the library about a job's files, without where they lie here."""
    for path in (path for paths in job.input_paths().values() for path in paths):
        message = message.replace(str(path), path.name)
    return message.replace(f"{job.folder}/", "")
