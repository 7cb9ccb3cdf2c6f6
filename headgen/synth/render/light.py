"""Light: from panoramas with a high dynamic range, or arranged as a photographer would.

Directions are in the world's frame (x right, y up, z towards the camera). A panorama is equirectangular,
(H, W, 3) float32 linear RGB radiance; its middle column lies behind the camera's subject (direction -z), the
quarter to its right is +x, the first row is up.

Legend: D directions.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from headgen.errors import InputError
from headgen.synth.render.scene import Light

SKIN = np.array([0.46, 0.29, 0.21])
"""Linear albedo of light to medium skin, by which pictures are exposed."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
COSINE = np.array([1.0, 2 / 3, 2 / 3, 2 / 3, 0.25, 0.25, 0.25, 0.25, 0.25])
"""Cosine lobe over pi by spherical harmonics: Ramamoorthi and Hanrahan, 2001, equation 8, over pi."""
SUN_REACH = 12.0  # degrees around the brightest place that may belong to the sun
SUN_LEVEL = 6.0  # radiance above this many means of the panorama is the sun's
SUN_LEAST = 0.03  # share of the light below which there is no sun
FACE_LEVEL = 0.95  # irradiance over pi that exposes a face well: its skin comes out near sRGB 150
BALANCE = 0.75  # of the colour of the light that a camera's white balance takes out
STYLES = ("studio", "window", "overcast", "evening", "sunny")
"""Arrangements of `procedural_light`."""


def basis(directions: np.ndarray) -> np.ndarray:
    """Real spherical harmonics of bands 0 to 2.

    Args:
        directions: (..., 3) unit vectors.

    Returns:
        (..., 9) values in the order (0, 0), (1, -1), (1, 0), (1, 1), (2, -2) ... (2, 2) with y up as the
        first axis of band 1: constant, y, z, x, xy, yz, 3z^2 - 1, xz, x^2 - y^2.
    """
    x, y, z = np.moveaxis(directions, -1, 0)
    return np.stack(
        [
            np.full_like(x, 0.282095),
            0.488603 * y,
            0.488603 * z,
            0.488603 * x,
            1.092548 * x * y,
            1.092548 * y * z,
            0.315392 * (3 * z * z - 1),
            1.092548 * x * z,
            0.546274 * (x * x - y * y),
        ],
        -1,
    )


def load_panorama(path: Path, width: int = 1024) -> np.ndarray:
    """Reads an equirectangular ``.hdr`` or ``.exr`` picture.

    Args:
        path: the file.
        width: it is reduced to this width if it is wider.

    Returns:
        (width / 2, width, 3) float32 linear RGB.

    Raises:
        InputError: no such file, or not an equirectangular picture.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"{path}: cannot be read as a picture; give an equirectangular .hdr file")
    height, across = picture.shape[:2]
    if across != 2 * height:
        raise InputError(
            f"{path}: {across} x {height} pixels; a panorama of all directions is twice as wide as high"
        )
    if across > width:
        picture = cv2.resize(picture, (width, width // 2), interpolation=cv2.INTER_AREA)
    return np.maximum(picture[..., ::-1], 0).astype(np.float32)


def panorama_directions(height: int, width: int, rotation: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """World directions (H, W, 3) of a panorama's pixels and their solid angles (H, W) in steradians.

    Args:
        height: pixels.
        width: pixels.
        rotation: degrees by which the panorama is turned about the vertical, to the right.
    """
    longitude = (np.arange(width) + 0.5) / width * 2 * np.pi - np.pi + np.radians(rotation)
    edges = np.linspace(np.pi / 2, -np.pi / 2, height + 1)
    latitude = (edges[1:] + edges[:-1]) / 2
    level = np.cos(latitude)[:, None]
    directions = np.stack(
        np.broadcast_arrays(level * np.sin(longitude), np.sin(latitude)[:, None], -level * np.cos(longitude)),
        -1,
    )
    angles = (np.sin(edges[:-1]) - np.sin(edges[1:])) * (2 * np.pi / width)
    return directions, np.broadcast_to(angles[:, None], (height, width))


def from_panorama(panorama: np.ndarray, rotation: float = 0.0) -> Light:
    """The light that a panorama sheds.

    What is far brighter than the rest and lies together becomes the sun; the rest, without that energy,
    becomes
    spherical harmonics (Ramamoorthi and Hanrahan, "An efficient representation for irradiance environment
    maps",
    2001), so that nothing counts twice.

    Args:
        panorama: (H, W, 3) linear RGB.
        rotation: degrees about the vertical, to the right.

    Returns:
        light in the panorama's own unit: see `exposed`.
    """
    directions, angles = panorama_directions(panorama.shape[0], panorama.shape[1], rotation)
    radiance = panorama.astype(np.float64)
    bright = radiance @ LUMINANCE
    mean = (bright * angles).sum() / (4 * np.pi)
    peak = directions[
        np.unravel_index(cv2.GaussianBlur(bright, (0, 0), bright.shape[1] / 256).argmax(), bright.shape)
    ]
    near = directions @ peak > np.cos(np.radians(SUN_REACH))
    above = np.where(near, np.clip(1 - SUN_LEVEL * mean / np.maximum(bright, 1e-9), 0, 1), 0)
    removed = radiance * above[..., None] * angles[..., None]
    sun_colour = removed.sum((0, 1)) / np.pi
    if sun_colour @ LUMINANCE < SUN_LEAST * mean * 4:
        return Light(irradiance_harmonics(radiance, directions, angles), _unit(peak), np.zeros(3, np.float32))
    centre = _unit(((removed @ LUMINANCE)[..., None] * directions).sum((0, 1)))
    rest = radiance * (1 - above[..., None])
    return Light(irradiance_harmonics(rest, directions, angles), centre, sun_colour.astype(np.float32))


def irradiance_harmonics(radiance: np.ndarray, directions: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(9, 3) float32 irradiance over pi of radiance (..., 3) from directions (..., 3) over angles (...)."""
    weighed = (radiance * angles[..., None]).reshape(-1, 3)
    projected = basis(directions.reshape(-1, 3)).T @ weighed
    return (projected * COSINE[:, None]).astype(np.float32)


