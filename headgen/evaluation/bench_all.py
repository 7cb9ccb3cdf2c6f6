"""Speed, memory and start-up of every model and stage on this machine, and what became slower since.

Every figure is the median of some turns, kept with the fastest and slowest one, so that two files can be
compared without taking noise for news. Work of different kinds takes turns where it can: what else runs on
the machine then slows all of it.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table

from headgen import hub
from headgen.errors import InputError
from headgen.evaluation.bench_reenact import repeat
from headgen.evaluation.listener_speed import SIZES as PICTURES
from headgen.evaluation.listener_speed import speed
from headgen.evaluation.listener_systems import HeldOut, Listeners
from headgen.evaluation.printed import printed
from headgen.faces.mesh import mean_face
from headgen.faces.motion import MOTION_NAMES
from headgen.faces.portrait import Portrait, read_portrait
from headgen.faces.retarget import RetargetOptions
from headgen.faces.tracker import MediaPipeTracker
from headgen.fsrt.engines import load_engine
from headgen.listen import plan
from headgen.listener.engine import SEGMENT, load_pipeline
from headgen.listener.motion import motion_features
from headgen.listener.speech import AUDIO_NAMES
from headgen.listener.text import load_text_encoder, read_text
from headgen.listener.track import FPS, SpeakerTrack
from headgen.listener.wishes import Wish
from headgen.listener_request import check_listener
from headgen.machine import processor
from headgen.media import VideoReader, VideoWriter
from headgen.media.output import check_output, replacing
from headgen.media.provenance import versions
from headgen.nn.precision import resolve_device
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.reenact import DrivingFrame

__all__ = ["Comparison", "bench", "compare"]

START_UPS = {
    "import headgen": "import headgen",
    "headgen --help": "from headgen.cli import main; main(['--help'])",
    "face tracker": "from headgen.faces.tracker import MediaPipeTracker; MediaPipeTracker()",
    "fsrt-small": (
        "from headgen import hub; from headgen.faces.retarget import RetargetOptions; "
        "from headgen.fsrt.engines import load_engine; "
        "load_engine(hub.resolve('fsrt-small').folder, RetargetOptions())"
    ),
    "listener-small": (
        "from headgen import hub; from headgen.listener.engine import load_pipeline; "
        "load_pipeline(hub.resolve('listener-small').folder)"
    ),
    "listener-fast": (
        "from headgen import hub; from headgen.listener.engine import load_pipeline; "
        "load_pipeline(hub.resolve('listener-fast').folder)"
    ),
    "listener-edit": (
        "from headgen import hub; from headgen.listener.edit import ListenerEditor; "
        "ListenerEditor.from_pretrained(hub.resolve('listener-edit').folder)"
    ),
    "listener-text": (
        "from headgen import hub; from headgen.listener.text import load_text_encoder; "
        "load_text_encoder(hub.resolve('listener-text').folder)"
    ),
}
"""What is started in a process of its own, from nothing to ready; by name."""
_REENACT = (
    "import sys; from pathlib import Path; from headgen.reenact import reenact; "
    "s, d, o = map(Path, sys.argv[1:4]); reenact([s], d, o, device=sys.argv[4])"
)
_MEASURED = (
    "; import sys as _s, time as _t; _n = _t.time(); "
    "from headgen.evaluation.process_memory import own_peak as _p; "
    "_s.stderr.write(f'\\nMEASURED {_n} {_p()}\\n')"
)
FRAMES = (25, 50, 100)
SIZES = (256, 512, 1024)
CHUNKS = (1, 2, 4, 8)
SOURCES = (1, 2, 4)
SEGMENTS = (1, 2, 3)
DRAWN = 8
"""Frames that are drawn in a turn."""
WIDTH = 160
"""Columns of a table, at most."""


def bench(
    source: Path,
    driving: Path,
    *,
    output: Path,
    rounds: int = 3,
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> str:
    """Measures start-up, every stage, memory and scaling of headgen on this machine, and writes them as JSON.

    Takes some minutes. `headgen bench compare` shows what differs between two such files.

    Args:
        source: photograph of a person.
        driving: driving video.
        output: file for the figures (.json).
        rounds: turns of everything; medians are reported.
        device: `auto`, `cpu`, `cuda`, ...
        seed: of made-up speech and noise.
        progress: told of each measurement.

    Returns:
        The figures as a table.

    Raises:
        InputError: a file that cannot be used, or too few rounds.
    """
    if rounds < 1:
        raise InputError(f"rounds={rounds} is too few; give 1 or more")
    output = check_output(output, suffixes=(".json",), inputs=[source, driving])
    where = resolve_device(device)
    measured: dict[str, dict[str, Any]] = {}
    tasks: dict[str, tuple[Callable[[], Any], float]] = {}
    with tempfile.TemporaryDirectory() as passing, MediaPipeTracker() as tracker:
        folder = Path(passing)
        read_portrait(Path(source), tracker, min(PICTURES))  # too small a face is told now, not in minutes
        tasks |= _stages(Path(source), Path(driving), tracker, folder)
        tasks |= _scaling(Path(source), Path(driving), tracker, device)
        tasks |= _listening(where, seed)
        total = rounds * (len(tasks) + len(START_UPS)) + len(FRAMES) + 1
        done = 0

        def tell() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(ProgressEvent("bench", done, total, "measurements"))

        taken: dict[str, list[float]] = {name: [] for name in tasks}
        for run, _ in tasks.values():  # the first call allocates
            run()
        for _ in range(rounds):
            for name, (run, units) in tasks.items():
                begun = time.perf_counter()
                run()
                if where.type == "cuda":
                    torch.cuda.synchronize()
                taken[name].append((time.perf_counter() - begun) / units)
                tell()
        for name, seconds in taken.items():
            measured[name] = _figure(seconds, "seconds")
        for name, program in START_UPS.items():
            runs = []
            for _ in range(rounds):
                runs.append(_measured(program, []))
                tell()
            measured[f"start-up: {name}"] = _figure([seconds for seconds, _ in runs], "seconds")
            measured[f"memory: {name}"] = _figure([megabytes for _, megabytes in runs], "megabytes")
        for frames in FRAMES:
            video = folder / f"{frames}.mp4"
            with VideoReader(driving) as reader:
                repeat(Path(driving), video, frames / float(reader.info.fps))
            words = [str(source), str(video), str(folder / "out.mp4"), device]
            took, megabytes = _measured(_REENACT, words)
            measured[f"reenact {frames} frames, from start to end"] = _figure([took], "seconds")
            measured[f"memory: reenact {frames} frames"] = _figure([megabytes], "megabytes")
            tell()
    parts = _listen_parts(where, seed, Path(source))
    tell()
    for name, part in parts.items():
        measured[f"listen, a second: {name}"] = _figure([part["seconds"]], "seconds")
    facts = {"machine": _machine(where), "versions": versions(), "rounds": rounds, "measured": measured}
    with replacing(output) as part:
        part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return _as_table(measured)


def _stages(
    source: Path, driving: Path, tracker: MediaPipeTracker, folder: Path
) -> dict[str, tuple[Callable[[], Any], float]]:
    """What a video passes through: by name, what runs it and how many units that is."""
    with VideoReader(driving) as reader:
        frames = [frame.image for _, frame in zip(range(DRAWN), reader, strict=False)]
        count = len(frames)

    def read() -> None:
        with VideoReader(driving) as again:
            for _, _ in zip(range(count), again, strict=False):
                pass

    def track() -> None:
        tracker.reset()
        for frame in frames:
            tracker.track(frame)

    def write() -> None:
        with VideoWriter(folder / "written.mp4", 25) as writer:
            for frame in frames:
                writer.write(frame)

    encoder = load_text_encoder(hub.resolve("listener-text").folder)
    return {
        "read, a frame": (read, count),
        "track, a frame": (track, count),
        "write, a frame": (write, count),
        "find a face in a photograph": (lambda: read_portrait(source, tracker, 1280), 1),
        "read a text": (lambda: read_text("smiles warmly, then nods twice", encoder), 1),
    }


def _scaling(
    source: Path, driving: Path, tracker: MediaPipeTracker, device: str
) -> dict[str, tuple[Callable[[], Any], float]]:
    """Drawing by size, frames at a time and number of sources."""
    drivers: list[DrivingFrame] = []
    tracker.reset()
    with VideoReader(driving) as reader:
        for frame in reader:
            track = tracker.track(frame.image)
            if track is not None:
                drivers.append(DrivingFrame(track.landmarks.astype(np.float64), frame.image, None))
            if len(drivers) == DRAWN:
                break
    if not drivers:
        raise InputError(f"{driving}: no face was found in any frame; use one that shows it from the front")
    folder = hub.resolve("fsrt-small").folder
    tasks: dict[str, tuple[Callable[[], Any], float]] = {}

    def add(name: str, portraits: list[Portrait], chunk: int) -> None:
        engine = load_engine(folder, RetargetOptions(), "auto", device)
        engine.prepare(portraits, drivers[0])

        def draw() -> None:
            for k in range(0, len(drivers), chunk):
                engine.render(drivers[k : k + chunk], True)

        tasks[name] = draw, len(drivers)

    largest = read_portrait(source, tracker, max(SIZES))
    for size in SIZES:
        add(f"draw {size} px, a frame", [_sized(largest, size)], 2)
    middle = _sized(largest, SIZES[1])
    for chunk in CHUNKS:
        add(f"draw {chunk} at a time, a frame", [middle], chunk)
    for sources in SOURCES:
        add(f"draw of {sources} sources, a frame", [middle] * sources, 2)
    encode = load_engine(folder, RetargetOptions(), "auto", device)
    tasks["encode a source"] = partial(encode.prepare, [middle], drivers[0]), 1
    return tasks


def _sized(portrait: Portrait, size: int) -> Portrait:
    """A portrait whose longest side has so many pixels, enlarged if it has fewer."""
    scale = size / max(portrait.image.shape[:2])
    image = cv2.resize(portrait.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return Portrait(portrait.path, image, (portrait.landmarks * scale).astype(np.float32))


def _listening(where: torch.device, seed: int) -> dict[str, tuple[Callable[[], Any], float]]:
    """Listeners' motion by number of segments, and in chunks."""
    listeners = Listeners(load_pipeline(hub.resolve("listener-small").folder).to(where), seed=seed)
    tasks: dict[str, tuple[Callable[[], Any], float]] = {}
    for segments in SEGMENTS:
        rows = next(n for n in range(SEGMENT, 100 * SEGMENT) if len(plan(n, "segments", 0)) == segments)
        track = _speech(rows, seed)
        tasks[f"listen {segments} segments, a second of video"] = (
            partial(listeners.motion, track, "bench"),
            rows / FPS,
        )
    files = hub.resolve("listener-fast").folder
    fast = Listeners(load_pipeline(files).to(where), "causal", check_listener("listener-fast", files), seed)
    track = _speech(SEGMENT, seed)
    tasks["listen live, a second of video"] = partial(fast.motion, track, "bench"), SEGMENT / FPS
    return tasks


