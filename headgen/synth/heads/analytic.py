"""Our own parametric head: a signed distance field, its mesh with exact texture places, and how it moves.

No files are needed. The mesh has a fixed topology: the skin is a grid on the field's zero level, cut at lips
and lids; ears, linings, teeth, tongue, lashes and eyeballs are meshes of their own (`analytic_grid`,
`analytic_parts`). Persons differ by deformations of space (`analytic_identity`), skin moves by displacements
and by the turns of jaw, lids and eyes (`analytic_motion` and here).

Legend: T frames, V vertices, F triangles, E = 52 expressions, K places along a lid or lip line.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from headgen.synth.heads import analytic_grid as grid
from headgen.synth.heads import analytic_parts as parts
from headgen.synth.heads import eyeball
from headgen.synth.heads.analytic_grid import COLUMNS, EYE, LID_ROW, LIP_ROW, MIDDLE, ROWS
from headgen.synth.heads.analytic_identity import IDENTITY, Person, ear_field, skin_field
from headgen.synth.heads.analytic_landmarks import LANDMARKS_68, LANDMARKS_468
from headgen.synth.heads.analytic_motion import (
    HINGE,
    JAW_DEG,
    displacements,
    jaw_weights,
    lip_side,
)
from headgen.synth.heads.expressions import EXPRESSIONS, INDEX
from headgen.synth.heads.model import MATERIALS, HeadMotion, PosedHead, Topology
from headgen.synth.heads.posing import keep_outside_eye, skin, vertex_normals
from headgen.synth.heads.skeleton import (
    HEAD_JOINT,
    NECK_JOINT,
    TORSO_JOINT,
    Bones,
    neck_weights,
    rotations,
)

SKIN_COUNT = ROWS * COLUMNS
SIDES = ("Left", "Right")
EYE_TURNED_OUT_DEG = 5.0
"""How far outwards an eyeball points that looks straight ahead: the angle kappa of a usual eye."""
MAX_GAZE_DEG = 40.0
LOOK_DEG = 30.0
"""What an eyeLook shape of 1 turns the lids by."""
UPPER_UP, UPPER_DOWN, LOWER_UP, LOWER_DOWN = 0.5, 0.72, 0.16, 0.3
"""Share of the gaze that each lid takes; lids follow the eye up and down (Becker and Fuchs 1988, "Lid-eye
coordination during vertical gaze changes")."""
WIDE_DEG, SQUINT_UPPER_DEG, SQUINT_LOWER_DEG = 7.0, 2.0, 7.5
BLINK_LOWER = 0.1  # share of a blink that the lower lid does
UPPER_REACH_CM, LOWER_REACH_CM = 1.15, 0.95
"""How far above and below their edge lids move."""
CLEARANCE_CM = 0.04
LIP_REACH_CM = 0.5
TONGUE_LIFT_CM = 0.25
FLUSH_CM, SUNK_CM = 0.1, 0.2
PREPARED = 4  # persons whose displacements are kept


@dataclass(frozen=True)
class _Lid:
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
class _Template:
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
    lids: dict[str, tuple[_Lid, _Lid]]
    balls: dict[str, slice]
    ears: dict[str, slice]
    bones: np.ndarray


@dataclass(frozen=True)
class _Prepared:
    """What posing needs to know of one neutral head."""

    neutral: np.ndarray
    shapes: np.ndarray
    centres: dict[str, np.ndarray]
    radii: dict[str, float]
    elevations: dict[str, tuple[np.ndarray, np.ndarray]]
    clearance: dict[str, np.ndarray]


class AnalyticModel:
    """The analytic head as a `HeadModel`.

    Attributes:
        name: ``analytic``.
        identities: number of identity coefficients, named in `analytic_identity.IDENTITY`, about N(0, 1).
        topology: shared by all identities. Texture places: ``skin`` has one texture, the head's grid in its
            upper `analytic_grid.SKIN_V` (u around the head from the back over the person's right cheek, v
            from crown to shoulders), left and right ear below it; each other material has a texture of its
            own; those of eyes follow `eyeball.Eyeball`.

    Gaze has one source: `HeadMotion.gaze` turns both eyeballs and the lids follow; eyeLook coefficients of
    the expression add to the lids' part only. ``eyeBlink`` of 1 closes the lids whatever the other shapes
    are, and lids never dip into the eyeball. ``mouthClose`` closes as much of the lips as ``jawOpen`` of the
    same size opens.
    """

    name = "analytic"
    identities = len(IDENTITY)

    def __init__(self) -> None:
        """Builds the mean head, once a process (about two seconds)."""
        self._template = _template()
        self.topology = self._template.topology
        self._known: OrderedDict[bytes, _Prepared] = OrderedDict()

    def person(self, identity: np.ndarray) -> Person:
        """The distance fields and the deformation of space behind `neutral`."""
        return Person(identity)

    def neutral(self, identity: np.ndarray) -> np.ndarray:
        """(V, 3) float32 neutral vertices.

        Args:
            identity: (K,) coefficients, K up to `identities`.
        """
        template, person = self._template, Person(identity)
        out = np.empty(template.points.shape)
        rigid = np.zeros(len(out), bool)
        for k, side in enumerate(SIDES):
            ear, ball = template.ears[side], template.balls[side]
            rigid[ear] = rigid[ball] = True
            mirror = np.array([1.0 if k == 0 else -1.0, 1.0, 1.0])
            out[ear] = person.push_ear(template.points[ear] * mirror, k)
            out[ball] = person.eyes[k] + person.eye_scale * (template.points[ball] - EYE * mirror)
        out[~rigid] = person.push(template.points[~rigid])
        return out.astype(np.float32)

    # ---- pose ---------------------------------------------------------------------------------------------

    def pose(self, neutral: np.ndarray, motion: HeadMotion) -> PosedHead:
        """Moves a neutral head.

        Args:
            neutral: (V, 3) vertices from `neutral`.
            motion: what to do in T frames.
        """
        template = self._template
        ready = self._prepare(neutral)
        expression = np.clip(np.asarray(motion.expression, np.float32), 0, 1)
        gaze = np.clip(np.asarray(motion.gaze, np.float32), -MAX_GAZE_DEG, MAX_GAZE_DEG)
        bones = Bones.of(motion)
        transforms = bones.transforms.astype(np.float32)
        turned = rotations(np.column_stack([gaze, np.zeros(len(gaze))]))
        used = np.flatnonzero(expression.any(0))
        shapes = ready.shapes[used]
        shape = (len(motion), *neutral.shape)
        vertices, normals = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for t in range(len(motion)):
            points = ready.neutral + (expression[t, used] @ shapes).reshape(-1, 3)
            self._open_jaw(points, ready, expression[t])
            self._part_lips(points)
            for side in SIDES:
                self._move_eye(points, ready, side, expression[t], float(gaze[t, 1]), turned[t])
            skin(points, template.bones, transforms[t], vertices[t])
            vertex_normals(vertices[t], _welded_triangles(), normals[t])
            normals[t] = normals[t][template.weld]
        return PosedHead(
            vertices=vertices,
            normals=normals,
            joints=self._joints(bones, ready),
            head_transform=transforms[:, 2],
            torso_transform=transforms[:, 0],
        )

    def _prepare(self, neutral: np.ndarray) -> _Prepared:
        neutral = np.ascontiguousarray(neutral, np.float32)
        key = neutral.tobytes()
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        template = self._template
        centres, radii, elevations, clearance = {}, {}, {}, {}
        for side in SIDES:
            centres[side], radii[side] = eyeball.placement(
                neutral[template.balls[side]], template.points[template.balls[side]] - _eye(side)
            )
            radii[side] *= parts.BALL_RADIUS
            upper, lower = (
                np.arctan2(*(neutral[lid.line] - centres[side])[:, 1:].T) for lid in template.lids[side]
            )
            elevations[side] = upper, lower
            own = np.concatenate([lid.vertices for lid in template.lids[side]])
            height = np.linalg.norm(neutral[own] - centres[side], axis=1) - radii[side]
            clearance[side] = np.clip(height, 0.005, CLEARANCE_CM).astype(np.float32)
        # shapes grow with the part of the face that they move
        mouth = _span(neutral, LIP_ROW, grid.LIP_CORNER) / _span(template.points, LIP_ROW, grid.LIP_CORNER)
        eyes = _span(neutral, LID_ROW, grid.OUTER_CORNER) / _span(template.points, LID_ROW, grid.OUTER_CORNER)
        upper_face = np.array([name.startswith(("brow", "eye", "cheek", "nose")) for name in EXPRESSIONS])
        size = np.where(upper_face, eyes, mouth).astype(np.float32)
        ready = _Prepared(
            neutral=neutral,
            shapes=(template.shapes * size[:, None, None]).reshape(len(EXPRESSIONS), -1),
            centres=centres,
            radii=radii,
            elevations=elevations,
            clearance=clearance,
        )
        self._known[key] = ready
        if len(self._known) > PREPARED:
            self._known.popitem(last=False)
        return ready

    def _open_jaw(self, points: np.ndarray, ready: _Prepared, expression: np.ndarray) -> None:
        opened = float(expression[INDEX["jawOpen"]])
        if opened == 0:
            return
        moving, weights = _jaw_movers()
        closed = min(float(expression[INDEX["mouthClose"]]) / opened, 1.0)
        share = weights[:, 0] + closed * (weights[:, 1] - weights[:, 0])
        angle = np.float32(np.deg2rad(JAW_DEG) * opened) * share
        y, z = points[moving, 1] - HINGE[1], points[moving, 2] - HINGE[2]
        cosine, sine = np.cos(angle), np.sin(angle)
        points[moving, 1] = HINGE[1] + cosine * y - sine * z
        points[moving, 2] = HINGE[2] + sine * y + cosine * z

    def _part_lips(self, points: np.ndarray) -> None:
        upper, lower, above, below = _lip_rows()
        crossed = points[lower, 1] - points[upper, 1]
        if crossed.max() <= 0:
            return
        apart = 0.5 * np.maximum(crossed, 0)
        for (vertices, column, weight), sign in ((above, 1), (below, -1)):
            points[vertices, 1] += sign * weight * apart[column]

    def _move_eye(
        self,
        points: np.ndarray,
        ready: _Prepared,
        side: str,
        expression: np.ndarray,
        pitch: float,
        turned: np.ndarray,
    ) -> None:
        template, centre, radius = self._template, ready.centres[side], ready.radii[side]
        ball = template.balls[side]
        points[ball] = centre + (ready.neutral[ball] - centre) @ turned.T

        def amount(name: str) -> float:
            return float(expression[INDEX[f"{name}{side}"]])

        pitch += LOOK_DEG * (amount("eyeLookUp") - amount("eyeLookDown"))
        up, down = max(pitch, 0.0), min(pitch, 0.0)
        wide, squint = amount("eyeWide"), amount("eyeSquint")
        raise_upper = UPPER_UP * up + UPPER_DOWN * down + WIDE_DEG * wide - SQUINT_UPPER_DEG * squint
        raise_lower = (
            LOWER_UP * up + LOWER_DOWN * down + SQUINT_LOWER_DEG * (squint + 0.5 * amount("cheekSquint"))
        )
        upper, lower = ready.elevations[side]
        profile = (upper - lower) / (upper - lower).max()
        top = upper + np.deg2rad(raise_upper) * profile
        bottom = lower + np.deg2rad(raise_lower) * profile
        gap = np.maximum(top - bottom, 0)
        blink = amount("eyeBlink")
        bottom = np.minimum(bottom, top) + BLINK_LOWER * blink * gap
        top = bottom + (1 - blink) * gap
        for lid, change in zip(template.lids[side], (top - upper, bottom - lower), strict=True):
            angle = (lid.weight * change[lid.column]).astype(np.float32)
            offset = points[lid.vertices] - centre
            cosine, sine = np.cos(angle), np.sin(angle)
            points[lid.vertices, 1] = centre[1] + cosine * offset[:, 1] + sine * offset[:, 2]
            points[lid.vertices, 2] = centre[2] - sine * offset[:, 1] + cosine * offset[:, 2]
        own = np.concatenate([lid.vertices for lid in template.lids[side]])
        keep_outside_eye(
            points, own, ready.clearance[side], centre.astype(np.float32), np.float32(radius),
            turned @ _rest_axis(side), eyeball.LIMBUS_COSINE, eyeball.CORNEA_MIDDLE, eyeball.CORNEA_RADIUS,
        )  # fmt: skip

    @staticmethod
    def _joints(bones: Bones, ready: _Prepared) -> np.ndarray:
        own = [TORSO_JOINT, NECK_JOINT, HEAD_JOINT, HINGE, ready.centres["Left"], ready.centres["Right"]]
        carriers = (0, 0, 1, 2, 2, 2)
        placed = [
            bones.carried(np.asarray(p, np.float32)[None], b)[:, 0]
            for p, b in zip(own, carriers, strict=True)
        ]
        return np.stack(placed, 1).astype(np.float32)


# ---- the mean head ----------------------------------------------------------------------------------------


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
def _template() -> _Template:
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
        placed = _eye(side) + parts.BALL_RADIUS * (ball.points @ _rest_turn(side).T)
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
            pair.append(_Lid(vertices, column, weight.astype(np.float32), line))
        lids[side] = (pair[0], pair[1])
    bones = neck_weights(points)
    bones[SKIN_COUNT:] = [0, 0, 1]
    return _Template(points, topology, weld, shapes, jaw, lids, balls, ears, bones)


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
def _welded_triangles() -> np.ndarray:
    template = _template()
    return np.ascontiguousarray(template.weld[template.topology.triangles], np.int32)


@lru_cache(maxsize=1)
def _jaw_movers() -> tuple[np.ndarray, np.ndarray]:
    jaw = _template().jaw
    moving = np.flatnonzero(jaw.max(1) > 1e-4)
    return moving, jaw[moving]


@lru_cache(maxsize=1)
def _lip_rows() -> tuple[np.ndarray, np.ndarray, tuple, tuple]:
    """Lip lines, and for above and below: vertices, places along the line, how much they go with it."""
    places = _template().points[:SKIN_COUNT].reshape(ROWS, COLUMNS, 3)
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


def _span(points: np.ndarray, row: int, half_column: int) -> float:
    left, right = row * COLUMNS + MIDDLE - half_column, row * COLUMNS + MIDDLE + half_column
    return float(np.linalg.norm(points[right] - points[left]))


def _eye(side: str) -> np.ndarray:
    return EYE * [1 if side == "Left" else -1, 1, 1]


def _rest_turn(side: str) -> np.ndarray:
    yaw = EYE_TURNED_OUT_DEG if side == "Left" else -EYE_TURNED_OUT_DEG
    return rotations(np.array([yaw, 0.0, 0.0]))


def _rest_axis(side: str) -> np.ndarray:
    axis: np.ndarray = _rest_turn(side)[:, 2]
    return axis


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
