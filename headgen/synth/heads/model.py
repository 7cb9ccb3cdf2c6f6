"""What every head of the synthetic world offers: geometry that is posed by named motion.

Frames of reference. World: centimetres, x to the picture's right, y up, z towards the camera; the neutral
head
looks along +z and its neck ends at the torso, which stands still but for `HeadMotion.translation`. Angles are
in degrees: yaw to the picture's right, pitch up, roll clockwise as the viewer sees it, gaze relative to the
head in the same sense (yaw to the picture's right, pitch up).

Legend: T frames, V vertices, F triangles, E = 52 expressions, J joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Protocol

import numpy as np

from headgen.synth.heads.expressions import EXPRESSIONS

PARTS = ("background", "skin", "hair", "eyes", "mouth", "clothing", "glasses", "occluder")
"""What a pixel of a part mask says, by its number."""

MATERIALS: dict[str, str] = {
    "skin": "skin",
    "socket": "mouth",  # the lining of the mouth
    "gums": "mouth",
    "tongue": "mouth",
    "teeth": "mouth",
    "sclera": "eyes",
    "iris": "eyes",
    "lashes": "hair",
    "brows": "hair",
    "beard": "hair",
    "hair": "hair",
    "glasses": "glasses",
    "lens": "glasses",
    "clothing": "clothing",
    "occluder": "occluder",
}
"""Materials of surfaces, and the part of the mask that they belong to."""

JOINTS = ("torso", "neck", "head", "jaw", "eye_left", "eye_right")
"""3D joints; left and right are the person's own."""


@dataclass(frozen=True)
class HeadMotion:
    """Motion of one head over T frames.

    Attributes:
        expression: (T, 52) from 0 to 1, in the order of `EXPRESSIONS`.
        head: (T, 3) yaw, pitch, roll of the head against the torso, degrees.
        gaze: (T, 2) yaw, pitch of both eyes against the head, degrees.
        translation: (T, 3) cm, of torso and head (posture).
        torso: (T, 3) yaw, pitch, roll of the torso, degrees.
    """

    expression: np.ndarray
    head: np.ndarray
    gaze: np.ndarray
    translation: np.ndarray
    torso: np.ndarray

    def __post_init__(self) -> None:
        frames = len(self.expression)
        widths = (
            ("expression", len(EXPRESSIONS)),
            ("head", 3),
            ("gaze", 2),
            ("translation", 3),
            ("torso", 3),
        )
        for name, width in widths:
            shape = np.shape(getattr(self, name))
            if shape != (frames, width):
                raise ValueError(f"{name} has the shape {shape}: expected ({frames}, {width})")

    def __len__(self) -> int:
        return len(self.expression)

    def __getitem__(self, frames: slice | Sequence[int] | np.ndarray) -> HeadMotion:
        """Some of the frames."""
        return HeadMotion(
            self.expression[frames],
            self.head[frames],
            self.gaze[frames],
            self.translation[frames],
            self.torso[frames],
        )

    @classmethod
    def still(cls, frames: int = 1) -> HeadMotion:
        """A neutral face that looks at the camera."""
        zeros = [np.zeros((frames, width), np.float32) for width in (len(EXPRESSIONS), 3, 2, 3, 3)]
        return cls(*zeros)


def joined(motions: Sequence[HeadMotion]) -> HeadMotion:
    """Motions one after the other."""
    names = [f.name for f in fields(HeadMotion)]
    return HeadMotion(*(np.concatenate([getattr(m, name) for m in motions]) for name in names))


@dataclass(frozen=True)
class Topology:
    """What all heads of one model share.

    Attributes:
        triangles: (F, 3) int32, counter-clockwise seen from outside.
        uv: (V, 2) float32 from 0 to 1, v down (row of the texture); vertices on a seam of the texture are
        doubled.
        material: (F,) int8, number of the triangle's material in ``tuple(MATERIALS)``.
        landmarks_68: (68,) vertex of each Multi-PIE landmark.
        landmarks_478: (478,) vertex of each landmark of the face tracker's mesh, irises last.
    """

    triangles: np.ndarray
    uv: np.ndarray
    material: np.ndarray
    landmarks_68: np.ndarray
    landmarks_478: np.ndarray

    def of(self, *materials: str) -> np.ndarray:
        """(F',) numbers of the triangles of these materials."""
        names = tuple(MATERIALS)
        return np.flatnonzero(np.isin(self.material, [names.index(m) for m in materials]))


