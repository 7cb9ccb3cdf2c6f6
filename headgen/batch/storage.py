"""Files wherever they lie: local ones as they are, all others through fsspec and a local copy."""

from __future__ import annotations

import hashlib
import os
import posixpath
import shutil
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import fsspec  # type: ignore[import-untyped]
from fsspec.core import url_to_fs  # type: ignore[import-untyped]

from headgen.errors import InputError
from headgen.media.output import output_error
from headgen.media.provenance import sha256

__all__ = ["Place", "Stage", "Stamp", "absolute", "digest_of", "is_remote", "joined", "reachable", "stamp"]

PARTS = ".headgen/parts"
"""Folder below remote results for what is on its way; what a kill leaves in it is nobody else's."""
_BLOCK = 1 << 20
_LEAST_STAGE = 2 << 30
T = TypeVar("T")


@dataclass(frozen=True)
class Stamp:
    """What tells that a file has changed without reading it."""

    size: int
    """Bytes."""
    changed: str
    """Time of the last change, or what the storage has in its place (ETag, checksum)."""


def is_remote(path: str) -> bool:
    """Whether a path is an address (``s3://bucket/key``), not a local file."""
    return "://" in path and not path.startswith(("file://", "local://"))


def absolute(path: str, base: str) -> str:
    """A path as a manifest has it, in full.

    Args:
        path: absolute, an address, or relative to `base`.
        base: absolute folder or its address.
    """
    if is_remote(path):
        return path
    path = os.path.expanduser(path.removeprefix("file://").removeprefix("local://"))
    return path if os.path.isabs(path) else joined(base, path)


def joined(folder: str, name: str) -> str:
    """The path or address of something in a folder; ``..`` leads out of it."""
    if not is_remote(folder):
        return os.path.normpath(os.path.join(folder, name))
    protocol, _, rest = folder.partition("://")
    return f"{protocol}://{posixpath.normpath(posixpath.join(rest, name))}"


