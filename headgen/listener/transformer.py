"""The listener's video diffusion transformer: a clean video out of a noisy one.

A latent frame is P tokens, one for each part of the face, each at a place of the face. Tokens attend to one
another block-causally over time (blocks of a few latent frames; Yin et al., CausVid, 2025, section 4.1), with
a noise level for each latent frame, so that clean frames of the past can stand beside noisy ones of the
present (Chen et al., Diffusion Forcing, 2024). Blocks are DiT's with adaLN-Zero (Peebles and Xie, 2023,
section 3.2) and cross-attention to the portrait and the text.

Shapes: B batch, F latent frames, P parts, N = F * P tokens, D token width, W width, H heads, K width of a
head, S width of the noise level's embedding, M context tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar, cast

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange
from torch import Tensor, nn

from headgen.listener.wishes import TextTokens
from headgen.nn.attention import feed_forward
from headgen.nn.positional import sinusoidal_encoding
from headgen.nn.rotary import RotaryAxis, rotary_turns, rotate

if TYPE_CHECKING:
    from headgen.listener.adapter import CTMAdapter, SpeakerTokens

__all__ = ["Context", "KeyValueCache", "ListenerTransformer"]

KeyValue: TypeAlias = tuple[Tensor, Tensor]
Layer = TypeVar("Layer", bound=nn.Module)

SIGMA_OCTAVES = 8


class Listening(NamedTuple):
    """Which of the words some latent frames read.

    Attributes:
        mask: (B, 1, F * P, M) bool, over the portrait's tokens and those of the text.
        told: (B, 1, F * P, 1) bool, whether a token reads any word.
    """

    mask: Tensor
    told: Tensor


@dataclass(frozen=True)
class Context:
    """Portrait and text as the blocks read them: worked out once, used in every denoising step.

    Frames that read no word are worked out as if there were no text, to the last bit.

    Attributes:
        untold: for each block keys and values, (B, H, M, K) each: the portrait's tokens, then the one that
            says that nothing is said.
        told: the same of the portrait's tokens, then L tokens of the text; empty if there is no text.
        text: when each of the L tokens is read; None if there is no text.
    """

    untold: tuple[KeyValue, ...]
    told: tuple[KeyValue, ...]
    text: TextTokens | None

    def listening(self, first: int, frames: int, parts: int) -> Listening | None:
        """What latent frames from `first` on read of the text; None if there is none."""
        if self.text is None:
            return None
        now = torch.arange(first, first + frames, device=self.text.start.device)[None, :, None]
        read = (now >= self.text.start[:, None]) & (now < self.text.end[:, None])  # (B, F, L)
        portrait = read.new_ones(*read.shape[:2], self.told[0][0].shape[2] - read.shape[2])
        mask, told = torch.cat([portrait, read], dim=2), read.any(2, keepdim=True)
        return Listening(*(one.repeat_interleave(parts, 1)[:, None] for one in (mask, told)))


class KeyValueCache:
    """Keys and values of past latent frames, for generating block by block (no gradients flow through).

    Memory is bounded: what no later block can see is forgotten.  New frames are written behind the kept ones
    in buffers with room to spare, so that a denoising step copies only its own frames.

    Args:
        layers: number of blocks of the network.
        batch: B.
        heads: H.
        head_width: K.
        parts: P.
        past: most latent frames that are kept.
        room: most latent frames, kept and new, that there is room for.
        like: a tensor with the device and dtype to use.
    """

    def __init__(
        self,
        layers: int,
        batch: int,
        heads: int,
        head_width: int,
        parts: int,
        past: int,
        room: int,
        like: Tensor,
    ) -> None:
        self.keys = like.new_empty(layers, batch, heads, room * parts, head_width)
        self.values = torch.empty_like(self.keys)
        self.parts, self.past, self.room = parts, past, room
        self.first = 0  # where the kept frames begin in the buffers
        self.frames = 0  # how many are kept
        self.next = 0  # index of the latent frame that follows them

    def open(self, start: int, frames: int) -> int:
        """Makes room for `frames` latent frames from `start` on; returns how many are kept before them.

        Raises:
            ValueError: the frames do not follow the kept ones, or are too many.
        """
        if self.frames and start != self.next:
            raise ValueError(f"start={start}: the cache goes on at latent frame {self.next}")
        if self.frames + frames > self.room:
            raise ValueError(
                f"{frames} latent frames at once: with this cache at most {self.room - self.past}"
            )
        if self.first + self.frames + frames > self.room:
            kept = slice(self.first * self.parts, (self.first + self.frames) * self.parts)
            for buffer in (self.keys, self.values):
                buffer[..., : self.frames * self.parts, :] = buffer[..., kept, :].clone()
            self.first = 0
        self.next = start
        return self.frames

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Kept keys and values of a block followed by those of the new frames (B, H, N, K)."""
        begin = self.first * self.parts
        end = (self.first + self.frames) * self.parts
        for buffer, new in ((self.keys, keys), (self.values, values)):
            buffer[layer, :, :, end : end + new.shape[2]] = new.detach()
        end += keys.shape[2]
        return self.keys[layer, :, :, begin:end], self.values[layer, :, :, begin:end]

    def keep(self, frames: int) -> None:
        """Keeps the new frames that the blocks have just written."""
        surplus = max(0, self.frames + frames - self.past)
        self.first += surplus
        self.frames += frames - surplus
        self.next += frames


