import re
from dataclasses import replace

import numpy as np
import pytest

from headgen.synth.conversation.attitude import ATTITUDES
from headgen.synth.conversation.captions import (
    ADJECTIVES,
    ADVERBS,
    STYLES,
    read_machine,
    timed,
    write_captions,
)
from headgen.synth.conversation.events import LISTENER_KINDS, Event
from headgen.synth.conversation.phrasing import CLEAR, CLEARLY, NUMBERS, SLIGHT, SLIGHTLY, TAGS, clause

EVENTS = (
    Event("pause", "speaker", 0.8, 1.3, 0.5, 0),
    Event("nod", "listener", 1.4, 2.0, 0.5, 1, cause=0, delay=0.4),
    Event("smile", "speaker", 2.0, 4.0, 0.9, 2),
    Event("smile", "listener", 2.8, 4.9, 0.9, 3, cause=2, delay=0.6),
    Event("nod", "listener", 3.2, 3.8, 0.6, 4),
    Event("blink", "listener", 4.2, 4.4, 1.0, 5),
    Event("nods", "listener", 5.0, 6.4, 0.5, 6),
    Event("gaze_away", "listener", 7.1, 8.0, 0.7, 7),
    Event("nod", "listener", 8.5, 9.1, 0.5, 8),
)


def captions(seed, who="listener"):
    made = write_captions(EVENTS, 10.0, "warm", 0.8, np.random.default_rng(seed))
    return {caption.style: caption.text for caption in made if caption.who == who}


def counts(text):
    """Numbers that a clause states; one if it states none."""
    text = text.lower()
    found = [NUMBERS.index(word) for word in re.findall(r"[a-z]+", text) if word in NUMBERS]
    found += [int(n) for n in re.findall(r"\d+", text)] + [2] * ("twice" in text)
    return found or [1]


@pytest.mark.parametrize("kind", LISTENER_KINDS)
@pytest.mark.parametrize("count", [1, 2, 3, 5, 14])
def test_clauses_state_the_number_and_only_a_common_strength(kind, count):
    for strength in (0.2, 0.6, 0.9):
        events = [Event(kind, "listener", k, k + 0.5, strength, k) for k in range(count)]
        texts = [clause(events, np.random.default_rng(seed)) for seed in range(12)]
        mixed = [*events, replace(events[0], strength=0.6)]
        texts_mixed = [clause(mixed, np.random.default_rng(seed)) for seed in range(12)]
        for text in texts:
            plain = text.replace("to one side", "")
            assert counts(plain) == [count], text
            words = set(re.findall(r"[a-z ]+", text)[0].split())
            if strength > 0.5:
                assert not words & {*SLIGHT, *SLIGHTLY}
            if strength < 0.7:
                assert not words & {*CLEAR, *CLEARLY} - {"big"}
        for text in texts_mixed:
            assert not any(word in text for word in ("slight", "faint", "clear", "marked", "strongly"))


def test_every_style_for_the_listener_and_many_phrasings():
    assert set(captions(0)) == set(STYLES) and len(STYLES) >= 6
    assert {"tags", "sentence", "timed", "narrative", "machine"} <= set(captions(0, "speaker"))
    for style in set(STYLES) - {"machine"}:
        assert len({captions(seed)[style] for seed in range(30)}) >= 10, style


def test_sentences_count_right_and_keep_the_order():
    patterns = {
        "nod": r"(nods|bobs the head|dips the head) three times|gives three nods",
        "smile": r"smile",
        "nods": r"repeatedly|in a row|nodding|series",
        "gaze_away": r"away|aside|averts|wander",
    }
    for seed in range(40):
        text = captions(seed)["sentence"].lower()
        found = [re.search(pattern, text) for pattern in patterns.values()]
        assert all(found), text
        places = [match.start() for match in found]
        assert places == sorted(places), text


def test_tags_give_the_attitude_kinds_and_counts():
    for seed in range(20):
        first, *rest = captions(seed)["tags"].split(", ")
        assert first in ADJECTIVES["warm"]
        names = {tag.split(" x")[0]: counts(tag.split(" x")[1])[0] if " x" in tag else 1 for tag in rest}
        assert any(names.get(name) == 3 for name in TAGS["nod"])
        assert any(names.get(name) == 1 for name in TAGS["smile"])
        assert not any(name in names for name in TAGS["frown"])


def test_time_ranges_hold_what_begins_in_them():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        events = [event for event in EVENTS if event.who == "listener" and event.kind != "blink"]
        ranges = re.findall(r"([\d.]+)-([\d.]+) s: ([^;]+)", timed(events, 10.0, rng, "listener"))
        assert float(ranges[0][0]) == 0 and float(ranges[-1][1]) == 10
        for start, end, text in ranges:
            inside = [e for e in events if float(start) <= e.start < float(end)]
            assert ("smile" in text) == any(e.kind == "smile" for e in inside)
            assert bool(re.search(r"away|aside|averts|wander", text)) == any(
                e.kind == "gaze_away" for e in inside
            )


def test_narratives_tell_causes_in_order():
    for seed in range(20):
        text = captions(seed)["narrative"]
        pause = re.search(r"speaker pauses|in the pause|stops for a moment", text)
        smile = re.search(r"speaker's smile|speaker smiles", text)
        assert pause and smile and pause.start() < smile.start()


def test_instructions_ask_for_what_happened():
    for seed in range(30):
        text = captions(seed)["instruction"].lower()
        assert re.search(r"nod (often|a lot|again and again)", text), text  # 24 a minute
        assert "smile once" in text and "look away once" in text and "do not" not in text
    calm = write_captions((), 10.0, "bored", 0.8, np.random.default_rng(1))
    text = next(c.text for c in calm if c.who == "listener" and c.style == "instruction").lower()
    assert "nod often" not in text and "look away" in text and "not" in text or "keep" in text


def test_attitude_is_told_without_events():
    for attitude in ATTITUDES:
        made = write_captions((), 5.0, attitude, 0.9, np.random.default_rng(0))
        text = next(c.text for c in made if c.style == "attitude")
        assert any(word in text for word in (*ADJECTIVES[attitude], *ADVERBS[attitude])), text


def test_machine_form_can_be_read_back():
    expected = [(e.kind, e.start, e.end, e.strength) for e in EVENTS if e.who == "listener"]
    assert read_machine(captions(0)["machine"]) == expected
