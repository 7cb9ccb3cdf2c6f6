"""Which triangle is seen at each point of a pixel grid: two implementations that agree to the last triangle.

Corners are snapped to 1/256 pixel: edge functions are then exact, and a point on an edge belongs to exactly
one triangle by the top-left rule, so a closed mesh has no cracks. Depth is compared as float32 inverse depth,
which is affine in the picture; of equally near triangles the first one wins. The kernel for the CPU loops
over triangles. The one for a GPU lists all pixels of all boxes of triangles and keeps, for each pixel, the
largest of integers made of inverse depth and triangle: its result does not depend on the order either.

Legend: T frames, W vertices, F triangles, H x W pixels of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headgen.synth.render.texture import Atlas

try:
    from numba import njit
except ImportError as error:  # pragma: no cover - depends on the installation
    from headgen.errors import MissingExtraError

    raise MissingExtraError("numba", "synth", "rendering heads") from error

UNIT = 256  # places per pixel
SNAP = float(UNIT)
NEAR = 1.0  # cm: triangles with a corner nearer than this are left out
TILE = 8  # grid points, side of the squares by which hidden triangles are skipped
REFRESHES = 8  # times that these squares are measured anew while cut-out triangles are drawn
WORTH = 400  # cut-out triangles from one measuring to the next that make it worth while
WIDE = 8  # pixels from which on the part of a row within a triangle is worked out first
ORDERS = 512  # of depth, in which cut-out triangles are drawn
PAIRS = 1 << 23  # candidate pixels handled at a time on a GPU: about 1 GB


@dataclass(frozen=True)
class Mesh:
    """Triangles to draw, on one device.

    Attributes:
        triangles: (F, 3) int32.
        corner_uv: (F, 3, 2) float32.
        two_sided: (F,) bool.
        surface: (F,) int64.
        atlas: textures.
        drawn: (F,) bool, triangles of this layer.
        cutout: (F,) bool, tested against the alpha of their texture.
    """

    triangles: Tensor
    corner_uv: Tensor
    two_sided: Tensor
    surface: Tensor
    atlas: Atlas
    drawn: Tensor
    cutout: Tensor


def rasterise(points: Tensor, mesh: Mesh, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """What is seen at each grid point.

    Args:
        points: (T, W, 3) float64, u and v in units of the grid (first point at (0, 0)), depth in cm.
        mesh: what to draw.
        size: height and width of the grid.

    Returns:
        triangle (T, H, W) int32, -1 for nothing, and inverse depth (T, H, W) float32, 0 for nothing.
    """
    return (_rasterise_numba if points.device.type == "cpu" else rasterise_torch)(points, mesh, size)


def _rasterise_numba(points: Tensor, mesh: Mesh, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """One frame after the other on one core."""
    frames = len(points)
    triangle = np.full((frames, *size), -1, np.int32)
    inverse = np.zeros((frames, *size), np.float32)
    atlas, cutout = mesh.atlas, mesh.cutout.numpy()
    solid = np.flatnonzero(mesh.drawn.numpy() & ~cutout)
    open_work = np.flatnonzero(mesh.drawn.numpy() & cutout)
    for t in range(frames):
        # what is cut out is slow to draw: from the front, behind what is solid, most of it is hidden
        behind = _from_the_front(points[t].numpy(), mesh.triangles.numpy(), open_work)
        _draw(
            points[t].numpy(),
            mesh.triangles.numpy(),
            mesh.two_sided.numpy(),
            np.concatenate([solid, behind]),
            len(solid),
            cutout,
            mesh.corner_uv.numpy(),
            mesh.surface.numpy(),
            atlas.alpha.numpy(),
            atlas.offset.numpy(),
            atlas.width.numpy(),
            atlas.height.numpy(),
            triangle[t],
            inverse[t],
        )
    return torch.from_numpy(triangle), torch.from_numpy(inverse)


@njit(cache=True, nogil=True, inline="always")
def _alpha(alpha, offset, width, height, u, v):  # type: ignore[no-untyped-def]
    """Bilinear alpha of a texture, 0 to 255."""
    x, y = u * width - 0.5, v * height - 0.5
    left, top = np.floor(x), np.floor(y)
    fx, fy = x - left, y - top
    x0, x1 = min(max(int(left), 0), width - 1), min(max(int(left) + 1, 0), width - 1)
    y0, y1 = min(max(int(top), 0), height - 1), min(max(int(top) + 1, 0), height - 1)
    upper = alpha[offset + y0 * width + x0] * (1 - fx) + alpha[offset + y0 * width + x1] * fx
    lower = alpha[offset + y1 * width + x0] * (1 - fx) + alpha[offset + y1 * width + x1] * fx
    return upper * (1 - fy) + lower * fy


@njit(cache=True, nogil=True)
def _farthest(nearest, tiles):  # type: ignore[no-untyped-def]
    """Smallest inverse depth in each tile of the grid."""
    height, width = nearest.shape
    for row in range(tiles.shape[0]):
        for column in range(tiles.shape[1]):
            least = np.float32(np.inf)
            for y in range(row * TILE, min(row * TILE + TILE, height)):
                for x in range(column * TILE, min(column * TILE + TILE, width)):
                    least = min(least, nearest[y, x])
                if least == 0:
                    break
            tiles[row, column] = least


@njit(cache=True, nogil=True, inline="always")
def _hidden(tiles, x0, x1, y0, y1, inverse):  # type: ignore[no-untyped-def]
    """Whether all that the tiles of a box hold is nearer than this inverse depth."""
    least = np.float32(inverse * (1 + 1e-6))  # float32 rounds
    for y in range(y0 // TILE, y1 // TILE + 1):
        for x in range(x0 // TILE, x1 // TILE + 1):
            if tiles[y, x] <= least:
                return False
    return True


@njit(cache=True, nogil=True)
def _from_the_front(points, triangles, chosen):  # type: ignore[no-untyped-def]
    """Triangles roughly in the order of their depth."""
    count = len(chosen)
    depth = np.empty(count)
    for k in range(count):
        a, b, c = triangles[chosen[k], 0], triangles[chosen[k], 1], triangles[chosen[k], 2]
        depth[k] = min(points[a, 2], min(points[b, 2], points[c, 2]))
    if count == 0:
        return chosen
    nearest = depth.min()
    scale = (ORDERS - 1) / max(depth.max() - nearest, 1e-9)
    starts = np.zeros(ORDERS + 1, np.int64)
    for k in range(count):
        starts[int((depth[k] - nearest) * scale) + 1] += 1
    starts = np.cumsum(starts)
    out = np.empty_like(chosen)
    for k in range(count):
        order = int((depth[k] - nearest) * scale)
        out[starts[order]] = chosen[k]
        starts[order] += 1
    return out


@njit(cache=True, nogil=True)
def _draw(  # type: ignore[no-untyped-def]
    points, triangles, two_sided, chosen, solid, cutout, corner_uv, surface, alpha, offsets, widths, heights,
    seen, nearest,
):  # fmt: skip
    """Draws one frame; see `rasterise`."""
    height, width = seen.shape
    count = points.shape[0]
    placed, inverse = np.empty((count, 2), np.int64), np.empty(count)
    for v in range(count):
        placed[v, 0] = np.int64(np.rint(points[v, 0] * SNAP))
        placed[v, 1] = np.int64(np.rint(points[v, 1] * SNAP))
        depth = points[v, 2]
        inverse[v] = 1.0 / depth if depth > NEAR else -1.0
    tiles = np.zeros(((height + TILE - 1) // TILE, (width + TILE - 1) // TILE), np.float32)
    refresh = (len(chosen) - solid) // REFRESHES
    for k in range(len(chosen)):
        f = chosen[k]
        if k >= solid and refresh >= WORTH and (k - solid) % refresh == 0:
            _farthest(nearest, tiles)
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ax, ay, bx, by = placed[a, 0], placed[a, 1], placed[b, 0], placed[b, 1]
        cx, cy = placed[c, 0], placed[c, 1]
        # positive if counter-clockwise as seen (y runs down)
        area = (cx - ax) * (by - ay) - (bx - ax) * (cy - ay)
        if area == 0 or (area < 0 and not two_sided[f]):
            continue
        x0 = max(0, (min(ax, min(bx, cx)) + UNIT - 1) // UNIT)
        x1 = min(width - 1, max(ax, max(bx, cx)) // UNIT)
        if x0 > x1:
            continue
        y0 = max(0, (min(ay, min(by, cy)) + UNIT - 1) // UNIT)
        y1 = min(height - 1, max(ay, max(by, cy)) // UNIT)
        ia, ib, ic = inverse[a], inverse[b], inverse[c]
        if y0 > y1 or ia < 0 or ib < 0 or ic < 0:
            continue
        if k >= solid and _hidden(tiles, x0, x1, y0, y1, max(ia, max(ib, ic))):
            continue
        # all weights positive inside whatever the turn
        sign = 1 if area > 0 else -1
        inverse_area = 1.0 / (area * sign)
        # the weight of corner a grows by these per place to the right and down, and so on
        ax_step, ay_step = sign * (cy - by), sign * (bx - cx)
        bx_step, by_step = sign * (ay - cy), sign * (cx - ax)
        cx_step, cy_step = sign * (by - ay), sign * (ax - bx)
        # of the points on an edge only those of left edges and of level upper ones belong to the triangle
        a_least = 0 if ax_step > 0 or (ax_step == 0 and ay_step > 0) else 1
        b_least = 0 if bx_step > 0 or (bx_step == 0 and by_step > 0) else 1
        c_least = 0 if cx_step > 0 or (cx_step == 0 and cy_step > 0) else 1
        left, top = x0 * UNIT, y0 * UNIT
        wa_row = ax_step * (left - bx) + ay_step * (top - by)
        wb_row = bx_step * (left - cx) + by_step * (top - cy)
        wc_row = cx_step * (left - ax) + cy_step * (top - ay)
        wide = x1 - x0 >= WIDE
        if wide:
            a_pace = 1.0 / (ax_step * SNAP) if ax_step != 0 else 0.0
            b_pace = 1.0 / (bx_step * SNAP) if bx_step != 0 else 0.0
            c_pace = 1.0 / (cx_step * SNAP) if cx_step != 0 else 0.0
        for y in range(y0, y1 + 1):
            wa, wb, wc = wa_row, wb_row, wc_row
            start, stop = x0, x1
            if wide:
                # where the row crosses the edges, with a point to spare: most of the box is outside
                low, high = 0.0, float(x1 - x0)
                for weight, pace in ((wa, a_pace), (wb, b_pace), (wc, c_pace)):
                    crossing = -weight * pace
                    if pace > 0:
                        low = max(low, crossing)
                    elif pace < 0:
                        high = min(high, crossing)
                skipped = max(int(low) - 1, 0)
                start, stop = x0 + skipped, min(x0 + int(max(high, -2.0)) + 1, x1)
                wa += skipped * ax_step * UNIT
                wb += skipped * bx_step * UNIT
                wc += skipped * cx_step * UNIT
            for x in range(start, stop + 1):
                if ((wa - a_least) | (wb - b_least) | (wc - c_least)) >= 0:
                    total = wa * ia + wb * ib + wc * ic
                    near = np.float32(total * inverse_area)
                    if near > nearest[y, x] or (near == nearest[y, x] and f < seen[y, x]):
                        keep = True
                        if cutout[f]:
                            pa, pb, pc = wa * ia / total, wb * ib / total, wc * ic / total
                            u = pa * corner_uv[f, 0, 0] + pb * corner_uv[f, 1, 0] + pc * corner_uv[f, 2, 0]
                            v = pa * corner_uv[f, 0, 1] + pb * corner_uv[f, 1, 1] + pc * corner_uv[f, 2, 1]
                            s = surface[f]
                            keep = _alpha(alpha, offsets[s], widths[s], heights[s], u, v) >= 127.5
                        if keep:
                            nearest[y, x] = near
                            seen[y, x] = f
                wa += ax_step * UNIT
                wb += bx_step * UNIT
                wc += cx_step * UNIT
            wa_row += ay_step * UNIT
            wb_row += by_step * UNIT
            wc_row += cy_step * UNIT


def rasterise_torch(points: Tensor, mesh: Mesh, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The same for all frames at once on any device; see `rasterise`."""
    frames, device = len(points), points.device
    height, width = size
    placed = snap(points)
    best = torch.zeros(frames * height * width, dtype=torch.int64, device=device)
    number = torch.nonzero(mesh.drawn)[:, 0]
    corners = placed[:, mesh.triangles[number]]  # (T, F', 3, 3)
    a, b, c = corners.unbind(2)
    area = (c[..., 0] - a[..., 0]) * (b[..., 1] - a[..., 1]) - (b[..., 0] - a[..., 0]) * (
        c[..., 1] - a[..., 1]
    )
    low = (corners[..., :2].amin(2) / SNAP).ceil().clamp(min=0)
    limit = torch.tensor([width - 1.0, height - 1.0], dtype=torch.float64, device=device)
    high = torch.minimum((corners[..., :2].amax(2) / SNAP).floor(), limit)
    extent = (high - low + 1).clamp(min=0)
    keep = (area != 0) & ((area > 0) | mesh.two_sided[number]) & (corners[..., 2] > 0).all(-1)
    keep &= extent.prod(-1) > 0
    frame, place = torch.nonzero(keep, as_tuple=True)
    corners, low, across = corners[keep], low[keep].long(), extent[keep][:, 0].long()
    pixels = extent[keep].prod(-1).long()
    chosen = number[place]
    ends = pixels.cumsum(0)
    start = 0
    while start < len(pixels):
        done = int(ends[start - 1]) if start else 0
        stop = int(torch.searchsorted(ends, done + PAIRS, right=True).clamp(min=start + 1))
        part = slice(start, stop)
        which = torch.repeat_interleave(torch.arange(stop - start, device=device), pixels[part])
        offset = torch.arange(len(which), device=device) - (ends[part] - pixels[part] - done)[which]
        wide = across[part][which]
        x = low[part][which, 0] + offset % wide
        y = low[part][which, 1] + torch.div(offset, wide, rounding_mode="floor")
        _keep_nearest(
            best,
            corners[part],
            chosen[part],
            which,
            x,
            y,
            (frame[part][which] * height + y) * width + x,
            mesh,
        )
        start = stop
    best = best.view(frames, height, width)
    triangle = torch.where(best > 0, (1 << 31) - 1 - (best & ((1 << 31) - 1)), -1).int()
    return triangle, (best >> 31).int().view(torch.float32)


