"""The analytic head: on its field, closed where it closes, moved as named, the same for everybody."""

import time

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from headgen.synth.heads import analytic_grid as grid  # noqa: E402
from headgen.synth.heads.analytic import AnalyticModel  # noqa: E402
from headgen.synth.heads.analytic_identity import IDENTITY  # noqa: E402
from headgen.synth.heads.analytic_mean import SKIN_COUNT, mean_head  # noqa: E402
from headgen.synth.heads.analytic_parts import BALL_RADIUS  # noqa: E402
from headgen.synth.heads.expressions import EXPRESSIONS, expression  # noqa: E402
from headgen.synth.heads.model import HeadMotion  # noqa: E402

LEFT_UPPER, LEFT_LOWER, LEFT_CORNERS = (386, 385, 387), (374, 380, 373), (263, 362)
LIPS = (13, 14)


@pytest.fixture(scope="module")
def model():
    return AnalyticModel()


@pytest.fixture(scope="module")
def mean(model):
    return model.neutral(np.zeros(0))


@pytest.fixture(scope="module")
def people(model):
    rng = np.random.default_rng(5)
    return [rng.normal(0, 1, model.identities).clip(-2.5, 2.5) for _ in range(4)]


def motion(head=(0, 0, 0), gaze=(0, 0), **values):
    still = HeadMotion.still(1)
    turn, look = np.array([head], np.float32), np.array([gaze], np.float32)
    return HeadMotion(expression(values)[None], turn, look, still.translation, still.torso)


def posed(model, neutral, **values):
    return model.pose(neutral, motion(**values)).vertices[0]


def landmarks(model, vertices):
    return vertices[model.topology.landmarks_478]


def test_skin_lies_on_the_field_of_every_person(model, people):
    for identity in people:
        neutral, person = model.neutral(identity), model.person(identity)
        distance = np.abs(person.skin.distance(neutral[:SKIN_COUNT]))
        assert distance.max() < 1e-4  # cm
        gradient = person.skin.distance_and_gradient(neutral[:SKIN_COUNT:7])[1]
        length = np.linalg.norm(gradient, axis=1)
        assert 0.8 < np.median(length) < 1.2  # it is a distance near the surface


def test_ears_lie_on_their_field_or_under_the_skin(model, people):
    neutral, person = model.neutral(people[0]), model.person(people[0])
    first = SKIN_COUNT
    count = len(mean_head().points[mean_head().ears["Left"]])
    for k in (0, 1):
        ear = neutral[first + k * count : first + (k + 1) * count]
        on_ear = np.abs(person.ears[k].distance(ear)) < 1e-4
        assert (on_ear | (person.skin.distance(ear) < 0.6)).all()
        assert on_ear.mean() > 0.5


def test_deformation_and_its_inverse_undo_each_other(model, people):
    points = np.random.default_rng(0).uniform([-7, -9, -5], [7, 12, 13], (500, 3))
    person = model.person(people[1])
    assert np.abs(person.pull(person.push(points)) - points).max() < 1e-6


def test_mean_head_is_symmetric_and_has_human_measures(model, mean):
    points = mean[:SKIN_COUNT].reshape(grid.ROWS, grid.COLUMNS, 3)
    assert np.abs(points[:, ::-1] * [-1, 1, 1] - points).max() < 1e-4
    at = landmarks(model, mean)
    assert 8.5 < np.linalg.norm(at[33] - at[263]) < 9.3  # outer eye corners
    assert 4.2 < np.linalg.norm(at[61] - at[291]) < 5.6  # mouth
    assert 10.5 < at[168, 1] - at[152, 1] < 12.5  # nasion to chin
    assert at[4, 2] - at[33, 2] > 2.5  # the nose stands out


def test_each_identity_coefficient_changes_what_it_is_named_after(model, mean):
    def change(name):
        identity = np.zeros(len(IDENTITY))
        identity[IDENTITY.index(name)] = 2
        return model.neutral(identity) - mean

    at = model.topology.landmarks_478
    assert change("width")[at[454], 0] > 0.3
    assert change("length")[at[152], 1] < -0.4
    assert change("mouth_width")[at[291], 0] > 0.1
    assert change("nose_width")[at[279], 0] > 0.05
    assert np.abs(change("ears")[at[4]]).max() < 0.01
    eyes = change("eye_size")
    assert np.linalg.norm(eyes[at[159]] - eyes[at[145]]) > 0.02
    with pytest.raises(ValueError, match="up to"):
        model.neutral(np.zeros(len(IDENTITY) + 1))


