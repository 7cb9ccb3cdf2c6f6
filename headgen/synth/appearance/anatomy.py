"""What anything worn on a head needs to know of it: where its skin, skull, ears, eyes and neck are.

All of it is measured on the neutral vertices and the landmarks, so that it holds for every head model.
Frame: the neutral head's (cm, x to the picture's right, y up, z towards the camera).

Legend: N points, A azimuths, E elevations of the skull's grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, grey_opening, map_coordinates
from scipy.spatial import cKDTree

from headgen.synth.heads.model import Topology

GRID_DEG = 2.5  # of the skull's grid
SPACING_CM = 0.35  # between samples of the skin
EAR_WINDOW_DEG = 60.0  # wider than an ear, seen from the middle of the head
EAR_SECTOR_DEG = (50.0, 140.0)  # azimuths between which ears are looked for
EAR_STANDS_OFF_CM = 0.55  # how far skin must stand off the skull to be counted as ear


@dataclass(frozen=True)
class Skin:
    """Samples of a closed enough skin, to ask how far outside of it a point lies.

    Attributes:
        points: (N, 3) float64.
        normals: (N, 3) float64, unit length, outwards.
        tree: of the points.
    """

    points: np.ndarray
    normals: np.ndarray
    tree: cKDTree

    @classmethod
    def of(cls, vertices: np.ndarray, triangles: np.ndarray, spacing: float = SPACING_CM) -> Skin:
        """Samples triangles (F, 3) evenly; `spacing` in cm."""
        normals = vertex_normals(vertices, triangles)
        points, weights, corners = _samples(vertices, triangles, spacing)
        turned = (normals[corners] * weights[..., None]).sum(1)
        turned /= np.linalg.norm(turned, axis=1, keepdims=True) + 1e-12
        return cls(points, turned, cKDTree(points))

    def joined(self, other: Skin) -> Skin:
        """Both skins as one."""
        points = np.concatenate([self.points, other.points])
        return Skin(points, np.concatenate([self.normals, other.normals]), cKDTree(points))

    def height(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far outside points (N, 3) lie.

        Returns:
            (N,) cm, negative inside, and the outward direction (N, 3) there. Mean of the planes of the three
            nearest samples, so that it changes smoothly.
        """
        distance, near = self.tree.query(points, k=3)
        weights = 1 / (distance + 1e-3)
        weights /= weights.sum(1, keepdims=True)
        normal = (self.normals[near] * weights[..., None]).sum(1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
        foot = (self.points[near] * weights[..., None]).sum(1)
        plane = ((points - foot) * normal).sum(1)
        # beyond an edge of the skin its plane says little: there the distance itself counts
        beyond = distance[:, 0] ** 2 > plane**2 + 0.8
        return np.where(beyond, distance[:, 0], plane), normal

    def keep_outside(
        self, points: np.ndarray, margin: float | np.ndarray, rounds: int = 3, deepest: float = 6.0
    ) -> np.ndarray:
        """Points (N, 3), those nearer to the skin than `margin` cm moved outwards until they are not.

        Args:
            points: (N, 3).
            margin: cm, one or (N,).
            rounds: how often it is looked where the points are.
            deepest: cm; points further inside stay (their nearest skin says nothing about their way out).
        """
        points = np.array(points, np.float64)
        for _ in range(rounds):
            height, normal = self.height(points)
            lack = np.where(height > -deepest, np.clip(margin - height, 0, None), 0)
            points += lack[:, None] * normal
        return points


@dataclass(frozen=True)
class Anatomy:
    """Measures of one neutral head.

    Attributes:
        vertices: (V, 3) float32.
        skin: of the whole head, ears, neck and what the model has of the shoulders.
        landmarks: (68, 3) Multi-PIE.
        centre: (3,) between the ears at the height of the eyes.
        skull: (E, A) cm from the centre to the skin without ears, by elevation from -90 and azimuth from -180
            degrees (0 looks forward, positive to the picture's right).
        ears: (2, 2, 3) lowest and highest x, y, z of the ears; the picture's left one first.
        unit: cm, a third of the face (brows to the base of the nose): 6.4 or so for an adult.
    """

    vertices: np.ndarray
    skin: Skin
    landmarks: np.ndarray
    centre: np.ndarray
    skull: np.ndarray
    ears: np.ndarray
    unit: float

    @classmethod
    def of(cls, neutral: np.ndarray, topology: Topology) -> Anatomy:
        """Measures a neutral head (V, 3) of a head model."""
        neutral = np.asarray(neutral, np.float32)
        landmarks = neutral[topology.landmarks_68].astype(np.float64)
        return cls.measured(neutral, topology.triangles[topology.of("skin")], landmarks)

    @classmethod
    def measured(cls, vertices: np.ndarray, triangles: np.ndarray, landmarks: np.ndarray) -> Anatomy:
        """Measures a head from its skin's triangles (F, 3) and landmarks (68, 3)."""
        skin = Skin.of(vertices, triangles)
        eyes = landmarks[36:48].mean(0)
        # between the ears: the face's back edge lies in front of their middle by a quarter of its width
        width = landmarks[16, 0] - landmarks[0, 0]
        centre = np.array([0.0, eyes[1], landmarks[[0, 16], 2].mean() - 0.25 * width])
        skull, ears = _skull(skin, centre, landmarks)
        unit = float(landmarks[19:25, 1].mean() - landmarks[33, 1])
        return cls(vertices, skin, landmarks, centre, skull, ears, unit)

    def directions(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Azimuth and elevation in degrees and distance from the centre of points (..., 3)."""
        offset = points - self.centre
        distance = np.linalg.norm(offset, axis=-1)
        azimuth = angle(offset[..., 0], offset[..., 2])
        elevation = np.rad2deg(np.arcsin(np.clip(offset[..., 1] / (distance + 1e-9), -1, 1)))
        return azimuth, elevation, distance

    def radius(self, azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
        """Distance in cm from the centre to the skull in directions given in degrees."""
        azimuth, elevation = np.broadcast_arrays(azimuth, elevation)
        row = (elevation.ravel() + 90) / GRID_DEG
        column = ((azimuth.ravel() + 180) % 360) / GRID_DEG
        wide = np.concatenate([self.skull, self.skull[:, :2]], 1)
        return map_coordinates(wide, [row, column], order=1, mode="nearest").reshape(azimuth.shape)

    def on_skull(
        self, azimuth: np.ndarray, elevation: np.ndarray, lift: float | np.ndarray = 0
    ) -> np.ndarray:
        """(..., 3) points above the skull in directions given in degrees; `lift` in cm."""
        azimuth, elevation = np.broadcast_arrays(azimuth, elevation)
        distance = self.radius(azimuth, elevation) + lift
        return self.centre + unit_vectors(azimuth, elevation) * distance[..., None]

    def elevation_of_height(self, azimuth: np.ndarray, height: np.ndarray) -> np.ndarray:
        """Elevation in degrees at which the skull in directions (N,) is `height` (N,) cm above the eyes."""
        azimuth, height = np.broadcast_arrays(np.asarray(azimuth, np.float64), height)
        grid = np.linspace(-70, 88, 317)
        levels = self.radius(azimuth[:, None], grid[None]) * np.sin(np.deg2rad(grid))
        levels = np.maximum.accumulate(levels, 1)
        return np.array([np.interp(h, row, grid) for h, row in zip(height, levels, strict=True)])

    @property
    def chin(self) -> np.ndarray:
        """(3,) lowest landmark of the jaw."""
        return self.landmarks[8]

    @property
    def hairline_height(self) -> float:
        """Cm above the eyes at which a usual hairline meets the middle of the forehead."""
        brow = self.landmarks[19:25, 1].mean() - self.centre[1]
        top = (
            self.centre[1]
            + self.radius(np.array([0.0]), np.array([89.0]))[0]
            - self.landmarks[19:25, 1].mean()
        )
        # Our design: the rule of thirds would put it one unit above the brows, which on low foreheads leaves
        # no scalp at the front; hence not above five eighths of the way from the brows to the top.
        return float(brow + min(0.85 * self.unit, 0.62 * top))


def angle(up: np.ndarray, along: np.ndarray) -> np.ndarray:
    """arctan2 in degrees.

    Our design: of contiguous copies, because NumPy 1.26 rounds arctan2 of columns of an array in one way or
    another depending on where the memory lies, and the same seed must give the same bytes.
    """
    return np.rad2deg(np.arctan2(np.array(up, order="C"), np.array(along, order="C")))


def unit_vectors(azimuth: np.ndarray | float, elevation: np.ndarray | float) -> np.ndarray:
    """(..., 3) directions from azimuth and elevation in degrees."""
    a, e = np.deg2rad(azimuth), np.deg2rad(elevation)
    return np.stack([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)], -1)


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) float64 normals of unit length, weighted by area; zero for vertices without triangles."""
    corners = vertices[triangles].astype(np.float64)
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    out = np.zeros((len(vertices), 3))
    for k in range(3):
        for axis in range(3):
            out[:, axis] += np.bincount(triangles[:, k], faces[:, axis], len(vertices))
    return out / (np.linalg.norm(out, axis=1, keepdims=True) + 1e-12)


def _samples(
    vertices: np.ndarray, triangles: np.ndarray, spacing: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Even samples of triangles: points (N, 3), barycentric weights (N, 3), corners (N, 3)."""
    corners = vertices[triangles].astype(np.float64)
    longest = np.linalg.norm(corners - np.roll(corners, 1, 1), axis=2).max(1)
    parts = np.clip(np.ceil(longest / spacing), 1, 12).astype(int)
    weights, owner = [], []
    for count in np.unique(parts):
        i, j = np.meshgrid(np.arange(count), np.arange(count), indexing="ij")
        inside = i + j < count
        a, b = (i[inside] + 1 / 3) / count, (j[inside] + 1 / 3) / count
        block = np.stack([a, b, 1 - a - b], 1)
        chosen = np.flatnonzero(parts == count)
        weights.append(np.tile(block, (len(chosen), 1)))
        owner.append(np.repeat(chosen, len(block)))
    weight, owners = np.concatenate(weights), np.concatenate(owner)
    points = (corners[owners] * weight[..., None]).sum(1)
    return points, weight, triangles[owners]


def _skull(skin: Skin, centre: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The skull's grid without ears, and the boxes (2, 2, 3) of the ears."""
    offset = skin.points - centre
    distance = np.linalg.norm(offset, axis=1)
    outward = (skin.normals * offset).sum(1) > 0
    rows, columns = int(180 / GRID_DEG) + 1, int(360 / GRID_DEG)
    azimuth = angle(offset[:, 0], offset[:, 2])
    elevation = np.rad2deg(np.arcsin(np.clip(offset[:, 1] / distance, -1, 1)))
    row = np.rint((elevation + 90) / GRID_DEG).astype(int)
    column = np.rint((azimuth + 180) / GRID_DEG).astype(int) % columns
    grid = np.full((rows, columns), -np.inf)
    np.maximum.at(grid, (row[outward], column[outward]), distance[outward])
    vectors = unit_vectors(*np.meshgrid(np.arange(columns) * GRID_DEG - 180, np.arange(rows) * GRID_DEG - 90))
    empty = ~np.isfinite(grid)
    near = cKDTree(vectors[~empty]).query(vectors[empty])[1]
    grid[empty] = grid[~empty][near]
    window = int(EAR_WINDOW_DEG / GRID_DEG) | 1
    bare = grey_opening(np.tile(grid, 3), (1, window))[:, columns : 2 * columns]
    around = np.abs(np.arange(columns) * GRID_DEG - 180)
    side = (around > EAR_SECTOR_DEG[0]) & (around < EAR_SECTOR_DEG[1])
    height = np.arange(rows) * GRID_DEG - 90
    level = (height > -40) & (height < 45)
    skull = np.where(level[:, None] & side, bare, grid)
    skull = gaussian_filter(skull, 1.0, mode=("nearest", "wrap"))

    lowest, highest = landmarks[33, 1] - 3.0, landmarks[19:25, 1].mean() + 3.0
    stands_off = distance - map_coordinates(
        np.concatenate([skull, skull[:, :1]], 1),
        [(elevation + 90) / GRID_DEG, ((azimuth + 180) % 360) / GRID_DEG],
        order=1,
        mode="nearest",
    )
    ear = (
        (stands_off > EAR_STANDS_OFF_CM)
        & (np.abs(azimuth) > EAR_SECTOR_DEG[0])
        & (np.abs(azimuth) < EAR_SECTOR_DEG[1])
        & (skin.points[:, 1] > lowest)
        & (skin.points[:, 1] < highest)
    )
    boxes = []
    for sign in (-1, 1):
        mine = skin.points[ear & (np.sign(offset[:, 0]) == sign)]
        if len(mine) < 5:  # a head without ears: where they would be
            mid = np.array([sign * bare[rows // 2, columns // 4], landmarks[33, 1] + 2.5, centre[2]])
            mine = mid + np.array([[-0.5, -3.0, -1.5], [0.5, 3.0, 1.5]])
        boxes.append(np.percentile(mine, [2, 98], axis=0))
    return skull, np.array(boxes)
