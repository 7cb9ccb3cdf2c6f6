"""Events of a conversation: what happens, when, how strongly, and because of what."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

SPEAKER_KINDS = (
    "phrase", "pause", "filler", "question", "emphasis", "low_pitch", "smile", "laugh", "nod", "shake",
    "brow_raise",
    "blink", "gaze_away", "posture_shift",
)  # fmt: skip
LISTENER_KINDS = (
    "nod", "nods", "shake", "tilt", "smile", "laugh", "brow_raise", "frown", "surprise", "blink", "gaze_away",
    "posture_shift", "back_channel",
)  # fmt: skip


@dataclass(frozen=True)
class Event:
    """Something that somebody does.

    Attributes:
        kind: one of `SPEAKER_KINDS` or `LISTENER_KINDS`.
        who: ``speaker`` or ``listener``.
        start, end: seconds from the clip's beginning; the motion curve moves between them.
        strength: 0 to 1.
        number: of the event in its clip's list, by which others name it as their cause.
        cause: number of the event that caused it, None for what nobody caused.
        delay: seconds from when the cause could be known to `start`; None without a cause.
        text: words spoken, for phrases, fillers and questions.
    """

    kind: str
    who: str
    start: float
    end: float
    strength: float
    number: int
    cause: int | None = None
    delay: float | None = None
    text: str = ""

    def __post_init__(self) -> None:
        known = SPEAKER_KINDS if self.who == "speaker" else LISTENER_KINDS
        if self.who not in ("speaker", "listener") or self.kind not in known:
            raise ValueError(f"no event {self.kind!r} of a {self.who!r}")
        if not 0 <= self.start <= self.end or not 0 <= self.strength <= 1:
            raise ValueError(f"event {self}: times must be in order and the strength from 0 to 1")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and Parquet."""
        return asdict(self)
