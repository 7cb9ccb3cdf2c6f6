"""The usual alternative to warp latents: a small convolutional autoencoder of pictures, shortly trained.

It exists to be compared with (`headgen.evaluation.bench_latents`): before a listener was trained for long,
the two representations were compared after short trainings. Its latents are a grid of numbers from which a
picture is drawn anew, as in latent diffusion (Rombach et al., CVPR 2022, section 3.1), so what a person looks
like has to be in them.

Our design, all of it in favour of this rival: it starts as the best linear code of patches (their principal
components), so that a short training goes into what lies beyond. Latents are normalised by channel instead of
being held by a Kullback-Leibler term, and carry noise of a tenth of their size in training, so that the
decoder gets used to the errors of a network that predicts them. There is no critic and no perceptual network:
neither pays in a short training.

Shapes: B batch, S = 128 pixels a side, C channels on a grid of S / 8.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from headgen.errors import InputError
from headgen.media.clips import ClipStore
from headgen.nn.precision import resolve_dtype
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = ["SIZE", "PictureAutoencoder", "train"]

SIZE = 128
"""S: pixels a side of the pictures."""
NOISE = 0.1
"""Standard deviation of the noise that latents carry in training, in their own."""
CELL = 8
"""Pixels a side that one place of the grid stands for."""
FRAMES_PER_CLIP = 3
"""Frames of each clip that are trained on: clips of one photograph differ by little."""
LINEAR = 500
"""Pictures, at most, from which the linear start is taken."""
PATCH, BATCH = 64, 16
"""Side of the crops that are trained on, and crops a step. Convolutions learn as much from a quarter of a
picture, at a quarter of the cost."""
RATE, WARMUP = 1e-3, 0.05
"""Largest learning rate, and the share of the training in which it rises."""
GRADIENT = 1.0
"""Weight of the differences of neighbouring pixels beside the pixels: they are what looks sharp."""


class Residual(nn.Module):
    """Two 3 x 3 convolutions, added to the input. Without norms, crops come out as pictures do."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> the same."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


def enlarging(channels: int, out: int) -> nn.Sequential:
    """Twice as many pixels a side: (B, channels, h, w) -> (B, out, 2h, 2w)."""
    return nn.Sequential(nn.Conv2d(channels, 4 * out, 3, padding=1), nn.PixelShuffle(2))


