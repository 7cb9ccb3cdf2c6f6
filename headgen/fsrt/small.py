"""fsrt-small: a facial scene representation transformer that copies what it can and draws the rest.

After FSRT (Rochow et al., CVPR 2024): a transformer encodes the source once into a set-latent, queries of the
target attend to it.  Our design on top: key points and expression come from the face tracker as dense maps
(`headgen.fsrt.conditioning`); each query predicts a flow into the source, a mask and a colour instead of a
colour alone, because with little data and computing a copied person stays that person while a painted one
blurs; queries lie on a coarse grid and convolutions refine them on the source's own features, warped.

Shapes: B batch, S sources, N = 256 source tokens, D width, K scalars, G = 128 grid, H = 256 pixels a side.
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

from headgen.nn.attention import CrossAttention, SelfBlock, feed_forward
from headgen.nn.positional import pixel_grid, sinusoidal_encoding

FLOW_REACH = 0.25
"""Largest learnt change of the prior flow, in crop units (the crop spans 2)."""
CENTRE = (8, 8, 48)
"""Top, left and side, in cells of the 64 grid, of the square that the network decodes.

Our design: beyond it, in the outer eighth of the crop, nothing but the prior moves the picture.  Leaving
that out saves almost half of the work.
"""
CENTRE_MARGIN = 10
"""Cells of the 128 grid over which what is learnt fades in from the border of `CENTRE`."""
QUERIES = 32
"""Queries a side of the whole crop; those in `CENTRE` are asked."""


PARTS = slice(4, 6)
"""Of the conditioning maps: mouth interior and eye openings."""

Region = tuple[int, int, int]


def mismatch(wanted: Tensor, found: Tensor) -> Tensor:
    """Where the flow leads into another part of the face than the one that belongs there.

    Our design: lips cannot become the inside of a mouth, nor an open eye a lid: there the network has to
    draw.  Left to itself it hesitates, and shows half of both.

    Args:
        wanted: (B, 2, h, w) `PARTS` of the target, coverage from 0 to 1.
        found: (B, 2, h, w) those of the source where the flow leads.

    Returns:
        (B, 1, h, w) from 0, the same part, to 1.
    """
    apart = (wanted - found).abs()
    return 1 - (1 - apart[:, :1]) * (1 - apart[:, 1:])


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Samples image (B, C, h, w) at pixel + flow (B, 2, h', w') in crop units; replicates the border."""
    return _sample(image, _pixels(flow.shape[-1], flow.device) + flow)


def _pixels(size: int, device: torch.device) -> Tensor:
    """Pixel centres of a size x size grid in [-1, 1]: (2, size, size), x first."""
    return pixel_grid(size, size, device).permute(2, 0, 1)


def _sample(image: Tensor, place: Tensor) -> Tensor:
    """Samples image (B, C, h, w) at the places (B, 2, h', w') in [-1, 1]; replicates the border."""
    grid = rearrange(place.float(), "b c h w -> b h w c")
    sampled = F.grid_sample(image.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.to(image.dtype)


def enlarge(x: Tensor, factor: int = 2) -> Tensor:
    """Bilinear enlargement of (B, C, h, w)."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class DecoderLayer(nn.Module):
    """Pre-norm cross-attention of the queries to the set-latent, modulated by the scalars."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = CrossAttention(width, width, heads, width // heads)
        self.mlp = feed_forward(width, 2 * width)
        self.modulation = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor, keys_values: tuple[Tensor, Tensor], scalars: Tensor) -> Tensor:
        """Queries (B, Q, D), the sources' keys and values, encoded scalars (B, D) -> (B, Q, D)."""
        scale, shift = self.modulation(scalars).unsqueeze(1).chunk(2, -1)
        x = x + self.attention(self.norm1(x), *keys_values)
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
    eighth: Tensor
    """(B, 64, H/8, H/8) features of that picture, for the queries."""
    quarter: Tensor
    """(B, quarter, H/4, H/4) features of that picture, ready to be moved and added."""
    half: Tensor
    """(B, half, H/2, H/2) likewise."""
    small: Tensor
    """(B, 3, H/2, H/2) the picture at half its size, in [-1, 1]."""
    parts: Tensor
    """(B, 2, G, G) its maps of mouth interior and eye openings."""
    keys_values: list[tuple[Tensor, Tensor]]
    """Per decoder layer keys and values of all sources' tokens."""


