"""The join of two videos of one person: how the face moves across it, and what that looks like.

The motion is told in warp latents and rewritten by Edit (`headgen.listener.edit`). Pictures are those of the
two videos, each moved by fsrt-small from what its face does to what it shall do; across the join they are
dissolved into each other while both show the same pose, so that nothing shows twice.

Our design throughout; how DiTaiListener-Edit draws is not published. Every frame is drawn from the real frame
of its own time, not from one portrait: hair, shoulders and ground go on moving, and the further a frame is
from the join, the less has to be moved at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from headgen.faces import mesh
from headgen.faces.framing import Framing
from headgen.faces.motion import head_angles, head_rotation
from headgen.faces.smoothing import smooth_track
from headgen.fsrt.small_engine import SmallEngine
from headgen.listener.edit import OUTER, ListenerEditor, ease, without_step
from headgen.listener.latents import (
    FRAMES_PER_LATENT,
    FaceMotion,
    frames_of,
    latents_of,
    motion_of_landmarks,
)
from headgen.listener.track import FPS, SpeakerTrack

__all__ = ["MOST_INNER", "Seam", "SeamPainter", "Side", "dissolve", "fill_gaps", "likeness"]

CALM = 3.0
"""Standard deviation of the mean that calms a path, in frames of latents."""
MOST_INNER = 8
"""Latent frames that are rewritten around a join, at most."""
DISSOLVE = 0.2
"""Seconds on each side of a join over which pictures are dissolved; colours take the whole window."""
COLOUR_REACH = 0.06
"""Of the longer side: what is coarser than this counts as a difference of colour and light."""
STILL, MOVED = 0.002, 0.012
"""Of the outer-eye distance: a frame whose face is to move by less than this stays as it is, and from this on
it is drawn altogether."""
_FLOW_SIZE = 320  # longer side of the pictures that optical flow is found in
_FLOW_BLUR = 0.01  # of the longer side
_LIKENESS_SIZE = 40  # pixels between the outer corners of the eyes when faces are compared
MOST_GAIN = 2.0
"""How far fine detail is strengthened that warps and a dissolve weaken."""


@dataclass(frozen=True)
class Side:
    """Frames of one video near a join.

    Attributes:
        first: number of the first frame; frame 0 is the first after the join, frame -1 the last before it.
        frames: (H, W, 3) uint8 each.
        landmarks: (T, 478, 3) in pixels.
    """

    first: int
    frames: Sequence[NDArray[np.uint8]]
    landmarks: NDArray[np.float32]

    def nearest(self, number: int) -> int:
        """Place in `frames` of the frame of that number, or of the nearest one there is."""
        return min(max(number - self.first, 0), len(self.frames) - 1)


def fill_gaps(landmarks: Sequence[NDArray | None]) -> NDArray[np.float32] | None:
    """Smoothed landmarks (T, 478, 3) of tracked ones; None if fewer than half of the frames show a face.

    Frames without a face lie on a straight line between those around them.
    """
    found = {k: one for k, one in enumerate(landmarks) if one is not None}
    seen = list(found)
    if 2 * len(seen) < max(1, len(landmarks)):
        return None
    known = np.stack(list(found.values())).astype(np.float64)
    flat = known.reshape(len(seen), -1)
    places = np.interp(np.arange(len(landmarks)), seen, np.arange(len(seen)))
    low = np.floor(places).astype(int)
    share = (places - low)[:, None]
    high = np.minimum(low + 1, len(seen) - 1)
    full = (1 - share) * flat[low] + share * flat[high]
    return smooth_track(full.reshape(len(landmarks), *known.shape[1:]).astype(np.float32))


def likeness(left: NDArray[np.float32], right: NDArray[np.float32], landmarks: NDArray) -> float:
    """How alike two faces look that were brought to the same pose and expression, -1 to 1.

    Our design: the correlation of what is finer than light and shade inside the faces' outline, each place
    counting alike however strong its contrast. Faces of two people still differ in it after the landmarks of
    one were moved to the other's.

    Args:
        left: (H, W, 3) float32, 0 to 255.
        right: the other picture.
        landmarks: (478, 3) that both have.
    """
    scale = _LIKENESS_SIZE / mesh.eye_distance(landmarks)
    size = tuple(max(1, round(n * scale)) for n in left.shape[1::-1])
    outline = np.round(landmarks[list(mesh.OVAL), :2] * scale).astype(np.int32)
    face = cv2.fillConvexPoly(np.zeros(size[::-1], np.uint8), cv2.convexHull(outline), 1)
    face = cv2.erode(face, np.ones((5, 5), np.uint8)) > 0
    detail = []
    for picture in (left, right):
        grey = cv2.resize(picture.mean(-1), size, interpolation=cv2.INTER_AREA)
        grey = cv2.GaussianBlur(grey, (0, 0), 0.7)
        fine = grey - cv2.GaussianBlur(grey, (0, 0), 4.0)
        contrast = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), 6.0)) + 1.5
        detail.append((fine / contrast)[face])
    return float(np.corrcoef(*detail)[0, 1])


class Seam:
    """The motion of a face across a join.

    Args:
        left: the video before the join.
        right: the video after it.
        fps: frames per second of both.
        inner: latent frames to be rewritten, half of them on each side of the join.
        outer: latent frames to be read on each side of those, at most.
    """

    def __init__(self, left: Side, right: Side, fps: Fraction, inner: int, outer: int = OUTER) -> None:
        self.left, self.right, self.fps = left, right, float(fps)
        half = inner * FRAMES_PER_LATENT // 2
        self.half = half / FPS
        """Seconds that are rewritten on each side."""
        rooms = -left.first, right.first + len(right.frames)
        around = [
            min(outer, OUTER, (int(room * FPS / self.fps + 1e-6) - half) // FRAMES_PER_LATENT)
            for room in rooms
        ]
        if min(around) < 1:
            raise ValueError(
                f"{rooms} frames on the sides of a join: too few to rewrite {inner} latent frames"
            )
        self.inner = slice(around[0], around[0] + inner)
        self.inner_rows = around[0] * FRAMES_PER_LATENT, (around[0] + inner) * FRAMES_PER_LATENT
        """First of the `rows` that are rewritten, and the one after the last."""
        begin = -half - around[0] * FRAMES_PER_LATENT
        self.rows = np.arange(begin, half + around[1] * FRAMES_PER_LATENT) / FPS
        """(T,) seconds of the rows of latents; 0 is the first frame after the join."""
        self.rest = self._resting()
        self._own = mesh.fit_pose(self.rest)
        self._first = mesh.fit_pose(self.rest, self._own.frontal)
        self._unit = float(np.linalg.norm(self._own.frontal[33] - self._own.frontal[263]))
        self.motions = [motion_of_landmarks(side.landmarks, self.rest) for side in (left, right)]

    def _resting(self) -> NDArray[np.float64]:
        """Landmarks (478, 3) of the person at rest: what both sides are like in the median."""
        poses = [mesh.fit_pose(one) for side in (self.left, self.right) for one in side.landmarks]
        frontal = np.median([p.frontal for p in poses], 0)
        turn = head_rotation(np.median([head_angles(p.rotation) for p in poses], 0))
        place = np.median([p.translation for p in poses], 0)
        return mesh.Pose(turn, float(np.median([p.scale for p in poses])), place, frontal).project(frontal)

    def numbers(self) -> range:
        """Numbers of the video frames that are rewritten."""
        most = int(np.ceil(self.half * self.fps - 1e-6))
        least = int(np.ceil(-self.half * self.fps - 1e-6))
        return range(max(least, self.left.first), min(most, self.right.first + len(self.right.frames)))

    def given(self, which: int, moments: NDArray[np.float64]) -> FaceMotion:
        """Motion of the left (0) or right (1) video at some seconds; beyond its end its last frame stays."""
        side, motion = (self.left, self.right)[which], self.motions[which]
        times = (np.arange(len(motion)) + side.first) / self.fps
        places = np.interp(moments, times, np.arange(len(motion)))
        return _between(motion, places)

    def path(
        self,
        editor: ListenerEditor,
        speaker: SpeakerTrack | None,
        generator: torch.Generator,
    ) -> FaceMotion:
        """The rewritten motion at `rows`: that of the videos outside of the inner frames.

        Args:
            editor: rewrites the latents.
            speaker: its last rows are `rows`; None if nothing was heard.
            generator: source of the editor's noise.
        """
        codec = editor.codec
        sides = [self.given(k, self.rows) for k in (0, 1)]
        frames = [frames_of(codec.encode(side).numpy()) for side in sides]
        join = self._begun(frames[0], frames[1])
        made = editor(
            torch.from_numpy(latents_of(join))[None],
            self.inner,
            None if speaker is None else [speaker],
            codec.portrait_tokens(self.rest)[None],
            generator=generator,
        )[0]
        motion = codec.decode_frames(self._calmed(frames_of(made.numpy())))
        # What latents leave out of a face is its own: it goes from one side's to the other's.
        left_out = [side.shape - codec.decode_frames(f).shape for side, f in zip(sides, frames, strict=True)]
        start, stop = self.inner_rows
        way = ease(len(self.rows), start, stop)[:, None, None]
        return FaceMotion(motion.pose, motion.shape + (1 - way) * left_out[0] + way * left_out[1])

    def _calmed(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Takes the kinks out of a path (T, P, C): where one side ends, its face stands still at once.

        Our design: Edit leaves movement as it is given. In the middle of the inner frames the path is
        averaged over some tenths of a second, towards their ends ever less.
        """
        start, stop = self.inner_rows
        even = gaussian_filter1d(frames, CALM, axis=0, mode="nearest")
        share = np.zeros(len(frames), np.float32)
        share[start:stop] = np.sin(np.pi * (np.arange(stop - start) + 0.5) / (stop - start)) ** 0.5
        return frames + share[:, None, None] * (even - frames)

    def _begun(self, left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
        """What Edit starts from: latents frame by frame (T, P, C), without a step.

        Parts of the face are cross-faded. The head keeps its movement on either side; the difference of its
        places comes in along a path of least jerk.

        Args:
            left: (T, P, C), its last frame standing where the video has ended.
            right: likewise, its first frame standing before it begins.
        """
        start, stop = self.inner_rows
        way = ease(len(self.rows), start, stop)[:, None, None]
        out = (1 - way) * left + way * right
        cut = int(np.searchsorted(self.rows, -0.5 / FPS))
        out[:, 0] = without_step(np.concatenate([left[:cut, 0], right[cut:, 0]]), cut, start, stop)
        return out.astype(np.float32)

    def landmarks(self, motion: FaceMotion) -> NDArray[np.float64]:
        """Landmarks (T, 478, 3) in pixels of a motion: the way back from `motion_of_landmarks`."""
        out = np.empty((len(motion), mesh.N_LANDMARKS, 3))
        turns = head_rotation(motion.pose[:, :3])
        for k, (turn, pose, shape) in enumerate(zip(turns, motion.pose, motion.shape, strict=True)):
            place = self._first.translation.copy()
            place[:2] += pose[3:5] * self._first.scale * self._unit
            frontal = self._own.frontal + shape * self._unit
            scale = self._first.scale * float(np.exp(pose[5]))
            out[k] = mesh.Pose(turn @ self._first.rotation, scale, place, frontal).project(frontal)
        return out

    def targets(self, path: FaceMotion) -> NDArray[np.float64]:
        """Landmarks (N, 478, 3) of the frames `numbers` on a path at `rows`."""
        moments = np.array(self.numbers()) / self.fps
        return self.landmarks(_between(path, np.interp(moments, self.rows, np.arange(len(self.rows)))))


def _between(motion: FaceMotion, places: NDArray[np.float64]) -> FaceMotion:
    """A motion at fractional frames."""
    low = np.floor(places).astype(int)
    high, share = np.minimum(low + 1, len(motion) - 1), (places - low).astype(np.float32)
    return FaceMotion(
        (1 - share[:, None]) * motion.pose[low] + share[:, None] * motion.pose[high],
        (1 - share[:, None, None]) * motion.shape[low] + share[:, None, None] * motion.shape[high],
    )


class SeamPainter:
    """Draws the frames around a join.

    Args:
        engine: fsrt-small.
    """

    def __init__(self, engine: SmallEngine) -> None:
        self.engine = engine

    def meeting(
        self, seam: Seam, targets: NDArray[np.float64]
    ) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float64]]:
        """Both videos' frames at the join in one pose (H, W, 3), and the landmarks (478, 3) of that."""
        middle = int(np.argmin(np.abs(np.array(seam.numbers()))))
        number, target = seam.numbers()[middle], targets[middle]
        return (self._moved(seam.left, number, target), self._moved(seam.right, number, target)), target

    def draw(
        self,
        seam: Seam,
        targets: NDArray[np.float64],
        meeting: tuple[NDArray[np.float32], NDArray[np.float32]],
    ) -> list[NDArray[np.uint8]]:
        """Pictures of the frames `Seam.numbers`.

        Args:
            seam: the join.
            targets: (N, 478, 3) landmarks that the pictures shall have.
            meeting: both videos at the join, see `meeting`.
        """
        gap = _coarse(meeting[1]) - _coarse(meeting[0])
        out = []
        for number, target in zip(seam.numbers(), targets, strict=True):
            moment = (number + 0.5) / seam.fps
            way = _smooth_step(moment, seam.half)
            share = _smooth_step(moment, min(DISSOLVE, seam.half))
            colour = _full(gap, meeting[0].shape)
            left = self._moved(seam.left, number, target) + np.float32(way) * colour
            right = self._moved(seam.right, number, target) - np.float32(1 - way) * colour
            left, right = _met(left, right, way)
            sources = [side.frames[side.nearest(number)] for side in (seam.left, seam.right)]
            out.append(_blended([left, right], sources, share))
        return out

    def _moved(self, side: Side, number: int, target: NDArray) -> NDArray[np.float32]:
        """A side's frame with other landmarks (478, 3)."""
        k = side.nearest(number)
        frame, own = side.frames[k], side.landmarks[k]
        target = target.copy()
        target[:, 2] += own[:, 2].mean() - target[:, 2].mean()  # depth counts from where this face is
        apart = np.linalg.norm((target - own)[:, :2], axis=1)
        unit = mesh.eye_distance(own)
        drawn = float(np.clip((np.percentile(apart, 90) / unit - STILL) / (MOVED - STILL), 0, 1))
        if drawn == 0:
            return frame.astype(np.float32)
        self.engine.prepare([frame], [own])
        framing = Framing(own, frame.shape)
        near, carry = framing.part(target)
        moved = framing.apply(self.engine.place(self.engine.render([near])[0]), carry)
        return (1 - drawn) * frame.astype(np.float32) + drawn * moved.astype(np.float32)


