"""New people from a small library of made-up ones."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from made_up_face import albedo, face_layout  # noqa: E402

from headgen.errors import InputError  # noqa: E402
from headgen.synth.appearance import library as on_disk  # noqa: E402
from headgen.synth.appearance.library import Library, Person, character, write_person  # noqa: E402
from headgen.synth.appearance.mixing import draw_identity, skin_tone  # noqa: E402
from headgen.synth.appearance.texture import SkinLayout, luminance  # noqa: E402


@pytest.fixture(scope="module")
def layout() -> SkinLayout:
    return face_layout()


@pytest.fixture(scope="module")
def library(layout, tmp_path_factory) -> Library:
    """Eight people whose brows are bars at heights of their own."""
    return _library(layout, tmp_path_factory.mktemp("library"), 8)


def _library(layout: SkinLayout, folder, count: int) -> Library:
    (folder / "people").mkdir()
    (folder / "left_out").mkdir()
    for k in range(count):
        rng = np.random.default_rng(k)
        colour = albedo(layout) * np.exp(rng.normal(0, 0.03, (layout.size, layout.size, 1)))
        lips = layout.lip_mask[..., None]
        colour = np.where(lips < 0.5, colour, colour * np.exp(rng.normal(0, 0.1, 3)))
        colour = (colour * np.exp(rng.normal(0, 0.1))).astype(np.float32)
        plain = np.log(colour[layout.plain])
        person = Person(
            name=f"p{k}",
            identity=rng.normal(0, 1, 40).astype(np.float32),
            expression=np.zeros(57, np.float32),
            residual=np.zeros((468, 3), np.float32),
            albedo=colour,
            confidence=layout.inner_face,
            tone=np.median(plain, 0).astype(np.float32),
            measures=character(layout, colour, layout.inner_face),
        )
        write_person(folder / "people" / f"p{k}.safetensors", person)
    on_disk._write_index(folder)
    return Library(folder)


def test_tones_span_the_human_range_in_order():
    light = [luminance(np.exp(skin_tone(x))) for x in np.linspace(0, 1, 9)]
    assert light == sorted(light) and light[0] < 0.06 and light[-1] > 0.4
    for x in np.linspace(0, 1, 9):
        red, green, blue = skin_tone(x)
        assert red > green > blue


def test_the_skin_has_the_tone_asked_for(library, layout):
    for lightness in (0.05, 0.5, 0.95):
        made = draw_identity(library, layout, np.random.default_rng(3), lightness=lightness)
        skin = np.median(made.albedo[layout.plain], 0)
        assert np.abs(np.log(skin) - skin_tone(lightness)).max() < 0.4
        assert made.lightness == lightness


def test_a_new_person_is_none_of_the_old_ones(library, layout):
    made = draw_identity(library, layout, np.random.default_rng(4))
    assert len(set(made.people)) == 5
    assert made.coefficients.shape == (100,) and np.abs(made.coefficients).max() <= 2.5
    gaps = np.linalg.norm(library.identities - made.coefficients[:40], axis=1)
    assert gaps.min() > 0.5 * np.linalg.norm(library.identities, axis=1).mean()


def test_brows_and_lips_are_where_they_belong(library, layout):
    for seed in range(4):
        made = draw_identity(library, layout, np.random.default_rng(seed), lightness=0.7)
        light = luminance(np.log(made.albedo))
        skin = np.median(light[layout.plain])
        assert light[layout.brow_mask > 0.95].mean() < skin - 0.7
        assert luminance(np.log(made.brow)) < skin - 0.7
        beside = (layout.brow_mask < 0.02) & layout.plain
        assert np.percentile(light[beside], 5) > skin - 0.6
        red = np.log(made.albedo[..., 0] / made.albedo[..., 1])
        assert np.median(red[layout.lip_mask > 0.95]) > np.median(red[layout.plain]) + 0.2


def test_same_seed_same_person_other_seed_another(library, layout):
    one, two, other = (draw_identity(library, layout, np.random.default_rng(s)) for s in (7, 7, 8))
    np.testing.assert_array_equal(one.albedo, two.albedo)
    np.testing.assert_array_equal(one.coefficients, two.coefficients)
    assert not np.array_equal(one.albedo, other.albedo)


def test_lightness_is_drawn_from_the_whole_range(library, layout, monkeypatch):
    drawn = [draw_identity(library, layout, np.random.default_rng(s)).lightness for s in range(12)]
    assert min(drawn) < 0.3 and max(drawn) > 0.7


def test_too_few_people_are_refused(layout, tmp_path):
    with pytest.raises(InputError, match="a mixture needs 6"):
        draw_identity(_library(layout, tmp_path, 3), layout, np.random.default_rng(0))
