import json

import pytest

from headgen.synth.conversation.body import PARTS_MOVED
from headgen.synth.conversation.consistency import VISIBLE
from headgen.synth.conversation.events import LISTENER_KINDS, SPEAKER_KINDS, Event
from headgen.synth.conversation.phrasing import TAGS, VERBS


def test_event_is_plain_values_for_files():
    event = Event("nod", "listener", 1.0, 1.6, 0.5, 3, cause=1, delay=0.4)
    assert Event(**json.loads(json.dumps(event.as_dict()))) == event


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "back_channel", "who": "speaker"},
        {"kind": "question"},
        {"kind": "sneeze"},
        {"who": "audience"},
        {"start": 2.0},
        {"start": -0.1},
        {"strength": 1.2},
    ],
)
def test_impossible_events_are_refused(wrong):
    fields = {"kind": "nod", "who": "listener", "start": 1.0, "end": 1.6, "strength": 0.5, "number": 0}
    with pytest.raises(ValueError, match="event"):
        Event(**{**fields, **wrong})


def test_every_kind_can_be_done_checked_and_told():
    assert set(LISTENER_KINDS) == set(PARTS_MOVED) == set(VISIBLE)
    heard = {"phrase", "pause", "filler", "question", "emphasis", "low_pitch"}
    assert set(SPEAKER_KINDS) - heard <= set(PARTS_MOVED)
    told = (set(LISTENER_KINDS) | set(SPEAKER_KINDS)) - {"low_pitch"}
    assert told <= set(VERBS) and told <= set(TAGS)
