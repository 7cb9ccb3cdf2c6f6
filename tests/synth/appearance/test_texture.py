"""Photographs carried into the layout of a texture, on a made-up face of which everything is known."""

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from made_up_face import SCALE, SIZE, SKIN, albedo, face_layout, photograph  # noqa: E402

from headgen.errors import InputError  # noqa: E402
from headgen.synth.appearance.texture import (  # noqa: E402
    SkinLayout,
    bake,
    broad_blur,
    cavities,
    complete,
    project_photograph,
    reject_foreign,
    skin_grain,
    to_linear,
    to_srgb,
)

ASSETS = Path(os.environ.get("HEADGEN_ASSETS", Path(__file__).parents[4] / "shared/data/head_assets"))


@pytest.fixture(scope="module")
def layout() -> SkinLayout:
    return face_layout()


def test_colours_survive_linear_light():
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_srgb(to_linear(codes)), codes)


def test_baking_puts_attributes_where_the_layout_says():
    uv = np.array([[0, 0], [1, 0], [0, 1.0]])
    values, covered = bake(uv, np.array([[0, 1, 2]]), uv, 16)
    assert covered[2, 3] and not covered[14, 14]
    np.testing.assert_allclose(values[2, 3], [3.5 / 16, 2.5 / 16], atol=1e-5)


def test_wide_blur_is_the_exact_one_but_faster():
    picture = np.zeros((128, 128), np.float32)
    picture[40:90, 50:] = 1
    import cv2

    assert np.abs(broad_blur(picture, 18) - cv2.GaussianBlur(picture, (0, 0), 18)).max() < 0.02


def test_a_photograph_comes_back_as_the_texture_it_was_drawn_from(layout):
    truth = albedo(layout)
    image, points = photograph(layout, truth)
    seen = project_photograph(layout, image, points, SCALE)
    sure = seen.confidence > 0.9
    assert sure.sum() > 0.2 * SIZE * SIZE
    assert np.abs(to_srgb(seen.colour).astype(int) - to_srgb(truth))[sure].mean() < 2.5


def test_what_is_turned_away_or_no_skin_has_no_confidence(layout):
    image, points = photograph(layout, albedo(layout), yaw=45)
    seen = project_photograph(layout, image, points, SCALE)
    x = layout.positions[..., 0]
    face = layout.inner_face > 0.9
    # the face turns to the picture's right: the person's left cheek hides
    assert seen.confidence[face & (x < -2)].mean() > 0.6 > 0.1 > seen.confidence[face & (x > 4.5)].mean()
    assert seen.confidence[layout.near(layout.lids, 0.3) > 0.5].max() < 0.05
    assert seen.confidence[layout.near(layout.lip_line, 0.2) > 0.5].max() < 0.05
    nobody = project_photograph(layout, image, points, SCALE, np.zeros(image.shape[:2], np.float32))
    assert nobody.confidence.max() == 0


def test_skin_hidden_by_the_nose_is_not_seen(layout):
    image, points = photograph(layout, albedo(layout))
    wall = np.array([[-60, -60, 200], [60, -60, 200], [0, 60, 200.0]]) + [points[:, 0].mean(), 170, 0]
    hidden = SkinLayout(
        vertices=np.concatenate([layout.vertices, np.zeros((3, 3), np.float32)]),
        triangles=np.concatenate([layout.triangles, [[len(points) + 2, len(points) + 1, len(points)]]]),
        uv=np.concatenate([layout.uv, np.zeros((3, 2), np.float32)]),
        uv_triangles=np.concatenate([layout.uv_triangles, [[len(points) + 2, len(points) + 1, len(points)]]]),
        size=SIZE,
        oval=layout.oval,
    )
    seen = project_photograph(hidden, image, np.concatenate([points, wall]), SCALE)
    x, y, _ = np.moveaxis(layout.positions, -1, 0)
    assert seen.confidence[(np.abs(x) < 0.8) & (np.abs(y) < 1)].max() == 0
    assert seen.confidence[(np.abs(x) > 3.9) & (np.abs(x) < 4.5) & (np.abs(y) < 2)].min() > 0.5


