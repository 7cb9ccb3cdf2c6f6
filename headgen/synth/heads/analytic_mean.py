"""The analytic head's mean: all its meshes put together, and what moves with what.

Legend: V vertices, F triangles, E = 52 expressions, K places along a lid or lip line, N vertices of a part.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from headgen.synth.heads import analytic_grid as grid
from headgen.synth.heads import analytic_parts as parts
from headgen.synth.heads import eyeball
from headgen.synth.heads.analytic_grid import COLUMNS, EYE, LID_ROW, LIP_ROW, MIDDLE, ROWS
from headgen.synth.heads.analytic_identity import ear_field, skin_field
from headgen.synth.heads.analytic_landmarks import LANDMARKS_68, LANDMARKS_468
from headgen.synth.heads.analytic_motion import displacements, jaw_weights, lip_side
from headgen.synth.heads.expressions import EXPRESSIONS, INDEX
from headgen.synth.heads.model import MATERIALS, Topology
from headgen.synth.heads.skeleton import neck_weights, rotations

SKIN_COUNT = ROWS * COLUMNS
SIDES = ("Left", "Right")
EYE_TURNED_OUT_DEG = 5.0
"""How far outwards an eyeball points that looks straight ahead: the angle kappa of a usual eye."""
UPPER_REACH_CM, LOWER_REACH_CM = 1.15, 0.95
"""How far above and below their edge lids move."""
LIP_REACH_CM = 0.5
FLUSH_CM, SUNK_CM = 0.1, 0.2
"""Ear nearer than this to the head's skin is sunk this deep under it."""


@dataclass(frozen=True)
class Lid:
    """A lid: what turns with it.

    Attributes:
        vertices: (N,) skin, lining and lashes.
        column: (N,) place of each on the lid's line, from the picture's left.
        weight: (N,) how much of the line's turn it takes.
        line: (K,) vertices of the line.
    """

    vertices: np.ndarray
    column: np.ndarray
    weight: np.ndarray
    line: np.ndarray


@dataclass(frozen=True)
class MeanHead:
    """The mean head.

    Attributes:
        points: (V, 3) float64; eyeballs in place.
        weld: (V,) for each vertex the one whose normal and place it shares.
        shapes: (E, V, 3) float32.
        jaw: (V, 2) share of the jaw's turn with the lips apart and held together.
        lids: by side, upper and lower lid.
        balls: by side, vertices of iris and sclera.
        ears: by side, vertices.
        bones: (V, 3) weights of torso, neck and head.
    """

    points: np.ndarray
    topology: Topology
    weld: np.ndarray
    shapes: np.ndarray
    jaw: np.ndarray
    lids: dict[str, tuple[Lid, Lid]]
    balls: dict[str, slice]
    ears: dict[str, slice]
    bones: np.ndarray


class _Builder:
    """Collects the head's meshes."""

    def __init__(self) -> None:
        self.points: list[np.ndarray] = []
        self.uv: list[np.ndarray] = []
        self.triangles: list[np.ndarray] = []
        self.material: list[np.ndarray] = []
        self.count = 0

    def add(self, part: parts.Part, material: str) -> slice:
        """Appends a part and says which vertices are its."""
        own = slice(self.count, self.count + len(part.points))
        number = tuple(MATERIALS).index(material)
        self.points.append(part.points)
        self.uv.append(part.uv)
        self.triangles.append(part.triangles + self.count)
        self.material.append(np.full(len(part.triangles), number))
        self.count = own.stop
        return own