class SigmaEmbedding(nn.Module):
    """Noise levels (B, F) in [0, 1] to (B, F, S).

    Our design: one number needs no full width; a narrow embedding keeps the blocks' modulations small.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(2 * SIGMA_OCTAVES, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )

    def forward(self, sigma: Tensor) -> Tensor:
        """Maps (B, F) to (B, F, S)."""
        encoding = sinusoidal_encoding(sigma[..., None], SIGMA_OCTAVES)
        return self.network(encoding.to(sigma.dtype))


class PartLinear(nn.Module):
    """A linear layer of its own for each part.

    Our design: numbers of a jaw mean something else than those of a brow; and the biases tell parts apart.
    """

    def __init__(self, parts: int, width: int, out_width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(parts, width, out_width) * width**-0.5)
        self.bias = nn.Parameter(torch.randn(parts, out_width) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, F, P, D) to (B, F, P, W)."""
        return torch.einsum("bfpd,pdw->bfpw", x, self.weight) + self.bias


class VideoAttention(nn.Module):
    """Self-attention of all tokens of a video, with rotary positions and normalised queries and keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.query_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.key_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Tensor, turns: Tensor, mask: Tensor | None, cache: KeyValueCache | None, layer: int
    ) -> Tensor:
        """Maps (B, F, P, W) to the same; `turns` (N, K / 2), `mask` (N, kept and new tokens)."""
        frames = x.shape[1]
        q, k, v = rearrange(
            self.query_key_value(x), "b f p (three h k) -> three b (f p) h k", three=3, h=self.heads
        )
        q = rotate(self.query_norm(q), turns).transpose(1, 2)  # (B, H, N, K)
        k = rotate(self.key_norm(k), turns).transpose(1, 2)
        v = v.transpose(1, 2)
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out(rearrange(y, "b h (f p) k -> b f p (h k)", f=frames))


class ContextAttention(nn.Module):
    """Cross-attention to the portrait and the text; adds nothing at first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.query_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.key_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.out = _zero(nn.Linear(width, width))

    def project(self, context: Tensor) -> KeyValue:
        """Keys and values (B, H, M, K) of context tokens (B, M, W)."""
        k, v = rearrange(self.key_value(context), "b m (two h k) -> two b h m k", two=2, h=self.heads)
        return self.key_norm(k), v

    def forward(self, x: Tensor, context: Context, layer: int, listening: Listening | None) -> Tensor:
        """Maps (B, F, P, W) to the same; `listening` is of the context."""
        frames = x.shape[1]
        q = self.query_norm(rearrange(self.query(x), "b f p (h k) -> b h (f p) k", h=self.heads))
        y = F.scaled_dot_product_attention(q, *context.untold[layer])
        if listening is not None:
            told = F.scaled_dot_product_attention(q, *context.told[layer], attn_mask=listening.mask)
            y = torch.where(listening.told, told, y)
        return self.out(rearrange(y, "b h (f p) k -> b f p (h k)", f=frames))


