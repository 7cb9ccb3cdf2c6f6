"""What a listener hears and sees of a speaker, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

FPS = 25
"""Frames per second of speaker tracks and of every listener video."""
SAMPLE_RATE = 16_000
"""Samples per second of the sound that features are made of."""


@dataclass(frozen=True)
class SpeakerTrack:
    """A speaker at `FPS` frames per second: frame k stands for the time from k / FPS to (k + 1) / FPS.

    Row k is made of sound and pictures from before (k + 1) / FPS only.

    Attributes:
        audio: (T, A) float32 speech features of about unit size; zero where nothing was heard.
        motion: (T, M) float32 facial motion of about unit size; zero where no face was seen.
        heard: (T,) bool, whether there was any sound to listen to (silence counts as heard).
        seen: (T,) bool, whether a face was seen.
    """

    audio: np.ndarray
    motion: np.ndarray
    heard: np.ndarray
    seen: np.ndarray

    def __post_init__(self) -> None:
        frames = len(self.audio)
        if self.audio.ndim != 2 or self.motion.ndim != 2 or len(self.motion) != frames:
            raise ValueError(
                f"audio {self.audio.shape} and motion {self.motion.shape} must be (T, width) of the same T"
            )
        for name in ("heard", "seen"):
            if getattr(self, name).shape != (frames,):
                raise ValueError(f"{name} has the shape {getattr(self, name).shape}: expected ({frames},)")

    @classmethod
    def unknown(cls, rows: int, audio_width: int, motion_width: int) -> SpeakerTrack:
        """Rows in which nothing is heard or seen."""
        return cls(
            np.zeros((rows, audio_width), np.float32),
            np.zeros((rows, motion_width), np.float32),
            np.zeros(rows, bool),
            np.zeros(rows, bool),
        )

    def __len__(self) -> int:
        return len(self.audio)

    def __getitem__(self, frames: slice | Sequence[int] | np.ndarray) -> SpeakerTrack:
        """Some of the frames."""
        return SpeakerTrack(self.audio[frames], self.motion[frames], self.heard[frames], self.seen[frames])

    def extended(self, rows: int) -> SpeakerTrack:
        """With so many rows more, in which nothing is heard or seen."""
        return joined([self, _unknown(self, rows)])

    def preceded(self, rows: int) -> SpeakerTrack:
        """With so many rows before it, in which nothing was heard or seen."""
        return joined([_unknown(self, rows), self])

    def unheard(self) -> SpeakerTrack:
        """The same without sound."""
        return replace(self, audio=np.zeros_like(self.audio), heard=np.zeros_like(self.heard))

    def unseen(self) -> SpeakerTrack:
        """The same without pictures."""
        return replace(self, motion=np.zeros_like(self.motion), seen=np.zeros_like(self.seen))


def joined(tracks: Sequence[SpeakerTrack]) -> SpeakerTrack:
    """Tracks one after the other."""
    return SpeakerTrack(
        *(np.concatenate([getattr(t, name) for t in tracks]) for name in ("audio", "motion", "heard", "seen"))
    )


def _unknown(like: SpeakerTrack, rows: int) -> SpeakerTrack:
    return SpeakerTrack.unknown(rows, like.audio.shape[1], like.motion.shape[1])
