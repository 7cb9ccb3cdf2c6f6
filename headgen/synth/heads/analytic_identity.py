"""The analytic head's fields and how they differ between people.

People differ by a smooth deformation of space: the field of a person at ``p`` is the mean head's field at
``p - E(p)``, where E is a sum of modes, each worth one standard deviation of a measure of the face. Zero
levels stay exact that way and creases, lips and lids move with the skin. Sizes of one standard deviation are
near those of Farkas, "Anthropometry of the Head and Face" (1994): face breadth 0.5 cm, face height 0.6, mouth
width 0.3, nose width 0.25, nose length 0.3, lip height 0.15, jaw width 0.6, eye distance 0.25.

Our design: around the eyes E is a similarity (shift, turn, scale), so that lids keep lying on a sphere, and
around the ears too.

Legend: N points, K = 22 identity coefficients.
"""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np

from headgen.synth.heads.analytic_grid import EYE
from headgen.synth.heads.analytic_shape import EAR_BUMPS, EAR_SOLIDS, SKIN_BUMPS, SKIN_SOLIDS
from headgen.synth.heads.distance import Bumps, Ellipsoids, Field, Warped, turned

IDENTITY = (
    "width", "length", "depth", "forehead", "jaw_width", "chin", "nose_length", "nose_width", "nose_bridge",
    "nose_tip", "mouth_width", "lips", "philtrum", "eye_size", "eye_spacing", "eye_tilt", "brow", "cheeks",
    "cheek_bones", "ears", "neck", "asymmetry",
)  # fmt: skip
"""What the identity coefficients change, in their order; each is about N(0, 1)."""

EYE_CORE, EYE_RIM = 1.9, 3.0
"""Within the first radius (cm) around an eye's centre space moves as one piece, beyond the second freely."""
EYE_SCALE, EYE_TURN = 0.035, np.deg2rad(1.6)
EAR_ROOT = np.array([7.15, 1.1, 0.8])
"""Where the left ear is attached, cm."""
EAR_SCALE, EAR_TURN = 0.06, np.deg2rad(5.0)
MIRROR = np.array([-1.0, 1.0, 1.0])
SOLVE_STEPS = 40


@lru_cache(maxsize=1)
def skin_field() -> Field:
    """The mean head's skin, closed over eyes and mouth, without ears."""
    return _field(SKIN_SOLIDS, SKIN_BUMPS, both_sides=True)


@lru_cache(maxsize=1)
def ear_field() -> Field:
    """The mean head's left ear."""
    return _field(EAR_SOLIDS, EAR_BUMPS, both_sides=False)


def _field(solids: tuple, bumps: tuple, *, both_sides: bool) -> Field:
    table = np.array([row[1:] for row in solids], np.float64)
    bump = np.array(bumps, np.float64).reshape(-1, 10)
    axes, bump_axes = turned(table[:, 6:9]), turned(bump[:, 6:9])
    precision = np.einsum("mij,mj,mkj->mik", bump_axes, bump[:, 3:6] ** -2.0, bump_axes)
    mirror = np.diag(MIRROR)
    order = []
    for k, centre in enumerate(table[:, :3]):
        order += [(k, False), (k, True)] if both_sides and centre[0] else [(k, False)]
    rows = np.array([k for k, _ in order])
    other = np.array([m for _, m in order])[:, None]
    pick = np.abs(bump[:, 0]) > 0 if both_sides else np.zeros(len(bump), bool)
    return Field(
        Ellipsoids(
            centre=np.where(other, table[rows, :3] * MIRROR, table[rows, :3]),
            axes=np.where(other[..., None], mirror @ axes[rows], axes[rows]),
            radii=table[rows, 3:6],
            blend=table[rows, 9],
            carve=table[rows, 10] < 0,
        ),
        Bumps(
            centre=np.concatenate([bump[:, :3], bump[pick, :3] * MIRROR]),
            precision=np.concatenate([precision, mirror @ precision[pick] @ mirror]),
            height=np.concatenate([bump[:, 9], bump[pick, 9]]),
        ),
    )


