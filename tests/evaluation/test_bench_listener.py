"""The measure of listeners gives the true listener full marks, and says of a network what is so."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from headgen.errors import InputError
from headgen.evaluation.bench_listener import BEHAVIOURS, bench, causality, events, guidance, reacts
from headgen.evaluation.listener_systems import (
    SYSTEMS,
    HeldOut,
    Listeners,
    coefficients,
    held_out,
    latent_frames,
    make_systems,
    resting,
)
from headgen.evaluation.second_takes import TAKES, Take, data_face, second_takes, take_motions
from headgen.listen import plan
from headgen.listener.adapter import CTMAdapter
from headgen.listener.engine import LatentEngine, load_pipeline
from headgen.listener.gen import ListenerPipeline
from headgen.listener.latents import CHANNELS, WarpCodec, places
from headgen.listener.track import FPS, joined
from headgen.listener.transformer import ListenerTransformer
from headgen.listener.wishes import Wish
from headgen.listening import ClipMaker
from headgen.nn.threads import cores, shared_cores
from headgen.scheduler import run
from headgen.scheduler.plan import derived_seed
from headgen.synth.conversation.conversation import listen, make_conversation
from headgen.synth.conversation.events import Event

pytest.importorskip("espeakng_loader")
SECONDS = 4.0


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set of its two held-out conversations only."""
    folder = tmp_path_factory.mktemp("listening")
    maker = ClipMaker(folder, SECONDS, 0, "analytic", None, 5)
    WarpCodec.fitted([maker.motion(make_conversation(k, SECONDS)) for k in range(2)]).save_pretrained(
        folder / "codec"
    )
    (folder / "options.json").write_text(json.dumps({"seconds": SECONDS, "seed": 0, "model": "analytic"}))
    (folder / "clips").mkdir()
    for number in (8, 18):
        maker(number)
    return folder


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    """A network that has learnt nothing, but listens."""
    torch.manual_seed(0)
    transformer = ListenerTransformer(
        places=places().tolist(), portrait_width=CHANNELS, width=32, heads=2, layers=2, window=48
    )
    adapter = CTMAdapter(base_width=32, layers=[0, 1], width=16, heads=2)
    for parameter in (*transformer.parameters(), *adapter.parameters()):
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    folder = tmp_path_factory.mktemp("model")
    codec = WarpCodec.from_pretrained(data / "codec", low_cpu_mem_usage=False)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    ListenerPipeline(transformer, adapter, codec, scheduler).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clips(data):
    return held_out(data, 5)


@pytest.fixture(scope="module")
def listeners(model):
    return Listeners(load_pipeline(model), steps=1, seed=3)


def test_whole_report(data, model, tmp_path):
    told = []
    made = bench(data, model=str(model), steps=1, output=tmp_path / "report.json", progress=told.append)
    listened = [event for event in told if event.stage == "listen"]
    assert listened[-1].done == listened[-1].total == 2 * (3 + 4)
    report = made.facts
    assert report == json.loads((tmp_path / "report.json").read_text())
    assert report["conversations"] == 2 and report["seconds"] == SECONDS
    assert set(report["reacts"]["figures"]) == {*SYSTEMS, *TAKES}
    assert set(report["reacts"]["differences"]) == {*SYSTEMS, *TAKES} - {"ours"}
    assert set(report["reacts"]["heard"]) == {"ours", "second take"}
    assert set(report["events"]) == {"tolerance", "nods", "blinks", "smiles"}
    assert set(report["events"]["nods"]) > {*SYSTEMS, *TAKES, "truth", "ours_above_shuffled"}
    timed = report["speed"]
    parts = [timed["parts"][name]["seconds"] for name in timed["all"]["of"]]
    assert timed["all"]["seconds"] == pytest.approx(sum(parts), rel=1e-3)
    shown = str(made)
    for word in (
        "fd_pose",
        "rpcc_within_expression",
        "shuffled speaker",
        "untold take",
        "Heard: with the speaker less",
        "smiles back",
    ):
        assert word in shown
    assert "causal  " in shown and "latents, 16 steps" in shown and "…" not in shown


def test_the_same_seed_gives_the_same_figures(clips, listeners):
    first, second = (make_systems(clips, listeners, lambda: None) for _ in range(2))
    for name, motions in first.items():
        np.testing.assert_array_equal(motions, second[name])
    other = dataclasses.replace(listeners, seed=4)
    assert not np.array_equal(first["ours"][0], other.motion(clips[0].track, clips[0].name))
    one, again = (events(clips, {"ours": first["ours"]}, second_takes(clips, 1), 1) for _ in range(2))
    assert str(one) == str(again)


