"""Animated portraits: the parts that need no assets, and with the shared ICT face the whole way."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from headgen.errors import InputError  # noqa: E402
from headgen.faces.crop import portrait_crop  # noqa: E402
from headgen.faces.mesh import mean_face  # noqa: E402
from headgen.synth.animate import Action, Animator, own_action, random_action, rotation_matrix  # noqa: E402
from headgen.synth.correspondence import LANDMARK_VERTEX  # noqa: E402
from headgen.synth.fit import FITTED, fit_face, project  # noqa: E402
from headgen.synth.ict import IctHead  # noqa: E402
from headgen.synth.photograph import PersonSegmenter  # noqa: E402
from headgen.synth.portraits import SCALE_RANGE, finish, jittered_crop, make  # noqa: E402
from headgen.synth.scene import Scene  # noqa: E402

ICT = Path(__file__).parents[3] / "shared/data/head_assets/ict_facekit"


def test_turns_go_where_they_say():
    forward = np.array([0.0, 0.0, 1.0])
    assert (rotation_matrix(20, 0, 0) @ forward)[0] > 0.3  # to the picture's right
    assert (rotation_matrix(0, 20, 0) @ forward)[1] > 0.3  # up
    assert (rotation_matrix(0, 0, 20) @ [0, 1, 0])[0] > 0.3  # clockwise: the top goes right


def test_crops_jitter_within_their_range():
    marks = mean_face() * [60, -60, 60] + [110, 140, 0]
    usual = portrait_crop(marks)
    crops = [jittered_crop(marks, np.random.default_rng(k)) for k in range(40)]
    scales = np.array([crop.side for crop in crops]) / usual.side
    assert SCALE_RANGE[0] <= scales.min() < 0.95 and 1.05 < scales.max() <= SCALE_RANGE[1]
    assert np.std([crop.cx for crop in crops]) > 0.02 * usual.side


def test_finishing_depends_on_the_seed_only():
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    changed = 0
    for seed in range(40):
        one, two = (finish(image, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(one, two)
        changed += not np.array_equal(one, image)
    assert 2 <= changed <= 20


def test_missing_inputs_are_named(tmp_path):
    with pytest.raises(InputError, match="no photographs"):
        make(tmp_path, tmp_path, tmp_path / "out")
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match="ict_facekit.npz"):
        make(tmp_path, tmp_path / "nothing", tmp_path / "out")
    (tmp_path / "ict_facekit.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match="not the ICT face model"):
        make(tmp_path, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def head():
    if not ICT.is_dir():
        pytest.skip("needs shared/data/head_assets/ict_facekit beside the checkout")
    return IctHead.load(ICT)


@pytest.fixture(scope="module")
def posed(head):
    """Landmarks (468, 3) of a known face: identity, smile, pose."""
    rng = np.random.default_rng(3)
    identity = rng.normal(0, 0.7, len(head.identity))
    shape = head.neutral + np.tensordot(identity, head.identity, 1)
    shape = shape + np.tensordot(head.coefficients({"mouthSmile": 0.6, "jawOpen": 0.3}), head.expression, 1)
    rotation = rotation_matrix(14, -5, 6)
    marks = project(shape[LANDMARK_VERTEX].astype(np.float32), rotation, 9.0, np.array([120.0, 140.0]))
    return marks, rotation


@pytest.mark.shared
def test_fit_finds_pose_and_expression_again(head, posed):
    marks, rotation = posed
    fit = fit_face(head, marks)
    assert fit.error < 0.006  # of the outer-eye distance
    off = np.rad2deg(np.arccos(np.clip((np.trace(fit.rotation @ rotation.T) - 1) / 2, -1, 1)))
    assert off < 4
    smile = fit.expression[[head.names.index(f"mouthSmile_{side}") for side in "LR"]]
    assert smile.min() > 0.25
    unfitted = [k for k, n in enumerate(head.names) if n not in FITTED and n[:-2] not in FITTED]
    assert not fit.expression[unfitted].any()


@pytest.mark.shared
def test_mesh_lies_on_the_landmarks_lips_meet_and_lids_close(head, posed):
    marks = posed[0] + np.random.default_rng(0).normal(0, 0.5, (468, 3)).astype(np.float32)
    fit = fit_face(head, marks)
    animator = Animator(head, fit)
    on = fit.project(animator.source)[LANDMARK_VERTEX]
    eyes = np.linalg.norm(marks[33] - marks[263])
    assert np.linalg.norm((on - marks)[:, :2], axis=1).mean() < 0.01 * eyes

    def gap(action, up, low):
        points = animator.points(action)[LANDMARK_VERTEX]
        return points[up, 1] - points[low, 1]

    rest = np.zeros(len(head.names), np.float32)
    assert gap(own_action(fit), 13, 14) > 0.3  # cm
    assert abs(gap(Action(rest), 13, 14)) < 0.03
    assert gap(Action(head.coefficients({"jawOpen": 0.6})), 13, 14) > 0.8
    assert gap(Action(rest), 159, 145) > 0.4
    assert abs(gap(Action(rest, blink=(1.0, 0.0)), 159, 145)) < 0.04
    assert gap(Action(rest, blink=(1.0, 0.0)), 386, 374) > 0.4


@pytest.mark.shared
def test_astronaut_obeys_and_is_repeatable(head):
    data = pytest.importorskip("skimage.data")
    from headgen.faces.tracker import MediaPipeTracker

    image = np.ascontiguousarray(data.astronaut()[0:300, 80:360])
    with MediaPipeTracker() as tracker:
        track = tracker.track(image, still=True)
        crop = portrait_crop(track.landmarks)
        person = PersonSegmenter()(image)

        def scene():
            rng = np.random.default_rng(5)
            return Scene(head, image, track.landmarks, person, crop, 256, rng)

        one, two = scene(), scene()
        rest = np.zeros(len(head.names), np.float32)
        asked = {
            "closed": Action(rest),
            "open": Action(head.coefficients({"jawOpen": 0.5}), turn=(10.0, 0.0, 0.0)),
            "blink": Action(rest, blink=(1.0, 1.0)),
        }
        seen = {}
        for name, action in asked.items():
            frame = one.render(action)
            np.testing.assert_array_equal(frame.image, two.render(action).image)
            found = tracker.track(frame.image, still=True)
            eyes = np.linalg.norm(found.landmarks[33] - found.landmarks[263])
            far = np.linalg.norm(found.landmarks[:468, :2] - frame.landmarks, axis=1).mean()
            assert far < 0.06 * eyes, name
            mouth = np.linalg.norm(found.landmarks[13] - found.landmarks[14])
            lids = np.linalg.norm(found.landmarks[159] - found.landmarks[145])
            seen[name] = mouth / eyes, lids / eyes
    assert seen["closed"][0] < 0.03
    assert seen["open"][0] > 0.12
    assert seen["blink"][1] < 0.6 * seen["closed"][1]


@pytest.mark.shared
def test_random_actions_are_within_bounds_and_repeatable(head, posed):
    fit = fit_face(head, posed[0])
    for kind in ("closed", "open", "pose", "mixed"):
        for seed in range(5):
            one, two = (random_action(head, fit, np.random.default_rng(seed), kind) for _ in range(2))
            np.testing.assert_array_equal(one.expression, two.expression)
            assert (one.turn, one.blink, one.gaze, one.shift) == (two.turn, two.blink, two.gaze, two.shift)
            assert one.expression.min() >= 0 and one.expression.max() <= 1
            assert max(one.blink) <= 1 and abs(one.turn[0]) <= 45
            jaw = one.expression[head.names.index("jawOpen")]
            assert jaw == 0 if kind == "closed" else jaw >= 0
