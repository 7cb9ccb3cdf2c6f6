"""Irises, the white of the eye and lashes, drawn from chance, in the layout of `headgen.synth.heads.eyeball`.

The iris is painted on the eyeball's surface: seen from the front refraction lifts it there, and opaque
surfaces then have their highlights where the cornea has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from headgen.synth.appearance.texture import to_linear, to_srgb
from headgen.synth.heads.eyeball import IRIS_UV_RADIUS, LIMBUS_DEG

IRIS_SIZE, SCLERA_SIZE, LASH_SIZE = 256, 512, 512
POLAR = (96, 512)  # radius and angle of the iris before it is rolled up
LIMBUS_UV = LIMBUS_DEG / 360  # radius of the iris's border in the sclera's texture
IRIS_LIGHT = 0.62  # the iris lies deeper than the cornea

IRISES: dict[str, tuple[float, tuple[int, int, int], tuple[int, int, int], float]] = {
    "dark brown": (0.52, (48, 29, 18), (64, 38, 21), 0.25),
    "brown": (0.24, (84, 52, 28), (110, 68, 34), 0.35),
    "amber": (0.03, (106, 70, 36), (122, 82, 40), 0.4),
    "hazel": (0.06, (104, 94, 56), (128, 84, 40), 0.6),
    "green": (0.03, (100, 112, 80), (132, 116, 66), 0.6),
    "grey": (0.03, (116, 126, 132), (136, 136, 126), 0.7),
    "blue": (0.09, (92, 114, 136), (138, 148, 148), 0.8),
}
"""Colours of irises: share of all people, sRGB of the outer and of the inner part, contrast of the fibres.

