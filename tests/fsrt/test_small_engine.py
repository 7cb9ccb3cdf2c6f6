"""The engine of the embedded network: what moves the picture where."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest
import torch
from tiny_fsrt_small import tiny_network

from headgen.faces import mesh
from headgen.faces.irises import looking
from headgen.fsrt import small_engine
from headgen.fsrt.conditioning import FaceGeometry
from headgen.fsrt.small_engine import SmallEngine

SIDE = 240


@pytest.fixture(scope="module")
def model():
    net = tiny_network()
    torch.nn.init.constant_(net.head.bias, 20.0)  # all is copied
    return net.eval()


def face(turn_deg: float, size: float = 40.0) -> np.ndarray:
    """Landmarks (478, 3) in the middle of the picture, turned about the vertical."""
    turn = np.deg2rad(turn_deg)
    about = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    return size * (mesh.mean_face() @ about.T) * [1, -1, -1] + [SIDE / 2, SIDE / 2, 0]


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(0)
    return cv2.resize(
        rng.integers(0, 255, (30, 30, 3), np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
    )


def drawn(model, picture, target):
    engine = SmallEngine(model)
    engine.prepare([picture], [face(0)])
    return engine.place(engine.render([target])[0]).astype(int)


def test_what_is_learnt_moves_the_face_alone(model, picture):
    other = copy.deepcopy(model)
    torch.nn.init.constant_(other.flow_head.bias, 0.5)
    target = face(12)
    plain, learnt = (drawn(m, picture, target) for m in (model, other))
    hull = cv2.convexHull(target[list(mesh.OVAL), :2].astype(np.float32)).astype(np.int32)
    within = cv2.fillConvexPoly(np.zeros((SIDE, SIDE), np.uint8), hull, 1)
    around = cv2.dilate(within, np.ones((15, 15), np.uint8)) == 0
    core = cv2.erode(within, np.ones((15, 15), np.uint8)) > 0
    apart = np.abs(plain - learnt).max(-1)
    assert np.median(apart[core]) > 10 and apart[around].max() == 0
    assert np.abs(plain - picture).max(-1)[around].max() > 30  # where hair is, the skull moves the picture


@pytest.mark.parametrize("enlargement", ["_FINEST", "_FINE"])
def test_a_photograph_that_rests_stays_as_it_is(model, picture, enlargement, monkeypatch):
    monkeypatch.setattr(small_engine, "_FINEST", getattr(small_engine, enlargement))
    apart = np.abs(drawn(model, picture, face(0)) - picture)
    assert apart.max() <= 2 and apart.mean() < 0.2


def test_kept_weights_of_bfloat16_are_those_of_autocast(model, picture, monkeypatch):
    def seen():
        engine = SmallEngine(model, dtype=torch.bfloat16)
        engine.prepare([picture], [face(0)])
        return engine.render([face(12), face(-8)])

    kept = seen()
    monkeypatch.setattr(small_engine, "_with_weights", lambda model, dtype: model)
    assert np.array_equal(kept, seen())
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_hair_goes_with_the_skull_and_the_distance_stays():
    source = FaceGeometry.of_source(face(0), SIDE)
    moved = source.moved_to(face(0) + [6, 0, 0])
    shift = (moved.vertices - source.vertices)[mesh.N_LANDMARKS :, 0]
    ring, still = shift[: len(mesh.OVAL)], shift[len(mesh.OVAL) :]
    assert ring.max() == pytest.approx(6, abs=0.01) and np.all(still == 0)
    assert 0 < ring.min() < 3  # the neck takes little part


def within(outline):
    """(SIDE, SIDE) 1 inside of an outline (N, 2)."""
    return cv2.fillPoly(np.zeros((SIDE, SIDE), np.uint8), [outline.round().astype(np.int32)], 1)


def with_eyes(picture, points):
    """White eyeballs with black irises, painted over the picture."""
    out = picture // 8 + 150
    for contour, iris, _ in mesh.EYES:
        inside = within(points[list(contour), :2])
        ball = np.full_like(out, 250)
        middle = tuple(points[iris[0], :2].round().astype(int).tolist())
        radius = float(np.linalg.norm(points[list(iris[1:]), :2] - points[iris[0], :2], axis=1).mean())
        cv2.circle(ball, middle, round(radius), (0, 0, 0), -1)
        out[inside > 0] = ball[inside > 0]
    return out


def middles(image, points):
    """(2, 2) of what is dark in each eye."""
    found = []
    for contour, _, _ in mesh.EYES:
        weight = within(points[list(contour), :2]) * np.clip(120 - image.mean(-1), 0, None)
        rows, columns = np.indices(weight.shape)
        found.append([(columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()])
    return np.array(found)


@pytest.mark.parametrize("turned", [0, 10])
def test_eyes_look_where_the_driver_looks_and_nothing_is_drawn_between_the_lids(model, picture, turned):
    painter = copy.deepcopy(model)
    torch.nn.init.constant_(painter.head.bias, -20.0)  # all is drawn, in black
    source, target = face(0, 70.0), face(turned, 70.0)
    engine = SmallEngine(painter)
    image = with_eyes(picture, source)
    engine.prepare([image], [source])
    looked = [
        middles(engine.place(engine.render([looking(target, right, 0)])[0]), target) for right in (-25, 0, 25)
    ]
    told = (looking(target, 25, 0) - target)[[468, 473], 0]
    for before, after in zip(looked[:-1], looked[1:], strict=True):
        assert np.allclose((after - before)[:, 0], told, rtol=0.35)
    assert np.abs(looked[1] - target[[468, 473], :2]).max() < 3
