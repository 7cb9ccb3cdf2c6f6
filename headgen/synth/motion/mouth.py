"""A mouth that talks without saying anything: for speakers whose words nobody hears."""

from __future__ import annotations

import numpy as np

from headgen.synth.heads.expressions import expression
from headgen.synth.motion.curves import frame_times, log_normal
from headgen.synth.motion.gestures import bump

SYLLABLES_PER_SECOND = 4.5
"""While a phrase lasts; read and conversational English is spoken at 4 to 5 syllables per second."""
SYLLABLE_SPREAD = 0.3  # of the logarithm of a syllable's length
PHRASE, PAUSE = (1.8, 0.45), (0.4, 0.5)  # seconds, median and spread of the logarithm
JAW = (0.24, 0.55)  # opening of a syllable's vowel, median and spread of the logarithm
VOWELS: tuple[tuple[float, dict[str, float]], ...] = (
    (0.30, {}),
    (0.20, {"mouthStretch": 0.5, "mouthLowerDown": 0.3}),
    (0.15, {"mouthFunnel": 0.5}),
    (0.15, {"mouthPucker": 0.7, "mouthFunnel": 0.2}),
    (0.20, {"mouthLowerDown": 0.5, "mouthUpperUp": 0.4}),
)
"""Share of syllables, and the shapes that go with the jaw, per full strength."""


def babble(
    frames: int, fps: float, rng: np.random.Generator, rate: float = SYLLABLES_PER_SECOND
) -> np.ndarray:
    """Mouth of someone who talks in phrases with pauses.

    Syllable after syllable the jaw drops and rises; vowels overlap into the next syllable, so that most
    consonants do not shut the lips.

    Args:
        frames: T.
        fps: frames/s.
        rng: source of chance.
        rate: syllables per second within phrases.

    Returns:
        (T, 52) coefficients from 0 to 1.
    """
    times = frame_times(frames, fps)
    out = np.zeros((frames, len(expression({}))))
    shares = np.array([share for share, _ in VOWELS])
    jaw = expression({"jawOpen": 1.0})
    time = log_normal(rng, *PAUSE) * rng.random()
    while time < frames / fps:
        end = time + log_normal(rng, *PHRASE)
        while time < end:
            length = log_normal(rng, 1 / rate, SYLLABLE_SPREAD)
            size = min(log_normal(rng, *JAW), 0.8)
            shapes = expression(VOWELS[rng.choice(len(VOWELS), p=shares)][1])
            overlap = rng.uniform(0.1, 0.6) * length
            during = (times >= time) & (times <= time + length + overlap)
            curve = bump(times[during], time, 0.5 * length, 0.1 * length, 0.4 * length + overlap)
            out[during] += curve[:, None] * (size * jaw + min(size / 0.3, 1) * shapes * 0.6)
            time += length
        time += log_normal(rng, *PAUSE)
    return out / (1 + out**4) ** 0.25  # as it is while small, never above 1
