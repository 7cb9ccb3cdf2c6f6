"""The inner loops of posing: skinning, normals, and lines of skin that meet but do not cross.

Legend: M vertices before texture seams double them, V after, F triangles, K points of a line.
"""

from __future__ import annotations

import numpy as np

try:
    from numba import njit
except ImportError as error:  # pragma: no cover - depends on the installation
    from headgen.errors import MissingExtraError

    raise MissingExtraError("numba", "synth", "posing heads") from error


@njit(cache=True, nogil=True)
def skin(points, weights, transforms, out):  # type: ignore[no-untyped-def]
    """Moves points (M, 3) by the weighted mean (M, B) of transforms (B, 3, 4) into out (M, 3)."""
    bones = weights.shape[1]
    blend = np.empty((3, 4), np.float32)
    for v in range(points.shape[0]):
        for i in range(3):
            for j in range(4):
                blend[i, j] = 0.0
        for b in range(bones):
            w = weights[v, b]
            if w != 0.0:
                for i in range(3):
                    for j in range(4):
                        blend[i, j] += w * transforms[b, i, j]
        x, y, z = points[v, 0], points[v, 1], points[v, 2]
        for i in range(3):
            out[v, i] = blend[i, 0] * x + blend[i, 1] * y + blend[i, 2] * z + blend[i, 3]


@njit(cache=True, nogil=True)
def vertex_normals(points, triangles, out):  # type: ignore[no-untyped-def]
    """Unit normals (M, 3) of a mesh, each the mean of its triangles' weighted by their area, into out."""
    out[:] = 0.0
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        wx, wy, wz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        for k in range(3):
            v = triangles[f, k]
            out[v, 0] += nx
            out[v, 1] += ny
            out[v, 2] += nz
    for v in range(out.shape[0]):
        x, y, z = out[v, 0], out[v, 1], out[v, 2]
        length = np.sqrt(x * x + y * y + z * z)
        if length > 1e-12:
            out[v, 0], out[v, 1], out[v, 2] = x / length, y / length, z / length
        else:
            out[v, 0], out[v, 1], out[v, 2] = 0.0, 0.0, 1.0


@njit(cache=True, nogil=True)
def double_seams(vertices, normals, origin, out_vertices, out_normals):  # type: ignore[no-untyped-def]
    """Copies what belongs to M vertices to the V vertices that they became at texture seams."""
    for v in range(origin.shape[0]):
        m = origin[v]
        for k in range(3):
            out_vertices[v, k] = vertices[m, k]
            out_normals[v, k] = normals[m, k]


@njit(cache=True, nogil=True)
def along_line(line, places):  # type: ignore[no-untyped-def]
    """(K, 3) a line (U, 3), from left to right, at places (K,) of x; points that fall back are left out."""
    out = np.empty((places.shape[0], 3), np.float32)
    before = 0
    last = line.shape[0] - 1
    for k in range(places.shape[0]):
        x = places[k]
        after = before + 1
        while after < last and (line[after, 0] <= x or line[after, 0] <= line[before, 0]):
            if line[after, 0] > line[before, 0]:
                before = after
            after += 1
        width = line[after, 0] - line[before, 0]
        share = min(max((x - line[before, 0]) / width, 0.0), 1.0) if width > 1e-6 else 1.0
        out[k, 0] = x
        for c in range(1, 3):
            out[k, c] = (1 - share) * line[before, c] + share * line[after, c]
    return out


@njit(cache=True, nogil=True)
def follow_line(points, move, vertices, weights, left, right):  # type: ignore[no-untyped-def]
    """Moves vertices by what the line beside them is moved by.

    Args:
        points: (M, 3), changed in place.
        move: (K, 3) of the line at places even along x.
        vertices: (N,) that follow.
        weights: (N,) how much each follows.
        left: x of the line's first place.
        right: x of its last place.
    """
    last = move.shape[0] - 1
    for n in range(vertices.shape[0]):
        v = vertices[n]
        place = min(max((points[v, 0] - left) / (right - left), 0.0), 1.0) * last
        i = min(int(place), last - 1)
        s = place - i
        for k in range(3):
            points[v, k] += weights[n] * ((1 - s) * move[i, k] + s * move[i + 1, k])


@njit(cache=True, nogil=True)
def keep_outside_eye(points, vertices, clearance, centre, scale, axis, limbus, middle, cornea):  # type: ignore[no-untyped-def]
    """Pushes vertices out of an eyeball along its radius, at least `clearance` (N,) cm off its surface.

    Args:
        points: (M, 3), changed in place.
        vertices: (N,) to look after.
        clearance: (N,) cm.
        centre: (3,) of the eyeball.
        scale: its radius, cm.
        axis: (3,) unit vector of where it looks.
        limbus: cosine of the cornea's half angle.
        middle: of the cornea's sphere along the axis, in radii.
        cornea: its radius, in radii.

    Returns:
        (N, 3) how far each was moved.
    """
    moved = np.zeros((vertices.shape[0], 3), np.float32)
    for n in range(vertices.shape[0]):
        v = vertices[n]
        x, y, z = points[v, 0] - centre[0], points[v, 1] - centre[1], points[v, 2] - centre[2]
        distance = np.sqrt(x * x + y * y + z * z)
        cosine = (x * axis[0] + y * axis[1] + z * axis[2]) / distance
        surface = 1.0
        if cosine > limbus:
            surface = middle * cosine + np.sqrt(
                max(cornea * cornea - middle * middle * (1 - cosine * cosine), 0.0)
            )
        needed = surface * scale + clearance[n]
        if needed > distance:
            grow = needed / distance - 1
            moved[n, 0], moved[n, 1], moved[n, 2] = grow * x, grow * y, grow * z
            for k in range(3):
                points[v, k] += moved[n, k]
    return moved
