"""People for the ICT head: a fit shows the photograph's landmarks and gaze; seeds repeat random people."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from headgen.synth.heads.expressions import expression  # noqa: E402
from headgen.synth.heads.fitted import LARGEST, HeadFitter, mixed_shape, random_identity  # noqa: E402
from headgen.synth.heads.ict_model import SIDES  # noqa: E402
from headgen.synth.heads.model import HeadMotion  # noqa: E402
from headgen.synth.ict import IctHead  # noqa: E402


def test_random_identities_repeat_with_their_seed_and_stay_plausible():
    one, two = (random_identity(np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one, two)
    many = random_identity(np.random.default_rng(6), 4000)
    assert np.abs(many).max() <= LARGEST
    assert 0.6 < many.std() < 0.9


def test_a_mixture_lies_between_and_keeps_its_eyeballs(model):
    rng = np.random.default_rng(0)
    people = [model.neutral(rng.normal(size=3)) for _ in range(3)]
    half = mixed_shape(people[:2], np.array([2.0, 2.0]))
    assert np.allclose(half, (people[0] + people[1]) / 2, atol=1e-5)
    mixed = mixed_shape(people, np.array([0.2, 0.3, 0.5]))[model.first]
    for side in SIDES:
        centre, radius = model.eye_placement(mixed, side)
        sclera = np.linalg.norm(mixed[model.eye_vertices[side]] - centre, axis=1)[-32:]
        assert np.allclose(sclera, radius, rtol=1e-3)


def test_weights_must_fit_the_heads(made_up):
    person = made_up.neutral(np.zeros(3))
    with pytest.raises(ValueError, match="2 heads"):
        mixed_shape([person, person], np.array([1.0]))
    with pytest.raises(ValueError, match="positive"):
        mixed_shape([person, person], np.array([0.0, 0.0]))


@pytest.fixture(scope="module")
def fitter(ict, ict_file):
    return HeadFitter(ict, IctHead.load(ict_file))


def photograph(model, seed, **given):
    """Landmarks (478, 3) of a random person as a camera far away sees them, 12 pixels a centimetre."""
    rng = np.random.default_rng(seed)
    motion = dataclasses.replace(
        HeadMotion.still(), **{name: np.asarray([value], np.float32) for name, value in given.items()}
    )
    posed = model.pose(model.neutral(random_identity(rng)), motion)
    return posed.vertices[0, model.topology.landmarks_478] * [12, -12, 12] + [128, 128, 0]


def test_a_fit_shows_the_landmarks_the_turn_and_the_gaze_of_the_photograph(fitter):
    smile = expression({"mouthSmile": 0.7, "mouthUpperUp": 0.4, "jawOpen": 0.1})
    marks = photograph(fitter.model, 3, expression=smile, head=(12, -6, 3), gaze=(-10, 4))
    person = fitter.fit(marks)
    seen = person.project(person.posed.vertices[0, fitter.model.topology.landmarks_478])
    eyes = np.linalg.norm(marks[33, :2] - marks[263, :2])
    assert person.error < 0.012
    assert np.linalg.norm(seen[:468, :2] - marks[:468, :2], axis=1).max() < 0.06 * eyes
    assert np.linalg.norm(seen[[468, 473], :2] - marks[[468, 473], :2], axis=1).max() < 0.02 * eyes
    assert np.allclose(person.motion.head[0], (12, -6, 3), atol=5)
    assert np.allclose(person.motion.head[0, :2] + person.motion.gaze[0], (2, -2), atol=4)


def test_a_person_fitted_laughing_can_close_the_mouth_and_the_eyes(fitter):
    laugh = expression({"mouthSmile": 0.8, "jawOpen": 0.4, "eyeSquint": 0.3})
    person = fitter.fit(photograph(fitter.model, 4, expression=laugh))
    model = fitter.model
    closed = model.pose(
        person.neutral, dataclasses.replace(HeadMotion.still(), expression=expression({"eyeBlink": 1})[None])
    )
    points = closed.vertices[0][model.first]
    assert np.abs(model._lips.gap(points[model._lips.line_vertices])[3:-3, 1]).max() < 0.05
    for side in SIDES:
        lids = model._lids[side]
        assert np.abs(lids.gap(points[lids.line_vertices])[3:-3, 1]).max() < 0.03


def test_a_fit_without_irises_looks_ahead(fitter):
    person = fitter.fit(photograph(fitter.model, 5)[:468])
    assert np.array_equal(person.motion.gaze, np.zeros((1, 2)))


def test_points_that_are_no_face_are_refused(fitter):
    with pytest.raises(ValueError, match="face"):
        fitter.fit(np.zeros((478, 3)))
