"""Pixel decoder: the colour of any point of the driven picture (FSRT, section 3.3).

Shapes: B sets, Q queries, P key points, E expression width, M tokens of the set-latent, D their width,
I = width of a query's input.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from headgen.fsrt.expression import relu_mlp
from headgen.nn import CrossBlock, sinusoidal_encoding

__all__ = ["PixelDecoder"]

Context = list[tuple[Tensor, Tensor]]
"""Keys and values (B, heads, M, head width) of each layer."""


class PixelDecoder(nn.Module):
    """Queries that attend to the set-latent and are rendered one by one; no query sees another.

    Args:
        num_keypoints: P.
        expression_size: E.
        keypoint_octaves: octaves of the key points' encoding.
        pixel_octaves: octaves of the queries' encoding.
        latent_width: D.
        query_hidden: hidden width of the input network.
        layers: cross-attention layers.
        heads: attention heads.
        head_width: width of a head.
        hidden: hidden width of the layers' networks.
        render: hidden widths of the network that makes the colour.
    """

    def __init__(
        self,
        num_keypoints: int,
        expression_size: int,
        keypoint_octaves: int,
        pixel_octaves: int,
        latent_width: int,
        query_hidden: int,
        layers: int,
        heads: int,
        head_width: int,
        hidden: int,
        render: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.keypoint_octaves = keypoint_octaves
        self.pixel_octaves = pixel_octaves
        self.pose_size = (
            num_keypoints * 4 * keypoint_octaves
        )  # of a query's input; then pixel, then expression
        width = self.pose_size + 4 * pixel_octaves + expression_size
        self.query_mlp = relu_mlp((width, query_hidden, width))
        self.blocks = nn.ModuleList(
            CrossBlock(width, latent_width, heads, head_width, hidden) for _ in range(layers)
        )
        self.render = relu_mlp((width, *render, 3))

    def context(self, latents: Tensor) -> Context:
        """Keys and values of every layer for a set-latent (B, M, D): computed once for all queries."""
        return [cast(CrossBlock, block).attention.project(latents) for block in self.blocks]

    def forward(
        self, pixels: Tensor, keypoints: Tensor, expression: Tensor, latents: Tensor | Context
    ) -> Tensor:
        """Colours of any points.

        Args:
            pixels: (B, Q, 2), (x, y) in [-1, 1], as `pixel_grid` makes them.
            keypoints: (B, P, 2) of the driving frame.
            expression: (B, E) of the driving frame.
            latents: set-latent (B, M, D), or its `context`.

        Returns:
            RGB (B, Q, 3); [0, 1] is aimed at, not enforced.
        """
        context = self.context(latents) if isinstance(latents, Tensor) else latents
        queries = pixels.shape[1]
        pose = sinusoidal_encoding(keypoints.flatten(1), self.keypoint_octaves)  # (B, 4 P O)
        place = sinusoidal_encoding(pixels, self.pixel_octaves)  # (B, Q, 4 O)
        x = torch.cat(
            [
                pose[:, None].expand(-1, queries, -1),
                place,
                expression.float()[:, None].expand(-1, queries, -1),
            ],
            dim=-1,
        )  # (B, Q, I)
        x = self.query_mlp(x.to(next(self.parameters()).dtype))
        for block, (keys, values) in zip(self.blocks, context, strict=True):
            x = block(x, keys, values)
        return self.render(x)
