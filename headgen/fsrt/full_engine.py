"""Running the full-size FSRT: source pictures in once, driving frames in, frames out.

Key points, expressions and the set-latent are computed in float32 always: they are cheap beside the pixels,
and the soft-argmax at temperature 0.1 magnifies rounding.  `precision` is that of the pixel decoder, which
takes nearly all of the time.

Shapes: S sources, T frames, G pixels a side, P key points, E expression width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from torch import Tensor

from headgen.errors import InputError
from headgen.fsrt.decoder import Context
from headgen.fsrt.int8_decoder import Int8Decoder, has_int8
from headgen.fsrt.model import FSRT
from headgen.fsrt.prepared_decoder import PreparedDecoder
from headgen.nn.precision import resolve_device, resolve_dtype

__all__ = ["EnginePrecision", "FullEngine", "SourceState"]

EnginePrecision = Literal["auto", "fp32", "bf16", "int8"]

_BAND = {"cpu": 2048, "cuda": 262_144}
"""Queries decoded at a time: what keeps a CPU's caches, or a GPU, busy in bounded memory."""
_MOTION_BATCH = 16  # driving frames looked at together


@dataclass(frozen=True)
class SourceState:
    """A person, encoded once."""

    keypoints: Tensor
    """(S, P, 2)."""
    expression: Tensor
    """(S, E)."""
    latents: Tensor
    """Set-latent (1, S * N, D)."""
    context: Context
    """Keys and values of the decoder's layers."""


class FullEngine:
    """Reenacts pictures of one person with `FSRT`.

    Args:
        model: the networks; moved to the device and put into evaluation mode.
        precision: of the pixel decoder. `auto` is bf16 where the device multiplies it in hardware, else fp32;
            `int8` is for processors with AVX-512 VNNI (`headgen.fsrt.int8_decoder`).
        device: `auto` or a device that torch knows.
        band: queries decoded at a time; None takes what suits the device. Bounds the memory.
        size: G; None is what the model was trained on. On a finer grid than that the pixels' encoding takes
            values that the weights have never seen.

    Raises:
        InputError: a precision or device that is unknown or cannot be had here.
    """

    def __init__(
        self,
        model: FSRT,
        precision: EnginePrecision = "auto",
        device: torch.device | str = "auto",
        band: int | None = None,
        size: int | None = None,
    ) -> None:
        self.device = resolve_device(str(device))
        self.model = model.eval().to(self.device)
        self.size: int = size or model.config.image_size
        band = band or _BAND.get(self.device.type, _BAND["cpu"])
        self.decoder: PreparedDecoder
        with torch.inference_mode():
            if precision == "int8":
                if self.device.type != "cpu" or not has_int8():
                    raise InputError("precision='int8' needs a processor with AVX-512 VNNI; choose auto")
                self.decoder = Int8Decoder(model.decoder, self.size, band)
            else:
                dtype = resolve_dtype(precision, self.device)
                self.decoder = PreparedDecoder(model.decoder, self.size, dtype, band)

    def _to_network(self, pictures: NDArray[np.uint8]) -> Tensor:
        shape = np.shape(pictures)
        if len(shape) != 4 or shape[1:] != (self.size, self.size, 3):
            raise ValueError(f"pictures must be (N, {self.size}, {self.size}, 3), not {shape}")
        x = torch.from_numpy(np.ascontiguousarray(pictures)).to(self.device)
        return x.permute(0, 3, 1, 2).float() / 255

    @torch.inference_mode()
    def encode(self, sources: NDArray[np.uint8]) -> SourceState:
        """Encodes pictures of one person, (S, G, G, 3) RGB; relative motion starts from the first."""
        images = self._to_network(sources)
        keypoints, expression = self.model.motion(images)
        latents = self.model.encoder(images[None], keypoints[None], expression[None])
        return SourceState(keypoints, expression, latents, self.model.decoder.context(latents))

    @torch.inference_mode()
    def motion(self, driving: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """Key points (T, P, 2) and expression (T, E) of driving frames (T, G, G, 3) RGB."""
        found = [
            self.model.motion(self._to_network(driving[i : i + _MOTION_BATCH]))
            for i in range(0, len(driving), _MOTION_BATCH)
        ]
        keypoints, expression = zip(*found, strict=True)
        return torch.cat(keypoints), torch.cat(expression)

    @staticmethod
    def movement_scale(source: Tensor, driving: Tensor) -> float:
        """How much larger the source's face is than the driver's: square root of their hulls' ratio.

        Args:
            source: key points (P, 2) of the source, or (1, P, 2).
            driving: those of the driving frame that motion counts from.
        """
        areas = [
            ConvexHull(points.reshape(-1, 2).cpu().double().numpy()).volume for points in (source, driving)
        ]
        return float(np.sqrt(areas[0] / areas[1]))

    @staticmethod
    def relative(keypoints: Tensor, start: Tensor, source: Tensor, scale: float) -> Tensor:
        """The source's key points, moved as the driver's have moved since the start.

        Args:
            keypoints: (T, P, 2) of the driving frames.
            start: (P, 2) or (1, P, 2) of the driving frame that motion counts from.
            source: (P, 2) or (1, P, 2) of the source.
            scale: see `movement_scale`; 1 for none.
        """
        return (keypoints - start) * scale + source

    @torch.inference_mode()
    def decode(self, state: SourceState, keypoints: Tensor, expression: Tensor) -> NDArray[np.float32]:
        """Frames (T, G, G, 3) RGB, [0, 1] but not clamped, for key points (T, P, 2), expression (T, E)."""
        keypoints, expression = keypoints.to(self.device), expression.to(self.device)
        return self.decoder.decode(state.context, keypoints, expression).cpu().numpy()
