"""Styles of hair that need no files: caps on the skull, strips that grow from it, knots and tails.

`hair` gives the surfaces of a style on any head; `STYLES` lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from headgen.synth.appearance.anatomy import Anatomy, Skin
from headgen.synth.appearance.hair_cards import Growth, grow, ribbons
from headgen.synth.appearance.scalp import CapLook, Comb, Hairline, cap
from headgen.synth.appearance.strands import HairColour, wisps
from headgen.synth.heads.model import Surface

TEXTURE = 384  # texels of a cap's side


@dataclass(frozen=True)
class Style:
    """A hairdo.

    Attributes:
        comb: which way the hair lies.
        height: cm of the cap above the skull on the top.
        side: its height at the sides, of the top's.
        hairline: arguments of `Hairline.of`.
        growth: strips on top of the cap; None for none.
        shells: more caps above the first: (cm above it, share that hair covers).
        curls: 0 straight, 1 tight curls (caps).
        contrast: of the strands of the cap.
        unruly: radians by which strands of the cap stray.
        lumps: unevenness of the cap's height.
        length: of strands in the cap's picture, texels.
        lean: cm by which the top is pushed sideways, back and up.
        knot: radius in cm of a bun at the comb's knot; 0 for none.
        tail: cm of hair that hangs from the comb's knot; 0 for none.
        common: how often it is drawn, against the others.
    """

    comb: Comb
    height: float
    side: float = 0.8
    hairline: Mapping[str, float] = field(default_factory=dict)
    growth: Growth | None = None
    shells: tuple[tuple[float, float], ...] = ()
    curls: float = 0.0
    contrast: float = 0.55
    unruly: float = 0.25
    lumps: float = 0.0
    length: float = 24.0
    lean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    knot: float = 0.0
    tail: float = 0.0
    common: float = 1.0


_WHORL = Comb({"whorl": 1.0, "down": 0.3})
_SHORT = Growth(
    240, (3.2, 1.6, 1.4), width=0.9, rise=35, volume=(0.3, 1.0), weight=0.02, sector=14.0, segments=4
)
_LONG = Growth(340, (44, 40, 38), 0.06, 1.7, 14, (0.4, 1.5), 0.25, curtain=0.75, segments=11)

STYLES: dict[str, Style] = {
    "bald": Style(_WHORL, 0.0, common=0.5),
    "stubble": Style(
        _WHORL, 0.05, 1.0, shells=((0.08, 0.5),), contrast=0.2, unruly=0.7, length=6.0, common=0.7
    ),
    "buzz": Style(
        _WHORL, 0.22, 0.7, shells=((0.12, 0.6), (0.25, 0.35)), contrast=0.3, unruly=0.6, length=8.0
    ),
    "horseshoe": Style(
        Comb({"down": 1.0, "back": 0.5}),
        0.5, 1.0, {"horseshoe": 38.0, "recession": 0.4}, shells=((0.25, 0.55),), common=0.7,
    ),
    "receding": Style(
        Comb({"whorl": 0.6, "forward": 0.3, "right": 0.3}),
        0.5, 0.6, {"recession": 0.85}, replace(_SHORT, count=170), ((0.3, 0.5),),
    ),
    "crop": Style(Comb({"whorl": 1.0, "forward": 0.3}), 0.5, 0.55, {}, _SHORT, ((0.3, 0.55),)),
    "french crop": Style(
        Comb({"whorl": 0.7, "forward": 0.8, "left": 0.15}),
        0.8, 0.3, {"forehead": 0.97},
        replace(_SHORT, count=260, length=(4.6, 1.4, 1.3), rise=22, volume=(0.5, 1.5), fringe=0.85),
    ),
    "side parting": Style(
        Comb({"out": 1.0, "back": 0.45, "down": 0.2}, parting=-3.2),
        1.1, 0.45, {"recession": 0.15},
        replace(_SHORT, count=300, length=(7.5, 2.6, 2.2), width=1.1, rise=22, volume=(0.7, 1.9), weight=0.07,
                curtain=0.8),
        unruly=0.15, length=36.0,
    ),
    "slicked back": Style(
        Comb({"back": 1.0, "down": 0.12}),
        0.9, 0.35, {"recession": 0.25},
        replace(_SHORT, count=240, length=(8, 3, 3), width=1.1, rise=14, volume=(0.5, 1.3), weight=0.03,
                curtain=0.8),
        unruly=0.12, length=40.0, lean=(0, 0.3, -0.2),
    ),
    "quiff": Style(
        Comb({"back": 1.0, "right": 0.3}),
        1.5, 0.25, {"recession": 0.1},
        replace(_SHORT, count=260, length=(5.5, 1.6, 1.6), rise=45, volume=(0.8, 2.4), weight=0.0),
        unruly=0.2, lean=(0, 0.8, 0.3),
    ),
    "spiky": Style(
        Comb({"whorl": 0.6, "back": 0.2}),
        0.7, 0.5, {}, replace(_SHORT, count=300, length=(4.2, 2, 1.8), rise=62, weight=-0.03), unruly=0.5,
    ),
    "short curls": Style(
        _WHORL, 1.3, 0.6, {},
        Growth(240, (4.5, 2.4, 2.4), 0.15, 1.6, 45, (0.8, 2.2), 0.1, curl=0.45, sector=8.0, segments=5),
        ((0.4, 0.5),), curls=0.9, contrast=0.4, lumps=0.1,
    ),
    "afro": Style(
        _WHORL, 3.7, 0.85, {"forehead": 0.95},
        Growth(380, (4.9, 4.5, 4.0), 0.06, 1.7, 88, (0.2, 0.5), 0.0, curl=0.6, sector=-25.0, segments=4),
        shells=((0.35, 0.65), (0.65, 0.4)), curls=1.0, contrast=0.28, lumps=0.05, unruly=0.9,
    ),
    "short afro": Style(
        _WHORL, 1.6, 0.7, {}, shells=((0.25, 0.6), (0.5, 0.35)), curls=1.0, contrast=0.35, lumps=0.05,
        unruly=0.9,
    ),
    "mop": Style(
        Comb({"whorl": 1.0, "forward": 0.6, "left": 0.3}),
        1.2, 0.7, {},
        Growth(300, (10, 7.5, 7), 0.15, 1.3, 22, (0.7, 2.0), 0.12, fringe=0.75, segments=7),
        unruly=0.4,
    ),
    "pixie": Style(
        Comb({"out": 1.0, "forward": 0.5}, parting=2.6),
        1.0, 0.6, {"nape": 0.95},
        Growth(280, (9, 5, 4), 0.15, 1.2, 20, (0.6, 1.7), 0.14, cover_ears=0.5, curtain=0.3, segments=6),
        unruly=0.2,
    ),
    "bob": Style(
        Comb({"out": 1.0, "down": 0.3, "whorl": 0.25}, parting=-1.5),
        0.9, 0.9, {},
        replace(_LONG, length=(24, 17, 14), spread=0.05, width=1.6, segments=9),
        unruly=0.12, length=40.0,
    ),
    "bob with fringe": Style(
        Comb({"whorl": 1.0, "forward": 0.45, "down": 0.3}),
        0.9, 0.9, {},
        Growth(360, (22, 17, 14), 0.04, 1.6, 16, (0.5, 1.5), 0.22, fringe=0.42, segments=9),
        unruly=0.1, length=40.0,
    ),
    "long": Style(
        Comb({"out": 1.0, "down": 0.4, "whorl": 0.2}), 0.8, 0.9, {}, _LONG, unruly=0.1, length=44.0
    ),
    "long waves": Style(
        Comb({"out": 1.0, "down": 0.3, "whorl": 0.2}, parting=2.2),
        1.0, 0.9, {},
        replace(_LONG, length=(42, 38, 36), width=1.9, rise=18, volume=(0.6, 2.2), wave=1.4, curl=0.22),
        unruly=0.25, length=40.0,
    ),
    "long curls": Style(
        Comb({"out": 0.8, "whorl": 0.5}, parting=-1.0),
        1.5, 0.9, {},
        replace(_LONG, length=(32, 28, 27), spread=0.12, width=2.2, rise=28, volume=(0.9, 3.2), weight=0.2,
                wave=1.6, curl=0.5, curtain=0.55),
        curls=0.5, lumps=0.08, unruly=0.5,
    ),
    "behind the ears": Style(
        Comb({"out": 0.8, "back": 0.7, "down": 0.2}, parting=-2.0),
        0.7, 0.7, {},
        replace(_LONG, length=(40, 34, 34), rise=12, volume=(0.4, 1.2), cover_ears=0.0, curtain=0.9),
        unruly=0.1, length=44.0,
    ),
    "shoulder length": Style(
        Comb({"out": 1.0, "down": 0.3, "whorl": 0.2}, parting=2.8),
        0.9, 0.9, {},
        replace(_LONG, length=(30, 26, 23), rise=16, volume=(0.5, 1.7), wave=0.5, curl=0.08, curtain=0.6),
        unruly=0.15, length=44.0,
    ),
    "bun": Style(
        Comb({"knot": 1.0}, knot=(180.0, 38.0)),
        0.55, 0.8, {}, shells=((0.15, 0.5),), unruly=0.08, length=44.0, knot=3.4,
    ),
    "top knot": Style(
        Comb({"knot": 1.0}, knot=(180.0, 74.0)),
        0.5, 0.6, {"nape": 0.95}, shells=((0.12, 0.5),), unruly=0.1, length=44.0, knot=2.7, common=0.6,
    ),
    "ponytail": Style(
        Comb({"knot": 1.0}, knot=(180.0, 34.0)),
        0.55, 0.8, {}, shells=((0.15, 0.5),), unruly=0.08, length=44.0, tail=32.0,
    ),
}  # fmt: skip


def sample_style(rng: np.random.Generator) -> str:
    """One of `STYLES`, as often as it is `common`."""
    weights = np.array([style.common for style in STYLES.values()])
    return str(rng.choice(list(STYLES), p=weights / weights.sum()))


def hair(
    anatomy: Anatomy,
    style: str,
    colour: HairColour,
    rng: np.random.Generator,
    *,
    length: float = 1.0,
    volume: float = 1.0,
    flip: bool = False,
    body: Skin | None = None,
) -> list[Surface]:
    """Hair of a style on a head.

    Args:
        anatomy: of the head.
        style: one of `STYLES`.
        colour: of the hair.
        rng: of strands and of the style's small variations.
        length: of strips and tails, of the style's own; 0.7 to 1.4.
        volume: of everything that stands off the skull, of the style's own; 0.6 to 1.5.
        flip: left and right change places.
        body: shoulders (`Torso.as_skin`), to lie on.

    Returns:
        surfaces fixed to the head; none for ``bald``.

    Raises:
        ValueError: an unknown style.
    """
    if style not in STYLES:
        raise ValueError(f"no hair style {style!r}; known: {', '.join(STYLES)}")
    if style == "bald":
        return []
    own = STYLES[style]
    comb = _mirrored(own.comb) if flip else own.comb
    border = Hairline.of(anatomy, **_varied(own.hairline, rng))
    look = CapLook.combed(border, comb, rng, TEXTURE, unruly=own.unruly, length=own.length, curls=own.curls)
    lean = np.array(own.lean) * volume * (-1 if flip else 1, 1, 1)
    height = own.height * volume
    soft = 0.35 + 0.25 * min(height, 1.0)
    under = 0.8 if own.growth or own.shells else 1.0
    surfaces = []
    lump = np.random.default_rng(rng.integers(2**32)).bit_generator.state
    for k, (extra, density) in enumerate(((0.0, 1.0), *own.shells)):
        same = np.random.default_rng()
        same.bit_generator.state = lump  # shells are uneven at the same places
        texture = look.texture(colour, density, soft, under + (1 - under) * (k > 0), 0.25 * k)
        surfaces.append(
            cap(
                f"hair cap {k}", border, texture, height + extra * volume, side=own.side, lumps=own.lumps,
                rng=same, lift=0.08 + 0.03 * k, lean=lean, ramp=1.2 + 0.5 * height,
            )
        )  # fmt: skip
    if own.growth is not None:
        top, side, back = own.growth.length
        growth = replace(
            own.growth,
            length=(top * length, side * length, back * length),
            volume=(own.growth.volume[0] * volume, own.growth.volume[1] * volume),
        )
        points, normals = grow(border, comb, growth, rng, body)
        atlas = colour.paint(*wisps(rng, curl=growth.curl))
        widths = growth.width * np.exp(rng.normal(0, 0.2, len(points)))
        surfaces.append(ribbons("hair strips", points, normals, widths, atlas, rng))
    if own.knot > 0:
        surfaces.append(_bun(anatomy, comb, own.knot * volume**0.5, colour, rng))
    if own.tail > 0:
        surfaces.extend(_tail(anatomy, comb, own.tail * length, colour, rng, body))
    return surfaces


def _mirrored(comb: Comb) -> Comb:
    swap = {"left": "right", "right": "left"}
    parts = {swap.get(name, name): weight for name, weight in comb.parts.items()}
    return replace(comb, parts=parts, parting=-comb.parting)


def _varied(arguments: Mapping[str, float], rng: np.random.Generator) -> dict[str, float]:
    """The style's hairline, a little different on every head."""
    out = dict(arguments)
    out["forehead"] = out.get("forehead", 1.0) * float(np.exp(rng.normal(0, 0.035)))
    out["recession"] = float(np.clip(out.get("recession", 0.0) + rng.normal(0.05, 0.08), 0, 1))
    out["nape"] = out.get("nape", 1.0) * float(np.exp(rng.normal(0, 0.03)))
    out["sideburns"] = out.get("sideburns", 1.0) * float(rng.uniform(0.5, 1.4))
    return out


