from dataclasses import replace

import numpy as np
import pytest

from headgen.synth.conversation.attitude import ATTITUDES
from headgen.synth.conversation.body import rows
from headgen.synth.conversation.conversation import listen, speaker_frames
from headgen.synth.conversation.listener import ListenerModel
from headgen.synth.conversation.rules import LATENCY_BOUNDS
from headgen.synth.conversation.speaker import perform, stretches
from headgen.synth.heads.model import HeadMotion, joined
from headgen.synth.motion.gestures import add, gesture
from headgen.synth.speech.prosody import pitch_and_loudness
from headgen.synth.speech.track import SAMPLE_RATE

FPS = 25.0
SECONDS = 10.0


@pytest.fixture(scope="module")
def speaker(make_chatter):
    speech = make_chatter(3, SECONDS)
    return speech, perform(speech, stretches(speech), FPS, np.random.default_rng(3))[0]


def with_another_future(speech, motion, time, seed):
    """The same until a time; after it other sounds (at once) and other movements."""
    rng = np.random.default_rng(seed)
    samples = speech.samples.copy()
    later = slice(round(time * SAMPLE_RATE), None)
    samples[later] = rng.choice([0.0, 0.2]) * rng.standard_normal(len(samples[later])).astype(np.float32)
    changed = replace(speech, samples=samples)
    changed = replace(changed, **dict(zip(("pitch", "loudness"), pitch_and_loudness(samples), strict=True)))
    frame = int(np.ceil(time * FPS - 1e-9))
    moved = rows(motion).copy()
    moved[frame:] = rng.uniform(0, 1, moved[frame:].shape)
    return changed, joined([motion[:frame], HeadMotion(*np.split(moved[frame:], [52, 55, 57, 60], axis=1))])


@pytest.mark.parametrize("attitude", ATTITUDES)
def test_the_past_does_not_change_with_the_speakers_future(speaker, attitude):
    speech, motion = speaker
    known, acts = listen(speech, motion, 11, FPS, attitude, 0.9)
    for time in (3.13, 6.4):
        other = with_another_future(speech, motion, time, seed=int(100 * time))
        changed, other_acts = listen(*other, 11, FPS, attitude, 0.9)
        frames = int(np.floor(time * FPS)) + 1  # up to and with the moment of the change
        assert rows(known)[:frames].tobytes() == rows(changed)[:frames].tobytes()
        before, still_before = ([a for a in every if a.start <= time] for every in (acts, other_acts))
        assert before == still_before


def test_what_the_speaker_does_matters(speaker):
    known, _ = listen(*speaker, 11, FPS, "warm", 0.9)
    changed, _ = listen(*with_another_future(*speaker, 3.13, seed=0), 11, FPS, "warm", 0.9)
    assert np.abs(known.head - changed.head).max() > 1


def test_streamed_is_offline_however_long_it_goes_on(speaker):
    speech, motion = speaker
    offline, acts = listen(speech, motion, 5, FPS, "warm", 0.8)
    model = ListenerModel(5, FPS, "warm", 0.8)
    streamed, begun = [], []
    for frame in speaker_frames(speech, motion, FPS):
        moved, new = model.step(frame)
        streamed.append(moved)
        begun += new
    for _ in range(500):  # past the stretch of idle motion that is made at the beginning
        streamed.append(model.step(frame)[0])
    assert rows(offline).tobytes() == rows(joined(streamed))[: len(offline)].tobytes()
    assert acts == begun
    speeds = np.abs(np.diff(joined(streamed).head, axis=0)).max(1)
    assert speeds.max() < 6, "no jump where idle motion is made longer"


def test_same_seed_same_listener_other_seed_another(speaker):
    first, again, other = (listen(*speaker, seed, FPS, "neutral", 0.6)[0] for seed in (1, 1, 2))
    assert rows(first).tobytes() == rows(again).tobytes()
    assert not np.array_equal(rows(first), rows(other))


def test_motion_stays_possible(speaker):
    motion, _ = listen(*speaker, 4, FPS, "surprised", 1.0)
    assert np.isfinite(rows(motion)).all()
    assert motion.expression.min() >= 0 and motion.expression.max() <= 1
    assert np.abs(motion.head).max() < 35


