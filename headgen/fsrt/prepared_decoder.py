"""The pixel decoder made ready for whole frames: everything that repeats is worked out once.

A query's input is 416 numbers of the frame (key points, expression) and 64 of the pixel, and of those 64 half
belong to its column and half to its row.  The first linear layer is therefore a sum of three small tables,
with an entry for each frame, column and row.  Keys and values of the set-latent are computed once for all
frames (`PixelDecoder.context`).  No query sees another, so that frames are decoded in bands of rows of any
size, several frames to a band where the device likes it.

Shapes: T frames, G pixels a side, Q = rows * G queries of a band, I input width, M tokens, H heads of
width K.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from headgen.fsrt.decoder import Context, PixelDecoder
from headgen.nn import CrossBlock, pixel_grid, sinusoidal_encoding
from headgen.nn.timing import part

__all__ = ["PreparedDecoder", "linear_layers"]

Linear = Callable[[Tensor, str], Tensor]
"""A linear layer and the activation that follows it (none, relu or gelu): (Q, inputs) -> (Q, outputs)."""
Observer = Callable[[str, Tensor], None]
"""Told the name and the input of every linear layer behind the first."""

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": torch.relu_,
    "gelu": F.gelu,
}


class _PackedLinear:
    """A linear layer with the activation that follows it.

    On a CPU the weights are laid out once for the processor's matrix kernels, which also apply the activation
    while the result is in cache.
    """

    def __init__(self, layer: nn.Linear, dtype: torch.dtype, band: int) -> None:
        self.dtype = dtype
        self.weight = layer.weight.detach().to(dtype)
        self.bias = None if layer.bias is None else layer.bias.detach().to(dtype)
        self.packed = _packs(self.weight)
        if self.packed:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight, band)

    def __call__(self, x: Tensor, activation: str) -> Tensor:
        """Maps (Q, inputs) of any type to (Q, outputs) of this layer's."""
        x = x.to(self.dtype)
        if self.packed:
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, activation, [], "none")
        return _ACTIVATIONS[activation](F.linear(x, self.weight, self.bias))


def _packs(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return weight.dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class PreparedDecoder:
    """Decodes whole frames with a `PixelDecoder`'s weights.

    Args:
        decoder: the network; its weights are copied in the arithmetic asked for.
        size: G.
        dtype: arithmetic of the matrix products; sums along the network stay in float32.
        band: most queries at a time: bounds the memory.
    """

    def __init__(self, decoder: PixelDecoder, size: int, dtype: torch.dtype, band: int) -> None:
        self.size, self.dtype, self.band = size, dtype, band
        blocks = cross_blocks(decoder)
        self.heads = blocks[0].attention.heads
        self.keypoint_octaves = decoder.keypoint_octaves
        self._split_first_layer(decoder)
        self.norms = [(_affine(block.attention_norm), _affine(block.mlp_norm)) for block in blocks]
        self.linears: Mapping[str, Linear] = {
            name: _PackedLinear(layer, dtype, band) for name, layer in linear_layers(decoder).items()
        }
        self.renders = sum(name.startswith("render") for name in self.linears)

    def _split_first_layer(self, decoder: PixelDecoder) -> None:
        """In float32: the highest octaves are little but rounding, which half precision would make noise."""
        first = decoder.query_mlp[0]
        assert isinstance(first, nn.Linear)
        octaves = decoder.pixel_octaves
        pose = decoder.pose_size
        weight = first.weight.detach().float()
        self.pose_weight, place = weight[:, :pose], weight[:, pose : pose + 4 * octaves]
        self.expression_weight, self.first_bias = weight[:, pose + 4 * octaves :], first.bias.detach().float()
        # Pixel (i, i) has the x of column i and the y of row i.  Sines and cosines, x and y, octaves:
        diagonal = pixel_grid(self.size, self.size, weight.device).diagonal().T
        encoded = sinusoidal_encoding(diagonal, octaves).unflatten(-1, (2, 2, octaves))
        place = place.unflatten(1, (2, 2, octaves))
        self.columns = torch.einsum("gso,dso->gd", encoded[:, :, 0], place[:, :, 0])
        self.rows = torch.einsum("gso,dso->gd", encoded[:, :, 1], place[:, :, 1])

    def frame_rows(self, keypoints: Tensor, expression: Tensor) -> Tensor:
        """First layer of every row of pixels of every frame, its columns' part left out.

        Args:
            keypoints: (T, P, 2).
            expression: (T, E).

        Returns:
            (T * G, hidden) float32.
        """
        pose = sinusoidal_encoding(keypoints.flatten(1), self.keypoint_octaves)
        frames = pose @ self.pose_weight.T + expression.float() @ self.expression_weight.T + self.first_bias
        return (frames[:, None] + self.rows).flatten(0, 1)

    def decode(self, context: Context, keypoints: Tensor, expression: Tensor) -> Tensor:
        """Decodes frames of one person.

        Args:
            context: keys and values (1, H, M, K) of each layer.
            keypoints: (T, P, 2) of the frames.
            expression: (T, E) of the frames.

        Returns:
            RGB (T, G, G, 3) float32, not clamped.
        """
        context = [(k.to(self.dtype), v.to(self.dtype)) for k, v in context]
        with part("first layer"):
            rows = self.frame_rows(keypoints, expression)
        step = max(1, self.band // self.size)
        out = rows.new_empty(len(rows), self.size, 3)
        for first in range(0, len(rows), step):
            with part("first layer"):
                hidden = (rows[first : first + step, None] + self.columns).relu_().flatten(0, 1)
            out[first : first + step] = self.run(hidden, context).unflatten(0, (-1, self.size))
        return out.view(len(keypoints), self.size, self.size, 3)

    def run(self, hidden: Tensor, context: Context, observe: Observer | None = None) -> Tensor:
        """Everything behind the first layer: (Q, hidden) after its ReLU -> RGB (Q, 3) float32."""

        def linear(name: str, x: Tensor, activation: str = "none") -> Tensor:
            if observe is not None:
                observe(name, x)
            return self.linears[name](x, activation)

        with part("query network"):
            x = linear("query", hidden).float()  # (Q, I)
        for i, (keys, values) in enumerate(context):
            attention_norm, mlp_norm = self.norms[i]
            with part("projections"):
                q = linear(f"{i}.query", F.layer_norm(x, x.shape[-1:], *attention_norm))
                q = rearrange(q, "q (h k) -> 1 h q k", h=self.heads)
            with part("attention"):
                y = F.scaled_dot_product_attention(q, keys, values)
            with part("projections"):
                x = x + linear(f"{i}.out", rearrange(y, "1 h q k -> q (h k)"))
            with part("layer networks"):
                y = linear(f"{i}.mlp.0", F.layer_norm(x, x.shape[-1:], *mlp_norm), "gelu")
                x = x + linear(f"{i}.mlp.2", y)
        with part("render network"):
            for i in range(self.renders - 1):
                x = linear(f"render.{i}", x, "relu")
            return linear(f"render.{self.renders - 1}", x).float()


def _affine(norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    return norm.weight.detach().float(), norm.bias.detach().float()


def cross_blocks(decoder: PixelDecoder) -> list[CrossBlock]:
    """The decoder's attention layers, by their type."""
    return [block for block in decoder.blocks if isinstance(block, CrossBlock)]


def linear_layers(decoder: PixelDecoder) -> dict[str, nn.Linear]:
    """The linear layers behind the first, by the names that `PreparedDecoder.run` uses."""

    def within(network: nn.Sequential) -> list[nn.Linear]:
        return [module for module in network if isinstance(module, nn.Linear)]

    layers = {"query": within(decoder.query_mlp)[1]}
    for i, block in enumerate(cross_blocks(decoder)):
        layers[f"{i}.query"], layers[f"{i}.out"] = block.attention.query, block.attention.out
        layers[f"{i}.mlp.0"], layers[f"{i}.mlp.2"] = within(block.mlp)
    return layers | {f"render.{i}": layer for i, layer in enumerate(within(decoder.render))}
