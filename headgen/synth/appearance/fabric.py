"""Pictures of cloth: plain weave, twill, knit, stripes, checks and prints, with folds.

Legend: S x S texels for `EXTENT_CM` of cloth.
"""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

from headgen.synth.appearance.strands import blotches

SIZE, EXTENT_CM = 512, 64.0
PER_CM = SIZE / EXTENT_CM

PATTERNS = ("plain", "twill", "knit", "rib", "stripes", "pinstripe", "check", "plaid", "dots", "print")


def cloth_colour(rng: np.random.Generator, kind: str = "any") -> np.ndarray:
    """(3,) sRGB from 0 to 255 of a dyed cloth: ``any``, ``dark`` (suits), ``light`` (shirts)."""
    if kind == "light":
        hue, saturation, value = (
            rng.choice([0.58, 0.6, 0.1, 0.95, 0.33]),
            rng.uniform(0, 0.18),
            rng.uniform(0.8, 0.97),
        )
    elif kind == "dark":
        hue, saturation, value = (
            rng.choice([0.6, 0.63, 0.08, 0.0]),
            rng.uniform(0, 0.35),
            rng.uniform(0.08, 0.3),
        )
    elif rng.random() < 0.35:  # black, grey, white
        hue, saturation, value = rng.random(), rng.uniform(0, 0.06), rng.choice([0.1, 0.25, 0.5, 0.9])
    else:
        hue, value = rng.random(), rng.uniform(0.18, 0.85)
        saturation = rng.beta(2.0, 2.4) * (1.1 - 0.6 * value)
    return 255 * np.array(colorsys.hsv_to_rgb(float(hue), float(saturation), float(value)))


def fabric(
    pattern: str, colour: np.ndarray, rng: np.random.Generator, second: np.ndarray | None = None
) -> np.ndarray:
    """(S, S, 4) uint8 opaque picture of a cloth.

    Args:
        pattern: one of `PATTERNS`.
        colour: (3,) sRGB.
        rng: of widths, prints and folds.
        second: (3,) sRGB of stripes and prints; drawn if None.

    Raises:
        ValueError: an unknown pattern.
    """
    if pattern not in PATTERNS:
        raise ValueError(f"no pattern {pattern!r}; known: {', '.join(PATTERNS)}")
    if second is None:
        second = cloth_colour(rng)
        if np.abs(second - colour).max() < 50:
            second = 0.35 * colour + 150 if colour.mean() < 110 else 0.4 * colour
    x, y = np.meshgrid(np.arange(SIZE) / PER_CM, np.arange(SIZE) / PER_CM)
    share = np.zeros((SIZE, SIZE))
    relief = 0.03 * rng.normal(size=(SIZE, SIZE))
    if pattern == "twill":
        relief += 0.05 * np.sin(2 * np.pi * (x + y) / 0.3) + 0.04 * blotches((SIZE, SIZE), 2, rng)
    elif pattern == "knit":
        relief += 0.10 * np.abs(np.sin(np.pi * x / 0.45)) + 0.05 * np.sin(
            2 * np.pi * (y / 0.4 + np.abs(np.sin(np.pi * x / 0.45)) / 2)
        )
    elif pattern == "rib":
        relief += 0.12 * np.sin(2 * np.pi * x / 0.9)
    elif pattern == "stripes":
        period, duty = rng.uniform(1.2, 7), rng.uniform(0.25, 0.6)
        along = y if rng.random() < 0.7 else x
        share = _band(along / period + rng.random(), duty, PER_CM * period)
    elif pattern == "pinstripe":
        period = rng.uniform(0.7, 2.2)
        share = 0.55 * _band(x / period, 0.16, PER_CM * period)
    elif pattern == "check":
        period = rng.uniform(0.6, 2.5)
        share = 0.5 * (_band(x / period, 0.5, PER_CM * period) + _band(y / period, 0.5, PER_CM * period))
    elif pattern == "plaid":
        period = rng.uniform(4, 9)
        wide = 0.5 * (_band(x / period, 0.45, PER_CM * period) + _band(y / period, 0.45, PER_CM * period))
        thin = np.maximum(
            _band(x / period + 0.2, 0.06, PER_CM * period), _band(y / period + 0.2, 0.06, PER_CM * period)
        )
        share = np.clip(0.75 * wide + 0.5 * thin, 0, 1)
    elif pattern == "dots":
        period = rng.uniform(1.2, 3.5)
        row = np.floor(y / period)
        u, v = (x / period + 0.5 * (row % 2)) % 1 - 0.5, (y / period) % 1 - 0.5
        share = np.clip((rng.uniform(0.15, 0.3) - np.hypot(u, v)) * period * PER_CM + 0.5, 0, 1)
    elif pattern == "print":
        share = _flowers(rng)
    out = colour * (1 - share[..., None]) + second * share[..., None]
    # folds hang down from the shoulders, slightly aslant
    slanted = cv2.resize(
        rng.normal(size=(5, 15)).astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC
    )
    lean = cv2.warpAffine(
        slanted,
        np.array([[1, rng.uniform(-0.3, 0.3), 0], [0, 1, 0]], np.float32),
        (SIZE, SIZE),
        borderMode=cv2.BORDER_REFLECT,
    )
    relief += 0.05 * lean + 0.03 * blotches((SIZE, SIZE), 60, rng)
    out = out * np.exp(relief)[..., None]
    return np.dstack([np.clip(out, 0, 255), np.full((SIZE, SIZE), 255.0)]).astype(np.uint8)


def _band(phase: np.ndarray, duty: float, texels: float) -> np.ndarray:
    """1 in the first `duty` of each period, 0 in the rest; edges one texel soft."""
    place = phase % 1
    inside = np.minimum(place, duty - place)
    inside = np.maximum(inside, place - 1)  # the edge where the period begins
    return np.clip(inside * texels + 0.5, 0, 1)


def _flowers(rng: np.random.Generator) -> np.ndarray:
    """(S, S) scattered blossoms of five petals, 0 to 1."""
    out = np.zeros((SIZE, SIZE), np.uint8)
    for _ in range(int(rng.integers(60, 180))):
        middle, radius = rng.random(2) * SIZE, rng.uniform(0.35, 0.9) * PER_CM
        turn = rng.random() * 2 * np.pi
        for petal in range(5):
            angle = turn + petal * 2 * np.pi / 5
            place = middle + radius * np.array([np.cos(angle), np.sin(angle)])
            size = (int(round(0.75 * radius)), int(round(0.45 * radius)))
            cv2.ellipse(
                out,
                tuple(place.round().astype(int).tolist()),
                size,
                float(np.rad2deg(angle)),
                0,
                360,
                255,
                -1,
                cv2.LINE_AA,
            )
    return out / 255.0
