"""Manifests: tables whose rows are jobs, in CSV, JSON lines or Parquet."""

from __future__ import annotations

import csv
import io
import json
import math
import posixpath
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headgen.batch.storage import is_remote, place_of, reachable
from headgen.errors import InputError, MissingExtraError

__all__ = ["FORMATS", "Row", "read_rows"]

FORMATS = (".csv", ".jsonl", ".ndjson", ".parquet")
"""Endings of manifests."""

Row = tuple[int, dict[str, Any]]
"""Number of a row, as editors and spreadsheets count, and its values by column; empty ones are left out."""


def read_rows(path: str) -> Iterator[Row]:
    """Rows of a manifest, one by one.

    CSV is read as UTF-8, with or without a byte order mark; commas separate, quotes may hold commas and line
    breaks; blank lines are passed over. Columns are called like the options: ``max_size`` or ``max-size``.

    Args:
        path: the manifest, or its address.

    Raises:
        InputError: it is missing, has another ending, or cannot be read as what its ending says.
        MissingExtraError: Parquet without pyarrow.
    """
    ending = posixpath.splitext(path)[1].lower()
    if ending not in FORMATS:
        raise InputError(
            f"{path}: is no manifest; give a table that ends in {', '.join(FORMATS)} (headgen manifest "
            "makes one)"
        )
    with _opened(path) as file:
        if ending == ".parquet":
            yield from _parquet(path, file)
            return
        with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            try:
                yield from _csv(path, text) if ending == ".csv" else _json_lines(path, text)
            except UnicodeDecodeError as error:
                raise InputError(f"{path}: is not UTF-8 text; save it as CSV UTF-8") from error


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    if is_remote(path):
        filesystem, inside = place_of(path)
        with reachable(path, lambda: filesystem.open(inside, "rb")) as file:
            yield file
        return
    try:
        with Path(path).open("rb") as file:
            yield file
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path of the manifest") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a manifest") from error


def _csv(path: str, text: io.TextIOBase) -> Iterator[Row]:
    reader = csv.reader(text, strict=True)
    columns: list[str] = []
    try:
        number = 1
        for cells in reader:
            first, number = number, reader.line_num + 1
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if not columns:
                columns = _columns(path, cells)
                continue
            if len(cells) > len(columns):
                raise InputError(
                    f"{path}: row {first} has {len(cells)} cells and the table {len(columns)} columns; put "
                    "quotes around a cell with a comma in it"
                )
            yield first, {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
    except csv.Error as error:
        raise InputError(f"{path}: row {first} cannot be read ({error}); save it as CSV again") from error


def _columns(path: str, cells: list[str]) -> list[str]:
    names = [_column(cell) for cell in cells]
    if len(names) == 1 and any(mark in cells[0] for mark in ";\t"):
        raise InputError(f"{path}: its columns are not separated by commas; save it as CSV with commas")
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise InputError(f"{path}: has more than one column {', '.join(twice)}; keep one of each")
    if "" in names[: len(names) - names[::-1].count("")]:
        raise InputError(f"{path}: column {names.index('') + 1} has no name; name it or remove it")
    return names


def _column(name: str) -> str:
    return name.strip().removeprefix("--").replace("-", "_")


def _json_lines(path: str, text: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}: row {number} is not JSON ({error}); one object a line") from error
        if not isinstance(row, dict):
            raise InputError(f'{path}: row {number} is no object; write {{"kind": "reenact", ...}}')
        yield number, _given(row)


def _parquet(path: str, file: Any) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyarrow", "batch", "a manifest in Parquet") from error
    try:
        table = parquet.ParquetFile(file)
        number = 0
        for batch in table.iter_batches(batch_size=4096):
            for row in batch.to_pylist():
                number += 1
                yield number, _given(row)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: is no Parquet that can be read ({reason}); write it again") from error


def _given(row: dict[str, Any]) -> dict[str, Any]:
    """Without what stands for nothing in tables: null, NaN, empty text, empty lists."""
    return {
        _column(name): value.strip() if isinstance(value, str) else value
        for name, value in row.items()
        if not (
            value is None
            or (isinstance(value, float) and math.isnan(value))
            or (isinstance(value, str | list) and len(value) == 0)
        )
    }
