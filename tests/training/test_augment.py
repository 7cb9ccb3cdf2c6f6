"""Augmentations: geometry of pictures and key points agrees, colours are jittered as promised."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headgen.training.augment import (
    KEYPOINT_LANDMARKS,
    Augmentation,
    ColourJitter,
    Window,
    draw_window,
    map_to_window,
    normalise,
    take_window,
)

SIZE = 128
STILL = ColourJitter(0, 0, 0, 0)


def dotted(landmarks: np.ndarray) -> np.ndarray:
    """A black picture with a soft white dot at the nose tip and a green one at the left mouth corner."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    image = np.zeros((SIZE, SIZE, 3))
    for index, colour in ((1, (255, 0, 0)), (61, (0, 255, 0))):
        bump = np.exp(-((x - landmarks[index, 0]) ** 2 + (y - landmarks[index, 1]) ** 2) / 8)
        image += bump[..., None] * colour
    return np.clip(image, 0, 255).astype(np.uint8)


def locate(picture: torch.Tensor, channel: int) -> np.ndarray:
    """Normalised (x, y) of the dot in a picture (3, H, W)."""
    weights = picture[channel].double()
    grid = (torch.arange(picture.shape[-1], dtype=torch.float64) + 0.5) * 2 / picture.shape[-1] - 1
    return np.array([(weights.sum(0) @ grid) / weights.sum(), (weights.sum(1) @ grid) / weights.sum()])


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    landmarks = rng.uniform(45, 85, (3, 478, 3)).astype(np.float32)
    images = np.stack([dotted(points) for points in landmarks])
    return {
        "source": images[:2], "source_landmarks": landmarks[:2],
        "driving": images[2], "driving_landmarks": landmarks[2], "clip": 0,
    }  # fmt: skip


@pytest.mark.parametrize("size", [SIZE, 64])
@pytest.mark.parametrize("flip", [0, 1])
def test_mapped_key_points_are_where_the_cropped_pictures_show_them(pair, size, flip):
    augment = Augmentation(size, flip=flip, out_of_frame=1, jitter=STILL)
    seen_out_of_frame = 0
    for seed in range(6):
        sample = augment(pair, np.random.default_rng(seed))
        window = sample["window"][None]
        assert window[0, 2] < 1
        mapped = map_to_window(sample["driving_points"][None], window)[0].numpy()
        sources = map_to_window(sample["source_points"][None], window)[0].numpy()
        # A mirrored left mouth corner is the right one: third and fourth of the points.
        corner = 3 if flip else 2
        for points, picture in ((mapped, sample["target"]), (sources[1], sample["source"][1])):
            if np.abs(points[[0, corner]]).max() < 0.85:
                assert locate(picture, 0) == pytest.approx(points[0], abs=0.6 * 2 / size)
                assert locate(picture, 1) == pytest.approx(points[corner], abs=0.6 * 2 / size)
                seen_out_of_frame += 1
        whole = sample["driving_points"].numpy()
        assert locate(sample["driving_motion"], 0) == pytest.approx(whole[0], abs=0.6 * 2 / size)
        assert locate(sample["driving_motion"], 1) == pytest.approx(whole[corner], abs=0.6 * 2 / size)
    assert seen_out_of_frame >= 6


def test_windows_stay_inside_and_keep_everything_within_two():
    rng = np.random.default_rng(1)
    for _ in range(300):
        centre, spread = rng.uniform(20, 108, 2), rng.uniform(3, 60)
        landmarks = np.zeros((478, 3))
        landmarks[:, :2] = centre + rng.uniform(-spread, spread, (478, 2))
        w = draw_window(landmarks, SIZE, rng)
        assert max(abs(w.x), abs(w.y)) + w.half <= 1 + 1e-9
        assert (1 + max(abs(w.x), abs(w.y))) / w.half <= 2 + 1e-9


def test_closeup_shows_the_box_of_the_driving_landmarks(pair):
    sample = Augmentation(SIZE, flip=0, closeup_margin=1.0, jitter=STILL)(pair, np.random.default_rng(0))
    points = normalise(pair["driving_landmarks"][:, :2], SIZE)
    low, high = points.min(0), points.max(0)
    expected = (points[1] - (low + high) / 2) / ((high - low).max() / 2)
    assert locate(sample["driving_closeup"], 0) == pytest.approx(expected, abs=0.05)


def test_window_of_everything_is_the_picture_and_shrinking_keeps_the_mean(pair):
    image = pair["driving"]
    assert np.array_equal(take_window(image, Window(0, 0, 1), SIZE), image)
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    assert take_window(noise, Window(0, 0, 1), 16).std() < 0.25 * noise.std()


def test_colour_jitter_known_values():
    image = np.full((4, 4, 3), (100, 50, 50), np.uint8)
    apply = ColourJitter.apply
    assert np.abs(apply(image, np.array([1, 1, 1, 0])).astype(int) - image).max() <= 1
    assert apply(image, np.array([1.1, 1, 1, 0]))[0, 0].tolist() == [110, 55, 55]
    assert apply(image, np.array([1, 1, 1, 1 / 3]))[0, 0].tolist() == [50, 100, 50]
    assert apply(image, np.array([1, 1, 0, 0]))[0, 0].tolist() == [100, 100, 100]
    two = np.stack([np.full((4, 3), 100, np.uint8), np.full((4, 3), 200, np.uint8)])
    assert apply(two, np.array([1, 1.1, 1, 0]))[:, 0, 0].tolist() == [95, 205]


def test_jitters_are_shared_by_source_and_target_and_differ_from_the_others(pair):
    grey = np.full((SIZE, SIZE, 3), (150, 110, 90), np.uint8)
    pair = {**pair, "source": np.stack([grey, grey]), "driving": grey}
    sample = Augmentation(SIZE, flip=0)(pair, np.random.default_rng(0))
    colours = {name: sample[name].float().mean((-2, -1)) for name in
               ("source", "target", "source_motion", "driving_motion", "driving_closeup")}  # fmt: skip
    assert torch.equal(colours["source"][0], colours["source"][1])
    assert torch.equal(colours["source"][0], colours["target"])
    assert torch.equal(colours["source_motion"][1], colours["driving_motion"])
    assert (colours["target"] - colours["driving_motion"]).abs().max() > 2
    assert (colours["driving_closeup"] - colours["driving_motion"]).abs().max() > 2


def test_rates_and_reproducibility(pair):
    augment = Augmentation(16)
    samples = [augment(pair, np.random.default_rng((7, i))) for i in range(300)]
    assert 0.68 < np.mean([bool(s["use_closeup"]) for s in samples]) < 0.82
    assert 0.42 < np.mean([float(s["window"][2]) < 1 for s in samples]) < 0.58
    again = augment(pair, np.random.default_rng((7, 5)))
    assert all(torch.equal(again[name], samples[5][name]) for name in again)
    plain = Augmentation.none(SIZE)(pair, np.random.default_rng(0))
    assert torch.equal(plain["target"], torch.from_numpy(pair["driving"]).permute(2, 0, 1))
    assert len(KEYPOINT_LANDMARKS) == plain["driving_points"].shape[0]
