"""A driver's motion on another face."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from headgen.errors import InputError
from headgen.faces import mesh
from headgen.faces.retarget import LIP_GAIN, WIDEST_EYE, WIDEST_MOUTH, Retargeter, RetargetOptions


def place(face, yaw=0.0, pitch=0.0, roll=0.0, scale=120.0, at=(200.0, 180.0)):
    rotation = Rotation.from_euler("YXZ", [yaw, pitch, roll], degrees=True).as_matrix()
    return mesh.Pose(rotation, scale, np.array([*at, 0.0]), face).project(face)


def shut(face):
    """A copy with lips together."""
    out = face.copy()
    for up, low in (
        (13, 14),
        (82, 87),
        (312, 317),
        (81, 178),
        (311, 402),
        (80, 88),
        (310, 318),
        (191, 95),
        (415, 324),
    ):
        out[[up, low]] = (out[up] + out[low]) / 2
    return out


def gap(landmarks, i=13, j=14):
    pose = mesh.fit_pose(landmarks)
    return np.linalg.norm(pose.frontal[i] - pose.frontal[j])


FACE = mesh.mean_face().astype(np.float64)
# Another person: wider, shorter.
OTHER = shut(FACE * [1.06, 0.95, 1.0])


def spoken(face, opening):
    out = face.copy()
    lower = [14, 17, 84, 87, 178, 181, 314, 317, 402, 405, 152, 15, 16]
    out[lower, 1] -= opening
    return out


def lowered_lids(share):
    """The mean face with eyes that are open by a share of their opening."""
    out = FACE.copy()
    for contour in (mesh.EYE_LEFT, mesh.EYE_RIGHT):
        upper, lower = list(contour[1:8]), list(contour[:8:-1])
        out[upper] = out[lower] + share * (out[upper] - out[lower])
    return out


def test_no_motion_leaves_the_source_alone():
    source, driver = place(OTHER, yaw=8), place(shut(FACE), yaw=-5)
    np.testing.assert_allclose(Retargeter(source, driver)(driver), source, atol=0.02 * 120)


def test_relative_rotation_arrives_whole():
    source, first = place(OTHER, yaw=5, scale=90), place(FACE, pitch=4)
    moved = Retargeter(source, first)(place(FACE, yaw=18, pitch=4, roll=6))
    want = (
        Rotation.from_euler("YXZ", [18, 4, 6], degrees=True)
        * Rotation.from_euler("YXZ", [0, 4, 0], degrees=True).inv()
        * Rotation.from_euler("YXZ", [5, 0, 0], degrees=True)
    )
    got = Rotation.from_matrix(mesh.fit_pose(moved).rotation)
    start = (
        Rotation.from_matrix(mesh.fit_pose(source).rotation) * Rotation.from_euler("Y", 5, degrees=True).inv()
    )
    assert np.degrees((got * (start * want).inv()).magnitude()) < 1.5


@pytest.mark.parametrize("opening", [0.05, 0.2, 0.35])
def test_mouth_opens_as_far_as_the_drivers(opening):
    closed = shut(FACE)
    retarget = Retargeter(place(OTHER), place(closed, scale=60))
    moved = retarget(place(spoken(closed, opening), yaw=10, scale=60))
    assert gap(moved) == pytest.approx(LIP_GAIN[1] * opening, abs=0.012)


def test_a_shout_on_top_of_an_open_smile_stays_a_mouth():
    smiling = spoken(OTHER, 0.15)
    silent, shouting = place(shut(FACE)), place(spoken(shut(FACE), 0.55))
    moved = Retargeter(place(smiling), silent)
    assert 0.35 < gap(moved(shouting)) <= WIDEST_MOUTH + 0.02
    assert gap(moved(place(spoken(shut(FACE), 0.05)))) == pytest.approx(0.2, abs=0.02)


def test_eyes_that_start_lowered_open_no_wider_than_eyes_do():
    lowered = lowered_lids(0.2)
    source = place(OTHER)
    moved = Retargeter(source, place(lowered))(place(FACE))
    before, after = (mesh.fit_pose(p).frontal for p in (source, moved))
    assert gap(moved, 159, 145) < WIDEST_EYE * gap(source, 159, 145)
    np.testing.assert_allclose(after[[33, 133, 362, 263]], before[[33, 133, 362, 263]], atol=0.01)


def test_lips_do_not_cross_when_the_driver_closes_a_mouth_that_the_source_has_shut():
    open_first = spoken(shut(FACE), 0.2)
    moved = Retargeter(place(OTHER), place(open_first))(place(shut(FACE)))
    frontal = mesh.fit_pose(moved).frontal
    assert frontal[13, 1] - frontal[14, 1] > -1e-3


def test_eyes_close_whatever_their_size():
    narrow = FACE.copy()
    for contour in (mesh.EYE_LEFT, mesh.EYE_RIGHT):
        middle = narrow[list(contour), 1].mean()
        narrow[list(contour), 1] = middle + 0.6 * (narrow[list(contour), 1] - middle)
    closed = FACE.copy()
    for contour in (mesh.EYE_LEFT, mesh.EYE_RIGHT):
        closed[list(contour[1:8])] = closed[list(contour[:8:-1])]
    moved = Retargeter(place(narrow), place(FACE))(place(closed))
    before, after = mesh.fit_pose(place(narrow)).frontal, mesh.fit_pose(moved).frontal
    for up, low in ((159, 145), (386, 374)):
        assert abs(after[up, 1] - after[low, 1]) < 0.05 * (before[up, 1] - before[low, 1])


def test_regions_move_alone():
    source, first = place(OTHER), place(shut(FACE))
    driven = place(spoken(shut(FACE), 0.2), yaw=15)

    def result(region):
        pose = mesh.fit_pose(Retargeter(source, first, RetargetOptions(region=region))(driven))
        yaw = Rotation.from_matrix(pose.rotation).as_euler("YXZ", degrees=True)[0]
        return yaw, np.linalg.norm(pose.frontal[13] - pose.frontal[14])

    base = mesh.fit_pose(source)
    still = Rotation.from_matrix(base.rotation).as_euler("YXZ", degrees=True)[0]
    yaw, mouth = result("pose")
    assert yaw - still == pytest.approx(15, abs=1.5) and mouth < 0.02
    yaw, mouth = result("lips")
    assert yaw == pytest.approx(still, abs=1) and mouth == pytest.approx(0.2 * LIP_GAIN[1], abs=0.03)
    yaw, mouth = result("eyes")
    assert yaw == pytest.approx(still, abs=1) and mouth < 0.02


def test_strengths_scale_the_motion():
    source, first, driven = place(OTHER), place(shut(FACE)), place(spoken(shut(FACE), 0.2), yaw=10)
    half = mesh.fit_pose(Retargeter(source, first, RetargetOptions(multiplier=0.5))(driven))
    whole = mesh.fit_pose(Retargeter(source, first)(driven))
    still = mesh.fit_pose(source)

    def turn(a, b):
        return np.degrees(
            (Rotation.from_matrix(a.rotation) * Rotation.from_matrix(b.rotation).inv()).magnitude()
        )

    assert turn(half, still) == pytest.approx(turn(whole, still) / 2, rel=0.15)
    lips = Retargeter(source, first, RetargetOptions(lips=0.0))(driven)
    assert gap(lips) < 0.02


def test_absolute_takes_over_the_drivers_pose():
    moved = Retargeter(place(OTHER, yaw=-10), place(FACE, yaw=12), RetargetOptions(motion="absolute"))(
        place(FACE, yaw=12)
    )
    yaw = Rotation.from_matrix(mesh.fit_pose(moved).rotation).as_euler("YXZ", degrees=True)[0]
    assert yaw == pytest.approx(12, abs=1)


@pytest.mark.parametrize("bad", [{"region": "nose"}, {"motion": "sideways"}, {"multiplier": -1}, {"eyes": 9}])
def test_unknown_options_are_named(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        RetargetOptions(**bad)


def test_a_driver_who_starts_speaking_opens_the_sources_mouth_and_can_close_it():
    speaking, silent = place(spoken(shut(FACE), 0.2)), place(shut(FACE))
    retarget = Retargeter(place(OTHER), speaking)
    assert gap(retarget(speaking)) == pytest.approx(0.2, abs=0.03)
    assert gap(retarget(silent)) < 0.03


def test_a_driver_who_starts_blinking_does_not_tear_the_eyes_open():
    blinking = lowered_lids(0.3)
    source = place(OTHER)
    retarget = Retargeter(source, place(blinking))
    assert gap(retarget(place(blinking)), 159, 145) < 0.7 * gap(source, 159, 145)
    assert gap(retarget(place(FACE)), 159, 145) == pytest.approx(gap(source, 159, 145), rel=0.6)


def test_a_face_at_rest_leaves_a_shut_mouth_shut_and_opens_it_by_as_much_as_it_opens():
    """The mean face's mouth is a little open at rest; a listener's need not be."""
    source, rest = place(OTHER), place(FACE)
    speaking, resting = (Retargeter(source, rest, at_rest=at_rest) for at_rest in (False, True))
    assert gap(speaking(rest)) > 0.05
    np.testing.assert_allclose(resting(rest), source, atol=1e-3)
    assert gap(resting(place(spoken(FACE, 0.1)))) == pytest.approx(0.1, abs=0.03)


def test_the_drivers_own_face_goes_exactly_where_the_driver_is():
    """Forehead and bridge too, which of other people's faces stay on the skull."""
    first, seen = place(FACE, yaw=4, scale=60), FACE.copy()
    seen[[10, 6, 151, 127]] += [0.03, -0.02, 0.01]
    now = place(seen, yaw=17, pitch=5, scale=60)
    own, other = Retargeter(2 * first, first), Retargeter(place(OTHER, yaw=4), first)
    np.testing.assert_allclose(own(now), 2 * now, atol=0.2)
    assert own.same == 1 and other.same == 0
    unseen = place(FACE, yaw=17, pitch=5, scale=60)
    moved = [np.abs(mover(now) - mover(unseen))[[10, 151, 127]].max() for mover in (own, other)]
    assert moved[0] > 3 and moved[1] < 0.8


