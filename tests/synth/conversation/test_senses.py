import numpy as np
import pytest

from headgen.synth.conversation.conversation import speaker_frames
from headgen.synth.conversation.senses import PAUSE, Ear, Senses, SpeakerFrame
from headgen.synth.heads.model import HeadMotion
from headgen.synth.motion.gestures import add, gesture
from headgen.synth.speech.prosody import low_pitch_regions, pauses
from headgen.synth.speech.track import CONTROL_RATE

FPS = 25.0


def heard(speech):
    ear, found = Ear(), []
    for k in range(len(speech.pitch)):
        for kind, _ in ear.hear(speech.pitch[k : k + 1], speech.loudness[k : k + 1]):
            found.append((kind, (k + 1) / CONTROL_RATE))
    return found


def seen(motion):
    silence = np.zeros(0, np.float32)
    senses = Senses(FPS)
    frames = (SpeakerFrame(silence, silence, motion[k : k + 1]) for k in range(len(motion)))
    return [percept for frame in frames for percept in senses.notice(frame)]


def test_ear_hears_value_by_value_what_prosody_finds_in_the_whole(make_chatter):
    speech = make_chatter(0, 12)
    found = heard(speech)
    stops = [time for kind, time in found if kind == "pause"]
    assert stops == pytest.approx([p.start + PAUSE for p in pauses(speech.loudness)], abs=1e-6)
    lows = [time for kind, time in found if kind == "low_pitch"]
    regions = [region.known for region in low_pitch_regions(speech.pitch, speech.loudness)]
    # A gap of up to 40 ms inside a region lets the ear wait for the voice to come back.
    assert len(lows) == len(regions) > 3
    assert all(-1e-6 <= a - b <= 0.0501 for a, b in zip(lows, regions, strict=True))


def test_ear_hears_the_loud_high_syllable(make_tones):
    quiet = [(0.25, 120, 118, 0.1), (0.05, 118, 118, 0.02)]
    speech = make_tones([*quiet * 5, (0.25, 165, 160, 0.5), *quiet * 4])
    times = [time for kind, time in heard(speech) if kind == "emphasis"]
    assert len(times) == 1 and 1.5 < times[0] < 1.95


@pytest.mark.parametrize(("end", "asked"), [(190, True), (100, False)])
def test_rising_pitch_before_a_pause_is_a_question(make_tones, end, asked):
    speech = make_tones([(1.2, 130, 125, 0.2), (0.3, 130, end, 0.2), (0.5, 0, 0, 0)])
    kinds = [kind for kind, _ in heard(speech)]
    assert "pause" in kinds and ("question" in kinds) is asked


@pytest.mark.parametrize("kind", ["smile", "laugh", "nod", "brow_raise", "posture_shift"])
def test_eye_sees_each_gesture_once_while_it_lasts(kind):
    duration = {"nod": 0.6, "brow_raise": 0.9, "posture_shift": 6.0}.get(kind, 2.0)
    offsets = gesture(kind, 0.9, duration, FPS, np.random.default_rng(1))
    motion = add(HeadMotion.still(round(FPS * 9)), offsets, 25)
    found = [p for p in seen(motion) if p.kind == kind]
    assert len(found) == 1
    assert 25 < found[0].frame <= 25 + len(offsets) and 0.3 < found[0].strength <= 1


def test_eye_sees_nothing_in_a_still_head_and_no_smile_in_a_vowel():
    motion = HeadMotion.still(100)
    assert seen(motion) == []
    vowel = HeadMotion.still(100)
    vowel.expression[40:44, [43, 44]] = 0.35
    assert seen(vowel) == []


def test_a_frame_brings_only_sound_from_before_it(make_chatter):
    speech = make_chatter(1, 4)
    given = 0
    for k, frame in enumerate(speaker_frames(speech, HeadMotion.still(90), FPS)):
        given += len(frame.pitch)
        assert given <= k / FPS * CONTROL_RATE + 1e-6
    assert given == int(89 / FPS * CONTROL_RATE + 1e-6)
