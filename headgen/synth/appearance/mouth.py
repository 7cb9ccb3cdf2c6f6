"""Colours of what an open mouth shows: teeth, gums, tongue and the lining of the mouth.

Textures are baked from the neutral head, so they suit any layout. How much light gets into the mouth is the
renderer's business; what light is thrown back and forth between neighbouring teeth is not, and is painted.

Legend: V vertices, F triangles, N side of the texture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from headgen.synth.appearance.texture import bake, to_linear, to_srgb
from headgen.synth.photograph import fill_holes

SIZE = 256
SHADES = ((232, 224, 208), (226, 214, 190), (218, 204, 176), (224, 216, 204), (206, 188, 156))
"""sRGB of teeth, from bright to dark (as dentists' shade guides order them; values are ours)."""
SHADE_SHARES = (0.30, 0.28, 0.2, 0.14, 0.08)
ROOT_CM = 0.35  # of a tooth beside the gum: yellower and darker
EDGE_CM = 0.12  # of its cutting edge: translucent
TEETH_DEPTH, MOUTH_DEPTH = 6.0, 7.0  # cm behind the front teeth over which colours darken to 1/e


@dataclass(frozen=True)
class MouthColour:
    """Colours of one person's mouth, linear RGB.

    Attributes:
        teeth: (3,) of a front tooth.
        uneven: how much teeth differ in shade, log standard deviation.
        gums: (3,).
        tongue: (3,).
        lining: (3,).
    """

    teeth: np.ndarray
    uneven: float
    gums: np.ndarray
    tongue: np.ndarray
    lining: np.ndarray


def draw_mouth_colour(rng: np.random.Generator, skin_lightness: float = 0.7) -> MouthColour:
    """Draws colours.

    Args:
        rng: source of chance.
        skin_lightness: 0 (darkest) to 1 (lightest): gums darken with the skin.
    """
    shade = np.array(SHADES[int(rng.choice(len(SHADES), p=SHADE_SHARES))]) / 255
    teeth = to_linear(shade) * np.exp(rng.normal(0, 0.06) + rng.normal(0, [0.01, 0.015, 0.04]))
    # melanin absorbs blue most
    dark = np.exp(-(1 - skin_lightness) * rng.uniform(0, 1.1) * np.array([0.5, 0.75, 0.8]))
    gums = to_linear(np.array([186.0, 108, 104]) / 255) * dark * np.exp(rng.normal(0, 0.08, 3))
    tongue = to_linear(np.array([186.0, 106, 104]) / 255) * np.exp(rng.normal(0, 0.08, 3))
    lining = to_linear(np.array([150.0, 70, 66]) / 255) * np.exp(rng.normal(0, 0.08, 3))
    return MouthColour(teeth, float(rng.uniform(0.02, 0.06)), gums, tongue, lining)


def teeth_texture(
    colour: MouthColour,
    vertices: np.ndarray,
    triangles: np.ndarray,
    uv: np.ndarray,
    rng: np.random.Generator,
    size: int = SIZE,
) -> np.ndarray:
    """(N, N, 4) uint8 sRGB of the teeth: each of its own shade, yellower at the gum, translucent at the edge.

    Args:
        colour: of the person.
        vertices: (V, 3) of the neutral head, cm.
        triangles: (F, 3) of the teeth.
        uv: (V, 2), v down.
        rng: source of chance.
        size: N.
    """
    used = np.unique(triangles)
    owner, count = _pieces(vertices, triangles)
    height = vertices[:, 1]
    root = np.zeros(len(vertices))
    edge = np.zeros(len(vertices))
    own = np.zeros((len(vertices), 3))
    piece_height = np.array([height[owner == k].mean() for k in range(count)])
    between = (piece_height.min() + piece_height.max()) / 2
    for k in range(count):
        chosen = owner == k
        top, bottom = height[chosen].max(), height[chosen].min()
        upper = piece_height[k] > between
        root[chosen] = np.clip(
            1 - (top - height[chosen] if upper else height[chosen] - bottom) / ROOT_CM / 2, 0, 1
        )
        edge[chosen] = np.clip(
            1 - (height[chosen] - bottom if upper else top - height[chosen]) / EDGE_CM, 0, 1
        )
        shade = rng.normal(0, colour.uneven)
        own[chosen] = shade + rng.normal(0, 0.3 * colour.uneven) * np.array([0.1, 0.4, 1.0])
    depth = vertices[used, 2].max() - vertices[:, 2]
    light = np.exp(-((np.maximum(depth - 0.3, 0) / TEETH_DEPTH) ** 1.3))
    canine = np.clip((depth - 0.5) / 1.0, 0, 1)  # teeth get yellower from the incisors on
    log = np.log(np.maximum(colour.teeth, 1e-3)) + own + np.log(np.maximum(light, 0.02))[:, None]
    log = log + (0.9 * root**2 + 0.5 * canine)[:, None] * np.array([-0.10, -0.19, -0.42])
    log = log + (0.5 * edge)[:, None] * np.array([-0.20, -0.14, -0.06])
    return _painted(log, triangles, uv, rng, size, grain=0.02, coarse=0.03)


def lining_texture(
    colour: np.ndarray,
    vertices: np.ndarray,
    triangles: np.ndarray,
    uv: np.ndarray,
    rng: np.random.Generator,
    front: float,
    size: int = SIZE,
    rough: float = 0.05,
) -> np.ndarray:
    """(N, N, 4) uint8 sRGB of gums, tongue or lining, darker with the depth in the mouth.

    Args:
        colour: (3,) linear RGB.
        vertices: (V, 3) of the neutral head, cm.
        triangles: (F, 3) of the surface.
        uv: (V, 2), v down.
        rng: source of chance.
        front: z in cm of the front teeth: where the mouth begins.
        size: N.
        rough: contrast of its grain (papillae of a tongue: 0.1).
    """
    depth = np.maximum(front - 0.4 - vertices[:, 2], 0)
    light = np.exp(-((depth / MOUTH_DEPTH) ** 1.2))
    red = np.array([0.75, 1.05, 1.05])  # light that was reflected by the mouth is red
    log = np.log(np.maximum(colour, 1e-3)) + np.log(np.maximum(light, 0.015))[:, None] * red
    return _painted(log, triangles, uv, rng, size, grain=rough, coarse=0.08)


def _painted(
    log: np.ndarray,
    triangles: np.ndarray,
    uv: np.ndarray,
    rng: np.random.Generator,
    size: int,
    grain: float,
    coarse: float,
) -> np.ndarray:
    """Log colours of vertices (V, 3) as a texture, with grain, continued beyond its edges."""
    values, covered = bake(uv, triangles, log.astype(np.float32), size)
    values = fill_holes(values, covered.astype(np.float32))
    for sigma, amount in ((0.7, grain), (0.03 * size, coarse)):
        noise = cv2.GaussianBlur(rng.normal(0, 1, (size, size)).astype(np.float32), (0, 0), sigma)
        values = values + (amount * noise / noise.std())[..., None] * np.array([0.5, 1.0, 1.0], np.float32)
    out = to_srgb(np.exp(values))
    return np.dstack([out, np.full((size, size), 255, np.uint8)])


def _pieces(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, int]:
    """Connected pieces of a surface: (V,) number of each vertex's piece, -1 for others, and their count."""
    used = np.unique(triangles)
    # vertices on a seam are doubled: those at one place belong together
    _, same = np.unique(np.round(vertices[used], 4), axis=0, return_inverse=True)
    same = same.reshape(-1)
    place = np.zeros(len(vertices), np.int64)
    place[used] = same
    edges = place[triangles[:, [0, 1, 1, 2]]].reshape(-1, 2)
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(same.max() + 1,) * 2)
    count, part = connected_components(graph, directed=False)
    owner = np.full(len(vertices), -1)
    owner[used] = part[same]
    return owner, count