def test_the_drivers_own_face_is_known_however_it_was_turned_and_by_degrees():
    assert Retargeter(place(FACE, yaw=12), place(FACE, yaw=-9)).same == 1
    shares = [Retargeter(place(FACE * [wider, 1, 1]), place(FACE)).same for wider in np.linspace(1, 1.15, 30)]
    assert shares == sorted(shares, reverse=True) and shares[0] == 1 and shares[-1] == 0
    assert any(0.1 < share < 0.9 for share in shares)
    for another in (lowered_lids(0.6), spoken(FACE, 0.1)):
        assert Retargeter(place(another), place(FACE)).same == 0


@pytest.mark.parametrize("options", [{"lips": 0.5}, {"region": "eyes"}, {"multiplier": 2.0}])
def test_what_is_to_move_otherwise_moves_otherwise_in_the_drivers_own_face(options):
    own = Retargeter(place(FACE), place(FACE), RetargetOptions(**options))
    assert own.same == 0
    assert np.abs(own(place(spoken(FACE, 0.2), yaw=12)) - place(spoken(FACE, 0.2), yaw=12)).max() > 5


def test_the_drivers_own_face_is_turned_half_as_far_and_keeps_its_place():
    own, other = Retargeter(place(FACE), place(FACE)), Retargeter(place(OTHER), place(FACE))
    driver, turned, moved = place(FACE, yaw=8), [], []
    for retarget, face in ((own, FACE), (other, OTHER)):
        asked = retarget(driver)
        retarget.correction = lambda state: np.array([6.0, -4.0, 0, 0, 0, 0, 0])
        further = retarget(driver)
        by = mesh.fit_pose(asked, face).rotation.T @ mesh.fit_pose(further, face).rotation
        turned.append(np.degrees(Rotation.from_matrix(by).magnitude()))
        moved.append(np.abs((further - asked)[: mesh.SKIN, :2].mean(0)).max())
    assert turned[1] == pytest.approx(np.hypot(6, 4), abs=0.5)
    assert turned[0] == pytest.approx(turned[1] / 2, abs=0.3)
    assert moved[0] < 1e-6 < 0.4 < moved[1]
