"""The embedded network, at a size that takes milliseconds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_fsrt_small import tiny_network

from headgen.fsrt.small import CENTRE, FSRTSmall, warp

G = 128


@pytest.fixture(scope="module")
def model():
    net = tiny_network()
    for p in net.parameters():  # no head may be at its zero start
        torch.nn.init.normal_(p, std=0.05) if p.dim() > 1 else None
    return net.eval()


@pytest.fixture(scope="module")
def inputs():
    g = torch.Generator().manual_seed(1)

    def rand(*shape):
        return torch.rand(*shape, generator=g)

    return {
        "images": rand(1, 2, 3, 256, 256),
        "maps": rand(1, 2, 8, G, G),
        "targets": rand(3, 8, G, G),
        "prior": 0.1 * (rand(3, 2, G, G) - 0.5),
        "scalars": rand(3, 60),
        "window": torch.ones(G, G),
    }


def decode(model, state, x, rows=slice(None), region=None):
    with torch.no_grad():
        return model(
            state, x["targets"][rows], x["prior"][rows], x["scalars"][rows], x["window"], region or CENTRE
        )


def encode(model, x, sources=slice(0, 1), primary=0):
    with torch.no_grad():
        return model.encode(x["images"][:, sources], x["maps"][:, sources], primary)


def test_frames_of_a_batch_equal_single_frames(model, inputs):
    state = encode(model, inputs)
    together = decode(model, state, inputs)
    for i in range(3):
        alone = decode(model, state, inputs, slice(i, i + 1))
        torch.testing.assert_close(together.image[i : i + 1], alone.image, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(together.flow[i : i + 1], alone.flow, atol=1e-5, rtol=1e-4)


def test_a_region_is_the_same_part_of_the_whole(model, inputs):
    state = encode(model, inputs)
    whole = decode(model, state, inputs)
    part = decode(model, state, inputs, region=(16, 8, 32))
    inner = (
        slice(None),
        slice(None),
        slice(12, -12),
        slice(12, -12),
    )  # away from the cut, where padding differs
    top, left = 4 * (16 - CENTRE[0]), 4 * (8 - CENTRE[1])
    same = whole.image[..., top : top + 128, left : left + 128]
    torch.testing.assert_close(part.image[inner], same[inner], atol=1e-4, rtol=1e-3)


def test_around_the_centre_the_prior_moves_the_picture_and_nothing_jumps(model, inputs):
    state = encode(model, inputs)
    part = decode(model, state, inputs)
    out = model.whole(state, inputs["prior"], inputs["window"], part)
    assert out.image.shape == (3, 3, 256, 256)
    top, left, side = CENTRE
    learnt = out.flow - inputs["prior"]
    outside = torch.ones(G, G, dtype=torch.bool)
    outside[2 * top : 2 * (top + side), 2 * left : 2 * (left + side)] = False
    assert learnt[..., outside].abs().max() == 0
    assert learnt.abs().max() > 1e-3
    border = learnt[..., 2 * top, :]
    assert border.abs().max() < 0.05 * learnt.abs().max()
    inner = out.image[..., 4 * top : 4 * (top + side), 4 * left : 4 * (left + side)]
    assert torch.equal(inner, part.image)


def test_more_sources_change_the_result_and_their_order_only_by_the_primary(model, inputs):
    one = decode(model, encode(model, inputs), inputs)
    two = decode(model, encode(model, inputs, slice(0, 2)), inputs)
    assert (one.image - two.image).abs().max() > 1e-6
    swapped = {**inputs, "images": inputs["images"].flip(1), "maps": inputs["maps"].flip(1)}
    again = decode(model, encode(model, swapped, slice(0, 2), primary=1), inputs)
    torch.testing.assert_close(two.image, again.image, atol=1e-5, rtol=1e-4)


def test_nothing_changes_at_the_border_of_the_window(model, inputs):
    x = {**inputs, "window": torch.zeros(G, G)}
    out = decode(model, encode(model, inputs), x)
    top, left, side = (4 * v for v in CENTRE)
    same = inputs["images"][:, 0, :, top : top + side, left : left + side].expand(3, -1, -1, -1)
    torch.testing.assert_close(out.image, same, atol=1e-4, rtol=0)


def test_saved_and_loaded_model_gives_the_same_frames(model, inputs, tmp_path):
    model.save_pretrained(tmp_path)
    again = FSRTSmall.from_pretrained(tmp_path).eval()
    a, b = (decode(m, encode(m, inputs), inputs).image for m in (model, again))
    assert torch.equal(a, b)


def test_warp_by_one_pixel_shifts_the_picture():
    image = torch.arange(64.0).reshape(1, 1, 8, 8)
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, 0] = 2 / 8  # one pixel to the right in the source
    moved = warp(image, flow)
    np.testing.assert_allclose(moved[0, 0, :, :-1], image[0, 0, :, 1:], atol=1e-4)


def test_where_another_part_would_be_copied_the_network_draws(model, inputs):
    maps = inputs["maps"][:, :1].clone()
    maps[:, :, 4:6] = 0  # mouth and eyes of the source are shut
    with torch.no_grad():
        state = model.encode(inputs["images"][:, :1], maps)
        target, still = maps[:, 0].clone(), torch.zeros_like(inputs["prior"][:1])
        shut = model(state, target, still, inputs["scalars"][:1], inputs["window"])
        target[:, 4, 60:70, 50:78] = 1  # the target's mouth opens
        opened = model(state, target, still, inputs["scalars"][:1], inputs["window"])
    top, left = (4 * v for v in CENTRE[:2])
    mouth = np.s_[..., 124 - top : 136 - top, 104 - left : 152 - left]
    assert shut.mask[mouth].min() > 0.5
    assert opened.mask[mouth].max() < 0.05
    beside = np.s_[..., 60 - top : 100 - top, :]
    torch.testing.assert_close(opened.mask[beside], shut.mask[beside], atol=0.1, rtol=0)
