"""The analytic head's other meshes: ears, linings of mouth and lids, teeth, tongue and lashes.

All are made for the mean head; `AnalyticModel` deforms them with the person. Frame: centimetres, x to the
picture's right, y up, z towards the camera.

Legend: N vertices, F triangles, K places along a line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headgen.synth.heads.analytic_grid import EYE, SKIN_V
from headgen.synth.heads.distance import Distance, project, trace

EAR_SEGMENTS = 32
EAR_CENTRE = np.array([7.6, 0.9, 0.4])
EAR_AXES = np.array([[-0.1, 0.97, -0.2], [0.41, -0.14, -0.9], [0.9, 0.17, 0.38]])
"""Rows: along the ear, towards its back rim, outwards."""
EAR_AXES = np.linalg.svd(EAR_AXES)[0] @ np.linalg.svd(EAR_AXES)[2]  # exactly at right angles
EAR_FRONT = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.79, 0.87, 0.94, 0.985])
EAR_BACK = ((0.985, 0.3), (0.95, 0.4), (0.86, 0.5), (0.74, 0.65), (0.6, 0.85))
"""Rings of an ear's two faces as shares of its outline; on the back with the thickness looked for (cm)."""
EAR_OUTLINE = np.array([
    2.95, 2.95, 2.9, 2.8, 2.68, 2.5, 2.31, 2.16, 2.06, 2.0, 1.97, 1.99, 2.03, 2.13, 2.33, 2.54, 2.7, 2.83,
    2.9, 2.92, 2.95, 2.9, 2.8, 2.75, 2.78, 2.85, 2.9, 2.95, 2.98, 3.0, 3.0, 2.98,
])  # fmt: skip
"""How far from its centre the ear's silhouette along `EAR_AXES[2]` is, cm, by segment; in front of the ear it
runs inside the cheek."""
EAR_ROOT_CM = 0.45
EAR_DEEPEST = 1.1  # cm behind the ear's plane; what a ray meets beyond lies behind the ear
EAR_FAR = 6.0  # cm: where rays start
EAR_V = SKIN_V + 0.02  # where its texture begins

BALL_RADIUS = 1.48  # cm, of the eyeball; the lids are as thick as their own radius leaves
LINING_ROWS = 3

BAG = np.array([
    # height over the lip line and depth behind it (cm), share of the lips' motion, share of the jaw's
    (0.0, 0.0, 1.0, 0.0),
    (0.1, -0.2, 1.0, 0.0),
    (0.4, -0.42, 0.95, 0.0),
    (1.1, -0.6, 0.6, 0.0),
    (1.9, -1.6, 0.1, 0.0),
    (1.8, -4.5, 0.0, 0.0),
    (0.3, -6.0, 0.0, 0.3),
    (-1.4, -5.6, 0.0, 0.7),
    (-2.0, -3.5, 0.0, 1.0),
    (-2.2, -1.5, 0.1, 1.0),
    (-1.2, -0.6, 0.6, 1.0),
    (-0.4, -0.42, 0.95, 1.0),
    (-0.1, -0.2, 1.0, 1.0),
    (0.0, 0.0, 1.0, 1.0),
])  # fmt: skip
"""The lining of the mouth in the middle, from the upper lip's line around to the lower one's."""

ARCH_WIDTH, ARCH_DEPTH, ARCH_BACK = 2.75, 4.4, 6.05
"""Half width and depth of the dental arch, and z of its centre, cm."""
TOOTH_WIDTHS = ((0.86, 0.68, 0.78, 0.7, 0.68, 0.95), (0.56, 0.6, 0.68, 0.7, 0.7, 1.0))
"""Widths from the middle outwards, upper and lower teeth, cm (of adults, rounded)."""
TOOTH_HEIGHTS = ((1.05, 0.92, 1.0, 0.85, 0.8, 0.75), (0.88, 0.9, 1.0, 0.85, 0.8, 0.75))
TOOTH_ROWS, TOOTH_COLUMNS = 5, 5
GUM_COLUMNS = 61
GUM_ROWS = ((1.05, -0.4), (0.5, -0.02), (0.05, 0.05), (-0.2, -0.05), (-0.3, -0.3))
"""Height beyond the teeth's necks and depth before the arch of the gum's rows, cm."""
UPPER_NECK, LOWER_NECK, LOWER_BEHIND = -2.52, -4.5, 0.3
TONGUE_CENTRE, TONGUE_SIZE = np.array([0.0, -4.55, 6.9]), np.array([1.75, 0.75, 2.6])
TONGUE_ROWS, TONGUE_COLUMNS = 10, 13
LASH_ROWS = 3
UPPER_LASH_CM, LOWER_LASH_CM = 0.5, 0.26