def test_the_truth_gets_full_marks(clips):
    truths = [clip.truth for clip in clips]
    still = [np.repeat(coefficients(resting(1)), len(t), 0) for t in truths]
    systems = {"ours": truths, "static": still}
    facts = reacts(clips, systems, 0)
    for part in ("pose", "expression"):
        for name in ("fd", "pfd", "mse", "rpcc", "rpcc_within"):
            assert facts["figures"]["ours"][f"{name}_{part}"].value == pytest.approx(0, abs=1e-6)
        assert (
            facts["best"][f"fd_{part}"]["system"] == facts["best"][f"var_within_{part}"]["system"] == "ours"
        )
        assert facts["differences"]["static"][f"fd_{part}"].value < 0
    found = events(clips, systems, {}, 0)
    for kind in ("nods", "blinks", "smiles"):
        assert str(found[kind]["ours"]) == str(found[kind]["truth"])  # NaN is not equal to itself
    assert found["blinks"]["truth"]["f1"].value > 0.9 and found["blinks"]["static"]["f1"].value == 0


def test_systems_are_what_they_are_called(clips, listeners):
    made = []
    systems = make_systems(clips, listeners, lambda: made.append(1))
    assert len(made) == 6
    rest = coefficients(resting(1))[0]
    assert (systems["static"][0] == rest).all()
    assert systems["other listener"][0] is clips[1].truth
    np.testing.assert_allclose(
        np.diff(systems["mirror"][1], axis=0), np.diff(clips[1].speaker, axis=0), atol=1e-4
    )
    swapped = listeners.motion(clips[0].track, clips[1].name)
    np.testing.assert_array_equal(systems["shuffled speaker"][1], swapped)
    assert not np.array_equal(systems["ours"][1], swapped)


@pytest.mark.parametrize("long", ["segments", "causal"])
def test_listeners_are_made_as_the_scheduler_makes_them(clips, listeners, long):
    class Undrawn(LatentEngine):
        """Hands out latents in place of pictures."""

        parallel, chunk, fingerprint = 2, 4, ""

        def prepare(self, job):
            self.attend(*job)

        def draw(self, source, result, start, stop):
            return list(self.frames(result["latents"])[start - source.start : stop - source.start])

    track = joined([clip.track for clip in clips] * 2)
    engine = Undrawn(listeners.pipeline, long, 1)
    with shared_cores(cores()):  # one thread for both: some processors round otherwise with two
        wanted = list(run(plan(len(track), long, 5), engine, (track, listeners.tokens)))
        engine.attend(track, listeners.tokens)
        found = latent_frames(engine, plan(len(track), long, 5))
    assert [k for k, _ in wanted] == list(range(len(found))) and len(found) == 4 * SECONDS * FPS
    np.testing.assert_array_equal(found, np.stack([frame for _, frame in wanted]))


def test_causality_holds_and_is_not_for_want_of_listening(clips, listeners):
    clip, other = (dataclasses.replace(c, track=joined([c.track] * 4)) for c in clips)  # 16 s: three segments
    facts = causality(clip, other, listeners)
    assert set(facts) == {"network", "segments", "causal"}
    for entry in facts.values():
        assert entry["holds"] and entry["required"] == entry["changed_from"] - 2
        assert all(entry["required"] == count < entry["frames"] for count in entry["identical"].values())
    assert 0 < facts["segments"]["settled"] <= facts["segments"]["required"]


def test_a_leak_is_found(clips, listeners):
    class Leaking(ListenerPipeline):
        """Hears the end first."""

        def __call__(self, speakers, *args, **kwargs):
            turned = [s[np.arange(len(s))[::-1]] for s in speakers]
            return super().__call__(turned, *args, **kwargs)

    p = listeners.pipeline
    leaking = Leaking(p.transformer, p.adapter, p.codec, p.scheduler)
    leaking.set_progress_bar_config(disable=True)
    facts = causality(clips[0], clips[1], dataclasses.replace(listeners, pipeline=leaking))
    assert not facts["network"]["holds"] and not facts["segments"]["holds"]


