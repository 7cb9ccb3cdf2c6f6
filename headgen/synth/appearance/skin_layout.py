"""Where the skin of a head lies in its texture, and where on it brows, lids, lips and the beard are.

Textures are (N, N, ...), v down; masks are (N, N) float32 from 0 to 1.

Legend: V vertices, U places of vertices in the texture (seams have several), F triangles, N side of the
texture.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import cKDTree

from headgen.errors import InputError
from headgen.synth.correspondence import (
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    LANDMARK_VERTEX,
    OUTER_LIP_LOWER,
    OUTER_LIP_UPPER,
)
from headgen.synth.fit import OVAL
from headgen.synth.ict import FACE_QUADS, LIDS, IctHead
from headgen.synth.raster import Canvas

SIZE = 512
FACE_TILE_QUADS = slice(0, 9230)  # of the ICT model: face, front of skull and neck, ears: its first uv tile
BROWS = (
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)  # landmarks around the person's right and left brow
BROW_CM = 0.45  # hair of the brows beyond their landmarks
BEARD = (
    132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 426, 327, 2, 98, 206,
)  # fmt: skip
LASH_CM = 0.22  # around the line of the lids: lashes, and eyeball where the fit is off
LINER_CM = 0.09  # around the line between the lips: teeth, and the dark between lips
OVAL_RAMP = 0.03  # of the texture's side: confidence rises from the face's outline inwards


def bake(
    uv: np.ndarray, triangles: np.ndarray, attributes: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Attributes (V, C) at places `uv` (V, 2) of triangles (F, 3) as a texture.

    Returns:
        (size, size, C) float32, and (size, size) bool: the texels that belong to a triangle.
    """
    canvas = Canvas(size, size, attributes.shape[1])
    flat = np.column_stack([uv * size - 0.5, np.zeros(len(uv))])
    canvas.draw(flat, triangles, attributes)
    return canvas.values, canvas.layer >= 0


