"""Skin of the analytic head, drawn from chance: tones, lips, brows, freckles, stubble; and all its surfaces.

Skin colour follows two pigments, whose absorbances add up (Tsumura et al. 2003, "Image-based skin color and
texture analysis/synthesis by extracting hemoglobin and melanin information in the skin", section 3): the
logarithm of the albedo is that of pale skin minus melanin and haemoglobin times their spectra. Where they lie
is told by places on the mean head, which every texel knows exactly.

Legend: S side of the texture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from headgen.synth.heads import analytic_grid as grid
from headgen.synth.heads.analytic import AnalyticModel
from headgen.synth.heads.model import Surface

SIZE = 768
PALE = np.array([0.83, 0.62, 0.51])
"""Linear RGB of skin with hardly any melanin."""
MELANIN = np.array([2.0, 2.55, 2.95])
"""Absorbance of all the melanin that a person can have."""
HAEMOGLOBIN = np.array([0.05, 0.42, 0.34])
"""Absorbance of the blood in a flushed cheek, by which blood is measured here."""
LIP_BLOOD = (0.9, 1.7)

UPPER_LIP = np.array([
    (0.0, -2.5), (0.3, -2.45), (0.56, -2.44), (0.87, -2.58), (1.3, -2.72), (1.65, -2.93), (2.12, -3.17),
    (2.5, -3.52),
])  # fmt: skip
LOWER_LIP = np.array(
    [
        (0.0, -4.37),
        (0.45, -4.37),
        (0.85, -4.32),
        (1.44, -4.18),
        (1.96, -3.95),
        (2.29, -3.74),
        (2.5, -3.54),
    ]
)
"""Borders of the lips' red on the mean head: x from the middle, y; cm."""
BROW = np.array([(1.12, 5.38), (2.2, 5.62), (3.3, 5.8), (4.2, 5.76), (5.0, 5.45), (5.7, 4.95)])
BROW_HALF = np.array([0.38, 0.42, 0.38, 0.32, 0.2, 0.1])
"""Middle line of the left brow and its half width, cm."""
FRONT_LEFT, FRONT_TOP, FRONT_TEXELS = -7.0, 8.0, 60  # cm, cm, texels a cm of the brows' own picture
FRONT_SIZE = (840, 300)


@dataclass(frozen=True)
class SkinTone:
    """Colours of one person's skin.

    Attributes:
        melanin: 0 (palest) to 1 (darkest).
        blood: of the whole face, about 0.4; see `HAEMOGLOBIN`.
        flush: extra blood in cheeks, nose, ears and chin.
        mottling: contrast of blotches.
        freckles: 0 (none) to 1.
        lips: blood of the lips.
        sockets: how dark the eye sockets are, 0 to 1.
        stubble: 0 (shaved or none) to 1.
        brows: how dense and wide the brows are, about 1.
        hair: (3,) linear RGB of brows and stubble.
    """

    melanin: float
    blood: float
    flush: float
    mottling: float
    freckles: float
    lips: float
    sockets: float
    stubble: float
    brows: float
    hair: tuple[float, float, float]

    @property
    def lightness(self) -> float:
        """0 (darkest) to 1 (palest)."""
        return 1 - self.melanin


def draw_skin_tone(rng: np.random.Generator) -> SkinTone:
    """Draws a skin; all tones of humankind are about as common as each other."""
    melanin = float(np.clip(rng.beta(1.1, 1.5), 0.02, 0.95))
    fair_hair = rng.random() < 0.45 * (1 - melanin) ** 2
    dark, fair = np.array([0.012, 0.008, 0.006]), np.array([0.19, 0.11, 0.055])
    share = rng.uniform(0.15, 0.8) if fair_hair else rng.uniform(0, 0.12)
    hair = dark + share * (fair - dark)
    return SkinTone(
        melanin=melanin,
        blood=float(rng.uniform(0.25, 0.6)),
        flush=float(rng.uniform(0.15, 0.6)),
        mottling=float(rng.uniform(0.5, 1.2)),
        freckles=float(rng.beta(1, 3) * (1 - melanin) ** 1.5),
        lips=float(rng.uniform(*LIP_BLOOD)),
        sockets=float(rng.uniform(0.1, 0.6)),
        stubble=float(rng.uniform(0.2, 1.0)) if rng.random() < 0.3 else 0.0,
        brows=float(np.clip(rng.normal(1.0, 0.22), 0.55, 1.6)),
        hair=tuple(float(c) for c in hair),  # type: ignore[arg-type]
    )