@dataclass(frozen=True)
class Part:
    """A mesh with texture places.

    Attributes:
        points: (N, 3) float64 cm.
        triangles: (F, 3) counter-clockwise from outside.
        uv: (N, 2).
    """

    points: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray

    def mirrored(self) -> Part:
        """The same on the other side; texture places stay."""
        return Part(self.points * [-1, 1, 1], self.triangles[:, ::-1], self.uv)


def strip(rows: int, columns: int) -> np.ndarray:
    """(F, 3) triangles of a grid; counter-clockwise if columns run to the right and rows down."""
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    return np.stack([np.stack([a, d, c], -1), np.stack([a, c, b], -1)], 2).reshape(-1, 3)


def ear(field: Distance) -> Part:
    """The mean head's left ear: its outer face and its back, found by rays from both sides.

    Texture places are its own ring and segment, in the strip below the skin's grid.
    """
    turn = np.linspace(0, 2 * np.pi, EAR_SEGMENTS, endpoint=False)
    around = np.stack([np.cos(turn), np.sin(turn)], 1) @ EAR_AXES[:2]
    outwards = EAR_AXES[2]
    inwards = np.broadcast_to(-outwards, around.shape)

    def front(share: float) -> np.ndarray:
        start = _ear_rays(around, share * EAR_OUTLINE)
        way = trace(field, start, inwards, 2 * EAR_FAR, 1e-4)
        # a ray that misses the rim comes to the nearest place on it
        return project(
            field, start + np.where(way < EAR_FAR + EAR_DEEPEST, way, EAR_FAR)[:, None] * inwards, 1e-8
        )

    faces = [front(share) for share in EAR_FRONT]
    for share, thickness in EAR_BACK:
        start = front(share) + thickness * inwards
        behind = project(field, start, 1e-8)
        # where the surface is farther away, this is the root, inside the head
        inside = np.linalg.norm(behind - start, axis=1) > EAR_ROOT_CM
        behind[inside] = start[inside]
        faces.append(behind)
    points = np.stack(faces)  # (rings, segments, 3)
    rings = np.concatenate([points, points[:, :1]], 1)  # the texture's seam doubles a segment
    middle = points[0].mean(0)
    count = len(points)
    body = strip(count, EAR_SEGMENTS + 1)[:, ::-1] + 1
    first = 1 + np.arange(EAR_SEGMENTS)
    cap = np.stack([np.zeros(EAR_SEGMENTS, int), first + 1, first], 1)
    v, u = np.meshgrid((np.arange(count) + 1) / count, np.linspace(0, 1, EAR_SEGMENTS + 1), indexing="ij")
    places = np.concatenate([[[0.5, 0.0]], np.stack([u.ravel(), v.ravel()], 1)])
    places[:, 0] = 0.01 + 0.48 * places[:, 0]
    places[:, 1] = EAR_V + (0.99 - EAR_V) * places[:, 1]
    flat = np.concatenate([project(field, middle[None], 1e-8), rings.reshape(-1, 3)])
    return Part(flat, np.concatenate([cap, body]), places)


def _ear_rays(around: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """(K, 3) origins of rays along the ear's axis, at a radius (K,) in directions (K, 3) around it."""
    return EAR_CENTRE + around * radius[:, None] + EAR_FAR * EAR_AXES[2]


def mouth_bag(upper: np.ndarray, lower: np.ndarray) -> Part:
    """The mouth's lining between the lip lines.

    Args:
        upper: (K, 3) the upper lip's line from the picture's left to its right, corners included.
        lower: (K, 3) the lower lip's.

    Returns:
        rows of K vertices as in `BAG`; texture: u along the lips, v around.
    """
    rows, columns = len(BAG), len(upper)
    reach = np.abs(upper[:, 0]).max()
    open_ = np.sqrt(np.maximum(1 - (upper[:, 0] / reach) ** 2, 0))[None]
    jaw = BAG[:, 3][:, None, None]
    line = (1 - jaw) * upper + jaw * lower
    height, depth = BAG[:, :1], BAG[:, 1:2]
    # at the corners the lining has no height, but leads backwards too
    back = depth * np.maximum(open_, 0.6 * np.clip(-depth - 0.3, 0, 1))
    points = line + np.stack([np.zeros((rows, columns)), height * open_, back], -1)
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    # at the corners a wall closes the loop: it opens when lips and jaw part
    index = np.arange(rows * columns).reshape(rows, columns)
    walls = []
    for column, turned in ((0, True), (columns - 1, False)):
        down, up = index[: rows // 2, column], index[::-1, column][: rows // 2]
        quads = np.stack([down[:-1], down[1:], up[1:], up[:-1]], 1)
        wall = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]])
        walls.append(wall[:, ::-1] if turned else wall)
    # seen from inside: the lining faces the hollow
    return Part(
        points.reshape(-1, 3),
        np.concatenate([strip(rows, columns), *walls]),
        np.stack([u.ravel(), v.ravel()], 1),
    )


