"""From a photograph to a texture: skin projected into the head's uv layout, and what it does not show.

Textures are linear RGB, float32, (N, N, 3), v down; confidence and masks are (N, N) float32 from 0 to 1.

Legend: V vertices, N side of the texture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from headgen.synth.appearance.skin_layout import SkinLayout, bake, vertex_normals
from headgen.synth.photograph import fill_holes
from headgen.synth.raster import Canvas

__all__ = [
    "Projection",
    "SkinLayout",
    "bake",
    "broad_blur",
    "cavities",
    "complete",
    "luminance",
    "project_photograph",
    "reject_foreign",
    "skin_grain",
    "to_linear",
    "to_srgb",
]

FACING = (0.3, 0.65)  # cosine between normal and view: from no to full confidence
HIDDEN_CM = 0.35  # how far behind the nearest surface skin still counts as seen
CAVITY = (0.04, 0.34)  # share of the sky seen: from full to no darkening by `cavities`


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """SRGB from 0 to 1 (or uint8) to linear light, float32."""
    x = np.asarray(srgb, np.float32) / (255 if srgb.dtype == np.uint8 else 1)
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light from 0 to 1 to sRGB uint8."""
    x = np.clip(linear, 0, 1)
    out = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-6) ** (1 / 2.4) - 0.055)
    return np.clip(out * 255 + 0.5, 0, 255).astype(np.uint8)


def luminance(linear: np.ndarray) -> np.ndarray:
    """(...) relative luminance of linear RGB (..., 3)."""
    out: np.ndarray = linear @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    return out


