"""fsrt-small: a facial scene representation transformer that copies what it can and draws the rest.

After FSRT (Rochow et al., CVPR 2024): a transformer encodes the source once into a set-latent, queries of the
target attend to it.  Our design on top: key points and expression come from the face tracker as dense maps
(`headgen.fsrt.conditioning`); each query predicts a flow into the source, a mask and a colour instead of a
colour alone, because with little data and computing a copied person stays that person while a painted one
blurs; queries lie on a coarse grid and convolutions refine them on the source's own features, warped.

Shapes: B batch, S sources, N = 256 source tokens, Q = 1024 queries (32 x 32), D width, K scalars,
G = 128 grid, H = 256 pixels a side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

FLOW_REACH = 0.25
"""Largest learnt change of the prior flow, in crop units (the crop spans 2)."""


def octaves(x: Tensor, count: int) -> Tensor:
    """Sines and cosines of x * 2^o * pi/2 for o = 0..count-1: (..., C) -> (..., 2 * C * count)."""
    scale = torch.pi / 2 * 2.0 ** torch.arange(count, device=x.device, dtype=x.dtype)
    angles = rearrange(x.unsqueeze(-1) * scale, "... c o -> ... (c o)")
    return torch.cat([angles.sin(), angles.cos()], -1)


def pixel_grid(size: int, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Pixel centres of a size x size grid in [-1, 1]: (size, size, 2), x first."""
    line = (torch.arange(size, device=device, dtype=dtype) + 0.5) * (2 / size) - 1
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Samples image (B, C, h, w) at pixel + flow (B, 2, h', w') in crop units; replicates the border."""
    return _sample(image, pixel_grid(flow.shape[-1], flow.device).permute(2, 0, 1) + flow)


def _sample(image: Tensor, place: Tensor) -> Tensor:
    """Samples image (B, C, h, w) at the places (B, 2, h', w') in [-1, 1]; replicates the border."""
    grid = rearrange(place.float(), "b c h w -> b h w c")
    sampled = F.grid_sample(image.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.to(image.dtype)


def enlarge(x: Tensor, factor: int = 2) -> Tensor:
    """Bilinear enlargement of (B, C, h, w)."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class Attention(nn.Module):
    """Multi-head attention of queries (B, Q, D) to a context (B, N, D); fused."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width)

    def keys_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, N, D / heads) of a context, to be computed once per source."""
        k, v = rearrange(self.key_value(context), "b n (two h d) -> two b h n d", two=2, h=self.heads)
        return k, v

    def forward(self, x: Tensor, keys_values: tuple[Tensor, Tensor]) -> Tensor:
        """Queries (B, Q, D) and the context's keys and values -> (B, Q, D)."""
        q = rearrange(self.query(x), "b q (h d) -> b h q d", h=self.heads)
        k, v = keys_values
        if k.shape[0] != q.shape[0]:  # one source, many frames
            k, v = (t.expand(q.shape[0], -1, -1, -1) for t in (k, v))
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(rearrange(y, "b h q d -> b q (h d)"))


class Mlp(nn.Sequential):
    """Two layers with GELU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class EncoderLayer(nn.Module):
    """Pre-norm self-attention over the source tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.mlp = Attention(width, heads), Mlp(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, D) -> (B, N, D)."""
        y = self.norm1(x)
        x = x + self.attention(y, self.attention.keys_values(y))
        return x + self.mlp(self.norm2(x))


class DecoderLayer(nn.Module):
    """Pre-norm cross-attention of the queries to the set-latent, modulated by the scalars."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.mlp = Attention(width, heads), Mlp(width, 2 * width)
        self.modulation = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor, keys_values: tuple[Tensor, Tensor], scalars: Tensor) -> Tensor:
        """Queries (B, Q, D), the sources' keys and values, encoded scalars (B, D) -> (B, Q, D)."""
        scale, shift = self.modulation(scalars).unsqueeze(1).chunk(2, -1)
        x = x + self.attention(self.norm1(x), keys_values)
        return x + self.mlp(self.norm2(x) * (1 + scale) + shift)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, modulated by the scalars in between, added to the input."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.modulation = nn.Linear(width, 2 * channels)
        for zero in self.conv2.parameters():
            nn.init.zeros_(zero)

    def forward(self, x: Tensor, scalars: Tensor) -> Tensor:
        """Features (B, C, h, w) and encoded scalars (B, D) -> (B, C, h, w)."""
        scale, shift = rearrange(self.modulation(scalars), "b (two c) -> two b c 1 1", two=2)
        y = F.relu(self.conv1(F.relu(x))) * (1 + scale) + shift
        return x + self.conv2(y)


@dataclass
class SourceState:
    """What is kept of the sources: computed once, used for every frame."""

    image: Tensor
    """(B, 3, H, H) the picture that the flow leads into, in [0, 1]."""
    quarter: Tensor
    """(B, 64, H/4, H/4) features of that picture."""
    half: Tensor
    """(B, 32, H/2, H/2) features of that picture."""
    keys_values: list[tuple[Tensor, Tensor]]
    """Per decoder layer keys and values of all sources' tokens."""


