"""Clothes on a torso: T-shirt, shirt, polo, suit with tie, hoodie, jumper, roll-neck, blouse.

All are sheets on the torso's surface (`Torso.cloth`) that start at a neckline on the skin and end far below
any portrait.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headgen.synth.appearance.anatomy import Anatomy
from headgen.synth.appearance.fabric import EXTENT_CM, cloth_colour, fabric
from headgen.synth.appearance.solids import grid_triangles, joined, tube
from headgen.synth.appearance.torso import LEVELS, Torso
from headgen.synth.heads.model import Surface

COLUMNS, ROWS = 84, 30


@dataclass(frozen=True)
class Neckline:
    """The upper border of a garment, by azimuth.

    Attributes:
        side: level at the sides of the neck.
        front: level at the front.
        back: level at the back.
        shape: 1 for a V, 2 for a round neckline.
        width: azimuth in degrees at which the front part ends.
    """

    side: float = 1.7
    front: float = 2.0
    back: float = 1.5
    shape: float = 2.0
    width: float = 80.0

    def level(self, torso: Torso, azimuth: np.ndarray) -> np.ndarray:
        """(N,) levels at azimuths (N,), nowhere below the skin that the head has."""
        around = np.abs((np.asarray(azimuth) + 180) % 360 - 180)
        share = np.clip(1 - around / self.width, 0, 1)
        share = share if self.shape < 1.5 else share * share * (3 - 2 * share)
        behind = np.clip((around - 90) / 90, 0, 1)
        level = self.side + (self.front - self.side) * share + (self.back - self.side) * behind
        return np.minimum(level, torso.deepest(azimuth))


def _surface(
    name: str,
    points: np.ndarray,
    triangles: np.ndarray,
    texture: np.ndarray,
    *,
    two_sided: bool = False,
    gloss: float = 0.04,
) -> Surface:
    """A piece of clothing with the picture of its cloth laid over it from the front."""
    points = points.reshape(-1, 3)
    u = 0.5 + points[:, 0] / EXTENT_CM
    v = np.clip(-(points[:, 1] + 6) / EXTENT_CM, 0.002, 0.998)
    return Surface(
        name, triangles.astype(np.int32), np.stack([u, v], 1).astype(np.float32), "clothing", texture,
        gloss=gloss, roughness=0.8, rigid="torso", points=points.astype(np.float32), two_sided=two_sided,
    )  # fmt: skip


def _body(torso: Torso, neckline: Neckline, lift: float, texture: np.ndarray, name: str = "body") -> Surface:
    """The sheet from a neckline down, all round."""
    azimuth = np.linspace(-180, 180, COLUMNS + 1)
    top = neckline.level(torso, azimuth)
    down = np.linspace(0, 1, ROWS)[:, None] ** 1.5
    level = top + (LEVELS - top) * down
    # the border lies close to the skin
    close = np.clip(0.35 + 3 * down, 0, 1)
    points = torso.cloth(np.broadcast_to(azimuth, level.shape), level, lift * close)
    return _surface(name, points, grid_triangles(ROWS, COLUMNS + 1), texture, two_sided=True)


def _band(
    torso: Torso, neckline: Neckline, lift: float, radius: tuple[float, float], texture: np.ndarray
) -> Surface:
    """A hem round the neckline; radius across and along the skin in cm."""
    azimuth = np.linspace(-180, 180, COLUMNS, endpoint=False)
    level = neckline.level(torso, azimuth)
    line = torso.cloth(azimuth, level, lift * 0.4)
    below = torso.cloth(azimuth, level + 0.4, lift)
    points, triangles = tube(
        line, np.broadcast_to(radius, (COLUMNS, 2)), sides=8, closed=True, up=line - below
    )
    return _surface("hem", points, triangles, texture)


def _collar(
    torso: Torso, texture: np.ndarray, spread: float, height: float, lift: float = 0.35
) -> list[Surface]:
    """A turn-down collar, open at the front."""
    azimuth = np.concatenate([np.linspace(4, 40, 14), np.linspace(44, 316, 45), np.linspace(320, 356, 14)])
    ahead = (1 + np.cos(np.deg2rad(azimuth))) / 2
    base = torso.cloth(azimuth, 1.25 + 0.75 * ahead, lift)
    away = _outward(torso, base)
    up = np.array([0.0, 1.0, 0.0])
    stand = base + (height * (1 - 0.5 * ahead))[:, None] * up - 0.25 * away
    stand = torso.skin.keep_outside(stand, 0.4)
    fold = stand + 0.3 * away + 0.12 * up
    outer = base + 1.0 * away - 0.7 * up
    # the points hang down beside the front
    peak = np.exp(-(((np.abs((azimuth + 180) % 360 - 180) - 4) / 26) ** 2))[:, None]
    sign = np.sign(np.sin(np.deg2rad(azimuth)))[:, None]
    outer = outer + peak * (np.array([0, -3.0, 0.4]) + sign * spread * np.array([2.2, 0, -0.2]))
    outer = torso.cloth_above(outer, lift + 0.35)
    middle = 0.5 * (fold + outer) + 0.35 * away
    points = np.stack([base, stand, fold, middle, outer])
    seam = texture.copy()
    seam[..., :3] = (0.72 * seam[..., :3]).astype(np.uint8)
    outline = np.concatenate([fold[:1], outer, fold[-1:]])
    return [
        _surface("collar", points, grid_triangles(5, len(azimuth)), texture, two_sided=True),
        _surface("collar seam", *tube(outline, 0.07, sides=5), seam),
    ]


def _front_strip(
    torso: Torso,
    half: Callable[[np.ndarray], np.ndarray],
    levels: tuple[float, float],
    lift: float,
    rows: int = 16,
) -> tuple[np.ndarray, np.ndarray]:
    """A strip down the middle of the chest; `half` gives its half width in cm by the share of its length."""
    share = np.linspace(0, 1, rows)
    level = levels[0] + (levels[1] - levels[0]) * share
    middle = torso.cloth(np.zeros(rows), level, lift)
    width = half(share)[:, None]
    columns = [
        middle + [0, 0, -0.12] - width * [1.0, 0, 0],
        middle + [0, 0, 0.1],
        middle + [0, 0, -0.12] + width * [1.0, 0, 0],
    ]
    return np.stack(columns, 1), grid_triangles(rows, 3)


def _buttons(
    torso: Torso, lift: float, colour: np.ndarray, first: float, apart: float, shift: float = 0.0
) -> Surface:
    """Round buttons down the front."""
    turn = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    disc = 0.45 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], 1)
    meshes = []
    for k in range(6):
        middle = torso.cloth(np.zeros(1), np.array([first + apart * k]), lift)[0] + [shift, 0, 0.12]
        rim = middle + disc
        triangles = np.stack([np.full(10, 10), np.arange(10), np.roll(np.arange(10), -1)], 1)
        meshes.append((np.concatenate([rim, middle[None] + [0, 0, 0.08]]), triangles))
    points, triangles = joined(meshes)
    return _surface("buttons", points, triangles, _plain(colour), gloss=0.4)


def _outward(torso: Torso, points: np.ndarray) -> np.ndarray:
    """(N, 3) unit directions away from the neck's axis, level."""
    away = (points - torso.axis) * [1.0, 0.0, 1.0]
    return away / np.linalg.norm(away, axis=1, keepdims=True)


