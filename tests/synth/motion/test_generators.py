"""Generated motion: its statistics, its causality, and that events are where the curves move."""

from __future__ import annotations

import numpy as np
import pytest

from headgen.synth.conversation.events import LISTENER_KINDS
from headgen.synth.heads.expressions import INDEX
from headgen.synth.motion.blinks import blinks
from headgen.synth.motion.curves import band_noise, drift, event_times, interval_median, minimum_jerk
from headgen.synth.motion.face import face
from headgen.synth.motion.gaze import gaze
from headgen.synth.motion.head_pose import head_pose, posture
from headgen.synth.motion.idle import STYLES, Style, draw_style, idle_motion
from headgen.synth.motion.measure import measure_motion
from headgen.synth.motion.mouth import babble

FPS = 25.0
PARTS = ("expression", "head", "gaze", "translation", "torso")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: band_noise(n, FPS, rng(), 0.5, 1.0, 2),
        lambda n: drift(n, FPS, rng(), 1.5, 2),
        lambda n: head_pose(n, FPS, rng()),
        lambda n: posture(n, FPS, rng(), rate=4.0).torso,
        lambda n: gaze(n, FPS, rng(), np.zeros((n, 3))).gaze,
        lambda n: blinks(n, FPS, rng())[0],
        lambda n: face(n, FPS, rng(), rate=3.0)[0],
        lambda n: babble(n, FPS, rng()),
        lambda n: np.concatenate([getattr(idle_motion(n, FPS, rng())[0], part) for part in PARTS], 1),
    ],
    ids=["band_noise", "drift", "head_pose", "posture", "gaze", "blinks", "face", "babble", "idle_motion"],
)
def test_the_present_does_not_depend_on_the_future(make):
    whole = make(600)
    for frames in (1, 97, 400):
        np.testing.assert_array_equal(make(frames), whole[:frames])


def test_what_is_asked_for_later_changes_nothing_before():
    plain, _ = idle_motion(500, FPS, rng(3))
    forced, _ = idle_motion(500, FPS, rng(3), blink_at=[10.0])
    first = round(10 * FPS) + 1
    for part in PARTS:
        np.testing.assert_array_equal(getattr(plain, part)[:first], getattr(forced, part)[:first])
    turned = np.zeros((500, 3))
    turned[300:] = 20
    moved = gaze(500, FPS, rng(3), turned).gaze
    np.testing.assert_array_equal(moved[:300], gaze(500, FPS, rng(3), np.zeros((500, 3))).gaze[:300])


def test_same_seed_same_motion_and_other_seed_another():
    (a, events), (b, again), (c, _) = (idle_motion(200, FPS, rng(seed)) for seed in (1, 1, 2))
    assert events == again
    for part in PARTS:
        np.testing.assert_array_equal(getattr(a, part), getattr(b, part))
    assert not np.allclose(a.head, c.head)


@pytest.mark.parametrize("fps", [25.0, 60.0])
def test_noise_has_the_speed_asked_for_at_any_frame_rate(fps):
    noise = band_noise(round(400 * fps), fps, rng(), 1.0, 2.0, 4)
    assert (np.diff(noise, axis=0) * fps).std() == pytest.approx(1, rel=0.08)
    assert drift(round(400 * fps), fps, rng(), 1.0, 8).std() == pytest.approx(1, rel=0.1)


def test_intervals_make_the_rate_asked_for():
    times = [t for t, _ in event_times(6000, rng(), interval_median(10, 0.8), 0.8)]
    assert len(times) == pytest.approx(1000, rel=0.1)


def test_blinks_come_at_their_rate_and_shut_fast_and_open_slowly():
    _, made = blinks(round(1200 * FPS), FPS, rng(), rate=20)
    assert len(made) == pytest.approx(400, rel=0.15)
    assert {blink.strength < 1 for blink in made} == {True, False}
    curve, (only,) = blinks(200, 200.0, rng(), rate=1e-3, forced=[0.2])
    eye = curve[:, 0]
    peak = int(eye.argmax())
    assert only.start == 0.2 and only.strength == 1 and eye[peak] > 0.95
    closing = peak - int(np.argmax(eye > 0.05))
    opening = int(np.flatnonzero(eye > 0.05)[-1]) - peak
    assert opening > 1.7 * closing


def test_large_gaze_shifts_bring_blinks():
    shifts = np.stack([np.arange(5, 3000, 5.0), np.full(599, 30.0)], 1)
    _, made = blinks(round(3000 * FPS), FPS, rng(), rate=1e-3, shifts=shifts)
    assert 0.2 * 599 < len(made) < 0.5 * 599
    _, none = blinks(round(3000 * FPS), FPS, rng(), rate=1e-3, shifts=shifts * [1, 0.1])
    assert not none


