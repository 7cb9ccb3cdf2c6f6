"""Batches in the workspace: what was uploaded for one, its results, and how far it is.

WORKSPACE/batches/KEY/batch.json   whose it is
                      material/    the files given, and the manifest rewritten to name nothing but them
                      results/     the folder of `headgen batch`: goes on where it was stopped
                      thumbnails/  a small picture of each result
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headgen.errors import InputError
from headgen.progress import ProgressCallback, ProgressEvent
from headgen_studio.tasks import THUMBNAIL

if TYPE_CHECKING:
    from headgen.batch.worker import Outcome
    from headgen_studio.studio import Person
    from headgen_studio.uploads import Limits

__all__ = ["Batch", "Checked", "check", "clear", "create", "find", "of_person", "run"]

MANIFEST = "manifest.jsonl"
RESULTS = "results.csv"
_MANIFESTS = (".csv", ".jsonl", ".ndjson", ".parquet")
_THUMBNAIL = 96  # pixels, longest side


@dataclass(frozen=True)
class Batch:
    """One batch of the workspace."""

    folder: Path
    told: dict[str, Any]

    @property
    def key(self) -> str:
        """Its name in the workspace."""
        return self.folder.name

    @property
    def title(self) -> str:
        """For people."""
        when = time.strftime("%d %B %H:%M", time.localtime(self.told["created"]))
        return f"{self.told['name']}, {when}"

    @property
    def results(self) -> Path:
        """The folder of `headgen batch`."""
        return self.folder / "results"

    def outcomes(self) -> list[Outcome]:
        """What has become of its jobs so far, in order of the manifest."""
        from headgen.batch.results import Log

        log = Log(self.results / ".headgen" / "log.jsonl")
        return sorted(log.outcomes().values(), key=lambda one: one.row)

    def thumbnail(self, name: str) -> Path:
        """Where the small picture of a job's result lies, or would lie."""
        return self.folder / "thumbnails" / (hashlib.sha256(name.encode()).hexdigest()[:24] + ".jpg")

    def mark_started(self) -> None:
        """From now on it is kept."""
        self.told["started"] = True
        _write(self)

    def archive(self) -> Path:
        """A zip of all results with their run records and the results table, made anew."""
        from zipfile import ZIP_STORED, ZipFile

        path = self.folder / "results.zip"
        part = path.with_suffix(".zip.part")
        with ZipFile(part, "w", ZIP_STORED) as archive:  # videos are packed already
            for file in sorted(self.results.rglob("*")):
                inside = file.relative_to(self.results)
                if file.is_file() and not inside.parts[0].startswith(".") and inside.stem != "results":
                    archive.write(file, str(inside))
            if (self.folder / RESULTS).exists():
                archive.write(self.folder / RESULTS, RESULTS)
        part.replace(path)
        return path


@dataclass(frozen=True)
class Checked:
    """What a look at a batch's manifest says."""

    jobs: int
    kinds: dict[str, int]
    seconds: float
    """Of all videos to be made."""
    bad: int
    """Rows that cannot be jobs."""
    report: str
    """Every problem with its rows; empty if there is none."""


def create(
    workspace: Path, files: Sequence[Path], kind: str, limits: Limits, person: Person
) -> tuple[Batch, list[str]]:
    """Keeps what was uploaded for a batch, as far as it can be taken.

    Args:
        workspace: the studio's.
        files: a manifest and the files that it names; or pictures and videos, all with all.
        kind: what to make without a manifest: "reenact" or "listen".
        limits: of uploads.
        person: whose it is.

    Returns:
        The batch, and what is wrong with files that were left out.

    Raises:
        InputError: more than one manifest, two files of one name, or nothing to make.
    """
    manifests = [path for path in files if path.suffix.lower() in _MANIFESTS]
    others = [path for path in files if path not in manifests]
    if len(manifests) > 1:
        raise InputError(f"{manifests[1].name}: is a second manifest; give one at a time")
    if not others:
        raise InputError("give photographs and videos, with or without a manifest that names them")
    names = [path.name for path in others]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{twice[0]}: two files have this name; rename one of them")
    folder = workspace / "batches" / (time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(8))
    material = folder / "material"
    material.mkdir(parents=True)
    try:
        left_out = [text for path in others if (text := _take(path, material, limits))]
        if manifests:
            _rewrite(manifests[0], material / MANIFEST)
        else:
            _pair(material, kind)
        name = manifests[0].name if manifests else f"{kind}, all with all"
        told = {
            "name": name, "user": person.user, "client": person.client, "created": time.time(),
            "started": False,
        }  # fmt: skip
        batch = Batch(folder, told)
        _write(batch)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return batch, left_out


def find(workspace: Path, key: str, person: Person) -> Batch:
    """A person's batch.

    Raises:
        InputError: there is none.
    """
    batch = next((one for one in of_person(workspace, person) if one.key == key), None)
    if batch is None:
        raise InputError("this batch is no longer there; it was deleted")
    return batch


def clear(workspace: Path) -> None:
    """Removes what was checked and never started, once no page is open that could still start it."""
    for path in (workspace / "batches").glob("*/batch.json"):
        if not json.loads(path.read_text(encoding="utf-8"))["started"]:
            shutil.rmtree(path.parent, ignore_errors=True)


