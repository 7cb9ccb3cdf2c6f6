"""The engine decodes what the network defines, whatever the batches, bands and number of sources."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headgen.errors import InputError
from headgen.fsrt.full_engine import FullEngine
from headgen.fsrt.model import CONFIGS, FSRT
from headgen.nn import pixel_grid


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = FSRT.from_config_name("debug")
    for p in net.parameters():  # livelier than the default start, so that errors would show
        if p.dim() > 1:
            torch.nn.init.normal_(p, std=1.4 / p[0].numel() ** 0.5)
    return net.eval()


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)


def by_definition(model, sources, driving):
    def images(x):
        return torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255

    grid = pixel_grid(32, 32).view(1, -1, 2)
    with torch.inference_mode():
        frames = [model(images(sources)[None], images(driving[i : i + 1]), grid) for i in range(len(driving))]
    return torch.cat(frames).view(-1, 32, 32, 3).numpy()


@pytest.mark.parametrize("sources", [1, 3])
def test_engine_agrees_with_the_network(model, pictures, sources):
    engine = FullEngine(model, "fp32", "cpu")
    state = engine.encode(pictures[:sources])
    made = engine.decode(state, *engine.motion(pictures[3:]))
    expected = by_definition(model, pictures[:sources], pictures[3:])
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, atol=1e-4 * expected.std())


def test_more_sources_change_the_picture(model, pictures):
    engine = FullEngine(model, "fp32", "cpu")
    motion = engine.motion(pictures[3:4])
    one = engine.decode(engine.encode(pictures[:1]), *motion)
    two = engine.decode(engine.encode(pictures[:2]), *motion)
    assert np.abs(one - two).max() > 0.01 * one.std()


@pytest.mark.parametrize("band", [1, 96, 5000])
def test_bands_do_not_show(model, pictures, band):
    whole = FullEngine(model, "fp32", "cpu", band=1024)
    parts = FullEngine(model, "fp32", "cpu", band=band)
    state = whole.encode(pictures[:1])
    motion = whole.motion(pictures[1:4])
    expected = whole.decode(state, *motion)
    np.testing.assert_allclose(parts.decode(state, *motion), expected, atol=1e-5 * expected.std())


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_frames_do_not_depend_on_their_batch(model, pictures, precision):
    try:
        engine = FullEngine(model, precision, "cpu")
    except InputError:
        pytest.skip("no AVX-512 VNNI")
    state = engine.encode(pictures[:1])
    keypoints, expression = engine.motion(pictures[1:])
    together = engine.decode(state, keypoints, expression)
    alone = np.concatenate(
        [engine.decode(state, keypoints[i : i + 1], expression[i : i + 1]) for i in range(len(keypoints))]
    )
    np.testing.assert_allclose(alone, together, atol=1e-5 * together.std())


def test_relative_motion_starts_at_the_source_and_scales(model):
    source, start, moved = (torch.rand(4, 2, generator=torch.Generator().manual_seed(i)) for i in range(3))
    frames = torch.stack([start, moved])
    made = FullEngine.relative(frames, start, source, 0.5)
    assert torch.equal(made[0], source)
    torch.testing.assert_close(made[1] - source, (moved - start) / 2)


def test_movement_scale_is_the_ratio_of_sizes():
    points = torch.rand(10, 2, generator=torch.Generator().manual_seed(0))
    assert FullEngine.movement_scale(points * 3 + 0.2, points) == pytest.approx(3, rel=1e-5)
    assert FullEngine.movement_scale(points[None], points[None] * 2) == pytest.approx(0.5, rel=1e-5)


def test_bf16_is_close(model, pictures):
    engines = [FullEngine(model, precision, "cpu") for precision in ("fp32", "bf16")]
    state = engines[0].encode(pictures[:1])
    motion = engines[0].motion(pictures[1:3])
    exact, rounded = (engine.decode(state, *motion) for engine in engines)
    assert 0 < np.abs(exact - rounded).max() < 0.1 * exact.std()


def test_pictures_of_another_size_are_refused(model):
    with pytest.raises(ValueError, match=r"\(N, 32, 32, 3\)"):
        FullEngine(model, "fp32", "cpu").encode(np.zeros((1, 64, 64, 3), np.uint8))


def test_unknown_precision_and_device_are_refused(model):
    with pytest.raises(InputError, match="fp8"):
        FullEngine(model, "fp8", "cpu")
    with pytest.raises(InputError, match="quantum"):
        FullEngine(model, "fp32", "quantum")


def test_unknown_configuration_lists_the_known():
    with pytest.raises(ValueError, match="vox256-small-decoder"):
        FSRT.from_config_name("vox512")


def test_official_sizes():
    with torch.device("meta"):
        model = FSRT.from_config_name("vox256")
        small = FSRT(**CONFIGS["vox256-small-decoder"])

    def millions(module):
        return round(sum(p.numel() for p in module.parameters()) / 1e6, 2)

    found = [millions(m) for m in (model.detector, model.expression_encoder, model.encoder, model.decoder)]
    assert found == [14.15, 2.56, 29.77, 15.31]
    assert millions(small.decoder) == 6.01


def test_every_part_learns(model, pictures):
    net = FSRT.from_config_name("debug")
    images = torch.rand(2, 2, 3, 32, 32)
    pixels = pixel_grid(32, 32).view(1, -1, 2).expand(2, -1, -1)[:, ::7]
    net(images, images[:, 0], pixels).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters() if p.dim() > 1)
