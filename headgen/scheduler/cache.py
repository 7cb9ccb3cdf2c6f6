"""Finished results on disk, under the hash of everything that made them.

    FOLDER/ab/abcdef....safetensors     the arrays; a hash of them as metadata

An entry is written under another name and renamed, so a killed run leaves whole entries only. An entry that
was damaged afterwards is found out by its hash and counts as missing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from headgen.media.output import output_error
from headgen.media.provenance import sha256, versions
from headgen.media.tensors import write_tensors
from headgen.scheduler.engine import Result
from headgen.scheduler.plan import Segment, Transition

__all__ = ["Cache", "fingerprint", "result_key"]

_FORSAKEN = 3600  # seconds after which a part file is nobody's


def fingerprint(facts: Mapping[str, Any]) -> str:
    """SHA-256 of facts; equal facts give equal hashes on every machine.

    Args:
        facts: by name: numbers, text, None, lists, mappings, dataclasses, arrays (by shape, type and values)
            and paths (by the file's contents, not its name).

    Raises:
        TypeError: a value of another kind, whose contents cannot be told.
    """
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"array": _array_hash({"": value})}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return {"file": sha256(value)}
    if is_dataclass(value) and not isinstance(value, type):
        return {type(value).__name__: {name: getattr(value, name) for name in value.__dataclass_fields__}}
    raise TypeError(f"{type(value).__name__} has no fingerprint")


def _array_hash(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()


class Cache:
    """A folder of results, of limited size: those unused for the longest time go first.

    Several runs may use one folder at the same time.

    Args:
        folder: is made if it does not exist.
        limit: bytes of all entries together; the entry written last always stays.

    Raises:
        InputError: the folder cannot be made or written.
    """

    def __init__(self, folder: str | Path, limit: int = 2 << 30) -> None:
        self.folder, self.limit = Path(folder), limit
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(self.folder, error) from error
        for path in self.folder.glob("*/*.part"):  # of runs that were killed
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _FORSAKEN:
                    path.unlink()

    def path(self, key: str) -> Path:
        """Where the entry of a key lies, or would."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def __contains__(self, key: str) -> bool:
        """Whether there is an entry; it may turn out to be damaged."""
        return self.path(key).exists()

    def load(self, key: str) -> Result | None:
        """Reads an entry and marks it as used; None if there is none, or a damaged one, which is removed."""
        path = self.path(key)
        try:
            with safe_open(path, "np") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                whole = file.metadata()["sha256"] == _array_hash(arrays)
            if whole:
                os.utime(path)
                return arrays
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):
            pass  # whatever is wrong with it, it is made anew
        path.unlink(missing_ok=True)
        return None

    def save(self, key: str, result: Result) -> None:
        """Writes an entry, whole or not at all, and makes room.

        Raises:
            InputError: the disk is full, or the folder may not be written.
        """
        path = self.path(key)
        part = path.with_name(f"{key}.{os.getpid()}.{threading.get_ident()}.part")
        try:
            path.parent.mkdir(exist_ok=True)
            try:
                write_tensors(part, result, {"sha256": _array_hash(result)})
                os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise output_error(path, error) from error
        self._make_room(path)

    def _make_room(self, newest: Path) -> None:
        entries = []
        for path in self.folder.glob("*/*.safetensors"):
            with suppress(FileNotFoundError):  # another run makes room as well
                status = path.stat()
                entries.append((path == newest, status.st_mtime_ns, status.st_size, path))
        size = sum(entry[2] for entry in entries)
        for last, _, bytes_, path in sorted(entries):
            if size <= self.limit or last:
                break
            path.unlink(missing_ok=True)
            size -= bytes_


@functools.cache
def _versions() -> dict[str, str]:
    return versions()


def result_key(engine: str, part: Segment | Transition, *sources: str) -> str:
    """Key of the result of one segment or transition.

    Args:
        engine: the engine's fingerprint.
        part: what the result is of.
        sources: keys of the results that it is made of.
    """
    facts = {"engine": engine, "part": part, "sources": sources, "versions": _versions()}
    return fingerprint(facts)
