"""LPIPS: how different two pictures look to a network that was trained to recognise things.

Source: Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric". The
networks are torchvision's AlexNet and VGG16, whose weights are not part of headgen; the small linear layers
that weigh their channels come with torchmetrics.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import torch
import torchmetrics
from safetensors.torch import load_file
from torch import Tensor, nn

from headgen.errors import InputError, WeightsError

__all__ = ["LPIPS", "Backbone", "read_state"]

Backbone = Literal["alex", "vgg"]

_ALEX = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
"""Channels, kernel, stride and padding of each convolution."""
_VGG = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)
_TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
"""Layers whose outputs are compared: the last rectifier before each pooling, or each of AlexNet's."""
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of the channels, for pictures in [-1, 1]."""
SOURCES = {
    "alex": "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "vgg": "https://download.pytorch.org/models/vgg16-397923af.pth",
}
"""Where the networks' weights are published."""


class LPIPS(nn.Module):
    """Learned perceptual image patch similarity.

    0 for the same picture, about .1 for hardly visible and .5 for strong differences; lower is better.
    Numbers of the two networks must never be put side by side.

    Args:
        backbone: ``alex`` (mostly reported) or ``vgg``.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: Backbone = "alex") -> None:
        super().__init__()
        if backbone not in get_args(Backbone):
            raise InputError(f"backbone={backbone!r} is unknown; choose from {', '.join(get_args(Backbone))}")
        self.backbone = backbone
        self.features = _alexnet() if backbone == "alex" else _vgg16()
        widths = [64, 192, 384, 256, 256] if backbone == "alex" else [64, 128, 256, 512, 512]
        self.weights = nn.ParameterList(torch.ones(1, width, 1, 1) for width in widths)
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    @classmethod
    def load(cls, path: Path, backbone: Backbone = "alex") -> LPIPS:
        """Reads the network's weights from a file.

        Args:
            path: torchvision's weights, as published (`SOURCES`) or as safetensors.
            backbone: whose.

        Raises:
            WeightsError: the file is missing, or holds something else.
        """
        made = cls(backbone)
        state = read_state(path, f"LPIPS ({backbone})", SOURCES[backbone])
        features = {name.removeprefix("features."): v for name, v in state.items() if "features." in name}
        try:
            made.features.load_state_dict(features)
        except RuntimeError as error:
            raise WeightsError(
                f"{path}: does not hold torchvision's {backbone}; get it from {SOURCES[backbone]}"
            ) from error
        made.load_channel_weights()
        return made

    def load_channel_weights(self) -> None:
        """Takes the published weights of the channels (version 0.1), which torchmetrics carries."""
        folder = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models"
        lines = torch.load(folder / f"{self.backbone}.pth", map_location="cpu", weights_only=True)
        for k, weight in enumerate(self.weights):
            weight.copy_(lines[f"lin{k}.model.1.weight"])

    def forward(self, truth: Tensor, output: Tensor) -> Tensor:
        """Distances (N,) of pictures (N, 3, H, W) in [0, 1], H and W of 64 or more."""
        total = truth.new_zeros(len(truth))
        for a, b, weight in zip(self._maps(truth), self._maps(output), self.weights, strict=True):
            total = total + (weight * (_normed(a) - _normed(b)) ** 2).sum(1).mean((1, 2))
        return total

    def _maps(self, images: Tensor) -> list[Tensor]:
        x = ((2 * images - 1) - self.shift) / self.scale
        maps = []
        for k, layer in enumerate(self.features):
            x = layer(x)
            if k in _TAPS[self.backbone]:
                maps.append(x)
        return maps


def read_state(path: Path, what: str, source: str) -> dict[str, Tensor]:
    """Tensors of a file of weights, ``.safetensors`` or a pickle that holds nothing but tensors.

    Args:
        path: the file.
        what: whose weights, for messages.
        source: where they are published.

    Raises:
        WeightsError: the file is missing or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(
            f"{path}: no such file; the weights of {what} are not part of headgen, get {source}"
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds for a file that is something else
        raise WeightsError(f"{path}: holds no weights of {what}; get {source}") from error
    return dict(state)


def _normed(maps: Tensor) -> Tensor:
    return maps / torch.sqrt((maps**2).sum(1, keepdim=True) + 1e-8)


def _alexnet() -> nn.Sequential:
    layers: list[nn.Module] = []
    before = 3
    for k, (width, kernel, stride, padding) in enumerate(_ALEX):
        layers += [nn.Conv2d(before, width, kernel, stride, padding), nn.ReLU()]
        if k in (0, 1):
            layers.append(nn.MaxPool2d(3, 2))
        before = width
    return nn.Sequential(*layers)


def _vgg16() -> nn.Sequential:
    layers: list[nn.Module] = []
    before = 3
    for width in _VGG:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
    return nn.Sequential(*layers)
