"""Training pairs from still portraits: every photograph becomes a clip of one person doing many things.

Frame 0 is the photograph itself; the others show the fitted face in other poses and expressions. The
landmarks stored are those that the face tracker finds in the rendered frame.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from headgen.errors import InputError
from headgen.faces.crop import Crop, portrait_crop
from headgen.faces.tracker import MediaPipeTracker
from headgen.media.clips import clip_exists, write_clip, write_index
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.synth.animate import random_action
from headgen.synth.ict import IctHead
from headgen.synth.photograph import PersonSegmenter
from headgen.synth.scene import Scene

ENDINGS = (".jpg", ".jpeg", ".png")
SCALE_RANGE = (0.85, 1.2)  # of the usual portrait crop
SHIFT = 0.05  # standard deviation of the crop's place, of its side
SMALLEST_FACE = 45.0  # outer-eye distance in pixels of the crop that the photograph must reach itself
LEAST_BYTES_PER_PIXEL = 0.15  # JPEG files below this hold enlarged thumbnails
FURTHEST = 0.08  # of the outer-eye distance: mean error of landmarks tracked on a rendered frame
TRIES = 3
LOOKS, SETTLED = 4, 0.003  # tracker's looks at a rendered frame, and when it has settled
GREY_SHARE = 0.05
VALIDATION_SHARE = 0.05
CLOSED, OPEN, POSED = 3, 3, 1  # frames of each kind; the rest is mixed


def make(
    portraits: Path,
    ict: Path,
    output: Path,
    count: int | None = None,
    variants: int = 16,
    seed: int = 0,
    workers: int = 1,
    size: int = 256,
    progress: ProgressCallback | None = None,
) -> None:
    """Animates portraits in 3D and writes a data set of face clips.

    Clips that are already there are kept, so that a killed run goes on where it stopped; the index is written
    last. The same seed gives the same clips, whatever the number of workers.

    Args:
        portraits: folder of photographs (JPEG or PNG), one person each.
        ict: ``ict_facekit.npz`` or its folder.
        output: folder of the data set.
        count: use only that many photographs.
        variants: frames per clip, the photograph included.
        seed: of everything random.
        workers: processes.
        size: side of the frames in pixels.
        progress: called after every photograph.

    Raises:
        InputError: no photographs, or no face model.
    """
    files = sorted(p for p in Path(portraits).glob("*") if p.suffix.lower() in ENDINGS)
    if not files:
        raise InputError(f"{portraits}: no photographs (.jpg, .png) there; give the folder that holds them")
    files = files[:count]
    head = IctHead.load(ict)
    todo = [file for file in files if not clip_exists(output, file.stem)]
    jobs = ((file, Path(output), variants, seed, size) for file in todo)
    done = len(files) - len(todo)
    for _ in _run(jobs, head, workers):
        done += 1
        if progress is not None:
            progress(ProgressEvent("animate", done, len(files), "portraits"))
    write_index(Path(output))


Job = tuple[Path, Path, int, int, int]


def _run(jobs: Iterator[Job], head: IctHead, workers: int) -> Iterator[str]:
    if workers == 1:
        maker = _Maker(head)
        yield from map(maker, jobs)
        return
    context = multiprocessing.get_context("fork")
    head.spread, head.linings, head.lower_mouth  # noqa: B018 - worked out once, before the fork
    with context.Pool(workers, initializer=_start_worker, initargs=(head,)) as pool:
        yield from pool.imap_unordered(_work, jobs)


_maker: _Maker | None = None


def _start_worker(head: IctHead) -> None:
    global _maker
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the pool ends its workers with it; no traceback then
    cv2.setNumThreads(1)
    _maker = _Maker(head)


def _work(job: Job) -> str:
    assert _maker is not None
    return _maker(job)


class _Maker:
    """Makes clips; holds what a process needs for that."""

    def __init__(self, head: IctHead) -> None:
        os.environ.setdefault("GLOG_minloglevel", "3")
        self.head = head
        self.tracker = MediaPipeTracker()
        self.segment = PersonSegmenter()

    def __call__(self, job: Job) -> str:
        """Makes one clip; returns what became of it."""
        file, output, variants, seed, size = job
        rng = np.random.default_rng([seed, _number(file.stem)])
        bgr = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if bgr is None:
            return "unreadable"
        if file.suffix.lower() != ".png" and file.stat().st_size < LEAST_BYTES_PER_PIXEL * bgr[..., 0].size:
            return "low quality"
        image = np.ascontiguousarray(bgr[..., ::-1])
        if rng.random() < GREY_SHARE:
            image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
        track = self.tracker.track(image, still=True)
        if track is None:
            return "no face"
        crop = jittered_crop(track.landmarks, rng)
        if track.eye_distance < SMALLEST_FACE * crop.side / size * 0.5:
            return "too small"
        scene = Scene(self.head, image, track.landmarks, self.segment(image), crop, size, rng)
        frames, landmarks = self._frames(scene, crop.to_crop(track.landmarks, size), variants, rng)
        write_clip(
            output,
            file.stem,
            np.stack(frames),
            np.stack(landmarks),
            identity=file.stem,
            split="val" if _number(f"split {file.stem}") % 1000 < 1000 * VALIDATION_SHARE else "train",
            extra={"fit_error": f"{scene.fit.error:.4f}"},
        )
        return "made"

    def _frames(
        self, scene: Scene, own: np.ndarray, variants: int, rng: np.random.Generator
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        original = scene.original().image
        self.tracker.reset()
        frames, landmarks = [original], [own]
        tracked = self._track(original)
        if tracked is not None:
            landmarks[0] = tracked
        for index in range(1, variants):
            kind = "mixed"
            for name, until in (("closed", CLOSED), ("open", CLOSED + OPEN), ("pose", CLOSED + OPEN + POSED)):
                if index <= until:
                    kind = name
                    break
            for _ in range(TRIES):
                frame = scene.render(random_action(self.head, scene.fit, rng, kind))
                image = finish(frame.image, rng)
                tracked = self._track(image)
                if tracked is None:
                    continue
                far = np.linalg.norm(tracked[:468, :2] - frame.landmarks, axis=1).mean()
                if far < FURTHEST * np.linalg.norm(tracked[33] - tracked[263]):
                    frames.append(image)
                    landmarks.append(tracked)
                    break
        return frames, landmarks

    def _track(self, image: np.ndarray) -> np.ndarray | None:
        """(478, 3) landmarks of a frame after several looks, or None."""
        before = None
        for _ in range(LOOKS):
            track = self.tracker.track(image)
            if track is None:
                return None
            after = track.landmarks
            if before is not None:
                moved = np.linalg.norm((after - before)[:, :2], axis=1).mean()
                if moved < SETTLED * track.eye_distance:
                    break
            before = after
        return after


def jittered_crop(landmarks: np.ndarray, rng: np.random.Generator) -> Crop:
    """The usual portrait crop, a little larger or smaller and off the middle."""
    crop = portrait_crop(landmarks, scale=float(np.exp(rng.uniform(*np.log(SCALE_RANGE)))))
    dx, dy = rng.normal(0, SHIFT, 2) * crop.side
    return Crop(crop.cx + float(dx), crop.cy + float(dy), crop.side)


def finish(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a camera adds, now and then: grain or compression. Draws the same numbers whatever happens."""
    grain, quality = rng.random(), int(rng.integers(40, 85))
    noise = np.random.default_rng(rng.integers(2**32))
    if grain < 0.12:
        sigma = noise.uniform(1, 5)
        image = np.clip(image + noise.normal(0, sigma, image.shape), 0, 255).astype(np.uint8)
    elif grain < 0.22:
        _, packed = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.ascontiguousarray(cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1])
    return image


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")
