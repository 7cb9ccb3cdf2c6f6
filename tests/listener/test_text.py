"""What a listener is asked to do: ranges, words, what is not understood, and what segments make of it."""

from __future__ import annotations

import json
import logging
import math

import numpy as np
import pytest
import torch
from tiny_listener import made_up_speaker, tiny_pipeline

from headgen import hub
from headgen.errors import InputError, WeightsError
from headgen.evaluation.text_phrasings import phrasing_report
from headgen.faces import mesh
from headgen.listener.engine import READ_AHEAD, LatentEngine
from headgen.listener.text import (
    TextEncoder,
    load_text_encoder,
    read_ranges,
    read_text,
    tensors_of_words,
    understand,
    words_of,
)
from headgen.listener.wishes import Wish
from headgen.listener_request import asked_for
from headgen.scheduler import plan_segments


@pytest.fixture(scope="module")
def encoder():
    """The embedded one."""
    return load_text_encoder(hub.resolve("listener-text").folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nods", [(0, math.inf, "nods")]),
        ("0-5: neutral; 5-: surprised", [(0, 5, "neutral"), (5, math.inf, "surprised")]),
        ("0-3 s: nods twice; 3-6.5 s: smiles", [(0, 3, "nods twice"), (3, 6.5, "smiles")]),
        ("0:05-0:10: laughs, 1:00-: nods", [(5, 10, "laughs"), (60, math.inf, "nods")]),
        ("warm; 2 to 4 sec: nods", [(0, math.inf, "warm"), (2, 4, "nods")]),
        ("nods 3 times: again and again", [(0, math.inf, "nods 3 times: again and again")]),
    ],
)
def test_ranges_are_seconds_or_minutes(text, expected):
    found = [(start, end, part.strip(" ;,")) for start, end, part in read_ranges(text)]
    assert found == expected


@pytest.mark.parametrize("text", ["5-3: nods", "4-4: nods", "5..8: nods", "5: nods"])
def test_ranges_that_cannot_be_read_are_named(text):
    with pytest.raises(InputError, match=f"range {text.split(': ')[0]!r}"):
        read_ranges(text)


def test_words_become_wishes(encoder):
    found = understand("smiles warmly and nods", encoder)
    assert found.keys() == {"warm", "smile", "nod"} and min(found.values()) > 0.4
    request = read_text("0-5: neutral; 5-: surprised, nods", encoder)
    assert {(w.name, w.start, w.end) for w in request.wishes} == {
        ("neutral", 0, 5), ("surprised", 5, math.inf), ("nod", 5, math.inf),
    }  # fmt: skip
    assert "5 s to the end: " in request.understood and not request.doubts


def test_what_is_not_to_be_done_is_none(encoder):
    for text in ("never smiles", "does not smile", "no smiles", "without smiling", "don't smile"):
        assert understand(text, encoder) == {"smile": 0}, text
    found = understand("smiles without nodding", encoder)
    assert found["nod"] == 0 and found["smile"] > 0.3
    assert "smile none" in read_text("nods, but never smiles", encoder).understood
    request = read_text("nods, not bored", encoder)
    assert [w.name for w in request.wishes] == ["nod"] and "not bored (name the attitude" in request.doubts


def test_degrees_are_amounts(encoder):
    for name, texts in {
        "smile": ("smiles slightly", "smiles now and then", "smiles", "smiles a lot"),
        "nod": ("nods once", "nods now and then", "nods", "nods again and again"),
        "bored": ("slightly bored", "somewhat bored", "bored", "very bored"),
    }.items():
        amounts = [understand(text, encoder)[name] for text in texts]
        assert amounts == sorted(amounts) and amounts[-1] - amounts[0] > 0.3, name


def test_a_wrong_letter_mostly_does_no_harm(encoder):
    texts = {"smilles": "smile", "noddding": "nod", "frowms": "frown", "surprized": "surprised",
    "laughts": "laugh",
             "skeptikal": "sceptical", "chuckels": "laugh", "blinnks": "blink"}  # fmt: skip
    right = [name in understand(f"the listener {word}", encoder) for word, name in texts.items()]
    assert sum(right) >= 6


