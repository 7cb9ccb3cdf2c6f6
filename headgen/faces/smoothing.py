"""Taking the tracker's jitter out of a landmark track without slowing anything down.

Around every frame a parabola in time is fitted to what the landmarks do, over a long stretch and over a
short one. Where the parabola explains the track up to the tracker's noise, as in a still or smoothly moving
face, its value replaces the landmark; where it does not, as in a blink or a consonant, the landmark stays as
it was tracked. Fits reach as far ahead as back, so nothing lags. Head pose and expression are treated apart,
so that a nodding head does not keep a quiet mouth from being smoothed; of the expression every point decides
for itself, judging by its surroundings.

Our design: an edge-preserving filter that follows motion. A bilateral filter in time smooths still faces
only, and low-pass filters take the edge off blinks and speech.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_matrix

from headgen.faces.mesh import IRIS_LEFT, IRIS_RIGHT, RIGID, fit_pose, fit_similarity, mean_face

WINDOW = 5  # frames on either side
SHORT_WINDOW = 2
NOISE = 0.003  # standard deviation of a tracked coordinate, in units of the outer-eye distance
POSE_NOISE = 0.002  # likewise, of the head as a whole
_SURROUNDINGS = 0.05  # reach of the points that judge a point's motion, outer-eye distances
_TOLERANCE = 2.0  # misfit, in units of that expected of noise, at which half is left as tracked
_SHARPNESS = 4
_Y_DOWN_TO_UP = np.array([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class _Frame:
    frontal: np.ndarray  # (478, 3) the expression, canonical frame
    rigid: np.ndarray  # (R, 3) where the pose puts the mean face's rigid points, in pixels, y up
    scale: float  # pixels per canonical unit


class LandmarkSmoother:
    """Streaming smoother of a landmark track.

    ``push`` every frame, take the smoothed frames that come back in order, ``flush`` at the end; a frame
    comes back ``window`` frames after it went in. Frames without a face (None) part the track: what lies
    before and after is smoothed apart, and the frames between repeat the last smoothed face; before the
    first face they come back as None.
    """

    def __init__(self, window: int = WINDOW, noise: float = NOISE, pose_noise: float = POSE_NOISE) -> None:
        """Sets the strength.

        Args:
            window: frames looked at on either side; 0 changes nothing.
            noise: the tracker's noise per coordinate, in units of the outer-eye distance; larger smooths
                more.
            pose_noise: likewise, of the head's place and turn.
        """
        if window < 0 or noise <= 0 or pose_noise <= 0:
            raise ValueError(f"cannot smooth with window {window}, noise {noise}, pose_noise {pose_noise}")
        self.window, self.noise, self.pose_noise = window, noise, pose_noise
        self._frames: deque[_Frame] = deque(maxlen=2 * window + 1)
        self._owed = 0
        self._last: np.ndarray | None = None

    def push(self, landmarks: np.ndarray | None) -> list[np.ndarray | None]:
        """Adds a frame (478, 3), in pixels, or None; returns those that are ready."""
        if landmarks is None:
            return [*self._end_segment(), self._last]
        pose = fit_pose(landmarks)
        rigid = pose.scale * _rigid_points() @ pose.rotation.T + pose.translation * _Y_DOWN_TO_UP
        self._frames.append(_Frame(pose.frontal, rigid, pose.scale))
        self._owed += 1
        return [self._smoothed()] if self._owed > self.window else []

    def flush(self) -> list[np.ndarray | None]:
        """Returns the frames still owed and forgets everything."""
        out: list[np.ndarray | None] = list(self._end_segment())
        self._last = None
        return out

    def _end_segment(self) -> list[np.ndarray]:
        out = []
        while self._owed:
            out.append(self._smoothed())
        self._frames.clear()
        return out

    def _smoothed(self) -> np.ndarray:
        """The oldest frame still owed."""
        frames = list(self._frames)
        here = len(frames) - self._owed
        first = max(0, here - self.window)
        frames, here = frames[first : here + self.window + 1], here - first
        self._owed -= 1
        unit = frames[here].scale
        rigid = np.stack([frame.rigid for frame in frames])
        rigid = self._smooth(rigid, here, self.pose_noise * unit, lambda gap: gap.mean(-1, keepdims=True))
        frontal = np.stack([frame.frontal for frame in frames])
        frontal = self._smooth(frontal, here, self.noise, lambda gap: _surroundings() @ gap)
        middle, reference = rigid.mean(0), _rigid_points()
        rotation, scale = fit_similarity(rigid - middle, reference - reference.mean(0))
        origin = middle - scale * rotation @ reference.mean(0)
        self._last = ((scale * frontal @ rotation.T + origin) * _Y_DOWN_TO_UP).astype(np.float32)
        return self._last

    def _smooth(
        self, points: np.ndarray, here: int, noise: float, pool: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """One frame (N, 3) of points (S, N, 3); ``pool`` averages (N,) misfits over surroundings."""
        out = points[here]
        for window in (SHORT_WINDOW, self.window):
            near = slice(max(0, here - window), here + window + 1)
            value, misfit, expected = _parabola(len(points[near]), here - near.start, window)
            if expected < 1e-6:  # too few frames to say more than they do
                continue
            stretch = points[near].reshape(len(value), -1)
            apart = (misfit @ stretch).reshape(-1, *points.shape[1:])[..., :2]
            fade = _fade(window)[window - (here - near.start) :][: len(value)]
            gap = np.einsum("s,snk->n", fade, apart**2) / (2 * noise**2 * expected)
            trust = 1 / (1 + (pool(gap) / _TOLERANCE) ** _SHARPNESS)
            out = out + trust[:, None] * ((value @ stretch).reshape(out.shape) - out)
        return out


def _fade(window: int) -> np.ndarray:
    """(2 window + 1,) weights that fall towards the ends, so that no frame enters with a jolt."""
    return np.cos(np.arange(-window, window + 1) / (window + 1) * np.pi / 2) ** 2


@lru_cache(maxsize=256)
def _parabola(length: int, here: int, window: int) -> tuple[np.ndarray, np.ndarray, float]:
    """The weighted least-squares parabola over ``length`` frames, as linear maps of their values.

    Returns:
        value (S,) gives the parabola at frame ``here``; misfit (S, S) the tracked values less the parabola;
        expected: the faded sum of squared misfits of white noise of variance one.
    """
    time = np.arange(length) - here
    fade = _fade(window)[window + time]
    basis = np.stack([time**k for k in range(min(3, length))], 1).astype(np.float64)
    solve = np.linalg.pinv(basis * np.sqrt(fade)[:, None]) * np.sqrt(fade)
    misfit = np.eye(length) - basis @ solve
    return solve[0], misfit, float(fade @ (misfit**2).sum(1))


@lru_cache(maxsize=1)
def _rigid_points() -> np.ndarray:
    return mean_face()[list(RIGID)].astype(np.float64)


@lru_cache(maxsize=1)
def _surroundings() -> csr_matrix:
    """(478, 478) rows of weights that sum to one: how far each point's surroundings count."""
    face = mean_face().copy()
    face[[*IRIS_RIGHT, *IRIS_LEFT], 2] += 1  # eyes look about under lids that rest: irises judge themselves
    gap = np.linalg.norm(face[:, None] - face[None], axis=-1)
    weights = np.exp(-0.5 * (gap / _SURROUNDINGS) ** 2)
    weights[weights < 1e-3] = 0
    return csr_matrix(weights / weights.sum(1, keepdims=True))


