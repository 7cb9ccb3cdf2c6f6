"""FID, KID and FVD against SciPy, scikit-learn and torchmetrics, on a small random network."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.metrics.pairwise import cosine_similarity, polynomial_kernel
from torch import nn
from torchmetrics.image.kid import poly_mmd

from headgen.errors import WeightsError
from headgen.evaluation.feature_extractors import (
    CLIP_FRAMES,
    I3D,
    FilterBank,
    Identity,
    Inception,
    aligned_face,
)
from headgen.evaluation.feature_metrics import FeatureSet, aed, csim, frechet, kernel_distance
from headgen.faces.mesh import Pose, mean_face
from headgen.faces.motion import head_rotation


class Pictures(nn.Module):
    """Stands for InceptionV3: takes uint8 pictures, gives 16 features."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 16, 5, 2), nn.Tanh(), nn.Conv2d(16, 16, 3, 2), nn.AdaptiveAvgPool2d(1)
        )

    def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        assert return_features and images.dtype == torch.uint8
        return self.net(images.float() / 255).flatten(1)


class Clips(nn.Module):
    """Stands for I3D."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv3d(3, 12, 3, 4), nn.Tanh(), nn.AdaptiveAvgPool3d(1))

    def forward(
        self, clips: torch.Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False
    ) -> torch.Tensor:
        assert return_features and not rescale and not resize and clips.shape[-1] == 224
        return self.net(clips).flatten(1)


class Faces(nn.Module):
    """Stands for ArcFace."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)[:, ::500]


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    for name, network in (("pictures", Pictures()), ("clips", Clips()), ("faces", Faces())):
        torch.jit.script(network).save(str(folder / f"{name}.pt"))
    return folder


def gathered(features: np.ndarray, batch: int = 7) -> FeatureSet:
    found = FeatureSet(np.random.default_rng(0))
    for start in range(0, len(features), batch):
        found.add(features[start : start + batch])
    return found


def by_scipy(a: np.ndarray, b: np.ndarray) -> float:
    ca, cb = np.cov(a.T), np.cov(b.T)
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)


def test_fid_of_pictures_agrees_with_scipy(networks, agrees):
    rng = np.random.default_rng(1)
    network = Inception(networks / "pictures.pt")
    a, b = (
        network(torch.from_numpy(rng.random((80, 3, 32, 32), np.float32) * scale)).double().numpy()
        for scale in (1.0, 0.8)
    )
    agrees("FID", "SciPy's matrix root", frechet(gathered(a), gathered(b)), by_scipy(a, b), 1e-6)
    agrees("FID", "0 for the same set", frechet(gathered(a), gathered(a)), 0, 1e-6)


def test_fvd_of_clips_agrees_with_scipy(networks, agrees):
    network = I3D(networks / "clips.pt")
    generator = torch.Generator().manual_seed(0)
    a, b = (
        torch.cat(
            [network(torch.rand(3, 3, CLIP_FRAMES, 24, 24, generator=generator) * scale) for _ in range(10)]
        ).double().numpy()
        for scale in (1.0, 0.7)
    )  # fmt: skip
    assert a.shape == (30, 12)
    agrees("FVD", "SciPy's matrix root", frechet(gathered(a), gathered(b)), by_scipy(a, b), 1e-6)


def test_the_distance_of_gaussians_is_known(agrees):
    rng = np.random.default_rng(0)
    a = rng.normal(0, 1, (4000, 3))
    a = (a - a.mean(0)) / a.std(0, ddof=1)
    for shift, scale in ((2.0, 1.0), (0.0, 3.0), (1.0, 2.0)):
        wanted = 3 * (shift**2 + (scale - 1) ** 2)  # exactly so: one set is the other, moved and stretched
        found = frechet(gathered(a), gathered(a * scale + shift))
        agrees("FID, FVD", "Gaussians moved and stretched", found, wanted, 1e-6)