@dataclass
class SmallOutput:
    """One decoded batch: the decoded square of each frame, R cells of the 64 grid a side."""

    flow: Tensor
    """(B, 2, 2R, 2R) displacement into the source, in crop units."""
    mask: Tensor
    """(B, 1, 4R, 4R) share of the copied picture; the rest is `colour`."""
    colour: Tensor
    """(B, 3, 4R, 4R) drawn colours in [0, 1]."""
    warped: Tensor
    """(B, 3, 4R, 4R) the source copied through the flow."""

    @property
    def image(self) -> Tensor:
        """(B, 3, 4R, 4R) the network's own frame, in [0, 1]."""
        return self.warped * self.mask + self.colour * (1 - self.mask)


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
        self.encoder = nn.ModuleList(
            SelfBlock(width, heads, width // heads, 2 * width) for _ in range(encoder_layers)
        )
        self.latent_norm = nn.LayerNorm(width)
        self.scalars = nn.Sequential(
            nn.Linear(3 * scalar_count, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.query_place = nn.Linear(encoding + 2 + 64, width)
        self.decoder = nn.ModuleList(DecoderLayer(width, heads) for _ in range(decoder_layers))
        self.to_eighth = nn.Linear(width, eighth)
        self.block_eighth = ResidualBlock(eighth, width)
        self.up_quarter = nn.Conv2d(eighth, quarter, 3, padding=1)
        self.source_quarter = nn.Conv2d(64, quarter, 1, bias=False)
        self.told_quarter = nn.Conv2d(p + 2, quarter, 3, padding=1, bias=False)
        self.block_quarter = ResidualBlock(quarter, width)
        self.up_half = nn.Conv2d(quarter, half, 3, padding=1)
        self.source_half = nn.Conv2d(32, half, 1, bias=False)
        self.told_half = nn.Conv2d(p + 2 + 3, half, 3, padding=1)
        self.block_half = ResidualBlock(half, width)
        self.flow_head = nn.Conv2d(half, 2, 3, padding=1)
        self.to_full = nn.Conv2d(half, 4 * full, 1)
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
    def _place(maps: Tensor, grid: int, region: Region | None = None) -> Tensor:
        """Where the cells of a coarse grid lie, on the mean face and in the crop: (B, cells, E)."""
        pooled = _cut(F.adaptive_avg_pool2d(maps, grid), region, 1)
        pixel = _cut(_pixels(grid, maps.device), region, 1).to(maps.dtype)
        pooled, pixel = rearrange(pooled, "b c h w -> b (h w) c"), rearrange(pixel, "c h w -> 1 (h w) c")
        canonical = sinusoidal_encoding(pooled[..., :3], 5)
        return torch.cat([canonical, sinusoidal_encoding(pixel, 5).expand(len(maps), -1, -1), pooled], -1)

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

        picture = images[:, primary]
        return SourceState(
            picture,
            F.avg_pool2d(one(quarter), 2).float(),
            self.source_quarter(one(quarter)).float(),
            self.source_half(one(half)).float(),
            F.avg_pool2d(picture, 2) * 2 - 1,
            one(m)[:, PARTS],
            [layer.attention.project(latent) for layer in self._decoder_layers()],
        )

    def forward(
        self,
        source: SourceState,
        maps: Tensor,
        prior: Tensor,
        scalars: Tensor,
        window: Tensor,
        region: Region = CENTRE,
    ) -> SmallOutput:
        """Decodes a batch of target frames.

        Args:
            source: encoded sources, of the same batch or of batch 1.
            maps: (B, P, G, G) conditioning maps of the targets.
            prior: (B, 2, G, G) prior flow into the primary source, crop units.
            scalars: (B, 3K) of source, of target, and target minus source.
            window: (G, G) 1 inside, 0 at the crop's border, where nothing may move.
            region: the square of `CENTRE` to be decoded.  Training decodes a part of each frame: the fine
                grids cost most of a step.
        """
        b = maps.shape[0]
        image, small, half, quarter, eighth, parts = (
            t.expand(b, -1, -1, -1)
            for t in (source.image, source.small, source.half, source.quarter, source.eighth, source.parts)
        )
        prior = prior * window
        told = torch.cat([maps, prior * 8], 1)
        s = self.scalars(scalars)

        def moved(features: Tensor, flow: Tensor, region: Region, scale: float) -> Tensor:
            places = _pixels(flow.shape[-1], flow.device) + flow
            return _sample(features, _cut(places, region, scale))

        prior_quarter = F.avg_pool2d(prior, 2)
        prior_eighth = F.avg_pool2d(prior_quarter, 2)
        queries = (CENTRE[0] // 2, CENTRE[1] // 2, CENTRE[2] // 2)
        seen = moved(eighth, prior_eighth, queries, 1)
        known = torch.cat([_cut(prior_eighth, queries, 1) * 8, seen.to(maps.dtype)], 1)
        known = rearrange(known, "b c h w -> b (h w) c")
        x = self.query_place(torch.cat([self._place(maps, QUERIES, queries), known], -1))
        for layer, keys_values in zip(self._decoder_layers(), source.keys_values, strict=True):
            x = layer(x, keys_values, s)
        x = self.block_eighth(rearrange(self.to_eighth(x), "b (h w) c -> b c h w", h=queries[2]), s)
        x = enlarge(self.up_quarter(x))
        x = x + moved(quarter, prior_quarter, CENTRE, 1).to(x.dtype)
        x = x + self.told_quarter(F.avg_pool2d(_cut(told, CENTRE, 2), 2))
        x = self.up_half(F.relu(self.block_quarter(x, s)))

        top, left, side = region[0] - CENTRE[0], region[1] - CENTRE[1], region[2]
        x = enlarge(x[..., top : top + side, left : left + side])
        x = x + moved(half, prior, region, 2).to(x.dtype)
        x = x + self.told_half(torch.cat([_cut(told, region, 2), moved(small, prior, region, 2)], 1))
        x = F.relu(self.block_half(x, s))
        inside = _cut(_centre_window(window), region, 2)
        flow = _cut(prior, region, 2) + FLOW_REACH * torch.tanh(self.flow_head(x).float()) * inside
        finest = _cut(_pixels(image.shape[-1], maps.device), region, 4)
        warped = _sample(image, finest + enlarge(flow))
        x = F.pixel_shuffle(self.to_full(x), 2)
        x = F.relu(self.blend(torch.cat([F.relu(x), warped * 2 - 1], 1)))
        logits = self.head(x).float()
        found = _sample(parts, _cut(_pixels(parts.shape[-1], maps.device), region, 2) + flow)
        foreign = mismatch(_cut(maps[:, PARTS], region, 2), found)
        copied = logits[:, :1].sigmoid() * (1 - enlarge(foreign))
        drawn = (1 - copied) * enlarge(inside[None, None])
        return SmallOutput(flow, 1 - drawn, logits[:, 1:].sigmoid(), warped)

    def whole(self, source: SourceState, prior: Tensor, window: Tensor, out: SmallOutput) -> SmallOutput:
        """A decoded `CENTRE` together with the rest of the crop, which the prior moves: R = 64."""
        top, left, side = CENTRE
        flow = (prior * window).float()
        flow[..., 2 * top : 2 * (top + side), 2 * left : 2 * (left + side)] = out.flow
        warped = warp(source.image.expand(len(prior), -1, -1, -1), enlarge(flow))
        colour, mask = torch.zeros_like(warped), torch.ones_like(warped[:, :1])
        for to, part in ((warped, out.warped), (colour, out.colour), (mask, out.mask)):
            to[..., 4 * top : 4 * (top + side), 4 * left : 4 * (left + side)] = part
        return SmallOutput(flow, mask, colour, warped)


def _centre_window(window: Tensor) -> Tensor:
    """(G, G) weight of what is learnt: falls smoothly to 0 at the border of `CENTRE`."""
    top, left, side = (2 * v for v in CENTRE)
    places = torch.arange(window.shape[-1], device=window.device)
    steps = []
    for first in (top, left):
        depth = torch.minimum(places - first + 0.5, first + side - places - 0.5)
        edge = (depth / CENTRE_MARGIN).clamp(0, 1)
        steps.append(edge * edge * (3 - 2 * edge))
    return window * torch.minimum(steps[0][:, None], steps[1][None])


def _cut(x: Tensor, region: Region | None, scale: float) -> Tensor:
    """The square `region` of (..., h, w), whose grid is `scale` times the region's."""
    if region is None:
        return x
    top, left, side = (int(scale * v) for v in region)
    return x[..., top : top + side, left : left + side]
