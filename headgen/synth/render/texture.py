"""Textures of several surfaces in one flat store, with coarser levels against aliasing.

Legend: N samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from headgen.synth.render.assembly import Assembly
from headgen.synth.render.scene import Camera


class Atlas:
    """All textures of a picture.

    Our design: each surface has one level for the whole picture, chosen from its size in the picture, instead
    of one per sample: a portrait's distances hardly differ within a surface, and no derivatives are needed.

    Attributes:
        alpha: (P,) uint8 of all texels, surface after surface.
        offset: (S,) int64 first texel of each surface.
        width: (S,) int64.
        height: (S,) int64.
        cutout: (S,) bool, textures with texels that are not drawn.
    """

    def __init__(self, textures: Sequence[np.ndarray], levels: Sequence[int], device: torch.device) -> None:
        """Stores textures (H, W, 4) uint8 sRGB with alpha, each halved as many times as `levels` says."""
        chosen = [_halved(texture, level) for texture, level in zip(textures, levels, strict=True)]
        flat = np.concatenate([texture.reshape(-1, 4) for texture in chosen])
        planes = np.concatenate([linear_light(flat[:, :3]).T, flat[None, :, 3] / np.float32(255)])
        self._planes = [torch.as_tensor(plane, device=device) for plane in planes]
        self.alpha = torch.as_tensor(flat[:, 3].copy(), device=device)
        sizes = torch.tensor([texture.shape[:2] for texture in chosen], dtype=torch.int64, device=device)
        self.height, self.width = sizes.unbind(1)
        self.offset = sizes.prod(1).cumsum(0) - sizes.prod(1)
        self.cutout = torch.tensor([bool((t[..., 3] < 128).any()) for t in chosen], device=device)
        self._table = torch.stack([self.offset, self.width, self.height]).int()

    def sample(self, surface: Tensor, uv: Tensor, channels: int = 3) -> Tensor:
        """Bilinear samples, the edge texels repeated outside.

        Args:
            surface: (N,) which texture.
            uv: (2, N) float32, v down.
            channels: 3, or 4 to have alpha too.

        Returns:
            (3 or 4, N) float32 linear RGB and alpha, from 0 to 1.
        """
        offset, width, height = self._table.index_select(1, surface)
        x, y = uv[0] * width - 0.5, uv[1] * height - 0.5
        left, top = x.floor(), y.floor()
        fx, fy = x - left, y - top
        columns = [torch.minimum(c.int().clamp_(min=0), width - 1) for c in (left, left + 1)]
        rows = [offset + torch.minimum(r.int().clamp_(min=0), height - 1) * width for r in (top, top + 1)]
        corners = [row + column for row in rows for column in columns]
        weights = [(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy]
        out = torch.zeros(channels, uv.shape[1], device=uv.device)
        for corner, weight in zip(corners, weights, strict=True):
            for value, plane in zip(out, self._planes[:channels], strict=True):
                value.addcmul_(plane.index_select(0, corner), weight)
        return out


def linear_light(codes: np.ndarray) -> np.ndarray:
    """Linear RGB (float32, 0 to 1) of sRGB codes from 0 to 255."""
    x = np.asarray(codes, np.float32) / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4).astype(np.float32)


def levels(assembly: Assembly, points: np.ndarray, camera: Camera) -> list[int]:
    """How many times each surface's texture is to be halved, so that a pixel holds one to two texels.

    Args:
        assembly: the surfaces.
        points: (W, 3) their vertices in some frame.
        camera: the camera; the head's distance from it counts for all surfaces.
    """
    out = []
    pixels_per_cm = camera.focal / camera.eye[2]
    for number, surface in enumerate(assembly.surfaces):
        chosen = assembly.surface == number
        corners, uv = points[assembly.triangles[chosen]], assembly.corner_uv[chosen]
        texels = (uv[:, 1:] - uv[:, :1]) * surface.texture.shape[1::-1]
        edges = corners[:, 1:] - corners[:, :1]
        size = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
        place = np.abs(texels[:, 0, 0] * texels[:, 1, 1] - texels[:, 0, 1] * texels[:, 1, 0])
        known = size > 1e-9
        per_cm = np.sqrt(np.median(place[known] / size[known])) if known.any() else 0.0
        out.append(int(np.floor(np.log2(max(per_cm / pixels_per_cm, 1.0)))))
    return out


def _halved(texture: np.ndarray, times: int) -> np.ndarray:
    """A texture at a coarser level; what is cut out of it keeps its share of the area.

    Without that, thin hairs would vanish from the coarser levels of an alpha-tested texture.
    """
    share = (texture[..., 3] >= 128).mean()
    for _ in range(times):
        size = (max(1, texture.shape[1] // 2), max(1, texture.shape[0] // 2))
        colour = texture.astype(np.float32)
        alpha = colour[..., 3:] + 1e-3
        summed = cv2.resize(np.dstack([colour[..., :3] * alpha, alpha]), size, interpolation=cv2.INTER_AREA)
        colour = np.dstack([summed[..., :3] / summed[..., 3:], summed[..., 3] - 1e-3])
        if 0 < share < 1:
            edge = max(float(np.quantile(colour[..., 3], 1 - share)), 1.0)
            colour[..., 3] *= 128 / edge
        texture = np.clip(np.round(colour), 0, 255).astype(np.uint8)
    return texture
