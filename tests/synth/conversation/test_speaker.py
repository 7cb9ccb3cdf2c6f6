import numpy as np
import pytest

from headgen.synth.conversation.body import BREAK
from headgen.synth.conversation.speaker import Gesture, Stretch, perform, stretches, without_clashes
from headgen.synth.speech.track import Speech, Word

FPS = 25.0


def words(text, each=0.3):
    return tuple(Word(word, k * each, (k + 1) * each) for k, word in enumerate(text.split()))


def test_phrases_come_from_punctuation_where_words_are_known():
    said = words("So, we went home. um, Did you know?")
    empty = np.zeros(300, np.float32)
    found = stretches(Speech(np.zeros(48_000, np.float32), (), said, empty, empty))
    assert [(s.kind, s.text) for s in found] == [
        ("phrase", "So,"),
        ("phrase", "we went home."),
        ("filler", "um,"),
        ("question", "Did you know?"),
    ]
    assert found[1].start == said[1].start and found[1].end == said[3].end


def test_phrases_come_from_silences_in_recorded_speech(make_tones):
    speech = make_tones(
        [(0.4, 0, 0, 0), (1.0, 130, 110, 0.2), (0.6, 0, 0, 0), (0.8, 130, 110, 0.2), (0.5, 0, 0, 0)]
    )
    found = stretches(speech)
    assert [s.start for s in found] == pytest.approx([0.4, 2.0], abs=0.03)
    assert [s.end for s in found] == pytest.approx([1.4, 2.8], abs=0.12)
    assert stretches(make_tones([(1.0, 0, 0, 0)])) == []


def test_laughter_has_room():
    planned = [
        Gesture("smile", 1.0, 3.0, 0.8),
        Gesture("nod", 2.9, 0.6, 0.5),
        Gesture("laugh", 3.0, 1.5, 0.8),
        Gesture("brow_raise", 3.2, 0.8, 0.5),
        Gesture("shake", 4.0, 1.0, 0.5),
        Gesture("nod", 5.0, 0.6, 0.5),
    ]
    kept = without_clashes(planned)
    assert [item.kind for item in kept] == ["smile", "laugh", "brow_raise", "nod"]
    assert kept[0].start + kept[0].duration == pytest.approx(3.0 - 2 * BREAK)


def test_what_is_said_decides_the_gestures(make_chatter):
    """Happy phrases bring smiles, questions raised brows; neither comes with plain ones."""
    speech = make_chatter(0, 6)
    counts = {}
    for name, kind, sentiment in (
        ("plain", "phrase", "sad"),
        ("happy", "phrase", "happy"),
        ("ask", "question", "sad"),
    ):
        said = [Stretch(kind, s.start, s.end, "So?", sentiment=sentiment) for s in stretches(speech)]
        events = [e for seed in range(4) for e in perform(speech, said, FPS, np.random.default_rng(seed))[1]]
        counts[name] = {k: sum(e.kind == k for e in events) for k in ("smile", "brow_raise", "question")}
    assert counts["happy"]["smile"] >= 4 and counts["plain"]["smile"] == counts["ask"]["smile"] == 0
    assert counts["ask"]["brow_raise"] > counts["plain"]["brow_raise"] + 2
    assert counts["ask"]["question"] > 0 == counts["plain"]["question"]


def test_speakers_look_away_when_they_plan(make_chatter):
    """Kendon 1967: away at the beginnings of phrases rather than at their ends."""
    speech = make_chatter(1, 8)
    said = stretches(speech)
    begun, ended = [], []
    for seed in range(4):
        motion, _ = perform(speech, said, FPS, np.random.default_rng(seed))
        sight = np.hypot(*(motion.gaze + motion.head[:, :2] + motion.torso[:, :2]).T)
        begun += [sight[round((s.start + 0.15) * FPS)] > 8 for s in said]
        ended += [sight[min(round((s.end + 0.1) * FPS), len(sight) - 1)] > 8 for s in said]
    assert np.mean(begun) > np.mean(ended) + 0.2
