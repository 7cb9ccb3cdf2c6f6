"""DiTaiListener-Edit: rewrites what lies around the join of two segments, so that the join does not show.

DiTaiListener (arXiv 2504.04010) refines transitions with a video-to-video diffusion model. How that is built
has not been published; all here is our design:

- It works in the latents that listener-gen makes (`headgen.listener.latents`). Pictures are drawn from them,
  so a seam of the picture is a seam of the latents.
- Of a window of latent frames the outer ones stay, bit for bit. The inner ones are re-noised (SDEdit, Meng et
  al., 2022, section 3) and regenerated with both sides, the portrait and the speaker as context.
- The network is a small `ListenerTransformer` whose block is the window: inside of it, attention looks both
  ways. Outer frames have noise level 0.
- Latents are told relative to a bridge (`bridge`) that leads smoothly from what is before to what is after.
  Two segments whose heads are held differently then look alike to the network, which has only to learn how a
  face moves on the way.
- A path begins at the re-noised join instead of at noise, in training as well: x_r = (1 - r) clean +
  r ((1 - strength) join + strength noise). So the network learns to remove what is wrong with a join, and not
  noise alone.
- The network sees without noise what either segment has for the inner frames, and says what is wrong with
  the join (`Preconditioning`): where they agree no word is needed, and the join stays.

Shapes: B batch, F latent frames of the window, G video frames in one, T = F * G, P parts, D = G * C token
width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from headgen.listener.adapter import CTMAdapter, speaker_condition
from headgen.listener.gen import for_steps
from headgen.listener.latents import (
    CHANNELS,
    FRAMES_PER_LATENT,
    PARTS,
    WarpCodec,
    frames_of,
    latents_of,
)
from headgen.listener.track import SpeakerTrack
from headgen.listener.transformer import ListenerTransformer

__all__ = [
    "ListenerEditor",
    "Preconditioning",
    "bridge",
    "cross_fade",
    "ease",
    "without_step",
]

STRENGTH, STEPS = 0.3, 4
"""Noise that a join is given, and denoising steps."""
WRONG = 0.3
"""Root mean square of what is wrong with joins."""
NOISE = 1.1
"""Root mean square of the noise that takes a join's place: what it adds, and the join that it takes away."""
OUTER = 5
"""Latent frames that are read on each side of a join (0.8 s)."""
BLINKING = [k for k, name in enumerate(PARTS) if name.startswith(("brow", "eye"))]
"""Parts that a blink moves: what they are like before and after is their median, lest a blink is held."""


