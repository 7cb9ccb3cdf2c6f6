"""A worker: does one job after the other in this process, and keeps models loaded in between."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from headgen.batch.job import Job, verb
from headgen.batch.quality import Quality, quality
from headgen.batch.storage import Place, Stage, Stamp, stamp
from headgen.errors import HeadgenError, InputError
from headgen.faces.tracker import MediaPipeTracker, keeping_trackers
from headgen.media.provenance import record_path, sha256
from headgen.nn.kept import keeping_models
from headgen.nn.threads import take_share
from headgen.progress import Cancelled, ProgressCallback

__all__ = ["Output", "Outcome", "Status", "Worker", "WorkerSettings"]

Status = Literal["done", "failed", "stopped", "waiting"]
"""``waiting``: not begun.  ``stopped``: the place it works in is gone or full, which is not the job's fault;
nothing was made."""

_ENVIRONMENT = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.ENOTCONN, errno.ENODEV}
"""Errors of the operating system that every other job would meet as well."""


@dataclass(frozen=True)
class Output:
    """One video that a job made."""

    name: str
    """Relative to the batch's folder."""
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True)
class Outcome:
    """How one job ended: a row of the results table."""

    name: str
    row: int
    kind: str
    status: Status
    error: str = ""
    """One line for people; empty if done."""
    trace: str = ""
    """Where it happened, if it is an error of headgen's own."""
    identity: str = ""
    """`Job.identity`; empty if an input could not be read."""
    stamps: Mapping[str, Stamp] = field(default_factory=dict)
    """By input, so that a later run sees what has changed without reading it all."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 by input."""
    missing: tuple[str, ...] = ()
    """Inputs that were not there any more."""
    outputs: tuple[Output, ...] = ()
    frames: int = 0
    """Frames made, all takes together."""
    face_share: float | None = None
    """See `headgen.batch.quality.Quality`."""
    jitter: float | None = None
    warnings: tuple[str, ...] = ()
    """What the command remarked on."""
    worker: str = ""
    begun: str = ""
    """ISO 8601 in UTC."""
    seconds: float = 0.0
    """For everything; of them ..."""
    seconds_fetch: float = 0.0
    """... reading, copying and hashing inputs,"""
    seconds_make: float = 0.0
    """... the command itself,"""
    seconds_check: float = 0.0
    """... looking at what was made (quality),"""
    seconds_store: float = 0.0
    """... and putting it in its place."""
    attempts: int = 1

    def as_row(self) -> dict[str, Any]:
        """Plain values, for JSON; those that are as in most outcomes are left out."""
        row = {
            name: value
            for name, field_ in self.__dataclass_fields__.items()
            if (value := getattr(self, name)) != field_.default and value != {}
        }
        row["stamps"] = {path: [one.size, one.changed] for path, one in self.stamps.items()}
        row["outputs"] = [[one.name, one.size, one.sha256] for one in self.outputs]
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any], shared: dict[Any, Any] | None = None) -> Outcome:
        """What `as_row` gave, perhaps through JSON; fields of later versions are left out.

        Args:
            row: the values.
            shared: paths, stamps and digests of other rows, so that equal ones are in memory once.
        """
        pool = {} if shared is None else shared
        known = {name: value for name, value in row.items() if name in cls.__dataclass_fields__}
        known["stamps"] = {
            pool.setdefault(path, path): pool.setdefault((path, *one), Stamp(*one))
            for path, one in row.get("stamps", {}).items()
        }
        known["digests"] = {
            pool.setdefault(path, path): pool.setdefault(digest, digest)
            for path, digest in row.get("digests", {}).items()
        }
        known["outputs"] = tuple(Output(*one) for one in row.get("outputs", ()))
        for name in ("missing", "warnings"):
            known[name] = tuple(row.get(name, ()))
        return cls(**known)


@dataclass(frozen=True)
class WorkerSettings:
    """What all workers of a run have in common; can be pickled.

    Args:
        output: absolute path of the batch's folder, or its address.
        work: folder for what is not finished, on the same disk as a local `output`; each worker makes one of
            its own in it, and the run removes it. None: a temporary one, for remote results.
        threads: cores that each worker may use; None: all.
        check: whether faces and jitter of every result are measured.
    """

    output: str
    work: Path
    threads: int | None = None
    check: bool = True


