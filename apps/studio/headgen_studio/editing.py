"""The portrait editor's work, in the process for previews: opened photographs stay on the table there."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from headgen.portrait_editor import OpenPortrait, PortraitEdit, PortraitEditor
from headgen.progress import ProgressCallback
from headgen_studio.uploads import Limits, check_picture

__all__ = ["edit_portrait", "preview"]

PREVIEW_SIZE = 720
"""Longest side of a preview in pixels: as large as the page shows it."""
_OPEN = 6
"""Photographs that stay open, the last used."""
_QUALITY = 88

_editor: PortraitEditor | None = None
_table: OrderedDict[tuple[str, int, int], OpenPortrait] = OrderedDict()


def preview(
    portrait: Path,
    face: int,
    values: Mapping[str, float],
    limits: Limits = Limits(),  # noqa: B008 - it is frozen
) -> bytes:
    """A JPEG of the edited portrait, as quick as it can be had.

    Args:
        portrait: the photograph.
        face: which one, 1 is the largest.
        values: of `PortraitEdit`.
        limits: of uploads: nobody has looked at the photograph before.
    """
    global _editor
    edit = PortraitEdit(**values)
    key = (str(portrait), portrait.stat().st_mtime_ns, face)
    if key not in _table:
        check_picture(portrait, limits)
        _editor = _editor or PortraitEditor()
        _table[key] = _editor.open(portrait, PREVIEW_SIZE, face)
        while len(_table) > _OPEN:
            _table.popitem(last=False)
    _table.move_to_end(key)
    file = io.BytesIO()
    Image.fromarray(_table[key].render(edit)).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def edit_portrait(
    folder: Path,
    inputs: dict[str, list[Path]],
    options: dict[str, Any],
    progress: ProgressCallback | None = None,
) -> list[str]:
    """See `headgen.edit_portrait`; it is done before there is progress to tell."""
    import headgen

    ending = options.pop("ending")
    done = headgen.edit_portrait(inputs["portrait"][0], folder / f"portrait.{ending}", **options)
    return [done.output.name]