def dissolve(left: Side, right: Side, numbers: range, half: float) -> list[NDArray[np.uint8]]:
    """A plain cross-fade of pictures; where a video has no frame, its last or first one stands.

    Args:
        left: the video before the join.
        right: the video after it.
        numbers: of the frames to be made.
        half: frames that it takes on each side.
    """
    out = []
    for number in numbers:
        share = _smooth_step(number + 0.5, half)
        pictures = [side.frames[side.nearest(number)].astype(np.float32) for side in (left, right)]
        out.append(_bytes((1 - share) * pictures[0] + share * pictures[1]))
    return out


def _smooth_step(moment: float, half: float) -> float:
    """From 0 at -half to 1 at half."""
    share = min(max((moment + half) / (2 * half), 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _coarse(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """What light and colour a picture has, a few dozen cells a side."""
    side = max(picture.shape[:2])
    size = tuple(max(2, round(n / side * 64)) for n in picture.shape[1::-1])
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (0, 0), 64 * COLOUR_REACH)


def _full(coarse: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    return cv2.resize(coarse, shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _met(
    left: NDArray[np.float32], right: NDArray[np.float32], way: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two pictures of nearly the same, both warped to a place between them.

    What moving faces cannot bring together (hair, shoulders, a head that is elsewhere in the picture) is
    followed from one to the other by dense optical flow (DIS, Kroeger et al., 2016).

    Args:
        left: (H, W, 3) float32.
        right: likewise.
        way: 0 leaves the left one as it is, 1 the right one.
    """
    scale = min(1.0, _FLOW_SIZE / max(left.shape[:2]))
    size = tuple(round(n * scale) for n in left.shape[1::-1])
    grey = [
        cv2.resize(_bytes(picture).mean(-1), size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        for picture in (left, right)
    ]
    follow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    places = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in left.shape[1::-1])), -1)
    out = []
    for picture, (here, there), share in ((left, grey, way), (right, grey[::-1], 1 - way)):
        # The flow that ends, not begins, at a place says where its picture comes from.
        back = cv2.GaussianBlur(follow.calc(there, here, None), (0, 0), _FLOW_BLUR * max(size))
        back = cv2.resize(back, left.shape[1::-1], interpolation=cv2.INTER_LINEAR) / np.float32(scale)
        moved = cv2.remap(
            picture, places + np.float32(share) * back, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        out.append(moved)
    return out[0], out[1]


def _blended(
    layers: Sequence[NDArray[np.float32]], sources: Sequence[NDArray[np.uint8]], share: float
) -> NDArray[np.uint8]:
    """Two layers mixed; fine detail is as strong as in the frames that they were made of.

    Each warp softens a picture a little, and a mean of unlike pictures halves the energy of what they differ
    in.

    Args:
        layers: two pictures (H, W, 3).
        sources: the frames they were made of.
        share: of the second layer.
    """
    mixed = (1 - share) * layers[0] + share * layers[1]
    fine = _fine(mixed)
    wanted = (1 - share) * _energy(_fine(sources[0])) + share * _energy(_fine(sources[1]))
    gain = np.sqrt((wanted + 0.05) / (_energy(fine) + 0.05)).clip(1, MOST_GAIN)
    return _bytes(mixed + (gain - 1)[..., None] * fine)


def _fine(picture: NDArray) -> NDArray[np.float32]:
    picture = picture.astype(np.float32)
    return picture - cv2.GaussianBlur(picture, (0, 0), 1.2)


def _energy(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    return cv2.GaussianBlur(np.square(fine).mean(-1), (0, 0), 0.02 * max(fine.shape[:2]))


def _bytes(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)
