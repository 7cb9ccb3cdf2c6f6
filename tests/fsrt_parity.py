"""Compares headgen's FSRT with numbers of the official program, on weights filled by a formula.

    python tests/fsrt_parity.py --case CASE.npz --keys CASE_keys.json --salt A [--precision bf16]

Writes checkpoint files in the official format (with the keys that training leaves behind), takes them through
`headgen weights convert` and the engine, and prints one JSON object: for each quantity of the case the
largest error relative to the quantity's standard deviation (its value, where it is a single number).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import torch

from headgen import hub
from headgen.fsrt.full_engine import FullEngine
from headgen.fsrt.model import FSRT

PARTS = ("encoder", "decoder", "expression_encoder")


def anti_alias_kernel(shape: list[int]) -> np.ndarray:
    """The one entry that the formula leaves as built: a normalised Gaussian of sigma 1.5."""
    ramp = np.arange(shape[-1]) - (shape[-1] - 1) / 2
    kernel = np.exp(-(ramp[:, None] ** 2 + ramp**2) / (2 * 1.5**2))
    return np.broadcast_to(kernel / kernel.sum(), shape).astype(np.float32)


def fill(part: str, key: str, shape: list[int], salt: str) -> torch.Tensor:
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if key == "down.weight":
        return torch.from_numpy(anti_alias_kernel(shape))
    seed = zlib.crc32(f"{salt}{part}.{key}".encode())
    n = np.asarray(np.random.RandomState(seed).standard_normal(shape), np.float32)
    if key.endswith("running_mean"):
        n = 0.1 * n
    elif key.endswith("running_var"):
        n = 1 + 0.2 * np.abs(n)
    elif len(shape) >= 2:
        n = n * 1.4 / np.sqrt(np.prod(shape[1:]))
    elif key.endswith("weight"):
        n = 1 + 0.1 * n
    else:
        n = 0.05 * n
    return torch.from_numpy(np.asarray(n, np.float32))


def write_official(folder: Path, keys: dict, salt: str) -> tuple[Path, Path]:
    """Files as the official program's training writes them."""
    states = {
        part: {key: fill(part, key, shape, salt) for key, shape in shapes.items()}
        for part, shapes in keys.items()
    }
    left_by_training = {
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-4}]},
        "discriminator": {"conv.weight": torch.zeros(4, 3, 4, 4)},
        "optimizer_disc": {"state": {}, "param_groups": []},
        "epoch_it": 2,
        "it": 500_000,
        "t": 1234.5,
        "loss_val_best": np.float64(0.01),
        "run_id": "abc",
    }
    detector, checkpoint = folder / "kp_detector.pt", folder / "vox256.pt"
    torch.save(states["kp_detector"], detector)
    torch.save({part: states[part] for part in PARTS} | left_by_training, checkpoint)
    return detector, checkpoint


def measure(case: Path, keys: Path, salt: str, precision: str = "fp32") -> dict[str, float]:
    """Largest relative error of each quantity that the case has."""
    with np.load(case) as archive:
        expected = dict(archive)
    with tempfile.TemporaryDirectory() as folder:
        files = write_official(Path(folder), json.loads(keys.read_text()), salt)
        hub.convert(*files, output=Path(folder) / "converted")
        model = FSRT.from_pretrained(Path(folder) / "converted")
    engine = FullEngine(model, precision=precision, size=expected["source"].shape[1])

    state = engine.encode(expected["source"])
    keypoints, expression = engine.motion(expected["driving"])
    scale = engine.movement_scale(state.keypoints[0], keypoints[0])
    moved = engine.relative(keypoints, keypoints[0], state.keypoints[0], scale)
    found = {
        "source_keypoints": state.keypoints,
        "source_expression": state.expression,
        "driving_keypoints": keypoints,
        "driving_expression": expression,
        "latent_first16": state.latents[0, :16],
        "latent_mean": state.latents.mean(),
        "latent_std": state.latents.std(correction=0),
        "movement_scale": scale,
        "rgb_absolute": engine.decode(state, keypoints, expression),
        "rgb_relative": engine.decode(state, moved, expression),
    }
    unit = {"latent_mean": expected["latent_std"], "latent_std": expected["latent_std"]}
    errors = {}
    for name, value in found.items():
        if name not in expected:
            continue
        reference = expected[name].astype(np.float64)
        value = np.asarray(value.cpu() if isinstance(value, torch.Tensor) else value, np.float64)
        if value.size != reference.size:
            raise ValueError(f"{name}: {value.shape} was found, but the case has {reference.shape}")
        scale_of = unit.get(name, reference.std() if reference.size > 1 else np.abs(reference))
        errors[name] = float(np.abs(value.reshape(reference.shape) - reference).max() / scale_of)
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", type=Path, required=True, help="NAME.npz")
    parser.add_argument("--keys", type=Path, required=True, help="NAME_keys.json")
    parser.add_argument("--salt", required=True, help="first word of the formula's seeds")
    parser.add_argument("--precision", default="fp32", choices=["auto", "fp32", "bf16", "int8"])
    options = parser.parse_args()
    errors = measure(options.case, options.keys, options.salt, options.precision)
    json.dump(errors, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
