"""A quick look at a finished video: is there a face, and is it calm?"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np

from headgen.faces.mesh import SKIN, eye_distance
from headgen.faces.tracker import FaceTracker
from headgen.media.video import VideoReader, frame_to_rgb

__all__ = ["Quality", "quality"]

TRIPLES = 8
"""Stretches of three frames that are looked at, at most."""
WHOLE = 300
"""Frames up to which a video is decoded as a whole; of longer ones, only what follows key frames."""


@dataclass(frozen=True)
class Quality:
    """What a look at a few moments tells.

    Attributes:
        face_share: share of the frames looked at in which a face was found, 0 to 1.
        jitter: how restless the face is: root of the median squared second difference of its landmarks over
            three consecutive frames, in outer-eye distances. The tracker alone has about 0.005, lively speech
            0.01 to 0.02. None where no three frames show a face.
    """

    face_share: float
    jitter: float | None


def quality(path: Path, tracker: FaceTracker) -> Quality:
    """Looks at up to `TRIPLES` stretches of three frames, spread evenly over a video.

    It costs the tracking of at most 24 frames, a quarter of a second, and of a long video hardly more. The
    same video always gives the same figures.

    Args:
        path: the video.
        tracker: finds the face; it is reset.

    Raises:
        InputError: the video cannot be read.
    """
    looked = found = 0
    restless = []
    for stretch in _stretches(path):
        tracker.reset()
        tracks = [tracker.track(image) for image in stretch]
        looked += len(tracks)
        found += sum(track is not None for track in tracks)
        faces = [track.landmarks.astype(np.float64) for track in tracks if track is not None]
        if len(faces) == 3:
            a, b, c = faces
            bend = float(((a - 2 * b + c)[:SKIN, :2] ** 2).sum(1).mean())
            restless.append(bend / eye_distance(b) ** 2)
    return Quality(
        found / looked if looked else 0.0, statistics.median(restless) ** 0.5 if restless else None
    )


def _stretches(path: Path) -> Iterator[list[np.ndarray]]:
    """Three consecutive frames each, or fewer of a video that has no more."""
    with VideoReader(path) as reader:
        frames = reader.info.frames or 0
        if frames <= WHOLE:
            wanted = {max(0, round((k + 0.5) * frames / TRIPLES - 1.5)) for k in range(TRIPLES)}
            starts = sorted(s for s in wanted if s + 3 <= frames) or [0]
            stretch: list[np.ndarray] = []
            for frame in reader:
                if starts and frame.index >= starts[0]:
                    stretch.append(frame.image)
                    if len(stretch) == 3:
                        yield stretch
                        stretch = []
                        starts = [s for s in starts if s > frame.index]
            if stretch:
                yield stretch
            return
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        last = -1
        for k in range(TRIPLES):
            assert stream.duration is not None and stream.time_base is not None  # our own files say so
            container.seek(int((k + 0.5) * stream.duration / TRIPLES), stream=stream)
            images = []
            for decoded in islice(container.decode(stream), 3):
                if decoded.pts is None or decoded.pts <= last:
                    break  # the same key frame as before
                last = decoded.pts
                images.append(frame_to_rgb(decoded))
            if images:
                yield images
