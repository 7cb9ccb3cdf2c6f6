"""A patch discriminator that also sees where the key points are.

Shapes: B batch, K key points, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["MultiScaleDiscriminator", "PatchDiscriminator", "keypoint_gaussians"]


def keypoint_gaussians(keypoints: Tensor, height: int, width: int, variance: float = 0.01) -> Tensor:
    """One Gaussian bump per key point.

    Args:
        keypoints: (B, K, 2) as (x, y), the picture spans [-1, 1]; a point outside leaves at most its tail.
        height: of the maps, pixels.
        width: of the maps, pixels.
        variance: in the units of the key points.

    Returns:
        (B, K, height, width), 1 at the key point.
    """
    x = (torch.arange(width, device=keypoints.device, dtype=keypoints.dtype) + 0.5) * 2 / width - 1
    y = (torch.arange(height, device=keypoints.device, dtype=keypoints.dtype) + 0.5) * 2 / height - 1
    bump_x = torch.exp(-((x - keypoints[..., :1]) ** 2) / (2 * variance))  # (B, K, W)
    bump_y = torch.exp(-((y - keypoints[..., 1:]) ** 2) / (2 * variance))  # (B, K, H)
    return bump_y[..., :, None] * bump_x[..., None, :]


class PatchDiscriminator(nn.Module):
    """Strided convolutions with instance and spectral normalisation, and a score per patch.

    Args:
        keypoints: how many key points it sees.
        width: channels of the first block; doubled by each further one.
        max_width: upper bound of the channels.
        blocks: each halves the resolution.
    """

    def __init__(self, keypoints: int = 10, width: int = 64, max_width: int = 512, blocks: int = 4) -> None:
        super().__init__()
        channels = [3 + keypoints, *(min(max_width, width * 2**level) for level in range(blocks))]
        self.convs = nn.ModuleList(
            spectral_norm(nn.Conv2d(channels[level], channels[level + 1], 4, stride=2, padding=1))
            for level in range(blocks)
        )
        self.norms = nn.ModuleList(
            nn.InstanceNorm2d(channels[level + 1], affine=True) if level else nn.Identity()
            for level in range(blocks)
        )
        self.score = spectral_norm(nn.Conv2d(channels[-1], 1, 1))

    def forward(self, image: Tensor, keypoints: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores and feature maps.

        Args:
            image: (B, 3, H, W) in [0, 1].
            keypoints: (B, K, 2) in [-1, 1].

        Returns:
            Scores (B, 1, h, w), near 1 for patches taken for real, and one feature map per block.
        """
        bumps = keypoint_gaussians(keypoints, image.shape[-2], image.shape[-1])
        x = torch.cat([image * 2 - 1, bumps.to(image.dtype)], 1)
        maps = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), 0.2)
            maps.append(x)
        return self.score(x), maps


class MultiScaleDiscriminator(nn.Module):
    """A patch discriminator per scale of the picture.

    Args:
        scales: factors by which the picture is shrunk. One scale gives the paper's four feature maps.
        keypoints: how many key points it sees.
        width: channels of the first block.
        max_width: upper bound of the channels.
        blocks: of each discriminator.
    """

    def __init__(
        self,
        scales: Sequence[int] = (1,),
        keypoints: int = 10,
        width: int = 64,
        max_width: int = 512,
        blocks: int = 4,
    ) -> None:
        super().__init__()
        self.scales = tuple(scales)
        self.parts = nn.ModuleList(
            PatchDiscriminator(keypoints, width, max_width, blocks) for _ in self.scales
        )

    def forward(self, image: Tensor, keypoints: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Scores and feature maps of an image (B, 3, H, W) with key points (B, K, 2), one entry per scale."""
        pairs = [
            part(F.avg_pool2d(image, scale) if scale > 1 else image, keypoints)
            for scale, part in zip(self.scales, self.parts, strict=True)
        ]
        return [scores for scores, _ in pairs], [maps for _, maps in pairs]
