"""Whether listeners do what a text asks for: how much more of it, of what else, and when.

Listeners are made twice for the same held-out conversations and from the same noise, with a text and without.
Changes are told in standard deviations, over conversations, of listeners without a text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from headgen import hub
from headgen.errors import InputError
from headgen.evaluation.listener_systems import HeldOut, Listeners, held_out
from headgen.evaluation.text_phrasings import PHRASINGS, phrasing_report
from headgen.faces.events import nods
from headgen.faces.motion import MOTION_NAMES
from headgen.listener.engine import Long, load_pipeline
from headgen.listener.gen import Guidance
from headgen.listener.latents import FRAMES_PER_LATENT
from headgen.listener.text import load_text_encoder, read_text
from headgen.listener.track import FPS
from headgen.listener.wishes import Wish
from headgen.media.output import check_output
from headgen.nn.precision import resolve_device
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = ["CURVES", "TEXTS", "Report", "bench", "onset"]

TEXTS = {
    "smile": "smiles a lot",
    "nod": "nods often",
    "surprise": "looks surprised a lot",
    "frown": "frowns a lot",
    "gaze_away": "looks away often",
    "tilt": "tilts the head a lot",
}
"""What is asked for, by what it should change."""
PHRASINGS_TRIED = 5
"""Of those that were not in training."""
LEAST = 0.5
"""Change, in standard deviations, under which nothing begins."""
SMOOTHING = 0.2
"""Seconds, standard deviation: of curves, so that consonants and tremor are nothing."""
Curve = Callable[[Mapping[str, np.ndarray], Mapping[str, float]], np.ndarray]


def _above(motion: Mapping[str, np.ndarray], rest: Mapping[str, float], *names: str) -> np.ndarray:
    """How far the sum of some numbers lies above its rest; nothing below."""
    return np.sum([motion[name] - rest[name] for name in names], axis=0).clip(0)


def _smile(motion: Mapping[str, np.ndarray], rest: Mapping[str, float]) -> np.ndarray:
    return _above(motion, rest, "smile_left", "smile_right", "mouth_width")


def _nod(motion: Mapping[str, np.ndarray], _: Mapping[str, float]) -> np.ndarray:
    out = np.zeros(len(motion["pitch"]))
    for event in nods(motion["pitch"]):
        out[int(event.start * FPS) : int(event.end * FPS) + 1] = 1
    return out


def _surprise(motion: Mapping[str, np.ndarray], rest: Mapping[str, float]) -> np.ndarray:
    brows = _above(motion, rest, "brow_left", "brow_right")
    return np.sqrt(brows * _above(motion, rest, "eye_left", "eye_right"))


def _frown(motion: Mapping[str, np.ndarray], rest: Mapping[str, float]) -> np.ndarray:
    names = ("brow_left", "brow_right")
    return _above({n: -motion[n] for n in names}, {n: -rest[n] for n in names}, *names)


def _gaze_away(motion: Mapping[str, np.ndarray], rest: Mapping[str, float]) -> np.ndarray:
    return np.hypot(motion["gaze_x"] - rest["gaze_x"], motion["gaze_y"] - rest["gaze_y"])


def _tilt(motion: Mapping[str, np.ndarray], rest: Mapping[str, float]) -> np.ndarray:
    return np.abs(motion["roll"] - rest["roll"])


CURVES: dict[str, Curve] = {
    "smile": _smile,  # height and width of the mouth
    "nod": _nod,  # 1 while the head nods
    "surprise": _surprise,  # brows up and eyes wide, both
    "frown": _frown,  # brows down
    "gaze_away": _gaze_away,  # eyes off where they mostly look
    "tilt": _tilt,  # head off how it is mostly held, degrees
}
"""How strongly each behaviour shows in every frame: (T,) of a motion, and of the medians of the same
conversation's listener without a text, which stand for rest.

