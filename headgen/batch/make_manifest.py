"""``headgen manifest``: a manifest made from folders."""

from __future__ import annotations

import csv
import json
import os
import posixpath
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from headgen.batch.manifest import FORMATS
from headgen.batch.plan import option_problem
from headgen.batch.storage import absolute, is_remote, place_of, reachable
from headgen.errors import InputError, MissingExtraError, check_choices
from headgen.media.output import replacing

__all__ = ["MadeManifest", "Pairs", "manifest"]

Pairs = Literal["all", "name", "random"]
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".avif")
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
SOUNDS = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus")
_FORBIDDEN = re.compile(r"[^\w.-]")
_ROWS = 10_000  # of a group of Parquet


@dataclass(frozen=True)
class MadeManifest:
    """What `manifest` wrote."""

    path: Path
    rows: int
    unmatched: tuple[str, ...] = ()
    """Files that found no partner of their name."""

    def __str__(self) -> str:
        """One line, and one on what found no partner."""
        lines = [f"{self.path}: {self.rows} jobs; headgen batch {self.path} --output DIR runs them"]
        if self.unmatched:
            shown = ", ".join(self.unmatched[:5])
            more = f" and {len(self.unmatched) - 5} more" if len(self.unmatched) > 5 else ""
            lines.append(f"without a partner of the same name: {shown}{more}")
        return "\n".join(lines)


def manifest(
    output: Path,
    *,
    source: str | None = None,
    driving: str | None = None,
    speaker: str | None = None,
    portrait: str | None = None,
    pairs: Pairs = "all",
    count: int | None = None,
    seed: int = 0,
    option: list[str] = [],  # noqa: B006 - it is only read
) -> MadeManifest:
    """Makes a manifest for headgen batch from folders of files.

    With source and driving its jobs reenact, with portrait and speaker they listen. Folders are searched with
    all that is below them; files are known by their endings.

    Args:
        output: manifest to be written, .csv, .jsonl or .parquet; what is there is replaced.
        source: folder of photographs that are to move, or one of them.
        driving: folder of driving videos, or one.
        speaker: folder of videos or recordings of speakers, or one.
        portrait: folder of photographs that are to listen, or one.
        pairs: `all` takes every photograph with every video, `name` those of the same name, `random` draws
            some of all pairs.
        count: pairs that `random` draws, each at most once.
        seed: of the drawing.
        option: an option for all rows, such as `motion=absolute`.

    Returns:
        Where it is and how many jobs it has.

    Raises:
        InputError: a folder that is missing or holds nothing of the kind, or options that do not go together.
        MissingExtraError: Parquet without pyarrow.
    """
    check_choices(pairs=(pairs, Pairs))
    output = Path(output)
    if output.suffix.lower() not in FORMATS:
        raise InputError(f"{output}: a manifest ends in {', '.join(FORMATS)}")
    given = {"source": source, "driving": driving, "portrait": portrait, "speaker": speaker}
    roles = tuple(role for role, folder in given.items() if folder is not None)
    if roles not in (("source", "driving"), ("portrait", "speaker")):
        raise InputError("give --source and --driving to reenact, or --portrait and --speaker to listen")
    if (pairs == "random") != (count is not None):
        raise InputError("--pairs random goes with --count N, and --count with nothing else")
    kind = "reenact" if "source" in roles else "listen"
    options = dict(_option(kind, text) for text in option)
    endings = (PICTURES, VIDEOS if kind == "reenact" else VIDEOS + SOUNDS)
    base = str(output.absolute().parent)
    ones, others = (
        _files(absolute(str(given[role]), str(Path.cwd())), known)
        for role, known in zip(roles, endings, strict=True)
    )
    chosen, unmatched = _pairs(ones, others, pairs, count, seed)
    names = _names(ones), _names(others)
    rows = (
        {
            "kind": kind,
            "name": f"{names[0][one]}-{names[1][other]}",
            roles[0]: _relative(one, base),
            roles[1]: _relative(other, base),
            **options,
        }
        for one, other in chosen
    )
    written = _write(output, ["kind", "name", *roles, *options], rows)
    return MadeManifest(output, written, unmatched)