def place_of(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and the path on it.

    Raises:
        InputError: no such kind of storage, or one that needs a package.
    """
    try:
        filesystem, path = url_to_fs(address)
    except ImportError as error:
        raise InputError(f"{address}: {error}") from error
    except ValueError as error:
        raise InputError(
            f"{address}: fsspec knows no storage of this kind; it knows s3://, gs:// and "
            f"{len(fsspec.available_protocols())} more"
        ) from error
    return filesystem, path


def reachable(address: str, action: Callable[[], T]) -> T:
    """Does something with a storage.

    Raises:
        InputError: the storage says no, whatever it calls that.
    """
    try:
        return action()
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{address}: no such file; check the path") from error
    except Exception as error:  # each kind of storage has errors of its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{address}: cannot be reached ({reason}); check address and access") from error


def stamp(path: str) -> Stamp:
    """The stamp of a file.

    Raises:
        InputError: there is no such file, or it cannot be reached.
    """
    if is_remote(path):
        filesystem, inside = place_of(path)
        info = reachable(path, lambda: filesystem.info(inside))
        if info.get("type") == "directory":
            raise InputError(f"{path}: is a folder; give a file")
        names = ("ETag", "etag", "checksum", "md5Hash", "mtime", "LastModified", "updated", "created")
        changed = next((str(info[name]) for name in names if info.get(name)), "")
        return Stamp(int(info.get("size") or 0), changed)
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    return Stamp(status.st_size, str(status.st_mtime_ns))


def digest_of(path: str) -> str:
    """SHA-256 of a file's contents, read where it lies.

    Raises:
        InputError: it cannot be read.
    """
    if not is_remote(path):
        return reachable(path, lambda: sha256(path))
    filesystem, inside = place_of(path)
    return reachable(path, lambda: _digest(filesystem, inside))


def _digest(filesystem: Any, path: str) -> str:
    digest = hashlib.sha256()
    with filesystem.open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


class Stage:
    """Local copies of remote inputs, and the digests of all inputs. One belongs to one worker.

    A local file is used where it lies. A remote one is copied once and stays for the jobs that follow, until
    the folder is full.

    Args:
        folder: where copies go; made when it is needed.
        limit: bytes of all copies together; None: a quarter of what is free on that disk, at least 2 GB.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.folder, self._limit = folder, limit
        self._copies: OrderedDict[tuple[str, Stamp], Path] = OrderedDict()
        self._digests: dict[tuple[str, Stamp], str] = {}

    def local(self, path: str, known: Stamp) -> Path:
        """A local file with an input's contents, under the input's own name.

        Args:
            path: the input.
            known: its stamp.

        Raises:
            InputError: it cannot be fetched, did not come whole, or the disk is full.
        """
        if not is_remote(path):
            return Path(path)
        key = (path, known)
        if key in self._copies:
            self._copies.move_to_end(key)
            return self._copies[key]
        self._make_room(known.size)
        folder = self.folder / hashlib.sha256(f"{path}\0{known}".encode()).hexdigest()[:16]
        target = folder / posixpath.basename(path)
        filesystem, inside = place_of(path)
        digest, size = hashlib.sha256(), 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (
                reachable(path, lambda: filesystem.open(inside, "rb")) as source,
                target.open("wb") as file,
            ):
                while block := reachable(path, lambda: source.read(_BLOCK)):
                    digest.update(block)
                    size += file.write(block)
            if size != known.size:
                raise InputError(f"{path}: {size} of {known.size} bytes came; try again")
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise output_error(target, error) from error
            raise
        self._copies[key], self._digests[key] = target, digest.hexdigest()
        return target

    def digest(self, path: str, known: Stamp) -> str:
        """SHA-256 of an input's contents, computed once."""
        key = (path, known)
        if key not in self._digests:
            self._digests[key] = digest_of(path)
        return self._digests[key]

    def _make_room(self, size: int) -> None:
        if self._limit is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._limit = max(_LEAST_STAGE, shutil.disk_usage(self.folder).free // 4)
        held = sum(known.size for _, known in self._copies)
        while self._copies and held + size > self._limit:
            (_, known), copy = self._copies.popitem(last=False)
            shutil.rmtree(copy.parent, ignore_errors=True)
            held -= known.size


class Place:
    """The folder that results go to: local, or an address.

    Args:
        address: absolute path of the folder, or its address.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/") or "/"
        self.remote = is_remote(address)
        if self.remote:
            self._filesystem, self._root = place_of(self.address)

    @property
    def path(self) -> Path:
        """Of a local one."""
        assert not self.remote
        return Path(self.address)

    def address_of(self, name: str) -> str:
        """The path or address of a file in it."""
        return f"{self.address.rstrip('/')}/{name}"

    def take(self, local: Path, name: str, digest: str = "") -> None:
        """Moves a finished local file to its place: at once on the same disk, else by a temporary name.

        Args:
            local: the file, which is gone afterwards.
            name: in this folder; may have ``/`` in it.
            digest: SHA-256 that what lies there must have, read back from remote storage; empty: not checked.

        Raises:
            InputError: it cannot be written there, or did not arrive whole.
        """
        if not self.remote:
            target = self.path / name
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(local, target)
            except OSError as error:
                raise output_error(target, error) from error
            return
        end, part = f"{self._root}/{name}", f"{self._root}/{PARTS}/{name}.part"
        address = self.address_of(name)

        def send() -> None:
            for path in (end, part):
                self._filesystem.makedirs(posixpath.dirname(path), exist_ok=True)
            try:
                self._filesystem.put_file(str(local), part)
                if digest and _digest(self._filesystem, part) != digest:
                    raise InputError(f"{address}: did not arrive whole; run again")
                self._filesystem.mv(part, end)
            except BaseException:
                with suppress(Exception):  # it may never have been there
                    self._filesystem.rm_file(part)
                raise

        reachable(address, send)
        local.unlink()

    def digest(self, name: str) -> str:
        """SHA-256 of a file in it.

        Raises:
            InputError: it cannot be read.
        """
        return digest_of(self.address_of(name))

    def sizes(self) -> dict[str, int]:
        """Bytes of everything in it, by name; empty if it does not exist."""
        if self.remote:
            found = reachable(self.address, lambda: self._filesystem.find(self._root, detail=True))
            return {
                name.removeprefix(self._root).lstrip("/"): int(info.get("size") or 0)
                for name, info in found.items()
            }
        sizes = {}
        for folder, _, names in os.walk(self.path):
            for file in (os.path.join(folder, name) for name in names):
                with suppress(FileNotFoundError):
                    sizes[os.path.relpath(file, self.path)] = os.path.getsize(file)
        return sizes

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        if not self.remote:
            return (self.path / name).is_file()
        return bool(reachable(self.address_of(name), lambda: self._filesystem.isfile(f"{self._root}/{name}")))

    def read(self, name: str) -> bytes:
        """Contents of a file in it.

        Raises:
            InputError: it cannot be read.
        """
        if not self.remote:
            return bytes(reachable(self.address_of(name), (self.path / name).read_bytes))
        inside = f"{self._root}/{name}"
        return bytes(reachable(self.address_of(name), lambda: self._filesystem.cat_file(inside)))

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        if self.remote:
            target = f"{self._root}/{name}"
            if reachable(self.address_of(name), lambda: self._filesystem.exists(target)):
                reachable(self.address_of(name), lambda: self._filesystem.rm_file(target))
        else:
            (self.path / name).unlink(missing_ok=True)
