"""Sound as a stream: at the right rate and time, without gaps, and causal to the sample."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from headgen.errors import InputError
from headgen.listener.speaker import speaker_info
from headgen.media.sound import SoundReader

RATE = 16_000


def write(path, runs, rate):
    """Lossless sound; `runs` are pairs of a beginning in seconds and samples (N,) int16."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        for begins, samples in runs:
            for start in range(0, len(samples), 1000):
                block = av.AudioFrame.from_ndarray(samples[None, start : start + 1000], "s16", "mono")
                block.sample_rate, block.time_base = rate, Fraction(1, rate)
                block.pts = round(begins * rate) + start
                container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return path


def read(path, start=None):
    return np.concatenate(list(SoundReader(path, RATE, start)))


def noise(count, seed=0):
    return np.random.default_rng(seed).integers(-8000, 8000, count).astype(np.int16)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_a_sample_depends_on_nothing_after_it_and_is_hardly_late(tmp_path, rate):
    a = noise(rate)
    b = a.copy()
    b[rate // 2 :] = noise(rate - rate // 2, seed=1)
    first, second = (read(write(tmp_path / f"{k}.wav", [(0, s)], rate)) for k, s in enumerate((a, b)))
    differs = np.flatnonzero(first != second)[0]
    assert RATE // 2 <= differs < RATE // 2 + 40  # 2.5 ms
    assert len(first) == pytest.approx(RATE, abs=40)


def test_sound_at_the_same_rate_passes_unchanged(tmp_path):
    sound = noise(5000)
    assert np.array_equal(read(write(tmp_path / "s.wav", [(0, sound)], RATE)) * 32768, sound)


def test_gaps_are_silent_and_the_start_decides_what_is_left_out(tmp_path):
    sound = noise(8000)
    path = write(tmp_path / "s.mkv", [(0.5, sound[:4000]), (1.0, sound[4000:])], RATE)
    reader = SoundReader(path, RATE, Fraction(0))
    heard = np.concatenate(list(reader)) * 32768
    assert reader.begins == 8000
    assert not heard[:8000].any() and np.array_equal(heard[8000:12000], sound[:4000])
    assert not heard[12000:16000].any() and np.array_equal(heard[16000:], sound[4000:])
    assert np.array_equal(read(path, Fraction(6, 10)), heard[9600:] / 32768)
    assert np.array_equal(read(path), heard[8000:] / 32768)


def test_channels_are_averaged_and_stay_in_range(tmp_path):
    path = tmp_path / "s.mkv"
    samples = np.array([[0.5, 0.25, 7, -7, np.nan], [0.5, -0.25, 7, -7, 0]], np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=RATE, layout="stereo")
        block = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1).copy(), "flt", "stereo")
        block.sample_rate = RATE
        container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    assert np.array_equal(read(path), np.array([0.5, 0, 1, -1, 0], np.float32))


def test_a_tone_keeps_its_place_when_the_rate_changes(tmp_path):
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(24000) / 48000)).astype(np.int16)
    heard = read(write(tmp_path / "s.wav", [(0, tone)], 48000)) * 32768
    expected = 8000 * np.sin(2 * np.pi * 440 * (np.arange(8000) / RATE - 0.001))  # what the resampler needs
    assert np.abs(heard[100:7900] - expected[100:7900]).max() < 30


def test_a_file_without_sound_is_named(tmp_path):
    path = tmp_path / "s.mp4"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"s\.mp4: its sound cannot be read"):
        read(path)


def test_a_file_that_ends_in_its_head_is_named(tmp_path):
    path = tmp_path / "cut.flac"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=16000, layout="mono")
        block = av.AudioFrame.from_ndarray(noise(4096)[None], "s16", "mono")
        block.sample_rate = 16000
        container.mux([*stream.encode(block), *stream.encode(None)])
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(InputError, match=r"cut\.flac.*cannot be read"):
        read(path)
    with pytest.raises(InputError, match=r"cut\.flac"):
        speaker_info(path)
