"""What jobs do, in the worker's process: call the library, then make what the screen shows beside the result.

The library's verbs get the same options as on the command line, so they make the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headgen.progress import ProgressCallback, ProgressEvent

__all__ = ["SHEET", "TASKS", "THUMBNAIL", "listen", "reenact"]

TASKS = {
    "reenact": "headgen_studio.tasks:reenact",
    "listen": "headgen_studio.tasks:listen",
    "edit_portrait": "headgen_studio.editing:edit_portrait",
    "batch": "headgen_studio.batches:run",
}
"""What a command's job calls: ``function(folder, inputs, options, progress)``, which writes into the folder
and returns the names of its main results there."""
SHEET, THUMBNAIL = "contact-sheet.png", "thumbnail.jpg"
CELL = 192  # side of a picture in the contact sheet, pixels

Inputs = dict[str, list[Path]]


def reenact(folder: Path, inputs: Inputs, options: dict[str, Any], progress: ProgressCallback) -> list[str]:
    """See `headgen.reenact`."""
    import headgen
    from headgen.faces.driving import MOTION_SUFFIX
    from headgen.media.image import read_image

    sources, driving = inputs["source"], inputs["driving"][0]
    done = headgen.reenact(sources, driving, folder / "reenact.mp4", **options, progress=progress)
    drivers = [] if driving.suffix == MOTION_SUFFIX else [driving]
    face = options.get("face", 1)
    shown = face if options.get("frame", "full") == "full" and not options.get("compare") else 1
    rows = [read_image(sources[0]), *drivers, done.output]
    _summary(folder, rows, progress, [face, *(1 for _ in drivers), shown])
    return [done.output.name]


def listen(folder: Path, inputs: Inputs, options: dict[str, Any], progress: ProgressCallback) -> list[str]:
    """See `headgen.listen`."""
    import headgen
    from headgen.listener.speaker import speaker_info

    speaker, portrait = inputs["speaker"][0], inputs["portrait"][0]
    done = headgen.listen(speaker, portrait, folder / "listen.mp4", **options, progress=progress)
    speakers = [speaker] if speaker_info(speaker).has_video else []
    alone = options.get("frame", "full") == "full" and options.get("layout", "single") == "single"
    face = options.get("face", 1) if alone else 1
    faces = [*(1 for _ in speakers), *(face for _ in done.outputs)]
    _summary(folder, [*speakers, *done.outputs], progress, faces)
    return [path.name for path in done.outputs]


def _summary(folder: Path, rows: list[Any], progress: ProgressCallback, faces: list[int]) -> None:
    """The contact sheet, and a thumbnail for the history: the middle of the last row."""
    from headgen.faces.contact_sheet import GAP, contact_sheet
    from headgen.media.image import write_image

    progress(ProgressEvent("make the contact sheet", 0, 1, "sheets"))
    sheet = contact_sheet(rows, faces=faces, cell=CELL)
    write_image(folder / SHEET, sheet)
    middle = 4 * (CELL + GAP)
    write_image(folder / THUMBNAIL, sheet[-CELL:, middle : middle + CELL])
