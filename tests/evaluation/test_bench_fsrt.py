"""The benchmark's plain form is the network, and its report is complete."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headgen.errors import InputError
from headgen.evaluation.bench_fsrt import bench, plain_decode
from headgen.fsrt.full_engine import FullEngine
from headgen.fsrt.model import FSRT


def test_report():
    turns = []
    report = bench(config="debug", rounds=2, precision=["fp32", "bf16"], device="cpu", progress=turns.append)
    assert turns[-1].done == turns[-1].total == 6
    for name in ("fp32", "bf16"):
        entry = report[name]
        expected = report["plain"]["seconds_per_frame"] / entry["seconds_per_frame"]
        assert entry["speedup"] == pytest.approx(expected, rel=0.01)
        assert sum(entry["share"].values()) == pytest.approx(1, abs=0.01)
        assert {"attention", "render network", "layer networks", "projections"} <= set(entry["share"])
    assert report["fp32"]["error_largest"] < 1e-4 < report["bf16"]["error_largest"]


def test_plain_form_is_the_network():
    torch.manual_seed(0)
    model = FSRT.from_config_name("debug").eval()
    engine = FullEngine(model, "fp32", "cpu")
    pictures = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    state = engine.encode(pictures[:1])
    motion = engine.motion(pictures[1:])
    plain = plain_decode(model.decoder, state, *motion, size=32).numpy()
    np.testing.assert_allclose(engine.decode(state, *motion)[0], plain, atol=1e-4 * plain.std())


def test_unknown_configuration():
    with pytest.raises(InputError, match="vox256-small-decoder"):
        bench(config="vox512")
