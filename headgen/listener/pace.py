"""How well a live listener is made: as well as the machine can in time. Plain arithmetic without a clock.

The rule, from best to worst: all denoising steps; half of them, and half again, down to two; then pictures
that would not be ready in time are left out; then every second one is drawn, and every fourth. The speaker is
looked at as often as pictures are due.

- After a chunk with a picture that was late, and no less late than the chunk before: one level worse. So too
  where more than `LEFT_OUT` of the pictures were left out: every second one, evenly, looks better.
- What waits longer than a chunk is made at once: ten latent frames take little longer than two.
- After `CALM` seconds of chunks that were in time and would have been with the next better level too, with a
  quarter of the time to spare: one level better. What a level costs is told from what the present one took.
- A level that would be in time with less to spare is tried after `PATIENCE` seconds. If that was too
  much within as many seconds after that, the next trial has to wait twice as long, up to `MOST_PATIENCE`; if
  not, it waits no longer than the first.

A picture whose time is over is not drawn: the one before stays, and the next one is in time again. So the
listener gets coarser, but does not fall behind the speaker. Only where nothing would be in time for a second,
one picture is drawn late.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CALM", "Level", "Pace", "levels"]

FEWEST_STEPS = 2
CALM = 2.0
"""Seconds."""
MOST_AT_ONCE = 12
"""Latent frames (1.9 s)."""
LEFT_OUT, SKIPPED_TO = 0.4, 0.75
"""Shares of the pictures: how many may be left out, and for how many there must be time to try it."""
SPARE = 0.75
"""Share of a chunk's time that work on the next better level may take."""
PATIENCE, MOST_PATIENCE = 6.0, 48.0
"""Seconds before a level is tried that would take more than that, but no more than all of the time."""


@dataclass(frozen=True)
class Level:
    """A quality.

    Attributes:
        steps: denoising steps.
        every: one in so many pictures is drawn.
        skips: whether a picture is left out that would not be ready in time.
    """

    steps: int
    every: int
    skips: bool = False

    @property
    def share(self) -> float:
        """Of the pictures, how many are to be drawn."""
        return SKIPPED_TO if self.skips else 1 / self.every

    def __str__(self) -> str:
        drawn = "pictures in time" if self.skips else f"1 picture in {self.every}" if self.every > 1 else ""
        return f"{self.steps} steps" + (f", {drawn}" if drawn else "")


def levels(steps: int) -> tuple[Level, ...]:
    """The qualities from best to worst.

    Args:
        steps: denoising steps of the best.
    """
    made = [Level(steps, 1)]
    while made[-1].steps > FEWEST_STEPS:
        made.append(Level(max(FEWEST_STEPS, made[-1].steps // 2), 1))
    fewest = made[-1].steps
    return (*made, Level(fewest, 1, skips=True), Level(fewest, 2), Level(fewest, 4))


class Pace:
    """Chooses the quality of the next chunk.

    Args:
        steps: denoising steps of the best quality.
        chunk: latent frames that are made at a time.
        delay: seconds behind the speaker at which pictures are shown.
    """

    def __init__(self, steps: int, chunk: int, delay: float) -> None:
        self.levels, self.chunk, self.delay = levels(steps), chunk, delay
        self._at = 0
        self._late = 0.0
        self._calm = self._waited = 0.0
        self._patience = PATIENCE
        self._tried: float | None = None
        """Seconds since a level was tried, while it is not known how that ends."""

    @property
    def level(self) -> Level:
        """Of the next chunk."""
        return self.levels[self._at]

    def at_once(self, waiting: int) -> int:
        """Latent frames of the next chunk, of so many that are due."""
        if self.delay == float("inf") or waiting <= 2 * self.chunk:
            return self.chunk
        return min(waiting, MOST_AT_ONCE)

    def made(
        self, length: float, steps: float, pictures: float, behind: float, drawn: float | None = None
    ) -> None:
        """Takes note of a chunk.

        Args:
            length: seconds of video in it.
            steps: seconds that its denoising took.
            pictures: seconds that drawing and showing took.
            behind: most seconds by which a picture of it was behind the speaker.
            drawn: share of all its pictures that were drawn; what the level says if it is not given.
        """
        late = max(0.0, behind - self.delay)
        drawn = self.level.share if drawn is None else drawn
        sparse = self.level.skips and drawn < 1 - LEFT_OUT
        if self._tried is not None:
            self._tried += length
            if late > 0 or sparse:
                self._patience, self._tried = min(MOST_PATIENCE, 2 * self._patience), None
            elif self._tried >= self._patience:
                self._patience, self._tried = PATIENCE, None
        if late > 0 or sparse:
            if (sparse or late >= self._late) and self._at + 1 < len(self.levels):
                self._at += 1
            self._calm = self._waited = 0.0
        elif self._at:
            now, better = self.level, self.levels[self._at - 1]
            # Remembering a chunk costs as much as a step.
            wanted = steps * (better.steps + 1) / (now.steps + 1)
            wanted += pictures * better.share / max(drawn, 1 / MOST_AT_ONCE)
            self._calm = self._calm + length if wanted <= SPARE * length else 0.0
            self._waited = self._waited + length if wanted <= length else 0.0
            if self._calm >= CALM or self._waited >= self._patience:
                self._tried = 0.0 if self._calm < CALM else self._tried
                self._at, self._calm, self._waited = self._at - 1, 0.0, 0.0
        self._late = late