def analytic_surfaces(
    model: AnalyticModel, neutral: np.ndarray, rng: np.random.Generator, tone: SkinTone | None = None
) -> list[Surface]:
    """Everything of a bare analytic head that is to be drawn: skin, eyes, mouth and lashes.

    Hair, clothes and what else is worn come from `headgen.synth.appearance`, for this head as for any.

    Args:
        model: the analytic head.
        neutral: (V, 3) of the person, `AnalyticModel.neutral`.
        rng: source of chance.
        tone: of the skin; drawn if None.
    """
    from headgen.synth.appearance.looks import head_surfaces

    tone = draw_skin_tone(rng) if tone is None else tone
    return head_surfaces(model, neutral, skin_albedo(model, tone, rng), rng, tone.lightness)


def skin_albedo(model: AnalyticModel, tone: SkinTone, rng: np.random.Generator) -> np.ndarray:
    """Paints the skin's texture.

    Args:
        model: the analytic head.
        tone: of the person.
        rng: of blotches, freckles, moles and hairs.

    Returns:
        (S, S, 3) float32 linear RGB.
    """
    places, lip, even = _places(model)
    x, y, z = np.abs(places[..., 0]), places[..., 1], places[..., 2]
    face = _smooth((z - 4.5) / 3.5) * _smooth((y + 9.5) / 2.5)

    def near(centre: tuple[float, float, float], sigma: tuple[float, float, float]) -> np.ndarray:
        q = ((x - centre[0]) / sigma[0]) ** 2 + ((y - centre[1]) / sigma[1]) ** 2
        return np.exp(-0.5 * (q + ((z - centre[2]) / sigma[2]) ** 2))

    blotches = 0.6 * _noise(rng, 26) + 0.5 * _noise(rng, 9) + 0.35 * even * _noise(rng, 3)
    pores = _noise(rng, 0.9)
    flush = (
        near((4.2, -0.4, 8.6), (1.9, 1.5, 2.5))
        + 0.8 * near((0, 0.2, 12.3), (1.1, 0.9, 1.4))
        + 0.5 * near((0, -6.3, 10.2), (1.4, 1.0, 2.0))
        + 0.5 * near((1.3, -0.7, 11.0), (0.5, 0.6, 0.8))
        + 0.9 * _smooth((x - 7.2) / 0.8) * _smooth((y + 3.5) / 1.0)
    )
    lids = near((3.1, 3.6, 9.3), (1.7, 0.9, 1.6))
    rim, roots = _lid_rims()
    blood = tone.blood * (1 + 0.16 * tone.mottling * blotches) + tone.flush * flush * (1 + 0.2 * blotches)
    blood += 0.35 * lids + 0.3 * rim
    lip_lines = 0.12 * _streaks(rng, 2.0)
    blood += lip * (tone.lips * (0.75 + 0.25 * (1 - tone.melanin)) * (1 + lip_lines) - 0.5 * flush)

    bags = near((2.6, 2.2, 9.6), (1.1, 0.55, 1.5)) + 0.7 * near((1.7, 3.7, 9.4), (0.7, 0.9, 1.2))
    uneven = 0.03 * tone.mottling * _noise(rng, 40) + 0.015 * tone.mottling * blotches
    brown = 0.05 * tone.sockets * (bags + 0.8 * lids) + uneven - 0.05 * lip * (1 - 0.6 * tone.melanin)
    brown = brown + 0.11 * (_freckles(rng, tone.freckles) * face + _moles(rng) * (1 - lip))
    melanin = np.maximum(tone.melanin * (1 + 0.35 * brown) + brown * (0.5 + tone.melanin), 0)

    log = np.log(PALE) - melanin[..., None] * MELANIN - np.maximum(blood, 0)[..., None] * HAEMOGLOBIN
    log += (0.02 * pores * even + 0.015 * blotches)[..., None]
    nostril = near((0.62, -0.98, 10.95), (0.3, 0.28, 0.5))
    crease = (
        np.exp(-((places[..., 1] - grid.lip_height(np.clip(x, 0, 2.3))) ** 2) / 0.0025) * (x < 2.35) * (z > 9)
    )
    log -= (1.1 * nostril + 0.5 * crease)[..., None] * np.array([0.85, 1.05, 1.05])
    log -= 1.3 * roots[..., None]
    out = np.exp(log)

    hair = np.array(tone.hair)
    shadow = tone.stubble * _beard(x, y, z) * (1 - lip)
    dots = 0.22 + 0.5 * np.clip(_noise(rng, 0.7) * 0.8 + 0.2, 0, 1)
    out = _over(out, hair + 0.03, 0.6 * shadow * dots)
    out = _over(out, hair, _brows(rng, tone, places))
    return np.clip(out, 0.003, 0.95).astype(np.float32)


