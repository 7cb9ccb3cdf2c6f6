"""Expression encoder: what the face does, read around each key point (FSRT, section 3.1).

Shapes: B pictures, P key points, F feature channels, h x w their grid, g x f the heat maps' grid, E width.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

__all__ = ["ExpressionEncoder"]

_KERNEL = 7  # unpadded, as the key-point detector's, so that both grids agree


class ExpressionEncoder(nn.Module):
    """Pools features under each heat map and maps them to one vector.

    Args:
        feature_channels: F.
        num_keypoints: P.
        channels_per_keypoint: features that each key point gathers.
        hidden: widths of the hidden layers.
        size: E.
    """

    def __init__(
        self,
        feature_channels: int,
        num_keypoints: int,
        channels_per_keypoint: int,
        hidden: tuple[int, ...],
        size: int,
    ) -> None:
        super().__init__()
        self.num_keypoints = num_keypoints
        self.local = nn.Conv2d(feature_channels, num_keypoints * channels_per_keypoint, _KERNEL)
        self.mlp = relu_mlp((num_keypoints * channels_per_keypoint, *hidden, size))

    def forward(self, features: Tensor, heatmaps: Tensor) -> Tensor:
        """Maps features (B, F, h, w) and heat maps (B, P, g, f) of a `Detection` to (B, E)."""
        local = rearrange(self.local(features), "b (p c) g f -> b p c (g f)", p=self.num_keypoints)
        weights = rearrange(heatmaps, "b p g f -> b p (g f) 1")
        gathered = torch.matmul(local, weights)  # (B, P, C, 1)
        return self.mlp(gathered.flatten(1))


def relu_mlp(widths: tuple[int, ...]) -> nn.Sequential:
    """Linear layers of the given widths with ReLU between them (none after the last)."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