def _speech(rows: int, seed: int) -> SpeakerTrack:
    """A made-up speaker: features are noise, which costs as much as speech."""
    rng = np.random.default_rng(seed)
    faces = np.repeat((mean_face() * 100)[None], rows, 0) + rng.normal(0, 0.3, (rows, 478, 3))
    motion, seen = motion_features(faces.astype(np.float32))
    audio = rng.normal(0, 1, (rows, len(AUDIO_NAMES))).astype(np.float32)
    return SpeakerTrack(audio, motion, np.ones(rows, bool), seen)


def _listen_parts(where: torch.device, seed: int, portrait: Path) -> Mapping[str, Any]:
    listeners = Listeners(load_pipeline(hub.resolve("listener-small").folder).to(where), seed=seed)
    rows = 2 * SEGMENT
    nothing = np.zeros((rows, len(MOTION_NAMES)))
    clip = HeldOut("bench", _speech(rows, seed), nothing, nothing, (), seed, Wish("neutral", 0.5), Path())
    return speed(clip, listeners, portrait)["parts"]


def _measured(program: str, words: list[str]) -> tuple[float, float]:
    """Seconds from the start of a process until its program is through, and its peak memory in megabytes."""
    begun = time.time()
    done = subprocess.run(
        [sys.executable, "-c", program + _MEASURED, *words], capture_output=True, text=True, check=False
    )
    line = next((x for x in done.stderr.splitlines() if x.startswith("MEASURED ")), None)
    if line is None:
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}, without a word"]
        raise InputError(f"{' '.join(words) or program}: {said[-1]}")
    ended, megabytes = map(float, line.split()[1:])
    return ended - begun, megabytes