@dataclass(frozen=True)
class SkinLayout:
    """Where the skin of a head lies in its texture.

    Attributes:
        vertices: (V, 3) neutral head, cm.
        triangles: (F, 3) of vertices, counter-clockwise from outside.
        uv: (U, 2) from 0 to 1, v down.
        uv_triangles: (F, 3) of places in `uv`.
        size: N, side of the texture.
        lids: vertices along the lines of the lids.
        lip_line: vertices along the line between the lips.
        lip_outline: vertices around the lips, in order.
        oval: vertices around the face, in order.
        brows: vertices around each brow, in order.
        beard: vertices around the lower face, in order.
        linings: vertices that only an open mouth or a closed lid shows.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    uv_triangles: np.ndarray
    size: int = SIZE
    lids: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    lip_line: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    lip_outline: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    oval: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    brows: tuple[np.ndarray, ...] = ()
    beard: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    linings: np.ndarray = field(default_factory=lambda: np.zeros(0, int))

    @classmethod
    def of_ict(cls, head: IctHead, path: Path, size: int = SIZE) -> SkinLayout:
        """The first uv tile of the ICT face: face, front of skull and neck, ears.

        Args:
            head: the model.
            path: ``ict_facekit.npz`` or its folder; it holds the layout.
            size: side of the texture.

        Raises:
            InputError: no such file, or other contents.
        """
        file = Path(path) / "ict_facekit.npz" if Path(path).is_dir() else Path(path)
        try:
            with np.load(file, allow_pickle=False) as data:
                uv, quads = data["uv"].astype(np.float32), data["faces_uv"][FACE_TILE_QUADS]
        except (ValueError, KeyError, OSError) as error:
            raise InputError(f"{file}: not the ICT face model ({error}); give ict_facekit.npz") from error
        quads = quads.astype(np.int32)
        second = quads[head.quads[FACE_TILE_QUADS, 3] >= 0]
        marks = LANDMARK_VERTEX
        return cls(
            vertices=head.neutral,
            triangles=head.triangles(FACE_TILE_QUADS),
            uv=np.column_stack([uv[:, 0], 1 - uv[:, 1]]),
            uv_triangles=np.concatenate([quads[:, :3], second[:, [0, 2, 3]]]),
            size=size,
            lids=np.concatenate(LIDS),
            lip_line=np.concatenate([INNER_LIP_UPPER, INNER_LIP_LOWER]),
            lip_outline=np.concatenate([OUTER_LIP_UPPER, OUTER_LIP_LOWER[-2:0:-1]]),
            oval=marks[list(OVAL)],
            brows=tuple(marks[list(line)] for line in BROWS),
            beard=marks[list(BEARD)],
            linings=head.linings[0],
        )

    def bake(self, attributes: np.ndarray) -> np.ndarray:
        """(N, N, C) float32 texture of attributes of the vertices (V, C); zero beside the skin."""
        return bake(self.uv, self.uv_triangles, attributes[self._owner], self.size)[0]

    @cached_property
    def _owner(self) -> np.ndarray:
        """(U,) vertex of each place."""
        owner = np.zeros(len(self.uv), np.int64)
        owner[self.uv_triangles] = self.triangles
        return owner

    @cached_property
    def covered(self) -> np.ndarray:
        """(N, N) bool: texels of the skin."""
        return bake(self.uv, self.uv_triangles, np.zeros((len(self.uv), 1)), self.size)[1]

    @cached_property
    def positions(self) -> np.ndarray:
        """(N, N, 3) neutral position of each texel, cm."""
        return self.bake(self.vertices)

    @cached_property
    def place(self) -> np.ndarray:
        """(V, 2) texel of each vertex (one of them on a seam), x and y."""
        out = np.zeros((len(self.vertices), 2), np.float32)
        out[self.triangles] = self.uv[self.uv_triangles] * self.size - 0.5
        return out

    @cached_property
    def mirrored(self) -> np.ndarray:
        """(N, N, 2) float32 x and y of the texel on the other half of the head."""
        used = np.unique(self.triangles)
        _, nearest = cKDTree(self.vertices[used]).query(self.vertices[used] * [-1, 1, 1])
        places = np.zeros((len(self.vertices), 2), np.float32)
        places[used] = self.place[used[nearest]]
        return self.bake(places)

    def mirror(self, texture: np.ndarray) -> np.ndarray:
        """The texture (N, N, ...) with its halves exchanged."""
        x, y = self.mirrored[..., 0], self.mirrored[..., 1]
        return cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def near(self, vertices: np.ndarray, reach: float) -> np.ndarray:
        """(N, N) 1 at the given vertices, falling smoothly to 0 at `reach` cm and beyond."""
        if not len(vertices):
            return np.zeros((self.size, self.size), np.float32)
        used = np.unique(self.triangles)
        distance = np.full(len(self.vertices), 1e3, np.float32)
        distance[used] = cKDTree(self.vertices[vertices]).query(self.vertices[used])[0]
        baked = self.bake(distance[:, None])[..., 0]
        t = np.clip(1 - baked / reach, 0, 1)
        return np.where(self.covered, t * t * (3 - 2 * t), 0).astype(np.float32)

    def polygon(self, vertices: np.ndarray, soft: float = 2.0) -> np.ndarray:
        """(N, N) 1 inside the line of vertices, its edge `soft` texels wide."""
        mask = np.zeros((self.size, self.size), np.uint8)
        if len(vertices):
            points = np.round(self.place[vertices] * 16).astype(np.int32)
            cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, 4)
        return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), soft)

    @cached_property
    def inner_face(self) -> np.ndarray:
        """(N, N) 1 inside the face, falling to 0 towards its outline."""
        inside = (self.polygon(self.oval, 0.5) > 0.5).astype(np.uint8)
        away = cv2.distanceTransform(inside, cv2.DIST_L2, 5) / (OVAL_RAMP * self.size)
        return cv2.GaussianBlur(np.clip(away, 0, 1), (0, 0), 2.0).astype(np.float32)

    @cached_property
    def middle(self) -> np.ndarray:
        """(N, N) 1 around eyes, nose and mouth, where no hair hangs; 0 on forehead, temples and outline."""
        if not self.brows:
            return np.zeros((self.size, self.size), np.float32)
        inside = (self.polygon(self.oval, 0.5) > 0.5).astype(np.uint8)
        away = cv2.distanceTransform(inside, cv2.DIST_L2, 5) / self.size
        brows = max(float(self.place[line, 1].max()) for line in self.brows)
        below = np.clip((np.arange(self.size) - brows + 4) / 8, 0, 1)[:, None]
        return (np.clip((away - 0.05) / 0.03, 0, 1) * below).astype(np.float32)

    @cached_property
    def brow_mask(self) -> np.ndarray:
        """(N, N) 1 on the brows and a little around them."""
        out = np.zeros((self.size, self.size), np.float32)
        for line in self.brows:
            inside = self.polygon(line, 1.0)
            hull = np.maximum(inside, self.near(line, 2 * BROW_CM))
            out = np.maximum(out, np.clip(2 * hull, 0, 1))
        return cv2.GaussianBlur(out, (0, 0), 0.008 * self.size)

    @cached_property
    def lip_mask(self) -> np.ndarray:
        """(N, N) 1 on the lips, their linings included."""
        behind = np.zeros((len(self.vertices), 1), np.float32)
        behind[self.linings] = 1
        mouth = self.polygon(self.lip_outline, 1.5)
        return np.maximum(mouth, self.bake(behind)[..., 0] * (cv2.dilate(mouth, np.ones((25, 25))) > 0.5))

    @cached_property
    def beard_mask(self) -> np.ndarray:
        """(N, N) 1 where beards grow."""
        return self.polygon(self.beard, 0.02 * self.size) * (1 - self.lip_mask)

    @cached_property
    def plain(self) -> np.ndarray:
        """(N, N) bool: skin of the face without brows, eyes, lips and beard: its colour."""
        eyes = self.near(self.lids, 1.0) > 0.02
        odd = eyes | (self.brow_mask > 0.05) | (self.lip_mask > 0.05) | (self.beard_mask > 0.3)
        return (self.inner_face > 0.9) & ~odd

    @cached_property
    def unreliable(self) -> np.ndarray:
        """(N, N) 1 where a photograph shows lashes, eyeballs, teeth or the dark of the mouth."""
        behind = np.zeros((len(self.vertices), 1), np.float32)
        behind[self.linings] = 1
        lids = np.clip(1.8 * self.near(self.lids, 2 * LASH_CM), 0, 1)
        lips = np.clip(2 * self.near(self.lip_line, 2 * LINER_CM), 0, 1)
        return np.maximum.reduce([lids, lips, np.clip(2 * self.bake(behind)[..., 0], 0, 1)])

    @cached_property
    def sky(self) -> np.ndarray:
        """(N, N) share of the directions around its normal from which each texel of the neutral is seen."""
        return np.where(self.covered, self.bake(_sky(self.vertices, self.triangles)[:, None])[..., 0], 1)

    @cached_property
    def texels_per_cm(self) -> float:
        """Of the middle of the face, as the median over the face's edges."""
        face = self.triangles[: 2 * FACE_QUADS.stop]
        a, b = face[:, 0], face[:, 1]
        length = np.linalg.norm(self.vertices[a] - self.vertices[b], axis=1)
        texels = np.linalg.norm(self.place[a] - self.place[b], axis=1)
        return float(np.median(texels / np.maximum(length, 1e-6)))


