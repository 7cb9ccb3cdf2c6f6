"""Safetensors files whose bytes depend on their contents alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save

__all__ = ["write_tensors"]


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes a safetensors file; the same contents give the same bytes.

    The library writes metadata in an order that differs from process to process; here it is sorted.

    Args:
        path: of the file.
        tensors: by name; any strides.
        metadata: text by name.
    """
    packed = save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, dict(metadata))
    end = 8 + int.from_bytes(packed[:8], "little")
    header = json.dumps(json.loads(packed[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with Path(path).open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.write(packed[end:])