def test_phrasings_that_were_not_trained_on_are_understood(encoder):
    report = phrasing_report(encoder)
    assert report["precision"] >= 0.9 and report["recall"] >= 0.9


def test_unknown_words_are_named_beside_what_is_understood(encoder, caplog):
    request = read_text("smiles and pirouettes", encoder)
    assert [w.name for w in request.wishes] == ["smile"]
    assert request.unknown == ("pirouettes",) and 'not understood: "pirouettes"' in str(request)
    request = read_text("smilles", encoder)
    assert request.guessed == ("smilles",) and 'guessed: "smilles"' in request.doubts
    with caplog.at_level(logging.WARNING):
        asked_for("smiles and pirouettes", None, 0.7, hub.resolve("listener-text"))
    assert "understood: smile" in caplog.text and "pirouettes" in caplog.text


def test_text_of_which_nothing_is_understood_lists_what_can_be(encoder):
    for text in ("pirouettes", "", "0-5: quantum chromodynamics"):
        with pytest.raises(InputError, match=r"warm.*nod.*gaze away"):
            read_text(text, encoder)


def test_an_attitude_is_a_wish_for_the_whole_video():
    assert asked_for(None, "bored", 0.4, None).wishes == (Wish("bored", 0.4),)
    reader = hub.resolve("listener-text")
    wishes = asked_for("nods", "warm", 0.8, reader).wishes
    assert wishes[0] == Wish("warm", 0.8) and [w.name for w in wishes] == ["warm", "nod"]
    for attitude, intensity, text in (("angry", 0.5, None), ("warm", 1.5, None), ("warm", 0.5, "bored")):
        with pytest.raises(InputError, match=attitude):
            asked_for(text, attitude, intensity, reader)


def test_texts_are_read_alone_as_in_a_batch_and_after_loading(tmp_path):
    torch.manual_seed(0)
    model = TextEncoder(["nods"], buckets=64, width=16, layers=2).eval()
    texts = [words_of(text) for text in ("nods", "smiles, but does not nod at all")]
    together = model(*tensors_of_words(texts, 64))
    for k, text in enumerate(texts):
        alone = model(*tensors_of_words([text], 64))
        assert all(torch.allclose(a[0], b[k], atol=1e-5) for a, b in zip(alone, together, strict=True))
    model.save_pretrained(tmp_path)
    again = load_text_encoder(tmp_path)
    assert again.known == {"nods"} and torch.equal(again(*tensors_of_words(texts, 64))[0], together[0])
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "Other"}))
    with pytest.raises(WeightsError, match="no text encoder"):
        load_text_encoder(tmp_path)


def segments(long, wishes, frames=32):
    """Latents of two segments of four latent frames each, overlapping by one unless chained."""
    engine = LatentEngine(tiny_pipeline(), long, 1)
    engine.attend(
        made_up_speaker(frames),
        engine.pipeline.codec.portrait_tokens(mesh.mean_face() * [80, -80, -80]),
        wishes,
    )
    results = []
    for segment in plan_segments(frames, 16, 0 if long == "causal" else 4, 0, 4).segments:
        previous = results[-1] if results and engine.chained else None
        results.append(engine.render(segment, previous, lambda _: None))
    return [result["latents"] for result in results]


@pytest.mark.parametrize("long", ["segments", "causal"])
def test_a_wish_changes_the_video_from_shortly_before_its_time_on(long):
    begins = 6  # latent frame
    start = begins * 4 / 25 + READ_AHEAD
    before, after = segments(long, ()), segments(long, (Wish("smile", 1.0, start),))
    first = 0
    for number, (a, b) in enumerate(zip(before, after, strict=True)):
        if number:
            first += len(before[number - 1]) - (long == "segments")
        same = max(0, begins - first)
        assert np.array_equal(a[:same], b[:same])
        assert not any(np.allclose(x, y, atol=1e-4) for x, y in zip(a[same:], b[same:], strict=True))
