"""FSRT: Facial Scene Representation Transformer (Rochow et al., CVPR 2024, arXiv 2404.09736).

Four networks: a key-point detector and an expression encoder say how a face is held and what it does, a
source encoder makes a set-latent of one or more pictures of a person, a pixel decoder asks it for the colour
of each point of the driven picture.  Parameters and numerics are those of the official program, so that its
checkpoints can be converted (`headgen.fsrt.checkpoints`).

Shapes: B sets, S sources a set, H x W pixels, Q queries, P key points, E expression width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange
from torch import Tensor

from headgen.fsrt.decoder import PixelDecoder
from headgen.fsrt.encoder import SourceEncoder
from headgen.fsrt.expression import ExpressionEncoder
from headgen.fsrt.keypoints import KeypointDetector

__all__ = ["CONFIGS", "FSRT"]

CONFIGS: dict[str, dict[str, Any]] = {
    "vox256": {},
    "vox256-small-decoder": {
        "decoder_heads": 6,
        "decoder_hidden": 768,
        "decoder_render": (1536, 768),
    },
    "debug": {
        "image_size": 32,
        "num_keypoints": 4,
        "detector_expansion": 4,
        "detector_blocks": 1,
        "expression_size": 12,
        "expression_channels": 3,
        "expression_hidden": (16,),
        "keypoint_octaves": 2,
        "pixel_octaves": 4,
        "encoder_conv_width": 8,
        "encoder_width": 24,
        "encoder_layers": 1,
        "encoder_heads": 2,
        "encoder_hidden": 32,
        "head_width": 8,
        "decoder_query_hidden": 32,
        "decoder_heads": 2,
        "decoder_hidden": 32,
        "decoder_render": (32, 32),
    },
}
"""Named configurations: what differs from the official `vox256`."""


class FSRT(ModelMixin, ConfigMixin):
    """The four networks and their configuration; defaults are the official `vox256`.

    Args:
        image_size: side of the pictures that the model was trained on.
        num_keypoints: P.
        detector_expansion: width unit of the detector's hourglass.
        detector_blocks: halvings of the hourglass.
        detector_max_width: its widest layer.
        detector_temperature: softmax temperature of the heat maps.
        expression_size: E.
        expression_channels: features gathered at each key point.
        expression_hidden: hidden widths of the expression network.
        keypoint_octaves: octaves of the key points' encoding.
        pixel_octaves: octaves of the pixels' encoding.
        encoder_conv_width: channels of the source encoder's first convolution.
        encoder_conv_stages: pairs of convolutions, each halving the picture.
        encoder_width: width of a token of the set-latent.
        encoder_layers: transformer layers of the source encoder.
        encoder_heads: its attention heads.
        encoder_hidden: hidden width of its networks.
        head_width: width of an attention head, in both transformers.
        decoder_query_hidden: hidden width of the network that reads a query.
        decoder_layers: cross-attention layers.
        decoder_heads: their heads.
        decoder_hidden: hidden width of their networks.
        decoder_render: hidden widths of the network that makes the colour.
    """

    @register_to_config
    def __init__(
        self,
        image_size: int = 256,
        num_keypoints: int = 10,
        detector_expansion: int = 32,
        detector_blocks: int = 5,
        detector_max_width: int = 1024,
        detector_temperature: float = 0.1,
        expression_size: int = 256,
        expression_channels: int = 32,
        expression_hidden: tuple[int, ...] = (640, 1280, 640),
        keypoint_octaves: int = 4,
        pixel_octaves: int = 16,
        encoder_conv_width: int = 96,
        encoder_conv_stages: int = 3,
        encoder_width: int = 768,
        encoder_layers: int = 5,
        encoder_heads: int = 12,
        encoder_hidden: int = 1536,
        head_width: int = 64,
        decoder_query_hidden: int = 720,
        decoder_layers: int = 2,
        decoder_heads: int = 12,
        decoder_hidden: int = 1536,
        decoder_render: tuple[int, ...] = (1536, 1536, 1536, 1536),
    ) -> None:
        super().__init__()
        self.detector = KeypointDetector(
            num_keypoints, detector_expansion, detector_blocks, detector_max_width, detector_temperature
        )
        self.expression_encoder = ExpressionEncoder(
            detector_expansion + 3,
            num_keypoints,
            expression_channels,
            tuple(expression_hidden),
            expression_size,
        )
        self.encoder = SourceEncoder(
            num_keypoints,
            expression_size,
            keypoint_octaves,
            pixel_octaves,
            encoder_conv_width,
            encoder_conv_stages,
            encoder_width,
            encoder_layers,
            encoder_heads,
            head_width,
            encoder_hidden,
        )
        self.decoder = PixelDecoder(
            num_keypoints,
            expression_size,
            keypoint_octaves,
            pixel_octaves,
            encoder_width,
            decoder_query_hidden,
            decoder_layers,
            decoder_heads,
            head_width,
            decoder_hidden,
            tuple(decoder_render),
        )

    @classmethod
    def from_pretrained(cls, folder: str | Path, **kwargs: Any) -> FSRT:
        """Reads a folder that `save_pretrained` wrote; see diffusers' `ModelMixin.from_pretrained`."""
        kwargs.setdefault("low_cpu_mem_usage", False)  # True needs accelerate, and saves little at this size
        return super().from_pretrained(folder, **kwargs)

    @classmethod
    def from_config_name(cls, name: str) -> FSRT:
        """A freshly initialised model of a named configuration.

        Raises:
            ValueError: the name is not one of `CONFIGS`.
        """
        if name not in CONFIGS:
            raise ValueError(f"unknown FSRT configuration {name!r}: choose one of {', '.join(CONFIGS)}")
        return cls(**CONFIGS[name])

    def motion(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Key points (B, P, 2) and expression (B, E) of images (B, 3, H, W) in [0, 1]."""
        detection = self.detector(images)
        return detection.keypoints, self.expression_encoder(detection.features, detection.heatmaps)

    def encode(self, sources: Tensor) -> Tensor:
        """Set-latent (B, S * N, D) of sources (B, S, 3, H, W) in [0, 1], with their own motion."""
        keypoints, expression = self.motion(rearrange(sources, "b s c h w -> (b s) c h w"))
        sets = sources.shape[0]
        return self.encoder(sources, keypoints.unflatten(0, (sets, -1)), expression.unflatten(0, (sets, -1)))

    def forward(self, sources: Tensor, driving: Tensor, pixels: Tensor) -> Tensor:
        """Colours of points of the driven picture, with the driving frame's own key points (absolute motion).

        Args:
            sources: (B, S, 3, H, W) in [0, 1].
            driving: (B, 3, H, W) in [0, 1].
            pixels: (B, Q, 2) in [-1, 1]; see `headgen.nn.pixel_grid`.

        Returns:
            RGB (B, Q, 3), not clamped.
        """
        keypoints, expression = self.motion(driving)
        return self.decoder(pixels, keypoints, expression, self.encode(sources))
