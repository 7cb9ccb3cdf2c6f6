"""The face mesh: topology, mean face, pose."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from headgen.faces import mesh


def test_triangles_tile_the_face_and_leave_eyes_and_mouth_open():
    faces = mesh.triangles()
    assert faces.shape == (852, 3)
    owners = Counter(tuple(sorted(e)) for t in faces.tolist() for e in combinations(t, 2))
    assert max(owners.values()) == 2
    rim = {v for edge, n in owners.items() if n == 1 for v in edge}
    assert rim == set(mesh.OVAL) | set(mesh.LIPS_INNER) | set(mesh.EYE_LEFT) | set(mesh.EYE_RIGHT)


def test_triangles_all_face_the_camera_of_a_frontal_face():
    p = mesh.mean_face()[mesh.triangles()][..., :2]
    a, b = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]
    assert (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] > 0).mean() > 0.97  # but for folds under lids and nose


def test_mean_face_is_symmetric_and_of_unit_width():
    face, mirror = mesh.mean_face(), mesh.mirror_index()
    np.testing.assert_array_equal(mirror[mirror], np.arange(478))
    np.testing.assert_allclose(face[mirror] * [-1, 1, 1], face, atol=1e-6)
    assert np.linalg.norm(face[33] - face[263]) == pytest.approx(1, abs=1e-6)
    assert mirror[61] == 291 and mirror[468] == 473


@pytest.mark.parametrize("angles", [(0, 0, 0), (35, 0, 0), (0, -20, 0), (-25, 12, 18)])
def test_pose_is_recovered_and_undone(angles):
    rotation = Rotation.from_euler("YXZ", angles, degrees=True).as_matrix()
    truth = mesh.Pose(rotation, 140.0, np.array([300.0, 210.0, 5.0]), mesh.mean_face())
    pose = mesh.fit_pose(truth.project(mesh.mean_face()))
    np.testing.assert_allclose(pose.rotation, rotation, atol=1e-5)
    assert pose.scale == pytest.approx(140, rel=1e-5)
    np.testing.assert_allclose(pose.frontal, mesh.mean_face(), atol=1e-5)
    np.testing.assert_allclose(pose.project(pose.frontal), truth.project(mesh.mean_face()), atol=1e-3)


def test_pose_ignores_mouth_and_lids():
    face = mesh.mean_face().astype(np.float64)
    spoken = face.copy()
    spoken[list(mesh.LIPS_INNER + mesh.LIPS_OUTER), 1] -= 0.2
    spoken[list(mesh.EYE_LEFT), 1] += 0.0
    at = mesh.Pose(np.eye(3), 100.0, np.zeros(3), face)
    np.testing.assert_allclose(mesh.fit_pose(at.project(spoken)).rotation, np.eye(3), atol=1e-6)


def test_drawn_weights_give_back_the_plane():
    points = np.array([[1.0, 1.0], [14.0, 2.0], [3.0, 13.0], [13.0, 14.0]])
    faces = np.array([[0, 1, 2], [1, 3, 2]], np.int32)
    which = mesh.draw_triangles(points, faces, 16)
    weights = mesh.barycentric(points, faces, which)
    yy, xx = np.nonzero(which >= 0)
    drawn = (points[faces[which[yy, xx]]] * weights[..., None]).sum(1)
    apart = np.abs(drawn - np.stack([xx, yy], 1)).max(1)
    assert len(xx) > 100 and np.median(apart) < 1e-4 and apart.max() < 0.75  # the rim is drawn generously


def test_last_triangle_painted_wins():
    points = np.array([[0.0, 0.0], [15.0, 0.0], [0.0, 15.0]])
    faces = np.array([[0, 1, 2], [0, 1, 2]], np.int32)
    which = mesh.draw_triangles(points, faces, 16)
    assert set(np.unique(which)) == {-1, 1}
