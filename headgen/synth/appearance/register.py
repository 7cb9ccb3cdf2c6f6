"""Carries what was made for one head over to another: a smooth warp through points that both have.

The warp is a thin-plate spline (Bookstein, IEEE PAMI 1989) in space; points: the skull in the same
directions, landmarks, ears, neck and shoulders of both. Hair parts of MakeHuman go through it onto any head.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator

from headgen.synth.appearance.anatomy import Anatomy, Skin, unit_vectors
from headgen.synth.appearance.makehuman import BaseHead, Part
from headgen.synth.appearance.scalp import CapLook, Comb, Hairline, cap
from headgen.synth.appearance.strands import HairColour, blotches
from headgen.synth.appearance.torso import Torso
from headgen.synth.heads.model import Surface

PAIRED_LANDMARKS = (0, 8, 16, 21, 22, 27, 30, 33, 36, 39, 42, 45)
STIFFNESS = 0.5  # smoothing of the spline, cm^3 scale
NEAREST_CM, HIGHEST_CM = 0.12, 0.45  # of warped hair above the skin
EYE_ROOM_CM = 0.4  # above the upper lids that hair leaves free
MIDDLE_DEG = 50.0  # azimuth up to which a fringe goes up
CURTAIN_DEG, SIDE_DEG = 42.0, 85.0  # azimuth that curtains open to, and beyond which they stay


def control_points(anatomy: Anatomy) -> np.ndarray:
    """(N, 3) cm: places that every head has, in the same order."""
    azimuth, elevation = np.meshgrid(np.arange(-180, 180, 20.0), np.array([0.0, 20, 40, 60, 80]))
    in_face = (np.abs(azimuth) < 65) & (elevation < 30)
    at_ears = (np.abs(np.abs(azimuth) - 90) < 30) & (elevation < 15)
    keep = ~in_face & ~at_ears
    skull = anatomy.on_skull(azimuth[keep], elevation[keep])
    ears = []
    for sign, box in zip((-1, 1), anatomy.ears, strict=True):
        outer, top, bottom = sign * np.abs(box[:, 0]).max(), box[1, 1], box[0, 1]
        back, front = box[0, 2], box[1, 2]
        middle = 0.5 * (top + bottom)
        ears += [
            (outer, top, 0.5 * (back + front)),
            (outer, middle, back),
            (outer, middle, front),
            (0.9 * outer, bottom, front),
        ]
    around, level = np.meshgrid(np.arange(-180, 180, 30.0), np.array([0.0, 1.5, 3.0, 4.5]))
    body = Torso.of(anatomy).surface(around, level).reshape(-1, 3)
    return np.concatenate([skull, anatomy.landmarks[list(PAIRED_LANDMARKS)], ears, body])


@dataclass(frozen=True)
class Registration:
    """The way from one head to another.

    Attributes:
        source, target: the two heads.
        warp: the spline.
    """

    source: Anatomy
    target: Anatomy
    warp: RBFInterpolator

    @classmethod
    def between(cls, source: Anatomy, target: Anatomy) -> Registration:
        """Registers two heads."""
        here, there = control_points(source), control_points(target)
        spline = RBFInterpolator(here, there, kernel="linear", degree=1, smoothing=STIFFNESS)
        return cls(source, target, spline)

    def carry(self, points: np.ndarray, body: Skin | None = None) -> np.ndarray:
        """(P, 3) points around the source's head, around the target's.

        They end at least as far above the skin as they were, up to 0.45 cm, and leave the eyes free.
        """
        height, _ = self.source.skin.height(points)
        moved = self.warp(np.asarray(points, np.float64))
        skin = self.target.skin if body is None else self.target.skin.joined(body)
        moved = _eyes_free(self.target, moved)
        return skin.keep_outside(moved, np.clip(height, NEAREST_CM, HIGHEST_CM), rounds=4)


def part_hair(
    base: BaseHead,
    part: Part,
    target: Anatomy,
    colour: HairColour,
    rng: np.random.Generator,
    *,
    length: float = 1.0,
    volume: float = 1.0,
    flip: bool = False,
    body: Skin | None = None,
    registration: Registration | None = None,
) -> list[Surface]:
    """A hair part on a head, with a thin cap of the same colour below it where the mesh has holes.

    Args:
        base: that the part was made for.
        part: the hair.
        target: measures of the head.
        colour: of the hair; the part's own picture gives light and shade only.
        rng: of fine strands and the cap.
        length: of what hangs below the ears, of the part's own.
        volume: of what stands off the skull, of the part's own.
        flip: left and right change places.
        body: shoulders to lie on.
        registration: of base and target, if it is already known.
    """
    registration = registration or Registration.between(base.anatomy, target)
    points = part.points.astype(np.float64)
    triangles = part.triangles
    if flip:
        points = points * [-1, 1, 1]
        triangles = triangles[:, ::-1]
    points = _styled(base.anatomy, points, length, volume)
    points = registration.carry(points, body)
    strips = Surface(
        f"hair {part.name}",
        np.ascontiguousarray(triangles),
        part.uv,
        "hair",
        recoloured(part, colour, rng),
        gloss=0.25,
        roughness=0.45,
        rigid="head",
        points=points.astype(np.float32),
        two_sided=True,
    )
    border = Hairline.of(target, forehead=1.03, nape=0.93, sideburns=0.5)
    look = CapLook.combed(border, Comb({"whorl": 1.0, "down": 0.3}), rng, 256)
    under = look.texture(colour, 1.0, 0.8, 0.75)
    return [cap("hair below", border, under, 0.04, lift=0.05), strips]


def recoloured(part: Part, colour: HairColour, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 4) uint8 texture of a part in another colour, by the brightness of its own."""
    height, width = part.texture.shape[:2]
    used = np.zeros((height, width), np.uint8)
    corners = np.round(part.uv[part.triangles] * [width, height]).astype(np.int32)
    for triangle in corners:
        cv2.fillConvexPoly(used, triangle, 1)
    alpha = part.texture[..., 3].astype(np.float32) / 255
    luminance = part.texture[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    seen = luminance[(used > 0) & (alpha > 0.5)]
    low, middle, high = np.percentile(seen, [4, 50, 97]) if len(seen) else (0.0, 128.0, 255.0)
    brightness = np.interp(luminance, [low, middle, max(high, middle + 8)], [0.12, 0.46, 0.9])
    # where the picture itself is flat, hair still is not
    fine = np.repeat(blotches((1, width), 2.0, rng), height, 0) + blotches((height, width), 3.0, rng)
    brightness = np.clip(brightness + 0.03 * fine, 0, 1)
    return colour.paint(brightness, alpha)


def _styled(anatomy: Anatomy, points: np.ndarray, length: float, volume: float) -> np.ndarray:
    """Points (P, 3) around a head with what hangs longer or shorter, and what stands off more or less."""
    azimuth, elevation, distance = anatomy.directions(points)
    skull = anatomy.radius(azimuth, elevation)
    share = np.clip((elevation + 20) / 30, 0, 1)
    grown = np.where(distance > skull, skull + (distance - skull) * volume, distance)
    new = distance + share * (grown - distance)
    points = anatomy.centre + (points - anatomy.centre) * (new / distance)[:, None]
    lobes = anatomy.ears[:, 0, 1].mean()
    below = np.clip(lobes - points[:, 1], 0, None)
    points[:, 1] -= (length - 1) * below
    return points


def _eyes_free(anatomy: Anatomy, points: np.ndarray) -> np.ndarray:
    """Points (P, 3) that hang in front of the eyes go up (in the middle) or aside (curtains).

    Both are smooth and keep the order of points, so that no strip is torn or turned over.
    """
    out = points.copy()
    eyes = anatomy.landmarks[36:48]
    low, soft = eyes[:, 1].max() + EYE_ROOM_CM, 2.0
    azimuth, elevation, distance = anatomy.directions(out)
    ahead = distance > anatomy.radius(azimuth, elevation) - 0.5
    middle = np.clip((MIDDLE_DEG - np.abs(azimuth)) / 12, 0, 1) * ahead
    over = np.clip((low + soft - out[:, 1]) / soft, 0, None)
    raised = low + soft * np.exp(-over)  # has the slope 1 where it begins
    out[:, 1] += middle * np.where(over > 0, raised - out[:, 1], 0)
    azimuth, elevation, distance = anatomy.directions(out)
    beside = np.abs(azimuth)
    opened = np.where(beside < SIDE_DEG, CURTAIN_DEG + beside * (1 - CURTAIN_DEG / SIDE_DEG), beside)
    below = np.clip((low + 0.3 - out[:, 1]) / 1.5, 0, 1) * ahead
    turned = np.sign(azimuth) * (beside + below * (opened - beside))
    return anatomy.centre + unit_vectors(turned, elevation) * distance[:, None]