# ---- where things are -------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _places(model: AnalyticModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place on the mean head (S, S, 3), cm; how much it belongs to the lips; how even it is."""
    from headgen.synth.appearance.texture import bake
    from headgen.synth.photograph import fill_holes

    topology = model.topology
    triangles = topology.triangles[topology.of("skin")]
    mean = model.neutral(np.zeros(0)).astype(np.float32)
    values, covered = bake(topology.uv, triangles, mean, SIZE)
    places = fill_holes(values, covered.astype(np.float32))
    # where texels are stretched fine grain would look like scratches
    across, down = (np.linalg.norm(np.gradient(places, axis=k), axis=-1) + 1e-5 for k in (1, 0))
    even = _smooth(1.6 * np.minimum(across / down, down / across))
    return places.astype(np.float32), _lips(places), cv2.GaussianBlur(even, (0, 0), 4)


def _lips(places: np.ndarray) -> np.ndarray:
    x, y, z = np.abs(places[..., 0]), places[..., 1], places[..., 2]
    top, bottom = np.interp(x, *UPPER_LIP.T), np.interp(x, *LOWER_LIP.T)
    soft = 0.07
    inside = _smooth((top - y) / soft + 0.5) * _smooth((y - bottom) / (1.6 * soft) + 0.5)
    return inside * (z > 8.5) * _smooth((2.52 - x) / 0.2)


@lru_cache(maxsize=1)
def _lid_rims() -> tuple[np.ndarray, np.ndarray]:
    """(S, S) 1 along the lids' edges, which are wet and red; and along the upper lashes' roots."""
    row = (np.arange(SIZE) + 0.5) / SIZE / grid.SKIN_V * (grid.ROWS - 1)
    column = np.abs((np.arange(SIZE) + 0.5) / SIZE * (grid.COLUMNS - 1) - grid.MIDDLE)
    from_line = np.abs(row - grid.LID_ROW - 0.5) - 0.5
    eye = _smooth((column - grid.INNER_CORNER + 0.5) / 1.0) * _smooth(
        (grid.OUTER_CORNER + 0.5 - column) / 1.0
    )
    wet = (1 - _smooth((from_line + 0.2) / 0.8))[:, None] * eye[None]
    roots = np.exp(-(((row - grid.LID_ROW + 0.35) / 0.45) ** 2))[:, None] * eye[None]
    return wet, roots


