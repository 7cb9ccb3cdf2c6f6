"""How near a generated listener's motion comes to a real one's: the figures that papers on listeners report.

Motion is a clip of T frames and K coefficients: first the head's pose, then the face's expression in
the others. Each figure is taken of both parts apart and named for both: ``fd_pose``, ``fd_expression`` and so
on; `FIGURES` says what each means and which way is better.

The definitions are those of the code of DIM ("Dyadic Interaction Modeling for Social Behavior Generation",
Tran et al., ECCV 2024), whose numbers other papers quote, and of the REACT challenge's code (Song et al.
2023) for lag and diversity. What the coefficients are, how they are scaled and how long clips are changes all
of them: numbers of two protocols must never be put side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headgen.errors import InputError
from headgen.evaluation.bootstrap import Estimate, Value, bootstrap_difference, bootstrap_interval, ratio

__all__ = [
    "FIGURES",
    "Figure",
    "ListenerClip",
    "diversity",
    "entropy",
    "frechet_distance",
    "listener_differences",
    "listener_report",
    "motion_distance",
    "motion_scale",
    "response_lag",
]

SID_CLUSTERS = {"pose": 20, "expression": 40}
"""Clusters of the truth's frames in DIM's code."""
LAG_SECONDS = 2.0
"""Lags looked at stay below it, either way, as in REACT's code."""
LEAST_FRAMES = 2
"""Frames under which a clip has no covariance and is left out."""
KMEANS_ROUNDS = 100


@dataclass(frozen=True)
class Figure:
    """What a figure of `listener_report` is.

    Attributes:
        better: ``lower``, ``higher``, or ``truth`` where the truth's own figure is the aim.
        unit: in terms of the coefficients' own.
        about: what it tells, and how it is made.
    """

    better: Literal["lower", "higher", "truth"]
    unit: str
    about: str


FIGURES: dict[str, Figure] = {
    "fd": Figure("lower", "squared", "distance of the two distributions of frames; mean over clips (DIM)"),
    "pfd": Figure("lower", "squared", "fd with the speaker's columns beside: how the two go together (DIM)"),
    "mse": Figure("lower", "squared", "mean square error frame by frame; mean over clips (DIM)"),
    "sid": Figure("truth", "bits", "entropy of which clusters of the truth's frames are visited (DIM)"),
    "sid_truth": Figure("truth", "bits", "the truth's own sid"),
    "var": Figure("truth", "squared", "variance of all frames, clips and columns in one list (DIM)"),
    "var_truth": Figure("truth", "squared", "the truth's own var"),
    "var_within": Figure("truth", "squared", "variance of columns about their mean in the clip; 0 if still"),
    "var_within_truth": Figure("truth", "squared", "the truth's own var_within"),
    "rpcc": Figure("lower", "none", "|corr(truth, speaker) - corr(generated, speaker)|, in one list (DIM)"),
    "rpcc_within": Figure("lower", "none", "rpcc of columns less their mean in the clip: of motion alone"),
    "tlcc": Figure("lower", "frames", "mean |lag| at which listener and speaker correlate best (REACT)"),
    "diversity": Figure("higher", "squared", "mean square difference of two takes of a clip (FRDiv, REACT)"),
}
"""Figures by name, without the part that they are of.

``var`` and ``rpcc`` as coded by DIM put all columns in one list, so that what they find is mostly how the
columns' means differ: a still portrait has a variance and correlates with every speaker. Our design: the
``_within`` figures leave the means out and see motion only. Either ``rpcc`` finds out who mirrors a speaker,
hardly who keeps still: people's motion next to never correlates with a speaker's in the very same frame.
"""


@dataclass(frozen=True)
class ListenerClip:
    """Motion of one clip, all of the same frames.

    Attributes:
        speaker: (T, K) coefficients; NaN in frames without a face, here and below.
        truth: (T, K) of the real listener.
        generated: (T, K) of the listener that is judged.
        takes: more of them, (T, K) each, made of the same input with other seeds; for ``diversity`` only.
    """

    speaker: np.ndarray
    truth: np.ndarray
    generated: np.ndarray
    takes: tuple[np.ndarray, ...] = ()

    def __post_init__(self) -> None:
        shapes = {np.shape(m) for m in (self.speaker, self.truth, self.generated, *self.takes)}
        if len(shapes) > 1 or len(next(iter(shapes))) != 2:
            raise ValueError(
                f"all motion of a clip must be (frames, coefficients) of one shape, got {shapes}"
            )


