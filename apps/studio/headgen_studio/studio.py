"""What all tabs share: the workspace, the queue, the process for previews, and who is asking."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from headgen.errors import HeadgenError, InputError
from headgen.faces.driving import MOTION_SUFFIX
from headgen.media.output import output_error
from headgen_studio.history import History, Job
from headgen_studio.jobs import JobQueue
from headgen_studio.uploads import Limits
from headgen_studio.worker import Worker, WorkerError

__all__ = ["COOKIE", "Person", "Studio", "in_words"]

COOKIE = "headgen-browser"
"""Tells browsers apart, so that each finds its own jobs again; says nothing about anybody."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Person:
    """Who is asking."""

    user: str
    """Logged in as; empty where no login is asked for."""
    client: str
    """Browser, or session of a script."""

    @classmethod
    def of(cls, request: gr.Request) -> Person:
        """Who sent a request."""
        return cls(request.username or "", request.cookies.get(COOKIE) or request.session_hash or "")


class Studio:
    """The studio behind the page.

    Args:
        workspace: folder of results, and of uploads while the studio runs.
        limits: of uploads.
        keep: bytes that results may take.
        most_waiting: jobs that may wait.

    Raises:
        InputError: the workspace cannot be used.
    """

    def __init__(
        self,
        workspace: Path,
        limits: Limits = Limits(),  # noqa: B008 - it is frozen
        keep: int = 10_000_000_000,
        most_waiting: int = 100,
    ) -> None:
        self.workspace, self.limits = workspace.expanduser().resolve(), limits
        self.history = History(self.workspace, keep)
        self.cache = self.workspace / "uploads"
        self._links: dict[tuple[Person, Path], Path] = {}
        self._lock = threading.Lock()
        try:
            shutil.rmtree(self.cache, ignore_errors=True)  # nobody has a session yet
            self.cache.mkdir()
        except OSError as error:
            raise output_error(self.cache, error) from error
        # Gradio keeps uploads here, and serves files from here and from nowhere else.
        os.environ["GRADIO_TEMP_DIR"] = str(self.cache)
        self.live = Worker()
        """Previews, faces in photographs, what a text means: short work, beside the queue."""
        self.jobs = JobQueue(self.history, most_waiting)

    def submit(
        self,
        command: str,
        person: Person,
        inputs: Mapping[str, Iterable[Path]],
        options: Mapping[str, Any],
        work: float,
        series: str = "",
    ) -> Job:
        """Queues a job of a person; see `JobQueue.submit`."""
        return self.jobs.submit(
            command, options, inputs, user=person.user, client=person.client, work=work, series=series
        )

    def job(self, key: str, person: Person) -> Job:
        """A job that a person may see.

        Raises:
            InputError: there is none.
        """
        job = self.jobs.get(key)
        if job is None or job.user != person.user:
            raise InputError("this result is no longer there; it was deleted")
        return job

    def link(self, path: Path, person: Person) -> str:
        """Where a person finds a file of the workspace: under a name that cannot be guessed.

        Args:
            path: a job's file.
            person: who may have it.
        """
        with self._lock:
            place = self._links.get((person, path))
            if place is None or not _same(path, place):  # such as results that were packed anew
                self._unlink_what_is_gone()
                place = self.cache / secrets.token_hex(16) / path.name
                place.parent.mkdir()
                try:
                    os.link(path, place)
                except OSError:
                    shutil.copy2(path, place)
                self._links[person, path] = place
        return str(place)

    def _unlink_what_is_gone(self) -> None:
        """Removes links to files that were deleted or replaced, which keep them on the disk."""
        for known in [known for known, place in self._links.items() if not _same(known[1], place)]:
            shutil.rmtree(self._links.pop(known).parent, ignore_errors=True)

    def motions(self, person: Person) -> dict[str, Path]:
        """The motions that a person has saved, by name."""
        return {path.stem: path for path in sorted(self._motions(person).glob("*" + MOTION_SUFFIX))}

    def save_motion(self, name: str, driving: Path, person: Person) -> Path:
        """Saves the motion of a video under a name.

        Args:
            name: letters, digits, blanks, hyphens; one that is there already is replaced.
            driving: the video.
            person: whose motion it is.

        Raises:
            InputError: a name or a video that cannot be used.
        """
        name = name.strip()
        if not re.fullmatch(r"[\w][\w -]{0,59}", name):
            raise InputError("a motion's name has up to 60 letters, digits, blanks or hyphens")
        folder = self._motions(person)
        folder.mkdir(parents=True, exist_ok=True)
        return self.live.call(
            "headgen.faces.driving:save_motion", driving=driving, output=folder / (name + MOTION_SUFFIX)
        )

    def _motions(self, person: Person) -> Path:
        own = hashlib.sha256(person.user.encode()).hexdigest()[:16] if person.user else "everybody"
        return self.workspace / "motions" / own

    def delete(self, key: str, person: Person) -> None:
        """Deletes a person's job, its results and the links to them."""
        self.job(key, person)  # only their own
        self.jobs.delete(key)
        with self._lock:
            self._unlink_what_is_gone()

    def health(self) -> dict[str, Any]:
        """State of the studio, for whoever watches over it."""
        running, waiting = self.jobs.busy
        return {"status": "ok", "running": running, "waiting": waiting}

    def warm(self) -> None:
        """Starts both processes, so that the first preview does not wait for it."""
        self.live.start()
        self.jobs.warm()

    def close(self) -> None:
        """Ends all work."""
        self.jobs.close()
        self.live.close()
        shutil.rmtree(self.cache, ignore_errors=True)


def _same(path: Path, place: Path) -> bool:
    """Whether a link, or a copy where there are no links, still stands for a file."""
    try:
        file, link = path.stat(), place.stat()
    except OSError:
        return False
    return (file.st_size, file.st_mtime_ns) == (link.st_size, link.st_mtime_ns)


def in_words(function: Callable[P, R]) -> Callable[P, R]:
    """Shows errors that people can mend as they are told on the command line."""

    @functools.wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except HeadgenError as error:
            raise gr.Error(str(error), print_exception=False) from error
        except WorkerError as error:
            raise gr.Error(
                "Something went wrong inside headgen; the studio's log has the details."
            ) from error

    return told