def broad_blur(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of float32 (H, W) or (H, W, C); wide ones are made on a smaller picture."""
    if sigma < 8:
        return cv2.GaussianBlur(values, (0, 0), sigma)
    step = 2 if sigma < 16 else 4
    small = (max(1, values.shape[1] // step), max(1, values.shape[0] // step))
    less = cv2.GaussianBlur(cv2.resize(values, small, interpolation=cv2.INTER_AREA), (0, 0), sigma / step)
    return cv2.resize(less, values.shape[1::-1], interpolation=cv2.INTER_LINEAR)


@dataclass(frozen=True)
class Projection:
    """What a photograph shows of the skin, in the layout of the texture.

    Attributes:
        colour: (N, N, 3) float32 linear RGB.
        confidence: (N, N) how far that is this person's skin, seen well.
        normals: (N, N, 3) of the fitted face in the camera's frame (y up, z towards the camera).
    """

    colour: np.ndarray
    confidence: np.ndarray
    normals: np.ndarray


def project_photograph(
    layout: SkinLayout,
    image: np.ndarray,
    points: np.ndarray,
    scale: float,
    person: np.ndarray | None = None,
) -> Projection:
    """Carries a photograph into the layout.

    Args:
        layout: of the skin.
        image: (H, W, 3) uint8 sRGB.
        points: (V, 3) vertices on the photograph: x, y in pixels, and depth towards the camera in pixels.
        scale: pixels per cm.
        person: (H, W) share of the person in each pixel, if known.
    """
    height, width = image.shape[:2]
    upright = points * [1, -1, 1]
    normals = vertex_normals(upright, layout.triangles)
    canvas = Canvas(height, width, 1)
    canvas.draw(points, layout.triangles, points[:, 2:])
    baked = layout.bake(np.column_stack([points, normals]).astype(np.float32))
    x, y, depth = (np.ascontiguousarray(baked[..., k]) for k in range(3))
    normal = baked[..., 3:] / np.maximum(np.linalg.norm(baked[..., 3:], axis=-1, keepdims=True), 1e-6)

    colour = to_linear(image)
    colour = cv2.remap(colour, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    # the nearest surface within a pixel: a depth between two surfaces must not count
    front = cv2.dilate(np.maximum(canvas.depth, -1e6), np.ones((3, 3)))
    front = cv2.remap(front, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=1e6)
    slope = 1.5 * np.sqrt(np.maximum(1 / np.maximum(normal[..., 2], 0.2) ** 2 - 1, 0))  # depth over a pixel
    seen = (depth > front - HIDDEN_CM * scale - slope) & layout.covered
    facing = np.clip((normal[..., 2] - FACING[0]) / (FACING[1] - FACING[0]), 0, 1)
    confidence = seen * facing * layout.inner_face * (1 - layout.unreliable)
    if person is not None:
        on = cv2.erode(person.astype(np.float32), np.ones((3, 3)))
        confidence = confidence * cv2.remap(on, x, y, cv2.INTER_LINEAR)
    confidence = cv2.erode(confidence.astype(np.float32), np.ones((3, 3)))
    return Projection(np.maximum(colour, 1e-4), confidence, normal)


def reject_foreign(layout: SkinLayout, colour: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Lowers the confidence of what is not skin: hair over the forehead and temples, rims, collars.

    Args:
        layout: of the skin.
        colour: (N, N, 3) linear RGB, its light already divided out.
        confidence: (N, N).

    Returns:
        (N, N) confidence. Brows, lips and beards are kept.
    """
    plain = layout.plain & (confidence > 0.5)
    if plain.sum() < 100:
        return confidence
    smooth = cv2.GaussianBlur(np.log(np.maximum(colour, 1e-3)), (0, 0), 1.5)
    middle = np.median(smooth[plain], 0)
    away = smooth - middle
    light = away @ np.array([0.3, 0.5, 0.2], np.float32)
    hue = away - light[..., None]
    spread = np.maximum(1.4826 * np.median(np.abs(hue[plain]), 0), 0.05)
    odd = np.sqrt(((hue / spread) ** 2).sum(-1))
    skin = np.clip((light + 0.7) / 0.3, 0, 1) * np.clip((0.75 - light) / 0.25, 0, 1)
    skin = skin * np.clip((9 - odd) / 3, 0, 1)
    outline = np.clip(2 * layout.inner_face - 1, 0, 1)
    kept = np.maximum.reduce([layout.brow_mask, layout.lip_mask, layout.beard_mask * outline, layout.middle])
    # teeth between the lips: bright, and less red than the lips are
    lips = (layout.lip_mask > 0.9) & (confidence > 0.3)
    if lips.sum() > 50:
        red = smooth[..., 0] - smooth[..., 1]
        pale = np.median(red[lips]) - red > 0.6 * max(np.median(red[lips]) - np.median(red[plain]), 0.15)
        bright = luminance(smooth) > luminance(np.median(smooth[lips], 0)) + 0.2
        kept = np.where((layout.lip_mask > 0.5) & pale & bright, 0, kept)
        skin = np.where((layout.lip_mask > 0.5) & pale & bright, 0, skin)
    skin = cv2.erode(np.maximum(skin, kept).astype(np.float32), np.ones((5, 5)))
    return confidence * cv2.GaussianBlur(skin, (0, 0), 1.5)


def complete(
    layout: SkinLayout, colour: np.ndarray, confidence: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Fills what the photograph did not show: from the other half, then smoothly, then with grain.

    Args:
        layout: of the skin.
        colour: (N, N, 3) linear RGB, de-lit.
        confidence: (N, N).
        rng: of the grain.

    Returns:
        (N, N, 3) linear RGB.
    """
    log = np.log(np.maximum(colour, 1e-3))
    other, other_confidence = layout.mirror(log), layout.mirror(confidence)
    both = np.minimum(confidence, other_confidence)
    gap = fill_holes(_blurred(log - other, both, 0.03 * layout.size), both)
    matched = other + broad_blur(gap, 0.03 * layout.size)
    share = np.clip(1.5 * other_confidence, 0, 1) * (1 - confidence)
    known = np.maximum(confidence, share)
    weight = confidence / np.maximum(confidence + share, 1e-6)
    log = _blend(matched, log, weight)

    plain = layout.plain & (confidence > 0.3)
    tone = np.median(log[plain], 0) if plain.any() else log[layout.covered].mean(0)
    filled = fill_holes(log, known)
    near = cv2.GaussianBlur(
        np.maximum(known, layout.lip_mask * (layout.unreliable > 0)), (0, 0), 0.06 * layout.size
    )
    away = np.clip(1 - near / 0.25, 0, 1)[..., None]
    smooth = cv2.GaussianBlur(filled, (0, 0), 0.008 * layout.size)
    filled = smooth * (1 - away) + tone * away  # far from anything seen it is just this person's skin
    known = cv2.GaussianBlur(known, (0, 0), 1.5)[..., None] * np.clip(3 * known[..., None], 0, 1)
    log = known * log + (1 - known) * (filled + skin_grain(layout, rng))
    return np.exp(log).astype(np.float32)


def _blurred(values: np.ndarray, weights: np.ndarray, sigma: float) -> np.ndarray:
    """Weighted Gaussian blur."""
    below = broad_blur(weights, sigma)
    above = broad_blur(values * weights[..., None], sigma)
    return above / np.maximum(below, 1e-4)[..., None]


def _blend(a: np.ndarray, b: np.ndarray, weight_b: np.ndarray, levels: int = 5) -> np.ndarray:
    """Pyramid blend (Burt and Adelson, 1983, "A multiresolution spline"): coarse colours over wide seams."""
    out = np.zeros_like(a)
    weight = weight_b.astype(np.float32)
    for level in range(levels):
        sigma = 1.5 * 2.0**level
        low_a, low_b = broad_blur(a, sigma), broad_blur(b, sigma)
        out += (a - low_a) + weight[..., None] * ((b - low_b) - (a - low_a))
        a, b, weight = low_a, low_b, broad_blur(weight_b, sigma)
    return out + a + weight[..., None] * (b - a)


def skin_grain(layout: SkinLayout, rng: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """(N, N, 3) log-colour of pores and blotches, zero on average.

    Our design: two bands of noise for pores and their surroundings and a broad one for the uneven supply of
    blood, whose colours are those of melanin and haemoglobin; sizes in cm of the neutral head, 0.05 and up.
    """
    n = layout.size
    texel = layout.texels_per_cm
    out = np.zeros((n, n, 3), np.float32)
    for sigma, amount, tint in (
        (0.05, 0.028, (1.0, 1.0, 1.0)),
        (0.14, 0.022, (0.7, 1.0, 1.1)),
        (0.45, 0.022, (0.25, 1.0, 0.8)),
    ):
        noise = cv2.GaussianBlur(rng.normal(0, 1, (n, n)).astype(np.float32), (0, 0), max(sigma * texel, 0.5))
        out += (strength * amount * noise / noise.std())[..., None] * np.array(tint, np.float32)
    return out


def cavities(layout: SkinLayout) -> np.ndarray:
    """(N, N, 3) factor that darkens nostrils, the depth of the ears and the corners of mouth and eyes.

    Our design: renderers of plain surfaces know no occlusion; only deep cavities are darkened, and what light
    gets there is reddened by the skin around.
    """
    low, high = CAVITY
    t = np.clip((layout.sky - low) / (high - low), 0, 1)
    t = cv2.GaussianBlur((t * t * (3 - 2 * t)).astype(np.float32), (0, 0), 1.5)
    # lids and lips move apart and show their linings: those stay lit
    moving = np.maximum(layout.near(layout.lids, 0.8), layout.lip_mask)
    t = np.maximum(t, np.clip(1.5 * moving, 0, 1))
    return (t[..., None] ** np.array([0.8, 1.15, 1.2], np.float32) * 0.9 + 0.1).astype(np.float32)
