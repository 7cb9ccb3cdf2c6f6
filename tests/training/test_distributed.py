"""Training in several processes, and after a kill: the same losses as in one process that was left alone."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch
import yaml

from headgen import cli
from headgen.listener.engine import load_editor
from headgen.training.shares import Share
from headgen.training.text import RequestData

DEBUG = "configs/train/listener-edit-debug.yaml"
CONFIGS = Path(__file__).parents[2] / "configs" / "train"
SEVERAL = sorted(p.stem for how in ("ddp", "fsdp") for p in CONFIGS.glob(f"*-{how}.yaml"))
TERMS = ("train/place", "train/change")


def command(data, output, steps, *more):
    words = ["--config", DEBUG, "--data.data", data, "--output", output, "--trainer.max_steps", steps]
    words += ["--trainer.limit_val_batches", 0, "--trainer.enable_progress_bar", "false"]
    return ["train", "listener-edit", *map(str, [*words, *more])]


KILLED = """
import os, signal, sys
from headgen import cli
from headgen.training.editor import ListenerEditModule

step = ListenerEditModule.training_step

def killed(self, batch, index):
    if self.global_step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, index)

ListenerEditModule.training_step = killed
cli.main(sys.argv[1:])
"""
"""The command line, until its sixth step."""


def in_a_process(program, arguments):
    """Exit code of a program, and what it said."""
    done = subprocess.run(
        [sys.executable, *program, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout + done.stderr


def logged(output):
    """Losses by step, of the newest run."""
    newest = max((output / "logs").glob("version_*"), key=lambda path: int(path.name[8:]))
    with (newest / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get(TERMS[0])]
    return {int(row["step"]): tuple(float(row[name]) for name in TERMS) for row in rows}


def weights(output):
    editor = load_editor(output / "model")
    return torch.cat(
        [p.flatten() for part in (editor.transformer, editor.adapter) for p in part.parameters()]
    )


@pytest.fixture(scope="module")
def alone(listening_clips, tmp_path_factory):
    """Seven steps of one process."""
    output = tmp_path_factory.mktemp("alone")
    assert cli.main(command(listening_clips, output, 7)) == 0
    return output


def test_two_processes_learn_what_one_does(alone, listening_clips, tmp_path):
    shared = ("--trainer.devices", 2, "--trainer.strategy", "ddp_find_unused_parameters_true")
    words = command(listening_clips, tmp_path, 7, *shared, "--data.batch_size", 2)
    code, told = in_a_process(["-m", "headgen"], words)
    assert code == 0, told
    one, two = logged(alone), logged(tmp_path)
    assert list(one) == list(two) == list(range(7))
    for step in one:
        assert two[step] == pytest.approx(one[step], rel=1e-4), step
    torch.testing.assert_close(weights(tmp_path), weights(alone), atol=1e-4, rtol=1e-3)


def test_a_killed_training_goes_on_as_if_nothing_had_happened(alone, listening_clips, tmp_path):
    words = command(listening_clips, tmp_path, 7, "--checkpoint_every", 2)
    code, told = in_a_process(["-c", KILLED], words)
    assert code == -signal.SIGKILL, told
    assert cli.main([*words, "--ckpt_path", "last"]) == 0
    again, whole = logged(tmp_path), logged(alone)
    assert list(again) == [4, 5, 6]
    for step in again:
        assert again[step] == pytest.approx(whole[step], rel=1e-5), step
    torch.testing.assert_close(weights(tmp_path), weights(alone), atol=1e-6, rtol=1e-5)


class Trainer:
    """What a share is told by a trainer."""

    accumulate_grad_batches, world_size = 2, 3

    def __init__(self, rank, steps):
        self.global_rank, self.global_step = rank, steps


def test_processes_take_different_examples_that_together_are_those_of_one():
    taken = []
    for rank in range(3):
        texts = RequestData(batch_size=4)
        texts.trainer = Trainer(rank, steps=2)
        taken.append(list(islice(iter(texts.train_dataloader().sampler), 4)))
    assert taken[0] == [48, 51, 54, 57]  # after two steps of two batches of four in each of three processes
    assert sorted(sum(taken, [])) == list(range(48, 60))


def test_noise_belongs_to_the_example():
    whole = Share(done=5).noise(6)
    level, noise = whole.uniform(1), whole.normal(2, 3)
    for rank in range(3):
        own = Share(rank, 3, done=5).noise(2)
        assert torch.equal(own.uniform(1), level[rank::3])
        assert torch.equal(own.normal(2, 3), noise[rank::3])
    assert level.unique().numel() == 6


@pytest.mark.parametrize("name", SEVERAL)
def test_recipes_for_several_processes_are_the_recipes_for_one(name):
    """Only who does what differs: model, steps and the number of examples a step are the same."""
    several, one = (
        yaml.safe_load((CONFIGS / f"{stem}.yaml").read_text()) for stem in (name, name.rsplit("-", 1)[0])
    )

    def batch(config):
        trainer, data = config["trainer"], config["data"]["init_args"]
        processes = int(trainer["devices"]) * trainer.get("num_nodes", 1)
        return processes * data.pop("batch_size") * trainer.get("accumulate_grad_batches", 1), processes

    (examples, processes), (wanted, _) = batch(several), batch(one)
    assert examples == wanted and processes > 1
    assert several["trainer"]["max_steps"] == one["trainer"]["max_steps"]
    if name.endswith("fsdp"):  # shards are of one kind of number
        assert several["model"]["init_args"].pop("dtype") == "fp32" and one["model"]["init_args"].pop("dtype")
    assert several["model"] == one["model"] and several["data"] == one["data"]