def test_topology_fits(model):
    topology = model.topology
    count = len(model.neutral(np.zeros(0)))
    assert topology.uv.shape == (count, 2)
    assert topology.uv.min() >= 0 and topology.uv.max() <= 1
    assert topology.triangles.min() >= 0 and topology.triangles.max() < count
    assert topology.landmarks_68.shape == (68,) and topology.landmarks_478.shape == (478,)
    # exact texture places: the grid's own parameters
    u = topology.uv[:SKIN_COUNT, 0].reshape(grid.ROWS, grid.COLUMNS)
    assert np.allclose(u, np.linspace(0, 1, grid.COLUMNS), atol=1e-6)


def test_triangles_face_outwards(model, mean):
    head = model.pose(mean, HeadMotion.still())
    skin = model.topology.triangles[model.topology.of("skin")]
    skin = skin[(skin < SKIN_COUNT).all(1)]
    corners = mean[skin]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outwards = model.person(np.zeros(0)).skin.distance_and_gradient(corners.mean(1))[1]
    assert ((faces * outwards).sum(1) > 0).mean() > 0.995
    assert np.allclose(np.linalg.norm(head.normals, axis=2), 1, atol=1e-4)


@pytest.mark.parametrize("gaze", [(0, 0), (25, 10), (-25, -25)])
def test_blinks_close_the_lids_on_the_eyeball(model, people, gaze):
    for identity in people[:2]:
        neutral = model.neutral(identity)
        vertices = posed(model, neutral, eyeBlink=1, eyeSquint=0.5, gaze=gaze)
        at = landmarks(model, vertices)
        for upper, lower in zip(LEFT_UPPER, LEFT_LOWER, strict=True):
            assert abs(at[upper, 1] - at[lower, 1]) < 0.06  # cm
        for side, k in (("Left", 0), ("Right", 1)):
            centre = model.person(identity).eyes[k]
            skin = np.arange(SKIN_COUNT)
            near = skin[np.linalg.norm(vertices[skin] - centre, axis=1) < 1.9]
            radius = BALL_RADIUS * model.person(identity).eye_scale
            assert np.linalg.norm(vertices[near] - centre, axis=1).min() > radius, side


def test_half_a_blink_closes_half(model, mean):
    def gap(**values):
        at = landmarks(model, posed(model, mean, **values))
        return at[386, 1] - at[374, 1]

    assert gap() > 0.7
    assert 0.35 < gap(eyeBlink=0.5) / gap() < 0.65
    assert gap(eyeWide=1) > 1.1 * gap()
    assert gap(eyeSquint=1) < 0.9 * gap()


def test_gaze_turns_the_eyes_and_the_lids_follow(model, mean):
    rest = landmarks(model, posed(model, mean))
    right, up = (landmarks(model, posed(model, mean, gaze=g)) for g in ((20, 0), (0, -20)))
    for iris in (468, 473):
        assert right[iris, 0] - rest[iris, 0] > 0.4
        assert up[iris, 1] - rest[iris, 1] < -0.4
    assert up[386, 1] < rest[386, 1] - 0.15  # the upper lid goes down with the eye
    lids_only = landmarks(model, posed(model, mean, eyeLookDown=1))
    assert np.abs(lids_only[473] - rest[473]).max() < 1e-5
    assert lids_only[386, 1] < rest[386, 1] - 0.15


def test_jaw_opens_and_lips_hold_together_if_told(model, people):
    for identity in people[:2]:
        neutral = model.neutral(identity)
        opened = landmarks(model, posed(model, neutral, jawOpen=0.8))
        held = landmarks(model, posed(model, neutral, jawOpen=0.8, mouthClose=0.8))
        assert opened[13, 1] - opened[14, 1] > 1.5
        assert abs(held[13, 1] - held[14, 1]) < 0.1
        rest = landmarks(model, posed(model, neutral))
        assert held[152, 1] < rest[152, 1] - 1.5  # the chin is down all the same


