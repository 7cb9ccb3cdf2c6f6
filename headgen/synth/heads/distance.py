"""Signed distance fields made of smoothly united ellipsoids and Gaussian bumps, with exact gradients.

Units are those of the points (centimetres in this project); distances are negative inside. The field is a
distance to first order near its zero level (gradient length about 1), not an exact Euclidean distance.

Legend: N points, K ellipsoids, M bumps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

CHUNK = 4096  # points at a time: keeps the (N, M) arrays in the cache
STEP_CM = 0.6  # longest Newton step
SHORTEST_GRADIENT = 0.25  # below it a Newton step would overshoot
DIFFERENCE_CM = 1e-4
TRACE_STEPS = 400
CAUTION = 0.8  # share of the distance that a ray goes at once: near creases the field says too much


class Distance(Protocol):
    """A signed distance field."""

    def distance(self, points: np.ndarray) -> np.ndarray:
        """(N,) signed distance of points (N, 3)."""

    def distance_and_gradient(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Signed distance (N,) and its gradient (N, 3)."""


@dataclass(frozen=True)
class Ellipsoids:
    """Solids in the order in which they are joined.

    Attributes:
        centre: (K, 3).
        axes: (K, 3, 3) rotations; columns are the directions of the half axes.
        radii: (K, 3) half axes.
        blend: (K,) radius of the smooth edge with what came before.
        carve: (K,) bool, True takes the solid away instead of adding it.
    """

    centre: np.ndarray
    axes: np.ndarray
    radii: np.ndarray
    blend: np.ndarray
    carve: np.ndarray


@dataclass(frozen=True)
class Bumps:
    """Gaussian displacements of the surface, outwards where the height is positive.

    Attributes:
        centre: (M, 3).
        precision: (M, 3, 3) symmetric, 1 / sigma^2 along its axes.
        height: (M,).
    """

    centre: np.ndarray
    precision: np.ndarray
    height: np.ndarray


