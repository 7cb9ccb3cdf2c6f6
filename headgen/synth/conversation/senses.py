"""What a listener notices of a speaker: by ear from pitch and loudness, by eye from the visible motion.

Both senses are streaming: they are given one frame after the other, keep what they need of the past, and
answer with the percepts of this frame. They know nothing of the speaker's plan.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from headgen.synth.conversation.rules import Percept
from headgen.synth.heads.expressions import INDEX
from headgen.synth.heads.model import HeadMotion
from headgen.synth.speech.prosody import LOW_AFTER, LOW_LASTS, LOW_PERCENTILE
from headgen.synth.speech.track import CONTROL_RATE

PAUSE = 0.2
"""Seconds of silence after which a pause is noticed; shorter ones belong to articulation."""
SPEECH_BEFORE = 0.7
"""Seconds of speech that must come before a pause that counts."""
EMPHASIS_SCORE = 2.1
"""Standard deviations of loudness and pitch together, above the speaker's mean, that make an emphasis."""
EMPHASIS_GAP = 0.8
"""Least seconds between two emphases."""
QUESTION_RISE = 1.12
"""Ratio of the last pitch before a pause to the pitch before it that sounds like a question."""
ACTIVITY_MEMORY, ACTIVITY_HOLD = 5 * CONTROL_RATE, 9
"""Values over which the loudest counts, and values for which a sound is held (`prosody.voice_activity`)."""
MEMORY = 6.0
"""Seconds of voiced speech to which loudness and pitch are compared."""


@dataclass(frozen=True)
class SpeakerFrame:
    """What one frame brings of the speaker. All values lie before the frame's time.

    Attributes:
        pitch: (N,) Hz at `CONTROL_RATE`, 0 where unvoiced.
        loudness: (N,) root mean square.
        motion: the speaker's motion in this frame; one frame long.
    """

    pitch: np.ndarray
    loudness: np.ndarray
    motion: HeadMotion


@dataclass
class RunningNorm:
    """Mean and spread of a value over about `MEMORY` seconds in which it was heard."""

    mean: float = 0.0
    square: float = 0.0
    count: int = 0

    def score(self, value: float, least_spread: float) -> float:
        """Standard deviations above the mean of what came before."""
        if self.count < 0.3 * CONTROL_RATE:
            return 0.0
        spread = max(self.square - self.mean**2, 0.0) ** 0.5
        return (value - self.mean) / max(spread, least_spread)

    def add(self, value: float) -> None:
        """Takes one more value in."""
        self.count += 1
        share = 1 / min(self.count, MEMORY * CONTROL_RATE)
        self.mean += share * (value - self.mean)
        self.square += share * (value**2 - self.square)


