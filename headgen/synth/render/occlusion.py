"""Cheap ambient occlusion: how much light reaches the mouth, the eyes under their lids, and creases.

Legend: T frames, W vertices, M vertices of a part, K points of a contour, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from headgen.faces.mesh import EYE_LEFT, EYE_RIGHT, LIPS_INNER
from headgen.synth.heads.model import Topology

MOUTH_ALBEDO = 0.45  # of the lining: light that enters is thrown about
CLOSED_MOUTH = 0.5  # of the mouth's parts where there are no lips to go by
LID_SHADOW, LID_REACH = 0.62, 0.5  # darkening of the eye at the upper lid, and cm over which it fades
LOWER_SHADOW, LOWER_REACH = 0.3, 0.2
CREASE_RADII = (0.7, 2.5)  # cm
CREASE_STRENGTH = 2.6

_LIDS = tuple(np.array(part) for c in (EYE_RIGHT, EYE_LEFT) for part in (c[:9], (*c[8:], c[0])))


@dataclass(frozen=True)
class Face:
    """Where the parts are that keep light away, in each frame.

    Attributes:
        eyes: (T, 2, 3) float32 centres of the eyeballs.
        lips: (T, K, 3) float32 inner contour of the lips in order, None if not known.
        lids: (3, T, 4, 17) float32 points along the lids, upper and lower by turns, None if not known.
    """

    eyes: Tensor
    lips: Tensor | None
    lids: Tensor | None

    @classmethod
    def of(cls, points: Tensor, eyes: Tensor, topology: Topology | None) -> Face:
        """From vertices (T, W, 3) and the eyes' centres (T, 2, 3)."""
        if topology is None:
            return cls(eyes, None, None)
        landmarks = torch.as_tensor(topology.landmarks_478.astype(np.int64), device=points.device)
        lids = torch.stack([points[:, landmarks[line]] for line in map(torch.as_tensor, _LIDS)], 1)
        between = (lids[:, :, 1:] + lids[:, :, :-1]) / 2
        return cls(eyes, points[:, landmarks[list(LIPS_INNER)]], torch.cat([lids, between], 2).movedim(-1, 0))

    def in_mouth(self, frame: Tensor, points: Tensor, normals: Tensor) -> Tensor:
        """Share of the light outside that reaches points in the mouth.

        The opening between the lips is taken as a disc of the same area (form factor of a disc seen from a
        point); light thrown about inside is added as by an integrating sphere.

        Args:
            frame: (N,) int64.
            points: (N, 3) world.
            normals: (N, 3).

        Returns:
            (N,) from 0 to 1.
        """
        if self.lips is None:
            return torch.full_like(points[:, 0], CLOSED_MOUTH)
        centre = self.lips.mean(1)
        spokes = self.lips - centre[:, None]
        across = torch.cross(spokes, spokes.roll(-1, 1), dim=-1).sum(1) / 2
        area = across.norm(dim=-1).clamp(min=1e-4)  # cm2
        outwards = across / area[:, None]
        outwards = torch.where(outwards[:, 2:] < 0, -outwards, outwards)
        towards, area = centre[frame] - points, area[frame]
        distance = towards.norm(dim=1).clamp(min=1e-4)
        facing = 0.25 + 0.75 * ((towards * normals).sum(1) / distance).clamp(min=0)
        direct = area / (area + 1.8 * distance**2) * facing
        inside = (direct / (1 - MOUTH_ALBEDO * (1 - direct))).clamp(0, 1)
        # what stands before the lips sees the room
        depth = (towards * outwards[frame]).sum(1)
        return torch.lerp(inside, torch.ones_like(inside), ((0.15 - depth) / 0.3).clamp(0, 1))

    def under_lids(self, frame: Tensor, points: Tensor) -> Tensor:
        """(N,) share of the light outside that reaches points (N, 3) of the eyes: less near the lids."""
        out = torch.ones_like(points[:, 0])
        if self.lids is None:
            return out
        squares = torch.zeros(len(points), *self.lids.shape[2:], device=points.device)
        for own, theirs in zip(points.t(), self.lids, strict=True):
            squares += (own[:, None, None] - theirs[frame]) ** 2
        apart = squares.amin(-1).sqrt()  # (N, 4)
        for k, (dark, reach) in enumerate(((LID_SHADOW, LID_REACH), (LOWER_SHADOW, LOWER_REACH)) * 2):
            near = (1 - apart[:, k] / reach).clamp(0, 1)
            out = out * (1 - dark * near * near * (3 - 2 * near))
        return out


def creases(depth: Tensor, pixels_per_cm: float) -> Tensor:
    """(T, H, W) light in creases from 0 to 1, from a depth map (T, H, W) in cm, infinite on the background.

    Our design: for opposite neighbours at two distances, how far their mean lies in front of the pixel.
    Unlike the usual comparison with single neighbours it is zero on slanted planes and on silhouettes.
    """
    height, width = depth.shape[1:]
    concave = torch.zeros_like(depth)
    depth = depth.clamp(max=1e4)
    for radius in CREASE_RADII:
        step = max(1, round(radius * pixels_per_cm))
        padded = F.pad(depth, (step,) * 4, mode="replicate")
        reach = step / pixels_per_cm
        slant = max(1, round(0.7 * step))
        total = torch.zeros_like(depth)
        for dx, dy in ((step, 0), (0, step), (slant, slant), (slant, -slant)):
            one = padded[:, step + dy : step + dy + height, step + dx : step + dx + width]
            two = padded[:, step - dy : step - dy + height, step - dx : step - dx + width]
            # what is much nearer shades no more than what is a little nearer
            one = torch.sub(depth, one).clamp_(-2 * reach, reach)
            total += one.add_(torch.sub(depth, two).clamp_(-2 * reach, reach)).clamp_(min=0)
        concave += total.mul_(1 / (8 * len(CREASE_RADII) * reach))
    return 1 / (1 + CREASE_STRENGTH * concave)
