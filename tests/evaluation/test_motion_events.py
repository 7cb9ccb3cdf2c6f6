"""Events are found where they were put, in curves made up here and in synthetic conversations."""

from __future__ import annotations

import numpy as np
import pytest

from headgen.evaluation.motion_events import EventClip, event_report, event_scores, shuffled_counts
from headgen.faces.events import (
    MotionEvent,
    blinks,
    brow_raises,
    full_extent,
    motion_events,
    nods,
    shakes,
    smiles,
)
from headgen.faces.motion import MOTION_NAMES

FPS = 25.0
NOISE = {"yaw": 0.3, "pitch": 0.3, "roll": 0.2}  # degrees, as a tracker's; .006 for all other columns


def curve(seconds: float, *bumps: tuple[float, float, float], fps: float = FPS) -> np.ndarray:
    """Zero but for smooth bumps of (start, length, height)."""
    times = np.arange(round(seconds * fps)) / fps
    out = np.zeros(len(times))
    for start, length, height in bumps:
        phase = np.clip((times - start) / length, 0, 1)
        out += height * np.sin(np.pi * phase) ** 2
    return out


def event(start: float, end: float | None = None) -> MotionEvent:
    return MotionEvent("nod", start, start + 0.5 if end is None else end, 1.0)


@pytest.mark.parametrize("fps", [25.0, 30.0, 60.0])
def test_single_and_repeated_nods_are_told_apart(fps):
    pitch = curve(12, (2, 0.6, -6), (6, 0.45, -8), (6.45, 0.45, -6), (6.9, 0.45, -4), fps=fps)
    found = nods(pitch, fps)
    assert [e.kind for e in found] == ["nod", "nods"]
    assert [e.start for e in found] == pytest.approx([2.1, 6.05], abs=0.1)
    assert [e.end for e in found] == pytest.approx([2.5, 7.3], abs=0.1)
    assert [e.strength for e in found] == pytest.approx([5.5, 6.5], abs=0.6)  # smoothing takes a little


def test_what_is_no_nod():
    rising_and_falling = curve(8, (2, 1.0, 9), (5, 0.7, 9))  # a laugh throws the head back
    times = np.arange(200) / FPS
    slow = 8 * np.sin(2 * np.pi * 0.25 * times)
    assert nods(rising_and_falling) == nods(slow) == nods(curve(8, (2, 0.6, -1.5))) == []
    assert nods(np.zeros(0)) == nods(np.zeros(1)) == nods(np.full(50, np.nan)) == []


def test_nods_do_not_depend_on_where_the_head_points_or_drifts():
    pitch = curve(10, (2, 0.6, -6), (6, 0.6, -5))
    drift = 20 + 10 * np.sin(np.linspace(0, 3, len(pitch)))
    noise = 0.3 * np.random.default_rng(0).standard_normal(len(pitch))
    found = nods(pitch + drift + noise)
    assert [e.start for e in found] == pytest.approx([e.start for e in nods(pitch)], abs=0.1)


def test_a_shake_goes_to_both_sides():
    yaw = curve(10, (2, 0.5, 6), (2.4, 0.5, -6), (2.8, 0.5, 5), (3.2, 0.5, -4))
    (shake,) = shakes(yaw)
    assert shake.kind == "shake" and 1.9 < shake.start < 2.3 and 3.4 < shake.end < 3.8
    assert shakes(curve(10, (2, 1.5, 15), (6, 0.6, 6))) == []  # looking aside, once


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (0.29, 0.06), (40.0, -7.0)])
def test_blinks_smiles_and_brows_on_any_scale(scale, offset):
    rng = np.random.default_rng(1)
    noise = scale * 0.02 * rng.standard_normal((3, 500))
    looks_down = 0.4 * curve(20, (8, 3, 1))
    eyes = (
        offset + scale * (1 - curve(20, (3, 0.3, 1), (9, 0.3, 0.8), (15, 0.25, 0.9)) - looks_down) + noise[0]
    )
    mouth = offset + scale * curve(20, (4, 2.5, 0.9), (12, 3.0, 0.6)) + noise[1]
    brows = offset + scale * curve(20, (5, 0.8, 0.8)) + noise[2]
    for full in ((scale,) * 3, (full_extent([-eyes]), full_extent([mouth]), full_extent([brows]))):
        assert [e.start for e in blinks(eyes, full[0])] == pytest.approx([3.05, 9.05, 15.05], abs=0.1)
        found = smiles(mouth, full[1])
        assert [e.start for e in found] == pytest.approx([4.3, 12.3], abs=0.25)
        assert [e.end for e in found] == pytest.approx([6.2, 14.7], abs=0.25)
        assert [e.strength for e in found] == pytest.approx(np.array([0.9, 0.6]) * scale / full[1], abs=0.1)
        assert [e.start for e in brow_raises(brows, full[2])] == pytest.approx([5.1], abs=0.1)


