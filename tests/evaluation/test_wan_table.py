"""What a listener on Wan needs: the computation beside real tensors and formulas."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("peft")

from headgen import cli
from headgen.evaluation.wan_table import SHAPES, PeakMemory, bench, count, model, text_encoder, trace

TINY = {"num_attention_heads": 1, "num_layers": 4, "ffn_dim": 64}


def test_parameters_are_those_of_the_full_size():
    found = {base: count(model(shape, shape["num_layers"])[0], lora=False) for base, shape in SHAPES.items()}
    assert found == {"1.3b": 1_418_996_800, "14b": 14_288_491_584}
    assert count(text_encoder()) == 5_680_910_336


def test_flops_are_those_of_the_formula():
    n, c, f, rows = 5 * 16 * 16, 1536, 8960, 88 + 16  # tokens, width, hidden width, speaker rows
    block = 12 * n * c**2 + 4 * n**2 * c + 4 * 512 * c**2 + 4 * n * 512 * c + 4 * n * c * f
    two, four = (trace(*model(SHAPES["1.3b"], k), 256, 1, 5, train=False, again=False).flops for k in (2, 4))
    lora = 2 * 32 * (8 * n * 2 * c + 2 * n * (c + f) - 4 * (n - 512) * c)
    heard = 4 * 16 * 16
    adapter = 8 * n / n * heard * 256 * c + 4 * heard * rows * 512 + 8 * rows * 256 * 256
    assert (four - two) / 2 == pytest.approx(block + lora + adapter / 2, rel=0.01)


def test_the_meta_device_tells_what_real_tensors_take():
    """Peak memory of a chain whose tensors are counted by hand, and on the CPU as on meta."""
    peaks = []
    for device in ("cpu", "meta"):
        x = torch.ones(1000, device=device)
        with PeakMemory() as memory:
            y = x * 2  # 4 kB
            y = y.exp()  # 8 kB while both live
            z = y[:10].clone()
            del y
            _ = z + 1
        peaks.append((memory.peak, memory.now))
    assert peaks == [(8000, 80), (8000, 80)]


def test_activations_grow_with_depth_less_so_if_computed_again():
    def cost(layers, again=False, train=True):
        return trace(*model(TINY, layers), 64, 1, 5, train=train, again=again)

    plain, deep, again = cost(1), cost(4), cost(4, again=True)
    assert again.activations < 0.9 * deep.activations and again.flops > deep.flops
    assert plain.activations < deep.activations
    assert cost(1, train=False).flops < plain.flops / 2


def test_the_table(capsys):
    table = bench(sizes=[256], batches=[1], passes=2)
    row = table.inference[0]
    assert row["tokens"] == 21 * 16 * 16
    assert row["both, GB"] < row["no text encoder, GB"] < row["all on GPU, GB"]
    assert row["both, GB"] < row["model offload, GB"] < row["all on GPU, GB"]
    kept, again = table.training[1], table.training[0]
    assert again["memory GB"] < kept["memory GB"] and again["PFLOP a step"] > kept["PFLOP a step"]
    assert "Computed, not measured" in str(table) and "| 256 | 1 | 5376 |" in str(table)
    assert cli.main(["bench", "wan", "--sizes", "[100]"]) == 2
    assert "multiples of 16" in capsys.readouterr().err