def test_hair_over_the_forehead_is_rejected_and_brows_are_not(layout):
    colour = albedo(layout)
    y = layout.positions[..., 1]
    hair = layout.covered & (y > 5.3)
    colour[hair] = (0.03, 0.02, 0.015)
    kept = reject_foreign(layout, colour, layout.inner_face)
    assert kept[hair].max() < 0.2
    assert np.median(kept[layout.brow_mask > 0.9]) > 0.5
    assert kept[layout.plain & (y < 2)].min() > 0.9


def test_completion_takes_the_other_half_and_matches_its_colour(layout):
    truth = albedo(layout)
    x = layout.positions[..., 0]
    known = layout.inner_face * (1 - layout.unreliable) * np.clip(1.5 - x, 0, 1)
    lit = truth * np.where(x > 0, 0.8, 1.0)[..., None].astype(np.float32)
    full = complete(layout, lit, known.astype(np.float32), np.random.default_rng(0))
    spot = np.hypot(x - 2.6, layout.positions[..., 1] + 0.5) < 0.2  # seen only on the other side
    around = np.abs(np.hypot(x - 2.6, layout.positions[..., 1] + 0.5) - 1.0) < 0.2
    assert full[spot].mean() < 0.75 * full[around].mean()


def test_completion_leaves_what_is_known_and_fills_the_rest_with_skin(layout):
    truth = albedo(layout)
    truth[layout.unreliable > 0] = (0.9, 0.9, 0.9)  # teeth and eyeballs
    known = layout.inner_face * (1 - layout.unreliable)
    full = complete(layout, truth, known, np.random.default_rng(0))
    sure = known > 0.99
    assert np.abs(np.log(full / truth))[sure].mean() < 0.01
    lids = layout.near(layout.lids, 0.15) > 0.3
    scalp = layout.covered & (layout.positions[..., 1] > 9)
    for place in (lids, scalp):
        assert np.abs(np.log(np.median(full[place], 0) / SKIN)).max() < 0.25
    lips = layout.near(layout.lip_line, 0.1) > 0.3
    assert np.median(full[lips], 0) @ [1, -1, 0] > 0.15  # lips go on between the lips
    assert full[scalp].std() > 0.003  # and skin is not plain
    again = complete(layout, truth, known, np.random.default_rng(0))
    np.testing.assert_array_equal(full, again)


def test_grain_is_even_around_zero(layout):
    grain = skin_grain(layout, np.random.default_rng(1))
    assert abs(grain.mean()) < 0.01 and 0.02 < grain.std() < 0.08


def test_only_cavities_are_darkened(layout):
    assert cavities(layout)[layout.plain].min() > 0.95


def test_missing_model_is_named(tmp_path):
    with pytest.raises(InputError, match="not the ICT face model"):
        SkinLayout.of_ict(None, tmp_path)


@pytest.mark.shared
@pytest.mark.skipif(not (ASSETS / "ict_facekit").is_dir(), reason="the shared head assets are missing")
def test_the_layout_of_the_ict_face():
    from headgen.synth.ict import IctHead

    ict = SkinLayout.of_ict(IctHead.load(ASSETS / "ict_facekit"), ASSETS / "ict_facekit", 256)
    x, y = np.meshgrid(np.arange(256), np.arange(256))
    # the layout is its own mirror image
    gap = np.hypot(ict.mirrored[..., 0] - (255 - x), ict.mirrored[..., 1] - y)[ict.covered]
    assert np.median(gap) < 1.0
    # brows above lids above lips, all inside the face
    rows = [
        np.nonzero(mask > 0.5)[0].mean() for mask in (ict.brow_mask, ict.near(ict.lids, 0.5), ict.lip_mask)
    ]
    assert rows == sorted(rows)
    assert ict.inner_face[ict.brow_mask > 0.9].min() > 0.5
    # nostrils are dark, cheeks are not
    factor = cavities(ict)
    assert factor.min() < 0.6 and np.median(factor[ict.plain]) > 0.99