def test_kid_agrees_with_scikit_learn_and_torchmetrics(agrees):
    rng = np.random.default_rng(2)
    x, y = (rng.normal(m, 1, (50, 8)).astype(np.float32) for m in (0, 0.4))
    found, _ = kernel_distance(gathered(x), gathered(y), rng, subsets=1, size=50)
    xx, yy, xy = (
        polynomial_kernel(p, q, degree=3, gamma=1 / 8, coef0=1) for p, q in ((x, x), (y, y), (x, y))
    )
    wanted = sum((k.sum() - np.trace(k)) / (50 * 49) for k in (xx, yy)) - 2 * xy.mean()
    agrees("KID", "scikit-learn's kernel", found, wanted, 1e-5)
    theirs = poly_mmd(*(torch.from_numpy(v).double() for v in (x, y)))
    agrees("KID", "torchmetrics", found, theirs, 1e-9)
    more, same = rng.normal(0, 1, (2, 600, 8))
    value, spread = kernel_distance(gathered(more), gathered(same), rng)
    assert abs(value) < 3 * spread / 10 and spread > 0


def test_sets_take_the_same_memory_whatever_comes():
    rng = np.random.default_rng(3)
    found = FeatureSet(rng, kept=64)
    peaks = []
    tracemalloc.start()
    for _ in range(2):
        for _ in range(200):
            found.add(rng.normal(size=(16, 32)))
        peaks.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert found.count == 6400 and found.sample.shape == (64, 32)
    assert peaks[1] - peaks[0] < 4096
    assert abs(found.sample.mean()) < 0.1


def test_batches_make_no_difference():
    features = np.random.default_rng(4).normal(1e4, 1e-2, (100, 5))  # small variances far from 0
    a, b = gathered(features, 1), gathered(features, 100)
    assert a.covariance == pytest.approx(np.cov(features.T), rel=1e-6)
    assert b.covariance == pytest.approx(np.cov(features.T), rel=1e-6)
    assert np.isnan(frechet(a, gathered(features[:1])))


def test_identity_agrees_with_scikit_learn(agrees):
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 6, 32))
    wanted = np.diag(cosine_similarity(a, b))
    agrees("CSIM", "scikit-learn", csim(a, b), wanted, 1e-9)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
    agrees("AED", "unit vectors in NumPy", aed(a, b), np.linalg.norm(unit[0] - unit[1], axis=1), 1e-7)


def test_faces_are_aligned_however_they_are_turned(networks):
    from skimage.data import astronaut

    image = np.ascontiguousarray(astronaut()[0:256, 96:352])
    face = Pose(head_rotation(np.zeros(3)), 60.0, np.array([128.0, 110, 0]), mean_face()).project(mean_face())
    straight = aligned_face(image, face)
    turn = cv2.getRotationMatrix2D((128, 128), 25, 0.9)
    turned = cv2.warpAffine(image, turn, (256, 256), borderMode=cv2.BORDER_REFLECT)
    points = face.copy()
    points[:, :2] = face[:, :2] @ turn[:, :2].T + turn[:, 2]
    again = aligned_face(turned, points)
    assert straight.shape == (112, 112, 3)
    middle = np.s_[20:90, 20:90]
    assert np.abs(straight[middle].astype(float) - again[middle]).mean() < 6
    network = Identity(networks / "faces.pt")
    assert csim(network(image, face), network(turned, points)) > 0.97


def test_filters_see_blur_noise_and_casts():
    from skimage.data import astronaut

    rng = np.random.default_rng(6)
    pictures = [astronaut()[y : y + 128, x : x + 128] for y, x in rng.integers(0, 380, (40, 2))]
    bank = FilterBank()

    def distance(change) -> float:
        a, b = (
            torch.from_numpy(np.stack(p)).permute(0, 3, 1, 2).float() / 255
            for p in (pictures[::2], [change(x) for x in pictures[::2]])
        )
        return frechet(*(gathered(bank(x).numpy()) for x in (a, b)))

    assert distance(lambda x: x) == pytest.approx(0, abs=1e-6)
    blurs = [distance(lambda x, s=s: cv2.GaussianBlur(x, (0, 0), s)) for s in (0.7, 1.5, 3)]
    casts = [distance(lambda x, s=s: np.clip(x * [1 + s, 1, 1 - s], 0, 255)) for s in (0.1, 0.2, 0.4)]
    assert blurs == sorted(blurs) and casts == sorted(casts) and min(blurs[0], casts[0]) > 1e-4


@pytest.mark.parametrize("network", [Inception, I3D, Identity])
def test_a_missing_network_says_which_and_where_from(network, tmp_path):
    with pytest.raises(WeightsError, match=r"net.pt: no such file; (FID|FVD|CSIM) needs "):
        network(tmp_path / "net.pt")
    (tmp_path / "net.pt").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="is no TorchScript file"):
        network(tmp_path / "net.pt")
