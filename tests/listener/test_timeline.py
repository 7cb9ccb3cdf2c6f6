"""The run record's timeline tells what the speaker and the listener do."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_listener import AUDIO, MOTION, made_up_motion, tiny_codec

from headgen.listener.engine import settling
from headgen.listener.latents import FRAMES_PER_LATENT, FaceMotion, frames_of, latents_of
from headgen.listener.speech import AUDIO_NAMES
from headgen.listener.timeline import Observed, motion_curves, timeline
from headgen.listener.track import SpeakerTrack
from headgen.scheduler import plan_segments

FRAMES = 150  # 6 s
VOICE, LOUDNESS = AUDIO_NAMES.index("voice_activity"), AUDIO_NAMES.index("loudness")


def speaker(*stretches):
    """Speaks in some stretches [start, stop) of frames, loudly in the first."""
    audio = np.zeros((FRAMES, AUDIO), np.float32)
    audio[:, VOICE], audio[:, LOUDNESS] = -1, -2
    for k, (start, stop) in enumerate(stretches):
        audio[start:stop, VOICE], audio[start:stop, LOUDNESS] = 1, 2 if k == 0 else 0
    everywhere = np.ones(FRAMES, bool)
    return SpeakerTrack(audio, np.zeros((FRAMES, MOTION), np.float32), everywhere, everywhere)


def still():
    return FaceMotion(np.zeros((FRAMES, 6), np.float32), np.zeros((FRAMES, 478, 3), np.float32))


def told(track=None, motion=None, segments=192, overlap=24):
    plan = plan_segments(FRAMES, segments, overlap, 0, multiple=FRAMES_PER_LATENT)
    curves = motion_curves(still() if motion is None else motion)
    return timeline(speaker() if track is None else track, curves, plan)


def test_speech_and_its_loudness():
    found = told(speaker((25, 50), (53, 75), (100, 125)))
    assert found["speech"] == [[1.0, 3.0], [4.0, 5.0]], "a breath of .12 s does not end a sentence"
    assert found["seconds"] == 6.0
    assert len(found["energy"]) * found["energy_step"] == 6.0
    assert found["energy"][0] == 0
    assert found["energy"][6] == 1
    assert found["energy"][21] == 0.5


def test_sound_that_is_missing_is_neither_speech_nor_loud():
    track = speaker((25, 50))
    track.heard[:] = False
    found = told(track)
    assert found["speech"] == []
    assert set(found["energy"]) == {0}


def test_nods_of_the_listener():
    motion = still()
    motion.pose[50:65, 1] = -8 * np.sin(np.linspace(0, np.pi, 15))  # pitch, degrees
    events = told(motion=motion)["events"]
    assert [event["kind"] for event in events] == ["nod"]
    assert events[0]["start"] == pytest.approx(2.0, abs=0.2)
    assert events[0]["end"] == pytest.approx(2.6, abs=0.2)
    assert events[0]["strength"] == pytest.approx(8, abs=1.5)


def test_segments_and_where_they_meet():
    found = told(segments=64, overlap=16)
    assert found["segments"][0][0] == 0
    assert found["segments"][-1][1] == FRAMES / 25
    assert len(found["transitions"]) == len(found["segments"]) - 1
    for before, join, after in zip(
        found["segments"], found["transitions"], found["segments"][1:], strict=False
    ):
        assert join == [after[0], before[1]]
    assert told()["transitions"] == []


def test_what_is_drawn_is_noted_in_whatever_order(monkeypatch):
    codec = tiny_codec()
    plan = plan_segments(48, 48, 0, 0, multiple=FRAMES_PER_LATENT)
    latents = frames_of(codec.encode(made_up_motion(frames=48)).numpy())

    class Drawn:
        parallel, chunk, chained, fingerprint = 2, 4, False, "same"

        def prepare(self, job):
            self.chunk = 8

        def draw(self, source, result, start, stop):
            return [np.full((2, 2, 3), k, np.uint8) for k in range(start, stop)]

    observed = Observed(Drawn())
    observed.prepare(None)
    assert (observed.chunk, observed.fingerprint) == (8, "same")
    result = {"latents": latents_of(latents)}
    pictures = [observed.draw(plan.segments[0], result, k, k + 8) for k in (40, 0, 24, 8, 32, 16)]
    assert [int(p[0][0, 0, 0]) for p in pictures] == [40, 0, 24, 8, 32, 16]
    seen = codec.decode_frames(settling(latents, 0))
    monkeypatch.setattr("headgen.listener.timeline.AT_ONCE", 20)
    np.testing.assert_allclose(observed.curves(codec), motion_curves(seen), rtol=1e-6)  # as it was drawn
    held = {id(one.base): one.base.nbytes for one in observed._frames.values()}
    assert sum(held.values()) == latents.nbytes  # of every segment, no more than what was drawn of it
