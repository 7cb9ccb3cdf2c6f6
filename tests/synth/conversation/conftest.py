"""Speech made of tones: harmonics of a pitch that one chooses, and silences."""

import numpy as np
import pytest

from headgen.synth.speech.prosody import pitch_and_loudness
from headgen.synth.speech.track import SAMPLE_RATE, Speech


def tones(parts):
    """Speech of (seconds, Hz at the start, Hz at the end, amplitude); 0 Hz is silence."""
    pieces = []
    for seconds, start, end, amplitude in parts:
        count = round(seconds * SAMPLE_RATE)
        phase = 2 * np.pi * np.cumsum(np.linspace(start, end, count)) / SAMPLE_RATE
        wave = sum(np.sin(k * phase) / k for k in range(1, 6)) if start else np.zeros(count)
        pieces.append(amplitude * wave)
    samples = np.concatenate(pieces).astype(np.float32)
    return Speech(samples, (), (), *pitch_and_loudness(samples))


def chatter(seed, seconds):
    """Phrases of tones that fall in pitch, with louder and higher syllables, and pauses between them."""
    rng = np.random.default_rng(seed)
    parts, total = [], 0.0
    while total < seconds:
        for k in range(int(rng.integers(4, 9))):
            stress = rng.random() < 0.25
            pitch = (150 - 6 * k) * (1.25 if stress else 1.0) * rng.uniform(0.97, 1.03)
            parts += [(0.22, pitch, pitch * 0.95, 0.35 if stress else 0.15), (0.04, pitch, pitch, 0.02)]
        parts += [(0.3, 100, 92, 0.12), (float(rng.uniform(0.3, 0.9)), 0, 0, 0)]
        total = sum(part[0] for part in parts)
    return tones(parts)


@pytest.fixture(scope="session")
def make_tones():
    return tones


@pytest.fixture(scope="session")
def make_chatter():
    return chatter
