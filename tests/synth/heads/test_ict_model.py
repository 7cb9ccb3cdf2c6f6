"""The ICT head: lids, lips, gaze, neck and seams do what a face does, whatever is asked at once."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from headgen.errors import InputError  # noqa: E402
from headgen.synth.heads.expressions import expression  # noqa: E402
from headgen.synth.heads.ict_model import SIDES, IctModel  # noqa: E402
from headgen.synth.heads.model import JOINTS, HeadMotion  # noqa: E402


def motion(*expressions, **given):
    still = HeadMotion.still(max(len(expressions), *(len(v) for v in given.values()), 1))
    if expressions:
        given["expression"] = np.stack([expression(values) for values in expressions])
    return dataclasses.replace(
        still, **{name: np.asarray(value, np.float32) for name, value in given.items()}
    )


def merged(model, posed, frame=0):
    return posed.vertices[frame][model.first]


def lid_gap(model, points, side):
    lids = model._lids[side]
    return lids.gap(points[lids.line_vertices])[3:-3, 1]


def test_a_blink_closes_fully_for_every_person_gaze_and_other_shape(model):
    rng = np.random.default_rng(0)
    asked = [{"eyeBlink": 1}, {"eyeBlink": 1, "eyeWide": 1}, {"eyeBlink": 1, "eyeSquint": 1}]
    gaze = [(0, 0), (25, 20), (-25, -25)]
    for identity in (np.zeros(3), rng.normal(size=3)):
        posed = model.pose(model.neutral(identity), motion(*asked, gaze=gaze))
        for frame in range(3):
            for side in SIDES:
                assert np.abs(lid_gap(model, merged(model, posed, frame), side)).max() < 0.02


def test_lids_never_cross_and_close_evenly(model):
    shares = np.linspace(0, 1, 6)
    asked = [{"eyeBlink": b, "eyeSquint": 0.4} for b in shares]
    posed = model.pose(model.neutral(np.zeros(3)), motion(*asked, gaze=[(0, -10)] * len(shares)))
    for side in SIDES:
        gaps = np.array([lid_gap(model, merged(model, posed, k), side) for k in range(len(shares))])
        assert gaps.min() > -0.06
        assert (np.diff(gaps.mean(1)) < 1e-3).all()


def test_lids_stay_outside_of_the_eyeball(model):
    gaze = [(0, 0), (35, 0), (-35, 0), (0, 30), (0, -30)]
    posed = model.pose(model.neutral(np.zeros(3)), motion(*[{"eyeBlink": 0.6}] * 5, gaze=gaze))
    for side, joint in (("L", "eye_left"), ("R", "eye_right")):
        for frame in range(len(gaze)):
            points = merged(model, posed, frame)
            offset = points[model._lid_skin[side]] - posed.joints[frame, JOINTS.index(joint)]
            ball = points[model.eye_vertices[side]] - posed.joints[frame, JOINTS.index(joint)]
            # the nearest point of the eyeball's surface in each lid vertex's direction
            distance = np.linalg.norm(offset, axis=1)
            cosine = (offset / distance[:, None]) @ (ball / np.linalg.norm(ball, axis=1, keepdims=True)).T
            surface = np.linalg.norm(ball, axis=1)[cosine.argmax(1)]
            assert (distance - surface).min() > -0.03


def test_gaze_turns_the_eyes_about_their_centres_to_where_it_says(model):
    posed = model.pose(model.neutral(np.zeros(3)), motion(gaze=[(0, 0), (20, 0), (0, 15)]))
    irises = posed.vertices[:, model.topology.landmarks_478[[468, 473]]]
    centres = posed.joints[:, [JOINTS.index("eye_right"), JOINTS.index("eye_left")]]
    way = irises - centres
    assert np.allclose(np.linalg.norm(way, axis=2), np.linalg.norm(way[0], axis=1), atol=1e-3)
    yaw = np.rad2deg(np.arctan2(way[..., 0], way[..., 2]))
    pitch = np.rad2deg(np.arcsin(way[..., 1] / np.linalg.norm(way, axis=2)))
    assert np.allclose(yaw[1] - yaw[0], 20, atol=0.5)
    assert np.allclose(pitch[2] - pitch[0], 15, atol=0.6)


def test_look_shapes_of_the_expression_move_lids_and_turn_no_eye(model):
    posed = model.pose(model.neutral(np.zeros(3)), motion({}, {"eyeLookDown": 1}))
    irises = posed.vertices[:, model.topology.landmarks_478[468:]]
    assert np.array_equal(irises[0], irises[1])
    for side in SIDES:
        gaps = [lid_gap(model, merged(model, posed, k), side).mean() for k in range(2)]
        assert gaps[1] < 0.8 * gaps[0]


def test_iris_landmarks_are_in_the_trackers_order(model):
    """Right eye first; middle, picture's right, top, left, bottom."""
    irises = model.neutral(np.zeros(3))[model.topology.landmarks_478[468:]].reshape(2, 5, 3)
    assert irises[0, 0, 0] < 0 < irises[1, 0, 0]
    for middle, right, top, left, bottom in irises:
        assert right[0] > middle[0] > left[0]
        assert top[1] > middle[1] > bottom[1]


def test_left_is_the_persons_own(made_up):
    posed = made_up.pose(made_up.neutral(np.zeros(3)), motion({}, {"eyeBlinkLeft": 1}, {"browInnerUp": 1}))
    moved = np.linalg.norm(posed.vertices[1] - posed.vertices[0], axis=1) > 0.01
    assert moved.any()
    assert (posed.vertices[0, moved, 0] > 0).all()
    both = posed.vertices[2] - posed.vertices[0]
    assert both[made_up.first[4000], 1] == pytest.approx(0.5, abs=1e-3)
    assert both[made_up.first[1000], 1] == pytest.approx(0.5, abs=1e-3)


