import numpy as np

from headgen.synth.render.scene import Camera


def test_portrait_frames_the_face_whatever_the_distance() -> None:
    top, bottom, middle = (0.0, 8.0, 0.0), (0.0, -8.0, 0.0), (0.0, 0.0, 0.0)
    for distance in (40.0, 90.0, 250.0):
        camera = Camera.portrait(200, distance=distance, head=0.5)
        u, v, depth = camera.project(np.array([top, bottom, middle])).T
        assert np.allclose(u, 99.5)
        assert np.isclose(v[1] - v[0], 100)  # 16 cm take half of 200 pixels
        assert np.isclose(v[2], 99.5)
        assert np.allclose(depth, distance)


def test_projection_keeps_sides_and_perspective() -> None:
    camera = Camera.portrait(256, distance=60, look_at=(1.0, 2.0, 0.0))
    right, left, up, near = camera.project(
        np.array([[4.0, 2.0, 0.0], [-2.0, 2.0, 0.0], [1.0, 5.0, 0.0], [4.0, 2.0, 10.0]])
    )
    assert right[0] > 127.5 > left[0]
    assert up[1] < 127.5
    assert near[0] - 127.5 > right[0] - 127.5  # nearer is larger
    assert near[2] == 50 and right[2] == 60
