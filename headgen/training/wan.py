"""Training of a listener on a public base: CTM-Adapter and LoRA on Wan, which stays as it is.

Flow matching as the base was trained (Lipman et al. 2023): the velocity from data to noise is predicted. The
first latent frame is the portrait and clean; in most stretches some that follow are clean too, as when a
block goes on from another (Diffusion Forcing, Chen et al. 2024, section 3). Audio, motion and text are
withheld independently, so that each has a guidance scale.

Several GPUs: ``trainer.strategy: ddp``, or ``fsdp`` to share the base among them (each block is a unit; the
base must then be loaded as ``fp32``, since the matrices of a unit are of one type).

Shapes: B batch, C latent channels, F latent frames of a stretch, h, w latent size.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import lightning as L
import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.wrap import wrap

from headgen.errors import InputError
from headgen.listener.adapter import CTMAdapter, SpeakerCondition
from headgen.listener.wan import AnchoredAttachment, hear, token_timesteps
from headgen.listener.wan_base import Recipe, WanAddition, add_lora, load_transformer
from headgen.listener.wan_latents import FRAMES_PER_LATENT
from headgen.training.schedule import adamw
from headgen.training.shares import Noise, Share, shared_mean

__all__ = ["WanListenerModule"]

Batch = dict[str, Tensor]
TIMESTEPS = 1000
"""Wan's timestep of pure noise."""
PAST_NOISE = 0.1
"""Largest noise on past frames, which are called clean: what is gone on from is never perfect."""


