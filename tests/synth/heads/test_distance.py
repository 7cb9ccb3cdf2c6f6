"""Distance fields: signs, exact gradients, and rays and projections that end on the surface."""

import numpy as np

from headgen.synth.heads.distance import Bumps, Ellipsoids, Field, Warped, project, trace, turned


def field(bumps=True, carve=False):
    """Two ellipsoids, one turned, and two bumps."""
    centre = np.array([[0, 0, 0], [2.0, 0.5, 0]])
    precision = np.stack([np.diag([4.0, 4.0, 9.0]), np.eye(3)])
    return Field(
        Ellipsoids(
            centre=centre,
            axes=turned(np.array([[0, 0, 0], [0.3, -0.5, 0.8]])),
            radii=np.array([[3.0, 2.0, 2.5], [1.5, 1.0, 0.8]]),
            blend=np.array([0.3, 0.2]),
            carve=np.array([False, carve]),
        ),
        Bumps(
            np.array([[0, 2.0, 0], [-2.5, 0, 1]]), precision, np.array([0.3, -0.2]) if bumps else np.zeros(2)
        ),
    )


def places(count=500, seed=0):
    return np.random.default_rng(seed).uniform(-4, 4, (count, 3))


def differences(of, points, step=1e-5):
    return np.stack(
        [(of.distance(points + step * e) - of.distance(points - step * e)) / (2 * step) for e in np.eye(3)], 1
    )


def test_a_sphere_far_from_anything_else_has_its_own_distance():
    one = Ellipsoids(np.zeros((1, 3)), np.eye(3)[None], np.full((1, 3), 2.0), np.ones(1), np.zeros(1, bool))
    none = Bumps(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros(0))
    points = places()
    assert np.allclose(Field(one, none).distance(points), np.linalg.norm(points, axis=1) - 2, atol=1e-9)


def test_gradients_are_those_of_the_distance():
    points = places()
    for of in (field(), field(carve=True), Warped(field(), lambda p: p + 0.2 * np.sin(p[:, [1, 2, 0]]))):
        exact = of.distance_and_gradient(points)[1]
        assert np.abs(exact - differences(of, points)).max() < 1e-5


def test_union_is_at_most_each_part_and_carving_takes_away():
    points = places()
    joined, carved = field(bumps=False), field(bumps=False, carve=True)
    alone = Field(
        Ellipsoids(*(getattr(joined.solids, n)[:1] for n in ("centre", "axes", "radii", "blend", "carve"))),
        joined.bumps,
    )
    first = alone.distance(points)
    assert (joined.distance(points) <= first + 1e-12).all()
    assert (carved.distance(points) >= first - 1e-12).all()
    inside_second = np.array([[2.0, 0.5, 0.0]])
    assert carved.distance(inside_second)[0] > 0 > joined.distance(inside_second)[0]


def test_bumps_move_the_surface_outwards_by_their_height():
    top = np.array([[0, 5.0, 0]])
    down = np.array([[0, -1.0, 0]])
    plain, raised = (5 - trace(field(bumps=b), top, down, 10)[0] for b in (False, True))
    # the bump is centred on the surface: raised by its height less what it falls off over that way
    assert 0.15 < raised - plain < 0.3


def test_projection_and_rays_end_on_the_surface():
    of = field()
    start = places()
    start = start[np.abs(of.distance(start)) < 1.5]
    assert np.abs(of.distance(project(of, start))).max() < 1e-6
    origin = np.tile([[0.3, 0.2, 9.0]], (50, 1))
    aim = np.random.default_rng(1).uniform(-1.5, 1.5, (50, 3)) - origin
    aim /= np.linalg.norm(aim, axis=1, keepdims=True)
    way = trace(of, origin, aim, 20)
    hit = origin + way[:, None] * aim
    assert np.isfinite(way).all()
    assert np.abs(of.distance(hit)).max() < 1e-6
    # nothing lies before it
    for share in np.linspace(0, 0.99, 40):
        assert (of.distance(origin + share * way[:, None] * aim) > 0).all()


def test_rays_that_miss_say_so():
    way = trace(field(), np.array([[0, 9.0, 9.0]]), np.array([[0, 0.0, -1.0]]), 30)
    assert np.isnan(way).all()
