"""The linear face against the head that it was measured from."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from headgen.faces import mesh
from headgen.faces.motion import MOTION_NAMES, expression_coefficients, motion_coefficients
from headgen.listener.latents import FaceMotion
from headgen.synth.heads.analytic import AnalyticModel
from headgen.synth.heads.expressions import EXPRESSIONS, INDEX
from headgen.synth.heads.linear import CAMERA_CM, LinearFace
from headgen.synth.heads.model import HeadMotion


@pytest.fixture(scope="module")
def model():
    return AnalyticModel()


@pytest.fixture(scope="module")
def identity(model):
    return np.random.default_rng(1).normal(0, 0.7, model.identities)


@pytest.fixture(scope="module")
def face(model, identity):
    return LinearFace.of(model, identity)


def motion_of(frames, **changes):
    """Stillness but for some arrays of a `HeadMotion`."""
    still = HeadMotion.still(frames)
    parts = {name: getattr(still, name) for name in ("expression", "head", "gaze", "translation", "torso")}
    return HeadMotion(**parts | changes)


def random_motion(frames, seed=0):
    """Faces as in a conversation: a few expressions at a time, at part strength, and a turned head."""
    rng = np.random.default_rng(seed)
    expression = rng.random((frames, len(EXPRESSIONS))) * (rng.random((frames, len(EXPRESSIONS))) < 0.12)
    return motion_of(
        frames,
        expression=(0.6 * expression).astype(np.float32),
        head=rng.normal(0, 6, (frames, 3)).astype(np.float32),
        gaze=rng.normal(0, 6, (frames, 2)).astype(np.float32),
        translation=rng.normal(0, 0.8, (frames, 3)).astype(np.float32),
    )


def landmarks_of(model, identity, motion):
    """(T, 478, 3) cm, of the head model itself."""
    return model.pose(model.neutral(identity), motion).vertices[:, model.topology.landmarks_478]


def in_head(model, identity, motion):
    """(T, 478, 3) the model's landmarks as they move against the head, in cm."""
    still = motion_of(len(motion), expression=motion.expression, gaze=motion.gaze)
    return landmarks_of(model, identity, still)


def test_rest_is_the_models_own_face(model, identity, face):
    own = landmarks_of(model, identity, HeadMotion.still(1))[0]
    assert np.linalg.norm(face.rest[33] - face.rest[263]) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(face.rest * face.unit + face.centre, own, atol=1e-4)
    assert np.abs(face.rest[list(mesh.RIGID)].mean(0)).max() < 1e-6
    still = HeadMotion.still(3)
    assert not face.shape(still).any() and np.abs(face.pose(still)).max() < 1e-4


def test_landmarks_move_as_the_head_models(model, identity, face):
    motion = random_motion(40)
    own = (in_head(model, identity, motion) - face.centre) / face.unit - face.rest
    found = face.shape(motion)
    apart, way = (np.linalg.norm(x, axis=-1) for x in (found - own, own))
    moving = way > 0.02
    assert moving.mean() > 0.05  # there is something to be right about
    assert np.median(apart[moving] / way[moving]) < 0.25
    assert np.median(apart[moving]) < 0.008  # of an outer-eye distance, some 9 cm
    assert np.quantile(apart, 0.99) < 0.06


def test_each_expression_is_what_the_head_model_shows(model, identity, face):
    """Alone and at full strength, but for the lids: they shut the mean face's eyes."""
    motion = motion_of(len(EXPRESSIONS), expression=np.eye(len(EXPRESSIONS), dtype=np.float32))
    own = (in_head(model, identity, motion) - face.centre) / face.unit - face.rest
    lids = sorted({*mesh.EYE_RIGHT, *mesh.EYE_LEFT})
    apart = np.abs(face.shape(motion) - own)
    apart[:, lids] = 0
    assert apart.max() < 1e-4


def test_a_blink_shuts_the_eyes_of_the_mean_face(face):
    blink = motion_of(1, expression=np.zeros((1, len(EXPRESSIONS)), np.float32))
    for side in ("Left", "Right"):
        blink.expression[:, INDEX[f"eyeBlink{side}"]] = 1
    shut = expression_coefficients(mesh.mean_face() + face.shape(blink)[0])
    for side in ("left", "right"):
        assert shut[MOTION_NAMES.index(f"eye_{side}") - 3] < 0.12


def test_gaze_goes_where_it_is_sent(face):
    gaze = np.array([[0, 0], [10, 0], [-10, 0], [0, 8], [0, -8]], np.float32)
    moved = face.rest + face.shape(motion_of(5, gaze=gaze))
    iris = moved[:, list(mesh.IRIS_LEFT)].mean(1) - face.rest[list(mesh.IRIS_LEFT)].mean(0)
    assert abs(iris[1, 0]) > 0.01 and np.sign(iris[1, 0]) == -np.sign(iris[2, 0])
    assert iris[3, 1] > 0.005 and iris[4, 1] < -0.005


def test_the_pose_is_the_heads(model, identity, face):
    motion = random_motion(20, seed=2)
    motion = motion_of(20, head=motion.head, translation=motion.translation)
    own = landmarks_of(model, identity, motion).astype(np.float64)
    # A camera in front of the face at a distance sees what is near larger.
    centre = own[:, list(mesh.RIGID)].mean(1)
    size = CAMERA_CM / (CAMERA_CM - (centre - face.centre)[:, 2])
    picture = own * [1, -1, -1] * size[:, None, None] / face.unit
    seen = FaceMotion(face.pose(motion), face.shape(motion)).landmarks(face.rest)
    a, b = (motion_coefficients(x, face.rest)[:, :3] for x in (picture, seen))
    np.testing.assert_allclose(a, b, atol=0.5)
    place = (centre - face.centre) * [1, -1, -1] / face.unit
    np.testing.assert_allclose(face.pose(motion)[:, 3:5], place[:, :2], atol=0.02)
    np.testing.assert_allclose(face.pose(motion)[:, 5], np.log(size), atol=0.01)


def test_people_differ(model, identity, face):
    other = LinearFace.of(model, -identity)
    assert np.abs(other.rest - face.rest).max() > 0.02
    assert np.abs(other.shapes - face.shapes).max() > 0.01
