"""The motion across a join: taken from both videos, and calm where one of them ends."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from headgen import hub
from headgen.faces import mesh
from headgen.listener.engine import load_editor
from headgen.listener.seam import Seam, Side

COUNT, INNER = 28, 6


class GivenBack:
    """An editor that leaves latents as it is given them."""

    def __init__(self):
        self.codec = load_editor(hub.resolve("listener-edit").folder).codec

    def __call__(self, latents, inner, speakers, portrait, generator):
        return latents


def side(first, drift):
    """Landmarks of a head that drifts sideways, by so many eye distances a frame."""
    face = mesh.mean_face() * np.array([1.0, -1.0, -1.0])  # y down, as in pictures
    face = 60 * face / mesh.eye_distance(face) + 128
    moves = np.zeros((COUNT, 1, 3))
    moves[:, 0, 0] = 60 * drift * (np.arange(COUNT) + first)
    picture = SimpleNamespace(shape=(256, 256, 3))
    return Side(first, [picture] * COUNT, (face + moves).astype(np.float32))


@pytest.fixture(scope="module")
def path():
    """Of a head that drifts to the join and stands still after it."""
    seam = Seam(side(-COUNT, 0.01), side(0, 0.0), Fraction(25), INNER)
    return seam, seam.path(GivenBack(), None, torch.Generator())


def test_a_path_bends_where_it_had_a_kink(path, monkeypatch):
    seam, calm = path
    monkeypatch.setattr("headgen.listener.seam.CALM", 0.01)
    kinked = seam.path(GivenBack(), None, torch.Generator())
    bend = [np.abs(np.diff(motion.pose[:, 3], 2)).max() for motion in (kinked, calm)]
    assert bend[1] < 0.6 * bend[0]


def test_outside_of_the_inner_frames_a_path_is_that_of_the_videos(path):
    seam, calm = path
    inner = slice(4 * seam.inner.start, 4 * seam.inner.stop)
    for which, rows in ((0, slice(0, inner.start)), (1, slice(inner.stop, None))):
        given = seam.given(which, seam.rows)
        assert np.allclose(calm.pose[rows], given.pose[rows], atol=1e-5)
        assert np.allclose(calm.shape[rows], given.shape[rows], atol=1e-5)
