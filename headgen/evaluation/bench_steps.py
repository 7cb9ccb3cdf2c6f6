"""What becomes of a listener who is made in fewer denoising steps, on held-out synthetic conversations."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table

from headgen import hub
from headgen.errors import InputError
from headgen.evaluation.bench_listener import KINDS, TOLERANCE
from headgen.evaluation.face_texture import Face, sharpness
from headgen.evaluation.listener_systems import HeldOut, coefficients, held_out, resting
from headgen.evaluation.motion_events import EventClip, event_report
from headgen.evaluation.motion_metrics import ListenerClip, listener_report, motion_scale
from headgen.evaluation.printed import printed
from headgen.evaluation.results import plain
from headgen.faces.events import motion_events
from headgen.faces.portrait import Portrait, read_portrait
from headgen.faces.tracker import MediaPipeTracker
from headgen.listen import MOST_STEPS
from headgen.listener.engine import CHUNK, SEGMENT, Long, PortraitPainter, load_pipeline
from headgen.listener.gen import ListenerPipeline
from headgen.listener.latents import WarpCodec, frames_of, soften_joints
from headgen.listener_request import PAINTER
from headgen.media.output import check_output
from headgen.nn.precision import resolve_device
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.scheduler.plan import derived_seed

__all__ = ["Report", "bench"]

DRAWN, APART, SIZE = 3, 50, 512
"""Listeners of which pictures are looked at, frames between two pictures, and their longest side."""
SHOWN = {
    "FD pose": "fd_pose",
    "FD expr.": "fd_expression",
    "P-FD pose": "pfd_pose",
    "P-FD expr.": "pfd_expression",
    "SID pose": "sid_pose",
    "SID expr.": "sid_expression",
    "Var pose": "var_within_pose",
    "Var expr.": "var_within_expression",
}
"""Columns of the table that are of `listener_report`."""
RESAMPLES = 500
TOGETHER = 10
"""Listeners that are made at the same time."""


@dataclass(frozen=True)
class Report:
    """What `bench` found; see there. As text, a table."""

    facts: dict[str, Any]

    def __str__(self) -> str:
        facts = self.facts
        table = Table(
            title=f"{facts['model']}: {facts['conversations']} held-out conversations of "
            f"{facts['seconds']:g} s, seed {facts['seed']}; 95 % intervals over conversations",
            title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False,
        )  # fmt: skip
        events = [f"{kind}{column}" for kind in KINDS for column in ("/min", " F1 (chance)")]
        for column in ("long", "steps", *SHOWN, *events, "jitter", "sharpness"):
            table.add_column(column, justify="right", no_wrap=True)
        for row in ({"long": "truth", "steps": "", **facts["truth"]}, *facts["rows"]):
            figures = [_interval(row.get(name)) for name in SHOWN.values()]
            for kind in KINDS:
                f1, chance = row[f"{kind}_f1"]["value"], row[f"{kind}_chance"]
                figures += [_number(row[f"{kind}_per_minute"], 1), f"{_number(f1)} ({_number(chance)})"]
            last = [_number(row[name]) if name in row else "" for name in ("jitter", "sharpness")]
            table.add_row(row["long"], str(row["steps"]), *figures, *last)
        return printed(table, width=320)


def bench(
    data: Path,
    steps: list[int],
    *,
    model: str = "listener-fast",
    clips: int = 40,
    portrait: Path | None = None,
    output: Path | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Report:
    """Measures listeners who are made in so many denoising steps, as segments and as live ones are made.

    They are made for held-out conversations and compared with the true ones; definitions are those of
    `headgen bench listener`. It is the network that is measured: segments are not joined, and the first noise
    is not chosen.

    Args:
        data: folder made by `headgen synth listening`; one in ten of its conversations is held out.
        steps: numbers of denoising steps to try.
        model: name of the model, or a folder with a listener.
        clips: held-out conversations, at most; 2 or more.
        portrait: photograph to draw; without it, sharpness is not measured.
        output: file to write all figures to (.json).
        device: `auto`, `cpu`, `cuda`, ...
        seed: of the listeners and of all resampling.
        progress: told of each listener.

    Returns:
        ``rows``, one for each way of making long videos and each number of steps: figures of
        `listener_report` as value, low and high; events a minute, their F1 and what chance would have;
        ``jitter``, accelerations over the true ones, a median; ``sharpness`` of drawn skin over the
        portrait's, a median. ``truth``: what the true listeners have.

    Raises:
        InputError: an option out of range, fewer than two held-out conversations, or a file that cannot be
            used.
        WeightsError: an unknown model, or weights that are missing or damaged.
    """
    if clips < 2 or not steps or not all(1 <= one <= MOST_STEPS for one in steps):
        raise InputError(
            f"clips={clips}, steps={steps}: give at least 2 clips, and steps from 1 to {MOST_STEPS}"
        )
    if output is not None:
        check_output(Path(output), suffixes=(".json",))
    pipeline = load_pipeline(hub.resolve(model).folder).to(resolve_device(device))
    drawing = None if portrait is None else _Drawing(Path(portrait), pipeline.codec, pipeline.device)
    conversations = held_out(Path(data), clips)
    rows: list[dict[str, Any]] = []
    total = len(get_args(Long)) * len(steps) * len(conversations)
    done = 0

    def stepped(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(ProgressEvent("listen", done, total, "listeners"))

    for long in get_args(Long):
        for count in steps:
            frames = made(pipeline, conversations, long, count, seed, stepped)
            motions = [coefficients(pipeline.codec.decode_frames(one)) for one in frames]
            row = {"long": long, "steps": count, **figures(conversations, motions, seed)}
            if drawing is not None:
                row["sharpness"] = drawing.sharpness(frames[:DRAWN])
            rows.append(row)
    truths = figures(conversations, [clip.truth for clip in conversations], seed)
    facts = plain({
        "model": model, "data": str(data), "conversations": len(conversations),
        "seconds": conversations[0].seconds, "seed": seed, "rows": rows, "truth": truths,
    })  # fmt: skip
    if output is not None:
        Path(output).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return Report(facts)


def made(
    pipeline: ListenerPipeline,
    clips: Sequence[HeldOut],
    long: Long,
    steps: int,
    seed: int,
    told: Callable[[int], None],
) -> list[np.ndarray]:
    """Frames of latents (T, P, C) of a listener for each conversation.

    Args:
        pipeline: the model.
        clips: the conversations, of one length.
        long: ``segments`` follow one another without an overlap, each made of noise alone; ``causal`` makes a
            chunk at a time.
        steps: denoising steps.
        seed: the same one gives the same noise, whatever the steps.
        told: how many more are ready.
    """
    count = len(clips[0].track) // pipeline.frames_per_latent
    tokens = pipeline.codec.portrait_tokens(resting(1).landmarks()[0])
    segment = SEGMENT // pipeline.frames_per_latent
    found = []
    for first in range(0, len(clips), TOGETHER):
        some = clips[first : first + TOGETHER]
        noises = [torch.Generator().manual_seed(derived_seed(seed, f"clip {clip.name}")) for clip in some]
        noise = torch.cat([pipeline.noise(1, count, generator) for generator in noises])
        noise = pipeline.config.liveliness * noise
        stretches = [(0, count)] if long == "causal" else cut(count, segment)
        latents = [
            pipeline(
                [clip.track[: stop * pipeline.frames_per_latent] for clip in some],
                tokens.expand(len(some), -1, -1),
                stop - start,
                chunk=CHUNK if long == "causal" else None,
                num_inference_steps=steps,
                latents=noise[:, start:stop],
                output_type="latent",
            ).latents
            for start, stop in stretches
        ]
        for one in torch.cat(latents, 1).numpy():
            found.append(frames_of(soften_joints(one)))
        told(len(some))
    return found


def cut(count: int, size: int) -> list[tuple[int, int]]:
    """Where stretches of a size begin and end."""
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def figures(clips: Sequence[HeldOut], motions: Sequence[np.ndarray], seed: int) -> dict[str, Any]:
    """Figures of motion (T, K) for each conversation; see `bench`."""
    scale = motion_scale([clip.truth for clip in clips])
    pairs = [ListenerClip(c.speaker, c.truth, m) for c, m in zip(clips, motions, strict=True)]
    report = listener_report(pairs, scale=scale, seed=seed, resamples=RESAMPLES)
    found: dict[str, Any] = {name: report[name] for name in SHOWN.values()}
    events = [motion_events(motion) for motion in motions]
    for name, kinds in KINDS.items():
        told = [
            EventClip(
                [e for e in mine if e.kind in kinds],
                [e for e in clip.events if e.kind in kinds],
                clip.seconds,
            )
            for mine, clip in zip(events, clips, strict=True)
        ]
        scores = event_report(told, TOLERANCE, seed)
        minutes = sum(clip.seconds for clip in clips) / 60
        found[f"{name}_per_minute"] = sum(len(one.found) for one in told) / minutes
        found[f"{name}_f1"] = scores["f1"]
        found[f"{name}_above_chance"] = scores["f1_above_chance"]
        found[f"{name}_chance"] = scores["chance_f1"].value
    unrest = [
        [float((np.diff(motion, 2, axis=0) / scale).std()) for motion in (made, clip.truth)]
        for made, clip in zip(motions, clips, strict=True)
    ]
    found["jitter"] = statistics.median(made / true for made, true in unrest)
    return found


class _Drawing:
    """Draws listeners and looks at their skin."""

    def __init__(self, portrait: Path, codec: WarpCodec, device: torch.device) -> None:
        self.tracker = MediaPipeTracker()
        self.person: Portrait = read_portrait(portrait, self.tracker, SIZE)
        self.painter = PortraitPainter(hub.resolve(PAINTER).folder, codec, "auto", device)
        self.painter.prepare(self.person)

    def sharpness(self, listeners: Sequence[np.ndarray]) -> float | None:
        """Of every `APART`-th picture of frames (T, P, C), a median."""
        own = Face(self.person.image, self.person.landmarks.astype(np.float64))
        found = []
        for frames in listeners:
            for picture in self.painter.draw(frames[APART // 2 :: APART], whole=True):
                track = self.tracker.track(picture, still=True)
                if track is not None:
                    found.append(sharpness(own, Face(picture, track.landmarks.astype(np.float64))))
        known = [value for value in found if value is not None]
        return statistics.median(known) if known else None


def _interval(estimate: Mapping[str, float | None] | None) -> str:
    if estimate is None:
        return ""
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    return f"{_number(value)} ({_number(low, 1)}..{_number(high, 1)})"


def _number(value: float | None, places: int = 2) -> str:
    return "-" if value is None else f"{value:.{places}f}"
