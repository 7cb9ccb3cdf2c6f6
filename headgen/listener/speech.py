"""What is heard of a speaker at 25 frames a second: the sound's spectrum and its prosody.

Everything is causal, down to the loudness and the pitch that a voice is measured against: row k is a function
of the samples before ``(k + 1) / FPS`` alone. Each frame is computed by itself with arrays of fixed shapes,
never several at once, so that sound in pieces of any size gives the same bits as the whole.

Legend: N samples, T frames, S half frames of 20 ms.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from headgen.listener.track import FPS, SAMPLE_RATE
from headgen.listener.voice_activity import CHUNK, VoiceActivity, one_thread

__all__ = [
    "AUDIO_NAMES",
    "HOP",
    "FeatureExtractor",
    "FramedExtractor",
    "SpeechFeatures",
    "speech_extractor",
    "speech_features",
]

HOP = SAMPLE_RATE // FPS
"""Samples of a frame."""
WINDOW = 400
"""Samples (25 ms) of a spectrum; the two of a frame end in its middle and at its end."""
TRANSFORM = 512
BANDS = 40
MEL_RANGE = (60.0, 7600.0)
"""Hz."""
LOUDNESS_RANGE = (100.0, 7600.0)
"""Hz; mains hum lies below."""
PRE_EMPHASIS = 0.97

PITCH_WINDOW = 800
"""Samples (50 ms): three periods of the lowest pitch, which Boersma asks for."""
PITCH_RANGE = (60.0, 500.0)
"""Hz: between these lies the pitch of adults."""

USUAL_LEVEL, USUAL_PITCH = -26.0, 160.0
"""Loudness (dB of full scale) and pitch (Hz) that a speaker is taken to have before anything was heard."""
PRIOR = 5.0
"""Frames of speech (0.2 s) that these count as much as."""
MEMORY = 500.0
"""Frames of speech (20 s) after which what was heard counts 1/e."""
FLOOR = -45.0
"""Decibels below the speaker's level under which all is silence: rooms and microphones differ down there."""

AUDIO_NAMES = (
    *(f"mel_{half}_{band:02d}" for half in ("early", "late") for band in range(BANDS)),
    "pitch",
    "voicing",
    "loudness",
    "voice_activity",
)
"""Names of the features; mel bands from low to high, in the first and in the second half of the frame."""