def lamps(
    directions: np.ndarray, colours: np.ndarray, ambient: np.ndarray, sizes: np.ndarray | None = None
) -> Light:
    """Light of lamps and of all around; the strongest small lamp becomes the `sun`.

    Args:
        directions: (D, 3) towards the lamps.
        colours: (D, 3) linear RGB irradiance over pi that each gives to a surface that faces it.
        ambient: (3,) irradiance over pi from all around.
        sizes: (D,) from 0 (a point) to 1 (a wall); default: points. Those above 1/2 are soft.
    """
    sizes = np.zeros(len(directions)) if sizes is None else sizes
    towards = np.stack([_unit(direction) for direction in directions])
    hard = [k for k in range(len(towards)) if sizes[k] <= 0.5]
    sun = max(hard, key=lambda k: float(colours[k] @ LUMINANCE), default=None)
    values = basis(towards) * COSINE * np.pi
    # wider lamps: the harmonics of a blurred point, band by band
    band = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2])
    values = values * np.exp(-0.35 * sizes[:, None] * band * (band + 1))
    harmonics = np.zeros((9, 3))
    harmonics[0] = ambient / 0.282095
    for k in range(len(towards)):
        if k != sun:
            harmonics += values[k][:, None] * colours[k]
    if sun is None:
        return Light(harmonics.astype(np.float32), _unit(np.array([0.0, 1, 1])), np.zeros(3, np.float32))
    return Light(harmonics.astype(np.float32), towards[sun], colours[sun].astype(np.float32))


def procedural_light(rng: np.random.Generator, style: str | None = None) -> Light:
    """A plausible arrangement of light, exposed for a face.

    Args:
        rng: chooses the style unless one is given, and everything in it.
        style: one of `STYLES`: a studio's key, fill and rim lights; a window to one side; an overcast sky; a
            lamp in the evening; the sun with a blue sky.
    """
    style = style or STYLES[rng.integers(len(STYLES))]
    if style not in STYLES:
        raise ValueError(f"no style {style!r}; known: {', '.join(STYLES)}")
    side = rng.choice([-1.0, 1.0])
    if style == "studio":
        key = _from(side * rng.uniform(20, 55), rng.uniform(15, 45))
        fill = _from(-side * rng.uniform(25, 70), rng.uniform(-5, 25))
        rim = _from(-side * rng.uniform(130, 165), rng.uniform(15, 45))
        colours = np.stack(
            [_warm(rng, 4800, 6500), _warm(rng, 4500, 7000) * rng.uniform(0.15, 0.5), _warm(rng, 4500, 7500)]
        )
        colours[2] *= rng.uniform(0.2, 1.0)
        light = lamps(
            np.stack([key, fill, rim]),
            colours,
            _warm(rng, 5000, 7000) * rng.uniform(0.1, 0.3),
            np.array([rng.uniform(0.3, 0.8), 0.9, 0.6]),
        )
    elif style == "window":
        window = _from(side * rng.uniform(35, 95), rng.uniform(-5, 25))
        back = _from(-side * rng.uniform(40, 120), rng.uniform(-30, 10))
        light = lamps(
            np.stack([window, back]),
            np.stack([_warm(rng, 5800, 8500), _warm(rng, 3500, 5500) * rng.uniform(0.1, 0.35)]),
            _warm(rng, 4200, 6000) * rng.uniform(0.12, 0.35),
            np.array([0.75, 1.0]),
        )
    elif style == "overcast":
        sky, ground = np.array([0.0, 1, rng.uniform(0, 0.4)]), np.array([0.0, -1, 0.2])
        light = lamps(
            np.stack([sky, ground]),
            np.stack([_warm(rng, 6200, 8000), _warm(rng, 4500, 6000) * rng.uniform(0.15, 0.4)]),
            _warm(rng, 6000, 7500) * rng.uniform(0.4, 0.8),
            np.ones(2),
        )
    elif style == "evening":
        lamp = _from(side * rng.uniform(10, 80), rng.uniform(0, 50))
        screen = _from(rng.uniform(-15, 15), rng.uniform(-30, 0))
        light = lamps(
            np.stack([lamp, screen]),
            np.stack([_warm(rng, 2400, 3400), _warm(rng, 6500, 9500) * rng.uniform(0.05, 0.4)]),
            _warm(rng, 2700, 4200) * rng.uniform(0.08, 0.25),
            np.array([rng.uniform(0.2, 0.7), 0.8]),
        )
    else:
        sun, sky = _from(side * rng.uniform(10, 110), rng.uniform(15, 60)), np.array([0.0, 1, 0])
        light = lamps(
            np.stack([sun, sky]),
            np.stack([_warm(rng, 4300, 5800), _warm(rng, 9000, 14000) * rng.uniform(0.2, 0.5)]),
            _warm(rng, 5500, 7500) * rng.uniform(0.2, 0.45),
            np.array([0.0, 1.0]),
        )
    return exposed(light, FACE_LEVEL * 2 ** rng.normal(0, 0.2))


