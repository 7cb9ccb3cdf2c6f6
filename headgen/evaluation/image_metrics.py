"""Pictures against the true ones, pixel by pixel: L1, PSNR, SSIM and MS-SSIM.

Pictures are batches (N, 3, H, W) of RGB in [0, 1], on any device; every metric gives one number for each
picture, so that videos of any length are scored batch by batch. They all want the output to lie exactly on
the truth: a perfect picture that is two pixels off scores worse than a blurred one in place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

__all__ = ["l1", "ms_ssim", "psnr", "ssim", "to_batch"]

MOST_PSNR = 60.0
"""Decibels given to pictures that are the same, or nearly."""
WINDOW = 5
"""Pixels of SSIM's window to either side; torchmetrics mirrors pictures at their borders and counts all."""
SMALLEST_MS_SSIM = 161
"""Pixels that the shorter side needs for five scales of an 11-pixel window."""


def to_batch(images: Sequence[np.ndarray], device: torch.device | str = "cpu") -> Tensor:
    """Pictures (H, W, 3) uint8 of one size as a batch (N, 3, H, W) of float32 in [0, 1]."""
    batch = torch.from_numpy(np.stack(images)).to(device)
    return batch.permute(0, 3, 1, 2).float() / 255


def l1(truth: Tensor, output: Tensor) -> Tensor:
    """Mean absolute difference of the channels.

    Source: reported as L1 by FOMM (Siarohin et al. 2019) and after it. 0 to 1, lower is better.

    Returns:
        (N,).
    """
    return (truth - output).abs().mean((1, 2, 3))


def psnr(truth: Tensor, output: Tensor) -> Tensor:
    """Peak signal-to-noise ratio: 10 log10(1 / mean squared error), over all channels.

    Decibels, higher is better. Our design: 60 at most, where the definition gives infinity, so that a mean
    over pictures stays one.

    Returns:
        (N,).
    """
    values = peak_signal_noise_ratio(output, truth, data_range=1.0, dim=(1, 2, 3), reduction="none")
    return values.clamp(max=MOST_PSNR)


def ssim(truth: Tensor, output: Tensor) -> Tensor:
    """Structural similarity, of the channels apart, mean over pixels and channels.

    Source: Wang et al. 2004: Gaussian window of 11 pixels and standard deviation 1.5, constants .01 and .03,
    population covariances, windows that lie in the picture. -1 to 1, higher is better.

    Returns:
        (N,).
    """
    _, found = structural_similarity_index_measure(
        output, truth, data_range=1.0, reduction="none", return_full_image=True
    )
    return found[..., WINDOW:-WINDOW, WINDOW:-WINDOW].mean((1, 2, 3))


def ms_ssim(truth: Tensor, output: Tensor) -> Tensor:
    """Structural similarity at five scales.

    Source: Wang et al. 2003, with its weights of the scales; of windows over the border, as torchmetrics
    counts them, only the coarsest scale knows. 0 to 1, higher is better.

    Returns:
        (N,); NaN for pictures whose shorter side has 160 pixels or fewer, for which it is not defined.
    """
    if min(truth.shape[-2:]) < SMALLEST_MS_SSIM:
        return truth.new_full((len(truth),), float("nan"))
    values = multiscale_structural_similarity_index_measure(
        output, truth, data_range=1.0, reduction="none", normalize="relu"
    )
    return values.reshape(len(truth))