def test_events_of_a_kind_do_not_overlap():
    first, second = blinks(1 - curve(6, (2, 0.4, 1), (2.28, 0.4, 0.8)), 1.0)  # lids part in between
    assert first.start < first.end <= second.start < second.end
    (smile,) = smiles(curve(12, (2, 4.0, 0.8)) - curve(12, (3.8, 0.5, 0.5)), 1.0)  # says a word in it
    assert smile.start == pytest.approx(2.6, abs=0.2) and smile.end == pytest.approx(5.4, abs=0.2)


def test_idle_faces_do_nothing():
    noise = 0.05 * np.random.default_rng(2).standard_normal(750)
    for find in (blinks, smiles, brow_raises):
        assert find(noise, 1.0) == find(np.zeros(100), 1.0) == find(np.full(9, np.nan), 1.0) == []
    shut = 1 - np.clip(curve(10, (3, 3.0, 3)), 0, 1)  # closed eyes are no blink
    assert blinks(shut, 1.0) == []


def test_frames_without_a_face_hide_events_but_make_none():
    pitch = curve(10, (2, 0.6, -6), (6, 0.6, -6))
    pitch[45:70] = np.nan  # all of the first nod
    pitch[155:157] = np.nan  # a little of the second
    (nod,) = nods(pitch)
    assert nod.start == pytest.approx(6.1, abs=0.1)


def test_all_kinds_from_named_coefficients():
    motion = np.zeros((500, len(MOTION_NAMES)))
    column = {name: k for k, name in enumerate(MOTION_NAMES)}
    motion[:, column["pitch"]] = curve(20, (2, 0.6, -6))
    motion[:, column["yaw"]] = curve(20, (5, 0.5, 6), (5.4, 0.5, -6), (5.8, 0.5, 5), (6.2, 0.5, -4))
    for side in ("left", "right"):
        motion[:, column[f"eye_{side}"]] = 0.32 - 0.25 * curve(20, (8, 0.3, 1))
        motion[:, column[f"smile_{side}"]] = -0.27 + 0.08 * curve(20, (11, 2.5, 1))
        motion[:, column[f"brow_{side}"]] = 0.25 + 0.06 * curve(20, (17, 0.8, 1))
    motion[:, column["mouth_width"]] = 0.5 + 0.1 * curve(20, (11, 2.5, 1))
    found = motion_events(motion)
    assert [e.kind for e in found] == ["nod", "shake", "blink", "smile", "brow_raise"]
    assert [e.strength for e in found[2:]] == pytest.approx([0.85, 0.6, 0.6], abs=0.1)
    with pytest.raises(ValueError, match="coefficients"):
        motion_events(motion[:, :5])


def test_scores_by_hand(agrees):
    truth = [event(1.0), event(4.0), event(7.0)]
    scores = event_scores([event(1.2), event(4.1, 4.4), event(9.0)], truth, 0.5)
    assert (scores.matched, scores.found, scores.truth) == (2, 3, 3)
    agrees("F1 of events", "counted by hand", (scores.precision, scores.recall, scores.f1), 2 / 3, 1e-9)
    agrees("delay of events, s", "counted by hand", scores.mean_delay, 0.15, 1e-9)
    agrees("tIoU of events", "counted by hand", scores.tiou, (0.3 / 0.7 + 0.3 / 0.5) / 2, 1e-9)
    assert event_scores(truth, truth, 0.01).f1 == event_scores(truth, truth, 0.01).tiou == 1


