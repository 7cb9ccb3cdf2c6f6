"""Facial motion as features: causal, streamed as whole, about who moves and not who it is or where."""

from __future__ import annotations

import numpy as np
import pytest

from headgen.faces.mesh import BROW_LEFT, BROW_RIGHT, mean_face
from headgen.faces.motion import MOTION_NAMES, head_rotation
from headgen.listener.motion import LIMIT, MOTION_FEATURE_NAMES, MotionFeatures, motion_features
from headgen.listener.track import FPS

LOWER_LIP_AND_CHIN = (14, 87, 317, 178, 402, 17, 152)
UPPER_LIDS = (159, 158, 160, 386, 385, 387)
SPEEDS = slice(len(MOTION_NAMES), 2 * len(MOTION_NAMES))


def column(name):
    return MOTION_FEATURE_NAMES.index(name)


def faces(
    count, *, gap=(0, 0), yaw=0.0, pitch=0.0, brows=0.0, x=0.0, noise=0.0, scale=90.0, at=(310.0, 220.0)
):
    """Landmarks (count, 478, 3) of a face at rest that does what is given, as a number or one per frame.

    The gap of the lips and the lids' fall are in outer-eye distances, angles in degrees.
    """
    rest = mean_face().astype(np.float64)
    rest[[13, 82, 312, 81, 311], 1] = rest[[14, 87, 317, 178, 402], 1] + 0.02  # the mean face smiles a little
    points = np.repeat(rest[None], count, 0)

    def shift(indices, amount):
        points[:, list(indices), 1] += np.broadcast_to(amount, count)[:, None]

    shift(LOWER_LIP_AND_CHIN, -np.asarray(gap[0]))
    shift(UPPER_LIDS, -np.asarray(gap[1]))
    shift((*BROW_LEFT, *BROW_RIGHT), brows)
    angles = np.stack([np.broadcast_to(a, count) for a in (yaw, pitch, 0.0)], 1)
    points = np.einsum("tnk,tjk->tnj", points, head_rotation(angles))
    points += np.random.default_rng(0).normal(0, 1, points.shape) * noise
    points[..., 0] += np.broadcast_to(x, count)[:, None]
    return (scale * points * [1, -1, -1] + [*at, 0]).astype(np.float32)


def talk(count=60, **where):
    t = np.arange(count) / FPS
    lips = 0.15 * np.sin(2 * np.pi * 3 * t) ** 2
    nod, turn = 5 * np.sin(2 * np.pi * t), 8 * np.sin(2 * np.pi * 0.4 * t)
    return faces(count, gap=(lips, 0), pitch=nod, yaw=turn, x=0.1 * np.sin(t), **where)


@pytest.fixture(scope="module")
def interrupted():
    """Landmarks of talk in which the face is lost from frame 20 to 25."""
    landmarks = talk(noise=0.002)
    landmarks[20:26] = np.nan
    return landmarks


@pytest.mark.parametrize("step", [1, 7])
def test_frames_one_by_one_give_the_same_bits_as_the_whole(interrupted, step):
    features, seen = motion_features(interrupted)
    stream = MotionFeatures()
    parts = [stream.push(interrupted[k : k + step]) for k in range(0, len(interrupted), step)]
    assert np.concatenate([rows for rows, _ in parts]).tobytes() == features.tobytes()
    assert np.array_equal(np.concatenate([flags for _, flags in parts]), seen)
    assert features.shape == (60, MotionFeatures.width) == (60, len(MOTION_FEATURE_NAMES))


def test_what_comes_later_changes_nothing(interrupted):
    other = interrupted.copy()
    other[40:] = talk(20, scale=30.0)
    assert np.array_equal(motion_features(other)[0][:40], motion_features(interrupted)[0][:40])
    assert not np.array_equal(motion_features(other)[0][40], motion_features(interrupted)[0][40])


def test_frames_without_a_face_are_marked_and_the_level_outlives_them():
    count = 90
    brows = np.where(np.arange(count) >= 75, 0.06, 0.0)
    landmarks = faces(count, brows=brows)
    landmarks[60:75] = np.nan
    features, seen = motion_features(landmarks)
    assert np.array_equal(np.flatnonzero(~seen), np.arange(60, 75))
    assert not features[60:75].any()
    assert not features[75, SPEEDS].any() and features[75].any()
    assert features[75, column("brow_left")] > 2  # raised against how they rested before the gap


def test_neither_place_nor_size_of_the_picture_enters():
    features = motion_features(talk())[0]
    elsewhere = motion_features(talk(scale=25.0, at=(900.0, 80.0)))[0]
    assert np.allclose(features, elsewhere, atol=0.02)
    assert np.abs(features[:, column("place_x")]).max() > 0.3


def test_usual_motion_has_about_unit_size():
    features = motion_features(talk(150))[0]
    for name in ("yaw", "pitch", "mouth_open", "pitch_speed", "mouth_open_speed", "lip_lower"):
        assert 0.4 < features[:, column(name)].std() < 2.5, name


def test_blinks_nods_and_lips_show_under_their_names():
    t = np.arange(100)
    lids = 0.09 * np.isin(t, (60, 61, 62))
    nod = np.where((t >= 80) & (t < 90), -6.0, 0.0)
    features = motion_features(faces(100, gap=(0.2 * (t < 3), lids), pitch=nod))[0]
    eyes = features[:, column("eye_left")]
    assert eyes[61] < -1.5 and abs(eyes[58]) < 0.3 and abs(eyes[66]) < 0.3
    assert features[60, column("eye_right_speed")] < -1.5 and features[63, column("eye_right_speed")] > 1.5
    assert features[85, column("pitch")] < -1 and features[80, column("pitch_speed")] < -1
    assert features[0, column("mouth_open")] > 1  # open from the first frame on, and known to be


def test_a_new_posture_becomes_the_level():
    t = np.arange(75 * FPS // 2)
    steady = motion_features(faces(len(t), yaw=np.where(t < 100, 0.0, 12.0)))[0][:, column("yaw")]
    assert abs(steady[99]) < 0.01 and steady[110] > 2
    assert abs(steady[-1]) < 0.5 * steady[110]


def test_the_trackers_jitter_stays_small():
    still = motion_features(faces(100, noise=0.003))[0]
    assert still[:, SPEEDS].std() < 0.45  # unfiltered .6


def test_a_slip_of_the_tracker_is_bounded():
    landmarks = faces(30)
    landmarks[15] = faces(1, yaw=80.0, x=1.0, scale=120.0)[0]
    features = motion_features(landmarks)[0]
    assert np.abs(features).max() == LIMIT
    assert np.abs(features[29] - motion_features(faces(30))[0][29]).max() < 0.6


def test_other_landmarks_are_refused():
    with pytest.raises(ValueError, match="478"):
        motion_features(np.zeros((5, 468, 3)))
