"""FSRT's numbers are the official program's, through official files, `weights convert` and the engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from fsrt_parity import measure

from headgen.fsrt.int8_decoder import has_int8

HERE = Path(__file__).parent
REFERENCE = HERE.parents[1] / "shared" / "reference" / "fsrt"
QUANTITIES = {
    *("source_keypoints", "source_expression", "driving_keypoints", "driving_expression"),
    *("latent_first16", "latent_mean", "latent_std", "movement_scale", "rgb_absolute", "rgb_relative"),
}


@pytest.mark.shared
@pytest.mark.parametrize(("name", "salt"), [("vox256_one_source", "A"), ("small_decoder", "C")])
def test_official_numbers(name, salt):
    case = REFERENCE / f"{name}.npz"
    if not case.exists():
        pytest.skip(f"shared/reference/fsrt/{name}.npz is not beside the checkout")
    errors = measure(case, REFERENCE / f"{name}_keys.json", salt)
    assert set(errors) == QUANTITIES
    assert max(errors.values()) < 1e-4, errors


@pytest.mark.parametrize(
    ("precision", "bound"),
    [
        ("fp32", 1e-4),
        ("bf16", 0.1),
        pytest.param("int8", 0.1, marks=pytest.mark.skipif(not has_int8(), reason="no AVX-512 VNNI")),
    ],
)
def test_pinned_numbers_of_a_tiny_network_with_two_sources(precision, bound):
    """Pinned with the code that passes `test_official_numbers`, by the network's plain definition."""
    tiny = HERE / "fsrt" / "tiny.npz"
    errors = measure(tiny, HERE / "fsrt" / "tiny_keys.json", "T", precision)
    assert set(errors) == QUANTITIES
    decoded = {name: errors.pop(name) for name in ("rgb_absolute", "rgb_relative")}
    assert max(errors.values()) < 1e-4, errors  # all but the pixels is float32 whatever the precision
    assert max(decoded.values()) < bound, decoded
