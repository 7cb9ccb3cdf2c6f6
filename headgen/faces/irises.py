"""Where the eyes of a photograph look: irises are moved between the lids before anything else is drawn.

Our design: a network that moves a whole face learns little about irises, and the face mesh, which holds an
eye by sixteen points of its lids, leaves them where they are. Here each eye becomes two layers, the white
without an iris and the iris as a whole disc; what the lids hide of it is completed from its other half. The
photograph is changed by the difference of two such eyes, the new and the old, so that lashes, shadows and
glasses stay, and a shift of nothing changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from headgen.faces import mesh

__all__ = ["EYEBALL", "Irises", "looking"]

EYEBALL = 0.133
"""Distance of the iris from the centre of the eyeball, in outer-eye distances: 12 of 90 mm."""
_SHUT = 0.1  # lid gap over eye width under which there is no iris to move
_EDGE = (0.92, 1.14)  # radii of the iris between which it fades into the white
_WHITE = 1.2  # radii from which on the white is free of the iris
_PAD = 0.2  # of an eye's width, around the eye
_RINGS = 12  # steps of radius in which an iris' mean colour is known
_SQUEEZE = (0.3, 1.7)  # limits of what lids that close do to the iris' height
_STEP = 0.05  # of that; in finer steps the picture would change with every breath


@dataclass(frozen=True)
class _Eye:
    """One open eye of the photograph, in pixels of its patch."""

    contour: tuple[int, ...]
    iris: tuple[int, ...]
    corner: tuple[int, int]
    """x and y of the patch in the photograph."""
    centre: NDArray[np.float64]
    """(2,) of the iris."""
    radius: float
    along: NDArray[np.float64]
    """(2,) unit vector from the eye's left corner in the picture to its right one."""
    inside: NDArray[np.float32]
    """(h, w, 1) 1 between the lids."""
    white: NDArray[np.float32]
    """(h, w, 3) the eyeball without an iris."""
    disc: NDArray[np.float32]
    """(h, w, 3) the iris without lids."""
    places: NDArray[np.float32]
    """(h, w, 2) pixel centres."""

    @cached_property
    def _still(self) -> NDArray[np.float32]:
        """The eyeball (h, w, 3) as it is in the photograph."""
        return self._drawn(np.zeros(2), (1.0, 1.0), np.s_[:, :])

    def change(
        self, shift: NDArray, squeeze: tuple[float, float]
    ) -> tuple[tuple[int, int], NDArray[np.float32]]:
        """What moving the iris adds to the photograph: x and y of the part that changes, and (h, w, 3).

        Args:
            shift: (2,) x and y in pixels.
            squeeze: what lids will do to heights above and below the iris' centre; the iris is drawn as much
                higher, and is round again afterwards.
        """
        reach = self.radius * _EDGE[1] / min(1.0, *squeeze) + 1
        both = np.stack([self.centre, self.centre + shift])
        most = self.places.shape[1::-1]
        x0, y0 = np.clip(np.floor(both.min(0) - reach).astype(int), 0, most)
        x1, y1 = np.clip(np.ceil(both.max(0) + reach).astype(int) + 1, 0, most)
        part = np.s_[y0:y1, x0:x1]
        change = self.inside[part] * (self._drawn(shift, squeeze, part) - self._still[part])
        return (self.corner[0] + int(x0), self.corner[1] + int(y0)), change

    def _drawn(
        self, shift: NDArray, squeeze: tuple[float, float], part: tuple[slice, slice]
    ) -> NDArray[np.float32]:
        """A part of the eyeball, its iris moved; see `change`."""
        off = self.places[part] - (self.centre + shift).astype(np.float32)
        down = np.array([-self.along[1], self.along[0]], np.float32)
        across, height = off @ self.along.astype(np.float32), off @ down
        height = height * np.where(height < 0, squeeze[0], squeeze[1]).astype(np.float32)
        off = across[..., None] * self.along.astype(np.float32) + height[..., None] * down
        alpha = _fade(np.hypot(across, height) / self.radius)
        disc = cv2.remap(
            self.disc, off + self.centre.astype(np.float32), None, cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        white = self.white[part]
        return white + alpha[..., None] * (disc - white)


class Irises:
    """Moves the irises of one photograph.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (478, 3) of the face, in its pixels.
    """

    def __init__(self, image: NDArray[np.uint8], landmarks: NDArray) -> None:
        self.image, self.landmarks = image, np.asarray(landmarks, np.float64)
        self._eyes = {k: eye for k, parts in enumerate(mesh.EYES) if (eye := self._eye(*parts)) is not None}

    @property
    def which(self) -> tuple[int, ...]:
        """Places in `mesh.EYES` of the eyes that are open and lie inside the picture."""
        return tuple(self._eyes)

    def draw(self, image: NDArray[np.uint8], shifts: NDArray, target: NDArray | None = None) -> None:
        """Moves the irises in a copy of the photograph, in place.

        Args:
            image: (H, W, 3) uint8.
            shifts: see `changes`.
            target: see `changes`.
        """
        for (x, y), change in self.changes(shifts, target).values():
            part = image[y : y + len(change), x : x + change.shape[1]]
            part[:] = np.clip(part + change + 0.5, 0, 255).astype(np.uint8)

    def changes(
        self, shifts: NDArray, target: NDArray | None = None
    ) -> dict[int, tuple[tuple[int, int], NDArray[np.float32]]]:
        """What moving the irises adds to the photograph.

        Args:
            shifts: (2, 2) x and y in pixels for each of `mesh.EYES`.
            target: (478, 3) landmarks that the picture will be warped to, in pixels of any size. Irises are
                drawn so that they are round after that.

        Returns:
            By place in `mesh.EYES`, for eyes that change: x and y of a part of the photograph, and what is
            added to it (h, w, 3), 0 along its border.
        """
        landmarks = self.landmarks.copy()
        for k, eye in self._eyes.items():
            landmarks[list(eye.iris), :2] += shifts[k]
        out = {}
        for k, eye in self._eyes.items():
            squeeze = (1.0, 1.0) if target is None else _squeeze(landmarks, target, eye)
            if squeeze != (1.0, 1.0) or shifts[k].any():
                out[k] = eye.change(shifts[k], squeeze)
        return out

    def _eye(
        self, contour: tuple[int, ...], iris: tuple[int, ...], pairs: tuple[tuple[int, int], ...]
    ) -> _Eye | None:
        """The layers of an eye; None if it is shut or reaches beyond the picture."""
        outline = self.landmarks[list(contour), :2]
        width = float(np.linalg.norm(outline[0] - outline[8]))
        if mesh.opening(self.landmarks[:, :2], pairs) < _SHUT * width:
            return None
        x0, y0 = np.floor(outline.min(0) - _PAD * width).astype(int)
        x1, y1 = np.ceil(outline.max(0) + _PAD * width).astype(int) + 1
        if min(x0, y0) < 0 or x1 > self.image.shape[1] or y1 > self.image.shape[0]:
            return None
        pixels = self.image[y0:y1, x0:x1].astype(np.float32)
        rows, columns = np.mgrid[: y1 - y0, : x1 - x0].astype(np.float32)
        places = np.stack([columns, rows], -1)
        centre = self.landmarks[iris[0], :2] - [x0, y0]
        radius = float(np.linalg.norm(self.landmarks[list(iris[1:]), :2] - [x0, y0] - centre, axis=1).mean())
        inside = np.zeros(pixels.shape[:2], np.uint8)
        cv2.fillPoly(inside, [np.round((outline - [x0, y0]) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        soft = cv2.GaussianBlur(inside, (0, 0), max(0.02 * width, 0.4)).astype(np.float32) / 255
        # Lids and lashes are no part of what is seen of the eyeball.
        seen = np.clip(2 * cv2.GaussianBlur(soft, (0, 0), max(0.03 * width, 0.5)) - 1, 0, 1)
        apart = np.hypot(*np.moveaxis(places - centre.astype(np.float32), -1, 0)) / radius
        along = outline[8] - outline[0]
        along = along * np.sign(along[0]) / np.linalg.norm(along)
        white = _white(pixels, seen * (apart > _WHITE), soft, 0.12 * width)
        disc = _disc(pixels, seen, centre, apart, places)
        return _Eye(
            contour, iris, (int(x0), int(y0)), centre, radius, along, soft[..., None], white, disc, places
        )


def looking(landmarks: NDArray, right: float, up: float) -> NDArray[np.float64]:
    """Landmarks of a face that looks elsewhere.

    Args:
        landmarks: (478, 3) in pixels.
        right: degrees that both eyes turn towards the right side of the picture.
        up: degrees that they turn up.

    Returns:
        (478, 3), of which the irises have moved.
    """
    out = np.array(landmarks, np.float64)
    pose = mesh.fit_pose(out)
    unit = pose.scale * float(np.linalg.norm(pose.frontal[33] - pose.frontal[263]))
    turn = EYEBALL * unit * np.sin(np.deg2rad([right, up]))
    # The eyes look in the head's own frame, whatever way the head is turned.
    out[[*mesh.IRIS_RIGHT, *mesh.IRIS_LEFT]] += np.array([*turn, 0.0]) @ pose.rotation.T * [1, -1, -1]
    return out


def _fade(apart: NDArray) -> NDArray[np.float32]:
    """1 inside of an iris, 0 outside, for distances in radii."""
    t = np.clip((_EDGE[1] - apart) / (_EDGE[1] - _EDGE[0]), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def _white(pixels: NDArray[np.float32], known: NDArray, inside: NDArray, reach: float) -> NDArray[np.float32]:
    """The eye's white (h, w, 3), as it is where `known` (h, w) says 1, continued smoothly elsewhere."""
    weight = known.astype(np.float32)[..., None]
    if weight.sum() < 4:  # the iris fills the eye: its white is as light as the lightest that is seen
        luma = pixels.mean(-1)
        light = luma >= np.percentile(luma[inside > 0.5], 90) if (inside > 0.5).any() else luma > -1
        weight = (light * (inside > 0.5)).astype(np.float32)[..., None] + 1e-6
    mean = (pixels * weight).sum((0, 1)) / weight.sum()
    # Along the eye, light changes less than across: lids throw shadows.
    sigma = (2.5 * reach, reach)
    total = cv2.GaussianBlur(weight, (0, 0), sigma[0], sigmaY=sigma[1])[..., None]
    mixed = cv2.GaussianBlur(pixels * weight, (0, 0), sigma[0], sigmaY=sigma[1])
    far = 1e-3
    smooth = (mixed + far * mean) / (total + far)
    return (smooth + known[..., None] * (pixels - smooth)).astype(np.float32)


def _disc(
    pixels: NDArray[np.float32], seen: NDArray, centre: NDArray, apart: NDArray, places: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The iris (h, w, 3) with what the lids hide: from its lower half, or else of its radius' mean colour."""
    rings = np.linspace(0, _EDGE[1], _RINGS + 1)
    which = np.clip(np.digitize(apart, rings) - 1, 0, _RINGS - 1)
    weight = (seen * (apart < _EDGE[1])).astype(np.float32)
    total = np.bincount(which.ravel(), weight.ravel(), _RINGS)
    known = total > 0.5
    if not known.any():
        return pixels
    means = np.stack(
        [np.bincount(which.ravel(), (weight * pixels[..., c]).ravel(), _RINGS) for c in range(3)], -1
    )
    middles = (rings[1:] + rings[:-1]) / 2
    means = means[known] / total[known, None]
    radial = np.stack([np.interp(apart, middles[known], means[:, c]) for c in range(3)], -1)
    mirrored = places * np.array([1, -1], np.float32) + np.array([0, 2 * centre[1]], np.float32)
    flipped = cv2.remap(pixels, mirrored, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    there = cv2.remap(
        seen.astype(np.float32), mirrored, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    hidden = radial + there[..., None] * (flipped - radial)
    return (hidden + seen[..., None] * (pixels - hidden)).astype(np.float32)


def _squeeze(source: NDArray, target: NDArray, eye: _Eye) -> tuple[float, float]:
    """By how much a warp from source to target landmarks scales heights above and below the iris' centre."""

    def heights(points: NDArray) -> NDArray[np.float64]:
        outline, centre = points[list(eye.contour), :2], points[eye.iris[0], :2]
        along = outline[8] - outline[0]
        along = along * np.sign(along[0]) / np.linalg.norm(along)
        down = np.array([-along[1], along[0]])
        lids = (outline - centre) @ down
        width = np.linalg.norm(outline[0] - outline[8])
        return np.array([-lids[3:6].mean(), lids[11:14].mean()]) / width

    before, after = np.maximum(heights(source), 0.02), np.maximum(heights(target), 0.0)
    up, down = np.clip(np.round(after / before / _STEP) * _STEP, *_SQUEEZE)
    return float(up), float(down)
