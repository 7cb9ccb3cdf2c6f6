"""The analytic head's skin as a grid of fixed topology on the field's zero level, cut at lips and lids.

Rows run from the crown to the shoulders, columns around the head: column 0 and the last one meet at the
back, the middle one is the face's middle. Two rows pass along the lid lines, two along the lip line; between
the two of a pair there are no triangles, and outside the slit both have the same places. Texture places are
the grid's own parameters.

Legend: R rows, C columns, H columns of one half (the face's middle first, the back last), N vertices.
"""

from __future__ import annotations

import numpy as np

from headgen.synth.heads.distance import Distance, project, trace

HALF = 49
COLUMNS = 2 * HALF - 1
MIDDLE = HALF - 1
ROWS = 88
LID_ROW, LIP_ROW = 29, 57
"""The upper row of each pair; the lower one follows it."""
INNER_CORNER, OUTER_CORNER = 8, 21
"""Half columns of the corners of an eye."""
LIP_CORNER = 11
"""Half column of the corner of the mouth."""
SKIN_V = 0.86
"""Share of the texture's height that the grid takes; ears take the rest."""

EYE = np.array([3.05, 3.58, 7.97])
"""Centre of the left eye (picture's right) in the mean head, cm."""
LID_RADIUS = 1.6
"""Of the sphere on which the lids lie, cm."""
INNER_CANTHUS, OUTER_CANTHUS = (1.86, 3.24), (4.44, 3.42)
"""x and y of the corners of the left eye (inner distance 3.7, outer 8.9 cm)."""
UPPER_LID, LOWER_LID = 0.66, 0.36
"""How far the lid lines bow up and down from the line between the corners, cm."""
LIP_HALF_WIDTH = 2.26
LIP_LINE, LIP_BOW = -3.36, -0.0062
"""Height of the lip line in the middle, cm, and the factor of x^4 by which it sinks towards the corners."""

SPINE = np.array([
    # row, y and z of the ray's origin, elevation in front and at the back (degrees)
    (0, 5.0, 0.8, 90, 90),
    (10, 5.0, 0.8, 50, 40),
    (20, 4.2, 0.8, 18, 10),
    (29, 3.4, 0.8, 1, -4),
    (39, 0.4, 0.8, 2, -10),
    (47, -2.0, 0.5, 4, -8),
    (57.5, -3.4, 0.5, 0, -4),
    (67, -3.6, 1.5, -19, 0),
    (72, -4.0, 1.5, -40, 0),
    (76, -7.0, 0.0, -28, 0),
    (80, -10.5, -1.0, -4, 0),
    (84, -12.0, -1.5, -20, -24),
    (87, -12.0, -2.0, -41, -38),
])  # fmt: skip
ROW_STEP = (
    (0, 0.95), (10, 0.75), (20, 0.5), (24, 0.27), (28, 0.14), (29, 0.14), (30, 0.14), (34, 0.22), (40, 0.3),
    (48, 0.26), (52, 0.2), (56, 0.13), (57, 0.13), (58, 0.13), (62, 0.22), (68, 0.35), (76, 0.6), (87, 1.1),
)  # fmt: skip
"""Wanted distance of rows, cm, by row: knots of a piecewise linear function."""
COLUMN_STEP = ((0, 0.21), (10, 0.21), (21, 0.23), (28, 0.35), (36, 0.7), (48, 1.0))
FAN = ((0, 0.0), (10, 12.0), (21, 27.0), (28, 42.0), (36, 85.0), (48, 180.0))
"""Azimuth of rays by half column, degrees."""

RELAXATIONS = 60
PROJECT_EVERY = 3


def lip_height(x: np.ndarray) -> np.ndarray:
    """Height in cm of the closed lips' line at x."""
    return LIP_LINE + LIP_BOW * x**4


