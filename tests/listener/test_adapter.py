from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import WanTransformer3DModel

from headgen.listener.adapter import CTMAdapter, SpeakerCondition, SpeakerTokens, speaker_condition
from headgen.listener.track import SpeakerTrack
from headgen.listener.transformer import ListenerTransformer

FRAMES, ROWS = 6, 24  # latent frames, and rows of the speaker: four to each


def tiny_adapter(open_gates: bool = True, **options) -> CTMAdapter:
    torch.manual_seed(0)
    sizes = {"base_width": 32, "layers": (0, 1), "audio_width": 5, "motion_width": 4, "width": 16, "heads": 2}
    adapter = CTMAdapter(**sizes | {"encoder_layers": 2, "kernel": 3, "window_frames": 9} | options)
    if open_gates:
        for name, parameter in adapter.named_parameters():
            if name.endswith("gate"):
                torch.nn.init.constant_(parameter, 0.7)
    return adapter.eval()


def tiny_base() -> ListenerTransformer:
    """A small base whose zero layers have learnt something."""
    torch.manual_seed(1)
    base = ListenerTransformer(
        width=32, heads=2, layers=2, token_width=5, places=[(0, 0), (0, 1)], window=4, portrait_width=6
    )
    for parameter in base.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return base.eval()


def track(seed: int = 2, rows: int = ROWS) -> SpeakerTrack:
    rng = np.random.default_rng(seed)
    audio, motion = rng.normal(size=(rows, 5)), rng.normal(size=(rows, 4))
    there = np.ones(rows, bool)
    return SpeakerTrack(audio.astype(np.float32), motion.astype(np.float32), there, there)


def speaker(**keep) -> SpeakerCondition:
    return speaker_condition([track(2), track(3)], **keep)


def some_rows(condition: SpeakerCondition, rows: slice) -> SpeakerCondition:
    per_row = ("audio", "motion", "heard", "seen")
    return replace(condition, **{name: getattr(condition, name)[:, rows] for name in per_row})


def hidden(frames: int = FRAMES) -> torch.Tensor:
    return torch.randn(2, frames, 2, 32, generator=torch.Generator().manual_seed(4))


def latents(frames: int = FRAMES) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    noisy = torch.randn(2, frames, 2, 5, generator=generator)
    return noisy, torch.rand(2, frames, generator=generator), torch.randn(2, 3, 6, generator=generator)


def generate(base, adapter=None, tokens=None, **options) -> torch.Tensor:
    noisy, sigma, portrait = latents()
    return base(noisy, sigma, base.encode(portrait), adapter=adapter, speaker=tokens, **options)


@torch.no_grad()
def block(adapter: CTMAdapter, condition: SpeakerCondition, x: torch.Tensor) -> torch.Tensor:
    return adapter.block(0, x, adapter.encode(condition))


@torch.no_grad()
def test_inserted_it_leaves_the_base_as_it_was():
    base, adapter = tiny_base(), tiny_adapter(open_gates=False)
    alone = generate(base)
    assert torch.equal(generate(base, adapter, adapter.encode(speaker())), alone)
    opened = tiny_adapter()
    assert not torch.allclose(generate(base, opened, opened.encode(speaker())), alone, atol=1e-3)


@pytest.mark.parametrize("cue", ["audio", "motion", "heard", "seen"])
@torch.no_grad()
def test_later_rows_of_the_speaker_change_nothing_before_them(cue):
    base, adapter = tiny_base(), tiny_adapter()
    before = generate(base, adapter, adapter.encode(speaker()))
    changed = speaker()
    rows = getattr(changed, cue)
    rows[:, 12:] = ~rows[:, 12:] if rows.dtype == torch.bool else 50.0
    after = generate(base, adapter, adapter.encode(changed))
    assert torch.equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).flatten(2).any(-1).all()


@pytest.mark.parametrize(("first_frames", "ends"), [(None, [4, 8, 12, 16]), (1, [1, 5, 9, 13])])
def test_sees_rows_up_to_the_end_of_a_latent_frame_within_the_window(first_frames, ends):
    adapter = tiny_adapter(encoder_layers=0, first_frames=first_frames)
    before = block(adapter, speaker(), hidden(4))
    seen = torch.zeros(4, ROWS, dtype=torch.bool)
    for row in range(ROWS):
        changed = speaker()
        changed.audio[:, row] += 1
        seen[:, row] = (block(adapter, changed, hidden(4)) != before).flatten(2).any(-1).any(0)
    for frame, end in enumerate(ends):
        assert seen[frame].nonzero().flatten().tolist() == list(range(max(0, end - 9), end))


