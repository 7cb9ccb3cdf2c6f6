"""What is behind a head: a blurred view of a panorama, or a made-up wall, room or evening of lights."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

from headgen.synth.render.light import LUMINANCE, white_balance
from headgen.synth.render.shade import developed

KINDS = ("wall", "room", "bokeh")
"""Made-up backgrounds."""


def background(
    rng: np.random.Generator,
    size: tuple[int, int],
    panorama: np.ndarray | None = None,
    rotation: float = 0.0,
) -> np.ndarray:
    """A background for one clip.

    Args:
        rng: chooses everything.
        size: height and width in pixels.
        panorama: (H, W, 3) float32 linear RGB as of `headgen.synth.render.light.load_panorama`; without one
            the background is made up.
        rotation: degrees, as the light was turned.

    Returns:
        (height, width, 3) uint8 sRGB.
    """
    if panorama is not None:
        linear = panorama_view(
            panorama, size, rotation, float(rng.uniform(28, 60)), float(rng.uniform(-6, 8))
        )
        linear = out_of_focus(linear, float(rng.uniform(0.004, 0.03)) * size[1])
        level = float(rng.uniform(0.12, 0.4))
        shown = np.minimum(linear, 4 * float(np.median(linear @ LUMINANCE)) + 1e-6)
        mean = shown.mean((0, 1), dtype=np.float64)
        linear = linear * white_balance(mean) * (level / max(float(mean @ LUMINANCE), 1e-6))
        return _coded(np.minimum(linear, 4))
    kind = KINDS[rng.integers(len(KINDS))]
    draw = {"wall": _wall, "room": _room, "bokeh": _bokeh}[kind]
    return _coded(draw(rng, *size))


def panorama_view(
    panorama: np.ndarray, size: tuple[int, int], rotation: float, angle: float, pitch: float = 0.0
) -> np.ndarray:
    """What a camera that looks along -z sees of a panorama.

    Args:
        panorama: (H, W, 3) float32 linear RGB.
        size: height and width in pixels.
        rotation: degrees by which the panorama is turned about the vertical, to the right.
        angle: degrees that the picture is wide.
        pitch: degrees that the camera looks up.

    Returns:
        (height, width, 3) float32 linear RGB.
    """
    height, width = size
    half = np.tan(np.radians(angle) / 2)
    x, y = np.meshgrid((np.arange(width) + 0.5) / width * 2 - 1, (np.arange(height) + 0.5) / width * 2)
    x, y = x * half, (height / width - y) * half
    up = np.radians(pitch)
    y, ahead = y * np.cos(up) + np.sin(up), np.cos(up) - y * np.sin(up)
    longitude = np.arctan2(x, ahead) - np.radians(rotation)
    latitude = np.arctan2(y, np.hypot(x, ahead))
    rows, columns = panorama.shape[:2]
    column = np.mod(longitude / (2 * np.pi) + 0.5, 1) * columns - 0.5
    row = np.clip((0.5 - latitude / np.pi) * rows - 0.5, 0, rows - 1)
    wrapped = np.concatenate([panorama, panorama[:, :1]], 1)
    places = (np.maximum(column, 0).astype(np.float32), row.astype(np.float32))
    return cv2.remap(wrapped, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def out_of_focus(linear: np.ndarray, radius: float) -> np.ndarray:
    """A picture (H, W, 3) in linear light, spread over discs of a radius in pixels as by a lens."""
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return cv2.filter2D(linear, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT_101)


def _coded(linear: np.ndarray) -> np.ndarray:
    return np.round(developed(linear)).astype(np.uint8)


def _colour(rng: np.random.Generator, brightest: float = 0.6) -> np.ndarray:
    """(3,) linear RGB of a wall or a piece of furniture: mostly muted."""
    hue, saturation = rng.uniform(), rng.beta(1.2, 5)
    return np.array(colorsys.hsv_to_rgb(hue, saturation, 1.0)) * brightest * rng.beta(1.6, 1.8)


def _lit(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W, 1) uneven light on a wall, about 1."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width) - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    slope = 1 + rng.uniform(0, 0.8) * (np.cos(angle) * x + np.sin(angle) * y)
    px, py = rng.uniform(-0.7, 0.7, 2)
    pool = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * rng.uniform(0.15, 0.5) ** 2))
    return (slope + rng.uniform(0, 0.6) * pool)[..., None].astype(np.float32)


def _mottle(rng: np.random.Generator, height: int, width: int, strength: float) -> np.ndarray:
    """(H, W, 1) plaster or cloth: soft noise of two sizes, about 1."""
    out = np.ones((height, width), np.float32)
    for cells, share in ((5, 1.0), (max(8, height // 6), 0.4)):
        noise = rng.normal(0, strength * share, (cells, cells)).astype(np.float32)
        out += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.maximum(out, 0.2)[..., None]


def _wall(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A plain wall, perhaps with a corner."""
    out = np.broadcast_to(_colour(rng), (height, width, 3)).astype(np.float32)
    if rng.random() < 0.4:
        edge = rng.uniform(-0.1, 1.1) * width + rng.uniform(-0.08, 0.08) * np.arange(height)
        side = np.clip(np.arange(width) - edge[:, None] + 0.5, 0, 1)[..., None]
        out = out * (1 - side * rng.uniform(0.1, 0.45)).astype(np.float32)
    out = out * _lit(rng, height, width) * _mottle(rng, height, width, float(rng.uniform(0, 0.06)))
    return cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.003, 0.012)) * width)


