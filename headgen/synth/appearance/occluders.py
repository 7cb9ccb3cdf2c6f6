"""Things in front of a face, with exact masks: hands, cup, microphones, face mask, phone, a strand of hair.

Each occluder is a list of surfaces of the material ``occluder``. What stays on the head is a `Surface` or, if
it gives way to the face, a `BoundSurface`; what comes and goes is a `MovingSurface` with a path of T frames,
so that part masks, depth and flow know where it is in every frame.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, maximum_filter

from headgen.synth.appearance.anatomy import Anatomy, unit_vectors
from headgen.synth.appearance.carried import BoundSurface
from headgen.synth.appearance.fabric import cloth_colour, fabric
from headgen.synth.appearance.facial_hair import Chart
from headgen.synth.appearance.hair_cards import ribbons
from headgen.synth.appearance.occluder_motion import (
    AWAY_CM,
    Situation,
    moving,
    plain,
    posed_hand,
    rotation,
    touching,
    tremor,
    visit_by_hand,
    visits,
)
from headgen.synth.appearance.scalp import Hairline
from headgen.synth.appearance.solids import grid_triangles, grid_uv, joined, tube
from headgen.synth.appearance.strands import wisps
from headgen.synth.heads.model import Surface


def hand_at_chin(s: Situation) -> list[Surface]:
    """The chin rests on a fist."""
    chin = s.anatomy.chin + [0.0, -0.6, 0.2]
    return visit_by_hand(
        s, "fist", np.array([0.2, -0.35, -1.0]), np.array([-0.3, 1.0, -0.45]), chin,
        np.array([0.0, 9.0, 1.5]), np.array([0.0, -1.0, 0.35]),
    )  # fmt: skip


def hand_at_cheek(s: Situation) -> list[Surface]:
    """A flat hand lies on a cheek, fingers towards the temple."""
    side = float(s.rng.choice([-1, 1]))
    points = s.anatomy.landmarks
    cheek = 0.5 * points[13 if side > 0 else 3] + 0.5 * points[54 if side > 0 else 48]
    return visit_by_hand(
        s, "flat", np.array([-side, 0.15, -0.75]), np.array([side * 0.15, 1.0, -0.25]), cheek,
        np.array([0.0, 7.5, 1.5]), np.array([side, -0.1, 0.6]),
    )  # fmt: skip


def hand_over_mouth(s: Situation) -> list[Surface]:
    """A hand covers the mouth, fingers to the side."""
    mouth = s.anatomy.landmarks[48:68].mean(0) * [0, 1, 1]
    return visit_by_hand(
        s, "relaxed", np.array([-0.15, 0.0, -1.0]), np.array([-0.8, 0.6, 0.0]), mouth,
        np.array([0.0, 8.5, 1.2]),
        np.array([0.1, 0.0, 1.0]),
    )  # fmt: skip


def hand_passing(s: Situation) -> list[Surface]:
    """An open hand passes between camera and face, once or several times."""
    eyes = s.anatomy.landmarks[27]
    ahead = s.anatomy.landmarks[30, 2] + s.rng.uniform(5, 14)
    pose = str(s.rng.choice(["spread", "flat", "relaxed"]))
    place = np.array([0.0, eyes[1] - s.rng.uniform(8, 16), ahead])
    tilt = s.rng.uniform(-0.5, 0.5)
    turn = rotation(np.array([0.2 * tilt, 0.0, float(s.rng.choice([-1, 1]))]), np.array([tilt, 1.0, 0.0]))
    pieces = posed_hand(s, pose, turn, place, bool(s.rng.random() < 0.5))
    seconds = np.arange(s.frames) / s.fps
    period = s.rng.uniform(2.0, 4.5)
    sweep = 26 * np.sin(2 * np.pi * seconds / period + s.rng.uniform(0, 2 * np.pi))
    offsets = np.stack([sweep, -0.012 * sweep**2, 0 * sweep], 1) + tremor(s.frames, s.fps, s.rng, 0.3)
    return [moving(name, mesh, offsets, texture, "torso", uv=uv) for name, mesh, texture, uv in pieces]


def _lathe(profile: list[tuple[float, float]], sides: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """A body of revolution about +y from (radius, height) upwards."""
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.stack([np.sin(turn), 0 * turn, np.cos(turn)], 1)
    points = np.concatenate([max(r, 1e-3) * ring + [0, h, 0] for r, h in profile])
    return points, grid_triangles(len(profile), sides, closed=True)[:, ::-1].copy()


def cup(s: Situation) -> list[Surface]:
    """A mug that is led to the mouth, with the hand that holds it."""
    mouth = s.anatomy.landmarks[[62, 66]].mean(0)
    wide = s.rng.uniform(3.6, 4.4)
    body = _lathe(
        [(0, 0), (wide * 0.9, 0), (wide, 0.6), (wide, 9.5), (wide - 0.35, 9.5), (wide - 0.4, 1.2), (0, 1.0)]
    )
    tilt = np.deg2rad(s.rng.uniform(15, 45))
    lean = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]]).T
    # the rim's near edge lies on the lower lip
    place = mouth + [0, -0.6, 0.35] - lean @ np.array([0, 9.5, -wide])
    mirrored = bool(s.rng.random() < 0.5)
    side = -1.0 if mirrored else 1.0
    turn = rotation(np.array([-0.85 * side, -0.35, -0.2]), np.array([-0.45 * side, 0.85, 0.2]))
    middle = place + lean @ np.array([0, 4.5, 0])
    arm = posed_hand(s, "grip", turn, middle - turn @ np.array([0.0, 6.0, wide + 1.3]), mirrored)
    share = visits(s.frames, s.fps, s.rng)[:, None]
    offsets = (1 - share) * (AWAY_CM + [3 * side, 0, 6]) + share * tremor(s.frames, s.fps, s.rng, 0.06)
    mesh = (body[0] @ lean.T + place, body[1])
    mug = moving("cup", mesh, offsets, plain(cloth_colour(s.rng)), "head", gloss=0.5)
    return [mug, *(moving(n, m, offsets, t, "head", uv=u) for n, m, t, u in arm)]


def microphone(s: Situation) -> list[Surface]:
    """A microphone held below the mouth, all the time."""
    mouth = s.anatomy.landmarks[[62, 66]].mean(0)
    side = float(s.rng.choice([-1, 1]))
    ball = [(2.6 * np.sin(a), -2.6 * np.cos(a)) for a in np.linspace(0.02, np.pi - 0.5, 9)]
    head = _lathe([(r, h + 2.6) for r, h in ball][::1])
    head = (head[0] * [1, -1, 1], head[1][:, ::-1].copy())
    shaft = _lathe([(0, -19), (1.15, -19), (1.3, -12), (1.9, -4.6), (2.0, -3.6), (0, -3.5)])
    axis = np.array([-0.3 * side, 0.75, -0.62])
    turn = rotation(np.cross(np.array([1.0, 0, 0]), axis), axis)
    place = mouth + np.array([0, -1.6, s.rng.uniform(3.0, 6.0)])
    arm = posed_hand(
        s, "grip", rotation(np.array([-side, 0.0, -0.35]), np.array([-0.5 * side, 0.35, -0.8])),
        place + turn @ np.array([0, -12.0, 0]) + [side * 2.6, -1.5, 5.5], side < 0,
    )  # fmt: skip
    offsets = tremor(s.frames, s.fps, s.rng, 0.3)
    grille = (60 + 25 * ((np.indices((32, 32)).sum(0) % 2) > 0))[..., None] * np.ones(3)
    texture = np.dstack([grille, np.full((32, 32), 255)]).astype(np.uint8)
    uv = (np.abs(head[0][:, :2]) * 0.35 % 1).astype(np.float32)
    parts = [
        moving(
            "microphone", (head[0] @ turn.T + place, head[1]), offsets, texture, "torso", uv=uv, gloss=0.3
        ),
        moving(
            "microphone shaft",
            (shaft[0] @ turn.T + place, shaft[1]),
            offsets,
            plain(np.full(3, 26.0)),
            "torso",
            gloss=0.4,
        ),
    ]
    return [*parts, *(moving(n, m, offsets, t, "torso", uv=u) for n, m, t, u in arm)]


def headset(s: Situation) -> list[Surface]:
    """Headphones with a boom microphone."""
    anatomy = s.anatomy
    ears = anatomy.ears.mean(1)
    arc = np.deg2rad(np.linspace(-96, 96, 25))
    angle = 90 - np.abs(np.rad2deg(arc))
    azimuth = np.where(arc < 0, -90.0, 90.0)
    band_points = anatomy.on_skull(azimuth, np.clip(angle, 2, 88), 1.3)
    band_points[:, 2] = ears[:, 2].mean()
    out_of = np.interp(np.abs(np.rad2deg(arc)), [60, 96], [0.0, 1.0])[:, None]
    band_points[:, 0] += np.sign(band_points[:, 0]) * out_of[:, 0] * 1.2
    meshes = [
        tube(band_points, np.array([0.35, 1.0]) + np.zeros((25, 2)), sides=8, up=np.array([0.0, 0.0, 1.0]))
    ]
    for k, sign in enumerate((-1, 1)):
        ear = ears[k]
        outer = sign * np.abs(anatomy.ears[k, :, 0]).max()
        line = np.array(
            [
                [outer - sign * 1.3, ear[1], ear[2]],
                [outer + sign * 0.6, ear[1], ear[2]],
                [outer + sign * 1.4, ear[1], ear[2]],
            ]
        )
        meshes.append(tube(line, np.array([3.6, 3.5, 2.8]), sides=16))
    side = int(s.rng.choice([0, 1]))
    sign = (-1, 1)[side]
    corner = anatomy.landmarks[48 if side == 0 else 54]
    start = ears[side] + [sign * 0.9, -1.5, 1.5]
    end = corner + [sign * 1.6, -1.4, 1.6]
    share = np.linspace(0, 1, 10)[:, None]
    boom = start * (1 - share) + end * share + 4 * share * (1 - share) * np.array([sign * 1.6, -1.2, 0.5])
    boom = anatomy.skin.keep_outside(boom, 0.5)
    meshes.append(tube(boom, 0.18, sides=6))
    meshes.append(
        tube(
            np.stack([boom[-1] - [sign * 0.6, 0, 0.2], boom[-1], boom[-1] + [-sign * 1.2, 0, 0.3]]),
            np.array([0.4, 0.6, 0.45]),
            sides=8,
        )
    )
    points, triangles = joined(meshes)
    colour = np.full(3, s.rng.choice([22.0, 38.0, 205.0]))
    return [
        Surface(
            "headset", triangles, np.full((len(points), 2), 0.5, np.float32), "occluder", plain(colour),
            gloss=0.3, roughness=0.4, rigid="head", points=points.astype(np.float32),
        )
    ]  # fmt: skip


def phone(s: Situation) -> list[Surface]:
    """A telephone at an ear, in the hand."""
    anatomy = s.anatomy
    side = int(s.rng.choice([0, 1]))
    sign = (-1.0, 1.0)[side]
    ear = anatomy.ears[side].mean(0)
    mouth = anatomy.landmarks[48 if side == 0 else 54]
    long = mouth + [sign * 3.5, -1.0, -1.0] - ear
    long = long / np.linalg.norm(long)
    thin = np.array([sign, 0, 0.1]) - long * (np.array([sign, 0, 0.1]) @ long)
    thin /= np.linalg.norm(thin)
    line = ear + np.array([-3.0, -2.8, 11.2, 11.4])[:, None] * long + 1.2 * thin
    half = np.array([[0.3, 3.0], [0.42, 3.5], [0.42, 3.5], [0.3, 3.0]])
    body, faces = tube(line, half, sides=12, up=np.cross(thin, long))
    shift = touching(anatomy, body, thin, ear)
    turn = rotation(-thin, np.array([-0.1 * sign, 0.9, -0.35]))
    middle = ear + 5.5 * long + 1.6 * thin
    arm = posed_hand(s, "grip", turn, middle - turn @ np.array([0.0, 6.5, 1.4]), side == 0)
    share = visits(s.frames, s.fps, s.rng)[:, None]
    offsets = (
        shift + (1 - share) * (AWAY_CM + [10 * sign, 0, 0]) + share * tremor(s.frames, s.fps, s.rng, 0.05)
    )
    slab = moving(
        "phone",
        (body, faces),
        offsets,
        plain(np.full(3, s.rng.choice([18.0, 40.0, 190.0]))),
        "head",
        gloss=0.6,
    )
    return [slab, *(moving(n, m, offsets, t, "head", uv=u) for n, m, t, u in arm)]


def face_mask(s: Situation) -> list[Surface]:
    """A mask over nose, mouth and chin that gives way to the jaw, with loops to the ears."""
    anatomy, points, unit = s.anatomy, s.anatomy.landmarks, s.anatomy.unit
    mouth = points[48:60].mean(0)
    origin = np.array([0.0, mouth[1], anatomy.centre[2] + 0.3 * unit])
    chart = Chart(origin, 75.0, (-62.0, 42.0), (64, 96))
    hull = _hull(anatomy, chart)
    rows, columns = 22, 31
    across = np.linspace(-1, 1, columns)
    edge = points[2] * [-1, 1, 1]
    side_azimuth = float(np.rad2deg(np.arctan2(edge[0], edge[2] - origin[2]))) - 3
    azimuth = across * side_azimuth

    def elevation(at: np.ndarray) -> float:
        offset = at - origin
        return float(np.rad2deg(np.arctan2(offset[1], np.hypot(offset[0], offset[2]))))

    nose = elevation(0.55 * points[28] + 0.45 * points[29])
    cheek_top, cheek_low = (
        elevation(points[2] * [-1, 1, 1] + [0, 0.08 * unit, 0]),
        elevation(points[4] * [-1, 1, 1]),
    )
    below = elevation(anatomy.chin + [0, -0.25 * unit, -0.1 * unit])
    round_ = np.abs(across) ** 1.6
    top = nose * (1 - round_) + cheek_top * round_
    low = below * (1 - np.abs(across) ** 3) + cheek_low * np.abs(across) ** 3
    share = np.linspace(0, 1, rows)[:, None]
    height = top + (low - top) * share
    wide = np.broadcast_to(azimuth, height.shape)
    row = (chart.elevation[1] - height) / (chart.elevation[1] - chart.elevation[0]) * chart.size[0] - 0.5
    column = (0.5 + 0.5 * wide / chart.azimuth) * chart.size[1] - 0.5
    radius = map_coordinates(hull, [row, column], order=1, mode="nearest")
    mesh = origin + unit_vectors(wide, height) * radius[..., None]
    flat = anatomy.skin.keep_outside(mesh.reshape(-1, 3), 0.22, rounds=3)
    kind = str(s.rng.choice(["surgical", "cloth"]))
    if kind == "surgical":
        colour = np.array([[168, 204, 224], [232, 236, 238], [40, 40, 44], [178, 214, 200]])[
            s.rng.integers(4)
        ].astype(float)
        texture = _pleats(colour)
    else:
        texture = fabric(str(s.rng.choice(["plain", "print", "check", "dots"])), cloth_colour(s.rng), s.rng)[
            :160, :200
        ]
    skin = np.unique(s.topology.triangles[s.topology.of("skin")])
    front = skin[anatomy.vertices[skin, 2] > anatomy.centre[2]]
    mask = BoundSurface.bind(
        "face mask", flat, grid_triangles(rows, columns), grid_uv(rows, columns), "occluder", texture,
        anatomy.vertices, front,
    )  # fmt: skip
    loops = []
    grid = flat.reshape(rows, columns, 3)
    for k, (sign, border) in enumerate(((-1, 0), (1, -1))):
        box = anatomy.ears[k]
        outer = sign * (np.abs(box[:, 0]).max() - 0.5)
        behind = np.array(
            [
                [outer, box[1, 1] + 0.4, box[0, 2] + 0.3],
                [outer, box.mean(0)[1], box[0, 2] - 0.5],
                [outer - sign * 0.4, box[0, 1], box[0, 2] + 0.3],
            ]
        )
        path = np.concatenate([grid[2:3, border], behind, grid[-3:-2, border]])
        fine = np.stack([np.interp(np.linspace(0, 4, 25), np.arange(5), path[:, j]) for j in range(3)], 1)
        loops.append(tube(anatomy.skin.keep_outside(fine, 0.12), 0.13, sides=5))
    cord, faces = joined(loops)
    return [
        mask,
        Surface(
            "mask loops", faces, np.full((len(cord), 2), 0.5, np.float32), "occluder",
            plain(np.full(3, 232.0)), rigid="head", points=cord.astype(np.float32),
        ),
    ]  # fmt: skip


def _hull(anatomy: Anatomy, chart: Chart) -> np.ndarray:
    """(H, W) cm from the chart's origin to a smooth sheet in front of the skin."""
    offset = anatomy.skin.points - chart.origin
    facing = (anatomy.skin.normals * offset).sum(1) > 0
    uv = chart.uv(anatomy.skin.points)
    inside = facing & (uv > 0).all(1) & (uv < 1).all(1)
    height, width = chart.size
    grid = np.zeros(chart.size)
    row, column = (uv[inside, 1] * height).astype(int), (uv[inside, 0] * width).astype(int)
    np.maximum.at(grid, (row, column), np.linalg.norm(offset[inside], axis=1))
    filled = maximum_filter(grid, 3)
    grid = np.where(grid > 0, grid, filled)
    wide = gaussian_filter(maximum_filter(grid, (7, 5)), (2.5, 2.0), mode="nearest")
    return np.maximum(wide, gaussian_filter(grid, 0.7, mode="nearest") + 0.2)


