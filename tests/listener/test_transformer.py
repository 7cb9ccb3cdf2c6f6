import pytest
import torch

from headgen.listener.transformer import ListenerTransformer
from headgen.listener.wishes import TextTokens

PLACES = [(-0.5, 0.0), (0.1, 0.3), (0.5, 0.0)]
FRAMES = 9


def tiny(block: int = 1, window: int = 4) -> ListenerTransformer:
    """A small network whose zero layers have learnt something."""
    torch.manual_seed(0)
    model = ListenerTransformer(
        width=32,
        heads=2,
        layers=2,
        mlp_ratio=2,
        token_width=5,
        places=PLACES,
        block=block,
        window=window,
        portrait_width=6,
        text_width=7,
    )
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def inputs(frames: int = FRAMES, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(batch, frames, len(PLACES), 5, generator=generator)
    sigma = torch.rand(batch, frames, generator=generator)
    return latents, sigma, torch.randn(batch, 4, 6, generator=generator)


@torch.no_grad()
def run(model: ListenerTransformer, latents, sigma, portrait, **options) -> torch.Tensor:
    return model(latents, sigma, model.encode(portrait), **options)


def test_predicts_zeros_before_training():
    model = ListenerTransformer(width=32, heads=2, layers=1, places=PLACES, token_width=5, portrait_width=6)
    assert not run(model, *inputs()).any()


@pytest.mark.parametrize("block", [1, 3])
def test_later_latents_and_noise_levels_change_nothing_before_them(block):
    model = tiny(block, window=6)
    latents, sigma, portrait = inputs()
    before = run(model, latents, sigma, portrait)
    latents[:, 6:] = 100.0
    sigma[:, 6:] = 0.0
    after = run(model, latents, sigma, portrait)
    assert torch.equal(before[:, :6], after[:, :6])
    assert (before[:, 6:] != after[:, 6:]).any(-1).all()


def test_sees_its_block_and_the_window_and_no_more():
    model = tiny(block=2, window=4)
    model.blocks = model.blocks[:1]  # one block of the network: what a frame sees is what it attends to
    latents, sigma, portrait = inputs(frames=8)
    before = run(model, latents, sigma, portrait)
    seen = torch.zeros(8, 8, dtype=torch.bool)
    for key in range(8):
        changed = latents.clone()
        changed[:, key] += 1
        seen[:, key] = (run(model, changed, sigma, portrait) != before).flatten(2).any(-1).any(0)
    for query in range(8):
        end = 2 * (query // 2 + 1)
        assert seen[query].nonzero().flatten().tolist() == list(range(max(0, end - 4), end))


@pytest.mark.parametrize(("block", "at_once"), [(1, 1), (2, 2), (2, 4)])
def test_cached_is_uncached_for_longer_than_the_window(block, at_once):
    model = tiny(block, window=4)
    latents, _, portrait = inputs(frames=20)
    clean = torch.zeros(2, 20)
    whole = run(model, latents, clean, portrait)
    cache, context = model.new_cache(batch=2), model.encode(portrait)
    size = cache.keys.numel()
    parts = []
    for start in range(0, 20, at_once):
        now = slice(start, start + at_once)
        with torch.no_grad():
            noisy = model(latents[:, now] + 1, clean[:, now] + 0.5, context, cache=cache, start=start)
            parts.append(model(latents[:, now], clean[:, now], context, cache=cache, start=start, keep=True))
        assert not torch.allclose(noisy, parts[-1])
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=0)
    assert cache.keys.numel() == size and cache.frames == 4 - block


def test_a_cache_takes_frames_in_order_only():
    model = tiny()
    latents, sigma, portrait = inputs(frames=2)
    cache = model.new_cache(batch=2)
    run(model, latents, sigma, portrait, cache=cache, start=10, keep=True)
    with pytest.raises(ValueError, match="goes on at latent frame 12"):
        run(model, latents, sigma, portrait, cache=cache, start=10)
    with pytest.raises(ValueError, match="at most 4"):
        run(model, *inputs(frames=9), cache=cache, start=12)


def test_time_is_relative():
    model = tiny()
    first = run(model, *inputs())
    torch.testing.assert_close(run(model, *inputs(), start=22_500), first, atol=1e-5, rtol=0)


def test_noise_level_of_a_frame_is_its_own():
    model = tiny(window=1)
    latents, sigma, portrait = inputs()
    before = run(model, latents, sigma, portrait)
    sigma[:, 3] = 1 - sigma[:, 3]
    changed = (run(model, latents, sigma, portrait) != before).flatten(2).any(-1)
    assert changed.nonzero()[:, 1].tolist() == [3, 3]


def test_batched_is_single_and_the_portrait_matters():
    model = tiny()
    latents, sigma, portrait = inputs()
    both = run(model, latents, sigma, portrait)
    single = run(model, latents[1:], sigma[1:], portrait[1:])
    torch.testing.assert_close(both[1:], single, atol=1e-5, rtol=0)
    assert not torch.allclose(both, run(model, latents, sigma, portrait.flip(0)), atol=1e-3)


def made_up_text(start, end):
    tokens = torch.randn(2, len(start[0]), 7, generator=torch.Generator().manual_seed(2))
    return TextTokens(tokens, torch.tensor(start), torch.tensor(end))


@torch.no_grad()
def test_text_is_read_by_the_frames_that_it_is_for():
    model = tiny(window=1)
    latents, sigma, portrait = inputs()

    def said(text=None, start=0, frames=slice(None)):
        context = model.encode(portrait, text)
        return model(latents[:, frames], sigma[:, frames], context, start=start)

    silent = said()
    text = made_up_text([[0, 2], [0, 0]], [[2, 4], [0, 10**9]])
    heard = said(text)
    torch.testing.assert_close(heard[0, 4:], silent[0, 4:], atol=1e-5, rtol=0)
    only_first = TextTokens(text.tokens[:, :1], text.start[:, :1], text.end[:, :1])
    torch.testing.assert_close(heard[0, :2], said(only_first)[0, :2], atol=1e-5, rtol=0)
    for row, frames in ((0, slice(0, 2)), (0, slice(2, 4)), (1, slice(None))):
        assert not torch.allclose(heard[row, frames], silent[row, frames], atol=1e-3)
    # A part of a video reads what its own frames read.
    torch.testing.assert_close(said(text, 2, slice(2, None)), heard[:, 2:], atol=1e-4, rtol=0)


@torch.no_grad()
def test_only_a_network_that_was_told_sides_reads_them():
    model = tiny(window=1)
    latents, sigma, portrait = inputs()
    text = made_up_text([[0, 0]] * 2, [[9, 9]] * 2)
    mirrored = TextTokens(-text.tokens, text.start, text.end)

    def said(text):
        return model(latents, sigma, model.encode(portrait, text))

    assert torch.equal(said(text), said(mirrored))
    model.register_to_config(sided=True)
    assert not torch.allclose(said(text), said(mirrored), atol=1e-3)


def test_saved_and_loaded_is_the_same(tmp_path):
    model = tiny(block=3, window=6)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "diffusion_pytorch_model.safetensors").exists()
    again = ListenerTransformer.from_pretrained(tmp_path)
    assert torch.equal(run(again, *inputs()), run(model, *inputs()))


def test_gradient_reaches_every_parameter():
    model = tiny()
    latents, sigma, portrait = inputs()
    text = made_up_text([[0] * 3] * 2, [[2] * 3, [0] * 3])
    model(latents, sigma, model.encode(portrait, text)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_trains_after_a_validation_in_inference_mode():
    model = tiny(window=5)
    latents, sigma, portrait = inputs(frames=7)
    with torch.inference_mode():
        model(latents, sigma, model.encode(portrait))
    model(latents, sigma, model.encode(portrait)).sum().backward()


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="width=36"):
        ListenerTransformer(width=36, heads=4)
    with pytest.raises(ValueError, match="window=2"):
        ListenerTransformer(block=3, window=2)
    with pytest.raises(ValueError, match="start=1"):
        run(tiny(block=2), *inputs(), start=1)
