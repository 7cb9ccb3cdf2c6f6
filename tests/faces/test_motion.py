"""Motion coefficients: poses are recovered, expression is free of pose and size, names hold their word."""

from __future__ import annotations

import numpy as np
import pytest

from headgen.faces.mesh import mean_face
from headgen.faces.motion import (
    MOTION_NAMES,
    expression_coefficients,
    head_angles,
    head_rotation,
    motion_coefficients,
)


def place(points, angles=(0.0, 0.0, 0.0), scale=90.0):
    return scale * points @ head_rotation(np.array(angles)).T * [1, -1, -1] + [310, 220, 5]


def named(landmarks):
    return dict(zip(MOTION_NAMES, motion_coefficients(landmarks), strict=True))


@pytest.mark.parametrize("angles", [(0, 0, 0), (35, 0, 0), (-20, 15, 0), (10, -25, 30), (-60, 5, -45)])
def test_pose_is_recovered(angles):
    found = motion_coefficients(place(mean_face(), angles))[:3]
    assert np.allclose(found, angles, atol=0.5)


def test_angles_and_rotation_are_inverse():
    angles = np.random.default_rng(0).uniform(-70, 70, (20, 3))
    assert np.allclose(head_angles(head_rotation(angles)), angles)


def test_signs_of_the_pose():
    nose, ear, brow = 1, 263, 10  # the picture's right eye corner, the forehead
    straight = place(mean_face())
    assert place(mean_face(), (20, 0, 0))[nose, 0] > straight[nose, 0]  # to the right
    assert place(mean_face(), (0, 20, 0))[nose, 1] < straight[nose, 1]  # up
    assert place(mean_face(), (0, 0, 20))[ear, 1] > straight[ear, 1]  # clockwise as seen
    assert place(mean_face(), (0, 0, 20))[brow, 0] > straight[brow, 0]


@pytest.mark.parametrize("angles", [(40, 0, 0), (0, -30, 10), (-25, 20, -35)])
@pytest.mark.parametrize("scale", [12.0, 700.0])
def test_expression_is_free_of_pose_and_size(angles, scale):
    straight = motion_coefficients(place(mean_face()))[3:]
    turned = motion_coefficients(place(mean_face(), angles, scale))[3:]
    assert np.allclose(turned, straight, atol=1e-3)


def moved(indices, dx=0.0, dy=0.0, dz=0.0):
    face = mean_face().astype(np.float64).copy()
    face[list(indices)] += [dx, dy, dz]
    return place(face, (15, -10, 5))


LEFT_EYE_LID, RIGHT_EYE_LID = (386, 385, 387), (159, 158, 160)
LOWER_LIP = (14, 87, 317, 17)


@pytest.mark.parametrize(
    ("change", "rises", "rests"),
    [
        (moved(LOWER_LIP, dy=-0.2), "mouth_open", ("eye_left", "mouth_width", "lip_upper")),
        (moved((152,), dy=-0.2), "jaw_open", ("mouth_open",)),
        (moved((61,), dx=-0.1), "mouth_width", ("mouth_open",)),
        (moved((0, 13, 14, 17), dz=0.1), "mouth_pucker", ("mouth_open", "mouth_width")),
        (moved((13, 82, 312), dy=0.05), "lip_upper", ("lip_lower",)),
        (moved((14, 87, 317), dy=0.05), "lip_lower", ("lip_upper",)),
        (moved((291,), dy=0.05), "smile_left", ("smile_right",)),
        (moved((61,), dy=0.05), "smile_right", ("smile_left",)),
        (moved(LEFT_EYE_LID, dy=0.04), "eye_left", ("eye_right", "brow_left")),
        (moved(RIGHT_EYE_LID, dy=0.04), "eye_right", ("eye_left", "brow_right")),
        (moved((300, 293, 334, 296, 336), dy=0.05), "brow_left", ("brow_right", "eye_left")),
        (moved((70, 63, 105, 66, 107), dy=0.05), "brow_right", ("brow_left", "eye_right")),
        (moved(range(468, 478), dx=0.03), "gaze_x", ("gaze_y", "eye_left")),
        (moved(range(468, 478), dy=0.03), "gaze_y", ("gaze_x", "eye_left")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_coefficient_means_what_its_name_says(change, rises, rests):
    before, after = named(place(mean_face())), named(change)
    assert after[rises] > before[rises] + 0.02
    for name in rests:
        assert after[name] == pytest.approx(before[name], abs=2e-3), name


def test_frames_without_a_face_are_nan():
    track = np.stack([place(mean_face()), np.full((478, 3), np.nan)])
    found = motion_coefficients(track)
    assert found.shape == (2, len(MOTION_NAMES))
    assert found.dtype == np.float32
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_many_faces_at_once_are_the_same():
    faces = mean_face() + np.random.default_rng(0).normal(0, 0.02, (3, 4, 478, 3))
    each = expression_coefficients(faces)
    assert each.shape == (3, 4, len(MOTION_NAMES) - 3)
    assert np.allclose(each[1, 2], expression_coefficients(faces[1, 2]))


def test_reads_a_real_smile(astronaut_landmarks):
    face = named(astronaut_landmarks)
    assert abs(face["yaw"]) < 15
    assert 0 < face["roll"] < 10
    assert 0.65 < face["mouth_width"] < 0.9
    assert 0.15 < face["eye_left"] < 0.45
