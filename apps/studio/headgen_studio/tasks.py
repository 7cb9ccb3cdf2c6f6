"""What jobs do, in the worker's process: call the library, then make what the screen shows beside the result.

The library's verbs get the same options as on the command line, so they make the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headgen.progress import ProgressCallback

__all__ = ["TASKS", "listen", "reenact"]

TASKS = {
    "reenact": "headgen_studio.tasks:reenact",
    "listen": "headgen_studio.tasks:listen",
}
"""What a command's job calls: ``function(folder, inputs, options, progress)``, which writes into the folder
and returns the names of its main results there."""

Inputs = dict[str, list[Path]]


def reenact(folder: Path, inputs: Inputs, options: dict[str, Any], progress: ProgressCallback) -> list[str]:
    """See `headgen.reenact`."""
    import headgen

    done = headgen.reenact(
        inputs["source"], inputs["driving"][0], folder / "reenact.mp4", **options, progress=progress
    )
    return [done.output.name]


def listen(folder: Path, inputs: Inputs, options: dict[str, Any], progress: ProgressCallback) -> list[str]:
    """See `headgen.listen`."""
    import headgen

    done = headgen.listen(
        inputs["speaker"][0], inputs["portrait"][0], folder / "listen.mp4", **options, progress=progress
    )
    return [path.name for path in done.outputs]