class ListenerBlock(nn.Module):
    """Self-attention, cross-attention and a GELU network; changes nothing at first (adaLN-Zero)."""

    def __init__(self, width: int, heads: int, mlp_ratio: int, sigma_width: int) -> None:
        super().__init__()
        self.modulation = _zero(nn.Linear(sigma_width, 6 * width))
        self.attention_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.attention = VideoAttention(width, heads)
        self.context_norm = nn.LayerNorm(width)
        self.context_attention = ContextAttention(width, heads)
        self.mlp_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.mlp = feed_forward(width, mlp_ratio * width)

    def forward(
        self,
        x: Tensor,
        sigma: Tensor,
        context: Context,
        listening: Listening | None,
        turns: Tensor,
        mask: Tensor | None,
        cache: KeyValueCache | None,
        layer: int,
    ) -> Tensor:
        """Maps (B, F, P, W) to the same; `sigma` is the embedding (B, F, S)."""
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.modulation(sigma)[:, :, None].chunk(
            6, dim=-1
        )
        y = torch.addcmul(shift, self.attention_norm(x), 1 + scale)
        x = x + gate * self.attention(y, turns, mask, cache, layer)
        x = x + self.context_attention(self.context_norm(x), context, layer, listening)
        y = torch.addcmul(mlp_shift, self.mlp_norm(x), 1 + mlp_scale)
        return x + mlp_gate * self.mlp(y)


