"""People, settings, and frames of them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from headgen.errors import InputError
from headgen.synth.characters import Casting
from headgen.synth.dataset.poses import random_frame
from headgen.synth.film import film
from headgen.synth.heads.model import PARTS, HeadMotion, joined
from headgen.synth.render.flaws import Flaws
from headgen.synth.render.renderer import Renderer
from headgen.synth.settings import Location

CHECKOUT = Path(__file__).parents[3] / "shared/data/head_assets"
ASSETS = Path(os.environ["HEADGEN_ASSETS"]) if "HEADGEN_ASSETS" in os.environ else CHECKOUT


@pytest.fixture(scope="module")
def casting():
    return Casting("analytic", seed=1)


@pytest.fixture(scope="module")
def setting():
    return Location(size=96)(np.random.default_rng(2))


def test_a_name_gives_the_same_person_whoever_was_drawn_before(casting):
    first = casting("one")
    again = Casting("analytic", seed=1)
    again("two")
    second = again("one")
    assert np.array_equal(first.neutral, second.neutral)
    assert [s.name for s in first.surfaces] == [s.name for s in second.surfaces]
    for a, b in zip(first.surfaces, second.surfaces, strict=True):
        assert np.array_equal(a.texture, b.texture)
    assert not np.array_equal(first.neutral, casting("two").neutral)
    assert not np.array_equal(first.neutral, Casting("analytic", seed=2)("one").neutral)


def test_everybody_is_dressed(casting):
    for name in ("one", "two", "three"):
        materials = {surface.material for surface in casting(name).surfaces}
        assert {"skin", "iris", "teeth", "clothing"} <= materials


def test_frames_do_not_depend_on_how_many_are_taken_at_once(casting, setting):
    motion = joined([random_frame(np.random.default_rng(k)) for k in range(5)])
    whole = list(film(casting("one"), motion, setting, Renderer(), at_once=5))
    parts = list(film(casting("one"), motion, setting, Renderer(), at_once=2))
    assert [shot.start for shot in parts] == [0, 2, 4]
    images = np.concatenate([shot.images for shot in parts])
    assert np.array_equal(images, whole[0].images)
    depth = np.concatenate([shot.truth.depth for shot in parts])
    np.testing.assert_allclose(depth, whole[0].truth.depth, rtol=1e-5)


def turning(frames: int, degrees: float) -> HeadMotion:
    """A head that turns by some degrees from frame to frame."""
    still = joined([random_frame(np.random.default_rng(3))] * frames)
    head = np.zeros((frames, 3), np.float32)
    head[:, 0] = degrees * (np.arange(frames) - frames / 2)
    return replace(still, head=head)


def sharpness(images: np.ndarray, where: np.ndarray) -> np.ndarray:
    """(T,) mean difference of neighbours in pictures (T, H, W, 3) where (T, H, W) says so."""
    apart = np.abs(np.diff(images.astype(float), axis=2)).mean(-1)
    return np.array([a[w[:, 1:]].mean() for a, w in zip(apart, where, strict=True)])


def test_a_slow_shutter_smears_what_moves_and_nothing_else(casting, setting):
    person, motion = casting("one"), turning(5, 4.0)
    slow = replace(setting, flaws=Flaws(seed=0, shutter=0.9))

    def taken(place, **options):
        return list(film(person, motion, place, Renderer(), **options))

    (sharp,) = taken(replace(setting, flaws=Flaws(seed=0)), fps=25.0)
    (smeared,) = taken(slow, fps=25.0)
    face = sharp.truth.parts == PARTS.index("skin")
    before, after = sharpness(sharp.images, face), sharpness(smeared.images, face)
    assert (after[1:] < 0.9 * before[1:]).all()
    assert np.array_equal(sharp.images[0], smeared.images[0])  # nothing was before it
    far = cv2.erode((sharp.truth.parts[2] == 0).astype(np.uint8), np.ones((21, 21))) > 0
    assert far.any() and np.array_equal(sharp.images[2][far], smeared.images[2][far])
    # exposure is a time: at twice the rate the same step from frame to frame is twice as fast
    faster = sharpness(taken(slow, fps=50.0)[0].images, face)
    assert (faster[1:] < after[1:]).all()
    # in pieces the same, with something that passes too; unrelated frames are not smeared
    hand = person.behind("hand passing", 5, 25.0, np.random.default_rng(1))
    whole, pieces = (taken(slow, fps=25.0, at_once=n, occluders=hand) for n in (5, 2))
    assert np.array_equal(whole[0].images, np.concatenate([shot.images for shot in pieces]))
    assert np.array_equal(taken(slow)[0].images, sharp.images)


def test_an_occluder_is_in_the_mask_in_the_frames_that_it_passes(casting, setting):
    person = casting("two")
    motion = joined([random_frame(np.random.default_rng(k)) for k in range(4)])
    before = next(film(person, motion, setting, Renderer())).truth
    hand = person.behind("face mask", 4, 25.0, np.random.default_rng(0))
    after = next(film(person, motion, setting, Renderer(), occluders=hand)).truth
    number = PARTS.index("occluder")
    assert not (before.parts == number).any()
    covered = after.parts == number
    assert (covered.mean((1, 2)) > 0.01).all()
    # nothing else changes, and what covers lies nearer
    assert np.array_equal(after.parts[~covered], before.parts[~covered])
    assert (after.depth[covered] <= before.depth[covered]).all()


def test_the_ict_head_asks_for_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.delenv("HEADGEN_ASSETS", raising=False)
    monkeypatch.setenv("HEADGEN_HOME", str(tmp_path))
    with pytest.raises(InputError, match="headgen weights fetch ict-facekit"):
        Casting("ict", textures=tmp_path)
    with pytest.raises(InputError, match="choose from analytic, ict"):
        Casting("clay")  # type: ignore[arg-type]


@pytest.mark.skipif(not (ASSETS / "ict_facekit").is_dir(), reason="needs the ICT face model")
def test_the_ict_head_asks_for_skin():
    with pytest.raises(InputError, match="headgen synth textures"):
        Casting("ict", assets=ASSETS)


def test_settings_are_drawn_from_their_seed():
    place = Location(size=64)
    a, b, c = (place(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(a.background, b.background) and a.camera == b.camera
    assert np.array_equal(a.light.harmonics, b.light.harmonics)
    assert a.camera != c.camera and not np.array_equal(a.background, c.background)