def _plain(colour: np.ndarray) -> np.ndarray:
    return np.array([[[*np.clip(colour, 0, 255), 255]]]).astype(np.uint8)


def t_shirt(torso: Torso, rng: np.random.Generator) -> list[Surface]:
    """A T-shirt with a round or a V neckline."""
    colour = cloth_colour(rng)
    texture = fabric(str(rng.choice(["plain", "plain", "twill", "stripes", "print"])), colour, rng)
    if rng.random() < 0.3:
        neckline = Neckline(1.8, float(rng.uniform(2.7, 3.4)), 1.6, 1.0, 62)
    else:
        neckline = Neckline(1.7, float(rng.uniform(1.9, 2.5)), 1.5)
    hem = fabric("rib", colour * rng.uniform(0.8, 1.0), rng)
    return [_body(torso, neckline, 0.35, texture), _band(torso, neckline, 0.35, (0.16, 0.75), hem)]


def shirt(torso: Torso, rng: np.random.Generator) -> list[Surface]:
    """A shirt with a collar and buttons; the uppermost may be open."""
    kind = "light" if rng.random() < 0.55 else "any"
    colour = cloth_colour(rng, kind)
    pattern = str(rng.choice(["plain", "plain", "pinstripe", "check", "plaid", "twill"]))
    texture = fabric(pattern, colour, rng)
    opened = rng.random() < 0.5
    neckline = Neckline(1.5, 3.0 if opened else 1.9, 1.3, 1.0 if opened else 2.0, 34 if opened else 70)
    points, triangles = _front_strip(
        torso, lambda s: np.full(len(s), 1.5), (3.1 if opened else 2.0, 7.6), 0.5
    )
    return [
        _body(torso, neckline, 0.4, texture),
        _surface("placket", points, triangles, texture, two_sided=True),
        _buttons(
            torso, 0.62, colour * 0.55 if colour.mean() > 120 else colour + 60, 3.4 if opened else 2.3, 0.9
        ),
        *_collar(torso, texture, float(rng.uniform(0.8, 1.6) + 0.5 * opened), 3.0),
    ]


