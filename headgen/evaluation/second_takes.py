"""The true listeners of synthetic conversations another time, by the rules that made them.

People do not answer every pause with a nod, and neither do the rules: how near the same person comes to the
true listener with other chances is the most that can be asked of a model, and the least that a figure must
tell apart to be of use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headgen.errors import InputError
from headgen.evaluation.listener_systems import HeldOut, coefficients
from headgen.listening import head_model, listener_face, listener_motion
from headgen.scheduler.plan import derived_seed
from headgen.synth.conversation.attitude import drawn_attitude
from headgen.synth.conversation.conversation import Conversation, listen, make_conversation
from headgen.synth.conversation.listener import Act
from headgen.synth.heads.linear import LinearFace
from headgen.synth.heads.model import HeadMotion

__all__ = ["TAKES", "Take", "data_face", "second_takes", "take_motions"]

TAKES = {
    "second take": "the true listener another time: the same speaker and attitude, other chances",
    "untold take": "the same with an attitude drawn anew, as if nobody had told it",
    "deaf take": "the same with the attitude, but to another conversation's speaker",
}
"""What is made, by name."""


@dataclass(frozen=True)
class Take:
    """A listener by the rules.

    Attributes:
        acts: what the listener does, in order of time.
        moved: the motion, of at least the clip's frames.
    """

    acts: list[Act]
    moved: HeadMotion

    def motion(self, face: LinearFace, frames: int) -> np.ndarray:
        """(T, K) coefficients of so many frames, as `headgen.evaluation.listener_systems` tells motion."""
        return coefficients(listener_motion(face, self.moved[:frames]))


def second_takes(clips: Sequence[HeldOut], seed: int) -> dict[str, list[Take]]:
    """Each of `TAKES` of every clip.

    Args:
        clips: two or more.
        seed: of the chances; the same for all takes of a clip.

    Raises:
        InputError: a conversation is not what its seed gives.
        MissingExtraError: espeak-ng is not installed.
    """
    talks = [conversation(clip) for clip in clips]
    made: dict[str, list[Take]] = {name: [] for name in TAKES}
    for clip, talk, other in zip(clips, talks, [*talks[1:], talks[0]], strict=True):
        chance = derived_seed(seed, f"second take {clip.name}") % 2**62
        told = talk.attitude, talk.intensity
        drawn = drawn_attitude(np.random.default_rng(chance))
        cases = zip(TAKES, (talk, talk, other), (told, drawn, told), strict=True)
        for name, speaker, (attitude, intensity) in cases:
            moved, acts = listen(speaker.speech, speaker.speaker, chance, talk.fps, attitude, intensity)
            made[name].append(Take([act for act in acts if act.start < clip.seconds], moved))
    return made


def take_motions(
    takes: Mapping[str, Sequence[Take]], clips: Sequence[HeldOut], assets: Path | None = None
) -> dict[str, list[np.ndarray]]:
    """Motion (T, K) of takes by name; empty where the data's head model is not at hand and was not named.

    Args:
        takes: of each clip, by name.
        clips: the same, of one data set.
        assets: folder with ``ict_facekit``.

    Raises:
        InputError: the named folder lacks the head model's files.
    """
    try:
        face = data_face(clips[0].data, assets)
    except InputError:
        if assets is not None:
            raise
        return {}
    return {
        name: [take.motion(face, len(clip.truth)) for take, clip in zip(of_one, clips, strict=True)]
        for name, of_one in takes.items()
    }


def conversation(clip: HeldOut) -> Conversation:
    """The conversation of a clip, made again.

    Raises:
        InputError: it is not what its seed gives in this version.
    """
    talk = make_conversation(clip.seed, _options(clip.data)["seconds"])
    if tuple(e for e in talk.of("listener") if e.start < clip.seconds) != clip.events:
        raise InputError(
            f"{clip.data}: conversation {clip.name} is not what its seed gives in this version; make the "
            "data set anew with `headgen synth listening`"
        )
    return talk


def data_face(data: Path, assets: Path | None = None) -> LinearFace:
    """The face with which listeners of a data set of `headgen synth listening` move.

    Args:
        data: its folder.
        assets: folder with ``ict_facekit``, if they are heads of ict.

    Raises:
        InputError: the head model's files are missing.
    """
    return listener_face(head_model(_options(data)["model"], assets))


def _options(data: Path) -> dict[str, Any]:
    return json.loads((data / "options.json").read_text(encoding="utf-8"))
