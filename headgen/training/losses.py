"""The losses of FSRT's training (arXiv 2404.09736).

Shapes: B batch, C channels, H height, W width, D width of the expression vector. Colours are in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headgen.errors import InputError, MissingExtraError

__all__ = [
    "PerceptualLoss",
    "RandomFeatures",
    "VGG19Features",
    "discriminator_loss",
    "feature_matching_loss",
    "generator_loss",
    "statistical_regularisation",
]


class VGG19Features(nn.Module):
    """Activations of VGG19 after relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1, trained on ImageNet.

    Args:
        weights: torchvision's ``vgg19-*.pth`` state dict on this machine; torchvision fetches it if None.

    Raises:
        MissingExtraError: torchvision does not import (it must match the installed torch).
        InputError: the file is not there, or is not VGG19's state dict.
    """

    LAYERS = (1, 6, 11, 20, 29)
    mean: Tensor
    std: Tensor

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        try:
            models = import_module("torchvision.models")
        except (
            ImportError,
            OSError,
            RuntimeError,
        ):  # a torchvision built for another torch fails in many ways
            raise MissingExtraError("torchvision", "perceptual", "The VGG19 perceptual loss") from None
        if weights is None:
            network = models.vgg19(weights=models.VGG19_Weights.IMAGENET1K_V1)
        else:
            network = models.vgg19()
            try:
                network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
            except FileNotFoundError:
                raise InputError(f"{weights}: not there; give torchvision's vgg19 state dict") from None
            except Exception as error:  # unpickling and key errors have no common base
                raise InputError(f"{weights}: not VGG19's state dict ({type(error).__name__})") from None
        edges = (0, *(layer + 1 for layer in self.LAYERS))
        self.slices = nn.ModuleList(network.features[start:stop] for start, stop in pairwise(edges))
        for module in self.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # the activations before it are returned
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Five feature maps of an image (B, 3, H, W)."""
        x, features = (image - self.mean) / self.std, []
        for part in self.slices:
            x = part(x)
            features.append(x)
        return features


class RandomFeatures(nn.Module):
    """Five feature maps of a small convolutional network whose weights are random and fixed by a seed.

    For tests and the debug configuration, where VGG19's weights are not at hand. Nothing in it was learnt: it
    compares edges and textures at five scales, and is no measure of how alike two pictures look to a person.

    Args:
        width: channels of the first map; each further map has half the resolution and twice the channels.
        seed: of the weights.
    """

    def __init__(self, width: int = 8, seed: int = 0) -> None:
        super().__init__()
        channels = [3, *(width * 2**level for level in range(5))]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(channels))
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            fan_in = parameter[0].numel()
            noise = torch.randn(parameter.shape, generator=generator) * (2 / fan_in) ** 0.5
            parameter.data = noise if parameter.ndim > 1 else torch.zeros_like(parameter)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Five feature maps of an image (B, 3, H, W)."""
        x, features = image - 0.5, []
        for level, conv in enumerate(self.convs):
            x = F.relu(conv(F.avg_pool2d(x, 2) if level else x))
            features.append(x)
        return features


class PerceptualLoss(nn.Module):
    """Weighted L1 distance of feature maps, with a frozen feature network.

    Args:
        features: maps (B, 3, H, W) in [0, 1] to a list of feature maps.
        weights: one per feature map; the paper has 0.01 for each of five layers.
    """

    def __init__(self, features: nn.Module, weights: Sequence[float] = (0.01,) * 5) -> None:
        super().__init__()
        self.features, self.weights = features.requires_grad_(False).eval(), tuple(weights)

    def train(self, mode: bool = True) -> PerceptualLoss:
        """Stay in evaluation mode: the feature network is a ruler."""
        return super().train(False)

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Distance of two images (B, 3, H, W); the gradient flows into ``predicted`` only."""
        with torch.no_grad():
            wanted = self.features(target)
        found = self.features(predicted)
        if not len(found) == len(self.weights):
            raise ValueError(f"{len(self.weights)} weights for a network of {len(found)} feature maps")
        terms = [w * F.l1_loss(a, b) for w, a, b in zip(self.weights, found, wanted, strict=True)]
        return torch.stack(terms).sum()


def discriminator_loss(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Least-squares GAN loss of the discriminator: real scores to 1, fake ones to 0; mean over the scales."""
    terms = [((1 - r) ** 2).mean() + (f**2).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def generator_loss(fake: Sequence[Tensor]) -> Tensor:
    """Least-squares GAN loss of the generator: fake scores to 1; mean over the scales."""
    return torch.stack([((1 - f) ** 2).mean() for f in fake]).mean()


def feature_matching_loss(
    real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]], weight: float = 0.01
) -> Tensor:
    """L1 distance of the discriminator's feature maps, ``weight`` for each; mean over the scales.

    Args:
        real: per scale, the feature maps of the real image; no gradient flows into them.
        fake: the same of the generated image.
        weight: of each feature map; the paper has 4 maps with 0.01 each.
    """
    scales = [
        weight * torch.stack([F.l1_loss(f, r.detach()) for r, f in zip(maps_r, maps_f, strict=True)]).sum()
        for maps_r, maps_f in zip(real, fake, strict=True)
    ]
    return torch.stack(scales).mean()


def statistical_regularisation(
    first: Tensor, second: Tensor, *, invariance: float = 1.0, variance: float = 0.2, covariance: float = 1.0
) -> dict[str, Tensor]:
    """VICReg-like regularisation of expression vectors of two views of the same frames.

    Invariance: mean squared difference of the views. Variance: how far the standard deviation of each
    component over the batch falls below 1. Covariance: squared off-diagonal entries of the covariance
    matrix, summed and divided by D. The last two are averaged over the views; all is float32.

    Args:
        first: (B, D) expression vectors of one view; B >= 2.
        second: (B, D) of the other view.
        invariance: weight; the paper's value is the default, as for the other two.
        variance: weight.
        covariance: weight.

    Returns:
        The three weighted terms: ``invariance``, ``variance``, ``covariance``.
    """
    if first.shape != second.shape or first.shape[0] < 2:
        raise ValueError(f"two equal batches of at least 2 expected, found {first.shape} and {second.shape}")
    batch, width = first.shape
    views = [first.float(), second.float()]
    hinges, covariances = [], []
    for view in views:
        centred = view - view.mean(0)
        hinges.append(F.relu(1 - (centred.square().sum(0) / (batch - 1) + 1e-4).sqrt()).mean())
        matrix = centred.T @ centred / (batch - 1)  # (D, D)
        covariances.append((matrix.square().sum() - matrix.diagonal().square().sum()) / width)
    return {
        "invariance": invariance * F.mse_loss(views[0], views[1]),
        "variance": variance * torch.stack(hinges).mean(),
        "covariance": covariance * torch.stack(covariances).mean(),
    }
