"""Taking a photograph's light out of a texture: shading, left-right shadows and highlights.

The camera's frame: x to the picture's right, y up, z towards the camera. Colours are linear RGB.
"""

from __future__ import annotations

import cv2
import numpy as np

from headgen.synth.appearance.texture import Projection, SkinLayout, broad_blur, luminance
from headgen.synth.photograph import fill_holes
from headgen.synth.render.light import basis

ROUNDS = 8
RIDGE = (0.0, 0.001, 0.01)  # per sample, on bands 0, 1 and 2 of the light
FAR = 0.25  # relative residual beyond which a texel counts little (it is not plain skin)
SHADING_RANGE = (0.4, 1.9)  # of the middle: what is divided out; beyond it noise would be blown up
FLATTENED, FLATTENED_HUE = 0.75, 0.7  # share of broad changes of brightness and of hue taken away
FLAT_REACH = 0.04  # how broad, of the texture's side
HIGHLIGHT = 0.10  # log brightness above the neighbourhood at which a highlight begins
HIGHLIGHT_KEPT = 0.35


def estimate_light(normals: np.ndarray, colours: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(9, 3) light on skin of one colour, by robust ridge regression on spherical harmonics.

    The skin's colour is part of the result: ``basis(n) @ light`` is what plain skin looks like.

    Args:
        normals: (S, 3) unit, camera frame.
        colours: (S, 3) linear RGB.
        weights: (S,).
    """
    functions = basis(normals).astype(np.float64)
    bands = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2])
    scale = max(float(np.median(luminance(colours))), 1e-3)
    ridge = np.diag(np.array(RIDGE)[bands]) * weights.sum()
    trust = np.ones(len(weights))
    for _ in range(ROUNDS):
        w = (weights * trust)[:, None]
        light = np.linalg.solve(
            (functions * w).T @ functions + ridge + 1e-9 * np.eye(9), (functions * w).T @ colours
        )
        off = luminance((colours - functions @ light).astype(np.float32)) / scale
        trust = 1 / (1 + (off / FAR) ** 2) ** 2
    return light.astype(np.float32)


def shading(normals: np.ndarray, light: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """(..., 3) what the light does to a texture: 1 on average over the plain skin (mask ``plain``)."""
    lit = basis(normals) @ light
    middle = np.median(lit[plain], 0)
    return np.clip(lit / np.maximum(middle, 1e-4), *SHADING_RANGE).astype(np.float32)


def delight(layout: SkinLayout, projection: Projection) -> np.ndarray:
    """(N, N, 3) colour of a projection with its light divided out as far as that goes.

    In four steps: smooth shading by spherical harmonics on the fitted normals; what broad difference is left
    between the halves of the face; most of what other broad changes of brightness are left; highlights.

    Our design: the second and third step. Skin is broadly even, shading is not. Cast shadows and the fit's
    errors are no harmonics, but faces are broadly symmetric in colour and light is not, so half of the smooth
    difference between both halves goes. Texels that only one half shows are corrected by what their
    neighbours were.
    """
    colour = np.maximum(projection.colour, 1e-4)
    chosen = layout.plain & (projection.confidence > 0.5)
    samples = np.zeros_like(chosen)
    samples[::3, ::3] = chosen[::3, ::3]
    if samples.sum() < 100:  # too little skin to judge by
        return colour
    light = estimate_light(projection.normals[samples], colour[samples], projection.confidence[samples])
    lit = shading(projection.normals, light, samples)
    out = colour / lit
    out = _even_halves(layout, out, projection.confidence)
    out = _flatten(layout, out, projection.confidence)
    return soften_highlights(layout, out, projection.confidence)


def _even_halves(layout: SkinLayout, colour: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Takes away the smooth difference between the halves, broad ones wholly and narrower ones in part."""
    log = np.log(colour)
    for sigma, strength in ((0.045, 1.0), (0.016, 0.6)):
        gap = _broad_difference(layout, log, confidence, sigma)
        log = log - 0.5 * strength * gap
    return np.exp(log)


def _broad_difference(
    layout: SkinLayout, log: np.ndarray, confidence: np.ndarray, sigma: float
) -> np.ndarray:
    """(N, N, 3) smooth difference of the log-colours of a texture and its mirror image."""
    both = np.minimum(confidence, layout.mirror(confidence))
    # brows and lashes differ by a hair's breadth in place: that is no light
    odd = np.maximum.reduce([layout.brow_mask, layout.lip_mask, layout.near(layout.lids, 0.6)])
    both = both * (1 - 0.95 * np.maximum(odd, layout.mirror(odd)))
    reach = sigma * layout.size
    difference = np.clip(log - layout.mirror(log), -0.8, 0.8)
    below = broad_blur(both, reach)
    above = broad_blur(difference * both[..., None], reach)
    smooth = fill_holes(above / np.maximum(below, 1e-4)[..., None], np.clip(below / 0.2, 0, 1))
    return broad_blur(smooth, 0.5 * reach)


def _flatten(layout: SkinLayout, colour: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Brings broad brightness and hue nearer to the face's middle one; beards may stay dark."""
    odd = np.maximum.reduce([layout.brow_mask, layout.lip_mask, layout.near(layout.lids, 0.6)])
    weight = confidence * (1 - 0.97 * odd)
    reach = FLAT_REACH * layout.size
    log = np.log(colour)
    below = broad_blur(weight, reach)
    broad = broad_blur(log * weight[..., None], reach) / np.maximum(below, 1e-4)[..., None]
    away = broad - np.median(log[layout.plain & (confidence > 0.5)], 0)
    light = luminance(away)
    hue = np.clip(away - light[..., None], -0.5, 0.5)
    light = np.where(light < 0, light * (1 - layout.beard_mask), light)
    away = FLATTENED * np.clip(light, -0.8, 0.8)[..., None] + FLATTENED_HUE * hue
    return np.exp(log - np.clip(below / 0.15, 0, 1)[..., None] * away)


def soften_highlights(layout: SkinLayout, colour: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Flattens what is brighter than its wide neighbourhood and gives it the neighbourhood's hue."""
    log = np.log(colour)
    skin = confidence * (1 - np.maximum(layout.brow_mask, 0.8 * layout.lip_mask))
    reach = 0.05 * layout.size
    below = np.maximum(broad_blur(skin, reach), 1e-4)[..., None]
    wide = broad_blur(log * skin[..., None], reach) / below
    above = luminance(log - wide)
    excess = np.maximum(above - HIGHLIGHT, 0) * skin
    excess = cv2.GaussianBlur(excess, (0, 0), 1.0)
    shine = np.clip(excess / 0.25, 0, 1)[..., None]
    # a highlight has the light's colour: there the hue of the neighbourhood at the pixel's brightness
    target = wide + above[..., None]
    out = log * (1 - shine) + target * shine - (1 - HIGHLIGHT_KEPT) * excess[..., None]
    return np.exp(out).astype(np.float32)


def asymmetry(layout: SkinLayout, colour: np.ndarray, confidence: np.ndarray) -> float:
    """How unlike the halves of the face are in brightness: the smooth log difference's root mean square.

    Zero for evenly lit faces; light from one side that makes the other half as bright gives 0.7.
    """
    gap = luminance(_broad_difference(layout, np.log(np.maximum(colour, 1e-4)), confidence, 0.03))
    chosen = (np.minimum(confidence, layout.mirror(confidence)) > 0.5) & layout.plain
    return float(np.sqrt((gap[chosen] ** 2).mean())) if chosen.any() else 0.0
