"""One long video on several workers: whether it is the same, how long it takes, and how much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import wavfile

from headgen.errors import HeadgenError, InputError
from headgen.listener.speech import SAMPLE_RATE
from headgen.media.output import replacing
from headgen.media.provenance import sha256
from headgen.media.sound import SoundReader
from headgen.nn.threads import cores
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = ["SpreadReport", "bench"]

_LOOK = 0.1  # seconds between two looks at the memory


@dataclass(frozen=True)
class SpreadReport:
    """What was measured."""

    facts: dict[str, Any]
    """As JSON has it."""

    def __str__(self) -> str:
        """A table."""
        facts = self.facts
        lines = [
            f"a listener of {facts['minutes']:g} minutes on {facts['cores']} cores; load before: "
            f"{facts['busy']:.1f}, on an idle machine 0",
            f"{'how':<18}{'s':>8}{'core s':>8}{'x real time':>13}{'MB program':>12}{'MB worker':>11}"
            f"{'MB all':>9}  same",
        ]
        for name, run in facts["runs"].items():
            lines.append(
                f"{name:<18}{run['seconds']:8.1f}{run['core_seconds']:8.1f}{run['speed']:13.2f}"
                f"{run['program']:12.0f}{run['worker']:11.0f}{run['sum']:9.0f}  "
                f"{'yes' if run['same'] else 'NO'}"
            )
        return "\n".join(lines)


def bench(
    speaker: Path,
    portrait: Path,
    *,
    minutes: float = 10.0,
    workers: int = 2,
    address: str | None = None,
    model: str = "listener-small",
    steps: int = 8,
    frame: str = "crop",
    max_size: int = 512,
    output: Path | None = None,
    progress: ProgressCallback | None = None,
) -> SpreadReport:
    """Measures one long listener made by one process, by several, and by workers of a Ray cluster.

    Each is a run of ``headgen listen`` of its own. Memory is what Linux says of the processes: of the
    program, of its largest worker, and of all of them together at their worst (Ray's own processes count too,
    pages that several share count for each).

    Args:
        speaker: file whose sound is repeated for so long.
        portrait: photograph of who listens.
        minutes: length of the video.
        workers: processes, and Ray workers of one core each.
        address: of a Ray cluster; else one on this machine is started for the run.
        model: name of the model.
        steps: denoising steps.
        frame: `crop` or `full`.
        max_size: longest side of the pictures in pixels.
        output: also writes the figures as JSON.
        progress: told of each run.

    Returns:
        Seconds, seconds of cores (which other programs hardly change), times real time, megabytes (2**20
        bytes), and whether the bytes are those of one process.

    Raises:
        InputError: a file that cannot be used, or no Linux.
        HeadgenError: a run failed.
    """
    if not Path("/proc/self/status").is_file():
        raise InputError("memory is read from /proc, which Linux alone has; measure on Linux")
    ray = ["--executor", "ray", *(["--address", address] if address else [])]
    several = ["--workers", str(workers)]
    ways = {
        "one process": [],
        f"{workers} processes": several,
        "1 Ray worker": ["--workers", "1", *ray],
        f"{workers} Ray workers": [*several, *ray],
    }
    busy = float(Path("/proc/loadavg").read_text().split()[0])
    runs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="headgen-spread-") as folder:
        sound = Path(folder) / "speaker.wav"
        _repeat(Path(speaker), sound, minutes)
        first = ""
        for done, (name, words) in enumerate(ways.items(), 1):
            video = Path(folder) / f"{done}.mp4"
            arguments = [
                "listen",
                "--speaker",
                str(sound),
                "--portrait",
                str(portrait),
                "--output",
                str(video),
            ]
            arguments += ["--model", model, "--steps", str(steps), "--frame", frame]
            run = _measured([*arguments, "--max-size", str(max_size), *words])
            digest = sha256(video)
            first = first or digest
            run |= {"speed": 60 * minutes / run["seconds"], "sha256": digest, "same": digest == first}
            runs[name] = run
            if progress is not None:
                progress(ProgressEvent("measure", done, len(ways), "runs"))
    facts = {
        "minutes": minutes, "workers": workers, "steps": steps, "frame": frame, "max_size": max_size,
        "cores": cores(), "busy": busy, "runs": runs,
    }  # fmt: skip
    if output is not None:
        with replacing(Path(output)) as part:
            part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return SpreadReport(facts)


def _repeat(source: Path, target: Path, minutes: float) -> None:
    """Sound of a file, again and again, as a file of its own."""
    once = np.concatenate(list(SoundReader(source, SAMPLE_RATE)))
    samples = np.resize(once, round(60 * minutes * SAMPLE_RATE))
    wavfile.write(target, SAMPLE_RATE, np.rint(32767 * samples.clip(-1, 1)).astype(np.int16))


def _measured(words: list[str]) -> dict[str, Any]:
    """Seconds of a command, and of cores and megabytes of its processes."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "headgen", *words], stdout=subprocess.DEVNULL, stderr=said
        )
        largest: dict[int, float] = {}
        worked: dict[int, float] = {}
        together = 0.0
        try:
            while process.poll() is None:
                now = {one: _used(one) for one in _family(process.pid)}
                for one, (peak, _, spent) in now.items():
                    largest[one] = max(peak, largest.get(one, 0))
                    worked[one] = max(spent, worked.get(one, 0))
                together = max(together, sum(present for _, present, _ in now.values()))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK)
        finally:
            process.kill()
        if process.returncode:
            said.seek(0)
            told = said.read().decode(errors="replace").strip().splitlines()
            raise HeadgenError(f"headgen {words[0]} failed: {told[-1] if told else process.returncode}")
    seconds = time.perf_counter() - begun
    program = largest.pop(process.pid)
    return {
        "seconds": seconds, "core_seconds": sum(worked.values()), "program": program,
        "worker": max(largest.values(), default=0), "sum": together,
    }  # fmt: skip


def _family(root: int) -> list[int]:
    """A process and all that it started, and these."""
    found = [root]
    for one in found:
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _used(process: int) -> tuple[float, float, float]:
    """Most and present resident megabytes of a process, and seconds of a core; zero once it has ended."""
    folder = Path(f"/proc/{process}")
    try:
        lines = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        peak, present = (int(lines[name].split()[0]) / 1024 for name in ("VmHWM", "VmRSS"))
        ticks = (folder / "stat").read_text().rpartition(")")[2].split()[11:13]
        return peak, present, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    except (OSError, KeyError):
        return 0.0, 0.0, 0.0