def of_person(workspace: Path, person: Person) -> list[Batch]:
    """All batches of a person, the newest first: of who is logged in, or else of the browser."""
    found = []
    for path in sorted((workspace / "batches").glob("*/batch.json"), reverse=True):
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["user"] == person.user and (person.user or told["client"] == person.client):
            found.append(Batch(path.parent, told))
    return found


def check(folder: Path) -> Checked:
    """Reads a batch's manifest as a whole, in the process for previews.

    Raises:
        InputError: it cannot be read, or has columns that no command knows.
    """
    from headgen.batch.plan import check_manifest

    try:
        plan = check_manifest(folder / "material" / MANIFEST)
    except InputError as error:
        raise InputError(_shortened(str(error), folder)) from error
    return Checked(
        len(plan.jobs), dict(plan.kinds), plan.seconds, len(plan.bad), _shortened(plan.report(), folder)
    )


def run(folder: Path, inputs: Any, options: dict[str, Any], progress: ProgressCallback) -> list[str]:
    """Runs a batch as far as it is not done, in the process that works.

    Args:
        folder: of the job; the batch lies beside the jobs.
        inputs: none.
        options: `batch`, its key; `retry_failed`.
        progress: called as jobs are done.

    Raises:
        InputError: it ended before all jobs were done.
    """
    from headgen.batch.runner import BatchEvent, run_batch

    batch = Batch(folder.parents[1] / "batches" / options["batch"], {})

    def tell(event: ProgressEvent) -> None:
        if isinstance(event, BatchEvent) and event.outcome is not None:
            _draw_thumbnail(batch, event.outcome)
        progress(event)

    report = run_batch(
        batch.folder / "material" / MANIFEST,
        batch.results,
        retry_failed=options["retry_failed"],
        progress=tell,
    )
    if report.stopped:
        raise InputError(_shortened(report.stopped, batch.folder))
    table = (batch.results / RESULTS).read_text(encoding="utf-8")
    for place in (batch.folder, folder):
        (place / RESULTS).write_text(_shortened(table, batch.folder), encoding="utf-8")
    small = next((p for one in batch.outcomes() if (p := batch.thumbnail(one.name)).exists()), None)
    if small is not None:
        shutil.copyfile(small, folder / THUMBNAIL)  # what the history shows
    return [RESULTS]


def _take(path: Path, material: Path, limits: Limits) -> str:
    """Keeps one file; returns what is wrong with it if it cannot be taken."""
    from headgen.batch.make_manifest import PICTURES
    from headgen_studio.uploads import check_picture, check_recording

    try:
        if path.suffix.lower() in PICTURES:
            check_picture(path, limits)
        else:
            check_recording(path, limits)
    except InputError as error:
        return str(error)
    try:
        os.link(path, material / path.name)
    except OSError:
        shutil.copyfile(path, material / path.name)
    return ""


def _rewrite(manifest: Path, target: Path) -> None:
    """The manifest with nothing but names of files and models in it, row for row.

    Somebody in a browser may have worked on what they upload, and on nothing else that this machine or its
    network holds: folders and addresses are cut off.
    """
    from headgen.batch.job import KINDS, verb
    from headgen.batch.manifest import read_rows

    lines: list[str] = []
    try:
        for number, row in read_rows(str(manifest)):
            files = verb(str(row["kind"])).inputs if row.get("kind") in KINDS else ()
            for column in {*files, "model", "text_model"} & row.keys():
                values = row[column] if isinstance(row[column], list) else str(row[column]).split(";")
                row[column] = ";".join(str(value).replace("\\", "/").rpartition("/")[2] for value in values)
            lines += [""] * (number - 1 - len(lines)) + [json.dumps(row, default=str)]
    except InputError as error:
        raise InputError(str(error).replace(str(manifest), manifest.name)) from error
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _pair(material: Path, kind: str) -> None:
    """A manifest of every picture with every video."""
    from headgen.batch.make_manifest import manifest

    here = str(material)
    roles = ("source", "driving") if kind == "reenact" else ("portrait", "speaker")
    try:
        manifest(material / MANIFEST, **dict.fromkeys(roles, here))  # type: ignore[arg-type]
    except InputError as error:
        raise InputError("give at least one photograph and one video, or a manifest as well") from error


def _draw_thumbnail(batch: Batch, outcome: Outcome) -> None:
    import cv2

    from headgen.media import VideoReader
    from headgen.media.image import write_image

    if not outcome.outputs:
        return
    path = batch.thumbnail(outcome.name)
    path.parent.mkdir(exist_ok=True)
    with VideoReader(batch.results / outcome.outputs[0].name) as reader:
        image = next(iter(reader)).image
    scale = _THUMBNAIL / max(image.shape[:2])
    write_image(path, cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def _write(batch: Batch) -> None:
    from headgen.media.output import replacing

    with replacing(batch.folder / "batch.json") as part:
        part.write_text(json.dumps(batch.told), encoding="utf-8")


def _shortened(text: str, folder: Path) -> str:
    """A message without where the batch lies here."""
    for place in ("material", "results"):
        text = text.replace(f"{folder / place}/", "")
    return text.replace(str(folder), "the batch").replace(MANIFEST, "the manifest")
