"""``headgen listen``: a portrait listens to a speaker.

The speaker's file is heard and seen first (small features, 0.5 kB a frame); then the scheduler makes the
listener in segments and the pictures go straight to the writer. Memory hardly grows with the length.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal

from headgen import hub
from headgen.errors import InputError, check_choices
from headgen.faces.portrait import Portrait, read_portrait
from headgen.faces.tracker import MediaPipeTracker
from headgen.listener.engine import (
    CHUNK,
    OVERLAP,
    SEGMENT,
    ListenEngine,
    ListenJob,
    ListenOptions,
    Long,
    Precision,
    TransitionKind,
)
from headgen.listener.gen import Guidance
from headgen.listener.latents import FRAMES_PER_LATENT, WarpCodec, same_latents
from headgen.listener.live import DELAY
from headgen.listener.speaker import speaker_info, speaker_track
from headgen.listener.timeline import Observed, timeline
from headgen.listener.track import FPS, SpeakerTrack
from headgen.listener.wishes import Wish, with_chance
from headgen.listener_request import (
    MOST_CHUNK,
    PAINTER,
    FrameMode,
    Layout,
    Listening,
    asked_for,
    check_listener,
    digests,
    usual_model,
    write_video,
)
from headgen.media.output import check_output
from headgen.media.provenance import record_path, write_run_record
from headgen.media.video import VIDEO_SUFFIXES
from headgen.progress import ProgressCallback
from headgen.scheduler import Cache, JoiningEngine, Plan, ProcessEngine, plan_segments, run
from headgen.scheduler.cache import fingerprint
from headgen.scheduler.plan import derived_seed
from headgen.scheduler.ray_engine import RayEngine
from headgen.stream import stream_to_file

__all__ = ["listen", "plan"]

logger = logging.getLogger(__name__)

WhereSegments = Literal["local", "ray"]

EDITOR = "listener-edit"
"""The model that rewrites the joins of segments."""
MOST_STEPS, MOST_TAKES = 100, 20


def listen(
    speaker: Path,
    portrait: Path,
    output: Path,
    *,
    model: str | None = None,
    layout: Layout = "single",
    frame: FrameMode = "full",
    long: Long = "segments",
    transition: TransitionKind = "edit",
    chunk: int = CHUNK,
    stream: bool = False,
    delay: float = DELAY,
    steps: int | None = None,
    audio_scale: float = 1.0,
    motion_scale: float = 1.0,
    text: str | None = None,
    attitude: str | None = None,
    intensity: float = 0.7,
    text_scale: float = 1.0,
    text_model: str = "listener-text",
    takes: int = 1,
    face: int = 1,
    max_size: int = 1280,
    workers: int = 1,
    executor: WhereSegments = "local",
    address: str | None = None,
    cpus: int = 1,
    gpus: float = 0,
    cache: Path | None = None,
    precision: Precision = "auto",
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Listening:
    """Makes a portrait listen to a speaker.

    The output has 25 frames a second over the speaker's whole length, and the speaker's sound. What the
    listener does until a moment depends on what the speaker said and did until then. A run record,
    `OUTPUT.json`, is written beside it, which also tells when the speaker talks and the listener nods, smiles
    and blinks.

    Args:
        speaker: a video of somebody who speaks, or sound alone.
        portrait: photograph of who listens.
        output: the video to be written (.mp4, .mov or .mkv). With several takes, `NAME-1.mp4`, `NAME-2.mp4`
            and so on.
        model: name of the model, see `headgen weights list`; by default `listener-small`, and `listener-fast`
            for `causal` and `stream`.
        layout: the listener alone (`single`), or `side-by-side` with the speaker.
        frame: `full` keeps the whole photograph, `crop` writes the square around the head.
        long: `segments` are made independently and joined; `causal` goes on from what was made before,
            without joins, in order.
        transition: how segments are joined: `edit` rewrites the motion there by a network of its own,
            `crossfade` blends it, `none` cuts.
        chunk: latent frames of 0.16 s that `causal` makes at a time, 1 to 12.
        stream: listen in real time, as to somebody who speaks right now; the speaker may be `camera`, this
            machine's camera and microphone. It is made as by `causal`, and less well where time is short.
        delay: with `stream`, seconds behind the speaker at which pictures are to be there.
        steps: denoising steps, 1 to 100: fewer are faster; by default those that the model was made for, 8
            of `listener-small` and 2 of `listener-fast`.
        audio_scale: how strongly the speaker's voice is followed, 0 to 5; 1 is natural.
        motion_scale: how strongly the speaker's face is followed, 0 to 5.
        text: what the listener is to do, in English: `smiles warmly and nods`; by time, in seconds:
            `0-5: neutral; 5-: surprised`.
        attitude: how to listen all the time: `warm`, `neutral`, `sceptical`, `bored` or `surprised`.
        intensity: of the attitude, 0 to 1.
        text_scale: how strongly text and attitude are followed, 0 to 5.
        text_model: name of the model that reads the text.
        takes: how many listeners to make, each with a seed of its own.
        face: which face of the photograph listens, where it shows several: 1 is the largest.
        max_size: longest side of the output in pixels; a larger photograph is made smaller.
        workers: processes that make segments; each loads the models. `causal` has use for one only.
        executor: where these are: `local`, on this machine, or `ray`, on the machines of a Ray cluster.
        address: with `ray`, the cluster's, HOST:PORT or `auto`; without it, one on this machine is started.
        cpus: with `ray`, cores that each worker takes from the cluster.
        gpus: with `ray`, GPUs that each takes; 0.5 lets two share one.
        cache: folder that keeps finished segments; with it, a run that was stopped goes on where it stopped.
        precision: arithmetic of the network that draws: `auto`, `fp32` or `bf16`.
        device: `auto`, `cpu`, `cuda`, ...
        seed: another one gives another listener.
        progress: called as work goes on.

    Returns:
        Where the videos and their records lie, and how long it took.

    Raises:
        InputError: a file or an option that cannot be used.
        WeightsError: an unknown model, one that is no listener, or weights that are missing or damaged.
    """
    begun = time.perf_counter()
    speaker, portrait, output = Path(speaker), Path(portrait), Path(output)
    guidance = check_options(
        layout, frame, long, transition, chunk, steps, audio_scale, motion_scale, text_scale, attitude,
        intensity, takes, precision,
    )  # fmt: skip
    model = model or usual_model(stream or long == "causal")
    if workers < 1:
        raise InputError(f"workers={workers} is out of range; give 1 or more.")
    check_choices(executor=(executor, WhereSegments))
    if executor != "ray" and (address, cpus, gpus) != (None, 1, 0):
        raise InputError("address, cpus and gpus go with --executor ray; add it")
    if stream:
        if executor == "ray" or takes > 1 or workers > 1 or cache is not None or face != 1:
            raise InputError(
                "stream goes with one take, one local worker and the largest face, and keeps no cache; "
                "leave these out"
            )
        return stream_to_file(
            speaker, portrait, output, model=model, layout=layout, frame=frame, steps=steps, chunk=chunk,
            delay=delay, audio_scale=audio_scale, motion_scale=motion_scale, text=text, attitude=attitude,
            intensity=intensity, text_scale=text_scale, text_model=text_model, max_size=max_size,
            precision=precision, device=device, seed=seed, progress=progress,
        )  # fmt: skip
    reader = None if text is None else hub.resolve(text_model)
    request = asked_for(text, attitude, intensity, reader)
    outputs = [output] if takes == 1 else [output.with_stem(f"{output.stem}-{k + 1}") for k in range(takes)]
    for path in outputs:
        check_output(path, suffixes=VIDEO_SUFFIXES, inputs=[speaker, portrait])
    files, painter = hub.resolve(model), hub.resolve(PAINTER)
    own = check_listener(model, files.folder)
    steps = own if steps is None else steps
    info = speaker_info(speaker)
    if layout == "side-by-side" and not info.has_video:
        raise InputError(f"{speaker}: has no picture to show beside the listener; use --layout single")
    editor = _editor(model, files.folder) if (long, transition) == ("segments", "edit") else None
    if transition == "edit" and editor is None:
        transition = "crossfade"
    options = ListenOptions(
        files.folder, painter.folder, long, steps, guidance, chunk=chunk, transition=transition,
        editor=None if editor is None else editor.folder, whole=frame == "full", precision=precision,
        device=device,
    )  # fmt: skip
    with MediaPipeTracker() as tracker:
        person = read_portrait(portrait, tracker, max_size, face)
    track = speaker_track(speaker, progress=progress)
    for start in sorted({wish.start for wish in request.wishes}):
        if start >= len(track) / FPS:
            logger.warning("text: from %g s on there is no video; it ends at %g s", start, len(track) / FPS)
    weights = digests(files, painter, *([] if editor is None else [editor]))
    told: dict[str, Any] = {
        "layout": layout, "frame": frame, "long": long, "transition": transition, "chunk": chunk,
        "steps": steps,
        "audio_scale": audio_scale, "motion_scale": motion_scale, "text": text, "attitude": attitude,
        "intensity": intensity, "text_scale": text_scale, "takes": takes, "face": face, "max_size": max_size,
        "precision": precision, "device": device,
    }  # fmt: skip
    store = None if cache is None else Cache(cache)
    codec = _codec(files.folder)
    with ExitStack() as stack:
        engine: JoiningEngine
        if executor == "ray":
            make = partial(ListenEngine, options)
            engine = stack.enter_context(RayEngine(make, workers, address=address, cpus=cpus, gpus=gpus))
        elif workers > 1:
            engine = stack.enter_context(ProcessEngine(partial(ListenEngine, options), workers))
        else:
            engine = ListenEngine(options)
        observed = Observed(engine)
        for k, path in enumerate(outputs):
            started = time.perf_counter()
            own = seed if takes == 1 else derived_seed(seed, f"take {k + 1}")
            planned = plan(len(track), long, own)
            wishes = with_chance(request.wishes, own)
            job = ListenJob(track, person, _identity(track, person, options, weights, wishes), wishes)
            pictures = run(planned, observed, job, cache=store, progress=progress)
            write_video(path, pictures, speaker, info.has_audio, layout, model)
            notes = {
                "frames": len(track),
                "take": k + 1,
                "frames with the speaker's face": int(track.seen.sum()),
                "frames with sound": int(track.heard.sum()),
                "seconds": round(time.perf_counter() - started, 2),
                **({"asked for": str(request)} if wishes else {}),
                "timeline": timeline(track, observed.curves(codec), planned),
            }
            write_run_record(
                path,
                command="listen",
                model=model,
                inputs={"speaker": [speaker], "portrait": [portrait]},
                weights=weights if reader is None else weights | digests(reader),
                options=told,
                seed=seed,
                notes=notes,
            )
    seconds = time.perf_counter() - begun
    return Listening(outputs, list(map(record_path, outputs)), len(track), seconds, request.understood)


def check_options(
    layout: Layout,
    frame: FrameMode,
    long: Long,
    transition: TransitionKind,
    chunk: int,
    steps: int | None,
    audio_scale: float,
    motion_scale: float,
    text_scale: float,
    attitude: str | None,
    intensity: float,
    takes: int,
    precision: Precision,
) -> Guidance:
    """Checks what can be checked of `listen`'s options without files.

    Raises:
        InputError: a value that is not offered or out of range.
    """
    check_choices(
        layout=(layout, Layout), frame=(frame, FrameMode), long=(long, Long),
        transition=(transition, TransitionKind), precision=(precision, Precision),
    )  # fmt: skip
    for name, number, most in (
        ("steps", 1 if steps is None else steps, MOST_STEPS),
        ("takes", takes, MOST_TAKES),
        ("chunk", chunk, MOST_CHUNK),
    ):  # fmt: skip
        if not 1 <= number <= most:
            raise InputError(f"{name}={number} is out of range; give 1 to {most}.")
    asked_for(None, attitude, intensity, None)
    return Guidance(audio_scale, motion_scale, text_scale)


def plan(frames: int, long: Long, seed: int) -> Plan:
    """The segments of a listener's video.

    Args:
        frames: of the video.
        long: see `listen`.
        seed: of the video.
    """
    if long == "causal":  # a live one is cut no other way: nobody knows yet where it ends
        return plan_segments(frames, SEGMENT, 0, seed, multiple=FRAMES_PER_LATENT, least=1)
    return plan_segments(frames, SEGMENT, OVERLAP, seed, multiple=FRAMES_PER_LATENT)


def _editor(model: str, folder: Path) -> hub.Weights | None:
    """The weights that rewrite joins of a listener's segments; None if they know no such latents."""
    found = hub.resolve(EDITOR)
    if same_latents(_codec(found.folder), _codec(folder)):
        return found
    logger.warning("model %s: its latents are not those of %s, so segments are cross-faded", model, EDITOR)
    return None


def _codec(folder: Path) -> WarpCodec:
    return WarpCodec.from_pretrained(folder / "codec", low_cpu_mem_usage=False)


def _identity(
    track: SpeakerTrack,
    person: Portrait,
    options: ListenOptions,
    weights: dict[str, str],
    wishes: tuple[Wish, ...],
) -> str:
    """Stands for all that a segment is made of beside its place and seed."""
    elsewhere = ("model", "painter", "editor", "whole")  # files are known by their contents
    told = {name: value for name, value in vars(options).items() if name not in elsewhere}
    speaker = {name: getattr(track, name) for name in ("audio", "motion", "heard", "seen")}
    return fingerprint(
        {
            "speaker": speaker,
            "portrait": person.landmarks,
            "options": told,
            "weights": weights,
            "wishes": wishes,
        }
    )
