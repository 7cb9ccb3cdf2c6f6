"""Listeners for held-out conversations: the model's, and those that it has to be better than.

All motion is told as the (T, K) coefficients `headgen.faces.motion.MOTION_NAMES` of the mean face, so that
nobody's looks enter; T frames are whole latent frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from headgen.errors import InputError
from headgen.faces import mesh
from headgen.faces.motion import motion_coefficients
from headgen.listen import plan
from headgen.listener.engine import LatentEngine, Long
from headgen.listener.gen import Guidance, ListenerPipeline
from headgen.listener.latents import FaceMotion, WarpCodec
from headgen.listener.track import FPS, SpeakerTrack
from headgen.listener.wishes import Wish, with_chance
from headgen.listening import clip_names, read_clip
from headgen.scheduler import Plan
from headgen.scheduler.engine import Result
from headgen.scheduler.plan import derived_seed
from headgen.synth.conversation.events import Event

__all__ = [
    "MADE",
    "SYSTEMS",
    "HeldOut",
    "Listeners",
    "coefficients",
    "held_out",
    "latent_frames",
    "make_systems",
    "no_step",
    "resting",
]

SYSTEMS = {
    "ours": "the model",
    "ours, told": "the model, told how the true listener listens, as the ViCo benchmark tells",
    "static": "a face at rest",
    "other listener": "another conversation's true listener",
    "mirror": "the speaker's own motion about its mean, on the face at rest",
    "shuffled speaker": "the model, given another conversation's speaker",
}
"""What is compared, by name."""
MADE = sum(who.startswith("the model") for who in SYSTEMS.values())
"""Of these, how many the model makes."""


@dataclass(frozen=True)
class HeldOut:
    """A conversation of the test split.

    Attributes:
        name: of the clip.
        track: what the listener is given of the speaker, T frames.
        speaker: (T, K) the speaker's motion.
        truth: (T, K) the true listener's motion.
        events: the true listener's.
        seed: of the conversation.
        manner: the true listener's attitude and how strong it is.
        data: the data set's folder.
    """

    name: str
    track: SpeakerTrack
    speaker: np.ndarray
    truth: np.ndarray
    events: tuple[Event, ...]
    seed: int
    manner: Wish
    data: Path

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.track) / FPS


def held_out(data: Path, count: int) -> list[HeldOut]:
    """The first conversations of the test split, all cut to the length of the shortest.

    Raises:
        InputError: there are fewer than two, or the folder is no data set.
    """
    names = clip_names(data, "test")[:count]
    if len(names) < 2:
        raise InputError(
            f"{data}: {len(names)} held-out conversation; two are needed, so that speakers can be exchanged. "
            "Make more with `headgen synth listening` (one in ten is held out) or raise --clips"
        )
    codec = WarpCodec.from_pretrained(data / "codec", low_cpu_mem_usage=False)
    clips = [(name, read_clip(data, name)) for name in names]
    latents = min(len(clip.latents) for _, clip in clips)
    rows = latents * codec.frames_per_latent
    found = []
    for name, clip in clips:
        truth = coefficients(codec.decode(torch.from_numpy(clip.latents[:latents])))
        events = tuple(Event(**e) for e in clip.facts["events"] if e["start"] < rows / FPS)
        mine = tuple(e for e in events if e.who == "listener")
        manner = Wish(clip.facts["attitude"], clip.facts["intensity"])
        speaker, seed = clip.speaker[:rows], clip.facts["seed"]
        found.append(HeldOut(name, clip.track[:rows], speaker, truth, mine, seed, manner, data))
    return found


def coefficients(motion: FaceMotion) -> np.ndarray:
    """(T, K) coefficients of the mean face that moves so."""
    return motion_coefficients(motion.landmarks(), mesh.mean_face())


def resting(frames: int) -> FaceMotion:
    """No motion."""
    return FaceMotion(np.zeros((frames, 6)), np.zeros((frames, mesh.N_LANDMARKS, 3)))


@dataclass(frozen=True)
class Listeners:
    """Makes listeners as `headgen listen` does, up to the drawing; they have the mean face.

    Attributes:
        pipeline: the model.
        long: ``segments`` or ``causal``.
        steps: denoising steps.
        seed: of all listeners; each conversation has one derived from it.
    """

    pipeline: ListenerPipeline
    long: Long = "segments"
    steps: int = 8
    seed: int = 0

    def latents(
        self,
        track: SpeakerTrack,
        name: str,
        guidance: Guidance | None = None,
        wishes: Sequence[Wish] = (),
    ) -> np.ndarray:
        """Frames of latents (T, P, C) of a listener.

        Args:
            track: the speaker, T frames.
            name: of the conversation: the same name gives the same noise.
            guidance: scales, all 1 by default.
            wishes: what the listener is asked to do.
        """
        engine = LatentEngine(self.pipeline, self.long, self.steps, guidance or Guidance())
        seed = derived_seed(self.seed, f"clip {name}")
        engine.attend(track, self.tokens, with_chance(wishes, seed))
        return latent_frames(engine, plan(len(track), self.long, seed))

    def motion(
        self,
        track: SpeakerTrack,
        name: str,
        guidance: Guidance | None = None,
        wishes: Sequence[Wish] = (),
    ) -> np.ndarray:
        """(T, K) of a listener; arguments as of `latents`."""
        frames = self.latents(track, name, guidance, wishes)
        return coefficients(self.pipeline.codec.decode_frames(frames))

    @cached_property
    def tokens(self) -> torch.Tensor:
        """(P, C) of the mean face as a portrait."""
        return self.pipeline.codec.portrait_tokens(resting(1).landmarks()[0])


def latent_frames(engine: LatentEngine, plan: Plan) -> np.ndarray:
    """Frames of latents (T, P, C) of a whole video: what the scheduler has an engine draw."""
    results: list[Result] = []
    for segment in plan:
        results.append(engine.render(segment, results[-1] if engine.chained and results else None, no_step))
    refined = [engine.refine(t, results[t.index], results[t.index + 1], no_step) for t in plan.transitions]
    pieces = []
    for segment, result in zip(plan, results, strict=True):
        first = segment.start
        pieces.append(engine.frames(result["latents"])[segment.own.start - first : segment.own.stop - first])
        if segment.after:
            pieces.append(engine.frames(refined[segment.index]["latents"]))
    return np.concatenate(pieces)


def no_step(_: float) -> None:
    """Nobody waits for progress within a segment."""


def make_systems(
    clips: Sequence[HeldOut], listeners: Listeners, made: Callable[[], None]
) -> dict[str, list[np.ndarray]]:
    """Motion (T, K) of every clip by every one of `SYSTEMS`.

    Args:
        clips: two or more.
        listeners: the model's.
        made: called after each of the model's listeners, `MADE` times for every clip.
    """
    following = [*clips[1:], clips[0]]
    frames = len(clips[0].truth)
    rest = coefficients(resting(1))
    ours, told, shuffled = [], [], []
    for clip, other in zip(clips, following, strict=True):
        ours.append(listeners.motion(clip.track, clip.name))
        made()
        told.append(listeners.motion(clip.track, clip.name, wishes=[clip.manner]))
        made()
        shuffled.append(listeners.motion(other.track, clip.name))
        made()
    return {
        "ours": ours,
        "ours, told": told,
        "static": [np.repeat(rest, frames, 0) for _ in clips],
        "other listener": [other.truth for other in following],
        "mirror": [rest + clip.speaker - clip.speaker.mean(0) for clip in clips],
        "shuffled speaker": shuffled,
    }