def test_lips_meet_and_never_cross(model):
    asked = [{"mouthShrugLower": 1}, {"mouthClose": 1}, {"jawOpen": 0.6}]
    posed = model.pose(model.neutral(np.zeros(3)), motion(*asked))
    gaps = []
    for frame in range(3):
        points = merged(model, posed, frame)
        gaps.append(model._lips.gap(points[model._lips.line_vertices])[3:-3, 1])
    assert np.min(gaps) > -0.01
    assert gaps[2].max() > 0.5


def test_nobody_shows_teeth_with_a_closed_mouth(ict):
    rng = np.random.default_rng(3)
    for _ in range(5):
        points = ict.neutral(np.clip(rng.normal(size=60), -2, 2))[ict.first]
        gap = ict._lips.gap(points[ict._lips.line_vertices])[3:-3, 1]
        assert gap.max() < 0.1


def test_vertices_of_a_seam_stay_together_and_have_one_normal(model):
    rng = np.random.default_rng(1)
    wild = motion(
        head=rng.uniform(-30, 30, (2, 3)), gaze=rng.uniform(-20, 20, (2, 2)),
        expression=rng.uniform(0, 0.7, (2, 52)), torso=rng.uniform(-5, 5, (2, 3)),
    )  # fmt: skip
    posed = model.pose(model.neutral(np.zeros(3)), wild)
    assert len(model.origin) > len(model.first)
    assert np.array_equal(posed.vertices, posed.vertices[:, model.first][:, model.origin])
    assert np.array_equal(posed.normals, posed.normals[:, model.first][:, model.origin])
    assert np.allclose(np.linalg.norm(posed.normals, axis=2), 1, atol=1e-4)


def test_the_skull_follows_the_head_and_the_shoulders_stay(model):
    posed = model.pose(model.neutral(np.zeros(3)), motion(head=[(0, 0, 0), (40, -10, 5)]))
    rest, turned = posed.vertices
    top = rest[:, 1] > 6
    carried = rest[top] @ posed.head_transform[1, :, :3].T + posed.head_transform[1, :, 3]
    assert np.allclose(turned[top], carried, atol=1e-3)
    low = rest[:, 1] + 0.47 * rest[:, 2] < -14
    assert low.any()
    assert np.allclose(turned[low], rest[low], atol=1e-3)


def test_frames_together_are_frames_alone(model):
    rng = np.random.default_rng(2)
    many = motion(
        expression=rng.uniform(0, 1, (35, 52)),
        gaze=rng.uniform(-30, 30, (35, 2)),
        head=rng.normal(size=(35, 3)),
    )
    neutral = model.neutral(np.zeros(3))
    together = model.pose(neutral, many)
    for k in (0, 33):
        assert np.allclose(model.pose(neutral, many[k : k + 1]).vertices[0], together.vertices[k], atol=1e-3)


def test_topology_is_sound(model):
    topology = model.topology
    assert topology.triangles.max() == len(topology.uv) - 1
    assert topology.uv.min() >= 0
    assert topology.uv.max() <= 1
    assert len(topology.material) == len(topology.triangles)
    for name in ("skin", "socket", "gums", "tongue", "teeth", "sclera", "iris", "lashes"):
        assert len(topology.of(name)), name
    assert topology.landmarks_68.shape == (68,)
    assert topology.landmarks_478.shape == (478,)


def test_triangles_turn_counter_clockwise_from_outside(ict):
    neutral = ict.neutral(np.zeros(3))
    corners = neutral[ict.topology.triangles]
    volume = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert volume[ict.topology.of("teeth")].sum() > 10  # closed bodies
    for side in SIDES:
        centre, _ = ict.eye_placement(neutral[ict.first], side)
        own = ict.topology.of("sclera", "iris")
        own = own[(corners[own].mean(1)[:, 0] > 0) == (side == "L")]
        across = np.cross(corners[own, 1] - corners[own, 0], corners[own, 2] - corners[own, 0])
        assert (np.einsum("fi,fi->f", across, corners[own].mean(1) - centre) > 0).all()
    normals = ict.pose(neutral, HeadMotion.still()).normals[0]
    assert (normals[ict.topology.landmarks_68[27:36], 2] > -0.1).all()


def test_teeth_stay_behind_the_closed_lips(ict):
    neutral = ict.neutral(np.zeros(3))
    teeth = np.unique(ict.topology.triangles[ict.topology.of("teeth")])
    lips = neutral[ict.topology.landmarks_68[60:]]
    front = teeth[np.abs(neutral[teeth, 0]) < 0.5]
    assert neutral[front, 2].max() < lips[[2, 6], 2].min()


def test_identities_may_be_shorter_than_the_model_allows(model):
    one = model.neutral(np.array([1.0]))
    padded = model.neutral(np.array([1.0, 0, 0]))
    assert np.allclose(one, padded)
    assert not np.allclose(one, model.neutral(np.zeros(1)))


def test_files_that_are_not_the_model_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        IctModel.load(tmp_path)
    np.savez(tmp_path / "ict_facekit.npz", neutral=np.zeros((3, 3)), faces=np.zeros((1, 4)))
    with pytest.raises(InputError, match="instead of 26719"):
        IctModel.load(tmp_path)
