import numpy as np
import pytest

from headgen.synth.render import backgrounds
from headgen.synth.render.backgrounds import background, out_of_focus, panorama_view
from headgen.synth.render.light import panorama_directions


def test_same_seed_same_picture_and_no_two_alike() -> None:
    pictures = [background(np.random.default_rng(seed), (48, 64)) for seed in range(12)]
    again = background(np.random.default_rng(3), (48, 64))
    assert again.tobytes() == pictures[3].tobytes()
    assert all(p.shape == (48, 64, 3) and p.dtype == np.uint8 for p in pictures)
    assert len({p.tobytes() for p in pictures}) == 12
    assert np.std([p.mean() for p in pictures]) > 10


@pytest.mark.parametrize("kind", backgrounds.KINDS)
def test_every_kind_is_soft_and_in_range(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backgrounds, "KINDS", (kind,))
    for seed in range(4):
        picture = background(np.random.default_rng(seed), (96, 96)).astype(int)
        assert picture.std() > 1
        assert np.abs(np.diff(picture, axis=1)).mean() < 12


def test_panorama_shows_what_lies_ahead_and_turns_with_the_light() -> None:
    directions, _ = panorama_directions(256, 512)
    panorama = (directions + 1).astype(np.float32)  # every colour says its direction
    view = panorama_view(panorama, (65, 65), 0.0, 90.0) - 1
    assert np.allclose(view[32, 32], [0, 0, -1], atol=0.02)
    expected = np.array([64 / 65, 0, -1]) / np.hypot(64 / 65, 1)
    assert np.allclose(view[32, 64], expected, atol=0.02)
    assert view[0, 32, 1] > 0.6 and view[64, 32, 1] < -0.6
    turned, _ = panorama_directions(256, 512, 50.0)
    # the direction that a pixel of the turned panorama has in the world is where the camera sees it
    view = panorama_view((turned + 1).astype(np.float32), (65, 65), 50.0, 90.0) - 1
    assert np.allclose(view[32, 32], [0, 0, -1], atol=0.02)
    up = panorama_view(panorama, (65, 65), 0.0, 60.0, pitch=20.0) - 1
    assert abs(np.degrees(np.arcsin(up[32, 32, 1])) - 20) < 1
    picture = background(np.random.default_rng(0), (64, 64), panorama, 50.0)
    assert picture.shape == (64, 64, 3) and picture.std() > 2


def test_lights_out_of_focus_become_discs() -> None:
    image = np.zeros((41, 41, 3), np.float32)
    image[20, 20] = 100
    spread = out_of_focus(image, 6.0)[..., 0]
    assert np.isclose(spread.sum(), 100, rtol=1e-4)
    away = np.hypot(*np.mgrid[-20:21, -20:21])
    assert np.ptp(spread[away < 5]) < 1e-5 and spread[away > 8].max() < 1e-5
