"""``headgen.stream`` and ``headgen listen --stream``: a portrait listens to somebody who speaks right now."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headgen import hub
from headgen.errors import InputError
from headgen.faces.portrait import Portrait, read_portrait
from headgen.faces.tracker import MediaPipeTracker
from headgen.listener.capture import captured, devices, in_real_time
from headgen.listener.engine import CHUNK, ListenEngine, ListenJob, ListenOptions, Precision
from headgen.listener.gen import Guidance
from headgen.listener.latents import FRAMES_PER_LATENT
from headgen.listener.live import DELAY, LiveFigures, LiveFrame, listen_live
from headgen.listener.speaker import Piece, file_pieces, speaker_info
from headgen.listener.track import FPS, SpeakerTrack
from headgen.listener.wishes import Wish, with_chance
from headgen.listener_request import (
    LIVE_LISTENER,
    MOST_CHUNK,
    PAINTER,
    FrameMode,
    Layout,
    Listening,
    asked_for,
    check_listener,
    digests,
    write_video,
)
from headgen.media.output import check_output
from headgen.media.provenance import record_path, write_run_record
from headgen.media.video import VIDEO_SUFFIXES
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.scheduler.plan import segment_seed

__all__ = ["CAMERA", "check_delay", "live_frames", "live_options", "stream", "stream_to_file"]

CAMERA = "camera"
"""Name of the speaker who sits before this machine's own camera and microphone."""


def live_options(
    model: str = LIVE_LISTENER,
    *,
    frame: FrameMode = "full",
    steps: int | None = None,
    chunk: int = CHUNK,
    guidance: Guidance | None = None,
    precision: Precision = "auto",
    device: str = "auto",
) -> tuple[ListenOptions, dict[str, str]]:
    """Options of a live listener's engine, and SHA-256 of the weights by file; arguments as of `stream`.

    Raises:
        InputError: options out of range.
        WeightsError: see `stream`.
    """
    files, painter = hub.resolve(model), hub.resolve(PAINTER)
    own = check_listener(model, files.folder)
    steps = own if steps is None else steps
    options = ListenOptions(
        files.folder, painter.folder, "causal", steps, guidance or Guidance(), chunk=chunk,
        whole=frame == "full", precision=precision, device=device,
    )  # fmt: skip
    return options, digests(files, painter)


