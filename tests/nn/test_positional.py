"""Positional encodings: official order, float32, and the pixel-centre convention."""

from __future__ import annotations

import math

import pytest
import torch

from headgen.nn import pixel_grid, sinusoidal_encoding


def test_order_is_sines_by_dimension_then_cosines():
    code = sinusoidal_encoding(torch.tensor([0.5, -0.25]), octaves=2)
    angles = [0.25 * math.pi, 0.5 * math.pi, -0.125 * math.pi, -0.25 * math.pi]
    expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    assert code.tolist() == pytest.approx(expected, abs=1e-6)


def test_stays_float32_under_autocast_and_for_half_precision_input():
    positions = pixel_grid(8, 8)
    exact = sinusoidal_encoding(positions, 16)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(sinusoidal_encoding(positions, 16), exact)
    assert sinusoidal_encoding(positions.bfloat16(), 16).dtype == torch.float32


def test_pixel_centres():
    grid = pixel_grid(2, 4)
    assert grid[0, :, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert grid[:, 0, 1].tolist() == [-0.5, 0.5]
