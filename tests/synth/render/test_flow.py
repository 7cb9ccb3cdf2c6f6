import numpy as np
from render_shapes import WHITE, posed, sphere, square, surface, turned

from headgen.synth.render.flow import FlowField
from headgen.synth.render.light import procedural_light
from headgen.synth.render.renderer import Renderer
from headgen.synth.render.scene import Camera

CAMERA = Camera.portrait(96, distance=70, head=0.5)


def test_flow_agrees_with_moving_the_ball_by_hand() -> None:
    points, triangles, uv = sphere(7.0, 40)
    degrees, shift = np.array([0.0, 30.0]), np.array([[0, 0, 0], [1.0, -0.5, 2.0]], np.float32)
    transform = turned(2, degrees, shift)
    ball, head = [surface("ball", triangles, uv, texture=WHITE)], posed(points, transform)
    out = Renderer().render(ball, head, None, CAMERA, procedural_light(np.random.default_rng(0)), None)
    flow, hidden = FlowField(ball, CAMERA)(out, 0, out, 1, head)
    rows, columns = np.nonzero(np.isfinite(out.depth[0]))
    # from the depth map alone: unproject, turn and shift, project
    depth = out.depth[0][rows, columns].astype(np.float64)
    point = np.stack(
        [
            (columns - CAMERA.centre[0]) / CAMERA.focal * depth,
            -(rows - CAMERA.centre[1]) / CAMERA.focal * depth,
            70 - depth,
        ],
        1,
    )
    moved = CAMERA.project(point @ transform[1, :, :3].T.astype(np.float64) + transform[1, :, 3])
    error = flow[rows, columns] - (moved[:, :2] - np.stack([columns, rows], 1))
    assert np.abs(error).max() < 0.02
    assert (flow[np.isinf(out.depth[0])] == 0).all()
    # what turned well away to the far side is hidden, what faces the camera is not
    normal = (point / 7) @ transform[1, :, :3].T
    away = (normal * (np.array([0, 0, 70]) - (point @ transform[1, :, :3].T + transform[1, :, 3]))).sum(1)
    assert hidden[rows, columns][away < -25].all()
    assert not hidden[rows, columns][away > 6].any()


def test_what_passes_in_front_hides_the_rest() -> None:
    wall_points, wall, wall_uv = square(6.0, 0.0)
    card_points, card, card_uv = square(2.0, 5.0)
    card_points = card_points - np.float32([4, 0, 0])
    wall_surface = surface("wall", wall, wall_uv, "clothing")
    shapes = [wall_surface, surface("card", card, card_uv, "occluder", points=card_points)]
    head = posed(wall_points, turned(2))
    transform = turned(2, shift=np.array([[0, 0, 0], [4.0, 0, 0]], np.float32))
    head = type(head)(head.vertices, head.normals, head.joints, transform, head.torso_transform)
    out = Renderer().render(shapes, head, None, CAMERA, procedural_light(np.random.default_rng(0)), None)
    flow, hidden = FlowField(shapes, CAMERA)(out, 0, out, 1, head)
    on_card = out.depth[0] < 66
    assert np.allclose(flow[on_card], [4.0 * CAMERA.focal / 65, 0], atol=0.01)
    assert not hidden[on_card].any()
    on_wall = np.isfinite(out.depth[0]) & ~on_card
    assert np.abs(flow[on_wall]).max() < 0.01
    covered_then = on_wall & (out.depth[1] < 66)
    inner = covered_then.copy()
    inner[1:-1, 1:-1] &= (
        covered_then[2:, 1:-1] & covered_then[:-2, 1:-1] & covered_then[1:-1, 2:] & covered_then[1:-1, :-2]
    )
    assert inner.sum() > 50 and hidden[inner].all()
    assert not hidden[on_wall & ~covered_then].any()
    background = np.isinf(out.depth[0])
    assert (hidden[background] == np.isfinite(out.depth[1])[background]).all()
    back, _ = FlowField(shapes, CAMERA)(out, 1, out, 0, head)
    assert np.allclose(back[out.depth[1] < 66], [-4.0 * CAMERA.focal / 65, 0], atol=0.01)
