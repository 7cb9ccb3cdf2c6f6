"""Confidence intervals over clips, for any figure that is made of the mean of per-clip numbers.

A figure is given by its *statistics*, S numbers for each of C clips, and by what it makes of their mean over
the clips: a mean distance is its own statistic, a correlation over all frames needs sums and products, an F1
needs counts. Resampling clips is then a product of matrices, and figures of two systems on the same clips are
resampled together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

__all__ = ["Estimate", "Value", "bootstrap_difference", "bootstrap_interval", "ratio"]

Value = Callable[[np.ndarray], np.ndarray]
"""(..., S) mean statistics -> (...) the figure; NaN where it is not defined."""


class Estimate(NamedTuple):
    """A figure and its confidence interval; NaN where it is not defined."""

    value: float
    low: float
    high: float


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """One over the other, NaN where there is nothing to divide by: a figure of counts or sums."""
    return np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)


def bootstrap_interval(
    statistics: np.ndarray,
    value: Value,
    generator: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> Estimate:
    """Bias-corrected and accelerated bootstrap (BCa) over clips.

    Source: Efron 1987, "Better bootstrap confidence intervals". Clips are drawn with replacement, never
    frames: those of one clip are not independent.

    Args:
        statistics: (C, S) finite numbers of each clip; C of 1 or more.
        value: makes the figure of their mean.
        generator: source of chance.
        level: of confidence, between 0 and 1.
        resamples: how often C clips are drawn.

    Returns:
        the figure of all clips, and its interval: infinitely wide for a single clip, which says nothing about
        others.

    Raises:
        ValueError: no clips, or statistics that are not finite.
    """
    rows = np.asarray(statistics, np.float64)
    if rows.ndim != 2 or len(rows) == 0 or not np.isfinite(rows).all():
        raise ValueError(f"expected finite statistics (clips, numbers), got {rows.shape}")
    clips = len(rows)
    whole = float(value(rows.mean(0)))
    if np.isnan(whole):
        return Estimate(whole, np.nan, np.nan)
    if clips == 1:
        return Estimate(whole, -np.inf, np.inf)
    drawn = generator.multinomial(clips, np.full(clips, 1 / clips), size=resamples)
    values = value(drawn @ rows / clips)
    values = values[np.isfinite(values)]
    # what the figure does without one clip tells how its spread changes with its value
    without = value((rows.sum(0) - rows) / (clips - 1))
    pull = np.nanmean(without) - without[np.isfinite(without)]
    spread = (pull**2).sum() ** 1.5
    acceleration = (pull**3).sum() / (6 * spread) if spread > 0 else 0.0
    below = (values < whole).mean() + (values == whole).mean() / 2
    bias = norm.ppf(np.clip(below, 0.5 / len(values), 1 - 0.5 / len(values)))
    ends = bias + norm.ppf([(1 - level) / 2, (1 + level) / 2])
    shares = norm.cdf(bias + ends / (1 - acceleration * ends))
    low, high = np.quantile(values, shares)
    return Estimate(whole, float(low), float(high))


def bootstrap_difference(
    ours: np.ndarray,
    others: np.ndarray,
    value: Value,
    generator: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> Estimate:
    """Interval of the difference of one figure between two systems on the same clips.

    Both are resampled together, so that clips which are hard for both do not widen the interval.

    Args:
        ours: (C, S) statistics of one system.
        others: (C, S) of the other: the same clips in the same order.
        value: as in `bootstrap_interval`.
        generator: likewise.
        level: likewise.
        resamples: likewise.

    Returns:
        ours less others, and its interval: the systems differ where it does not hold 0.

    Raises:
        ValueError: as in `bootstrap_interval`, or shapes that differ.
    """
    if np.shape(ours) != np.shape(others):
        raise ValueError(f"statistics of the same clips must have one shape: {ours.shape}, {others.shape}")
    width = ours.shape[1]

    def difference(both: np.ndarray) -> np.ndarray:
        return value(both[..., :width]) - value(both[..., width:])

    return bootstrap_interval(np.concatenate([ours, others], 1), difference, generator, level, resamples)