class PictureAutoencoder(ModelMixin, ConfigMixin):
    """Pictures (B, 3, S, S) to latents (B, C, S / 8, S / 8) and back.

    Args:
        channels: C.
        width: channels at half of the resolution, doubled at a quarter and at an eighth.
    """

    @register_to_config
    def __init__(self, channels: int = 8, width: int = 24) -> None:
        super().__init__()
        w = width
        self.linear_down = nn.Conv2d(3, channels, CELL, stride=CELL)
        self.down = nn.Sequential(
            nn.Conv2d(3, w, 4, stride=2, padding=1),
            Residual(w),
            nn.Conv2d(w, 2 * w, 4, stride=2, padding=1),
            Residual(2 * w),
            nn.Conv2d(2 * w, 4 * w, 4, stride=2, padding=1),
            Residual(4 * w),
            Residual(4 * w),
            nn.Conv2d(4 * w, channels, 1),
        )
        self.norm = nn.BatchNorm2d(channels, affine=False, momentum=0.03)
        self.linear_up = nn.ConvTranspose2d(channels, 3, CELL, stride=CELL)
        self.up = nn.Sequential(
            nn.Conv2d(channels, 4 * w, 3, padding=1),
            Residual(4 * w),
            Residual(4 * w),
            enlarging(4 * w, 2 * w),
            Residual(2 * w),
            enlarging(2 * w, w),
            Residual(w),
            enlarging(w, 3),
        )
        for last in (*self.down[-1].parameters(), *self.up[-1].parameters()):
            nn.init.zeros_(last)

    @torch.no_grad()
    def start_linear(self, pictures: Tensor) -> None:
        """Starts as the principal components of the patches of pictures (N, 3, S, S), uint8."""
        patches = rearrange(pictures, "n c (h i) (w j) -> (n h w) (c i j)", i=CELL, j=CELL)
        patches = patches.double() / 127.5 - 1
        mean = patches.mean(0)
        values, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        count = self.config.channels
        main, spread = vectors[:, -count:].T, values[-count:, None].sqrt()
        assert self.linear_down.bias is not None and self.linear_up.bias is not None
        self.linear_down.weight.copy_((main / spread).reshape(count, 3, CELL, CELL))
        self.linear_down.bias.copy_(-(main / spread) @ mean)
        self.linear_up.weight.copy_((main * spread).reshape(count, 3, CELL, CELL))
        # What is the same in every patch has no place of its own in a transposed convolution but the colour.
        self.linear_up.bias.copy_(mean.reshape(3, -1).mean(1))

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [0, 1] -> latents with a mean of 0 and a deviation of 1 over the data."""
        x = pictures * 2 - 1
        return self.norm((self.linear_down(x) + self.down(x)).float())

    def decode(self, latents: Tensor) -> Tensor:
        """Latents -> pictures (B, 3, S, S), about in [0, 1]."""
        return ((self.linear_up(latents) + self.up(latents)).float() + 1) / 2


def train(
    data: list[Path],
    output: Path,
    *,
    minutes: float = 15,
    channels: int = 8,
    width: int = 24,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> PictureAutoencoder:
    """Trains an autoencoder for some time of this processor and writes it to a folder.

    Args:
        data: folders of face clips, made by `headgen synth portraits` or `headgen synth videos`.
        output: folder for the weights.
        minutes: of the processor, loading the pictures not included; more processes beside it change nothing.
        channels: see `PictureAutoencoder`.
        width: see `PictureAutoencoder`.
        seed: of the weights, the pictures and the noise.
        progress: told of the share of the time that is over, in hundredths.

    Returns:
        The autoencoder, ready to be used.

    Raises:
        InputError: no time, or a folder without clips to train on.
    """
    if minutes <= 0:
        raise InputError(f"minutes={minutes} is no time to train in; give more than 0")
    pictures = torch.from_numpy(np.concatenate([read_pictures(folder) for folder in data]))
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # layers draw their first weights from the global generator
        model = PictureAutoencoder(channels, width).to(memory_format=torch.channels_last).train()
    model.start_linear(pictures[:: -(-len(pictures) // LINEAR)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01, betas=(0.9, 0.99))
    dtype = resolve_dtype("auto", torch.device("cpu"))
    begun, share, told = time.process_time(), 0.0, 0
    while share < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(share / WARMUP + 0.05, (1 + math.cos(math.pi * share)) / 2, 1.0)
        batch = draw(pictures, generator)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            latents = model.encode(batch)
            noise = torch.randn(latents.shape, generator=generator)
            drawn = model.decode(latents + NOISE * noise)
        loss = distance(drawn, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        share = (time.process_time() - begun) / (60 * minutes)
        if progress is not None and int(100 * share) > told:
            told = min(int(100 * share), 100)
            progress(ProgressEvent("train", told, 100, f"% of the time, error {loss.item():.4f}"))
    model.eval().save_pretrained(output)
    return model


def read_pictures(folder: Path) -> NDArray[np.uint8]:
    """A few frames of every training clip of a folder: (N, 3, S, S) RGB."""
    store = ClipStore(folder, "train")
    pictures = []
    for clip, info in enumerate(store.infos):
        wanted = np.unique(np.linspace(0, info.frames - 1, FRAMES_PER_CLIP).astype(int))
        for frame in store.frames(clip, wanted.tolist()):
            pictures.append(cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA).transpose(2, 0, 1))
    return np.stack(pictures)


def draw(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Random crops (B, 3, PATCH, PATCH) in [0, 1], mirrored or not, and a little darker or lighter."""
    chosen = torch.randint(len(pictures), (BATCH,), generator=generator).tolist()
    corners = torch.randint(SIZE - PATCH + 1, (BATCH, 2), generator=generator).tolist()
    crops = [pictures[k, :, y : y + PATCH, x : x + PATCH] for k, (y, x) in zip(chosen, corners, strict=True)]
    batch = torch.stack(crops).float() / 255
    mirrored = torch.rand(BATCH, 1, 1, 1, generator=generator) < 0.5
    gain = torch.exp(0.12 * torch.randn(BATCH, 1, 1, 1, generator=generator))
    batch = (torch.where(mirrored, batch.flip(3), batch) * gain).clamp(0, 1)
    return batch.contiguous(memory_format=torch.channels_last)


def distance(drawn: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of pixels and of the differences of neighbouring ones."""
    apart = drawn - truth
    across, down = apart[..., 1:] - apart[..., :-1], apart[..., 1:, :] - apart[..., :-1, :]
    return apart.abs().mean() + GRADIENT * (across.abs().mean() + down.abs().mean())