@dataclass
class Ear:
    """Turns pitch and loudness into pauses, low-pitch regions, emphases and questions.

    Voice activity, pauses and low pitch are those of `headgen.synth.speech.prosody`, value by value.

    Our design: an emphasis is a peak of loudness and pitch together, both against the last seconds of the
    same speaker, and is known 80 ms after its peak. A question is a pause after a rising pitch.
    """

    values: int = 0
    loudest: deque[tuple[int, float]] = field(default_factory=deque)
    held: int = 0
    silent: int = 10 * CONTROL_RATE
    spoken: int = 0
    spoken_in_turn: int = 0
    heard_pitch: list[float] = field(default_factory=list)
    low: int = 0
    low_gap: int = 0
    low_told: bool = False
    recent_pitch: list[float] = field(default_factory=list)
    loudness: RunningNorm = field(default_factory=RunningNorm)
    pitch: RunningNorm = field(default_factory=RunningNorm)
    smooth: float = -8.0
    peak: float = 0.0
    since_peak: int = CONTROL_RATE
    since_emphasis: int = CONTROL_RATE

    def hear(self, pitch: np.ndarray, loudness: np.ndarray) -> list[tuple[str, float]]:
        """Kinds and strengths of what is noticed while these values (N,) pass."""
        found = []
        for tone, level in zip(pitch.tolist(), loudness.tolist(), strict=True):
            voice = self._voice(level)
            found += self._emphasis(voice, tone, level) + self._low_pitch(voice, tone)
            found += self._pause(voice, tone)
        return found

    def _voice(self, loudness: float) -> bool:
        # Of the recent values only those stay that no later one exceeds: the first is the loudest of all.
        while self.loudest and self.loudest[-1][1] <= loudness:
            self.loudest.pop()
        self.loudest.append((self.values, loudness))
        if self.loudest[0][0] <= self.values - ACTIVITY_MEMORY:
            self.loudest.popleft()
        self.values += 1
        loud = loudness > max(3e-3, 0.1 * self.loudest[0][1])
        self.held = ACTIVITY_HOLD if loud else max(self.held - 1, 0)
        return self.held > 0

    def _pause(self, voice: bool, pitch: float) -> list[tuple[str, float]]:
        if voice:
            self.silent = 0
            self.spoken += 1
            if pitch > 0:
                self.recent_pitch = [*self.recent_pitch[-59:], pitch]
            return []
        self.silent += 1
        if self.silent != round(PAUSE * CONTROL_RATE):
            return []
        found = []
        seconds = self.spoken / CONTROL_RATE
        if seconds >= SPEECH_BEFORE:
            found.append(("pause", min(1.0, 0.4 + seconds / 8)))
            rise = self._rise()
            if rise >= QUESTION_RISE:
                found.append(("question", min(1.0, 0.4 + 2 * (rise - QUESTION_RISE))))
        self.spoken, self.recent_pitch = 0, []
        return found

    def _low_pitch(self, voice: bool, pitch: float) -> list[tuple[str, float]]:
        """Noticed when a region has lasted long enough and is still low."""
        if not voice and self.silent >= CONTROL_RATE:
            self.spoken_in_turn = 0
        self.spoken_in_turn += int(voice)
        low = False
        if pitch > 0:
            rank = bisect_left(self.heard_pitch, pitch)
            low = len(self.heard_pitch) >= CONTROL_RATE // 2 and rank < LOW_PERCENTILE * len(self.heard_pitch)
            insort(self.heard_pitch, pitch)
        if low and self.spoken_in_turn > LOW_AFTER * CONTROL_RATE:
            self.low += 1 + self.low_gap
            self.low_gap = 0
            if self.low >= round(LOW_LASTS * CONTROL_RATE) and not self.low_told:
                self.low_told = True
                return [("low_pitch", 0.5)]
        elif self.low:
            self.low_gap += 1
            if pitch > 0 or self.low_gap > 4:
                self.low, self.low_gap, self.low_told = 0, 0, False
        return []

    def _rise(self) -> float:
        """Ratio of the last 80 ms of voiced pitch to the 320 ms before."""
        before, last = self.recent_pitch[-40:-8], self.recent_pitch[-8:]
        return float(np.median(last) / np.median(before)) if len(before) >= 8 else 1.0

    def _emphasis(self, voice: bool, pitch: float, loudness: float) -> list[tuple[str, float]]:
        self.since_emphasis += 1
        self.since_peak += 1
        level = float(np.log(loudness + 1e-4))
        self.smooth += 0.35 * (level - self.smooth)
        if voice and pitch > 0:
            tone = float(np.log(pitch))
            score = self.loudness.score(self.smooth, 0.25) + self.pitch.score(tone, 0.06)
            if score > max(self.peak, EMPHASIS_SCORE):
                self.peak, self.since_peak = score, 0
            self.loudness.add(self.smooth)
            self.pitch.add(tone)
        if self.peak > 0 and self.since_peak >= 0.08 * CONTROL_RATE:
            score, self.peak = self.peak, 0.0
            if self.since_emphasis >= EMPHASIS_GAP * CONTROL_RATE:
                self.since_emphasis = 0
                return [("emphasis", float(np.clip(0.3 + 0.25 * (score - EMPHASIS_SCORE), 0, 1)))]
        return []


