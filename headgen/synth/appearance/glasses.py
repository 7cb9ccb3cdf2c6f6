"""Glasses: parametric frames and lenses that sit on the nose and go over the ears of any head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headgen.synth.appearance.anatomy import Anatomy
from headgen.synth.appearance.solids import grid_triangles, joined, tube
from headgen.synth.appearance.strands import blotches
from headgen.synth.heads.model import Surface

CLEARANCE_CM = 0.3  # of rims before cheeks and brows
LASH_ROOM_CM = 0.75  # between lids and lenses
RIM_POINTS = 40

COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (22, 21, 22), "tortoise": (92, 52, 26), "brown": (70, 44, 30), "navy": (28, 36, 66),
    "red": (122, 26, 32), "clear": (206, 204, 200), "white": (228, 226, 222), "gold": (190, 152, 82),
    "silver": (168, 170, 174), "gunmetal": (74, 76, 82),
}  # fmt: skip
METALS = ("gold", "silver", "gunmetal", "black")
PLASTICS = ("black", "black", "tortoise", "tortoise", "brown", "navy", "red", "clear", "white", "gunmetal")


@dataclass(frozen=True)
class Frame:
    """A model of glasses.

    Attributes:
        width: of a lens as a share of the distance between the pupils.
        height: of a lens, of its width.
        squareness: 2 for an ellipse, larger for rounder rectangles.
        wing: how much the outer upper corner is drawn up and out (cat eye), 0 to 0.4.
        drop: how much the lower inner part is drawn in (aviator), 0 to 0.4.
        rim: cm, half thickness of the frame seen from the front.
        depth: cm, half thickness along the view.
        half: only the upper rim.
        metal: thin and shiny, with pads on the nose.
        tint: opacity of the lenses, 0.05 (clear) to 0.9 (sun glasses).
    """

    width: float = 0.8
    height: float = 0.75
    squareness: float = 3.0
    wing: float = 0.0
    drop: float = 0.0
    rim: float = 0.12
    depth: float = 0.12
    half: bool = False
    metal: bool = False
    tint: float = 0.06


FRAMES: dict[str, Frame] = {
    "round": Frame(0.74, 0.98, 2.0, rim=0.07, depth=0.08, metal=True),
    "round thick": Frame(0.76, 0.95, 2.2, rim=0.17, depth=0.15),
    "rectangular": Frame(0.84, 0.62, 4.5, rim=0.11),
    "rectangular thick": Frame(0.86, 0.68, 4.0, rim=0.22, depth=0.18),
    "thin metal": Frame(0.82, 0.66, 3.4, rim=0.045, depth=0.05, metal=True),
    "half rim": Frame(0.83, 0.6, 3.6, rim=0.09, half=True, metal=True),
    "wayfarer": Frame(0.86, 0.76, 3.2, 0.12, 0.12, rim=0.2, depth=0.16),
    "cat eye": Frame(0.84, 0.72, 2.8, 0.32, 0.05, rim=0.15),
    "aviator": Frame(0.9, 0.86, 2.6, 0.0, 0.3, rim=0.05, depth=0.05, metal=True),
    "sun glasses": Frame(0.92, 0.78, 3.2, 0.1, 0.1, rim=0.18, depth=0.15, tint=0.86),
}


def glasses(
    anatomy: Anatomy, style: str, rng: np.random.Generator, *, colour: str | None = None, size: float = 1.0
) -> list[Surface]:
    """Glasses on a head: frame and two lenses.

    Args:
        anatomy: of the head.
        style: one of `FRAMES`.
        rng: of what is not given.
        colour: one of `COLOURS`.
        size: of the lenses, of the style's own; 0.9 to 1.12.

    Returns:
        the frame (material glasses) and the lenses (material lens: their alpha is the tint).

    Raises:
        ValueError: an unknown style or colour.
    """
    for name, known in ((style, FRAMES), (colour or "black", COLOURS)):
        if name not in known:
            raise ValueError(f"no glasses {name!r}; known: {', '.join(known)}")
    frame = FRAMES[style]
    colour = colour or str(rng.choice(METALS if frame.metal else PLASTICS))
    rims = {sign: _rim(anatomy, frame, sign, size) for sign in (-1, 1)}
    forward = _clearance(anatomy, rims)
    rims = {sign: rim + [0, 0, forward] for sign, rim in rims.items()}

    pieces = []
    for rim in rims.values():
        shown = rim
        if frame.half:
            shown = rim[rim[:, 1] > np.median(rim[:, 1]) - 0.12 * np.ptp(rim[:, 1])]
            first = int(np.linalg.norm(np.diff(shown, axis=0), axis=1).argmax()) + 1
            shown = np.roll(shown, -first, 0)
        middle = rim.mean(0)
        outward = shown - middle
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        radii = np.broadcast_to([frame.depth, frame.rim], (len(shown), 2))
        pieces.append(tube(shown, radii, sides=8, closed=not frame.half, up=outward))
    pieces.append(_bridge(anatomy, rims, frame))
    if frame.metal:
        pieces.extend(_pads(anatomy, rims))
    for sign in (-1, 1):
        pieces.append(_temple(anatomy, rims[sign], frame, sign))
    points, triangles = joined(pieces)
    rgb = np.array(COLOURS[colour], float) * rng.uniform(0.9, 1.1)
    texture = (
        _tortoise(rng)
        if colour == "tortoise"
        else np.array([[[*np.clip(rgb, 0, 255), 255]]]).astype(np.uint8)
    )
    uv = np.mod(points[:, :2] * 0.11, 1).astype(np.float32)
    shine = (0.9, 0.2) if frame.metal else (0.5, 0.25)
    surfaces = [
        Surface(
            "glasses", triangles, uv, "glasses", texture, gloss=shine[0], roughness=shine[1], rigid="head",
            points=points.astype(np.float32),
        )
    ]  # fmt: skip
    dark = frame.tint > 0.5
    tone = rng.uniform([18, 20, 18], [52, 40, 30]) if dark else np.array([205.0, 214, 216])
    tint = np.array([[[*tone, 255 * np.clip(frame.tint * rng.uniform(0.8, 1.15), 0.02, 0.95)]]]).astype(
        np.uint8
    )
    for sign, rim in rims.items():
        lens, faces = _lens(rim)
        name = "lens left" if sign < 0 else "lens right"
        surfaces.append(
            Surface(
                name, faces, np.full((len(lens), 2), 0.5, np.float32), "lens", tint, gloss=0.8,
                roughness=0.08, rigid="head", points=lens.astype(np.float32), two_sided=True,
            )
        )  # fmt: skip
    return surfaces


def _rim(anatomy: Anatomy, frame: Frame, sign: int, size: float) -> np.ndarray:
    """(R, 3) outline of one lens, counter-clockwise from the front, in the plane of the face."""
    eyes = [anatomy.landmarks[first : first + 6].mean(0) for first in (36, 42)]
    apart = float(np.linalg.norm(eyes[1] - eyes[0]))
    eye = eyes[0] if sign < 0 else eyes[1]
    half = 0.5 * frame.width * apart * size
    high = half * frame.height
    turn = np.linspace(0, 2 * np.pi, RIM_POINTS, endpoint=False)
    cosine, sine = np.cos(turn), np.sin(turn)
    power = 2 / frame.squareness
    x = sign * np.sign(cosine) * np.abs(cosine) ** power  # positive outwards after the sign below
    y = np.sign(sine) * np.abs(sine) ** power
    outer = np.clip(sign * x, 0, 1)
    inner = np.clip(-sign * x, 0, 1)
    lift = frame.wing * outer * np.clip(y + 0.3, 0, 1.3)
    squeeze = 1 - frame.drop * inner * np.clip(-y, 0, 1)
    flat = np.stack([half * x * squeeze + sign * half * lift * 0.5, high * (y + lift)], 1)
    # leaves room for the bridge
    gap = 0.2 * apart - (np.abs(eye[0]) - half)
    centre = eye + [sign * max(gap, 0.0) + sign * 0.04 * apart, -0.08 * high, 0]
    outline = np.column_stack([centre[0] + flat[:, 0], centre[1] + flat[:, 1], np.zeros(len(flat))])
    bow = 0.02 * (outline[:, 0] - 0.3 * apart * sign) ** 2  # frames are a little curved round the face
    slant = np.deg2rad(7) * (outline[:, 1] - centre[1])  # and lean: the lower rim is nearer to the cheeks
    lids = anatomy.landmarks[36:48, 2].max()
    outline[:, 2] = lids + LASH_ROOM_CM - bow + slant
    ordered = outline if sign > 0 else outline[::-1]
    return ordered


def _clearance(anatomy: Anatomy, rims: dict[int, np.ndarray]) -> float:
    """Cm by which the rims must be moved forward to stand clear of cheeks, brows and lids."""
    skin = anatomy.skin.points
    need = [0.0]
    nose = 0.5 * np.abs(anatomy.landmarks[[39, 42], 0]).sum() + 0.3  # beside it rims may sink in
    for sign, rim in rims.items():
        for place in rim[sign * rim[:, 0] > nose]:
            near = (np.abs(skin[:, 0] - place[0]) < 0.45) & (np.abs(skin[:, 1] - place[1]) < 0.45)
            near &= skin[:, 2] > anatomy.centre[2]
            if near.any():
                need.append(float(skin[near, 2].max() + CLEARANCE_CM - place[2]))
    return max(need)


def _bridge(anatomy: Anatomy, rims: dict[int, np.ndarray], frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    ends = []
    for sign in (-1, 1):
        rim = rims[sign]
        high = rim[:, 1] > rim[:, 1].mean() + 0.05 * np.ptp(rim[:, 1])
        inner = np.where(high, sign * rim[:, 0], np.inf).argmin()
        ends.append(rim[inner])
    share = np.linspace(0, 1, 9)[:, None]
    line = ends[0] * (1 - share) + ends[1] * share
    arch = 4 * share * (1 - share)
    line += arch * [0, 0.18, 0.12]
    line[1:-1] = anatomy.skin.keep_outside(line[1:-1], 0.1 + frame.depth)
    thick = max(frame.rim * 0.95, 0.07)
    return tube(line, np.broadcast_to([frame.depth, thick], (9, 2)), sides=8)


def _pads(anatomy: Anatomy, rims: dict[int, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two pads beside the nose and the wires to the rims."""
    out = []
    for sign in (-1, 1):
        rim = rims[sign]
        inner = rim[(sign * rim[:, 0]).argmin()]
        target = inner + [-sign * 0.35, -0.15, -0.55]
        pad = anatomy.skin.keep_outside(target[None], 0.12)[0]
        out.append(
            tube(
                np.stack([pad + [0, 0.28, 0], pad, pad - [0, 0.28, 0]]), np.array([0.07, 0.13, 0.07]), sides=6
            )
        )
        out.append(tube(np.stack([inner, 0.5 * (inner + pad) - [0, 0, 0.1], pad]), 0.03, sides=5))
    return out


