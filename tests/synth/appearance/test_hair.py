"""Hair without files: it covers the scalp, stays out of head and eyes, and obeys colour and length."""

import numpy as np
import pytest

from headgen.synth.appearance.hair import STYLES, hair, sample_style
from headgen.synth.appearance.scalp import Comb, Hairline
from headgen.synth.appearance.strands import COLOURS, HairColour, evened, streaks, wisps

BROWN = HairColour.named("brown")


@pytest.fixture(autouse=True)
def small_textures(monkeypatch):
    monkeypatch.setattr("headgen.synth.appearance.hair.TEXTURE", 96)


def grown(person, style, seed=0, **options):
    return hair(person.anatomy, style, BROWN, np.random.default_rng(seed), **options)


def points(surfaces):
    return np.concatenate([s.points[np.unique(s.triangles)] for s in surfaces]).astype(np.float64)


@pytest.mark.parametrize("style", [s for s in STYLES if s != "bald"][::2])
def test_every_style_covers_the_scalp_and_stays_outside_the_head(people, style):
    person = people[len(style) % 2]
    surfaces = grown(person, style)
    height, _ = person.anatomy.skin.height(points(surfaces))
    assert np.isfinite(height).all()
    assert height.min() > -1.0 and (height < -0.05).mean() < 0.02  # strips dip in at their borders only
    rims, _ = person.anatomy.skin.height(points(surfaces[:1]))
    assert rims.min() > -0.2 and (rims < 0).mean() < 0.01  # a scalp that pokes through is seen at once
    cap = surfaces[0]
    corners = cap.points[cap.triangles].mean(1)
    azimuth, elevation, _ = person.anatomy.directions(corners)
    texel = np.clip((cap.uv[cap.triangles].mean(1) * len(cap.texture)).astype(int), 0, len(cap.texture) - 1)
    shown = cap.texture[texel[:, 1], texel[:, 0], 3] >= 128
    deep = (elevation > 20) & (np.abs(azimuth) > 90) & (elevation < 25)
    assert shown[deep].mean() > 0.9  # the back of the head, which even a horseshoe covers


@pytest.mark.parametrize("style", ["long", "bob with fringe", "mop", "side parting"])
def test_no_hair_hangs_before_the_pupils(people, style):
    for person in people:
        found = points(grown(person, style, seed=4))
        for first in (36, 42):
            eye = person.anatomy.landmarks[first : first + 6].mean(0)
            offset = found - eye
            before = (np.abs(offset[:, 0]) < 0.6) & (np.abs(offset[:, 1]) < 0.4) & (offset[:, 2] > -1)
            assert not before.any()


def test_same_seed_same_hair_and_another_seed_other_strands(person):
    first, again, other = (grown(person, "bob", seed) for seed in (1, 1, 2))
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.points, b.points) and np.array_equal(a.texture, b.texture)
    assert not np.array_equal(first[-1].points, other[-1].points)


def test_length_volume_and_side_do_what_they_say(person):
    long, short = (points(grown(person, "bob", length=x))[:, 1].min() for x in (1.3, 0.8))
    assert long < short - 4
    high, flat = (points(grown(person, "afro", volume=x))[:, 1].max() for x in (1.3, 0.8))
    assert high > flat + 1
    left, right = (points(grown(person, "side parting", flip=f)) for f in (False, True))
    top = [p[p[:, 1] > p[:, 1].max() - 1.0, 0].mean() for p in (left, right)]
    assert top[0] * top[1] < 0


def test_colours_order_by_lightness_and_grey_strands_appear():
    brightness, cover, strand = wisps(np.random.default_rng(0), (64, 128))
    shown = cover > 0.5

    def lightness(colour):
        return colour.paint(brightness, cover, strand)[shown][:, :3].mean()

    tones = [lightness(HairColour.named(name)) for name in ("black", "brown", "blond", "white")]
    assert tones == sorted(tones) and tones[-1] > 4 * tones[0]
    plain, half = HairColour.named("black"), HairColour.named("black", grey=0.5)
    assert lightness(half) > 2 * lightness(plain)
    assert 0.3 < shown.mean() < 0.95  # neither bars nor nothing


def test_streaks_run_along_their_flow():
    flow = np.zeros((96, 96, 2), np.float32)
    flow[..., 1] = 1
    lines = streaks(flow, np.random.default_rng(0), 30)
    along, across = np.abs(np.diff(lines, axis=0)).mean(), np.abs(np.diff(lines, axis=1)).mean()
    assert along < 0.4 * across
    assert np.allclose(np.sort(evened(lines).ravel()), np.linspace(0, 1, lines.size), atol=1e-6)


def test_a_receding_hairline_bares_the_temples_and_a_horseshoe_the_top(person):
    usual, receding, bald = (
        Hairline.of(person.anatomy, **options) for options in ({}, {"recession": 1.0}, {"horseshoe": 38.0})
    )
    temple = np.array([34.0]), usual.curve(34.0) + 4
    assert usual.inside(*temple)[0] > 0 > receding.inside(*temple)[0]
    top, back = (np.array([0.0]), np.array([80.0])), (np.array([180.0]), np.array([10.0]))
    assert usual.inside(*top)[0] > 0 > bald.inside(*top)[0]
    assert bald.inside(*back)[0] > 0
    face = np.array([0.0]), np.array([0.0])
    assert usual.inside(*face)[0] < -3


def test_combs_lie_along_the_skull(person):
    where = person.anatomy.on_skull(np.array([0.0, 60, 150]), np.array([70.0, 50, 30]))
    way = Comb({"back": 1.0}).directions(person.anatomy, where)
    outward = where - person.anatomy.centre
    assert np.abs((way * outward).sum(1)).max() < 1e-6
    assert (way[:2, 2] < -0.5).all()


def test_bald_is_nothing_and_unknown_names_are_answered_with_the_known(person):
    assert hair(person.anatomy, "bald", BROWN, np.random.default_rng(0)) == []
    with pytest.raises(ValueError, match="ponytail"):
        grown(person, "mullet")
    with pytest.raises(ValueError, match="auburn"):
        HairColour.named("green")
    rng = np.random.default_rng(0)
    assert len({sample_style(rng) for _ in range(300)}) > 0.9 * len(STYLES)
    assert all(isinstance(HairColour.sample(rng), HairColour) for _ in COLOURS)
