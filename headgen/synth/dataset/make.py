"""Data sets from a seed, resumable, on several processes: ``headgen synth heads|videos|conversations``."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headgen.errors import InputError
from headgen.media.clips import write_index
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.synth.characters import ModelName
from headgen.synth.dataset.clips import SLOWEST, ClipMaker, Kind, Landmarks, MotionKind, Options
from headgen.synth.dataset.datasheet import write_datasheet
from headgen.synth.dataset.preview import write_preview
from headgen.synth.dataset.records import write_manifest
from headgen.synth.dataset.runner import run

SMALLEST, LARGEST = 64, 1024  # pixels a side
LONGEST = 3600.0  # seconds


@dataclass(frozen=True)
class DataSet:
    """What was made.

    Attributes:
        manifest: its ``manifest.parquet``.
        clips: how many clips it holds.
        splits: clips by split.
        skipped: names of clips that were left out because no face was found in them.
    """

    manifest: Path
    clips: int
    splits: dict[str, int]
    skipped: tuple[str, ...] = ()


def heads(
    output: Path,
    count: int = 64,
    seed: int = 0,
    model: ModelName = "analytic",
    assets: Path | None = None,
    textures: Path | None = None,
    size: int = 256,
    identities: int | None = None,
    occluders: float = 0.0,
    workers: int = 1,
    progress: ProgressCallback | None = None,
) -> DataSet:
    """Makes still pictures of heads with exact ground truth.

    Every picture comes with its part mask, depth, normals, texture places, 68 and 478 landmarks and their
    visibility, joints, camera, expression, pose and gaze. The same options and seed give the same bytes,
    whatever the number of workers; a run that was stopped goes on where it was.

    Args:
        output: folder of the data set.
        count: pictures.
        seed: of everything.
        model: `analytic`, which needs no files, or `ict`, which looks like people.
        assets: folder with the ICT face model and HDR panoramas (only `ict` needs it).
        textures: library made by `headgen synth textures` (only `ict` needs it).
        size: side of the pictures in pixels.
        identities: people; as many as pictures if not given.
        occluders: share of the pictures in which something covers a part of the face.
        workers: processes.
        progress: called after every picture.

    Raises:
        InputError: options out of range, files that are missing, or a folder made with other options.
    """
    options = Options(
        Path(output), seed, model, assets, textures, size, identities or count, occluders=occluders
    )
    return _make("heads", count, options, workers, progress)


def videos(
    output: Path,
    count: int = 16,
    seed: int = 0,
    model: ModelName = "analytic",
    assets: Path | None = None,
    textures: Path | None = None,
    size: int = 256,
    identities: int | None = None,
    seconds: float = 10.0,
    fps: float = 25.0,
    motion: MotionKind = "natural",
    landmarks: Landmarks = "exact",
    masks: bool = False,
    occluders: float = 0.0,
    workers: int = 1,
    progress: ProgressCallback | None = None,
) -> DataSet:
    """Makes videos of one person each; the folder is also a training set for `headgen train fsrt`.

    Args:
        output: folder of the data set.
        count: videos.
        seed: of everything.
        model: `analytic`, which needs no files, or `ict`, which looks like people.
        assets: folder with the ICT face model and HDR panoramas (only `ict` needs it).
        textures: library made by `headgen synth textures` (only `ict` needs it).
        size: side of the frames in pixels.
        identities: people; as many as videos if not given.
        seconds: length of a video.
        fps: frames per second.
        motion: `natural`: people talk, with sound; `posed`: every frame shows another pose and expression.
        landmarks: `exact`: projected from the head; `tracked`: found by the face tracker. Where it finds no
            face, talking people have the exact ones (`tracked` of a clip's arrays says where), and posed
            videos leave the frame out, or the whole clip.
        masks: part masks beside each video, lossless.
        occluders: share of the videos in which something passes before the face.
        workers: processes.
        progress: called after every video.

    Raises:
        InputError: options out of range, files that are missing, or a folder made with other options.
    """
    options = Options(
        Path(output), seed, model, assets, textures, size, identities or count, fps, seconds, landmarks,
        motion, occluders, masks,
    )  # fmt: skip
    return _make("video", count, options, workers, progress)


def conversations(
    output: Path,
    count: int = 16,
    seed: int = 0,
    model: ModelName = "analytic",
    assets: Path | None = None,
    textures: Path | None = None,
    size: int = 256,
    identities: int | None = None,
    seconds: float = 10.0,
    fps: float = 25.0,
    landmarks: Landmarks = "exact",
    masks: bool = False,
    occluders: float = 0.0,
    workers: int = 1,
    progress: ProgressCallback | None = None,
) -> DataSet:
    """Makes conversations: a speaker with sound, a listener who reacts, what happened and why, and captions.

    Args:
        output: folder of the data set.
        count: conversations.
        seed: of everything.
        model: `analytic`, which needs no files, or `ict`, which looks like people.
        assets: folder with the ICT face model and HDR panoramas (only `ict` needs it).
        textures: library made by `headgen synth textures` (only `ict` needs it).
        size: side of the frames in pixels.
        identities: people, an even number; two for each conversation if not given.
        seconds: length of a conversation.
        fps: frames per second, at least 10.
        landmarks: `exact`: projected from the head; `tracked`: found by the face tracker, but exact where it
            finds no face (`tracked` of a clip's arrays says where).
        masks: part masks beside each video, lossless.
        occluders: share of the videos in which something passes before the face.
        workers: processes.
        progress: called after every conversation.

    Raises:
        InputError: options out of range, files that are missing, or a folder made with other options.
    """
    people = 2 * max(1, count) if identities is None else identities
    if people % 2 or people < 2:
        raise InputError(f"identities={people}: conversations need an even number of people")
    options = Options(
        Path(output), seed, model, assets, textures, size, people, fps, seconds, landmarks, "natural",
        occluders, masks,
    )  # fmt: skip
    if fps < SLOWEST:
        raise InputError(f"fps={fps}: a conversation needs at least {SLOWEST:.0f} frames per second")
    return _make("conversation", count, options, workers, progress)


def textures(
    portraits: Path,
    output: Path,
    assets: Path | None = None,
    count: int | None = None,
    workers: int = 1,
    progress: ProgressCallback | None = None,
) -> Path:
    """Makes a library of skin and shapes from portraits, of which the ICT heads' people are mixed.

    Args:
        portraits: folder of photographs (JPEG or PNG), one person each.
        output: folder of the library; it shows real people and is for your own disk.
        assets: folder with the ICT face model.
        count: use only that many photographs.
        workers: processes.
        progress: called after every photograph.

    Returns:
        The library's folder.

    Raises:
        InputError: no photographs, or no face model.
    """
    from headgen.synth.appearance.library import build_library
    from headgen.synth.heads.assets import find_ict

    build_library(Path(portraits), find_ict(assets), Path(output), count, workers, progress)
    return Path(output)


@dataclass(frozen=True)
class _Maker:
    """Makes the makers: picklable, for processes of their own."""

    kind: Kind
    names: tuple[str, ...]
    options: Options

    def __call__(self) -> ClipMaker:
        return ClipMaker(self.kind, self.names, self.options)


def _make(
    kind: Kind, count: int, options: Options, workers: int, progress: ProgressCallback | None
) -> DataSet:
    _check(count, options)
    names = tuple(f"{kind}{k:06d}" for k in range(count))
    directory, facts = options.directory, options.facts()
    maker = _Maker(kind, names, options)
    here = maker()  # files that are missing show before anything is written
    _claim(directory, {"kind": kind, **facts})
    run(directory, names, maker, workers, progress, here, here.group)
    noted = write_manifest(directory, names)
    records = [record for record in noted if record.frames]
    skipped = tuple(record.name for record in noted if not record.frames)
    if not records:
        raise InputError(
            f"{directory}: the face tracker found no face in any clip; give another --output and --landmarks "
            "exact, a larger --size or fewer --occluders"
        )
    if kind != "heads":
        write_index(directory)
    write_preview(directory, records)
    write_datasheet(directory, records, facts, len(skipped))
    if progress is not None:
        progress(ProgressEvent("describe", len(records), len(records), "clips"))
    splits = Counter(record.split for record in records)
    return DataSet(directory / "manifest.parquet", len(records), dict(splits), skipped)


def _check(count: int, options: Options) -> None:
    if count < 1:
        raise InputError(f"count={count}: give 1 or more")
    if not SMALLEST <= options.size <= LARGEST or options.size % 2:
        raise InputError(f"size={options.size}: give an even number from {SMALLEST} to {LARGEST} pixels")
    if not 0.2 <= options.seconds <= LONGEST or not 1 <= options.fps <= 120:
        raise InputError(
            f"seconds={options.seconds}, fps={options.fps}: give 0.2 to {LONGEST:.0f} seconds and 1 to 120 "
            "frames per second"
        )
    if not 0 <= options.occluders <= 1:
        raise InputError(f"occluders={options.occluders}: give a share from 0 to 1")
    if options.identities < 1:
        raise InputError(f"identities={options.identities}: give 1 or more")


def _claim(directory: Path, facts: dict[str, Any]) -> None:
    """Writes what the data set is made with, or finds that it agrees with what is there."""
    path = directory / "options.json"
    if path.is_file():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise InputError(f"{path}: unreadable; delete it or choose another --output") from None
        other = sorted(key for key in facts if before.get(key) != facts[key])
        if other:
            said = ", ".join(f"{key} was {before.get(key)!r} and is now {facts[key]!r}" for key in other)
            raise InputError(
                f"{directory}: a data set made with other options lies here ({said}); choose another "
                "--output or the same options"
            )
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".json.part")
        part.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise InputError(
            f"{directory}: cannot be written ({error.strerror}); choose a folder with write access"
        ) from None
