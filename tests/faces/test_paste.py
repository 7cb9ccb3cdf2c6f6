"""Pasting back: nothing changes that need not, no seam shows, colours meet."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from headgen.faces.crop import Crop
from headgen.faces.paste import Paster, paste

PLACES = {
    "inside": Crop(223, 140, 200).snapped(),
    "at the border": Crop(120, 100, 301).snapped(),
    "larger than the picture": Crop(255, 255, 900).snapped(),
}


@pytest.mark.parametrize("crop", PLACES.values(), ids=PLACES.keys())
def test_an_unchanged_crop_gives_back_the_picture(astronaut, crop):
    size = int(crop.side)
    assert np.abs(paste(astronaut, crop.take(astronaut, size), crop).astype(int) - astronaut).max() <= 1


def test_a_redrawn_crop_hardly_changes_the_picture(astronaut):
    smooth = cv2.GaussianBlur(astronaut, (0, 0), 3)
    for crop in (Crop(223.3, 140.8, 233.3), Crop(230, 160, 260, angle=14)):
        back = paste(smooth, crop.take(smooth, 256), crop)
        assert np.abs(back.astype(int) - smooth).mean() < 0.2
        assert np.abs(back.astype(int) - smooth).max() < 12


@pytest.mark.parametrize("crop", [*PLACES.values(), Crop(230, 160, 260, angle=14)])
def test_outside_the_crop_not_a_byte_changes(astronaut, crop):
    back = paste(astronaut, np.full((128, 128, 3), 200, np.uint8), crop)
    x0, y0, x1, y1 = crop.box(astronaut.shape)
    outside = np.ones(astronaut.shape[:2], bool)
    outside[y0:y1, x0:x1] = False
    assert np.array_equal(back[outside], astronaut[outside])
    assert not np.array_equal(back, astronaut)


def test_the_middle_is_the_crop(astronaut):
    crop = Crop(223, 140, 200).snapped()
    other = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    back = Paster(crop, astronaut.shape, 200, match_colours=False).paste(astronaut, other)
    middle = crop.take(back, 200)[40:-40, 40:-40]
    assert np.array_equal(middle, other[40:-40, 40:-40])


def test_no_seam_between_different_greys():
    frame = np.full((300, 300, 3), 120, np.uint8)
    crop = Crop(150, 150, 160)
    back = paste(frame, np.full((160, 160, 3), 200, np.uint8), crop)[..., 0].astype(int)
    assert back[150, 150] > 185
    assert np.abs(np.diff(back[150])).max() < 12
    assert np.abs(np.diff(back[:, 150])).max() < 12


def test_a_colour_cast_is_taken_off(astronaut):
    crop = Crop(223, 140, 240).snapped()
    cast = np.clip(crop.take(astronaut, 240).astype(int) + [7, -4, 5], 0, 255).astype(np.uint8)
    change = np.abs(paste(astronaut, cast, crop).astype(int) - astronaut).mean()
    plain = Paster(crop, astronaut.shape, 240, match_colours=False).paste(astronaut, cast)
    assert change < 0.35 * np.abs(plain.astype(int) - astronaut).mean()


def test_content_that_moved_at_the_edge_does_not_dye_the_face(astronaut):
    crop = Crop(223, 140, 240).snapped()
    image = crop.take(astronaut, 240)
    image[:70, :24] = (0, 255, 0)
    face = crop.take(paste(astronaut, image, crop), 240)[80:200, 70:170].astype(int)
    assert np.abs(face - image[80:200, 70:170]).max() <= 2


def test_reaches_the_border_of_the_picture_without_fading(astronaut):
    crop = Crop(100, 100, 300).snapped()
    back = Paster(crop, astronaut.shape, 300, match_colours=False).paste(
        astronaut, np.full((300, 300, 3), 255, np.uint8)
    )
    assert (back[:150, 0] == 255).all()
    assert (back[0, :150] == 255).all()


def test_mask_says_what_is_taken(astronaut):
    crop = Crop(223, 140, 200).snapped()
    mask = np.zeros((200, 200), np.float32)
    mask[50:150, 50:150] = 1
    back = paste(astronaut, np.zeros((200, 200, 3), np.uint8), crop, mask)
    changed = crop.take(np.abs(back.astype(int) - astronaut).max(-1).astype(np.uint8), 200) > 1
    assert changed[60:140, 60:140].mean() > 0.9
    changed[49:151, 49:151] = False
    assert not changed.any()
    assert np.array_equal(paste(astronaut, np.zeros((200, 200, 3), np.uint8), crop, mask * 0), astronaut)


def test_crops_of_any_resolution_and_type_land_alike(astronaut):
    crop = Crop(223, 140, 256).snapped()
    soft = cv2.GaussianBlur(astronaut, (0, 0), 4)
    same = paste(astronaut, crop.take(soft, 256), crop).astype(int)
    for size in (128, 512, 900):
        assert np.abs(paste(astronaut, crop.take(soft, size), crop).astype(int) - same).mean() < 0.5
    floats = crop.take(soft, 256).astype(np.float32) / 255
    assert np.abs(paste(astronaut, floats, crop).astype(int) - same).max() <= 1


def test_writes_in_place_only_when_asked(astronaut):
    crop = Crop(223, 140, 200).snapped()
    paster, image = Paster(crop, astronaut.shape, 200), np.zeros((200, 200, 3), np.uint8)
    before = astronaut.copy()
    fresh = paster.paste(before, image)
    assert np.array_equal(before, astronaut)
    assert paster.paste(before, image, out=before) is before
    assert np.array_equal(before, fresh)


def test_beside_the_picture_nothing_happens(astronaut):
    crop = Crop(-400, -400, 100)
    assert np.array_equal(paste(astronaut, np.zeros((64, 64, 3), np.uint8), crop), astronaut)


def test_refuses_other_sizes(astronaut):
    paster = Paster(Crop(223, 140, 200), astronaut.shape, 200)
    with pytest.raises(ValueError, match=r"made for a picture of \(512, 512\)"):
        paster.paste(astronaut[:400], np.zeros((200, 200, 3), np.uint8))
    with pytest.raises(ValueError, match="feather"):
        Paster(Crop(223, 140, 200), astronaut.shape, 200, feather=0.7)


def test_costs_a_few_milliseconds(astronaut):
    frame = cv2.resize(astronaut, (1024, 1024))
    crop = Crop(446, 280, 512).snapped()
    paster, image = Paster(crop, frame.shape, 512), crop.take(frame, 512)
    paster.paste(frame, image, out=frame)
    spent = []
    for _ in range(15):
        start = time.process_time()
        paster.paste(frame, image, out=frame)
        spent.append(time.process_time() - start)
    assert np.median(spent) < 0.012  # half of that when the machine is free