def listener_report(
    clips: Sequence[ListenerClip],
    *,
    pose_columns: int = 3,
    scale: np.ndarray | None = None,
    fps: float = 25.0,
    seed: int = 0,
    resamples: int = 2000,
) -> dict[str, Estimate]:
    """All figures of a set of clips, with confidence intervals over clips.

    Frames in which one of the faces compared is missing are left out; clips with fewer than two frames left
    are left out of means. Clusters for ``sid`` are found once, in the truth, and kept while resampling.

    Args:
        clips: at least one; all with the same K.
        pose_columns: columns of pose; the others are expression. 3 for `headgen.faces.motion.MOTION_NAMES`.
        scale: (K,) by which columns are divided first, see `motion_scale`, so that coefficients of different
            units count alike; None takes them as they are, as DIM does.
        fps: frames/s.
        seed: of the clusters and of the resampling.
        resamples: of the bootstrap.

    Returns:
        value, low and high end of the 95 % interval, by the name of the figure and of the part. What is not
        defined is NaN: lags of a face that never moves. ``diversity`` only if every clip has more takes.

    Raises:
        InputError: fewer frames of the truth that differ than `sid` has clusters.
    """
    generator = np.random.default_rng(seed)
    figures = _figures(clips, pose_columns, scale, fps, generator)
    return {
        name: bootstrap_interval(statistics, value, generator, resamples=resamples)
        for name, (statistics, value) in figures.items()
    }


def listener_differences(
    ours: Sequence[ListenerClip],
    others: Sequence[ListenerClip],
    *,
    pose_columns: int = 3,
    scale: np.ndarray | None = None,
    fps: float = 25.0,
    seed: int = 0,
    resamples: int = 2000,
) -> dict[str, Estimate]:
    """Figures of one system less those of another, with confidence intervals over the clips both were given.

    Args:
        ours: clips of one system.
        others: the same clips, in the same order, of the other: speakers and truths are the same.
        pose_columns: as in `listener_report`.
        scale: likewise.
        fps: likewise.
        seed: likewise.
        resamples: likewise.

    Returns:
        differences by name; the systems differ where the interval does not hold 0.

    Raises:
        InputError: as in `listener_report`.
        ValueError: other clips.
    """
    if [clip.truth.shape for clip in ours] != [clip.truth.shape for clip in others]:
        raise ValueError("both systems must be given the same clips in the same order")
    # the same seed twice: clusters of the same truth
    mine, theirs = (
        _figures(c, pose_columns, scale, fps, np.random.default_rng(seed)) for c in (ours, others)
    )
    generator = np.random.default_rng(seed)
    return {
        name: bootstrap_difference(statistics, theirs[name][0], value, generator, resamples=resamples)
        for name, (statistics, value) in mine.items()
        if name in theirs
    }


def motion_scale(truths: Iterable[np.ndarray]) -> np.ndarray:
    """How much each coefficient moves: its standard deviation about its mean in the clip, over all clips.

    Args:
        truths: (T, K) each; NaN in frames without a face.

    Returns:
        (K,); 1 for a coefficient that never moves.
    """
    rows = np.concatenate([_about_mean(m[np.isfinite(m).all(1)]) for m in truths])
    deviation = np.sqrt((rows**2).mean(0))
    return np.where(deviation > 1e-9, deviation, 1.0)


def frechet_distance(mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray) -> float:
    """Squared 2-Wasserstein distance of two Gaussians: |ma - mb|^2 + tr(A + B - 2 (A B)^(1/2)).

    Our design: the trace of the root is the sum of the singular values of A^(1/2) B^(1/2), with symmetric
    roots from eigenvalues. It is real and finite for covariances of any rank, which a root of the product
    itself is not when a coefficient never moves.

    Args:
        mean_a: (K,).
        cov_a: (K, K) symmetric, no negative eigenvalues.
        mean_b: likewise.
        cov_b: likewise.

    Returns:
        0 for equal Gaussians, never less; lower is nearer.
    """
    shared = np.linalg.svd(_root(cov_a) @ _root(cov_b), compute_uv=False).sum()
    moved = ((mean_a - mean_b) ** 2).sum()
    return max(0.0, float(moved + np.trace(cov_a) + np.trace(cov_b) - 2 * shared))


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def motion_distance(a: np.ndarray, b: np.ndarray) -> float:
    """`frechet_distance` of the frames of two motions, (T, K) and (U, K), two frames each at least.

    Covariances are unbiased (divided by frames less one), as DIM's are. With the speaker's columns put before
    the listener's on both sides, it is P-FD.
    """
    return frechet_distance(a.mean(0), _covariance(a), b.mean(0), _covariance(b))


def _covariance(frames: np.ndarray) -> np.ndarray:
    return np.atleast_2d(np.cov(frames, rowvar=False))