class ListenerEditor(DiffusionPipeline):
    """Rewrites the inner frames of a window of latents.

    Args:
        transformer: the video diffusion transformer; its block is its window.
        adapter: gives it access to the speaker.
        codec: of the latents.
        scheduler: of flow matching, such as diffusers' Euler.
    """

    model_cpu_offload_seq = "adapter->transformer"

    def __init__(
        self,
        transformer: ListenerTransformer,
        adapter: CTMAdapter,
        codec: WarpCodec,
        scheduler: FlowMatchEulerDiscreteScheduler,
    ) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, adapter=adapter, codec=codec, scheduler=scheduler)

    @property
    def window(self) -> int:
        """Most latent frames of a window."""
        return int(self.transformer.config.window)

    def check_inputs(
        self,
        latents: Tensor,
        inner: slice,
        speakers: Sequence[SpeakerTrack] | None,
        portraits: Tensor | None,
        takes: tuple[Tensor, Tensor] | None,
        strength: float,
    ) -> None:
        """Raises ValueError where arguments do not belong together."""
        batch, frames = latents.shape[:2]
        if not 0 < inner.start < inner.stop < frames <= self.window:
            raise ValueError(
                f"inner frames {inner.start} to {inner.stop} of {frames}: at least one frame on each side "
                f"must stay, and a window has at most {self.window}"
            )
        if not 0 < strength <= 1:
            raise ValueError(f"strength={strength} is out of range; give more than 0, and at most 1")
        for name, given in (("speakers", speakers), ("portraits", portraits)):
            if given is not None and len(given) != batch:
                raise ValueError(f"{len(given)} {name} for {batch} videos: give as many")
        wanted = latents[:, inner].shape
        if takes is not None and any(take.shape != wanted for take in takes):
            raise ValueError(
                f"takes of {[tuple(t.shape) for t in takes]}: those of the inner frames are {tuple(wanted)}"
            )

    @torch.inference_mode()
    def __call__(
        self,
        latents: Tensor,
        inner: slice,
        speakers: Sequence[SpeakerTrack] | None = None,
        portraits: Tensor | None = None,
        *,
        takes: tuple[Tensor, Tensor] | None = None,
        strength: float = STRENGTH,
        num_inference_steps: int = STEPS,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Rewrites inner frames.

        What is heard and seen of the speaker after the last inner frame has no effect.

        Args:
            latents: (B, F, P, D) a window around a join; its inner frames are the join as it is, without a
                step: see `cross_fade` and `without_step`. A cut would hardly be changed.
            inner: latent frames to be rewritten; both sides of them stay.
            speakers: B tracks; their last ``F * G`` rows are those of the window, what is before is
                remembered. None if nothing is known of a speaker.
            portraits: (B, P, C) tokens of `WarpCodec.portrait_tokens`; None for a face like the mean one.
            takes: (B, N, P, D) each: what the left and the right segment have for the N inner frames; None if
                there is the join alone.
            strength: share of noise in what the inner frames are regenerated from, above 0 to 1. With 1
                nothing of the join is left.
            num_inference_steps: denoising steps.
            generator: source of the noise, on the CPU.

        Returns:
            (B, F, P, D), a new tensor.

        Raises:
            ValueError: arguments that do not belong together.
        """
        self.check_inputs(latents, inner, speakers, portraits, takes, strength)
        device, dtype = self._execution_device, self.transformer.dtype
        batch, frames = latents.shape[:2]
        level = bridge(latents, inner)
        known = (latents - level).to(device, dtype)
        reference = given_takes(latents, level, inner, takes).to(known)
        is_inner = torch.zeros(1, frames, device=device, dtype=dtype)
        is_inner[:, inner] = 1
        mask = is_inner[..., None, None]
        noise = torch.randn(latents.shape, generator=generator).to(device, dtype)
        x = known + mask * strength * (noise - known)
        if portraits is None:
            portraits = torch.zeros(batch, len(PARTS), CHANNELS)
        context = self.transformer.encode(portraits.to(device, dtype))
        speaker = self.adapter.encode(
            speaker_condition(self.tracks(speakers, batch, frames, inner)).to(device),
            first=-self.adapter.history,
        )
        scheduler = for_steps(self.scheduler, num_inference_steps)
        for timestep, share in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
            share = share.to(device)
            at = Preconditioning.of(share, strength)
            found = self.transformer(
                mask * at.given * (x - known),
                (at.level * is_inner).expand(batch, -1),
                context,
                reference=reference,
                adapter=self.adapter,
                speaker=speaker,
            )
            clean = known + mask * (at.kept * (x - known) + at.learnt * found)
            x = scheduler.step(mask * (x - clean) / share, timestep, x).prev_sample
        made = (x.cpu() + level).float()
        self.maybe_free_model_hooks()
        out = latents.clone()
        out[:, inner] = made[:, inner].to(out)
        return out

    def refine_join(
        self,
        left: Tensor,
        right: Tensor,
        overlap: int,
        speaker: SpeakerTrack | None = None,
        portrait: Tensor | None = None,
        *,
        inner: int | None = None,
        strength: float = STRENGTH,
        num_inference_steps: int = STEPS,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Joins two videos of latents.

        Args:
            left: (N, P, D).
            right: (M, P, D).
            overlap: the last `overlap` latent frames of the left video and the first ones of the right one
                are of the same time; they are cross-faded before they are rewritten. 0 if the right video
                simply comes after the left one; then the step between them is spread instead.
            speaker: rows of both videos together, ``(N + M - overlap) * G``; or None.
            portrait: (P, C) tokens of the listener, or None.
            inner: latent frames to be rewritten, around the middle of the join; those of the overlap by
                default.
            strength: see `__call__`.
            num_inference_steps: see `__call__`.
            generator: see `__call__`.

        Returns:
            (N + M - overlap, P, D): the joined video, of which only the inner frames are new.

        Raises:
            ValueError: no frames to rewrite, or videos too short to leave a frame on each side.
        """
        inner = overlap if inner is None else inner
        kept = len(left) - overlap
        ends = frames_of(left[kept:].numpy()), frames_of(right[:overlap].numpy())
        middle = torch.from_numpy(latents_of(cross_fade(*ends)))
        joined = torch.cat([left[:kept], middle, right[overlap:]])
        start = kept + (overlap - inner) // 2
        takes = None
        if overlap:
            whole = torch.cat([left, right[overlap:]]), torch.cat([left[:kept], right])
            takes = whole[0][None, start : start + inner], whole[1][None, start : start + inner]
        else:
            cut, begin, end = (k * FRAMES_PER_LATENT for k in (kept, start, start + inner))
            joined = torch.from_numpy(latents_of(without_step(frames_of(joined.numpy()), cut, begin, end)))
        outer = min(OUTER, (self.window - inner) // 2)
        first, last = max(0, start - outer), min(len(joined), start + inner + outer)
        rows = None if speaker is None else [speaker[: last * FRAMES_PER_LATENT]]
        joined[first:last] = self(
            joined[None, first:last],
            slice(start - first, start - first + inner),
            rows,
            None if portrait is None else portrait[None],
            takes=takes,
            strength=strength,
            num_inference_steps=num_inference_steps,
            generator=generator,
        )[0]
        return joined

    def tracks(
        self, speakers: Sequence[SpeakerTrack] | None, batch: int, frames: int, inner: slice
    ) -> list[SpeakerTrack]:
        """The speakers' rows of a window and of the adapter's memory; unknown after the inner frames."""
        config = self.adapter.config
        after = (frames - inner.stop) * FRAMES_PER_LATENT
        wanted = frames * FRAMES_PER_LATENT - after + self.adapter.history
        if speakers is None:
            return [SpeakerTrack.unknown(wanted + after, config.audio_width, config.motion_width)] * batch
        known = [s[max(0, len(s) - after - wanted) : len(s) - after] for s in speakers]
        return [s.preceded(wanted - len(s)).extended(after) for s in known]


def given_takes(latents: Tensor, level: Tensor, inner: slice, takes: tuple[Tensor, Tensor] | None) -> Tensor:
    """What the network sees without noise: (B, F, P, 2 D), both segments relative to the bridge.

    Args:
        latents: (B, F, P, D) the window.
        level: (B, F, P, D) its bridge.
        inner: the inner frames.
        takes: (B, N, P, D) each, the segments' inner frames; None if there is the join alone.
    """
    whole = [latents, latents] if takes is None else [latents.clone(), latents.clone()]
    for one, take in zip(whole, takes or (), strict=False):
        one[:, inner] = take
    return torch.cat([one - level for one in whole], dim=-1)


class Preconditioning(NamedTuple):
    """How the network sees a path from a join to what is clean, and what it has to say of it.

    With c what is wrong with the join and noise n, the path lies at join + (1 - share) c + share strength n.
    All is told relative to the join, and scaled so that inputs and answers are of size 1 at all times (Karras
    et al., EDM, 2022, section 5): a join that is right needs no answer.

    Attributes:
        given: factor of the path, relative to the join, before the network.
        kept: share of it in what is clean.
        learnt: factor of the network's answer in what is clean.
        level: noise level that the network is told, 0 to 1: the part of noise in what it is given.
    """

    given: Tensor
    kept: Tensor
    learnt: Tensor
    level: Tensor

    @classmethod
    def of(cls, share: Tensor, strength: Tensor | float) -> Preconditioning:
        """That of a place on the path.

        Args:
            share: of the path that is still ahead, 1 to 0.
            strength: of the noise that the path began with, above 0 to 1.
        """
        signal, noise = (1 - share) * WRONG, share * strength * NOISE
        size = (signal.square() + noise.square()).sqrt()
        level = noise / size
        return cls(1 / size, signal * WRONG / size.square(), WRONG * level, level)


def ease(frames: int, start: int, stop: int) -> NDArray[np.float32]:
    """(frames,) from 0 before `start` to 1 from `stop` on, as a hand or a head moves between two places.

    The path of least jerk (Flash and Hogan, 1985, equation 5).
    """
    share = ((np.arange(frames) + 1 - start) / (stop + 1 - start)).clip(0, 1)
    return (share**3 * (10 - 15 * share + 6 * share**2)).astype(np.float32)


def bridge(latents: Tensor, inner: slice) -> Tensor:
    """What a window's frames would be if nobody moved but from the left side to the right one.

    Args:
        latents: (B, F, P, D).
        inner: latent frames on the way.

    Returns:
        (B, F, P, D): the last frame before the inner ones up to there, the first one after them from there
        on, and a smooth way between. Of parts that blink, it is medians of the sides.
    """
    x = rearrange(latents, "b f p (g c) -> b (f g) p c", c=CHANNELS)
    start, stop = inner.start * FRAMES_PER_LATENT, inner.stop * FRAMES_PER_LATENT
    before, after = x[:, start - 1 : start].clone(), x[:, stop : stop + 1].clone()
    before[:, :, BLINKING] = x[:, :start, BLINKING].median(1, keepdim=True).values
    after[:, :, BLINKING] = x[:, stop:, BLINKING].median(1, keepdim=True).values
    share = torch.from_numpy(ease(x.shape[1], start, stop)).to(x)[:, None, None]
    return rearrange(before + share * (after - before), "b (f g) p c -> b f p (g c)", g=FRAMES_PER_LATENT)


def without_step(frames: NDArray[np.float32], cut: int, start: int, stop: int) -> NDArray[np.float32]:
    """Spreads the step of a cut: movement on either side stays, the difference comes in along `ease`.

    Args:
        frames: (T, ...).
        cut: first frame after the cut.
        start: first frame that may change.
        stop: the one after the last.
    """
    share = ease(len(frames), start, stop) - (np.arange(len(frames)) >= cut)
    step = frames[cut] - frames[cut - 1]
    return frames + share.reshape(-1, *[1] * step.ndim).astype(np.float32) * step


def cross_fade(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """A cross-fade of motion, not of pictures, in which everything would show twice.

    Args:
        left: (T, P, C).
        right: (T, P, C) of the same time.
    """
    share = (np.arange(len(left), dtype=np.float32) + 0.5) / max(1, len(left))
    share = (share * share * (3 - 2 * share))[:, None, None]
    return (1 - share) * left + share * right
