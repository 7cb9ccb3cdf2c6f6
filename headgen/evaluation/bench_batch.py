"""Whether a batch loses nothing when it is killed, and what it costs beside the model.

Made of pictures and videos of 96 pixels and a few frames, so that what is measured is the batch.
"""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import headgen
from headgen.batch.results import Log
from headgen.batch.runner import run_batch
from headgen.batch.worker import Outcome
from headgen.errors import HeadgenError
from headgen.faces.crop import portrait_crop
from headgen.faces.tracker import MediaPipeTracker
from headgen.media import VideoWriter, read_image, write_image
from headgen.media.provenance import sha256

__all__ = ["BatchFigures", "bench", "kill_runs", "leftovers_of", "make_batch", "results_of", "speed_of"]

SIDE, FRAMES = 96, 3
"""Pixels of the pictures and of the videos, and frames of a video."""
PICTURES, VIDEOS = 5, 4
TIMED = 40
"""Jobs by which speed is measured, at most."""
_LOOK = 0.02  # seconds between two looks at a log that grows

BROKEN: tuple[dict[str, str], ...] = (
    {"source": "missing.png"},
    {"driving": "missing.mp4"},
    {"source": "empty.png"},
    {"source": "cut.png"},
    {"driving": "cut.mp4"},
    {"driving": "text.mp4"},
    {"source": "grey.png"},
    {"driving": "grey.mp4"},
    {"motion": "sideways"},
    {"multiplier": "9"},
)
"""What is wrong with the rows that cannot be done, each in its own way."""


@dataclass(frozen=True)
class BatchFigures:
    """What `bench` has measured."""

    jobs: int
    done: int
    failed: int
    kills: int
    same: bool
    """The killed and restarted runs left the same results as the undisturbed one, to the last byte."""
    leftovers: tuple[str, ...]
    """Files that do not belong there: parts, results of failed jobs, unfinished work."""
    done_twice: int
    """Jobs that were done more than once because a kill came between a result and its line in the log."""
    cores: int
    rates: dict[str, float]
    """Jobs a second by number of workers, once all have begun."""
    overhead: dict[str, float]
    """Milliseconds a job takes of a worker's time with that many workers, by what they go to."""


def bench(
    *, jobs: int = 200, workers: int = 2, kills: int = 3, seed: int = 0, folder: Path | None = None
) -> BatchFigures:
    """Runs a batch undisturbed, then again with kills at random moments, and compares; then measures speed.

    Ten of the jobs are broken in different ways.

    Args:
        jobs: rows of the manifest, at least 20.
        workers: that work at a time.
        kills: times that the second run is killed with SIGKILL.
        seed: of the moments.
        folder: where all is kept; a temporary one by default.

    Raises:
        HeadgenError: the killed runs do not come to the same end.
    """
    with tempfile.TemporaryDirectory(prefix="headgen-bench-") as own:
        place = folder or Path(own)
        manifest = make_batch(place / "inputs", jobs)
        calm = run_batch(manifest, place / "calm", workers=workers)
        kill_runs(manifest, place / "killed", workers, kills, random.Random(seed))
        run_batch(manifest, place / "killed", workers=workers)
        expected, found = results_of(place / "calm"), results_of(place / "killed")
        rows = Log(place / "killed/.headgen/log.jsonl").read()
        done = [row["name"] for row in rows if row["status"] == "done"]
        leftovers = leftovers_of(place / "killed", found)
        if found != expected or leftovers:
            raise HeadgenError(f"after {kills} kills there are other results, or leftovers: {leftovers}")
        rates: dict[str, float] = {}
        overhead: dict[str, float] = {}
        manifest = make_batch(place / "inputs-speed", min(jobs, TIMED), ())
        for count in sorted({1, workers}):
            rates[str(count)], overhead = _speed(manifest, place / f"speed-{count}", count)
        return BatchFigures(
            jobs, calm.tally.done, calm.tally.failed, kills, found == expected, tuple(leftovers),
            len(done) - len(set(done)), os.cpu_count() or 1, rates, overhead,
        )  # fmt: skip