def polo(torso: Torso, rng: np.random.Generator) -> list[Surface]:
    """A polo shirt: short placket, soft collar."""
    colour = cloth_colour(rng)
    texture = fabric(str(rng.choice(["plain", "knit", "stripes"])), colour, rng)
    collar = fabric("rib", colour if rng.random() < 0.6 else cloth_colour(rng), rng)
    points, triangles = _front_strip(torso, lambda s: np.full(len(s), 1.4), (2.6, 4.6), 0.5, 8)
    return [
        _body(torso, Neckline(1.5, 2.5, 1.3, 1.0, 30), 0.4, texture),
        _surface("placket", points, triangles, texture, two_sided=True),
        *_collar(torso, collar, float(rng.uniform(0.9, 1.5)), 2.4),
    ]


def suit(torso: Torso, rng: np.random.Generator) -> list[Surface]:
    """Shirt, jacket with lapels, and mostly a tie."""
    white = cloth_colour(rng, "light")
    linen = fabric(str(rng.choice(["plain", "plain", "pinstripe"])), white, rng)
    colour = cloth_colour(rng, "dark")
    wool = fabric(str(rng.choice(["twill", "twill", "pinstripe", "plain"])), colour, rng, colour + 40)
    out = [
        _body(torso, Neckline(1.5, 1.9, 1.3), 0.35, linen, "shirt"),
        *_collar(torso, linen, float(rng.uniform(0.7, 1.4)), 3.0, 0.3),
    ]
    if rng.random() < 0.75:
        silk = fabric(str(rng.choice(["plain", "stripes", "dots", "check"])), cloth_colour(rng), rng)
        blade, faces = _front_strip(
            torso, lambda s: np.interp(s, [0, 0.12, 1], [1.1, 1.5, 4.2]), (2.3, 7.4), 0.75
        )
        knot, more = _front_strip(
            torso, lambda s: np.interp(s, [0, 0.25, 1], [1.7, 1.75, 0.95]), (1.75, 2.65), 1.25, 6
        )
        points, triangles = joined([(blade.reshape(-1, 3), faces), (knot.reshape(-1, 3), more)])
        out.append(_surface("tie", points, triangles, silk, two_sided=True, gloss=0.2))
    else:
        out.append(_buttons(torso, 0.55, white * 0.6, 2.3, 0.9))
    opening = _Opening(float(rng.uniform(6.3, 7.0)))
    out.append(_over(torso, opening, 0.95, wool, "jacket"))
    return out + _lapels(torso, opening, wool, float(rng.uniform(0.8, 1.25)))


@dataclass(frozen=True)
class _Opening:
    """A V over another garment: straight edges from the neck's sides to the middle of the chest.

    Attributes:
        depth: level at which the edges meet.
        half: cm from the middle at the top.
        top: level there.
    """

    depth: float
    half: float = 7.5
    top: float = 1.75

    def beside(self, level: np.ndarray) -> np.ndarray:
        """Cm from the middle of the edges, by level."""
        return self.half * np.clip((self.depth - level) / (self.depth - self.top), 0, 1) ** 0.9

    def level(self, torso: Torso, azimuth: np.ndarray) -> np.ndarray:
        """(N,) level of the border of the garment by azimuth (N,)."""
        around = np.abs((np.asarray(azimuth) + 180) % 360 - 180)
        levels = np.linspace(self.top, self.depth, 80)
        places = torso.surface(np.minimum(around, 89.0)[:, None], levels[None])[..., 0]
        outside = places >= self.beside(levels)
        crossing = np.where(outside.any(1), levels[outside.argmax(1)], self.depth)
        behind = np.clip((around - 90) / 90, 0, 1)
        return np.where(around > 89, self.top, crossing) - 0.25 * behind


def _over(torso: Torso, opening: _Opening, lift: float, texture: np.ndarray, name: str) -> Surface:
    """The sheet of a garment with an opening."""
    azimuth = np.unique(np.concatenate([np.linspace(-180, 180, COLUMNS + 1), np.linspace(-50, 50, 61)]))
    top = opening.level(torso, azimuth)
    level = top + (LEVELS - top) * np.linspace(0, 1, ROWS)[:, None] ** 1.3
    points = torso.cloth(np.broadcast_to(azimuth, level.shape), level, lift)
    return _surface(name, points, grid_triangles(ROWS, len(azimuth)), texture, two_sided=True)


