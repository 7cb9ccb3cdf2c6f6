"""The renderer: posed surfaces, a camera and light to pictures with exact ground truth.

Ground truth is what is seen at each pixel's centre. Colour is an average over `supersample`^2 points of a
pixel where that makes a difference: at edges, on hair, eyes and in the mouth. Our design: inside smooth skin
and cloth the colour at the pixel's centre stands for the pixel: fewer points to shade, and it looks the same.

Legend: T frames, W vertices, H x W pixels, s supersampling, G x K points of the grid (see `samples`),
N samples, C pixels with an edge or detail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headgen.errors import InputError
from headgen.nn.timing import part
from headgen.synth.heads.model import PosedHead, Surface, Topology
from headgen.synth.render.assembly import Assembly
from headgen.synth.render.occlusion import Face, creases
from headgen.synth.render.rasterise import Mesh, rasterise
from headgen.synth.render.samples import Grid, Samples, grid, interpolate, project, unhidden
from headgen.synth.render.scene import Camera, Light, Rendered
from headgen.synth.render.shade import Developer, Materials, Shader
from headgen.synth.render.shadow import Shadow
from headgen.synth.render.texture import Atlas, levels

TOLERANCE = 0.1  # cm that a landmark may lie behind what is seen around it and still be visible
SMOOTH = ("skin", "clothing")
"""Materials coloured at the pixel's centre where nothing else is in the pixel."""
SLOPE = 0.008  # relative difference of inverse depth within a pixel that makes it an edge
PIXELS_AT_ONCE = {"cpu": 256**2, "cuda": 16 * 256**2}
"""Small frames are computed together: the same bytes, less overhead."""


@dataclass(frozen=True)
class _Prepared:
    """What stays the same as long as surfaces and camera do."""

    surfaces: tuple[Surface, ...]
    camera: Camera
    topology: Topology | None
    assembly: Assembly
    base: Mesh
    lens: Mesh | None
    materials: Materials
    smooth: Tensor  # (S + 1,) bool; the last one stands for the background
    strands: Tensor  # (S,) bool, surfaces whose strands have a direction


@dataclass(frozen=True)
class _Seen:
    """What is seen in some frames, on the grid and at the pixels' centres."""

    grid: Grid
    fine: Tensor  # (T, G, K) triangles
    fine_inverse: Tensor  # (T, G, K)
    lens: Tensor | None  # (T, G, K) triangles of lenses, -1 where none is in front
    triangle: Tensor  # (T, H, W)
    depth: Tensor  # (T, H, W), infinite on the background


