"""Joins of segments that do not fit, made from continuous clips: listener-edit learns from them.

Each kind is something that goes wrong between segments that were made independently. A join has two takes of
its inner frames, one that goes on from the left side and one that leads to the right side; the truth is what
a person would have done between the sides.

Where the sides differ for good (another pose, expression or face shape) no clip shows the truth. Our design:
it is the continuous clip, plus the difference brought in along a path of least jerk over the inner frames.

Shapes: T frames, P parts, C numbers of a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headgen.listener.edit import BLINKING, cross_fade, ease
from headgen.listener.latents import PARTS, frames_of
from headgen.listener.track import FPS
from headgen.listening import ListeningClip

__all__ = ["KINDS", "Join", "JoinMaker"]

Frames = NDArray[np.float32]

KINDS = ("clean", "pose", "expression", "identity", "take", "blink", "freeze", "skip")
"""What is wrong: nothing; the head is held differently, the face has another expression or another shape; the
two takes do different things; eyes stay shut across the seam; pictures stand still; pictures are missing, or
come twice."""
MIXED = ("identity", "pose", "expression", "take")
"""Several at once, as between segments of listener-gen."""
SHAPE_SPREAD = 0.6
"""Of another face's shape, in latents."""
MOST_SKIPPED, LEAST_SKIPPED = 10, 2
"""Frames."""
_FACE = [k for k, name in enumerate(PARTS) if name != "head"]
_EXPRESSIVE = [k for k, name in enumerate(PARTS) if not name.startswith(("head", "eye"))]


@dataclass(frozen=True)
class Join:
    """A join that went wrong, and how it should be.

    Attributes:
        truth: (T, P, C).
        left: the same frames as the left segment has them: the truth up to `start`.
        right: as the right segment has them: the truth from `stop` on.
        start, stop: the inner frames, which both segments made.
    """

    truth: Frames
    left: Frames
    right: Frames
    start: int
    stop: int

    def cut(self, at: int) -> Frames:
        """(T, P, C) with a hard cut before frame `at`."""
        return np.concatenate([self.left[:at], self.right[at:]])

    def faded(self, start: int, stop: int) -> Frames:
        """(T, P, C) with a cross-fade from `start` to `stop`."""
        middle = cross_fade(self.left[start:stop], self.right[start:stop])
        return np.concatenate([self.left[:start], middle, self.right[stop:]])

    def interpolated(self) -> Frames:
        """(T, P, C) with a straight line from the last outer frame on the left to the first on the right."""
        share = np.linspace(0, 1, self.stop - self.start + 2, dtype=np.float32)[1:-1, None, None]
        before, after = self.truth[self.start - 1], self.truth[self.stop]
        return np.concatenate(
            [self.left[: self.start], before + share * (after - before), self.right[self.stop :]]
        )


