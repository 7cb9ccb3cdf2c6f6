"""The optimiser of our own recipes, and how its rate changes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

__all__ = ["adamw"]


def adamw(
    parameters: Iterable[nn.Parameter], rate: float, warmup: int, total: int, momentum: float = 0.98
) -> dict[str, Any]:
    """AdamW with a linear warm-up within a cosine decay to a twentieth, as Lightning wants to have it.

    Args:
        parameters: of which those are trained that have gradients.
        rate: of learning, at its highest.
        warmup: steps of the warm-up.
        total: steps of the decay.
        momentum: decay of the mean square of gradients, the second beta.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, rate, betas=(0.9, momentum), weight_decay=0.01)

    def factor(step: int) -> float:
        rise = min(1.0, (step + 1) / warmup)
        done = min(1.0, step / total)
        return rise * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
