"""Speed of the full-size FSRT against its plain form, in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from headgen.errors import InputError
from headgen.fsrt.decoder import PixelDecoder
from headgen.fsrt.full_engine import EnginePrecision, FullEngine, SourceState
from headgen.fsrt.int8_decoder import has_int8
from headgen.fsrt.model import CONFIGS, FSRT
from headgen.nn import CrossBlock, pixel_grid, sinusoidal_encoding
from headgen.nn.precision import has_bfloat16, resolve_device
from headgen.nn.timing import part, timed_parts
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = ["bench", "plain_decode"]


def bench(
    *,
    config: str = "vox256",
    weights: Path | None = None,
    precision: list[EnginePrecision] | None = None,
    rounds: int = 3,
    frames: int | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Measures how much faster the engine decodes a frame than the plain form of the network does.

    The plain form is what the paper's program does at its default: float32, attention that writes its whole
    matrix out, all pixels of a frame in one chunk, nothing kept from one frame to the next. It needs 8 GB of
    memory at 256 pixels a side. Plain and engine take turns; medians are reported.

    Args:
        config: configuration of the network: vox256, vox256-small-decoder or debug.
        weights: folder of converted weights instead of random ones; its own configuration then counts.
        precision: arithmetics to measure; default: those that the device has in hardware.
        rounds: times that plain and each engine take their turn.
        frames: frames that the engine decodes at a time; default: 1 on a CPU, 4 on a GPU.
        device: auto, or a name that torch knows.
        seed: of the random weights and pictures.
        progress: told of each turn.

    Returns:
        Seconds and frames per second of the plain form and, for each precision, its speed-up over it, its
        error against it (relative to the output's standard deviation), and each part's share of the time.

    Raises:
        InputError: an unknown configuration, or an arithmetic or device that cannot be had here.
    """
    if config not in CONFIGS:
        raise InputError(f"config={config!r} is unknown; choose from {', '.join(CONFIGS)}")
    if rounds < 1:
        raise InputError(f"rounds={rounds} is too few; give 1 or more")
    where = resolve_device(device)
    frames = frames or (1 if where.type == "cpu" else 4)
    model = _random_model(config, seed) if weights is None else FSRT.from_pretrained(weights)
    chosen: list[EnginePrecision] = precision or _in_hardware(where)
    engines = {name: FullEngine(model, name, where) for name in chosen}
    first = next(iter(engines.values()))

    pictures = np.random.default_rng(seed).integers(0, 256, (frames + 1, first.size, first.size, 3), np.uint8)
    encode_seconds, state = _timed(lambda: first.encode(pictures[:1]), where)
    _timed(lambda: first.motion(pictures[1:]), where)
    motion_seconds, (keypoints, expression) = _timed(lambda: first.motion(pictures[1:]), where)

    def plain() -> Tensor:
        return plain_decode(model.decoder, state, keypoints[:1], expression[:1], first.size)

    def fast(engine: FullEngine) -> Callable[[], np.ndarray]:
        return lambda: engine.decode(state, keypoints, expression)

    runs: dict[str, Callable[[], Any]] = {"plain": plain}
    runs |= {name: fast(engine) for name, engine in engines.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    outputs: dict[str, np.ndarray] = {}
    for engine in engines.values():  # the first call lays weights out
        engine.decode(state, keypoints[:1], expression[:1])
    if where.type != "cpu":
        plain()
    total = rounds * len(seconds)
    for turn in range(rounds):
        for i, (name, run) in enumerate(runs.items()):
            taken, output = _timed(run, where)
            outputs[name] = output.cpu().numpy() if name == "plain" else output[0]
            seconds[name].append(taken if name == "plain" else taken / frames)
            if progress is not None:
                progress(ProgressEvent("bench", turn * len(seconds) + i + 1, total, unit="turns"))

    plain_seconds = statistics.median(seconds["plain"])
    reference = outputs["plain"]
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(where)
        if where.type == "cuda"
        else f"{where.type}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}",
        "bfloat16_in_hardware": has_bfloat16(where),
        "config": config if weights is None else str(weights),
        "size": first.size,
        "rounds": rounds,
        "frames_at_a_time": frames,
        "encode_seconds": _digits(encode_seconds),
        "motion_seconds_per_frame": _digits(motion_seconds / frames),
        "plain": {
            "seconds_per_frame": _digits(plain_seconds),
            "frames_per_second": _digits(1 / plain_seconds),
            "share": _shares(plain),
        },
    }
    for name, engine in engines.items():
        median = statistics.median(seconds[name])
        error = (outputs[name] - reference) / reference.std()
        result[name] = {
            "seconds_per_frame": _digits(median),
            "frames_per_second": _digits(1 / median),
            "speedup": _digits(plain_seconds / median),
            "error_largest": _digits(float(np.abs(error).max())),
            "error_rms": _digits(float(np.sqrt((error**2).mean()))),
            "share": _shares(fast(engine)),
        }
    best = max(engines, key=lambda name: result[name]["speedup"])
    return result | {"best": {"precision": best, "speedup": result[best]["speedup"]}}


