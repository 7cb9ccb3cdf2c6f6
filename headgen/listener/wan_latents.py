"""Between what people see and write and what Wan reads: pictures and latents, texts and embeddings.

Wan's autoencoder is causal: the first latent frame is of the first picture alone, each further one of
`FRAMES_PER_LATENT` pictures and what was before.

Shapes: B batch, C latent channels, F latent frames, h, w latent size, L, D tokens of text and their width, T
video frames, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, unpatchify
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor

__all__ = ["FRAMES_PER_LATENT", "decode_blocks", "encode_text", "encode_video", "square_picture"]

FRAMES_PER_LATENT = 4
"""Video frames in a latent frame of Wan's autoencoder, but for the first, which is of one."""


def encode_video(vae: AutoencoderKLWan, video: Tensor) -> Tensor:
    """Latents of unit size.

    Args:
        vae: the autoencoder.
        video: (B, 3, T, H, W) from -1 to 1; T is 1 more than a multiple of 4.

    Returns:
        (B, C, F, h, w) float32.
    """
    found = vae.encode(video.to(vae.device, vae.dtype)).latent_dist.mode().float()
    mean, deviation = _statistics(vae, found.device)
    return (found - mean) / deviation


def _statistics(vae: AutoencoderKLWan, device: torch.device) -> tuple[Tensor, Tensor]:
    mean, deviation = (
        torch.tensor(vae.config[name], device=device).view(1, -1, 1, 1, 1)
        for name in ("latents_mean", "latents_std")
    )
    return mean, deviation


def decode_blocks(vae: AutoencoderKLWan, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
    """Decodes a video that comes in blocks of latents; memory does not grow with its length.

    The same as ``vae.decode`` of the whole: the causal decoder goes on from what it kept of earlier frames.
    With tiling that cannot be had, and the whole is decoded at the end.

    Args:
        vae: the autoencoder.
        blocks: (B, C, F, h, w) each.

    Yields:
        (B, 3, T, H, W) from -1 to 1.
    """
    if vae.use_tiling:
        yield vae.decode(_scaled(vae, torch.cat(list(blocks), dim=2)), return_dict=False)[0]
        return
    convolutions = sum(isinstance(part, WanCausalConv3d) for part in vae.decoder.modules())
    kept: list[Any] = [None] * convolutions
    first = True
    for block in blocks:
        yield _decode(vae, _scaled(vae, block), kept, first)
        first = False


@apply_forward_hook  # so that it is brought to the device where models are kept away from it
def _decode(vae: AutoencoderKLWan, latents: Tensor, kept: list[Any], first: bool) -> Tensor:
    x = vae.post_quant_conv(latents.to(vae.device))
    made = [
        vae.decoder(frame, feat_cache=kept, feat_idx=[0], first_chunk=first and number == 0)
        for number, frame in enumerate(x.split(1, dim=2))
    ]
    video = torch.cat(made, dim=2)
    if vae.config.patch_size is not None:
        video = unpatchify(video, patch_size=vae.config.patch_size)
    return video.clamp(-1, 1)


def _scaled(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    mean, deviation = _statistics(vae, latents.device)
    return (latents.float() * deviation + mean).to(vae.dtype)


def encode_text(tokenizer: Any, encoder: Any, texts: Sequence[str], length: int) -> Tensor:
    """Texts as Wan reads them: (B, L, D), zero behind the last token.

    Args:
        tokenizer: of the base.
        encoder: UMT5 of the base.
        texts: B of them.
        length: L; longer texts are cut.
    """
    found = tokenizer(
        [" ".join(text.split()) for text in texts],
        padding="max_length",
        max_length=length,
        truncation=True,
        return_tensors="pt",
    )
    ids, mask = (found[name].to(encoder.device) for name in ("input_ids", "attention_mask"))
    return encoder(ids, mask).last_hidden_state * mask[..., None].to(encoder.dtype)


def square_picture(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The largest middle part of a picture that has the shape of a video, at its size.

    Args:
        image: (H, W, 3) uint8.
        height: of the video in pixels.
        width: of the video in pixels.
    """
    scale = min(image.shape[0] / height, image.shape[1] / width)
    rows, columns = round(height * scale), round(width * scale)
    top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
    part = image[top : top + rows, left : left + columns]
    how = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
    return cv2.resize(part, (width, height), interpolation=how)