def test_behaviours_see_an_answer(clips):
    """A listener who nods after each pause and smiles with the speaker, against one who does neither."""
    quiet = np.repeat(coefficients(resting(1)), 500, 0).astype(np.float64)
    audio = np.zeros((500, clips[0].track.audio.shape[1]), np.float32)
    audio[:, -1] = 1  # voice activity
    nodding = quiet.copy()
    for start in (100, 200, 330, 420):
        audio[start : start + 15, -1] = 0
        nodding[start + 10 : start + 25, 1] -= 6 * np.sin(np.linspace(0, np.pi, 15))
    track = dataclasses.replace(joined([clips[0].track] * 5)[:500], audio=audio)
    smiling = quiet.copy()
    smiling[150:250, 9:11] += 0.1
    clip = HeldOut("made up", track, smiling, nodding + smiling - quiet, (), 0, Wish("warm"), clips[0].data)

    class Scaled:
        """Does the more the higher the scales."""

        seed = 0

        def motion(self, track, name, told):
            return quiet + (told.audio / 2) * (nodding - quiet) + (told.motion / 2) * (smiling - quiet)

    facts = guidance([clip, clip], Scaled(), [clip.truth] * 2, lambda: None)
    nods = facts["audio"]["behaviours"]["nods after pauses"]
    assert nods["as_expected"] and nods["scales"]["0"].value == 0 and nods["scales"]["2"].value > 0.5
    assert 0.2 <= nods["lag"] <= 0.6 and nods["truth"] > 0.5
    smiles = facts["motion"]["behaviours"]["smiles back"]
    assert smiles["as_expected"] and smiles["lag"] == 0 and smiles["scales"]["2"].value > 0.9
    assert {b.condition for b in BEHAVIOURS.values()} == {"audio", "motion"}


def test_second_takes_are_what_they_are_called(clips, data):
    takes = second_takes(clips, 0)
    assert list(takes) == list(TAKES) and all(len(of_one) == len(clips) for of_one in takes.values())
    talk = make_conversation(clips[0].seed, SECONDS)
    other = make_conversation(clips[1].seed, SECONDS)
    told, untold, elsewhere = (takes[name][0] for name in TAKES)
    assert not np.array_equal(told.moved.head, talk.listener.head)  # other chances
    again = second_takes(clips, 0)["second take"][0]
    np.testing.assert_array_equal(told.moved.head, again.moved.head)
    assert not np.array_equal(told.moved.head, second_takes(clips, 1)["second take"][0].moved.head)
    assert not np.array_equal(told.moved.expression, untold.moved.expression)  # another attitude
    # what the rules make of the other speaker, with the attitude and the chances of the first
    chance = derived_seed(0, f"second take {clips[0].name}") % 2**62
    wanted, _ = listen(other.speech, other.speaker, chance, 25, talk.attitude, talk.intensity)
    np.testing.assert_array_equal(elsewhere.moved.head, wanted.head)

    # a true listener is told by the same face as the data's
    face = data_face(data)
    told_so = Take([], talk.listener).motion(face, len(clips[0].truth))
    assert told_so.shape == clips[0].truth.shape
    assert np.abs(told_so - clips[0].truth).mean() < 0.05 * clips[0].truth.std()  # but for the codec


def test_a_second_take_belongs_to_the_conversation(clips):
    changed = dataclasses.replace(clips[0], events=(*clips[0].events, Event("nod", "listener", 1, 2, 1, 99)))
    with pytest.raises(InputError, match="not what its seed gives"):
        second_takes([changed, clips[1]], 0)


def test_without_the_heads_of_the_data_second_takes_have_no_motion(clips, data, tmp_path, monkeypatch):
    monkeypatch.delenv("HEADGEN_ASSETS", raising=False)
    monkeypatch.setenv("HEADGEN_HOME", str(tmp_path))
    ict = tmp_path / "ict"
    shutil.copytree(data, ict)
    options = json.loads((ict / "options.json").read_text())
    (ict / "options.json").write_text(json.dumps({**options, "model": "ict"}))
    takes = second_takes(clips, 0)
    of_ict = [dataclasses.replace(clip, data=ict) for clip in clips]
    assert take_motions(takes, of_ict) == {}
    with pytest.raises(InputError, match="ICT face model"):
        take_motions(takes, of_ict, tmp_path)
    motions = take_motions(takes, clips)
    assert list(motions) == list(TAKES)
    np.testing.assert_array_equal(
        motions["second take"][1], takes["second take"][1].motion(data_face(data), len(clips[1].truth))
    )


def test_bad_options(data, model, tmp_path):
    with pytest.raises(InputError, match="clips=1"):
        bench(data, model=str(model), clips=1)
    with pytest.raises(InputError, match="cannot write .txt"):
        bench(data, model=str(model), output=tmp_path / "report.txt")
    with pytest.raises(InputError, match="headgen synth listening"):
        bench(tmp_path, model=str(model))
