import time

import numpy as np
import pytest

from headgen.synth.speech.prosody import low_pitch_regions, pauses, pitch_and_loudness, voice_activity
from headgen.synth.speech.track import SAMPLE_RATE


def tone(hertz, seconds, amplitude=0.1):
    """A voice-like tone: eight harmonics; `hertz` is a number or one value per sample."""
    phase = np.cumsum(np.broadcast_to(hertz, round(seconds * SAMPLE_RATE)) / SAMPLE_RATE) * 2 * np.pi
    return amplitude * sum(np.sin(k * phase) / k for k in range(1, 9))


@pytest.mark.parametrize("hertz", [70, 110, 220, 440])
def test_pitch_of_tones(hertz):
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE) * 0.01
    pitch, _ = pitch_and_loudness(tone(hertz, 1) + noise)
    assert len(pitch) == 100
    assert np.allclose(pitch[8:], hertz, rtol=0.02)


def test_noise_and_silence_have_no_pitch():
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE) * 0.1
    assert (pitch_and_loudness(noise)[0] > 0).mean() < 0.03
    pitch, loudness = pitch_and_loudness(np.zeros(SAMPLE_RATE))
    assert not pitch.any() and not loudness.any()
    assert [len(v) for v in pitch_and_loudness(np.zeros(100))] == [0, 0]


def test_loudness_is_root_mean_square():
    _, loudness = pitch_and_loudness(np.sqrt(2) * 0.25 * np.sin(np.arange(SAMPLE_RATE) * 2 * np.pi / 80))
    assert np.allclose(loudness[2:], 0.25, rtol=1e-3)


def test_what_comes_later_changes_nothing_before():
    rng = np.random.default_rng(1)
    glide = np.linspace(90, 260, 2 * SAMPLE_RATE)
    sound = tone(glide, 2) * np.repeat(rng.random(40) > 0.2, SAMPLE_RATE // 20)
    other = sound.copy()
    cut = 157
    other[cut * SAMPLE_RATE // 100 :] = rng.standard_normal(len(sound) - cut * SAMPLE_RATE // 100)
    before, after = pitch_and_loudness(sound), pitch_and_loudness(other)
    for a, b in zip(before, after, strict=True):
        assert np.array_equal(a[:cut], b[:cut])
        assert not np.array_equal(a[cut:], b[cut:])
    active = [voice_activity(values[1]) for values in (before, after)]
    assert np.array_equal(active[0][:cut], active[1][:cut])
    cut = 100  # what is known by then must not depend on the rest
    for full in (pauses(before[1]), low_pitch_regions(*before)):
        part = (
            pauses(before[1][:cut])
            if full == pauses(before[1])
            else low_pitch_regions(*(v[:cut] for v in before))
        )
        known = [(r.start, r.known) for r in full if r.known * 100 <= cut]
        assert [(r.start, r.known) for r in part] == known


def test_low_pitch_is_found_when_110_ms_are_over():
    hertz = np.full(3 * SAMPLE_RATE, 160.0) + np.tile(np.linspace(-10, 30, 1600), 30)
    hertz[SAMPLE_RATE * 2 : SAMPLE_RATE * 5 // 2] = 110
    hertz[1600:4800] = 110  # too early: nobody has spoken for 700 ms
    (region,) = [r for r in low_pitch_regions(*pitch_and_loudness(tone(hertz, 3))) if r.end - r.start > 0.2]
    assert region.start == pytest.approx(2.03, abs=0.05)  # the window has to fill
    assert region.known == pytest.approx(region.start + 0.11)
    assert region.end == pytest.approx(2.5, abs=0.06)


def test_high_or_short_is_no_low_pitch():
    hertz = np.full(2 * SAMPLE_RATE, 160.0) + np.tile(np.linspace(-10, 30, 1600), 20)
    hertz[SAMPLE_RATE : SAMPLE_RATE + 1000] = 120
    assert not [
        r for r in low_pitch_regions(*pitch_and_loudness(tone(hertz, 2))) if r.start > 0.95 > r.end - 0.2
    ]
    hertz[SAMPLE_RATE:] = 250
    assert not [r for r in low_pitch_regions(*pitch_and_loudness(tone(hertz, 2))) if r.start > 1.05]


def test_pauses_are_known_once_they_last():
    sound = np.concatenate(
        [tone(120, 1), np.zeros(SAMPLE_RATE), tone(120, 1), np.zeros(1600), tone(120, 0.5)]
    )
    (pause,) = pauses(pitch_and_loudness(sound)[1], least=0.3)
    assert pause.start == pytest.approx(1.1, abs=0.02)  # activity is held for 80 ms
    assert pause.known == pytest.approx(pause.start + 0.3)
    assert pause.end == pytest.approx(2.0, abs=0.02)


def test_faster_than_a_thirtieth_of_real_time():
    sound = tone(np.linspace(90, 260, 10 * SAMPLE_RATE), 10)
    begin = time.process_time()
    low_pitch_regions(*pitch_and_loudness(sound))
    assert time.process_time() - begin < 0.3
