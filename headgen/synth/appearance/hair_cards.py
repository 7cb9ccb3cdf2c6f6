"""Strips of hair that grow from the scalp along the comb, fall with gravity and keep outside of the head.

Each strip is a ribbon of a wisp of the atlas (`strands.wisps`), its flat side to the skin. Legend: N strips,
S points along a strip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headgen.synth.appearance.anatomy import Anatomy, Skin, unit_vectors
from headgen.synth.appearance.scalp import Comb, Hairline
from headgen.synth.appearance.strands import WISPS
from headgen.synth.heads.model import Surface

FACE_HALF_DEG = 52.0  # azimuths of the face that falling hair keeps out of


@dataclass(frozen=True)
class Growth:
    """How strips grow.

    Attributes:
        count: number of strips.
        length: cm on the top, at the sides, at the back.
        spread: deviation of the length, of the length.
        width: cm.
        rise: degrees by which strips leave the scalp.
        volume: cm above the scalp at which they come to lie, lowest and highest.
        weight: how fast they turn downwards, per cm; negative: they stand up.
        wave: cm of sideways swing of long strips.
        curl: 0 to 1, swing of the strands within a strip.
        cover_ears: 0: strips pass behind the ears, 1: over them.
        fringe: length of the strips that grow above the forehead, of the top's; 0: none hang there.
        curtain: height above the eyes, as a share of the hairline's, below which hair makes way for the face.
        sector: lowest elevation in degrees at which strips are rooted.
        segments: of a strip.
    """

    count: int
    length: tuple[float, float, float]
    spread: float = 0.15
    width: float = 1.3
    rise: float = 15.0
    volume: tuple[float, float] = (0.3, 1.0)
    weight: float = 0.08
    wave: float = 0.0
    curl: float = 0.0
    cover_ears: float = 1.0
    fringe: float = 1.0
    curtain: float = 0.12
    sector: float = -80.0
    segments: int = 9


def roots(hairline: Hairline, count: int, rng: np.random.Generator, lowest: float) -> np.ndarray:
    """(count, 2) azimuth and elevation in degrees of evenly scattered roots within the hairline."""
    found: list[np.ndarray] = []
    total = 0
    golden = np.pi * (3 - np.sqrt(5))
    turn = rng.random() * 360
    for tries in (3, 6, 12, 24):
        n = count * tries
        k = np.arange(n) + 0.5
        elevation = np.rad2deg(np.arcsin(1 - 1.75 * k / n))
        azimuth = (np.rad2deg(k * golden) + turn) % 360 - 180
        keep = (hairline.inside(azimuth, elevation) > 0.15) & (elevation > lowest)
        found = [azimuth[keep], elevation[keep]]
        total = int(keep.sum())
        if total >= count:
            break
    chosen = np.sort(rng.permutation(total)[:count])
    return np.stack([found[0][chosen], found[1][chosen]], -1)


def grow(
    hairline: Hairline, comb: Comb, growth: Growth, rng: np.random.Generator, body: Skin | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Lines of hair.

    Args:
        hairline: where they are rooted.
        comb: which way they start.
        growth: how they go on.
        rng: of everything.
        body: more that they keep outside of (shoulders).

    Returns:
        points (N, S, 3) and the skin's outward directions (N, S, 3) there.
    """
    anatomy = hairline.anatomy
    skin = anatomy.skin if body is None else anatomy.skin.joined(body)
    azimuth, elevation = roots(hairline, growth.count, rng, growth.sector).T
    count = len(azimuth)
    upward = np.clip(np.sin(np.deg2rad(elevation)) * 1.6, 0, 1)
    behind = np.clip(-np.cos(np.deg2rad(azimuth)) * 1.5, 0, 1)
    top, side, back = growth.length
    low = side + (back - side) * behind
    length = (low + (top - low) * upward) * np.exp(rng.normal(0, growth.spread, count))
    depth = np.deg2rad(np.abs((azimuth + 180) % 360 - 180))
    in_front = (depth < np.deg2rad(42)) & (hairline.inside(azimuth, elevation) < 3.5)
    length[in_front] *= growth.fringe
    layer = growth.volume[0] + (growth.volume[1] - growth.volume[0]) * rng.random(count)
    layer *= 0.55 + 0.45 * upward

    start = anatomy.on_skull(azimuth, elevation, 0.08)
    outward = unit_vectors(azimuth, elevation)
    heading = comb.directions(anatomy, start) + rng.normal(0, 0.12, (count, 3))
    rise = np.deg2rad(growth.rise * (0.3 + 0.7 * upward))[:, None]
    heading = np.cos(rise) * heading + np.sin(rise) * outward
    step = length / growth.segments
    down = np.array([0.0, -1.0, 0.0])
    place = start
    points, normals = [start], [outward]
    phase, pace = rng.random(count) * 2 * np.pi, rng.uniform(0.5, 0.9, count)
    for k in range(1, growth.segments + 1):
        height, _ = skin.height(place)
        near = np.clip(1.5 - height / 3, 0, 1)[:, None]
        combed = comb.directions(anatomy, place)
        # on the top the comb leads, further down gravity
        on_top = np.clip((place[:, 1] - anatomy.centre[1]) / anatomy.unit + 0.4, 0, 1)[:, None]
        pull = np.clip(growth.weight * step, -0.6, 0.6)[:, None]
        heading = heading + 0.35 * near * on_top * (combed - heading) + pull * (down - heading)
        heading /= np.linalg.norm(heading, axis=1, keepdims=True) + 1e-9
        place = place + step[:, None] * heading
        if growth.wave > 0:
            across = np.cross(heading, normals[-1])
            swing = growth.wave * np.sin(phase + pace * k * step) * min(1.0, k / 3)
            place = place + (swing * pace * step * 0.5)[:, None] * across
        place = _out_of_the_face(anatomy, place, growth.curtain)
        settled = layer * min(1.0, 0.3 + k / 3)
        place = skin.keep_outside(place, settled, rounds=2)
        if growth.cover_ears < 1:
            place = _behind_the_ears(anatomy, place, 1 - growth.cover_ears)
        heading = place - points[-1]
        heading /= np.linalg.norm(heading, axis=1, keepdims=True) + 1e-9
        points.append(place)
        outside, normal = skin.height(place)
        # far from the skin a strip keeps the side that it had
        hold = np.clip(outside / 4, 0, 0.9)[:, None]
        normal = (1 - hold) * normal + hold * normals[-1]
        normals.append(normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9))
    return np.stack(points, 1), np.stack(normals, 1)


