"""A public video model as base of a listener: Wan from diffusers, and what is trained on top of it.

Nothing of the base is copied: its parts are loaded from a folder in the layout of diffusers or from the hub,
and stay as they are. What headgen trains is small and lies in a folder of its own, a `WanAddition`::

    FOLDER/wan.json             the base's name, the LoRA's shape, how the sampler is shifted
    FOLDER/adapter/             the CTM-Adapter
    FOLDER/lora.safetensors     low-rank updates of the base's matrices

LoRA (Hu et al. 2021, section 4.1) is that of the peft package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from headgen.errors import InputError, MissingExtraError, WeightsError
from headgen.listener.adapter import CTMAdapter

__all__ = [
    "BASES",
    "Recipe",
    "WanAddition",
    "add_lora",
    "lora_weights",
    "load_text_encoder",
    "load_transformer",
    "load_vae",
]

BASES = {"1.3b": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "14b": "Wan-AI/Wan2.1-T2V-14B-Diffusers"}
"""Bases by size, as the hub names them."""
LORA = "listener"
LORA_TARGETS = (
    *(f"{attention}.{layer}" for attention in ("attn1", "attn2") for layer in ("to_q", "to_k", "to_v")),
    *("attn1.to_out.0", "attn2.to_out.0", "ffn.net.0.proj", "ffn.net.2"),
)
"""Matrices of each block that get a low-rank update."""
_WRAPPED = "_fsdp_wrapped_module."


@dataclass(frozen=True)
class Recipe:
    """What has to be known of a base and of what was trained on it, to put the two together.

    Attributes:
        base: folder or hub id of the base.
        rank: of the LoRA.
        alpha: its scale; the update counts alpha / rank.
        shift: of the noise levels that are sampled at; larger where there are more pixels.
        text_length: tokens that a text is padded to.
    """

    base: str
    rank: int = 32
    alpha: float = 32.0
    shift: float = 3.0
    text_length: int = 512

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0 or self.shift <= 0 or self.text_length < 1:
            raise InputError(f"{self}: rank and text_length are at least 1, alpha and shift positive")


def load_transformer(base: str, dtype: torch.dtype) -> WanTransformer3DModel:
    """The transformer of a base.

    Raises:
        InputError: it is not there, or takes something else than text and noisy latents: the portrait is
            given as a clean latent frame, so that a base for text to video is wanted.
    """
    transformer = _loaded(WanTransformer3DModel, base, "transformer", torch_dtype=dtype)
    config = transformer.config
    if config.image_dim is not None or config.in_channels != config.out_channels:
        raise InputError(
            f"{base}: an image-to-video base ({config.in_channels} channels in, {config.out_channels} out); "
            f"take a text-to-video one such as {BASES['1.3b']}"
        )
    return transformer


def load_vae(base: str, dtype: torch.dtype) -> AutoencoderKLWan:
    """The video autoencoder of a base.

    Raises:
        InputError: it is not there.
    """
    return _loaded(AutoencoderKLWan, base, "vae", torch_dtype=dtype)


def load_text_encoder(base: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Tokenizer and text encoder (UMT5) of a base.

    Raises:
        InputError: they are not there.
        MissingExtraError: the ``wan`` extra is not installed.
    """
    try:
        from transformers import AutoTokenizer, UMT5EncoderModel
    except ModuleNotFoundError:
        raise MissingExtraError("transformers", "wan", "Wan's text encoder") from None
    tokenizer = _loaded(AutoTokenizer, base, "tokenizer")
    return tokenizer, _loaded(UMT5EncoderModel, base, "text_encoder", dtype=dtype).eval()


def _loaded(kind: Any, base: str, part: str, **options: Any) -> Any:
    try:
        return kind.from_pretrained(base, subfolder=part, **options)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{base}: its {part} cannot be loaded ({reason}); name a folder in the layout of diffusers, or "
            f"a model of the hub such as {BASES['1.3b']}"
        ) from error


