"""Detail transfer: a network's small or soft frame gets the source photograph's fine detail.

The network's frame gives the low frequencies. The high ones come from the source, carried to the generated
face by the mesh of landmarks tracked in both, then set right to a fraction of a pixel by optical flow between
the carried source and the network's frame. Detail is only added where the two agree once they have met;
elsewhere (mouth interior, skin that the source does not show, eyes that open, hair that fell otherwise) the
network's own pixels stay. Around the head, where the source agrees as it stands, its detail is taken in
place.
"""

from __future__ import annotations

import cv2
import numpy as np

from headgen.faces.crop import face_scale
from headgen.faces.mesh import EYES, LIPS_INNER, barycentric, draw_triangles, facing, triangles

CUTOFF = 1.5  # pixels of the network's frame: what is finer is taken from the source
_GRID = 128  # cells a side on which the mesh is drawn
_REACH = 0.9  # outer-eye distances beyond the mesh over which its motion is followed
_AGREEMENT = 6.0  # levels of difference at which half of the detail is left out


class DetailTransfer:
    """Adds the detail of one source picture to any number of generated frames.

    Example:
        detail = DetailTransfer(crop.take(photograph, 768), crop.to_crop(landmarks, 768))
        sharp = detail.apply(frame, tracker.track(frame).landmarks)    # (768, 768, 3)
    """

    def __init__(
        self, source_image: np.ndarray, source_landmarks: np.ndarray, cutoff: float = CUTOFF
    ) -> None:
        """Prepares the source.

        Args:
            source_image: (S, S, 3) uint8, the source crop at the size wanted of the results.
            source_landmarks: (478, 3) in its pixels.
            cutoff: standard deviation, in pixels of the network's frame, of the blur that parts low from high
                frequencies.
        """
        if source_image.ndim != 3 or source_image.shape[0] != source_image.shape[1]:
            raise ValueError(f"expected a square source picture (S, S, 3), got {source_image.shape}")
        self.size, self.cutoff = source_image.shape[0], cutoff
        self._image = source_image
        self._landmarks = np.asarray(source_landmarks, np.float64)
        self._faces = np.concatenate([triangles(), *(_eye_fan(eye, iris[0]) for eye, iris, _ in EYES)])
        self._shown = _facing(self._landmarks)
        self._network_size = 0
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def apply(self, network_frame: np.ndarray, generated_landmarks: np.ndarray) -> np.ndarray:
        """Sharpens one frame.

        Args:
            network_frame: (n, n, 3) uint8, or float in [0, 1]: the generated crop.
            generated_landmarks: (478, 3) tracked in it, in its pixels.

        Returns:
            (S, S, 3) uint8.
        """
        frame = network_frame
        if frame.dtype != np.uint8:
            frame = cv2.convertScaleAbs(np.clip(frame, 0, 1), alpha=255)
        n = frame.shape[0]
        self._prepare(n)
        place, trust, covered = self._carry(np.asarray(generated_landmarks, np.float64), n)
        carried = cv2.remap(self._soft, *_xy(place), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        nudge = self._meet(frame, carried)
        place = cv2.remap(place, *_xy(_pixels(n) + nudge), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        carried = cv2.remap(self._soft, *_xy(place), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        low = cv2.GaussianBlur(frame.astype(np.float32), (0, 0), self.cutoff)
        trust = trust * _agreement(low, carried)
        in_place = (1 - trust) * (1 - covered) * _agreement(low, self._soft)

        size = (self.size, self.size)
        large = cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
        x, y = _xy((place + 0.5) * (self.size / n) - 0.5)
        x, y = (cv2.resize(m, size, interpolation=cv2.INTER_LINEAR) for m in (x, y))
        detail = cv2.remap(self._high, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        own = large - cv2.resize(low, size, interpolation=cv2.INTER_CUBIC)
        for weight, high in ((trust, detail), (in_place, self._high)):
            weight = cv2.resize(weight, size, interpolation=cv2.INTER_LINEAR)[..., None]
            large += weight * (high - own)
        return np.clip(np.rint(large), 0, 255).astype(np.uint8)

    def _prepare(self, n: int) -> None:
        """Whatever of the source depends on the network's resolution."""
        if n == self._network_size:
            return
        self._network_size = n
        image = self._image.astype(np.float32)
        self._high = image - cv2.GaussianBlur(image, (0, 0), self.cutoff * self.size / n)
        how = cv2.INTER_AREA if n < self.size else cv2.INTER_CUBIC
        self._soft = cv2.GaussianBlur(cv2.resize(self._image, (n, n), interpolation=how), (0, 0), self.cutoff)

    def _carry(self, landmarks: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The mesh's warp.

        Returns:
            place: (n, n, 2) float32, where in the small source each pixel of the frame comes from;
            trust: (n, n) float32 in [0, 1], how far the mesh can vouch for it;
            covered: (n, n) float32 in [0, 1], 1 inside the face.
        """
        source = (self._landmarks[:, :2] + 0.5) * (n / self.size) - 0.5
        to_grid = _GRID / n
        points = (landmarks[:, :2] + 0.5) * to_grid - 0.5
        depth = landmarks[self._faces, 2].mean(1)
        order = self._faces[np.argsort(-depth)]  # the nearest last
        which = draw_triangles(points, order, _GRID)
        weights = barycentric(points, order, which)
        inside = which >= 0
        corners = order[which[inside]]
        # the head as a whole first: hair and neck follow that; then what the face does besides
        whole = _similarity(landmarks[:, :2], source)
        shift = np.zeros((_GRID, _GRID, 2), np.float32)
        apart = source - (landmarks[:, :2] @ whole[:, :2].T + whole[:, 2])
        shift[inside] = np.einsum("pk,pkd->pd", weights, apart[corners])
        vouched = np.minimum(self._shown, _facing(landmarks))
        for eye, iris, lids in EYES:
            vouched[[*eye, iris[0]]] *= _opening_ratio(self._landmarks, landmarks, lids)
        trust = np.zeros((_GRID, _GRID), np.float32)
        trust[inside] = np.einsum("pk,pk->p", weights, vouched[corners])

        mask = inside.astype(np.float32)
        shift = _fill(shift, mask)
        outer = np.zeros((_GRID, _GRID), np.uint8)
        cv2.fillConvexPoly(outer, cv2.convexHull(np.round(points[:468]).astype(np.int32)), 1)
        far = cv2.distanceTransform(1 - outer, cv2.DIST_L2, 3) / (face_scale(landmarks) * to_grid)
        near = np.clip(1 - far / _REACH, 0, 1)
        shift *= near[..., None]
        around = np.clip(3 * near, 0, 1) * _fill(trust[..., None], mask)[..., 0]
        trust = np.where(outer > 0, trust, around).astype(np.float32)
        mouth = np.round(points[list(LIPS_INNER)] * 16).astype(np.int32)
        cv2.fillPoly(trust, [mouth], 0.0, shift=4)
        trust = cv2.GaussianBlur(trust, (0, 0), 1.0)
        trust, covered = (cv2.resize(m, (n, n)) for m in (trust, cv2.blur(outer.astype(np.float32), (5, 5))))
        place = _pixels(n) @ whole[:, :2].T.astype(np.float32) + whole[:, 2].astype(np.float32)
        place += cv2.resize(shift, (n, n), interpolation=cv2.INTER_LINEAR)
        return place, trust, covered

    def _meet(self, frame: np.ndarray, carried: np.ndarray) -> np.ndarray:
        """(n, n, 2) float32: how far beside a pixel of the frame the carried source shows the same."""
        grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (frame, carried)]
        flow = self._flow.calc(grey[0], grey[1], None)
        limit = 0.03 * frame.shape[0]  # the mesh is never further off
        length = np.linalg.norm(flow, axis=-1, keepdims=True)
        flow *= np.minimum(1, limit / np.maximum(length, 1e-6))
        return cv2.GaussianBlur(flow, (0, 0), 1.5)


def _similarity(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(2, 3) turn, scale and shift that carries points (N, 2) onto targets by least squares."""
    a, b = points - points.mean(0), targets - targets.mean(0)
    along, across = (a * b).sum(), (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()
    linear = np.array([[along, -across], [across, along]]) / (a**2).sum()
    return np.c_[linear, targets.mean(0) - linear @ points.mean(0)]


def _eye_fan(eye: tuple[int, ...], iris: int) -> np.ndarray:
    """Triangles (16, 3) from an eye's contour to the middle of its iris."""
    return np.array([(a, b, iris) for a, b in zip(eye, (*eye[1:], eye[0]), strict=True)], np.int32)


def _opening_ratio(source: np.ndarray, generated: np.ndarray, lids: tuple[tuple[int, int], ...]) -> float:
    """1 while the generated eye is no wider open than the source's, falling to 0 as it opens further."""

    def opening(landmarks: np.ndarray) -> float:
        return float(np.mean([np.linalg.norm(landmarks[a] - landmarks[b]) for a, b in lids])) / face_scale(
            landmarks
        )

    ratio = opening(source) / max(opening(generated), 1e-6)
    return float(np.clip((ratio - 0.4) / 0.4, 0, 1))


def _facing(landmarks: np.ndarray) -> np.ndarray:
    """(478,) in [0, 1]: 1 where the skin faces the camera, 0 where it turns away from it."""
    cosine = facing(landmarks)
    if np.median(cosine[:468]) < 0:
        cosine = -cosine
    cosine[468:] = 1  # irises have no triangles of their own
    return np.clip((cosine - 0.1) / 0.3, 0, 1)


def _fill(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Continues (g, g, k) values smoothly from where the mask is 1 to where it is 0."""
    out = values * mask[..., None]
    known = mask.copy()
    stack = [(out, known)]
    while out.shape[0] > 2:
        half = (out.shape[1] // 2, out.shape[0] // 2)
        known_half = cv2.resize(known, half, interpolation=cv2.INTER_AREA)
        out_half = cv2.resize(out, half, interpolation=cv2.INTER_AREA).reshape(half[1], half[0], -1)
        scale = np.where(known_half > 0, 1 / np.maximum(known_half, 1e-6), 0)
        out, known = out_half * scale[..., None], np.minimum(1, known_half * 4)
        out, known = out * known[..., None], known
        stack.append((out, known))
    filled = stack[-1][0]
    for finer, mask_finer in reversed(stack[:-1]):
        coarse = cv2.resize(filled, finer.shape[1::-1], interpolation=cv2.INTER_LINEAR).reshape(finer.shape)
        filled = finer + (1 - mask_finer[..., None]) * coarse
    return filled.astype(np.float32)


def _agreement(frame: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, n) float32 in [0, 1]: 1 where two pictures show the same, light and shade aside."""
    gap = frame.astype(np.float32) - other
    shade = cv2.GaussianBlur(gap, (0, 0), frame.shape[0] / 20)
    gap -= np.clip(shade, -25, 25)
    gap = cv2.GaussianBlur(np.abs(gap).mean(-1), (0, 0), max(1.0, frame.shape[0] / 100))
    return 1 / (1 + (gap / _AGREEMENT) ** 4)


def _pixels(n: int) -> np.ndarray:
    """(n, n, 2) float32: x and y of every pixel."""
    return np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).astype(np.float32)


def _xy(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.ascontiguousarray(place[..., 0]), np.ascontiguousarray(place[..., 1])
