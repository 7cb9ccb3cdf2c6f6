"""Looks of the analytic head: texture places, colours that mean what they say, and a face that is found."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from headgen.synth.heads.analytic import AnalyticModel  # noqa: E402
from headgen.synth.heads.analytic_looks import (  # noqa: E402
    SIZE,
    SkinTone,
    analytic_surfaces,
    draw_skin_tone,
    skin_albedo,
)
from headgen.synth.heads.model import HeadMotion  # noqa: E402
from headgen.synth.render.light import procedural_light  # noqa: E402
from headgen.synth.render.renderer import Renderer  # noqa: E402
from headgen.synth.render.scene import Camera  # noqa: E402

PLAIN = {
    "melanin": 0.2, "blood": 0.4, "flush": 0.4, "mottling": 0.5, "freckles": 0.0, "lips": 1.5,
    "sockets": 0.2, "stubble": 0.0, "brows": 1.0, "hair": (0.02, 0.015, 0.01),
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return AnalyticModel()


def painted(model, seed=0, **changed):
    return skin_albedo(model, SkinTone(**{**PLAIN, **changed}), np.random.default_rng(seed))


def texels(model, albedo, *landmarks):
    """Mean colour around landmarks."""
    places = (model.topology.uv[model.topology.landmarks_478[list(landmarks)]] * SIZE).astype(int)
    return np.mean([albedo[v - 2 : v + 3, u - 2 : u + 3].mean((0, 1)) for u, v in places], 0)


def test_pigments_darken_and_redden(model):
    pale, dark = painted(model, melanin=0.05), painted(model, melanin=0.9)
    assert dark.mean() < 0.3 * pale.mean()
    redder = painted(model, flush=1.0)
    cheek, plain_cheek = texels(model, redder, 50, 280), texels(model, painted(model, flush=0.0), 50, 280)
    assert redder.shape == (SIZE, SIZE, 3)
    assert cheek[1] / cheek[0] < 0.95 * plain_cheek[1] / plain_cheek[0]


def test_lips_brows_and_stubble_are_where_they_belong(model):
    albedo = painted(model)
    lips, cheek = texels(model, albedo, 11, 16), texels(model, albedo, 58, 288)
    assert lips[1] / lips[0] < 0.85 * cheek[1] / cheek[0]
    forehead = texels(model, albedo, 151)
    assert texels(model, albedo, 105, 334).mean() < 0.7 * forehead.mean()
    shaved, bearded = painted(model), painted(model, stubble=1.0)
    assert texels(model, bearded, 200, 175).mean() < 0.9 * texels(model, shaved, 200, 175).mean()
    assert np.allclose(texels(model, bearded, 151), texels(model, shaved, 151))


def test_texture_has_no_seam_at_the_back(model):
    albedo = painted(model, mottling=1.2)
    step = np.abs(albedo[:600, 0] - albedo[:600, -1]).mean()
    assert step < 3 * np.abs(np.diff(albedo[:600], axis=1)).mean()


def test_same_seed_same_bytes_and_other_seed_other_skin(model):
    first, again, other = (skin_bytes(model, seed) for seed in (1, 1, 2))
    assert first == again != other


def skin_bytes(model, seed):
    rng = np.random.default_rng(seed)
    return skin_albedo(model, draw_skin_tone(rng), rng).tobytes()


def test_surfaces_cover_every_triangle_once(model):
    rng = np.random.default_rng(0)
    surfaces = analytic_surfaces(model, model.neutral(np.zeros(0)), rng)
    triangles = np.concatenate([s.triangles for s in surfaces])
    assert len(triangles) == len(model.topology.triangles)
    assert {s.material for s in surfaces} >= {"skin", "iris", "sclera", "teeth", "tongue", "lashes"}


def test_the_face_tracker_finds_the_face_where_it_is(model):
    pytest.importorskip("mediapipe")
    from headgen.faces.tracker import MediaPipeTracker

    camera = Camera.portrait(256, head=0.6, look_at=(0, 1, 0))
    errors = []
    with MediaPipeTracker() as tracker:
        for seed, yaw in ((0, 0), (1, 25), (2, -25)):
            rng = np.random.default_rng(seed)
            neutral = model.neutral(rng.normal(0, 1, model.identities))
            surfaces = analytic_surfaces(model, neutral, rng)
            still = HeadMotion.still()
            turned = np.array([[yaw, 0, 0]], np.float32)
            motion = HeadMotion(still.expression, turned, still.gaze, still.translation, still.torso)
            head = model.pose(neutral, motion)
            light = procedural_light(np.random.default_rng(seed))
            rendered = Renderer().render(surfaces, head, model.topology, camera, light, None)
            track = tracker.track(rendered.image[0], still=True)
            assert track is not None
            ours = rendered.landmarks_478[0, :, :2]
            corners = neutral[model.topology.landmarks_478[[33, 263]]]
            between = np.linalg.norm(corners[0] - corners[1]) * camera.focal / 90
            errors.append(np.median(np.linalg.norm(track.landmarks[:, :2] - ours, axis=1)) / between)
    assert np.median(errors) < 0.04