def _lapels(torso: Torso, opening: _Opening, texture: np.ndarray, wide: float) -> list[Surface]:
    """Lapels along the opening and the collar behind the neck."""
    level = np.linspace(opening.top + 0.75, opening.depth, 20)
    share = np.linspace(0, 1, 20)
    inner = opening.beside(level)
    # widest at the notch, nothing at the button
    reach = wide * 5.5 * (1 - share) ** 0.85 + 0.02
    lapels, edges = [], []
    for sign in (-1, 1):
        columns = []
        for k, part in enumerate((0.0, 0.35, 0.7, 1.0)):
            azimuth = torso.azimuth_at(inner + part * reach, level)
            columns.append(torso.cloth(sign * azimuth, level - 0.1 * part, (1.2, 1.45, 1.4, 1.25)[k]))
        points = np.stack(columns, 1)
        lapels.append((points.reshape(-1, 3), grid_triangles(20, 4)))
        outline = np.concatenate([points[0], points[1:, -1]])
        edges.append(tube(outline, 0.09, sides=5))
    azimuth = np.linspace(torso.azimuth_at(inner[:1], level[:1])[0], 180, 24)
    azimuth = np.concatenate([azimuth, 360 - azimuth[-2::-1]])
    rim = torso.cloth(azimuth, opening.level(torso, azimuth) - 0.1, 1.05)
    away = _outward(torso, rim)
    behind = np.clip((np.abs((azimuth + 180) % 360 - 180) - 30) / 60, 0, 1)[:, None]
    high = rim + behind * [0, 1.6, 0] - 0.3 * behind * away
    high = torso.skin.keep_outside(high, 0.7)
    outer = torso.cloth_above(rim + away * (1.6 + 0.8 * behind) - [0, 0.8, 0], 1.45)
    points = np.stack([rim, high, high + 0.35 * away, 0.5 * (high + outer) + 0.4 * away, outer])
    edges.append(tube(outer, 0.09, sides=5))
    collar = (points.reshape(-1, 3), grid_triangles(5, len(azimuth)))
    dark = texture.copy()
    dark[..., :3] = dark[..., :3] // 2
    return [
        _surface("lapels", *joined([*lapels, collar]), texture, two_sided=True),
        _surface("lapel edges", *joined(edges), dark),
    ]


def hoodie(torso: Torso, rng: np.random.Generator) -> list[Surface]:
    """A sweatshirt with its hood down and cords."""
    colour = cloth_colour(rng)
    texture = fabric(str(rng.choice(["plain", "twill"])), colour, rng)
    neckline = Neckline(2.0, 2.9, 1.5, 1.0, 60)
    azimuth = np.linspace(14, 346, 50)
    behind = (1 - np.cos(np.deg2rad(azimuth))) / 2
    level = 1.9 + 0.9 * (1 - behind) ** 3
    line = torso.cloth(azimuth, level, 1.0)
    away = _outward(torso, line)
    thick = 0.9 + 2.0 * behind**1.5
    line = line + (0.55 * thick)[:, None] * away + (0.5 * thick)[:, None] * [0, 1.0, 0]
    roll, faces = tube(
        line, np.stack([thick, 0.75 * thick], 1), sides=14, up=np.array([0.0, 1.0, 0.0]) + 0 * line
    )
    lining, more = tube(torso.cloth(azimuth, level - 0.15, 0.5) + [0, 0.3, 0], np.full(50, 0.6), sides=8)
    out = [
        _body(torso, neckline, 0.8, texture),
        _surface("hood", roll, faces, texture),
        _surface("hood lining", lining, more, fabric("plain", colour * 0.75, rng)),
    ]
    if rng.random() < 0.75:
        cords = []
        for sign in (-1, 1):
            levels = np.linspace(2.5, rng.uniform(4.0, 5.0), 9)
            cords.append(tube(torso.cloth(sign * (17.0 - 1.2 * np.arange(9)), levels, 1.5), 0.25, sides=6))
        points, triangles = joined(cords)
        bright = colour * 0.6 if colour.mean() > 150 else np.array([225.0, 222, 215])
        out.append(_surface("cords", points, triangles, _plain(bright)))
    return out