def lid_lining(line: np.ndarray, line_uv: np.ndarray, upper: bool) -> Part:
    """The edge of a lid and what lies behind it.

    Args:
        line: (K, 3) the lid's line, left eye, from the inner to the outer corner.
        line_uv: (K, 2) its texture places, which the lining shares.
        upper: which lid.
    """
    offset = line - EYE
    direction = offset / np.linalg.norm(offset, axis=1, keepdims=True)
    behind = direction + np.array([0.0, 0.25 if upper else -0.25, 0.0])
    behind /= np.linalg.norm(behind, axis=1, keepdims=True)
    rows = [line, EYE + (BALL_RADIUS + 0.015) * direction, EYE + (BALL_RADIUS + 0.01) * behind]
    triangles = strip(LINING_ROWS, len(line))
    return Part(
        np.concatenate(rows), triangles[:, ::-1] if upper else triangles, np.tile(line_uv, (LINING_ROWS, 1))
    )


def lashes(line: np.ndarray, upper: bool) -> Part:
    """A lid's lashes as one curved strip; texture: u along the lid, v from root (0) to tip.

    The upper lid's lie in the upper half of their texture, the lower lid's in the lower half.
    """
    along = np.linspace(-1, 1, len(line))[:, None]
    up = 1.0 if upper else -1.0
    length = (UPPER_LASH_CM if upper else LOWER_LASH_CM) * (0.55 + 0.45 * np.cos(1.3 * (along - 0.35)))
    offset = line - EYE
    away = offset / np.linalg.norm(offset, axis=1, keepdims=True)
    sideways = np.concatenate([0.55 * along, np.zeros_like(along), np.zeros_like(along)], 1)
    rows = []
    for k in range(LASH_ROWS):
        share = k / (LASH_ROWS - 1)
        # they leave the lid forwards and curve up (upper lid) or down
        way = share * (away + sideways) + up * np.array([0.0, 1.0, 0.0]) * (0.15 * share + 0.5 * share**2)
        rows.append(line + length * way * 0.8 + 0.01 * away)
    v, u = np.meshgrid(np.linspace(0, 1, LASH_ROWS), np.linspace(0, 1, len(line)), indexing="ij")
    half = 0.02 + 0.46 * v.ravel() + (0.0 if upper else 0.5)
    triangles = strip(LASH_ROWS, len(line))
    return Part(
        np.concatenate(rows),
        triangles[:, ::-1] if upper else triangles,
        np.stack([u.ravel(), half], 1),
    )


def _arch(angle: np.ndarray, upper: bool) -> tuple[np.ndarray, np.ndarray]:
    """Places (K, 3) at height 0 on the dental arch and the outward directions (K, 3) there."""
    behind = 0.0 if upper else LOWER_BEHIND
    width, depth = ARCH_WIDTH - 0.4 * behind, ARCH_DEPTH - behind
    zero = np.zeros_like(angle)
    place = np.stack([width * np.sin(angle), zero, ARCH_BACK + depth * np.cos(angle)], -1)
    outwards = np.stack([depth * np.sin(angle), zero, width * np.cos(angle)], -1)
    return place, outwards / np.linalg.norm(outwards, axis=-1, keepdims=True)


