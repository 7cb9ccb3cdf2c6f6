"""The pixel decoder in 8-bit integers, for processors that multiply them fast but not bfloat16.

Our design: AVX-512 VNNI does four 8-bit products in the time of one float32 product, and is found where
bfloat16 matrix units (AMX) are not.  Weights are rounded per output, activations per layer, to unsigned bytes
whose range is read off a float32 run over a sparse lattice of the same frame's pixels; attention and sums
along the network stay in float32.  On the reference case the error is 2 % of the output's standard deviation
(root mean square; largest 9 %), several times bfloat16's: hence only used where it is asked for.

Shapes: as in `headgen.fsrt.prepared_decoder`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from headgen.fsrt.decoder import Context, PixelDecoder
from headgen.fsrt.prepared_decoder import PreparedDecoder, linear_layers
from headgen.nn.timing import part

__all__ = ["Int8Decoder", "has_int8"]

_LATTICE = 16  # every 16th column and row is run in float32 to find the activations' ranges
_MARGIN = 1.1  # ranges are widened by it, since the lattice misses most pixels


def has_int8() -> bool:
    """Whether the processor multiplies bytes fast (AVX-512 VNNI) and this torch offers it."""
    return bool(torch.cpu._is_vnni_supported()) and hasattr(torch.ops.onednn, "qlinear_pointwise")


class _Int8Linear:
    """A linear layer on unsigned bytes.

    Args:
        layer: the layer in float32.
        band: queries that most calls have; the weights are laid out for it.
    """

    def __init__(self, layer: nn.Linear, band: int) -> None:
        weight = layer.weight.detach()
        self.scale = weight.abs().amax(1).clamp_min(1e-12) / 127
        rounded = (weight / self.scale[:, None]).round().to(torch.int8)
        self.packed = torch.ops.onednn.qlinear_prepack(rounded, [band, weight.shape[1]])
        self.zeros = torch.zeros(len(weight), dtype=torch.int64)
        self.bias = None if layer.bias is None else layer.bias.detach()

    def __call__(
        self, x: Tensor, given: Range, wanted: Range | None = None, activation: str = "none"
    ) -> Tensor:
        """Bytes (Q, inputs) of range `given` -> float32 (Q, outputs), or bytes of range `wanted`."""
        scale, zero = wanted if wanted is not None else (1.0, 0)
        dtype = torch.float32 if wanted is None else torch.uint8
        return torch.ops.onednn.qlinear_pointwise(
            x,
            *given,
            self.packed,
            self.scale,
            self.zeros,
            self.bias,
            scale,
            zero,
            dtype,
            activation,
            [],
            "none",
        )


Range = tuple[float, int]
"""Value of one step, and the byte that stands for zero."""


class Int8Decoder(PreparedDecoder):
    """Decodes whole frames in 8-bit integers; see `PreparedDecoder`."""

    def __init__(self, decoder: PixelDecoder, size: int, band: int) -> None:
        super().__init__(decoder, size, torch.float32, band)
        self.bytes = {name: _Int8Linear(layer, band) for name, layer in linear_layers(decoder).items()}

    def decode(self, context: Context, keypoints: Tensor, expression: Tensor) -> Tensor:
        """As `PreparedDecoder.decode`; each frame has ranges of its own and depends on no other."""
        frames = []
        for i in range(len(keypoints)):
            rows = self.frame_rows(keypoints[i : i + 1], expression[i : i + 1])
            self._set_ranges(rows, context)
            out = rows.new_empty(len(rows), self.size, 3)
            step = max(1, self.band // self.size)
            scale, _ = self.ranges["query"]
            rows, columns = rows / scale + 0.5, self.columns / scale
            for first in range(0, len(rows), step):
                with part("first layer"):
                    hidden = _truncate(rows[first : first + step, None] + columns)
                out[first : first + step] = self.run(hidden.flatten(0, 1), context).unflatten(
                    0, (-1, self.size)
                )
            frames.append(out)
        return torch.stack(frames)

    def _set_ranges(self, rows: Tensor, context: Context) -> None:
        """Ranges of every layer's input, and normalisations that end in steps of those ranges."""
        start = min(_LATTICE, self.size) // 2
        lattice = (rows[start::_LATTICE, None] + self.columns[start::_LATTICE]).relu_().flatten(0, 1)
        self.ranges: dict[str, Range] = {}
        super().run(lattice, context, self._observe)
        self.byte_norms = [
            tuple(
                self._stepped(norm, name)
                for norm, name in zip(norms, (f"{i}.query", f"{i}.mlp.0"), strict=True)
            )
            for i, norms in enumerate(self.norms)
        ]

    def _stepped(self, norm: tuple[Tensor, Tensor], name: str) -> tuple[Tensor, Tensor]:
        """A normalisation whose result, truncated, is the byte that the named layer reads."""
        (weight, bias), (scale, zero) = norm, self.ranges[name]
        return weight / scale, bias / scale + (zero + 0.5)

    def _observe(self, name: str, x: Tensor) -> None:
        low, high = (float(v) * _MARGIN for v in x.aminmax())
        low, high = min(low, 0.0), max(high, 0.0)
        scale = max((high - low) / 255, 1e-12)
        self.ranges[name] = (scale, round(-low / scale))

    def _to_bytes(self, name: str, x: Tensor) -> Tensor:
        scale, zero = self.ranges[name]
        return _truncate((x * (1 / scale)).add_(zero + 0.5))

    def run(self, hidden: Tensor, context: Context, observe: object = None) -> Tensor:
        """Everything behind the first layer: bytes (Q, hidden) -> RGB (Q, 3) float32."""
        layers, ranges = self.bytes, self.ranges
        with part("query network"):
            x = layers["query"](hidden, ranges["query"])  # (Q, I)
        for i, (keys, values) in enumerate(context):
            attention_norm, mlp_norm = self.byte_norms[i]
            with part("projections"):
                y = _truncate(F.layer_norm(x, x.shape[-1:], *attention_norm))
                y = layers[f"{i}.query"](y, ranges[f"{i}.query"])
                q = rearrange(y, "q (h k) -> 1 h q k", h=self.heads)
            with part("attention"):
                y = F.scaled_dot_product_attention(q, keys, values)
            with part("projections"):
                y = self._to_bytes(f"{i}.out", rearrange(y, "1 h q k -> q h k")).flatten(1)
                x = x.add_(layers[f"{i}.out"](y, ranges[f"{i}.out"]))
            with part("layer networks"):
                y = _truncate(F.layer_norm(x, x.shape[-1:], *mlp_norm))
                y = layers[f"{i}.mlp.0"](y, ranges[f"{i}.mlp.0"], ranges[f"{i}.mlp.2"], "gelu")
                x = x.add_(layers[f"{i}.mlp.2"](y, ranges[f"{i}.mlp.2"]))
        with part("render network"):
            y = self._to_bytes("render.0", x)
            for i in range(self.renders - 1):
                y = layers[f"render.{i}"](y, ranges[f"render.{i}"], ranges[f"render.{i + 1}"], "relu")
            last = f"render.{self.renders - 1}"
            return layers[last](y, ranges[last])


def _truncate(x: Tensor) -> Tensor:
    """Values that half a step has been added to -> bytes."""
    return x.clamp_(0, 255).to(torch.uint8)
