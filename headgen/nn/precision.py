"""Which device and which arithmetic a network runs on."""

from __future__ import annotations

import logging

import torch

from headgen.errors import InputError

logger = logging.getLogger(__name__)


def resolve_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` takes a GPU where torch has one.

    Raises:
        InputError: torch does not know the device or cannot reach it.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device={name!r} cannot be used here; try --device cpu or --device auto") from error
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 numbers in hardware: AMX or AVX512-BF16 on processors."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and bool(
        torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    )


def fuses_bfloat16(device: torch.device) -> bool:
    """Whether attention in bfloat16 is fastest there as one fused operation.

    On processors that multiply bfloat16 without tiles (AMX) it takes 1.7 times as long as its three parts.
    """
    return device.type != "cpu" or bool(torch.cpu._is_amx_tile_supported())


def resolve_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The arithmetic for `auto`, `fp32` or `bf16` on a device.

    Raises:
        InputError: an unknown precision.
    """
    if precision == "fp32":
        return torch.float32
    if precision == "bf16":
        if not has_bfloat16(device):
            logger.warning("bfloat16 was asked for, but %s has none in hardware: it will be slow", device)
        return torch.bfloat16
    if precision == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    if precision == "int8":
        raise InputError("precision='int8' is for the full-size FSRT; choose from auto, fp32, bf16")
    raise InputError(f"precision={precision!r} is unknown; choose from auto, fp32, bf16")
