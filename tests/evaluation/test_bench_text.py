"""The measure of text control: curves rise with what they are of, and wishes show when and where they do."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_listener import made_up_motion, made_up_speaker, tiny_codec, tiny_pipeline

from headgen.errors import InputError
from headgen.evaluation import bench_text
from headgen.evaluation.bench_text import TEXTS, bench, change, curves, later, onset
from headgen.faces.motion import MOTION_NAMES, motion_coefficients
from headgen.media.tensors import write_tensors

LATENTS = 14


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The two held-out conversations of a data set, and a listener who has learnt nothing."""
    folder = tmp_path_factory.mktemp("listening")
    codec = tiny_codec()
    codec.save_pretrained(folder / "codec")
    (folder / "clips").mkdir()
    for number in (8, 18):
        motion, track = made_up_motion(4 * LATENTS, seed=number), made_up_speaker(4 * LATENTS, seed=number)
        arrays = {
            "latents": codec.encode(motion).numpy().astype(np.float16),
            "audio": track.audio.astype(np.float16),
            "motion": track.motion.astype(np.float16),
            "seen": track.seen,
            "speaker": motion_coefficients(motion.landmarks()),
        }
        write_tensors(folder / "clips" / f"{number:05d}.safetensors", arrays, {})
        facts = {"seed": number, "split": "test", "attitude": "warm", "intensity": 0.5, "events": []}
        (folder / "clips" / f"{number:05d}.json").write_text(json.dumps(facts))
    tiny_pipeline().save_pretrained(folder / "model")
    return folder


@pytest.mark.parametrize("long", ["segments", "causal"])
def test_whole_report(data, tmp_path, monkeypatch, long):
    monkeypatch.setattr(bench_text, "PHRASINGS_TRIED", 1)
    for name in ("surprise", "frown", "gaze_away", "tilt"):
        monkeypatch.delitem(TEXTS, name)
    told = []
    made = bench(
        data,
        model=str(data / "model"),
        steps=1,
        output=tmp_path / "r.json",
        progress=told.append,
        seconds=2,
        long=long,
    )
    facts = made.facts
    assert facts == json.loads((tmp_path / "r.json").read_text()) and told[-1].done == told[-1].total
    assert facts["long"] == long and facts["seconds"] == 1.92 and facts["behaviours"].keys() == TEXTS.keys()
    for name, text in TEXTS.items():
        entry = facts["behaviours"][name]
        assert list(entry["texts"])[0] == text and len(entry["texts"]) == 2
        assert entry["late"]["before"] == pytest.approx(0, abs=1.5)
        assert text in str(made)
    # What is asked for changes even a listener who has learnt nothing, each time in another way.
    changes = [tuple(entry["texts"][TEXTS[name]].values()) for name, entry in facts["behaviours"].items()]
    assert len(set(changes)) == len(TEXTS)
    with pytest.raises(InputError, match="at least 2"):
        bench(data, model=str(data / "model"), clips=1)


def test_curves_rise_with_what_they_are_of():
    rest = dict.fromkeys(MOTION_NAMES, 0.0)

    def means(**moves):
        motion = np.zeros((100, len(MOTION_NAMES)))
        for name, move in moves.items():
            motion[40:60, MOTION_NAMES.index(name)] = move
        return {name: float(curve.mean()) for name, curve in curves([motion], [rest]).items()}

    assert all(value == pytest.approx(0) for value in means().values())
    dip = -6 * np.sin(np.linspace(0, np.pi, 20))
    for name, moves in {
        "smile": {"smile_left": 0.1, "smile_right": 0.1},
        "nod": {"pitch": dip},
        "surprise": {"brow_left": 0.1, "brow_right": 0.1, "eye_left": 0.1, "eye_right": 0.1},
        "frown": {"brow_left": -0.05, "brow_right": -0.05},
        "gaze_away": {"gaze_x": 0.5},
        "tilt": {"roll": -8.0},
    }.items():
        found = means(**moves)
        assert found.pop(name) > 0.01 and not any(found.values()), name


def test_changes_are_in_standard_deviations_and_onsets_where_a_course_steps():
    rng = np.random.default_rng(0)
    without = rng.normal(size=(40, 1)) + np.zeros((40, 50))
    assert change(without, without + 2 * without.mean(1).std(ddof=1)) == pytest.approx(2)
    course = np.where(np.arange(100) < 63, 0.0, 1.0) + rng.normal(0, 0.2, 100)
    assert abs(onset(course) - 63) <= 1
    assert onset(np.repeat([1.0, 0.0], [30, 70])) == 30
    rising = without + np.where(np.arange(50) < 28, 0, 3)
    assert later(without, rising, 25) == {
        "before": 0, "after": pytest.approx(3 * 22 / 25 / without.mean(1).std(ddof=1)), "onset": 3 / 25,
    }  # fmt: skip
    assert later(without, without, 25)["onset"] is None
