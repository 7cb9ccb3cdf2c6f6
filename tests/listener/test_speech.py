import importlib.util

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from headgen.errors import MissingExtraError
from headgen.listener.speech import AUDIO_NAMES, HOP, SpeechFeatures, speech_extractor, speech_features
from headgen.listener.track import FPS, SAMPLE_RATE
from headgen.listener.wav2vec import Wav2VecFeatures
from headgen.synth.speech.espeak import speak
from headgen.synth.speech.texts import Phrase
from headgen.synth.speech.voices import Voice

COLUMN = {name: k for k, name in enumerate(AUDIO_NAMES)}


def vowel(pitch):
    """(N,) an "a" with a pitch in Hz for each sample: a buzz through two resonances, and some breath."""
    sound = np.diff(np.floor(np.cumsum(pitch) / SAMPLE_RATE), prepend=0.0)
    for hertz, width in ((700, 80), (1200, 90)):
        radius = np.exp(-np.pi * width / SAMPLE_RATE)
        sound = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * hertz / SAMPLE_RATE), radius**2], sound)
    breath = np.random.default_rng(0).normal(size=len(pitch)) * 0.002
    return (0.3 * sound / np.abs(sound).max() + breath).astype(np.float32)


def said(voice):
    """Two phrases, with half a second before and 0.7 s after each."""
    pytest.importorskip("espeakng_loader")
    phrases = [Phrase(text, pause=0.7) for text in ("The weather was lovely.", "We walked along the river.")]
    return speak(phrases, voice, np.random.default_rng(0), before=0.5).speech


@pytest.fixture(scope="module")
def talk():
    """4 s: speech from 0.5 to 1.6 s and from 2.3 to 3.7 s, over faint noise."""
    samples = said(Voice()).samples[: 4 * SAMPLE_RATE]
    noise = np.random.default_rng(1).normal(size=len(samples)) * 3e-4
    return (samples + noise).astype(np.float32)


def column(rows, name):
    return rows[:, COLUMN[name]]


def test_rows_have_named_columns_of_about_unit_size(talk):
    rows = speech_features(talk, 100)
    assert rows.shape == (100, 84) and rows.dtype == np.float32
    assert len(set(AUDIO_NAMES)) == SpeechFeatures.width == 84
    assert np.abs(rows).max() < 5 and 0.3 < rows.std() < 1.5


def test_pieces_of_any_size_give_the_same_bits(talk):
    whole = speech_features(talk, 110)
    rng = np.random.default_rng(3)
    for longest in (200, 2000, 30000):
        extractor, rows, begin = SpeechFeatures(), [], 0
        while begin < len(talk):
            end = begin + int(rng.integers(0, longest))
            rows.append(extractor.push(talk[begin:end]))
            begin = end
            heard = min(begin, len(talk))
            assert sum(map(len, rows)) == heard // HOP, "every row comes as soon as its sound is there"
        rows.append(extractor.flush(110))
        np.testing.assert_array_equal(np.concatenate(rows), whole)


@pytest.mark.parametrize("sample", [24000, 24001, 24320, 24639])
def test_no_row_knows_later_sound(talk, sample):
    changed = talk.copy()
    changed[sample:] = np.random.default_rng(0).normal(size=len(talk) - sample) * 0.2
    before, after = speech_features(talk, 100), speech_features(changed, 100)
    same = sample // HOP  # rows k with (k + 1) / FPS <= sample / SAMPLE_RATE
    np.testing.assert_array_equal(before[:same], after[:same])
    assert (before[same + 1 :] != after[same + 1 :]).any(1).all()


def test_sound_shorter_or_longer_than_the_frames(talk):
    rows = speech_features(talk[: 20 * HOP + 100], 30)
    assert len(rows) == 30
    np.testing.assert_array_equal(
        rows, speech_features(np.pad(talk[: 20 * HOP + 100], (0, 10 * HOP - 100)), 30)
    )
    np.testing.assert_array_equal(speech_features(talk, 40), speech_features(talk, 100)[:40])
    assert speech_features(talk[:0], 0).shape == (0, 84)


def test_pitch_rises_with_the_voice():
    rows = speech_features(vowel(150 * 2 ** np.linspace(-0.5, 0.5, 2 * SAMPLE_RATE)), 50)
    assert (column(rows, "voicing")[5:] > 0.4).all()
    octaves = column(rows, "pitch")[10:40] / 4
    np.testing.assert_allclose(np.diff(octaves), 1 / 50, atol=0.012)