def teeth(upper: bool) -> Part:
    """A row of single teeth, from the person's right to the left; each is a shell open at the back.

    Texture: each tooth has its own rectangle, the upper ones in the upper half.
    """
    way, angle = _arch_length(upper)
    ends = np.r_[0, np.cumsum(TOOTH_WIDTHS[not upper])]
    tall = TOOTH_HEIGHTS[not upper]
    down = -1.0 if upper else 1.0
    across, along = np.linspace(-1, 1, TOOTH_COLUMNS), np.linspace(0, 1, TOOTH_ROWS)
    s, t = np.meshgrid(across, along)  # t from the neck to the edge
    count = len(tall)
    points: list[np.ndarray] = []
    uv: list[np.ndarray] = []
    triangles: list[np.ndarray] = []
    pattern = strip(TOOTH_ROWS, TOOTH_COLUMNS)
    for k in range(-count, count):
        tooth = k if k >= 0 else -k - 1
        middle, half = (ends[tooth] + ends[tooth + 1]) / 2, (ends[tooth + 1] - ends[tooth]) / 2
        waist = 0.8 + 0.17 * np.sin(np.pi * np.minimum(t * 0.75, 0.5))  # narrower at the neck
        sign = 1 if k >= 0 else -1
        place, outwards = _arch(sign * np.interp(middle + sign * s * half * waist, way, angle), upper)
        bulge = 0.1 * (1 - t**2) + 0.14 * (1 - np.abs(s) ** 2.5) - 0.18 - 0.1 * np.maximum(t - 0.7, 0)
        rounded = t - 0.07 * t**4 * np.abs(s) ** 3 - 0.04 * (1 - t) * s**2  # corners, and the neck's bow
        tooth_points = place + bulge[..., None] * outwards
        tooth_points[..., 1] = (UPPER_NECK if upper else LOWER_NECK) + down * tall[tooth] * rounded
        left = (k + count) / (2 * count)
        cell = np.stack([left + (0.1 + 0.4 * (s + 1)) / (2 * count), 0.02 + 0.46 * t], -1)
        triangles.append(pattern + len(points) * TOOTH_ROWS * TOOTH_COLUMNS)
        points.append(tooth_points.reshape(-1, 3))
        uv.append((cell + [0, 0 if upper else 0.5]).reshape(-1, 2))
    faces = np.concatenate(triangles)
    return Part(np.concatenate(points), faces if upper else faces[:, ::-1], np.concatenate(uv))


def gums(upper: bool) -> Part:
    """The gum behind and above (below) a row of teeth; texture: u along it, upper one in upper half."""
    reach = np.interp(sum(TOOTH_WIDTHS[not upper]), *_arch_length(upper))
    place, outwards = _arch(np.linspace(-reach, reach, GUM_COLUMNS), upper)
    up = 1.0 if upper else -1.0
    rows = []
    for height, depth in GUM_ROWS:
        row = place + (depth - 0.12) * outwards
        row[:, 1] = (UPPER_NECK if upper else LOWER_NECK) + up * height
        rows.append(row)
    v, u = np.meshgrid(np.linspace(0.01, 0.49, len(rows)), np.linspace(0, 1, GUM_COLUMNS), indexing="ij")
    triangles = strip(len(rows), GUM_COLUMNS)
    return Part(
        np.concatenate(rows),
        triangles if upper else triangles[:, ::-1],
        np.stack([u.ravel(), v.ravel() + (0.0 if upper else 0.5)], 1),
    )


def _arch_length(upper: bool) -> tuple[np.ndarray, np.ndarray]:
    """Arc lengths from the middle and the angles at which they are reached."""
    angle = np.linspace(0, np.pi / 2, 400)
    steps = np.linalg.norm(np.diff(_arch(angle, upper)[0], axis=0), axis=1)
    return np.r_[0, steps.cumsum()], angle


def tongue() -> Part:
    """The tongue's upper side and tip; texture: u across, v from the root (0) to the tip and under it (1)."""
    along = np.linspace(0, 1, TONGUE_ROWS)
    across = np.linspace(-1, 1, TONGUE_COLUMNS)
    turn = np.deg2rad(100 - 145 * along)[:, None]  # from the back over the top to below the tip
    width = np.sqrt(np.maximum(1 - np.clip((along - 0.35) / 0.75, 0, 1) ** 3, 0.02))[:, None]
    x = across[None] * width
    y = np.sin(np.clip(turn, -0.8, np.pi / 2)) * np.ones_like(x) * (1 - 0.5 * np.abs(across) ** 3)
    y = y - 0.12 * np.exp(-((across / 0.16) ** 2)) * np.clip(turn, 0, 1)  # the groove
    z = np.cos(turn) * (1 - 0.25 * across**2)
    points = TONGUE_CENTRE + np.stack([x, y, z + 0 * x], -1) * TONGUE_SIZE
    v, u = np.meshgrid(along, np.linspace(0, 1, TONGUE_COLUMNS), indexing="ij")
    return Part(
        points.reshape(-1, 3), strip(TONGUE_ROWS, TONGUE_COLUMNS), np.stack([u.ravel(), v.ravel()], 1)
    )
