"""``headgen bench studio``: many clients at once, and jobs that are cancelled as fast as they come."""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from headgen.progress import ProgressCallback, ProgressEvent

__all__ = ["bench"]

_SIZE = 128  # pixels, longest side of what is made
_LOOK = 0.5  # seconds between two looks at the memory
_PATIENCE = 300.0  # seconds that a client waits for an answer of the server


def bench(
    *,
    clients: int = 20,
    frames: int = 4,
    cancels: int = 40,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Opens a studio of its own; clients queue short jobs through its API, then comes a storm of cancels.

    Our design: results are counted, compared and looked for on the disk, not only waited for: a job may be
    lost without an error.

    Args:
        clients: that ask at the same time, each with a session of its own.
        frames: of each job's driving video.
        cancels: jobs of the storm, each cancelled after up to a second.
        seed: of the moments at which jobs are cancelled.
        progress: told of each answer.

    Returns:
        Answers, jobs that were done out of order, seconds of all and of the median job's work, memory of all
        processes at the beginning and end in megabytes; and of the storm: seconds until the worker was free,
        jobs, processes and files that were left over.
    """
    from headgen.cli import quiet_libraries
    from headgen_studio.app import start
    from headgen_studio.studio import Studio

    quiet_libraries()
    with tempfile.TemporaryDirectory(prefix="headgen-bench-") as place:
        heart = Studio(Path(place) / "workspace", most_waiting=max(100, clients + cancels))
        page, url = start(heart, people=[])
        try:
            files = _files(Path(place), frames)
            _ask(url, files)  # loads the models
            many = _many(heart, url, files, clients, progress)
            storm = _storm(heart, files, cancels, random.Random(seed), progress)
        finally:
            page.close(verbose=False)
            heart.close()
        left = [str(path) for path in heart.cache.rglob("*")] if heart.cache.exists() else []
    return {"load": many, "cancel_storm": storm, "left_after_the_end": len(left)}


def _files(folder: Path, frames: int) -> tuple[Path, Path]:
    """A rendered head and a few frames of another one."""
    import cv2

    from headgen.media import VideoReader, VideoWriter
    from headgen.media.image import read_image, write_image
    from headgen_studio import examples

    def small(image: Any) -> Any:
        scale = _SIZE / max(image.shape[:2])
        size = [2 * round(scale * n / 2) for n in image.shape[1::-1]]
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)

    head = read_image(examples.portraits(folder)["Rendered head"])
    picture = write_image(folder / "head.png", small(head))
    with VideoReader(examples.driving()) as reader, VideoWriter(folder / "driving.mp4", 25) as writer:
        for frame in reader:
            if frame.index == frames:
                break
            writer.write(small(frame.image))
    return picture, folder / "driving.mp4"


def _ask(url: str, files: tuple[Path, Path]) -> tuple[str, ...]:
    """One job of one client through the API."""
    from gradio_client import Client, handle_file  # type: ignore[import-untyped]

    client = Client(url, verbose=False, httpx_kwargs={"timeout": _PATIENCE})
    return client.predict(
        [handle_file(str(files[0]))], handle_file(str(files[1])), calibrate=False, api_name="/reenact"
    )


def _many(
    heart: Any, url: str, files: tuple[Path, Path], clients: int, progress: ProgressCallback | None
) -> dict[str, Any]:
    from headgen.media.provenance import sha256

    known = {job.key for job in heart.jobs.jobs()}
    memory: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK):
            memory.append(_megabytes())

    watching = threading.Thread(target=watch)
    begun = time.perf_counter()
    watching.start()
    answers: list[str] = []
    try:
        with ThreadPoolExecutor(clients) as pool:
            asking = [pool.submit(_ask, url, files) for _ in range(clients)]
            for done, one in enumerate(as_completed(asking), 1):
                if one.exception() is None:  # what is lost is counted below
                    answers.append(sha256(one.result()[0]))
                if progress is not None:
                    progress(ProgressEvent("clients", done, clients, "answers"))
    finally:
        ended.set()
        watching.join()
    seconds = time.perf_counter() - begun
    jobs = [job for job in heart.jobs.jobs() if job.key not in known]
    order = [job.key for job in sorted(jobs, key=lambda job: job.begun)]
    asked = [job.key for job in sorted(jobs, key=lambda job: job.created)]
    third = max(1, len(memory) // 3)
    return {
        "clients": clients,
        "answered": len(answers),
        "done": sum(job.state == "done" for job in jobs),
        "different_results": len(set(answers)),
        "out_of_order": sum(a != b for a, b in zip(order, asked, strict=True)),
        "seconds": round(seconds, 1),
        "median_job_seconds": round(statistics.median(job.ended - job.begun for job in jobs), 2),
        "megabytes_first_third": round(statistics.median(memory[:third] or [0])),
        "megabytes_last_third": round(statistics.median(memory[-third:] or [0])),
        "megabytes_peak": round(max(memory or [0])),
    }


def _storm(
    heart: Any, files: tuple[Path, Path], count: int, chance: random.Random, progress: ProgressCallback | None
) -> dict[str, Any]:
    before_files = _everything(heart)
    kept = {job.key for job in heart.jobs.jobs()}
    waits = []
    for done in range(1, count + 1):
        job = heart.jobs.submit("reenact", {"calibrate": False}, {"source": files[:1], "driving": files[1:]})
        time.sleep(chance.random())
        asked = time.perf_counter()
        if heart.jobs.cancel(job.key):
            heart.jobs.wait(job, 30)
            waits.append(time.perf_counter() - asked)
        else:  # it was quicker
            heart.jobs.delete(job.key)
        if progress is not None:
            progress(ProgressEvent("cancel", done, count, "jobs"))
    time.sleep(1.0)
    return {
        "jobs": count,
        "cancelled": len(waits),
        "median_seconds_until_free": round(statistics.median(waits), 2) if waits else None,
        "longest_seconds_until_free": round(max(waits), 2) if waits else None,
        "jobs_left": len({job.key for job in heart.jobs.jobs()} - kept),
        "files_left": len(_everything(heart) - before_files),
        "processes": len(_children()),
    }


def _everything(heart: Any) -> set[Path]:
    return {path for path in heart.workspace.rglob("*") if path.is_file()}


def _children() -> list[int]:
    """The studio's worker processes that are alive, and all that these have started."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        if fields[0] != "Z":
            parents[int(status.parent.name)] = int(fields[1])
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    names = {pid: Path(f"/proc/{pid}/cmdline") for pid in found[1:]}
    return [
        pid for pid, path in names.items() if path.exists() and b"resource_tracker" not in path.read_bytes()
    ]


def _megabytes() -> float:
    """Memory of the studio and its processes."""
    total = 0
    for pid in (os.getpid(), *_children()):
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return total / 1024
