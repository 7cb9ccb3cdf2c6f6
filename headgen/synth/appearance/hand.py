"""A hand of tubes and capsules that takes poses: fist, flat, spread, grip, pinch.

Frame: wrist at the origin, fingers along +y, palm towards +z, thumb on the +x side; cm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headgen.synth.appearance.solids import capsule, joined, tube
from headgen.synth.appearance.strands import blotches

FINGERS = (
    # base x, base y, length, radius at the base and at the tip
    (-3.1, 8.3, 7.0, 0.78, 0.58),
    (-1.1, 9.1, 9.0, 0.88, 0.64),
    (0.95, 9.4, 9.8, 0.92, 0.68),
    (2.95, 9.0, 8.9, 0.90, 0.66),
)
"""Little finger to index."""
PHALANGES = (0.47, 0.29, 0.24)


@dataclass(frozen=True)
class Hand:
    """A pose.

    Attributes:
        curl: degrees that the three joints bend together, little finger to index.
        spread: degrees between neighbouring fingers.
        thumb: degrees by which the thumb lies across the palm; 0 stands off.
        sleeve: whether a forearm in a sleeve is drawn instead of a bare one.
    """

    curl: tuple[float, float, float, float] = (10.0, 10.0, 10.0, 10.0)
    spread: float = 3.0
    thumb: float = 15.0
    sleeve: bool = True


POSES: dict[str, Hand] = {
    "flat": Hand((6, 5, 5, 6), 1.5, 20),
    "spread": Hand((8, 6, 6, 8), 13, -5),
    "relaxed": Hand((38, 32, 28, 22), 3, 25),
    "fist": Hand((88, 88, 86, 84), 0, 62),
    "grip": Hand((58, 56, 54, 50), 1, 48),
    "point": Hand((85, 84, 78, 6), 1, 55),
}


def hand_mesh(
    pose: Hand, rng: np.random.Generator
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The skin and the forearm (points, triangles) of a right hand seen from its palm.

    Args:
        pose: of the fingers.
        rng: of small differences between them.
    """
    meshes = [
        tube(
            np.array([[0, y, 0] for y in (-1.0, 0.5, 2.5, 5.0, 7.5, 9.0, 9.6)], float),
            np.array(
                [[2.7, 1.7], [2.9, 1.75], [3.7, 1.75], [4.1, 1.6], [4.15, 1.35], [3.9, 1.05], [3.3, 0.6]]
            ),
            sides=16,
            up=np.array([0.0, 0.0, 1.0]),
        ),
        # the ball of the thumb
        capsule(np.array([2.0, 1.8, 0.7]), np.array([3.2, 5.0, 0.8]), 1.5, 1.35),
    ]
    for k, (x, y, length, wide, thin) in enumerate(FINGERS):
        aside = np.deg2rad((k - 1.5) * pose.spread)
        place = np.array([x, y - 0.6, 0.0])
        bend = 0.0
        curl = pose.curl[k] + rng.normal(0, 2)
        joints = [place]
        for joint, share in enumerate(PHALANGES):
            bend += np.deg2rad(curl) * (0.95, 1.05, 0.7)[joint]
            way = np.array([np.sin(aside) * np.cos(bend), np.cos(aside) * np.cos(bend), np.sin(bend)])
            joints.append(joints[-1] + length * share * way)
        meshes.append(_finger(np.array(joints), wide, thin))
    across = np.deg2rad(pose.thumb)
    joints = [np.array([3.0, 3.2, 0.8])]
    for length, turn in ((4.2, 0.0), (2.9, 0.35), (2.4, 0.6)):
        angle = across * (0.6 + turn)
        way = np.array([0.72 * np.cos(angle) - 0.5 * np.sin(angle), 0.7, 0.9 * np.sin(angle) + 0.1])
        joints.append(joints[-1] + length * way / np.linalg.norm(way))
    meshes.append(_finger(np.array(joints), 1.2, 0.78))
    line = np.array([[0, y, -0.1] for y in (0.6, -3, -8, -14, -20, -26, -32, -38)], float)
    flat = np.array([0.0, 0.0, 1.0])
    bare = [[2.7, 1.8], [2.7, 2.0], [3.1, 2.6], [3.7, 3.3], [4.1, 3.8], [4.4, 4.2], [4.6, 4.5], [4.8, 4.7]]
    if not pose.sleeve:
        return joined(meshes), tube(line, np.array(bare), sides=16, up=flat)
    meshes.append(tube(line[:3], np.array(bare[:3]), sides=14, up=flat))
    cuff = np.concatenate([line[1:2] + [0, 0.05, 0], line[1:]])
    sleeve = [[2.6, 1.9], [3.3, 2.7], [3.8, 3.3], [4.3, 3.9], [4.8, 4.5], [5.2, 5.0], [5.5, 5.3], [5.7, 5.5]]
    arm = tube(cuff, np.array(sleeve), sides=16, up=flat)
    return joined(meshes), arm


def _finger(joints: np.ndarray, wide: float, thin: float) -> tuple[np.ndarray, np.ndarray]:
    """A tube round joints (4, 3) with rounded bends, knuckles and a round tip."""
    share = np.linspace(0, 3, 13)
    line = np.stack([np.interp(share, np.arange(4), joints[:, k]) for k in range(3)], 1)
    line[1:-1] = 0.25 * line[:-2] + 0.5 * line[1:-1] + 0.25 * line[2:]
    radii = wide + (thin - wide) * share / 3
    radii = radii * (
        1 + 0.06 * np.exp(-(((share - 1) / 0.25) ** 2)) + 0.05 * np.exp(-(((share - 2) / 0.25) ** 2))
    )
    ahead = line[-1] - line[-2]
    ahead /= np.linalg.norm(ahead)
    angle = np.deg2rad([30.0, 55.0, 75.0])
    tip = line[-1] + thin * np.sin(angle)[:, None] * ahead
    line = np.concatenate([line, tip])
    radii = np.concatenate([radii, thin * np.cos(angle)])
    return tube(line, radii, sides=10, up=np.array([0.31, 0.0, 0.95]))


def skin_texture(colour: np.ndarray, rng: np.random.Generator, size: int = 128) -> np.ndarray:
    """(S, S, 4) uint8: skin of a hand around a colour (3,) sRGB: redder patches, fine lines."""
    tone = 0.015 * blotches((size, size), 9, rng) + 0.01 * rng.normal(size=(size, size))
    red = np.clip(0.5 * blotches((size, size), 22, rng), -0.6, 0.9)[..., None] * np.array(
        [0.02, -0.05, -0.05]
    )
    out = np.asarray(colour, float) * np.exp(tone[..., None] + red)
    return np.dstack([np.clip(out, 0, 255), np.full((size, size), 255.0)]).astype(np.uint8)


def hand_uv(points: np.ndarray) -> np.ndarray:
    """(N, 2) float32 texture places: along and across the hand, mirrored where they leave the picture."""
    place = np.stack([points[:, 0] / 14 + 0.5 + 0.05 * points[:, 2], points[:, 1] / 24 + 0.1], 1)
    return np.abs((place % 2) - 1).astype(np.float32)
