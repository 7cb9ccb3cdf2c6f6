"""Blocks that the models share."""

from __future__ import annotations

from headgen.nn.attention import CrossAttention, CrossBlock, SelfAttention, SelfBlock
from headgen.nn.positional import pixel_grid, sinusoidal_encoding

__all__ = [
    "CrossAttention",
    "CrossBlock",
    "SelfAttention",
    "SelfBlock",
    "pixel_grid",
    "sinusoidal_encoding",
]
