"""Training for few denoising steps: a few real steps through the command line, and the score itself."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_conversations import write_conversations
from tiny_listener import made_up_speaker, portrait, tiny_pipeline

from headgen import cli
from headgen.listener.engine import CHUNK, load_pipeline
from headgen.listener.gen import Pass, rows_before
from headgen.training.listener import ListeningData
from headgen.training.listener_fast import (
    CleanPast,
    FewStepModule,
    Told,
    chunk_mask,
    energy_score,
    following,
    path,
    predictor,
    rolled,
    windows,
)
from headgen.training.shares import Share

RECIPE = "configs/train/listener-fast.yaml"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def conversations(tmp_path_factory):
    return write_conversations(tmp_path_factory.mktemp("conversations"))


def train(teacher, conversations, output, steps, *more):
    """The shipped recipe, smaller and validated at its end; the exit code."""
    options = {
        "data.data": conversations, "data.latent_frames": 18, "data.batch_size": 2, "output": output,
        "trainer.accelerator": "cpu", "trainer.max_steps": steps, "trainer.val_check_interval": 2,
        "trainer.log_every_n_steps": 1, "checkpoint_every": 2, "model.init_args.init": teacher,
        "model.init_args.at_once": 12, "model.init_args.chunked": 8, "model.init_args.samples": "false",
    }  # fmt: skip
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    return cli.main(["train", "listener-gen", "--config", RECIPE, *words, *map(str, more)])


@pytest.mark.parametrize("method", ["energy", "trajectory"])
def test_the_recipe_trains_and_what_it_makes_listens(method, teacher, conversations, tmp_path):
    output = tmp_path / "out"
    assert train(teacher, conversations, output, 2, "--model.init_args.method", method) == 0
    rows = [row for log in (output / "logs").rglob("metrics.csv") for row in csv.DictReader(log.open())]
    for name in ("train/loss", "val/whole", "val/chunks", "val/fd_pose"):
        assert any(row.get(name) for row in rows), name
    made, before = load_pipeline(output / "model"), load_pipeline(teacher)
    for part in ("transformer", "adapter"):
        new, old = (getattr(one, part).state_dict() for one in (made, before))
        assert any(not torch.equal(new[name], old[name]) for name in new), part
    track = made_up_speaker(48)
    frames = [
        made([track], portrait(), 12, num_inference_steps=2, generator=torch.Generator().manual_seed(1))
        for _ in range(2)
    ]
    assert torch.isfinite(frames[0].latents).all() and torch.equal(frames[0].latents, frames[1].latents)


def test_a_stopped_training_goes_on(teacher, conversations, tmp_path):
    output = tmp_path / "out"
    assert train(teacher, conversations, output, 2) == 0
    assert train(teacher, conversations, output, 4, "--ckpt_path", "last") == 0
    logs = (output / "logs").rglob("metrics.csv")
    steps = [int(r["step"]) for log in logs for r in csv.DictReader(log.open()) if r.get("train/loss")]
    assert sorted(steps) == [0, 1, 2, 3]


def test_the_same_noise_gives_the_same_loss(teacher, conversations):
    module = FewStepModule(str(conversations), init=str(teacher), at_once=8)
    batch = next(iter(ListeningData(str(conversations), latent_frames=12, batch_size=2).val_dataloader()))

    def score(chunked, steps, done=0):
        return module.score(module.model, batch, Share(done=done).noise(2), chunked, steps)[0]

    for chunked in (False, True):
        assert torch.equal(score(chunked, 2), score(chunked, 2))
        assert not torch.equal(score(chunked, 2), score(chunked, 1))
        assert not torch.equal(score(chunked, 2), score(chunked, 2, done=1))
    score(True, 2).backward()
    assert module.model["transformer"].latents_out.weight.grad.abs().sum() > 0


def test_the_score_is_least_for_what_is_drawn_as_the_truth_is():
    """Not for the mean, nor for less or more of it, nor if two parts that go together do not."""
    generator = torch.Generator().manual_seed(0)
    importance = torch.ones(10, 6)

    def drawn(together=True):
        one, other = torch.randn(2, 6000, 1, 1, 1, 1, generator=generator)
        return torch.cat([one, one if together else other], 3).repeat(1, 1, 1, 5, 24)

    def score(a, b):
        return float(energy_score(a, b, truth, importance))

    truth = drawn()
    right = score(drawn(), drawn())
    for size in (0.0, 0.6, 1.5):
        assert right < score(size * drawn(), size * drawn())
    assert right < score(drawn(False), drawn(False))


def test_all_chunks_at_the_same_time_are_those_made_one_by_one(teacher):
    """As the pipeline makes them, beginning after others: the same noise leads to the same latents."""
    pipeline = load_pipeline(teacher)
    model = {"transformer": pipeline.transformer, "adapter": pipeline.adapter}
    known, frames = pipeline.past_latents, pipeline.past_latents + 3
    generator = torch.Generator().manual_seed(0)
    before, noise = (torch.randn(1, count, 10, 24, generator=generator) for count in (known, frames))
    track = made_up_speaker(4 * (known + frames) + rows_before(pipeline.adapter))
    offline = pipeline(
        [track], portrait(), frames, chunk=CHUNK, num_inference_steps=2, latents=noise, past=before
    ).latents
    context, _, speaker = pipeline.encode([track], portrait(), frames, before, [Pass(1.0, True, True, False)])
    told = Told(context, speaker)
    made = rolled(model, told, noise, before)
    torch.testing.assert_close(made, torch.cat([before, offline], 1), atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        beside = path(predictor(model, told, made, frames), noise, 2)
    torch.testing.assert_close(beside, offline, atol=1e-4, rtol=1e-4)


def test_listeners_are_gone_on_from_as_far_as_the_speaker_is_remembered(teacher, conversations):
    module = FewStepModule(str(conversations), init=str(teacher), chunked=8)
    noise = Share().noise(2)
    batches = [
        next(iter(ListeningData(str(conversations), 12, 2, lead=lead).val_dataloader())) for lead in (40, 20)
    ]
    first, past = module.score(module.model, batches[0], noise, True, 2)
    assert past.shape == (4, 8, 10, 24)
    after, further = module.score(module.model, batches[0], Share().noise(2), True, 2, past)
    assert further.shape == (4, module.past_latents, 10, 24) and not torch.equal(first, after)
    fresh, _ = module.score(module.model, batches[1], Share().noise(2), True, 2, past)
    again, _ = module.score(module.model, batches[1], Share().noise(2), True, 2)
    assert torch.equal(fresh, again)  # there are no more rows of the speaker than the adapter needs


def test_a_chunk_sees_the_clean_frames_before_it_and_its_own_noisy_ones():
    seen = chunk_mask(8, 6, 4, torch.device("cpu"))  # two clean frames are before the stretch
    assert CHUNK == 2 and seen.shape == (6, 8 + 6)
    assert np.flatnonzero(seen[0]).tolist() == [0, 1, 8]
    assert np.flatnonzero(seen[5]).tolist() == [4, 5, 8 + 4, 8 + 5]
    cache, new = CleanPast(), (torch.zeros(1, 1, 3, 2), torch.ones(1, 1, 3, 2))
    assert cache.extend(0, *new)[0].shape[2] == 3 and cache.extend(0, *new)[1].shape[2] == 6


def test_windows_end_with_a_chunk():
    old, new = torch.arange(8.0)[None, :, None, None], 10 + torch.arange(8.0)[None, :, None, None]
    assert following(old, new, 3)[0, ..., 0, 0].tolist() == [[1, 2, 3, 14, 15], [3, 4, 5, 16, 17]]
    assert following(old, new, 0, first=2)[0, 0, :, 0, 0].tolist() == [12, 13]
    assert windows(old, 4)[0, ..., 0, 0].tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]


def test_the_shipped_recipe_ends_where_its_cosine_does():
    config = yaml.safe_load(Path(RECIPE).read_text())
    ListeningData(**config["data"]["init_args"])
    assert config["model"]["init_args"]["total"] == config["trainer"]["max_steps"]
