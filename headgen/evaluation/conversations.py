"""Speakers with their true listeners, as data sets lay them out on disk.

- ``pairs``: ``NAME_speaker.mp4`` and ``NAME_listener.mp4``, the sound in the speaker's or in ``NAME.wav``;
  also what `headgen synth conversations` makes, whose events are known.
- ``vico``: the ViCo data set (Zhou et al. 2022): a table (.csv) with a column ``uuid``, the videos without
  sound as ``videos/UUID.speaker.mp4`` and ``videos/UUID.listener.mp4`` (or in a folder of ``videos``), the
  sound as ``audios/UUID.wav``. Columns ``attitude`` and ``data_split`` are used where they are.
- ``realtalk``: RealTalk (Geng et al. 2023) consists of whole interviews of two people. Papers cut it to pairs
  of face videos, which are expected as ``speaker/NAME.mp4`` with sound and ``listener/NAME.mp4``.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headgen.errors import InputError
from headgen.evaluation.outputs import ENDINGS
from headgen.media import VideoReader, VideoWriter, probe
from headgen.synth.conversation.events import Event

__all__ = ["ATTITUDE_WORDS", "Conversation", "Layout", "read_conversations", "with_sound"]

Layout = Literal["pairs", "vico", "realtalk"]
ATTITUDE_WORDS = {"positive": "warm", "negative": "sceptical"}
"""ViCo's attitudes by headgen's names; others have the same."""


@dataclass(frozen=True)
class Conversation:
    """A speaker and the true listener.

    Attributes:
        name: of the conversation.
        speaker: video.
        listener: video.
        sound: of the speaker, where the video has none.
        attitude: of the listener, by headgen's name; None where it is not known.
        events: what the true listener does, where it is listed.
    """

    name: str
    speaker: Path
    listener: Path
    sound: Path | None = None
    attitude: str | None = None
    events: tuple[Event, ...] | None = None


def read_conversations(folder: Path, layout: Layout, split: str | None = None) -> list[Conversation]:
    """The conversations of a folder, by name.

    Args:
        folder: of the data set.
        layout: how it lies there.
        split: those of this split only, where the layout knows splits.

    Raises:
        InputError: the folder holds none of that layout, or a file is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the folder of the data set")
    found = {"pairs": _pairs, "vico": _vico, "realtalk": _realtalk}[layout](folder, split)
    if not found:
        expected = {
            "pairs": "NAME_speaker.mp4 and NAME_listener.mp4",
            "vico": "a .csv file with a column uuid that names videos/UUID.speaker.mp4",
            "realtalk": "speaker/NAME.mp4 and listener/NAME.mp4",
        }[layout]
        of_split = "" if split is None else f" of split {split!r}"
        raise InputError(
            f"{folder}: no conversations{of_split} in the layout {layout!r}; expected {expected}"
        )
    return sorted(found, key=lambda c: c.name)


def _pairs(folder: Path, split: str | None) -> list[Conversation]:
    place = folder / "clips" if (folder / "clips").is_dir() else folder
    found = []
    for listener in sorted(
        p for p in place.iterdir() if p.stem.endswith("_listener") and p.suffix in ENDINGS
    ):
        name = listener.stem.removesuffix("_listener")
        facts = place / f"{name}.json"
        try:
            told = json.loads(facts.read_text(encoding="utf-8")) if facts.is_file() else {}
            events = None
            if "events" in told:
                events = tuple(Event(**e) for e in told["events"] if e["who"] == "listener")
            attitude = told.get("attitude") or None
            here = told.get("split")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{facts}: does not tell of a conversation as `headgen synth conversations` does; remove it"
            ) from error
        if split is not None and here != split:
            continue
        sound = place / f"{name}.wav"
        found.append(
            Conversation(
                name, _beside(place, f"{name}_speaker"), listener, sound if sound.is_file() else None,
                attitude, events,
            )
        )  # fmt: skip
    return found


def _vico(folder: Path, split: str | None) -> list[Conversation]:
    found = {}
    for table in sorted(folder.glob("*.csv")):
        with table.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                if "uuid" not in row or (split is not None and row.get("data_split", table.stem) != split):
                    continue
                name = row["uuid"]
                if name is None or Path(name).name != name:  # files are read and written by it
                    raise InputError(f"{table}: the uuid {name!r} is no name of a file; correct the table")
                sound = folder / "audios" / f"{name}.wav"
                attitude = row.get("attitude")
                found[name] = Conversation(
                    name, _below(folder / "videos", f"{name}.speaker"),
                    _below(folder / "videos", f"{name}.listener"), sound if sound.is_file() else None,
                    ATTITUDE_WORDS.get(attitude, attitude) if attitude else None,
                )  # fmt: skip
    return list(found.values())


def _realtalk(folder: Path, split: str | None) -> list[Conversation]:
    place = folder / split if split is not None else folder
    if not (place / "listener").is_dir():
        return []
    listeners = sorted(p for p in (place / "listener").iterdir() if p.suffix in ENDINGS)
    return [Conversation(p.stem, _beside(place / "speaker", p.stem), p) for p in listeners]


def _beside(folder: Path, name: str) -> Path:
    for ending in ENDINGS:
        if (folder / f"{name}{ending}").is_file():
            return folder / f"{name}{ending}"
    raise InputError(f"{folder / name}.mp4: no such file; a listener's speaker is missing")


def _below(folder: Path, name: str) -> Path:
    for place in [folder, *sorted(p for p in folder.glob("*") if p.is_dir())]:
        if (place / f"{name}.mp4").is_file():
            return place / f"{name}.mp4"
    raise InputError(f"{folder / name}.mp4: no such file; a video that the table names is missing")


def with_sound(talk: Conversation, folder: Path) -> Path:
    """The speaker's video with its sound: itself, or one that is written into a folder."""
    if talk.sound is None or probe(talk.speaker).has_audio:
        return talk.speaker
    path = folder / f"{talk.name}.mp4"
    with VideoReader(talk.speaker) as reader:
        base = reader.info.time_base
        with VideoWriter(path, reader.info.fps, time_base=base, audio_from=talk.sound, crf=1) as writer:
            for frame in reader:
                writer.write(frame.image, frame.time)
    return path
