"""fsrt-small at a size that takes milliseconds."""

from __future__ import annotations

import torch

from headgen.fsrt.small import FSRTSmall


def tiny_network() -> FSRTSmall:
    """As it starts training, the same each time."""
    torch.manual_seed(0)
    return FSRTSmall(
        width=24, heads=2, encoder_layers=1, decoder_layers=1, eighth=8, quarter=8, half=8, full=4
    )
