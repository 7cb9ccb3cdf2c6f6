"""The reenactment engines by name of their model: what `headgen.reenact` drives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headgen.faces.retarget import Retargeter, RetargetOptions
from headgen.fsrt.full_engine import EnginePrecision
from headgen.fsrt.small import FSRTSmall
from headgen.fsrt.small_engine import SmallEngine
from headgen.nn.precision import resolve_device, resolve_dtype

if TYPE_CHECKING:
    from headgen.reenact import DrivingFrame, Engine, Portrait


class SmallReenactment:
    """fsrt-small: the driver's landmarks, retargeted in 3D, tell the network where everything goes.

    Args:
        engine: the network with its photograph.
        options: what is transferred and how strongly.
    """

    looks_at_pixels = False

    def __init__(self, engine: SmallEngine, options: RetargetOptions) -> None:
        self.engine, self.options = engine, options

    def prepare(self, portraits: Sequence[Portrait], reference: DrivingFrame) -> None:
        """Encodes the sources and fixes the frame from which motion counts."""
        self.engine.prepare([p.image for p in portraits], [p.landmarks for p in portraits])
        assert reference.landmarks is not None
        self._retarget = Retargeter(portraits[0].landmarks, reference.landmarks, self.options)

    def render(self, frames: Sequence[DrivingFrame]) -> list[NDArray[np.uint8]]:
        """Crops of the source with the frames' motion; at rest where there is no motion yet."""
        still = self.engine.landmarks
        return self.engine.render(
            [still if f.landmarks is None else self._retarget(f.landmarks) for f in frames]
        )

    def place(self, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The whole photograph with a rendered crop in its place."""
        return self.engine.place(crop)


def load_engine(
    folder: Path, options: RetargetOptions, precision: EnginePrecision = "auto", device: str = "auto"
) -> Engine:
    """Loads a model's weights and makes its engine.

    Args:
        folder: where the weights lie (`save_pretrained`); its config names the kind of model.
        options: what is transferred and how strongly.
        precision: `auto`, `fp32`, `bf16`, or `int8` (the full-size FSRT only).
        device: `auto` or a name that torch knows.

    Raises:
        InputError: an option that this model cannot follow.
    """
    if FSRTSmall.load_config(folder).get("_class_name") == "FSRTSmall":
        where = resolve_device(device)
        dtype = resolve_dtype(precision, where)
        return SmallReenactment(SmallEngine(FSRTSmall.from_pretrained(folder), where, dtype), options)
    from headgen.fsrt.full_reenactment import FullReenactment

    return FullReenactment.load(folder, options, precision, device)


__all__ = ["SmallReenactment", "load_engine"]