def test_high_and_low_voices_come_to_the_same_pitch():
    low, high = (said(Voice(pitch=pitch, variant=variant)) for pitch, variant in ((40, "m3"), (60, "f2")))
    usual = [np.median(np.log2(speech.pitch[speech.pitch > 0])) for speech in (low, high)]
    assert usual[1] - usual[0] > 0.7, "the voices are octaves apart"
    found = []
    for speech in (low, high):
        rows = speech_features(speech.samples, 88)[55:]
        found.append(column(rows, "pitch")[column(rows, "voicing") > 0].mean() / 4)
    assert abs(found[1] - found[0]) < 0.25


def test_hiss_and_silence_have_no_pitch():
    hiss = np.random.default_rng(0).normal(size=2 * SAMPLE_RATE).astype(np.float32) * 0.1
    for sound in (hiss, np.zeros_like(hiss)):
        rows = speech_features(sound, 50)
        assert (column(rows, "voicing") > -1).mean() < 0.1
        assert (column(rows, "pitch") == 0).mean() > 0.9


def test_speech_is_told_from_pauses(talk):
    rows = speech_features(talk, 100)
    spoken, pause = slice(17, 39), slice(46, 57)
    assert column(rows, "voice_activity")[spoken].mean() > 0
    assert column(rows, "voice_activity")[pause].mean() < -0.5
    assert column(rows, "loudness")[spoken].mean() > column(rows, "loudness")[pause].mean() + 1


def test_volume_of_the_recording_matters_little(talk):
    usual = speech_features(talk, 100)
    for gain in (0.03, 3.0):
        other = speech_features(talk * np.float32(gain), 100)
        assert np.abs(other - usual)[60:].mean() < 0.15, gain


def test_memory_does_not_grow_with_the_sound(talk):
    extractor = SpeechFeatures()

    def held():
        arrays = [v for v in vars(extractor).values() if isinstance(v, np.ndarray)]
        return sum(array.nbytes for array in arrays), len(extractor._pitch._paths)

    extractor.push(talk)
    once, _ = held()
    extractor.push(talk)
    extractor.push(talk)
    assert held()[0] == once and held()[1] <= 5


def test_threads_of_torch_are_left_as_they_were(talk):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        rows = speech_features(talk[:16000], 25)
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        np.testing.assert_array_equal(rows, speech_features(talk[:16000], 25))
    finally:
        torch.set_num_threads(before)


def test_unknown_features_are_refused_with_the_known():
    with pytest.raises(ValueError, match="log-mel, wav2vec2"):
        speech_extractor("mfcc")


@pytest.mark.skipif(importlib.util.find_spec("torchaudio") is not None, reason="torchaudio is installed")
def test_wav2vec_asks_for_its_extra():
    with pytest.raises(MissingExtraError, match=r"headgen\[speech\]"):
        speech_extractor("wav2vec2")


class TinyWav2Vec(torch.nn.Module):
    """As wav2vec 2.0: a hidden state of 400 samples every 320, each of which attends to all."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = torch.nn.Conv1d(1, 16, 400, 320)
        self.layers = torch.nn.ModuleList(
            torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0) for _ in range(3)
        )

    def extract_features(self, waveforms, num_layers=None):
        states, found = self.convolution(waveforms[:, None]).transpose(1, 2), []
        for layer in self.layers[:num_layers]:
            states = layer(states)
            found.append(states)
        return found, None


def test_wav2vec_is_made_causal(talk):
    def features(sound, sizes):
        extractor = Wav2VecFeatures(TinyWav2Vec().eval(), width=16, layer=2)
        parts = np.split(sound, np.cumsum(sizes))
        return np.concatenate([*(extractor.push(part) for part in parts), extractor.flush(40)])

    sound = talk[: 38 * HOP]
    whole = features(sound, [])
    assert whole.shape == (40, 16)
    np.testing.assert_array_equal(whole, features(sound, [1, 700, 5, 9000]))
    changed = sound.copy()
    changed[20 * HOP + 1 :] += 0.1
    other = features(changed, [])
    np.testing.assert_array_equal(whole[:20], other[:20])
    assert (whole[20:38] != other[20:38]).any(1).all(), "the last sample of a frame counts"
    np.testing.assert_allclose(whole.std(1), 1, atol=0.05)


def test_wav2vec_frames_end_where_they_should():
    """The last hidden state of a frame covers its last 400 samples: nothing is lost at its end."""
    sound = np.zeros(30 * HOP, np.float32)
    loud = sound.copy()
    loud[26 * HOP - 1] = 1.0
    extractors = [Wav2VecFeatures(TinyWav2Vec().eval(), width=16, layer=1) for _ in range(2)]
    quiet, click = (extractor.push(s) for extractor, s in zip(extractors, (sound, loud), strict=True))
    assert np.flatnonzero((quiet != click).any(1))[0] == 25
    assert FPS * HOP == SAMPLE_RATE
