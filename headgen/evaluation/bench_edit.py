"""How well joins are rewritten: on held-out joins that went wrong, against what should have been there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from headgen import hub
from headgen.errors import InputError
from headgen.evaluation.bootstrap import Estimate, bootstrap_difference, bootstrap_interval, ratio
from headgen.evaluation.printed import printed
from headgen.evaluation.synthetic_joins import KINDS, MIXED, MOST_SKIPPED, Join, JoinMaker
from headgen.listener.edit import STEPS, STRENGTH, ListenerEditor
from headgen.listener.engine import SHUT, load_editor, openness
from headgen.listener.latents import FRAMES_PER_LATENT, frames_of, latents_of
from headgen.listener.track import SpeakerTrack
from headgen.listening import ListeningClip, clip_names, read_clip
from headgen.media.output import check_output
from headgen.nn.precision import resolve_device
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = ["FIGURES", "Report", "bench"]

Frames = NDArray[np.float32]

WINDOW, INNER = 16, (5, 11)
"""Latent frames of a window, and the inner ones: those of a transition of `headgen listen`."""
BY_KIND: Mapping[str, tuple[str, ...]] = {**{kind: (kind,) for kind in KINDS}, "mixed": MIXED}
"""What went wrong, by the name in the report."""
SYSTEMS = ("edit", "crossfade", "interpolation", "none")
FIGURES = ("error", "unrest", "shut")
"""``error``: root mean square error of the inner latents, 1 being what faces move by all told. ``unrest``:
root mean square of the change of speed from the last outer frame on the left to the first on the right, over
the truth's. ``shut``: inner frames in which eyes are shut, less those in which they should be."""


@dataclass(frozen=True)
class Report:
    """What `bench` found; see there. As text, a table for each figure."""

    facts: dict[str, Any]

    def __str__(self) -> str:
        f = self.facts
        heading = (
            f"{f['model']}: {f['joins']} held-out joins of each kind, strength {f['strength']:g}, "
            f"{f['steps']} steps, seed {f['seed']}; 95 % intervals over joins; *: better than every other "
            "one beyond chance"
        )
        tables = []
        for figure in FIGURES:
            table = Table(
                title=figure, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False
            )
            for column in ("join", *SYSTEMS):
                table.add_column(column, justify="left" if column == "join" else "right", no_wrap=True)
            for kind, found in f["kinds"].items():
                row = [_cell(found[figure][system], found["best"][figure] == system) for system in SYSTEMS]
                table.add_row(kind, *row)
            tables.append(table)
        return printed(heading, *tables, width=160)


