"""Generated motion beside measured motion and published figures, line by line.

    headgen synth motion-report --videos DIR

Generated clips are as many and as long as the measured ones, over and over, and go through the same code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headgen.errors import InputError
from headgen.progress import ProgressCallback
from headgen.synth.heads.model import HeadMotion
from headgen.synth.motion import measured
from headgen.synth.motion.blinks import CLOSING, HOLDING, OPENING, blink_curve
from headgen.synth.motion.curves import log_normal, minimum_jerk
from headgen.synth.motion.detection import find_blinks
from headgen.synth.motion.gaze import saccade_seconds
from headgen.synth.motion.gestures import add, gesture
from headgen.synth.motion.idle import idle_motion
from headgen.synth.motion.literature import LITERATURE, Figure
from headgen.synth.motion.measure import measure_motion, measure_videos
from headgen.synth.motion.mouth import babble
from headgen.synth.motion.statistics import MotionStatistics, summarise

FACTOR = 1.5
"""Lines farther apart than this need a reason."""
LONG, FPS = 60.0, 25.0  # clips that are compared with the literature: seconds, frames/s
FINE = 500.0  # frames/s for what a video is too slow for

COMMITTED = "measured"  # the figures that come along
REASONS = {
    ("gaze aversion share", COMMITTED): (
        "the measured people read to a camera or act for it; speakers here look away as in conversation, "
        "where the literature has 41 to 59 %"
    ),
}
"""Why a line is off, by statistic and what it is compared with."""


def speaking_clip(seconds: float, fps: float, rng: np.random.Generator) -> HeadMotion:
    """A speaker whose mouth talks without words."""
    body, words = rng.spawn(2)
    motion, _ = idle_motion(round(seconds * fps), fps, body, who="speaker")
    mouth = HeadMotion.still(len(motion))
    mouth.expression[:] = babble(len(motion), fps, words)
    return add(motion, mouth, 0)


def generated_clips(
    lengths: Sequence[tuple[float, float]], minutes: float, seed: int, who: str = "speaker"
) -> list[MotionStatistics]:
    """Statistics of generated clips, each of another person.

    Args:
        lengths: (seconds, frames/s) of the clips, used over and over.
        minutes: how much to generate, at least; the lengths are always used up.
        seed: of everything.
        who: ``speaker`` or ``listener``.
    """
    rounds = max(1, math.ceil(60 * minutes / sum(seconds for seconds, _ in lengths)))
    out = []
    for rng, (seconds, fps) in zip(
        np.random.default_rng(seed).spawn(rounds * len(lengths)), list(lengths) * rounds, strict=True
    ):
        if who == "speaker":
            motion = speaking_clip(seconds, fps, rng)
        else:
            motion, _ = idle_motion(round(seconds * fps), fps, rng, who="listener")
        out.append(measure_motion(motion, fps))
    return out


def gesture_figures(seed: int, count: int = 64) -> dict[str, float]:
    """What is too quick for video, or belongs to gestures, at `FINE` frames/s: medians over ``count``.

    Durations of blink phases run from 2 to 98 % of the closure, where a lid's motion can be told from rest.
    """
    rng = np.random.default_rng(seed)
    closings, openings, halves, smiles, nodding, laughing = [], [], [], [], [], []
    for _ in range(count):
        phases = [log_normal(rng, *phase) for phase in (CLOSING, HOLDING, OPENING)]
        times = np.arange(round(FINE)) / FINE
        lids = blink_curve(times, 0.2, 1.0, *phases)
        shut = times[np.argmax(lids > 0.98)]
        closings.append(shut - times[np.argmax(lids > 0.02)])
        last = len(lids) - 1
        openings.append(
            times[last - np.argmax(lids[::-1] > 0.02)] - times[last - np.argmax(lids[::-1] > 0.98)]
        )
        halves += [blink.duration for blink in find_blinks(1 - 0.85 * lids, FINE)]
        smiles.append((len(gesture("smile", 0.7, None, FINE, rng)) - 1) / FINE)
        nodding.append(_beat(gesture("nods", 0.5, None, FINE, rng).head[:, 1]))
        laughing.append(_beat(gesture("laugh", 0.7, None, FINE, rng).translation[:, 1]))
    course = 10 * minimum_jerk(np.arange(0, saccade_seconds(10), 1e-4) / saccade_seconds(10))
    return {
        "blink closing, whole phase, s": float(np.median(closings)),
        "blink opening, whole phase, s": float(np.median(openings)),
        "blink duration at half closure, s": float(np.median(halves)),
        "saccade of 10 degrees, s": saccade_seconds(10),
        "saccade of 10 degrees, peak deg/s": float(np.gradient(course, 1e-4).max()),
        "smile, s": float(np.median(smiles)),
        "nods, Hz": float(np.median(nodding)),
        "laughter, Hz": float(np.median(laughing)),
    }


def _beat(curve: np.ndarray) -> float:
    """Hz at which a curve reaches its extremes on one side."""
    size = np.abs(curve)
    peaks = np.flatnonzero(
        (size[1:-1] > size[:-2]) & (size[1:-1] >= size[2:]) & (size[1:-1] > 0.1 * size.max())
    )
    return float((len(peaks) - 1) / (peaks[-1] - peaks[0]) * FINE) if len(peaks) > 1 else float("nan")


def motion_report(
    videos: Path | None = None,
    seed: int = 0,
    minutes: float = 60.0,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Compares generated motion with measured motion and with the literature.

    What the videos do not show at all (blinks in a clip without any) gets no line.

    Args:
        videos: folder of face videos to measure; None compares with the figures that come along.
        seed: of what is generated.
        minutes: of generated motion, for each of speakers like the videos, speakers and listeners.
        progress: called while videos are tracked.

    Returns:
        ``lines``: dictionaries with ``statistic``, ``who``, ``against`` (``measured``, the folder, or a
        source), ``generated``, ``reference``, ``low``, ``high``, ``ratio``, ``off`` (beyond `FACTOR`) and
        ``reason``;
        ``videos``: every statistic of every video, by name; ``off``: how many lines are off without a reason;
        ``table``: all of it as markdown.

    Raises:
        InputError: minutes not positive; see also `headgen.synth.motion.measure.measure_videos`.
    """
    if minutes <= 0:
        raise InputError(f"minutes is {minutes}; give a positive number")
    if videos is None:
        clips, reference = measured.CLIPS, measured.SUMMARY
        lengths = [(clip["seconds"], clip["fps"]) for clip in clips.values()]
    else:
        tracked = measure_videos(Path(videos), progress)
        clips = {name: {"seconds": s.seconds, **summarise([s])} for name, s in tracked.items()}
        reference = summarise(tracked.values())
        lengths = [(s.seconds, s.fps) for s in tracked.values()]
    alike = summarise(generated_clips(lengths, minutes, seed))
    known = {name: value for name, value in reference.items() if math.isfinite(value)}
    source = COMMITTED if videos is None else str(videos)
    lines = [_line(name, "speaking", alike[name], value, source) for name, value in known.items()]

    long = [(LONG, FPS)]
    generated = {
        "speaking": summarise(generated_clips(long, minutes, seed + 1)),
        "listening": summarise(generated_clips(long, minutes, seed + 2, "listener")),
        "any": gesture_figures(seed + 3),
    }
    lines += [_line(f.statistic, f.role, generated[f.role][f.statistic], f, f.source) for f in LITERATURE]
    off = sum(line["off"] and not line["reason"] for line in lines)
    return {"lines": lines, "videos": clips, "off": off, "table": markdown(lines)}