def live_frames(
    engine: ListenEngine,
    person: Portrait,
    pieces: Iterable[Piece],
    *,
    wishes: Sequence[Wish] = (),
    seed: int = 0,
    delay: float | None = DELAY,
    ready: Callable[[NDArray[np.uint8]], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[LiveFrame, None, None]:
    """A portrait listens to what comes of a speaker; see `headgen.listener.live.listen_live`."""
    config = engine.pipeline.adapter.config
    nobody = SpeakerTrack.unknown(0, config.audio_width, config.motion_width)
    engine.prepare(ListenJob(nobody, person, "", with_chance(wishes, seed)))
    return listen_live(engine, pieces, partial(segment_seed, seed), delay=delay, ready=ready, clock=clock)


def stream(
    speaker: str | Path | Iterable[Piece],
    portrait: str | Path,
    *,
    model: str = LIVE_LISTENER,
    frame: FrameMode = "full",
    steps: int | None = None,
    chunk: int = CHUNK,
    delay: float | None = DELAY,
    audio_scale: float = 1.0,
    motion_scale: float = 1.0,
    text: str | None = None,
    attitude: str | None = None,
    intensity: float = 1.0,
    text_scale: float = 1.0,
    text_model: str = "listener-text",
    max_size: int = 1280,
    precision: Precision = "auto",
    device: str = "auto",
    seed: int = 0,
) -> Generator[LiveFrame, None, None]:
    """A portrait listens while somebody speaks.

    Args:
        speaker: a file, which is played in real time; "camera" for this machine's camera and microphone; or
            anything that gives pieces of sound and pictures as they come.
        portrait: photograph of who listens.
        model: name of the model, see `headgen weights list`.
        frame: `full` shows the whole photograph, `crop` the square around the head.
        steps: denoising steps where there is time for them; as many as the model was made for by default.
        chunk: latent frames (of 0.16 s) that are made at a time: fewer answer sooner and cost more.
        delay: seconds behind the speaker at which pictures are to be shown. None: as well as can be and as
            fast as possible, with no regard to time; then pictures are those of ``listen --long causal``.
        audio_scale: see `headgen.listen`, as are all that follow.
        motion_scale: how strongly the speaker's face is followed.
        text: what the listener is to do.
        attitude: how the listener listens.
        intensity: of the attitude.
        text_scale: how strongly text and attitude are followed.
        text_model: name of the model that reads the text.
        max_size: longest side of the pictures.
        precision: arithmetic of the network that draws.
        device: `auto`, `cpu`, `cuda`, ...
        seed: another one gives another listener.

    Yields:
        A frame for each 1/25 s of the speaker, in order, as soon as it is there.

    Raises:
        InputError: a file or an option that cannot be used, or no camera and no microphone.
        WeightsError: an unknown model, one that is no listener, or weights that are missing or damaged.
    """
    guidance = Guidance(audio_scale, motion_scale, text_scale)
    reader = None if text is None else hub.resolve(text_model)
    wishes = asked_for(text, attitude, intensity, reader).wishes
    options, _ = live_options(
        model, frame=frame, steps=steps, chunk=chunk, guidance=guidance, precision=precision, device=device
    )
    check_delay(chunk, delay)
    pieces = _pieces(speaker, delay is not None) if isinstance(speaker, str | Path) else speaker
    with MediaPipeTracker() as tracker:
        person = read_portrait(Path(portrait), tracker, max_size)
    yield from live_frames(ListenEngine(options), person, pieces, wishes=wishes, seed=seed, delay=delay)


def stream_to_file(
    speaker: Path,
    portrait: Path,
    output: Path,
    *,
    model: str,
    layout: Layout,
    delay: float = DELAY,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> Listening:
    """Writes a live listener into a video while it listens; arguments as of `headgen.listen` and `stream`.

    Raises:
        InputError: see `stream`.
        WeightsError: see `stream`.
    """
    begun = time.perf_counter()
    live = str(speaker) == CAMERA
    inputs = [] if live else [speaker]
    check_output(output, suffixes=VIDEO_SUFFIXES, inputs=[*inputs, portrait])
    info = None if live else speaker_info(speaker)
    if layout == "side-by-side" and (info is None or not info.has_video):
        raise InputError(f"{speaker}: has no file of pictures to show beside; use --layout single")
    frames = stream(speaker, portrait, model=model, delay=delay, seed=seed, **options)
    figures = LiveFigures()

    def counted() -> Generator[tuple[int, NDArray[np.uint8]], None, None]:
        with closing(frames):
            for one in frames:
                figures.add(one)
                yield one.index, one.image
                if progress is not None:
                    progress(ProgressEvent("listen", one.index + 1, None if info is None else info.frames))

    write_video(output, counted(), speaker, info is not None and info.has_audio, layout, model)
    found, weights = live_options(model, steps=options.get("steps"))
    write_run_record(
        output,
        command="listen --stream",
        model=model,
        inputs={"speaker": inputs, "portrait": [portrait]},
        weights=weights,
        options={"layout": layout, "delay": delay, **options, "steps": found.steps},
        seed=seed,
        notes={"frames": figures.frames, "drawn": figures.drawn, "live": str(figures)},
    )
    seconds = time.perf_counter() - begun
    return Listening([output], [record_path(output)], figures.frames, seconds, live=str(figures))


def _pieces(speaker: str | Path, paced: bool) -> Iterator[Piece]:
    if str(speaker) == CAMERA:
        return captured(*devices())
    pieces = file_pieces(speaker_info(speaker))
    return in_real_time(pieces) if paced else pieces


def check_delay(chunk: int, delay: float | None) -> None:
    """Raises InputError if chunks are too long for the delay, or of no length that can be made."""
    if not 1 <= chunk <= MOST_CHUNK:
        raise InputError(f"chunk={chunk} is out of range; give 1 to {MOST_CHUNK}.")
    length = chunk * FRAMES_PER_LATENT / FPS
    if delay is not None and delay <= length:
        raise InputError(
            f"delay={delay:g}: chunks of {chunk} last {length:g} s; give a longer delay or a smaller chunk"
        )