@torch.no_grad()
def test_history_is_what_a_segment_needs():
    adapter = tiny_adapter(window_frames=6)
    assert adapter.history == 8
    whole = adapter.block(0, hidden(3), adapter.encode(speaker()), start=3)
    first = 4 * 3 - adapter.history
    cut = adapter.encode(some_rows(speaker(), slice(first, None)), first)
    torch.testing.assert_close(adapter.block(0, hidden(3), cut, start=3), whole, atol=1e-5, rtol=0)
    short = adapter.encode(some_rows(speaker(), slice(first + 1, None)), first + 1)
    assert not torch.allclose(adapter.block(0, hidden(3), short, start=3), whole, atol=1e-5)


@torch.no_grad()
def test_time_is_relative():
    adapter = tiny_adapter()
    now = adapter.block(1, hidden(), adapter.encode(speaker()))
    hour = adapter.block(1, hidden(), adapter.encode(speaker(), first=4 * 22_500), start=22_500)
    torch.testing.assert_close(hour, now, atol=1e-5, rtol=0)


@torch.no_grad()
def test_streamed_is_whole_and_old_tokens_stay():
    adapter = tiny_adapter()
    whole = adapter.encode(speaker())
    streamed: SpeakerTokens | None = None
    for first in range(0, ROWS, 4):
        past = streamed
        streamed = adapter.encode(some_rows(speaker(), slice(first, first + 4)), past=past)
        frame = first // 4
        x = hidden()[:, frame : frame + 1]
        y, expected = (adapter.block(0, x, tokens, start=frame) for tokens in (streamed, whole))
        torch.testing.assert_close(y, expected, atol=1e-5, rtol=0)
        if past is not None:
            for old, new in zip(past.keys_values[1], streamed.keys_values[1], strict=True):
                kept = slice(streamed.first - past.first, None)
                assert torch.equal(new[:, :, :-4], old[:, :, kept])
    assert streamed is not None and (streamed.first, streamed.end) == (11, 24)
    with pytest.raises(ValueError, match="need speaker tokens"):
        adapter.block(0, hidden(1), streamed, start=3)  # row 7 of its window is no longer held
    with pytest.raises(ValueError, match="need speaker tokens"):
        adapter.block(0, hidden(1), streamed, start=6)  # has not been said yet


@torch.no_grad()
def test_cached_generation_is_uncached():
    base, adapter = tiny_base(), tiny_adapter()
    noisy, _, portrait = latents()
    clean, tokens, context = torch.zeros(2, FRAMES), adapter.encode(speaker()), base.encode(portrait)
    whole = base(noisy, clean, context, adapter=adapter, speaker=tokens)
    cache, heard = base.new_cache(2), None
    for t in range(FRAMES):
        heard = adapter.encode(some_rows(speaker(), slice(4 * t, 4 * t + 4)), past=heard)
        now = slice(t, t + 1)
        options = {"adapter": adapter, "speaker": heard, "cache": cache, "start": t, "keep": True}
        part = base(noisy[:, now], clean[:, now], context, **options)
        torch.testing.assert_close(part, whole[:, now], atol=1e-5, rtol=0)


def test_what_is_withheld_or_absent_has_no_influence():
    adapter, x = tiny_adapter(), hidden()
    other = speaker_condition([track(7), track(8)])
    swapped_audio = replace(speaker(), audio=other.audio)
    swapped_motion = replace(speaker(), motion=other.motion)
    for swapped, keep, there in (
        (swapped_audio, "keep_audio", "heard"),
        (swapped_motion, "keep_motion", "seen"),
    ):
        given = block(adapter, speaker(), x)
        assert not torch.allclose(block(adapter, swapped, x), given, atol=1e-3)
        withheld = {keep: torch.tensor([True, False])}
        a, b = (block(adapter, replace(c, **withheld), x) for c in (speaker(), swapped))
        assert torch.equal(a[1], b[1]) and not torch.allclose(a[0], b[0], atol=1e-3)
        assert torch.equal(a[0], given[0])  # the other sample keeps its own
        absent = {there: torch.zeros(2, ROWS, dtype=torch.bool)}
        c, d = (block(adapter, replace(c, **absent), x) for c in (speaker(), swapped))
        assert torch.equal(c, d)
        assert not torch.allclose(c[1], a[1], atol=1e-3)  # nobody spoke is not the same as not to know


