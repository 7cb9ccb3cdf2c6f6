"""Progress and cancellation: callbacks of the library, adapted by the command line, the studio and tests.

A long function takes ``progress: ProgressCallback | None = None`` and calls it after each step::

    if progress is not None:
        progress(ProgressEvent("render", done=index + 1, total=info.frames))

To cancel, the callback raises :class:`Cancelled` (any other exception does as well). The library never
catches it: context managers unwind, partial files are removed, and the exception reaches whoever called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Cancelled", "ProgressCallback", "ProgressEvent"]


@dataclass(frozen=True)
class ProgressEvent:
    """One step of a long piece of work.

    Args:
        stage: what is being done, a short verb or noun ("track", "render"). A new name starts a new bar.
        done: units finished in this stage, counted from the start of the stage.
        total: units of the whole stage, or None while unknown. May be an estimate: `done` can pass it.
        unit: what is counted, in the plural.
    """

    stage: str
    done: int
    total: int | None = None
    unit: str = "frames"


ProgressCallback = Callable[[ProgressEvent], None]


class Cancelled(Exception):  # noqa: N818 - named for what happened; it is not an error
    """Raised by a progress callback to stop the work. Nothing partial is left behind."""