def _bun(
    anatomy: Anatomy, comb: Comb, radius: float, colour: HairColour, rng: np.random.Generator
) -> Surface:
    """A knot: a flattened ball of strips wound around its axis, with a strand texture."""
    azimuth, elevation = np.array(comb.knot)
    foot = anatomy.on_skull(azimuth, elevation, 0.3)
    axis = foot - anatomy.centre
    axis = axis / np.linalg.norm(axis)
    side = np.cross(axis, [1.0, 0.2, 0.1])
    side /= np.linalg.norm(side)
    up = np.cross(axis, side)
    centre = foot + 0.55 * radius * axis
    count, steps = 34, 9
    start = rng.uniform(0, 2 * np.pi, count)
    turn = start[:, None] + np.linspace(0, 2.4, steps)[None] * rng.choice([-1, 1])
    tilt = rng.uniform(-0.9, 1.0, count)[:, None] + 0.35 * np.sin(turn + start[:, None])
    out = (
        np.cos(tilt)[..., None] * (np.cos(turn)[..., None] * side + np.sin(turn)[..., None] * up)
        + 0.75 * np.sin(tilt)[..., None] * axis
    )
    bulge = radius * (1 + 0.05 * rng.normal(size=(count, 1, 1)))
    points = centre + bulge * out
    normals = out / np.linalg.norm(out, axis=-1, keepdims=True)
    atlas = colour.paint(*wisps(rng, ragged=0.15))
    return ribbons("hair bun", points, normals, np.full(count, 0.8 * radius), atlas, rng)


