"""Training of the text encoder: what its texts say, and the shipped recipe for a few steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headgen import cli
from headgen.evaluation.text_phrasings import all_texts
from headgen.listener.text import load_text_encoder, words_of
from headgen.listener.wishes import FULL, WISHES
from headgen.training.text import RequestData, Requests, TextEncoderModule, learnt_words, mistyped
from headgen.training.text_grammar import (
    LITTLE,
    MUCH,
    PLAIN,
    SOME,
    Example,
    caption,
    counted,
    example,
    gerund,
    refusal,
    third,
    wish,
)
from headgen.training.text_phrases import BEHAVIOURS

CONFIG = "configs/train/listener-text.yaml"


def examples(make, count):
    return [make(np.random.default_rng(k)) for k in range(count)]


def test_texts_ask_for_everything_there_is_in_every_amount():
    made = [wish for one in examples(example, 1500) for wish in one.wishes.items()]
    assert {name for name, _ in made} == set(WISHES) and set(BEHAVIOURS) == set(FULL)
    for name in FULL:
        assert {0.0, LITTLE, SOME, PLAIN, MUCH} <= {amount for other, amount in made if other == name}, name


@pytest.mark.parametrize("name", FULL)
def test_requests_say_what_they_ask_for(name):
    said = BEHAVIOURS[name]
    stems = {
        w[:4] for text in (*said.verbs, *said.nouns, *said.clauses) for w in words_of(text) if len(w) > 2
    }
    for k in range(60):
        out = Example("")
        text = wish(out, name, np.random.default_rng(k))
        assert out.wishes.keys() == {name} and out.wishes[name] > 0
        assert stems & {w[:4] for w in words_of(text)}, text
        assert stems & {w[:4] for w in words_of(refusal(out, [name], np.random.default_rng(k)))}
        assert out.wishes == {name: 0}


def test_captions_ask_for_what_they_tell():
    instructions = 0
    for one in examples(caption, 600):
        text = one.text.lower()
        for name in ("nod", "smile"):
            if f"do not {name}" in text:
                instructions += 1
                assert one.wishes[name] == 0
        if "laugh" in text or "chuckle" in text:
            assert one.wishes["laugh"] > 0
        assert ("blink" in one.wishes) == ("blink" in text)
    assert instructions > 20


def test_counts_and_strengths_are_amounts():
    from headgen.synth.conversation.events import Event

    def amount(count, strength, kind="smile"):
        return counted([Event(kind, "listener", k, k + 1, strength, k) for k in range(count)])

    assert amount(1, 0.6) == {"smile": PLAIN} and amount(1, 0.2) == {"smile": LITTLE}
    assert amount(2, 0.6) == {"smile": SOME} and amount(9, 0.6) == {"smile": MUCH}
    assert amount(1, 0.6, "nods") == {"nod": MUCH}


def test_verbs_are_inflected():
    assert [third(v) for v in ("nod", "let a smile show", "do not move", "have a laugh", "cry")] == [
        "nods", "lets a smile show", "does not move", "has a laugh", "cries",
    ]  # fmt: skip
    assert [gerund(v) for v in ("nod", "smile back", "shake the head", "be taken aback")] == [
        "nodding", "smiling back", "shaking the head", "being taken aback",
    ]  # fmt: skip


def test_what_is_measured_on_is_never_trained_on():
    def plain(text):
        return f" {' '.join(w for w in words_of(text) if w[0].isalnum())} "

    held_out = [plain(text) for text in all_texts()]
    assert len(held_out) > 120
    for one in examples(example, 3000):
        text = plain(one.text)
        assert not [held for held in held_out if held in text], one.text


def test_words_of_what_nobody_can_do_are_not_learnt():
    known = learnt_words(1500, 0)
    assert {"nods", "smile", "without", "warm"} <= set(known) and known == sorted(known)
    assert not {"pirouettes", "piano", "banana", "juggle"} & set(known)


def test_a_text_is_a_function_of_its_number_and_typing_errors_are_of_one_letter():
    a, b = Requests(3, True)[5], Requests(3, True)[5]
    assert a[0] == b[0] and torch.equal(a[1], b[1]) and torch.equal(a[2], b[2])
    assert Requests(4, True)[5][0] != a[0]
    for k in range(60):
        wrong = mistyped("smiling", np.random.default_rng(k))
        assert wrong[0] == "s" and abs(len(wrong) - 7) <= 1
        assert len(set("smiling") - set(wrong)) <= 1


def test_the_loss_falls_on_a_few_texts():
    torch.manual_seed(0)
    module = TextEncoderModule(buckets=512, width=16, layers=1, texts=20)
    batch = next(iter(RequestData(8, buckets=512).val_dataloader()))
    optimizer = torch.optim.AdamW(module.model.parameters(), 3e-2)
    losses = []
    for _ in range(40):
        loss = sum(module.loss(module.model, batch).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_the_recipe_trains_and_exports(tmp_path):
    small = {"trainer.max_steps": 3, "trainer.val_check_interval": 3, "trainer.limit_val_batches": 1,
             "model.buckets": 256, "data.buckets": 256, "model.width": 16, "model.texts": 30,
             "output": tmp_path}  # fmt: skip
    words = [word for name, value in small.items() for word in (f"--{name}", str(value))]
    assert not cli.main(["train", "listener-text", "--config", CONFIG, *words])
    encoder = load_text_encoder(tmp_path / "model")
    assert encoder.config.width == 16 and encoder.known and encoder.dtype == torch.float32
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
