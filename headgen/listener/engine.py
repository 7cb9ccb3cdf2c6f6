"""The listener as the scheduler drives it: segments of latents, cross-fades of them, pictures at the end.

Latents are small (60 numbers a frame), so they are what is kept, cached and blended; pictures are drawn
shortly before they are written, by fsrt-small, which warps the portrait.

Shapes: F latent frames, G video frames in one, P parts, D token width, C = D / G.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from numpy.typing import NDArray
from torch import Tensor

from headgen.faces import mesh
from headgen.faces.framing import Framing
from headgen.faces.retarget import Retargeter
from headgen.fsrt.small import FSRTSmall
from headgen.fsrt.small_engine import SmallEngine
from headgen.listener.chain import LatentSegment
from headgen.listener.edit import ListenerEditor, cross_fade, ease
from headgen.listener.gen import Guidance, ListenerPipeline
from headgen.listener.latents import (
    FaceMotion,
    WarpCodec,
    frames_of,
    latents_of,
    same_latents,
    soften_joints,
)
from headgen.listener.track import FPS, SpeakerTrack
from headgen.listener.wishes import TextTokens, Wish, text_tokens, with_sides
from headgen.nn.kept import kept
from headgen.nn.precision import resolve_device, resolve_dtype
from headgen.nn.threads import cores

if TYPE_CHECKING:
    from headgen.faces.portrait import Portrait
    from headgen.scheduler.engine import Result, Step
    from headgen.scheduler.plan import Segment, Transition

__all__ = [
    "CHUNK",
    "OVERLAP",
    "SEGMENT",
    "LatentEngine",
    "ListenEngine",
    "ListenJob",
    "ListenOptions",
    "Long",
    "PortraitPainter",
    "TransitionKind",
    "load_editor",
    "load_pipeline",
]

Long = Literal["segments", "causal"]
TransitionKind = Literal["edit", "crossfade", "none"]
Precision = Literal["auto", "fp32", "bf16"]
Pipeline = TypeVar("Pipeline", bound=DiffusionPipeline)

SEGMENT, OVERLAP = 192, 24
"""Video frames of a segment (7.7 s), and of the overlap of two."""
CHUNK = 2
"""Latent frames that ``causal`` makes at a time (0.32 s): as many as a live listener may lag behind."""
MOST_THREADS = 8
OPENING, OPENING_CALM = 14, 6
"""Latent frames in which a listener's first blink is wished for (2.2 s), and video frames before it."""
OPENING_TRIES, OPENING_STEPS = 8, 4
"""Noises that are looked at for it, and denoising steps."""
SETTLE = 25
"""Video frames that lead from the portrait to how the listener holds the head (1 s)."""
HALF_SHUT, SHUT, SHUT_WELL, LASHES = 0.7, 0.5, 0.4, 0.15
"""Opening of the lids, relative to rest, under which an eye is drawn as shutting, counts as shut, and is
drawn as quite shut; and that of a shut eye's lashes."""
READ_AHEAD = 0.48
"""Seconds before its time that a wish is read: a face takes that long to show what it is asked for."""


@dataclass(frozen=True)
class ListenOptions:
    """How a listener is made.

    Attributes:
        model: folder of the listener's weights (`ListenerPipeline`).
        painter: folder of fsrt-small's weights, which draws.
        long: ``segments`` or ``causal``.
        steps: denoising steps.
        guidance: scales of the conditions.
        chunk: latent frames that ``causal`` makes at a time.
        transition: how two segments are joined; ``edit`` needs an editor.
        editor: folder of its weights (`ListenerEditor`).
        whole: whole photographs, or else the square around the head.
        precision: arithmetic of the network that draws.
        device: where they run.
    """

    model: Path
    painter: Path
    long: Long = "segments"
    steps: int = 8
    guidance: Guidance = Guidance()
    chunk: int = CHUNK
    transition: TransitionKind = "crossfade"
    editor: Path | None = None
    whole: bool = True
    precision: Precision = "auto"
    device: str = "auto"


@dataclass(frozen=True)
class ListenJob:
    """Who listens to whom.

    Attributes:
        track: the speaker, for the whole length.
        portrait: of the listener.
        identity: stands for the contents of all and for the weights, see `Engine.fingerprint`.
        wishes: what the listener is asked to do.
    """

    track: SpeakerTrack
    portrait: Portrait
    identity: str
    wishes: tuple[Wish, ...] = ()


