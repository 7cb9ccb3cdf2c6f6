"""Jobs and their results on disk: a folder each in the workspace, found again after a restart.

WORKSPACE/jobs/KEY/job.json     what was asked for, and how it ended
                   inputs/      the files given
                   ...          what was made: videos, run records, contact sheets, thumbnails
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from headgen.errors import InputError
from headgen.media.output import output_error, replacing

__all__ = ["History", "Job", "State"]

logger = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "failed", "cancelled"]
FINISHED = ("done", "failed", "cancelled")


@dataclass
class Job:
    """One piece of work, from being asked for until its results are deleted."""

    key: str
    """Name of its folder, which cannot be guessed."""
    folder: Path
    command: str
    """Verb of the library: "reenact", "listen", ..."""
    options: dict[str, Any]
    """Of the verb, files apart."""
    inputs: dict[str, list[str]] = field(default_factory=dict)
    """The files given, by role, relative to ``inputs/``."""
    user: str = ""
    """Who is logged in; nobody where no login is asked for."""
    client: str = ""
    """Browser, or session of a script, that asked for it."""
    series: str = ""
    """Key of the first of several that are shown together, such as takes."""
    work: float = 0.0
    """Seconds of video to be made: what the time that it takes is guessed from."""
    state: State = "waiting"
    created: float = 0.0
    """Seconds since 1970, like the others."""
    begun: float = 0.0
    ended: float = 0.0
    error: str = ""
    """Why it failed, in words."""
    notices: list[str] = field(default_factory=list)
    """What the library told meanwhile."""
    outputs: list[str] = field(default_factory=list)
    """Names of the results in the folder, the main ones: videos or pictures."""

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in FINISHED

    def input_paths(self) -> dict[str, list[Path]]:
        """The files given, by role."""
        return {
            role: [self.folder / "inputs" / name for name in names] for role, names in self.inputs.items()
        }

    def output_paths(self) -> list[Path]:
        """The main results."""
        return [self.folder / name for name in self.outputs]


class History:
    """The jobs of a workspace.

    Args:
        workspace: folder of the studio; is made if it does not exist.
        limit: bytes that finished jobs may take; beyond, the oldest are deleted.

    Raises:
        InputError: the folder cannot be made or written.
    """

    def __init__(self, workspace: Path, limit: int) -> None:
        self.folder, self.limit = workspace / "jobs", limit
        self.dropped = 0
        """How many were deleted to make room, since the start."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(workspace, error) from error
        if not os.access(self.folder, os.W_OK):
            raise InputError(f"{self.folder}: may not be written; choose another --workspace")

    def create(
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
        """Makes the folder of a new job and keeps its inputs in it.

        Raises:
            InputError: the disk is full.
        """
        now = time.time()
        key = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now)) + "-" + secrets.token_hex(8)
        folder = self.folder / key
        job = Job(key, folder, command, dict(options), user=user, client=client, work=work, created=now)
        job.series = series or key
        try:
            (folder / "inputs").mkdir(parents=True)
            for role, paths in inputs.items():
                kept = [_keep(path, folder / "inputs", f"{role}-{k}") for k, path in enumerate(paths, 1)]
                job.inputs[role] = kept
            self.save(job)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise output_error(folder, error) from error
            raise
        return job

    def save(self, job: Job) -> None:
        """Writes what is known of a job; nothing if it was deleted meanwhile."""
        if not job.folder.is_dir():
            return
        told = {name: value for name, value in asdict(job).items() if name not in ("key", "folder")}
        with replacing(job.folder / "job.json") as part:
            part.write_text(json.dumps(told, indent=1, default=str), encoding="utf-8")

    def load(self) -> list[Job]:
        """All jobs, the oldest first; folders that hold none are left alone."""
        jobs = [job for path in self.folder.iterdir() if (job := _read(path)) is not None]
        return sorted(jobs, key=lambda job: job.created)

    def get(self, key: str) -> Job | None:
        """One job; None if there is none of that name."""
        folder = self.folder / key
        return _read(folder) if folder.parent == self.folder and folder.is_dir() else None

    def delete(self, job: Job) -> None:
        """Deletes a job and everything of it."""
        shutil.rmtree(job.folder, ignore_errors=True)

    def size(self) -> int:
        """Bytes that all jobs take; a file that several share counts once."""
        return sum(_sizes(self.folder).values())

    def make_room(self) -> list[Job]:
        """Deletes the oldest finished jobs until the rest keeps to the limit; the newest one always stays.

        Returns:
            Those deleted.
        """
        deleted: list[Job] = []
        finished = [job for job in self.load() if job.finished]
        for job in finished[:-1]:
            if self.size() <= self.limit:
                break
            self.delete(job)
            deleted.append(job)
        self.dropped += len(deleted)
        if deleted:
            logger.warning("%s: full; the oldest were deleted, %d results", self.folder, len(deleted))
        return deleted


def _keep(path: Path, folder: Path, place: str) -> str:
    """Keeps a file under its own name: linked if it can be, else copied."""
    (folder / place).mkdir()
    kept = folder / place / path.name
    try:
        os.link(path, kept)
    except OSError:
        shutil.copyfile(path, kept)
    return f"{place}/{path.name}"


def _read(folder: Path) -> Job | None:
    try:
        told = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        known = {field.name for field in fields(Job)}
        return Job(key=folder.name, folder=folder, **{k: v for k, v in told.items() if k in known})
    except (OSError, ValueError, TypeError):
        return None


def _sizes(folder: Path) -> dict[tuple[int, int], int]:
    found = {}
    for path in folder.rglob("*"):
        try:
            status = path.lstat()
        except OSError:  # deleted meanwhile
            continue
        if stat.S_ISREG(status.st_mode):
            found[status.st_dev, status.st_ino] = status.st_size
    return found
