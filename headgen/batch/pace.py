"""How long jobs will take: from jobs like them, else from a stated table."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # they bring all libraries
    from headgen.batch.job import Job
    from headgen.batch.worker import Outcome

__all__ = ["TABLE", "BatchPace", "duration"]

TABLE = {"reenact": (1.5, 0.06), "listen": (4.0, 0.10)}
"""Seconds for a job and for each of its frames, on one core of a desktop computer with the default models."""
_LATELY = 200  # jobs of a kind that the rate is taken from
_USUAL = 250  # frames of a job whose inputs do not say how many


def duration(seconds: float) -> str:
    """Seconds as people say them: ``3 h 20 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours / 24:.1f} days"


class BatchPace:
    """Estimates what is left of a batch.

    A job costs what jobs of its kind cost apart from their frames, and what they cost for each frame.

    Args:
        jobs: that are to be done.
        earlier: outcomes to learn from.
    """

    def __init__(self, jobs: Iterable[Job], earlier: Iterable[Outcome]) -> None:
        self._seen: dict[str, deque[tuple[int, float]]] = defaultdict(lambda: deque(maxlen=_LATELY))
        self._jobs: dict[str, int] = defaultdict(int)
        self._frames: dict[str, int] = defaultdict(int)
        for job in jobs:
            self._jobs[job.kind] += 1
            self._frames[job.kind] += job.frames or _USUAL
        for outcome in earlier:
            self._learn(outcome)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """A job is no longer to be done."""
        self._jobs[job.kind] -= 1
        self._frames[job.kind] -= job.frames or _USUAL
        self._learn(outcome)

    def _learn(self, outcome: Outcome) -> None:
        if outcome.status == "done" and outcome.frames:
            self._seen[outcome.kind].append((outcome.frames, outcome.seconds))

    @property
    def source(self) -> str:
        """What the estimate is made from."""
        known = sum(map(len, self._seen.values()))
        if not known:
            return "from a table for one core; it knows better after the first jobs"
        return f"from {known} jobs of this folder"

    def seconds(self, workers: int) -> float:
        """Seconds until all is done.

        Args:
            workers: that work at a time.
        """
        total = 0.0
        for kind, count in self._jobs.items():
            base, each = self._rate(kind)
            total += base * count + each * self._frames[kind]
        return total / workers

    def _rate(self, kind: str) -> tuple[float, float]:
        """Seconds apart from frames, and for each frame."""
        seen = self._seen[kind]
        if not seen:
            return TABLE[kind]
        middle = median(frames for frames, _ in seen)
        short = [one for one in seen if one[0] <= middle]
        long = [one for one in seen if one[0] > middle]
        if not long or long[-1][0] < 1.5 * middle:  # too much alike to tell the two apart
            return 0.0, median(seconds / frames for frames, seconds in seen)
        (a, s), (b, t) = (
            (median(frames for frames, _ in some), median(seconds for _, seconds in some))
            for some in (short, long)
        )
        each = max((t - s) / (b - a), 0.0)
        return max(s - each * a, 0.0), each