@dataclass(frozen=True)
class Field:
    """Smooth union (and difference) of ellipsoids, displaced by bumps.

    The distance to an ellipsoid is the first-order bound ``f (f - 1) / |grad f^2 / 2|`` with ``f = |p / r|``
    (Quilez, "Ellipsoid SDF", 2008), two solids join by the exponential smooth minimum (Quilez, "Smooth
    minimum", 2013), which is smooth everywhere.
    """

    solids: Ellipsoids
    bumps: Bumps

    def distance(self, points: np.ndarray) -> np.ndarray:
        """(N,) float64 signed distance of points (N, 3)."""
        return self.distance_and_gradient(points)[0]

    def distance_and_gradient(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Signed distance (N,) and its gradient (N, 3), float64, at points (N, 3)."""
        points = np.asarray(points, np.float64)
        distance, gradient = np.empty(len(points)), np.empty((len(points), 3))
        for start in range(0, len(points), CHUNK):
            part = slice(start, start + CHUNK)
            d, g = self._joined(points[part])
            drop, slope = self._displaced(points[part])
            distance[part], gradient[part] = d - drop, g - slope
        return distance, gradient

    def _joined(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        s = self.solids
        distance = np.full(len(points), np.inf)
        gradient = np.zeros_like(points)
        for k in range(len(s.centre)):
            d, g = _ellipsoid(points, s.centre[k], s.axes[k], s.radii[k])
            if k == 0:
                distance, gradient = d, g
                continue
            sign = -1.0 if s.carve[k] else 1.0
            # a carved solid is the union's mirror: max(a, -b) = -min(-a, b)
            gap = sign * distance - d
            edge = np.exp(-np.abs(gap) / s.blend[k])
            share = np.where(gap > 0, 1.0, edge) / (1.0 + edge)  # of the new solid
            joined = sign * distance - np.maximum(gap, 0) - s.blend[k] * np.log1p(edge)
            distance = sign * joined
            gradient = gradient + share[:, None] * (sign * g - gradient)
        return distance, gradient

    def _displaced(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        b = self.bumps
        x, y, z = points.T
        pulled = np.einsum("mij,mj->mi", b.precision, b.centre)
        constant = np.einsum("mi,mi->m", pulled, b.centre)
        a = b.precision
        quadratic = np.stack(
            [a[:, 0, 0], a[:, 1, 1], a[:, 2, 2], 2 * a[:, 0, 1], 2 * a[:, 0, 2], 2 * a[:, 1, 2]]
            + [*(-2 * pulled.T), constant]
        )
        terms = np.stack([x * x, y * y, z * z, x * y, x * z, y * z, x, y, z, np.ones_like(x)], 1)
        value = np.exp(np.minimum(-0.5 * (terms @ quadratic), 0.0)) * b.height
        turned = (value @ a.reshape(-1, 9)).reshape(-1, 3, 3)
        slope = value @ pulled - np.einsum("nij,nj->ni", turned, points)
        return value.sum(1), slope


class Warped:
    """A field seen through a deformation of space: the distance at ``p`` is the inner field's at ``pull(p)``.

    The zero level is exact; distances are stretched as far as space is, and corrected by nothing.
    """

    def __init__(self, inner: Distance, pull: Callable[[np.ndarray], np.ndarray]) -> None:
        """Takes the inner field and the map from outer to inner points, (N, 3) to (N, 3)."""
        self.inner, self.pull = inner, pull

    def distance(self, points: np.ndarray) -> np.ndarray:
        """(N,) float64 signed distance of points (N, 3)."""
        return self.inner.distance(self.pull(np.asarray(points, np.float64)))

    def distance_and_gradient(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Signed distance (N,) and gradient (N, 3); the map's Jacobian by central differences."""
        points = np.asarray(points, np.float64)
        distance, inner = self.inner.distance_and_gradient(self.pull(points))
        gradient = np.empty_like(inner)
        for axis in range(3):
            aside = np.zeros(3)
            aside[axis] = DIFFERENCE_CM
            column = (self.pull(points + aside) - self.pull(points - aside)) / (2 * DIFFERENCE_CM)
            gradient[:, axis] = (column * inner).sum(1)
        return distance, gradient


def project(field: Distance, points: np.ndarray, tolerance: float = 1e-6, steps: int = 40) -> np.ndarray:
    """Moves points (N, 3) along the gradient onto the zero level, by Newton's method.

    Args:
        field: whose surface.
        points: start, within a few centimetres of the surface.
        tolerance: largest |distance| that is left (cm).
        steps: at most.

    Returns:
        (N, 3) float64.
    """
    points = np.array(points, np.float64)
    open_ = np.arange(len(points))
    for _ in range(steps):
        d, g = field.distance_and_gradient(points[open_])
        todo = np.abs(d) > tolerance
        if not todo.any():
            break
        open_, d, g = open_[todo], d[todo], g[todo]
        length2 = np.maximum((g * g).sum(1), SHORTEST_GRADIENT**2)
        step = d[:, None] * g / length2[:, None]
        size = np.linalg.norm(step, axis=1, keepdims=True)
        points[open_] -= step * np.minimum(1.0, STEP_CM / np.maximum(size, 1e-12))
    return points


def trace(
    field: Distance,
    origins: np.ndarray,
    directions: np.ndarray,
    farthest: float,
    tolerance: float = 1e-6,
) -> np.ndarray:
    """How far along each ray the surface is first met (sphere tracing; Hart 1996).

    Args:
        field: whose surface.
        origins: (N, 3), outside.
        directions: (N, 3) unit vectors.
        farthest: where to give up (cm).
        tolerance: largest |distance| of a hit (cm).

    Returns:
        (N,) float64 cm from the origin; NaN where nothing is met.
    """
    travelled = np.zeros(len(origins))
    reached = np.full(len(origins), np.nan)
    open_ = np.arange(len(origins))
    for _ in range(TRACE_STEPS):
        here = origins[open_] + travelled[open_, None] * directions[open_]
        d = field.distance(here)
        hit = np.abs(d) <= tolerance
        reached[open_[hit]] = travelled[open_[hit]]
        travelled[open_] += CAUTION * d
        open_ = open_[~hit & (travelled[open_] < farthest)]
        if not len(open_):
            break
    return reached


def _ellipsoid(
    points: np.ndarray, centre: np.ndarray, axes: np.ndarray, radii: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    scaled = (points - centre) @ (axes / radii)
    steep = scaled / radii
    f = np.sqrt(np.maximum((scaled * scaled).sum(1), 1e-12))
    g = np.sqrt(np.maximum((steep * steep).sum(1), 1e-12))
    distance = f * (f - 1) / g
    # d = f (f - 1) / g; grad f = steep / f and grad g = (steep / r^2) / g in the solid's own axes
    slope = ((2 * f - 1) / (f * g))[:, None] * steep - (distance / g**2)[:, None] * (steep / radii**2)
    return distance, slope @ axes.T


def turned(angles: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) from angles (..., 3) about x, then y, then z, in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.moveaxis(np.cos(angles), -1, 0), np.moveaxis(np.sin(angles), -1, 0)
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)
