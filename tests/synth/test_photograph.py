"""Photographs prepared for warping."""

import cv2
import numpy as np

from headgen.synth.photograph import MARGIN, TRIM, fill_holes, line_mask, pad_photograph, polygon_mask, sample


def picture(height=60, width=50, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def test_padding_keeps_the_photograph_and_calms_down_outside():
    image = picture()
    padded = pad_photograph(image)
    assert padded.shape == (60 + 2 * MARGIN, 50 + 2 * MARGIN, 3)
    inner = padded[MARGIN + TRIM : -MARGIN - TRIM, MARGIN + TRIM : -MARGIN - TRIM]
    np.testing.assert_array_equal(inner, image[TRIM:-TRIM, TRIM:-TRIM])
    far = padded[MARGIN : MARGIN + 60, 5:10].astype(float)
    assert np.abs(np.diff(far, axis=0)).mean() < 0.3 * np.abs(np.diff(image.astype(float), axis=0)).mean()


def test_holes_are_filled_from_around_and_the_rest_is_kept():
    ramp = np.broadcast_to(np.linspace(0, 100, 64, dtype=np.float32)[None, :, None], (64, 64, 1)).copy()
    known = np.ones((64, 64), np.float32)
    known[20:40, 25:45] = 0
    spoilt = ramp.copy()
    spoilt[known == 0] = 999
    filled = fill_holes(spoilt, known)
    np.testing.assert_allclose(filled[known > 0], ramp[known > 0], atol=1e-3)
    assert np.abs(filled - ramp)[known == 0].max() < 20
    assert filled[30, 28, 0] < filled[30, 42, 0]


def test_polygon_covers_its_area():
    square = np.array([[5.0, 5.0], [15.0, 5.0], [15.0, 12.5], [5.0, 12.5]])
    # OpenCV paints the outline too: half a pixel more on every side
    assert 10 * 7.5 <= polygon_mask(square, (20, 24)).sum() <= 11.5 * 9.5
    assert polygon_mask(square, (20, 24))[0].max() == 0


def test_lines_are_drawn_where_they_are():
    line = np.stack([np.linspace(2, 28, 14), np.full(14, 9.0)], 1)
    mask = line_mask(line, (20, 30), 2, 0.5)
    assert mask[9, 8:22].min() > 0.7
    assert mask[14].max() < 0.05


def test_sampling_with_the_identity_changes_nothing():
    image = picture()
    places = np.stack(np.meshgrid(np.arange(50), np.arange(60)), -1).astype(np.float32)
    np.testing.assert_array_equal(sample(image, places, cv2.INTER_CUBIC), image)
