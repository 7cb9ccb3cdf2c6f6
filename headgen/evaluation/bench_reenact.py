"""Speed and memory of `headgen reenact` on this machine, against face tracking alone in the same run."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from headgen.faces.tracker import MediaPipeTracker
from headgen.media import VideoReader, VideoWriter
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.reenact import reenact

__all__ = ["bench", "peak_memory"]


def bench(
    source: Path,
    driving: Path,
    *,
    model: str = "fsrt-small",
    rounds: int = 3,
    memory: bool = False,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Measures reenacting a driving video end to end against tracking its face alone.

    Tracking alone reads the video and tracks every frame; end to end is everything from the two files to the
    finished output. They take turns; medians are reported.

    Args:
        source: photograph of a person.
        driving: driving video.
        model: name of the model.
        rounds: times that both take their turn.
        memory: also measure the peak memory of a 10-second and a 5-minute driving video, made by repeating
            `driving`, each in a process of its own. Takes minutes.
        progress: told of each turn.

    Returns:
        Frames, seconds of both, their ratio, frames per second, and with `memory` the peaks in megabytes.
    """
    tracking, whole, frames = [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds):
            begun = time.perf_counter()
            with MediaPipeTracker() as tracker, VideoReader(driving) as reader:
                frames = sum(1 for item in reader if tracker.track(item.image) or True)
            tracking.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            reenact([source], driving, Path(folder) / "out.mp4", model=model)
            whole.append(time.perf_counter() - begun)
            if progress is not None:
                progress(ProgressEvent("measure", turn + 1, rounds, "turns"))
        result: dict[str, Any] = {
            "frames": frames,
            "tracking_seconds": round(statistics.median(tracking), 3),
            "reenact_seconds": round(statistics.median(whole), 3),
            "ratio": round(statistics.median(w / t for w, t in zip(whole, tracking, strict=True)), 2),
            "frames_per_second": round(frames / statistics.median(whole), 1),
        }
        if memory:
            for name, seconds in (("10 s", 10), ("5 min", 300)):
                long = Path(folder) / f"{seconds}.mp4"
                repeat(driving, long, seconds)
                result[f"peak_megabytes {name}"] = round(peak_memory(source, long, model))
    return result


def repeat(video: Path, output: Path, seconds: float) -> None:
    """Writes a video over and over, until the output lasts `seconds`."""
    with VideoReader(video) as reader, VideoWriter(output, reader.info.fps) as writer:
        wanted = round(seconds * reader.info.fps)
        while writer.frames < wanted:
            for item in reader:
                if writer.frames >= wanted:
                    break
                writer.write(item.image)


def peak_memory(source: Path, driving: Path, model: str = "fsrt-small") -> float:
    """Peak resident memory, in megabytes, of a process that reenacts."""
    output = driving.with_name(driving.stem + "_out.mp4")
    program = (
        "import sys; from pathlib import Path; from headgen.reenact import reenact; "
        "from headgen.evaluation.process_memory import own_peak; "
        "reenact([Path(sys.argv[1])], Path(sys.argv[2]), Path(sys.argv[3]), model=sys.argv[4]); "
        "sys.stdout.write(str(own_peak()))"
    )
    words = [sys.executable, "-c", program, str(source), str(driving), str(output), model]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    output.unlink()
    return float(done.stdout.split()[-1])
