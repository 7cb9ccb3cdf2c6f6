"""Key-point detector: an hourglass on a quarter-size picture, heat maps, and their centres of mass.

The detector of the first-order motion model (Siarohin et al., NeurIPS 2019), as FSRT (arXiv 2404.09736,
section 3.1) uses it: unsupervised key points, trained beforehand and then frozen.

Shapes: B pictures, P key points, F feature channels, h x w the quarter-size grid, g x f the heat maps' grid.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Detection", "KeypointDetector"]

_KERNEL = 7  # side of the unpadded convolution that makes the heat maps


class Detection(NamedTuple):
    """What the detector says of a batch of pictures."""

    keypoints: Tensor
    """(B, P, 2), (x, y) in [-1, 1]."""
    heatmaps: Tensor
    """(B, P, g, f), each sums to one."""
    features: Tensor
    """(B, F, h, w), which the expression encoder reads too."""


class AntiAliasDownsample(nn.Module):
    """Gaussian blur and every `factor`-th pixel, starting with the first.

    The kernel's sigma is (factor - 1) / 2, its side 4 sigma rounded up to the next odd number.
    """

    kernel: Tensor

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        sigma = (factor - 1) / 2
        side = 2 * round(4 * sigma) + 1
        ramp = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
        profile = torch.exp(-(ramp**2) / (2 * sigma**2))
        kernel = profile[:, None] * profile[None]
        self.register_buffer("kernel", (kernel / kernel.sum()).expand(channels, 1, side, side).contiguous())

    def forward(self, images: Tensor) -> Tensor:
        """Maps (B, 3, H, W) to (B, 3, H / factor, W / factor); zeros stand beyond the border."""
        pad = self.kernel.shape[-1] // 2
        return F.conv2d(images, self.kernel, padding=pad, stride=self.factor, groups=self.kernel.shape[0])


class _ConvBlock(nn.Module):
    """3x3 convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class Hourglass(nn.Module):
    """Halves the picture `blocks` times and doubles it again, joined by each size on the way down.

    Args:
        inputs: channels of the input.
        expansion: channels that the widths are multiples of.
        blocks: halvings.
        max_width: the widest layer.
    """

    def __init__(self, inputs: int, expansion: int, blocks: int, max_width: int) -> None:
        super().__init__()
        widths = [inputs, *(min(max_width, expansion * 2 ** (i + 1)) for i in range(blocks))]
        self.down = nn.ModuleList(_ConvBlock(a, b) for a, b in zip(widths, widths[1:], strict=False))
        self.up = nn.ModuleList(
            _ConvBlock(
                (1 if i == blocks - 1 else 2) * widths[i + 1],
                min(max_width, expansion * 2**i),
            )
            for i in reversed(range(blocks))
        )
        self.outputs = expansion + inputs

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, inputs, h, w) to (B, expansion + inputs, h, w)."""
        skips = [x]
        for block in self.down:
            skips.append(F.avg_pool2d(block(skips[-1]), 2))
        y = skips.pop()
        for block in self.up:
            y = torch.cat([block(F.interpolate(y, scale_factor=2.0)), skips.pop()], dim=1)
        return y


class KeypointDetector(nn.Module):
    """Finds P key points.

    Args:
        num_keypoints: P.
        expansion: width unit of the hourglass; F = expansion + 3.
        blocks: halvings of the hourglass.
        max_width: its widest layer.
        temperature: of the softmax over each heat map.
    """

    def __init__(
        self, num_keypoints: int, expansion: int, blocks: int, max_width: int, temperature: float
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.downsample = AntiAliasDownsample(channels=3, factor=4)
        self.hourglass = Hourglass(3, expansion, blocks, max_width)
        self.heatmap = nn.Conv2d(self.hourglass.outputs, num_keypoints, _KERNEL)

    def forward(self, images: Tensor) -> Detection:
        """Finds key points in images (B, 3, H, W) of range [0, 1]; H and W are multiples of 4 * 2^blocks."""
        features = self.hourglass(self.downsample(images))
        logits = self.heatmap(features)  # (B, P, g, f)
        heatmaps = (logits.flatten(2) / self.temperature).softmax(-1).view_as(logits)
        height, width = heatmaps.shape[-2:]
        x = torch.linspace(-1, 1, width, device=images.device, dtype=heatmaps.dtype)
        y = torch.linspace(-1, 1, height, device=images.device, dtype=heatmaps.dtype)
        keypoints = torch.stack([heatmaps.sum(2) @ x, heatmaps.sum(3) @ y], dim=-1)
        return Detection(keypoints, heatmaps, features)