def add_lora(transformer: WanTransformer3DModel, rank: int, alpha: float) -> None:
    """Gives the base's matrices low-rank updates that are zero at first; the base itself is frozen.

    Raises:
        MissingExtraError: the ``wan`` extra is not installed.
    """
    try:
        from peft import LoraConfig
    except ModuleNotFoundError:
        raise MissingExtraError("peft", "wan", "LoRA") from None
    transformer.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(LORA_TARGETS))
    transformer.add_adapter(config, LORA)
    for parameter in lora_parameters(transformer).values():
        parameter.data = parameter.data.float()  # what is trained needs the small steps of float32
        parameter.requires_grad_(True)


def lora_parameters(transformer: WanTransformer3DModel) -> dict[str, torch.nn.Parameter]:
    """The low-rank matrices by name, without the marks that sharding leaves in names."""
    mark = f".{LORA}."
    return {
        name.replace(_WRAPPED, "").replace(mark, "."): parameter
        for name, parameter in transformer.named_parameters()
        if mark in name
    }


def lora_weights(transformer: WanTransformer3DModel) -> dict[str, Tensor]:
    """Copies of the low-rank matrices on the CPU."""
    return {name: p.detach().cpu().clone() for name, p in lora_parameters(transformer).items()}


@dataclass(frozen=True)
class WanAddition:
    """What is trained on a base: adapter and LoRA.

    Attributes:
        recipe: how it goes with the base.
        adapter: gives the base access to the speaker.
        lora: low-rank matrices by name, see `lora_weights`.
    """

    recipe: Recipe
    adapter: CTMAdapter
    lora: Mapping[str, Tensor]

    @classmethod
    def of(cls, recipe: Recipe, adapter: CTMAdapter, transformer: WanTransformer3DModel) -> WanAddition:
        """A copy of what has been trained so far."""
        fresh = CTMAdapter.from_config(adapter.config)
        trained = dict(adapter.named_parameters())  # of gates, training may have given a dimension to
        with torch.no_grad():
            for name, parameter in fresh.named_parameters():
                parameter.copy_(trained[name].view_as(parameter))
        return cls(recipe, fresh, lora_weights(transformer))

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes it; the base is named, not copied."""
        folder = Path(folder)
        self.adapter.save_pretrained(folder / "adapter")
        save_file(dict(self.lora), folder / "lora.safetensors")
        text = json.dumps(asdict(self.recipe), indent=1) + "\n"
        (folder / "wan.json").write_text(text, encoding="utf-8")

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, base: str = "", dtype: torch.dtype = torch.float32
    ) -> WanAddition:
        """Reads it.

        Args:
            folder: written by `save_pretrained`.
            base: where the base lies now, if not where it did in training.
            dtype: of the adapter.

        Raises:
            WeightsError: no such folder, or not of this kind.
        """
        folder = Path(folder)
        try:
            recipe = Recipe(**json.loads((folder / "wan.json").read_text(encoding="utf-8")))
            lora = load_file(folder / "lora.safetensors")
            adapter = CTMAdapter.from_pretrained(
                folder / "adapter", low_cpu_mem_usage=False, torch_dtype=dtype
            )
        except (OSError, ValueError, TypeError) as error:
            raise WeightsError(
                f"{folder}: no listener on Wan ({error}); name the 'model' folder of a training with "
                "configs/train/listener-wan-1.3b.yaml"
            ) from error
        return cls(replace(recipe, base=base or recipe.base), adapter, lora)

    def apply(self, transformer: WanTransformer3DModel) -> None:
        """Adds the LoRA to the base.

        Raises:
            WeightsError: it was trained on a base of another shape.
        """
        add_lora(transformer, self.recipe.rank, self.recipe.alpha)
        there = lora_parameters(transformer)
        wrong = set(there) ^ set(self.lora)
        wrong |= {name for name in set(there) & set(self.lora) if there[name].shape != self.lora[name].shape}
        if wrong:
            raise WeightsError(
                f"{self.recipe.base}: the LoRA does not fit this base (for example {min(wrong)}); "
                "name the base that it was trained on"
            )
        with torch.no_grad():
            for name, parameter in there.items():
                parameter.copy_(self.lora[name])