Shares: brown 70 to 79 %, blue 8 to 10 %, the others a few (Katsara and Nothnagel, 2019, "True colors: a
literature review on the spatial distribution of eye and hair pigmentation"); how brown divides is ours.
"""

LIGHT = ("hazel", "green", "grey", "blue")  # rare in people with dark skin


@dataclass(frozen=True)
class EyeColour:
    """What is the same in both eyes of a person.

    Attributes:
        name: in `IRISES`.
        outer: (3,) sRGB from 0 to 255 of the iris.
        inner: (3,) of its part around the pupil.
        fibres: contrast of the fibres, 0 to 1.
        pupil: radius of the pupil over the iris's, 0.2 to 0.6.
        ring: darkness of the limbal ring, 0 to 1; it fades with age.
        white: (3,) sRGB of the sclera.
        redness: of the veins, 0 to 1.
    """

    name: str
    outer: tuple[float, float, float]
    inner: tuple[float, float, float]
    fibres: float
    pupil: float
    ring: float
    white: tuple[float, float, float]
    redness: float


def draw_eye_colour(rng: np.random.Generator, lightness: float | None = None) -> EyeColour:
    """Draws eyes at the frequencies of humankind.

    Args:
        rng: source of chance.
        lightness: of the skin, 0 (darkest) to 1 (lightest), if it is known: light eyes go with light skin.
            None draws from all people.
    """
    names = list(IRISES)
    share = np.array([IRISES[name][0] for name in names])
    if lightness is not None:
        # many light eyes at the lightest skin, hardly any at the darkest: about the same over all skins
        factor = 0.02 + 4.0 * np.clip((lightness - 0.35) / 0.65, 0, 1) ** 1.5
        share = share * np.where(np.isin(names, LIGHT), factor, 1.0)
    name = str(rng.choice(names, p=share / share.sum()))
    _, outer, inner, fibres = IRISES[name]
    bright = float(np.exp(rng.normal(0, 0.12)))
    hue = np.exp(rng.normal(0, 0.05, 3))
    age = float(rng.beta(2, 3))
    white = np.array([218.0, 211, 204]) * (1 - 0.06 * age) - [0, 3 * age, 10 * age] + rng.normal(0, 3)

    def colour(values: np.ndarray) -> tuple[float, float, float]:
        r, g, b = (float(c) for c in np.clip(values, 4, 250))
        return r, g, b

    return EyeColour(
        name=name,
        outer=colour(np.array(outer) * bright * hue),
        inner=colour(np.array(inner) * bright * hue * np.exp(rng.normal(0, 0.04, 3))),
        fibres=float(np.clip(fibres + rng.normal(0, 0.08), 0.1, 1)),
        pupil=float(np.clip(rng.normal(0.38, 0.06), 0.22, 0.58)),
        ring=float(np.clip(rng.normal(0.75 - 0.35 * age, 0.12), 0.1, 0.95)),
        white=colour(white),
        redness=float(rng.beta(1.5, 4)),
    )


def iris_texture(colour: EyeColour, rng: np.random.Generator, size: int = IRIS_SIZE) -> np.ndarray:
    """(size, size, 4) uint8 sRGB of the iris from the front, its radius `IRIS_UV_RADIUS`.

    Args:
        colour: of the person's eyes.
        rng: of the fibres.
        size: of the texture.
    """
    y, x = np.mgrid[:size, :size].astype(np.float32) - (size - 1) / 2
    radius = np.hypot(x, y) / (IRIS_UV_RADIUS * size)
    rows, columns = POLAR
    around = ((np.arctan2(y, x) / (2 * np.pi) % 1) * (columns - 1)).astype(np.float32)
    outwards = (np.clip(radius, 0, 1) * (rows - 1)).astype(np.float32)
    iris = cv2.remap(_iris_polar(colour, rng), around, outwards, cv2.INTER_LINEAR)
    edge = np.clip((radius - 0.93) / 0.10, 0, 1)[..., None]  # the limbus is soft: cornea grows into sclera
    white = 0.8 * to_linear(np.array(colour.white) / 255)
    return _opaque(iris * (1 - 0.7 * edge) + white * 0.7 * edge)


def sclera_texture(colour: EyeColour, rng: np.random.Generator, size: int = SCLERA_SIZE) -> np.ndarray:
    """(size, size, 4) uint8 sRGB of the white with its veins; redder away from the iris.

    Args:
        colour: of the person's eyes.
        rng: of the veins.
        size: of the texture.
    """
    y, x = np.mgrid[:size, :size].astype(np.float32) - (size - 1) / 2
    radius = np.hypot(x, y) / (LIMBUS_UV * size)  # in iris radii, along the surface
    base = to_linear(np.array(colour.white) / 255)
    cloud = cv2.GaussianBlur(rng.normal(0, 1, (size, size)).astype(np.float32), (0, 0), 0.012 * size)
    away = np.clip((radius - 1.0) / 1.6, 0, 1)
    veins = _veins(rng, size) * (0.25 + 0.75 * colour.redness) * np.clip((radius - 1.05) / 0.6, 0, 1)
    limbus = np.exp(-np.maximum(radius - 1, 0) / 0.07)
    shade = (1 - 0.22 * away) * (1 - 0.35 * limbus) * np.exp(0.03 * cloud / cloud.std())
    red = 0.12 * away * (0.4 + colour.redness) + 0.45 * veins
    tint = np.stack([1 - 0.25 * red, 1 - 1.0 * red, 1 - 0.9 * red], -1)
    return _opaque(base * shade[..., None] * tint)


def _opaque(linear: np.ndarray) -> np.ndarray:
    return np.dstack([to_srgb(linear), np.full(linear.shape[:2], 255, np.uint8)])


def _iris_polar(colour: EyeColour, rng: np.random.Generator) -> np.ndarray:
    """(rows, columns, 3) linear RGB of the iris by radius (0 to 1) and angle, pupil included."""
    rows, columns = POLAR
    radius = (np.arange(rows, dtype=np.float32) / (rows - 1))[:, None]
    across = (radius - colour.pupil) / (1 - colour.pupil)  # 0 at the pupil, 1 at the limbus
    fine = _wrapped_noise(rng, (7.0, 0.6))
    coarse = _wrapped_noise(rng, (15.0, 3.0))
    blotch = _wrapped_noise(rng, (11.0, 20.0))
    collarette = 0.32 + 0.05 * _wrapped_noise(rng, (30.0, 6.0))[:1] + 0.02 * coarse[:1]
    inside = 1 / (1 + np.exp(np.clip((across - collarette) / 0.05, -30, 30)))
    outer, inner = to_linear(np.array(colour.outer) / 255), to_linear(np.array(colour.inner) / 255)
    base = outer * (1 - inside[..., None]) + inner * inside[..., None]
    fibre = 0.55 * fine + 0.35 * coarse + 0.25 * blotch
    crypts = np.clip(_wrapped_noise(rng, (4.5, 5.0)) - 1.6, 0, 1) * (1 - inside)
    light = np.exp(0.55 * colour.fibres * fibre - 0.5 * crypts)
    light = light * (1 + 0.25 * np.exp(-(((across - collarette) / 0.07) ** 2)) * colour.fibres)
    ring = np.clip((across - 0.78) / 0.22, 0, 1) ** 1.5
    light = light * (1 - 0.85 * colour.ring * ring)
    light = light * (0.55 + 0.45 * np.clip(across / 0.1, 0, 1))  # ruff of the pupil
    opened = 1 / (1 + np.exp(np.clip(-(radius - colour.pupil) / 0.012, -30, 30)))
    out = IRIS_LIGHT * base * (light * opened)[..., None] + 0.004
    return np.clip(out, 0, 1).astype(np.float32)


def _wrapped_noise(rng: np.random.Generator, sigma: tuple[float, float]) -> np.ndarray:
    """(rows, columns) noise of unit variance that closes around the circle; `sigma` by radius and angle."""
    columns = POLAR[1]
    noise = rng.normal(0, 1, POLAR).astype(np.float32)
    wide = cv2.GaussianBlur(np.concatenate([noise] * 3, 1), (0, 0), sigmaX=sigma[1], sigmaY=sigma[0])
    out = wide[:, columns : 2 * columns]
    return (out - out.mean()) / max(float(out.std()), 1e-6)


def _veins(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size, size) from 0 to 1: thin wandering lines that run from the back towards the iris."""
    out = np.zeros((size, size), np.float32)
    for _ in range(26):
        start, thick = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.9)
        radii = np.linspace(0.34, rng.uniform(1.2, 2.4) * LIMBUS_UV, 24)
        turns = start + np.cumsum(rng.normal(0, 0.045, 24))
        line = np.stack([np.cos(turns) * radii, np.sin(turns) * radii], 1) * size + (size - 1) / 2
        mask = np.zeros((size, size), np.uint8)
        cv2.polylines(mask, [np.round(line * 16).astype(np.int32)], False, 255, 1, cv2.LINE_AA, shift=4)
        out = np.maximum(out, thick * mask.astype(np.float32) / 255)
    return cv2.GaussianBlur(out, (0, 0), 0.8)


