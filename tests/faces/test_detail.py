"""Detail transfer: sharp where the source knows, untouched where it does not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from headgen.faces.crop import Crop, portrait_crop
from headgen.faces.detail import DetailTransfer
from headgen.faces.mesh import EYE_LEFT, LIPS_INNER


@pytest.fixture(scope="module")
def source(astronaut, astronaut_landmarks):
    """The face's crop at 384 pixels, its landmarks, and the crop."""
    crop = portrait_crop(astronaut_landmarks)
    return crop.take(astronaut, 384), crop.to_crop(astronaut_landmarks, 384), crop


def soft(image, n=128):
    return cv2.GaussianBlur(cv2.resize(image, (n, n), interpolation=cv2.INTER_AREA), (0, 0), 0.6)


def enlarged(frame, size=384):
    return cv2.resize(frame, (size, size), interpolation=cv2.INTER_CUBIC)


def error(a, b):
    return float(((a.astype(float) - b) ** 2).mean())


def energy(image):
    return float((cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F) ** 2).mean())


def scaled(landmarks, factor):
    out = landmarks * factor
    out[:, :2] += (factor - 1) / 2
    return out


def region(landmarks, indices, size=384):
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(landmarks[list(indices), :2]).astype(np.int32)), 1)
    return mask.astype(bool)


def test_brings_back_what_the_network_lost(source):
    image, landmarks, _ = source
    frame = soft(image)
    sharp = DetailTransfer(image, landmarks).apply(frame, scaled(landmarks, 1 / 3))
    assert sharp.shape == image.shape
    assert sharp.dtype == np.uint8
    assert error(sharp, image) < 0.4 * error(enlarged(frame), image)
    assert energy(sharp) > 4 * energy(enlarged(frame))
    assert energy(sharp) < 1.2 * energy(image)


def test_carries_detail_along_with_the_head(source, astronaut, astronaut_landmarks):
    image, landmarks, crop = source
    moved = Crop(crop.cx + 5, crop.cy - 4, crop.side * 1.04, angle=7)
    target, frame = moved.take(astronaut, 384), soft(moved.take(astronaut, 384))
    sharp = DetailTransfer(image, landmarks).apply(frame, moved.to_crop(astronaut_landmarks, 128))
    face = region(moved.to_crop(astronaut_landmarks, 384), range(468))
    assert error(sharp[face], target[face]) < 0.6 * error(enlarged(frame)[face], target[face])
    assert error(sharp, target) < 0.75 * error(enlarged(frame), target)


def test_finds_the_detail_when_landmarks_are_a_little_off(source):
    image, landmarks, _ = source
    frame, detail = soft(image), DetailTransfer(image, landmarks)
    off = scaled(landmarks, 1 / 3) + np.array([0.8, -0.6, 0])
    assert error(detail.apply(frame, off), image) < 0.6 * error(enlarged(frame), image)


def test_keeps_the_low_frequencies_of_the_network(source):
    image, landmarks, _ = source
    frame = np.clip(soft(image).astype(int) + [14, 0, -14], 0, 255).astype(np.uint8)  # warmer light
    sharp = DetailTransfer(image, landmarks).apply(frame, scaled(landmarks, 1 / 3))
    low, wanted = (cv2.GaussianBlur(picture, (0, 0), 8).astype(float) for picture in (sharp, enlarged(frame)))
    assert np.abs(low - wanted).mean() < 1
    assert energy(sharp) > 3 * energy(enlarged(frame))


def test_mouth_interior_stays_the_network_s(source):
    image, landmarks, _ = source
    frame = soft(image)
    sharp = DetailTransfer(image, landmarks).apply(frame, scaled(landmarks, 1 / 3))
    mouth = cv2.erode(region(landmarks, LIPS_INNER).astype(np.uint8), np.ones((5, 5))) > 0
    assert mouth.sum() > 50
    kept, added = (np.abs(sharp.astype(int) - other)[mouth].mean() for other in (enlarged(frame), image))
    assert kept < 0.35 * added


def test_eyes_that_open_stay_the_network_s(source):
    image, landmarks, _ = source
    narrow = landmarks.copy()  # a source that squints
    upper, lower = [386, 385, 387, 384, 388], [374, 380, 373, 381, 390]
    narrow[upper, 1] += 0.85 * (landmarks[lower, 1] - landmarks[upper, 1])
    frame, eye = soft(image), region(landmarks, EYE_LEFT)
    plain = enlarged(frame).astype(int)
    change = [
        np.abs(DetailTransfer(image, points).apply(frame, scaled(landmarks, 1 / 3)) - plain)[eye].mean()
        for points in (landmarks, narrow)
    ]
    assert change[1] < 0.4 * change[0]


def test_nothing_is_added_where_the_pictures_disagree(source):
    image, landmarks, _ = source
    frame = soft(image)
    frame[90:, :50] = soft(image)[::-1][90:, :50]  # something else stands there
    sharp = DetailTransfer(image, landmarks).apply(frame, scaled(landmarks, 1 / 3))
    plain = enlarged(frame)
    assert np.abs(sharp.astype(int) - plain)[290:370, 10:130].mean() < 1.5


def test_takes_any_network_size_and_floats(source):
    image, landmarks, _ = source
    detail = DetailTransfer(image, landmarks)
    for n in (96, 256):
        frame = soft(image, n)
        ints = detail.apply(frame, scaled(landmarks, n / 384))
        floats = detail.apply(frame.astype(np.float32) / 255, scaled(landmarks, n / 384))
        assert np.abs(ints.astype(int) - floats).max() <= 1
        assert error(ints, image) < 0.6 * error(enlarged(frame), image)
    assert np.array_equal(detail.apply(frame, scaled(landmarks, n / 384)), ints)


def test_refuses_pictures_that_are_no_square(source):
    image, landmarks, _ = source
    with pytest.raises(ValueError, match="square"):
        DetailTransfer(image[:200], landmarks)
