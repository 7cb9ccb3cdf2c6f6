"""Corrections learnt from what is drawn, on faces that are drawn wrongly in a known way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from headgen.faces import mesh
from headgen.faces.calibrate import (
    CONTROLS,
    LIMIT,
    SCALE,
    SKIN_SHARE,
    Correction,
    SkinShift,
    calibrate,
    controls_of,
    spread,
)
from headgen.faces.retarget import Retargeter, RetargetOptions

FACE = mesh.mean_face().astype(np.float64)
SOURCE = FACE * [1.06, 0.95, 1.0]
"""Somebody else's: a driver's own face needs less correction."""
WHERE = np.array([200.0, 180.0, 0.0])
FAR = 100 * SCALE  # a photograph that is like none of the moments


def place(face, yaw=0.0, pitch=0.0):
    rotation = Rotation.from_euler("YX", [yaw, pitch], degrees=True).as_matrix()
    return mesh.Pose(rotation, 120.0, WHERE, face).project(face)


def spoken(opening):
    out = FACE.copy()
    out[[14, 17, 84, 87, 178, 181, 314, 317, 402, 405, 152, 15, 16], 1] -= opening
    return out


def driver(count, seed=0):
    """Frames of a driver who turns, nods and speaks."""
    rng = np.random.default_rng(seed)
    return [
        place(spoken(rng.uniform(0, 0.2)), rng.uniform(-15, 15), rng.uniform(-8, 8)) for _ in range(count)
    ]


def badly_drawn(target):
    """The landmarks of a face that is drawn with half of its yaw, nodding too far and with a narrow mouth."""
    pose = mesh.fit_pose(target, FACE)
    yaw, pitch, roll = Rotation.from_matrix(pose.rotation).as_euler("YXZ", degrees=True)
    turn = Rotation.from_euler("YXZ", [0.5 * yaw, pitch + 5, roll], degrees=True).as_matrix()
    face = pose.frontal.copy()
    lips = list(mesh.LIPS_OUTER + mesh.LIPS_INNER)
    face[lips, 0] *= 0.92
    return mesh.Pose(turn, pose.scale, pose.translation, face).project(face)


def off(retarget, frames):
    """Mean distance (K,) of what is seen in bad drawings from what is wanted, in `SCALE`."""
    apart = [retarget.shown(badly_drawn(retarget(f))) - retarget.wanted(f) for f in frames]
    return np.abs(np.stack(apart) / SCALE).mean(0)


def calibrated(frames):
    retarget = Retargeter(place(SOURCE), place(FACE))
    wanted = np.stack([retarget.wanted(f) for f in frames])

    def show(correction, which):
        retarget.correction = correction
        return np.stack([retarget.shown(badly_drawn(retarget(f))) for f in frames[which]])

    retarget.correction = calibrate(retarget.shown(place(SOURCE)), wanted, show)
    return retarget


def test_a_face_that_is_drawn_wrongly_is_corrected_in_frames_never_drawn_on_trial():
    other = driver(12, seed=1)
    before = off(Retargeter(place(SOURCE), place(FACE)), other)
    after = off(calibrated(driver(24)), other)
    for name in ("yaw", "pitch", "mouth_width"):
        k = CONTROLS.index(name)
        assert before[k] > 0.8 and after[k] < 0.4 * before[k], name


def test_the_correction_hangs_on_the_frame_alone_and_is_the_same_every_time():
    frames, other = driver(10), driver(4, seed=1)
    first, second = calibrated(frames), calibrated(frames)
    forward = [first(f) for f in other]
    backward = [second(f) for f in reversed(other)][::-1]
    np.testing.assert_array_equal(forward, backward)


def test_what_does_not_answer_is_left_alone():
    states = np.random.default_rng(0).normal(size=(24, len(CONTROLS))) * SCALE
    deaf = CONTROLS.index("brow_left")

    def show(correction, which):
        added = np.zeros_like(states[which]) if correction is None else correction.all(states[which])
        added[:, deaf] = 0
        return states[which] + 0.5 * SCALE + 0.7 * added

    learnt = calibrate(FAR, states, show).all(states) / SCALE
    assert np.abs(learnt[:, deaf]).max() == 0
    assert np.delete(learnt, deaf, 1).mean() == pytest.approx(-0.5 / 0.7, rel=0.25)


def test_pictures_without_a_face_teach_nothing():
    states = np.random.default_rng(0).normal(size=(5, len(CONTROLS))) * SCALE

    def show(correction, which):
        shown = states + SCALE
        shown[1:4] = np.nan
        return shown[which]

    assert calibrate(FAR, states, lambda _, which: np.full_like(states[which], np.nan)) is None
    assert np.isfinite(calibrate(FAR, states, show)(states[2])).all()


def test_far_from_all_that_was_drawn_nothing_is_corrected_and_never_too_much():
    correction = Correction(FAR, np.zeros((1, len(CONTROLS))), 50 * SCALE[None])
    assert (correction(np.zeros(len(CONTROLS))) <= LIMIT * SCALE).all()
    assert np.abs(correction(20 * SCALE)).max() < 1e-6


def test_a_photograph_at_rest_stays_as_it_is():
    correction = Correction(np.zeros(len(CONTROLS)), 2 * SCALE[None], SCALE[None])
    assert np.abs(correction(np.zeros(len(CONTROLS))) / SCALE).max() < 0.02
    assert np.abs(correction(2 * SCALE) / SCALE).min() > 0.5


def test_trial_moments_lie_far_apart_and_begin_with_the_first():
    states = np.zeros((50, len(CONTROLS)))
    states[:, 0] = np.linspace(0, 30, 50)
    assert spread(states, 3)[:2] == [0, 49] and 20 < spread(states, 3)[2] < 30
    assert spread(np.zeros((5, len(CONTROLS))), 3) == [0]


@pytest.mark.parametrize("name", CONTROLS)
def test_every_control_moves_what_it_is_called_after(name):
    """From a face that speaks, so that all can go either way."""
    frame = spoken(0.1)
    k = CONTROLS.index(name)

    def shown(amount):
        retarget = Retargeter(place(SOURCE), place(FACE))
        retarget.correction = lambda _: np.eye(len(CONTROLS))[k] * amount * SCALE
        return retarget.shown(retarget(place(frame, yaw=5)))

    moved = (shown(0.5) - shown(-0.5)) / SCALE
    assert moved[k] == pytest.approx(1, abs=0.15)
    assert np.abs(np.delete(moved, k)).max() < 0.25


def test_parts_that_shall_not_move_are_not_corrected():
    retarget = Retargeter(place(FACE), place(FACE), RetargetOptions(region="pose"))
    retarget.correction = lambda _: SCALE
    moved = retarget.shown(retarget(place(FACE))) - retarget.shown(place(FACE))
    assert np.abs(moved[:3]).min() > 1 and np.abs(moved[3:] / SCALE[3:]).max() < 0.1


def slipping(target):
    """The landmarks of a face whose forehead is seen lower, the more it is turned to one side."""
    pose = mesh.fit_pose(target, FACE)
    yaw = Rotation.from_matrix(pose.rotation).as_euler("YXZ", degrees=True)[0]
    out = target.copy()
    out[[*FOREHEAD, *LIPS], 1] += 0.004 * yaw * pose.scale
    return out


FOREHEAD = [69, 104, 108, 299, 333, 337]  # above the brows; none of them carries the pose
LIPS = [0, 13, 14, 17, 61, 291]


def test_skin_is_shifted_towards_where_it_is_seen_but_lips_stay_where_they_were_told_to_be():
    retarget = Retargeter(place(SOURCE), place(FACE))
    told = [retarget(frame) for frame in driver(32)]
    states = np.stack([retarget.shown(face) for face in told])
    slips = np.stack([retarget.slipped(face, slipping(face)) for face in told])
    skin = SkinShift(retarget.shown(place(FACE)), states, slips)
    seen, shifts = [], []
    for frame in driver(8, seed=1):
        face = retarget(frame)
        pose = retarget.fit(face)
        seen.append((slipping(face) - face)[FOREHEAD, :2] / pose.scale)
        shifts.append(skin(controls_of(pose)))
    wanted = SKIN_SHARE * np.stack(seen)
    left = wanted - np.stack(shifts)[:, FOREHEAD]
    assert np.square(left).mean() < 0.1 * np.square(wanted).mean()
    assert np.abs(np.stack(shifts)[:, LIPS]).max() == 0
    assert np.abs(skin(retarget.shown(place(FACE)))).max() < 0.002


def test_what_deviates_from_what_was_asked_for_is_no_slip_of_skin():
    retarget = Retargeter(place(SOURCE), place(FACE))
    told = retarget(place(spoken(0.1), 10, 5))
    other = retarget(place(spoken(0.05), 14, 2))
    assert np.abs(other - told)[:, :2].max() > 5
    assert np.abs(retarget.slipped(told, told)).max() < 1e-9
    # a cheek's worth of pixels apart, and yet the skin of forehead and cheeks is where it was put
    assert np.abs(retarget.slipped(told, other)[[10, 151, 50, 280, 234, 454]]).max() < 0.02