def lid_line(along: np.ndarray, upper: bool, centre: np.ndarray = EYE) -> np.ndarray:
    """A lid's edge on the lid's sphere.

    Args:
        along: (K,) from -1 at the inner corner to 1 at the outer one.
        upper: which lid.
        centre: of the sphere.

    Returns:
        (K, 3) cm, left eye.
    """
    inner, outer = np.array(INNER_CANTHUS), np.array(OUTER_CANTHUS)
    x, y = (inner + (outer - inner) * ((along + 1) / 2)[:, None]).T
    if upper:  # highest a little towards the nose
        y = y + UPPER_LID * (1 - np.abs(along) ** 2.3) * (1 - 0.12 * along)
    else:  # lowest a little towards the temple
        y = y - LOWER_LID * (1 - np.abs(along) ** 2.2) * (1 + 0.12 * along)
    dx, dy = x - centre[0], y - centre[1]
    return np.stack([x, y, centre[2] + np.sqrt(np.maximum(LID_RADIUS**2 - dx**2 - dy**2, 0.01))], 1)


def skin_grid(field: Distance) -> np.ndarray:
    """Places the grid on the zero level of the mean head's field, which is symmetric.

    Rays from a line in the head's middle find a first grid; then it is evened out on the surface by weighted
    Laplacian smoothing, lid and lip lines held, with every vertex led back by Newton's method.

    Returns:
        (R, C, 3) float64.
    """
    half = _first_half(field)
    held = np.zeros((ROWS, HALF), bool)
    held[0] = held[-1] = True
    _pin_lines(field, half, held)
    half = _evened(field, half, held)
    mirrored = half[:, :0:-1] * [-1, 1, 1]
    return np.concatenate([mirrored, half], 1)


def _first_half(field: Distance) -> np.ndarray:
    rows = np.arange(ROWS, dtype=np.float64)
    y, z, front, back = (np.interp(rows, SPINE[:, 0], SPINE[:, k]) for k in range(1, 5))
    azimuth = np.deg2rad(_knots(FAN, np.arange(HALF)))
    backwards = (1 - np.cos(azimuth)) / 2
    elevation = np.deg2rad(front[:, None] * (1 - backwards) + back[:, None] * backwards)
    direction = np.stack([
        np.sin(azimuth) * np.cos(elevation),
        np.sin(elevation),
        np.cos(azimuth) * np.cos(elevation),
    ], -1)  # fmt: skip
    origin = np.stack([np.zeros(ROWS), y, z], 1)[:, None] + np.zeros((1, HALF, 1))
    far = 24.0
    outside = (origin + far * direction).reshape(-1, 3)
    way = trace(field, outside, -direction.reshape(-1, 3), far, 1e-3).reshape(ROWS, HALF)
    points = origin + (far - way)[..., None] * direction
    points[0] = points[0, 0]
    return points


def _pin_lines(field: Distance, half: np.ndarray, held: np.ndarray) -> None:
    columns = np.arange(INNER_CORNER, OUTER_CORNER + 1)
    along = np.linspace(-1, 1, len(columns))
    along = np.sin(along * 1.25) / np.sin(1.25)  # denser at the corners
    for row, upper in ((LID_ROW, True), (LID_ROW + 1, False)):
        half[row, columns] = project(field, lid_line(along, upper))
        held[row, columns] = True
    columns = np.arange(LIP_CORNER + 1)
    share = columns / LIP_CORNER
    x = LIP_HALF_WIDTH * np.sin(share * 1.2) / np.sin(1.2)
    start = np.stack([x, lip_height(x), np.full(len(x), 16.0)], 1)
    ahead = np.broadcast_to([0.0, 0.0, -1.0], start.shape)
    start[:, 2] -= trace(field, start, ahead, 12.0)
    for row in (LIP_ROW, LIP_ROW + 1):
        half[row, columns] = start
        held[row, columns] = True


