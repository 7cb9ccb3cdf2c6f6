"""The figures are what their formulas say, on motion for which that is known in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headgen.errors import InputError
from headgen.evaluation.bootstrap import bootstrap_difference, bootstrap_interval
from headgen.evaluation.motion_metrics import (
    FIGURES,
    ListenerClip,
    diversity,
    entropy,
    frechet_distance,
    listener_differences,
    listener_report,
    motion_distance,
    motion_scale,
    response_lag,
)

PARTS = ("pose", "expression")
K, POSE = 7, 3


def rotation(size: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


def walk(rng: np.random.Generator, frames: int = 200, columns: int = K) -> np.ndarray:
    """Smooth motion about a resting face of its own."""
    steps = np.cumsum(rng.standard_normal((frames, columns)), 0)
    return 0.2 * (steps - steps.mean(0)) + rng.standard_normal(columns)


def clips_of(count: int = 8, frames: int = 200, seed: int = 0) -> list[ListenerClip]:
    """Listeners who follow the speaker; those generated follow less."""
    out = []
    for rng in np.random.default_rng(seed).spawn(count):
        speaker = walk(rng, frames)
        truth = 0.6 * speaker + walk(rng, frames)
        out.append(ListenerClip(speaker, truth, 0.3 * speaker + walk(rng, frames)))
    return out


def values(report) -> dict[str, float]:
    return {name: estimate.value for name, estimate in report.items()}


def test_frechet_distance_of_known_gaussians(agrees):
    a, b = np.array([4.0, 1.0, 0.25]), np.array([1.0, 9.0, 0.25])
    move = np.array([1.0, -2.0, 0.5])
    # with common axes it is the sum of squared differences of means and of standard deviations
    expected = (move**2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    for turn in (np.eye(3), rotation(3, 1)):
        found = frechet_distance(move, turn @ np.diag(a) @ turn.T, np.zeros(3), turn @ np.diag(b) @ turn.T)
        agrees("FD", "Gaussians with common axes", found, expected, 1e-6)
    # a quarter turn of an ellipse: tr sqrt(S1 S2) = 2 sqrt(s1 s2)
    one, other = np.diag([9.0, 1.0]), np.diag([1.0, 9.0])
    found = frechet_distance(np.zeros(2), one, np.zeros(2), other)
    agrees("FD", "an ellipse turned by a quarter", found, 20 - 2 * 2 * 3, 1e-6)
    # axes that are not common: A^(1/2) B A^(1/2) has the eigenvalues of A B
    slanted = rotation(2, 2) @ one @ rotation(2, 2).T
    shared = np.sqrt(np.linalg.eigvals(one @ slanted).real).sum()
    found = frechet_distance(np.zeros(2), one, np.zeros(2), slanted)
    agrees("FD", "eigenvalues of a slanted ellipse", found, 20 - 2 * shared, 1e-6)


def test_frechet_distance_of_covariances_without_full_rank():
    rng = np.random.default_rng(3)
    low, lower = rng.standard_normal((50, 2)), rng.standard_normal((50, 1))
    covariance, other = (np.cov((m @ rng.standard_normal((m.shape[1], 50))).T) for m in (low, lower))
    mean = np.zeros(50)
    assert frechet_distance(mean, covariance, mean, covariance) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(mean, covariance, mean, 0 * covariance) == pytest.approx(np.trace(covariance))
    there, back = (frechet_distance(mean, x, mean, y) for x, y in ((covariance, other), (other, covariance)))
    assert there == pytest.approx(back)
    assert 0 < there < np.trace(covariance) + np.trace(other)


def test_distance_of_motions(agrees):
    rng = np.random.default_rng(4)
    motion = walk(rng, 120)
    turn, shift = rotation(K, 5), rng.standard_normal(K)
    agrees("FD", "0 for the same motion", motion_distance(motion, motion), 0, 1e-9)
    assert motion_distance(motion, rng.permutation(motion)) == pytest.approx(
        0, abs=1e-9
    )  # order is no matter
    assert motion_distance(motion, motion + shift) == pytest.approx((shift**2).sum())
    grown = motion_distance(motion - motion.mean(0), 3 * (motion - motion.mean(0)))
    assert grown == pytest.approx(4 * motion.var(0, ddof=1).sum())
    other = walk(rng, 90)
    assert motion_distance(motion @ turn, other @ turn) == pytest.approx(motion_distance(motion, other))


def test_entropy_of_known_occupancies(agrees):
    agrees("SID, bits", "forty places visited alike", entropy(np.full(40, 7)), np.log2(40), 1e-9)
    assert entropy(np.eye(20)[3] * 500) == 0
    assert entropy(np.array([[1, 1, 0, 0], [2, 1, 1, 0]])) == pytest.approx([1, 1.5])
    assert np.isnan(entropy(np.zeros(4)))


@pytest.mark.parametrize("shift", [-20, 0, 7, 33])
def test_lag_of_a_shifted_copy_is_the_shift(shift, agrees):
    rng = np.random.default_rng(6)
    motion = walk(rng, 400, 5)
    speaker, listener = motion[50:350], motion[50 - shift : 350 - shift] * [1, 2, 3, 4, 0] + 5
    agrees("TLCC, frames", "copies shifted by known frames", response_lag(speaker, listener), shift, 0)
    gaps = rng.random(300) < 0.2
    assert response_lag(np.where(gaps[:, None], np.nan, speaker), listener) == shift


def test_lag_of_nothing_is_nothing():
    motion = walk(np.random.default_rng(7))
    assert np.isnan(response_lag(motion, np.ones_like(motion)))
    assert np.isnan(response_lag(motion, np.full_like(motion, np.nan)))
    assert abs(response_lag(motion, motion[::-1].copy(), fps=10)) <= 19


def test_diversity_is_the_mean_square_difference_of_pairs(agrees):
    takes = np.random.default_rng(8).standard_normal((4, 30, 5))
    pairs = [((takes[i] - takes[j]) ** 2).mean() for i in range(4) for j in range(i)]
    agrees("diversity", "all pairs, one by one", diversity(list(takes)), np.mean(pairs), 1e-9)
    assert diversity([takes[0], takes[0]]) == 0
    takes[1, :10] = np.nan
    assert diversity(list(takes)) == pytest.approx(diversity(list(takes[:, 10:])))


def test_the_truth_itself_scores_as_the_truth():
    clips = [replace(clip, generated=clip.truth, takes=(clip.truth,)) for clip in clips_of()]
    report = listener_report(clips, resamples=50)
    assert {name.rsplit("_", 1)[0] for name in report} == set(FIGURES)
    found = values(report)
    for part in PARTS:
        for name in ("fd", "pfd", "mse", "rpcc", "rpcc_within", "diversity"):
            assert found[f"{name}_{part}"] == pytest.approx(0, abs=1e-9)
        for name in ("sid", "var", "var_within"):
            assert found[f"{name}_{part}"] == found[f"{name}_truth_{part}"] > 0


def test_report_is_what_the_definitions_say(agrees):
    clips = clips_of()
    found = values(listener_report(clips, resamples=50))
    for part, columns in (("pose", slice(0, POSE)), ("expression", slice(POSE, None))):
        s, t, g = ([getattr(c, who)[:, columns] for c in clips] for who in ("speaker", "truth", "generated"))
        apart = [motion_distance(a, b) for a, b in zip(t, g, strict=True)]
        assert found[f"fd_{part}"] == pytest.approx(np.mean(apart))
        with_speaker = [[np.hstack(pair) for pair in zip(s, who, strict=True)] for who in (t, g)]
        both = [motion_distance(a, b) for a, b in zip(*with_speaker, strict=True)]
        agrees("P-FD", "FD of both stacked", found[f"pfd_{part}"], np.mean(both), 1e-6)
        squares = [((a - b) ** 2).mean() for a, b in zip(t, g, strict=True)]
        agrees("MSE", "NumPy", found[f"mse_{part}"], np.mean(squares), 1e-9)
        agrees("Var", "NumPy", found[f"var_{part}"], np.var(np.concatenate(g)), 1e-9)
        assert found[f"var_within_{part}"] == pytest.approx(np.mean([m.var(0) for m in g]))
        flat = [np.concatenate(m).ravel() for m in (s, t, g)]
        corr = np.corrcoef(flat)[0]
        agrees("rPCC", "NumPy's corrcoef", found[f"rpcc_{part}"], abs(corr[1] - corr[2]), 1e-9)
        flat = [np.concatenate([m - m.mean(0) for m in who]).ravel() for who in (s, t, g)]
        corr = np.corrcoef(flat)[0]
        assert found[f"rpcc_within_{part}"] == pytest.approx(abs(corr[1] - corr[2]))
        lags = [abs(response_lag(a, b)) for a, b in zip(s, g, strict=True)]
        assert found[f"tlcc_{part}"] == pytest.approx(np.mean(lags))
        assert 0 < found[f"sid_{part}"] < np.log2({"pose": 20, "expression": 40}[part])


def test_still_listeners_are_seen_to_be_still():
    clips = [replace(c, generated=np.tile(c.truth.mean(0), (len(c.truth), 1))) for c in clips_of()]
    found = values(listener_report(clips, resamples=50))
    for part, columns in (("pose", slice(0, POSE)), ("expression", slice(POSE, None))):
        spread = [c.truth[:, columns].var(0, ddof=1).sum() for c in clips]
        assert found[f"fd_{part}"] == pytest.approx(np.mean(spread))  # as much as they should have moved
        assert found[f"var_within_{part}"] == 0 < found[f"var_{part}"]
        assert found[f"sid_{part}"] <= np.log2(len(clips))
        assert found[f"rpcc_within_{part}"] > 0.2
        assert np.isnan(found[f"tlcc_{part}"])


def test_clusters_are_visited_alike_by_whoever_does_as_the_truth():
    # forty places, each held for as long
    places = 10 * np.random.default_rng(9).standard_normal((40, K))
    held = np.repeat(places, 5, axis=0)
    clip = ListenerClip(held, held, held[::-1])
    found = values(listener_report([clip], resamples=10))
    assert found["sid_expression"] == found["sid_truth_expression"] == pytest.approx(np.log2(40))
    stuck = values(
        listener_report([replace(clip, generated=np.repeat(places[:1], 200, axis=0))], resamples=10)
    )
    assert stuck["sid_expression"] == stuck["sid_pose"] == 0


def test_too_few_frames_for_clusters_is_said():
    clip = clips_of(1, 30)[0]
    with pytest.raises(InputError, match="expression has 30 frames that differ.*40 clusters"):
        listener_report([clip])
    with pytest.raises(ValueError, match="one shape"):
        ListenerClip(clip.speaker, clip.truth, clip.generated[1:])


def test_frames_without_a_face_are_left_out():
    clips = clips_of()
    rng = np.random.default_rng(10)
    gone, kept = [], []
    for clip in clips:
        lost = rng.random(len(clip.truth)) < 0.2
        blind = np.where(lost[:, None], np.nan, clip.generated)
        gone.append(replace(clip, generated=blind))
        kept.append(ListenerClip(clip.speaker[~lost], clip.truth[~lost], clip.generated[~lost]))
    missing = replace(clips[0], generated=np.full_like(clips[0].truth, np.nan))
    found, expected = values(listener_report([*gone, missing])), values(listener_report(kept))
    for name, value in found.items():
        if not name.startswith("tlcc"):  # lags count the missing frames in
            assert value == pytest.approx(expected[name]), name
    assert not np.isnan(list(found.values())).any()


def test_scale_makes_units_alike():
    clips = clips_of()
    units = np.array([10.0, 1, 1, 0.01, 1, 1, 1])
    scale = motion_scale(clip.truth for clip in clips)
    assert motion_scale(clip.truth * units for clip in clips) == pytest.approx(scale * units)
    other = [ListenerClip(c.speaker * units, c.truth * units, c.generated * units) for c in clips]
    plain = values(listener_report(clips, scale=scale, resamples=20))
    assert values(listener_report(other, scale=scale * units, resamples=20)) == pytest.approx(plain)
    assert plain["var_within_truth_pose"] == pytest.approx(1)
    assert motion_scale([np.ones((5, 2))]) == pytest.approx([1, 1])


def test_better_listeners_are_told_from_worse_on_the_same_clips():
    clips = clips_of(20)
    near = [replace(c, generated=c.truth + 0.1 * walk(np.random.default_rng(k))) for k, c in enumerate(clips)]
    difference = listener_differences(near, clips, resamples=500)
    for name in ("fd", "pfd", "mse", "rpcc_within"):
        for part in PARTS:
            assert difference[f"{name}_{part}"].high < 0, name
    assert difference["sid_truth_pose"] == (0, 0, 0)  # the same clusters of the same truth
    same = listener_differences(clips, clips, resamples=50)
    assert np.array(list(same.values())) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="same clips"):
        listener_differences(clips, clips[1:])


def test_same_seed_same_report():
    clips = clips_of(4)
    assert listener_report(clips, resamples=50) == listener_report(clips, resamples=50)
    assert listener_report(clips, resamples=50) != listener_report(clips, resamples=50, seed=1)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(200):
        skewed = rng.exponential(size=(25, 1))
        _, low, high = bootstrap_interval(skewed, lambda m: m[..., 0], rng, level=0.9, resamples=400)
        held += low <= 1 <= high
    assert 0.82 < held / 200 < 0.95


def test_intervals_of_what_cannot_vary():
    rng = np.random.default_rng(12)
    assert bootstrap_interval(np.full((9, 1), 0.5), lambda m: m[..., 0], rng) == (0.5, 0.5, 0.5)
    alone = bootstrap_interval(np.ones((1, 1)), lambda m: m[..., 0], rng)
    assert (alone.value, alone.low, alone.high) == (1, -np.inf, np.inf)
    undefined = bootstrap_interval(np.zeros((5, 1)), lambda m: np.full(m.shape[:-1], np.nan), rng)
    assert np.isnan(undefined).all()
    with pytest.raises(ValueError, match="finite"):
        bootstrap_interval(np.array([[1.0], [np.nan]]), lambda m: m[..., 0], rng)


def test_paired_differences_are_narrower():
    rng = np.random.default_rng(13)
    hard = 10 * rng.exponential(size=(40, 1))  # clips differ much, systems little
    ours, others = hard + 0.1 * rng.standard_normal((40, 1)), hard + 0.2
    paired = bootstrap_difference(ours, others, lambda m: m[..., 0], rng)
    apart = bootstrap_interval(ours, lambda m: m[..., 0], rng)
    assert paired.high < 0 and paired.value == pytest.approx((ours - others).mean())
    assert paired.high - paired.low < 0.1 * (apart.high - apart.low)