def _beard(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """How much beard grows at a place, 0 to 1."""
    lip = _smooth((-y - 1.6) / 0.6) * _smooth((3.0 - x) / 1.2) * _smooth((z - 8.0) / 1.0) * (y > -3.6)
    cheek_line = -3.0 + 0.42 * np.maximum(x - 2.2, 0)
    chin = _smooth((cheek_line - y) / 0.9) * _smooth((y + 9.6) / 2.0) * _smooth((z - 2.2) / 1.5)
    return np.maximum(lip, chin) * (1 - 0.6 * _smooth((x - 6.8) / 0.6))


# ---- patterns ---------------------------------------------------------------------------------------------


def _noise(rng: np.random.Generator, sigma: float) -> np.ndarray:
    """(S, S) smooth noise of unit variance, without a seam at the texture's sides."""
    step = max(1, int(sigma // 3))
    side = SIZE // step
    raw = rng.normal(0, 1, (side, side)).astype(np.float32)
    pad = int(4 * sigma / step) + 1
    wide = cv2.GaussianBlur(np.pad(raw, ((0, 0), (pad, pad)), mode="wrap"), (0, 0), sigma / step)
    out = wide[:, pad:-pad]
    if step > 1:
        out = cv2.resize(out, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    return (out - out.mean()) / out.std()


def _streaks(rng: np.random.Generator, sigma: float) -> np.ndarray:
    """(S, S) noise that varies across the texture much faster than down it, as the lips' lines do."""
    raw = rng.normal(0, 1, (SIZE, SIZE)).astype(np.float32)
    out = cv2.GaussianBlur(raw, (0, 0), sigmaX=sigma * 0.5, sigmaY=sigma * 4)
    return out / out.std()


def _freckles(rng: np.random.Generator, amount: float) -> np.ndarray:
    count = int(1400 * amount)
    out = np.zeros((SIZE, SIZE), np.float32)
    middle = np.array([SIZE / 2, 0.42 * SIZE])
    for u, v, size in zip(
        *(rng.normal(middle, [0.13 * SIZE, 0.08 * SIZE], (count, 2)).T),
        rng.uniform(0.5, 1.7, count),
        strict=True,
    ):
        _dot(out, u, v, size)
    return cv2.GaussianBlur(out, (0, 0), 0.9)


def _moles(rng: np.random.Generator) -> np.ndarray:
    out = np.zeros((SIZE, SIZE), np.float32)
    for _ in range(rng.poisson(3)):
        u, v = rng.uniform(0.2, 0.8) * SIZE, rng.uniform(0.25, 0.8) * SIZE
        _dot(out, u, v, rng.uniform(0.8, 2.0))
    return 3 * cv2.GaussianBlur(out, (0, 0), 0.8)


def _dot(picture: np.ndarray, u: float, v: float, radius: float) -> None:
    cv2.circle(picture, (int(u * 16), int(v * 16)), int(radius * 16), 1.0, -1, cv2.LINE_AA, 4)


def _brows(rng: np.random.Generator, tone: SkinTone, places: np.ndarray) -> np.ndarray:
    """(S, S) how much of a texel brow hairs cover: strokes drawn in front view and looked up there."""
    width, height = FRONT_SIZE
    picture = np.zeros((height, width), np.uint8)
    raised = rng.normal(0, 0.1)
    arch = rng.normal(0, 0.12)
    half = BROW_HALF * np.clip(tone.brows, 0.6, 1.3)
    length = np.linspace(0, 1, len(BROW))
    for side in (-1, 1):
        count = int(460 * tone.brows)
        along = np.sort(rng.uniform(0, 1, count))
        across = np.clip(rng.normal(0, 0.5, count), -1, 1)
        centre = np.stack([np.interp(along, length, BROW[:, k]) for k in (0, 1)], 1)
        centre[:, 1] += raised + arch * np.sin(np.pi * along)
        centre[:, 1] += across * np.interp(along, length, half)
        # hairs point up at the nose, outwards and then down towards the temple; they meet on the middle line
        lean = np.deg2rad(72 - 92 * along**0.8 - 30 * across + rng.normal(0, 9, count))
        reach = (
            0.42 * (0.7 + 0.3 * rng.random(count)) * np.interp(along, [0, 0.15, 0.8, 1], [0.75, 1, 0.9, 0.6])
        )
        way = np.stack([np.cos(lean), np.sin(lean)], 1) * reach[:, None]
        for start, end in zip(centre - 0.4 * way, centre + 0.6 * way, strict=True):
            bent = (start + end) / 2 + [0.0, 0.03]
            line = np.stack([start, bent, end]) * [side, 1]
            pixels = (line - [FRONT_LEFT, FRONT_TOP]) * [FRONT_TEXELS, -FRONT_TEXELS]
            cv2.polylines(picture, [np.round(pixels * 16).astype(np.int32)], False, 255, 1, cv2.LINE_AA, 4)
    soft = 0.75 * cv2.GaussianBlur(picture, (0, 0), 1.1) + 0.25 * cv2.GaussianBlur(picture, (0, 0), 7.0)
    u = (places[..., 0] - FRONT_LEFT) * FRONT_TEXELS
    v = (FRONT_TOP - places[..., 1]) * FRONT_TEXELS
    seen = cv2.remap(soft.astype(np.float32), u, v, cv2.INTER_LINEAR, borderValue=0)
    return np.clip(1.35 * seen / 255, 0, 0.93) * (places[..., 2] > 6)


def _over(under: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return under + alpha[..., None] * (colour - under)


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