def _option(kind: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    name = name.strip().removeprefix("--").replace("-", "_")
    if not equals:
        raise InputError(f"option {text!r} has no value; write NAME=VALUE")
    problem = option_problem(kind, name, value.strip())
    if problem:
        raise InputError(f"option {name}: {problem}")
    return name, value.strip()


def _files(place: str, endings: Sequence[str]) -> dict[str, str]:
    """Files by path or address, with their names below the folder, without ending."""
    if is_remote(place):
        filesystem, inside = place_of(place)
        found = reachable(place, lambda: sorted(filesystem.find(inside)))
        root = inside if len(found) != 1 or found[0] != inside else posixpath.dirname(inside)
        paths = {filesystem.unstrip_protocol(path): posixpath.relpath(path, root) for path in found}
    elif os.path.isfile(place):
        paths = {place: os.path.basename(place)}
    elif os.path.isdir(place):
        walked = (os.path.join(folder, name) for folder, _, names in os.walk(place) for name in names)
        paths = {path: os.path.relpath(path, place) for path in sorted(walked)}
    else:
        raise InputError(f"{place}: no such folder or file; check the path")
    hidden = {path for path, name in paths.items() if any(part.startswith(".") for part in Path(name).parts)}
    files = {
        path: os.path.splitext(name)[0]
        for path, name in paths.items()
        if path not in hidden and name.lower().endswith(tuple(endings))
    }
    if not files:
        raise InputError(f"{place}: holds no file that ends in {', '.join(endings)}")
    return files


def _pairs(
    ones: dict[str, str], others: dict[str, str], pairs: Pairs, count: int | None, seed: int
) -> tuple[Iterator[tuple[str, str]], tuple[str, ...]]:
    if pairs == "all":
        return product(ones, others), ()
    if pairs == "random":
        many = len(ones) * len(others)
        if count is None or not 1 <= count <= many:
            raise InputError(f"--count {count} is out of range; there are {many} pairs")
        first, second = list(ones), list(others)
        drawn = sorted(random.Random(seed).sample(range(many), count))
        return ((first[k // len(second)], second[k % len(second)]) for k in drawn), ()
    by_name: dict[str, list[str]] = {}
    for path, name in others.items():
        by_name.setdefault(name, []).append(path)
    matched = [(one, other) for one, name in ones.items() for other in by_name.get(name, ())]
    if not matched:
        raise InputError("no photograph has the name of a video; use --pairs all, or rename the files")
    used = {path for pair in matched for path in pair}
    return iter(matched), tuple(path for path in (*ones, *others) if path not in used)


def _names(files: dict[str, str]) -> dict[str, str]:
    """A short name for each, that no other has."""
    short = {path: os.path.basename(name) for path, name in files.items()}
    for ending in (False, True):  # first with the folder, then with the ending, too
        count = Counter(name.casefold() for name in short.values())
        for path, name in short.items():
            if count[name.casefold()] > 1:
                whole = files[path].replace(os.sep, "_")
                short[path] = f"{whole}_{posixpath.splitext(path)[1][1:]}" if ending else whole
    return {path: _FORBIDDEN.sub("_", name) for path, name in short.items()}


def _relative(path: str, base: str) -> str:
    """Below the manifest's folder, a path that moves with it."""
    if is_remote(path):
        return path
    within = os.path.relpath(path, base)
    return path if within.startswith("..") else within


def _write(path: Path, columns: list[str], rows: Iterator[dict[str, Any]]) -> int:
    written = 0

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal written
        for row in rows:
            written += 1
            yield row

    with replacing(path) as part:
        if path.suffix.lower() == ".parquet":
            _write_parquet(part, columns, counted())
        else:
            with part.open("w", encoding="utf-8", newline="") as file:
                if path.suffix.lower() == ".csv":
                    table = csv.DictWriter(file, columns)
                    table.writeheader()
                    table.writerows(counted())
                else:
                    file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in counted())
    return written


def _write_parquet(path: Path, columns: list[str], rows: Iterator[dict[str, Any]]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyarrow", "batch", "a manifest in Parquet") from error
    schema = pyarrow.schema([(name, pyarrow.string()) for name in columns])
    with parquet.ParquetWriter(path, schema) as table:
        chunk: list[dict[str, Any]] = []
        for row in rows:
            chunk.append(row)
            if len(chunk) == _ROWS:
                table.write_table(pyarrow.Table.from_pylist(chunk, schema))
                chunk = []
        if chunk:
            table.write_table(pyarrow.Table.from_pylist(chunk, schema))