@dataclass
class SmallOutput:
    """One decoded batch."""

    image: Tensor
    """(B, 3, H, H) the network's own frame, in [0, 1]."""
    flow: Tensor
    """(B, 2, G, G) displacement into the source, in crop units."""
    mask: Tensor
    """(B, 1, H, H) share of the copied picture; the rest is `colour`."""
    colour: Tensor
    """(B, 3, H, H) drawn colours in [0, 1]."""
    warped: Tensor
    """(B, 3, H, H) the source copied through the flow."""


class FSRTSmall(ModelMixin, ConfigMixin):
    """The embedded reenactment model.

    Args:
        width: D, of tokens and queries.
        heads: attention heads.
        encoder_layers: self-attention layers over the source tokens.
        decoder_layers: cross-attention layers of the queries.
        eighth: channels at an eighth of the crop's resolution.
        quarter: channels at a quarter of it.
        half: channels at half of it.
        full: channels at the crop's resolution.
        map_channels: P conditioning maps.
        scalar_count: K expression and pose scalars of one face.
    """

    @register_to_config
    def __init__(
        self,
        width: int = 192,
        heads: int = 6,
        encoder_layers: int = 3,
        decoder_layers: int = 2,
        eighth: int = 96,
        quarter: int = 64,
        half: int = 32,
        full: int = 8,
        map_channels: int = 8,
        scalar_count: int = 20,
    ) -> None:
        super().__init__()
        p = map_channels
        self.stem_half = nn.Conv2d(3 + p, 32, 4, stride=2, padding=1)
        self.stem_quarter = nn.Conv2d(32, 64, 4, stride=2, padding=1)
        self.stem_eighth = nn.Conv2d(64, 128, 4, stride=2, padding=1)
        self.stem_tokens = nn.Conv2d(128, width, 4, stride=2, padding=1)
        encoding = 2 * 3 * 5 + 2 * 2 * 5 + p  # canonical x, y, z; pixel x, y; maps
        self.token_place = nn.Linear(encoding, width)
        self.encoder = nn.ModuleList(EncoderLayer(width, heads) for _ in range(encoder_layers))
        self.latent_norm = nn.LayerNorm(width)
        self.scalars = nn.Sequential(
            nn.Linear(3 * scalar_count, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.query_place = nn.Linear(encoding + 2 + 64, width)
        self.decoder = nn.ModuleList(DecoderLayer(width, heads) for _ in range(decoder_layers))
        self.to_eighth = nn.Linear(width, eighth)
        self.block_eighth = ResidualBlock(eighth, width)
        self.to_quarter = nn.Conv2d(eighth + 64 + p + 2, quarter, 3, padding=1)
        self.block_quarter = ResidualBlock(quarter, width)
        self.quarter_to_half = nn.Conv2d(quarter, half, 3, padding=1)
        self.to_half = nn.Conv2d(32 + p + 2 + 3, half, 3, padding=1)
        self.block_half = ResidualBlock(half, width)
        self.flow_head = nn.Conv2d(half, 2, 3, padding=1)
        self.to_full = nn.Conv2d(half, 4 * full, 3, padding=1)
        self.blend = nn.Conv2d(full + 3, full, 3, padding=1)
        self.head = nn.Conv2d(full, 4, 3, padding=1)
        # In the beginning nothing but the prior moves, and everything is copied.
        nn.init.zeros_(self.flow_head.weight)
        nn.init.zeros_(self.head.weight[0])
        for bias, value in ((self.flow_head.bias, 0.0), (self.head.bias, 2.0)):
            assert bias is not None
            nn.init.constant_(bias[:1] if value else bias, value)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **kwargs: Any) -> FSRTSmall:
        """Reads a folder that `save_pretrained` wrote; see diffusers' `ModelMixin.from_pretrained`."""
        kwargs.setdefault("low_cpu_mem_usage", False)  # True needs accelerate, and saves little at this size
        return super().from_pretrained(folder, **kwargs)

    def _decoder_layers(self) -> list[DecoderLayer]:
        return [layer for layer in self.decoder if isinstance(layer, DecoderLayer)]

    @staticmethod
    def _place(maps: Tensor, grid: int) -> Tensor:
        """Where the cells of a coarse grid lie, on the mean face and in the crop: (B, grid^2, E)."""
        pooled = rearrange(F.adaptive_avg_pool2d(maps, grid), "b c h w -> b (h w) c")
        pixel = rearrange(pixel_grid(grid, maps.device, maps.dtype), "h w c -> 1 (h w) c")
        pixel = octaves(pixel, 5).expand(maps.shape[0], -1, -1)
        return torch.cat([octaves(pooled[..., :3], 5), pixel, pooled], -1)

    def encode(self, images: Tensor, maps: Tensor, primary: int = 0) -> SourceState:
        """Encodes the sources.

        Args:
            images: (B, S, 3, H, H) in [0, 1].
            maps: (B, S, P, G, G) their conditioning maps.
            primary: which source the flow leads into.
        """
        s = images.shape[1]
        x = rearrange(images, "b s c h w -> (b s) c h w") * 2 - 1
        m = rearrange(maps, "b s c h w -> (b s) c h w")
        half = self.stem_half(torch.cat([x, enlarge(m).to(x.dtype)], 1))
        quarter = self.stem_quarter(F.relu(half))
        eighth = self.stem_eighth(F.relu(quarter))
        tokens = rearrange(self.stem_tokens(F.relu(eighth)), "b c h w -> b (h w) c")
        tokens = tokens + self.token_place(self._place(m, math.isqrt(tokens.shape[1])))
        for layer in self.encoder:
            tokens = layer(tokens)
        latent = rearrange(self.latent_norm(tokens), "(b s) n d -> b (s n) d", s=s)

        def one(features: Tensor) -> Tensor:
            return rearrange(features, "(b s) c h w -> b s c h w", s=s)[:, primary]

        return SourceState(
            images[:, primary],
            one(quarter),
            one(half),
            [layer.attention.keys_values(latent) for layer in self._decoder_layers()],
        )

    def forward(
        self,
        source: SourceState,
        maps: Tensor,
        prior: Tensor,
        scalars: Tensor,
        window: Tensor,
        region: tuple[int, int, int] | None = None,
    ) -> SmallOutput:
        """Decodes a batch of target frames.

        Args:
            source: encoded sources, of the same batch or of batch 1.
            maps: (B, P, G, G) conditioning maps of the targets.
            prior: (B, 2, G, G) prior flow into the primary source, crop units.
            scalars: (B, 3K) of source, of target, and target minus source.
            window: (G, G) 1 inside, 0 at the border, where nothing may move.
            region: top, left and side, in cells of the G / 2 grid, of the square to be decoded; everything by
                default.  Training decodes a part of each frame: the fine grids cost most of a step.
        """
        b = maps.shape[0]
        image, half, quarter = (t.expand(b, -1, -1, -1) for t in (source.image, source.half, source.quarter))
        prior = prior * window
        told = torch.cat([maps, prior * 8], 1)
        s = self.scalars(scalars)
        moved_quarter = warp(quarter, F.avg_pool2d(prior, 2))
        q = 32
        seen = rearrange(F.adaptive_avg_pool2d(moved_quarter, q), "b c h w -> b (h w) c")
        displacement = rearrange(F.adaptive_avg_pool2d(prior, q) * 8, "b c h w -> b (h w) c")
        x = self.query_place(torch.cat([self._place(maps, q), displacement, seen], -1))
        for layer, keys_values in zip(self.decoder, source.keys_values, strict=True):
            x = layer(x, keys_values, s)
        x = self.block_eighth(rearrange(self.to_eighth(x), "b (h w) c -> b c h w", h=q), s)
        x = self.to_quarter(torch.cat([enlarge(x), moved_quarter, F.avg_pool2d(told, 2)], 1))
        x = self.quarter_to_half(F.relu(self.block_quarter(x, s)))

        top, left, side = region or (0, 0, x.shape[-1])
        x = enlarge(x[..., top : top + side, left : left + side])
        prior, told, window = (_cut(t, region, 2) for t in (prior, told, window))
        small = F.avg_pool2d(image, 2)
        place = _cut(pixel_grid(maps.shape[-1], maps.device).permute(2, 0, 1), region, 2)
        x = x + self.to_half(
            torch.cat([_sample(half, place + prior), told, _sample(small, place + prior) * 2 - 1], 1)
        )
        x = F.relu(self.block_half(x, s))
        flow = prior + FLOW_REACH * torch.tanh(self.flow_head(x).float()) * window
        finest = _cut(pixel_grid(image.shape[-1], maps.device).permute(2, 0, 1), region, 4)
        warped = _sample(image, finest + enlarge(flow))
        x = F.pixel_shuffle(self.to_full(x), 2)
        x = F.relu(self.blend(torch.cat([F.relu(x), warped * 2 - 1], 1)))
        logits = self.head(x).float()
        drawn = (1 - logits[:, :1].sigmoid()) * enlarge(window[None, None])
        colour = logits[:, 1:].sigmoid()
        frame = warped * (1 - drawn) + colour * drawn
        return SmallOutput(frame, flow, 1 - drawn, colour, warped)


def _cut(x: Tensor, region: tuple[int, int, int] | None, scale: int) -> Tensor:
    """The square `region` of (..., h, w), whose grid is `scale` times the region's."""
    if region is None:
        return x
    top, left, side = (scale * v for v in region)
    return x[..., top : top + side, left : left + side]
