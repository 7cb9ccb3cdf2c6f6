"""What heads and their motion are made of."""

import numpy as np
import pytest

from headgen.synth.heads.model import MATERIALS, PARTS, HeadMotion, PosedHead, Surface, Topology


def surface(**given):
    base = {
        "name": "hat", "triangles": np.array([[0, 1, 2]], np.int32), "uv": np.zeros((3, 2), np.float32),
        "material": "hair", "texture": np.zeros((1, 1, 4), np.uint8),
    }  # fmt: skip
    return Surface(**{**base, **given})


def posed(frames=2):
    head = np.tile(np.eye(3, 4, dtype=np.float32), (frames, 1, 1))
    torso = head.copy()
    head[1:, :, 3] = [0, 2, 0]
    head[1:, :, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    torso[1:, :, 3] = [5, 0, 0]
    vertices = np.arange(frames * 9, dtype=np.float32).reshape(frames, 3, 3)
    return PosedHead(vertices, vertices, np.zeros((frames, 6, 3)), head, torso)


def test_every_material_belongs_to_a_part_of_the_mask():
    assert set(MATERIALS.values()) <= set(PARTS)


def test_motion_of_the_wrong_shape_is_refused_by_name():
    still = HeadMotion.still(4)
    with pytest.raises(ValueError, match=r"gaze has the shape \(3, 2\): expected \(4, 2\)"):
        HeadMotion(still.expression, still.head, still.gaze[:3], still.translation, still.torso)


def test_frames_can_be_picked():
    still = HeadMotion.still(4)
    still.head[2] = 7
    assert len(still) == 4
    assert len(still[1:3]) == 2
    assert np.array_equal(still[[2, 0]].head, [[7, 7, 7], [0, 0, 0]])


def test_triangles_are_found_by_material():
    names = tuple(MATERIALS)
    material = np.array([names.index(n) for n in ("skin", "iris", "teeth", "sclera")], np.int8)
    none = np.zeros((0, 2), np.float32)
    topology = Topology(np.zeros((4, 3), np.int32), none, material, np.zeros(68, int), np.zeros(478, int))
    assert topology.of("iris", "sclera").tolist() == [1, 3]


def test_what_is_worn_moves_with_its_joint():
    points = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    head = posed()
    assert np.allclose(
        surface(rigid="head", points=points).placed(head)[1], [[0, 3, 0], [-1, 2, 0], [0, 2, 1]]
    )
    assert np.allclose(surface(rigid="torso", points=points).placed(head)[1], points + [5, 0, 0])
    assert np.allclose(surface(rigid="head", points=points).placed(head)[0], points)
    assert surface().placed(head) is head.vertices


def test_surfaces_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="no material 'felt'.*skin"):
        surface(material="felt")
    with pytest.raises(ValueError, match="go together"):
        surface(rigid="head")