def exposed(light: Light, level: float = FACE_LEVEL) -> Light:
    """The light with such an exposure that a face comes out with this mean irradiance over pi (luminance).

    The face stands for all directions within 60 degrees of the camera's, weighted by how much of the picture
    they take; a part in the sun counts as what it is, so a face half in the sun is not washed out. Most of
    the light's colour on the face is taken out, as by a camera.
    """
    grid = np.stack(np.meshgrid(np.linspace(-0.87, 0.87, 15), np.linspace(-0.87, 0.87, 15)), -1).reshape(
        -1, 2
    )
    grid = grid[(grid**2).sum(1) < 0.75]
    normals = np.column_stack([grid, np.sqrt(1 - (grid**2).sum(1))])
    seen = basis(normals) @ light.harmonics + np.maximum(normals @ light.sun, 0)[:, None] * light.sun_colour
    # the mean, held down by the brightest parts: cameras avoid clipping
    luminance = np.maximum(seen @ LUMINANCE, 0)
    measured = 0.6 * luminance.mean() + 0.4 * 0.75 * np.quantile(luminance, 0.9)
    scale = level / max(float(measured), 1e-9) * white_balance(seen.mean(0))
    return replace(
        light,
        harmonics=(light.harmonics * scale).astype(np.float32),
        sun_colour=(light.sun_colour * scale).astype(np.float32),
    )


def white_balance(mean: np.ndarray) -> np.ndarray:
    """(3,) gains by which a camera takes most of the colour out of a mean (3,), which keeps its luminance."""
    mean = np.maximum(mean, 1e-9)
    gain = (float(mean @ LUMINANCE) / mean) ** BALANCE
    return gain * (float(mean @ LUMINANCE) / float((mean * gain) @ LUMINANCE))


def random_light(rng: np.random.Generator, panorama: np.ndarray | None = None) -> tuple[Light, float]:
    """A light for one clip and the panorama's rotation in degrees (0 without one).

    Args:
        rng: chooses everything.
        panorama: (H, W, 3) linear RGB; without one the light is arranged (`procedural_light`).
    """
    if panorama is None:
        return procedural_light(rng), 0.0
    rotation = float(rng.uniform(0, 360))
    return exposed(from_panorama(panorama, rotation), FACE_LEVEL * 2 ** rng.normal(0, 0.2)), rotation


def _from(azimuth: float, elevation: float) -> np.ndarray:
    """Unit vector; azimuth to the picture's right of the camera's place, degrees."""
    a, e = np.radians(azimuth), np.radians(elevation)
    return np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])


def _warm(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """(3,) linear RGB of luminance 1 of a black body between two temperatures in kelvin.

    Fit to Planck's law seen by sRGB's primaries, good to a few per cent from 2000 to 15000 K.
    """
    t = rng.uniform(low, high) / 6500
    colour = np.array([t**-0.75, t**-0.05 if t > 1 else t**0.35, t**1.0 if t < 1 else t**0.55])
    return colour / (colour @ LUMINANCE)


def _unit(vector: np.ndarray) -> np.ndarray:
    return (vector / np.linalg.norm(vector)).astype(np.float32)