@dataclass(frozen=True)
class PosedHead:
    """A head in T frames.

    Attributes:
        vertices: (T, V, 3) float32, world.
        normals: (T, V, 3) float32, unit length, outwards.
        joints: (T, J, 3) float32, world, in the order of `JOINTS`.
        head_transform: (T, 3, 4) float32: takes points of the neutral head that move rigidly with the skull
            (hair, glasses) to the world.
        torso_transform: (T, 3, 4) float32: the same for what is fixed to the torso (clothing).
    """

    vertices: np.ndarray
    normals: np.ndarray
    joints: np.ndarray
    head_transform: np.ndarray
    torso_transform: np.ndarray

    def __len__(self) -> int:
        return len(self.vertices)

    def __getitem__(self, frames: slice | Sequence[int] | np.ndarray) -> PosedHead:
        """Some of the frames."""
        return PosedHead(*(getattr(self, f.name)[frames] for f in fields(PosedHead)))


class HeadModel(Protocol):
    """A family of heads."""

    name: str
    """``ict`` or ``analytic``."""
    identities: int
    """Number of identity coefficients; they are about N(0, 1)."""
    topology: Topology
    """Shared by all identities."""

    def neutral(self, identity: np.ndarray) -> np.ndarray:
        """(V, 3) float32 neutral vertices in the frame of the head.

        Args:
            identity: (K,) coefficients, K up to `identities`.
        """

    def pose(self, neutral: np.ndarray, motion: HeadMotion) -> PosedHead:
        """Moves a neutral head (V, 3)."""


@dataclass(frozen=True)
class Surface:
    """Something to draw: a part of a head, or what it wears.

    Attributes:
        name: for messages and masks.
        triangles: (F, 3) int32.
        uv: (V, 2) float32, v down.
        material: one of `MATERIALS`.
        texture: (H, W, 4) uint8 sRGB with alpha; 1 x 1 for a plain colour. Alpha below one half is not drawn.
        gloss: strength of the highlight, 0 (matt) to 1 (wet).
        roughness: width of the highlight, 0 to 1.
        rigid: which joint's transform moves `points`, ``"head"`` or ``"torso"``; None if the vertices come
        from a
            `HeadModel`.
        points: (V, 3) float32 in the frame of the neutral head, for surfaces with `rigid`.
        two_sided: drawn from behind too (hair strips, lashes).
    """

    name: str
    triangles: np.ndarray
    uv: np.ndarray
    material: str
    texture: np.ndarray
    gloss: float = 0.0
    roughness: float = 0.5
    rigid: str | None = None
    points: np.ndarray | None = field(default=None, repr=False)
    two_sided: bool = False

    def __post_init__(self) -> None:
        if self.material not in MATERIALS:
            raise ValueError(f"no material {self.material!r}; known: {', '.join(MATERIALS)}")
        if (self.rigid is None) != (self.points is None):
            raise ValueError(f"surface {self.name!r}: `rigid` and `points` go together")

    @property
    def own_vertices(self) -> int | None:
        """How many vertices it has; None: it shares the head's."""
        return None if self.points is None else len(self.points)

    def during(self, frames: slice | Sequence[int] | np.ndarray) -> Surface:
        """The surface in some frames of a motion: itself, unless it moves by itself."""
        return self

    def facing(self, head: PosedHead) -> np.ndarray | None:
        """(T, V, 3) float32 normals on a posed head; None: they follow from the vertices."""
        return None

    def placed(self, head: PosedHead) -> np.ndarray:
        """(T, V, 3) float32 vertices on a posed head."""
        if self.points is None:
            return head.vertices
        transform = head.head_transform if self.rigid == "head" else head.torso_transform
        turned = np.einsum("tij,vj->tvi", transform[..., :3], self.points)
        return (turned + transform[:, None, :, 3]).astype(np.float32)
