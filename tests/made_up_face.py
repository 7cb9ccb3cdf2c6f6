"""A made-up face for tests of textures: half an egg with the regions of a face, and photographs of it."""

import cv2
import numpy as np

from headgen.synth.appearance.texture import SkinLayout, to_srgb
from headgen.synth.raster import Canvas
from headgen.synth.render.light import basis

ROWS, COLUMNS = 61, 61  # cells are small against the features
SIZE = 128
SCALE = 16.0  # pixels per cm
PICTURE = (340, 280)
EYES = ((-3.0, 3.0), (3.0, 3.0))  # cm
MOUTH = (0.0, -4.0)
SKIN = np.array([0.42, 0.27, 0.20], np.float32)  # linear


def face_layout(size: int = SIZE) -> SkinLayout:
    """Half an egg, 14 cm wide and 20 high, its texture a flattened view of it."""
    v, u = np.meshgrid(np.linspace(-1, 1, ROWS), np.linspace(-1, 1, COLUMNS), indexing="ij")
    across, up = u.ravel() * np.deg2rad(85), -v.ravel() * np.deg2rad(80)
    vertices = np.stack(
        [7 * np.sin(across) * np.cos(up), 10 * np.sin(up), 8 * np.cos(across) * np.cos(up)], 1
    ).astype(np.float32)
    index = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate(
        [np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)]
    )
    uv = np.stack([u.ravel() / 2 + 0.5, v.ravel() / 2 + 0.5], 1).astype(np.float32)

    def ring(x: float, y: float, width: float, height: float, count: int = 24) -> np.ndarray:
        turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
        places = np.stack([x + width * np.cos(turn), y + height * np.sin(turn)], 1)
        gaps = np.linalg.norm(vertices[None, :, :2] - places[:, None], axis=2)
        return gaps.argmin(1)

    return SkinLayout(
        vertices=vertices,
        triangles=triangles.astype(np.int32),
        uv=uv,
        uv_triangles=triangles.astype(np.int32),
        size=size,
        lids=np.concatenate([ring(x, y, 1.0, 0.3) for x, y in EYES]),
        lip_line=ring(*MOUTH, 1.6, 0.05),
        lip_outline=ring(*MOUTH, 2.0, 0.7),
        oval=ring(0, -0.5, 5.6, 7.8, 36),
        brows=tuple(ring(x, y + 1.6, 1.4, 0.25) for x, y in EYES),
        beard=ring(0, -5.2, 3.6, 2.0),
    )


def albedo(layout: SkinLayout) -> np.ndarray:
    """(N, N, 3) linear RGB: skin with brows, lips and a few birthmarks in mirrored places."""
    out = np.tile(SKIN, (layout.size, layout.size, 1))
    x, y, _ = np.moveaxis(layout.positions, -1, 0)
    for side in (-1, 1):
        for at in ((2.6, -0.5), (1.2, 5.5), (3.2, -1.8)):
            spot = np.exp(-((x - side * at[0]) ** 2 + (y - at[1]) ** 2) / 0.15)
            out = out * (1 - 0.5 * spot[..., None])
    lips, brows = layout.lip_mask[..., None], layout.brow_mask[..., None]
    out = out * (1 - lips) + lips * np.array([0.35, 0.12, 0.11], np.float32)
    return (out * (1 - brows) + brows * np.array([0.05, 0.04, 0.03], np.float32)).astype(np.float32)


def side_light(amount: float) -> np.ndarray:
    """(9, 3) light from the front and, by `amount`, from the picture's right."""
    light = np.zeros((9, 3), np.float32)
    light[0], light[2], light[3], light[1] = 2.2, 0.7, amount, 0.25
    return light


def photograph(
    layout: SkinLayout, texture: np.ndarray, light: np.ndarray | None = None, yaw: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W, 3) uint8 on blue ground, and the vertices on it (V, 3)."""
    turn = np.deg2rad(yaw)
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    turned = layout.vertices @ rotation.T
    points = turned * [SCALE, -SCALE, SCALE] + [PICTURE[1] / 2, PICTURE[0] / 2, 0]
    canvas = Canvas(*PICTURE, 5)
    normal = (layout.vertices / np.array([49.0, 100, 64])) @ rotation.T
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    canvas.draw(points, layout.triangles, np.column_stack([layout.uv, normal]), cull=True)
    places = (canvas.values[..., :2] * layout.size - 0.5).astype(np.float32)
    colour = cv2.remap(
        texture, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if light is not None:
        colour = colour * (basis(canvas.values[..., 2:]) @ light)
    colour[canvas.layer < 0] = (0.05, 0.15, 0.4)
    return to_srgb(colour), points.astype(np.float32)
