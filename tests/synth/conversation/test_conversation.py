from dataclasses import replace

import numpy as np
import pytest

from headgen.errors import InputError
from headgen.synth.conversation.body import rows
from headgen.synth.conversation.consistency import check_events
from headgen.synth.conversation.conversation import make_conversation
from headgen.synth.heads.model import HeadMotion


@pytest.fixture(scope="module")
def conversations():
    """Twenty made-up ones."""
    pytest.importorskip("espeakng_loader")
    return [make_conversation(seed, 8.0) for seed in range(20)]


def test_events_and_curves_agree(conversations):
    for made in conversations:
        assert check_events(made) == [], made.seed


def test_all_of_it_is_as_long_as_asked_for_and_numbered(conversations):
    for made in conversations:
        assert len(made.listener) == len(made.speaker) == 200
        assert made.speech.duration == made.duration == 8.0
        assert [event.number for event in made.events] == list(range(len(made.events)))
        starts = [event.start for event in made.events]
        assert starts == sorted(starts) and max(event.end for event in made.events) <= 8.0


def test_nearly_every_reaction_has_its_cause(conversations):
    reactions = [
        e for made in conversations for e in made.of("listener") if e.kind in ("nod", "nods", "smile")
    ]
    known = [event for event in reactions if event.cause is not None]
    assert len(reactions) > 20 and len(known) >= 0.9 * len(reactions)


def test_same_seed_same_conversation(conversations):
    again = make_conversation(3, 8.0)
    assert again.events == conversations[3].events and again.captions == conversations[3].captions
    assert rows(again.listener).tobytes() == rows(conversations[3].listener).tobytes()
    assert rows(again.speaker).tobytes() == rows(conversations[3].speaker).tobytes()
    assert again.speech.samples.tobytes() == conversations[3].speech.samples.tobytes()


def test_speech_may_be_given_without_words(make_chatter):
    speech = make_chatter(5, 9)
    made = make_conversation(1, 60.0, "warm", 0.9, speech=speech)
    assert made.duration == pytest.approx(speech.duration, abs=0.05)
    kinds = {event.kind for event in made.of("speaker")}
    assert {"phrase", "pause", "emphasis", "blink"} <= kinds
    assert check_events(made) == []
    assert np.ptp(made.speaker.expression[:, 24]) > 0.05, "the mouth moves with the sound"


def test_bad_wishes_are_refused():
    for wish in ({"attitude": "angry"}, {"intensity": 2.0}, {"duration": 0.2}, {"fps": 1.0}):
        with pytest.raises(InputError):
            make_conversation(**{"seed": 0, "duration": 5.0, **wish})


@pytest.fixture(scope="module")
def warm(make_chatter):
    return make_conversation(4, 12.0, "warm", 1.0, speech=make_chatter(6, 12))


def test_a_lost_event_and_a_still_head_are_found(warm):
    assert check_events(warm) == []
    frozen = replace(warm, listener=HeadMotion.still(len(warm.listener)))
    nods = [e for e in warm.of("listener") if e.kind in ("nod", "nods") and e.end < warm.duration - 0.1]
    messages = check_events(frozen)
    assert nods and all(any(f"event {e.number} " in message for message in messages) for e in nods)
    unlisted = replace(warm, events=tuple(e for e in warm.events if e.kind != "blink"))
    assert any("unlisted blink" in message for message in check_events(unlisted))
    unlisted = replace(
        warm, events=tuple(e for e in warm.events if e.who == "speaker" or "nod" not in e.kind)
    )
    assert any("listener: an unlisted turn" in message for message in check_events(unlisted))


def test_a_shifted_event_and_a_late_cause_are_found(warm):
    event = next(e for e in warm.of("listener") if e.kind == "nod" and e.start > 1 and e.cause is not None)
    moved = list(warm.events)
    moved[event.number] = replace(event, start=event.start - 0.7, end=event.end - 0.7)
    assert any(
        f"event {event.number} " in message for message in check_events(replace(warm, events=tuple(moved)))
    )
    later = next(e for e in warm.of("speaker") if e.start > event.start)
    moved[event.number] = replace(event, cause=later.number)
    assert any("too early" in message for message in check_events(replace(warm, events=tuple(moved))))
