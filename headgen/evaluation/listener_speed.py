"""Seconds of computing for a second of a listener's video, part by part."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headgen import hub
from headgen.evaluation.listener_systems import HeldOut, Listeners, no_step, resting
from headgen.faces.portrait import read_portrait
from headgen.faces.tracker import MediaPipeTracker
from headgen.listener.engine import OVERLAP, SEGMENT, LatentEngine, PortraitPainter
from headgen.listener.motion import motion_features
from headgen.listener.speech import speech_features
from headgen.listener.track import FPS, SAMPLE_RATE
from headgen.listener_request import PAINTER
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.scheduler import Segment

__all__ = ["speed"]

ROUNDS = 3
"""Times that every part takes its turn."""
WATCHED = 4
"""Seconds of speech and of landmarks that features are made of."""
STEPS = (4, 8, 16)
SIZES = (256, 512)
"""Longest sides of the drawn pictures in pixels."""
DRAWN = 16
"""Frames that are drawn."""
LOUDNESS, JITTER = 0.1, 1e-3
"""Of the noise that stands for speech, in full scale, and of the landmarks, in outer-eye distances."""


def speed(
    clip: HeldOut, listeners: Listeners, portrait: Path | None, progress: ProgressCallback | None = None
) -> dict[str, Any]:
    """Measures every part of `headgen listen`. They take turns; medians are reported.

    Making latents is measured in the middle of a long video, at the model's own guidance; each frame that two
    segments make is paid for twice.

    Args:
        clip: whose speaker is listened to.
        listeners: the model's.
        portrait: photograph to draw, and to find the face in; without it, neither is measured.
        progress: told of each turn.

    Returns:
        ``parts``: by name, ``seconds`` by the clock and ``cpu_seconds`` of all threads, each for one second
        of video, and ``times_real_time``; ``all``: their sum at the chosen steps (and with a portrait the
        largest picture), one after the other; ``threads``.
    """
    parts: dict[str, tuple[float, Callable[[], Any]]] = {}
    rng = np.random.default_rng(listeners.seed)
    sound = (LOUDNESS * rng.standard_normal(WATCHED * SAMPLE_RATE)).astype(np.float32)
    parts["speech features"] = WATCHED, partial(speech_features, sound, WATCHED * FPS)
    faces = resting(WATCHED * FPS).landmarks()
    faces += JITTER * rng.standard_normal(faces.shape)
    parts["motion features"] = WATCHED, partial(motion_features, faces)
    chosen = f"latents, {listeners.steps} steps"
    for steps in sorted({*STEPS, listeners.steps}):
        parts[f"latents, {steps} steps"] = _latents(clip, listeners, steps)
    used = ["speech features", "motion features", chosen]
    if portrait is not None:
        drawing = _drawing(clip, listeners, Path(portrait))
        parts |= drawing
        used += ["finding the face", list(drawing)[-1]]

    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in parts}
    for _, run in parts.values():  # the first call allocates
        run()
    for turn in range(ROUNDS):
        for k, (name, (seconds, run)) in enumerate(parts.items()):
            begun = time.perf_counter(), time.process_time()
            run()
            ended = time.perf_counter(), time.process_time()
            taken[name].append(((ended[0] - begun[0]) / seconds, (ended[1] - begun[1]) / seconds))
            if progress is not None:
                progress(ProgressEvent("time", turn * len(parts) + k + 1, ROUNDS * len(parts), "turns"))
    medians = {
        name: [statistics.median(t) for t in zip(*times, strict=True)] for name, times in taken.items()
    }
    whole = [sum(medians[name][k] for name in used) for k in (0, 1)]
    return {
        "threads": torch.get_num_threads(),
        "rounds": ROUNDS,
        "parts": {name: _rates(*times) for name, times in medians.items()},
        "all": {"of": used, **_rates(*whole)},
    }


def _rates(clock: float, cpu: float) -> dict[str, float]:
    return {"seconds": clock, "cpu_seconds": cpu, "times_real_time": 1 / clock}


def _latents(clip: HeldOut, listeners: Listeners, steps: int) -> tuple[float, Callable[[], Any]]:
    """The second of three segments: seconds of video that it adds, and what makes it."""
    engine = LatentEngine(listeners.pipeline, listeners.long, steps)
    overlap = 0 if engine.chained else OVERLAP
    added = SEGMENT - overlap
    track = clip.track[np.arange(2 * SEGMENT) % len(clip.track)]
    engine.attend(track, listeners.tokens)
    first = Segment(0, 0, SEGMENT, listeners.seed, 0, overlap)
    second = Segment(1, added, added + SEGMENT, listeners.seed, overlap, overlap)
    previous = engine.render(first, None, no_step) if engine.chained else None
    return added / FPS, partial(engine.render, second, previous, no_step)


def _drawing(
    clip: HeldOut, listeners: Listeners, portrait: Path
) -> dict[str, tuple[float, Callable[[], Any]]]:
    """Drawing of a portrait in every size, and finding a face in the largest pictures."""
    pipeline = listeners.pipeline
    folder = hub.resolve(PAINTER).folder
    frames = listeners.latents(clip.track[:SEGMENT], clip.name)[:DRAWN]
    parts: dict[str, tuple[float, Callable[[], Any]]] = {}
    tracker = MediaPipeTracker()
    for size in SIZES:
        painter = PortraitPainter(folder, pipeline.codec, "auto", pipeline.device)
        painter.prepare(read_portrait(portrait, tracker, size))
        parts[f"drawing, {size} px"] = len(frames) / FPS, partial(painter.draw, frames, whole=True)
    pictures = painter.draw(frames, whole=True)

    def find() -> None:
        for picture in pictures:
            tracker.track(picture)

    return {"finding the face": (len(pictures) / FPS, find), **parts}