def test_acts_follow_what_was_noticed_and_never_share_a_part_of_the_body(speaker):
    _, acts = listen(*speaker, 6, FPS, "warm", 1.0)
    caused = [act for act in acts if act.percept is not None]
    assert len(caused) > 4
    assert all(LATENCY_BOUNDS[0] <= a.start - a.known <= LATENCY_BOUNDS[1] + 1 / FPS for a in caused)
    head = [act for act in acts if act.kind in ("nod", "nods", "shake", "tilt", "laugh")]
    assert all(a.end < b.start for a, b in zip(head, head[1:], strict=False))


def test_smile_and_laughter_come_back_after_a_while(make_tones):
    quiet = make_tones([(6.0, 0, 0, 0)])
    for kind in ("smile", "laugh"):
        shown = gesture(kind, 0.9, 2.5, FPS, np.random.default_rng(0))
        motion = add(HeadMotion.still(150), shown, 50)
        starts = []
        for seed in range(8):
            _, acts = listen(quiet, motion, seed, FPS, "warm", 1.0)
            answers = [a for a in acts if a.kind in ("smile", "laugh")]
            assert all(a.start > 2.0 for a in answers)
            starts += [a.start for a in answers if a.kind == kind]
        assert len(starts) >= 4
        assert 2.4 < np.median(starts) < 4.0


def test_posture_is_mirrored_as_in_a_mirror(make_tones):
    quiet = make_tones([(8.0, 0, 0, 0)])
    motion = HeadMotion.still(200)
    motion.translation[:, 0] = 2.5 * np.clip((np.arange(200) - 50) / 30, 0, 1)
    sides = []
    for seed in range(10):
        moved, acts = listen(quiet, motion, seed, FPS, "warm", 1.0)
        for act in acts:
            if act.kind == "posture_shift" and act.percept is not None:
                middle = round((act.start + 2) * FPS)
                sides.append(moved.translation[middle, 0] - moved.translation[round(act.start * FPS), 0])
    assert len(sides) >= 4 and np.median(sides) < -0.5


@pytest.fixture(scope="module")
def rates(make_chatter):
    """Events per minute and share of looking, by attitude at intensity 0.9."""
    clips = []
    for seed in range(2):
        speech = make_chatter(20 + seed, 20)
        clips.append((speech, perform(speech, stretches(speech), FPS, np.random.default_rng(seed))[0]))
    out = {}
    for attitude in ATTITUDES:
        counts, looking, frames, blinks = {}, 0, 0, []
        for k, (speech, motion) in enumerate(clips):
            moved, acts = listen(speech, motion, k, FPS, attitude, 0.9)
            for act in acts:
                counts[act.kind] = counts.get(act.kind, 0) + 1
                blinks += [act.end - act.start] * (act.kind == "blink")
            sight = np.hypot(*(moved.gaze + moved.head[:, :2] + moved.torso[:, :2]).T)
            looking, frames = looking + (sight < 7).sum(), frames + len(moved)
        minutes = frames / FPS / 60
        rate = {kind: count / minutes for kind, count in counts.items()}
        out[attitude] = {"gaze": looking / frames, "blink length": np.mean(blinks), **rate}
        out[attitude]["nodding"] = rate.get("nod", 0) + rate.get("nods", 0)
    return out


def test_attitudes_differ_in_the_right_direction(rates):
    def of(attitude, kind):
        return rates[attitude].get(kind, 0)

    assert of("warm", "nodding") > 1.5 * of("sceptical", "nodding")
    assert of("warm", "nodding") > of("neutral", "nodding") > of("bored", "nodding")
    assert of("warm", "smile") > of("neutral", "smile") >= of("bored", "smile")
    assert of("sceptical", "frown") + of("sceptical", "shake") > 4 > of("warm", "frown") + of("warm", "shake")
    assert of("surprised", "brow_raise") + of("surprised", "surprise") > 1.5 * of("neutral", "brow_raise")
    assert of("bored", "gaze") < of("neutral", "gaze") - 0.1 and of("neutral", "gaze") < of(
        "surprised", "gaze"
    )
    assert of("bored", "blink length") > 1.4 * of("neutral", "blink length")


def test_a_neutral_listener_behaves_as_published(rates):
    assert 0.65 < rates["neutral"]["gaze"] < 0.88  # Argyle and Cook 1976: three quarters
    assert 8 < rates["neutral"]["blink"] < 27  # Bentivoglio et al. 1997: 17 at rest, 26 in conversation
    assert 4 < rates["neutral"]["nodding"] < 20