def test_tracks_become_a_batch():
    silent = track(3).unheard()
    condition = speaker_condition([track(2), silent], keep_audio=False, keep_motion=[True, False])
    assert condition.audio.shape == (2, ROWS, 5) and condition.motion.shape == (2, ROWS, 4)
    assert condition.heard.all(1).tolist() == [True, False] and condition.seen.all()
    assert condition.keep_audio.tolist() == [False, False]
    assert condition.keep_motion.tolist() == [True, False]


def test_training_it_changes_it_alone():
    base, adapter = tiny_base(), tiny_adapter(open_gates=False).train()
    base.requires_grad_(False)
    before = {name: p.clone() for name, p in (base.state_dict() | adapter.state_dict()).items()}
    optimiser = torch.optim.AdamW([*base.parameters(), *adapter.parameters()], lr=1e-2)
    for _ in range(2):
        optimiser.zero_grad()
        generate(base, adapter, adapter.encode(speaker())).square().mean().backward()
        optimiser.step()
    assert all(torch.equal(p, before[name]) for name, p in base.state_dict().items())
    changed = {name for name, p in adapter.state_dict().items() if not torch.equal(p, before[name])}
    never_met = {f"encoder.{name}" for name in ("unheard", "unseen", "withheld_audio", "withheld_motion")}
    assert set(adapter.state_dict()) - changed <= never_met


def test_gradient_reaches_every_parameter_through_open_gates():
    base, adapter = tiny_base(), tiny_adapter()
    condition = speaker(keep_audio=[True, False], keep_motion=[False, True])
    condition.heard[:, ::2] = False
    condition.seen[:, 1::2] = False
    generate(base, adapter, adapter.encode(condition)).square().sum().backward()
    assert [name for name, p in adapter.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_trains_after_a_validation_in_inference_mode():
    adapter = tiny_adapter(window_frames=7)
    with torch.inference_mode():
        adapter.block(0, hidden(), adapter.encode(speaker()))
    adapter.block(0, hidden(), adapter.encode(speaker())).sum().backward()


@torch.no_grad()
def test_saved_and_loaded_is_the_same(tmp_path):
    base, adapter = tiny_base(), tiny_adapter(layers=(1,), first_frames=1)
    adapter.save_pretrained(tmp_path)
    again = CTMAdapter.from_pretrained(tmp_path)
    ours, theirs = (generate(base, a, a.encode(speaker())) for a in (adapter, again))
    assert torch.equal(ours, theirs)
    assert not torch.allclose(ours, generate(base))


def tiny_wan() -> WanTransformer3DModel:
    torch.manual_seed(6)
    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=8,
        freq_dim=16,
        ffn_dim=16,
        num_layers=3,
        rope_max_seq_len=16,
    ).eval()


def test_adapts_a_base_of_somebody_else_from_outside():
    wan, adapter = tiny_wan(), tiny_adapter(open_gates=False, base_width=24, layers=(0, 2), first_frames=1)
    wan.requires_grad_(False)
    generator = torch.Generator().manual_seed(7)
    video, text = torch.randn(2, 4, FRAMES, 4, 8, generator=generator), torch.randn(2, 3, 8)

    def run() -> torch.Tensor:
        return wan(video, torch.tensor([500, 500]), text, return_dict=False)[0]

    alone = run()
    with adapter.attach(wan.blocks) as attachment:
        assert torch.equal(run(), alone)
        attachment.listen(adapter.encode(speaker()), FRAMES)
        assert torch.equal(run(), alone)
        optimiser = torch.optim.SGD(adapter.parameters(), lr=1.0)
        run().square().mean().backward()
        assert all(p.grad is None for p in wan.parameters())
        optimiser.step()
        attachment.listen(adapter.encode(speaker()), FRAMES)
        heard = run()
        assert not torch.equal(heard, alone)
        later = speaker()
        later.audio[:, 4 * FRAMES - 3 :] = 9.0  # after the last latent frame, whose first is of one row
        attachment.listen(adapter.encode(later), FRAMES)
        assert torch.equal(run(), heard)
    assert torch.equal(run(), alone)