class FeatureExtractor(Protocol):
    """Makes speech features out of a stream of sound."""

    name: str
    width: int

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Takes the next samples.

        Args:
            samples: (N,) float32 at `SAMPLE_RATE` from -1 to 1, any number of them.

        Returns:
            (T, width) float32, the rows that are complete now.
        """
        ...

    def flush(self, total_frames: int) -> np.ndarray:
        """Ends the stream; silence fills it up.

        Args:
            total_frames: rows that all calls together should give.

        Returns:
            (T, width) float32, those that are still missing; none if there are enough.
        """
        ...


class FramedExtractor:
    """Cuts a stream into frames, each with some sound before it: what extractors share.

    Args:
        before: samples before a frame that its features look back on.
    """

    name: str
    width: int

    def __init__(self, before: int) -> None:
        self._before = before
        self._kept = np.zeros(before, np.float32)
        self._frames = 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        """See `FeatureExtractor.push`."""
        sound = np.concatenate([self._kept, np.asarray(samples, np.float32)])
        count = (len(sound) - self._before) // HOP
        rows = np.zeros((count, self.width), np.float32)
        for k, row in enumerate(rows):
            row[:] = self._row(sound[k * HOP : k * HOP + self._before + HOP])
        self._kept = sound[count * HOP :].copy()
        self._frames += count
        return rows

    def flush(self, total_frames: int) -> np.ndarray:
        """See `FeatureExtractor.flush`."""
        begun = len(self._kept) - self._before
        return self.push(np.zeros(max((total_frames - self._frames) * HOP - begun, 0), np.float32))

    def _row(self, sound: np.ndarray) -> np.ndarray:
        """(width,) features of the frame that `sound` (before + HOP,) ends with."""
        raise NotImplementedError


class SpeechFeatures(FramedExtractor):
    """Log-mel spectrum, pitch, voicing, loudness and voice activity: the default.

    All are relative to the speaker's own running level and pitch, so that recordings at different volumes and
    high and low voices look alike, and scaled by fixed constants to about unit size: no statistics of the
    file. Probabilities run from -1 to 1, so that all zeros is neither silence nor speech.

    Our design: the levels are means over what sounded like speech so far, weighted by voice activity, which
    forget with a time constant of 20 s of speech, so that a pause changes nothing.
    """

    name = "log-mel"
    width = len(AUDIO_NAMES)

    def __init__(self) -> None:
        super().__init__(before=PITCH_WINDOW - HOP)
        self._taper = np.hanning(WINDOW + 1)[:WINDOW]
        self._bank = _filter_bank()
        self._voice = VoiceActivity()
        self._unheard = np.zeros(0, np.float32)  # samples that do not fill a chunk yet
        self._activity = 0.0
        self._level = _RunningMean(USUAL_LEVEL)
        self._usual_pitch = _RunningMean(np.log2(USUAL_PITCH))
        self._pitch = _PitchTracker()

    def push(self, samples: np.ndarray) -> np.ndarray:
        """See `FeatureExtractor.push`."""
        with one_thread():
            return super().push(samples)

    def _row(self, sound: np.ndarray) -> np.ndarray:
        activity = self._voice_activity(sound[-HOP:])
        speaking = max(activity - 0.1, 0.0) / 0.9  # noise has a little, for hours

        halves = np.stack([sound[-HOP // 2 - WINDOW : -HOP // 2], sound[-WINDOW:]])
        spectrum = np.fft.rfft(halves * self._taper, TRANSFORM)  # (2, 257)
        power = spectrum.real**2 + spectrum.imag**2
        bands = power @ self._bank  # (2, BANDS + 1)
        loudness = 10 * float(np.log10(bands[:, BANDS].mean() + 1e-10))
        level = self._level.update(loudness, speaking)

        silence = 10 ** (FLOOR / 10)
        mel = 10 * np.log10(bands[:, :BANDS] * 10 ** (-level / 10) + silence)
        relative = loudness - level
        loudness = 10 * float(np.log10(10 ** (relative / 10) + silence))

        pitch, voicing = self._pitch.update(sound, relative)
        octaves = 0.0
        if voicing > 0:
            octaves = np.log2(pitch) - self._usual_pitch.update(np.log2(pitch), voicing * speaking)
        prosody = (
            np.clip(octaves / 0.25, -3, 3),
            2 * voicing - 1,
            (loudness + 15) / 15,
            2 * activity - 1,
        )
        return np.concatenate([((mel + 33) / 12).ravel(), prosody])

    def _voice_activity(self, frame: np.ndarray) -> float:
        """Probability of speech in the last chunk that is complete by the end of the frame.

        The network misses speech that is more than 30 dB too quiet: it hears the sound raised to the usual
        level, by what is known of the speaker before this frame.
        """
        gain = np.float32(10 ** (np.clip(USUAL_LEVEL - self._level.value, 0, 30) / 20))
        self._unheard = np.concatenate([self._unheard, frame])
        while len(self._unheard) >= CHUNK:
            self._activity = self._voice(self._unheard[:CHUNK] * gain)
            self._unheard = self._unheard[CHUNK:]
        return self._activity


def speech_extractor(name: str = SpeechFeatures.name) -> FeatureExtractor:
    """A new extractor, for one stream.

    Args:
        name: "log-mel" or "wav2vec2".

    Raises:
        MissingExtraError: "wav2vec2" without the extra ``speech``.
        ValueError: another name.
    """
    if name == SpeechFeatures.name:
        return SpeechFeatures()
    if name == "wav2vec2":
        from headgen.listener.wav2vec import Wav2VecFeatures

        return Wav2VecFeatures()
    raise ValueError(f"unknown speech features {name!r}; known: log-mel, wav2vec2")


def speech_features(samples: np.ndarray, frames: int, name: str = SpeechFeatures.name) -> np.ndarray:
    """Features of a whole sound.

    Args:
        samples: (N,) float32 at `SAMPLE_RATE` from -1 to 1; silence follows if it is shorter than the frames.
        frames: T.
        name: see `speech_extractor`.

    Returns:
        (T, width) float32; the columns of "log-mel" are `AUDIO_NAMES`.
    """
    extractor = speech_extractor(name)
    return np.concatenate([extractor.push(samples[: frames * HOP]), extractor.flush(frames)])


class _RunningMean:
    """Mean of weighted values that forgets, beginning at a prior of the weight `PRIOR`."""

    def __init__(self, prior: float) -> None:
        self._weight = PRIOR
        self._total = PRIOR * prior

    @property
    def value(self) -> float:
        return self._total / self._weight

    def update(self, value: float, weight: float) -> float:
        """Takes a value in and gives the mean with it."""
        kept = (1 - 1 / MEMORY) ** weight
        self._weight = self._weight * kept + weight
        self._total = self._total * kept + weight * value
        return self.value


class _PitchTracker:
    """Pitch by autocorrelation, after Boersma 1993 (the method of Praat), without the future.

    The autocorrelation of the tapered window is divided by that of the taper; its peaks and "unvoiced" are
    the candidates, and a path through them pays for jumps. Our design: the best path up to now takes the
    place of the best path through the whole, and the running level that of the loudest sound of the file;
    frequencies above 800 Hz are damped, because hiss has peaks too, and the threshold of voicing is raised
    to suit: on recordings, pitches where there is no voice fell from 10 to 3 in a hundred frames.

    Boersma: Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
    sampled sound, Proc. Institute of Phonetic Sciences 17, section 3.
    """

    TRANSFORM = 2048
    CANDIDATES = 4
    VOICING, SILENCE = 0.7, 0.03
    DAMPED = 800.0
    """Hz where the power is halved."""
    OCTAVE = 0.01
    JUMP, CHANGE = 0.35 * 0.01 * FPS, 0.14 * 0.01 * FPS
    """Costs of a jump by an octave and of voice that sets in or out; Boersma's are for steps of 10 ms."""

    def __init__(self) -> None:
        self._taper = np.hanning(PITCH_WINDOW + 1)[:PITCH_WINDOW]
        self._shortest = int(SAMPLE_RATE / PITCH_RANGE[1])
        self._longest = int(SAMPLE_RATE / PITCH_RANGE[0]) + 1
        hertz = np.fft.rfftfreq(self.TRANSFORM, 1 / SAMPLE_RATE)
        self._damping = 1 / (1 + (hertz / self.DAMPED) ** 4)
        own = self._correlation(np.ones(PITCH_WINDOW))
        self._own = own / own[0]
        self._paths = [(0.0, 0.0)]  # pitch as log2 Hz, 0 for unvoiced, and score

    def update(self, sound: np.ndarray, relative: float) -> tuple[float, float]:
        """Takes the next frame.

        Args:
            sound: (PITCH_WINDOW,) samples that end with the frame.
            relative: dB of the frame's loudness over the speaker's level.

        Returns:
            Hz and strength from 0 to 1 of the period; both 0 where unvoiced.
        """
        quiet = 2 - 10 ** (relative / 20) * (1 + self.VOICING) / self.SILENCE
        candidates = [(0.0, 0.0, self.VOICING + max(0.0, quiet)), *self._periods(sound)]
        paths = []
        for octave, _, worth in candidates:
            before = max(score - self._cost(previous, octave) for previous, score in self._paths)
            paths.append((octave, worth + before))
        best = max(range(len(paths)), key=lambda k: paths[k][1])
        top = paths[best][1]
        self._paths = [(octave, score - top) for octave, score in paths]
        octave, strength, _ = candidates[best]
        return (2**octave, strength) if octave else (0.0, 0.0)

    def _cost(self, before: float, after: float) -> float:
        if before and after:
            return self.JUMP * abs(after - before)
        return self.CHANGE if before or after else 0.0

    def _periods(self, sound: np.ndarray) -> list[tuple[float, float, float]]:
        """Candidates: log2 Hz, height of the peak up to 1, and worth."""
        correlation = self._correlation(sound - sound.mean(dtype=np.float64))
        if correlation[0] <= 0:
            return []
        r = correlation[: self._longest + 2] / (correlation[0] * self._own[: self._longest + 2])
        middle = r[self._shortest : self._longest + 1]
        left, right = r[self._shortest - 1 : self._longest], r[self._shortest + 1 : self._longest + 2]
        peaks = np.flatnonzero((middle > left) & (middle >= right) & (middle > 0.5 * self.VOICING))
        found = []
        for k in peaks.tolist():
            a, b, c = float(left[k]), float(middle[k]), float(right[k])
            shift = 0.5 * (a - c) / (a - 2 * b + c)  # the top of the parabola through the three
            octave = float(np.log2(SAMPLE_RATE / (self._shortest + k + shift)))
            height = min(b - 0.25 * (a - c) * shift, 1.0)
            found.append((octave, height, height + self.OCTAVE * (octave - np.log2(PITCH_RANGE[0]))))
        return sorted(found, key=lambda peak: -peak[2])[: self.CANDIDATES]

    def _correlation(self, sound: np.ndarray) -> np.ndarray:
        spectrum = np.fft.rfft(sound * self._taper, self.TRANSFORM)
        return np.fft.irfft((spectrum.real**2 + spectrum.imag**2) * self._damping)


def _filter_bank() -> np.ndarray:
    """(257, BANDS + 1) weights of the power spectrum: triangles on the mel scale, and the loudness.

    The weights make up for window and transform, so that a full-scale sine has the loudness -3 dB. The bands
    see the sound with its highs raised, as speech falls off by 6 to 12 dB an octave.
    """
    hertz = np.fft.rfftfreq(TRANSFORM, 1 / SAMPLE_RATE)
    low, high = (2595 * np.log10(1 + f / 700) for f in MEL_RANGE)
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    rising = (hertz[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - hertz[:, None]) / np.diff(edges)[1:]
    triangles = np.clip(np.minimum(rising, falling), 0, None)
    raised = np.abs(1 - PRE_EMPHASIS * np.exp(-2j * np.pi * hertz / SAMPLE_RATE)) ** 2
    heard = (hertz >= LOUDNESS_RANGE[0]) & (hertz <= LOUDNESS_RANGE[1])
    bank = np.concatenate([triangles * raised[:, None], heard[:, None]], 1)
    return bank * 2 / (TRANSFORM * (np.hanning(WINDOW + 1)[:WINDOW] ** 2).sum())
