"""Finding a face's 478 landmarks in photographs and following them through video.

MediaPipe's face mesh is used through its bare landmark network: which square of the picture the network
looks at is decided here, frame after frame. That lets a photograph be looked at until the answer settles,
follows the largest of several faces rather than the likeliest, copes with faces beyond the picture's border,
and costs one crop per frame however large the picture is.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from headgen.faces.crop import Crop
from headgen.faces.mesh import eye_distance, mean_face, mirror_index

NETWORK_SIZE = 192  # side of the landmark network's input
MARGIN = 1.5  # side of the network's square over the longer side of the landmarks' box, as it was trained
DETECTOR_SIZE = 512  # pictures are reduced to this before faces are looked for
SETTLED = 0.002  # of the outer-eye distance
SETTLE_PASSES = 8
TILES_EVERY = 8  # frames between two searches for tiny faces in video

_GRAPH = """
input_stream: "image"
input_stream: "roi"
input_side_packet: "with_attention"
output_stream: "landmarks"
node {
  calculator: "FaceLandmarkCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:roi"
  input_side_packet: "WITH_ATTENTION:with_attention"
  output_stream: "LANDMARKS:landmarks"
}
"""
_MEDIAPIPE_LOG = re.compile(rb"^([IWE]\d{4} |INFO: |WARNING: |E0000|\s*$)")


@dataclass(frozen=True)
class Track:
    """A tracked face.

    Attributes:
        landmarks: (478, 3) float32; x and y in pixels of the picture (the first pixel's centre is (0, 0)),
            z on the same scale, negative towards the camera.
        n_faces: how many faces the picture showed when the face was last searched for.
    """

    landmarks: np.ndarray
    n_faces: int

    @property
    def eye_distance(self) -> float:
        """Distance of the outer eye corners in pixels, depth included: how large the face is."""
        return eye_distance(self.landmarks)


class FaceTracker(Protocol):
    """What the pipeline asks of a face tracker."""

    def track(self, image: np.ndarray, *, still: bool = False) -> Track | None:
        """Landmarks of the largest face of an RGB uint8 picture (H, W, 3), or None."""

    def faces(self, image: np.ndarray) -> list[Track]:
        """All faces of a photograph (H, W, 3), the largest first."""

    def follow(self, landmarks: np.ndarray) -> None:
        """Looks for a face where these (478, 3) are in the next picture of a video."""

    def reset(self) -> None:
        """Forgets the face being followed, as between two videos."""

    def close(self) -> None:
        """Frees the networks."""


class MediaPipeTracker:
    """Face tracker on MediaPipe's face mesh with irises; use as a context manager.

    Video mode (``still=False``) keeps the face from frame to frame; call `reset` between videos. One tracker
    belongs to one thread.
    """

    def __init__(self, mirror: bool = False) -> None:
        """Loads the networks.

        Args:
            mirror: look at every video frame twice, once mirrored, and average: the landmarks' noise falls
                by up to a quarter and their left-right bias vanishes, for twice the time. Photographs are
                always looked at both ways.
        """
        self.mirror = mirror
        try:
            self._network, self._detector = _idle.pop()
        except IndexError:  # none, or another thread was faster
            self._network, self._detector = _load()
        self._square: Crop | None = None
        self._n_faces = 0
        self._lost = 0

    def __enter__(self) -> MediaPipeTracker:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the networks, or leaves them to the next tracker (`keeping_trackers`)."""
        if _keeping:
            _idle.append((self._network, self._detector))
            return
        self._network.close()
        self._detector.close()

    def follow(self, landmarks: np.ndarray) -> None:
        """Takes a face for the one being followed, so that it need not be the largest.

        Args:
            landmarks: (478, 3) about where it is in the next picture.
        """
        self._square, self._n_faces, self._lost = landmark_square(landmarks), 1, 0

    def reset(self) -> None:
        """Forgets the face being followed."""
        self._square, self._n_faces, self._lost = None, 0, 0

    def track(self, image: np.ndarray, *, still: bool = False) -> Track | None:
        """Finds the landmarks of the largest face.

        Args:
            image: (H, W, 3) RGB uint8.
            still: a picture on its own: searched thoroughly and looked at until the landmarks settle. The
                face followed through a video is left alone.

        Returns:
            The track, or None without a face.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"expected an RGB uint8 picture (H, W, 3), got {image.dtype} {image.shape}")
        if still:
            faces = self._search(image, thorough=True)
            if not faces:
                return None
            return Track(self._settle(image, faces[0], mirror=True), len(faces))
        landmarks = None
        if self._square is not None:
            landmarks = self._network(image, self._square, mirror=self.mirror)
        if landmarks is None:
            landmarks = self._acquire(image)
        if landmarks is None:
            return None
        self._square = landmark_square(landmarks)
        return Track(landmarks, self._n_faces)

    def faces(self, image: np.ndarray) -> list[Track]:
        """Finds all faces of a photograph, as `track` finds the largest with ``still=True``.

        Args:
            image: (H, W, 3) RGB uint8.

        Returns:
            Their tracks, the largest first; none without a face.
        """
        found = self._search(image, thorough=True)
        return [Track(self._settle(image, landmarks, mirror=True), len(found)) for landmarks in found]

    def _acquire(self, image: np.ndarray) -> np.ndarray | None:
        faces = self._search(image, thorough=self._lost % TILES_EVERY == 0)
        self._lost += 1
        if not faces:
            self._square = None
            return None
        self._n_faces, self._lost = len(faces), 0
        return self._settle(image, faces[0], mirror=self.mirror)

    def _settle(self, image: np.ndarray, landmarks: np.ndarray, *, mirror: bool) -> np.ndarray:
        """Looks again around the landmarks until they rest, or until a look shows no face."""
        for look in range(SETTLE_PASSES):
            again = self._network(image, landmark_square(landmarks), mirror=mirror)
            if again is None:
                break
            moved = np.linalg.norm((again - landmarks)[:, :2], axis=1).mean()
            landmarks = again
            if look and moved < SETTLED * np.linalg.norm(again[33] - again[263]):
                break
        return landmarks

    def _search(self, image: np.ndarray, *, thorough: bool) -> list[np.ndarray]:
        """First landmarks (478, 3) of each face, the largest first."""
        found: list[tuple[Crop, np.ndarray]] = []
        for view in _views(image.shape, thorough=thorough):
            for square in self._detector(image, view):
                if not any(_same_face(square, other) for other, _ in found):
                    landmarks = self._network(image, square)
                    if landmarks is not None:
                        settled = landmark_square(landmarks)
                        if not any(_same_face(settled, other) for other, _ in found):
                            found.append((settled, landmarks))
            if found:
                break
        return [landmarks for _, landmarks in sorted(found, key=lambda face: -face[0].side)]


_keeping = False
_idle: list[tuple[_LandmarkNetwork, _Detector]] = []
"""Networks of closed trackers, which remember nothing of what they saw."""


@contextlib.contextmanager
def keeping_trackers() -> Iterator[None]:
    """Inside, a closed tracker leaves its networks to the next one: to load them takes 60 ms."""
    global _keeping
    before, _keeping = _keeping, True
    try:
        yield
    finally:
        _keeping = before
        while _idle and not _keeping:
            network, detector = _idle.pop()
            network.close()
            detector.close()


def _load() -> tuple[_LandmarkNetwork, _Detector]:
    with _quiet_stderr():
        return _LandmarkNetwork(), _Detector()


def landmark_square(landmarks: np.ndarray) -> Crop:
    """The turned square that the landmark network expects around a face.

    Our design: placed by a least-squares fit of the mean face to all landmarks, where MediaPipe takes their
    bounding box and the line between the eyes. The network's answer depends a little on the square that it
    looks at, so a square that hangs on a few outermost points swings with their noise and feeds it back: on a
    still picture with sensor noise the landmarks jitter 2.4 times as much.

    Args:
        landmarks: (478, 3) of the face, in picture pixels.
    """
    points = landmarks[:468].astype(np.float64)
    mean = points.mean(0)
    points -= mean
    shape, radius, middle = _mean_shape()
    x, y = points[:, 0], points[:, 1]
    turn = np.arctan2(shape[:, 0] @ y - shape[:, 1] @ x, shape[:, 0] @ x + shape[:, 1] @ y)
    scale = max(float(np.linalg.norm(points)) / radius, 1e-3)  # depth included: a turned head keeps its size
    dx, dy = scale * middle
    return Crop(
        float(mean[0] + np.cos(turn) * dx - np.sin(turn) * dy),
        float(mean[1] + np.sin(turn) * dx + np.cos(turn) * dy),
        float(scale * MARGIN * np.ptp(shape, axis=0).max()),
        float(np.rad2deg(turn)),
    )


@lru_cache(maxsize=1)
def _mean_shape() -> tuple[np.ndarray, float, np.ndarray]:
    """The centred mean face from the front (468, 2), y down; its 3-D radius; its box's middle (2,)."""
    face = mean_face()[:468].astype(np.float64)
    face = face - face.mean(0)
    shape = face[:, :2] * [1, -1]
    return shape, float(np.linalg.norm(face)), (shape.max(0) + shape.min(0)) / 2


def _same_face(a: Crop, b: Crop) -> bool:
    return float(np.hypot(a.cx - b.cx, a.cy - b.cy)) < 0.35 * max(a.side, b.side)


def _views(shape: tuple[int, ...], *, thorough: bool) -> Iterator[tuple[float, float, float, float]]:
    """Regions (x0, y0, x1, y1) of a picture to look for faces in, the likeliest first."""
    height, width = shape[:2]
    yield 0, 0, width, height
    margin = max(height, width) / 3  # a face that fills the frame needs room around it
    yield -margin, -margin, width + margin, height + margin
    if thorough:
        for parts in (2, 4):
            side = max(max(height, width) / parts, min(height, width) / (parts - 1), 64.0)
            side = min(side, max(height, width))
            if side < 96:  # too few pixels for a face that the larger views miss
                return
            for y in np.linspace(0, max(0, height - side), 2 * parts - 1 if height > side else 1):
                for x in np.linspace(0, max(0, width - side), 2 * parts - 1 if width > side else 1):
                    yield float(x), float(y), float(min(x + side, width)), float(min(y + side, height))


class _LandmarkNetwork:
    """MediaPipe's landmark network with refined lips, eyes and irises, on a square of our choice."""

    def __init__(self) -> None:
        from mediapipe.framework.formats import rect_pb2
        from mediapipe.python.solution_base import SolutionBase

        self._graph = SolutionBase(graph_config=_GRAPH, side_inputs={"with_attention": True})
        self._whole = rect_pb2.NormalizedRect(x_center=0.5, y_center=0.5, width=1.0, height=1.0, rotation=0.0)
        # the first run is the one that logs
        self(np.zeros((8, 8, 3), np.uint8), Crop(4, 4, 8))

    def __call__(self, image: np.ndarray, square: Crop, *, mirror: bool = False) -> np.ndarray | None:
        """(478, 3) float32 landmarks in picture pixels, or None when the square shows no face."""
        patch = square.take(image, NETWORK_SIZE)
        landmarks = self._run(patch)
        if landmarks is None:
            return None
        if mirror:
            other = self._run(np.ascontiguousarray(patch[:, ::-1]))
            if other is not None:
                other[:, 0] = NETWORK_SIZE - 1 - other[:, 0]
                landmarks = 0.5 * (landmarks + other[mirror_index()])
        return square.to_picture(landmarks, NETWORK_SIZE)

    def _run(self, patch: np.ndarray) -> np.ndarray | None:
        points: Any = self._graph.process({"image": patch, "roi": self._whole}).landmarks
        if points is None:
            return None
        landmarks = np.array([(p.x, p.y, p.z) for p in points.landmark], np.float32) * NETWORK_SIZE
        landmarks[:, :2] -= 0.5  # from pixel edges to pixel centres
        return landmarks

    def close(self) -> None:
        self._graph.close()


class _Detector:
    """MediaPipe's two face detectors: one for faces close to the camera, one for those farther away."""

    def __init__(self) -> None:
        import mediapipe as mp

        self._detectors = [
            mp.solutions.face_detection.FaceDetection(model_selection=k, min_detection_confidence=0.5)
            for k in (0, 1)
        ]
        for detector in self._detectors:
            detector.process(np.zeros((64, 64, 3), np.uint8))

    def __call__(self, image: np.ndarray, view: tuple[float, float, float, float]) -> list[Crop]:
        """Squares around the faces in a view of the picture, unconfirmed, the likeliest first."""
        x0, y0, x1, y1 = view
        side = max(x1 - x0, y1 - y0)
        window = Crop((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2, side)
        size = min(DETECTOR_SIZE, max(128, round(side)))
        patch = window.take(image, size)
        found = []
        for detector in self._detectors:
            for detection in detector.process(patch).detections or ():
                data = detection.location_data
                box, points = data.relative_bounding_box, data.relative_keypoints
                right, left = (np.array([p.x, p.y]) for p in (points[0], points[1]))
                dx, dy = left - right
                centre = np.array([[box.xmin + box.width / 2, box.ymin + box.height / 2]]) * size - 0.5
                cx, cy = window.to_picture(centre, size)[0]
                if not (x0 <= cx <= x1 and y0 <= cy <= y1):
                    continue
                face = max(box.width, box.height) * side
                angle = float(np.rad2deg(np.arctan2(dy, dx)))
                found.append((detection.score[0], Crop(float(cx), float(cy), MARGIN * face, angle)))
        return [square for _, square in sorted(found, key=lambda item: -item[0])]

    def close(self) -> None:
        for detector in self._detectors:
            detector.close()


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keeps MediaPipe's start-up messages, written to descriptor 2 by C++, from the user.

    Lines that are not MediaPipe's, and everything if an error escapes, are passed on.
    """
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if sys.stderr is not None:
        sys.stderr.flush()
    failed = True
    with tempfile.TemporaryFile() as held:
        saved = os.dup(2)
        try:
            os.dup2(held.fileno(), 2)
            yield
            failed = False
        finally:
            os.dup2(saved, 2)
            held.seek(0)
            for line in held:
                if failed or not _MEDIAPIPE_LOG.match(line):
                    os.write(saved, line)
            os.close(saved)
