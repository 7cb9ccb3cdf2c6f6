"""The ICT face model (MIT licence, USC ICT) as arrays: identities, expressions and the parts of the mouth.

Model frame: centimetres, x to the picture's right, y up, z towards the camera; the face looks along +z.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from headgen.errors import InputError
from headgen.synth.correspondence import (
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    LANDMARK_VERTEX,
    LEFT_LID_LOWER,
    LEFT_LID_UPPER,
    RIGHT_LID_LOWER,
    RIGHT_LID_UPPER,
)

VERTICES = 21451  # skin, mouth socket, eye sockets, gums and tongue, teeth; eyeballs are left out
IDENTITIES = 40

# Ranges of the model's quads and vertices (its README).
FACE_QUADS = slice(0, 6560)
SKIN_QUADS = slice(0, 11144)
SOCKET_QUADS = slice(11144, 13226)
GUMS_QUADS = slice(14034, 17006)
TEETH_QUADS = slice(17006, 21496)
SKIN_VERTICES = 11248
SOCKET_VERTICES = slice(11248, 13294)
GUMS_VERTICES = slice(14062, 17039)
TEETH_VERTICES = slice(17039, 21451)
UPPER_TEETH_VERTICES = slice(17039, 19247)
LOWER_TEETH_VERTICES = slice(19247, 21451)

LIDS = (RIGHT_LID_UPPER, RIGHT_LID_LOWER, LEFT_LID_UPPER, LEFT_LID_LOWER)

TONGUE_WIDTH, TONGUE_TIP, TONGUE_FLOOR = 4.2, 9.95, -4.75  # cm, in the neutral face

SPREAD_CM = 2.2  # reach of the kernel that spreads landmark residuals over the skin
SPREAD_NOISE = 3e-4
LIP_REACH_CM = 0.35  # of what the lip line does to the lip around it


@dataclass(frozen=True)
class IctHead:
    """The model's arrays.

    Attributes:
        neutral: (V, 3) float32.
        identity: (K, V, 3) float32 modes; coefficients are about N(0, 1).
        expression: (E, V, 3) float32 shapes; coefficients from 0 to 1.
        names: E names of the expressions (ARKit's, with _L and _R).
        quads: (Q, 4) of the parts kept; -1 pads triangles.
    """

    neutral: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    names: tuple[str, ...]
    quads: np.ndarray

    @classmethod
    def load(cls, path: Path) -> IctHead:
        """Reads ``ict_facekit.npz`` or the folder in which it lies.

        Raises:
            InputError: no such file, or other contents.
        """
        path = Path(path)
        file = path / "ict_facekit.npz" if path.is_dir() else path
        if not file.is_file():
            raise InputError(
                f"{file}: no such file; give the ICT face model as ict_facekit.npz or its folder"
            )
        try:
            with np.load(file, allow_pickle=False) as data:
                return cls(
                    neutral=data["neutral"][:VERTICES].astype(np.float32),
                    identity=data["identity"][:IDENTITIES, :VERTICES].astype(np.float32),
                    expression=data["expression"][:, :VERTICES].astype(np.float32),
                    names=tuple(str(name) for name in data["expression_names"]),
                    quads=data["faces"][: TEETH_QUADS.stop].astype(np.int32),
                )
        except (ValueError, KeyError, OSError) as error:
            raise InputError(f"{file}: not the ICT face model ({error}); give ict_facekit.npz") from error

    def triangles(self, part: slice) -> np.ndarray:
        """The triangles (F, 3) of a range of quads, all counter-clockwise seen from outside."""
        quads = self.quads[part]
        second = quads[quads[:, 3] >= 0]
        return np.concatenate([quads[:, :3], second[:, [0, 2, 3]]])

    @cached_property
    def face_triangles(self) -> np.ndarray:
        """The face from forehead to chin and ear to ear, lips and lids included."""
        return self.triangles(FACE_QUADS)

    @cached_property
    def skin_triangles(self) -> np.ndarray:
        """Face, skull, ears and neck."""
        return self.triangles(SKIN_QUADS)

    def coefficients(self, values: dict[str, float]) -> np.ndarray:
        """(E,) expression coefficients from names; a name without side sets both sides.

        Raises:
            ValueError: an unknown name.
        """
        out = np.zeros(len(self.names), np.float32)
        for name, value in values.items():
            hits = [i for i, n in enumerate(self.names) if n in (name, f"{name}_L", f"{name}_R")]
            if not hits:
                raise ValueError(f"no expression {name!r}; known: {', '.join(self.names)}")
            out[hits] = value
        return out

    @cached_property
    def lower_mouth(self) -> np.ndarray:
        """(V - SKIN_VERTICES,) how much each vertex behind the skin goes with the jaw, 0 to 1."""
        opened = self.expression[self.names.index("jawOpen"), SKIN_VERTICES:]
        way = np.linalg.norm(opened, axis=1)
        teeth = way[LOWER_TEETH_VERTICES.start - SKIN_VERTICES :]
        return np.clip(way / np.median(teeth), 0, 1).astype(np.float32)

    @cached_property
    def tongue(self) -> np.ndarray:
        """(V - SKIN_VERTICES,) 1 for the vertices of the tongue, fading towards its root, 0 elsewhere."""
        x, y, z = self.neutral[SKIN_VERTICES:].T
        gums = np.zeros(len(x), bool)
        gums[GUMS_VERTICES.start - SKIN_VERTICES : GUMS_VERTICES.stop - SKIN_VERTICES] = True
        inside = gums & (self.lower_mouth > 0.5) & (np.abs(x) < TONGUE_WIDTH / 2) & (z < TONGUE_TIP)
        return np.where(inside, np.clip((y - TONGUE_FLOOR) / 0.4, 0, 1), 0).astype(np.float32)

    @cached_property
    def linings(self) -> tuple[np.ndarray, np.ndarray]:
        """Skin behind the lip and lid lines, which a photograph of a closed mouth does not show.

        Returns:
            vertices (N,) of the linings and, for each, the vertex (N,) of the line in front of it.
        """
        lines = np.concatenate([INNER_LIP_UPPER, INNER_LIP_LOWER, *LIDS])
        triangles = self.face_triangles
        count = int(triangles.max()) + 1
        on_line = np.zeros(count, bool)
        on_line[lines] = True
        edges = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
        edges = edges[~on_line[edges].any(1)]
        graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count))
        _, part = connected_components(graph, directed=False)
        skin = np.bincount(part).argmax()
        used = np.zeros(count, bool)
        used[triangles] = True
        hidden = np.flatnonzero(used & ~on_line & (part != skin))
        nearest = cKDTree(self.neutral[lines]).query(self.neutral[hidden])[1]
        return hidden, lines[nearest]

    @cached_property
    def lip_neighbourhood(self) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
        """For the upper and the lower lip line: vertices that go with it, the line's vertex, weights."""
        opened = self.neutral + 0.9 * self.expression[self.names.index("jawOpen")]
        skin = np.arange(SKIN_VERTICES)
        lines = np.concatenate([INNER_LIP_UPPER, INNER_LIP_LOWER])
        distance, nearest = cKDTree(opened[lines]).query(opened[skin])
        weights = np.exp(-((distance / LIP_REACH_CM) ** 2)).astype(np.float32)
        hidden, front = self.linings
        behind_lips = np.isin(front, lines)
        weights[hidden] = behind_lips
        place = {int(vertex): k for k, vertex in reversed(list(enumerate(lines)))}
        nearest[hidden] = [place.get(int(vertex), 0) for vertex in front]
        out = []
        for upper in (True, False):
            chosen = (weights > 0.02) & ((nearest < len(INNER_LIP_UPPER)) == upper)
            out.append((skin[chosen], lines[nearest[chosen]], weights[chosen]))
        # the corners belong to both lines and stay where they are
        return tuple(
            (v, n, np.where(np.isin(n, lines[[0, len(INNER_LIP_UPPER) - 1]]), 0, w)) for v, n, w in out
        )

    @cached_property
    def spread(self) -> np.ndarray:
        """(SKIN_VERTICES, 468) weights that carry displacements from the landmarks to all skin vertices.

        A smooth kernel in space, measured on an open mouth so that the two lips do not pull each other.
        """
        rest = self.neutral + 0.9 * self.expression[self.names.index("jawOpen")]
        for side in "LR":
            rest = rest + self.expression[self.names.index(f"eyeWide_{side}")]
        anchors = rest[LANDMARK_VERTEX]
        gram = _kernel(anchors, anchors) + SPREAD_NOISE * np.eye(len(anchors))
        return np.linalg.solve(gram, _kernel(anchors, rest[:SKIN_VERTICES])).T.astype(np.float32)


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matern kernel of smoothness 3/2 between points (N, 3) and (M, 3)."""
    distance = np.sqrt(((a[:, None].astype(np.float64) - b[None]) ** 2).sum(-1)) * (np.sqrt(3) / SPREAD_CM)
    return (1 + distance) * np.exp(-distance)
