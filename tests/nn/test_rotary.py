import math

import pytest
import torch

from headgen.nn.rotary import RotaryAxis, rotary_turns, rotate

AXES = [RotaryAxis(4, 4, 200), RotaryAxis(2, 0.5, 8), RotaryAxis(2, 0.5, 8)]


def places(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, generator=generator, dtype=torch.float64) * torch.tensor([40, 2, 2])


def scores(queries: torch.Tensor, keys: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    turns = rotary_turns(positions, AXES)
    q, k = rotate(queries, turns), rotate(keys, turns)
    return torch.einsum("bnhk,bmhk->bhnm", q, k)


def test_scores_depend_on_distances_only_even_after_an_hour():
    q, k = torch.randn(2, 1, 9, 2, 16, generator=torch.Generator().manual_seed(1))
    near = scores(q, k, places(9))
    later = scores(q, k, places(9) + torch.tensor([90_000, 0.3, -0.2]))
    torch.testing.assert_close(near, later, atol=1e-4, rtol=0)
    moved = places(9)
    moved[0, 0] += 1
    assert (scores(q, k, moved) - near)[..., 0, 1:].abs().max() > 0.1


def test_each_axis_turns_its_own_share():
    here, there = torch.zeros(1, 3), torch.tensor([[0, 0.1, 0]])
    x = torch.randn(1, 1, 1, 16, generator=torch.Generator().manual_seed(2))
    moved = rotate(x, rotary_turns(here, AXES)) != rotate(x, rotary_turns(there, AXES))
    assert moved[..., 8:12].all() and not moved[..., :8].any() and not moved[..., 12:].any()


def test_waves_are_as_long_as_asked_for():
    axis = RotaryAxis(5, 4, 64)
    waves = 2 * math.pi / axis.speeds()
    assert waves.tolist() == pytest.approx([4, 8, 16, 32, 64])
    whole_turn = rotary_turns(torch.tensor([[64.0]]), [axis])
    torch.testing.assert_close(whole_turn, torch.ones(1, 5, dtype=torch.complex64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_length_and_dtype_stay(dtype):
    x = torch.randn(2, 9, 2, 16, generator=torch.Generator().manual_seed(3)).to(dtype)
    y = rotate(x, rotary_turns(places(9), AXES))
    assert y.dtype == dtype
    torch.testing.assert_close(y.float().norm(dim=-1), x.float().norm(dim=-1), rtol=1e-2, atol=1e-2)
