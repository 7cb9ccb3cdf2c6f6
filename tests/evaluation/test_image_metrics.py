"""Every metric of pictures against an independent computation, and worse where pictures are worse."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import lpips as reference_lpips

from headgen.errors import InputError, WeightsError
from headgen.evaluation.image_metrics import l1, ms_ssim, psnr, ssim, to_batch
from headgen.evaluation.perceptual import LPIPS

SIZE = 176


@pytest.fixture(scope="module")
def pairs():
    """Three pictures and spoilt copies of them, (N, H, W, 3) uint8."""
    from skimage.data import astronaut

    rng = np.random.default_rng(0)
    truth = np.stack([astronaut()[k : k + SIZE, 2 * k : 2 * k + SIZE] for k in (0, 60, 120)])
    noisy = np.clip(truth + rng.normal(0, 12, truth.shape), 0, 255).astype(np.uint8)
    return truth, noisy


def batches(pair):
    return [to_batch(list(images)).double() for images in pair]


def window(x: np.ndarray) -> np.ndarray:
    at = np.arange(-5, 6)
    weights = np.exp(-(at**2) / (2 * 1.5**2))
    for axis in (0, 1):
        x = correlate1d(x, weights / weights.sum(), axis=axis, mode="mirror")
    return x


def ms_ssim_by_hand(a: np.ndarray, b: np.ndarray) -> float:
    """Of planes in [0, 1], from the paper."""
    total = 1.0
    for scale, power in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        if scale:
            half = [x[: len(x) // 2 * 2, : x.shape[1] // 2 * 2] for x in (a, b)]
            a, b = (x.reshape(len(x) // 2, 2, -1, 2).mean((1, 3)) for x in half)
        ma, mb = window(a), window(b)
        va, vb, cab = window(a * a) - ma**2, window(b * b) - mb**2, window(a * b) - ma * mb
        contrast = (2 * cab + 0.03**2) / (va + vb + 0.03**2)
        light = (2 * ma * mb + 0.01**2) / (ma**2 + mb**2 + 0.01**2) if scale == 4 else 1.0
        inside = np.s_[:, :] if scale == 4 else np.s_[5:-5, 5:-5]
        total *= max(0.0, float((light * contrast)[inside].mean())) ** power
    return total


def test_pixels_agree_with_scikit_image(pairs, agrees):
    a, b = batches(pairs)
    for k, (truth, output) in enumerate(zip(*pairs, strict=True)):
        difference = np.abs(truth / 255 - output / 255).mean()
        agrees("L1", "NumPy", l1(a, b)[k], difference, 1e-7)
        agrees("PSNR, dB", "scikit-image", psnr(a, b)[k], peak_signal_noise_ratio(truth, output), 1e-4)
        wanted = structural_similarity(
            truth / 255, output / 255, data_range=1.0, channel_axis=2, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False,
        )  # fmt: skip
        agrees("SSIM", "scikit-image", ssim(a, b)[k], wanted, 1e-5)


def test_ms_ssim_agrees_with_the_paper(pairs, agrees):
    a, b = batches(pairs)
    planes = [x[:, :1] for x in (a, b)]
    for k, found in enumerate(ms_ssim(*planes)):
        wanted = ms_ssim_by_hand(*(x[k, 0].numpy() for x in planes))
        agrees("MS-SSIM", "the paper's formula in SciPy", found, wanted, 1e-5)
    assert torch.isnan(ms_ssim(a[..., :100], b[..., :100])).all()


def test_the_same_picture_is_perfect(pairs):
    a, _ = batches(pairs)
    assert l1(a, a).max() == 0 and (psnr(a, a) == 60).all()
    assert torch.allclose(ssim(a, a), torch.ones(3).double())
    assert torch.allclose(ms_ssim(a, a), torch.ones(3).double())


@pytest.mark.parametrize("spoil", ["blur", "noise", "shift"])
def test_more_damage_is_worse(pairs, spoil):
    truth = list(pairs[0])
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1, truth[0].shape)

    def spoilt(amount):
        if spoil == "blur":
            return [cv2.GaussianBlur(x, (0, 0), amount) for x in truth]
        if spoil == "noise":
            return [np.clip(x + 6 * amount * noise, 0, 255).astype(np.uint8) for x in truth]
        return [np.roll(x, 2 * amount, axis=1) for x in truth]

    a = to_batch(truth)
    rows = [
        [metric(a, to_batch(spoilt(amount))).mean().item() for metric in (l1, psnr, ssim, ms_ssim)]
        for amount in (1, 2, 4)
    ]
    for better, worse in zip(rows, rows[1:], strict=False):
        assert better[0] < worse[0]
        assert all(x > y for x, y in zip(better[1:], worse[1:], strict=True))


@pytest.mark.parametrize("backbone", ["alex", "vgg"])
def test_lpips_agrees_with_torchmetrics(backbone, monkeypatch, tmp_path, pairs, agrees):
    torch.manual_seed(0)
    features = LPIPS(backbone).features  # weights of no meaning: the arithmetic is compared
    torch.save({f"features.{name}": v for name, v in features.state_dict().items()}, tmp_path / "net.pth")
    ours = LPIPS.load(tmp_path / "net.pth", backbone)
    monkeypatch.setattr(reference_lpips, "_get_tv_model_features", lambda net, pretrained=False: features)
    theirs = reference_lpips._LPIPS(net=backbone, use_dropout=True)
    a, b = (to_batch([x[:96, :96] for x in images]) for images in pairs)
    wanted = theirs(2 * a - 1, 2 * b - 1).detach().ravel()
    agrees(f"LPIPS, {backbone}, relative", "torchmetrics", ours(a, b).detach() / wanted, 1, 1e-4)
    assert ours(a, a).abs().max() == 0
    assert (wanted > 0).all()


def test_weights_that_are_none_are_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"net.pth: no such file.*alexnet"):
        LPIPS.load(tmp_path / "net.pth")
    (tmp_path / "net.pth").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="holds no weights of LPIPS"):
        LPIPS.load(tmp_path / "net.pth")
    torch.save({"features.0.weight": torch.zeros(2)}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="does not hold torchvision's alex"):
        LPIPS.load(tmp_path / "net.pth")
    with pytest.raises(InputError, match="choose from alex, vgg"):
        LPIPS("squeeze")
