"""Plain shapes to render in tests: spheres, squares and heads without a model."""

from __future__ import annotations

import numpy as np

from headgen.synth.heads.model import PosedHead, Surface, Topology

WHITE = np.full((1, 1, 4), 255, np.uint8)


def sphere(radius: float, rings: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles (counter-clockwise seen from outside) and texture places of a sphere."""
    v, u = np.meshgrid(np.linspace(0, 1, rings + 1), np.linspace(0, 1, 2 * rings + 1), indexing="ij")
    theta, phi = np.pi * v, 2 * np.pi * u
    points = np.stack([np.sin(theta) * np.sin(phi), np.cos(theta), np.sin(theta) * np.cos(phi)], -1)
    corner = np.arange(points[..., 0].size).reshape(points.shape[:2])
    a, b, c, d = corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    uv = np.stack([u, v], -1).reshape(-1, 2)
    return (radius * points.reshape(-1, 3)).astype(np.float32), triangles, uv.astype(np.float32)


def square(half: float, z: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles and texture places of a square that faces the camera."""
    x, y = np.array([-1, 1, 1, -1]) * half, np.array([-1, -1, 1, 1]) * half
    points = np.stack([x, y, np.full(4, z)], -1).astype(np.float32)
    uv = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)
    return points, np.array([[0, 1, 2], [0, 2, 3]]), uv


def turned(frames: int, degrees: np.ndarray | None = None, shift: np.ndarray | None = None) -> np.ndarray:
    """(T, 3, 4) turns about the vertical axis, to the picture's right, then shifts (T, 3)."""
    a = np.radians(np.zeros(frames) if degrees is None else degrees)
    out = np.zeros((frames, 3, 4), np.float32)
    out[:, 0, 0], out[:, 0, 2], out[:, 2, 0], out[:, 2, 2] = np.cos(a), np.sin(a), -np.sin(a), np.cos(a)
    out[:, 1, 1] = 1
    if shift is not None:
        out[:, :, 3] = shift
    return out


def posed(points: np.ndarray, transform: np.ndarray) -> PosedHead:
    """Points that move rigidly, with normals away from the origin."""
    vertices = points @ transform[..., :3].transpose(0, 2, 1) + transform[:, None, :, 3]
    rest = points / np.linalg.norm(points, axis=1, keepdims=True).clip(1e-6)
    normals = rest @ transform[..., :3].transpose(0, 2, 1)
    still = turned(len(transform))
    joints = np.zeros((len(transform), 6, 3), np.float32)
    return PosedHead(vertices.astype(np.float32), normals.astype(np.float32), joints, transform, still)


def surface(
    name: str,
    triangles: np.ndarray,
    uv: np.ndarray,
    material: str = "skin",
    texture: np.ndarray = WHITE,
    points: np.ndarray | None = None,
    **options: object,
) -> Surface:
    """A surface; with points it is fixed to the head."""
    rigid = None if points is None else "head"
    return Surface(name, triangles, uv, material, texture, rigid=rigid, points=points, **options)  # type: ignore[arg-type]


def topology(triangles: np.ndarray, uv: np.ndarray, landmarks: np.ndarray) -> Topology:
    """A topology whose landmarks repeat some vertices."""
    return Topology(
        triangles,
        uv,
        np.zeros(len(triangles), np.int8),
        np.resize(landmarks, 68),
        np.resize(landmarks, 478),
    )
