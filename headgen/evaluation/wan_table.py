"""What a listener on Wan needs: parameters, memory and time by resolution, batch and offload. Computed.

The real classes run at full size on torch's meta device, where tensors have shapes and no contents. So
nothing is measured here, and no GPU is needed:

*Parameters* are counted.

*Activations* are the most bytes of tensors that live at a time while the classes run as they are written,
forwards and, for training, backwards; `PeakMemory` follows them. Attention counts as a fused kernel that
never writes its matrix of weights: query, key, value and output. What an allocator loses between tensors,
libraries' workspaces and the CUDA context (about 1 GB) come on top.

*Inference memory*, with weights W of text encoder, transformer (with LoRA), autoencoder and adapter, and
activations X:

- nothing offloaded: W_text + W_transformer + W_vae + W_adapter + max(X_transformer, X_vae)
- no text encoder (embeddings made before): the same without W_text
- ``enable_model_cpu_offload``: W_adapter + max(W_text, W_transformer + X_transformer, W_vae + X_vae)
- both: W_adapter + max(W_transformer + X_transformer, W_vae + X_vae)

*Training memory*: W_base (bfloat16) + 12 bytes for each trained number (float32 value and two moments of
AdamW) + X of a forward and backward pass, gradients among it. X is linear in the number of blocks, so it is
found with 2 and with 4 of them. Videos are latents from the disk: no autoencoder and no text encoder is held.

*FLOPs* are those of matrix products and convolutions (a multiplication and an addition are two), and
4 B H N T K for attention of N queries on T keys with H heads of width K; 2.5 times that backwards.

*Time* is FLOPs / (peak x utilisation), with the peak of dense bfloat16 products that the makers state, and
one utilisation for all. A step of inference is `passes` of the transformer (guidance at scale 1 needs one).
The autoencoder's time is left out.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from unittest.mock import patch

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from headgen.errors import InputError, MissingExtraError
from headgen.listener.adapter import CTMAdapter, SpeakerCondition
from headgen.listener.track import FPS
from headgen.listener.wan import AnchoredAttachment, hear, token_timesteps
from headgen.listener.wan_base import add_lora
from headgen.listener.wan_latents import FRAMES_PER_LATENT, decode_blocks

__all__ = ["PeakMemory", "WanTable", "bench", "trace"]

SHAPES: dict[str, dict[str, int]] = {
    "1.3b": {"num_attention_heads": 12, "num_layers": 30, "ffn_dim": 8960},
    "14b": {"num_attention_heads": 40, "num_layers": 40, "ffn_dim": 13824},
}
"""What differs between Wan 2.1's text-to-video models."""
PEAK_TFLOPS = {"RTX 4090": 165.0, "A100": 312.0, "H100 SXM": 989.0}
"""Dense bfloat16 products a second, 10^12, as stated by the maker."""
TEXT_LENGTH, TEXT_WIDTH = 512, 4096
RANK = 32
EVERY = 2
GB = 1e9


@dataclass(frozen=True)
class Cost:
    """What a run took.

    Attributes:
        activations: bytes.
        flops: operations.
    """

    activations: float
    flops: float


@dataclass(frozen=True)
class WanTable:
    """The whole computation; ``str`` gives it as Markdown.

    Attributes:
        parameters: numbers by part.
        inference: rows by size and batch.
        training: rows by size, batch and whether activations are computed again.
        assumptions: what was assumed.
    """

    parameters: dict[str, int]
    inference: list[dict[str, Any]]
    training: list[dict[str, Any]]
    assumptions: str

    def __str__(self) -> str:
        """Markdown."""
        parts = [{"part": name, "parameters": f"{n / 1e6:,.1f} M"} for name, n in self.parameters.items()]
        text = f"Computed, not measured. {self.assumptions}\n"
        for title, rows in (
            ("Parameters", parts),
            ("Inference", self.inference),
            ("Training", self.training),
        ):
            text += f"\n{title}\n\n| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}\n"
            text += "".join(f"| {' | '.join(map(str, row.values()))} |\n" for row in rows)
        return text


