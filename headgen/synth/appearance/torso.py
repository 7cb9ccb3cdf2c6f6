"""Neck and shoulders of a dressed person, from the measures of the head alone.

A path runs from the neck down the chest, another over each shoulder and one down the back; between them the
surface goes round as a superellipse. A place on it is an azimuth (0 front, 90 the picture's right) and a
level (0 at the neck below the chin, 1 and 2 at the foot of the neck, 4 on the shoulders, 8 far below the
picture).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d, minimum_filter1d
from scipy.spatial import cKDTree

from headgen.synth.appearance.anatomy import Anatomy, Skin, angle

LEVELS = 8
NECK_BELOW_CHIN_CM = 2.4
ADULT_UNIT_CM = 7.3  # Anatomy.unit that the paths below are drawn for

# cm outwards and up from the neck's ring, by level. Our design: drawn after the shoulders of the ICT head
# down to level 3, and after a chest of 50 cm over the shoulders below.
SIDE = (
    (0, 0),
    (1.0, -1.3),
    (3.2, -2.7),
    (6.8, -4.5),
    (11.5, -6.7),
    (14.6, -9.2),
    (16.8, -14),
    (17.6, -25),
    (18, -60),
)
FRONT = (
    (0, 0),
    (-0.8, -2.2),
    (-1.4, -4.5),
    (-0.7, -7),
    (0.8, -10),
    (2.6, -14),
    (4.0, -19),
    (4.6, -28),
    (4.6, -60),
)
BACK = (
    (0, 0),
    (0.8, -1.0),
    (1.5, -2.1),
    (2.5, -4.5),
    (3.7, -7.5),
    (4.8, -11),
    (5.6, -16),
    (6.0, -27),
    (6.0, -60),
)


@dataclass(frozen=True)
class Torso:
    """A body under a head.

    Attributes:
        skin: the head model's skin that must stay below clothes.
        axis: (3,) middle of the neck at level 0.
        ring: (72,) cm from the axis to the neck's skin at level 0, by azimuth from -180 by 5 degrees.
        build: width of the shoulders, of the usual.
        scale: of lengths, of an adult's.
    """

    skin: Skin
    axis: np.ndarray
    ring: np.ndarray
    build: float
    scale: float

    @classmethod
    def of(cls, anatomy: Anatomy, build: float = 1.0) -> Torso:
        """The torso that fits a head.

        Args:
            anatomy: of the head.
            build: width of the shoulders, 0.9 (slight) to 1.15 (broad).
        """
        scale = anatomy.unit / ADULT_UNIT_CM
        level = anatomy.chin[1] - NECK_BELOW_CHIN_CM * scale
        points = anatomy.skin.points
        slab = points[np.abs(points[:, 1] - level) < 0.6]
        axis = np.array([0.0, level, 0.5 * (slab[:, 2].min() + slab[:, 2].max())])
        offset = slab - axis
        azimuth = angle(offset[:, 0], offset[:, 2])
        steps = np.arange(-180, 180, 5.0)
        apart = np.abs((azimuth[None] - steps[:, None] + 180) % 360 - 180)
        weights = np.exp(-0.5 * (apart / 6) ** 2)
        ring = (weights * np.hypot(offset[:, 0], offset[:, 2])).sum(1) / weights.sum(1)
        return cls(anatomy.skin, axis, ring, build, scale)

    def neck(self, azimuth: np.ndarray) -> np.ndarray:
        """Cm from the axis to the skin of the neck at level 0, by azimuth in degrees."""
        steps = np.arange(-180, 185, 5.0)
        return np.interp((np.asarray(azimuth) + 180) % 360 - 180, steps, np.append(self.ring, self.ring[0]))

    def surface(self, azimuth: np.ndarray, level: np.ndarray, lift: float | np.ndarray = 0.0) -> np.ndarray:
        """(..., 3) cm: places of the body's surface; `lift` in cm away from it, roughly along its normal."""
        azimuth, level = np.broadcast_arrays(np.asarray(azimuth, float), level)
        turn = np.deg2rad(azimuth)
        sine, cosine = np.sin(turn), np.cos(turn)
        # round at the neck, boxier on the chest
        power = np.interp(level, [0, 2, 4, 8], [1.0, 0.95, 0.8, 0.7])
        across = np.sign(sine) * np.abs(sine) ** power
        along = np.sign(cosine) * np.abs(cosine) ** power
        tables = {}
        for name, table in (("side", SIDE), ("front", FRONT), ("back", BACK)):
            curve = PchipInterpolator(np.arange(LEVELS + 1), np.array(table, float) * self.scale)
            tables[name] = curve(np.clip(level, 0, LEVELS))
        wide = np.interp(level, [1, 4], [1.0, self.build])
        neck = self.neck(azimuth)
        x = across * (tables["side"][..., 0] * wide + neck)
        ahead = np.where(cosine[..., None] >= 0, tables["front"], tables["back"])
        z = along * (ahead[..., 0] + neck)
        round_ = np.abs(cosine) ** 1.5
        y = tables["side"][..., 1] * (1 - round_) + ahead[..., 1] * round_
        flat = np.interp(
            level, [0, 1, 3, 4.5, 6], [0.0, 0.5, 0.85, 0.7, 0.0]
        )  # share of the lift that goes up
        lift = np.broadcast_to(lift, level.shape)
        out = np.stack([across, np.zeros_like(across), along], -1) * (lift * np.sqrt(1 - flat**2))[..., None]
        points = self.axis + np.stack([x, y, z], -1) + out
        points[..., 1] += lift * flat
        return points

    def cloth(self, azimuth: np.ndarray, level: np.ndarray, lift: float | np.ndarray) -> np.ndarray:
        """The same, kept at least `lift` cm above the head model's own neck and shoulders."""
        points = self.surface(azimuth, level, lift)
        flat = points.reshape(-1, 3)
        near = flat[:, 1] > self.skin.points[:, 1].min() - 1.5
        margin = np.broadcast_to(lift, points.shape[:-1]).reshape(-1)
        flat[near] = self.skin.keep_outside(flat[near], margin[near], rounds=3, deepest=3.0)
        out = flat.reshape(points.shape)
        for axis in range(out.ndim - 1):  # cloth does not take on every dent
            around = axis == out.ndim - 2 and out.shape[axis] > 8
            closed = around and np.allclose(out[..., 0, :], out[..., -1, :], atol=1e-6)
            if closed:
                out = out[..., :-1, :]
            out = gaussian_filter1d(out, 1.0, axis=axis, mode="wrap" if closed else "nearest")
            if closed:
                out = np.concatenate([out, out[..., :1, :]], -2)
        flat = out.reshape(-1, 3).copy()
        flat[near] = self.skin.keep_outside(flat[near], 0.6 * margin[near], rounds=3, deepest=3.0)
        out = flat.reshape(points.shape)
        return out

    def cloth_above(self, points: np.ndarray, lift: float) -> np.ndarray:
        """(N, 3) points moved outwards to at least `lift` cm above the body and the head model's skin."""
        moved = self.as_skin(0.0).keep_outside(points, lift)
        return self.skin.keep_outside(moved, lift, deepest=3.0)

    @cached_property
    def _floor(self) -> np.ndarray:
        """(73,) level down to which the head model has skin, by azimuth from -180 to 180 in steps of 5."""
        offset = self.skin.points - self.axis
        around = angle(offset[:, 0], offset[:, 2])
        below = offset[:, 1] < 1.0
        levels = np.linspace(0, 5, 51)
        out = np.empty(72)
        for k, turn in enumerate(np.arange(-180, 180, 5.0)):
            near = below & (np.abs((around - turn + 180) % 360 - 180) < 10)
            floor = self.skin.points[near, 1].min() + 0.8
            height = self.surface(np.full(51, turn), levels)[:, 1]
            out[k] = levels[(height > floor).argmin() - 1] if (height <= floor).any() else levels[-1]
        out = gaussian_filter1d(minimum_filter1d(np.clip(out, 0.5, None), 5, mode="wrap"), 1.5, mode="wrap")
        return np.append(out, out[0])

    def deepest(self, azimuth: np.ndarray) -> np.ndarray:
        """Level down to which the head model has skin, by azimuth in degrees: necklines end above it."""
        return np.interp((np.asarray(azimuth) + 180) % 360 - 180, np.arange(-180, 181, 5.0), self._floor)

    def azimuth_at(self, x: np.ndarray, level: np.ndarray) -> np.ndarray:
        """Azimuth in degrees from 0 to 88 at which the front is `x` cm from the middle, by level (N,)."""
        angles = np.linspace(0, 88, 89)
        places = self.surface(angles[None], np.asarray(level)[:, None])[..., 0]
        return np.array([np.interp(want, row, angles) for want, row in zip(x, places, strict=True)])

    def as_skin(self, lift: float = 1.0) -> Skin:
        """Shoulders, chest and back down to level 8 as something to keep outside of."""
        azimuth, level = np.meshgrid(np.arange(-180, 180, 4.0), np.arange(1.5, 8.01, 0.15))
        points = self.surface(azimuth, level, lift)
        along = np.roll(points, -1, 1) - np.roll(points, 1, 1)
        down = np.gradient(points, axis=0)
        normals = np.cross(down, along).reshape(-1, 3)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
        flat = points.reshape(-1, 3)
        return Skin(flat, normals, cKDTree(flat))