def _pleats(colour: np.ndarray) -> np.ndarray:
    """(96, 128, 4) uint8: three folds and a wire over the nose."""
    v = np.linspace(0, 1, 96)[:, None] * np.ones((1, 128))
    shade = np.ones_like(v)
    for fold in (0.3, 0.48, 0.66):
        shade -= 0.16 * np.exp(-(((v - fold) / 0.014) ** 2)) * (v >= fold - 0.02)
    shade -= 0.07 * ((v < 0.045) | (v > 0.955))
    return np.dstack([np.clip(colour * shade[..., None], 0, 255), np.full(v.shape, 255.0)]).astype(np.uint8)


def strand_over_eye(s: Situation) -> list[Surface]:
    """A lock of hair that falls from the hairline over one eye."""
    anatomy = s.anatomy
    border = Hairline.of(anatomy)
    side = float(s.rng.choice([-1, 1]))
    count, steps = 12, 12
    azimuth = side * s.rng.uniform(2, 24, count)
    start = anatomy.on_skull(azimuth, border.curve(azimuth) + 4.0, 0.4)
    eye = anatomy.landmarks[36:42].mean(0) if side < 0 else anatomy.landmarks[42:48].mean(0)
    end = eye + np.stack(
        [
            side * s.rng.uniform(-0.6, 2.2, count),
            s.rng.uniform(-5, -1.5, count),
            s.rng.uniform(0.8, 1.8, count),
        ],
        1,
    )
    share = np.linspace(0, 1, steps)[None, :, None]
    lines = start[:, None] * (1 - share) + end[:, None] * share
    lines += 4 * share * (1 - share) * np.array([side * -0.5, 0.6, 1.6])
    lines = anatomy.skin.keep_outside(lines.reshape(-1, 3), 0.35).reshape(lines.shape)
    normals = np.broadcast_to([0.15 * side, 0.1, 1.0], lines.shape)
    texture = s.hair.paint(*wisps(s.rng, ragged=0.6))
    strips = ribbons("strand", lines, normals, s.rng.uniform(0.8, 1.5, count), texture, s.rng)
    return [
        Surface(
            "strand over the eye", strips.triangles, strips.uv, "occluder", texture, gloss=0.25,
            roughness=0.45, rigid="head", points=strips.points, two_sided=True,
        )
    ]  # fmt: skip


OCCLUDERS: dict[str, Callable[[Situation], list[Surface]]] = {
    "hand at chin": hand_at_chin,
    "hand at cheek": hand_at_cheek,
    "hand over mouth": hand_over_mouth,
    "hand passing": hand_passing,
    "cup": cup,
    "microphone": microphone,
    "headset": headset,
    "phone": phone,
    "face mask": face_mask,
    "strand": strand_over_eye,
}


def occluder(kind: str, situation: Situation) -> list[Surface]:
    """Surfaces of one occluder, moving for ``situation.frames`` frames.

    Args:
        kind: one of `OCCLUDERS`.
        situation: what it is made for.

    Raises:
        ValueError: an unknown kind.
    """
    if kind not in OCCLUDERS:
        raise ValueError(f"no occluder {kind!r}; known: {', '.join(OCCLUDERS)}")
    return OCCLUDERS[kind](situation)
