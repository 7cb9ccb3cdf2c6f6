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

Shapes: B batch, F latent frames of the window, G video frames in one, T = F * G, P parts, D = G * C token
width.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    soften_joints,
)
from headgen.listener.track import SpeakerTrack
from headgen.listener.transformer import ListenerTransformer

__all__ = [
    "ListenerEditor",
    "bridge",
    "cross_fade",
    "ease",
    "preconditioning",
    "same_latents",
]

STRENGTH, STEPS = 0.3, 4
"""Noise that a join is given, and denoising steps."""
SPREAD = 0.5
"""Root mean square of clean latents relative to their bridge."""
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

    @torch.inference_mode()
    def __call__(
        self,
        latents: Tensor,
        inner: slice,
        speakers: Sequence[SpeakerTrack] | None = None,
        portraits: Tensor | None = None,
        *,
        strength: float = STRENGTH,
        num_inference_steps: int = STEPS,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Rewrites inner frames.

        What is heard and seen of the speaker after the last inner frame has no effect.

        Args:
            latents: (B, F, P, D) a window around a join; its inner frames are the join as it is, cut or
                cross-faded.
            inner: latent frames to be rewritten; both sides of them stay.
            speakers: B tracks; their last ``F * G`` rows are those of the window, what is before is
                remembered. None if nothing is known of a speaker.
            portraits: (B, P, C) tokens of `WarpCodec.portrait_tokens`; None for a face like the mean one.
            strength: share of noise in what the inner frames are regenerated from, above 0 to 1. With 1
                nothing of the join is left.
            num_inference_steps: denoising steps.
            generator: source of the noise, on the CPU.

        Returns:
            (B, F, P, D), a new tensor.

        Raises:
            ValueError: arguments that do not belong together.
        """
        self.check_inputs(latents, inner, speakers, portraits, strength)
        device, dtype = self._execution_device, self.transformer.dtype
        batch, frames = latents.shape[:2]
        level = bridge(latents, inner)
        known = (latents - level).to(device, dtype)
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
            sigma = (share * strength * is_inner).expand(batch, -1)
            found = self.transformer(x, sigma, context, adapter=self.adapter, speaker=speaker)
            kept, learnt = preconditioning(sigma)
            clean = kept * x + learnt * found
            x = scheduler.step(mask * (x - clean) / share, timestep, x).prev_sample
        made = (x.cpu() + level).float()
        self.maybe_free_model_hooks()
        out = latents.clone()
        for one, new in zip(out, made, strict=True):
            one[inner] = torch.from_numpy(smoothed(new[inner].numpy(), one.numpy(), inner)).to(one)
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
                simply comes after the left one.
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
        outer = min(OUTER, (self.window - inner) // 2)
        first, last = max(0, start - outer), min(len(joined), start + inner + outer)
        rows = None if speaker is None else [speaker[: last * FRAMES_PER_LATENT]]
        joined[first:last] = self(
            joined[None, first:last],
            slice(start - first, start - first + inner),
            rows,
            None if portrait is None else portrait[None],
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


def same_latents(one: WarpCodec, other: WarpCodec) -> bool:
    """Whether two codecs' latents mean the same; half precision makes no difference."""
    return torch.allclose(one.basis.float().cpu(), other.basis.float().cpu(), rtol=0.01, atol=1e-4)


def preconditioning(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of noisy latents and of the network's answer in the clean ones.

    The first is the best guess that is linear, the second the size of its error, so that the network's answer
    is of the same size at all noise levels and a join is kept where there is little noise (Karras et al.,
    EDM, 2022, section 5, for the straight paths of flow matching).

    Args:
        sigma: (B, F) noise levels, 0 to 1.

    Returns:
        (B, F, 1, 1) each.
    """
    sigma = sigma[..., None, None]
    variance = ((1 - sigma) * SPREAD).square() + sigma.square()
    return (1 - sigma) * SPREAD**2 / variance, sigma * SPREAD / variance.sqrt()


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


def cross_fade(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """A cross-fade of motion, not of pictures, in which everything would show twice.

    Args:
        left: (T, P, C).
        right: (T, P, C) of the same time.
    """
    share = (np.arange(len(left), dtype=np.float32) + 0.5) / max(1, len(left))
    share = (share * share * (3 - 2 * share))[:, None, None]
    return (1 - share) * left + share * right


def smoothed(made: NDArray[np.float32], window: NDArray[np.float32], inner: slice) -> NDArray[np.float32]:
    """New inner frames (N, P, D) of a window (F, P, D) without tremble.

    The small steps at the joints of latent frames are taken out from the left, as in segments, then at the
    last joint, whose later side must stay, from the right. A small network also leaves some noise: each frame
    is averaged a little with those beside it.
    """
    before, after = window[inner.start - 1 : inner.start], window[inner.stop : inner.stop + 1]
    made = soften_joints(made, before)
    last = _reversed(soften_joints(_reversed(made[-1:]), _reversed(after)))
    frames = frames_of(np.concatenate([before, made[:-1], last, after]))
    even = (frames[:-2] + 2 * frames[1:-1] + frames[2:]) / 4
    return latents_of(even[FRAMES_PER_LATENT - 1 : 1 - FRAMES_PER_LATENT])


def _reversed(latents: NDArray[np.float32]) -> NDArray[np.float32]:
    """Latents (F, P, D) of the same frames in reverse order."""
    return latents_of(frames_of(latents)[::-1])
