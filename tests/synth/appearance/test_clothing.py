"""Clothes: no gap at the neck, no skin poking through, no end within a portrait, cloth as asked for."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from headgen.synth.appearance.clothing import GARMENTS, clothing  # noqa: E402
from headgen.synth.appearance.fabric import PATTERNS, cloth_colour, fabric  # noqa: E402
from headgen.synth.appearance.torso import Torso  # noqa: E402
from headgen.synth.raster import Canvas  # noqa: E402
from headgen.synth.render.scene import Camera  # noqa: E402

SKIN, CLOTH = 0, 1


def seen(person, surfaces, size=160, head=0.45):
    """(H, W) what is seen of skin and cloth from the front: layer numbers, -1 for neither."""
    camera = Camera.portrait(size, head=head)
    canvas = Canvas(size, size, 1)
    topology = person.model.topology

    def draw(points, triangles, layer, cull):
        place = camera.project(points)
        place[:, 2] *= -1  # the canvas wants the nearer larger
        canvas.draw(place, triangles, np.zeros((len(points), 1)), layer=layer, cull=cull)

    draw(person.neutral, topology.triangles[topology.of("skin")], SKIN, True)
    for surface in surfaces:
        draw(surface.points, surface.triangles, CLOTH, not surface.two_sided)
    return canvas.layer


@pytest.mark.parametrize("garment", GARMENTS)
def test_neck_and_clothes_meet_and_fill_the_picture_below(people, garment):
    person = people[len(garment) % 2]
    surfaces = clothing(person.anatomy, garment, np.random.default_rng(len(garment)))
    near = seen(person, surfaces)
    size = len(near)
    throat = near[int(0.62 * size) :, size // 2 - 16 : size // 2 + 17]
    assert (throat >= 0).all()  # no background between chin, neck and clothes
    assert (near[-1] == CLOTH).mean() > 0.7 and (near[-1] >= 0).mean() > 0.9
    far = seen(person, surfaces, head=0.25)
    chest = far[int(0.8 * size) :, size // 4 : -size // 4]
    assert (chest == CLOTH).all()  # neither skin that pokes through nor a lower end


def test_garments_are_fixed_to_the_torso_and_repeat_with_the_seed(person):
    for garment in ("suit", "hoodie"):
        one, two = (clothing(person.anatomy, garment, np.random.default_rng(7)) for _ in range(2))
        for a, b in zip(one, two, strict=True):
            assert a.rigid == "torso" and a.material == "clothing"
            assert np.array_equal(a.points, b.points) and np.array_equal(a.texture, b.texture)


def test_build_widens_the_shoulders_and_nothing_else(person):
    slim, broad = (Torso.of(person.anatomy, build) for build in (0.9, 1.15))
    side, neck = (np.array([90.0]), np.array([5.0])), (np.array([90.0]), np.array([0.0]))
    assert broad.surface(*side)[0, 0] > slim.surface(*side)[0, 0] + 2
    assert np.allclose(broad.surface(*neck), slim.surface(*neck))


def test_torso_as_skin_faces_outwards(person):
    torso = Torso.of(person.anatomy)
    skin = torso.as_skin(0.5)
    inside = torso.axis + np.array([[0.0, -25, 0]])
    outside = torso.axis + np.array([[0.0, -25, 25]])
    assert skin.height(inside)[0] < 0 < skin.height(outside)[0]
    assert skin.height(skin.keep_outside(np.array([[0.0, -35.0, 9.0]]), 1.0))[0] > 0.9


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_show_both_colours_where_they_have_two(pattern):
    red, white = np.array([180.0, 30, 30]), np.array([235.0, 235, 230])
    picture = fabric(pattern, red, np.random.default_rng(0), white)
    assert (picture[..., 3] == 255).all()
    green = picture[..., 1].astype(float)
    if pattern in ("plain", "twill", "knit", "rib"):
        assert green.max() < 90
    else:
        assert (green > 110).mean() > 0.02 and (green < 80).mean() > 0.1


def test_shirts_are_light_and_suits_dark():
    rng = np.random.default_rng(0)
    light = [cloth_colour(rng, "light").max() for _ in range(20)]
    dark = [cloth_colour(rng, "dark").max() for _ in range(20)]
    assert min(light) > 190 and max(dark) < 90


def test_unknown_names(person):
    with pytest.raises(ValueError, match="hoodie"):
        clothing(person.anatomy, "toga", np.random.default_rng(0))
    with pytest.raises(ValueError, match="plaid"):
        fabric("lace", np.zeros(3), np.random.default_rng(0))