def _sky(vertices: np.ndarray, triangles: np.ndarray, directions: int = 64, side: int = 192) -> np.ndarray:
    """(V,) cosine-weighted share of unhidden directions, by drawing depth from many sides."""
    normals = vertex_normals(vertices, triangles)
    k = np.arange(directions) + 0.5
    polar, around = np.arccos(1 - 2 * k / directions), np.pi * (1 + 5**0.5) * k  # a Fibonacci sphere
    sphere = np.column_stack([np.cos(around) * np.sin(polar), np.sin(around) * np.sin(polar), np.cos(polar)])
    seen = np.zeros(len(vertices))
    total = np.full(len(vertices), 1e-6)
    middle, radius = vertices[triangles].mean((0, 1)), np.ptp(vertices[triangles].reshape(-1, 3), 0).max()
    for direction in sphere:
        right = np.cross([0.3, 1.0, 0.2], direction)
        right /= np.linalg.norm(right)
        frame = np.stack([right, -np.cross(direction, right), direction])
        points = (vertices - middle) @ frame.T
        points[:, :2] = (points[:, :2] / radius * 0.7 + 0.5) * side
        canvas = Canvas(side, side, 1)
        canvas.draw(points, triangles, points[:, 2:])
        x, y = np.clip(np.round(points[:, :2]).astype(int), 0, side - 1).T
        weight = np.maximum(normals @ direction, 0)
        seen += weight * (points[:, 2] > canvas.depth[y, x] - 0.25)
        total += weight
    return (seen / total).astype(np.float32)


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) float32 unit normals, weighted by area; zero for vertices of no triangle."""
    a, b, c = (vertices[triangles[:, k]].astype(np.float64) for k in range(3))
    normal = np.cross(b - a, c - a)
    out = np.zeros((len(vertices), 3))
    for k in range(3):
        np.add.at(out, triangles[:, k], normal)
    return (out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)).astype(np.float32)
