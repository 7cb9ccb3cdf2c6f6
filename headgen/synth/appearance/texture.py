"""From a photograph to a texture: skin projected into the head's uv layout, and what it does not show.

Textures are linear RGB, float32, (N, N, 3), v down; confidence and masks are (N, N) float32 from 0 to 1.

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
from headgen.synth.photograph import fill_holes
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
FACING = (0.3, 0.65)  # cosine between normal and view: from no to full confidence
HIDDEN_CM = 0.35  # how far behind the nearest surface skin still counts as seen
OVAL_RAMP = 0.03  # of the texture's side: confidence rises from the face's outline inwards
CAVITY = (0.04, 0.34)  # share of the sky seen: from full to no darkening by `cavities`


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """SRGB from 0 to 1 (or uint8) to linear light, float32."""
    x = np.asarray(srgb, np.float32) / (255 if srgb.dtype == np.uint8 else 1)
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light from 0 to 1 to sRGB uint8."""
    x = np.clip(linear, 0, 1)
    out = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-6) ** (1 / 2.4) - 0.055)
    return np.clip(out * 255 + 0.5, 0, 255).astype(np.uint8)


def luminance(linear: np.ndarray) -> np.ndarray:
    """(...) relative luminance of linear RGB (..., 3)."""
    out: np.ndarray = linear @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    return out


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


