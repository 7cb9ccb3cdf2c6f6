"""Distances of sets of pictures or clips in a space of features: FID, KID and FVD, in a stream.

Nothing here knows a network: features (N, D) come from an extractor of one's choice
(`headgen.evaluation.feature_extractors`), and the name of a figure is that of its extractor. Statistics take
memory for D x D numbers, whatever the number of videos.
"""

from __future__ import annotations

import numpy as np

from headgen.evaluation.motion_metrics import frechet_distance

__all__ = ["FeatureSet", "aed", "csim", "frechet", "kernel_distance"]

KEPT = 1000
"""Features kept of a set, at most, for the kernel distance: subsets are drawn from them."""
SUBSETS, SUBSET = 100, 100


class FeatureSet:
    """Mean, covariance and a sample of features that come batch by batch.

    Args:
        generator: source of chance of the sample.
        kept: features kept for `kernel_distance`, at most: an even sample of all that came.
    """

    def __init__(self, generator: np.random.Generator, kept: int = KEPT) -> None:
        self.count = 0
        self._generator, self._kept = generator, kept
        self._mean = self._scatter = self._sample = np.zeros(0)

    def add(self, features: np.ndarray) -> None:
        """Takes features (N, D); N may be 0.

        Means and scatter matrices are merged in float64 (Chan et al. 1979), so that nothing is lost of small
        variances around a large mean.
        """
        rows = np.asarray(features, np.float64)
        if not len(rows):
            return
        if not self.count:
            width = rows.shape[1]
            self._mean, self._scatter = np.zeros(width), np.zeros((width, width))
            self._sample = np.zeros((self._kept, width), np.float32)
        self._draw(rows)
        mean = rows.mean(0)
        apart = mean - self._mean
        total = self.count + len(rows)
        about = rows - mean
        self._scatter += about.T @ about + np.outer(apart, apart) * (self.count * len(rows) / total)
        self._mean = self._mean + apart * (len(rows) / total)
        self.count = total

    def _draw(self, rows: np.ndarray) -> None:
        """Reservoir sampling (Vitter 1985): every feature so far is kept with the same chance."""
        for k, row in enumerate(rows, self.count):
            place = k if k < self._kept else int(self._generator.integers(k + 1))
            if place < self._kept:
                self._sample[place] = row

    @property
    def mean(self) -> np.ndarray:
        """(D,)."""
        return self._mean

    @property
    def covariance(self) -> np.ndarray:
        """(D, D), divided by the count less one."""
        return self._scatter / max(self.count - 1, 1)

    @property
    def sample(self) -> np.ndarray:
        """(min(count, kept), D) float32."""
        return self._sample[: min(self.count, self._kept)]


def frechet(a: FeatureSet, b: FeatureSet) -> float:
    """Fréchet distance of two sets, each taken for a Gaussian.

    With features of InceptionV3 it is FID (Heusel et al. 2017), with those of I3D over clips of 16 frames FVD
    (Unterthiner et al. 2018). 0 or more, lower is better. It falls with the number of features, so sets of
    different sizes must not be compared; with fewer features than dimensions it is of little use.

    Returns:
        NaN if either set holds fewer than two.
    """
    if min(a.count, b.count) < 2:
        return float("nan")
    return frechet_distance(a.mean, a.covariance, b.mean, b.covariance)


def kernel_distance(
    a: FeatureSet,
    b: FeatureSet,
    generator: np.random.Generator,
    subsets: int = SUBSETS,
    size: int = SUBSET,
) -> tuple[float, float]:
    """Squared maximum mean discrepancy with the kernel (x . y / D + 1)^3.

    With features of InceptionV3 it is KID (Binkowski et al. 2018). Unbiased: about 0, even below it, for sets
    of the same kind, whatever their size; lower is better.

    Args:
        a: one set.
        b: the other.
        generator: source of chance of the subsets.
        subsets: how many are drawn.
        size: features in each, at most as many as the smaller sample holds.

    Returns:
        mean and standard deviation over the subsets; NaN if either set holds fewer than two.
    """
    size = min(size, len(a.sample), len(b.sample))
    if size < 2:
        return float("nan"), float("nan")
    values = []
    for _ in range(subsets):
        x, y = (
            s.sample[generator.choice(len(s.sample), size, replace=False)].astype(np.float64) for s in (a, b)
        )
        xx, yy, xy = (_cubic(p, q) for p, q in ((x, x), (y, y), (x, y)))
        within = sum((k.sum() - np.trace(k)) / (size * (size - 1)) for k in (xx, yy))
        values.append(within - 2 * xy.mean())
    return float(np.mean(values)), float(np.std(values))


def _cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def csim(truth: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Cosine similarity of identity embeddings, -1 to 1; higher is better.

    Source: reported as CSIM since Zakharov et al. 2019, with ArcFace (Deng et al. 2019).

    Args:
        truth: (..., D) of the person who should be shown.
        output: (..., D) of who is.

    Returns:
        (...).
    """
    lengths = np.linalg.norm(truth, axis=-1) * np.linalg.norm(output, axis=-1)
    return (truth * output).sum(-1) / np.maximum(lengths, 1e-12)


def aed(truth: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Average Euclidean distance of identity embeddings of unit length, 0 to 2; lower is better.

    Source: FOMM (Siarohin et al. 2019), which takes OpenFace's embeddings. It is sqrt(2 - 2 `csim`).

    Args:
        truth: (..., D) of the true frame.
        output: (..., D) of the output's.

    Returns:
        (...).
    """
    return np.sqrt(np.maximum(0, 2 - 2 * csim(truth, output)))
