"""New people who are nobody: shape and skin mixed of several people of a library, and varied.

Our design: a texture is taken apart into the person's tone, broad blotches, middle structure (folds, shadows
of the features, lips) and fine structure. Each part comes from other people, so that no face is anybody's;
brows and beards come whole from one person, so that none are doubled. Then the tone is moved to anywhere in
the human range and age, blood, freckles, moles, stubble and make-up are added.

Colours are logarithms of linear RGB unless said otherwise: what absorbs light adds up there (Tsumura et al.,
2003, "Image-based skin color and texture analysis/synthesis by extracting hemoglobin and melanin
information in the skin").

Legend: N side of the texture, K identities.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from headgen.errors import InputError
from headgen.synth.appearance.library import Library, Person
from headgen.synth.appearance.texture import SkinLayout, broad_blur, cavities, luminance, skin_grain

TONES = np.array([
    (0.064, 0.033, 0.020), (0.110, 0.055, 0.032), (0.185, 0.098, 0.058), (0.285, 0.165, 0.102),
    (0.390, 0.240, 0.165), (0.480, 0.315, 0.235), (0.570, 0.410, 0.335),
])  # fmt: skip
"""Linear RGB of human skin from the darkest (lightness 0) to the lightest (1), even steps between them."""

HAEMOGLOBIN = np.array([-0.10, -1.0, -0.72], np.float32)  # log-colour of a little more blood
MELANIN = np.array([-0.40, -0.72, -1.0], np.float32)
LEAST_PEOPLE = 6
BROAD, MIDDLE = 0.030, 0.0075  # sizes that divide the bands, of the texture's side
BROAD_KEPT = 0.6  # broad blotches are partly light that was not taken out
DEEPEST = 0.28  # log: folds of smiling portraits are deeper than the resting faces they are mixed into
HUE_KEPT = 0.6  # of the middle structure: at the outline of faces it is the camera's
DARKEST = np.array([0.010, 0.006, 0.0045], np.float32)  # linear: what hair of brows and beards reflects
ALIKE_TONE, ALIKE_LIPS, ALIKE_BEARD = 0.35, 0.3, 0.15  # how far people in a mixture may differ
FEMININE_FROM = 0.77  # share of a library whose lips are less red than women's


@dataclass(frozen=True)
class Identity:
    """A person who does not exist.

    Attributes:
        coefficients: (K,) float32 of the ICT face's identity modes.
        albedo: (N, N, 3) float32 linear RGB in the layout of `SkinLayout.of_ict`.
        lightness: of the skin, 0 (darkest) to 1 (lightest).
        feminine: whether it was mixed of the people with the reddest lips; it has no stubble then.
        brow: (3,) float32 linear RGB of the brows: hair of the head is usually like them or lighter.
        people: names of the library's people who went in.
    """

    coefficients: np.ndarray
    albedo: np.ndarray
    lightness: float
    feminine: bool
    brow: np.ndarray
    people: tuple[str, ...]


def skin_tone(lightness: float) -> np.ndarray:
    """(3,) log linear RGB of skin; `lightness` from 0 (darkest) to 1 (lightest)."""
    steps = np.linspace(0, 1, len(TONES))
    return np.array([np.interp(lightness, steps, np.log(TONES[:, k])) for k in range(3)], np.float32)


def draw_identity(
    library: Library,
    layout: SkinLayout,
    rng: np.random.Generator,
    modes: int = 100,
    lightness: float | None = None,
) -> Identity:
    """Mixes a new person.

    Args:
        library: of at least six people.
        layout: of the skin, `SkinLayout.of_ict`.
        rng: source of chance.
        modes: K; the library's people have 40, further ones are drawn.
        lightness: of the skin; None draws from the whole human range.

    Raises:
        InputError: the library is too small.
    """
    if len(library) < LEAST_PEOPLE:
        raise InputError(
            f"{library.directory}: {len(library)} people; a mixture needs {LEAST_PEOPLE}: add portraits"
        )
    if lightness is None:
        lightness = float(np.clip(rng.beta(1.15, 1.0), 0, 1))
    tone = skin_tone(lightness)
    tone = tone + 0.05 * rng.normal() * HAEMOGLOBIN + 0.05 * rng.normal() * np.array([0.1, 0.3, 1.0])
    feminine = bool(rng.random() < 0.5)
    chosen = _choose_alike(library, float(luminance(tone)), feminine, rng)
    people = [library[k] for k in chosen]
    log = _mix(layout, people, rng) + tone.astype(np.float32)
    log = log + skin_grain(layout, rng, rng.uniform(0.4, 0.85)) * (1 - 0.5 * layout.lip_mask[..., None])
    log = _vary(layout, log, lightness, feminine, rng)
    albedo = (np.exp(log) + DARKEST) * cavities(layout)
    return Identity(
        coefficients=_mix_shapes(library.identities[chosen], modes, rng),
        albedo=np.clip(albedo, 0, 0.95).astype(np.float32),
        lightness=lightness,
        feminine=feminine,
        brow=np.percentile(albedo[layout.brow_mask > 0.9], 25, axis=0).astype(np.float32),
        people=tuple(person.name for person in people),
    )


def _choose_alike(
    library: Library, brightness: float, feminine: bool, rng: np.random.Generator
) -> np.ndarray:
    """(5,) numbers of people who are alike in tone, lips and beard, near a brightness (log).

    Our design: nothing says who is a woman; the redder lips are, the likelier. Half of all mixtures are of
    the people with the reddest lips, who are a quarter of official portraits.
    """
    tones = luminance(library.tones)
    red = library.lips > np.quantile(library.lips, FEMININE_FROM)
    weight = np.exp(-(((tones - brightness) / ALIKE_TONE) ** 2) / 2) + 1e-4
    weight *= np.where(red == feminine, 1.0, 1e-6)
    first = int(rng.choice(len(library), p=weight / weight.sum()))
    weight = np.exp(-(((tones - tones[first]) / ALIKE_TONE) ** 2) / 2)
    weight *= np.exp(-(((library.lips - library.lips[first]) / ALIKE_LIPS) ** 2) / 2)
    weight *= np.exp(-(((library.beards - library.beards[first]) / ALIKE_BEARD) ** 2) / 2)
    weight *= np.where(red == feminine, 1.0, 1e-3)
    weight += 1e-9
    weight[first] = 0
    others = rng.choice(len(library), 4, replace=False, p=weight / weight.sum())
    return np.concatenate([[first], others])


def _mix_shapes(identities: np.ndarray, modes: int, rng: np.random.Generator) -> np.ndarray:
    """(K,) coefficients: a mixture whose spread is a single person's, plus a new person's own share."""
    weights = rng.dirichlet(np.full(len(identities), 2.0))
    middle = identities.mean(0)
    mixed = middle + (weights @ (identities - middle)) / np.linalg.norm(weights)
    out = 0.75 * rng.normal(0, 1, modes)
    known = min(modes, len(mixed))
    out[:known] = mixed[:known] + 0.35 * rng.normal(0, 1, known)
    return np.clip(out, -2.5, 2.5).astype(np.float32)


def _mix(layout: SkinLayout, people: list[Person], rng: np.random.Generator) -> np.ndarray:
    """(N, N, 3) log-colour relative to the tone, from the bands of five people."""
    whole = np.clip(layout.brow_mask + layout.beard_mask, 0, 1)  # from one person, the last
    features = np.maximum.reduce([whole, layout.lip_mask, layout.near(layout.lids, 0.5)])
    plain = (1 - 0.98 * features) * layout.covered
    bands = [_bands(layout, person, plain) for person in people]
    share = rng.dirichlet((3.0, 3.0, 2.0))
    broad = BROAD_KEPT * sum(w * bands[k][0] for w, k in zip(share, (0, 1, 2), strict=True))
    folds = np.maximum.reduce([layout.lip_mask, layout.brow_mask, layout.near(layout.lids, 0.5)])[..., None]
    for k in (2, 3, 4):
        broad_k, middle_k, fine_k = bands[k]
        shallow = DEEPEST * np.tanh(middle_k / DEEPEST)
        bands[k] = broad_k, folds * middle_k + (1 - folds) * shallow, fine_k
    w = rng.uniform(0.35, 0.65)
    gain = min(1 / np.hypot(w, 1 - w), 1.25)  # averages are flatter than any of their parts
    gain *= float(np.exp(rng.normal(0, 0.15)))  # age: deeper or flatter folds
    middle = (w * bands[2][1] + (1 - w) * bands[3][1]) * (gain + (1 - gain) * layout.lip_mask[..., None])
    fine = bands[3 if rng.random() < 0.5 else 4][2]
    own = whole[..., None]
    # brows are seen small and smeared in portraits; some are coloured besides
    brows = 1 + layout.brow_mask[..., None] * rng.uniform(0.0, 0.5)
    middle = middle * (1 - own) + own * brows * bands[4][1]
    fine = fine * (1 - own) + own * brows * bands[4][2]
    lips = layout.lip_mask[..., None]
    grey = luminance(middle)[..., None]
    middle = grey + (lips + (1 - lips) * HUE_KEPT) * (middle - grey)
    return np.asarray(broad + middle + fine, np.float32)


def _bands(
    layout: SkinLayout, person: Person, plain: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Broad, middle and fine structure (N, N, 3) of a texture, the tone taken away."""
    log = np.log(np.maximum(person.albedo, 1e-3)) - person.tone
    sigma = BROAD * layout.size
    below = broad_blur(plain.astype(np.float32), sigma)[..., None]
    # features (brows, lips, eyes) are no blotches: they stay out of the broad band
    broad = broad_blur(log * plain[..., None], sigma) / np.maximum(below, 1e-3)
    rest = log - broad
    middle = broad_blur(rest, MIDDLE * layout.size)
    return broad, middle, rest - middle


