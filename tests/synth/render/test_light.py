import cv2
import numpy as np
import pytest

from headgen.errors import InputError
from headgen.synth.render.light import (
    LUMINANCE,
    STYLES,
    basis,
    exposed,
    from_panorama,
    load_panorama,
    panorama_directions,
    procedural_light,
    random_light,
)
from headgen.synth.render.scene import Light


def sky(height: int = 64) -> np.ndarray:
    """Blue above, brown below, brighter to one side."""
    directions, _ = panorama_directions(height, 2 * height)
    up, right = directions[..., 1:2], directions[..., :1]
    colour = np.where(up > 0, [0.4, 0.6, 1.0], [0.3, 0.2, 0.1])
    return (colour * (1 + 0.5 * right)).astype(np.float32)


def irradiance(panorama: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Over pi, by brute force."""
    directions, angles = panorama_directions(*panorama.shape[:2])
    weight = np.maximum(directions @ normal, 0) * angles
    return (panorama * weight[..., None]).sum((0, 1)) / np.pi


def test_solid_angles_cover_the_sphere() -> None:
    directions, angles = panorama_directions(32, 64)
    assert np.isclose(angles.sum(), 4 * np.pi)
    assert np.allclose(np.linalg.norm(directions, axis=-1), 1)
    values = basis(directions)
    gram = np.einsum("hwa,hwb,hw->ab", values, values, angles)
    assert np.allclose(gram, np.eye(9), atol=0.01)


def test_harmonics_agree_with_brute_force() -> None:
    panorama, rng = sky(), np.random.default_rng(0)
    light = from_panorama(panorama)
    assert not light.sun_colour.any()
    for _ in range(20):
        normal = rng.standard_normal(3)
        normal /= np.linalg.norm(normal)
        expected = irradiance(panorama, normal)
        # bands above 2 carry less than 3 % of the light of convex things (Ramamoorthi and Hanrahan)
        assert np.abs(basis(normal) @ light.harmonics - expected).max() < 0.03


def test_sun_is_taken_out_of_the_rest() -> None:
    panorama = sky()
    panorama[12:14, 40:42] += 800.0
    light = from_panorama(panorama)
    directions, _ = panorama_directions(*panorama.shape[:2])
    towards = directions[12:14, 40:42].mean((0, 1))
    assert light.sun @ (towards / np.linalg.norm(towards)) > np.cos(np.radians(2))
    for normal in (light.sun, -light.sun, np.array([0.0, 0.0, 1.0])):
        both = basis(normal) @ light.harmonics + max(float(normal @ light.sun), 0) * light.sun_colour
        assert np.allclose(both, irradiance(panorama, normal), rtol=0.03, atol=0.03)


def test_rotation_turns_the_light_to_the_right() -> None:
    light = from_panorama(sky(), 90.0)
    front, back = (basis(np.array([0.0, 0.0, z])) @ light.harmonics for z in (1.0, -1.0))
    # what was bright on the right, turned by a quarter, lies before the subject's face: on the camera's side
    assert front @ LUMINANCE > 1.3 * (back @ LUMINANCE)


def test_lights_expose_a_face_well() -> None:
    grid = np.stack(np.meshgrid(np.linspace(-0.6, 0.6, 9), np.linspace(-0.6, 0.6, 9)), -1).reshape(-1, 2)
    normals = np.column_stack([grid, np.sqrt(1 - (grid**2).sum(1))])
    for style in STYLES:
        for seed in range(8):
            light = procedural_light(np.random.default_rng(seed), style)
            seen = (
                basis(normals) @ light.harmonics
                + np.maximum(normals @ light.sun, 0)[:, None] * light.sun_colour
            )
            mean = (seen @ LUMINANCE).mean()
            assert 0.4 < mean < 1.9, (style, seed, mean)
            assert np.isclose(np.linalg.norm(light.sun), 1, atol=1e-5)
            assert (light.sun_colour >= 0).all()


def test_same_seed_same_light() -> None:
    panorama = sky()
    for given in (None, panorama):
        (a, turned_a), (b, turned_b) = (random_light(np.random.default_rng(5), given) for _ in range(2))
        assert turned_a == turned_b
        for name in ("harmonics", "sun", "sun_colour"):
            assert getattr(a, name).tobytes() == getattr(b, name).tobytes()


def test_exposure_scales_all_light_alike() -> None:
    light = Light(np.ones((9, 3), np.float32), np.array([0, 0, 1], np.float32), np.ones(3, np.float32))
    one, two = exposed(light, 0.5), exposed(light, 1.0)
    assert np.allclose(2 * one.harmonics, two.harmonics, rtol=1e-4)
    assert np.allclose(2 * one.sun_colour, two.sun_colour, rtol=1e-4)


def test_panoramas_are_read_and_refused_by_name(tmp_path) -> None:
    picture = sky(32)
    cv2.imwrite(str(tmp_path / "good.hdr"), picture[..., ::-1])
    read = load_panorama(tmp_path / "good.hdr", 32)
    assert read.shape == (16, 32, 3)
    assert np.allclose(read.mean((0, 1)), picture.mean((0, 1)), rtol=0.02)
    cv2.imwrite(str(tmp_path / "narrow.hdr"), picture[:, :40])
    with pytest.raises(InputError, match=r"narrow.hdr.*twice as wide"):
        load_panorama(tmp_path / "narrow.hdr")
    with pytest.raises(InputError, match=r"absent.hdr"):
        load_panorama(tmp_path / "absent.hdr")
    with pytest.raises(ValueError, match="studio"):
        procedural_light(np.random.default_rng(0), "candle")
