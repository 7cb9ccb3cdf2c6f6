"""How things come to a face and go: paths, contact with the skin, hands that hold or touch.

What is made here is for one `Situation`: a head, a number of frames, a source of chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from headgen.synth.appearance.anatomy import Anatomy
from headgen.synth.appearance.carried import MovingSurface
from headgen.synth.appearance.fabric import cloth_colour, fabric
from headgen.synth.appearance.hand import POSES, hand_mesh, hand_uv, skin_texture
from headgen.synth.appearance.strands import HairColour
from headgen.synth.heads.model import Surface, Topology

AWAY_CM = np.array([0.0, -34.0, 6.0])  # from its place to where a hand waits below the picture
CONTACT_CM = 9.0  # around the place of contact, within which a hand must not cut into the skin
TOUCH_CM = 0.15  # between skin and what touches it


@dataclass(frozen=True)
class Situation:
    """What an occluder is made for.

    Attributes:
        anatomy: of the head.
        topology: of its model.
        frames: T.
        rng: of everything.
        skin: (3,) sRGB colour of the hands.
        hair: colour of the hair.
        fps: frames per second.
    """

    anatomy: Anatomy
    topology: Topology
    frames: int
    rng: np.random.Generator
    skin: np.ndarray
    hair: HairColour
    fps: float = 25.0


def visits(frames: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    """(T,) how near something is that comes, stays and goes: 0 away, 1 in its place.

    Coming and going take about 0.6 s along a smooth curve, a stay 0.8 to 4 s. At least one visit begins.
    """
    share = np.zeros(frames)
    start = int(rng.uniform(0, 0.35) * frames)
    while start < frames:
        come, stay, go = (
            max(2, int(fps * s)) for s in (rng.uniform(0.4, 0.8), rng.uniform(0.8, 4), rng.uniform(0.4, 0.8))
        )
        rise, fall = np.linspace(0, 1, come), np.linspace(1, 0, go)
        curve = np.concatenate([rise * rise * (3 - 2 * rise), np.ones(stay), fall * fall * (3 - 2 * fall)])
        end = min(frames, start + len(curve))
        share[start:end] = curve[: end - start]
        start = end + int(fps * rng.uniform(1.5, 5))
    return share


def tremor(frames: int, fps: float, rng: np.random.Generator, size: float = 0.25) -> np.ndarray:
    """(T, 3) cm: small slow movements of a held thing, deviation `size`."""
    noise = gaussian_filter1d(rng.normal(size=(frames + int(4 * fps), 3)), 0.35 * fps, axis=0, mode="nearest")
    noise = noise[int(2 * fps) : int(2 * fps) + frames]
    return size * noise * np.sqrt(2 * np.sqrt(np.pi) * 0.35 * fps)


def rotation(forward: np.ndarray, up: np.ndarray) -> np.ndarray:
    """(3, 3) turn that takes +z (a palm) to `forward` and +y (fingers) as near as may be to `up`."""
    z = np.asarray(forward, float) / np.linalg.norm(forward)
    x = np.cross(up, z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], 1)


def touching(anatomy: Anatomy, points: np.ndarray, away: np.ndarray, contact: np.ndarray) -> np.ndarray:
    """(3,) shift along `away` after which points (N, 3) near `contact` (3,) just touch the skin."""
    away = np.asarray(away, float) / np.linalg.norm(away)
    shift = -4.0
    near = points[np.linalg.norm(points - contact, axis=1) < CONTACT_CM]
    for _ in range(24):
        height, normal = anatomy.skin.height(near + shift * away)
        lack = TOUCH_CM - height.min()
        if lack <= 0.01:
            break
        shift += np.clip(lack / max(0.35, float(normal[height.argmin()] @ away)), 0.02, 1.5)
    return shift * away


def moving(
    name: str,
    mesh: tuple[np.ndarray, np.ndarray],
    offsets: np.ndarray,
    texture: np.ndarray,
    rigid: str,
    *,
    uv: np.ndarray | None = None,
    gloss: float = 0.1,
) -> MovingSurface:
    """A mesh that is shifted by (T, 3) cm."""
    points, triangles = mesh
    path = (points[None] + offsets[:, None]).astype(np.float32)
    uv = np.full((len(points), 2), 0.5, np.float32) if uv is None else uv
    return MovingSurface(
        name, triangles.astype(np.int32), uv, "occluder", texture, gloss=gloss, roughness=0.55, rigid=rigid,
        points=path[0], path=path,
    )  # fmt: skip


def plain(colour: np.ndarray) -> np.ndarray:
    """(1, 1, 4) uint8 texture of one colour (3,) sRGB."""
    return np.array([[[*np.clip(colour, 0, 255), 255]]]).astype(np.uint8)


def posed_hand(
    s: Situation, pose: str, turn: np.ndarray, place: np.ndarray, mirrored: bool
) -> list[tuple[str, tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]]:
    """Hand and arm in the head's frame: names, meshes, textures, texture places."""
    (skin, faces), (arm, arm_faces) = hand_mesh(POSES[pose], s.rng)
    out = []
    sleeve = fabric("plain", cloth_colour(s.rng), s.rng)[::4, ::4]
    for name, points, triangles, texture in (
        ("hand", skin, faces, skin_texture(s.skin, s.rng)),
        ("arm", arm, arm_faces, sleeve),
    ):
        uv = hand_uv(points)
        if mirrored:
            points, triangles = points * [-1, 1, 1], triangles[:, ::-1]
        out.append((name, (points @ turn.T + place, triangles), texture, uv))
    return out


def visit_by_hand(
    s: Situation,
    pose: str,
    forward: np.ndarray,
    up: np.ndarray,
    contact: np.ndarray,
    grip: np.ndarray,
    away: np.ndarray,
) -> list[Surface]:
    """A hand that comes to the face and goes again.

    Args:
        s: the situation.
        pose: one of `POSES`.
        forward: where the palm looks.
        up: where the fingers point.
        contact: (3,) place on the head.
        grip: (3,) place on the hand that comes to the contact.
        away: direction in which the hand is moved until it does not cut into the skin.
    """
    mirrored = bool(contact[0] < -0.1 or (abs(contact[0]) <= 0.1 and s.rng.random() < 0.5))
    side = np.array([-1.0 if mirrored else 1.0, 1, 1])
    if abs(contact[0]) <= 0.1:
        forward, up, away = forward * side, up * side, away * side
    turn = rotation(forward, up)
    place = contact - turn @ (grip * side)
    pieces = posed_hand(s, pose, turn, place, mirrored)
    shift = touching(s.anatomy, pieces[0][1][0], away, contact)
    share = visits(s.frames, s.fps, s.rng)[:, None]
    start = AWAY_CM + np.array([4.0 * np.sign(contact[0] + 1e-6), 0, 0])
    offsets = shift + (1 - share) * start + share * tremor(s.frames, s.fps, s.rng, 0.08)
    return [moving(name, mesh, offsets, texture, "head", uv=uv) for name, mesh, texture, uv in pieces]
