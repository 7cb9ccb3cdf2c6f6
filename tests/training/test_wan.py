"""Training on a public base: the shipped recipe for a few real steps, on a tiny base with random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from tiny_listener import made_up_motion, made_up_speaker
from tiny_wan import LENGTH, SIZE, picture, tiny_transformer, write_tiny_base

from headgen.errors import InputError
from headgen.listener.wan import AnchoredAttachment, load_wan_pipeline
from headgen.listener.wan_base import lora_parameters
from headgen.media.clips import write_clip, write_index
from headgen.synth.dataset.records import ClipRecord, clips_folder, write_manifest, write_record
from headgen.training.shares import Noise
from headgen.training.trainer_cli import run
from headgen.training.wan_data import WanConversations, WanStretches

pytest.importorskip("peft")
pytest.importorskip("pyarrow")
RECIPE = "configs/train/listener-wan-1.3b.yaml"
FRAMES, WINDOW, LEAD = 31, 4, 36  # video frames of a clip: 8 latent frames


def write_conversations(folder, fps=25.0):
    rng = np.random.default_rng(0)
    for number, split in enumerate(("train", "val")):
        name = f"{number:05d}"
        for role in ("speaker", "listener"):
            frames = rng.integers(0, 256, (FRAMES, 2 * SIZE, 2 * SIZE, 3), np.uint8)
            landmarks = made_up_motion(FRAMES, seed=number).landmarks().astype(np.float32)
            write_clip(folder, f"{name}_{role}", frames, landmarks, fps=fps, identity=role, split=split)
        sound = rng.normal(0, 3000, FRAMES * 640).astype(np.int16)
        wavfile.write(clips_folder(folder) / f"{name}.wav", 16_000, sound)
        captions = [
            {"who": who, "style": "short", "text": text}
            for who, text in (("listener", "smiles"), ("speaker", "nods"), ("listener", "nods and smiles"))
        ]
        record = ClipRecord(
            name, "conversation", split, 0, ["speaker", "listener"], "analytic", FRAMES, fps, 2 * SIZE, {},
            captions=captions,
        )  # fmt: skip
        write_record(folder, record)
    write_manifest(folder, ["00000", "00001"])
    write_index(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = write_tiny_base(tmp_path_factory.mktemp("base"), text=True)
    return write_conversations(tmp_path_factory.mktemp("talks")), base


def data_of(folders, **options):
    data, base = map(str, folders)
    settings = {"size": SIZE, "window": WINDOW, "text_length": LENGTH, "lead": LEAD, "batch_size": 2}
    return WanConversations(data, base, **{**settings, **options})


def train(folders, output, steps, *more):
    words = {
        "output": output, "checkpoint_every": 2, "trainer.accelerator": "cpu", "trainer.precision": "32-true",
        "trainer.max_steps": steps, "trainer.accumulate_grad_batches": 1, "trainer.val_check_interval": 2,
        "trainer.limit_val_batches": 1, "trainer.enable_model_summary": "false",
        "trainer.enable_progress_bar": "false", "trainer.log_every_n_steps": 1, "trainer.logger": "false",
        "model.init_args.rank": 2, "model.init_args.adapter_width": 16, "model.init_args.adapter_heads": 2,
        "model.init_args.window_frames": 12, "model.init_args.dtype": "fp32", "model.init_args.warmup": 1,
        "model.init_args.learning_rate": 0.01, "data.init_args.data": folders[0],
        "data.init_args.base": folders[1], "data.init_args.size": SIZE, "data.init_args.window": WINDOW,
        "data.init_args.text_length": LENGTH, "data.init_args.lead": LEAD, "data.init_args.batch_size": 2,
    }  # fmt: skip
    options = [f"--{name}={value}" for name, value in words.items()]
    return run(["--config", RECIPE, *options, *more])


@pytest.fixture(scope="module")
def trained(folders, tmp_path_factory):
    output = tmp_path_factory.mktemp("run") / "out"
    return train(folders, output, 2), output


def test_two_steps_change_adapter_and_lora_and_nothing_else(trained):
    module = trained[0].lightning_module
    now, before = module.transformer.state_dict(), tiny_transformer().state_dict()
    of_base = {name.replace(".base_layer", ""): value for name, value in now.items() if "lora_" not in name}
    assert of_base.keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in of_base.items())
    changed = [p.any() for name, p in lora_parameters(module.transformer).items() if "lora_B" in name]
    assert len(changed) == 3 * 10 and all(changed)  # three blocks of ten matrices; zero at first
    assert all(p != 0 for name, p in module.adapter.named_parameters() if name.endswith("gate"))
    assert sorted(module.adapter.config.layers) == [0, 2]


def test_what_was_trained_is_saved_without_the_base_and_makes_the_same(trained, folders):
    module, output = trained[0].lightning_module, trained[1]
    checkpoint = torch.load(output / "checkpoints" / "last.ckpt", weights_only=False)
    assert all(n.startswith("adapter.") or ".lora_" in n for n in checkpoint["state_dict"])
    pipeline = load_wan_pipeline(output / "model", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)

    def make():
        return pipeline(
            [made_up_speaker(9)], [picture()], prompt=["nods"], window=WINDOW, past=1, num_inference_steps=1,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip

    loaded = make()
    assert loaded.videos.shape == (1, 9, SIZE, SIZE, 3)
    module.attachment.remove()
    pipeline.transformer, pipeline.adapter = module.transformer.eval(), module.adapter.eval()
    assert torch.equal(make().latents, loaded.latents)
    module.train()
    module.attachment = AnchoredAttachment(module.adapter, list(module.transformer.blocks))


def test_a_stopped_training_goes_on(trained, folders):
    first, output = trained
    before = {name: p.clone() for name, p in first.lightning_module.adapter.state_dict().items()}
    again = train(folders, output, 3, "--ckpt_path=last")
    assert again.global_step == 3
    module = again.lightning_module
    gates = [name for name in before if name.endswith("gate")]
    moved = [(module.adapter.state_dict()[name] - before[name]).abs().item() for name in gates]
    assert 0 < max(moved) < 0.02  # one more step from there, not three from zero


def test_computing_activations_again_changes_no_gradient(trained):
    module = trained[0].lightning_module
    batch = next(iter(trained[0].datamodule.train_dataloader()))
    gradients = []
    for how in (
        module.transformer.enable_gradient_checkpointing,
        module.transformer.disable_gradient_checkpointing,
    ):
        how()
        module.zero_grad()
        module.loss(batch, Noise(range(2))).backward()
        gradients.append([p.grad.clone() for p in module.parameters() if p.grad is not None])
    assert len(gradients[0]) > 60
    for again, kept in zip(*gradients, strict=True):
        torch.testing.assert_close(again, kept, atol=1e-6, rtol=1e-4)


def test_the_cache_is_made_once_and_holds_the_clip(folders, trained):
    data = data_of(folders)
    paths = sorted(data.cache.glob("*.safetensors"))
    assert [p.stem for p in paths] == ["00000", "00001", "empty"]
    times = [p.stat().st_mtime_ns for p in paths]
    data.prepare_data()
    assert [p.stat().st_mtime_ns for p in paths] == times
    stretches = WanStretches(data.cache, ["00000"], WINDOW, LEAD, LENGTH, seed=1)
    items = [stretches[k] for k in range(24)]
    assert torch.equal(stretches[5]["latents"], items[5]["latents"])
    starts = {float(item["latents"][0, 0, 0, 0]) for item in items}
    assert len(starts) == 5 and {int(item["past"]) for item in items} == {0, 1, 2}
    first = next(item for item in items if item["past"] == 0)
    assert torch.equal(first["anchor"], items[1]["anchor"])
    assert first["heard"].sum() == 1 + 4 * (WINDOW - 1)  # nothing before the clip begins
    assert len({float(item["text"].float().sum()) for item in items}) == 2  # two captions of the listener
    assert not torch.equal(first["text"], first["no_text"])


def test_without_captions_no_text_encoder_is_needed(folders, tmp_path):
    bare = write_tiny_base(tmp_path / "base")
    data = data_of((folders[0], bare), captions=False, cache=str(tmp_path / "cache"))
    data.prepare_data()
    batch = next(iter(data.val_dataloader()))
    assert batch["text"].shape == (2, LENGTH, 0)


def test_what_users_are_told(folders, tmp_path):
    with pytest.raises(InputError, match="--fps 25"):
        data_of((write_conversations(tmp_path / "slow", fps=12.5), folders[1])).prepare_data()
    with pytest.raises(InputError, match="8 latent frames, a window has 9"):
        data_of(folders, window=9).train_dataloader()
    with pytest.raises(InputError, match="looks back 36 rows"):
        train(folders, tmp_path / "out", 1, "--data.init_args.lead=35")
