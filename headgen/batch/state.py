"""A batch's folder beside its results: who works in it, what has been done, what is not finished.

    DIR/NAME.mp4, DIR/NAME.mp4.json       results, each with its run record
    DIR/results.csv, DIR/results.parquet  the results table
    DIR/.headgen/log.jsonl                every outcome, as it came
    DIR/.headgen/status.json              how far the run is, for `headgen batch status`
    DIR/.headgen/lock                     held by the run that works here
    DIR/.headgen/work/                    what is not finished; removed when a run begins and ends

Where DIR is remote storage, all of this lies in a local folder during the run, and log and status are sent
there every few seconds, in pieces that never change: object stores cannot append.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from headgen.batch.beside import beside
from headgen.batch.results import TABLES, Log
from headgen.batch.storage import PARTS, Place, absolute
from headgen.errors import InputError
from headgen.media.output import output_error, replacing

__all__ = ["State", "read_status"]

FOLDER = ".headgen"
_PATIENCE = 1.0  # seconds in which `headgen batch status` lets go of the lock
_SEND = 10.0  # seconds between two pieces of the log that are sent to remote storage
_LEASE = 90.0  # seconds after which a run on remote storage that sends nothing counts as dead
_PIECES = 50  # pieces of the log on remote storage from which a run makes one


class State:
    """The state of a batch while a run works on it. Use it in a ``with`` statement.

    Args:
        output: the batch's folder or its address; a folder is made if it does not exist.

    Raises:
        InputError: on entering: another run works there, or it cannot be written.
    """

    def __init__(self, output: str) -> None:
        self.place = Place(absolute(output, str(Path.cwd())))
        self.run = uuid.uuid4().hex[:12]
        self._stack = ExitStack()
        self._pieces = self._sent = 0
        self._last_send = 0.0
        self._lost: InputError | None = None
        """Why remote storage is no longer this run's."""

    def __enter__(self) -> State:
        with ExitStack() as stack:
            if self.place.remote:
                local = tempfile.TemporaryDirectory(prefix="headgen-batch-")
                self.tables = Path(stack.enter_context(local))
            else:
                self.tables = self.place.path
            self.folder, self.work = self.tables / FOLDER, self.tables / FOLDER / "work"
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise output_error(self.tables, error) from error
            if self.place.remote:
                self._take_lease()
                stack.callback(self._give_lease_back)
                stack.enter_context(self._renewing())
                for name in self.place.sizes():
                    if name.startswith(f"{PARTS}/"):
                        self.place.remove(name)
                pieces = self._log_pieces()
                self._fetch_log(pieces)
                self._merge_log(pieces)
            else:
                stack.enter_context(_held(self.folder))
            self._clear_work()
            self.work.mkdir()
            stack.callback(self._clear_work)
            self.log = stack.enter_context(Log(self.folder / "log.jsonl"))
            self._sent = self.log.size
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @contextmanager
    def looking(self) -> Iterator[State]:
        """For a look at how far the batch is, in place of ``with state``; nothing is written there."""
        with tempfile.TemporaryDirectory(prefix="headgen-batch-") as local:
            self.folder = self.work = Path(local)
            self.tables = self.folder
            if self.place.remote:
                self._fetch_log(self._log_pieces())
                self.log = Log(self.folder / "log.jsonl")
            else:
                self.log = Log(self.place.path / FOLDER / "log.jsonl")
            yield self

    def _clear_work(self) -> None:
        """Removes what a run that was killed had begun."""
        shutil.rmtree(self.work, ignore_errors=True)
        for name in (f"{FOLDER}/status.json.part", *(f"{table}.part" for table in TABLES)):
            (self.tables / name).unlink(missing_ok=True)

    def write_status(self, status: dict[str, Any]) -> None:
        """Replaces the status; of remote storage, sends it with what is new in the log.

        Raises:
            InputError: it cannot be written.
        """
        status = {"run": self.run, "host": socket.gethostname(), "pid": os.getpid(), **status}
        status |= {"updated": time.time(), "log": self.log.size}
        with replacing(self.folder / "status.json") as part:
            part.write_text(json.dumps(status), encoding="utf-8")
        if self.place.remote and (
            status["state"] != "running" or time.monotonic() - self._last_send >= _SEND
        ):
            self._last_send = time.monotonic()
            if self._lost is not None:
                raise self._lost
            try:
                self._send_log()
                self._send(self.folder / "status.json", f"{FOLDER}/status.json")
            except OSError as error:
                raise output_error(self.folder, error) from error

    def publish(self, names: list[str]) -> None:
        """Brings the tables to remote storage; local ones are where they belong."""
        if self.place.remote:
            for name in names:
                self._send(self.tables / name, name)

    def _send(self, path: Path, name: str) -> None:
        copy = path.with_name(f"{path.name}.sent")  # what is sent is gone
        shutil.copyfile(path, copy)
        self.place.take(copy, name)

    def _send_log(self) -> None:
        if self.log.size == self._sent:
            return
        piece = self.folder / "piece"
        with self.log.path.open("rb") as file:
            file.seek(self._sent)
            piece.write_bytes(file.read(self.log.size - self._sent))
        self.place.take(piece, f"{FOLDER}/log/{self._pieces:06}-{self.run}.jsonl")
        self._sent, self._pieces = self.log.size, self._pieces + 1

    def _log_pieces(self) -> list[str]:
        return sorted(name for name in self.place.sizes() if name.startswith(f"{FOLDER}/log/"))

    def _fetch_log(self, names: list[str]) -> None:
        whole = self.folder / "log.jsonl"
        with whole.open("wb") as file:
            for name in names:
                file.write(self.place.read(name))
        self._pieces = 1 + max((int(Path(name).name.split("-")[0]) for name in names), default=-1)

    def _merge_log(self, names: list[str]) -> None:
        """Of many pieces of the log, makes one."""
        if len(names) > _PIECES:
            copy = self.folder / "piece"
            shutil.copyfile(self.folder / "log.jsonl", copy)
            self.place.take(copy, f"{FOLDER}/log/{self._pieces:06}-{self.run}.jsonl")
            self._pieces += 1
            for name in names:  # what they say stands in the new piece, should a kill leave some of them
                self.place.remove(name)

    def _take_lease(self) -> None:
        """Claims remote storage for this run. Clocks of machines that share it must agree to a minute."""
        lease = self._lease()
        if lease is not None and time.time() - lease["time"] < _LEASE:
            raise _busy(self.place.address, lease)
        self._write_lease()
        time.sleep(_PATIENCE)  # should another one do the same at this moment, the later one stays
        self._check_lease()

    def _write_lease(self) -> None:
        path = self.folder / "lease"
        told = {"run": self.run, "host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}
        path.write_text(json.dumps(told), encoding="utf-8")
        self.place.take(path, f"{FOLDER}/lease.json")

    def _lease(self) -> dict[str, Any] | None:
        name = f"{FOLDER}/lease.json"
        if not self.place.has(name):
            return None
        with suppress(ValueError):
            lease: dict[str, Any] = json.loads(self.place.read(name))
            return lease
        return None

    def _check_lease(self) -> None:
        lease = self._lease()
        if lease is not None and lease["run"] != self.run:
            raise _busy(self.place.address, lease)
        self._write_lease()

    def _renewing(self) -> AbstractContextManager[None]:
        """Inside, the claim does not run out, however long inputs and results are read."""

        def renew(ended: threading.Event) -> None:
            while not ended.wait(_SEND):
                try:
                    self._check_lease()
                except InputError as error:
                    self._lost = error
                    return
                except OSError as error:
                    self._lost = output_error(self.folder, error)
                    return

        return beside(renew, "headgen-batch-lease")

    def _give_lease_back(self) -> None:
        with suppress(InputError):  # it runs out by itself
            lease = self._lease()
            if lease is not None and lease["run"] == self.run:
                self.place.remove(f"{FOLDER}/lease.json")


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Holds a batch's folder for this process; the system lets go of it when the process ends, however."""
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout as error:
        raise _busy(str(folder.parent), _read(folder / "status.json")) from error
    except OSError as error:
        raise output_error(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def _busy(address: str, who: dict[str, Any]) -> InputError:
    by = f" (process {who['pid']} on {who['host']})" if "pid" in who else ""
    return InputError(
        f"{address}: another run works here{by}; wait for it or stop it (headgen batch status shows how far "
        "it is)"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        return {}


def read_status(output: str) -> dict[str, Any]:
    """What the last run said of itself, and whether it is still there: ``alive``.

    A killed run's outcomes since it last wrote its status are counted in, from the end of its log.

    Raises:
        InputError: there is no batch.
    """
    place = Place(absolute(output, str(Path.cwd())))
    nothing = InputError(f"{place.address}: holds no batch; headgen batch MANIFEST --output DIR makes one")
    if place.remote:
        if not place.has(f"{FOLDER}/status.json"):
            raise nothing
        status: dict[str, Any] = json.loads(place.read(f"{FOLDER}/status.json"))
        status["alive"] = place.has(f"{FOLDER}/lease.json") and time.time() - status["updated"] < _LEASE
        return status
    folder = place.path / FOLDER
    status = _read(folder / "status.json")
    if not status:
        raise nothing
    for row in Log(folder / "log.jsonl").read(status["log"]):
        if row["status"] in ("done", "failed"):
            status[row["status"]] += 1
            status["frames"] += row.get("frames", 0)  # none of a job that failed
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        status["alive"] = True
    else:
        lock.release()
        status["alive"] = False
    return status
