"""An eyeball: a sphere with the cornea's bulge, which lids slide on.

Own frame: centre at the origin, radius of the sclera 1, looking along +z.

Legend: N vertices, F triangles, T frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIMBUS_DEG = 25.0
"""Angle between the eye's axis and the border of the iris, seen from the eyeball's centre."""
CORNEA_RADIUS = 0.58
"""Of the cornea's own sphere, in eyeball radii (human: 7.8 of 12 mm; steeper here, for the tear film)."""
IRIS_UV_RADIUS = 0.46
"""Radius of the iris in its texture, which it fills around (0.5, 0.5); u to the picture's right, v down."""

LIMBUS_COSINE = float(np.cos(np.deg2rad(LIMBUS_DEG)))
CORNEA_MIDDLE = LIMBUS_COSINE - float(np.sqrt(CORNEA_RADIUS**2 - (1 - LIMBUS_COSINE**2)))
"""Of the cornea's sphere on the axis, so that it meets the sclera at the limbus."""

SEGMENTS = 32
IRIS_RINGS = 5
SCLERA_RINGS = 11
BACK_DEG = 125.0  # where the mesh ends, behind the lids


@dataclass(frozen=True)
class Eyeball:
    """Mesh of one eyeball.

    Attributes:
        points: (N, 3) float32.
        iris: (F1, 3) triangles, counter-clockwise from outside.
        sclera: (F2, 3) the same.
        iris_uv: (N, 2) texture place of each vertex on the iris: its front view, see `IRIS_UV_RADIUS`.
        sclera_uv: (N, 2) texture place on the sclera: centre (0.5, 0.5), radius in proportion to the angle
            from the axis, 0.5 at 180 degrees.
        pupil: vertex in the middle of the iris.
        limbus: (4,) vertices at the border of the iris: the picture's right, top, left, bottom (the tracker's
            order).
    """

    points: np.ndarray
    iris: np.ndarray
    sclera: np.ndarray
    iris_uv: np.ndarray
    sclera_uv: np.ndarray
    pupil: int
    limbus: np.ndarray


def surface_radius(cosine: np.ndarray) -> np.ndarray:
    """Distance of the eyeball's surface from its centre, in directions at an angle to its axis.

    Args:
        cosine: of the angle between direction and axis, any shape.

    Returns:
        1 on the sclera, up to 1.1 in the cornea's middle; continuous at the limbus.
    """
    cosine = np.asarray(cosine)
    across = CORNEA_MIDDLE**2 * (1 - cosine**2)
    bulge = CORNEA_MIDDLE * cosine + np.sqrt(np.maximum(CORNEA_RADIUS**2 - across, 0))
    return np.where(cosine > LIMBUS_COSINE, bulge, 1.0)


def eyeball() -> Eyeball:
    """Builds the mesh: rings around the axis, one of them the limbus."""
    rings = np.concatenate([
        np.linspace(0, LIMBUS_DEG, IRIS_RINGS + 1)[1:],
        np.linspace(LIMBUS_DEG, BACK_DEG, SCLERA_RINGS + 1)[1:],
    ])  # fmt: skip
    around = np.linspace(0, 2 * np.pi, SEGMENTS, endpoint=False)
    polar, turn = (a.ravel() for a in np.meshgrid(np.deg2rad(rings), around, indexing="ij"))
    polar, turn = np.concatenate([[0], polar]), np.concatenate([[0], turn])
    side = np.stack([np.cos(turn), np.sin(turn)], 1) * np.sin(polar)[:, None]
    points = np.column_stack([side, np.cos(polar)]) * surface_radius(np.cos(polar))[:, None]

    index = 1 + np.arange(len(rings) * SEGMENTS).reshape(len(rings), SEGMENTS)
    after = np.roll(index, -1, axis=1)
    cap = np.stack([np.zeros(SEGMENTS, int), index[0], after[0]], 1)
    a, b, c, d = index[:-1], index[1:], after[1:], after[:-1]
    bands = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], 2).reshape(len(rings) - 1, -1, 3)
    iris = np.concatenate([cap, bands[: IRIS_RINGS - 1].reshape(-1, 3)])
    sclera = bands[IRIS_RINGS - 1 :].reshape(-1, 3)

    down = np.array([1, -1])
    limbus = np.sin(np.deg2rad(LIMBUS_DEG))
    iris_uv = 0.5 + IRIS_UV_RADIUS * down * points[:, :2] / limbus
    outwards = np.stack([np.cos(turn), np.sin(turn)], 1) * down
    sclera_uv = 0.5 + 0.5 * outwards * (polar / np.pi)[:, None]
    quarter = SEGMENTS // 4
    return Eyeball(
        points=points.astype(np.float32),
        iris=iris.astype(np.int32),
        sclera=sclera.astype(np.int32),
        iris_uv=iris_uv.astype(np.float32),
        sclera_uv=sclera_uv.astype(np.float32),
        pupil=0,
        limbus=index[IRIS_RINGS - 1, [0, quarter, 2 * quarter, 3 * quarter]],
    )


def fit_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre (3,) and radius of the sphere nearest to points (N, 3), by linear least squares."""
    points = points.astype(np.float64)
    middle = points.mean(0)  # keeps the equations well conditioned
    offset = points - middle
    columns = np.column_stack([2 * offset, np.ones(len(offset))])
    solution = np.linalg.lstsq(columns, (offset**2).sum(1), rcond=None)[0]
    centre = solution[:3]
    return centre + middle, float(np.sqrt(solution[3] + centre @ centre))


def placement(vertices: np.ndarray, template: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre (3,) and scale that bring a template (N, 3) nearest to vertices (N, 3), without turning."""
    offset = template - template.mean(0)
    scale = float((offset * (vertices - vertices.mean(0))).sum() / (offset**2).sum())
    return vertices.mean(0) - scale * template.mean(0), scale