def broad_blur(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of float32 (H, W) or (H, W, C); wide ones are made on a smaller picture."""
    if sigma < 8:
        return cv2.GaussianBlur(values, (0, 0), sigma)
    step = 2 if sigma < 16 else 4
    small = (max(1, values.shape[1] // step), max(1, values.shape[0] // step))
    less = cv2.GaussianBlur(cv2.resize(values, small, interpolation=cv2.INTER_AREA), (0, 0), sigma / step)
    return cv2.resize(less, values.shape[1::-1], interpolation=cv2.INTER_LINEAR)


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


@dataclass(frozen=True)
class Projection:
    """What a photograph shows of the skin, in the layout of the texture.

    Attributes:
        colour: (N, N, 3) float32 linear RGB.
        confidence: (N, N) how far that is this person's skin, seen well.
        normals: (N, N, 3) of the fitted face in the camera's frame (y up, z towards the camera).
    """

    colour: np.ndarray
    confidence: np.ndarray
    normals: np.ndarray


def project_photograph(
    layout: SkinLayout,
    image: np.ndarray,
    points: np.ndarray,
    scale: float,
    person: np.ndarray | None = None,
) -> Projection:
    """Carries a photograph into the layout.

    Args:
        layout: of the skin.
        image: (H, W, 3) uint8 sRGB.
        points: (V, 3) vertices on the photograph: x, y in pixels, and depth towards the camera in pixels.
        scale: pixels per cm.
        person: (H, W) share of the person in each pixel, if known.
    """
    height, width = image.shape[:2]
    upright = points * [1, -1, 1]
    normals = vertex_normals(upright, layout.triangles)
    canvas = Canvas(height, width, 1)
    canvas.draw(points, layout.triangles, points[:, 2:])
    baked = layout.bake(np.column_stack([points, normals]).astype(np.float32))
    x, y, depth = (np.ascontiguousarray(baked[..., k]) for k in range(3))
    normal = baked[..., 3:] / np.maximum(np.linalg.norm(baked[..., 3:], axis=-1, keepdims=True), 1e-6)

    colour = to_linear(image)
    colour = cv2.remap(colour, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    # the nearest surface within a pixel: a depth between two surfaces must not count
    front = cv2.dilate(np.maximum(canvas.depth, -1e6), np.ones((3, 3)))
    front = cv2.remap(front, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=1e6)
    slope = 1.5 * np.sqrt(np.maximum(1 / np.maximum(normal[..., 2], 0.2) ** 2 - 1, 0))  # depth over a pixel
    seen = (depth > front - HIDDEN_CM * scale - slope) & layout.covered
    facing = np.clip((normal[..., 2] - FACING[0]) / (FACING[1] - FACING[0]), 0, 1)
    confidence = seen * facing * layout.inner_face * (1 - layout.unreliable)
    if person is not None:
        on = cv2.erode(person.astype(np.float32), np.ones((3, 3)))
        confidence = confidence * cv2.remap(on, x, y, cv2.INTER_LINEAR)
    confidence = cv2.erode(confidence.astype(np.float32), np.ones((3, 3)))
    return Projection(np.maximum(colour, 1e-4), confidence, normal)


def reject_foreign(layout: SkinLayout, colour: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Lowers the confidence of what is not skin: hair over the forehead and temples, rims, collars.

    Args:
        layout: of the skin.
        colour: (N, N, 3) linear RGB, its light already divided out.
        confidence: (N, N).

    Returns:
        (N, N) confidence. Brows, lips and beards are kept.
    """
    plain = layout.plain & (confidence > 0.5)
    if plain.sum() < 100:
        return confidence
    smooth = cv2.GaussianBlur(np.log(np.maximum(colour, 1e-3)), (0, 0), 1.5)
    middle = np.median(smooth[plain], 0)
    away = smooth - middle
    light = away @ np.array([0.3, 0.5, 0.2], np.float32)
    hue = away - light[..., None]
    spread = np.maximum(1.4826 * np.median(np.abs(hue[plain]), 0), 0.05)
    odd = np.sqrt(((hue / spread) ** 2).sum(-1))
    skin = np.clip((light + 0.7) / 0.3, 0, 1) * np.clip((0.75 - light) / 0.25, 0, 1)
    skin = skin * np.clip((9 - odd) / 3, 0, 1)
    outline = np.clip(2 * layout.inner_face - 1, 0, 1)
    kept = np.maximum.reduce([layout.brow_mask, layout.lip_mask, layout.beard_mask * outline, layout.middle])
    # teeth between the lips: bright, and less red than the lips are
    lips = (layout.lip_mask > 0.9) & (confidence > 0.3)
    if lips.sum() > 50:
        red = smooth[..., 0] - smooth[..., 1]
        pale = np.median(red[lips]) - red > 0.6 * max(np.median(red[lips]) - np.median(red[plain]), 0.15)
        bright = luminance(smooth) > luminance(np.median(smooth[lips], 0)) + 0.2
        kept = np.where((layout.lip_mask > 0.5) & pale & bright, 0, kept)
        skin = np.where((layout.lip_mask > 0.5) & pale & bright, 0, skin)
    skin = cv2.erode(np.maximum(skin, kept).astype(np.float32), np.ones((5, 5)))
    return confidence * cv2.GaussianBlur(skin, (0, 0), 1.5)


def complete(
    layout: SkinLayout, colour: np.ndarray, confidence: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Fills what the photograph did not show: from the other half, then smoothly, then with grain.

    Args:
        layout: of the skin.
        colour: (N, N, 3) linear RGB, de-lit.
        confidence: (N, N).
        rng: of the grain.

    Returns:
        (N, N, 3) linear RGB.
    """
    log = np.log(np.maximum(colour, 1e-3))
    other, other_confidence = layout.mirror(log), layout.mirror(confidence)
    both = np.minimum(confidence, other_confidence)
    gap = fill_holes(_blurred(log - other, both, 0.03 * layout.size), both)
    matched = other + broad_blur(gap, 0.03 * layout.size)
    share = np.clip(1.5 * other_confidence, 0, 1) * (1 - confidence)
    known = np.maximum(confidence, share)
    weight = confidence / np.maximum(confidence + share, 1e-6)
    log = _blend(matched, log, weight)

    plain = layout.plain & (confidence > 0.3)
    tone = np.median(log[plain], 0) if plain.any() else log[layout.covered].mean(0)
    filled = fill_holes(log, known)
    near = cv2.GaussianBlur(
        np.maximum(known, layout.lip_mask * (layout.unreliable > 0)), (0, 0), 0.06 * layout.size
    )
    away = np.clip(1 - near / 0.25, 0, 1)[..., None]
    smooth = cv2.GaussianBlur(filled, (0, 0), 0.008 * layout.size)
    filled = smooth * (1 - away) + tone * away  # far from anything seen it is just this person's skin
    known = cv2.GaussianBlur(known, (0, 0), 1.5)[..., None] * np.clip(3 * known[..., None], 0, 1)
    log = known * log + (1 - known) * (filled + skin_grain(layout, rng))
    return np.exp(log).astype(np.float32)


def _blurred(values: np.ndarray, weights: np.ndarray, sigma: float) -> np.ndarray:
    """Weighted Gaussian blur."""
    below = broad_blur(weights, sigma)
    above = broad_blur(values * weights[..., None], sigma)
    return above / np.maximum(below, 1e-4)[..., None]


def _blend(a: np.ndarray, b: np.ndarray, weight_b: np.ndarray, levels: int = 5) -> np.ndarray:
    """Pyramid blend (Burt and Adelson, 1983, "A multiresolution spline"): coarse colours over wide seams."""
    out = np.zeros_like(a)
    weight = weight_b.astype(np.float32)
    for level in range(levels):
        sigma = 1.5 * 2.0**level
        low_a, low_b = broad_blur(a, sigma), broad_blur(b, sigma)
        out += (a - low_a) + weight[..., None] * ((b - low_b) - (a - low_a))
        a, b, weight = low_a, low_b, broad_blur(weight_b, sigma)
    return out + a + weight[..., None] * (b - a)


def skin_grain(layout: SkinLayout, rng: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """(N, N, 3) log-colour of pores and blotches, zero on average.

    Our design: two bands of noise for pores and their surroundings and a broad one for the uneven supply of
    blood, whose colours are those of melanin and haemoglobin; sizes in cm of the neutral head, 0.05 and up.
    """
    n = layout.size
    texel = _texels_per_cm(layout)
    out = np.zeros((n, n, 3), np.float32)
    for sigma, amount, tint in (
        (0.05, 0.028, (1.0, 1.0, 1.0)),
        (0.14, 0.022, (0.7, 1.0, 1.1)),
        (0.45, 0.022, (0.25, 1.0, 0.8)),
    ):
        noise = cv2.GaussianBlur(rng.normal(0, 1, (n, n)).astype(np.float32), (0, 0), max(sigma * texel, 0.5))
        out += (strength * amount * noise / noise.std())[..., None] * np.array(tint, np.float32)
    return out


def _texels_per_cm(layout: SkinLayout) -> float:
    """Of the middle of the face, as the median over the layout's triangles in the face."""
    chosen = (
        layout.triangles[: 2 * FACE_QUADS.stop]
        if len(layout.triangles) > FACE_QUADS.stop
        else layout.triangles
    )
    a, b = chosen[:, 0], chosen[:, 1]
    length = np.linalg.norm(layout.vertices[a] - layout.vertices[b], axis=1)
    texels = np.linalg.norm(layout.place[a] - layout.place[b], axis=1)
    return float(np.median(texels / np.maximum(length, 1e-6)))


def cavities(layout: SkinLayout) -> np.ndarray:
    """(N, N, 3) factor that darkens nostrils, the depth of the ears and the corners of mouth and eyes.

    Our design: renderers of plain surfaces know no occlusion; only deep cavities are darkened, and what light
    gets there is reddened by the skin around.
    """
    low, high = CAVITY
    t = np.clip((layout.sky - low) / (high - low), 0, 1)
    t = cv2.GaussianBlur((t * t * (3 - 2 * t)).astype(np.float32), (0, 0), 1.5)
    # lids and lips move apart and show their linings: those stay lit
    moving = np.maximum(layout.near(layout.lids, 0.8), layout.lip_mask)
    t = np.maximum(t, np.clip(1.5 * moving, 0, 1))
    return (t[..., None] ** np.array([0.8, 1.15, 1.2], np.float32) * 0.9 + 0.1).astype(np.float32)
