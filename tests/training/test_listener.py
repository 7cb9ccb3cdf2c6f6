"""Training of the listener: the shipped recipe for a few real steps, through the command line."""

from __future__ import annotations

import csv
import inspect
import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import yaml
from tiny_conversations import LATENTS, facts, write_conversations
from tiny_listener import made_up_motion, made_up_speaker, tiny_codec

from headgen import cli, listen
from headgen.errors import InputError
from headgen.listener.engine import load_pipeline
from headgen.listener.wishes import FULL, WISHES, Wish, amounts
from headgen.media import VideoReader, write_image
from headgen.training import listener_samples
from headgen.training.listener import (
    MOST_WISHES,
    Listener,
    ListenerGenModule,
    ListeningClips,
    ListeningData,
    answers,
    asked,
    asked_for,
    asks_for_a_side,
    importance,
)
from headgen.training.shares import Noise
from headgen.training.trainer_cli import run

DEBUG = "configs/train/listener-debug.yaml"


@pytest.fixture(scope="module")
def conversations(tmp_path_factory):
    return write_conversations(tmp_path_factory.mktemp("conversations"))


def train(data, output, steps, *more):
    """The debug recipe, validated at its end; the exit code."""
    words = ["--config", DEBUG, "--data.data", data, "--output", output, "--trainer.max_steps", steps]
    words += ["--trainer.val_check_interval", 2, "--checkpoint_every", 2, *more]
    return cli.main(["train", "listener-gen", *map(str, words)])


def logged(output, name):
    """Values of a figure by step."""
    rows = [row for log in (output / "logs").rglob("metrics.csv") for row in csv.DictReader(log.open())]
    return sorted((int(row["step"]), float(row[name])) for row in rows if row.get(name))


def weights(folder, part):
    return getattr(load_pipeline(folder), part).state_dict()


@pytest.fixture(scope="module")
def trained(conversations, tmp_path_factory):
    output = tmp_path_factory.mktemp("run") / "out"
    assert train(conversations, output, 4) == 0
    return output


def test_the_debug_recipe_trains_measures_and_exports(trained, conversations):
    assert [step for step, _ in logged(trained, "train/place")] == [0, 1, 2, 3]
    for name in ("val/place", "val/fd_pose", "val/rpcc_within_expression"):
        assert [step for step, _ in logged(trained, name)] == [1, 3], name
    pipeline = load_pipeline(trained / "model")
    assert torch.equal(pipeline.codec.basis, tiny_codec().basis)
    gates = [p for name, p in pipeline.adapter.named_parameters() if name.endswith("gate")]
    assert gates and all(gate != 0 for gate in gates)
    assert pipeline.transformer.config.sided
    assert pipeline.scheduler.config.shift == 3.0 and not (trained / "samples").exists()


def test_a_stopped_training_goes_on(trained, conversations):
    assert train(conversations, trained, 6, "--ckpt_path", "last") == 0
    assert [step for step, _ in logged(trained, "train/place")] == [0, 1, 2, 3, 4, 5]


