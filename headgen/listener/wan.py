"""A listener on a public video model: portrait and speaker to pixels, with Wan from diffusers as base.

The base makes latents of a video autoencoder from noise and a text. Three things make it a listener:

*Identity.*  The portrait is the first frame of the video. The autoencoder is causal, and its first latent
frame is the first picture alone: it is given clean, with noise level 0 for its tokens, as to Wan 2.2's
image-to-video model of 5 B (``expand_timesteps`` in diffusers). Every window that follows keeps it as its
first frame.

*Speaker.*  The CTM-Adapter sits behind the base's blocks, as hooks: `AnchoredAttachment`. Latent frame t > 0
is of the video frames 4 t - 3 to 4 t, a row of the speaker each: 25 frames a second, as everywhere in
headgen. Our design: Wan was trained at 16 frames a second; that frames are 40 ms apart is left to the LoRA to
learn. At 16 a row would not belong to a frame, and a blink is over within three.

*Length.*  Blocks of frames are made one after the other. What the base sees is a window: the portrait, clean
latents of the past, and the block that is made, noisy. A block never depends on what follows it.

Within a block the base's attention looks both ways in time, so a frame may know the speaker up to the end of
its block; see docs/wan.md.

Shapes: B batch, C latent channels, F latent frames of a window, P tokens a latent frame, h, w latent size,
L, D tokens of text and their width, T video frames, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKLWan,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    WanTransformer3DModel,
)
from diffusers.utils import BaseOutput
from einops import rearrange, repeat
from torch import Tensor, nn

from headgen.errors import InputError
from headgen.listener.adapter import (
    Attachment,
    CTMAdapter,
    SpeakerCondition,
    SpeakerTokens,
    speaker_condition,
)
from headgen.listener.gen import Guidance, Pass
from headgen.listener.track import SpeakerTrack
from headgen.listener.wan_base import WanAddition, load_text_encoder, load_transformer, load_vae
from headgen.listener.wan_latents import FRAMES_PER_LATENT, decode_blocks, encode_text, encode_video

__all__ = [
    "AnchoredAttachment",
    "WanListenerOutput",
    "WanListenerPipeline",
    "hear",
    "load_wan_pipeline",
    "rows_of",
    "token_timesteps",
]

StepCallback = Callable[["WanListenerPipeline", int, Tensor, dict[str, Tensor]], dict[str, Tensor] | None]
"""Called after each denoising step, as diffusers calls it: pipeline, number of the step, timestep, and
``{"latents": ...}`` of the block; what it returns under that name is gone on with."""


@dataclass
class WanListenerOutput(BaseOutput):
    """What the pipeline makes.

    Attributes:
        latents: (B, C, F, h, w) float32 on the CPU, of the whole video.
        videos: (B, T, H, W, 3) uint8; None for ``output_type="latent"``.
    """

    latents: Tensor
    videos: np.ndarray | None = None


class AnchoredAttachment(Attachment):
    """An adapter in the blocks of a base whose first latent frame is a picture and hears nothing."""

    # Compiled with it, each block would be compiled anew, since each has a place of its own in the adapter.
    @torch.compiler.disable
    def _after_block(self, index: int, block: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        if self.hearing is None:
            return output
        tokens, frames, start = self.hearing
        x = rearrange(output, "b (f p) c -> b f p c", f=frames + 1)
        heard = self.adapter.block(index, x[:, 1:], tokens, start)
        return torch.cat([x[:, :1], heard], dim=1).flatten(1, 2)


def rows_of(track: SpeakerTrack, start: int, frames: int, history: int) -> SpeakerTrack:
    """The rows of a speaker that some latent frames hear or remember; where there are none, unknown ones.

    Args:
        track: row 0 belongs to the portrait's frame.
        start: index of the first latent frame, 1 or more.
        frames: how many.
        history: rows before, the adapter's.
    """
    begin = 1 + FRAMES_PER_LATENT * (start - 1) - history
    end = 1 + FRAMES_PER_LATENT * (start + frames - 1)
    known = track[max(0, begin) : max(0, end)].preceded(max(0, -begin))
    return known.extended(end - begin - len(known))


def hear(adapter: CTMAdapter, speaker: SpeakerCondition) -> SpeakerTokens:
    """Speaker tokens of `rows_of` tracks, counted as if they belonged to latent frame 1 and on."""
    weight = adapter.encoder.audio_in.weight
    there = {
        name: tensor.to(weight.device, weight.dtype if tensor.is_floating_point() else None)
        for name, tensor in vars(speaker).items()
    }
    return adapter.encode(SpeakerCondition(**there), first=1 - adapter.history)


def token_timesteps(timestep: Tensor, clean: Tensor, tokens: int) -> Tensor:
    """A timestep for each token: 0 where the latent frame is clean.

    Args:
        timestep: (B,) of the noisy frames.
        clean: (B, F) bool.
        tokens: P.

    Returns:
        (B, F * P) float.
    """
    return repeat(torch.where(clean, 0.0, timestep[:, None]), "b f -> b (f p)", p=tokens)


class WanListenerPipeline(DiffusionPipeline):
    """Generates videos of listeners with a public base.

    `enable_model_cpu_offload`, `vae.enable_tiling` and ``transformer.compile_repeated_blocks`` of diffusers
    work as usual.

    Args:
        transformer: the base, with or without a LoRA.
        vae: its autoencoder.
        adapter: gives it access to the speaker.
        scheduler: of flow matching, such as diffusers' Euler, Heun or UniPC.
        text_encoder: of the base; None where embeddings of texts are given.
        tokenizer: of the base, likewise.
        text_length: tokens that a text is padded to.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae"
    _exclude_from_cpu_offload = ["adapter"]  # it is small, and called from within the transformer
    _optional_components = ["text_encoder", "tokenizer"]

    def __init__(
        self,
        transformer: WanTransformer3DModel,
        vae: AutoencoderKLWan,
        adapter: CTMAdapter,
        scheduler: FlowMatchEulerDiscreteScheduler,
        text_encoder: Any = None,
        tokenizer: Any = None,
        text_length: int = 512,
    ) -> None:
        super().__init__()
        self.register_modules(
            transformer=transformer,
            vae=vae,
            adapter=adapter,
            scheduler=scheduler,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
        )
        self.register_to_config(text_length=text_length)
        if (adapter.config.frames_per_latent, adapter.config.first_frames) != (FRAMES_PER_LATENT, 1):
            raise ValueError(f"the adapter must be of frames_per_latent={FRAMES_PER_LATENT}, first_frames=1")

    def check_inputs(
        self,
        speakers: Sequence[SpeakerTrack],
        portraits: Sequence[np.ndarray],
        frames: int,
        window: int,
        past: int,
        prompt: Sequence[str] | None,
        prompt_embeds: Tensor | None,
    ) -> None:
        """Checks what `__call__` is given.

        Raises:
            ValueError: shapes that do not belong together.
            InputError: a picture of a size that the base cannot take, or a text without its encoder.
        """
        many = len(speakers)
        if len(portraits) != many:
            raise ValueError(f"{many} speakers and {len(portraits)} portraits: give as many")
        if frames < 1 or not 0 < past < window - 1:
            raise ValueError(f"frames={frames}, window={window}, past={past}: need 0 < past < window - 1")
        sides = {image.shape[:2] for image in portraits}
        multiple = self.vae.config.scale_factor_spatial * self.transformer.config.patch_size[1]
        if len(sides) > 1 or any(side % multiple for side in min(sides)):
            raise InputError(
                f"portraits of {sorted(sides)} pixels: all must be of one size, multiples of {multiple}; "
                "bring them there with headgen.listener.wan_latents.square_picture"
            )
        if prompt is not None and prompt_embeds is not None:
            raise ValueError("prompt and prompt_embeds: give one of them")
        if prompt is not None and self.text_encoder is None:
            raise InputError(
                "prompt: no text encoder is loaded; load the pipeline with it, or give prompt_embeds"
            )
        if any(len(text) != many for text in (prompt, prompt_embeds) if text is not None):
            raise ValueError(f"give {many} texts, one for each speaker")

    def __call__(
        self,
        speakers: Sequence[SpeakerTrack],
        portraits: Sequence[np.ndarray],
        *,
        frames: int | None = None,
        output_type: str = "np",
        **options: Any,
    ) -> WanListenerOutput:
        """Generates whole videos.

        Args:
            speakers: B tracks; row 0 belongs to the first frame, which is the portrait.
            portraits: B pictures (H, W, 3) uint8 of one size, see
                `headgen.listener.wan_latents.square_picture`.
            frames: T; as many as the longest speaker has rows by default.
            output_type: ``np`` or ``latent``.
            options: the others of `stream`.

        Raises:
            ValueError, InputError: see `check_inputs`.
        """
        frames = max(map(len, speakers)) if frames is None else frames
        latents: list[Tensor] = []
        blocks = self.blocks(speakers, portraits, frames=frames, **options)
        if output_type == "latent":
            latents = [block.float().cpu() for block in blocks]
            return WanListenerOutput(torch.cat(latents, dim=2))
        pictures = list(self._pictures(_noted(blocks, latents), frames))
        return WanListenerOutput(torch.cat(latents, dim=2), np.concatenate(pictures, axis=1))

    def stream(
        self,
        speakers: Sequence[SpeakerTrack],
        portraits: Sequence[np.ndarray],
        *,
        frames: int | None = None,
        **options: Any,
    ) -> Iterator[np.ndarray]:
        """Generates videos block by block: what is made is handed out and forgotten, up to `past` latents.

        Args:
            speakers: as of `__call__`.
            portraits: as of `__call__`.
            frames: as of `__call__`.
            options: as of `blocks`.

        Yields:
            (B, frames of the block, H, W, 3) uint8.
        """
        frames = max(map(len, speakers)) if frames is None else frames
        yield from self._pictures(self.blocks(speakers, portraits, frames=frames, **options), frames)

    @torch.inference_mode()
    def _pictures(self, blocks: Iterator[Tensor], frames: int) -> Iterator[np.ndarray]:
        left = frames
        for video in decode_blocks(self.vae, blocks):
            shown = rearrange((video[:, :, :left].float() + 1) * 127.5, "b c t h w -> b t h w c")
            left -= shown.shape[1]
            yield shown.round().to(torch.uint8).cpu().numpy()
        self.maybe_free_model_hooks()

    @torch.inference_mode()
    def blocks(
        self,
        speakers: Sequence[SpeakerTrack],
        portraits: Sequence[np.ndarray],
        *,
        frames: int,
        prompt: Sequence[str] | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt: str = "",
        negative_prompt_embeds: Tensor | None = None,
        window: int = 21,
        past: int = 5,
        num_inference_steps: int = 30,
        guidance: Guidance | None = None,
        generator: torch.Generator | None = None,
        callback_on_step_end: StepCallback | None = None,
    ) -> Iterator[Tensor]:
        """Generates latents block by block.

        Args:
            speakers: as of `__call__`.
            portraits: as of `__call__`.
            frames: T.
            prompt: a text for each video: how the listener is to behave.
            prompt_embeds: (B, L, D) instead of texts, see
                `headgen.listener.wan_latents.encode_text`.
            negative_prompt: what stands where no text is given, and what guidance leads away from.
            negative_prompt_embeds: (1 or B, L, D) instead; without it and without a text encoder, zeros.
            window: latent frames that the base sees at once: the portrait, the past and a block. 21 are the
                81 frames that Wan was trained on.
            past: clean latent frames that a block goes on from.
            num_inference_steps: denoising steps of each block.
            guidance: scales; all 1 by default, where each step is one pass of the base.
            generator: source of the noise, on the CPU. A longer video of the same seed begins the same.
            callback_on_step_end: see `StepCallback`; may raise to stop.

        Yields:
            (B, C, frames of the block, h, w); the first one begins with the portrait's.
        """
        self.check_inputs(speakers, portraits, frames, window, past, prompt, prompt_embeds)
        passes = (guidance or Guidance()).passes(prompt is not None or prompt_embeds is not None)
        texts = self.texts(len(speakers), prompt, prompt_embeds, negative_prompt, negative_prompt_embeds)
        anchor = self.encode_portraits(portraits)
        total = 1 + -(-(frames - 1) // FRAMES_PER_LATENT)
        further = max(0, total - window)
        count = (total > 1) + -(-further // (window - 1 - past))
        known = anchor[:, :, :0]
        done = 1
        if total == 1:
            yield anchor
        attached = AnchoredAttachment(self.adapter, list(self.transformer.blocks))
        with self.progress_bar(total=count * num_inference_steps) as bar, attached as attachment:
            while done < total:
                new = min(total - done, window - 1 - (past if done > 1 else 0))
                before = known[:, :, max(0, known.shape[2] - (window - 1 - new)) :]
                heard = self.heard(speakers, done - before.shape[2], before.shape[2] + new, passes)
                noise = torch.randn(*anchor.shape[:2], new, *anchor.shape[3:], generator=generator)
                clean = torch.cat([anchor, before], dim=2)
                made = self.denoise(
                    noise.to(anchor), clean, texts, heard, passes, attachment, num_inference_steps,
                    callback_on_step_end, bar,
                )  # fmt: skip
                yield torch.cat([anchor, made], dim=2) if done == 1 else made
                known = torch.cat([known, made], dim=2)[:, :, -(window - 2) :]
                done += new
        self.maybe_free_model_hooks()

    def texts(
        self,
        many: int,
        prompt: Sequence[str] | None,
        prompt_embeds: Tensor | None,
        negative_prompt: str,
        negative_prompt_embeds: Tensor | None,
    ) -> dict[bool, Tensor]:
        """What the base reads where a text is given (True) and where it is withheld: (B, L, D) each."""
        absent, given = negative_prompt_embeds, prompt_embeds
        if prompt is not None:
            given = encode_text(self.tokenizer, self.text_encoder, prompt, self.config.text_length)
        if absent is None and self.text_encoder is not None:
            absent = encode_text(
                self.tokenizer, self.text_encoder, [negative_prompt], self.config.text_length
            )
        if absent is None:
            width = self.transformer.config.text_dim
            absent = torch.zeros(1, self.config.text_length, width)
        found = {False: absent.expand(many, -1, -1), True: given}
        to = self._execution_device, self._dtype
        return {key: value.to(*to) for key, value in found.items() if value is not None}

    @property
    def _dtype(self) -> torch.dtype:
        """Of the base's matrices; those of a LoRA may be finer."""
        return self.transformer.patch_embedding.weight.dtype

    def encode_portraits(self, portraits: Sequence[np.ndarray]) -> Tensor:
        """Clean first latent frames (B, C, 1, h, w) float32."""
        pictures = torch.from_numpy(np.stack(portraits)).float() / 127.5 - 1
        pictures = rearrange(pictures, "b h w c -> b c 1 h w")
        return encode_video(self.vae, pictures.to(self._execution_device)).to(self._execution_device)

    def heard(
        self, speakers: Sequence[SpeakerTrack], start: int, frames: int, passes: Sequence[Pass]
    ) -> list[tuple[SpeakerTokens, int]]:
        """Speaker tokens of some latent frames for each pass, and how many these frames are."""
        tracks = [rows_of(track, start, frames, self.adapter.history) for track in speakers]
        conditions = [speaker_condition(tracks, one.audio, one.motion) for one in passes]
        return [(hear(self.adapter, condition), frames) for condition in conditions]

    def denoise(
        self,
        latents: Tensor,
        clean: Tensor,
        texts: dict[bool, Tensor],
        heard: Sequence[tuple[SpeakerTokens, int]],
        passes: Sequence[Pass],
        attachment: AnchoredAttachment,
        steps: int,
        callback: StepCallback | None,
        bar: Any,
    ) -> Tensor:
        """Leads the noise (B, C, F, h, w) of a block to clean latents.

        Args:
            latents: noise.
            clean: (B, C, n, h, w) portrait and past, which go before it.
            texts: of `texts`.
            heard: of `heard`, for each pass.
            passes: of the guidance.
            attachment: of the adapter.
            steps: denoising steps.
            callback: see `StepCallback`.
            bar: is moved on.
        """
        scheduler = type(self.scheduler).from_config(self.scheduler.config)  # some remember their last steps
        scheduler.set_timesteps(steps, device=latents.device)
        many, _, new, height, width = latents.shape
        fixed = clean.shape[2]
        _, rows, columns = self.transformer.config.patch_size
        tokens = (height // rows) * (width // columns)
        is_clean = (torch.arange(fixed + new, device=latents.device) < fixed).expand(many, -1)
        for number, timestep in enumerate(scheduler.timesteps):
            sequence = torch.cat([clean, latents], dim=2).to(self._dtype)
            times = token_timesteps(timestep.expand(many), is_clean, tokens)
            velocity = torch.zeros_like(latents)
            for one, (speaker, frames) in zip(passes, heard, strict=True):
                attachment.listen(speaker, frames, start=1)
                found = self.transformer(sequence, times, texts[one.text], return_dict=False)[0]
                velocity += one.weight * found[:, :, fixed:].float()
            latents = scheduler.step(velocity, timestep, latents, return_dict=False)[0]
            if callback is not None:
                changed = callback(self, number, timestep, {"latents": latents}) or {}
                latents = changed.get("latents", latents)
            bar.update()
        return latents


def _noted(blocks: Iterable[Tensor], notes: list[Tensor]) -> Iterator[Tensor]:
    """The same blocks; copies on the CPU are noted down."""
    for block in blocks:
        notes.append(block.float().cpu())
        yield block


def load_wan_pipeline(
    folder: str | Path,
    base: str = "",
    *,
    dtype: torch.dtype = torch.bfloat16,
    text_encoder: bool = True,
) -> WanListenerPipeline:
    """A trained listener on its base.

    Args:
        folder: the ``model`` folder of a training, see `WanAddition`.
        base: where the base lies, if not where it did in training.
        dtype: of base and adapter. The autoencoder stays float32, as its makers advise.
        text_encoder: whether to load the base's text encoder (11 GB); without it, texts are given as
            embeddings.

    Raises:
        WeightsError: the folder is not of this kind, or does not fit the base.
        InputError: the base is not there.
        MissingExtraError: the ``wan`` extra is not installed.
    """
    addition = WanAddition.from_pretrained(folder, base, dtype)
    recipe = addition.recipe
    transformer = load_transformer(recipe.base, dtype)
    addition.apply(transformer)
    tokenizer, encoder = load_text_encoder(recipe.base, dtype) if text_encoder else (None, None)
    return WanListenerPipeline(
        transformer.eval(),
        load_vae(recipe.base, torch.float32).eval(),
        addition.adapter.eval(),
        FlowMatchEulerDiscreteScheduler(shift=recipe.shift),
        encoder,
        tokenizer,
        recipe.text_length,
    )
