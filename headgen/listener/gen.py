"""DiTaiListener-Gen: from a speaker and a portrait to the motion of a listener, as a diffusers pipeline.

Latents begin as noise and are led to clean ones along straight lines (flow matching, Lipman et al. 2023); the
network predicts the clean end of the line. Video latents are those of `headgen.listener.latents`.

Shapes: B batch, F latent frames, P parts, D token width, G video frames (and speaker rows) in a latent frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from diffusers.utils import BaseOutput
from torch import Tensor

from headgen.errors import InputError
from headgen.listener.adapter import CTMAdapter, SpeakerCondition, SpeakerTokens, speaker_condition
from headgen.listener.latents import FaceMotion, WarpCodec
from headgen.listener.track import SpeakerTrack
from headgen.listener.transformer import Context, KeyValueCache, ListenerTransformer
from headgen.listener.wishes import TextTokens

__all__ = ["LIVELINESS", "Guidance", "ListenerOutput", "ListenerPipeline", "rows_before"]

LARGEST_SCALE = 5.0
USUAL_STEPS = 8
"""Denoising steps of a network that was not made for fewer."""
LIVELINESS = 1.05
"""Size of the noise that a network is given which says nothing else; in training it was 1."""
StepCallback = Callable[["ListenerPipeline", int, Tensor, dict[str, Tensor]], dict[str, Tensor] | None]
"""Called after each denoising step, as diffusers calls it: pipeline, number of the step, timestep, and
``{"latents": ...}``; what it returns under that name is gone on with."""


@dataclass(frozen=True)
class Guidance:
    """How strongly each condition is followed; 1 takes the network's word, 0 does without the condition.

    Our design: with predictions x of the clean latents given everything, and x_a, x_m with audio or motion
    withheld, the guided one is x + (audio - 1) (x - x_a) + (motion - 1) (x - x_m). At 1 a condition costs
    nothing; at 0 it is withheld in every pass, and costs nothing either. Text likewise.
    """

    audio: float = 1.0
    motion: float = 1.0
    text: float = 1.0

    def __post_init__(self) -> None:
        for name in ("audio", "motion", "text"):
            if not 0 <= getattr(self, name) <= LARGEST_SCALE:
                raise InputError(
                    f"{name} scale {getattr(self, name)} is out of range; give 0 to {LARGEST_SCALE:g}"
                )

    def passes(self, text: bool) -> list[Pass]:
        """The network's passes.

        Args:
            text: whether there is a text.
        """
        scales = {"audio": self.audio, "motion": self.motion, "text": self.text if text else 0.0}
        given = {name: scale > 0 for name, scale in scales.items()}
        without = [
            Pass(1 - scale, **{**given, name: False}) for name, scale in scales.items() if scale not in (0, 1)
        ]
        return [Pass(1 - sum(one.weight for one in without), **given), *without]


class Pass(NamedTuple):
    """One pass of the network in a denoising step.

    Attributes:
        weight: of its prediction; those of all passes add up to 1.
        audio, motion, text: whether the condition is given.
    """

    weight: float
    audio: bool
    motion: bool
    text: bool


@dataclass
class ListenerOutput(BaseOutput):
    """What the pipeline makes.

    Attributes:
        latents: (B, F, P, D).
        motions: the listeners' motion, F * G frames each; None for ``output_type="latent"``.
    """

    latents: Tensor
    motions: list[FaceMotion] | None = None


class ListenerPipeline(DiffusionPipeline):
    """Generates listeners.

    Args:
        transformer: the video diffusion transformer.
        adapter: gives it access to the speaker.
        codec: between latents and face motion.
        scheduler: of flow matching, such as diffusers' Euler or Heun.
        steps: denoising steps that the network was made for, unless a call says otherwise.
        liveliness: size of the noise with which its listeners come nearest to true ones. Our design: a small
            network errs towards the mean, so that of its own accord people move by less and blink less often
            than those it learnt from.
    """

    model_cpu_offload_seq = "adapter->transformer->codec"

    def __init__(
        self,
        transformer: ListenerTransformer,
        adapter: CTMAdapter,
        codec: WarpCodec,
        scheduler: FlowMatchEulerDiscreteScheduler,
        steps: int = USUAL_STEPS,
        liveliness: float = LIVELINESS,
    ) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, adapter=adapter, codec=codec, scheduler=scheduler)
        self.register_to_config(steps=steps, liveliness=liveliness)

    @property
    def frames_per_latent(self) -> int:
        """G."""
        return int(self.transformer.config.frames_per_latent)

    @property
    def past_latents(self) -> int:
        """Latent frames of the past that the network looks back on."""
        config = self.transformer.config
        return int(config.window - config.block)

    @property
    def most_at_once(self) -> int:
        """Most latent frames that are made at a time: whole blocks of what the network sees."""
        config = self.transformer.config
        return int(config.window - config.window % config.block)

    def check_inputs(
        self,
        speakers: Sequence[SpeakerTrack],
        portraits: Tensor,
        latent_frames: int,
        chunk: int,
        past: Tensor | None,
    ) -> None:
        """Raises ValueError where shapes do not belong together."""
        config = self.transformer.config
        if latent_frames < 1 or not 1 <= chunk <= config.window:
            raise ValueError(
                f"latent_frames={latent_frames}, chunk={chunk}: the network sees 1 to {config.window} at once"
            )
        if chunk % config.block:
            raise ValueError(f"chunk={chunk} is no multiple of the network's block, {config.block}")
        if len(speakers) != len(portraits):
            raise ValueError(f"{len(speakers)} speakers and {len(portraits)} portraits: give as many")
        rows = latent_frames * self.frames_per_latent
        if any(len(s) < rows for s in speakers):
            raise ValueError(f"{latent_frames} latent frames need speakers of at least {rows} rows")
        if past is not None and len(past) != len(speakers):
            raise ValueError(f"past is of {len(past)} videos, not of {len(speakers)}")

    @torch.inference_mode()
    def __call__(
        self,
        speakers: Sequence[SpeakerTrack],
        portraits: Tensor,
        latent_frames: int,
        *,
        past: Tensor | None = None,
        chunk: int | None = None,
        num_inference_steps: int | None = None,
        guidance: Guidance | None = None,
        text: TextTokens | None = None,
        generator: torch.Generator | None = None,
        latents: Tensor | None = None,
        callback_on_step_end: StepCallback | None = None,
        output_type: str = "motion",
    ) -> ListenerOutput:
        """Generates latent frames.

        Args:
            speakers: B tracks. Their last ``latent_frames * G`` rows are heard and seen while the listener
                listens, what is before is remembered; what is missing of `rows_before` counts as unknown.
            portraits: (B, P, C) tokens of `WarpCodec.portrait_tokens`.
            latent_frames: F.
            past: (B, N, P, D) latents of the frames before, to go on from.
            chunk: latent frames made at a time, each chunk from the clean ones before it; None makes as many
                at once as the network sees. A multiple of the network's block.
            num_inference_steps: denoising steps; None for as many as the network was made for.
            guidance: scales; all 1 by default.
            text: what the listeners are asked to do; latent frame 0 is the first one to be made.
            generator: source of the noise, on the CPU.
            latents: (B, F, P, D) noise to begin with, instead of drawn noise.
            callback_on_step_end: see `StepCallback`; may raise to stop.
            output_type: ``motion`` or ``latent``.

        Raises:
            ValueError: shapes that do not belong together.
        """
        chunk = min(self.most_at_once if chunk is None else chunk, latent_frames)
        self.check_inputs(speakers, portraits, latent_frames, chunk, past)
        passes = (guidance or Guidance()).passes(text is not None)
        steps = int(self.config.steps) if num_inference_steps is None else num_inference_steps
        device, dtype = self._execution_device, self.transformer.dtype
        context, cache, tokens = self.encode(speakers, portraits, latent_frames, past, passes, text)
        if cache is None and chunk < latent_frames:
            cache = self.transformer.new_cache(len(passes) * len(speakers))
        if latents is None:
            latents = self.noise(len(speakers), latent_frames, generator)
        latents = latents.to(device, dtype)
        made = []
        for start in range(0, latent_frames, chunk):
            noise = latents[:, start : start + chunk]
            clean = self.denoise(noise, context, cache, tokens, passes, start, steps, callback_on_step_end)
            made.append(clean)
            if start + chunk < latent_frames:
                self.remember(clean, context, cache, tokens, passes, start)
        latents = torch.cat(made, 1)
        motions = [self.codec.decode(one) for one in latents] if output_type == "motion" else None
        self.maybe_free_model_hooks()
        return ListenerOutput(latents.float().cpu(), motions)

    def noise(self, batch: int, latent_frames: int, generator: torch.Generator | None) -> Tensor:
        """(B, F, P, D) of a generator on the CPU."""
        config = self.transformer.config
        shape = (batch, latent_frames, len(config.places), config.token_width)
        return torch.randn(shape, generator=generator)

    @torch.inference_mode()
    def idle(self, portraits: Tensor, noise: Tensor, steps: int) -> Tensor:
        """Latents (B, F, P, D) of listeners who are told nothing of a speaker.

        Args:
            portraits: (B, P, C) tokens.
            noise: (B, F, P, D), at most as many frames as the network sees at once.
            steps: denoising steps.
        """
        config, passes = self.adapter.config, [Pass(1.0, False, False, False)]
        nobody = SpeakerTrack.unknown(0, config.audio_width, config.motion_width)
        speakers = [nobody] * len(noise)
        context, cache, tokens = self.encode(speakers, portraits, noise.shape[1], None, passes)
        noise = noise.to(self._execution_device, self.transformer.dtype)
        return self.denoise(noise, context, cache, tokens, passes, 0, steps)

    def encode(
        self,
        speakers: Sequence[SpeakerTrack],
        portraits: Tensor,
        latent_frames: int,
        past: Tensor | None,
        passes: Sequence[Pass],
        text: TextTokens | None = None,
    ) -> tuple[Context, KeyValueCache | None, SpeakerTokens]:
        """What all denoising steps share, for every pass (passes first, videos second).

        Returns:
            Portrait as the blocks read it; past frames, if there are any; speaker tokens. Latent frames are
            counted from the first one to be made.
        """
        device = self._execution_device
        repeat = len(passes)
        said = None if text is None else text.repeated([one.text for one in passes]).to(device)
        portraits = portraits.to(device, self.transformer.dtype).repeat(repeat, 1, 1)
        context = self.transformer.encode(portraits, said)
        known = 0 if past is None else min(past.shape[1], self.past_latents)
        rows = (known + latent_frames) * self.frames_per_latent
        first = -known * self.frames_per_latent - rows_before(self.adapter)
        tokens = self.adapter.encode(self.condition(speakers, rows, passes), first=first)
        if past is None or not known:
            return context, None, tokens
        cache = self.transformer.new_cache(repeat * len(speakers))
        clean = past[:, past.shape[1] - known :].to(device, self.transformer.dtype)
        self.remember(clean, context, cache, tokens, passes, -known)
        return context, cache, tokens

    def remember(
        self,
        clean: Tensor,
        context: Context,
        cache: KeyValueCache | None,
        tokens: SpeakerTokens,
        passes: Sequence[Pass],
        start: int,
    ) -> None:
        """Takes clean latents (B, F, P, D) into the cache; arguments as of `denoise`."""
        repeated = clean.repeat(len(passes), 1, 1, 1)
        level = torch.zeros(repeated.shape[:2], device=clean.device)
        self.transformer(
            repeated,
            level,
            context,
            adapter=self.adapter,
            speaker=tokens,
            cache=cache,
            start=start,
            keep=True,
        )

    def condition(
        self, speakers: Sequence[SpeakerTrack], rows: int, passes: Sequence[Pass]
    ) -> SpeakerCondition:
        """The last `rows` of the speakers and what is remembered before, for every pass."""
        wanted = rows + rows_before(self.adapter)
        known = [s[max(0, len(s) - wanted) :] for s in speakers]
        padded = [s.preceded(wanted - len(s)) if len(s) < wanted else s for s in known]
        conditions = speaker_condition(
            padded * len(passes),
            [one.audio for one in passes for _ in speakers],
            [one.motion for one in passes for _ in speakers],
        )
        return conditions.to(self._execution_device)

    def denoise(
        self,
        latents: Tensor,
        context: Context,
        cache: KeyValueCache | None,
        tokens: SpeakerTokens,
        passes: Sequence[Pass],
        start: int,
        steps: int,
        callback: StepCallback | None = None,
    ) -> Tensor:
        """Leads noise (B, F, P, D) to clean latents.

        Args:
            latents: noise.
            context: of `encode`.
            cache: of `encode`.
            tokens: of `encode`.
            passes: of the guidance.
            start: index of the first latent frame, as `context`, `cache` and `tokens` count.
            steps: denoising steps.
            callback: see `StepCallback`.
        """
        scheduler = for_steps(self.scheduler, steps)
        weights = torch.tensor([one.weight for one in passes], device=latents.device, dtype=latents.dtype)
        batch, frames = latents.shape[:2]
        for number, (timestep, sigma) in enumerate(zip(scheduler.timesteps, scheduler.sigmas, strict=False)):
            level = sigma.expand(len(passes) * batch, frames).to(latents.device)
            clean = self.transformer(
                latents.repeat(len(passes), 1, 1, 1),
                level,
                context,
                adapter=self.adapter,
                speaker=tokens,
                cache=cache,
                start=start,
            )
            guided = torch.einsum("n,nb...->b...", weights, clean.unflatten(0, (len(passes), batch)))
            velocity = (latents - guided) / sigma.to(latents.device)
            latents = scheduler.step(velocity, timestep, latents).prev_sample
            if callback is not None:
                changed: dict[str, Any] = callback(self, number, timestep, {"latents": latents}) or {}
                latents = changed.get("latents", latents)
        return latents


def for_steps(scheduler: FlowMatchEulerDiscreteScheduler, steps: int) -> FlowMatchEulerDiscreteScheduler:
    """A scheduler like another one, ready for so many steps."""
    # A scheduler counts its steps: threads must not share one.
    own = type(scheduler).from_config(scheduler.config)
    # By itself it takes its last step from almost no noise: a level that training hardly meets, where the
    # network's word would be what comes out.
    own.sigma_min = 1 / steps
    own.set_timesteps(steps)
    return own


def rows_before(adapter: CTMAdapter) -> int:
    """Speaker rows remembered before the first latent frame; what lies further back has no effect."""
    return int(adapter.history)