def _line(statistic: str, who: str, value: float, reference: float | Figure, against: str) -> dict[str, Any]:
    """One line; a value within a published range has the ratio 1, outside it that to the nearer end."""
    if isinstance(reference, Figure):
        low, high = reference.low, reference.high
    else:
        low = high = reference
    nearest = min(max(value, low), high)
    ratio = value / nearest if nearest else float("inf")
    off = not 1 / FACTOR <= ratio <= FACTOR
    reason = REASONS.get((statistic, against), "") if off else ""
    if not nearest:
        reason = "none in the videos: no ratio"
    return {
        "statistic": statistic,
        "who": who,
        "against": against,
        "generated": value,
        "reference": reference.middle if isinstance(reference, Figure) else reference,
        "low": low,
        "high": high,
        "ratio": ratio,
        "off": off,
        "reason": reason,
    }


def markdown(lines: Sequence[Mapping[str, Any]]) -> str:
    """The lines of a report as a table."""
    out = [
        "| statistic | who | generated | reference | ratio | against | note |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        low, high = line["low"], line["high"]
        reference = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
        note = (line["reason"] or "off") if line["off"] else ""
        out.append(
            f"| {line['statistic']} | {line['who']} | {line['generated']:.3g} | {reference} "
            f"| {line['ratio']:.2f} | {line['against']} | {note} |"
        )
    return "\n".join(out) + "\n"


def command(
    videos: Path | None = None,
    seed: int = 0,
    minutes: float = 60.0,
    progress: ProgressCallback | None = None,
) -> str:
    """Compares generated head motion with videos of people and with the literature.

    Args:
        videos: folder of face videos to measure; without it, the figures that come along.
        seed: of the generated motion.
        minutes: of generated motion of each kind.
        progress: called while videos are tracked.

    Returns:
        The report as a markdown table.
    """
    report = motion_report(videos, seed, minutes, progress)
    return f"{report['table']}\n{report['off']} lines off by more than {FACTOR} without a reason"