@lru_cache(maxsize=1)
def mean_head() -> MeanHead:
    """Builds the mean head, once a process."""
    builder = _Builder()
    places = grid.skin_grid(skin_field())
    index = np.arange(SKIN_COUNT).reshape(ROWS, COLUMNS)
    builder.add(parts.Part(places.reshape(-1, 3), grid.grid_triangles(), grid.grid_uv()), "skin")
    ear = parts.ear(ear_field())
    # where the ear's shell runs along the cheek it dives under it
    depth, outwards = skin_field().distance_and_gradient(ear.points)
    flush = depth < FLUSH_CM
    ear.points[flush] -= ((depth + SUNK_CM)[:, None] * outwards)[flush]
    right_ear = ear.mirrored()
    right_ear.uv[:, 0] += 0.5
    ears = {"Left": builder.add(ear, "skin"), "Right": builder.add(right_ear, "skin")}

    lips = np.arange(MIDDLE - grid.LIP_CORNER, MIDDLE + grid.LIP_CORNER + 1)
    upper_lip, lower_lip = index[LIP_ROW, lips], index[LIP_ROW + 1, lips]
    flat = places.reshape(-1, 3)
    bag = builder.add(parts.mouth_bag(flat[upper_lip], flat[lower_lip]), "socket")

    linings, lash_parts, lid_columns = {}, {}, {}
    for side, sign in (("Left", 1), ("Right", -1)):
        columns = MIDDLE + sign * np.arange(grid.INNER_CORNER, grid.OUTER_CORNER + 1)
        lid_columns[side] = columns
        for upper in (True, False):
            line = index[LID_ROW + (not upper), columns]
            uv = builder.uv[0][line]
            lining = parts.lid_lining(flat[line] * [sign, 1, 1], uv, upper)
            hairs = parts.lashes(flat[line] * [sign, 1, 1], upper)
            if sign < 0:
                lining, hairs = lining.mirrored(), hairs.mirrored()
            linings[side, upper] = builder.add(lining, "skin")
            lash_parts[side, upper] = builder.add(hairs, "lashes")

    tooth_rows = {}
    for upper in (True, False):
        teeth = builder.add(parts.teeth(upper), "teeth")
        tooth_rows[upper] = slice(teeth.start, builder.add(parts.gums(upper), "gums").stop)
    tongue = builder.add(parts.tongue(), "tongue")

    ball, balls = eyeball.eyeball(), {}
    irises = {}
    for side in SIDES:
        placed = eye_centre(side) + parts.BALL_RADIUS * (ball.points @ _rest_turn(side).T)
        start = builder.count
        front = np.unique(ball.iris)
        white = np.unique(ball.sclera)
        renumber = np.full(len(placed), -1)
        renumber[front] = np.arange(len(front))
        iris = builder.add(parts.Part(placed[front], renumber[ball.iris], ball.iris_uv[front]), "iris")
        irises[side] = iris.start + renumber[[ball.pupil, *ball.limbus]]
        renumber[white] = np.arange(len(white))
        builder.add(parts.Part(placed[white], renumber[ball.sclera], ball.sclera_uv[white]), "sclera")
        balls[side] = slice(start, builder.count)

    points = np.concatenate(builder.points)
    weld = np.arange(builder.count)
    weld[:SKIN_COUNT] = grid.welded()
    for side in SIDES:
        first = ears[side].start + 1
        rings = np.arange(first, ears[side].stop).reshape(-1, parts.EAR_SEGMENTS + 1)
        weld[rings[:, -1]] = rings[:, 0]
    topology = Topology(
        triangles=np.concatenate(builder.triangles).astype(np.int32),
        uv=np.clip(np.concatenate(builder.uv), 0, 1).astype(np.float32),
        material=np.concatenate(builder.material).astype(np.int8),
        landmarks_68=LANDMARKS_68.copy(),
        landmarks_478=np.concatenate([LANDMARKS_468, irises["Right"], irises["Left"]]),
    )

    # skin and ears move by fields, the other parts follow lines of the skin
    side_of = np.where(np.arange(ROWS) <= LIP_ROW, 1, -1).repeat(COLUMNS)
    shapes = np.zeros((len(EXPRESSIONS), builder.count, 3), np.float32)
    shapes[:, :SKIN_COUNT] = displacements(flat, side_of)
    jaw = np.zeros((builder.count, 2), np.float32)
    jaw[:SKIN_COUNT] = np.stack(jaw_weights(flat, lip_side(flat, side_of)), 1)
    rows = np.arange(bag.start, bag.stop).reshape(len(parts.BAG), -1)
    for row, (_, _, follows, with_jaw) in zip(rows, parts.BAG, strict=True):
        line_shapes = (1 - with_jaw) * shapes[:, upper_lip] + with_jaw * shapes[:, lower_lip]
        shapes[:, row] = follows * line_shapes
        line_jaw = (1 - with_jaw) * jaw[upper_lip] + with_jaw * jaw[lower_lip]
        jaw[row] = follows * line_jaw + (1 - follows) * with_jaw
    jaw[tooth_rows[False]] = 1.0
    jaw[tongue] = np.linspace(0.75, 0.95, parts.TONGUE_ROWS).repeat(parts.TONGUE_COLUMNS)[:, None]
    with_jaw = [INDEX[name] for name in ("jawForward", "jawLeft", "jawRight")]
    for k, move in zip(with_jaw, ([0, -0.1, 0.95], [0.85, 0, 0], [-0.85, 0, 0]), strict=True):
        shapes[k, tooth_rows[False]] = move
        shapes[k, tongue] = move
    forward = np.linspace(0, 1, parts.TONGUE_ROWS).repeat(parts.TONGUE_COLUMNS)[:, None]
    shapes[INDEX["tongueOut"], tongue] = forward * np.array([0, 0.9, 2.8])

    lids = {}
    for side in SIDES:
        pair = []
        for upper in (True, False):
            columns = lid_columns[side]
            own = [_lid_rows(places, index, columns, upper)]
            count = len(columns)
            for extra, rows_of in ((linings, parts.LINING_ROWS), (lash_parts, parts.LASH_ROWS)):
                vertices = np.arange(extra[side, upper].start, extra[side, upper].stop)
                own.append((vertices, np.tile(np.arange(count), rows_of), np.ones(len(vertices))))
            vertices, column, weight = (np.concatenate(each) for each in zip(*own, strict=True))
            line = index[LID_ROW + (not upper), columns]
            pair.append(Lid(vertices, column, weight.astype(np.float32), line))
        lids[side] = (pair[0], pair[1])
    bones = neck_weights(points)
    bones[SKIN_COUNT:] = [0, 0, 1]
    return MeanHead(points, topology, weld, shapes, jaw, lids, balls, ears, bones)


