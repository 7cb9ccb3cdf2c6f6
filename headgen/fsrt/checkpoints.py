"""Official FSRT checkpoints to headgen's own weights.

The official program ships two pickled files: `kp_detector.pt` (one state_dict) and `vox256*.pt` (a dict with
the state_dicts `encoder`, `decoder` and `expression_encoder`, and whatever training left beside them).
Parameters correspond one to one; only their names differ. The sizes of the networks are read off the shapes.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headgen.errors import InputError, WeightsError
from headgen.fsrt.model import FSRT

__all__ = ["convert", "load_official"]

_TRANSFORMER = [
    (r"^transformer\.layers\.(\d+)\.0\.norm\.", r"blocks.\1.attention_norm."),
    (r"^transformer\.layers\.(\d+)\.0\.fn\.to_qkv\.", r"blocks.\1.attention.query_key_value."),
    (r"^transformer\.layers\.(\d+)\.0\.fn\.to_q\.", r"blocks.\1.attention.query."),
    (r"^transformer\.layers\.(\d+)\.0\.fn\.to_kv\.", r"blocks.\1.attention.key_value."),
    (r"^transformer\.layers\.(\d+)\.0\.fn\.to_out\.0\.", r"blocks.\1.attention.out."),
    (r"^transformer\.layers\.(\d+)\.1\.norm\.", r"blocks.\1.mlp_norm."),
    (r"^transformer\.layers\.(\d+)\.1\.fn\.net\.0\.", r"blocks.\1.mlp.0."),
    (r"^transformer\.layers\.(\d+)\.1\.fn\.net\.3\.", r"blocks.\1.mlp.2."),
]
# Official part -> (our module, patterns of its keys and what they become, applied in turn).
_PARTS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "kp_detector": (
        "detector",
        [
            (r"^predictor\.encoder\.down_blocks\.", "hourglass.down."),
            (r"^predictor\.decoder\.up_blocks\.", "hourglass.up."),
            (r"^kp\.", "heatmap."),
            (r"^down\.weight$", "downsample.kernel"),
        ],
    ),
    "expression_encoder": (
        "expression_encoder",
        [(r"^expression_mlp\.", "mlp."), (r"^expression\.", "local.")],
    ),
    "encoder": (
        "encoder",
        [
            (r"^conv_blocks\.(\d+)\.layers\.", r"stages.\1."),
            (r"^per_patch_linear\.", "to_tokens."),
            *_TRANSFORMER,
        ],
    ),
    "decoder": (
        "decoder",
        [
            (r"^allocation_transformer\.input_mlp\.", "query_mlp."),
            (r"^allocation_transformer\.", ""),
            (r"^render_mlp\.", "render."),
            *_TRANSFORMER,
        ],
    ),
}
_HEAD_WIDTH, _KEYPOINT_OCTAVES = 64, 4  # of every official configuration; shapes do not tell them

StateDicts = dict[str, dict[str, Tensor]]


def convert(kp_detector: Path, checkpoint: Path, output: Path) -> FSRT:
    """Writes official checkpoints as a folder that `FSRT.from_pretrained` reads.

    Args:
        kp_detector: the official `kp_detector.pt`.
        checkpoint: the official `vox256.pt`, `vox256_2Source.pt` or another training's file of that form.
        output: folder to write `config.json` and the safetensors file into; made if need be.

    Returns:
        The converted model, in evaluation mode.

    Raises:
        WeightsError: a file is missing, unreadable, swapped, incomplete or of other shapes.
        InputError: the output cannot be written.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise InputError(
            f"{output}: is a file, but the converted weights are a folder; name another --output"
        )
    model = load_official(Path(kp_detector), Path(checkpoint))
    part = output.with_name(output.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        model.save_pretrained(part)
        output.mkdir(exist_ok=True)
        for file in part.iterdir():
            file.replace(output / file.name)
    except OSError as error:
        raise InputError(
            f"{output}: cannot be written ({error.strerror or error}); name another --output"
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return model


def load_official(kp_detector: Path, checkpoint: Path) -> FSRT:
    """Reads official checkpoints into a model in evaluation mode; see `convert`."""
    files = dict.fromkeys(_PARTS, checkpoint) | {"kp_detector": kp_detector}
    detector = _load(kp_detector)
    if not isinstance(detector, Mapping) or "kp.weight" not in detector:
        swapped = isinstance(detector, Mapping) and "encoder" in detector
        raise WeightsError(
            f"{kp_detector}: is not an official key-point detector (no entry 'kp.weight'); "
            + ("it looks like the main checkpoint: swap the two files" if swapped else "give kp_detector.pt")
        )
    main = _load(checkpoint)
    missing = [part for part in _PARTS if part != "kp_detector" and part not in main]
    if missing:
        fix = "swap the two files" if "kp.weight" in main else "give an official vox256*.pt"
        raise WeightsError(
            f"{checkpoint}: is not an official FSRT checkpoint (no entry {missing[0]!r}); {fix}"
        )
    parts: StateDicts = {"kp_detector": dict(detector)}
    for part in _PARTS:
        if part == "kp_detector":
            continue
        if not isinstance(main[part], Mapping):
            raise WeightsError(f"{checkpoint}: entry {part!r} is no state_dict; give an official vox256*.pt")
        parts[part] = dict(main[part])
    config = _infer_config(parts, files)
    model = FSRT(**config)
    state = _rename(parts, files, model.state_dict())
    model.load_state_dict(state)
    return model.eval()


def _load(file: Path) -> Any:
    """Unpickles tensors and plain values only; numpy numbers, which training may leave, are let through."""
    allowed: list[Any] = [np.float64(0).__reduce__()[0], np.dtype, type(np.dtype("f8")), type(np.dtype("f4"))]
    if not file.is_file():
        raise WeightsError(f"{file}: no such file; give the path of an official FSRT checkpoint")
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(file, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError):
        raise WeightsError(
            f"{file}: cannot be read as a PyTorch checkpoint of tensors and plain values "
            "(damaged, incomplete or another kind of file); download it again"
        ) from None


def _infer_config(parts: StateDicts, files: Mapping[str, Path]) -> dict[str, Any]:
    """The arguments of `FSRT` that give the shapes found."""

    def shape(part: str, key: str) -> tuple[int, ...]:
        if not isinstance(parts[part].get(key), Tensor):
            raise WeightsError(
                f"{files[part]}: entry {key!r} of {part!r} is missing; the file is incomplete or of "
                "another model, give an official one"
            )
        return tuple(parts[part][key].shape)

    def count(part: str, pattern: str) -> int:
        return len({m[1] for key in parts[part] if (m := re.match(pattern, key))})

    def widths(part: str, prefix: str) -> tuple[int, ...]:
        """Hidden widths of a network: the outputs of all of its linear layers but the last."""
        indices = sorted(
            int(m[1]) for key in parts[part] if (m := re.match(re.escape(prefix) + r"\.(\d+)\.weight$", key))
        )
        return tuple(shape(part, f"{prefix}.{i}.weight")[0] for i in indices[:-1])

    down = r"predictor\.encoder\.down_blocks\.(\d+)\."
    blocks = count("kp_detector", down)
    keypoints, features = shape("kp_detector", "kp.weight")[:2]
    detector_widths = [
        shape("kp_detector", f"predictor.encoder.down_blocks.{i}.conv.weight")[0] for i in range(blocks)
    ]
    expression_hidden = widths("expression_encoder", "expression_mlp")
    last = f"expression_mlp.{2 * len(expression_hidden)}.weight"
    expression = shape("expression_encoder", last)[0]
    layer = "allocation_transformer.transformer.layers.0"
    query, query_inputs = shape("decoder", "allocation_transformer.input_mlp.0.weight")
    return {
        "num_keypoints": keypoints,
        "detector_expansion": features - 3,
        "detector_blocks": blocks,
        "detector_max_width": max(detector_widths, default=0),
        "expression_size": expression,
        "expression_channels": shape("expression_encoder", "expression.weight")[0] // max(1, keypoints),
        "expression_hidden": expression_hidden,
        "keypoint_octaves": _KEYPOINT_OCTAVES,
        "pixel_octaves": max(0, query_inputs - expression - 4 * _KEYPOINT_OCTAVES * keypoints) // 4,
        "encoder_conv_width": shape("encoder", "conv_blocks.0.layers.0.weight")[0],
        "encoder_conv_stages": count("encoder", r"conv_blocks\.(\d+)\."),
        "encoder_width": shape("encoder", "per_patch_linear.weight")[0],
        "encoder_layers": count("encoder", r"transformer\.layers\.(\d+)\."),
        "encoder_heads": shape("encoder", "transformer.layers.0.0.fn.to_qkv.weight")[0] // (3 * _HEAD_WIDTH),
        "encoder_hidden": shape("encoder", "transformer.layers.0.1.fn.net.0.weight")[0],
        "head_width": _HEAD_WIDTH,
        "decoder_query_hidden": query,
        "decoder_layers": count("decoder", r"allocation_transformer\.transformer\.layers\.(\d+)\."),
        "decoder_heads": shape("decoder", f"{layer}.0.fn.to_q.weight")[0] // _HEAD_WIDTH,
        "decoder_hidden": shape("decoder", f"{layer}.1.fn.net.0.weight")[0],
        "decoder_render": widths("decoder", "render_mlp"),
    }


def _rename(
    parts: StateDicts, files: Mapping[str, Path], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Official entries under our names, checked against the entries that the model expects."""
    state: dict[str, Tensor] = {}
    for part, (module, rules) in _PARTS.items():
        for key, value in parts[part].items():
            name = key
            for pattern, replacement in rules:
                name = re.sub(pattern, replacement, name)
            name = f"{module}.{name}"
            if name not in expected:
                raise WeightsError(
                    f"{files[part]}: entry {key!r} of {part!r} belongs to no FSRT network; "
                    "the file is of another model, give an official one"
                )
            if not isinstance(value, Tensor) or value.shape != expected[name].shape:
                found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise WeightsError(
                    f"{files[part]}: entry {key!r} of {part!r} has shape {found}, but the network needs "
                    f"{list(expected[name].shape)}; the file is of another model, give an official one"
                )
            state[name] = value
        lacking = [name for name in expected if name.startswith(module + ".") and name not in state]
        if lacking:
            raise WeightsError(
                f"{files[part]}: {len(lacking)} entries of {part!r} are missing (the first is our "
                f"{lacking[0]!r}); the file is incomplete, download it again"
            )
    return state
