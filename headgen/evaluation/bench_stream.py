"""How live a listener is on this machine: latency, rate, memory, and what happens when it is slow."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np

from headgen.faces.portrait import Portrait, read_portrait
from headgen.faces.tracker import MediaPipeTracker
from headgen.listener.capture import in_real_time
from headgen.listener.engine import CHUNK, ListenEngine, ListenJob
from headgen.listener.live import DELAY, LiveFigures
from headgen.listener.speaker import Piece, file_pieces, speaker_info
from headgen.listener.stream import LatentStream
from headgen.listener.track import FPS, SpeakerTrack
from headgen.listener_request import LIVE_LISTENER
from headgen.nn.threads import cores
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.scheduler.plan import segment_seed
from headgen.stream import live_frames, live_options

__all__ = ["bench"]

STEPS = (8, 4, 2)
CHUNKS = (1, 2, 5)
BEFORE, AFTER = 8.0, 24.0
"""Seconds of the speaker before and after the machine is made slower."""


def bench(
    speaker: Path,
    portrait: Path,
    *,
    model: str = LIVE_LISTENER,
    seconds: float = 16.0,
    minutes: float = 10.0,
    slower: float = 3.0,
    max_size: int = 512,
    device: str = "auto",
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Measures a live listener on this machine; everything else should rest meanwhile.

    Args:
        speaker: a video of somebody who speaks, repeated for as long as is needed.
        portrait: photograph of who listens.
        model: name of the model.
        seconds: of the speaker for each measurement.
        minutes: of made-up rows, faster than real time and without drawing, over which memory is watched;
            a tenth of it with drawing.
        slower: how many times slower the machine is made for a while: the speaker's time runs faster.
        max_size: longest side of the pictures in pixels.
        device: `auto`, `cpu`, `cuda`, ...
        progress: told of each measurement.

    Returns:
        ``rates``: frames a second that can be made, by steps and chunk, with hearing, seeing and drawing;
        ``live``: latencies in seconds, in real time, by chunk; ``memory``: megabytes by minute;
        ``slower``: the same figures before, while and after the machine is slow.
    """
    options, _ = live_options(model, device=device)
    with MediaPipeTracker() as tracker:
        person = read_portrait(portrait, tracker, max_size)
    frames = round(seconds * FPS)
    done = count(1)
    found: dict[str, Any] = {"cores": cores(), "pixels": max(person.image.shape[:2]), "rates": {}, "live": {}}

    def told() -> None:
        if progress is not None:
            progress(ProgressEvent("measure", next(done), len(STEPS) * 2 + len(CHUNKS) + 3, "measurements"))

    for chunk in (1, CHUNK):
        for steps in STEPS:
            engine = ListenEngine(replace(options, steps=steps, chunk=chunk))
            found["rates"][f"{steps} steps, chunk {chunk}"] = round(_rate(engine, person, speaker, frames), 1)
            told()
    for chunk in CHUNKS:
        engine = ListenEngine(replace(options, chunk=chunk))
        delay = max(DELAY, chunk * engine.frames_per_latent / FPS + 0.2)
        found["live"][f"chunk {chunk}"] = _live(engine, person, speaker, frames, delay)
        told()
    engine = ListenEngine(options)
    found["memory"] = {"drawing off": _memory(engine, person, minutes, False)}
    told()
    found["memory"]["drawing on"] = _memory(engine, person, minutes / 10, True)
    told()
    found["slower"] = _slower(engine, person, speaker, slower, seconds)
    told()
    return found


def _repeated(speaker: Path, frames: int) -> Generator[Piece, None, None]:
    """So many pieces of a file that begins again and again."""
    info, given = speaker_info(speaker), 0
    while given < frames:
        shift = Fraction(given, FPS)
        with closing(file_pieces(info)) as pieces:
            for piece in islice(pieces, frames - given):
                given += 1
                pictures = tuple((begins + shift, image) for begins, image in piece.pictures)
                yield replace(piece, until=piece.until + shift, pictures=pictures)


