"""Source encoder: source pictures to one set-latent (FSRT, section 3.2).

Shapes: B sets, S sources a set, H x W pixels, P key points, E expression width, N tokens a source, D width.
"""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from headgen.nn import SelfBlock, pixel_grid, sinusoidal_encoding

__all__ = ["SourceEncoder"]


class SourceEncoder(nn.Module):
    """Convolutions over pictures that know their pose and expression, then attention among all their tokens.

    Args:
        num_keypoints: P.
        expression_size: E.
        keypoint_octaves: octaves of the key points' encoding.
        pixel_octaves: octaves of the pixels' encoding.
        conv_width: channels of the first convolution; every later one doubles them.
        conv_stages: pairs of convolutions, each halving the picture.
        width: D.
        layers: transformer layers.
        heads: attention heads.
        head_width: width of a head.
        hidden: hidden width of the transformer's networks.
    """

    def __init__(
        self,
        num_keypoints: int,
        expression_size: int,
        keypoint_octaves: int,
        pixel_octaves: int,
        conv_width: int,
        conv_stages: int,
        width: int,
        layers: int,
        heads: int,
        head_width: int,
        hidden: int,
    ) -> None:
        super().__init__()
        self.keypoint_octaves = keypoint_octaves
        self.pixel_octaves = pixel_octaves
        inputs = 3 + num_keypoints * 4 * keypoint_octaves + 4 * pixel_octaves + expression_size
        stages = []
        for stage in range(conv_stages):
            middle = conv_width * 2**stage
            stages.append(
                nn.Sequential(
                    nn.Conv2d(inputs, middle, 3, padding=1, bias=False),
                    nn.ReLU(),
                    nn.Conv2d(middle, 2 * middle, 3, stride=2, padding=1, bias=False),
                    nn.ReLU(),
                )
            )
            inputs = 2 * middle
        self.stages = nn.Sequential(*stages)
        self.to_tokens = nn.Conv2d(inputs, width, 1)
        self.blocks = nn.ModuleList(SelfBlock(width, heads, head_width, hidden) for _ in range(layers))

    def forward(self, images: Tensor, keypoints: Tensor, expression: Tensor) -> Tensor:
        """Encodes sources.

        Args:
            images: (B, S, 3, H, W) in [0, 1].
            keypoints: (B, S, P, 2) in [-1, 1] on the picture (beyond it where a crop has cut them off).
            expression: (B, S, E).

        Returns:
            Set-latent (B, S * N, D), source by source, rows first.
        """
        batch, sources, _, height, width = images.shape
        pose = sinusoidal_encoding(keypoints.flatten(2), self.keypoint_octaves)  # (B, S, 4 P O)
        place = sinusoidal_encoding(pixel_grid(height, width, images.device), self.pixel_octaves)
        x = torch.cat(
            [
                rearrange(images, "b s c h w -> (b s) c h w"),
                repeat(pose.to(images.dtype), "b s d -> (b s) d h w", h=height, w=width),
                repeat(place.to(images.dtype), "h w d -> n d h w", n=batch * sources),
                repeat(expression.to(images.dtype), "b s d -> (b s) d h w", h=height, w=width),
            ],
            dim=1,
        )
        tokens = rearrange(self.to_tokens(self.stages(x)), "(b s) d h w -> b (s h w) d", b=batch)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens
