"""The pixel decoder in 8-bit integers, for processors that multiply them fast but not bfloat16.

Our design: AVX-512 VNNI does four 8-bit products in the time of one float32 product, and is found where
bfloat16 matrix units (AMX) are not.  Most of what a layer reads is the same for all pixels of a frame: so
the mean over the frame goes through the layer exactly, as part of its bias, and only what differs from it is
rounded to bytes.  Mean and range are read off a float32 run over a sample of the same frame's pixels.
Weights are rounded per output; attention, normalisation and sums along the network stay in float32.

Error relative to the output's standard deviation (root mean square; largest): 0.1 %, 0.4 % on the reference
case, where bfloat16 has 0.6 %, 2.4 %; 1 %, 5 % on the tests' tiny network, where bfloat16 has 0.8 %, 3.8 %.

Shapes: Q queries, T frames, P key points, E expression width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from headgen.fsrt.decoder import Context, PixelDecoder
from headgen.fsrt.prepared_decoder import PreparedDecoder, linear_layers

__all__ = ["Int8Decoder", "has_int8"]

_SAMPLE = (
    1024  # pixels of a frame that are run in float32; at random, since a lattice sees one phase of a wave
)
_MARGIN = 1.2  # ranges are widened by it, since the sample misses most pixels


def has_int8() -> bool:
    """Whether the processor multiplies bytes fast (AVX-512 VNNI) and this torch offers it."""
    return bool(torch.cpu._is_vnni_supported()) and hasattr(torch.ops.onednn, "qlinear_pointwise")


class Int8Linear:
    """A linear layer, with the activation that follows it, on rounded input.

    Args:
        layer: the layer in float32.
        band: queries that most calls have; the weights are laid out for it.
    """

    def __init__(self, layer: nn.Linear, band: int) -> None:
        self.exact, self.exact_bias = layer.weight.detach(), layer.bias
        self.steps = self.exact.abs().amax(1).clamp_min(1e-12) / 127
        rounded = (self.exact / self.steps[:, None]).round().to(torch.int8)
        self.weight = torch.ops.onednn.qlinear_prepack(rounded, [band, self.exact.shape[1]])
        self.zeros = torch.zeros(len(rounded), dtype=torch.int64)

    def calibrate(self, x: Tensor) -> None:
        """Fixes mean and range of the input from a sample (Q, inputs)."""
        mean = x.mean(0)
        low, high = (float(v) * _MARGIN for v in (x - mean).aminmax())
        self.step = max((high - low) / 255, 1e-12)
        self.zero = round(-low / self.step)
        self.shift = (self.zero + 0.5) - mean / self.step
        self.bias = self.exact @ mean
        if self.exact_bias is not None:
            self.bias += self.exact_bias.detach()

    def __call__(self, x: Tensor, activation: str) -> Tensor:
        """Maps (Q, inputs) float32, which are used up, to (Q, outputs) float32."""
        x = torch.add(self.shift, x, alpha=1 / self.step, out=x).clamp_(0, 255).to(torch.uint8)
        return torch.ops.onednn.qlinear_pointwise(
            *(x, self.step, self.zero),
            *(self.weight, self.steps, self.zeros, self.bias),
            *(1.0, 0, torch.float32),
            *(activation, [], "none"),
        )


class Int8Decoder(PreparedDecoder):
    """Decodes whole frames in 8-bit integers.

    Args:
        decoder: the network in float32.
        size: pixels a side.
        band: most queries at a time.
    """

    def __init__(self, decoder: PixelDecoder, size: int, band: int) -> None:
        super().__init__(decoder, size, torch.float32, band)
        pixels = torch.randperm(size * size, generator=torch.Generator().manual_seed(0))[:_SAMPLE]
        self.sample = pixels // size, pixels % size
        self.exact = self.linears
        self.rounded = {name: Int8Linear(layer, band) for name, layer in linear_layers(decoder).items()}

    def decode(self, context: Context, keypoints: Tensor, expression: Tensor) -> Tensor:
        """As `PreparedDecoder.decode`; each frame is calibrated by itself and depends on no other."""
        frames = []
        for frame in zip(keypoints.split(1), expression.split(1), strict=True):
            self.linears = self.exact
            sample = (self.frame_rows(*frame)[self.sample[0]] + self.columns[self.sample[1]]).relu_()
            self.run(sample, context, lambda name, x: self.rounded[name].calibrate(x))
            self.linears = self.rounded
            frames.append(super().decode(context, *frame))
        return torch.cat(frames)