def test_one_event_answers_one_only_and_most_pairs_win():
    # nearest first would pair 1.3 with 1.4 and leave .9 and 1.8 without a partner
    scores = event_scores([event(0.9), event(1.4)], [event(1.3), event(1.8)], 0.5)
    assert scores.matched == 2
    assert scores.mean_delay == pytest.approx(-0.4)
    assert event_scores([event(1.0), event(1.1), event(1.2)], [event(1.0)], 0.5).precision == pytest.approx(
        1 / 3
    )


def test_empty_lists_are_not_perfect():
    nothing = event_scores([], [], 0.5)
    assert np.isnan([nothing.precision, nothing.recall, nothing.f1, nothing.tiou, nothing.mean_delay]).all()
    missed = event_scores([], [event(1)], 0.5)
    assert (missed.recall, missed.f1) == (0, 0) and np.isnan(missed.precision)


def test_chance_is_what_random_times_give():
    rng = np.random.default_rng(3)
    starts = [np.sort(rng.uniform(0, 29, 5)) for _ in range(20)]
    good = [EventClip([event(t + 0.1) for t in s], [event(t) for t in s], 30.0) for s in starts]
    report = event_report(good, 0.5, shuffles=100)
    assert report["f1"] == (1, 1, 1) and report["delay"].value == pytest.approx(0.1)
    # 5 events of 30 s hit a window of 1 s each: less than a sixth, as windows overlap
    assert 0.1 < report["chance_f1"].value < 1 / 6
    assert report["f1_above_chance"].low > 0.8

    others = [EventClip(a.found, b.truth, 30.0) for a, b in zip(good, good[1:] + good[:1], strict=True)]
    apart = event_report(others, 0.5)
    assert apart["f1_above_chance"].low < 0 < apart["f1_above_chance"].high
    assert apart == event_report(others, 0.5) != event_report(others, 0.5, seed=1)


def test_shuffles_keep_the_events_of_a_clip_together():
    clip = EventClip([event(1.0), event(3.0)], [event(1.0), event(3.0)], 10.0)
    counts = shuffled_counts([clip], 0.2, np.random.default_rng(0), 400)[:, 0]
    assert (counts[:, 1:3] == 2).all()
    # shifted by nothing both agree; by two seconds either way, one does
    assert (counts[:, 0] == 2).mean() == pytest.approx(0.04, abs=0.03)
    assert (counts[:, 0] == 1).mean() == pytest.approx(0.08, abs=0.04)


@pytest.fixture(scope="module")
def conversations():
    pytest.importorskip("espeakng_loader")
    from headgen.synth.conversation.conversation import make_conversation

    return [make_conversation(seed, 30.0) for seed in range(300, 305)]


@pytest.mark.parametrize("noisy", [False, True])
def test_events_of_synthetic_listeners_are_found(conversations, noisy):
    from headgen.synth.motion.response import coefficients_of

    rng = np.random.default_rng(4)
    spread = noisy * np.array([NOISE.get(name, 0.006) for name in MOTION_NAMES])
    clips: dict[str, list[EventClip]] = {"nod": [], "blink": [], "smile": []}
    for conversation in conversations:
        motion = coefficients_of(conversation.listener)
        found = motion_events(motion + spread * rng.standard_normal(motion.shape))
        for kind, kinds in (("nod", ("nod", "nods")), ("blink", ("blink",)), ("smile", ("smile", "laugh"))):
            seen = [e for e in found if e.kind in kinds]
            listed = [e for e in conversation.of("listener") if e.kind in kinds]
            clips[kind].append(EventClip(seen, listed, conversation.duration))
    for kind, least, tolerance in (("nod", 0.9, 0.5), ("blink", 0.95, 0.2), ("smile", 0.85, 0.5)):
        report = event_report(clips[kind], tolerance, shuffles=20)
        assert report["f1"].value > least, (kind, report["f1"])
        assert report["f1_above_chance"].low > 0.4, (kind, report["f1_above_chance"])