def _figure(values: list[float], unit: str) -> dict[str, Any]:
    low, middle, high = min(values), statistics.median(values), max(values)
    return {"value": _digits(middle), "low": _digits(low), "high": _digits(high), "unit": unit}


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def _machine(where: torch.device) -> dict[str, Any]:
    cuda = where.type == "cuda"
    return {
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(where) if cuda else where.type,
    }


@dataclass(frozen=True)
class Comparison:
    """What differs between two files of `bench`.

    Attributes:
        rows: name, value before, value after, ratio and verdict: ``slower``, ``faster``, ``more memory``,
            ``less memory`` or nothing, the worst first.
        missing: figures that only one file has.
        warnings: why the two should be compared with care.
    """

    rows: tuple[tuple[str, float, float, float, str], ...]
    missing: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def worse(self) -> tuple[str, ...]:
        """Names of what became slower or takes more memory."""
        return tuple(name for name, *_, verdict in self.rows if verdict in ("slower", "more memory"))

    def __str__(self) -> str:
        table = _table("figure", "before", "after", "ratio", "")
        for name, before, after, ratio, verdict in self.rows:
            table.add_row(name, f"{before:.4g}", f"{after:.4g}", f"{ratio:.2f}", verdict)
        notes = [*self.warnings, *(f"only in one file: {name}" for name in self.missing)]
        ending = f"{len(self.worse)} of {len(self.rows)} became worse"
        return "\n".join([printed(table, width=WIDTH), *notes, ending])