def smooth_stream(
    track: Iterable[np.ndarray | None],
    window: int = WINDOW,
    noise: float = NOISE,
    pose_noise: float = POSE_NOISE,
) -> Iterator[np.ndarray | None]:
    """`LandmarkSmoother` as a generator: one smoothed frame per frame, ``window`` frames behind."""
    smoother = LandmarkSmoother(window, noise, pose_noise)
    for landmarks in track:
        yield from smoother.push(landmarks)
    yield from smoother.flush()


def smooth_track(
    track: np.ndarray, window: int = WINDOW, noise: float = NOISE, pose_noise: float = POSE_NOISE
) -> np.ndarray:
    """Smooths a whole track; the numbers are those of `LandmarkSmoother`.

    Args:
        track: (T, 478, 3) in pixels; frames without a face are NaN.
        window: as in `LandmarkSmoother`.
        noise: as in `LandmarkSmoother`.
        pose_noise: as in `LandmarkSmoother`.

    Returns:
        (T, 478, 3) float32; NaN before the first face, gaps repeat the last face before them.
    """
    frames = (frame if np.isfinite(frame).all() else None for frame in track)
    empty = np.full(track.shape[1:], np.nan, np.float32)
    out = [empty if f is None else f for f in smooth_stream(frames, window, noise, pose_noise)]
    return np.stack(out) if out else np.empty(track.shape, np.float32)