def test_eyes_hold_the_partner_while_the_head_turns():
    frames = 2000
    head = np.zeros((frames, 3))
    head[:, 0] = 12 * np.sin(np.arange(frames) / FPS)
    looks = gaze(frames, FPS, rng(), head, away_share=0.0)
    sight = looks.gaze[:, 0] + head[:, 0]
    assert np.abs(sight).max() < 4
    assert not looks.away


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_share_of_looks_away(share):
    frames = round(1200 * FPS)
    looks = gaze(frames, FPS, rng(), np.zeros((frames, 3)), away_share=share)
    sight = looks.gaze + looks.head[:, :2]
    assert (np.linalg.norm(sight, axis=1) > 6).mean() == pytest.approx(share, abs=0.06)


def test_the_head_follows_far_looks_after_the_eyes():
    frames = round(120 * FPS)
    looks = gaze(frames, FPS, rng(), np.zeros((frames, 3)), away_share=0.4, head_share=0.4)
    far = max(looks.away[:-1], key=lambda away: (away.end - away.start) * away.strength)
    start, later = round(far.start * FPS) + 3, min(round(far.start * FPS) + 20, round(far.end * FPS))
    assert np.linalg.norm(looks.gaze[start]) > np.linalg.norm(looks.gaze[later - 1]) - 5
    assert np.linalg.norm(looks.head[start]) < np.linalg.norm(looks.head[later - 1])


def test_a_bad_share_is_refused():
    with pytest.raises(ValueError, match="away_share"):
        gaze(10, FPS, rng(), np.zeros((10, 3)), away_share=1.0)


def test_styles_differ_in_how_much_the_head_moves():
    speeds = []
    for style in STYLES.values():
        clips = [idle_motion(250, FPS, rng(k), style, "speaker")[0] for k in range(6)]
        speeds.append(np.median([measure_motion(clip, FPS).head_speed for clip in clips]))
    assert speeds[0] < speeds[1] < speeds[2]
    people = [draw_style("natural", rng(k)).liveliness for k in range(40)]
    assert np.std(np.log(people)) > 0.4
    with pytest.raises(ValueError, match="lively"):
        draw_style("mad", rng())


def test_events_are_where_the_curves_move():
    motion, events = idle_motion(3000, FPS, rng(4), Style(liveliness=0.3), first=7)
    assert [event.number for event in events] == list(range(7, 7 + len(events)))
    assert [event.start for event in events] == sorted(event.start for event in events)
    assert {event.kind for event in events} <= set(LISTENER_KINDS)
    assert {"blink", "gaze_away", "smile", "posture_shift"} <= {event.kind for event in events}
    lids = motion.expression[:, INDEX["eyeBlinkLeft"]]
    sight = motion.gaze + motion.head[:, :2] + motion.torso[:, :2]
    shut, off = np.zeros(3000, bool), np.zeros(3000, bool)
    for event in events:
        during = slice(round(event.start * FPS), round(event.end * FPS) + 1)
        if event.kind == "blink" and event.end < 119:
            assert lids[during].max() > 0.8 * event.strength
            shut[during] = True
        if event.kind == "gaze_away":
            off[during] = True
        if event.kind == "smile" and event.end < 119:
            assert motion.expression[during, INDEX["mouthSmileLeft"]].max() > 0.6 * event.strength
    assert lids[: 119 * 25][~shut[: 119 * 25]].max() < 0.05
    assert np.linalg.norm(sight[~off], axis=1).max() < 9  # the partner's face, and saccades back to it


def test_expressions_keep_within_their_range():
    motion, _ = idle_motion(1500, FPS, rng(8), STYLES["lively"], "speaker")
    talk = babble(1500, FPS, rng(9))
    for shapes in (motion.expression, talk):
        assert shapes.min() >= 0 and shapes.max() <= 1
    assert talk[:, INDEX["jawOpen"]].max() > 0.3


def test_who_must_be_known():
    with pytest.raises(ValueError, match="listener"):
        idle_motion(10, FPS, rng(), who="audience")


def test_minimum_jerk_starts_and_ends_at_rest():
    way = minimum_jerk(np.linspace(-0.5, 1.5, 2001))
    assert way[0] == 0 and way[-1] == 1
    assert np.abs(np.diff(way, 3)).max() < 1e-7