def bench(
    *,
    base: Literal["1.3b", "14b"] = "1.3b",
    sizes: list[int] | None = None,
    batches: list[int] | None = None,
    window: int = 21,
    past: int = 5,
    steps: int = 30,
    passes: int = 1,
    utilisation: float = 0.4,
) -> WanTable:
    """Computes what a listener on Wan needs, without weights and without a GPU.

    Args:
        base: 1.3b or 14b.
        sizes: sides of the video in pixels, multiples of 16, such as `[480]`; 256, 480 and 720 by default.
        batches: videos at a time; 1 and 4 by default.
        window: latent frames that the base sees at once.
        past: of these, how many a block goes on from.
        steps: denoising steps.
        passes: of the base in each step: 1 plus one for each guidance scale other than 0 and 1.
        utilisation: share of a GPU's peak that is reached, 0 to 1.

    Returns:
        Tables of parameters, inference and training.

    Raises:
        InputError: numbers out of range.
        MissingExtraError: the ``wan`` extra is not installed.
    """
    sizes, batches = sizes or [256, 480, 720], batches or [1, 4]
    if base not in SHAPES:
        raise InputError(f"base={base!r} is unknown; choose from {', '.join(SHAPES)}")
    if any(size % 16 or size < 16 for size in sizes) or min(batches) < 1:
        raise InputError(f"sizes={sizes}, batches={batches}: sizes are multiples of 16, batches at least 1")
    if not 0 < past < window - 1 or steps < 1 or passes < 1 or not 0 < utilisation <= 1:
        raise InputError("need 0 < past < window - 1, steps and passes of at least 1, 0 < utilisation <= 1")
    shape = SHAPES[base]
    whole, adapter = model(shape, shape["num_layers"])
    vae = on_meta(AutoencoderKLWan)
    parts = {
        "base": count(whole, lora=False), "adapter": count(adapter), "LoRA": count(whole, lora=True),
        "autoencoder": count(vae), "text encoder": count(text_encoder()),
    }  # fmt: skip
    trained = parts["adapter"] + parts["LoRA"]
    weights = {name: 2 * number / GB for name, number in parts.items()}
    weights["autoencoder"] *= 2  # float32
    weights["transformer"] = size_of(whole) / GB
    new = window - 1 - past
    inference: list[dict[str, Any]] = []
    training: list[dict[str, Any]] = []
    for size in sizes:
        for batch in batches:
            cost = extrapolated(shape, size, batch, window, train=False, again=False)
            pictures = peak_of(lambda: decoding(vae, size, batch)).activations / GB  # noqa: B023
            active = cost.activations / GB
            held = weights["transformer"] + weights["adapter"] + weights["autoencoder"]
            seconds = batch * new * FRAMES_PER_LATENT / FPS
            in_turn = weights["adapter"] + max(
                weights["transformer"] + active, weights["autoencoder"] + pictures
            )
            row: dict[str, Any] = {
                "size": size, "batch": batch, "tokens": window * (size // 16) ** 2,
                "activations GB": digits(active), "decoding GB": digits(pictures),
                "all on GPU, GB": digits(held + weights["text encoder"] + max(active, pictures)),
                "no text encoder, GB": digits(held + max(active, pictures)),
                "model offload, GB": digits(max(in_turn, weights["adapter"] + weights["text encoder"])),
                "both, GB": digits(in_turn),
                "PFLOP a pass": digits(cost.flops / 1e15),
            }  # fmt: skip
            for name, peak in PEAK_TFLOPS.items():
                taken = cost.flops * steps * passes / (peak * 1e12 * utilisation)
                row[f"{name}: s for 1 s"] = digits(taken / seconds)
            inference.append(row)
            for again in (True, False):
                cost = extrapolated(shape, size, batch, window, train=True, again=again)
                memory = weights["transformer"] + 12 * trained / GB - 4 * parts["LoRA"] / GB
                row = {
                    "size": size, "batch": batch, "checkpointing": "yes" if again else "no",
                    "activations GB": digits(cost.activations / GB),
                    "memory GB": digits(memory + cost.activations / GB),
                    "PFLOP a step": digits(cost.flops / 1e15),
                }  # fmt: skip
                for name, peak in PEAK_TFLOPS.items():
                    row[f"{name}: s a step"] = digits(cost.flops / (peak * 1e12 * utilisation))
                training.append(row)
    text = (
        f"Wan {base}, windows of {window} latent frames ({new} new ones a block), {steps} steps of {passes} "
        f"pass(es), LoRA of rank {RANK}, an adapter in every {EVERY}nd block; {utilisation:.0%} of the peak."
    )
    return WanTable(parts, inference, training, text)


def on_meta(kind: Callable[..., Any], **options: Any) -> Any:
    """A module without contents."""
    with torch.device("meta"):
        return kind(**options)


def model(shape: dict[str, int], layers: int) -> tuple[WanTransformer3DModel, CTMAdapter]:
    """Transformer with LoRA as loaded in bfloat16, and the adapter of the recipe in float32, on meta."""
    options = {**shape, "num_layers": layers}
    transformer = on_meta(WanTransformer3DModel, attention_head_dim=128, text_dim=TEXT_WIDTH, **options)
    for name, parameter in transformer.named_parameters():
        if not any(part in name for part in transformer._keep_in_fp32_modules):
            parameter.data = parameter.data.bfloat16()
    with torch.device("meta"):
        add_lora(transformer, RANK, RANK)
    width = shape["num_attention_heads"] * 128
    adapter = on_meta(
        CTMAdapter, base_width=width, layers=list(range(0, layers, EVERY)), width=256, first_frames=1
    )
    return transformer, adapter


def text_encoder() -> nn.Module:
    """Wan's text encoder, UMT5-XXL, on meta."""
    try:
        from transformers import UMT5Config, UMT5EncoderModel
    except ModuleNotFoundError:
        raise MissingExtraError("transformers", "wan", "headgen bench wan") from None
    config = UMT5Config(
        vocab_size=256_384, d_model=TEXT_WIDTH, d_kv=64, d_ff=10_240, num_layers=24, num_heads=64
    )
    found: nn.Module = on_meta(UMT5EncoderModel, config=config)
    return found


def count(module: nn.Module, lora: bool | None = None) -> int:
    """Parameters; of the LoRA alone, or without it, if asked for."""
    named = module.named_parameters()
    return sum(p.numel() for name, p in named if lora is None or ("lora_" in name) == lora)


def size_of(module: nn.Module) -> float:
    """Bytes of the parameters."""
    return float(sum(p.numel() * p.element_size() for p in module.parameters()))


def extrapolated(
    shape: dict[str, int], size: int, batch: int, window: int, *, train: bool, again: bool
) -> Cost:
    """What a pass takes at full depth: found with 2 and 4 blocks, since it is linear in their number."""
    two, four = (trace(*model(shape, n), size, batch, window, train=train, again=again) for n in (2, 4))
    more = (shape["num_layers"] - 4) / 2
    return Cost(
        four.activations + more * (four.activations - two.activations),
        four.flops + more * (four.flops - two.flops),
    )


def trace(
    transformer: WanTransformer3DModel,
    adapter: CTMAdapter,
    size: int,
    batch: int,
    window: int,
    *,
    train: bool,
    again: bool,
) -> Cost:
    """What a pass of base and adapter takes, on the device that they are on.

    Args:
        transformer: the base.
        adapter: of the base.
        size: of the video in pixels.
        batch: B.
        window: F.
        train: forwards and backwards, with the adapter in float32; otherwise forwards only.
        again: whether activations are computed again.
    """
    config, side = transformer.config, size // 8
    dtype, device = transformer.patch_embedding.weight.dtype, transformer.device
    rows = adapter.history + FRAMES_PER_LATENT * (window - 1)
    if again:
        transformer.enable_gradient_checkpointing()
    if not train:
        for parameter in adapter.parameters():
            parameter.data = parameter.data.to(dtype)

    def run() -> None:
        with torch.device(device):
            video = torch.empty(batch, config.in_channels, window, side, side, dtype=dtype)
            text = torch.empty(batch, TEXT_LENGTH, config.text_dim, dtype=dtype)
            clean = torch.ones(batch, window, dtype=torch.bool)
            times = token_timesteps(torch.empty(batch), clean, (side // 2) ** 2)
            known = [torch.ones(batch, rows, dtype=torch.bool) for _ in range(2)]
            given = [torch.ones(batch, dtype=torch.bool) for _ in range(2)]
            features = [
                torch.empty(batch, rows, adapter.config[name]) for name in ("audio_width", "motion_width")
            ]
        with AnchoredAttachment(adapter, list(transformer.blocks)) as attachment:
            speaker = SpeakerCondition(*features, *known, *given)
            attachment.listen(hear(adapter, speaker), window - 1, start=1)
            (found,) = transformer(video, times, text, return_dict=False)
            if train:
                found.float().square().mean().backward()

    with torch.set_grad_enabled(train):
        return peak_of(run)


def decoding(vae: AutoencoderKLWan, size: int, batch: int) -> None:
    """Decodes the first three latent frames of a video; further ones take as much as the third."""
    latents = torch.empty(batch, vae.config.z_dim, 3, size // 8, size // 8, device=vae.device)
    with torch.no_grad():
        for _ in decode_blocks(vae, latents.split(1, dim=2)):
            pass


def peak_of(run: Callable[[], None]) -> Cost:
    """What a function takes; it is called twice, since counting operations keeps tensors alive."""
    with FusedAttention(), PeakMemory() as memory:
        run()
    counter = FlopCounterMode(display=False)
    with FusedAttention() as attention, counter:
        run()
    return Cost(memory.peak, counter.get_total_flops() + attention.flops)


class PeakMemory(TorchDispatchMode):
    """Follows the bytes of tensors that are made while it is entered.

    Attributes:
        now: bytes of those that still live.
        peak: most of them at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage not in self._known and id(storage) not in given:
                    self._known.add(storage)
                    size = storage.nbytes()
                    self.now += size
                    weakref.finalize(storage, self._freed, size)
        self.peak = max(self.peak, self.now)
        return made

    def _freed(self, size: int) -> None:
        self.now -= size


class FusedAttention:
    """Puts a stand-in for fused attention, which has no kernel on meta; a context manager.

    Attributes:
        flops: what it would have computed.
    """

    def __init__(self) -> None:
        self.flops = 0
        # not a torch function mode: what is computed again in the backward pass would not meet it
        self._patch = patch.object(F, "scaled_dot_product_attention", self._attend)

    def __enter__(self) -> FusedAttention:
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.stop()

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, **_: Any) -> Tensor:
        out: Tensor = _Attention.apply(query, key, value, self)
        return out


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, counter: FusedAttention) -> Tensor:
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out)
        ctx.counter, ctx.flops = counter, 4 * query.numel() * key.shape[-2]
        counter.flops += ctx.flops
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        query, key, value, _ = ctx.saved_tensors
        ctx.counter.flops += 5 * ctx.flops // 2
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value), None


def digits(value: float) -> float:
    """Three significant digits."""
    return float(f"{value:.3g}")