def test_lips_never_cross(model, mean):
    rng = np.random.default_rng(3)
    columns = np.arange(grid.MIDDLE - grid.LIP_CORNER, grid.MIDDLE + grid.LIP_CORNER + 1)
    mouth = [name for name in EXPRESSIONS if name.startswith(("mouth", "jaw"))]
    for _ in range(30):
        values = {name: rng.uniform(0, 1) for name in rng.choice(mouth, 4, replace=False)}
        vertices = posed(model, mean, **values)
        upper, lower = (vertices[row * grid.COLUMNS + columns] for row in (grid.LIP_ROW, grid.LIP_ROW + 1))
        assert (upper[:, 1] - lower[:, 1]).min() > -1e-4, values


def test_every_expression_moves_its_own_side(model, mean):
    rest = posed(model, mean)
    for name in EXPRESSIONS:
        if name == "mouthClose":
            continue  # has a meaning only against an open jaw
        own = {name: 1.0, "jawOpen": 0.5} if name == "tongueOut" else {name: 1.0}
        base = posed(model, mean, jawOpen=0.5) if name == "tongueOut" else rest
        moved = np.linalg.norm(posed(model, mean, **own) - base, axis=1)
        if name.startswith("eyeLook") and name[7:9] in ("In", "Ou"):
            assert moved.max() < 1e-5  # lids follow the eye up and down only
            continue
        assert moved.max() > 0.15, name
        if name.endswith(("Left", "Right")) and not name.startswith(("jaw", "mouthLeft", "mouthRight")):
            x = rest[moved > 0.5 * moved.max(), 0]
            assert (x > -0.8 if name.endswith("Left") else x < 0.8).all(), name


def test_smiles_raise_the_corners_outwards(model, mean):
    rest, smile = (landmarks(model, posed(model, mean, **v)) for v in ({}, {"mouthSmile": 1.0}))
    for corner, side in ((61, -1), (291, 1)):
        assert smile[corner, 1] - rest[corner, 1] > 0.5
        assert side * (smile[corner, 0] - rest[corner, 0]) > 0.4


def test_head_turns_as_told_and_the_shoulders_stay(model, mean):
    head = model.pose(mean, motion(head=(30, 0, 0)))
    rest = model.pose(mean, HeadMotion.still())
    nose = head.vertices[0, model.topology.landmarks_478[4]]
    assert nose[0] > 4  # to the picture's right
    lowest = slice((grid.ROWS - 1) * grid.COLUMNS, SKIN_COUNT)
    assert np.abs(head.vertices[0, lowest] - rest.vertices[0, lowest]).max() < 1e-4
    skull = mean[: 20 * grid.COLUMNS]
    rigid = skull @ head.head_transform[0, :, :3].T + head.head_transform[0, :, 3]
    assert np.abs(head.vertices[0, : len(skull)] - rigid).max() < 1e-3


def test_frames_do_not_depend_on_each_other(model, mean):
    rng = np.random.default_rng(2)
    frames = HeadMotion(
        rng.uniform(0, 0.6, (5, len(EXPRESSIONS))).astype(np.float32),
        rng.normal(0, 12, (5, 3)).astype(np.float32),
        rng.normal(0, 10, (5, 2)).astype(np.float32),
        rng.normal(0, 1, (5, 3)).astype(np.float32),
        rng.normal(0, 4, (5, 3)).astype(np.float32),
    )
    together = model.pose(mean, frames)
    for k in range(5):
        alone = model.pose(mean, frames[k : k + 1])
        assert np.allclose(alone.vertices[0], together.vertices[k], atol=1e-5)
        assert np.allclose(alone.joints[0], together.joints[k], atol=1e-5)


def test_same_identity_same_bytes(people):
    one, two = (AnalyticModel().neutral(people[2]).tobytes() for _ in range(2))
    assert one == two


def test_posing_is_fast(model, mean):
    rng = np.random.default_rng(0)
    still = HeadMotion.still(20)
    frames = HeadMotion(
        rng.uniform(0, 0.4, still.expression.shape).astype(np.float32),
        still.head, still.gaze, still.translation, still.torso,
    )  # fmt: skip
    model.pose(mean, frames)
    start = time.process_time()
    model.pose(mean, frames)
    assert (time.process_time() - start) / 20 < 0.012  # seconds; about 2 ms on an idle machine