def make_batch(folder: Path, jobs: int, broken: Sequence[dict[str, str]] = BROKEN) -> Path:
    """Makes inputs and a manifest.

    Args:
        folder: where they go.
        jobs: rows, the broken ones included.
        broken: what is different in each broken row.

    Returns:
        The manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    portrait = read_image(Path(headgen.__file__).parent / "serve/example.jpg")
    with MediaPipeTracker() as tracker:
        track = tracker.track(portrait, still=True)
    assert track is not None  # it is our own
    crop = portrait_crop(track.landmarks)
    for k in range(PICTURES):
        write_image(folder / f"face-{k}.png", _shifted(crop.take(portrait, SIDE), k))
    for k in range(VIDEOS):
        with VideoWriter(folder / f"driver-{k}.mp4", Fraction(25)) as writer:
            for n in range(FRAMES):
                writer.write(_shifted(crop.take(portrait, SIDE), (k + 1) * n / 2))
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
    write_image(folder / "grey.png", grey)
    with VideoWriter(folder / "grey.mp4", Fraction(25)) as writer:
        for _ in range(FRAMES):
            writer.write(grey)
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.mp4").write_text("This is no video.\n", encoding="utf-8")
    for whole, cut in (("face-0.png", "cut.png"), ("driver-0.mp4", "cut.mp4")):
        data = (folder / whole).read_bytes()
        (folder / cut).write_bytes(data[: len(data) // 2])
    good = jobs - len(broken)
    rows = [
        {
            "kind": "reenact",
            "name": f"job-{k:04}",
            "source": f"face-{k % PICTURES}.png",
            "driving": f"driver-{k // PICTURES % VIDEOS}.mp4",
            "motion": "relative",
            "multiplier": f"{1 + k / 1000:g}",
            "calibrate": "false",
        }
        for k in range(good)
    ]
    for k, wrong in enumerate(broken):
        rows.insert((k + 1) * good // (len(broken) + 1) + k, {**rows[0], "name": f"broken-{k}", **wrong})
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder / "manifest.csv"


def _shifted(picture: np.ndarray, pixels: float) -> np.ndarray:
    move = np.array([[1, 0, pixels], [0, 1, 0]], np.float32)
    return np.asarray(
        cv2.warpAffine(picture, move, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def kill_runs(manifest: Path, output: Path, workers: int, kills: int, moments: random.Random) -> None:
    """Runs ``headgen batch`` in a process of its own and kills it, several times.

    Args:
        manifest: of the batch.
        output: its folder.
        workers: of the batch.
        kills: with SIGKILL, each after some more jobs have ended and a random while.
        moments: draws when.
    """
    command = [sys.executable, "-m", "headgen", "batch", str(manifest), "--output", str(output)]
    command += ["--workers", str(workers), "--log", "json"]
    log = output / ".headgen/log.jsonl"
    jobs = sum(1 for _ in manifest.open(encoding="utf-8")) - 1
    for _ in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wanted = _ended(log) + moments.randint(1, max(1, jobs // (2 * kills)))
        while _ended(log) < wanted and process.poll() is None:
            time.sleep(_LOOK)
        time.sleep(moments.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()


def _ended(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


def results_of(output: Path) -> dict[str, str]:
    """SHA-256 of every video of a batch's folder, by name."""
    return {path.relative_to(output).as_posix(): sha256(path) for path in sorted(output.rglob("*.mp4"))}


def leftovers_of(output: Path, results: dict[str, str]) -> list[str]:
    """Files of a batch's folder that should not be there once it has come to its end."""
    fixed = {"results.csv", "results.parquet", ".headgen/log.jsonl", ".headgen/status.json", ".headgen/lock"}
    known = {*results, *(f"{name}.json" for name in results), *fixed}
    files = (path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file())
    return sorted(name for name in files if name not in known)


def speed_of(ended: Sequence[tuple[float, Outcome]], workers: int) -> tuple[float, float]:
    """Jobs a second and milliseconds between jobs, once all workers have made their first ones.

    Args:
        ended: outcomes with the seconds at which they came.
        workers: that worked at a time.
    """
    warm = ended[2 * workers :]  # the first ones load the models
    span = warm[-1][0] - ended[2 * workers - 1][0]
    idle = span * workers - sum(outcome.seconds for _, outcome in warm)
    return len(warm) / span, 1000 * idle / len(warm)


def _speed(manifest: Path, output: Path, workers: int) -> tuple[float, dict[str, float]]:
    """Jobs a second from the first outcome on, and milliseconds of a job beside the command."""
    outcomes: list[tuple[float, Outcome]] = []

    def note(event: Any) -> None:
        outcome = getattr(event, "outcome", None)
        if outcome is not None and outcome.status == "done":
            outcomes.append((time.perf_counter(), outcome))

    shutil.rmtree(output, ignore_errors=True)
    run_batch(manifest, output, workers=workers, progress=note)
    rate, between = speed_of(outcomes, workers)
    jobs = [outcome for _, outcome in outcomes[2 * workers :]]

    def mean(name: str) -> float:
        return round(1000 * sum(getattr(job, name) for job in jobs) / len(jobs), 2)

    parts = {name: mean(f"seconds_{name}") for name in ("fetch", "check", "store")}
    return rate, {"command": mean("seconds_make"), **parts, "between jobs": round(between, 2)}