def bench(
    data: Path,
    *,
    model: str = "listener-edit",
    joins: int = 40,
    strength: float = STRENGTH,
    steps: int = STEPS,
    output: Path | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Report:
    """Measures how joins of segments are rewritten.

    Joins that went wrong are made of held-out conversations, of each kind alone and of several together. What
    Edit makes of them is compared with a cross-fade (which Edit begins with), a straight line between the
    outer frames, and a hard cut. The truth is the continuous clip; where the sides of a join differ for good,
    it is the clip and a smooth way from one to the other, to which a cross-fade comes close by construction.

    Args:
        data: folder made by `headgen synth listening`; one in ten of its conversations is held out.
        model: name of the model, or a folder with an editor.
        joins: of each kind; 2 or more.
        strength: share of noise in what is rewritten, above 0 to 1.
        steps: denoising steps.
        output: file to write all figures to (.json).
        device: `auto`, `cpu`, `cuda`, ...
        seed: of the joins, the noise and all resampling.
        progress: told of each kind.

    Returns:
        `FIGURES` of each kind and system, with intervals.

    Raises:
        InputError: an option out of range, conversations that are too short or of other latents, or a file
            that cannot be used.
        WeightsError: an unknown model, or weights that are missing or damaged.
    """
    if joins < 2 or steps < 1 or not 0 < strength <= 1:
        raise InputError(
            f"joins={joins}, steps={steps}, strength={strength} is out of range; give at least 2 joins and "
            "1 step, and a strength above 0 to 1"
        )
    if output is not None:
        check_output(Path(output), suffixes=(".json",))
    editor = load_editor(hub.resolve(model).folder).to(resolve_device(device))
    needed = WINDOW + -(-MOST_SKIPPED // FRAMES_PER_LATENT)
    clips = [read_clip(Path(data), name) for name in clip_names(Path(data), "test")]
    clips = [clip for clip in clips if len(clip.latents) >= needed]
    if not clips:
        raise InputError(f"{data}: all conversations are shorter than {needed} latent frames")
    maker = JoinMaker(clips)
    kinds: dict[str, Any] = {}
    for number, (name, wrong) in enumerate(BY_KIND.items()):
        statistics: dict[str, list[list[float]]] = {system: [] for system in SYSTEMS}
        for k in range(joins):
            join, speaker = _join(maker, clips, wrong, np.random.default_rng((seed, number, k)))
            generator = torch.Generator().manual_seed(seed * joins + k)
            made = systems(editor, join, speaker, strength, steps, generator)
            for system, frames in made.items():
                statistics[system].append(_statistics(editor, join, frames))
        kinds[name] = _compared({s: np.array(rows) for s, rows in statistics.items()}, seed)
        if progress is not None:
            progress(ProgressEvent("edit", number + 1, len(BY_KIND), "kinds"))
    facts = {
        "model": model, "data": str(data), "joins": joins, "strength": strength, "steps": steps, "seed": seed,
        "kinds": kinds,
    }  # fmt: skip
    if output is not None:
        Path(output).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return Report(facts)


def _join(
    maker: JoinMaker, clips: list[ListeningClip], kinds: tuple[str, ...], rng: np.random.Generator
) -> tuple[Join, SpeakerTrack]:
    """A join, and the speaker up to its last frame."""
    number = int(rng.integers(len(clips)))
    spare = len(clips[number].latents) - WINDOW - -(-MOST_SKIPPED // FRAMES_PER_LATENT)
    first = int(rng.integers(spare + 1)) * FRAMES_PER_LATENT
    inner = INNER[0] * FRAMES_PER_LATENT, INNER[1] * FRAMES_PER_LATENT
    frames = WINDOW * FRAMES_PER_LATENT
    return maker.join(number, first, frames, inner, kinds, rng), clips[number].track[: first + frames]


def systems(
    editor: ListenerEditor,
    join: Join,
    speaker: SpeakerTrack,
    strength: float,
    steps: int,
    generator: torch.Generator,
) -> dict[str, Frames]:
    """What each of `SYSTEMS` makes of a join: (T, P, C) each."""
    faded = join.faded(join.start, join.stop)
    made = editor(
        torch.from_numpy(latents_of(faded))[None],
        slice(*INNER),
        [speaker],
        takes=(_inner_latents(join.left, join), _inner_latents(join.right, join)),
        strength=strength,
        num_inference_steps=steps,
        generator=generator,
    )[0]
    return {
        "edit": frames_of(made.numpy()),
        "crossfade": faded,
        "interpolation": join.interpolated(),
        "none": join.cut((join.start + join.stop) // 2),
    }


def _inner_latents(frames: Frames, join: Join) -> torch.Tensor:
    """(1, N, P, D)."""
    return torch.from_numpy(latents_of(frames[join.start : join.stop]))[None]


def _statistics(editor: ListenerEditor, join: Join, frames: Frames) -> list[float]:
    """What the figures are made of: squared error; squared changes of speed, and true ones; shut frames."""
    inner = slice(join.start, join.stop)
    error = np.square(frames[inner] - join.truth[inner]).mean()
    reach = slice(join.start - 2, join.stop + 2)
    turns, true_turns = (np.square(np.diff(x[reach], 2, 0)).mean() for x in (frames, join.truth))
    shut, true_shut = (
        (openness(editor.codec.decode_frames(x[inner])) < SHUT).sum() for x in (frames, join.truth)
    )
    return [float(error), float(turns), float(true_turns), float(shut) - float(true_shut)]


_VALUES: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "error": lambda s: np.sqrt(s[..., 0]),
    "unrest": lambda s: np.sqrt(ratio(s[..., 1], s[..., 2])),
    "shut": lambda s: s[..., 3],
}


def _aim(figure: str, value: NDArray[Any]) -> NDArray[Any]:
    """How far a figure is from what it should be."""
    return np.abs(value - 1) if figure == "unrest" else np.abs(value)


def _compared(statistics: Mapping[str, NDArray[Any]], seed: int) -> dict[str, Any]:
    """Figures of all systems, and which one is better than every other beyond chance, or None."""
    found: dict[str, Any] = {"best": {}}
    for figure, value in _VALUES.items():
        estimates = {
            system: bootstrap_interval(rows, value, np.random.default_rng(seed))
            for system, rows in statistics.items()
        }
        found[figure] = {system: _told(estimate) for system, estimate in estimates.items()}
        nearest = min(estimates, key=lambda s: float(_aim(figure, np.array(estimates[s].value))))
        sure = all(
            bootstrap_difference(
                statistics[nearest],
                rows,
                lambda s, figure=figure, value=value: _aim(figure, value(s)),  # type: ignore[misc]
                np.random.default_rng(seed),
            ).high
            < 0
            for system, rows in statistics.items()
            if system != nearest
        )
        found["best"][figure] = nearest if sure else None
    return found


def _told(estimate: Estimate) -> dict[str, float | None]:
    """As JSON has it, which knows no infinity."""
    return {
        name: float(number) if np.isfinite(number) else None for name, number in estimate._asdict().items()
    }


def _cell(estimate: Mapping[str, float | None], best: bool) -> str:
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    ends = "" if low is None or high is None else f" ({low:.2f}..{high:.2f})"
    return "-" if value is None else f"{value:.3f}{ends}{' *' if best else '  '}"
