"""Our own parametric head: a signed distance field, its mesh with exact texture places, and how it moves.

No files are needed. The mesh has a fixed topology: the skin is a grid on the field's zero level, cut at lips
and lids; ears, linings, teeth, tongue, lashes and eyeballs are meshes of their own (`analytic_mean`). People
differ by deformations of space (`analytic_identity`), skin moves by displacements and by the turns of jaw,
lids and eyes (`analytic_motion` and here).

Legend: T frames, V vertices, F triangles, E = 52 expressions, K places along a lid or lip line.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from headgen.synth.heads import analytic_grid as grid
from headgen.synth.heads import analytic_parts as parts
from headgen.synth.heads import eyeball
from headgen.synth.heads.analytic_grid import EYE, LID_ROW, LIP_ROW
from headgen.synth.heads.analytic_identity import IDENTITY, Person
from headgen.synth.heads.analytic_mean import (
    SIDES,
    eye_centre,
    jaw_movers,
    lip_rows,
    mean_head,
    rest_axis,
    span,
    welded_triangles,
)
from headgen.synth.heads.analytic_motion import HINGE, JAW_DEG
from headgen.synth.heads.expressions import EXPRESSIONS, INDEX
from headgen.synth.heads.model import HeadMotion, PosedHead
from headgen.synth.heads.posing import keep_outside_eye, skin, vertex_normals
from headgen.synth.heads.skeleton import HEAD_JOINT, NECK_JOINT, TORSO_JOINT, Bones, rotations

MAX_GAZE_DEG = 40.0
LOOK_DEG = 30.0
"""What an eyeLook shape of 1 turns the lids by."""
UPPER_UP, UPPER_DOWN, LOWER_UP, LOWER_DOWN = 0.5, 0.72, 0.16, 0.3
"""Share of the gaze that each lid takes; lids follow the eye up and down (Becker and Fuchs 1988, "Lid-eye
coordination during vertical gaze changes")."""
WIDE_DEG, SQUINT_UPPER_DEG, SQUINT_LOWER_DEG = 7.0, 2.0, 7.5
BLINK_LOWER = 0.1  # share of a blink that the lower lid does
CLEARANCE_CM = 0.04
PREPARED = 4  # persons whose displacements are kept


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
        self._template = mean_head()
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
            vertex_normals(vertices[t], welded_triangles(), normals[t])
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
                neutral[template.balls[side]], template.points[template.balls[side]] - eye_centre(side)
            )
            radii[side] *= parts.BALL_RADIUS
            upper, lower = (
                np.arctan2(*np.array((neutral[lid.line] - centres[side])[:, 1:].T, order="C"))
                for lid in template.lids[side]
            )
            elevations[side] = upper, lower
            own = np.concatenate([lid.vertices for lid in template.lids[side]])
            height = np.linalg.norm(neutral[own] - centres[side], axis=1) - radii[side]
            clearance[side] = np.clip(height, 0.005, CLEARANCE_CM).astype(np.float32)
        # shapes grow with the part of the face that they move
        mouth = span(neutral, LIP_ROW, grid.LIP_CORNER) / span(template.points, LIP_ROW, grid.LIP_CORNER)
        eyes = span(neutral, LID_ROW, grid.OUTER_CORNER) / span(template.points, LID_ROW, grid.OUTER_CORNER)
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
        moving, weights = jaw_movers()
        closed = min(float(expression[INDEX["mouthClose"]]) / opened, 1.0)
        share = weights[:, 0] + closed * (weights[:, 1] - weights[:, 0])
        angle = np.float32(np.deg2rad(JAW_DEG) * opened) * share
        y, z = points[moving, 1] - HINGE[1], points[moving, 2] - HINGE[2]
        cosine, sine = np.cos(angle), np.sin(angle)
        points[moving, 1] = HINGE[1] + cosine * y - sine * z
        points[moving, 2] = HINGE[2] + sine * y + cosine * z

    def _part_lips(self, points: np.ndarray) -> None:
        upper, lower, above, below = lip_rows()
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
            turned @ rest_axis(side), eyeball.LIMBUS_COSINE, eyeball.CORNEA_MIDDLE, eyeball.CORNEA_RADIUS,
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