def _keep_nearest(
    best: Tensor,
    corners: Tensor,
    chosen: Tensor,
    which: Tensor,
    x: Tensor,
    y: Tensor,
    pixel: Tensor,
    mesh: Mesh,
) -> None:
    """Tests candidate pixels of triangles and keeps the nearest in `best`.

    Args:
        best: (T * H * W,) int64, changed in place.
        corners: (K, 3, 3) snapped.
        chosen: (K,) their numbers.
        which: (P,) triangle of each candidate, among the K.
        x: (P,) column.
        y: (P,) row.
        pixel: (P,) index in `best`.
        mesh: the mesh.
    """
    right, down, area = edges(corners)
    weights, total = edge_weights(corners[which], right[which], down[which], x, y)
    # of the points on an edge only those of left edges and of level upper ones belong to the triangle
    least = torch.where((right > 0) | ((right == 0) & (down > 0)), 0.0, 1.0)
    inside = (weights >= least[which]).all(1)
    near = (total * (1 / area.abs())[which]).float()
    if mesh.cutout.any():
        tested = torch.nonzero(inside & mesh.cutout[chosen[which]])[:, 0]
        triangle = chosen[which[tested]]
        share = weights[tested] * corners[which[tested], :, 2] / total[tested, None]
        inside[tested] &= _alpha_torch(mesh, triangle, share) >= 127.5
    picked = torch.nonzero(inside)[:, 0]
    key = (near[picked].view(torch.int32).long() << 31) | ((1 << 31) - 1 - chosen[which[picked]])
    best.scatter_reduce_(0, pixel[picked], key, "amax")


