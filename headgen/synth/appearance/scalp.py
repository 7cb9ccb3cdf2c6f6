"""Where hair grows on a head, which way it is combed, and caps of hair that lie close to the skull.

The scalp is spread out on a disc seen from above: the crown in the middle, the forehead at the bottom,
distance from the middle proportional to the angle from the vertical (azimuthal equidistant). Textures of caps
use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from headgen.synth.appearance.anatomy import Anatomy, unit_vectors
from headgen.synth.appearance.strands import HairColour, blotches, evened, streaks
from headgen.synth.heads.model import Surface

DISC_DEG = 150.0  # angle from the vertical at the disc's rim
RINGS, SECTORS = 40, 72
WHORL = (165.0, 58.0)  # azimuth and elevation of the crown from which hair turns outwards


@dataclass(frozen=True)
class Hairline:
    """The border of the hair on one head.

    Attributes:
        anatomy: of the head.
        curve: elevation in degrees of the border by azimuth, periodic.
        horseshoe: elevation in degrees above which a bald top begins; 90 for none.
    """

    anatomy: Anatomy
    curve: PchipInterpolator
    horseshoe: float = 90.0

    @classmethod
    def of(
        cls,
        anatomy: Anatomy,
        forehead: float = 1.0,
        recession: float = 0.0,
        horseshoe: float = 90.0,
        nape: float = 1.0,
        sideburns: float = 1.0,
    ) -> Hairline:
        """The hairline of a head.

        Args:
            anatomy: of the head.
            forehead: height of the hairline over the eyes, of the usual one.
            recession: how far the temples have gone back, 0 to 1.
            horseshoe: elevation above which the top is bald, degrees.
            nape: how far down the neck hair grows, of the usual.
            sideburns: length in front of the ears, of the usual.
        """
        above = anatomy.hairline_height * forehead
        below = anatomy.unit * 0.97
        azimuth = anatomy.directions(anatomy.landmarks[[0, 16]])[0]
        front = float(np.abs(azimuth).mean())  # of the ears
        box = anatomy.ears.mean(0)
        top = box[1, 1] - anatomy.centre[1] + 1.0
        half = np.abs(anatomy.ears[:, :, 0]).mean()
        back = float(np.rad2deg(np.arctan2(half, box[0, 2] - 1.4 - anatomy.centre[2])))
        r = recession
        points = [
            (0, above * (1 + 0.04 * r)),
            (12, above * (1.0 + 0.06 * r)),
            (front - 34, above * (0.98 + 0.2 * r)),
            (front - 21, above * (0.90 + 0.34 * r)),
            (front - 13, above * (0.68 + 0.44 * r)),
            (front - 7, above * (0.36 + 0.32 * r)),
            (front - 3, above * (0.04 + 0.06 * r)),
            (front - 1, -0.24 * above * sideburns),
            (front + 6, -0.30 * above * sideburns),
            (front + 10, top * 0.5),
            (front + 15, top),
            (back - 16, top),
            (back - 6, 0.3 * top - 0.1 * below),
            (back + 2, -0.45 * below),
            (back + 14, -0.8 * below * nape),
            (back + 40, -0.96 * below * nape),
            (180, -1.0 * below * nape),
        ]
        places = np.array([p[0] for p in points], float)
        heights = np.array([p[1] for p in points], float)
        elevation = 0.5 * (
            anatomy.elevation_of_height(places, heights) + anatomy.elevation_of_height(-places, heights)
        )
        mirrored = np.concatenate([-places[:0:-1], places])
        curve = PchipInterpolator(mirrored, np.concatenate([elevation[:0:-1], elevation]))
        return cls(anatomy, curve, horseshoe)

    def inside(self, azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
        """Roughly how many cm within the border directions (degrees) are; negative on bare skin."""
        azimuth = (np.asarray(azimuth) + 180) % 360 - 180
        slope = self.curve.derivative()(azimuth) / np.maximum(np.cos(np.deg2rad(elevation)), 0.3)
        degrees = (elevation - self.curve(azimuth)) / np.sqrt(1 + np.minimum(slope**2, 25.0))
        if self.horseshoe < 90:
            # bald where the forehead and the top meet; the rim falls towards the temples
            rim = self.horseshoe - 14 * np.cos(np.deg2rad(azimuth))
            degrees = np.minimum(degrees, rim - elevation)
        return np.deg2rad(degrees) * self.anatomy.radius(azimuth, elevation)


@dataclass(frozen=True)
class Comb:
    """Which way hair is combed: a sum of simple directions.

    Attributes:
        parts: weights by name: ``whorl`` away from the crown, ``down``, ``back``, ``forward``, ``out`` away
            from the parting, ``left`` and ``right`` (the picture's), ``knot`` towards `knot`.
        parting: x in cm of the line from which ``out`` leads away.
        knot: (azimuth, elevation) in degrees.
    """

    parts: Mapping[str, float]
    parting: float = 0.0
    knot: tuple[float, float] = (180.0, 30.0)

    def directions(self, anatomy: Anatomy, points: np.ndarray) -> np.ndarray:
        """(..., 3) unit directions along the skull at points (..., 3)."""
        outward = points - anatomy.centre
        outward = outward / np.linalg.norm(outward, axis=-1, keepdims=True)
        total = np.zeros_like(outward)
        for name, weight in self.parts.items():
            if name == "whorl":
                way = outward - unit_vectors(*WHORL)
            elif name == "knot":
                way = unit_vectors(*self.knot) - outward
            elif name == "out":
                # smooth over the parting itself; faces down the sides
                side = np.tanh((points[..., 0] - self.parting) / 0.35)
                side = side * (1 - 0.85 * np.clip((anatomy.centre[2] - points[..., 2]) / 3.0, 0, 1))
                way = side[..., None] * np.array([1.0, 0, 0]) + np.array([0, -0.6, -0.25])
            else:
                fixed = {
                    "down": (0, -1, 0),
                    "back": (0, -0.15, -1),
                    "forward": (0, -0.25, 1),
                    "left": (-1, -0.2, 0),
                    "right": (1, -0.2, 0),
                }
                way = np.broadcast_to(np.array(fixed[name], float), outward.shape)
            way = way - (way * outward).sum(-1, keepdims=True) * outward
            if name in ("whorl", "knot"):
                way = way / (np.linalg.norm(way, axis=-1, keepdims=True) + 1e-6)
            total = total + weight * way
        total = total - (total * outward).sum(-1, keepdims=True) * outward
        return total / (np.linalg.norm(total, axis=-1, keepdims=True) + 1e-6)


def disc_uv(azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """(..., 2) place on the disc of directions in degrees, 0 to 1, v down."""
    angle = 0.5 * (90 - np.asarray(elevation)) / DISC_DEG
    turn = np.deg2rad(azimuth)
    return np.stack([0.5 + angle * np.sin(turn), 0.5 + angle * np.cos(turn)], -1)


def disc_directions(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth and elevation in degrees of each texel (size, size)."""
    axis = (np.arange(size) + 0.5) / size - 0.5
    u, v = np.meshgrid(axis, axis)
    return np.rad2deg(np.arctan2(u, v)), 90 - 2 * DISC_DEG * np.hypot(u, v)


def comb_flow(anatomy: Anatomy, comb: Comb, size: int, rng: np.random.Generator, unruly: float) -> np.ndarray:
    """(size, size, 2) the comb's direction on the disc, turned here and there by `unruly` radians."""
    azimuth, elevation = disc_directions(size)
    elevation = np.maximum(elevation, 90 - DISC_DEG)
    points = anatomy.on_skull(azimuth, elevation)
    way = comb.directions(anatomy, points)
    ahead = anatomy.directions(points + 0.3 * way)
    flow = disc_uv(ahead[0], ahead[1]) - disc_uv(azimuth, elevation)
    turn = unruly * (blotches((size, size), size / 14, rng) + 0.6 * blotches((size, size), size / 36, rng))
    cosine, sine = np.cos(turn), np.sin(turn)
    x, y = flow[..., 0], flow[..., 1]
    return np.dstack([cosine * x - sine * y, sine * x + cosine * y]).astype(np.float32)


@dataclass(frozen=True)
class CapLook:
    """The picture that all shells of a cap share, before it is coloured.

    Attributes:
        brightness: (S, S) 0 to 1 on the disc.
        hairs: (S, S) 0 to 1, evenly distributed, drawn out along the comb.
        inside: (S, S) cm within the hairline.
    """

    brightness: np.ndarray
    hairs: np.ndarray
    inside: np.ndarray

    @classmethod
    def combed(
        cls,
        hairline: Hairline,
        comb: Comb,
        rng: np.random.Generator,
        size: int = 384,
        unruly: float = 0.3,
        length: float = 26.0,
        curls: float = 0.0,
        contrast: float = 0.55,
    ) -> CapLook:
        """Strands along the comb.

        Args:
            hairline: where hair grows.
            comb: which way it lies.
            rng: of the strands.
            size: side of the picture in texels.
            unruly: radians by which strands stray.
            length: of strands, texels.
            curls: 0 for straight hair, 1 for tight curls.
            contrast: of the brightness.
        """
        azimuth, elevation = disc_directions(size)
        inside = hairline.inside(azimuth, np.maximum(elevation, -89))
        inside[elevation < 90 - DISC_DEG] = -9
        flow = comb_flow(hairline.anatomy, comb, size, rng, unruly)
        fine, broad = streaks(flow, rng, length), streaks(flow, rng, 1.6 * length, 5.0)
        if curls > 0:
            small, wide = blotches((size, size), 2.2, rng), blotches((size, size), 6.0, rng)
            curly = evened(np.abs(small + 0.5 * wide))
            fine, broad = (1 - curls) * fine + curls * curly, (1 - curls) * broad + curls * evened(wide)
        hairs = evened(0.6 * fine + 0.4 * broad)
        if comb.parts.get("out"):
            # the parting: scalp shows as a light line with shade beside it
            points = hairline.anatomy.on_skull(azimuth, np.maximum(elevation, 90 - DISC_DEG))
            off = np.abs(points[..., 0] - comb.parting)
            front = points[..., 2] > hairline.anatomy.centre[2] - 2.0
            shade = np.where(front, np.exp(-((off / 0.5) ** 2)), 0)
        else:
            shade = np.zeros_like(hairs)
        brightness = (
            0.46 + contrast * (hairs - 0.5) + 0.05 * blotches((size, size), size / 8, rng) - 0.25 * shade
        )
        return cls(np.clip(brightness, 0, 1).astype(np.float32), hairs, inside)

    def texture(
        self, colour: HairColour, density: float = 1.0, soft: float = 0.5, dim: float = 1.0, edge: float = 0.0
    ) -> np.ndarray:
        """(S, S, 4) uint8.

        Args:
            colour: of the hair.
            density: share of the shell that hair covers, 0 to 1.
            soft: cm over which hair thins out at the hairline.
            dim: factor of the brightness (inner shells lie in the shade).
            edge: cm by which this shell ends inside of the hairline.
        """
        share = density * np.clip((self.inside - edge) / soft + 0.5, 0, 1)
        # never quite full at the rim: whole strands go missing
        cover = np.clip((share - 0.97 * (1 - self.hairs)) * 10 + 0.5, 0, 1) * (share > 0)
        return colour.paint(np.clip(self.brightness * dim, 0, 1), cover, self.hairs)


def cap(
    name: str,
    hairline: Hairline,
    texture: np.ndarray,
    height: float,
    *,
    side: float = 1.0,
    lumps: float = 0.0,
    rng: np.random.Generator | None = None,
    ramp: float = 2.0,
    lift: float = 0.1,
    lean: np.ndarray | None = None,
    gloss: float = 0.25,
) -> Surface:
    """A shell of hair over the skull.

    Args:
        name: of the surface.
        hairline: where hair grows; the shell comes down to the skin there.
        texture: (S, S, 4) on the disc.
        height: cm above the skull on the top.
        side: height at the sides and the back, of that at the top.
        lumps: deviation of the height, of the height; needs `rng`.
        rng: of the lumps.
        ramp: cm within the hairline over which the height is reached.
        lift: cm above the skin at the hairline.
        lean: (3,) cm by which the top of the shell is moved sideways (a quiff, a side sweep).
        gloss: of the surface.
    """
    anatomy = hairline.anatomy
    elevation = 90 - DISC_DEG * (np.arange(RINGS + 1) / RINGS)[:, None]
    azimuth = (np.arange(SECTORS + 1) * (360 / SECTORS) - 180)[None]
    azimuth, elevation = np.broadcast_arrays(azimuth, elevation)
    inside = hairline.inside(azimuth, np.clip(elevation, -89, 89.9))
    rise = np.clip(inside / ramp, 0, 1)
    rise = rise * (2 - rise)
    upward = np.clip(np.sin(np.deg2rad(elevation)) * 1.3, 0, 1)
    high = height * (side + (1 - side) * upward)
    if lumps > 0 and rng is not None:
        bumps = blotches((64, 64), 7.0, rng)
        where = np.clip((disc_uv(azimuth, elevation) * 64).astype(int), 0, 63)
        high = high * (1 + lumps * bumps[where[..., 1], where[..., 0]])
    points = anatomy.on_skull(azimuth, elevation, lift + high * rise)
    if lean is not None:
        points = points + (rise * upward)[..., None] * lean
    flat = points.reshape(-1, 3)
    reach = np.clip(inside.ravel(), 0, 1) * 0.05
    margin = np.where(inside.ravel() > -1.0, 0.6 * lift + reach, -9)
    flat = anatomy.skin.keep_outside(flat, margin, rounds=2, deepest=2.0)
    index = np.arange(flat.shape[0]).reshape(RINGS + 1, SECTORS + 1)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate(
        [np.stack([a, d, c], -1)[1:].reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)]
    )
    triangles = np.concatenate([triangles, np.stack([a, d, c], -1)[:1].reshape(-1, 3)])
    shown = (inside.ravel()[triangles] > -0.8).any(1)
    uv = disc_uv(azimuth, elevation).reshape(-1, 2)
    return Surface(
        name,
        triangles[shown].astype(np.int32),
        uv.astype(np.float32),
        "hair",
        texture,
        gloss=gloss,
        roughness=0.45,
        rigid="head",
        points=flat.astype(np.float32),
    )