def _temple(anatomy: Anatomy, rim: np.ndarray, frame: Frame, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """An arm from the rim's outer upper end over the ear, bent down behind it."""
    box = anatomy.ears[0 if sign < 0 else 1]
    top = box[1, 1]
    high = rim[:, 1] > rim[:, 1].mean() + 0.2 * np.ptp(rim[:, 1])
    hinge = rim[np.where(high, sign * rim[:, 0], -np.inf).argmax()]
    side = sign * (np.abs(box[:, 0]).max() - 0.7)
    behind = 0.5 * (box[0, 2] + box[1, 2]) - 0.8
    over = np.array([side, top + 0.75, behind + 0.8])
    corner = hinge + [sign * 0.25, 0.0, -0.3]
    share = np.linspace(0, 1, 12)[:, None]
    straight = corner * (1 - share) + over * share
    bent = np.array(
        [
            [side, top + 0.45, behind - 0.3],
            [side - sign * 0.15, top - 0.5, behind - 1.2],
            [side - sign * 0.3, top - 1.9, behind - 1.6],
        ]
    )
    line = np.concatenate([hinge[None], straight, bent])
    # clear of temples and ears, but not of the hair
    line[1:] = anatomy.skin.keep_outside(line[1:], 0.16, rounds=4)
    tall = max(1.5 * frame.rim, 0.12) if not frame.metal else 0.08
    return tube(line, np.broadcast_to([max(0.6 * frame.depth, 0.05), tall], (len(line), 2)), sides=6)


def _lens(rim: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A shallow bowl inside the rim."""
    middle = rim.mean(0)
    rings = [
        middle + share * (rim - middle) + [0, 0, 0.08 * (1 - share**2) - 0.02] for share in (0.02, 0.5, 0.98)
    ]
    triangles = grid_triangles(3, len(rim), closed=True)
    return np.concatenate(rings), triangles


def _tortoise(rng: np.random.Generator) -> np.ndarray:
    """(64, 64, 4) uint8: amber with dark blotches."""
    dark = np.clip(0.5 + 0.6 * blotches((64, 64), 9, rng), 0, 1)[..., None]
    colour = dark * np.array([38, 20, 12]) + (1 - dark) * np.array([150, 92, 44])
    return np.dstack([colour, np.full((64, 64), 255.0)]).astype(np.uint8)
