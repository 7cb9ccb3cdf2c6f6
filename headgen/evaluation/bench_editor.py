"""How long a slider of the portrait editor takes to become a picture, on this machine."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headgen.portrait_editor import RANGES, PortraitEdit, PortraitEditor
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = ["bench"]

_QUALITY = 85


def bench(
    portrait: Path,
    *,
    rounds: int = 3,
    steps: int = 8,
    max_size: int = 1280,
    model: str = "fsrt-small",
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Moves every slider through its range and times each position, from the value to the file of a picture.

    Our design: the processor's own time is reported as well, since a busy machine makes every clock slow.

    Args:
        portrait: photograph of a person.
        rounds: times that every slider is moved.
        steps: positions that a slider passes on its way through its range.
        max_size: longest side of the picture in pixels.
        model: name of the model.
        progress: told of each slider.

    Returns:
        Size of the picture, seconds to open it, and median and 95th percentile of the milliseconds from a
        value to a JPEG file, over all sliders and for each; and the median of processor time.
    """
    editor = PortraitEditor(model)
    begun = time.perf_counter()
    opened = editor.open(Path(portrait), max_size)
    opening = time.perf_counter() - begun
    clock: dict[str, list[float]] = {name: [] for name in RANGES}
    worked: list[float] = []
    opened.render(PortraitEdit(yaw=1.0))  # the first picture waits for memory and code
    for turn in range(rounds):
        for number, (name, limits) in enumerate(RANGES.items(), turn * len(RANGES) + 1):
            for value in np.linspace(limits.low, limits.high, steps):
                begun, busy = time.perf_counter(), time.process_time()
                picture = opened.render(replace(PortraitEdit(), **{name: float(value)}))
                Image.fromarray(picture).save(io.BytesIO(), "JPEG", quality=_QUALITY)
                clock[name].append(time.perf_counter() - begun)
                worked.append(time.process_time() - busy)
            if progress is not None:
                progress(ProgressEvent("measure", number, rounds * len(RANGES), "sliders"))
    height, width = opened.portrait.image.shape[:2]
    together = np.concatenate(list(clock.values()))
    return {
        "picture": f"{width} x {height}",
        "open_seconds": round(opening, 3),
        "median_ms": _milliseconds(together, 50),
        "p95_ms": _milliseconds(together, 95),
        "median_processor_ms": _milliseconds(np.array(worked), 50),
        "sliders": {
            name: {"median_ms": _milliseconds(np.array(v), 50), "p95_ms": _milliseconds(np.array(v), 95)}
            for name, v in clock.items()
        },
    }


def _milliseconds(seconds: np.ndarray, percentile: float) -> float:
    return round(1000 * float(np.percentile(seconds, percentile)), 1)
