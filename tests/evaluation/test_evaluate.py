"""Reports tell who is better beyond chance; protocols score what any program made, or say what is missing."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.io import wavfile

from headgen.cli import COMMANDS, _parse
from headgen.errors import InputError
from headgen.evaluation import quality_page
from headgen.evaluation.baselines import LandmarkWarp, mirror, nearest_neighbour, random_motion, still
from headgen.evaluation.bootstrap import Estimate
from headgen.evaluation.conversations import read_conversations, with_sound
from headgen.evaluation.evaluate_listen import at_rate, evaluate_listen
from headgen.evaluation.evaluate_reenact import Summary, evaluate_reenact
from headgen.evaluation.metric_table import LISTEN_METRICS, REENACT_METRICS, shortfall
from headgen.evaluation.outputs import REENACT_NAMINGS, find_outputs, named_folders
from headgen.evaluation.quality_page import _faults, _Part, _section
from headgen.evaluation.results import Moving, Results, estimated, worst_items
from headgen.faces.tracker import MediaPipeTracker
from headgen.media import VideoReader, VideoWriter, probe

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "demos" / "driving.mp4"


def test_every_metric_leads_to_its_definition():
    for table in (REENACT_METRICS, LISTEN_METRICS):
        for name, metric in table.items():
            assert callable(metric.function) and metric.function.__doc__, name
            assert metric.about and metric.unit


def test_shortfall_is_less_for_the_better():
    values = np.array([0.5, 2.0])
    for better, order in (("lower", True), ("higher", False), ("one", True), ("zero", True)):
        a, b = shortfall(better, values)
        assert bool(a < b) is order
    assert shortfall("truth", values, 2.0).tolist() == [1.5, 0.0]


@pytest.fixture
def results():
    rng = np.random.default_rng(0)
    hard = rng.random(30)
    values = {
        "ours": {"motion_error": [*hard], "texture_ssim": [None, *rng.random(29)]},
        "static": {"motion_error": [*(hard + 0.3)], "texture_ssim": [1.0] * 30},
        "other": {"motion_error": [*(hard + rng.normal(0, 0.3, 30))], "texture_ssim": [None] * 30},
    }
    estimates, shortfalls = estimated(values, REENACT_METRICS, "ours", seed=0)
    metrics = {name: REENACT_METRICS[name] for name in ("motion_error", "texture_ssim")}
    about = dict.fromkeys(values, "a <system>")
    items = [f"item {k}" for k in range(30)]
    return Results("A & B", {"frames": 3}, metrics, about, ("static",), items, values, estimates, shortfalls)


def test_only_what_is_beyond_chance_counts(results):
    found = {(c.metric, c.other): c for c in results.comparisons()}
    assert found["motion_error", "static"].outcome == "better"
    assert not found["motion_error", "static"].cheated
    assert found["motion_error", "other"].outcome == "alike"
    assert found["texture_ssim", "static"].outcome == "worse"
    assert found["texture_ssim", "static"].cheated
    assert ("texture_ssim", "other") not in found
    assert results.shortfalls["static"]["motion_error"].value == pytest.approx(-0.3)


def test_what_is_wrong_is_told_the_worst_first_and_only_beyond_chance():
    rng = np.random.default_rng(0)
    noise = lambda: rng.normal(0, 0.01, 30)  # noqa: E731
    names = ("gain_yaw", "gain_gaze", "gain_mouth_open", "akd", "jitter", "texture_ssim", "lip_offset")
    table = {name: REENACT_METRICS[name] for name in names} | {
        "nods_per_minute": LISTEN_METRICS["nods_per_minute"]
    }
    own = {
        "gain_yaw": 0.6 + noise(), "gain_gaze": 0.98 + noise(), "gain_mouth_open": 1 + 40 * noise(),
        "akd": 0.5 + noise(), "jitter": 1.2 + noise(), "texture_ssim": 0.5 + noise(),
        "lip_offset": 0.3 + noise(), "nods_per_minute": 6 + noise(),
    }  # fmt: skip
    theirs = {
        "static": {"akd": 0.9 + noise(), "jitter": 0.1 + noise(), "texture_ssim": 1 + noise()},
        "landmark warp": {"akd": 0.4 + noise(), "jitter": 1.2 + noise(), "texture_ssim": 0.9 + noise()},
    }
    values = {"ours": own, **theirs}
    estimates, shortfalls = estimated(values, table, "ours", seed=0)
    results = Results(
        "", {}, table, dict.fromkeys(values, ""), tuple(theirs), [""] * 30, values, estimates, shortfalls,
        {"nods_per_minute": 8.0},
    )  # fmt: skip
    faults = results.faults()
    assert [fault.metric for fault in faults] == ["gain_yaw", "lip_offset", "nods_per_minute", "akd"]
    assert [fault.size for fault in faults] == pytest.approx([0.4, 0.3, 0.25, 0.25], abs=0.02)
    assert [fault.of for fault in faults] == ["right", "right", "true", "landmark warp"]
    assert str(faults[3]).startswith("akd 0.5 (landmark warp: 0.")
    assert str(faults[0]).endswith("(right: 1; 40 % off)")


def test_results_can_be_read_by_programs(results, tmp_path):
    results.write(tmp_path)
    facts = json.loads((tmp_path / "results.json").read_text())
    assert facts["estimates"]["ours"]["motion_error"]["value"] == pytest.approx(
        np.mean(results.values["ours"]["motion_error"]), rel=1e-5
    )
    assert facts["values"]["ours"]["texture_ssim"][0] is None
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["metric"] for row in rows} >= {"motion_error", "motion_error.low", "texture_ssim.high"}
    assert sum(row["item"] == "item 3" for row in rows) == 6


def test_the_worst_come_first(results):
    values = {"motion_error": [0.2, None, 0.9, 0.5], "gain_yaw": [1.0, 0.4, 2.0, 0.9]}
    assert worst_items(values, REENACT_METRICS, "motion_error", 2) == [2, 3]
    assert worst_items(values, REENACT_METRICS, "gain_yaw", 2) == [2, 1]
    assert worst_items(values, REENACT_METRICS, "akd", 2) == []


def test_outputs_are_found_by_any_convention(tmp_path):
    jobs = [{"source": "anna", "driving": d} for d in ("wave", "talk")]
    for d in ("wave", "talk"):
        (tmp_path / f"anna--{d}.mp4").touch()
        (tmp_path / f"anna--{d}_concat.mp4").touch()
        (tmp_path / f"take {d} of anna.mkv").touch()
    found = find_outputs(tmp_path, jobs, "auto", REENACT_NAMINGS)
    assert [path.name for path in found] == ["anna--wave.mp4", "anna--talk.mp4"]
    found = find_outputs(tmp_path, jobs, "take {driving} of {source}", REENACT_NAMINGS)
    assert found[0].name == "take wave of anna.mkv"
    with pytest.raises(InputError, match=r"2 of 2 videos are missing, the first is anna_wave.mp4"):
        find_outputs(tmp_path, jobs, "headgen", REENACT_NAMINGS)
    with pytest.raises(InputError, match="is no pattern; use {source}, {driving}"):
        find_outputs(tmp_path, jobs, "{who}", REENACT_NAMINGS)


def test_systems_are_named(tmp_path):
    assert named_folders([f"theirs={tmp_path}"], {}) == {"theirs": tmp_path}
    for word, message in (
        (str(tmp_path), "NAME=FOLDER"),
        (f"static={tmp_path}", "is taken"),
        ("theirs=nowhere", "no such folder"),
    ):
        with pytest.raises(InputError, match=message):
            named_folders([word], {"static": ""})


def test_baselines_of_listeners_are_what_they_say():
    rng = np.random.default_rng(0)
    speakers = [np.cumsum(rng.normal(size=(60, 17)), 0) for _ in range(3)]
    listeners = [rng.normal(size=(60, 17)) for _ in range(3)]
    rest = np.arange(17.0)
    assert (still(rest, 4) == rest).all()
    assert mirror(rest, speakers[0]).mean(0) == pytest.approx(rest)
    assert np.diff(mirror(rest, speakers[0]), axis=0) == pytest.approx(np.diff(speakers[0], axis=0))
    made = random_motion(rest, listeners[0], rng)
    assert made.mean(0) == pytest.approx(rest)
    assert np.cov((made - rest).T) == pytest.approx(np.cov(listeners[0].T), abs=0.15)
    assert np.abs(made - rest - listeners[0]).mean() > 0.3
    twin = [*speakers, speakers[0] + rng.normal(0, 0.1, (60, 17))]
    assert (nearest_neighbour(3, twin, [*listeners, listeners[0] * 0]) == listeners[0]).all()


def test_a_landmark_warp_moves_the_face_and_keeps_the_edge():
    from skimage.data import astronaut

    image = np.ascontiguousarray(astronaut()[0:256, 96:352])
    with MediaPipeTracker() as tracker:
        landmarks = tracker.track(image, still=True).landmarks.astype(np.float64)
        warp = LandmarkWarp(image, landmarks)
        assert np.abs(warp.frame(landmarks).astype(float) - image).mean() < 1
        moved = warp.frame(landmarks + [8.0, 0, 0])
        found = tracker.track(moved, still=True).landmarks
    assert (found - landmarks)[:468, 0].mean() == pytest.approx(8, abs=1.5)
    assert (warp.frame(None) == moved).all()
    assert np.abs(moved[:, :3].astype(float) - image[:, :3]).mean() < 12


def test_motion_is_brought_to_the_frame_rate_of_listeners():
    motion = np.arange(60.0)[:, None]
    assert at_rate(motion, np.arange(60) / 25)[:, 0].tolist() == list(range(60))
    half = at_rate(motion, np.arange(60) / 50)
    assert len(half) == 30 and half[:3, 0].tolist() == [1, 3, 5]
    assert len(at_rate(motion, np.arange(60) / 30)) == 50


def clip(path: Path, start: int, frames: int, step: int = 1, fps: int = 25) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoReader(DEMO) as reader, VideoWriter(path, fps) as writer:
        for frame in islice(reader, start, start + frames * step, step):
            writer.write(frame.image)
    return path


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """A driver, and what two programs made of its first frame: the truth itself, and half as many frames."""
    folder = tmp_path_factory.mktemp("driven")
    clip(folder / "drivings" / "clip.mp4", 0, 8, 4)
    clip(folder / "good" / "clip.mp4", 0, 8, 4)
    clip(folder / "late" / "clip_self.mp4", 8, 4, 4, fps=12)
    return folder


def scored(driven, output):
    return evaluate_reenact(
        driven / "drivings",
        output,
        protocol="self",
        model="none",
        systems=[f"good={driven / 'good'}", f"late={driven / 'late'}"],
        resamples=50,
    )


def test_videos_of_other_programs_are_scored_against_the_truth(driven, tmp_path):
    summary = scored(driven, tmp_path / "a")
    values = summary.results.estimates
    assert values["good"]["psnr"].value == 60 and values["good"]["akd"].value < 0.001
    assert values["good"]["motion_error"].value < 0.01
    assert values["late"]["psnr"].value < values["good"]["psnr"].value
    assert values["late"]["akd"].value > 0.01
    assert values["late"]["frozen"].value >= 0 and values["static"]["frozen"].value == 1
    assert values["driver copy"]["l1"].value == 0 and values["driver copy"]["filter_frechet"].value < 1e-6
    assert values["static"]["motion_error"].value == pytest.approx(1)
    assert values["static"]["texture_ssim"].value == pytest.approx(1)
    page = (tmp_path / "a" / "report.html").read_text()
    assert "http" not in page.replace("http-equiv", "") and "data:image/webp;base64," in page
    assert "where it cannot cheat" in page
    scored(driven, tmp_path / "b")
    for name in ("results.json", "results.csv", "report.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_what_is_missing_is_said_before_the_work(driven, tmp_path):
    drivings = driven / "drivings"
    with pytest.raises(InputError, match="--portraits"):
        evaluate_reenact(drivings, tmp_path)
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate_reenact(drivings, tmp_path, protocol="self", model="none")
    with pytest.raises(InputError, match="1 of 1 videos are missing"):
        evaluate_reenact(
            drivings, tmp_path, protocol="self", systems=[f"x={driven / 'drivings'}"], naming="{driving}-x"
        )
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="a_clip.mp4: two outputs would have this name; rename"):
        evaluate_reenact(drivings, tmp_path / "report", portraits=tmp_path)
    with pytest.raises(InputError, match="a.png: the folder cannot be made"):
        evaluate_reenact(drivings, tmp_path / "a.png", protocol="self")
    with pytest.raises(InputError, match="protocol='both' is unknown"):
        evaluate_reenact(drivings, tmp_path, protocol="both")


@pytest.fixture(scope="module")
def talks(tmp_path_factory):
    """Two conversations in three layouts; the pictures are links to four short videos."""
    folder = tmp_path_factory.mktemp("talks")
    videos = [clip(folder / f"{k}.mp4", 5 + 12 * k, 44) for k in range(4)]
    tone = (np.sin(np.arange(16000 * 3) / 9) * 9000).astype(np.int16)
    for place in ("vico/videos/test", "vico/audios", "realtalk/speaker", "realtalk/listener", "pairs", "out"):
        (folder / place).mkdir(parents=True)
    rows = ["attitude,uuid,data_split", "positive,aa,test", "neutral,bb,test", "negative,cc,train"]
    (folder / "vico" / "RLD_data.csv").write_text("\n".join(rows) + "\n")
    for k, name in enumerate(("aa", "bb")):
        speaker, listener = videos[2 * k : 2 * k + 2]
        wavfile.write(folder / "vico" / "audios" / f"{name}.wav", 16000, tone)
        for place in (
            f"vico/videos/test/{name}.speaker.mp4", f"realtalk/speaker/{name}.mp4",
            f"pairs/{name}_speaker.mp4",
        ):  # fmt: skip
            (folder / place).symlink_to(speaker)
        for place in (
            f"vico/videos/test/{name}.listener.mp4", f"realtalk/listener/{name}.mp4",
            f"pairs/{name}_listener.mp4", f"out/{name}.listener.mp4",
        ):  # fmt: skip
            (folder / place).symlink_to(listener)
    return folder


def test_layouts_are_read(talks, tmp_path):
    vico = read_conversations(talks / "vico", "vico", "test")
    assert [(c.name, c.attitude) for c in vico] == [("aa", "warm"), ("bb", "neutral")]
    assert probe(with_sound(vico[0], tmp_path)).has_audio
    for layout in ("realtalk", "pairs"):
        found = read_conversations(talks / layout, layout)
        assert [c.name for c in found] == ["aa", "bb"]
        assert found[1].speaker.is_file() and found[1].listener.is_file()
    with pytest.raises(InputError, match="cc.speaker.mp4: no such file"):
        read_conversations(talks / "vico", "vico")
    with pytest.raises(InputError, match="in the layout 'pairs'; expected NAME_speaker.mp4"):
        read_conversations(talks / "realtalk", "pairs")
    (tmp_path / "table.csv").write_text("uuid\n../aa\n")
    with pytest.raises(InputError, match="'../aa' is no name of a file"):
        read_conversations(tmp_path, "vico")
    for name in ("aa_speaker.mp4", "aa_listener.mp4"):
        (tmp_path / name).symlink_to(talks / "pairs" / name)
    (tmp_path / "aa.json").write_text("[1]")
    with pytest.raises(InputError, match="aa.json: does not tell of a conversation"):
        read_conversations(tmp_path, "pairs", "test")
    (tmp_path / "aa.json").unlink()
    with pytest.raises(InputError, match="1 conversation; two are needed"):
        evaluate_listen(tmp_path, tmp_path / "report")


def test_listeners_of_other_programs_are_scored(talks, tmp_path):
    summary = evaluate_listen(
        talks / "vico", tmp_path, layout="vico", split="test", model="none", resamples=50,
        systems=[f"perfect={talks / 'out'}"], segment_frames=20,
    )  # fmt: skip
    results = summary.results
    found = results.estimates["perfect"]
    assert found["fd_pose"].value == pytest.approx(0, abs=1e-6)
    assert found["mse_expression"].value == pytest.approx(0, abs=1e-9)
    assert found["filter_frechet"].value == pytest.approx(0, abs=1e-6)
    assert found["var_within_pose"].value == pytest.approx(results.truth["var_within_pose"], rel=1e-6)
    assert found["seam_jump"].value > 0
    shown = [name for name in LISTEN_METRICS if name in results.truth and name in results.values["perfect"]]
    assert [name for name in results.truth if name in shown] == shown  # no set's order, which differs
    assert results.estimates["static"]["fd_pose"].value > 0
    assert set(results.baselines) == {"static", "random motion", "mirror", "nearest neighbour"}
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "evaluate").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_config_is_understood(path):
    name = f"evaluate {path.stem.split('-')[0]}"
    command = COMMANDS[name]
    function = {"evaluate reenact": evaluate_reenact, "evaluate listen": evaluate_listen}[name]
    inputs = ["--drivings", "d"] if function is evaluate_reenact else ["--data", "d"]
    options = _parse(
        name, command, function, ["--config", str(path), "--output", "o", "--seed", "7", *inputs]
    )
    told = yaml.safe_load(path.read_text())
    assert isinstance(options, dict) and options["seed"] == 7
    assert {key: options[key] for key in told if key != "seed"} == {
        k: v for k, v in told.items() if k != "seed"
    }


def test_a_page_says_where_baselines_cannot_cheat(results):
    _, verdicts, table = _section(results)
    assert verdicts == "- `ours` against *static*, where it cannot cheat: better: motion_error."
    rows = table.splitlines()
    assert rows[0] == "| metric | ours | static | other |"
    assert rows[3].startswith("| texture_ssim ↑ | 0.") and "| (1 [1, 1]) |" in rows[3]


def test_a_page_ranks_the_faults_of_all_its_parts(results):
    about = {
        "truth": {"sid_pose": 4.0},
        "metrics": {"sid_pose": LISTEN_METRICS["sid_pose"]},
        "shortfalls": {},
    }
    parts = []
    for name, v in (("Good", 4.0), ("Poor", 3.0), ("Bad", 1.0)):
        estimates = {"ours": {"sid_pose": Estimate(v, v - 0.1, v + 0.1)}}
        parts.append(_Part(name, name, replace(results, estimates=estimates, **about), False))
    told = _faults(parts)[1].splitlines()
    assert [line.split(":")[0] for line in told] == ["1. `Bad`, bad", "2. `Poor`, poor"]
    assert told[0].endswith("bad: sid_pose 1 (true: 4; 75 % off)")


def test_a_page_and_cards_are_written_and_written_anew(results, monkeypatch, tmp_path):
    shown = replace(results, pictures=[Moving("the worst", b"RIFF")])

    def evaluated(*_, **options):
        return Summary(tmp_path / "report.html", shown)

    for name in ("evaluate_reenact", "evaluate_listen"):
        monkeypatch.setattr(quality_page, name, evaluated)
    monkeypatch.setattr(quality_page, "make_videos", lambda *_, **__: None)
    cards = {model: tmp_path / "weights" / model / "README.md" for model in quality_page.MODELS}
    for model, card in cards.items():
        card.parent.mkdir(parents=True)
        card.write_text(f"# {model}\n\nWhat it is.\n")
    page, folder = tmp_path / "good.md", tmp_path / "weights"
    quality_page.quality(page, tmp_path, cards=folder)
    first = page.read_text(), [card.read_text() for card in cards.values()]
    assert all(
        f"](good-{k}-0.webp)" in first[0] and (tmp_path / f"good-{k}-0.webp").exists() for k in range(3)
    )
    for (model, card), text in zip(cards.items(), first[1], strict=True):
        assert text.startswith(f"# {model}\n\nWhat it is.\n\n<!-- evaluated -->") and "| motion_error" in text
        card.write_text(text + "\nAnd more.\n")
    (tmp_path / "good-2-7.webp").write_bytes(b"somebody's own")
    quality_page.quality(page, tmp_path, cards=folder, drivings=tmp_path, portraits=tmp_path, pictures=False)
    assert "Reenacting photographs" in page.read_text() and not (tmp_path / "good-3-0.webp").exists()
    assert (tmp_path / "good-2-7.webp").exists()
    for card in cards.values():
        text = card.read_text()
        assert text.count("<!-- evaluated -->") == 1 and text.endswith("And more.\n")
    cards["fsrt-small"].write_text("<!-- evaluated -->")
    with pytest.raises(InputError, match="without <!-- end of evaluated -->"):
        quality_page.quality(page, tmp_path, cards=folder)
    with pytest.raises(InputError, match="no readable card"):
        quality_page.quality(page, tmp_path, cards=tmp_path)