Over 24 true listeners of half a minute, the means of these curves correlate with how much of the behaviour
there truly is by .99 (smile), .98 (nod), .84 (surprise), .81 (frown), .96 (gaze away) and .79 (tilt)."""


@dataclass(frozen=True)
class Report:
    """What `bench` found; see there. As text, tables."""

    facts: dict[str, Any]

    def __str__(self) -> str:
        facts = self.facts
        reading = facts["reading"]
        lines = [
            f"{facts['model']}: {facts['conversations']} held-out conversations of {facts['seconds']:g} s, "
            f"{facts['long']}, {facts['steps']} steps, text scale {facts['text_scale']:g}, "
            f"seed {facts['seed']}",
            f"reading phrasings that were not trained on: precision {reading['precision']:.3f}, recall "
            f"{reading['recall']:.3f}",
            "",
            "change against no text, standard deviations over conversations",
            f"{'text':46}" + "".join(f"{name:>11}" for name in CURVES),
        ]
        for name, entry in facts["behaviours"].items():
            for text, changes in entry["texts"].items():
                row = "".join(f"{changes[other]:>10.2f}{'*' if other == name else ' '}" for other in CURVES)
                lines.append(f"{text[:45]:46}{row}")
        lines += ["", f"{'asked for from the middle on':32}{'change before':>14}{'after':>8}{'onset s':>10}"]
        for name, entry in facts["behaviours"].items():
            late = entry["late"]
            begins = "-" if late["onset"] is None else f"{late['onset']:.2f}"
            lines.append(f"{name:32}{late['before']:>14.2f}{late['after']:>8.2f}{begins:>10}")
        return "\n".join(lines)


def bench(
    data: Path,
    *,
    model: str = "listener-small",
    text_model: str = "listener-text",
    clips: int = 12,
    seconds: float = 16.0,
    steps: int = 8,
    text_scale: float = 1.0,
    long: Long = "segments",
    output: Path | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Report:
    """Measures whether listeners do what a text asks for.

    Args:
        data: folder made by `headgen synth listening`; one in ten of its conversations is held out.
        model: name of the model, or a folder with a listener.
        text_model: name of the model that reads the text, or its folder.
        clips: held-out conversations, at most; 2 or more.
        seconds: of each, at most.
        steps: denoising steps.
        text_scale: how strongly the text is followed.
        long: ``segments``, or ``causal`` as live listeners are made.
        output: file to write all figures to (.json).
        device: `auto`, `cpu`, `cuda`, ...
        seed: of the listeners.
        progress: told of each listener.

    Returns:
        ``reading``: `phrasing_report`. ``behaviours``: for each of `TEXTS` ``texts``, by text (the plain one
        and five phrasings that were not trained on) the change of each of `CURVES`; and ``late``, when it is
        asked for from the middle on: its change ``before`` and ``after``, and ``onset``, seconds from the
        middle until it begins, None if it does not.

    Raises:
        InputError: an option out of range, or fewer than two held-out conversations.
        WeightsError: an unknown model, or weights that are missing or damaged.
    """
    if clips < 2 or steps < 1 or seconds < 2:
        raise InputError(f"clips={clips}, seconds={seconds}, steps={steps}: give at least 2, 2 and 1")
    if output is not None:
        check_output(Path(output), suffixes=(".json",))
    encoder = load_text_encoder(hub.resolve(text_model).folder)
    pipeline = load_pipeline(hub.resolve(model).folder).to(resolve_device(device))
    listeners = Listeners(pipeline, long, steps, seed)
    conversations = shortened(held_out(Path(data), clips), seconds)
    middle = len(conversations[0].track) // (2 * FRAMES_PER_LATENT) * FRAMES_PER_LATENT
    requests = {
        (name, text): read_text(text, encoder).wishes
        for name, plain in TEXTS.items()
        for text in (plain, *PHRASINGS[name][:PHRASINGS_TRIED], f"{middle / FPS}-: {plain}")
    }
    different = dict.fromkeys([(), *requests.values()])
    done = 0

    def made(wishes: tuple[Wish, ...]) -> list[np.ndarray]:
        nonlocal done
        motions = []
        for clip in conversations:
            motions.append(listeners.motion(clip.track, clip.name, Guidance(text=text_scale), wishes))
            done += 1
            if progress is not None:
                progress(ProgressEvent("listen", done, len(different) * len(conversations), "listeners"))
        return motions

    without = made(())
    rests = [dict(zip(MOTION_NAMES, np.median(motion, 0), strict=True)) for motion in without]
    plain = curves(without, rests)
    by_wishes = {wishes: curves(made(wishes), rests) for wishes in different if wishes}
    by_wishes[()] = plain
    behaviours = {}
    for name, text in TEXTS.items():
        texts = (text, *PHRASINGS[name][:PHRASINGS_TRIED])
        late = by_wishes[requests[name, f"{middle / FPS}-: {text}"]][name]
        behaviours[name] = {
            "texts": {
                one: {other: change(plain[other], by_wishes[requests[name, one]][other]) for other in CURVES}
                for one in texts
            },
            "late": later(plain[name], late, middle),
        }
    facts = {
        "model": model, "data": str(data), "conversations": len(conversations),
        "seconds": conversations[0].seconds, "steps": steps, "text_scale": text_scale, "long": long,
        "seed": seed,
        "reading": phrasing_report(encoder), "behaviours": behaviours,
    }  # fmt: skip
    if output is not None:
        Path(output).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return Report(facts)


def shortened(clips: Sequence[HeldOut], seconds: float) -> list[HeldOut]:
    """The beginnings of conversations, in whole latent frames."""
    rows = min(len(clips[0].track), int(seconds * FPS) // FRAMES_PER_LATENT * FRAMES_PER_LATENT)
    return [
        replace(clip, track=clip.track[:rows], speaker=clip.speaker[:rows], truth=clip.truth[:rows])
        for clip in clips
    ]


def curves(motions: Sequence[np.ndarray], rests: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """`CURVES` of motions (T, K), each (conversations, T), smoothed."""
    columns = [dict(zip(MOTION_NAMES, motion.T, strict=True)) for motion in motions]
    return {
        name: gaussian_filter1d(
            [curve(motion, rest) for motion, rest in zip(columns, rests, strict=True)], SMOOTHING * FPS
        )
        for name, curve in CURVES.items()
    }


def change(without: np.ndarray, given: np.ndarray) -> float:
    """Mean change of strength, in standard deviations over conversations.

    Args:
        without: (conversations, T) curves of listeners without a text.
        given: with one.
    """
    before, after = without.mean(1), given.mean(1)
    return float((after - before).mean() / max(before.std(ddof=1), 1e-9))


def later(without: np.ndarray, given: np.ndarray, middle: int) -> dict[str, float | None]:
    """What changes before the `middle` frame and after; and when, if it does.

    Args:
        without: (conversations, T) curves of listeners without a text.
        given: with one that asks for something from the middle on.
        middle: frame.
    """
    after = change(without[:, middle:], given[:, middle:])
    begins = (onset((given - without).mean(0)) - middle) / FPS
    return {
        "before": change(without[:, :middle], given[:, :middle]),
        "after": after,
        "onset": begins if after > LEAST else None,
    }


def onset(course: np.ndarray) -> int:
    """The frame at which a course (T,) steps from one level to another: the step that fits it best."""
    frames = np.arange(1, len(course))
    sums = course.cumsum()[:-1]
    left, right = sums / frames, (course.sum() - sums) / (len(course) - frames)
    explained = frames * left**2 + (len(course) - frames) * right**2
    return int(frames[explained.argmax()])
