"""Irises move between the lids, and nothing else does: on eyes that are painted here."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from headgen.faces import mesh
from headgen.faces.irises import Irises, looking

SCALE = 160.0  # pixels per outer-eye distance
WHITE, IRIS, PUPIL = (225, 220, 215), (70, 100, 140), (20, 20, 20)


def painted(turn: np.ndarray | None = None, shut: bool = False):
    """A face as flat colour with two painted eyes, and its landmarks."""
    face = mesh.mean_face().astype(np.float64)
    if shut:
        for contour, _, _ in mesh.EYES:
            upper, lower = list(contour[1:8]), list(contour[:8:-1])
            face[upper] = face[lower] = (face[upper] + face[lower]) / 2
    pose = mesh.Pose(np.eye(3) if turn is None else turn, SCALE, np.array([170.0, 170.0, 0.0]), face)
    points = pose.project(face)
    image = np.full((340, 340, 3), (190, 150, 130), np.uint8)
    for contour, iris, _ in mesh.EYES:
        inside = np.zeros(image.shape[:2], np.uint8)
        cv2.fillPoly(inside, [np.round(points[list(contour), :2]).astype(np.int32)], 255)
        ball = np.full_like(image, WHITE)
        middle = tuple(np.round(points[iris[0], :2]).astype(int).tolist())
        radius = float(np.linalg.norm(points[list(iris[1:]), :2] - points[iris[0], :2], axis=1).mean())
        cv2.circle(ball, middle, round(radius), IRIS, -1)
        cv2.circle(ball, middle, round(radius / 3), PUPIL, -1)
        image[inside > 0] = ball[inside > 0]
    return image, points


def dark_middles(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(2, 2) x and y of the middle of what is dark in each eye."""
    found = []
    for contour, _, _ in mesh.EYES:
        inside = np.zeros(image.shape[:2], np.uint8)
        cv2.fillPoly(inside, [np.round(points[list(contour), :2]).astype(np.int32)], 255)
        inside = cv2.erode(inside, np.ones((3, 3), np.uint8))
        rows, columns = np.nonzero((inside > 0) & (image.mean(-1) < 60))
        found.append((columns.mean(), rows.mean()))
    return np.array(found)


def look(image, points, right, up, target=None):
    """The picture with other irises, and its landmarks."""
    moved, landmarks = image.copy(), looking(points, right, up)
    shifts = (landmarks - points)[[468, 473], :2]
    Irises(image, points).draw(moved, shifts, target)
    return moved, landmarks


def test_a_look_of_nothing_changes_nothing():
    image, points = painted()
    same, landmarks = look(image, points, 0, 0)
    assert np.array_equal(same, image) and np.array_equal(landmarks, points)


@pytest.mark.parametrize(
    ("right", "up", "way"), [(20, 0, (1, 0)), (-20, 0, (-1, 0)), (0, 12, (0, -1)), (0, -12, (0, 1))]
)
def test_pupils_go_where_the_eyes_shall_look(right, up, way):
    image, points = painted()
    moved, landmarks = look(image, points, right, up)
    went = dark_middles(moved, points) - dark_middles(image, points)
    told = (landmarks - points)[[468, 473], :2]
    assert np.allclose(told, np.array(way) * np.linalg.norm(told[0]), atol=0.1)
    assert np.abs(went - told).max() < 1.5  # lids cut pupils that look up or down
    assert np.abs(went).max() > 3


def test_only_what_lies_between_the_lids_changes():
    image, points = painted()
    moved, _ = look(image, points, 20, 8)
    outside = np.full(image.shape[:2], 255, np.uint8)
    for contour, _, _ in mesh.EYES:
        cv2.fillPoly(outside, [np.round(points[list(contour), :2]).astype(np.int32)], 0)
    outside = cv2.erode(outside, np.ones((7, 7), np.uint8)) > 0
    assert np.array_equal(moved[outside], image[outside])
    assert (moved != image).any()


def test_the_white_shows_where_the_iris_was():
    image, points = painted()
    moved, _ = look(image, points, 25, 0)
    for x, y in dark_middles(image, points):
        there = moved[round(y) - 2 : round(y) + 3, round(x) - 8 : round(x) - 4]
        assert np.abs(there.mean((0, 1)) - WHITE).max() < 25


def test_eyes_of_a_leaning_head_look_along_the_head():
    angle = np.deg2rad(25)
    lean = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    image, points = painted(lean)
    _, landmarks = look(image, points, 15, 0)
    went = (landmarks - points)[468, :2]
    assert np.rad2deg(np.arctan2(-went[1], went[0])) == pytest.approx(25, abs=2)


def test_shut_eyes_have_nothing_to_move():
    image, points = painted(shut=True)
    assert Irises(image, points).which == ()
    assert np.array_equal(look(image, points, 20, 0)[0], image)


def test_irises_are_round_again_after_lids_have_closed_over_them():
    image, points = painted()
    target = points.copy()
    for contour, _, _ in mesh.EYES:
        edge, middle = list(contour), points[list(contour), 1].mean()
        target[edge, 1] = middle + 0.6 * (points[edge, 1] - middle)
    stretched, _ = look(image, points, 0, 0, target)
    heights = [np.ptp(np.nonzero((i.mean(-1) < 60)[:, :170])[0]) for i in (image, stretched)]
    assert heights[1] > 1.3 * heights[0]
