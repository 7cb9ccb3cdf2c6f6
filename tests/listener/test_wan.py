"""A listener on Wan's own classes, tiny and random: bit-identity, length, causality, guidance, saving."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler
from tiny_listener import made_up_speaker
from tiny_wan import (
    LENGTH,
    SIZE,
    TEXT,
    embeds,
    picture,
    tiny_adapter,
    tiny_pipeline,
    tiny_transformer,
    tiny_vae,
    write_tiny_base,
)

from headgen.errors import InputError, WeightsError
from headgen.listener.adapter import speaker_condition
from headgen.listener.gen import Guidance
from headgen.listener.wan import (
    AnchoredAttachment,
    hear,
    load_wan_pipeline,
    rows_of,
    token_timesteps,
)
from headgen.listener.wan_base import (
    Recipe,
    WanAddition,
    add_lora,
    load_transformer,
    load_vae,
    lora_parameters,
)
from headgen.listener.wan_latents import decode_blocks, encode_video, square_picture

FRAMES = 34  # video frames: 10 latent frames, in windows of 6
OPTIONS = {"window": 6, "past": 2, "num_inference_steps": 2}


def make(pipeline, speaker=None, frames=FRAMES, **options):
    return pipeline(
        [made_up_speaker(frames) if speaker is None else speaker], [picture()], frames=frames,
        generator=torch.Generator().manual_seed(0), **{**OPTIONS, **options},
    )  # fmt: skip


def changed_from(track, row):
    audio, motion = track.audio.copy(), track.motion.copy()
    audio[row:] += 3
    motion[row:] -= 3
    return replace(track, audio=audio, motion=motion)


@torch.no_grad()
def run_base(transformer, adapter=None, track=None, latent_frames=4):
    """The base alone, or with the adapter, on a window of the portrait and `latent_frames` more."""
    generator = torch.Generator().manual_seed(6)
    noisy = torch.randn(1, 4, 1 + latent_frames, 4, 4, generator=generator)
    clean = (torch.arange(1 + latent_frames) < 1)[None]
    times = token_timesteps(torch.tensor([500.0]), clean, 4)
    with AnchoredAttachment(adapter or tiny_adapter(), list(transformer.blocks)) as attachment:
        if adapter is not None:
            track = made_up_speaker(17) if track is None else track
            rows = rows_of(track, 1, latent_frames, adapter.history)
            heard = hear(adapter, speaker_condition([rows]))
            attachment.listen(heard, latent_frames, start=1)
        return transformer(noisy, times, embeds(), return_dict=False)[0]


def test_inserted_it_leaves_the_base_as_it_was():
    base = tiny_transformer()
    alone = run_base(base)
    assert torch.equal(run_base(base, tiny_adapter(open_gates=False)), alone)
    assert not torch.allclose(run_base(base, tiny_adapter()), alone, atol=1e-3)
    pytest.importorskip("peft")
    add_lora(base, rank=2, alpha=2)
    assert torch.equal(run_base(base, tiny_adapter(open_gates=False)), alone)


def test_a_video_has_its_frames_its_portrait_and_its_speaker():
    pipeline = tiny_pipeline()
    made = make(pipeline)
    assert made.videos.shape == (1, FRAMES, SIZE, SIZE, 3) and made.videos.dtype == np.uint8
    assert made.latents.shape == (1, 4, 10, 4, 4)
    portrait = torch.from_numpy(picture()).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1
    assert torch.equal(made.latents[:, :, :1], encode_video(pipeline.vae, portrait))
    assert torch.equal(make(pipeline).latents, made.latents)
    other = make(pipeline, made_up_speaker(FRAMES, seed=9))
    assert torch.equal(other.latents[:, :, 0], made.latents[:, :, 0])
    assert not torch.allclose(other.latents[:, :, 1:], made.latents[:, :, 1:], atol=1e-3)
    for few in (1, 2):
        assert make(pipeline, frames=few).videos.shape[1] == few


def test_streamed_is_whole_and_a_longer_video_begins_the_same():
    pipeline = tiny_pipeline()
    whole = make(pipeline).videos
    blocks = list(
        pipeline.stream(
            [made_up_speaker(FRAMES)], [picture()], generator=torch.Generator().manual_seed(0), **OPTIONS
        )
    )
    assert [block.shape[1] for block in blocks] == [21, 12, 1]
    assert np.array_equal(np.concatenate(blocks, 1), whole)
    longer = make(pipeline, made_up_speaker(FRAMES + 40), frames=FRAMES + 40)
    same = make(pipeline, made_up_speaker(FRAMES + 40), frames=33)
    assert np.array_equal(longer.videos[:, :33], same.videos)


def test_pictures_of_a_block_know_the_speaker_up_to_its_end_and_no_further():
    pipeline, track = tiny_pipeline(), made_up_speaker(FRAMES)
    before = make(pipeline, track).videos
    after = make(pipeline, changed_from(track, 21)).videos  # the first block ends with frame 20
    assert np.array_equal(before[:, :21], after[:, :21])
    assert not np.array_equal(before[:, 21:], after[:, 21:])
    inside = make(pipeline, changed_from(track, 17)).videos
    assert not np.array_equal(before[:, :17], inside[:, :17])  # the base looks both ways in a block


def test_the_adapter_is_causal_within_a_window():
    """Behind the last block nothing mixes frames any more, so what the adapter does can be seen."""
    base, track = tiny_transformer(), made_up_speaker(17)
    last, early = tiny_adapter(layers=(2,)), tiny_adapter(layers=(0,))
    for frame, row in ((2, 5), (3, 9), (4, 13)):  # latent frame t ends before row 4 t + 1
        changed = changed_from(track, row)
        before, after = run_base(base, last, track), run_base(base, last, changed)
        assert torch.equal(before[:, :, :frame], after[:, :, :frame])
        assert not torch.equal(before[:, :, frame], after[:, :, frame])
    leaked = run_base(base, early, track), run_base(base, early, changed_from(track, 13))
    assert not torch.equal(leaked[0][:, :, 1], leaked[1][:, :, 1])


def test_speaker_rows_of_later_blocks_and_of_no_time():
    track, history = made_up_speaker(40), 7
    rows = rows_of(track, 6, 3, history)
    assert len(rows) == history + 12 and np.array_equal(rows.audio[-12:], track.audio[21:33])
    rows = rows_of(track, 9, 3, history)
    assert rows.heard[-5 - 1 :].tolist() == [True] + [False] * 5  # the track ends with row 39
    rows = rows_of(track, 1, 1, history)
    assert rows.heard.tolist() == [False] * (history - 1) + [True] * 5


def test_scales_withhold_and_exaggerate_each_condition():
    pipeline = tiny_pipeline()
    text = {"prompt_embeds": embeds(), "negative_prompt_embeds": embeds(7)}

    def latents(track=None, **scales):
        options = {"frames": 9, "output_type": "latent", "guidance": Guidance(**scales)}
        return make(pipeline, track or made_up_speaker(9), **options, **text).latents

    plain = latents()
    for name in ("audio", "motion", "text"):
        none, much = latents(**{name: 0.0}), latents(**{name: 2.0})
        half = latents(**{name: 0.5})
        assert len({x.sum().item() for x in (plain, none, much, half)}) == 4
    silenced = replace(made_up_speaker(9), audio=made_up_speaker(9, seed=5).audio)
    assert torch.equal(latents(silenced, audio=0.0), latents(audio=0.0))
    text["prompt_embeds"] = embeds(8)
    assert torch.equal(latents(text=0.0), latents(text=0.0)) and not torch.equal(latents(), plain)


def test_scheduler_callback_and_compiled_blocks():
    pipeline = tiny_pipeline()
    seen = []

    def note(pipe, number, timestep, tensors):
        seen.append((number, tensors["latents"].shape[2]))
        return {"latents": tensors["latents"] * 0} if number == 1 else {}

    made = make(pipeline, frames=21, output_type="latent", callback_on_step_end=note)
    assert seen == [(0, 5), (1, 5)] and not made.latents[:, :, 1:].any()
    before = make(pipeline, frames=21, output_type="latent").latents
    pipeline.transformer.compile_repeated_blocks(backend="eager")
    compiled = make(pipeline, frames=21, output_type="latent").latents
    torch.testing.assert_close(compiled, before, atol=1e-5, rtol=0)
    pipeline.scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    assert not torch.allclose(make(pipeline, frames=21, output_type="latent").latents, before, atol=1e-3)


@torch.no_grad()
def test_blocks_are_decoded_as_the_whole_is():
    vae = tiny_vae()
    latents = torch.randn(1, 4, 7, 4, 4, generator=torch.Generator().manual_seed(8))
    whole = torch.cat(list(decode_blocks(vae, [latents])), 2)
    pieces = torch.cat(list(decode_blocks(vae, latents.split([3, 2, 2], 2))), 2)
    mean, deviation = (
        torch.tensor(vae.config[k]).view(1, -1, 1, 1, 1) for k in ("latents_mean", "latents_std")
    )
    expected = vae.decode(latents * deviation + mean, return_dict=False)[0]
    assert whole.shape[2] == 25
    torch.testing.assert_close(whole, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(pieces, expected, atol=1e-6, rtol=0)
    vae.enable_tiling(16, 16, 8, 8)
    (tiled,) = decode_blocks(vae, latents.split([3, 4], 2))
    assert tiled.shape == expected.shape and not torch.equal(tiled, expected)


def test_kept_away_from_the_device_it_makes_the_same():
    pytest.importorskip("accelerate")
    pipeline = tiny_pipeline()
    before = make(pipeline).videos
    pipeline.enable_model_cpu_offload(device="cpu")
    assert np.array_equal(make(pipeline).videos, before)
    assert len(pipeline._all_hooks) == 2  # transformer and autoencoder; the adapter stays


def test_saved_loaded_and_put_on_its_base_again(tmp_path):
    pytest.importorskip("peft")
    base = write_tiny_base(tmp_path / "base", text=True)
    transformer = load_transformer(str(base), torch.float32)
    add_lora(transformer, rank=2, alpha=4)
    for k, parameter in enumerate(lora_parameters(transformer).values()):
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(k))
    recipe = Recipe("elsewhere", rank=2, alpha=4, text_length=LENGTH)
    WanAddition.of(recipe, tiny_adapter(), transformer).save_pretrained(tmp_path / "model")
    before = run_base(transformer, tiny_adapter())
    pipeline = load_wan_pipeline(tmp_path / "model", str(base), dtype=torch.float32)
    assert torch.equal(run_base(pipeline.transformer, pipeline.adapter), before)
    assert not torch.allclose(run_base(tiny_transformer(), tiny_adapter()), before, atol=1e-3)
    pipeline.set_progress_bar_config(disable=True)
    made = [
        make(pipeline, frames=9, output_type="latent", prompt=[text], guidance=Guidance(text=2.0)).latents
        for text in ("smiles", "nods and smiles", "smiles")
    ]
    assert torch.equal(made[0], made[2]) and not torch.equal(made[0], made[1])
    coarse = load_wan_pipeline(tmp_path / "model", str(base), text_encoder=False)
    assert coarse.adapter.dtype == torch.bfloat16
    assert make(coarse, frames=9).videos.shape[1] == 9
    assert pipeline.texts(1, ["nods"], None, "", None)[True].shape == (1, LENGTH, TEXT)
    assert sum(file.stat().st_size for file in (tmp_path / "model").rglob("*")) < 200_000  # no base within


def test_what_users_are_told(tmp_path):
    pipeline = tiny_pipeline()
    with pytest.raises(InputError, match="multiples of 16"):
        pipeline([made_up_speaker(9)], [picture()[:30]])
    with pytest.raises(InputError, match="no text encoder"):
        make(pipeline, prompt=["smiles"])
    with pytest.raises(ValueError, match="0 < past < window - 1"):
        make(pipeline, past=5)
    with pytest.raises(InputError, match="its vae cannot be loaded"):
        load_vae(str(tmp_path), torch.float32)
    with pytest.raises(WeightsError, match="no listener on Wan"):
        WanAddition.from_pretrained(tmp_path)
    assert square_picture(np.zeros((50, 90, 3), np.uint8), 32, 32).shape == (32, 32, 3)
