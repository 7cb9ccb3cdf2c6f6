"""The listener: a state machine that is shown a speaker frame by frame and moves because of it.

Strictly causal by construction: `ListenerModel.step` is given the next frame of the speaker and answers with
the listener's frame; there is nothing else that it could know. Random numbers belong to what they are for
(seed, rule and frame of the percept), so a decision does not depend on how many others were taken before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headgen.synth.conversation.asked import Ask, Asked
from headgen.synth.conversation.attitude import Manner, manner, rest
from headgen.synth.conversation.body import Body, generator
from headgen.synth.conversation.rules import (
    HABITS,
    LATENCY_BOUNDS,
    REST_BETWEEN,
    RULES,
    Percept,
    Reaction,
)
from headgen.synth.conversation.senses import Senses, SpeakerFrame
from headgen.synth.heads.model import HeadMotion

__all__ = ["Act", "ListenerModel", "SpeakerFrame"]

LOOK_AFTER_QUESTION = 1.2
"""Seconds for which somebody who has been asked does not begin to look away (Argyle & Cook 1976)."""


@dataclass(frozen=True)
class Act:
    """Something that the listener has begun to do.

    Attributes:
        kind: of event.
        start, end: seconds.
        strength: 0 to 1.
        text: what is said with it.
        percept: what set it off; None for a habit.
        known: seconds, when that was noticed; None for a habit.
    """

    kind: str
    start: float
    end: float
    strength: float
    text: str = ""
    percept: Percept | None = None
    known: float | None = None


@dataclass(frozen=True)
class _Plan:
    """A reaction that waits for its time."""

    frame: int
    rule: str
    reaction: Reaction
    percept: Percept | None


class ListenerModel:
    """Listens, one frame after the other.

    Args:
        seed: of everything that this listener does.
        fps: frames per second.
        attitude: one of `headgen.synth.conversation.attitude.ATTITUDES`.
        intensity: 0 to 1.
        asks: what the listener is asked for besides.

    Raises:
        InputError: an unknown attitude, or an intensity out of range.
    """

    def __init__(
        self, seed: int, fps: float, attitude: str, intensity: float, asks: Sequence[Ask] = ()
    ) -> None:
        self.seed, self.fps = seed, fps
        self.asked = Asked(asks, fps)
        self.manner: Manner = manner(attitude, intensity)
        self.senses = Senses(fps)
        face, head = rest(attitude, intensity)
        liveliness = float(np.exp(0.25 * np.clip(generator(seed, "liveliness").standard_normal(), -2, 2)))
        self.body = Body(seed, fps, False, liveliness, face, head)
        self.plans: list[_Plan] = []
        self.last: dict[str, int] = {}
        self.questioned = -(10**9)
        self.frame = 0

    def step(self, speaker: SpeakerFrame) -> tuple[HeadMotion, list[Act]]:
        """Listens to one more frame.

        Args:
            speaker: what the frame brings.

        Returns:
            the listener's motion in this frame (one frame long), and the acts that begin in it.
        """
        for percept in self.senses.notice(speaker):
            if percept.kind == "question":
                self.questioned = percept.frame
            if percept.kind == "laugh":  # what looked like a smile was its beginning
                self.plans = [p for p in self.plans if p.percept is None or p.percept.kind != "smile"]
            for rule in RULES[percept.kind]:
                stream = generator(self.seed, rule.__name__, percept.frame)
                self.plans += [
                    _Plan(self._due(percept, reaction), rule.__name__, reaction, percept)
                    for reaction in rule(percept, self.manner, stream)
                ]
        self._plan_asked()
        begun = self._begin_due() + self._begin_habits()
        self.frame += 1
        return self.body.step(), begun

    def _due(self, percept: Percept, reaction: Reaction) -> int:
        """Frame in which a reaction is to begin, never sooner than anybody could react."""
        delay = max(reaction.delay, LATENCY_BOUNDS[0])
        return percept.frame + int(np.ceil(delay * self.fps - 1e-9))

    def _plan_asked(self) -> None:
        for ask in self.asked.now(self.frame):
            rule = f"asked for {ask.kind}"
            reaction = self.asked.reaction(
                ask, self.frame, self.manner, generator(self.seed, rule, self.frame)
            )
            if reaction is not None:
                due = self.frame + round(reaction.delay * self.fps)
                self.plans.append(_Plan(due, rule, reaction, None))

    def _begin_due(self) -> list[Act]:
        due = [plan for plan in self.plans if plan.frame <= self.frame]
        self.plans = [plan for plan in self.plans if plan.frame > self.frame]
        begun = []
        for plan in due:
            kind = plan.reaction.kind
            if self._may(kind):
                begun.append(self._begin(plan.reaction, plan.rule, plan.percept))
        return begun

    def _begin_habits(self) -> list[Act]:
        begun = []
        stream = generator(self.seed, "habits", self.frame)
        for kind, habit in HABITS.items():
            reaction = habit(self.manner, self.fps, stream)
            if reaction is not None and self._may(kind):
                begun.append(self._begin(reaction, f"habit {kind}", None))
        return begun

    def _may(self, kind: str) -> bool:
        alike = ("nod", "nods") if kind in ("nod", "nods") else (kind,)
        rested = all(self.frame >= self.last.get(k, -(10**9)) + REST_BETWEEN[kind] * self.fps for k in alike)
        asked = kind == "gaze_away" and self.frame < self.questioned + LOOK_AFTER_QUESTION * self.fps
        return rested and not asked and not self.asked.forbids(kind, self.frame) and self.body.free(kind)

    def _begin(self, reaction: Reaction, rule: str, percept: Percept | None) -> Act:
        stream = generator(self.seed, f"{rule} {reaction.kind}", self.frame)
        start, end = self.body.begin(
            reaction.kind, reaction.strength, reaction.duration, stream, reaction.sideways
        )
        self.last[reaction.kind] = round(end * self.fps)
        known = None if percept is None else percept.frame / self.fps
        return Act(reaction.kind, start, end, reaction.strength, reaction.text, percept, known)