def _evened(field: Distance, points: np.ndarray, held: np.ndarray) -> np.ndarray:
    row_step, column_step = _knots(ROW_STEP, np.arange(ROWS)), _knots(COLUMN_STEP, np.arange(HALF))
    down = 2 / (row_step[1:] + row_step[:-1])
    right = 2 / (column_step[1:] + column_step[:-1])
    pairs = (LID_ROW, LIP_ROW)
    for row in pairs:  # both rows of a pair are one outside the slit
        open_ = ~held[row]
        points[row, open_] = points[row + 1, open_] = (points[row] + points[row + 1])[open_] / 2
    north, south = np.arange(ROWS) - 1, np.arange(ROWS) + 1
    for row in pairs:
        south[row], north[row + 1] = row + 2, row - 1
    north[0], south[-1] = 0, ROWS - 1
    above, below = np.r_[down[0], down], np.r_[down, down[-1]]
    for row in pairs:
        below[row], above[row + 1] = down[row + 1], down[row - 1]
    held_not = ~held[..., None]
    west, east = np.r_[right[0], right], np.r_[right, right[-1]]
    total = (above + below)[:, None, None]
    across = (west + east)[None, :, None]
    for turn in range(RELAXATIONS):
        if turn % PROJECT_EVERY == 0:
            distance, normal = field.distance_and_gradient(points.reshape(-1, 3))
            normal /= np.linalg.norm(normal, axis=1, keepdims=True)
            points = points - held_not * (np.clip(distance, -0.3, 0.3)[:, None] * normal).reshape(
                points.shape
            )
            normal = normal.reshape(points.shape)
        # the other half is the mirror image
        padded = np.concatenate([points[:, 1:2] * [-1, 1, 1], points, points[:, -2:-1] * [-1, 1, 1]], 1)
        vertical = (above[:, None, None] * points[north] + below[:, None, None] * points[south]) / total
        horizontal = (west[:, None] * padded[:, :-2] + east[:, None] * padded[:, 2:]) / across
        change = (vertical + horizontal) / 2 - points
        change -= (change * normal).sum(-1, keepdims=True) * normal  # along the surface only
        points = points + 0.7 * held_not * change
        points[:, [0, -1], 0] = 0
    points = project(field, points.reshape(-1, 3), 1e-8).reshape(points.shape)
    points[:, [0, -1], 0] = 0
    return points


def grid_triangles() -> np.ndarray:
    """(F, 3) int32 triangles of the grid, counter-clockwise from outside; none between the rows of a pair."""
    index = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    rows = np.setdiff1d(np.arange(ROWS - 1), [LID_ROW, LIP_ROW])
    a, b = index[rows, :-1], index[rows, 1:]
    c, d = index[rows + 1, 1:], index[rows + 1, :-1]
    # diagonals mirror each other about the face's middle
    left = np.arange(COLUMNS - 1) < MIDDLE
    one = np.where(left[:, None], np.stack([a, d, c], -1), np.stack([a, d, b], -1))
    two = np.where(left[:, None], np.stack([a, c, b], -1), np.stack([b, d, c], -1))
    both = np.stack([one, two], 2).reshape(-1, 3)
    crown = both < COLUMNS
    return both[crown.sum(1) < 2].astype(np.int32)


def grid_uv() -> np.ndarray:
    """(R C, 2) float32 texture places: column and row."""
    v, u = np.meshgrid(
        np.arange(ROWS) / (ROWS - 1) * SKIN_V, np.arange(COLUMNS) / (COLUMNS - 1), indexing="ij"
    )
    return np.stack([u.ravel(), v.ravel()], 1).astype(np.float32)


def welded() -> np.ndarray:
    """(R C,) for each vertex of the grid the first one at the same place."""
    index = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    half = np.abs(np.arange(COLUMNS) - MIDDLE)
    lids = (half > INNER_CORNER) & (half < OUTER_CORNER)
    for row, slit in ((LID_ROW, lids), (LIP_ROW, half < LIP_CORNER)):
        index[row + 1, ~slit] = index[row, ~slit]
    index[:, -1] = index[:, 0]
    index[0] = 0
    return index.ravel()


def _knots(knots: tuple[tuple[float, float], ...], at: np.ndarray) -> np.ndarray:
    places, values = np.array(knots).T
    return np.interp(at, places, values)
