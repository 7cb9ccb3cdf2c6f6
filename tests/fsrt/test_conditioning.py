"""What fsrt-small is told: maps, prior flow, scalars."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from headgen.faces import mesh
from headgen.fsrt import conditioning as C

SIZE = 256


def face(yaw=0.0, pitch=0.0, at=(128.0, 115.0), shape=None):
    frontal = mesh.mean_face().astype(np.float64) if shape is None else shape
    rotation = Rotation.from_euler("YXZ", [yaw, pitch, 0], degrees=True).as_matrix()
    return mesh.Pose(rotation, 62.0, np.array([*at, 0.0]), frontal).project(frontal)


@pytest.mark.parametrize("yaw", [0, 15, -30])
def test_prior_leads_landmarks_back_to_where_they_were(yaw):
    """Sampling the flow at a target landmark gives the source landmark, within half a pixel of 256."""
    source = C.FaceGeometry.of_source(face(), SIZE)
    target = source.moved_to(face(yaw, 5, at=(132, 118)))
    flow = C.prior_flow(source, target.draw()) * (SIZE / 2)
    nose = [1, 4, 5, 195, 197, 6, 168, 205, 425, 151, 199]
    cells = np.round((target.vertices[nose, :2] + 0.5) / 2 - 0.5).astype(int)
    centres = cells * 2 + 0.5
    got = centres + flow[:, cells[:, 1], cells[:, 0]].T
    want = source.vertices[nose, :2] + (centres - target.vertices[nose, :2])
    assert np.median(np.abs(got - want)) < 0.5 and np.abs(got - want).max() < 2


def test_nothing_moves_without_motion():
    source = C.FaceGeometry.of_source(face(10), SIZE)
    flow = C.prior_flow(source, source.moved_to(face(10)).draw())
    assert np.abs(flow).max() < 1e-5


def test_surroundings_stand_still_and_hair_follows():
    source = C.FaceGeometry.of_source(face(), SIZE)
    flow = C.prior_flow(source, source.moved_to(face(at=(138, 115))).draw()) * (SIZE / 2)
    assert np.abs(flow[:, :3]).max() == 0  # top border
    forehead, above = flow[0, 40, 64], flow[0, 27, 64]
    assert forehead == pytest.approx(-10, abs=0.1) and above < -5


def test_teeth_follow_the_skull_not_the_lips():
    opened = mesh.mean_face().astype(np.float64)
    lower = [14, 87, 178, 88, 95, 317, 402, 318, 324, 17, 84, 314, 181, 405, 152]
    opened[lower, 1] -= 0.3
    source = C.FaceGeometry.of_source(face(), SIZE)
    target = source.moved_to(face(shape=opened))
    flow = C.prior_flow(source, target.draw()) * (SIZE / 2)
    upper, low = target.vertices[13, :2], target.vertices[14, :2]
    inside = ((0.7 * upper + 0.3 * low) / 2).astype(int)
    assert np.abs(flow[:, inside[1], inside[0]]).max() < 0.5  # upper teeth have not moved
    assert target.draw().maps()[4, inside[1], inside[0]] > 0.9


def test_maps_name_the_parts():
    maps = C.FaceGeometry.of_source(face(), SIZE).draw().maps()
    assert maps.shape == (C.MAP_CHANNELS, C.GRID, C.GRID)
    assert maps[3:].min() >= 0 and maps[3:].max() <= 1
    points = face()[:, :2] / 2
    for channel, landmark in ((3, 5), (6, 0), (7, 468), (5, 468)):
        x, y = np.round(points[landmark]).astype(int)
        assert maps[channel, y - 1 : y + 2, x - 1 : x + 2].max() > 0.5, channel
    x, y = np.round(points[4]).astype(int)  # nose tip: canonical coordinates of the mean face
    np.testing.assert_allclose(maps[:3, y, x], mesh.mean_face()[4], atol=0.06)


def test_far_side_of_a_turned_face_is_hidden():
    """At 60 degrees the near cheek paints over the far one: canonical z rises towards the nose."""
    source = C.FaceGeometry.of_source(face(), SIZE)
    drawing = source.moved_to(face(60)).draw()
    skin = drawing.part[drawing.which[drawing.which >= 0]] == 1
    assert 0.05 < skin.mean() < 0.6
    # a hidden vertex: the far cheek's pixel belongs to another, nearer place
    far = 454 if face(60)[454, 2] > face(60)[234, 2] else 234
    x, y = np.round(drawing.points[far]).astype(int)
    shown = drawing.maps()[:3, y, x]
    assert np.linalg.norm(shown - mesh.mean_face()[far]) > 0.2


def test_scalars_tell_expressions_apart_and_not_sizes():
    def of(points):
        return C.scalars(points, mesh.fit_pose(points))

    assert of(face()).shape == (C.N_SCALARS,)
    np.testing.assert_allclose(of(face()), of(face() * 1.7), atol=1e-4)
    opened = mesh.mean_face().astype(np.float64)
    opened[[14, 87, 317, 178, 402], 1] -= 0.2
    change = of(face(shape=opened)) - of(face())
    assert change[:5].min() > 0.5 and np.abs(change[9:17]).max() < 0.1


def test_window_ends_motion_at_the_border():
    window = C.border_window(C.GRID)
    assert window[0].max() < 0.02 and window[:, -1].max() < 0.02 and window[20:-20, 20:-20].min() == 1
