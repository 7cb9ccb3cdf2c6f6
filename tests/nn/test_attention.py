"""Attention to a context: one for all, and in bfloat16."""

from __future__ import annotations

import pytest
import torch

from headgen.nn.attention import CrossAttention

Q, M, WIDTH = 7, 11, 24


@pytest.fixture(scope="module")
def attention():
    torch.manual_seed(0)
    return CrossAttention(WIDTH, WIDTH, 3, 8)


def test_one_context_serves_a_batch(attention):
    x, context = torch.randn(4, Q, WIDTH), torch.randn(1, M, WIDTH)
    keys, values = attention.project(context)
    each = attention(x, *(t.expand(4, -1, -1, -1) for t in (keys, values)))
    assert torch.allclose(attention(x, keys, values), each, atol=1e-6)


@pytest.mark.parametrize("fused", [True, False])
def test_bfloat16_answers_like_float32(attention, fused, monkeypatch):
    monkeypatch.setattr("headgen.nn.attention.fuses_bfloat16", lambda device: fused)
    x, context = torch.randn(4, Q, WIDTH), torch.randn(1, M, WIDTH)
    with torch.inference_mode():
        exact = attention(x, *attention.project(context))
        with torch.autocast("cpu", torch.bfloat16):
            rough = attention(x, *attention.project(context))
    assert rough.dtype == torch.bfloat16
    assert (rough - exact).abs().max() < 0.03 * exact.abs().max()