def test_what_was_trained_listens(trained, tmp_path):
    """To ten frames of sound, on the astronaut."""
    from skimage.data import astronaut

    write_image(tmp_path / "face.png", np.ascontiguousarray(astronaut()[:256, 96:352]))
    with av.open(str(tmp_path / "voice.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        wave = (8000 * np.sin(np.arange(6400) * 0.2)).astype(np.int16)
        block = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
        block.sample_rate, block.pts, block.time_base = 16000, 0, Fraction(1, 16000)
        container.mux([*stream.encode(block), *stream.encode(None)])
    done = listen(
        tmp_path / "voice.wav", tmp_path / "face.png", tmp_path / "out.mp4", model=str(trained / "model")
    )
    assert done.frames == 10


def test_the_adapter_alone_learns_on_a_base_that_stays(trained, conversations, tmp_path, monkeypatch):
    from skimage.data import astronaut

    monkeypatch.setattr(listener_samples, "MOST_FRAMES", 6)
    write_image(tmp_path / "face.png", np.ascontiguousarray(astronaut()[:256, 96:352]))
    init = trained / "model"
    options = {"init": init, "train": "adapter", "samples": "true", "portrait": tmp_path / "face.png"}
    words = [word for name, value in options.items() for word in (f"--model.{name}", value)]
    assert train(conversations, tmp_path / "out", 2, *words) == 0
    before, after = (weights(folder, "transformer") for folder in (init, tmp_path / "out" / "model"))
    assert all(torch.equal(before[name], after[name]) for name in before)
    before, after = (weights(folder, "adapter") for folder in (init, tmp_path / "out" / "model"))
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert len(changed) > 0.9 * len(before)
    # And the validation shows the true listener beside the made one.
    with VideoReader(tmp_path / "out" / "samples" / "0000002_val.mp4") as reader:
        pictures = [frame.image for frame in reader]
    height, width = pictures[0].shape[:2]
    assert len(pictures) == 6 and abs(width - 2 * height) <= 2
    assert np.abs(pictures[5][:, : width // 2].astype(int) - pictures[0][:, : width // 2]).max() > 20
    assert (tmp_path / "out" / "samples" / "0000002_val.png").is_file()


def test_without_a_portrait_a_rendered_head_stands_in():
    pytest.importorskip("numba", reason="the synth extra is not installed")
    from headgen.faces.tracker import MediaPipeTracker

    person = listener_samples.rendered_portrait()
    with MediaPipeTracker() as tracker:
        found = tracker.track(person.image, still=True)
    apart = np.linalg.norm((found.landmarks - person.landmarks)[:, :2], axis=1)
    assert np.median(apart) < 0.08 * found.eye_distance


def test_the_folder_may_be_named_for_the_module_too(conversations, tmp_path):
    module = ListenerGenModule(str(conversations), width=64, heads=2, layers=2, window=12)
    assert torch.equal(module.codec.basis, tiny_codec().basis)
    assert module.exported.codec is module.codec
    other = tmp_path / "other"
    other.mkdir()
    write_conversations(other)
    words = ["--model.data", other, "--trainer.max_steps", 1, "--trainer.limit_val_batches", 0]
    run(["--config", DEBUG, *map(str, ["--data.data", conversations, "--output", tmp_path / "o", *words])])
    assert (tmp_path / "o" / "model" / "model_index.json").is_file()


def test_data_that_is_not_there_or_of_another_codec_is_named(conversations, trained, tmp_path, capsys):
    assert train(tmp_path / "none", tmp_path / "out", 1) == 2
    assert "headgen synth listening" in " ".join(capsys.readouterr().err.split())
    other = tmp_path / "other"
    other.mkdir()
    write_conversations(other)
    codec = tiny_codec()
    codec.basis.mul_(2)
    codec.save_pretrained(other / "codec")
    with pytest.raises(InputError, match="its latents are not those of"):
        ListenerGenModule(str(other), init=str(trained / "model"))
    with pytest.raises(InputError, match="shorter than 21 latent frames"):
        ListeningClips(conversations, "train", 21, 8)


def test_a_stretch_is_a_function_of_its_number(conversations):
    clips = ListeningClips(conversations, "train", 6, 10, seed=3)
    a, b = clips[5], ListeningClips(conversations, "train", 6, 10, seed=3)[5]
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert a["latents"].shape == (6, 10, 24) and a["audio"].shape == (10 + 24, 84)
    assert not torch.equal(a["latents"], clips[6]["latents"])
    assert not torch.equal(a["latents"], ListeningClips(conversations, "train", 6, 10, seed=4)[5]["latents"])


def test_before_the_beginning_of_a_conversation_all_is_unknown(conversations):
    clips = ListeningClips(conversations, "val", LATENTS, 10)
    item = clips[0]  # a stretch as long as the conversation
    assert not item["heard"][:10].any() and item["heard"][10:].all()
    assert not item["audio"][:10].any() and item["audio"][10:].any(1).all()


def test_the_stream_goes_on_where_a_resumed_run_stopped(conversations):
    class Stopped:
        global_step, accumulate_grad_batches, global_rank, world_size = 3, 1, 0, 1

    data = ListeningData(str(conversations), latent_frames=6, batch_size=2, lead=10)
    batches = iter(data.train_dataloader())
    batch = [next(batches) for _ in range(4)][3]
    data.trainer = Stopped()
    assert torch.equal(next(iter(data.train_dataloader()))["latents"], batch["latents"])


def test_the_loss_counts_what_is_noisy_and_moves_the_face(conversations):
    module = ListenerGenModule(str(conversations), width=64, heads=2, layers=1, window=12, adapter_width=32)
    assert importance(module.codec).shape == (10, 6) and module.importance.mean() == pytest.approx(1, abs=0.3)
    data = ListeningData(str(conversations), latent_frames=12, batch_size=4)
    batch = next(iter(data.val_dataloader()))

    def loss(seed):
        return module.loss(module.model, batch, Noise(range(seed, seed + len(batch["latents"]))))

    first = loss(0)
    assert set(first) == {"place", "change", "answers"} and all(v > 0 for v in first.values())
    assert all(torch.equal(first[name], loss(0)[name]) for name in first)
    assert not torch.equal(first["place"], loss(1)["place"])
    first["place"].backward()
    assert module.model["transformer"].latents_out.weight.grad.abs().sum() > 0


def test_the_shipped_recipes_name_options_that_there_are():
    for path in (
        DEBUG,
        "configs/train/listener-small.yaml",
        "configs/train/listener-small-sides.yaml",
        "configs/train/listener-small-asked.yaml",
    ):
        config = yaml.safe_load(Path(path).read_text())
        ListeningData(**config["data"]["init_args"])
        options = set(inspect.signature(ListenerGenModule).parameters)
        assert set(config["model"]["init_args"]) <= options
        if "sides" not in path:
            assert config["model"]["init_args"]["total"] == config["trainer"]["max_steps"]


def test_wishes_tell_what_happens_in_their_time(conversations):
    listener = ListeningClips(conversations, "train", latent_frames=12, lead=20).listeners[0]
    events = [e for e in facts(0)["events"] if e["who"] == "listener"]
    found = [asked(listener, 0.5, 1.92, "nod", np.random.default_rng(k)) for k in range(200)]
    said = {wish.name for wishes in found for wish in wishes}
    assert {"warm", "nod", "smile"} <= said and max(map(len, found)) <= MOST_WISHES
    for wish in (w for wishes in found for w in wishes if w.name in FULL):
        end = min(wish.end, 1.92)
        assert wish.amount == amounts(events, 0.5 + wish.start, 0.5 + end)[wish.name]
    assert any(w.start > 0 for wishes in found for w in wishes) and [] in found
    assert all(w.amount == 0.6 for wishes in found for w in wishes if w.name == "warm")
    # Of what is rare enough to be chosen for, nothing goes unsaid.
    assert all(any(w.name == "nod" for w in wishes) for wishes in found if any(w.end > 9 for w in wishes))


def test_what_was_asked_for_is_told_with_its_time_and_as_much_of_it_as_came():
    asks = [
        {"kind": "nod", "level": 0.9, "start": 0.0, "end": 1.6},
        {"kind": "smile", "level": 0.0, "start": 0.0, "end": 3.2},
        {"kind": "frown", "level": 0.5, "start": 1.6, "end": 3.2},
    ]
    told = {**facts(0), "asks": asks}
    listener = Listener(made_up_speaker(80), np.zeros((20, 10, 24)), told, tiny_codec())
    for k in range(40):
        wishes = asked_for(listener, 0.2, 2.2, np.random.default_rng(k))
        nod, smile, late = ([w for w in wishes if w.name == name] for name in ("nod", "smile", "frown"))
        assert late in ([], [Wish("frown", 0.0)])  # asked for less than a second: told like all the rest
        assert smile == [Wish("smile", 0.0)]
        (told,) = nod
        assert (told.start, told.end) == pytest.approx((0.0, 1.4)) and told.amount > 0
        assert told.amount == amounts(listener.events, 0.2, 1.6)["nod"]
        assert all(w.amount == 0.6 for w in wishes if w.name == "warm") and len(wishes) < 16
    assert len({len(asked_for(listener, 0.2, 2.2, np.random.default_rng(k))) for k in range(40)}) > 2


def test_listeners_who_were_asked_are_learnt_from_only_with_what_they_were_asked_for(
    conversations,
):
    clips = ListeningClips(conversations, "train", 8, 10, seed=3)
    first = clips.listeners[0]
    marked = np.full_like(first.latents, 7.0)
    asks = [{"kind": "tilt", "level": 0.0, "start": 0.0, "end": 9.0}]
    clips.asked = [Listener(first.track, marked, {**first.facts, "asks": asks}, tiny_codec())]
    taken = 0
    for k in range(40):
        item = clips[k]
        if bool((item["latents"] == 7).all()):
            tilt = list(WISHES).index("tilt")
            assert any(bool(row[tilt] == 1) for row in item["text"])
            taken += 1
    assert 5 <= taken <= 20


def test_stretches_are_chosen_for_what_goes_to_a_side(conversations):
    clips = ListeningClips(conversations, "train", 8, 10, seed=3, sided=0.5)
    first = clips.listeners[0]
    asks = [
        {"kind": "tilt", "level": 0.9, "start": 1.6, "end": 3.2},
        {"kind": "gaze_away", "level": 0.1, "start": 0.0, "end": 3.2},  # hardly asked for
        {"kind": "nod", "level": 0.9, "start": 0.0, "end": 3.2},
    ]
    number = np.arange(len(first.latents), dtype=first.latents.dtype)[:, None, None]
    marked = 10 + np.broadcast_to(number, first.latents.shape)
    clips.asked = [Listener(first.track, marked, {**first.facts, "asks": asks}, tiny_codec())]
    clips.sided_asks = asks_for_a_side(clips.asked)
    assert clips.sided_asks == [(0, asks[0])]
    starts = [float(clips.to_a_side(np.random.default_rng(k))[1]) for k in range(100)]
    # Ten latent frames of the tilt, eight of a stretch: it overlaps, and begins nowhere else.
    assert min(starts) >= 3 and max(starts) == LATENTS - 8 and len(set(starts)) > 6
    found = ListeningClips(conversations, "train", 8, 10, seed=3, sided=0.5)
    assert found.sided_asks == []  # nobody was asked: stretches are drawn as if there were no such share
    chosen = [bool((clips[k]["latents"] >= 10).all()) for k in range(80)]
    assert 40 <= sum(chosen) < 75


def test_early_noise_is_where_listeners_are_begun(conversations):
    batch = next(iter(ListeningData(str(conversations), latent_frames=12, batch_size=4).val_dataloader()))
    levels = []

    def predict(model, noisy, sigma, batch, keep):
        levels.append(sigma[sigma > 0])
        return module_predict(model, noisy, sigma, batch, keep)

    for early in (0.0, 1.0):
        module = ListenerGenModule(
            str(conversations), width=64, heads=2, layers=1, window=12, adapter_width=32, early=early
        )
        module_predict, module.predict = module.predict, predict
        for k in range(8):
            module.loss(module.model, batch, Noise(range(4 * k, 4 * k + 4)))
    usual, begun = torch.cat(levels[:8]), torch.cat(levels[8:])
    assert begun.median() > 0.95 > usual.median() and begun.min() > 0.5 > usual.min()


def test_the_side_of_what_is_done_is_told_with_it():
    codec, motion = tiny_codec(), made_up_motion(200)
    motion.pose[:] = 0
    turns = [(10, 40, 6.0), (60, 90, -5.0), (100, 130, -6.0), (150, 190, 5.0)]
    for first, last, roll in turns:
        motion.pose[first:last, 2] = roll
    events = [
        {"kind": "tilt", "who": "listener", "start": a / 25, "end": b / 25, "strength": 0.9, "cause": None}
        for a, b, _ in turns
    ]
    asks = [{"kind": "tilt", "level": 0.9, "start": 0.0, "end": 8.0}]
    told = {**facts(0), "events": events, "asks": asks}
    listener = Listener(made_up_speaker(200), codec.encode(motion).numpy(), told, codec)
    pieces = [w for w in asked_for(listener, 0.0, 8.0, np.random.default_rng(0)) if w.name == "tilt"]
    pieces.sort(key=lambda w: w.start)
    assert [(w.start, w.end, w.side) for w in pieces] == [
        (0.0, pytest.approx(2.0), 1),
        (pytest.approx(2.0), pytest.approx(5.6), -1),
        (pytest.approx(5.6), math.inf, 1),
    ]
    assert {w.amount for w in pieces} == {amounts(events, 0.0, 8.0)["tilt"]}
    late = [w for w in asked_for(listener, 3.0, 4.0, np.random.default_rng(0)) if w.name == "tilt"]
    assert sorted((round(w.start, 3), w.side) for w in late) == [(0.0, -1), (2.6, 1)]


def test_answers_are_announced_just_before_they_begin():
    rows = answers(facts(0)["events"][:4], 0.0, 48)
    nod, smile = (list(FULL).index(kind) for kind in ("nod", "smile"))
    begins = [row for row in range(48) if rows[row, nod]]
    assert begins == [*range(2, 10), *range(30, 38)] and not rows[:, smile].any()
