"""Rotary positions on several axes: attention then sees only how far apart two tokens are.

Su et al., RoFormer, 2021, section 3.2.2; each axis has a share of the head's width, as in video transformers.

Shapes: N tokens, A axes, H heads, K width of a head, turned in K / 2 pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["RotaryAxis", "rotary_turns", "rotate"]


@dataclass(frozen=True)
class RotaryAxis:
    """One axis: how many pairs turn with it, at waves spaced evenly in octaves.

    Attributes:
        pairs: pairs of the head's width that turn with this axis.
        shortest: shortest wave, in units of the position.
        longest: longest wave; distances up to half of it are told apart without doubt.
    """

    pairs: int
    shortest: float
    longest: float

    def speeds(self) -> Tensor:
        """Radians per unit of the position: (pairs,) float64, the fastest first."""
        octaves = torch.linspace(0, 1, self.pairs, dtype=torch.float64)
        return 2 * math.pi / self.shortest * (self.shortest / self.longest) ** octaves


def rotary_turns(positions: Tensor, axes: Sequence[RotaryAxis]) -> Tensor:
    """How far each pair of a token is turned.

    Angles are worked out in float64: after an hour of frames, float32 would blur the short waves.

    Args:
        positions: (N, A) positions.
        axes: A axes, whose pairs add up to K / 2.

    Returns:
        (N, K / 2) complex64 numbers of length one.
    """
    angles = torch.cat(
        [positions[:, a, None].double() * axis.speeds().to(positions.device) for a, axis in enumerate(axes)],
        dim=-1,
    )
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turns queries or keys (B, N, H, K) by (N, K / 2) turns; neighbouring channels are a pair.

    One complex product: on processors twice as fast as sines and cosines multiplied apart.
    """
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))  # (B, N, H, K / 2)
    return torch.view_as_real(pairs * turns[:, None]).flatten(-2).to(x.dtype)
