"""Output files: checked before the work starts, written beside their name, renamed when whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from headgen.errors import InputError

__all__ = ["check_output", "output_error", "part_path", "replacing"]

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_RIGHT = {errno.EACCES, errno.EPERM, errno.EROFS}


def part_path(path: Path) -> Path:
    """Where the bytes of `path` are collected until they are complete: ``out.mp4.part``."""
    return path.with_name(path.name + ".part")


def check_output(path: str | Path, *, suffixes: Iterable[str], inputs: Iterable[str | Path] = ()) -> Path:
    """Checks that a file can be written, and leaves the folder as it was.

    Args:
        path: file to be written; one that exists will be replaced at the end of the work.
        suffixes: endings that can be written, such as ``.mp4``.
        inputs: files that the work reads; the output may not be one of them.

    Returns:
        The path.

    Raises:
        InputError: wrong ending, a folder of that name, folder missing or not writable, or one of the inputs.
    """
    path = Path(path)
    suffixes = sorted(suffixes)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a file name such as {path / ('out' + suffixes[0])}")
    if path.suffix.lower() not in suffixes:
        ending = path.suffix or "a name without an ending"
        raise InputError(f"{path}: cannot write {ending}; use {', '.join(suffixes)}")
    folder = path.parent
    if not folder.exists():
        raise InputError(f"{path}: the folder {folder} does not exist; create it first (mkdir -p {folder})")
    if not folder.is_dir():
        raise InputError(f"{path}: {folder} is a file, not a folder; choose another place for the output")
    _probe(path)
    for source in map(Path, inputs):
        if path.exists() and source.exists() and path.samefile(source):
            raise InputError(f"{path}: the output would replace an input; choose another name for the output")
    return path


def _probe(path: Path) -> None:
    """Permissions alone do not tell (a read-only disk, for one): open a file and see."""
    part = part_path(path)
    existed = part.exists()
    try:
        part.open("ab").close()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{path}: the folder {path.parent} cannot be written ({reason}); choose another one"
        ) from error
    if not existed:
        part.unlink()


def output_error(path: Path, error: OSError) -> InputError:
    """The message for an operating system error met while writing `path`."""
    if error.errno in _NO_ROOM:
        return InputError(f"{path}: no room left on the disk; free some space or write elsewhere")
    if error.errno in _NO_RIGHT:
        return InputError(f"{path}: may not be written ({os.strerror(error.errno)}); choose another folder")
    return InputError(f"{path}: cannot be written ({error.strerror or error}); choose another place")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a name to write to, and renames it to `path` when the block ends without an error.

    Raises:
        InputError: an operating system error inside the block, such as a full disk. No part file is left.
    """
    path = Path(path)
    part = part_path(path)
    try:
        yield part
        os.replace(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise output_error(path, error) from error
        raise