def _out_of_the_face(anatomy: Anatomy, points: np.ndarray, curtain: float) -> np.ndarray:
    """Points (N, 3) in front of eyes and cheeks are led to the side, along the head."""
    azimuth, elevation, distance = anatomy.directions(points)
    limit = anatomy.centre[1] + curtain * anatomy.hairline_height
    inner = np.clip(FACE_HALF_DEG - np.abs(azimuth), 0, None)
    # a fringe ends there, a curtain opens gradually
    below = np.clip((limit - points[:, 1]) / (1.0 + 5.0 * curtain) + 0.5, 0, 1)
    moved = azimuth + np.where(azimuth >= 0, 1, -1) * inner * below
    return anatomy.centre + unit_vectors(moved, elevation) * distance[:, None]


def _behind_the_ears(anatomy: Anatomy, points: np.ndarray, share: float) -> np.ndarray:
    """Points (N, 3) beside an ear's front are moved back behind it."""
    out = points.copy()
    for k, sign in enumerate((-1, 1)):
        low, high = anatomy.ears[k]
        beside = (
            (sign * points[:, 0] > 0.6 * np.abs(low[0]))
            & (points[:, 1] < high[1] + 0.5)
            & (points[:, 2] > low[2] - 1.5)
            & (points[:, 2] < high[2] + 3.5)
        )
        out[beside, 2] += share * 0.5 * (low[2] - 1.5 - points[beside, 2])
    return out


def ribbons(
    name: str,
    points: np.ndarray,
    normals: np.ndarray,
    widths: np.ndarray,
    texture: np.ndarray,
    rng: np.random.Generator,
    gloss: float = 0.25,
    columns: Sequence[int] = range(WISPS),
) -> Surface:
    """Strips along lines, each with a wisp of the atlas.

    Args:
        name: of the surface.
        points: (N, S, 3) cm.
        normals: (N, S, 3) what the strips face.
        widths: (N,) cm at the roots.
        texture: (H, W, 4) atlas.
        rng: chooses the wisps.
        gloss: of the surface.
        columns: wisps to choose from.
    """
    count, steps, _ = points.shape
    along = np.gradient(points, axis=1)
    across = np.cross(along, normals)
    across /= np.linalg.norm(across, axis=-1, keepdims=True) + 1e-9
    share = np.linspace(0, 1, steps)
    half = 0.5 * widths[:, None] * (1 - 0.35 * share[None] ** 2)
    edges = points[:, :, None] + np.array([-1.0, 0, 1.0])[:, None] * (across * half[..., None])[:, :, None]
    # a little roof keeps the light on strips from being that of flat boards
    edges[:, :, 1] += 0.1 * half[..., None] * normals
    wisp = rng.choice(np.asarray(list(columns)), count)
    flip = rng.random(count) < 0.5
    inset = 0.01
    left = np.where(flip, (wisp + 1) / WISPS - inset / WISPS, wisp / WISPS + inset / WISPS)
    right = np.where(flip, wisp / WISPS + inset / WISPS, (wisp + 1) / WISPS - inset / WISPS)
    uv = np.empty((count, steps, 3, 2), np.float32)
    uv[..., 0] = np.stack([left, 0.5 * (left + right), right], -1)[:, None]
    uv[..., 1] = (0.01 + 0.98 * share)[None, :, None]
    index = np.arange(count * steps * 3).reshape(count, steps, 3)
    a, b = index[:, :-1, :-1], index[:, :-1, 1:]
    c, d = index[:, 1:, 1:], index[:, 1:, :-1]
    triangles = np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
    )
    return Surface(
        name,
        triangles.astype(np.int32),
        uv.reshape(-1, 2),
        "hair",
        texture,
        gloss=gloss,
        roughness=0.45,
        rigid="head",
        points=edges.reshape(-1, 3).astype(np.float32),
        two_sided=True,
    )
