"""Positions as sines and cosines, and the grid of pixel positions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["pixel_grid", "sinusoidal_encoding"]


def sinusoidal_encoding(positions: Tensor, octaves: int, first_octave: int = -1) -> Tensor:
    """Sines and cosines of `positions * 2^o * pi` for each octave o.

    Always computed in float32, whatever the autocast mode: at high octaves a half-precision angle is noise.

    Args:
        positions: (..., D) coordinates of about [-1, 1].
        octaves: number of octaves O.
        first_octave: the lowest o; -1 makes the longest wave four units long.

    Returns:
        (..., 2 * D * O) float32: all sines (dimension by dimension, octaves inner), then all cosines.
    """
    with torch.autocast(positions.device.type, enabled=False):
        frequencies = (
            2.0 ** torch.arange(first_octave, first_octave + octaves, device=positions.device) * math.pi
        )
        angles = (positions.float().unsqueeze(-1) * frequencies).flatten(-2)  # (..., D * O)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


def pixel_grid(height: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """Centres of the pixels of a picture, in [-1, 1].

    Returns:
        (height, width, 2) float32, (x, y): the first pixel's centre is half a pixel inside of -1.
    """

    def axis(size: int) -> Tensor:
        return (torch.arange(size, dtype=torch.float32, device=device) + 0.5 - size / 2) / (size / 2)

    y, x = torch.meshgrid(axis(height), axis(width), indexing="ij")
    return torch.stack([x, y], dim=-1)