class PortraitPainter:
    """Draws a portrait whose face moves: fsrt-small, driven by face motion instead of by a driver's video.

    Args:
        folder: fsrt-small's weights.
        codec: of the latents.
        precision: of its arithmetic.
        device: where it runs.
    """

    def __init__(self, folder: Path, codec: WarpCodec, precision: Precision, device: torch.device) -> None:
        self.codec = codec
        model = kept(FSRTSmall.from_pretrained, folder)
        self.engine = SmallEngine(model, device, resolve_dtype(precision, device))

    def prepare(self, portrait: Portrait) -> None:
        """Encodes the portrait, once."""
        self.engine.prepare([portrait.image], [portrait.landmarks])
        # The mean face at rest, one pixel between the outer corners of its eyes, is where motion counts from.
        face = mesh.mean_face().astype(np.float64)
        rest = mesh.Pose(np.eye(3), 1.0, np.zeros(3), face).project(face)
        self._retarget = Retargeter(portrait.landmarks, rest, at_rest=True)
        self._framing = Framing(portrait.landmarks, portrait.image.shape)

    def draw(self, latents: NDArray[np.float32], whole: bool) -> list[NDArray[np.uint8]]:
        """Pictures of frames (T, P, C): the whole photograph, or the square around the head."""
        driver = shut_well(self.codec.decode_frames(latents)).landmarks()
        near, carries = zip(*(self._framing.part(self._retarget(d)) for d in driver), strict=True)
        pictures = []
        for crop, carry in zip(self.engine.render(near), carries, strict=True):
            frame = self._framing.apply(self.engine.place(crop), carry)
            pictures.append(frame if whole else self.engine.cut(frame))
        return pictures