def _vary(
    layout: SkinLayout, log: np.ndarray, lightness: float, feminine: bool, rng: np.random.Generator
) -> np.ndarray:
    """Adds what a mixture of official portraits lacks."""
    log = _flush(layout, log, rng.gamma(1.5, 0.05) * (0.4 + 0.6 * lightness), rng)
    if rng.random() < 0.22 * lightness:
        log = _freckles(layout, log, rng.uniform(0.3, 1.0), rng)
    log = _moles(layout, log, int(rng.poisson(2.0)), rng)
    log = _tired(layout, log, rng.gamma(1.5, 0.05))
    if feminine:
        log = _pale_lips(layout, log, rng.uniform(0.35, 1.0))
        if rng.random() < 0.4:
            log = _make_up(layout, log, rng)
    elif rng.random() < 0.45:
        log = _stubble(layout, log, rng.uniform(0.25, 1.0), rng)
    return log


def _spots(
    layout: SkinLayout, density: np.ndarray, count: int, radius: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """(N, N) from 0 to 1: `count` round spots where `density` (N, N) has its weight, radii in texels."""
    out = np.zeros((layout.size, layout.size), np.float32)
    cumulated = np.cumsum(density.ravel(), dtype=np.float64)
    if not count or cumulated[-1] <= 0:
        return out
    places = np.searchsorted(cumulated, rng.random(count) * cumulated[-1])
    ys, xs = np.unravel_index(places, out.shape)
    for x, y, r, depth in zip(xs, ys, rng.uniform(*radius, count), rng.uniform(0.3, 1, count), strict=True):
        reach = int(np.ceil(2.5 * r))
        y0, y1, x0, x1 = max(y - reach, 0), y + reach + 1, max(x - reach, 0), x + reach + 1
        patch = out[y0:y1, x0:x1]
        gy, gx = np.mgrid[y0 : y0 + patch.shape[0], x0 : x0 + patch.shape[1]]
        spot = depth * np.exp(-((((gx - x) ** 2 + (gy - y) ** 2) / (r * r)) ** 1.5))
        np.maximum(patch, spot, out=patch)
    return out


def _cheeks(layout: SkinLayout) -> np.ndarray:
    """(N, N) 1 on cheeks and nose, fading away from them."""
    x, y, _ = np.moveaxis(layout.positions, -1, 0)
    eyes, mouth = layout.vertices[layout.lids], layout.vertices[layout.lip_line]
    top, bottom = eyes[:, 1].mean(), mouth[:, 1].mean()
    middle, height = top + 0.45 * (bottom - top), top - bottom
    band = np.exp(-(((y - middle) / (0.30 * height)) ** 2))
    across = np.exp(-((np.maximum(np.abs(x) - np.abs(eyes[:, 0]).mean(), 0) / 1.6) ** 2))
    return np.where(layout.covered, band * across * (1 - layout.lip_mask), 0).astype(np.float32)


def _flush(layout: SkinLayout, log: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """More blood in cheeks, nose and ears."""
    patches = broad_blur(rng.normal(0, 1, log.shape[:2]).astype(np.float32), 0.03 * layout.size)
    patches = np.clip(1 + 0.5 * patches / patches.std(), 0, 2)
    where = broad_blur(_cheeks(layout) * patches, 0.02 * layout.size)
    ears = np.clip((np.abs(layout.positions[..., 0]) - 7.0) / 1.0, 0, 1)
    return log + (amount * np.maximum(where, 0.8 * ears))[..., None] * HAEMOGLOBIN


def _freckles(layout: SkinLayout, log: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    unit = layout.size / 512
    density = (_cheeks(layout) ** 1.5 + 0.08 * layout.inner_face) * (layout.unreliable < 0.1)
    spots = _spots(layout, density, int(420 * amount), (0.7 * unit, 1.9 * unit), rng)
    return log + (0.45 * amount * spots)[..., None] * MELANIN


def _moles(layout: SkinLayout, log: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    unit = layout.size / 512
    density = layout.covered * (1 - layout.lip_mask) * (layout.unreliable < 0.1).astype(np.float32)
    spots = _spots(layout, density, count, (1.4 * unit, 2.8 * unit), rng)
    return log + (1.3 * spots)[..., None] * MELANIN


def _tired(layout: SkinLayout, log: np.ndarray, amount: float) -> np.ndarray:
    """Thin, darker skin around the eyes."""
    around = layout.near(layout.lids, 1.6) * (1 - layout.brow_mask)
    return log + (amount * around)[..., None] * np.array([-0.9, -1.0, -0.75], np.float32)


def _stubble(layout: SkinLayout, log: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Short hairs of a shaved beard: fine dark grain over a bluish shade."""
    noise = rng.normal(0, 1, log.shape[:2]).astype(np.float32)
    hairs = cv2.GaussianBlur(noise, (0, 0), 0.6 * layout.size / 512)
    hairs = np.clip(hairs / hairs.std(), -1, 2)
    where = layout.beard_mask * broad_blur((layout.near(layout.lids, 3.0) < 0.05).astype(np.float32), 6.0)
    shade = amount * where
    out = log + (0.28 * shade)[..., None] * np.array([-1.0, -0.85, -0.65], np.float32)
    return out - (0.10 * shade * hairs)[..., None]


def _pale_lips(layout: SkinLayout, log: np.ndarray, kept: float) -> np.ndarray:
    """Keeps that share of the lips' hue: not everybody is painted for a portrait."""
    away = log - np.median(log[layout.plain], 0)
    hue = away - luminance(away)[..., None]
    return log - (1 - kept) * layout.lip_mask[..., None] * hue


def _make_up(layout: SkinLayout, log: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lipstick, shadow on the lids and blush, each now and then."""
    if rng.random() < 0.5:
        colour = np.array([-0.15, -1.0, -0.75]) + rng.normal(0, 0.18, 3)
        amount = rng.uniform(0.15, 0.6) * cv2.GaussianBlur(layout.lip_mask, (0, 0), 1.0)
        log = log + amount[..., None] * colour.astype(np.float32)
    if rng.random() < 0.5:
        colour = np.array([-0.8, -1.0, -0.9]) + rng.normal(0, 0.25, 3)
        lids = layout.near(layout.lids, 1.1) * (1 - layout.brow_mask)
        log = log + (rng.uniform(0.1, 0.45) * lids)[..., None] * colour.astype(np.float32)
    if rng.random() < 0.4:
        log = log + (rng.uniform(0.05, 0.2) * _cheeks(layout))[..., None] * HAEMOGLOBIN
    return log
