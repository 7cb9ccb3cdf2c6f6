"""Training of the editor: joins that went wrong, and the shipped recipe for a few real steps."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_listener import tiny_codec
from torch.utils.data import default_collate

from headgen import cli
from headgen.errors import InputError
from headgen.evaluation import bench_edit
from headgen.evaluation.synthetic_joins import KINDS, JoinMaker
from headgen.listener.edit import BLINKING, cross_fade
from headgen.listener.engine import load_editor
from headgen.listening import clip_names, read_clip
from headgen.training.editor import JoinData, ListenerEditModule, SyntheticJoins
from headgen.training.listener import codec_of
from headgen.training.shares import Noise

DEBUG = "configs/train/listener-edit-debug.yaml"


def train(data, output, steps, *more):
    """The debug recipe, validated at its end; the exit code."""
    words = ["--config", DEBUG, "--data.data", data, "--output", output, "--trainer.max_steps", steps]
    words += ["--trainer.val_check_interval", 2, "--checkpoint_every", 2, *more]
    return cli.main(["train", "listener-edit", *map(str, words)])


@pytest.fixture(scope="module")
def trained(listening_clips, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained")
    assert train(listening_clips, output, 4) == 0
    return output


def logged(output, name):
    return [
        (int(row["step"]), float(row[name]))
        for table in sorted((output / "logs").glob("version_*/metrics.csv"))
        for row in csv.DictReader(table.open())
        if row.get(name)
    ]


def test_the_recipe_leaves_an_editor(trained):
    for name in ("val/place", "val/made", "val/given"):
        assert [step for step, _ in logged(trained, name)] == [1, 3], name
    editor = load_editor(trained / "model")
    assert torch.equal(editor.codec.basis, tiny_codec().basis) and editor.window == 12


def test_a_stopped_training_goes_on(trained, listening_clips):
    assert train(listening_clips, trained, 6, "--ckpt_path", "last") == 0
    assert [step for step, _ in logged(trained, "train/place")] == [0, 1, 2, 3, 4, 5]


def test_what_is_wrong_with_joins_is_learnt(listening_clips):
    """What the recipe's loss asks for, on one batch that is seen again and again."""
    torch.manual_seed(0)
    data = SyntheticJoins(listening_clips, "train", 12, 24)
    module = ListenerEditModule(width=32, layers=2, adapter_width=16, adapter_window=24, window=12)
    module.codec.load_state_dict(codec_of(listening_clips).state_dict())
    batch = default_collate([data[k] for k in range(4)])
    optimiser = torch.optim.AdamW(module.model.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        loss = sum(module.loss(module.model, batch, Noise(range(4))).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_join_is_true_outside_and_wrong_inside(listening_clips, kind):
    maker = JoinMaker([read_clip(listening_clips, name) for name in clip_names(listening_clips, "train")])
    joins = [maker.join(1, 4, 48, (16, 36), [kind], np.random.default_rng(k)) for k in range(8)]
    for join in joins:
        assert np.array_equal(join.left[:16], join.truth[:16])
        assert np.array_equal(join.right[36:], join.truth[36:])
        for made in (join.cut(26), join.faded(16, 36), join.interpolated()):
            assert made.shape == (48, 10, 6)
            assert np.array_equal(made[:16], join.truth[:16]) and np.array_equal(made[36:], join.truth[36:])
        wrong = np.abs(join.cut(26) - join.truth).max((0, 2))
        if kind == "clean":
            assert not wrong.any()
        else:
            assert wrong.any()
        if kind == "blink":  # and nothing else moves
            assert not np.delete(wrong, BLINKING).any()
        if kind == "pose":
            assert not wrong[1:].any()
    again = maker.join(1, 4, 48, (16, 36), [kind], np.random.default_rng(0))
    assert np.array_equal(again.left, joins[0].left) and np.array_equal(again.right, joins[0].right)


def test_missing_frames_are_made_up_for_by_going_faster(listening_clips):
    maker = JoinMaker([read_clip(listening_clips, name) for name in clip_names(listening_clips, "train")])
    join = maker.join(1, 4, 48, (16, 36), ["skip"], np.random.default_rng(0))
    jump = np.abs(np.diff(join.cut(26), axis=0)).max((1, 2))
    smooth = np.abs(np.diff(join.truth, axis=0)).max((1, 2))
    assert jump.argmax() == 25 and smooth.max() < jump.max()


def test_a_cross_fade_begins_with_one_and_ends_with_the_other():
    left, right = np.zeros((24, 1, 1), np.float32), np.ones((24, 1, 1), np.float32)
    share = cross_fade(left, right)[:, 0, 0]
    assert share[0] < 0.01 and share[-1] > 0.99 and (np.diff(share) > 0).all()


def test_a_training_join_is_a_function_of_its_number(listening_clips):
    joins = SyntheticJoins(listening_clips, "train", 12, 24, seed=3)
    a, b = joins[5], SyntheticJoins(listening_clips, "train", 12, 24, seed=3)[5]
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert a["latents"].shape == a["join"].shape == (12, 10, 24) and a["audio"].shape == (24 + 48, 84)
    begin, end = a["inner"].tolist()
    assert torch.equal(a["latents"][:begin], a["join"][:begin])
    assert torch.equal(a["latents"][end:], a["join"][end:])
    assert not a["heard"][24 + 4 * end :].any() and a["heard"][24 + 4 * end - 1]
    assert any(not torch.equal(joins[k]["latents"], joins[k]["join"]) for k in range(4))
    with pytest.raises(InputError, match="shorter than 21 latent frames"):
        SyntheticJoins(listening_clips, "train", 18, 8)


def test_the_loss_is_of_the_inner_frames(listening_clips):
    module = ListenerEditModule(width=32, heads=2, layers=1, window=12, adapter_width=16, adapter_window=16)
    data = JoinData(str(listening_clips), window=12, batch_size=4, lead=24)
    batch = next(iter(data.val_dataloader()))

    def loss():
        return module.loss(module.model, batch, Noise(range(4)))

    first = loss()
    assert set(first) == {"place", "change"} and all(v > 0 for v in first.values())
    assert all(torch.equal(first[name], loss()[name]) for name in first)
    first["place"].backward()
    assert module.model["transformer"].latents_out.weight.grad.abs().sum() > 0


def test_joins_are_measured_against_the_truth(trained, listening_clips, monkeypatch, tmp_path):
    monkeypatch.setattr(bench_edit, "WINDOW", 12)
    monkeypatch.setattr(bench_edit, "INNER", (3, 8))
    monkeypatch.setattr(bench_edit, "BY_KIND", {"clean": ("clean",), "take": ("take",)})
    report = bench_edit.bench(
        listening_clips, model=str(trained / "model"), joins=3, steps=1, output=tmp_path / "joins.json"
    )
    assert json.loads((tmp_path / "joins.json").read_text()) == report.facts
    clean, take = (report.facts["kinds"][kind] for kind in ("clean", "take"))
    assert clean["error"]["none"]["value"] == 0
    assert clean["error"]["crossfade"]["value"] == pytest.approx(0, abs=1e-6)
    assert clean["unrest"]["none"]["value"] == pytest.approx(1)
    assert take["error"]["none"]["value"] > 0
    assert clean["error"]["edit"]["value"] > 0
    assert "crossfade" in str(report) and "3 held-out joins" in str(report)
    with pytest.raises(InputError, match="strength=2"):
        bench_edit.bench(listening_clips, strength=2)


def test_the_shipped_recipes_name_options_that_there_are():
    for path in (DEBUG, "configs/train/listener-edit.yaml"):
        config = yaml.safe_load(Path(path).read_text())
        JoinData(**config["data"]["init_args"])
        module = ListenerEditModule(**config["model"]["init_args"])
        assert module.model["adapter"].history <= JoinData(**config["data"]["init_args"]).lead
        assert config["model"]["init_args"]["total"] == config["trainer"]["max_steps"]
