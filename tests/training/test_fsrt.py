"""The paper's recipe on the debug model: it trains, resumes, exports, and decodes what it says it decodes."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
import torch

import headgen.cli
from headgen.errors import InputError, MissingExtraError, WeightsError
from headgen.fsrt.model import FSRT
from headgen.training.augment import Augmentation
from headgen.training.cli import train
from headgen.training.data import ClipStore, PairDataset
from headgen.training.datamodule import ClipPairs
from headgen.training.fsrt import FSRTTraining, decode_sublattices
from headgen.training.trainer_cli import TrainCLI

CONFIGS = Path(__file__).parents[2] / "configs" / "train"
DEBUG = str(CONFIGS / "debug.yaml")


def tiny(**options) -> FSRTTraining:
    torch.manual_seed(0)
    return FSRTTraining("debug", keypoints="landmarks", features="random", discriminator_width=8, **options)


def make_batch(folder, sources=1, size=32):
    data = PairDataset(ClipStore(folder), sources=sources, transform=Augmentation(size))
    return torch.utils.data.default_collate([data[index] for index in range(4)])


def run(face_clips, output, *options):
    train(["--config", DEBUG, f"--data.data={face_clips}", f"--output={output}", *options])


def logged(output, name, version=0):
    with (output / "logs" / f"version_{version}" / "metrics.csv").open() as file:
        return {int(row["step"]): float(row[name]) for row in csv.DictReader(file) if row.get(name)}


def weights(folder):
    return torch.cat([p.flatten() for p in FSRT.from_pretrained(folder).parameters()])


@pytest.fixture(scope="module")
def trained(face_clips, tmp_path_factory):
    """One run of the debug configuration through all three phases."""
    output = tmp_path_factory.mktemp("run")
    run(face_clips, output)
    return output


def test_training_reduces_the_error_through_all_phases(trained):
    pixels = logged(trained, "train/pixels")
    assert sorted(pixels) == list(range(60))
    first, last = (sum(pixels[i] for i in steps) / 5 for steps in (range(5), range(25, 30)))
    assert last < 0.5 * first
    assert set(logged(trained, "train/phase").values()) == {1, 2, 3}
    assert (
        min(logged(trained, "train/perceptual")) == 30 and min(logged(trained, "train/discriminator")) == 45
    )
    keypoints = logged(trained, "train/keypoints")
    assert keypoints[59] < 0.8 * keypoints[0]
    psnr = logged(trained, "validation/psnr")
    assert len(psnr) == 3 and psnr[max(psnr)] > psnr[min(psnr)]


def test_run_leaves_checkpoints_samples_and_a_model_for_the_engine(trained):
    assert (trained / "checkpoints" / "last.ckpt").is_file()
    assert (trained / "samples" / "0000020_train.png").is_file()
    assert (trained / "samples" / "0000060_val.png").is_file()
    model = FSRT.from_pretrained(trained / "model")
    assert model.config.num_keypoints == 4
    checkpoint = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=False)
    average = {k: v for k, v in checkpoint["state_dict"].items() if k.startswith("average_model.")}
    assert all(torch.equal(v, average[f"average_model.{k}"]) for k, v in model.state_dict().items())


def test_two_steps_change_all_trained_weights(face_clips, tmp_path):
    before = {name: value.clone() for name, value in tiny().model.state_dict().items()}
    run(face_clips, tmp_path, "--trainer.max_steps=2", "--model.average=0")
    after = FSRT.from_pretrained(tmp_path / "model")
    parts = {
        name.split(".")[0] for name, value in after.named_parameters() if not torch.equal(value, before[name])
    }
    assert parts == {"detector", "expression_encoder", "encoder", "decoder"}


def test_resumed_training_is_the_uninterrupted_one(face_clips, tmp_path):
    short = [
        "--trainer.val_check_interval=8",
        "--samples_every=0",
        "--checkpoint_every=4",
        "--model.phases=[2,3]",
    ]
    run(face_clips, tmp_path / "whole", *short, "--trainer.max_steps=8")
    run(face_clips, tmp_path / "parts", *short, "--trainer.max_steps=4")
    halfway = weights(tmp_path / "parts" / "model")
    run(face_clips, tmp_path / "parts", *short, "--trainer.max_steps=8", "--ckpt_path=last")
    assert sorted(logged(tmp_path / "parts", "train/pixels", version=1)) == [4, 5, 6, 7]
    whole, parts = weights(tmp_path / "whole" / "model"), weights(tmp_path / "parts" / "model")
    assert (whole - halfway).abs().max() > 1e-3
    assert torch.allclose(whole, parts, atol=1e-6)


def test_every_configuration_parses():
    files = sorted(CONFIGS.glob("*.yaml"))
    assert {"debug.yaml", "vox256.yaml"} <= {file.name for file in files}
    for file in files:
        config = ParseOnly(
            args=["--config", str(file)], run=False, subclass_mode_model=True, subclass_mode_data=True
        ).config
        assert config.model.class_path.startswith("headgen.training.")
        assert config.data.class_path.startswith("headgen.training.")
        assert config.trainer.max_steps > 0
    assert config.model.init_args.phases == (200_000, 500_000)  # vox256 comes last


class ParseOnly(TrainCLI):
    """Checks names and types; nothing of the size of vox256 is built."""

    def instantiate_classes(self):
        pass


def test_sublattices_are_the_whole_picture_and_one_carries_the_gradient(face_clips):
    module = tiny()
    ready = module.prepare(module.model.eval(), make_batch(face_clips))
    inputs = (ready["keypoints"], ready["expression"])
    whole = module.model.decoder(module.grid.reshape(1, -1, 2).expand(4, -1, -1), *inputs, ready["latents"])
    whole = whole.mT.unflatten(-1, (32, 32))
    picture = decode_sublattices(module.model.decoder, module.grid, *inputs, ready["latents"], (1, 0))
    assert torch.allclose(picture, whole, atol=1e-5)

    decoder = module.model.decoder
    names = [name for name, _ in decoder.named_parameters()]

    def gradients(loss):
        return dict(
            zip(names, torch.autograd.grad(loss, list(decoder.parameters()), retain_graph=True), strict=True)
        )

    lattice, full = gradients(picture.square().sum()), gradients(whole[..., 1::2, 0::2].square().sum())
    assert all(torch.allclose(lattice[name], full[name], rtol=1e-3, atol=1e-3) for name in names)


def test_window_and_closeup_reach_the_decoder_as_the_recipe_says(face_clips):
    module = tiny()
    model = module.model.eval()
    batch = make_batch(face_clips, sources=2)
    batch["use_closeup"] = torch.tensor([True, False, True, False])
    batch["window"] = torch.tensor([[0.2, -0.1, 0.5]]).expand(4, -1)
    ready = module.prepare(model, batch)
    keypoints, whole = model.motion(batch["driving_motion"].float() / 255)
    _, closeup = model.motion(batch["driving_closeup"].float() / 255)
    assert torch.allclose(ready["keypoints"], (keypoints - torch.tensor([0.2, -0.1])) / 0.5, atol=1e-5)
    assert torch.allclose(ready["expression"][[1, 3]], whole[[1, 3]], atol=1e-5)
    assert torch.allclose(ready["expression"][[0, 2]], closeup[[0, 2]], atol=1e-5)
    # Two sources: twice the tokens, key points mapped as the driving ones.
    assert ready["latents"].shape[1] == 2 * 16
    source_keypoints, expression = model.motion(batch["source_motion"].flatten(0, 1).float() / 255)
    mapped = ((source_keypoints - torch.tensor([0.2, -0.1])) / 0.5).unflatten(0, (4, 2))
    latents = model.encoder(batch["source"].float() / 255, mapped, expression.unflatten(0, (4, 2)))
    assert torch.allclose(ready["latents"], latents, atol=1e-5)


def test_bfloat16_and_two_sources_train_in_every_phase(face_clips, tmp_path):
    options = [
        "--trainer.precision=bf16-mixed",
        "--data.sources=2",
        "--model.phases=[1,2]",
        "--samples_every=3",
    ]
    run(face_clips, tmp_path, *options, "--trainer.max_steps=3")
    losses = logged(tmp_path, "train/loss")
    assert sorted(losses) == [0, 1, 2] and all(torch.isfinite(torch.tensor(v)) for v in losses.values())
    assert torch.isfinite(weights(tmp_path / "model")).all()
    assert weights(tmp_path / "model").dtype == torch.float32


def test_frozen_detector_stays_as_it_came(face_clips, trained, tmp_path):
    run(
        face_clips,
        tmp_path,
        "--trainer.max_steps=3",
        "--model.keypoints=frozen",
        f"--model.detector={trained / 'model'}",
    )
    old, new = FSRT.from_pretrained(trained / "model"), FSRT.from_pretrained(tmp_path / "model")
    assert all(
        torch.equal(value, new.detector.state_dict()[name])
        for name, value in old.detector.state_dict().items()
    )
    assert not torch.equal(old.decoder.render[0].weight, new.decoder.render[0].weight)


def test_learning_rate_warms_up_and_decays(monkeypatch):
    module = tiny(learning_rate=1e-4, warmup=2500, decay=0.16, decay_steps=4_000_000)
    for step, rate in ((0, 1e-4 / 2500), (1249, 0.5e-4), (2499, 1e-4), (4_000_000, 0.16e-4)):
        monkeypatch.setattr(type(module), "global_step", step)
        assert module.current_learning_rate() == pytest.approx(rate, rel=2e-3)


def test_wrong_options_are_told(face_clips, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="convert.*keypoints: landmarks"):
        FSRTTraining("debug", features="random")
    with pytest.raises(WeightsError, match=r"nowhere.*config\.json"):
        FSRTTraining("debug", detector=tmp_path / "nowhere", features="random")
    with pytest.raises(InputError, match="vox512.*vox256"):
        FSRTTraining("vox512")
    with pytest.raises(InputError, match="batch_size is 1"):
        ClipPairs(face_clips, batch_size=1)
    module = tiny()
    with pytest.raises(InputError, match="side 64, the model wants 32"):
        module.prepare(module.model, make_batch(face_clips, size=64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.data=/nowhere"], "index.json"),
        (["--ckpt_path=/nowhere.ckpt"], "no such checkpoint"),
        (["--model.keypoints=frozen"], "keypoints: landmarks"),
        (["--trainer.gradient_clip_val=1.0"], "gradient clipping is not supported"),
    ],
)
def test_command_line_says_what_is_wrong_and_exits_with_2(face_clips, tmp_path, capfd, options, message):
    arguments = ["--config", DEBUG, f"--data.data={face_clips}", f"--output={tmp_path / 'run'}", *options]
    assert headgen.cli.main(["train", "fsrt", *arguments]) == 2
    assert message in capfd.readouterr().err


def test_without_lightning_the_extra_is_named(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "lightning", None)
    with pytest.raises(MissingExtraError, match=r"headgen\[train\]"):
        train(["--config", DEBUG])