def edges(corners: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How the weight of each corner grows to the right and downwards, and twice the area.

    Args:
        corners: (N, 3, 3) float64 snapped u and v, inverse depth.

    Returns:
        (N, 3), (N, 3) and (N,) float64, exact; growth is turned so that all weights are positive inside, the
        area is negative for triangles seen from behind.
    """
    u, v = corners[..., 0], corners[..., 1]
    area = (u[:, 2] - u[:, 0]) * (v[:, 1] - v[:, 0]) - (u[:, 1] - u[:, 0]) * (v[:, 2] - v[:, 0])
    turn = torch.where(area < 0, -1.0, 1.0)[:, None].double()
    right = turn * (v.roll(-2, 1) - v.roll(-1, 1))
    down = turn * (u.roll(-1, 1) - u.roll(-2, 1))
    return right, down, area


def edge_weights(corners: Tensor, right: Tensor, down: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Unnormalised barycentric weights of grid points in snapped triangles, exact.

    Args:
        corners: (N, 3, 3) float64 snapped u and v, inverse depth.
        right: (N, 3) of `edges`.
        down: (N, 3) of `edges`.
        x: (N,) columns of grid points.
        y: (N,) their rows.

    Returns:
        weights (N, 3) in the picture and their sum with the inverse depths (N,), float64.
    """
    u, v, inverse = corners.unbind(-1)
    px, py = x.double() * SNAP, y.double() * SNAP
    weights = right * (px[:, None] - u.roll(-1, 1)) + down * (py[:, None] - v.roll(-1, 1))
    weighed = weights * inverse
    return weights, weighed[:, 0] + weighed[:, 1] + weighed[:, 2]


def snap(points: Tensor) -> Tensor:
    """(..., 3) float64: u and v in whole 1/256 pixel, inverse depth (-1 if nearer than `NEAR`)."""
    depth = points[..., 2:]
    inverse = torch.where(depth > NEAR, 1 / depth, -1.0)
    return torch.cat([(points[..., :2] * SNAP).round(), inverse], -1)


def _alpha_torch(mesh: Mesh, triangle: Tensor, share: Tensor) -> Tensor:
    """(N,) float64 bilinear alpha, 0 to 255, rounded as the other kernel does."""
    atlas, surface = mesh.atlas, mesh.surface[triangle]
    uv = mesh.corner_uv[triangle].double()
    place = share[:, 0, None] * uv[:, 0] + share[:, 1, None] * uv[:, 1] + share[:, 2, None] * uv[:, 2]
    width, height, offset = atlas.width[surface], atlas.height[surface], atlas.offset[surface]
    x, y = place[:, 0] * width - 0.5, place[:, 1] * height - 0.5
    left, top = x.floor(), y.floor()
    fx, fy = x - left, y - top
    zero = torch.zeros_like(width)
    x0, x1 = left.long().clamp(zero, width - 1), (left.long() + 1).clamp(zero, width - 1)
    y0, y1 = top.long().clamp(zero, height - 1), (top.long() + 1).clamp(zero, height - 1)

    def texel(column: Tensor, row: Tensor) -> Tensor:
        return atlas.alpha[offset + row * width + column].double()

    upper = texel(x0, y0) * (1 - fx) + texel(x1, y0) * fx
    lower = texel(x0, y1) * (1 - fx) + texel(x1, y1) * fx
    return upper * (1 - fy) + lower * fy