class ListenerTransformer(ModelMixin, ConfigMixin):
    """Predicts the clean latents of a listener from noisy ones, the portrait, text and the speaker.

    The output at latent frame t depends on no frame after t's block, and on none more than `window` back; on
    time it depends relatively.  Its last layer starts at zero.

    Args:
        width: W.
        heads: H; a head's width W / H must be a multiple of 8 (half of it turns with time, a quarter each
            with y and x).
        layers: number of blocks.
        mlp_ratio: hidden width of the blocks' networks, in widths.
        token_width: D.
        frames_per_latent: video frames (and speaker rows) that a latent frame stands for.
        places: (y, x) of each part on the face, about [-1, 1]; there are P.
        block: latent frames of a causal block; those of one block see each other.
        window: latent frames that a block sees, its own included.
        portrait_width: features of a portrait token.
        text_width: features of a text token.
        reference_width: features of a token of `forward`'s reference latents; 0 if there are none.
        sided: whether it was told to which side behaviours go, see `headgen.listener.wishes.with_sides`.
    """

    @register_to_config
    def __init__(
        self,
        width: int = 256,
        heads: int = 8,
        layers: int = 6,
        mlp_ratio: int = 4,
        token_width: int = 24,
        frames_per_latent: int = 4,
        places: Sequence[tuple[float, float]] = ((0.0, 0.0),),
        block: int = 1,
        window: int = 48,
        portrait_width: int = 32,
        text_width: int = 32,
        reference_width: int = 0,
        sided: bool = False,
    ) -> None:
        super().__init__()
        if width % (8 * heads):
            raise ValueError(f"width={width} is no multiple of 8 * heads={8 * heads}")
        if window < block:
            raise ValueError(f"window={window} is smaller than block={block}")
        self.places = tuple((float(y), float(x)) for y, x in places)
        sigma_width = width // 4
        self.sigma_in = SigmaEmbedding(sigma_width)
        self.latents_in = PartLinear(len(self.places), token_width + reference_width, width)
        self.portrait_in = _context_network(portrait_width, width)
        self.text_in = _context_network(text_width, width)
        self.no_text = nn.Parameter(torch.randn(width))
        self.blocks = nn.ModuleList(
            ListenerBlock(width, heads, mlp_ratio, sigma_width) for _ in range(layers)
        )
        self.modulation = _zero(nn.Linear(sigma_width, 2 * width))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.latents_out = _zero(PartLinear(len(self.places), width, token_width))

    def encode(self, portrait: Tensor, text: TextTokens | None = None) -> Context:
        """Reads portrait and text, for any number of calls of the network.

        Args:
            portrait: (B, N, portrait_width) tokens.
            text: tokens of width `text_width`, and which latent frames read them; one that reads none, or
                None, is told nothing.

        Returns:
            Keys and values of every block.
        """
        unsaid = self.no_text.expand(len(portrait), 1, -1)
        context = torch.cat([self.portrait_in(portrait), unsaid], dim=1)  # (B, M, W)
        blocks = cast(Iterable[ListenerBlock], self.blocks)
        attentions = [block.context_attention for block in blocks]
        untold = tuple(attention.project(context) for attention in attentions)
        if text is None:
            return Context(untold, (), None)
        # Sides are the signs of amounts, which a network that knows no sides has never seen.
        words = self.text_in(text.tokens if self.config.sided else text.tokens.abs())
        told = tuple(
            _joined(of_portrait, attention.project(words))
            for attention, of_portrait in zip(attentions, untold, strict=True)
        )
        return Context(untold, told, text)

    def new_cache(self, batch: int) -> KeyValueCache:
        """An empty cache for a batch of so many videos."""
        c = self.config
        past = c.window - c.block
        like = self.no_text.detach()
        return KeyValueCache(
            c.layers, batch, c.heads, c.width // c.heads, len(self.places), past, past + c.window, like
        )

    def forward(
        self,
        latents: Tensor,
        sigma: Tensor,
        context: Context,
        *,
        reference: Tensor | None = None,
        adapter: CTMAdapter | None = None,
        speaker: SpeakerTokens | None = None,
        cache: KeyValueCache | None = None,
        start: int = 0,
        keep: bool = False,
        visible: Tensor | None = None,
    ) -> Tensor:
        """Predicts clean latents.

        Args:
            latents: (B, F, P, D) noisy latents.
            sigma: (B, F) noise level of each latent frame, 0 (clean) to 1 (noise).
            context: portrait and text, of `encode`.
            reference: (B, F, P, reference_width) what is known of the same frames without noise; None if
                the network has no such input.
            adapter: gives the blocks access to `speaker`; both or neither.
            speaker: tokens of the adapter's `encode`.
            cache: past frames to attend to; `latents` then holds only what comes next.
            start: index of the first latent frame, a multiple of `block`; needed with a cache or a speaker.
            keep: whether the cache takes these frames in; ask for it when they are clean (`sigma` 0).
            visible: (F, kept and new frames) bool: which frames each one sees, if not its block and what is
                before it in the window.

        Returns:
            (B, F, P, D) clean latents as the codec reads them.
        """
        c = self.config
        frames = latents.shape[1]
        if start % c.block:
            raise ValueError(f"start={start} is no multiple of block={c.block}")
        past = 0 if cache is None else cache.open(start, frames)
        turns = _turns(start, frames, self.places, c.width // c.heads, c.window, latents.device)
        if visible is None:
            mask = _mask(past, frames, len(self.places), c.block, c.window, latents.device)
        else:
            mask = _of_tokens(visible, len(self.places))
        listening = context.listening(start, frames, len(self.places))
        embedding = self.sigma_in(sigma)  # (B, F, S)

        given = latents if reference is None else torch.cat([latents, reference], dim=-1)
        x = self.latents_in(given)  # (B, F, P, W)
        for layer, block in enumerate(self.blocks):
            x = block(x, embedding, context, listening, turns, mask, cache, layer)
            if adapter is not None and speaker is not None:
                x = adapter.block(layer, x, speaker, start)
        if cache is not None and keep:
            cache.keep(frames)
        shift, scale = self.modulation(embedding)[:, :, None].chunk(2, dim=-1)
        return self.latents_out(torch.addcmul(shift, self.norm(x), 1 + scale))


def _zero(layer: Layer) -> Layer:
    """The layer with all parameters zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _joined(untold: KeyValue, words: KeyValue) -> KeyValue:
    """Keys and values of the portrait, without the token that says that nothing is said, and of words."""
    keys, values = (torch.cat([old[:, :, :-1], new], dim=2) for old, new in zip(untold, words, strict=True))
    return keys, values


def _context_network(width: int, out_width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, out_width), nn.GELU(), nn.Linear(out_width, out_width), nn.LayerNorm(out_width)
    )


# What is kept between calls must be an ordinary tensor even if the first call, a validation, was made in
# inference mode: training could not use it later.
@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _turns(
    start: int,
    frames: int,
    places: tuple[tuple[float, float], ...],
    head_width: int,
    window: int,
    device: torch.device,
) -> Tensor:
    """Rotary turns (N, K / 2) of latent frames from `start` on."""
    time = torch.arange(start, start + frames, dtype=torch.float64)
    positions = torch.cat(
        [
            time.repeat_interleave(len(places))[:, None],
            torch.tensor(places, dtype=torch.float64).repeat(frames, 1),
        ],
        dim=1,
    )
    quarter = head_width // 8
    axes = [RotaryAxis(head_width // 2 - 2 * quarter, 4, 4 * window)] + 2 * [RotaryAxis(quarter, 0.5, 8)]
    return rotary_turns(positions, axes).to(device)


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _mask(past: int, frames: int, parts: int, block: int, window: int, device: torch.device) -> Tensor | None:
    """Which tokens of `past` and `frames` latent frames the latter see: (new, all) bool; None is all."""
    query_end = (torch.arange(frames) // block + 1)[:, None] * block
    key = torch.arange(-past, frames)[None]
    visible = (key < query_end) & (key >= query_end - window)
    if visible.all():
        return None
    return _of_tokens(visible, parts).to(device)


def _of_tokens(visible: Tensor, parts: int) -> Tensor:
    """A mask of frames as one of their tokens."""
    return visible.repeat_interleave(parts, 0).repeat_interleave(parts, 1)