def _tail(
    anatomy: Anatomy,
    comb: Comb,
    length: float,
    colour: HairColour,
    rng: np.random.Generator,
    body: Skin | None,
) -> list[Surface]:
    """A bundle that leaves the knot backwards and falls."""
    azimuth, elevation = np.array(comb.knot)
    foot = anatomy.on_skull(azimuth, elevation, 0.4)
    outward = foot - anatomy.centre
    outward = outward / np.linalg.norm(outward)
    skin = anatomy.skin if body is None else anatomy.skin.joined(body)
    count, steps = 90, 12
    turn = rng.uniform(0, 2 * np.pi, count)
    reach = np.sqrt(rng.random(count))
    across = np.stack([np.cos(turn), np.sin(turn) * 0.8, 0 * turn], -1)
    spread = np.interp(np.linspace(0, 1, steps), [0, 0.12, 0.5, 1], [0.8, 2.0, 3.0, 1.8])
    heading = outward + np.array([0, 0.35, 0])
    place, spine = foot.copy(), [foot]
    step = length / (steps - 1)
    for _ in range(steps - 1):
        heading = heading + np.clip(0.3 * step, 0, 0.75) * (np.array([0, -1.0, 0]) - heading)
        heading /= np.linalg.norm(heading)
        place = skin.keep_outside((place + step * heading)[None], 2.2)[0]
        spine.append(place)
    line = np.stack(spine)
    ends = np.exp(rng.normal(0, 0.08, count))
    stretch = np.linspace(0, 1, steps)[None] * ends[:, None] * (steps - 1)
    base = np.stack([np.interp(stretch, np.arange(steps), line[:, k]) for k in range(3)], -1)
    offset = across[:, None] * (reach[:, None] * spread[None])[..., None]
    points = base + offset
    normals = offset / (np.linalg.norm(offset, axis=-1, keepdims=True) + 1e-6) + 0.3 * outward
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    atlas = colour.paint(*wisps(rng))
    strips = ribbons("hair tail", points, normals, np.full(count, 1.6), atlas, rng)
    # the band around its root
    ring = np.linspace(0, 2 * np.pi, 13)
    side = np.cross(outward, [1.0, 0, 0])
    circle = np.cos(ring)[:, None] * np.array([1.0, 0, 0]) + np.sin(ring)[:, None] * side / np.linalg.norm(
        side
    )
    band = foot + 0.5 * outward + 1.15 * circle
    wound = ribbons(
        "hair band",
        band[None],
        circle[None],
        np.array([1.2]),
        colour.darker(0.6).paint(*wisps(rng, ragged=0.05)),
        rng,
    )
    return [strips, wound]
