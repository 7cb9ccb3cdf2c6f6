"""Losses have the values that a hand calculation gives, and pull in the right direction."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import nn

from headgen.errors import InputError, MissingExtraError
from headgen.training.discriminator import MultiScaleDiscriminator, keypoint_gaussians
from headgen.training.losses import (
    PerceptualLoss,
    RandomFeatures,
    VGG19Features,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    statistical_regularisation,
)


class Doubler(nn.Module):
    """Two feature maps: the image and twice the image."""

    def forward(self, image):
        return [image, 2 * image]


def test_perceptual_loss_is_the_weighted_l1_of_the_maps():
    loss = PerceptualLoss(Doubler(), weights=(0.1, 0.01))
    a, b = torch.full((1, 3, 4, 4), 0.5), torch.full((1, 3, 4, 4), 0.2)
    assert loss(a, b).item() == pytest.approx(0.1 * 0.3 + 0.01 * 0.6)
    with pytest.raises(ValueError, match="5 weights for a network of 2"):
        PerceptualLoss(Doubler())(a, b)


def test_random_features_are_the_same_each_time_and_frozen_in_the_loss():
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    maps = RandomFeatures()(image)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (8, 32, 32),
        (16, 16, 16),
        (32, 8, 8),
        (64, 4, 4),
        (128, 2, 2),
    ]
    torch.manual_seed(5)
    assert all(torch.equal(a, b) for a, b in zip(maps, RandomFeatures()(image), strict=True))
    loss = PerceptualLoss(RandomFeatures())
    assert not any(p.requires_grad for p in loss.parameters())
    predicted = image.roll(3, -1).requires_grad_()
    loss(predicted, image).backward()
    assert predicted.grad.abs().sum() > 0
    assert loss(image, image) == 0


def test_vgg_without_torchvision_names_the_package_and_the_extra(tmp_path):
    if importlib.util.find_spec("torchvision"):
        with pytest.raises((InputError, MissingExtraError), match=r"not there|torchvision"):
            VGG19Features(tmp_path / "vgg19.pth")
    else:
        with pytest.raises(MissingExtraError, match=r"torchvision.*headgen\[perceptual\]"):
            VGG19Features()


def test_least_squares_gan_values():
    assert discriminator_loss([torch.tensor([0.8])], [torch.tensor([0.5])]).item() == pytest.approx(
        0.04 + 0.25
    )
    assert generator_loss([torch.tensor([0.5]), torch.tensor([1.0])]).item() == pytest.approx(0.125)
    real = [[torch.zeros(2), torch.ones(2)]]
    fake = [[torch.full((2,), 0.5), torch.full((2,), 4.0, requires_grad=True)]]
    assert feature_matching_loss(real, fake).item() == pytest.approx(0.01 * (0.5 + 3))


def test_statistical_regularisation_values():
    # Per component: variance 2 over (1, -1), covariance of the two components 2.
    first = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    terms = statistical_regularisation(first, first + 0.5)
    assert terms["invariance"].item() == pytest.approx(0.25)
    assert terms["variance"].item() == 0
    assert terms["covariance"].item() == pytest.approx((2**2 + 2**2) / 2)
    # A collapsed expression: standard deviation sqrt(1e-4), nothing correlated.
    terms = statistical_regularisation(torch.ones(4, 3), torch.ones(4, 3))
    assert terms["variance"].item() == pytest.approx(0.2 * 0.99)
    assert terms["covariance"].item() == terms["invariance"].item() == 0
    with pytest.raises(ValueError, match="at least 2"):
        statistical_regularisation(torch.ones(1, 3), torch.ones(1, 3))


def test_gaussians_stand_at_the_key_points():
    maps = keypoint_gaussians(torch.tensor([[[0.5, -0.25], [1.9, 0.0]]]), 64, 32)
    y, x = divmod(maps[0, 0].argmax().item(), 32)
    assert abs((x + 0.5) / 16 - 1 - 0.5) < 0.04 and abs((y + 0.5) / 32 - 1 + 0.25) < 0.04
    assert maps[0, 0].max() > 0.9
    assert maps[0, 1].max() < 1e-3  # outside of the picture


def test_discriminator_sees_picture_and_key_points_at_every_scale():
    torch.manual_seed(0)
    net = MultiScaleDiscriminator(scales=(1, 2), width=8).eval()
    image, points = torch.rand(2, 3, 64, 64), torch.rand(2, 10, 2) - 0.5
    scores, maps = net(image, points)
    assert [tuple(s.shape) for s in scores] == [(2, 1, 4, 4), (2, 1, 2, 2)]
    assert [len(m) for m in maps] == [4, 4]
    moved, _ = net(image, points + 0.3)
    assert all((a - b).abs().max() > 1e-4 for a, b in zip(scores, moved, strict=True))
