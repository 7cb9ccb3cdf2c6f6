"""Brows, beards, moustaches and stubble: shells of strands a little in front of the skin, moving with it.

Each is drawn on a picture of directions seen from the middle of the head (azimuth across, elevation down), so
that it fits any head through its landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator

from headgen.synth.appearance.anatomy import Anatomy, angle, vertex_normals
from headgen.synth.appearance.carried import SkinSurface, on_skin
from headgen.synth.appearance.strands import HairColour, blotches, evened, streaks
from headgen.synth.heads.model import Topology

BEARD_SIZE, BROW_SIZE = (384, 448), (160, 512)  # H, W texels
STUBBLE_SKIN = 0.5  # share of the skin in the colour of stubble, whose hairs are finer than a pixel


@dataclass(frozen=True)
class Chart:
    """A picture of directions from a point inside the head.

    Attributes:
        origin: (3,) cm.
        azimuth: degrees at the picture's right border; the left one is its negative.
        elevation: degrees at the lower and at the upper border.
        size: H, W texels.
    """

    origin: np.ndarray
    azimuth: float
    elevation: tuple[float, float]
    size: tuple[int, int]

    def uv(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) texture places of points (..., 3)."""
        offset = np.asarray(points, np.float64) - self.origin
        azimuth = angle(offset[..., 0], offset[..., 2])
        flat = np.hypot(offset[..., 0], offset[..., 2])
        elevation = angle(offset[..., 1], flat)
        low, high = self.elevation
        return np.stack([0.5 + 0.5 * azimuth / self.azimuth, (high - elevation) / (high - low)], -1)

    def texels(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) column and row of points (..., 3)."""
        return self.uv(points) * [self.size[1], self.size[0]] - 0.5

    def area(self, corners: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """(H, W) 1 within a polygon of points (3,), 0 outside."""
        picture = np.zeros(self.size, np.uint8)
        places = np.round(self.texels(np.array(corners)) * 16).astype(np.int32)
        cv2.fillPoly(picture, [places], 1, shift=4)
        return picture.astype(np.float32)

    def triangles(self, vertices: np.ndarray, skin: np.ndarray, border: float = 0.0) -> np.ndarray:
        """The triangles (F', 3) of skin (F, 3) that the picture covers and that face outwards."""
        normals = vertex_normals(vertices, skin)
        offset = vertices - self.origin
        offset = offset / (np.linalg.norm(offset, axis=1, keepdims=True) + 1e-9)
        outside = (normals * offset).sum(1) > 0.05
        uv = self.uv(vertices)
        inside = ((uv > -border) & (uv < 1 + border)).all(1)
        return skin[(outside & inside)[skin].all(1)]


BEARDS: dict[str, dict[str, float]] = {
    "stubble": {"beard": 0.62, "moustache": 0.6, "lift": 0.02, "shells": 1},
    "heavy stubble": {"beard": 0.85, "moustache": 0.85, "lift": 0.06, "shells": 2},
    "short": {"beard": 1.0, "moustache": 1.0, "lift": 0.22, "shells": 3},
    "full": {"beard": 1.0, "moustache": 1.0, "lift": 0.75, "shells": 5},
    "goatee": {"goatee": 1.0, "moustache": 1.0, "lift": 0.35, "shells": 4},
    "chin": {"goatee": 1.0, "lift": 0.4, "shells": 4},
    "moustache": {"moustache": 1.0, "lift": 0.3, "shells": 4},
    "moustache and stubble": {"moustache": 1.0, "beard": 0.55, "lift": 0.25, "shells": 3},
    "chinstrap": {"strap": 1.0, "lift": 0.2, "shells": 3},
    "sideburns": {"chops": 1.0, "lift": 0.3, "shells": 3},
}
"""Share of the skin that hair covers in each area, length in cm, and number of shells."""


def beard(
    anatomy: Anatomy,
    topology: Topology,
    style: str,
    colour: HairColour,
    rng: np.random.Generator,
    *,
    length: float = 1.0,
    skin: np.ndarray | None = None,
) -> list[SkinSurface]:
    """A beard on a head.

    Args:
        anatomy: of the head.
        topology: of its model.
        style: one of `BEARDS`.
        colour: of the hair.
        rng: of the strands and of the borders.
        length: of the hair, of the style's own.
        skin: (3,) sRGB of the skin, which shines through stubble; stubble is plain hair without it.

    Raises:
        ValueError: an unknown style.
    """
    if style not in BEARDS:
        raise ValueError(f"no beard {style!r}; known: {', '.join(BEARDS)}")
    own = BEARDS[style]
    chart = _beard_chart(anatomy)
    areas = _areas(anatomy, chart, rng)
    density = np.zeros(chart.size, np.float32)
    for name, area in areas.items():
        if name in own:
            density = np.maximum(density, own[name] * area)
    density *= 1 - areas["lips"]
    flow = _beard_flow(anatomy, chart)
    short = own["lift"] < 0.1
    if short:
        hairs = evened(rng.random(chart.size, np.float32))
    else:
        hairs = evened(0.65 * streaks(flow, rng, 22.0) + 0.35 * streaks(flow, rng, 40.0, 3.0))
    if short and skin is not None:
        colour = colour.mixed(np.asarray(skin) * 0.8, STUBBLE_SKIN)
    brightness = np.clip(0.4 + 0.55 * (hairs - 0.5), 0, 1)
    uv = chart.uv(anatomy.vertices)
    triangles = chart.triangles(anatomy.vertices, topology.triangles[topology.of("skin")])
    reach = _at(cv2.GaussianBlur(density, (0, 0), 5.0), uv)
    shown = (_at(cv2.dilate(density, np.ones((5, 5))), uv) > 0.02)[triangles].any(1)
    count = int(own["shells"])
    surfaces = []
    for k in range(count):
        high = (k + 1) / count
        share = density * (1.0 - 0.55 * (high - 1 / count))
        cover = np.clip((share - 0.985 * (1 - hairs)) * 9 + 0.5, 0, 1) * (share > 0.02)
        texture = colour.paint(brightness * (0.8 + 0.2 * high), cover, hairs)
        lift = 0.015 + own["lift"] * length * high * np.clip(reach * 1.2 - 0.1, 0, 1)
        surfaces.append(
            on_skin(f"beard {k}", anatomy.vertices, triangles[shown], uv, "beard", texture, lift, gloss=0.12)
        )
    return surfaces


def brows(
    anatomy: Anatomy,
    topology: Topology,
    colour: HairColour,
    rng: np.random.Generator,
    *,
    thickness: float = 1.0,
    density: float = 1.0,
    lift: float = 0.035,
) -> SkinSurface:
    """Both eyebrows of a head.

    Args:
        anatomy: of the head.
        topology: of its model.
        colour: of the hair.
        rng: of the hairs.
        thickness: height of the brows, of the usual 0.7 cm at the inner end.
        density: number of hairs, of the usual.
        lift: cm in front of the skin.
    """
    brow = anatomy.landmarks[17:27]
    origin = anatomy.centre
    probe = Chart(origin, 60.0, (-10.0, 50.0), BROW_SIZE)
    heights = 50 - 60 * probe.uv(brow)[:, 1]
    chart = Chart(origin, 55.0, (float(heights.min()) - 9, float(heights.max()) + 9), BROW_SIZE)
    per_cm = chart.size[0] / np.deg2rad(chart.elevation[1] - chart.elevation[0])
    per_cm /= float(np.linalg.norm(brow - origin, axis=1).mean())
    cover = np.zeros(chart.size, np.float32)
    tone = np.zeros(chart.size, np.float32)
    for side, order in ((-1, [21, 20, 19, 18, 17]), (1, [22, 23, 24, 25, 26])):
        line = chart.texels(anatomy.landmarks[order])
        column = PchipInterpolator(np.linspace(0, 1, 5), line[:, 0])
        row = PchipInterpolator(np.linspace(0, 1, 5), line[:, 1])
        _draw_brow(cover, tone, column, row, side, per_cm, thickness, density, rng)
    tone = np.where(cover > 0.05, tone / np.maximum(cover, 0.05), 0.35)
    texture = colour.darker(0.85).paint(np.clip(tone, 0, 1), np.clip(cover * 1.4, 0, 1))
    uv = chart.uv(anatomy.vertices)
    triangles = chart.triangles(anatomy.vertices, topology.triangles[topology.of("skin")])
    shown = (_at(cv2.dilate(cover, np.ones((9, 9))), uv) > 0.02)[triangles].any(1)
    return on_skin("brows", anatomy.vertices, triangles[shown], uv, "brows", texture, lift, gloss=0.05)


def _draw_brow(
    cover: np.ndarray,
    tone: np.ndarray,
    column: PchipInterpolator,
    row: PchipInterpolator,
    side: int,
    per_cm: float,
    thickness: float,
    density: float,
    rng: np.random.Generator,
) -> None:
    """Draws the hairs of one brow into cover and tone (H, W)."""
    for _ in range(int(360 * density)):
        along = rng.random() ** 0.9
        half = 0.42 * thickness * per_cm * np.interp(along, [0, 0.15, 0.55, 1], [0.55, 0.85, 0.75, 0.22])
        across = np.clip(rng.normal(0, 0.45), -1, 1)
        start = np.array([column(along), row(along) - across * half + 0.1 * half])
        slope = np.array([float(column.derivative()(along)), float(row.derivative()(along))])
        slope /= np.linalg.norm(slope) + 1e-9
        # upright at the nose, lying outwards; lower hairs point up, upper ones down
        upright = np.interp(along, [0, 0.25, 1], [1.6, 0.75, 0.05]) - 0.55 * across * (along > 0.15)
        way = slope + np.array([0.0, -upright])
        way /= np.linalg.norm(way)
        length = per_cm * thickness**0.5 * rng.uniform(0.35, 0.75) * np.interp(along, [0, 1], [1, 0.75])
        end = start + length * way
        hair = np.zeros(cover.shape, np.uint8)
        x0, y0 = np.floor(np.minimum(start, end)).astype(int) - 3
        x1, y1 = np.ceil(np.maximum(start, end)).astype(int) + 4
        x0, y0 = max(x0, 0), max(y0, 0)
        window = (slice(y0, y1), slice(x0, x1))
        hair = np.zeros(cover[window].shape, np.uint8)
        places = [tuple(int(round(16 * v)) for v in p - [x0, y0]) for p in (start, end)]
        cv2.line(hair, places[0], places[1], 255, 2, cv2.LINE_AA, 4)
        weight = hair.astype(np.float32) / 255
        cover[window] = np.maximum(cover[window], weight)
        tone[window] = np.where(weight > 0.3, rng.uniform(0.2, 0.5), tone[window])


def _beard_chart(anatomy: Anatomy) -> Chart:
    mouth = anatomy.landmarks[48:60].mean(0)
    origin = np.array([0.0, mouth[1] + 0.15 * anatomy.unit, anatomy.centre[2] + 0.35 * anatomy.unit])
    return Chart(origin, 125.0, (-80.0, 62.0), BEARD_SIZE)


def _areas(anatomy: Anatomy, chart: Chart, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """(H, W) how far each area of a beard covers the picture, 0 to 1, with soft and uneven borders."""
    points, unit = anatomy.landmarks, anatomy.unit
    jaw = points[:17]
    nose, corner_left, corner_right = points[33], points[48], points[54]
    below = np.array([0, -0.42 * unit, -0.25 * unit])
    low = float(rng.uniform(0.85, 1.15))  # of the cheek line

    def cheek(
        ear: np.ndarray, jaw_edge: np.ndarray, corner: np.ndarray, wing: np.ndarray
    ) -> list[np.ndarray]:
        inner = ear + 0.13 * (points[30] - ear)
        middle = 0.5 * jaw_edge + 0.5 * corner + np.array([0, 0.22 * unit * low, 0])
        return [ear, inner + [0, -0.1 * unit, 0], middle, wing + np.array([0, -0.12 * unit, 0])]

    left = cheek(jaw[0], jaw[3], corner_left, points[31])
    right = cheek(jaw[16], jaw[13], corner_right, points[35])
    lower = [p + below * np.sin(np.pi * (0.12 + 0.76 * k / 16)) for k, p in enumerate(jaw)]
    out: dict[str, np.ndarray] = {}
    out["beard"] = chart.area([*left, nose, *right[::-1], *lower[::-1]])
    wide_left, wide_right = corner_left + [-0.9, -0.5, -0.7], corner_right + [0.9, -0.5, -0.7]
    out["moustache"] = chart.area(
        [wide_left, 0.55 * corner_left + 0.45 * points[31] + [-0.3, 0.2, 0], points[31] + [-0.2, -0.25, 0],
         nose, points[35] + [0.2, -0.25, 0], 0.55 * corner_right + 0.45 * points[35] + [0.3, 0.2, 0],
         wide_right, points[54], points[53], points[52], points[51], points[50], points[49], points[48]]
    )  # fmt: skip
    chin = points[8]
    lip = points[57]
    side = np.array([0.3 * unit, 0, -0.12 * unit])
    mirror = side * [-1, 1, 1]
    out["goatee"] = chart.area(
        [corner_left + [-0.4, 0, -0.3], lip + 0.3 * mirror, lip + [0, -0.1, 0], lip + 0.3 * side,
         corner_right + [0.4, 0, -0.3], 0.6 * chin + 0.4 * corner_right + side,
         chin + 0.9 * side + 0.6 * below, chin + 0.9 * below,
         chin + 0.9 * mirror + 0.6 * below, 0.6 * chin + 0.4 * corner_left + mirror]
    )  # fmt: skip
    inward = [p + np.array([-0.06 * p[0], 0.10 * unit, 0.0]) for p in jaw]
    out["strap"] = chart.area([*inward, *lower[::-1]])
    chops = [
        [ear, ear + 0.2 * (points[30] - ear), 0.5 * edge + 0.5 * corner, edge + [0, -0.05 * unit, 0], turn]
        for ear, edge, corner, turn in (
            (jaw[0], jaw[4], corner_left, jaw[2]),
            (jaw[16], jaw[12], corner_right, jaw[14]),
        )
    ]
    out["chops"] = np.maximum(chart.area(chops[0]), chart.area(chops[1]))
    lips = chart.area(list(points[48:60]))
    wander = 3.0 * np.stack([blotches(chart.size, 26, rng), blotches(chart.size, 26, rng)], -1)
    grid = np.dstack(np.meshgrid(np.arange(chart.size[1]), np.arange(chart.size[0]))).astype(np.float32)
    moved = (grid + wander).astype(np.float32)
    soft = {"beard": 5.0, "strap": 4.0, "chops": 4.0, "goatee": 4.0, "moustache": 2.0}
    for name, sigma in soft.items():
        bent = cv2.remap(out[name], moved, None, cv2.INTER_LINEAR)
        out[name] = np.clip(1.6 * cv2.GaussianBlur(bent, (0, 0), sigma) - 0.25, 0, 1)
    out["lips"] = np.clip(2 * cv2.GaussianBlur(lips, (0, 0), 1.5), 0, 1)
    return out


def _beard_flow(anatomy: Anatomy, chart: Chart) -> np.ndarray:
    """(H, W, 2) hair grows down, and away from the middle below the nose."""
    column, row = chart.texels(anatomy.landmarks[51])
    u, v = np.meshgrid(np.arange(chart.size[1]) - column, np.arange(chart.size[0]) - row)
    near = np.exp(-((v + 6) ** 2) / 200.0)
    sideways = np.tanh(u / 10) * (0.25 + 1.1 * near)
    return np.dstack([sideways, np.ones(chart.size)]).astype(np.float32)


def _at(picture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Values of a picture (H, W) at places (N, 2); 0 outside."""
    height, width = picture.shape
    column, row = (uv[:, 0] * width).astype(int), (uv[:, 1] * height).astype(int)
    inside = (uv >= 0).all(1) & (column < width) & (row < height)
    out = np.zeros(len(uv), np.float32)
    out[inside] = picture[row[inside], column[inside]]
    return out
