"""The ICT face model as a head that can be posed: skin, mouth, eyes, lashes, neck and shoulders.

Our design, where it differs from the model's files: eyeballs are our own (`eyeball`), set where the model has
its own, because those hide the iris behind a cornea that would have to be transparent; texture places of all
materials lie between 0 and 1 (see `IctModel`); lids are kept on the eyeball and from passing through each
other.

Legend: T frames, M vertices before texture seams double them, V after, K identities, E = 52 expressions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headgen.errors import InputError
from headgen.synth.correspondence import (
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    LEFT_LID_LOWER,
    LEFT_LID_UPPER,
    RIGHT_LID_LOWER,
    RIGHT_LID_UPPER,
)
from headgen.synth.heads import eyeball
from headgen.synth.heads.contact import Contact, closing
from headgen.synth.heads.expressions import EXPRESSIONS, INDEX
from headgen.synth.heads.model import MATERIALS, HeadMotion, PosedHead, Topology
from headgen.synth.heads.posing import double_seams, keep_outside_eye, skin, vertex_normals
from headgen.synth.heads.skeleton import (
    HEAD_JOINT,
    NECK_JOINT,
    TORSO_JOINT,
    Bones,
    neck_weights,
    rotations,
)
from headgen.synth.heads.tracked_vertices import TRACKED_VERTEX
from headgen.synth.ict import (
    GUMS_QUADS,
    SKIN_QUADS,
    SKIN_VERTICES,
    SOCKET_QUADS,
    TEETH_QUADS,
)
from headgen.synth.ict import VERTICES as BODY_VERTICES

FILE = "ict_facekit.npz"
MODEL_VERTICES, MODEL_QUADS = 26719, 26384

# Ranges of the model's quads and vertices beyond those of `headgen.synth.ict` (its README).
EYE_SOCKET_QUADS = slice(13226, 14034)
EYE_SOCKET_VERTICES = {"L": slice(13294, 13678), "R": slice(13678, 14062)}
SCLERA_VERTICES = {"L": slice(21451, 22221), "R": slice(23021, 23791)}
LASH_QUADS = slice(25304, 26384)
LASH_VERTICES = slice(25351, 26719)
TONGUE_TOP, TONGUE_UNDERSIDE = slice(16611, 17039), slice(16318, 16566)
MATERIAL_QUADS = (
    ("skin", SKIN_QUADS),
    ("skin", EYE_SOCKET_QUADS),
    ("socket", SOCKET_QUADS),
    ("gums", GUMS_QUADS),
    ("teeth", TEETH_QUADS),
    ("lashes", LASH_QUADS),
)

LANDMARKS_68 = np.array([
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443, 268,
    493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360,
    1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081, 0, 4275, 6200,
    6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
])  # fmt: skip
"""The model's vertex of each Multi-PIE landmark (its README)."""

FACE_TILE = 0.64
"""Share of the skin's texture, from the left, that the face takes; skull, neck and sockets take the rest."""

SIDES = ("R", "L")  # as the eyes stand in the picture, from the left
EYE_REST_DEG = {"R": (-5.5, -3.5), "L": (5.5, -3.5)}
"""Yaw and pitch at which an eyeball points that looks straight ahead.

The eye's axis lies about 5 degrees to the temple of the line of sight (angle kappa); these values put the
irises where a face tracker sees them, on average, in portraits that look at the camera.
"""
LIDS = {"R": (RIGHT_LID_UPPER, RIGHT_LID_LOWER), "L": (LEFT_LID_UPPER, LEFT_LID_LOWER)}
BLINK = {"R": "eyeBlinkRight", "L": "eyeBlinkLeft"}
LOOK_DOWN = {"R": "eyeLookDownRight", "L": "eyeLookDownLeft"}
UPPER_LID_SHARE = 0.85  # of a blink is the upper lid's way
LID_REACH_CM, LIP_REACH_CM = 0.45, 0.35
LIPS_TOUCH_CM = 0.1  # lip lines that are nearer than this are those of a closed mouth
LID_SKIN_CM = 0.8  # how far off the eyeball skin still counts as lid
LID_THICKNESS_CM = 0.04

