"""What a synthetic data set holds and how it lies on disk.

A data set is a folder::

    DIR/options.json                 what the data set is made with; written first
    DIR/clips/NAME.mp4, ...          a clip's files, named in its facts
    DIR/clips/NAME.json              its facts; their presence says that the clip is finished
    DIR/manifest.parquet             the facts of all clips, one row each, sorted by name; written last
    DIR/index.json                   videos again, for readers of `headgen.media.clips`
    DIR/DATASHEET.md, preview.png, preview.mp4

A clip's files are written first and its facts last, each renamed into place when whole: a killed run leaves
finished clips and ``.part`` files, and goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from headgen.errors import InputError, MissingExtraError

FORMAT = 1
SPLITS = ("train", "val", "test")
SHARES = (0.9, 0.05, 0.05)
"""Shares of the identities in each of `SPLITS`."""


@dataclass(frozen=True)
class ClipRecord:
    """Facts of one clip."""

    name: str
    """Of its files, without ending."""
    kind: str
    """``heads``, ``video`` or ``conversation``."""
    split: str
    """One of `SPLITS`; clips of one identity are never divided."""
    seed: int
    """Of the data set."""
    identities: list[str]
    """Who is shown: one person, or speaker and listener."""
    model: str
    """Head model, ``ict`` or ``analytic``."""
    frames: int
    """Number of frames; 0 for a clip that was skipped and has no files: no face was found in it."""
    fps: float
    """Frames per second; 0 for unrelated pictures."""
    size: int
    """Side of the frames in pixels."""
    files: dict[str, str]
    """SHA-256 of each file by its name."""
    attitude: str = ""
    """Of the listener."""
    intensity: float = 0.0
    """Of the listener, 0 to 1."""
    captions: list[dict[str, str]] = field(default_factory=list)
    """Descriptions in several phrasings: ``who``, ``style``, ``text``."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """Events in order of time, see `headgen.synth.conversation.events.Event`."""
    words: list[dict[str, Any]] = field(default_factory=list)
    """Spoken words with their times in seconds."""


def person_name(index: int) -> str:
    """Name of the person of a number."""
    return f"person{index:05d}"


def split_of(person: str, seed: int) -> str:
    """The split that a person belongs to, the same for every clip of a data set of that seed.

    People of numbers 2k and 2k + 1, who talk to one another, belong to the same split.
    """
    pair = int(person.removeprefix("person")) // 2
    value = number(f"split {seed} {pair}") % 10_000 / 10_000
    return SPLITS[0] if value < SHARES[0] else SPLITS[1] if value < SHARES[0] + SHARES[1] else SPLITS[2]


def number(text: str) -> int:
    """A number that stands for a text, the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def clips_folder(directory: Path) -> Path:
    """Where the clips of a data set lie."""
    return Path(directory) / "clips"


def is_finished(directory: Path, name: str) -> bool:
    """Whether a clip is there as a whole."""
    return (clips_folder(directory) / f"{name}.json").is_file()


def write_record(directory: Path, record: ClipRecord) -> None:
    """Writes a clip's facts, which makes it finished."""
    path = clips_folder(directory) / f"{record.name}.json"
    part = path.with_suffix(".json.part")
    part.write_text(json.dumps(asdict(record), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(part, path)


def read_record(path: Path) -> ClipRecord:
    """Reads a clip's facts.

    Raises:
        InputError: not the facts of a clip.
    """
    try:
        return ClipRecord(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not the facts of a clip ({error}); delete it and run the same command"
        ) from None


def write_manifest(directory: Path, names: Iterable[str]) -> list[ClipRecord]:
    """Writes ``manifest.parquet`` from the facts of the clips named; returns them sorted by name."""
    records = [read_record(clips_folder(directory) / f"{name}.json") for name in sorted(names)]
    arrow, parquet = _arrow()
    rows = []
    for record in records:
        row = asdict(record)
        row["files"] = [{"name": k, "sha256": v} for k, v in sorted(record.files.items())]
        for column in ("events", "words"):
            row[column] = json.dumps(row[column], sort_keys=True)
        rows.append(row)
    table = arrow.Table.from_pylist(rows, schema=_schema(arrow))
    path = Path(directory) / "manifest.parquet"
    part = path.with_suffix(".parquet.part")
    parquet.write_table(table.replace_schema_metadata({"headgen.format": str(FORMAT)}), part)
    os.replace(part, path)
    return records


def read_manifest(directory: Path, split: str | None = None) -> list[ClipRecord]:
    """Facts of all clips, or of those of one split, without those that were skipped.

    Raises:
        InputError: no manifest there, or none of that split.
    """
    _, parquet = _arrow()
    path = Path(directory) / "manifest.parquet"
    if not path.is_file():
        raise InputError(
            f"{path}: not there; make a data set with `headgen synth` (an unfinished one: run it again)"
        )
    try:
        rows: Sequence[dict[str, Any]] = parquet.read_table(path).to_pylist()
        records = []
        for row in rows:
            row["files"] = {file["name"]: file["sha256"] for file in row["files"]}
            row["events"], row["words"] = json.loads(row["events"]), json.loads(row["words"])
            if row["frames"]:
                records.append(ClipRecord(**row))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not the manifest of a headgen data set ({error}); make it again") from None
    if split is None:
        return records
    chosen = [record for record in records if record.split == split]
    if not chosen:
        found = ", ".join(sorted({record.split for record in records}))
        raise InputError(f"{path}: no clip of split {split!r}; it has: {found}")
    return chosen


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "synth", "manifests of data sets") from error
    return pyarrow, pyarrow.parquet


def _schema(arrow: Any) -> Any:
    text = arrow.string()
    named = arrow.list_(arrow.struct([("name", text), ("sha256", text)]))
    captions = arrow.list_(arrow.struct([("who", text), ("style", text), ("text", text)]))
    columns = {
        "name": text, "kind": text, "split": text, "seed": arrow.int64(), "identities": arrow.list_(text),
        "model": text, "frames": arrow.int32(), "fps": arrow.float64(), "size": arrow.int32(), "files": named,
        "attitude": text, "intensity": arrow.float64(), "captions": captions, "events": text, "words": text,
    }  # fmt: skip
    return arrow.schema(list(columns.items()))
