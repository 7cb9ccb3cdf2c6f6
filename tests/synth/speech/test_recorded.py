import wave

import av
import numpy as np
import pytest

from headgen.errors import InputError
from headgen.synth.heads.expressions import INDEX
from headgen.synth.speech.espeak import speak
from headgen.synth.speech.prosody import pitch_and_loudness
from headgen.synth.speech.recorded import recorded_speech, spectrum_to_expression
from headgen.synth.speech.texts import talk
from headgen.synth.speech.track import SAMPLE_RATE, Speech
from headgen.synth.speech.visemes import speech_to_expression
from headgen.synth.speech.voices import random_voice


def conversation(seed, seconds=8):
    rng = np.random.default_rng(seed)
    voice = random_voice(rng)
    return speak(talk(rng, seconds, voice.rate), voice, rng, before=0.4, after=0.4).speech


def heard(samples):
    samples = np.asarray(samples, np.float32)
    return Speech(samples, (), (), *pitch_and_loudness(samples))


def write(path, samples, rate, codec, layout="stereo"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        channels = 2 if layout == "stereo" else 1
        packed = (np.repeat(samples[:, None], channels, 1) * 32767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
        frame.sample_rate = rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return path


@pytest.mark.parametrize("name, codec, rate", [("a.wav", "pcm_s16le", 44100), ("a.m4a", "aac", 48000)])
def test_any_container_becomes_16_khz_mono(tmp_path, name, codec, rate):
    time = np.arange(rate) / rate
    tone = 0.3 * sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 6))
    speech = recorded_speech(write(tmp_path / name, tone, rate, codec))
    assert speech.samples.dtype == np.float32
    assert speech.duration == pytest.approx(1, abs=0.06)
    assert np.median(speech.pitch[10:80]) == pytest.approx(150, rel=0.02)
    assert np.median(speech.loudness[10:80]) == pytest.approx(np.sqrt((tone**2).mean()), rel=0.1)
    assert speech.phones == () and speech.words == ()


def test_bad_files_are_named(tmp_path):
    with pytest.raises(InputError, match="gone.wav: no such file"):
        recorded_speech(tmp_path / "gone.wav")
    text = tmp_path / "text.wav"
    text.write_text("not a sound " * 100)
    with pytest.raises(InputError, match="text.wav: its sound cannot be read"):
        recorded_speech(text)
    silent = tmp_path / "empty.wav"
    with wave.open(str(silent), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
    with pytest.raises(InputError, match="empty.wav"):
        recorded_speech(silent)


def test_the_jaw_follows_what_the_phones_ask():
    jaws, pressed, open_vowels = [], [], []
    for seed in range(8):
        speech = conversation(seed + 40)
        truth = speech_to_expression(speech, 25, np.random.default_rng(0))
        guess = spectrum_to_expression(speech, 25)
        assert guess.shape == truth.shape and guess.min() >= 0 and guess.max() <= 1
        jaws.append(np.corrcoef(truth[:, INDEX["jawOpen"]], guess[:, INDEX["jawOpen"]])[0, 1])
        times = np.arange(len(guess)) / 25
        gap = guess[:, INDEX["jawOpen"]] - guess[:, INDEX["mouthClose"]]
        for phone in speech.phones:
            part = gap[(times >= phone.start) & (times < phone.end)]
            if len(part) and phone.symbol[:1] in ("p", "b", "m"):
                pressed.append(part.min())
            elif len(part) and phone.symbol[:1] in ("a", "ɑ", "æ"):
                open_vowels.append(part.max())
    assert np.median(jaws) > 0.75 and min(jaws) > 0.6
    assert np.median(open_vowels) > 3 * np.median(pressed)


def test_hissing_brings_the_teeth_together():
    rng = np.random.default_rng(0)
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    vowel = sum(
        np.sin(2 * np.pi * 130 * k * time) * np.exp(-(((130 * k - 750) / 300) ** 2)) for k in range(1, 25)
    )
    hiss = np.diff(rng.standard_normal(SAMPLE_RATE + 2), 2)  # rises by 12 dB an octave
    guess = spectrum_to_expression(heard(np.concatenate([0.1 * vowel, 0.05 * hiss])), 25)
    jaw, lower = guess[:, INDEX["jawOpen"]], guess[:, INDEX["mouthLowerDownLeft"]]
    assert jaw[5:20].mean() > 3 * jaw[30:45].mean()
    assert lower[30:45].mean() > 0.15


def test_gain_does_not_matter_and_silence_moves_nothing():
    speech = conversation(3, 4)
    quiet = spectrum_to_expression(heard(speech.samples * 0.1), 25)
    assert np.allclose(quiet, spectrum_to_expression(heard(speech.samples), 25), atol=0.02)
    assert not spectrum_to_expression(heard(np.zeros(16000)), 25).any()
    assert not spectrum_to_expression(heard(np.random.default_rng(0).standard_normal(16000) * 1e-4), 25).any()
    assert spectrum_to_expression(heard(np.zeros(10)), 25, frames=3).shape == (3, 52)
    padded = heard(np.concatenate([speech.samples, np.zeros(20 * SAMPLE_RATE)]))  # mostly silence
    moved = spectrum_to_expression(padded, 25)
    assert (
        np.allclose(moved[: len(quiet) - 10], quiet[:-10], atol=0.1) and moved[len(quiet) + 20 :].max() < 0.02
    )
