"""Crops: geometry, sampling, and squares that follow a face without pulsing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from headgen.faces.crop import Crop, VideoCropper, face_scale, portrait_crop, video_crop
from headgen.faces.mesh import mean_face


def face(yaw=0.0, pitch=0.0, scale=100.0, at=(300.0, 260.0), jaw=0.0):
    """Landmarks of the mean face, turned by degrees and placed in a picture."""
    points = mean_face().astype(np.float64).copy()
    below = points[:, 1] < points[14, 1]  # chin and lower lip drop with the jaw
    points[below, 1] -= jaw
    a, b = np.deg2rad([yaw, pitch])
    turn_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    points = points @ (turn_y @ turn_x).T * scale * [1, -1, -1]
    return (points + [*at, 0]).astype(np.float32)


def test_whole_picture_is_the_identity(astronaut):
    crop = Crop(255.5, 255.5, 512)
    assert np.array_equal(crop.take(astronaut, 512), astronaut)


def test_points_land_where_the_pixels_land():
    picture = np.zeros((300, 300), np.float32)
    cv2.circle(picture, (180, 90), 4, 1.0, -1)
    crop = Crop(160, 110, 120, angle=30)
    drawn = crop.take(picture, 96)
    yy, xx = np.mgrid[:96, :96]
    centre = [(xx * drawn).sum() / drawn.sum(), (yy * drawn).sum() / drawn.sum()]
    where = crop.to_crop(np.array([[180.0, 90.0, 10.0]]), 96)[0]
    assert np.allclose(where[:2], centre, atol=0.05)
    assert where[2] == pytest.approx(10 * 96 / 120)


def test_there_and_back():
    points = np.random.default_rng(0).normal(200, 50, (40, 3)).astype(np.float32)
    crop = Crop(210, 180, 333, angle=-12)
    assert np.allclose(crop.to_picture(crop.to_crop(points, 128), 128), points, atol=1e-3)


def test_positive_angle_uprights_a_clockwise_head():
    tilted = Crop(0, 0, 10, angle=20)
    x_axis = tilted.to_crop(np.array([[np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20))]]), 10)
    assert np.allclose(x_axis - 4.5, [[1, 0]], atol=1e-5)


@pytest.mark.parametrize("side", [300, 511.3, 900])
def test_shrinking_averages(side):
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    small = Crop(255.5, 255.5, side).take(stripes, 64).astype(float)
    inside = small[8:-8, 8:-8] if side < 512 else small[20:-20, 20:-20]
    assert inside.std() < 12
    assert abs(inside.mean() - 127.5) < 4


def test_shrinking_keeps_the_place(astronaut):
    wide = Crop(223, 130, 400, angle=8)
    once = wide.take(astronaut, 80)[..., 1].astype(np.float32)
    full = wide.take(astronaut, 400)[..., 1]
    again = cv2.resize(full, (80, 80), interpolation=cv2.INTER_AREA).astype(np.float32)
    shift, _ = cv2.phaseCorrelate(once, again, cv2.createHanningWindow((80, 80), cv2.CV_32F))
    assert np.hypot(*shift) < 0.05
    assert np.abs(once - again).mean() < 4.5


def test_beyond_the_border(astronaut):
    corner = Crop(0, 0, 200)
    repeated = corner.take(astronaut, 200, border="replicate")
    mirrored = corner.take(astronaut, 200, border="reflect")
    assert np.array_equal(repeated[102:, 102:], mirrored[102:, 102:])
    assert (repeated[0, 0] == repeated[50, 50]).all()
    assert not np.array_equal(repeated, mirrored)
    far = Crop(-900, -900, 100).take(astronaut, 20)  # nothing of the picture in it
    assert (far == far[0, 0]).all()


@pytest.mark.parametrize("side", [0, -3, np.nan])
def test_refuses_squares_without_area(side):
    with pytest.raises(ValueError, match="positive side"):
        Crop(0, 0, side)


def test_portrait_crop_frames_the_face():
    landmarks = face()
    inside = portrait_crop(landmarks).to_crop(landmarks, 100)
    assert 50 < inside[152, 1] - inside[10, 1] < 60
    assert inside[10, 1] > 20  # hair
    assert inside[152, 1] < 85  # neck
    assert abs(inside[[33, 263], 0].mean() - 49.5) < 1


def test_portrait_crop_ignores_the_jaw():
    shut, opened = portrait_crop(face()), portrait_crop(face(jaw=0.4))
    assert opened == shut


@pytest.mark.parametrize(("yaw", "pitch"), [(30, 0), (-30, 0), (0, 20), (0, -20)])
def test_portrait_crop_keeps_its_size_when_the_head_turns(yaw, pitch):
    straight, turned = portrait_crop(face()), portrait_crop(face(yaw, pitch))
    assert turned.side == pytest.approx(straight.side, rel=0.03)
    assert face_scale(face(yaw, pitch)) == pytest.approx(100, rel=0.03)
    assert np.hypot(turned.cx - straight.cx, turned.cy - straight.cy) < 0.1 * straight.side


def test_video_crop_stands_still_for_a_talking_head():
    t = np.arange(80)
    track = [face(8 * np.sin(k / 9), at=(300 + 6 * np.sin(k / 7), 260), jaw=0.1 * (1 + np.sin(k))) for k in t]
    crops = list(video_crop(track))
    assert len(crops) == len(track)
    assert all(c.side == pytest.approx(crops[0].side) and c.cx == pytest.approx(crops[0].cx) for c in crops)


def test_video_crop_follows_slowly_and_keeps_the_face_inside():
    track = [face(at=(300 + 3 * k, 260)) for k in range(150)]
    crops = list(video_crop(track, look_ahead=12))
    cx = np.array([c.cx for c in crops])
    inside = np.stack([c.to_crop(p, 100) for c, p in zip(crops, track, strict=True)])[..., :2]
    assert inside.min() > 0
    assert inside.max() < 99
    assert np.abs(np.diff(cx, 2)).max() < 0.5  # starts and stops without a jerk
    assert np.ptp([c.side for c in crops]) < 1e-3


def test_video_crop_follows_a_face_that_comes_closer():
    track = [face(scale=60 + k) for k in range(120)]
    sides = np.array([c.side for c in video_crop(track)])
    assert sides[-1] / sides[0] > 1.8
    assert np.abs(np.diff(sides, 2)).max() < 0.5


def test_video_crop_holds_while_the_face_is_gone():
    track = [None] * 5 + [face()] * 30 + [None] * 30 + [face(at=(320, 260))] * 10
    crops = list(video_crop(track))
    assert len(crops) == len(track)
    assert len({c.cx for c in crops}) == 1
    assert list(video_crop([None] * 20)) == []


def test_video_crop_looks_ahead_no_further_than_promised():
    cropper = VideoCropper(look_ahead=4)
    ready = [len(cropper.push(face())) for _ in range(10)]
    assert sum(ready) == 6
    assert len(cropper.flush()) == 4
    again = [c for _ in range(9) for c in cropper.push(face(at=(900, 900)))] + cropper.flush()
    assert len(again) == 9
    assert again[0].cx > 800  # nothing of the first video is left


@pytest.mark.parametrize("frames", [1, 3, 25])
def test_short_videos_get_every_crop(frames):
    assert len(list(video_crop([face()] * frames))) == frames