def compare(files: list[Path], *, least: float = 0.1) -> Comparison:
    """Shows what became slower or takes more memory between two files of `headgen bench all`.

    A difference counts where the turns of one file all lie on one side of those of the other, and the medians
    differ by a share of `least`.

    Args:
        files: the file of before and the file of after.
        least: share by which a figure has to change, 0 or more.

    Returns:
        All figures that both files have, the worst first.

    Raises:
        InputError: not two files, or one that `headgen bench all` did not write.
    """
    if len(files) != 2:
        raise InputError(f"{len(files)} files were given; give two: before.json after.json")
    before, after = map(_read, files)
    rows = []
    for name in before["measured"].keys() & after["measured"].keys():
        a, b = before["measured"][name], after["measured"][name]
        ratio = b["value"] / max(a["value"], 1e-12)
        verdict = ""
        memory = a["unit"] == "megabytes"
        if b["low"] > a["high"] and ratio > 1 + least:
            verdict = "more memory" if memory else "slower"
        elif b["high"] < a["low"] and ratio < 1 / (1 + least):
            verdict = "less memory" if memory else "faster"
        rows.append((name, a["value"], b["value"], ratio, verdict))
    rows.sort(key=lambda row: (-row[3], row[0]))
    missing = sorted(before["measured"].keys() ^ after["measured"].keys())
    warnings = [
        f"different {key}: {before['machine'][key]} and {after['machine'][key]}"
        for key in before["machine"]
        if before["machine"][key] != after["machine"].get(key)
    ]
    return Comparison(tuple(rows), tuple(missing), tuple(warnings))


def _read(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
        figures = facts["measured"].values()
        if not facts["machine"] or not all({"value", "low", "high", "unit"} <= f.keys() for f in figures):
            raise KeyError("measured")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: was not written by `headgen bench all`; give one that was") from error
    return facts


def _as_table(measured: Mapping[str, Mapping[str, Any]]) -> str:
    table = _table("figure", "median", "fastest", "slowest", "unit")
    for name, figure in measured.items():
        table.add_row(name, *(f"{figure[key]:.4g}" for key in ("value", "low", "high")), figure["unit"])
    return printed(table, width=WIDTH)


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for k, column in enumerate(columns):
        table.add_column(column, justify="right" if 0 < k < 4 else "left", no_wrap=True)
    return table