MAX_GAZE_DEG = 40.0
LOOK_DEG = {"Out": 40.0, "In": 40.0, "Up": 30.0, "Down": 30.0}
"""Gaze at which the lids' eyeLook shapes are whole. Lids follow the eye up and down nearly degree by degree
(Becker and Fuchs 1988, Lid-eye coordination during vertical gaze changes); the model's downward shape moves
the upper lid's edge by about 30 degrees of its eyeball."""

JAW_JOINT = np.array([0.0, 1.0, 0.5], np.float32)
"""Between the jaw's condyles, before the ears' canals."""
TONGUE_LIFT_CM = 0.15  # speaking people hold it higher than the model does
TONGUE_OUT_CM = np.array([0.0, 0.3, 1.8], np.float32)
TONGUE_REACH = (4.5, 9.5)  # cm: z of the root, which stays where it is, and of the tip
MOUTH_FLOOR = -5.2  # cm: y

CHUNK = 32  # frames posed at a time


class IctModel:
    """The ICT face model as a `HeadModel`.

    Shapes add up linearly, each coefficient between 0 and 1. Of ARKit's shapes `browInnerUp` and `cheekPuff`
    drive both sides of the model's; `tongueOut`, which it lacks, is our own small motion of the tongue and
    wants an open jaw. `mouthClose` counts up to `jawOpen`, against which it is made. `eyeBlink` closes the
    lids by that share of the opening that all other shapes leave, fully at 1 for every person and gaze; lids
    and lips meet but never cross.

    Gaze has one source: `HeadMotion.gaze` turns both eyeballs, in parallel, and the lids follow it by the
    eyeLook shapes. eyeLook coefficients of the expression add to the lids' part only and turn no eye.

    Texture places: ``skin`` has one atlas, the face in the left `FACE_TILE` of its width (over the full
    height), skull, neck and shoulders in the rest; ``socket`` lies in the same atlas; ``gums`` and ``tongue``
    share one, ``teeth`` and ``lashes`` have one each (right lashes in the left half, left ones in the right);
    ``iris`` and ``sclera`` see `eyeball.Eyeball`, the same for both eyes.

    Attributes:
        name: ``ict``.
        identities: number of identity coefficients, about N(0, 1).
        topology: shared by all identities.
        origin: (V,) vertex before doubling of each vertex. The first `BODY_VERTICES` of those are the model's
            own numbers.
        first: (M,) a vertex of each vertex before doubling; its inverse.
        eye_vertices: vertices before doubling of the eyeball of each side, ``"L"`` and ``"R"``.
        lash_roots: for each side the vertices before doubling of its lashes, and for each the vertex of the
            lid that it stands on.
    """

    name = "ict"

    def __init__(
        self,
        neutral: np.ndarray,
        uv: np.ndarray,
        quads: np.ndarray,
        quads_uv: np.ndarray,
        identity: np.ndarray,
        expression: dict[str, np.ndarray],
    ) -> None:
        """Builds the head from the model's arrays.

        Args:
            neutral: (26719, 3) cm.
            uv: (U, 2) by texture tiles, v up.
            quads: (26384, 4) vertices, -1 pads triangles.
            quads_uv: (26384, 4) their places in `uv`.
            identity: (K, 26719, 3) modes.
            expression: shapes (26719, 3) by the model's names.
        """
        self.identities = len(identity)
        kept = np.r_[0:BODY_VERTICES, LASH_VERTICES]
        self._skin_count = len(kept)  # of M: what the model's own shapes move
        self._sclera = {side: neutral[part].astype(np.float32) for side, part in SCLERA_VERTICES.items()}
        self._sclera_modes = {
            side: identity[:, part].astype(np.float32) for side, part in SCLERA_VERTICES.items()
        }
        self._template = neutral[kept].astype(np.float32)
        self._modes = identity[:, kept].astype(np.float32).reshape(self.identities, -1)
        jaw = expression["jawOpen"][kept].astype(np.float32)
        self._tongue = _tongue(self._template)
        self._template[:, 1] += TONGUE_LIFT_CM * self._tongue
        self._shapes = self._arkit_shapes({k: v[kept].astype(np.float32) for k, v in expression.items()})

        self._ball = eyeball.eyeball()
        rest = {side: rotations(np.array([*EYE_REST_DEG[side], 0])) for side in SIDES}
        self._rest_eye = {side: self._ball.points @ rest[side].T for side in SIDES}
        self._rest_axis = {side: rest[side][:, 2] for side in SIDES}
        count = len(self._ball.points)
        self.eye_vertices = {
            side: slice(self._skin_count + k * count, self._skin_count + (k + 1) * count)
            for k, side in enumerate(SIDES)
        }
        self._build_topology(quads, quads_uv, uv)

        self._rest = self._merged_neutral(np.zeros(0, np.float32))
        self._weights = neck_weights(self._rest)
        self._weights[SKIN_VERTICES:] = [0, 0, 1]  # mouth and eyes belong to the skull
        self._build_contacts(jaw)

    @classmethod
    def load(cls, path: Path) -> IctModel:
        """Reads ``ict_facekit.npz`` or the folder in which it lies.

        Raises:
            InputError: no such file, or other contents.
        """
        path = Path(path)
        file = path / FILE if path.is_dir() else path
        if not file.is_file():
            raise InputError(f"{file}: no such file; give the ICT face model as {FILE} or its folder")
        try:
            with np.load(file, allow_pickle=False) as data:
                if len(data["neutral"]) != MODEL_VERTICES or len(data["faces"]) != MODEL_QUADS:
                    raise ValueError(f"{len(data['neutral'])} vertices instead of {MODEL_VERTICES}")
                names = [str(name) for name in data["expression_names"]]
                return cls(
                    neutral=data["neutral"],
                    uv=data["uv"],
                    quads=data["faces"],
                    quads_uv=data["faces_uv"],
                    identity=data["identity"],
                    expression=dict(zip(names, data["expression"], strict=True)),
                )
        except (ValueError, KeyError, OSError) as error:
            raise InputError(f"{file}: not the ICT face model ({error}); give {FILE}") from error

    # ---- what is worked out once --------------------------------------------------------------------------

    def _arkit_shapes(self, shapes: dict[str, np.ndarray]) -> np.ndarray:
        """(E, 3 M') the model's shapes in the order of `EXPRESSIONS`."""
        out = np.zeros((len(EXPRESSIONS), self._skin_count, 3), np.float32)
        for k, name in enumerate(EXPRESSIONS):
            if name == "tongueOut":
                out[k] = self._tongue[:, None] * TONGUE_OUT_CM
                continue
            stem, side = name, ""
            for word in ("Left", "Right"):
                if name.endswith(word) and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
                    stem, side = name.removesuffix(word), f"_{word[0]}"
            both = [stem + side] if stem + side in shapes else [f"{stem}_L", f"{stem}_R"]
            out[k] = sum(shapes[part] for part in both)
        return out.reshape(len(out), -1)

    def _build_topology(self, quads: np.ndarray, quads_uv: np.ndarray, uv: np.ndarray) -> None:
        names = tuple(MATERIALS)
        place = np.full(MODEL_VERTICES, -1)
        place[np.r_[0:BODY_VERTICES, LASH_VERTICES]] = np.arange(self._skin_count)
        tongue = np.r_[TONGUE_TOP, TONGUE_UNDERSIDE]
        corners, places, materials = [], [], []
        for name, part in MATERIAL_QUADS:
            triangles = place[_triangles(quads[part])]
            numbers = np.full(len(triangles), names.index(name))
            if name == "gums":
                numbers[np.isin(triangles, tongue).any(1)] = names.index("tongue")
            corners.append(triangles)
            places.append(_texture_places(uv, name)[_triangles(quads_uv[part])])
            materials.append(numbers)
        for side in SIDES:
            for name in ("sclera", "iris"):
                triangles = getattr(self._ball, name)
                corners.append(triangles + self.eye_vertices[side].start)
                places.append(getattr(self._ball, f"{name}_uv")[triangles])
                materials.append(np.full(len(triangles), names.index(name)))
        self._triangles = np.ascontiguousarray(np.concatenate(corners), np.int32)
        keys = np.column_stack([
            self._triangles.reshape(-1, 1).astype(np.float64),
            np.concatenate(places).reshape(-1, 2),
        ])  # fmt: skip
        unique, inverse = np.unique(keys, axis=0, return_inverse=True)
        self.origin = unique[:, 0].astype(np.int64)
        self.first = np.zeros(self.eye_vertices["L"].stop, np.int64)
        self.first[self.origin[::-1]] = np.arange(len(unique))[::-1]
        irises = [
            self.eye_vertices[side].start + vertex
            for side in SIDES
            for vertex in (self._ball.pupil, *self._ball.limbus)
        ]
        self.topology = Topology(
            triangles=inverse.reshape(-1, 3).astype(np.int32),
            uv=np.clip(unique[:, 1:], 0, 1).astype(np.float32),
            material=np.concatenate(materials).astype(np.int8),
            landmarks_68=self.first[LANDMARKS_68],
            landmarks_478=self.first[np.concatenate([TRACKED_VERTEX, irises])],
        )

    def _build_contacts(self, jaw: np.ndarray) -> None:
        rest = self._rest
        skin_vertices = np.arange(SKIN_VERTICES)
        lashes = np.arange(BODY_VERTICES, self._skin_count)
        wide = rest.copy()
        shapes = self._shapes.reshape(len(EXPRESSIONS), -1, 3)
        for name in ("eyeWideLeft", "eyeWideRight"):
            wide[: self._skin_count] += shapes[INDEX[name]]
        self._lids, self._lid_skin, self._clearance, self._lash_rows, self.lash_roots = {}, {}, {}, {}, {}
        for side, (upper, lower) in LIDS.items():
            own = skin_vertices[rest[:SKIN_VERTICES, 0] * (1 if side == "L" else -1) > 0]
            own_lashes = lashes[rest[lashes, 0] * (1 if side == "L" else -1) > 0]
            self._lids[side] = Contact.of(
                wide, upper, lower, own,
                reach=LID_REACH_CM, upper_share=UPPER_LID_SHARE, whole=own_lashes,
            )  # fmt: skip
            centre, radius = self.eye_placement(rest, side)
            offset = rest[own] - centre
            distance = np.linalg.norm(offset, axis=1)
            surface = radius * eyeball.surface_radius(offset @ self._rest_axis[side] / distance)
            height = distance - surface
            lid = (height > -0.02) & (height < LID_SKIN_CM) & (offset[:, 2] > 0)
            self._lid_skin[side] = own[lid]
            self._clearance[side] = np.clip(height[lid], 0, LID_THICKNESS_CM).astype(np.float32)
            line = np.concatenate([upper, lower])
            on_line = {int(vertex): k for k, vertex in enumerate(self._lid_skin[side])}
            line = line[[int(vertex) in on_line for vertex in line]]
            nearest = np.linalg.norm(rest[own_lashes][:, None] - rest[line], axis=2).argmin(1)
            self.lash_roots[side] = own_lashes, line[nearest]
            self._lash_rows[side] = np.array([on_line[int(line[k])] for k in nearest])
        opened = rest.copy()
        opened[: self._skin_count] += 0.9 * jaw
        self._lips = Contact.of(
            opened, INNER_LIP_UPPER, INNER_LIP_LOWER, skin_vertices,
            reach=LIP_REACH_CM, upper_share=0.5,
        )  # fmt: skip
        self._lip_rest = self._lips.gap(rest[self._lips.line_vertices])
        lines = np.concatenate([self._lids[side].line_vertices for side in SIDES])
        self._line_shapes = shapes[:, lines].copy()
        self._line_shapes[[INDEX[BLINK[side]] for side in SIDES]] = 0

    # ---- identity -----------------------------------------------------------------------------------------

    def neutral(self, identity: np.ndarray) -> np.ndarray:
        """(V, 3) float32 neutral vertices, the lips closed.

        Args:
            identity: (K,) coefficients, K up to `identities`.
        """
        merged = self._merged_neutral(np.asarray(identity, np.float32))
        self.close_lips(merged)  # some of the people scanned had theirs parted
        return merged[self.origin]

    def _merged_neutral(self, identity: np.ndarray) -> np.ndarray:
        modes = len(identity)
        out = np.empty((self.eye_vertices["L"].stop, 3), np.float32)
        shape = (identity @ self._modes[:modes]).reshape(-1, 3)
        out[: self._skin_count] = self._template + shape
        for side in SIDES:
            ball = self._sclera[side] + np.tensordot(identity, self._sclera_modes[side][:modes], 1)
            centre, radius = eyeball.fit_sphere(ball[self._sclera_back(side)])
            self.set_eye(out, side, centre, radius)
        return out

    def _sclera_back(self, side: str) -> np.ndarray:
        """Vertices of the model's own eyeball that lie behind its cornea's bulge."""
        ball = self._sclera[side]
        return np.flatnonzero(ball[:, 2] < ball[:, 2].max() - 1.1)

    def set_eye(self, merged: np.ndarray, side: str, centre: np.ndarray, radius: float) -> None:
        """Puts the eyeball of a side, ``"L"`` or ``"R"``, into vertices (M, 3) before doubling, in place."""
        merged[self.eye_vertices[side]] = centre + radius * self._rest_eye[side]

    def eye_placement(self, merged: np.ndarray, side: str) -> tuple[np.ndarray, float]:
        """Centre (3,) and radius of the eyeball in neutral vertices (M, 3) before doubling."""
        return eyeball.placement(merged[self.eye_vertices[side]], self._rest_eye[side])

    def close_lips(self, merged: np.ndarray) -> None:
        """Brings the lips of neutral vertices (M, 3) before doubling together, in place."""
        self._lips.change_gap(merged, self._lip_rest)

    def expression_shapes(self, vertices: np.ndarray) -> np.ndarray:
        """(E, N, 3) how the expressions move some vertices (N,) before doubling, eyes left out."""
        return self._shapes.reshape(len(EXPRESSIONS), -1, 3)[:, vertices]

    # ---- pose ---------------------------------------------------------------------------------------------

    def coefficients(self, motion: HeadMotion) -> np.ndarray:
        """(T, E) float32 what shapes get: clipped, and the lids' part of the gaze added."""
        out = np.clip(np.asarray(motion.expression, np.float32), 0, 1)
        yaw, pitch = np.clip(np.asarray(motion.gaze, np.float32), -MAX_GAZE_DEG, MAX_GAZE_DEG).T
        looks = {
            "OutLeft": yaw, "InLeft": -yaw, "OutRight": -yaw, "InRight": yaw,
            "UpLeft": pitch, "UpRight": pitch, "DownLeft": -pitch, "DownRight": -pitch,
        }  # fmt: skip
        for name, angle in looks.items():
            whole = LOOK_DEG[name.removesuffix("Left").removesuffix("Right")]
            out[:, INDEX[f"eyeLook{name}"]] += np.maximum(angle, 0) / whole
        out = np.minimum(out, 1)
        for side in SIDES:
            # lids that close need not come down for the gaze as well: both shapes at once would fold the skin
            out[:, INDEX[LOOK_DOWN[side]]] *= 1 - out[:, INDEX[BLINK[side]]]
        out[:, INDEX["mouthClose"]] = np.minimum(out[:, INDEX["mouthClose"]], out[:, INDEX["jawOpen"]])
        return out

    def pose(self, neutral: np.ndarray, motion: HeadMotion) -> PosedHead:
        """Moves a neutral head.

        Args:
            neutral: (V, 3) vertices from `neutral`, or of a person fitted or mixed.
            motion: what to do in T frames.
        """
        merged = np.ascontiguousarray(neutral[self.first], np.float32)
        coefficients = self.coefficients(motion)
        bones = Bones.of(motion)
        transforms = bones.transforms.astype(np.float32)
        turned = rotations(np.column_stack([
            np.clip(motion.gaze, -MAX_GAZE_DEG, MAX_GAZE_DEG), np.zeros(len(motion)),
        ]))  # fmt: skip
        eyes = {side: self.eye_placement(merged, side) for side in SIDES}
        lids = self._open_lids(merged, coefficients)
        blinks = {side: coefficients[:, INDEX[BLINK[side]]] for side in SIDES}

        frames, count = len(motion), len(self.origin)
        vertices = np.empty((frames, count, 3), np.float32)
        normals = np.empty((frames, count, 3), np.float32)
        placed, directions = np.empty_like(merged), np.empty_like(merged)
        used = np.flatnonzero(coefficients.any(0))
        shapes = self._shapes[used]
        for start in range(0, frames, CHUNK):
            moves = coefficients[start : start + CHUNK, used] @ shapes
            for k, move in enumerate(moves.reshape(len(moves), -1, 3)):
                t = start + k
                points = merged.copy()
                points[: self._skin_count] += move
                for side in SIDES:
                    gap = closing(self._lids[side].gap(lids[side][t]), blinks[side][t])
                    self._move_eye(points, side, eyes[side], turned[t], gap)
                self._part_lips(points)
                skin(points, self._weights, transforms[t], placed)
                vertex_normals(placed, self._triangles, directions)
                double_seams(placed, directions, self.origin, vertices[t], normals[t])
        return PosedHead(
            vertices=vertices,
            normals=normals,
            joints=self._joints(bones, eyes),
            head_transform=transforms[:, 2],
            torso_transform=transforms[:, 0],
        )

    def _open_lids(self, merged: np.ndarray, coefficients: np.ndarray) -> dict[str, np.ndarray]:
        """(T, U + L, 3) where the lines of each side's lids were without the blink."""
        lines = np.concatenate([self._lids[side].line_vertices for side in SIDES])
        moved = merged[lines] + np.tensordot(coefficients, self._line_shapes, 1)
        parts = np.split(moved, [len(self._lids[SIDES[0]].line_vertices)], axis=1)
        return dict(zip(SIDES, parts, strict=True))

    def _move_eye(
        self,
        points: np.ndarray,
        side: str,
        placement: tuple[np.ndarray, float],
        turned: np.ndarray,
        gap: np.ndarray,
    ) -> None:
        centre, radius = placement
        points[self.eye_vertices[side]] = centre + radius * (self._rest_eye[side] @ turned.T)
        self._lids[side].change_gap(points, gap)
        axis = turned @ self._rest_axis[side]
        cornea = eyeball.LIMBUS_COSINE, eyeball.CORNEA_MIDDLE, eyeball.CORNEA_RADIUS
        lid, clearance = self._lid_skin[side], self._clearance[side]
        moved = keep_outside_eye(
            points, lid, clearance, centre.astype(np.float32), np.float32(radius), axis, *cornea
        )
        points[self.lash_roots[side][0]] += moved[self._lash_rows[side]]

    def _part_lips(self, points: np.ndarray) -> None:
        gap = self._lips.gap(points[self._lips.line_vertices])
        wanted = gap.copy()
        # the neutral face's lips touch behind their lines, which stand a little apart
        wanted[:, 1] = np.maximum(gap[:, 1], 0) * _smooth_step((gap[:, 1] - LIPS_TOUCH_CM) / LIPS_TOUCH_CM)
        self._lips.change_gap(points, wanted)

    @staticmethod
    def _joints(bones: Bones, eyes: dict[str, tuple[np.ndarray, float]]) -> np.ndarray:
        own = [TORSO_JOINT, NECK_JOINT, HEAD_JOINT, JAW_JOINT, eyes["L"][0], eyes["R"][0]]
        carriers = (0, 0, 1, 2, 2, 2)
        placed = [bones.carried(np.asarray(p)[None], b)[:, 0] for p, b in zip(own, carriers, strict=True)]
        return np.stack(placed, 1).astype(np.float32)


