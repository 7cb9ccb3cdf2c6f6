"""A small software rasteriser: triangles with interpolated attributes and a depth buffer.

Pixel convention: the centre of the first pixel is (0, 0). Larger depth values are nearer to the camera.
"""

from __future__ import annotations

import numpy as np

try:
    from numba import njit
except ImportError as error:  # pragma: no cover - depends on the installation
    from headgen.errors import MissingExtraError

    raise MissingExtraError("numba", "synth", "drawing meshes") from error


class Canvas:
    """A picture of attributes with a depth buffer.

    Attributes:
        depth: (H, W) float32, ``-inf`` where nothing was drawn.
        values: (H, W, C) float32 attributes of the nearest surface.
        layer: (H, W) int32 number of the layer drawn last, -1 where nothing was drawn.
    """

    def __init__(self, height: int, width: int, channels: int) -> None:
        """An empty canvas of the given size."""
        self.depth = np.full((height, width), -np.inf, np.float32)
        self.values = np.zeros((height, width, channels), np.float32)
        self.layer = np.full((height, width), -1, np.int32)

    def draw(
        self,
        points: np.ndarray,
        triangles: np.ndarray,
        attributes: np.ndarray,
        *,
        layer: int = 0,
        depth_bias: float = 0.0,
        cull: bool = False,
        longest: float = np.inf,
    ) -> None:
        """Draws a mesh where it is nearer than what the canvas holds.

        Args:
            points: (V, 3) x, y in pixels, and depth.
            triangles: (F, 3) vertex numbers.
            attributes: (V, C) what is interpolated.
            layer: number written to `layer`.
            depth_bias: added to the depth in comparisons only against what is on the canvas.
            cull: leave out triangles that turn clockwise as seen (y down), the backs of surfaces.
            longest: triangles with a longer edge (pixels) are left out.
        """
        _draw(
            np.ascontiguousarray(points, np.float32),
            np.ascontiguousarray(triangles, np.int32),
            np.ascontiguousarray(attributes, np.float32),
            self.depth,
            self.values,
            self.layer,
            layer,
            np.float32(depth_bias),
            cull,
            np.float32(longest) ** 2,
        )


@njit(cache=True, fastmath=False)
def _draw(points, triangles, attributes, depth, values, layers, layer, bias, cull, longest2):  # type: ignore[no-untyped-def]  # noqa: D103
    height, width = depth.shape
    channels = attributes.shape[1]
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ax, ay = points[a, 0], points[a, 1]
        bx, by = points[b, 0], points[b, 1]
        cx, cy = points[c, 0], points[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # seen from the front a counter-clockwise triangle (y up) has a negative area here (y down)
        if abs(area) < 1e-9 or (cull and area > 0):
            continue
        if longest2 < 1e12:
            e = max(
                (bx - ax) ** 2 + (by - ay) ** 2,
                max((cx - ax) ** 2 + (cy - ay) ** 2, (cx - bx) ** 2 + (cy - by) ** 2),
            )
            if e > longest2:
                continue
        x0 = max(0, int(np.ceil(min(ax, min(bx, cx)) - 1e-4)))
        x1 = min(width - 1, int(np.floor(max(ax, max(bx, cx)) + 1e-4)))
        y0 = max(0, int(np.ceil(min(ay, min(by, cy)) - 1e-4)))
        y1 = min(height - 1, int(np.floor(max(ay, max(by, cy)) + 1e-4)))
        inverse = 1.0 / area
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                wb = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) * inverse
                wc = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) * inverse
                wa = 1.0 - wb - wc
                if wa < -1e-4 or wb < -1e-4 or wc < -1e-4:
                    continue
                z = wa * points[a, 2] + wb * points[b, 2] + wc * points[c, 2]
                if z + bias > depth[y, x]:
                    depth[y, x] = z + bias
                    layers[y, x] = layer
                    for k in range(channels):
                        values[y, x, k] = (
                            wa * attributes[a, k] + wb * attributes[b, k] + wc * attributes[c, k]
                        )
