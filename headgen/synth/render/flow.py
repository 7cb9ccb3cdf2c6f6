"""Exact motion of every pixel between two frames that show the same surfaces.

Legend: H x W pixels, N pixels that show a surface.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from headgen.synth.heads.model import PosedHead, Surface
from headgen.synth.render.assembly import Assembly
from headgen.synth.render.samples import Grid, unhidden
from headgen.synth.render.scene import Camera, Rendered

TOLERANCE = 0.15  # cm that a point may lie behind what is seen there and not be hidden


class FlowField:
    """Flow between frames of one person in front of one camera."""

    def __init__(self, surfaces: Sequence[Surface], camera: Camera) -> None:
        """For surfaces as they were rendered, and the camera."""
        self._surfaces = tuple(surfaces)
        self._camera = camera
        self._assembly: Assembly | None = None

    def __call__(
        self,
        first: Rendered,
        i: int,
        second: Rendered,
        j: int,
        second_head: PosedHead,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where the pixels of one frame are in another.

        The point of a surface that is seen in a pixel's centre, by its triangle and weights, is projected
        from where it is in the second frame. Background does not move.

        Args:
            first: rendered frames from which the flow starts.
            i: number of the frame in `first`.
            second: rendered frames to which it leads; may be `first`.
            j: number of the frame in `second`.
            second_head: the posed head of which `second` was rendered.

        Returns:
            flow (H, W, 2) float32 in pixels, and what is not seen in the second frame (H, W) bool: because
            something is more than `TOLERANCE` before it there, or because it has left the picture. Points
            less than a pixel behind an edge count as seen.
        """
        if self._assembly is None:
            self._assembly = Assembly.of(self._surfaces, second_head.vertices.shape[1])
        points = self._assembly.placed(second_head, slice(j, j + 1))[0][0]
        triangle = first.triangle[i]
        height, width = triangle.shape
        flow, hidden = np.zeros((height, width, 2), np.float32), second.triangle[j] >= 0
        rows, columns = np.nonzero(triangle >= 0)
        corners = points[self._assembly.triangles[triangle[rows, columns]]].astype(np.float64)
        seen = (corners * first.barycentric[i][rows, columns][..., None]).sum(1)
        places = self._camera.project(seen)  # (N, 3)
        flow[rows, columns] = places[:, :2] - np.stack([columns, rows], 1)
        inverse = torch.from_numpy(1 / second.depth[j : j + 1])
        where = Grid(1, (height, width), torch.empty(0))
        visible = unhidden(torch.from_numpy(places)[None], inverse, where, TOLERANCE)
        hidden[rows, columns] = ~visible[0].numpy()
        return flow, hidden
