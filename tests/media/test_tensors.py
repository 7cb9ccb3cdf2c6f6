"""Safetensors files with the same bytes for the same contents."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from safetensors import safe_open

from headgen.media.tensors import write_tensors

METADATA = {f"name {k}": f"wörth {k}" for k in range(12)}


def test_what_was_written_is_read(tmp_path):
    tensors = {"b": np.arange(6, dtype=np.float32).reshape(2, 3).T, "a": np.array([True, False])}
    write_tensors(tmp_path / "x.safetensors", tensors, METADATA)
    with safe_open(str(tmp_path / "x.safetensors"), "numpy") as file:
        assert file.metadata() == METADATA
        for name, tensor in tensors.items():
            assert np.array_equal(file.get_tensor(name), tensor)


def test_other_processes_write_the_same_bytes(tmp_path):
    program = (
        "import sys, numpy as np; from pathlib import Path; from headgen.media.tensors import write_tensors; "
        "write_tensors(Path(sys.argv[1]), {'x': np.ones(3)}, {f'name {k}': 'v' for k in range(12)})"
    )
    for name in ("one", "two"):
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], check=True)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
