"""What a picture is taken of and with: camera, light, background, and all that the renderer gives back.

Legend: T frames, H x W pixels, V vertices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in front of the head, looking along -z.

    A world point (x, y, z) in cm is seen at ``u = cx + f * (x - ex) / (ez - z)``, ``v = cy - f * (y - ey) /
    (ez - z)``
    in pixels; the first pixel's centre is (0, 0). Depth is ``ez - z`` in cm.

    Attributes:
        eye: (3,) cm, where the camera stands.
        focal: pixels.
        centre: (2,) pixels, the principal point.
        size: (height, width) pixels.
    """

    eye: tuple[float, float, float]
    focal: float
    centre: tuple[float, float]
    size: tuple[int, int]

    @classmethod
    def portrait(
        cls,
        size: int = 256,
        distance: float = 90.0,
        head: float = 0.45,
        look_at: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> Camera:
        """A usual portrait view.

        Args:
            size: side of the square picture in pixels.
            distance: cm from camera to the head; with `head` fixed, this is the focal length's effect.
            head: height of the face (brow to chin, about 16 cm with the forehead) as a share of the picture.
            look_at: point in cm at the picture's centre.
        """
        focal = head * size * distance / 16.0
        middle = (size - 1) / 2
        x, y, z = look_at
        return cls((x, y, z + distance), focal, (middle, middle), (size, size))

    def project(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) world points to (..., 3): u, v in pixels and depth in cm (float64)."""
        x, y, z = np.moveaxis(np.asarray(points, np.float64), -1, 0)
        ex, ey, ez = self.eye
        depth = ez - z
        u = self.centre[0] + self.focal * (x - ex) / depth
        v = self.centre[1] - self.focal * (y - ey) / depth
        return np.stack([u, v, depth], -1)


@dataclass(frozen=True)
class Light:
    """Light from everywhere (spherical harmonics) and from one sun or lamp.

    Attributes:
        harmonics: (9, 3) float32, linear RGB irradiance over pi by real spherical harmonics of bands 0 to 2
        in the
            world's frame, already convolved with the cosine lobe: albedo times ``basis(normal) @ harmonics``
            is
            the colour that leaves a matt surface.
        sun: (3,) float32 unit vector towards the sun, world.
        sun_colour: (3,) float32 linear RGB; zero for no sun.
    """

    harmonics: np.ndarray
    sun: np.ndarray
    sun_colour: np.ndarray


@dataclass(frozen=True)
class Rendered:
    """Pictures and their exact ground truth.

    Attributes:
        image: (T, H, W, 3) uint8 sRGB.
        parts: (T, H, W) uint8, numbers in `headgen.synth.heads.model.PARTS`, at each pixel's centre.
        depth: (T, H, W) float32 cm from the camera along its axis; infinite where there is only background.
        normals: (T, H, W, 3) float32 world, zero on the background.
        uv: (T, H, W, 2) float32 texture place of what is seen; NaN on the background.
        triangle: (T, H, W) int32 number of the triangle seen (over all surfaces in their order), -1 on the
        background.
        barycentric: (T, H, W, 3) float32 perspective-correct weights of its corners.
        landmarks_68: (T, 68, 3) float32 u, v, depth.
        landmarks_478: (T, 478, 3) float32 u, v, depth.
        visible_68, visible_478: (T, 68) and (T, 478) bool: inside the picture and not hidden by anything
        nearer.
    """

    image: np.ndarray
    parts: np.ndarray
    depth: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    triangle: np.ndarray
    barycentric: np.ndarray
    landmarks_68: np.ndarray
    landmarks_478: np.ndarray
    visible_68: np.ndarray
    visible_478: np.ndarray
