"""The moving average of a model's weights, which is what is exported."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["move_average"]


@torch.no_grad()
def move_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Moves averaged weights towards the trained ones; faster in the beginning.

    Args:
        average: is changed.
        model: of the same parameters.
        decay: share that stays, in the long run.
        step: number of finished steps.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
        slow.lerp_(fast, share)