class Worker:
    """Does jobs, one at a time. Use it in a ``with`` statement, in one process of its own.

    Models and face trackers stay loaded from one job to the next, the last few of each kind; what comes out
    is the same as from the command alone.

    Args:
        settings: of the run.
        name: of this worker; no two that work at the same time have the same.
    """

    def __init__(self, settings: WorkerSettings, name: str = "1") -> None:
        self.settings, self.name = settings, name
        self.folder = settings.work / f"worker-{name}"
        self._place = Place(settings.output)
        self._stage = Stage(self.folder / "inputs")
        self._stack = ExitStack()

    def __enter__(self) -> Worker:
        if self.settings.threads is not None:
            take_share(self.settings.threads)
        self._stack.enter_context(keeping_models())
        self._stack.enter_context(keeping_trackers())
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def run(self, job: Job, progress: ProgressCallback | None = None) -> Outcome:
        """Does a job, and puts what it made in its place.

        Args:
            job: a checked job.
            progress: called as the command goes on; may raise `Cancelled`.

        Returns:
            How it ended. Whatever is wrong with the job is told in the outcome, not raised.

        Raises:
            Cancelled: by the callback; nothing is left.
        """
        verb(job.kind)  # is imported once, which is none of the job's time
        clock, begun = time.perf_counter(), datetime.now(UTC).isoformat(timespec="milliseconds")
        told: dict[str, Any] = {"worker": self.name, "begun": begun}
        desk = self.folder / "desk"
        names: dict[str, str] = {f"{desk}{os.sep}": ""}  # of files as the user does not know them
        with _Remarks() as remarks:
            try:
                shutil.rmtree(desk, ignore_errors=True)
                desk.mkdir(parents=True)
                self._do(job, desk, names, told, progress)
                status: Status = "done"
            except Cancelled:
                raise
            except Exception as error:
                status = "stopped" if self._is_of_the_place(error) else "failed"
                told["error"] = _one_line(error, names)
                if not isinstance(error, HeadgenError | MemoryError | OSError):
                    told["trace"] = traceback.format_exc()
            finally:
                with suppress(OSError):
                    shutil.rmtree(desk)
        told["warnings"] = tuple(_renamed(text, names) for text in remarks.texts)
        told["seconds"] = time.perf_counter() - clock
        return Outcome(job.name, job.row, job.kind, status, **told)

    def _do(
        self,
        job: Job,
        desk: Path,
        names: dict[str, str],
        told: dict[str, Any],
        progress: ProgressCallback | None,
    ) -> None:
        clock = _Clock(told)
        with clock("seconds_fetch"):
            stamps = self._stamps(job, told)
            inputs = {
                role: tuple(self._stage.local(path, stamps[path]) for path in paths)
                for role, paths in job.inputs.items()
            }
            names.update(
                {
                    str(local): path
                    for role, paths in job.inputs.items()
                    for local, path in zip(inputs[role], paths, strict=True)
                }
            )
            told["digests"] = {path: self._stage.digest(path, stamps[path]) for path in job.files}
            told["identity"] = job.identity(told["digests"])
        with clock("seconds_make"):
            made = job.run(inputs, desk / Path(f"{job.name}.mp4").name, progress)
        videos = [desk / Path(name).name for name in job.outputs]
        told["frames"] = made.frames * len(videos)
        if self.settings.check:
            with clock("seconds_check"):
                told |= _worst(videos)
        with clock("seconds_store"):
            outputs = []
            for video, name in zip(videos, job.outputs, strict=True):
                digest, size = sha256(video), video.stat().st_size
                record = record_path(video)
                # The video comes last: where it is, its record is.
                self._place.take(record, f"{name}.json", sha256(record) if self._place.remote else "")
                self._place.take(video, name, digest)
                outputs.append(Output(name, size, digest))
            told["outputs"] = tuple(outputs)

    def _stamps(self, job: Job, told: dict[str, Any]) -> dict[str, Stamp]:
        stamps, problems = {}, []
        for path in job.files:
            try:
                stamps[path] = stamp(path)
            except InputError as error:
                problems.append((path, error))
        told["stamps"] = stamps
        if problems:
            told["missing"] = tuple(path for path, _ in problems)
            raise problems[0][1]
        return stamps

    def _is_of_the_place(self, error: BaseException) -> bool:
        """Whether the disk or the network is at fault, so that other jobs would fail as well."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno in _ENVIRONMENT:
                return True
            cause = cause.__cause__
        if self._place.remote:
            return False
        return not os.access(self._place.path, os.W_OK) or not self.settings.work.is_dir()


def _worst(videos: list[Path]) -> dict[str, float | None]:
    """Quality of the takes: the least share of frames with a face, the most jitter."""
    with MediaPipeTracker() as tracker:
        found: list[Quality] = [quality(video, tracker) for video in videos]
    restless = [one.jitter for one in found if one.jitter is not None]
    return {"face_share": min(one.face_share for one in found), "jitter": max(restless, default=None)}


class _Clock:
    """Adds the seconds of a block to an outcome, also when the block fails."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told, self._name, self._begun = told, "", 0.0

    def __call__(self, name: str) -> _Clock:
        self._name = name
        return self

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *exc: object) -> None:
        self._told[self._name] = time.perf_counter() - self._begun


class _Remarks(logging.Handler):
    """Collects what the library logs during a job."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps one message."""
        text = record.getMessage()
        if text not in self.texts:
            self.texts.append(text)

    def __enter__(self) -> _Remarks:
        logger = logging.getLogger("headgen")
        self._propagate, logger.propagate = logger.propagate, False  # they stand in the outcome
        logger.addHandler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        logger = logging.getLogger("headgen")
        logger.removeHandler(self)
        logger.propagate = self._propagate


def _one_line(error: Exception, names: Mapping[str, str]) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        text = "memory ran out; use fewer workers or a smaller --max-size"
    elif not isinstance(error, HeadgenError):
        text = f"{type(error).__name__}: {text}"
    return _renamed(text, names)


def _renamed(text: str, names: Mapping[str, str]) -> str:
    """With files called as the user knows them: not by where they lie for the time being."""
    for local, name in names.items():
        text = text.replace(local, name)
    return text
