"""Pre-norm transformer blocks with fused attention.

Shapes: B batch, N tokens, M context tokens, D width, C context width, H heads, K width of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from headgen.nn.precision import fuses_bfloat16

__all__ = ["CrossAttention", "CrossBlock", "SelfAttention", "SelfBlock", "feed_forward"]


class SelfAttention(nn.Module):
    """Multi-head attention of tokens to one another; projections without bias but the last.

    Args:
        width: D.
        heads: H.
        head_width: K; H * K need not equal D.
    """

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * heads * head_width, bias=False)
        self.out = nn.Linear(heads * head_width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, N, D) to (B, N, D)."""
        q, k, v = rearrange(
            self.query_key_value(x), "b n (three h k) -> three b h n k", three=3, h=self.heads
        )
        y = F.scaled_dot_product_attention(q, k, v)  # (B, H, N, K)
        return self.out(rearrange(y, "b h n k -> b n (h k)"))


class CrossAttention(nn.Module):
    """Multi-head attention of tokens to a context; projections without bias but the last.

    The context's keys and values are computed apart (`project`), to be kept while the tokens change.

    Args:
        width: D.
        context_width: C.
        heads: H.
        head_width: K; H * K need not equal D.
    """

    def __init__(self, width: int, context_width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, heads * head_width, bias=False)
        self.key_value = nn.Linear(context_width, 2 * heads * head_width, bias=False)
        self.out = nn.Linear(heads * head_width, width)

    def project(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, M, K) each, of a context (B, M, C)."""
        k, v = rearrange(self.key_value(context), "b m (two h k) -> two b h m k", two=2, h=self.heads)
        return k, v

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Maps (B, N, D) to (B, N, D), given keys and values (B, H, M, K) or (1, H, M, K)."""
        if len(keys) < len(x):  # one context serves all: their queries are asked as those of one
            one = self(x.flatten(0, 1).unsqueeze(0), keys, values)
            return one.view_as(x)
        q = rearrange(self.query(x), "b n (h k) -> b h n k", h=self.heads)
        return self.out(rearrange(_attended(q, keys, values), "b h n k -> b n (h k)"))


def _attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of queries (B, H, N, K) to keys and values (B, H, M, K)."""
    in_parts = q.dtype == torch.bfloat16 and not fuses_bfloat16(q.device)
    if in_parts and len(q) == 1 and not torch.is_grad_enabled():
        scores = torch.bmm(q[0] * q.shape[-1] ** -0.5, k[0].mT)
        return torch.bmm(scores.softmax(-1), v[0]).unsqueeze(0)
    return F.scaled_dot_product_attention(q, k, v)


def feed_forward(width: int, hidden: int) -> nn.Sequential:
    """Two layers with GELU."""
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class SelfBlock(nn.Module):
    """Self-attention and a GELU network, each on normalised input and added to it."""

    def __init__(self, width: int, heads: int, head_width: int, hidden: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, head_width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = feed_forward(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, N, D) to (B, N, D)."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class CrossBlock(nn.Module):
    """Attention to a context (which is not normalised) and a GELU network, each added to its input."""

    def __init__(self, width: int, context_width: int, heads: int, head_width: int, hidden: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = CrossAttention(width, context_width, heads, head_width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = feed_forward(width, hidden)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Maps (B, N, D) to (B, N, D), given keys and values (B, H, M, K)."""
        x = x + self.attention(self.attention_norm(x), keys, values)
        return x + self.mlp(self.mlp_norm(x))