def lash_texture(
    neutral: np.ndarray,
    triangles: np.ndarray,
    uv: np.ndarray,
    eyeballs: np.ndarray,
    rng: np.random.Generator,
    density: float = 1.0,
    colour: tuple[float, float, float] = (26, 19, 16),
    size: int = LASH_SIZE,
) -> np.ndarray:
    """(size, size, 4) uint8 sRGB and alpha: lashes on strips that stand off the lids.

    Args:
        neutral: (V, 3) of the person.
        triangles: (F, 3) of the strips; each strip is a rectangle of the layout, its length along u.
        uv: (V, 2), v down.
        eyeballs: vertices of the eyeballs: a strip's edge nearer to them is where its lashes grow.
        rng: source of chance.
        density: number and length of lashes, 1 is usual.
        colour: sRGB.
        size: of the texture.
    """
    alpha = np.zeros((size, size), np.uint8)
    away = cKDTree(neutral[eyeballs]).query(neutral)[0] if len(eyeballs) else np.zeros(len(neutral))
    eye_heights = neutral[eyeballs, 1].mean() if len(eyeballs) else 0.0
    for strip in _strips(triangles):
        low, high = uv[strip].min(0), uv[strip].max(0)
        below = uv[strip, 1] > (low[1] + high[1]) / 2
        root_below = away[strip][below].mean() < away[strip][~below].mean()
        root, tip = (high[1], low[1]) if root_below else (low[1], high[1])
        upper = neutral[strip, 1].mean() > eye_heights
        count = round((50 if upper else 26) * density)
        # lashes grow so densely that their roots make a line, which also shows where a closed eye is
        band = root + (0.10 if upper else 0.05) * (tip - root)
        corners = np.array([(low[0], root), (high[0], root), (high[0], band), (low[0], band)]) * size
        cv2.fillPoly(alpha, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        length = (0.8 if upper else 0.5) * np.exp(rng.normal(0, 0.12, count)) * density**0.5
        at = (
            np.linspace(low[0], high[0], count + 2)[1:-1]
            + rng.normal(0, 0.2 / count, count) * (high - low)[0]
        )
        lean = rng.normal(0, 0.012, count)
        for x, reach, slant in zip(at, np.clip(length, 0.2, 1), lean, strict=True):
            end = root + reach * (tip - root)
            width = (0.0015 if upper else 0.0012) * (0.7 + 0.3 * density)
            corners = np.array([(x - width, root), (x + width, root), (x + slant, end)]) * size
            cv2.fillPoly(alpha, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    out = np.empty((size, size, 4), np.uint8)
    out[..., :3], out[..., 3] = np.round(colour), alpha
    return out


def _strips(triangles: np.ndarray) -> list[np.ndarray]:
    """Vertices of each connected piece of a mesh."""
    used, compact = np.unique(triangles, return_inverse=True)
    edges = compact.reshape(-1, 3)[:, [0, 1, 1, 2]].reshape(-1, 2)
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(len(used),) * 2)
    count, piece = connected_components(graph, directed=False)
    return [used[piece == k] for k in range(count)]
