"""The rasteriser: where a mesh goes, attributes follow exactly, and the nearest surface wins."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="the synth extra is not installed")

from headgen.synth.raster import Canvas  # noqa: E402


def grid(step=4, size=48):
    """A mesh (V, 2) over a square and its triangles, counter-clockwise seen from the front (y down)."""
    xs = np.arange(0, size + 1, step, dtype=np.float32)
    points = np.stack(np.meshgrid(xs, xs), -1).reshape(-1, 2)
    n = len(xs)
    index = np.arange(n * n).reshape(n, n)
    a, b, c, d = (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1])
    one, two = np.stack([a, c, b], -1), np.stack([a, d, c], -1)
    return points, np.concatenate([one.reshape(-1, 3), two.reshape(-1, 3)])


def draw(canvas, places, triangles, attributes, depth=0.0, **options):
    points = np.column_stack([places, np.broadcast_to(np.float32(depth), len(places))])
    canvas.draw(points, triangles, attributes, **options)


def test_flow_of_a_moved_mesh_leads_back_to_where_it_came_from():
    source, triangles = grid()
    turn = np.deg2rad(11)
    matrix = 1.1 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], np.float32)
    canvas = Canvas(80, 80, 2)
    draw(canvas, source @ matrix.T + [14.3, 9.6], triangles, source)
    rows, columns = np.nonzero(canvas.layer >= 0)
    back = (np.column_stack([columns, rows]) - [14.3, 9.6]) @ np.linalg.inv(matrix).T
    assert len(rows) > 2000
    assert np.abs(canvas.values[rows, columns] - back).max() < 0.01  # pixels


def test_a_mesh_has_no_seams_between_its_triangles():
    source, triangles = grid()
    canvas = Canvas(64, 64, 2)
    draw(canvas, source + 3.37, triangles, source)
    assert (canvas.layer[4:51, 4:51] == 0).all()


def test_the_nearer_surface_wins_in_either_order():
    source, triangles = grid()
    near, far = np.full_like(source, 7), np.full_like(source, 3)
    for order in ((5.0, near), (1.0, far)), ((1.0, far), (5.0, near)):
        canvas = Canvas(48, 48, 2)
        for layer, (depth, value) in enumerate(order):
            draw(canvas, source, triangles, value, depth, layer=layer)
        assert (canvas.values[2:46, 2:46] == 7).all()
        assert (canvas.layer[2:46, 2:46] == (0 if order[0][0] == 5 else 1)).all()


def test_depth_bias_lifts_a_layer_over_a_slightly_nearer_one():
    source, triangles = grid()
    canvas = Canvas(48, 48, 2)
    draw(canvas, source, triangles, source, 1.0, layer=0)
    draw(canvas, source, triangles, source, 0.5, layer=1)
    assert (canvas.layer[2:46, 2:46] == 0).all()
    draw(canvas, source, triangles, source, 0.5, layer=1, depth_bias=1.0)
    assert (canvas.layer[2:46, 2:46] == 1).all()


def test_backs_of_surfaces_are_left_out():
    source, triangles = grid()
    canvas = Canvas(48, 48, 2)
    draw(canvas, source, triangles[:, ::-1], source, cull=True)
    assert (canvas.layer == -1).all()
    draw(canvas, source, triangles, source, cull=True)
    assert (canvas.layer[2:46, 2:46] == 0).all()


def test_meshes_beyond_the_canvas_are_clipped():
    source, triangles = grid()
    canvas = Canvas(20, 20, 2)
    draw(canvas, source * 3 - 60, triangles, source)
    assert (canvas.layer == 0).all()
    assert np.abs(canvas.values[10, 10] - (10 + 60) / 3).max() < 0.01