class WanListenerModule(L.LightningModule):
    """Trains adapter and LoRA.

    Args:
        base: folder or hub id of the base; the data module's by default.
        init: folder of a trained listener to start from, whose shape then counts.
        rank: of the LoRA.
        alpha: its scale.
        adapter_width: of the adapter.
        adapter_heads: of its attention, for each of audio and motion.
        every: one in so many of the base's blocks is adapted, from the first on.
        window_frames: speaker rows that a latent frame sees.
        learning_rate: of AdamW, after warm-up.
        warmup: steps of linear warm-up.
        total: steps of the cosine decay, to a twentieth.
        withhold: how often audio, and independently motion and text, is withheld.
        shift: of the noise levels: larger spends more of the training where there is much noise.
        dtype: of the base; what is trained is float32.
        checkpointing: whether activations within blocks are computed again instead of kept: a quarter more
            time, a small part of the memory.
    """

    def __init__(
        self,
        base: str = "",
        init: str = "",
        rank: int = 32,
        alpha: float = 32.0,
        adapter_width: int = 256,
        adapter_heads: int = 4,
        every: int = 2,
        window_frames: int = 64,
        learning_rate: float = 1e-4,
        warmup: int = 200,
        total: int = 20_000,
        withhold: float = 0.1,
        shift: float = 3.0,
        dtype: Literal["bf16", "fp32"] = "bf16",
        checkpointing: bool = True,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.strict_loading = False  # checkpoints hold what is trained, not the base
        self.recipe: Recipe | None = None

    def configure_model(self) -> None:
        """Loads the base and puts adapter and LoRA on it; here, so that a strategy can share its blocks out.

        Raises:
            InputError: no base there, or a `lead` of the data that is not the adapter's.
            WeightsError: `init` cannot be used.
            MissingExtraError: the ``wan`` extra is not installed.
        """
        if self.recipe is not None:
            return
        options = self.hparams
        data = self.trainer.datamodule
        base = options.base or data.base
        transformer = load_transformer(base, torch.bfloat16 if options.dtype == "bf16" else torch.float32)
        if options.init:
            start = WanAddition.from_pretrained(options.init, base)
            start.apply(transformer)
            self.recipe, adapter = start.recipe, start.adapter
        else:
            self.recipe = Recipe(base, options.rank, options.alpha, options.shift, data.text_length)
            add_lora(transformer, options.rank, options.alpha)
            config = transformer.config
            adapter = CTMAdapter(
                base_width=config.num_attention_heads * config.attention_head_dim,
                layers=list(range(0, config.num_layers, options.every)),
                width=options.adapter_width,
                heads=options.adapter_heads,
                window_frames=options.window_frames,
                frames_per_latent=FRAMES_PER_LATENT,
                first_frames=1,
            )
        if data.lead != adapter.history:
            raise InputError(
                f"data.lead={data.lead}: this adapter looks back {adapter.history} rows; give that number"
            )
        for attention in adapter.attentions.values():
            for name in ("audio_gate", "motion_gate"):  # sharding knows no numbers without a dimension
                setattr(attention, name, nn.Parameter(getattr(attention, name).detach().view(1)))
        if options.checkpointing:
            transformer.enable_gradient_checkpointing()
        for number, block in enumerate(transformer.blocks):
            transformer.blocks[number] = wrap(block)  # the block itself, unless a strategy shares blocks out
        self.adapter: CTMAdapter = adapter.train()
        self.transformer: WanTransformer3DModel = transformer.train()
        self.attachment = AnchoredAttachment(self.adapter, list(transformer.blocks))

    @property
    def exported(self) -> WanAddition:
        """What users load; to be asked for by every process, since weights may have to be gathered."""
        assert self.recipe is not None
        with self._gathered():
            return WanAddition.of(self.recipe, self.adapter, self.transformer)

    def _gathered(self) -> AbstractContextManager[None]:
        root = self.trainer.strategy.model
        if isinstance(root, FullyShardedDataParallel):
            return FullyShardedDataParallel.summon_full_params(root, writeback=False)
        return nullcontext()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leaves the base out: it is the same as ever, and large."""
        state = checkpoint["state_dict"]
        trained = {name for name in state if name.startswith("adapter.") or ".lora_" in name}
        checkpoint["state_dict"] = {name: state[name] for name in trained}

    def loss(self, batch: Batch, noises: Noise) -> Tensor:
        """Mean squared error of the velocity of a batch, with some noise."""
        clean = batch["latents"]  # (B, C, F, h, w)
        _, _, frames, height, width = clean.shape

        def draw(*shape: int) -> Tensor:
            return noises.uniform(*shape).to(clean.device)

        def normal(*shape: int) -> Tensor:
            return noises.normal(*shape).to(clean.device)

        even = torch.sigmoid(normal())
        shift = self.hparams.shift
        sigma = shift * even / (1 + (shift - 1) * even)
        is_past = torch.arange(frames, device=clean.device)[None] < batch["past"][:, None]
        level = torch.where(is_past, PAST_NOISE * draw(1), sigma[:, None])[:, None, :, None, None]
        noise = normal(*clean.shape[1:])
        noisy = (1 - level) * clean + level * noise
        sequence = torch.cat([batch["anchor"], noisy], dim=2)
        is_clean = torch.nn.functional.pad(is_past, (1, 0), value=True)
        patch = self.transformer.config.patch_size
        times = token_timesteps(TIMESTEPS * sigma, is_clean, (height // patch[1]) * (width // patch[2]))
        given = [draw() >= self.hparams.withhold for _ in range(3)]
        speaker = SpeakerCondition(
            batch["audio"], batch["motion"], batch["heard"], batch["seen"], given[0], given[1]
        )
        self.attachment.listen(hear(self.adapter, speaker), frames, start=1)
        dtype = self.transformer.patch_embedding.weight.dtype
        text = self._text(batch, given[2]).to(dtype)
        found = self.transformer(sequence.to(dtype), times, text, return_dict=False)[0]
        error = (found[:, :, 1:].float() - (noise - clean)).square().mean(dim=(1, 3, 4))  # (B, F)
        return error[~is_past].sum() / shared_mean((~is_past).sum())

    def _text(self, batch: Batch, given: Tensor) -> Tensor:
        """(B, L, D); zeros where there are no captions, as the pipeline has it without a text encoder."""
        text = torch.where(given[:, None, None], batch["text"], batch["no_text"])
        return text if text.shape[-1] else text.new_zeros(*text.shape[:2], self.transformer.config.text_dim)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """One batch."""
        loss = self.loss(batch, Share.of_step(self, index).noise(len(batch["latents"])))
        self.log("train/velocity", loss, sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """The same with fixed noise, on other people."""
        many = len(batch["latents"])
        loss = self.loss(batch, Share(self.global_rank, self.trainer.world_size, index).noise(many))
        self.log("val/velocity", loss, batch_size=many, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW, warm-up, cosine."""
        options = self.hparams
        return adamw(self.parameters(), options.learning_rate, options.warmup, options.total, momentum=0.99)
