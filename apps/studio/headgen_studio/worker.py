"""A process that works for the studio: models stay loaded in it, and it can be ended at any moment.

The studio's own process never runs a network: a job that hangs, crashes or eats its memory takes nobody else
along, and cancelling works however deep in a library the work is.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from headgen.errors import HeadgenError
from headgen.progress import Cancelled, ProgressEvent

__all__ = ["Event", "Progress", "Worker", "WorkerError"]

logger = logging.getLogger(__name__)

GRACE = 1.0
"""Seconds that work has to stop by itself after it was cancelled; then its process is ended."""
LOOK = 0.1
"""Seconds between two looks at whether the work is still wanted."""
TELL = 0.1
"""Seconds between two progress events of a stage; what comes faster is left out."""


@dataclass(frozen=True)
class Progress(ProgressEvent):
    """Progress with the library's own estimate, where it has one."""

    seconds_left: float | None = None


Event = Progress | str
"""Progress, or something that the library told (several faces, a fallback)."""


class WorkerError(Exception):
    """The work failed for a reason that the person who asked for it cannot mend; with the traceback."""


class Worker:
    """One process, started when it is first needed and again after it was ended.

    It works for one caller at a time; others wait.
    """

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._busy = threading.Lock()
        self._closed = False

    def call(
        self,
        target: str,
        *,
        scratch: Path | None = None,
        tell: Callable[[Event], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        **arguments: Any,
    ) -> Any:
        """Runs a function in the process.

        Args:
            target: ``module:function``.
            scratch: folder for its temporary files; whoever gives it removes it.
            tell: called with what happens. The function gets a ``progress`` then.
            cancelled: whether the work is no longer wanted.
            arguments: of the function, picklable.

        Returns:
            What it returned.

        Raises:
            HeadgenError: what it raised, of the same class.
            Cancelled: it is no longer wanted.
            WorkerError: anything else, the end of the process included.
        """
        with self._busy:
            try:
                process, connection = self._started()
                connection.send((target, arguments, scratch, tell is not None))
                return self._answer(process, connection, tell, cancelled)
            except (EOFError, OSError) as error:
                code = self._end()
                raise WorkerError(f"the process ended in the midst of the work (exit code {code})") from error

    def start(self) -> None:
        """Starts the process if it does not run, and has it import what takes long."""
        with self._busy, contextlib.suppress(WorkerError):  # closed meanwhile
            self._started()

    def close(self) -> None:
        """Ends the process, whatever it is doing; no other is started for those who wait."""
        self._closed = True
        self._end()
        with self._busy:  # somebody may have been about to start it
            self._end()

    @property
    def pid(self) -> int | None:
        """Of the process; None if it does not run."""
        process = self._process
        return process.pid if process is not None and process.is_alive() else None

    def _answer(
        self,
        process: BaseProcess,
        connection: Connection,
        tell: Callable[[Event], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> Any:
        given_up: float | None = None
        while True:
            if given_up is None and cancelled is not None and cancelled():
                given_up = time.monotonic()
                connection.send("cancel")
            if given_up is not None and time.monotonic() - given_up > GRACE:
                self._end()
                raise Cancelled
            if not wait([connection, process.sentinel], LOOK):
                continue
            kind, value = connection.recv()
            if kind == "event":
                if tell is not None and given_up is None:
                    tell(value)
            elif kind == "done":
                return value
            elif kind == "cancelled":
                raise Cancelled
            elif kind == "error":
                raise value
            else:
                raise WorkerError(value)

    def _started(self) -> tuple[BaseProcess, Connection]:
        if self._closed:
            raise WorkerError("the studio is being closed")
        if self._process is None or self._connection is None or not self._process.is_alive():
            self._end()
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            # No daemon: some work starts processes of its own.
            self._process = context.Process(target=_serve, args=(theirs,), name="headgen-worker")
            self._process.start()
            theirs.close()  # so that a dead process is noticed
        return self._process, self._connection

    def _end(self) -> int | None:
        """Ends the process and what it has started; returns its exit code."""
        process, self._process = self._process, None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if process is None:
            return None
        if process.pid is not None and process.is_alive():
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # it has not come to be a group yet
                process.kill()
        process.join()
        return process.exitcode


def _serve(connection: Connection) -> None:
    """The process: runs what is asked for until nobody asks any more."""
    os.setsid()  # a group of its own: Ctrl-C is the studio's, and ending it ends what it has started
    from headgen.cli import quiet_libraries
    from headgen.faces.tracker import keeping_trackers
    from headgen.nn.kept import keeping_models

    quiet_libraries()
    notices = _Notices(connection)
    logging.getLogger("headgen").addHandler(notices)
    with keeping_models(), keeping_trackers():
        _work(connection, notices)


def _work(connection: Connection, notices: _Notices) -> None:
    while True:
        try:
            asked = connection.recv()
        except (EOFError, OSError):
            return
        if asked == "cancel":  # it came after the work was done
            continue
        target, arguments, scratch, wants_progress = asked
        if scratch is not None:
            scratch.mkdir(exist_ok=True)
        tempfile.tempdir = None if scratch is None else str(scratch)
        notices.wanted = wants_progress
        if wants_progress:
            arguments["progress"] = _Reporter(connection)
        try:
            module, _, name = target.partition(":")
            answer = ("done", getattr(import_module(module), name)(**arguments))
        except Cancelled:
            answer = ("cancelled", None)
        except HeadgenError as error:
            answer = ("error", _plain(error))
        except BrokenPipeError:  # nobody is there any more
            return
        except Exception:
            answer = ("bug", traceback.format_exc())
        try:
            connection.send(answer)
        except OSError:
            return


def _plain(error: HeadgenError) -> HeadgenError:
    """The error as it can travel: some take other arguments than their message."""
    try:
        kind = type(error)
        same = kind(str(error))
    except TypeError:
        return HeadgenError(str(error))
    return same


class _Reporter:
    """Tells progress, and stops the work when it is asked to."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._stage, self._told = "", 0.0

    def __call__(self, event: ProgressEvent) -> None:
        if self.connection.poll():
            self.connection.recv()
            raise Cancelled
        now = time.monotonic()
        if event.stage == self._stage and now - self._told < TELL and event.done != event.total:
            return
        self._stage, self._told = event.stage, now
        left = getattr(event, "seconds_left", None)
        told = Progress(event.stage, event.done, event.total, event.unit, left)
        self.connection.send(("event", told))


class _Notices(logging.Handler):
    """Tells what the library logs."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(logging.WARNING)
        self.connection, self.wanted = connection, False

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one message."""
        if self.wanted:
            self.connection.send(("event", record.getMessage()))
