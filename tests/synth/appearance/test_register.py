"""Registration: what fits one head fits the other, outside its skin and out of its eyes."""

import numpy as np
import pytest

from headgen.synth.appearance.makehuman import BaseHead, Part
from headgen.synth.appearance.register import Registration, control_points, part_hair, recoloured
from headgen.synth.appearance.strands import HairColour


@pytest.fixture(scope="module")
def registration(people):
    return Registration.between(people[0].anatomy, people[1].anatomy)


@pytest.fixture(scope="module")
def wig(people):
    """A close cap on the first person, as a part: with a fringe that hangs over one eye."""
    anatomy = people[0].anatomy
    azimuth, elevation = np.meshgrid(np.linspace(-180, 180, 49), np.linspace(88, 20, 18))
    cap = anatomy.on_skull(azimuth, elevation, 0.6)
    eye = anatomy.landmarks[36:42].mean(0)
    cap[-3:, 22] = eye + [[0.2, 1.5, 1.5], [0.1, 0.3, 1.6], [0, -0.8, 1.6]]
    index = np.arange(cap[..., 0].size).reshape(azimuth.shape)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate(
        [np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)]
    )
    uv = np.stack([(azimuth + 180) / 360, (88 - elevation) / 68], -1).reshape(-1, 2)
    picture = np.full((32, 64, 4), 255, np.uint8)
    picture[..., :3] = np.linspace(20, 220, 64)[None, :, None]
    return Part(
        "wig",
        cap.reshape(-1, 3).astype(np.float32),
        triangles.astype(np.int32),
        uv.astype(np.float32),
        picture,
    )


def as_base(person):
    class Base(BaseHead):
        anatomy = person.anatomy

    topology = person.model.topology
    return Base(person.neutral, topology.triangles[topology.of("skin")])


def test_corresponding_places_are_carried_onto_each_other(people, registration):
    here, there = (control_points(p.anatomy) for p in people)
    left = np.linalg.norm(registration.warp(here) - there, axis=1)
    assert np.median(left) < 0.15 and np.median(left) < 0.2 * np.median(np.linalg.norm(here - there, axis=1))


def test_carried_hair_hugs_the_other_skull_and_never_cuts_into_it(people, registration, wig):
    moved = registration.carry(wig.points)
    azimuth, elevation, _ = people[1].anatomy.directions(moved)
    top = elevation > 25
    height, _ = people[1].anatomy.skin.height(moved)
    assert height.min() > 0.08
    assert np.abs(height[top] - 0.6).max() < 0.45  # as thick as it was


def test_a_fringe_leaves_the_eyes(people, registration, wig):
    moved = registration.carry(wig.points)
    for first in (36, 42):
        eye = people[1].anatomy.landmarks[first : first + 6].mean(0)
        offset = moved - eye
        assert not ((np.abs(offset[:, 0]) < 1.5) & (np.abs(offset[:, 1]) < 0.5) & (offset[:, 2] > 0)).any()


def test_a_part_becomes_surfaces_with_the_options_asked_for(people, registration, wig):
    base, target = as_base(people[0]), people[1].anatomy

    def worn(**options):
        rng = np.random.default_rng(0)
        return part_hair(
            base, wig, target, HairColour.named("red"), rng, registration=registration, **options
        )

    under, strips = worn()
    assert under.rigid == strips.rigid == "head" and strips.two_sided
    inside = target.skin.height(under.points[np.unique(under.triangles)].astype(float))[0]
    assert inside.min() > -0.2 and np.median(inside) < 0.3
    high, flat = (worn(volume=v)[1].points[:, 1].max() for v in (2.0, 0.5))
    assert high > flat + 0.5
    mirrored = worn(flip=True)[1]
    assert np.abs(strips.points[22 + 49 * 16, 0] + mirrored.points[22 + 49 * 16, 0]) < 1.0


def test_recolouring_keeps_light_and_shade_and_alpha(wig):
    black, blond = (
        recoloured(wig, HairColour.named(c), np.random.default_rng(0)) for c in ("black", "blond")
    )
    assert np.array_equal(black[..., 3], wig.texture[..., 3])
    assert blond[..., :3].mean() > 3 * black[..., :3].mean()
    for picture in (black, blond):
        columns = picture[..., :3].mean((0, 2))
        assert np.corrcoef(columns, np.arange(64))[0, 1] > 0.95