def jumper(torso: Torso, rng: np.random.Generator) -> list[Surface]:
    """A knitted jumper with a round or V neckline, a shirt's collar sometimes showing."""
    colour = cloth_colour(rng)
    texture = fabric(str(rng.choice(["knit", "knit", "rib", "stripes"])), colour, rng)
    hem = fabric("rib", colour * 0.95, rng)
    if rng.random() < 0.35:
        neckline = Neckline(1.8, 3.6, 1.5, 1.0, 55)
        under = fabric("plain", cloth_colour(rng, "light"), rng)
        return [
            _body(torso, Neckline(1.5, 1.95, 1.3), 0.3, under, "shirt"),
            _over(torso, _Opening(float(rng.uniform(3.8, 4.6)), 6.5), 0.75, texture, "jumper"),
            *_collar(torso, under, 1.0, 2.6, 0.3),
        ]
    neckline = Neckline(1.5, float(rng.uniform(1.7, 2.2)), 1.3)
    return [_body(torso, neckline, 0.7, texture), _band(torso, neckline, 0.7, (0.35, 0.95), hem)]


def roll_neck(torso: Torso, rng: np.random.Generator) -> list[Surface]:
    """A jumper whose collar is turned down round the neck."""
    colour = cloth_colour(rng)
    texture = fabric(str(rng.choice(["knit", "rib", "plain"])), colour, rng)
    azimuth = np.linspace(-180, 180, COLUMNS + 1)
    base = torso.cloth(azimuth, np.full(COLUMNS + 1, 1.7), 0.8)
    away = _outward(torso, base)
    ahead = (1 + np.cos(np.deg2rad(azimuth)))[:, None] / 2
    tall = rng.uniform(3.2, 4.6)
    neck = torso.surface(azimuth, np.full(COLUMNS + 1, 0.0), 0.6)
    top = np.column_stack([neck[:, 0], base[:, 1] + tall - 0.6 * ahead[:, 0], neck[:, 2]])
    top = torso.skin.keep_outside(top, 0.45)
    inner = top - [0, 1.5, 0] - 0.2 * away
    rows = [
        inner,
        top,
        top + 0.5 * away + [0, 0.1, 0],
        top + 0.85 * away - [0, 0.6, 0],
        base + 0.75 * away + [0, 0.5, 0],
        base,
        torso.cloth(azimuth, np.full(COLUMNS + 1, 2.5), 0.75),
    ]
    collar = _surface(
        "roll", np.stack(rows), grid_triangles(7, COLUMNS + 1), fabric("rib", colour, rng), two_sided=True
    )
    return [_body(torso, Neckline(1.5, 1.8, 1.3), 0.7, texture), collar]


def blouse(torso: Torso, rng: np.random.Generator) -> list[Surface]:
    """A blouse with a wide neckline, sometimes with a frill."""
    colour = cloth_colour(rng, str(rng.choice(["light", "any"])))
    texture = fabric(str(rng.choice(["plain", "dots", "print", "print"])), colour, rng)
    vee = rng.random() < 0.5
    neckline = Neckline(
        float(rng.uniform(1.9, 2.5)), float(rng.uniform(2.7, 3.3)), 1.8, 1.0 if vee else 2.0, 75
    )
    out = [_body(torso, neckline, 0.3, texture)]
    if rng.random() < 0.5:
        azimuth = np.linspace(-180, 180, 181)
        level = neckline.level(torso, azimuth)
        wave = np.sin(np.deg2rad(azimuth) * 34) + 0.4 * np.sin(np.deg2rad(azimuth) * 13 + 1)
        rows = [
            torso.cloth(azimuth, level + d, lift + a * wave)
            for d, lift, a in ((-0.05, 0.25, 0), (0.2, 0.7, 0.15), (0.45, 0.9, 0.3))
        ]
        out.append(_surface("frill", np.stack(rows), grid_triangles(3, 181), texture, two_sided=True))
    else:
        out.append(_band(torso, neckline, 0.3, (0.1, 0.4), fabric("plain", colour * 0.95, rng)))
    return out


GARMENTS: dict[str, Callable[[Torso, np.random.Generator], list[Surface]]] = {
    "t-shirt": t_shirt,
    "shirt": shirt,
    "polo": polo,
    "suit": suit,
    "hoodie": hoodie,
    "jumper": jumper,
    "roll-neck": roll_neck,
    "blouse": blouse,
}


def clothing(
    anatomy: Anatomy, garment: str, rng: np.random.Generator, torso: Torso | None = None
) -> list[Surface]:
    """Clothes for a head.

    Args:
        anatomy: of the head.
        garment: one of `GARMENTS`.
        rng: of colours, cloth and cut.
        torso: that they are put on; one of usual build if None.

    Returns:
        surfaces fixed to the torso, from the neckline to some 50 cm below the chin.

    Raises:
        ValueError: an unknown garment.
    """
    if garment not in GARMENTS:
        raise ValueError(f"no garment {garment!r}; known: {', '.join(GARMENTS)}")
    return GARMENTS[garment](torso or Torso.of(anatomy), rng)