def _lid_rows(
    places: np.ndarray, index: np.ndarray, columns: np.ndarray, upper: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Skin that moves with a lid: vertices, places along the lid, weights."""
    step, row, reach = (-1, LID_ROW, UPPER_REACH_CM) if upper else (1, LID_ROW + 1, LOWER_REACH_CM)
    vertices, column, weight = [], [], []
    way = np.zeros(len(columns))
    before = places[row, columns]
    while True:
        here = places[row, columns]
        way = way + np.linalg.norm(here - before, axis=1)
        share = 1 - _smooth(way / reach)
        if share.max() <= 0:
            break
        vertices.append(index[row, columns])
        column.append(np.arange(len(columns)))
        weight.append(share)
        before, row = here, row + step
    return np.concatenate(vertices), np.concatenate(column), np.concatenate(weight)


@lru_cache(maxsize=1)
def welded_triangles() -> np.ndarray:
    """(F, 3) triangles between the first vertices at each place: for normals without seams."""
    template = mean_head()
    return np.ascontiguousarray(template.weld[template.topology.triangles], np.int32)


@lru_cache(maxsize=1)
def jaw_movers() -> tuple[np.ndarray, np.ndarray]:
    """Vertices (N,) that the jaw moves, and their shares (N, 2) of its turn."""
    jaw = mean_head().jaw
    moving = np.flatnonzero(jaw.max(1) > 1e-4)
    return moving, jaw[moving]


@lru_cache(maxsize=1)
def lip_rows() -> tuple[np.ndarray, np.ndarray, tuple, tuple]:
    """Lip lines, and for above and below: vertices, places along the line, how much they go with it."""
    places = mean_head().points[:SKIN_COUNT].reshape(ROWS, COLUMNS, 3)
    index = np.arange(SKIN_COUNT).reshape(ROWS, COLUMNS)
    columns = np.arange(MIDDLE - grid.LIP_CORNER, MIDDLE + grid.LIP_CORNER + 1)
    out = []
    for first, step in ((LIP_ROW, -1), (LIP_ROW + 1, 1)):
        rows = first + step * np.arange(7)
        way = np.linalg.norm(np.diff(places[rows][:, columns], axis=0), axis=2).cumsum(0)
        weight = np.concatenate([np.ones((1, len(columns))), np.exp(-((way / LIP_REACH_CM) ** 2))])
        out.append((
            index[np.ix_(rows, columns)].ravel(),
            np.tile(np.arange(len(columns)), len(rows)),
            weight.ravel().astype(np.float32),
        ))  # fmt: skip
    return index[LIP_ROW, columns], index[LIP_ROW + 1, columns], out[0], out[1]


def span(points: np.ndarray, row: int, half_column: int) -> float:
    """Distance in cm of the two vertices of a row that mirror each other."""
    left, right = row * COLUMNS + MIDDLE - half_column, row * COLUMNS + MIDDLE + half_column
    return float(np.linalg.norm(points[right] - points[left]))


def eye_centre(side: str) -> np.ndarray:
    """(3,) centre of an eyeball of the mean head, cm."""
    return EYE * [1 if side == "Left" else -1, 1, 1]


def _rest_turn(side: str) -> np.ndarray:
    yaw = EYE_TURNED_OUT_DEG if side == "Left" else -EYE_TURNED_OUT_DEG
    return rotations(np.array([yaw, 0.0, 0.0]))


def rest_axis(side: str) -> np.ndarray:
    """(3,) where an eyeball at rest points."""
    axis: np.ndarray = _rest_turn(side)[:, 2]
    return axis


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