def _rate(engine: ListenEngine, person: Portrait, speaker: Path, frames: int) -> float:
    """Frames a second of everything, as fast as possible."""
    begun: list[float] = []
    made = live_frames(
        engine, person, _repeated(speaker, frames), delay=None, ready=lambda _: begun.append(time.monotonic())
    )
    number = sum(1 for _ in made)
    return number / (time.monotonic() - begun[0])


def _live(engine: ListenEngine, person: Portrait, speaker: Path, frames: int, delay: float) -> dict[str, Any]:
    figures = LiveFigures()
    for frame in live_frames(engine, person, in_real_time(_repeated(speaker, frames)), delay=delay):
        figures.add(frame)
    return {"delay": delay, **_told(figures)}


def _told(figures: LiveFigures) -> dict[str, Any]:
    return {
        "first picture": round(figures.first, 3),
        "half within": round(figures.behind(0.5), 3),
        "95 % within": round(figures.behind(0.95), 3),
        "pictures a second": round(figures.rate, 2),
        "levels": {str(one): n for one, n in figures.levels.items()},
    }


def _memory(engine: ListenEngine, person: Portrait, minutes: float, draws: bool) -> dict[str, Any]:
    """Resident megabytes after each tenth of the time, and minutes a minute takes."""
    config = engine.pipeline.adapter.config
    rng = np.random.default_rng(0)
    engine.prepare(ListenJob(SpeakerTrack.unknown(0, config.audio_width, config.motion_width), person, ""))
    stream = LatentStream(engine, partial(segment_seed, 0))
    rows, kept, begun = round(minutes * 60 * FPS / 10), [], time.monotonic()
    for _ in range(10):
        for _ in range(rows):
            there = np.ones(1, bool)
            row = SpeakerTrack(
                rng.normal(size=(1, config.audio_width)).astype(np.float32),
                rng.normal(size=(1, config.motion_width)).astype(np.float32),
                there,
                there,
            )
            for latents in stream.push(row):
                if draws:
                    engine.painter.draw(engine.frames(latents), engine.options.whole)
        kept.append(round(_resident(), 1))
    spent = time.monotonic() - begun
    return {"minutes": minutes, "megabytes": kept, "times real time": round(minutes * 60 / spent, 1)}


def _resident() -> float:
    """Megabytes of memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _slower(
    engine: ListenEngine, person: Portrait, speaker: Path, factor: float, seconds: float
) -> dict[str, Any]:
    """The speaker's time runs `factor` times as fast for a while: to them the machine is as much slower."""
    clock, origin = _dilated(factor, seconds)
    sleep = partial(_sleep_until, clock)
    first, second, frames = (round(s * FPS) for s in np.cumsum([BEFORE, seconds, AFTER]))
    parts = {name: LiveFigures() for name in ("before", "while", "after")}
    last = -1  # frame that was made less well
    pieces = in_real_time(_repeated(speaker, frames), clock, sleep)
    for frame in live_frames(engine, person, pieces, clock=clock, ready=origin):
        name = "before" if frame.index < first else "while" if frame.index < second else "after"
        parts[name].add(frame)
        if frame.level.steps != engine.steps or frame.level.share < 1:
            last = frame.index
    found = {name: _told(figures) for name, figures in parts.items()}
    for name in ("while", "after"):
        del found[name]["first picture"]
    back = None if last == frames - 1 else round(max(0.0, (last + 1) / FPS - BEFORE - seconds), 2)
    return {"times": factor, **found, "seconds until the best level is back for good": back}


def _dilated(factor: float, seconds: float) -> tuple[Callable[[], float], Callable[[Any], None]]:
    """A clock that runs faster for some seconds of its own, and what starts it."""
    start = [time.monotonic()]

    def clock() -> float:
        real = time.monotonic() - start[0]
        fast = min(max(0.0, real - BEFORE) * factor, seconds)
        return min(real, BEFORE) + fast + max(0.0, real - BEFORE - seconds / factor)

    def begin(_: Any) -> None:
        start[0] = time.monotonic()

    return clock, begin


def _sleep_until(clock: Callable[[], float], seconds: float) -> None:
    """Sleeps until a clock has gone on by so much."""
    end = clock() + seconds
    while clock() < end:
        time.sleep(0.001)
