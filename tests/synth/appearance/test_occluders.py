"""Occluders: before the face, touching but not cutting, moving along their path, giving way to the jaw."""

import numpy as np
import pytest

from headgen.synth.appearance.carried import BoundSurface, MovingSurface
from headgen.synth.appearance.occluder_motion import Situation, tremor, visits
from headgen.synth.appearance.occluders import OCCLUDERS, occluder
from headgen.synth.appearance.strands import HairColour
from headgen.synth.heads.expressions import expression
from headgen.synth.heads.model import HeadMotion

FRAMES = 60


def situation(person, seed=0, frames=FRAMES):
    skin = np.array([200.0, 150, 125])
    rng = np.random.default_rng(seed)
    return Situation(person.anatomy, person.model.topology, frames, rng, skin, HairColour.named("brown"))


def placed(person, surfaces, frames=FRAMES, **expressions):
    still = HeadMotion.still(1)
    shape = still.expression + expression(expressions)
    head = person.model.pose(
        person.neutral, HeadMotion(shape, still.head, still.gaze, still.translation, still.torso)
    )
    return [s.during([0]).placed(head)[0] for s in surfaces]


@pytest.mark.parametrize("kind", OCCLUDERS)
def test_every_kind_is_an_occluder_that_repeats_with_its_seed(person, kind):
    one, two = (occluder(kind, situation(person, 3)) for _ in range(2))
    assert {s.material for s in one} == {"occluder"}
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.triangles, b.triangles) and np.array_equal(a.texture, b.texture)
        if isinstance(a, MovingSurface):
            assert np.array_equal(a.path, b.path) and len(a.path) == FRAMES
    for points, surface in zip(placed(person, one), one, strict=True):
        assert len(points) == surface.own_vertices == len(surface.uv) > surface.triangles.max()
        assert np.isfinite(points).all()


@pytest.mark.parametrize("kind", ["hand at chin", "hand at cheek", "hand over mouth"])
def test_hands_come_to_the_skin_without_cutting_into_it_and_go(people, kind):
    for seed, person in enumerate(people):
        hand = occluder(kind, situation(person, seed, 150))[0]
        assert isinstance(hand, MovingSurface) and hand.rigid == "head"
        nearest = np.array([person.anatomy.skin.tree.query(p[::9])[0].min() for p in hand.path[::5]])
        there = hand.path[5 * int(nearest.argmin())].astype(np.float64)
        close = np.linalg.norm(there - person.anatomy.landmarks[33], axis=1) < 14
        height, _ = person.anatomy.skin.height(there[close])
        assert -0.35 < height.min() < 0.8
        assert nearest.max() > 4  # and it is not always there


def test_a_hand_over_the_mouth_hides_it_from_the_front(people):
    for person in people:
        hand = occluder("hand over mouth", situation(person, 1, 150))[0]
        mouth = person.anatomy.landmarks[48:68].mean(0)
        nearest = np.linalg.norm(hand.path - mouth, axis=-1).min(1).argmin()
        there = hand.path[nearest]
        before = (np.abs(there[:, :2] - mouth[:2]).max(1) < 1.6) & (there[:, 2] > mouth[2])
        assert before.any()


def test_a_mask_covers_nose_and_mouth_and_gives_way_to_the_jaw(people):
    for person in people:
        mask, loops = occluder("face mask", situation(person))
        assert isinstance(mask, BoundSurface) and loops.rigid == "head"
        closed, opened = (placed(person, [mask], jawOpen=x)[0] for x in (0.0, 0.8))
        marks = person.anatomy.landmarks
        for mark in (30, 33, 51, 57, 8):
            near = np.abs(closed[:, :2] - marks[mark, :2]).max(1) < 0.9
            assert closed[near, 2].max() > marks[mark, 2]
        height, _ = person.anatomy.skin.height(closed.astype(np.float64))
        assert height.min() > -0.05
        drop = closed[:, 1] - opened[:, 1]
        low = closed[:, 1] < marks[57, 1]
        assert drop[low].max() > 1.0 and np.abs(drop[closed[:, 1] > marks[30, 1]]).max() < 0.35
        eyes = marks[36:48, 1].min()
        assert closed[:, 1].max() < eyes  # eyes stay free


def test_a_moving_surface_follows_the_joint_and_can_be_cut_into_parts(person):
    cup = occluder("cup", situation(person, 2))[0]
    still = HeadMotion.still(FRAMES)
    turn = still.head.copy()
    turn[:, 0] = 30
    head = person.model.pose(
        person.neutral, HeadMotion(still.expression, turn, still.gaze, still.translation, still.torso)
    )
    whole = cup.placed(head)
    part = cup.during(slice(10, 20)).placed(head[10:20])
    assert np.allclose(whole[10:20], part, atol=1e-5)
    rotation, shift = head.head_transform[5, :, :3], head.head_transform[5, :, 3]
    assert np.allclose(whole[5], cup.path[5] @ rotation.T + shift, atol=1e-3)
    with pytest.raises(ValueError, match="during"):
        cup.placed(head[:7])


def test_visits_are_smooth_and_tremor_is_small():
    for seed in range(5):
        share = visits(300, 25.0, np.random.default_rng(seed))
        assert share.max() == 1 and share.min() == 0
        assert np.abs(np.diff(share)).max() < 0.2
    shake = tremor(2000, 25.0, np.random.default_rng(0), 0.2)
    assert 0.1 < shake.std() < 0.35
    assert np.abs(np.diff(shake, axis=0)).max() < 0.2


def test_a_strand_crosses_an_eye(people):
    for person in people:
        points = np.concatenate([s.points for s in occluder("strand", situation(person))])
        eyes = [person.anatomy.landmarks[k : k + 6].mean(0) for k in (36, 42)]
        near = [np.abs(points[:, :2] - eye[:2]).max(1).min() for eye in eyes]
        assert min(near) < 0.8


def test_unknown_kind(person):
    with pytest.raises(ValueError, match="microphone"):
        occluder("banana", situation(person))