def response_lag(speaker: np.ndarray, listener: np.ndarray, fps: float = 25.0) -> float:
    """Frames by which a listener's motion follows a speaker's, where the two correlate best.

    As in REACT's TLCC: of all lags under two seconds, the one at which the mean over the columns of Pearson's
    correlation is greatest. Our design: columns that stay constant are left out instead of giving no number,
    and so are lags that leave less than half the frames.

    Args:
        speaker: (T, K); NaN in frames without a face.
        listener: (T, K) likewise; as many columns, of the same meaning.
        fps: frames/s.

    Returns:
        negative if the listener is ahead; NaN if no column moves in both.
    """
    most = min(int(LAG_SECONDS * fps - 1), len(speaker) // 2)
    lags = range(-most, most + 1)
    best = [_column_correlation(*_shifted(speaker, listener, lag)) for lag in lags]
    return float(lags[int(np.nanargmax(best))]) if np.isfinite(best).any() else np.nan


def _shifted(speaker: np.ndarray, listener: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    frames = len(speaker)
    return speaker[max(0, -lag) : frames - max(0, lag)], listener[max(0, lag) : frames - max(0, -lag)]


def _column_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over the columns of Pearson's correlation; NaN if no column moves in both."""
    seen = _known(a, b)
    if seen.sum() < LEAST_FRAMES:
        return np.nan
    a, b = _about_mean(a[seen]), _about_mean(b[seen])
    spread = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    moves = spread > 0
    return float(((a * b).sum(0)[moves] / spread[moves]).mean()) if moves.any() else np.nan


def diversity(takes: Sequence[np.ndarray]) -> float:
    """Mean square difference between two takes, over frames, columns and all pairs of takes (REACT's FRDiv).

    Args:
        takes: two or more, (T, K) each; NaN in frames without a face, which count in no take.

    Returns:
        0 if all takes are the same, higher is more varied; NaN if no frame is known in all.
    """
    stack = np.stack(takes).astype(np.float64)  # (N, T, K)
    stack = stack[:, np.isfinite(stack).all((0, 2))]
    if stack.shape[1] == 0:
        return np.nan
    # the mean square difference of all pairs is twice the unbiased variance
    return float(2 * stack.var(0, ddof=1).mean())


def entropy(counts: np.ndarray) -> np.ndarray:
    """Entropy in bits of how often each of k clusters was visited: 0 for one, log2 k for all alike.

    Args:
        counts: (..., k), not negative, any sum.

    Returns:
        (...); NaN where all counts are 0.
    """
    total = counts.sum(-1, keepdims=True)
    share = ratio(counts, total)
    return -(share * np.log2(np.where(share > 0, share, 1))).sum(-1)


def _figures(
    clips: Sequence[ListenerClip],
    pose_columns: int,
    scale: np.ndarray | None,
    fps: float,
    generator: np.random.Generator,
) -> dict[str, tuple[np.ndarray, Value]]:
    """Statistics (C, S) of each clip for each figure, and what makes the figure of their mean."""
    if not clips:
        raise ValueError("no clips to measure")
    out: dict[str, tuple[np.ndarray, Value]] = {}
    for part, columns in (("pose", slice(0, pose_columns)), ("expression", slice(pose_columns, None))):
        parts = [_part(clip, columns, scale) for clip in clips]
        for name, figure in _part_figures(parts, SID_CLUSTERS[part], fps, generator, part).items():
            out[f"{name}_{part}"] = figure
    return out


def _part(clip: ListenerClip, columns: slice, scale: np.ndarray | None) -> ListenerClip:
    def chosen(motion: np.ndarray) -> np.ndarray:
        values = np.asarray(motion, np.float64)
        return (values if scale is None else values / scale)[:, columns]

    takes = tuple(chosen(take) for take in clip.takes)
    return ListenerClip(chosen(clip.speaker), chosen(clip.truth), chosen(clip.generated), takes)


def _part_figures(
    clips: Sequence[ListenerClip], clusters: int, fps: float, generator: np.random.Generator, part: str
) -> dict[str, tuple[np.ndarray, Value]]:
    pairs, threes = [], []
    for clip in clips:
        seen = _known(clip.truth, clip.generated)
        pairs.append((clip.truth[seen], clip.generated[seen]))
        seen &= _known(clip.speaker)
        threes.append((clip.speaker[seen], clip.truth[seen], clip.generated[seen]))
    truths, made = [t for t, _ in pairs], [g for _, g in pairs]
    centres = _clusters(np.concatenate(truths), clusters, generator, part)
    origin = float(np.concatenate(truths).mean())  # less is lost of small variances about it than about 0
    figures: dict[str, tuple[np.ndarray, Value]] = {
        "fd": _mean_of(motion_distance(t, g) if len(t) >= LEAST_FRAMES else np.nan for t, g in pairs),
        "pfd": _mean_of(
            motion_distance(np.hstack([s, t]), np.hstack([s, g])) if len(s) >= LEAST_FRAMES else np.nan
            for s, t, g in threes
        ),
        "mse": _mean_of(float(((t - g) ** 2).mean()) if len(t) else np.nan for t, g in pairs),
    }
    for suffix, motions in (("", made), ("_truth", truths)):
        visits = np.stack([np.bincount(_nearest(m, centres), minlength=clusters) for m in motions])
        spread = [np.array([m.size, (m - origin).sum(), ((m - origin) ** 2).sum()]) for m in motions]
        within = [np.array([m.size, 0.0, (_about_mean(m) ** 2).sum()]) for m in motions]
        figures["sid" + suffix] = visits.astype(np.float64), entropy
        figures["var" + suffix] = np.stack(spread), _variance
        figures["var_within" + suffix] = np.stack(within), _variance
    figures["rpcc"] = np.stack([_products(*(m - origin for m in three)) for three in threes]), _rpcc
    figures["rpcc_within"] = np.stack([_products(*map(_about_mean, three)) for three in threes]), _rpcc
    figures["tlcc"] = _mean_of(abs(response_lag(c.speaker, c.generated, fps)) for c in clips)
    if all(clip.takes for clip in clips):
        figures["diversity"] = _mean_of(diversity([c.generated, *c.takes]) for c in clips)
    return figures


def _known(*motions: np.ndarray) -> np.ndarray:
    """(T,) frames in which every motion (T, K) is known."""
    return np.logical_and.reduce([np.isfinite(m).all(1) for m in motions])


def _about_mean(frames: np.ndarray) -> np.ndarray:
    """(T, K) less each column's mean, exactly 0 where a column is constant; no frames stay none."""
    moved = frames - frames[:1]
    return moved - moved.mean(0) if len(frames) else moved


def _mean_of(values: Iterable[float]) -> tuple[np.ndarray, Value]:
    """Statistics (C, 2) of a mean over the clips in which a figure is defined."""
    each = np.array(list(values))
    defined = np.isfinite(each)
    return np.stack([np.where(defined, each, 0), defined], 1), lambda sums: ratio(sums[..., 0], sums[..., 1])


def _variance(statistics: np.ndarray) -> np.ndarray:
    """From count, sum and sum of squares."""
    count, total, squares = np.moveaxis(statistics, -1, 0)
    count = np.where(count > 0, count, np.nan)
    return np.maximum(squares / count - (total / count) ** 2, 0)


def _products(speaker: np.ndarray, truth: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """(9,) what two correlations with the speaker are made of, all columns in one list."""
    s, t, g = speaker.ravel(), truth.ravel(), generated.ravel()
    return np.array([s.size, s.sum(), s @ s, t.sum(), t @ t, s @ t, g.sum(), g @ g, s @ g])


def _rpcc(products: np.ndarray) -> np.ndarray:
    """From the mean of `_products`; a motion that is constant correlates with nothing."""
    count, s, ss, t, tt, st, g, gg, sg = np.moveaxis(products, -1, 0)
    count = np.where(count > 0, count, np.nan)

    def correlation(b: np.ndarray, bb: np.ndarray, sb: np.ndarray) -> np.ndarray:
        a, b = s / count, b / count
        spreads = (ss / count - a**2) * (bb / count - b**2)
        moves = spreads > 1e-18
        return np.where(moves, (sb / count - a * b) / np.sqrt(np.where(moves, spreads, 1)), 0 * spreads)

    return np.abs(correlation(t, tt, st) - correlation(g, gg, sg))


def _clusters(frames: np.ndarray, count: int, generator: np.random.Generator, part: str) -> np.ndarray:
    """Centres (count, K) of k-means: seeded as k-means++, then Lloyd's rounds until nothing changes.

    Raises:
        InputError: fewer frames that differ than clusters.
    """
    different = len(np.unique(frames, axis=0))
    if different < count:
        raise InputError(
            f"the listener's true {part} has {different} frames that differ, and the diversity index sorts "
            f"them into {count} clusters: give more or longer clips"
        )
    centres = np.empty((count, frames.shape[1]))
    centres[0] = frames[generator.integers(len(frames))]
    far = np.full(len(frames), np.inf)
    for k in range(1, count):
        far = np.minimum(far, ((frames - centres[k - 1]) ** 2).sum(1))
        centres[k] = frames[generator.choice(len(frames), p=far / far.sum())]
    labels = _nearest(frames, centres)
    for _ in range(KMEANS_ROUNDS):
        for k in np.unique(labels):  # a cluster that has lost all its frames stays where it was
            centres[k] = frames[labels == k].mean(0)
        before, labels = labels, _nearest(frames, centres)
        if np.array_equal(before, labels):
            break
    return centres


def _nearest(frames: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(T,) number of the centre nearest to each frame."""
    middle = centres.mean(0)
    frames, centres = frames - middle, centres - middle
    return ((centres**2).sum(1) - 2 * frames @ centres.T).argmin(1)