def _triangles(quads: np.ndarray) -> np.ndarray:
    """(F, 3) of quads (Q, 4) in which -1 pads triangles."""
    second = quads[quads[:, 3] >= 0]
    return np.concatenate([quads[:, :3], second[:, [0, 2, 3]]])


def _smooth_step(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _texture_places(uv: np.ndarray, material: str) -> np.ndarray:
    """(U, 2) the model's texture places from tiles (v up) to one picture from 0 to 1 (v down)."""
    tile = np.floor(uv[:, 0])
    u = uv[:, 0] - tile
    if material in ("skin", "socket"):
        u = np.where(tile == 0, FACE_TILE * u, FACE_TILE + (1 - FACE_TILE) * u)
    return np.column_stack([u, 1 - uv[:, 1]])


def _tongue(template: np.ndarray) -> np.ndarray:
    """(M',) 1 for the vertices of the tongue, fading to 0 towards its root and the floor of the mouth."""
    out = np.zeros(len(template), np.float32)
    out[TONGUE_TOP] = 1
    out[TONGUE_UNDERSIDE] = np.clip((template[TONGUE_UNDERSIDE, 1] - MOUTH_FLOOR) / 0.7, 0, 1)
    root, tip = TONGUE_REACH
    return out * np.clip((template[:, 2] - root) / (tip - root), 0, 1)