class Person:
    """The deformation of space that makes one person out of the mean head.

    Attributes:
        identity: (K,) coefficients.
        skin: the skin's field, closed over eyes and mouth.
        ears: the fields of the left and the right ear.
        eyes: (2, 3) centres of the left and the right eye, cm.
        eye_scale: size of the eyes against the mean head's.
    """

    def __init__(self, identity: np.ndarray) -> None:
        """Takes up to K coefficients; those left out are zero.

        Raises:
            ValueError: too many coefficients.
        """
        identity = np.asarray(identity, np.float64)
        if identity.shape != (len(identity),) or len(identity) > len(IDENTITY):
            raise ValueError(f"identity has the shape {identity.shape}: give up to {len(IDENTITY)} numbers")
        self.identity = np.zeros(len(IDENTITY))
        self.identity[: len(identity)] = identity
        c = dict(zip(IDENTITY, self.identity, strict=True))
        self._c = c
        self.eye_scale = float(np.exp(EYE_SCALE * c["eye_size"]))
        # outer places of the inner eye centres and ear roots: the free deformation at the inner ones
        self._eye_shift = np.stack([self._free(side * EYE[None])[0] for side in (np.ones(3), MIRROR)])
        self._ear_shift = np.stack([self._free(side * EAR_ROOT[None])[0] for side in (np.ones(3), MIRROR)])
        self.eyes = np.stack([EYE, EYE * MIRROR]) + self._eye_shift
        self.skin = Warped(skin_field(), self.pull)
        self.ears = tuple(Warped(ear_field(), partial(self.pull_ear, ear=k)) for k in (0, 1))

    # ---- the skin -----------------------------------------------------------------------------------------

    def pull(self, points: np.ndarray) -> np.ndarray:
        """Places (N, 3) in the mean head of places (N, 3) in this one."""
        moved = self._free(points)
        for k, side in enumerate((1.0, -1.0)):
            offset = points - self.eyes[k]
            distance = np.linalg.norm(offset, axis=1)
            near = distance < EYE_RIM
            if not near.any():
                continue
            inner = self._unturned(offset[near], side) / self.eye_scale + EYE * [side, 1, 1]
            share = 1 - _smooth((distance[near] - EYE_CORE) / (EYE_RIM - EYE_CORE))[:, None]
            moved[near] += share * (points[near] - inner - moved[near])
        return points - moved

    def push(self, points: np.ndarray) -> np.ndarray:
        """The inverse of `pull`: places (N, 3) in this head of places in the mean head."""
        points = np.asarray(points, np.float64)
        out = points.copy()
        for _ in range(SOLVE_STEPS):
            rest = self.pull(out) - points
            out -= rest
            if np.abs(rest).max() < 1e-9:
                break
        return out

    def _unturned(self, offset: np.ndarray, side: float) -> np.ndarray:
        angle = -side * EYE_TURN * self._c["eye_tilt"]
        cosine, sine = np.cos(angle), np.sin(angle)
        x, y, z = offset.T
        return np.stack([cosine * x - sine * y, sine * x + cosine * y, z], 1)

    def _free(self, points: np.ndarray) -> np.ndarray:
        """E (N, 3) before eyes are kept whole; modes are written out for the left side and mirrored."""
        c = self._c
        sign = np.sign(points[:, 0])
        x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
        mirrored = np.stack([x, y, z], 1)
        dx, dy, dz = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)

        def near(centre: tuple[float, float, float], sigma: tuple[float, float, float]) -> np.ndarray:
            return np.exp(-0.5 * (((mirrored - centre) / sigma) ** 2).sum(1))

        odd = np.tanh(x / 0.8)  # nothing jumps in the middle
        head = _smooth((y + 13) / 6)  # the shoulders stay
        below_eyes = np.minimum(y - EYE[1], 0)
        dx += head * x * 0.026 * c["width"]
        dy += head * 0.032 * c["length"] * np.maximum(below_eyes, -12)
        dz += head * 0.022 * c["depth"] * z
        brow = near((0, 9.5, 8.5), (5, 3.2, 4))
        dz += 0.3 * c["forehead"] * brow
        dy += 0.25 * c["forehead"] * near((0, 13, 3), (7, 4, 7))
        gonion = near((5.9, -4.4, 4.6), (2.2, 2.4, 3.2))
        dx += 0.38 * c["jaw_width"] * gonion * np.minimum(x / 3, 1)
        chin = near((0, -6.9, 9.6), (2.3, 1.7, 2.6))
        dz += 0.28 * c["chin"] * chin
        dy -= 0.2 * c["chin"] * chin
        nose = near((0, 0.2, 12.3), (1.5, 1.5, 2.0))
        dz += 0.2 * c["nose_length"] * nose
        dy -= 0.24 * c["nose_length"] * nose
        dy += 0.2 * c["nose_tip"] * near((0, 0.3, 12.8), (1.0, 1.0, 1.2))
        wing = near((1.3, -0.5, 11.2), (1.0, 1.0, 1.6))
        dx += 0.14 * c["nose_width"] * wing * np.tanh(x / 0.7)
        bridge = near((0, 2.6, 11.2), (0.8, 1.6, 1.4))
        dz += 0.2 * c["nose_bridge"] * bridge
        mouth = near((0, -3.4, 10.8), (2.8, 1.5, 2.5))
        dx += 0.16 * c["mouth_width"] * mouth * np.tanh(x / 1.6)
        lips = near((0, -3.4, 11.2), (2.2, 0.9, 1.6))
        dy += 0.16 * c["lips"] * lips * np.tanh((y + 3.36) / 0.7)
        dz += 0.06 * c["lips"] * lips
        dy += 0.14 * c["philtrum"] * near((0, -3.2, 11), (3.0, 1.6, 3.0))
        dx += 0.1 * c["eye_spacing"] * odd * near((3.1, 3.6, 8.5), (1.6, 2.2, 3))
        ridge = near((2.8, 5.5, 9.8), (2.4, 0.9, 1.8))
        dz += 0.16 * c["brow"] * ridge
        dy -= 0.14 * c["brow"] * ridge
        cheek = near((4.2, -1.2, 8.3), (1.8, 2.0, 2.4))
        dx += 0.22 * c["cheeks"] * odd * cheek
        dz += 0.18 * c["cheeks"] * cheek
        bone = near((5.8, 1.6, 6.6), (1.5, 1.3, 2.2))
        dx += 0.2 * c["cheek_bones"] * odd * bone
        dz += 0.14 * c["cheek_bones"] * bone
        throat = _smooth((-y - 6.5) / 3) * _smooth((y + 17) / 5) * _smooth((9 - z) / 4)
        dx += 0.05 * c["neck"] * throat * x
        dz += 0.04 * c["neck"] * throat * (z + 1)
        skew = 0.1 * c["asymmetry"]
        dx = dx * np.where(sign < 0, -1.0, 1.0) + skew * near((0, -4, 9), (5, 4, 6))
        dy += skew * 0.8 * np.tanh(points[:, 0] / 2.5) * near((0, 2, 9), (6, 6, 6))
        return np.stack([dx, dy, dz], 1)

    # ---- ears ---------------------------------------------------------------------------------------------

    def pull_ear(self, points: np.ndarray, ear: int) -> np.ndarray:
        """Places (N, 3) in the mean head's left ear of places (N, 3) in this head's left (0) or right ear."""
        side = MIRROR if ear else np.ones(3)
        offset = (points - (EAR_ROOT * side + self._ear_shift[ear])) * side
        scale, turn = self._ear()
        return (offset @ turn) / scale + EAR_ROOT

    def push_ear(self, points: np.ndarray, ear: int) -> np.ndarray:
        """The inverse of `pull_ear`."""
        side = MIRROR if ear else np.ones(3)
        scale, turn = self._ear()
        offset = (scale * (points - EAR_ROOT)) @ turn.T
        return offset * side + EAR_ROOT * side + self._ear_shift[ear]

    def _ear(self) -> tuple[float, np.ndarray]:
        size = float(np.exp(EAR_SCALE * self._c["ears"]))
        # large ears stand out more
        return size, turned(np.array([0.0, -EAR_TURN * self._c["ears"], 0.0]))


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