class JoinMaker:
    """Makes joins from continuous clips.

    Args:
        clips: where takes, expressions and blinks come from.
    """

    def __init__(self, clips: Sequence[ListeningClip]) -> None:
        self.videos = [frames_of(clip.latents) for clip in clips]
        self.blinks = [
            blink
            for clip, video in zip(clips, self.videos, strict=True)
            for event in clip.facts["events"]
            if (event["who"], event["kind"]) == ("listener", "blink")
            and (blink := _shut(video, event["start"], event["end"])) is not None
        ]

    def join(
        self, video: int, first: int, frames: int, inner: tuple[int, int], kinds: Sequence[str],
        rng: np.random.Generator,
    ) -> Join:  # fmt: skip
        """One join.

        Args:
            video: number of the clip that is the truth.
            first: its first frame; `MOST_SKIPPED` more than `frames` must follow.
            frames: T.
            inner: first inner frame and the one after the last.
            kinds: of `KINDS`; several come on top of each other.
            rng: all chance.
        """
        start, stop = inner
        clip = self.videos[video][first : first + frames + MOST_SKIPPED]
        truth, left, right = (clip[:frames].copy() for _ in range(3))
        if "skip" in kinds:
            truth, left, right = _skip(clip, frames, start, stop, rng)
        for kind in kinds:
            if kind in ("pose", "expression", "identity"):
                offset = self._offset(kind, video, first, rng)
                truth += ease(frames, start, stop)[:, None, None] * offset
                right += offset
            elif kind == "take":
                away = ease(frames, start, stop)[:, None, None]
                left += away * (self._other(frames, rng) - left)
                right += (1 - away) * (self._other(frames, rng) - right)
            elif kind == "blink" and self.blinks:
                self._hold_blink(left, right, start, stop, rng)
            elif kind == "freeze":
                _freeze(left, right, start, stop, rng)
        left[:start], right[stop:] = truth[:start], truth[stop:]
        return Join(truth, left, right, start, stop)

    def _other(self, frames: int, rng: np.random.Generator) -> Frames:
        """Somebody else's frames."""
        video = self.videos[int(rng.integers(len(self.videos)))]
        begin = int(rng.integers(len(video) - frames + 1))
        return video[begin : begin + frames]

    def _offset(self, kind: str, video: int, first: int, rng: np.random.Generator) -> Frames:
        """(P, C) by which the right side differs for good."""
        offset = np.zeros(self.videos[0].shape[1:], np.float32)
        if kind == "identity":
            offset[_FACE] = rng.normal(0, SHAPE_SPREAD, offset[_FACE].shape)
            return offset
        parts = [0] if kind == "pose" else _EXPRESSIVE
        change = self._other(1, rng)[0] - self.videos[video][first]
        offset[parts] = rng.uniform(0.4, 1.2) * change[parts]
        return offset

    def _hold_blink(
        self, left: Frames, right: Frames, start: int, stop: int, rng: np.random.Generator
    ) -> None:
        """Shuts the eyes of the left take up to its end, of the right one from its beginning, or of both."""
        delta = self.blinks[int(rng.integers(len(self.blinks)))]
        middle, which = (start + stop) / 2, rng.integers(3)
        reach = (stop - start) / 2
        times = np.arange(len(left), dtype=np.float32)
        shuts = middle - rng.uniform(0.2, 0.9) * reach
        opens = middle + rng.uniform(0.2, 0.9) * reach
        if which in (0, 2):
            left += ((times - shuts) / 3 + 1).clip(0, 1)[:, None, None] * delta
        if which in (1, 2):
            right += ((opens - times) / 4 + 1).clip(0, 1)[:, None, None] * delta


def _shut(video: Frames, start: float, end: float) -> Frames | None:
    """(P, C) by which a blink moves the parts that blink; None at the ends of a video."""
    before, now = int(start * FPS) - 1, round((0.6 * start + 0.4 * end) * FPS)
    if before < 0 or now >= len(video):
        return None
    delta = np.zeros(video.shape[1:], np.float32)
    delta[BLINKING] = video[now, BLINKING] - video[before, BLINKING]
    return delta


def _freeze(left: Frames, right: Frames, start: int, stop: int, rng: np.random.Generator) -> None:
    """Pictures stand still before the seam, after it, or both."""
    middle, which = (start + stop) // 2, rng.integers(3)
    if which in (0, 2):
        stands = int(rng.integers(start, middle))
        left[stands:stop] = left[stands]
    if which in (1, 2):
        stands = int(rng.integers(middle + 1, stop + 1))
        right[start:stands] = right[stands - 1]


def _skip(
    clip: Frames, frames: int, start: int, stop: int, rng: np.random.Generator
) -> tuple[Frames, Frames, Frames]:
    """Truth, left and right where frames are missing between the takes, or come twice.

    The truth is the clip, a little faster or slower over the inner frames.
    """
    count = int(rng.integers(LEAST_SKIPPED, MOST_SKIPPED + 1))
    sides = (0, count) if rng.random() < 0.7 else (count, 0)
    left, right = (clip[side : side + frames].copy() for side in sides)
    times = np.arange(frames) + sides[0] + (sides[1] - sides[0]) * ease(frames, start, stop)
    whole = times.astype(int).clip(0, len(clip) - 2)
    share = (times - whole).astype(np.float32)[:, None, None]
    return (1 - share) * clip[whole] + share * clip[whole + 1], left, right
