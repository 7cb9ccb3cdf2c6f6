"""Finding what a system made: naming conventions of reenactment and listener programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from headgen.errors import InputError

__all__ = ["LISTEN_NAMINGS", "REENACT_NAMINGS", "find_outputs", "named_folders"]

ENDINGS = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v")
"""In the order in which they are preferred."""

REENACT_NAMINGS = {
    "headgen": "{source}_{driving}",
    "liveportrait": "{source}--{driving}",
    "fomm": "{driving}-{source}",
    "sadtalker": "{source}##{driving}",
    "folders": "{source}/{driving}",
    "driving": "{driving}",
    "self": "{driving}_self",
}
"""Conventions for reenactments by name; {source} and {driving} stand for the files' names without endings."""

LISTEN_NAMINGS = {
    "headgen": "{clip}",
    "vico": "{clip}.listener",
    "pairs": "{clip}_listener",
    "folders": "{clip}/listener",
    "speaker": "{speaker}",
}
"""Conventions for listeners by name; {clip} stands for the conversation, {speaker} for the speaker's file."""


def named_folders(systems: Sequence[str], taken: Mapping[str, str]) -> dict[str, Path]:
    """Folders of other systems by name, from ``NAME=FOLDER`` words.

    Args:
        systems: the words.
        taken: names that are not free.

    Raises:
        InputError: no such form, a name that is taken, or no such folder.
    """
    found: dict[str, Path] = {}
    for word in systems:
        name, equals, folder = word.partition("=")
        if not equals or not name or not folder:
            raise InputError(f"system {word!r}: give it as NAME=FOLDER, such as liveportrait=out/lp")
        if name in taken or name in found:
            raise InputError(f"system {word!r}: the name {name!r} is taken; choose another")
        if not Path(folder).is_dir():
            raise InputError(f"{folder}: no such folder; give the one with the videos of {name}")
        found[name] = Path(folder)
    return found


def find_outputs(
    folder: Path, jobs: Sequence[Mapping[str, str]], naming: str, conventions: Mapping[str, str]
) -> list[Path]:
    """The video that a system made for each job.

    Args:
        folder: where they lie.
        jobs: what the placeholders stand for, job by job.
        naming: name of a convention, a pattern of one's own such as ``"{driving}__{source}"``, or ``auto``:
            the convention by which most videos are found.
        conventions: the known ones by name.

    Returns:
        one file for each job, in their order.

    Raises:
        InputError: a pattern with another placeholder, or a video is missing.
    """
    patterns = [*conventions.values()] if naming == "auto" else [conventions.get(naming, naming)]
    best: list[Path | None] = []
    for pattern in patterns:
        try:
            found = [_existing(folder, pattern.format_map(job)) for job in jobs]
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            known = ", ".join("{" + name + "}" for name in jobs[0])
            raise InputError(
                f"naming {naming!r} is no pattern; use {known}, or one of {', '.join(conventions)}"
            ) from error
        if not best or sum(map(bool, found)) > sum(map(bool, best)):
            best, pattern_used = found, pattern
    missing = [job for job, path in zip(jobs, best, strict=True) if path is None]
    if missing:
        wanted = pattern_used.format_map(missing[0])
        raise InputError(
            f"{folder}: {len(missing)} of {len(jobs)} videos are missing, the first is {wanted}.mp4; add "
            f"them, or say how they are named with --naming ({', '.join(conventions)}, or a pattern)"
        )
    return [path for path in best if path is not None]


def _existing(folder: Path, name: str) -> Path | None:
    for ending in ENDINGS:
        path = folder / f"{name}{ending}"
        if path.is_file():
            return path
    return None