class LatentEngine:
    """The listener's latents, segment by segment: the scheduler's work without the pictures.

    Args:
        pipeline: makes the latents.
        long: ``segments`` or ``causal``.
        steps: denoising steps.
        guidance: scales of the conditions.
        at_once: latent frames that ``causal`` makes at a time.
        transition: how two segments are joined.
        editor: joins them, for ``edit``.

    Raises:
        ValueError: ``edit`` without an editor, or with one of other latents.
    """

    def __init__(
        self,
        pipeline: ListenerPipeline,
        long: Long = "segments",
        steps: int = 8,
        guidance: Guidance = Guidance(),  # noqa: B008 - it is frozen
        at_once: int = CHUNK,
        transition: TransitionKind = "crossfade",
        editor: ListenerEditor | None = None,
    ) -> None:
        if transition == "edit" and (editor is None or not same_latents(editor.codec, pipeline.codec)):
            raise ValueError("transition 'edit' needs an editor of the listener's latents")
        self.pipeline, self.steps, self.guidance, self.at_once = pipeline, steps, guidance, at_once
        self.transition, self.editor = transition, editor
        self.chained = long == "causal"

    @property
    def frames_per_latent(self) -> int:
        """G."""
        return self.pipeline.frames_per_latent

    def attend(self, track: SpeakerTrack, tokens: Tensor, wishes: Sequence[Wish] = ()) -> None:
        """Turns to a speaker.

        Args:
            track: the speaker, for the whole length.
            tokens: (P, C) of the listener's portrait, see `WarpCodec.portrait_tokens`.
            wishes: what the listener is asked to do.
        """
        self.track, self.tokens, self.wishes = track, tokens[None], wishes

    def text(self, frame: int) -> TextTokens | None:
        """What is asked for, as a segment reads it that begins with a video frame: `READ_AHEAD` s before."""
        if not self.wishes:
            return None
        first, wishes = frame / FPS + READ_AHEAD, self.wishes
        if self.pipeline.transformer.config.sided:
            seen = self.pipeline.past_latents * self.frames_per_latent
            wishes = with_sides(wishes, first - seen / FPS, first + SEGMENT / FPS)
        return text_tokens([wishes], self.frames_per_latent, first=first)

    def render(self, segment: Segment, previous: Result | None, step: Step) -> Result:
        """Latents of a segment (F, P, D), and for ``causal`` the ``past`` that the next one goes on from."""
        count = -(-len(segment) // self.frames_per_latent)
        at_once = self.at_once if self.chained else self.pipeline.most_at_once
        passes = -(-count // at_once) * self.steps
        done = 0

        def stepped(*_: Any) -> None:
            nonlocal done
            done += 1
            step(done / passes)

        if self.chained:
            return self._chained(segment, count, previous, stepped)
        made = self.pipeline(
            [self.heard_until(segment.start + count * self.frames_per_latent)],
            self.tokens,
            count,
            num_inference_steps=self.steps,
            guidance=self.guidance,
            text=self.text(segment.start),
            latents=self.noise(count, segment.index == 0, torch.Generator().manual_seed(segment.seed)),
            callback_on_step_end=stepped,
            output_type="latent",
        ).latents
        return {"latents": soften_joints(made[0].numpy())}

    def _chained(
        self, segment: Segment, count: int, previous: Result | None, stepped: Callable[[], None]
    ) -> Result:
        past = None if previous is None else previous["past"]
        chain = self.chain(segment.index, segment.start, segment.seed, self.track[: segment.start], past)
        made = []
        for first in range(0, count, self.at_once):
            begin, end = (
                segment.start + k * self.frames_per_latent for k in (first, min(first + self.at_once, count))
            )
            made.append(chain.extend(self.heard_until(end)[begin:], self.steps, stepped))
        kept = chain.past
        assert kept is not None  # something has been made
        return {"latents": np.concatenate(made), "past": kept}

    def chain(
        self, index: int, start: int, seed: int, before: SpeakerTrack, past: NDArray[np.float32] | None
    ) -> LatentSegment:
        """A segment of ``causal``, to be made chunk by chunk.

        Args:
            index: of the segment.
            start: video frame that it begins with.
            seed: of the segment.
            before: the speaker until the segment begins.
            past: (N, P, D) latents before it; None for the first.
        """
        # Noise for the longest segment: a video that ends earlier begins no other way.
        longest = SEGMENT // self.frames_per_latent
        noise = self.noise(longest, index == 0, torch.Generator().manual_seed(seed))
        text = self.text(start)
        return LatentSegment(self.pipeline, self.tokens, noise, before, past, self.guidance, text)

    def noise(self, count: int, opening: bool, generator: torch.Generator) -> Tensor:
        """Noise (1, F, P, D) that a segment is made of, as large as the model says."""
        if opening:
            return self.opening_noise(count, generator)
        return self.pipeline.config.liveliness * self.pipeline.noise(1, count, generator)

    def opening_noise(self, count: int, generator: torch.Generator) -> Tensor:
        """Noise (1, F, P, D) for a video's first segment.

        Our design: one person in three does not blink for three seconds, and a video that begins so looks
        like the photograph it was made of. Of a few noises the first is taken out of which somebody who hears
        and sees nothing would blink in good time; how often eyes blink later is not touched, and the choice
        knows nothing of the speaker.
        """
        noise = self.pipeline.config.liveliness * self.pipeline.noise(OPENING_TRIES, count, generator)
        frames = min(count, OPENING)
        idle = self.pipeline.idle(self.tokens.expand(OPENING_TRIES, -1, -1), noise[:, :frames], OPENING_STEPS)
        open_eyes = np.stack([openness(self.pipeline.codec.decode(one)) for one in idle])
        least = open_eyes[:, OPENING_CALM:].min(1) if open_eyes.shape[1] > OPENING_CALM else open_eyes.min(1)
        blinks = np.flatnonzero(least < SHUT_WELL)
        chosen = int(blinks[0]) if len(blinks) else int(least.argmin())
        return noise[chosen : chosen + 1]

    def heard_until(self, frame: int) -> SpeakerTrack:
        """The speaker up to a frame; after its end, nothing is heard or seen."""
        missing = frame - len(self.track)
        if missing <= 0:
            return self.track[:frame]
        return self.track.extended(missing)

    def refine(self, transition: Transition, left: Result, right: Result, step: Step) -> Result:
        """The frames of a transition: rewritten by the editor, cross-faded, or half of each segment's."""
        count = len(transition)
        size = count // self.frames_per_latent
        if self.transition == "edit" and self.editor is not None:
            begin = transition.stop - self.frames_per_latent * len(left["latents"])
            joined = self.editor.refine_join(
                torch.from_numpy(left["latents"]),
                torch.from_numpy(right["latents"]),
                size,
                self.heard_until(transition.start + self.frames_per_latent * len(right["latents"]))[begin:],
                self.tokens[0],
                generator=torch.Generator().manual_seed(transition.seed),
            )
            first = len(left["latents"]) - size
            return {"latents": joined[first : first + size].numpy()}
        ends = self.frames(left["latents"][-size:]), self.frames(right["latents"][:size])
        if self.transition == "none":
            return {"latents": latents_of(np.concatenate([ends[0][: count // 2], ends[1][count // 2 :]]))}
        return {"latents": latents_of(cross_fade(*ends))}

    frames = staticmethod(frames_of)


class ListenEngine(LatentEngine):
    """Engine of the scheduler.

    Args:
        options: how listeners are made.
    """

    def __init__(self, options: ListenOptions) -> None:
        device = resolve_device(options.device)
        pipeline = load_pipeline(options.model).to(device)
        editor = None if options.editor is None else load_editor(options.editor).to(device)
        super().__init__(
            pipeline,
            options.long,
            options.steps,
            options.guidance,
            options.chunk,
            options.transition,
            editor,
        )
        self.options = options
        on_cpu = device.type == "cpu"
        self.parallel = min(MOST_THREADS, cores()) if on_cpu else 1
        # Pictures drawn together differ in their last bits: those of a chain are drawn as live ones are.
        self.chunk = 1 if self.chained else 4 if on_cpu else 16
        self.fingerprint = ""
        self.painter = PortraitPainter(options.painter, pipeline.codec, options.precision, device)

    def prepare(self, job: ListenJob) -> None:
        """Reads the portrait and keeps the speaker at hand."""
        self.fingerprint = job.identity
        self.attend(job.track, self.pipeline.codec.portrait_tokens(job.portrait.landmarks), job.wishes)
        self.painter.prepare(job.portrait)

    def draw(
        self, source: Segment | Transition, result: Result, start: int, stop: int
    ) -> list[NDArray[np.uint8]]:
        """Pictures of frames `start` to `stop - 1` of the video."""
        frames = self.frames(result["latents"])[start - source.start : stop - source.start]
        return self.painter.draw(settling(frames, start), self.options.whole)


def settling(frames: NDArray[np.float32], first: int) -> NDArray[np.float32]:
    """A listener's motion as it is drawn: at first a video shows the portrait, then the listener moves on.

    Our design: every listener holds the head in a way of their own, degrees from where the photograph has it.
    A video that began so would jump where it follows the photograph, as live.

    Args:
        frames: (T, P, C) latents of video frames.
        first: which frame of the video the first of them is.
    """
    if first >= SETTLE:
        return frames
    return frames * ease(first + len(frames), 0, SETTLE)[first:, None, None]


def openness(motion: FaceMotion) -> NDArray[np.float64]:
    """(T,) how far the eyes are open, relative to rest."""
    rest = mesh.mean_face()
    pairs = np.array([pair for _, _, lids in mesh.EYES for pair in lids])
    gaps = [
        np.linalg.norm(face[..., pairs[:, 0], :] - face[..., pairs[:, 1], :], axis=-1).mean(-1)
        for face in (rest + motion.shape, rest)
    ]
    return gaps[0] / gaps[1]


def shut_well(motion: FaceMotion) -> FaceMotion:
    """The same motion with eyes that shut quite.

    Our design: latents stand for four frames, and a blink hardly lasts longer; so where it is deepest, lids
    are still a third as far apart as at rest, which on a small photograph or behind glasses is no blink. Eyes
    that are open by more than `HALF_SHUT` stay as they are; below it, upper lids come nearer to lower ones,
    at `SHUT_WELL` but for their lashes.
    """
    rest = mesh.mean_face()
    shape = motion.shape.copy()
    for contour, _, _ in mesh.EYES:
        upper, lower = mesh.lids(contour)
        usual = rest[upper] - rest[lower]
        gap = usual + shape[:, upper] - shape[:, lower]
        opening = np.linalg.norm(gap, axis=-1).mean(-1) / np.linalg.norm(usual, axis=-1).mean()
        deeper = np.interp(opening, (SHUT_WELL, HALF_SHUT), (LASHES, HALF_SHUT))
        left = np.where(opening < HALF_SHUT, deeper.clip(max=opening) / opening.clip(1e-3), 1.0)
        shape[:, upper] -= gap * (1 - left)[:, None, None]
    return FaceMotion(motion.pose, shape)


def load_pipeline(folder: Path) -> ListenerPipeline:
    """The listener of a folder of weights, as `ListenerPipeline.save_pretrained` wrote it."""
    return kept(_load_pipeline, folder)


def load_editor(folder: Path) -> ListenerEditor:
    """The editor of a folder of weights, as `ListenerEditor.save_pretrained` wrote it."""
    return kept(_load_editor, folder)


def _load_pipeline(folder: Path) -> ListenerPipeline:
    return _loaded(ListenerPipeline, folder)


def _load_editor(folder: Path) -> ListenerEditor:
    return _loaded(ListenerEditor, folder)


def _loaded(kind: type[Pipeline], folder: Path) -> Pipeline:
    level, bars = diffusers_logging.get_verbosity(), diffusers_logging.is_progress_bar_enabled()
    diffusers_logging.set_verbosity_error()  # it recommends a package that small models do not need
    diffusers_logging.disable_progress_bar()  # of four small files, and over our own
    try:
        pipeline = kind.from_pretrained(folder, low_cpu_mem_usage=False)
        pipeline.to(torch.float32)  # weights may lie in half precision, half as large
    finally:
        diffusers_logging.set_verbosity(level)
        if bars:
            diffusers_logging.enable_progress_bar()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