class Renderer:
    """Renders on one device; keeps what it prepared for the last surfaces."""

    def __init__(self, device: str | torch.device = "cpu", supersample: int = 2) -> None:
        """A renderer.

        Args:
            device: where to compute. A CPU draws frames one after the other unless they are small, other
                devices in batches.
            supersample: points per pixel and direction for colour, 1 for one at the centre.

        Raises:
            InputError: fewer than one point.
        """
        if supersample < 1:
            raise InputError(f"supersample={supersample}: give 1 or more points per pixel and direction")
        self.device = torch.device(device)
        self.supersample = supersample
        self._developer = Developer(self.device)
        self._prepared: _Prepared | None = None

    def render(
        self,
        surfaces: Sequence[Surface],
        head: PosedHead,
        topology: Topology | None,
        camera: Camera,
        light: Light,
        background: np.ndarray | None,
    ) -> Rendered:
        """Renders all frames of a posed head.

        Args:
            surfaces: what to draw; those without `points` share the head's vertices. Lenses are laid over the
                colours only: ground truth sees through them, and their texture's alpha says how much they
                tint what is behind.
            head: T frames.
            topology: of the head, for landmarks and for the light in mouth and eyes; without it landmarks are
                NaN and invisible.
            camera: one for all frames.
            light: one for all frames.
            background: (H, W, 3) uint8 sRGB; black if None.

        Returns:
            pictures and ground truth. A landmark counts as visible if it lies inside the picture and at most
            `TOLERANCE` deeper than the deepest of the four points of the supersampled grid around it.

        Raises:
            InputError: a background of another size, or a surface that does not fit together.
        """
        shape = (*camera.size, 3)
        if background is None:
            background = np.zeros(shape, np.uint8)
        if background.shape != shape:
            raise InputError(f"the background has the shape {background.shape}; the picture has {shape}")
        prepared = self._prepare(surfaces, head, topology, camera)
        shader = Shader(prepared.materials, camera, light, self.device)
        back = torch.as_tensor(np.ascontiguousarray(background), device=self.device)
        at_once = max(
            1, PIXELS_AT_ONCE.get(self.device.type, PIXELS_AT_ONCE["cuda"]) // (shape[0] * shape[1])
        )
        results = [
            self._frames(prepared, shader, head, slice(start, start + at_once), back)
            for start in range(0, len(head), at_once)
        ]
        return Rendered(*(np.concatenate(arrays) for arrays in zip(*results, strict=True)))

    def _prepare(
        self, surfaces: Sequence[Surface], head: PosedHead, topology: Topology | None, camera: Camera
    ) -> _Prepared:
        """Surfaces as tensors; those of the last call if nothing changed."""
        last = self._prepared
        if (
            last is not None
            and last.camera == camera
            and last.topology is topology
            and last.assembly.head_vertices == head.vertices.shape[1]
            and len(last.surfaces) == len(surfaces)
            and all(a is b for a, b in zip(last.surfaces, surfaces, strict=True))
        ):
            return last
        assembly = Assembly.of(surfaces, head.vertices.shape[1])
        points = assembly.placed(head, slice(0, 1))[0][0]
        atlas = Atlas([s.texture for s in surfaces], levels(assembly, points, camera), self.device)
        surface = torch.as_tensor(assembly.surface, device=self.device)
        lens = torch.as_tensor(assembly.lens, device=self.device)
        shared = (
            torch.as_tensor(assembly.triangles, device=self.device),
            torch.as_tensor(assembly.corner_uv, device=self.device),
            torch.as_tensor(assembly.two_sided, device=self.device),
            surface,
            atlas,
        )
        self._prepared = _Prepared(
            tuple(surfaces),
            camera,
            topology,
            assembly,
            Mesh(*shared, drawn=~lens, cutout=atlas.cutout[surface] & ~lens),
            Mesh(*shared, drawn=lens, cutout=torch.zeros_like(lens)) if bool(lens.any()) else None,
            Materials(surfaces, atlas, self.device),
            torch.tensor([s.material in SMOOTH for s in surfaces] + [True], device=self.device),
            torch.tensor([rest is not None for rest in assembly.rest_strands], device=self.device),
        )
        return self._prepared

    def _frames(
        self, prepared: _Prepared, shader: Shader, head: PosedHead, frames: slice, background: Tensor
    ) -> tuple[np.ndarray, ...]:
        """The fields of `Rendered` for some frames."""
        camera = prepared.camera
        with part("project"):
            placed, directions = prepared.assembly.placed(head, frames)
            strands = prepared.assembly.strands(head, frames)
            points = torch.as_tensor(placed, device=self.device)
            normals = torch.as_tensor(directions, device=self.device)
            projected = project(points, camera)
        with part("raster"):
            seen = self._see(prepared, projected)
        with part("shade"):
            attributes = normals
            if strands is not None:
                attributes = torch.cat([normals, torch.as_tensor(strands, device=self.device)], -1)
            eyes = torch.as_tensor(head.joints[frames, -2:], device=self.device)
            face = Face.of(points, eyes, prepared.topology)
            shadow = shader.shadow(points, prepared.base)
            crease = creases(seen.depth, camera.focal / camera.eye[2])
            detailed = self._detailed(prepared, seen)
            covered = seen.triangle >= 0
            smooth = _numbers(covered & ~detailed)
            centres = torch.cat([smooth, _numbers(covered & detailed)])
            where = self._places(seen, centres)
            triangle = seen.triangle.view(-1)[centres].long()
            truth = interpolate(seen.grid, where, triangle, prepared.base, attributes, crease, seen.depth)
            image = background.expand(len(points), -1, -1, -1).reshape(-1, 3).clone()
            image[smooth] = self._developer.develop(shader(truth.first(len(smooth)), face, shadow)).t()
            pixels = _numbers(detailed)
            image[pixels] = self._supersampled(
                prepared, shader, seen, pixels, image[pixels], attributes, crease, face, shadow
            )
            image = image.view(*covered.shape, 3)
        with part("truth"):
            fields = self._truth(prepared, seen, truth, centres)
            landmarks = self._landmarks(prepared, seen, projected)
        return tuple(value.cpu().numpy() for value in (image, *fields, *landmarks))

    def _see(self, prepared: _Prepared, projected: Tensor) -> _Seen:
        """Rasterises all layers."""
        where = grid(projected, prepared.camera, self.supersample)
        fine, inverse = rasterise(where.points, prepared.base, where.size)
        lens = None
        if prepared.lens is not None:
            lens, lens_inverse = rasterise(where.points, prepared.lens, where.size)
            lens = torch.where(lens_inverse > inverse, lens, -1)
        triangle, depth = where.centres(fine).contiguous(), 1 / where.centres(inverse)
        return _Seen(where, fine, inverse, lens, triangle, depth)

    def _places(self, seen: _Seen, pixels: Tensor) -> Tensor:
        """Flat numbers on the grid of the centres of pixels, themselves flat numbers."""
        (_, height, width), s = seen.triangle.shape, self.supersample
        row = torch.div(pixels, width, rounding_mode="floor")
        column = pixels - row * width
        frame = torch.div(row, height, rounding_mode="floor")
        row = row - frame * height
        return (frame * seen.grid.size[0] + (row + 1) * s - 1) * seen.grid.size[1] + (column + 1) * s - 1

    def _detailed(self, prepared: _Prepared, seen: _Seen) -> Tensor:
        """(T, H, W) bool: pixels that need all their points."""
        nothing = torch.tensor([len(prepared.surfaces)], device=self.device)
        owner = torch.cat([nothing, prepared.base.surface]).to(torch.int16)
        fine = owner.index_select(0, seen.fine.view(-1) + 1).view(seen.fine.shape)
        centre = seen.grid.centres(fine)
        out = ~prepared.smooth[centre.long()]
        high, low = self._extremes(seen.grid, fine)
        out |= high != low
        nearest, farthest = self._extremes(seen.grid, seen.fine_inverse)
        out |= nearest - farthest > SLOPE * nearest
        if seen.lens is not None:
            out |= self._extremes(seen.grid, seen.lens)[0] >= 0
        return out

    def _extremes(self, where: Grid, values: Tensor) -> tuple[Tensor, Tensor]:
        """(T, H, W) largest and smallest of values (T, G, K) over the points of each pixel."""
        s, (height, width) = self.supersample, where.size
        rows = [values[:, k : height - 2 * (s - 1) + k : s] for k in range(2 * s - 1)]
        high = low = rows[0]
        for row in rows[1:]:
            high, low = torch.maximum(high, row), torch.minimum(low, row)
        # side by side at every point, although one in s is wanted: memory is read in order
        across = width - 2 * (s - 1)
        highest, lowest = high[..., :across], low[..., :across]
        for k in range(1, 2 * s - 1):
            highest = torch.maximum(highest, high[..., k : k + across])
            lowest = torch.minimum(lowest, low[..., k : k + across])
        return highest[..., ::s].contiguous(), lowest[..., ::s].contiguous()

    def _supersampled(
        self,
        prepared: _Prepared,
        shader: Shader,
        seen: _Seen,
        pixels: Tensor,
        background: Tensor,
        attributes: Tensor,
        crease: Tensor,
        face: Face,
        shadow: Shadow | None,
    ) -> Tensor:
        """(C, 3) uint8 colours of the detailed pixels.

        Each is the mean in linear light of the points less than a pixel from its centre to either side,
        weighted linearly less towards the neighbours' centres (a tent).
        """
        s, lens = self.supersample, seen.lens
        offsets = range(1 - s, s)
        centres = self._places(seen, pixels)
        around = [
            (centres + (row * seen.grid.size[1] + column), (s - abs(row)) * (s - abs(column)) / s**4)
            for row in offsets
            for column in offsets
        ]
        drawn = seen.fine >= 0 if lens is None else (seen.fine >= 0) | (lens >= 0)
        needed = torch.zeros(drawn.numel(), dtype=torch.bool, device=self.device)
        for point, _ in around:
            needed[point] = True
        where = _numbers(needed & drawn.view(-1))
        # the first one is a point where nothing is seen
        slot = torch.zeros(drawn.numel(), dtype=torch.int32, device=self.device)
        slot[where] = torch.arange(1, len(where) + 1, dtype=torch.int32, device=self.device)
        colours = torch.zeros(3, len(where) + 1, device=self.device)
        clear = torch.ones_like(colours)  # how much of the background is seen
        triangle = seen.fine.view(-1)[where].long()
        solid = triangle >= 0
        strand = solid & prepared.strands[prepared.base.surface[triangle]]
        for chosen, colour_of in (
            (solid & ~strand, lambda samples: shader(samples, face, shadow)),
            (strand, lambda samples: shader.strands(samples, shadow)),
        ):
            number = _numbers(chosen)
            if len(number):
                samples = interpolate(
                    seen.grid,
                    where[number],
                    triangle[number],
                    prepared.base,
                    attributes,
                    crease,
                    seen.depth,
                )
                colours[:, number + 1] = colour_of(samples)
                clear[:, number + 1] = 0
        if lens is not None and prepared.lens is not None:
            triangle = lens.view(-1)[where].long()
            glazed = _numbers(triangle >= 0)
            glass = interpolate(
                seen.grid, where[glazed], triangle[glazed], prepared.lens, attributes, crease, seen.depth
            )
            passed, mirrored = shader.lens(glass)
            colours[:, glazed + 1] = colours[:, glazed + 1] * passed + mirrored
            clear[:, glazed + 1] *= passed
        colour = torch.zeros(3, len(pixels), device=self.device)
        behind = self._developer.undevelop(background).t()
        for point, weight in around:
            number = slot.index_select(0, point)
            part_of = colours.index_select(1, number) + clear.index_select(1, number) * behind
            colour.add_(part_of, alpha=weight)
        return self._developer.develop(colour).t()

    def _truth(self, prepared: _Prepared, seen: _Seen, truth: Samples, centres: Tensor) -> tuple[Tensor, ...]:
        """Part, depth, normals, uv, triangle and weights at the pixels' centres."""
        shape = seen.triangle.shape

        def spread(values: Tensor, rest: float) -> Tensor:
            out = torch.full(
                (seen.triangle.numel(), *values.shape[1:]), rest, dtype=values.dtype, device=self.device
            )
            out[centres] = values
            return out.view(*shape, *values.shape[1:])

        part_of = torch.as_tensor(prepared.assembly.part, device=self.device)
        return (
            spread(part_of[truth.surface], 0),
            spread(truth.depth, torch.inf),
            spread(truth.normal.t(), 0),
            spread(truth.uv.t(), torch.nan),
            seen.triangle,
            spread(truth.barycentric.t(), 0),
        )

    def _landmarks(self, prepared: _Prepared, seen: _Seen, projected: Tensor) -> tuple[Tensor, ...]:
        """Projected landmarks of both sets and whether they are visible."""
        frames, topology = len(projected), prepared.topology
        if topology is None:
            nowhere = [torch.full((frames, n, 3), torch.nan) for n in (68, 478)]
            return (*nowhere, *(torch.zeros(frames, n, dtype=torch.bool) for n in (68, 478)))
        chosen = np.concatenate([topology.landmarks_68, topology.landmarks_478]).astype(np.int64)
        points = projected[:, torch.as_tensor(chosen, device=self.device)].float()
        visible = unhidden(points, seen.fine_inverse, seen.grid, TOLERANCE)
        return points[:, :68], points[:, 68:], visible[:, :68], visible[:, 68:]


def _numbers(mask: Tensor) -> Tensor:
    """Flat numbers (N,) int64 of what is true."""
    if mask.device.type == "cpu":  # NumPy is five times as fast here
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return torch.nonzero(mask.view(-1))[:, 0]