@torch.inference_mode()
def plain_decode(
    decoder: PixelDecoder, state: SourceState, keypoints: Tensor, expression: Tensor, size: int
) -> Tensor:
    """One frame (size, size, 3) by the definition of the network: nothing fused, shared or kept.

    Args:
        decoder: the network, in float32.
        state: the encoded source, of which only the set-latent is used.
        keypoints: (1, P, 2).
        expression: (1, E).
        size: pixels a side.
    """
    with part("query network"):
        pixels = pixel_grid(size, size, keypoints.device).view(1, -1, 2)
        queries = pixels.shape[1]
        pose = keypoints.flatten(1)[:, None].expand(-1, queries, -1)
        x = torch.cat(
            [
                sinusoidal_encoding(pose, decoder.keypoint_octaves),
                sinusoidal_encoding(pixels, decoder.pixel_octaves),
                expression[:, None].expand(-1, queries, -1),
            ],
            dim=-1,
        )
        x = decoder.query_mlp(x)
    for block in decoder.blocks:
        assert isinstance(block, CrossBlock)
        attention = block.attention
        with part("projections"):
            keys, values = attention.project(state.latents)
            q = rearrange(attention.query(block.attention_norm(x)), "b n (h k) -> b h n k", h=attention.heads)
        with part("attention"):
            weights = torch.matmul(q, keys.transpose(-1, -2)) * q.shape[-1] ** -0.5
            weights = weights.softmax(-1)
            y = torch.matmul(weights, values)
            del weights
        with part("projections"):
            x = x + attention.out(rearrange(y, "b h n k -> b n (h k)"))
        with part("layer networks"):
            x = x + block.mlp(block.mlp_norm(x))
    with part("render network"):
        return decoder.render(x).view(size, size, 3)


def _in_hardware(device: torch.device) -> list[EnginePrecision]:
    names: list[EnginePrecision] = ["fp32"]
    if has_bfloat16(device):
        names.append("bf16")
    if device.type == "cpu" and has_int8():
        names.append("int8")
    return names


def _random_model(config: str, seed: int) -> FSRT:
    """Weights that keep signals alive through all layers, so that errors mean something."""
    torch.manual_seed(seed)
    model = FSRT.from_config_name(config)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, std=1.4 / fan_in**0.5)
    return model


def _timed(function: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    _wait(device)
    start = time.perf_counter()
    value = function()
    _wait(device)
    return time.perf_counter() - start, value


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _shares(function: Callable[[], Any]) -> dict[str, float]:
    """Share of one call's time that each named part of the decoder takes."""
    with timed_parts() as times:
        function()
    whole = sum(times.values())
    return {name: round(taken / whole, 3) for name, taken in sorted(times.items(), key=lambda item: -item[1])}


def _digits(value: float) -> float:
    return float(f"{value:.4g}")