SMILE = [INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"]]
BROWS = [INDEX["browInnerUp"], INDEX["browOuterUpLeft"], INDEX["browOuterUpRight"]]


@dataclass
class Threshold:
    """Fires when a level has risen over `high` and stops rising; again only after it fell below `low`."""

    low: float
    high: float
    armed: bool = True
    rising: int = 0
    best: float = 0.0

    def step(self, level: float, patience: int) -> float | None:
        """The highest level, in the frame in which it is known or after `patience` frames; else None."""
        if level < self.low:
            self.armed, self.rising, self.best = True, 0, 0.0
        if not self.armed or level < self.high:
            return None
        self.rising += 1
        slower = level <= self.best + 0.01
        self.best = max(self.best, level)
        if slower or self.rising > patience:
            self.armed = False
            return self.best
        return None


@dataclass
class Eye:
    """Turns the speaker's visible motion into smiles, laughs, nods, raised brows and shifts of posture."""

    fps: float
    smile: Threshold = field(default_factory=lambda: Threshold(0.16, 0.26))
    laugh: Threshold = field(default_factory=lambda: Threshold(0.2, 0.35))
    brow: Threshold = field(default_factory=lambda: Threshold(0.15, 0.28))
    smile_level: float = 0.0
    height: float | None = None
    bobbing: float = 0.0
    slow_pitch: float | None = None
    dip: float = 0.0
    dip_age: float = 0.0
    slow_place: float | None = None
    last_shift: float = 0.0
    since_shift: float = 10.0
    looked_at: bool = True

    def see(self, motion: HeadMotion) -> list[tuple[str, float, float]]:
        """Kinds, strengths and sideways motion (cm) of what is noticed in one frame."""
        face, head, place = motion.expression[0], motion.head[0], float(motion.translation[0, 0])
        self.looked_at = bool(np.hypot(*(motion.gaze[0] + head[:2])) < 9)
        patience = round(0.3 * self.fps)
        found: list[tuple[str, float, float]] = []
        # Spread vowels pull the corners too, but briefly: only what lasts is a smile.
        self.smile_level += min(1.0, 8 / self.fps) * (float(face[SMILE].mean()) - self.smile_level)
        # Laughter is a smile with shaking shoulders; 1.5 cm/s shake well.
        height = float(motion.translation[0, 1])
        speed = 0.0 if self.height is None else abs(height - self.height) * self.fps
        self.height = height
        self.bobbing += min(1.0, 5 / self.fps) * (speed - self.bobbing)
        laugh = self.laugh.step(min(self.smile_level, self.bobbing / 1.5), patience)
        smile = self.smile.step(self.smile_level, patience)
        if laugh is not None:
            found.append(("laugh", min(1.0, 1.3 * laugh), 0.0))
        elif smile is not None:
            found.append(("smile", min(1.0, 1.4 * smile), 0.0))
        brow = self.brow.step(float(face[BROWS].mean()), patience)
        if brow is not None:
            found.append(("brow_raise", min(1.0, 1.3 * brow), 0.0))
        return found + self._nod(float(head[1])) + self._shift(place)

    def _nod(self, pitch: float) -> list[tuple[str, float, float]]:
        """A nod is a dip of the head by more than 3 degrees that comes back within 0.6 s."""
        self.slow_pitch = pitch if self.slow_pitch is None else self.slow_pitch
        self.slow_pitch += min(1.0, 0.8 / self.fps) * (pitch - self.slow_pitch)
        below = self.slow_pitch - pitch
        self.dip = max(self.dip, below)
        self.dip_age = self.dip_age + 1 / self.fps if below > 1 else 0.0
        if below > 1:
            return []
        deepest, self.dip = self.dip, 0.0
        return [("nod", min(1.0, deepest / 12), 0.0)] if deepest > 3 and self.dip_age < 0.6 else []

    def _shift(self, place: float) -> list[tuple[str, float, float]]:
        """A shift of posture is a move of the body by more than 8 mm within about a second.

        Coming back from one within 10 s is none.
        """
        self.slow_place = place if self.slow_place is None else self.slow_place
        self.slow_place += min(1.0, 1.0 / self.fps) * (place - self.slow_place)
        self.since_shift += 1 / self.fps
        moved = place - self.slow_place
        back = moved * self.last_shift < 0 and self.since_shift < 10
        if abs(moved) < 0.8 or self.since_shift < 2.5 or back:
            return []
        self.since_shift, self.last_shift = 0.0, moved
        return [("posture_shift", min(1.0, abs(moved) / 2), moved)]


class Senses:
    """Ear and eye together: percepts of one frame after the other.

    Args:
        fps: frames per second of what is seen.
    """

    def __init__(self, fps: float) -> None:
        self.ear = Ear()
        self.eye = Eye(fps)
        self.fps = fps
        self.frame = 0
        self.brow_seen = -(10**9)

    def notice(self, speaker: SpeakerFrame) -> list[Percept]:
        """What is noticed in the next frame."""
        seen = self.eye.see(speaker.motion)
        percepts = [self._percept(kind, size, sideways) for kind, size, sideways in seen]
        if any(kind == "brow_raise" for kind, _, _ in seen):
            self.brow_seen = self.frame
        heard = self.ear.hear(speaker.pitch, speaker.loudness)
        kinds = {kind for kind, _ in heard}
        # Brows that go up just before a pause ask, too (Ekman 1979).
        if "pause" in kinds and "question" not in kinds and self.frame - self.brow_seen < 0.8 * self.fps:
            heard.append(("question", 0.5))
        percepts += [self._percept(kind, size) for kind, size in heard]
        self.frame += 1
        return percepts

    def _percept(self, kind: str, size: float, sideways: float = 0.0) -> Percept:
        return Percept(kind, self.frame, size, self.eye.looked_at, sideways)
