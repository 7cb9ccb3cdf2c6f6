"""What became of every job: an append-only log that survives a kill, and the tables made of it."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headgen.batch.storage import Stamp
from headgen.media.output import output_error, replacing

if TYPE_CHECKING:  # it brings all libraries
    from headgen.batch.worker import Outcome

__all__ = ["COLUMNS", "TABLES", "Log", "digests_of", "write_tables"]

TABLES = ("results.csv", "results.parquet")
COLUMNS: dict[str, str] = {
    "name": "string", "row": "int64", "kind": "string", "status": "string", "error": "string",
    "outputs": "string", "bytes": "int64", "sha256": "string", "frames": "int64", "face_share": "double",
    "jitter": "double", "warnings": "string", "seconds": "double", "seconds_fetch": "double",
    "seconds_make": "double", "seconds_check": "double", "seconds_store": "double", "worker": "string",
    "begun": "string", "attempts": "int64", "identity": "string", "in_manifest": "bool",
}  # fmt: skip
"""Columns of the results table and their types. Several outputs, digests and warnings are joined by ``;``."""


class Log:
    """The outcomes of a batch, one JSON line each; the last one of a name counts.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        """Bytes of whole lines that have been written."""
        self._file: FileIO | None = None

    def read(self, start: int = 0) -> Iterator[dict[str, Any]]:
        """Rows from a byte on; what a kill or a broken disk left of a line is passed over."""
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                for line in file:
                    with suppress(ValueError):
                        yield json.loads(line)
        except FileNotFoundError:
            return

    def outcomes(self) -> dict[str, Outcome]:
        """The last outcome of each job, by name."""
        from headgen.batch.worker import Outcome

        shared: dict[Any, Any] = {}  # the same few files stand in thousands of rows
        return {row["name"]: Outcome.from_row(row, shared) for row in self.read()}

    def __enter__(self) -> Log:
        """Opens it for writing, and cuts off what a kill left of the last line.

        Raises:
            InputError: it cannot be written.
        """
        try:
            self._file = self.path.open("a+b", buffering=0)  # what does not fit stays nowhere
            self.size = self._whole()
            self._file.truncate(self.size)
        except OSError as error:
            raise output_error(self.path, error) from error
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._file is not None
        self._file.close()
        self._file = None

    def _whole(self) -> int:
        """Bytes up to the end of the last whole line."""
        assert self._file is not None
        end = self._file.seek(0, os.SEEK_END)
        while end:
            begin = max(0, end - 65536)
            self._file.seek(begin)
            at = self._file.read(end - begin).rfind(b"\n")
            if at >= 0:
                return begin + at + 1
            end = begin
        return 0

    def append(self, outcome: Outcome) -> None:
        """Adds an outcome; when this returns, it is on the disk.

        Raises:
            InputError: the disk is full or gone. Nothing of the line is left.
        """
        assert self._file is not None
        line = json.dumps(outcome.as_row(), separators=(",", ":")).encode() + b"\n"
        try:
            rest = memoryview(line)
            while rest:  # of a disk that is nearly full, a part is taken first
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):  # the next run cuts it off as well
                self._file.truncate(self.size)
            raise output_error(self.path, error) from error
        self.size += len(line)


def digests_of(outcomes: Iterable[Outcome]) -> dict[tuple[str, Stamp], str]:
    """SHA-256 of inputs that earlier jobs have read, by path and stamp."""
    return {
        (path, stamp): outcome.digests[path]
        for outcome in outcomes
        for path, stamp in outcome.stamps.items()
        if path in outcome.digests
    }


def write_tables(
    folder: Path, outcomes: Iterable[Outcome], waiting: Sequence[Outcome], names: set[str]
) -> bool:
    """Writes ``results.csv`` and, where pyarrow is installed, ``results.parquet``.

    Args:
        folder: where they go.
        outcomes: the last one of each job.
        waiting: jobs without an outcome, their status "waiting".
        names: of the jobs of the manifest.

    Returns:
        Whether Parquet was written.

    Raises:
        InputError: the disk is full or gone.
    """
    rows = sorted([*outcomes, *waiting], key=lambda one: (one.name not in names, one.row, one.name))
    with replacing(folder / "results.csv") as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(COLUMNS))
        writer.writeheader()
        writer.writerows(_flat(one, one.name in names) for one in rows)
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        return False
    schema = pyarrow.schema([(name, getattr(pyarrow, _ARROW[kind])()) for name, kind in COLUMNS.items()])
    with (
        replacing(folder / "results.parquet") as part,
        parquet.ParquetWriter(part, schema, compression="zstd") as table,
    ):
        for start in range(0, len(rows), 10_000):
            chunk = [_flat(one, one.name in names) for one in rows[start : start + 10_000]]
            table.write_table(pyarrow.Table.from_pylist(chunk, schema))
    return True


_ARROW = {"string": "string", "int64": "int64", "double": "float64", "bool": "bool_"}


def _flat(outcome: Outcome, in_manifest: bool) -> dict[str, Any]:
    """A row of the table."""
    row: dict[str, Any] = {name: getattr(outcome, name, None) for name in COLUMNS}
    row["outputs"] = ";".join(one.name for one in outcome.outputs)
    row["sha256"] = ";".join(one.sha256 for one in outcome.outputs)
    row["bytes"] = sum(one.size for one in outcome.outputs)
    row["warnings"] = ";".join(outcome.warnings)
    row["in_manifest"] = in_manifest
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}