def _room(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A wall with furniture, pictures and perhaps a window, out of focus."""
    out = np.broadcast_to(_colour(rng), (height, width, 3)).astype(np.float32) * _lit(rng, height, width)
    floor = int(rng.uniform(0.7, 1.1) * height)
    out[floor:] = _colour(rng, 0.4)
    for _ in range(rng.integers(3, 9)):
        wide, high = rng.uniform(0.06, 0.4) * width, rng.uniform(0.08, 0.6) * height
        left, top = rng.uniform(-0.1, 1.0) * width, rng.uniform(-0.1, 0.9) * height
        corners = np.array([[left, top], [left + wide, top], [left + wide, top + high], [left, top + high]])
        corners[[0, 3], 1] += rng.uniform(-0.03, 0.03) * height
        layer = np.zeros((height, width), np.float32)
        cv2.fillPoly(layer, [np.round(corners * 16).astype(np.int32)], 1.0, cv2.LINE_AA, shift=4)
        colour = _colour(rng, 0.7) * (rng.uniform(2, 5) if rng.random() < 0.15 else 1.0)
        out = out + layer[..., None] * (colour.astype(np.float32) - out)
    out = out * _mottle(rng, height, width, 0.03)
    return out_of_focus(np.ascontiguousarray(out), float(rng.uniform(0.01, 0.04)) * width)


def _bokeh(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Lights far out of focus."""
    out = np.broadcast_to(_colour(rng, 0.25), (height, width, 3)).astype(np.float32) * _lit(
        rng, height, width
    )
    radius = rng.uniform(0.02, 0.06) * width
    for _ in range(rng.integers(12, 50)):
        x, y = rng.uniform(0, width), rng.normal(0.45, 0.25) * height
        layer = np.zeros((height, width), np.float32)
        place, reach = np.round(np.array([x, y]) * 16), radius * rng.uniform(0.7, 1.3)
        cv2.circle(layer, tuple(place.astype(int)), round(reach * 16), 1.0, -1, cv2.LINE_AA, shift=4)
        colour = np.array(
            colorsys.hsv_to_rgb(rng.uniform(0, 0.2) if rng.random() < 0.7 else rng.uniform(), 0.6, 1)
        )
        out += layer[..., None] * (colour * rng.uniform(0.05, 0.5)).astype(np.float32)
    return cv2.GaussianBlur(out, (0, 0), 0.006 * width)
