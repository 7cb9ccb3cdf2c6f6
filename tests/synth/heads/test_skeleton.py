"""The neck bends where it should, and the head ends turned as far as the motion says."""

import dataclasses

import numpy as np
import pytest

from headgen.synth.heads.model import HeadMotion
from headgen.synth.heads.skeleton import HEAD_JOINT, NECK_JOINT, Bones, neck_weights, rotations, turn_angles


def motion(**given):
    still = HeadMotion.still(len(next(iter(given.values()))))
    return dataclasses.replace(
        still, **{name: np.asarray(value, np.float32) for name, value in given.items()}
    )


def test_turns_go_where_their_names_say():
    ahead, aside = np.array([0, 0, 1.0]), np.array([1.0, 0, 0])
    assert (rotations(np.array([30, 0, 0])) @ ahead)[0] == pytest.approx(0.5, abs=1e-6)  # picture's right
    assert (rotations(np.array([0, 30, 0])) @ ahead)[1] == pytest.approx(0.5, abs=1e-6)  # up
    assert (rotations(np.array([0, 0, 30])) @ aside)[1] == pytest.approx(-0.5, abs=1e-6)  # clockwise


def test_angles_come_back_from_turns():
    angles = np.random.default_rng(0).uniform(-60, 60, (50, 3))
    assert np.allclose(turn_angles(rotations(angles)), angles, atol=1e-3)


def test_the_head_turns_as_far_as_asked_and_the_neck_less():
    angles = [(40, 0, 0), (0, -25, 0), (0, 0, 20), (30, 15, -10)]
    bones = Bones.of(motion(head=angles))
    assert np.allclose(turn_angles(bones.transforms[:, 2, :, :3]), angles, atol=1e-3)
    neck = turn_angles(bones.transforms[:, 1, :, :3])
    assert neck[0, 0] == pytest.approx(16, abs=0.1)
    assert (np.abs(neck) <= np.abs(angles) + 1e-3).all()


def test_bones_stay_together_at_their_joints():
    many = motion(head=np.random.default_rng(1).uniform(-40, 40, (9, 3)), torso=np.ones((9, 3)))
    bones = Bones.of(many)
    for joint, inner, outer in ((NECK_JOINT, 0, 1), (HEAD_JOINT, 1, 2)):
        assert np.allclose(bones.carried(joint[None], inner), bones.carried(joint[None], outer), atol=1e-4)


def test_posture_moves_everything():
    bones = Bones.of(motion(translation=[(1, 2, 3)]))
    assert np.allclose(bones.carried(np.zeros((1, 3)), 0), [[[1, 2, 3]]])
    assert np.allclose(bones.carried(np.zeros((1, 3)), 2), [[[1, 2, 3]]])


def test_a_bent_neck_neither_tears_nor_folds():
    height = np.linspace(-20, 0, 201)
    for depth in (-6.0, 3.0):  # nape and throat
        column = np.column_stack([np.zeros(201), height, np.full(201, depth)])
        weights = neck_weights(column)
        assert np.allclose(weights.sum(1), 1, atol=1e-6)
        assert weights.min() >= -1e-6
        bones = Bones.of(motion(head=[(40, 0, 0), (0, 25, 0), (0, 0, 25)]))
        for transforms in bones.transforms:
            homogeneous = np.column_stack([column, np.ones(201)])
            bent = np.einsum("vb,bij,vj->vi", weights, transforms, homogeneous)
            steps = np.linalg.norm(np.diff(bent, axis=0), axis=1) / 0.1
            assert steps.max() < 2.2
            assert steps.min() > 0.2
            assert (np.diff(bent[:, 1]) > 0).all()
