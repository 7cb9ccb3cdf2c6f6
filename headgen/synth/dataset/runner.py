"""Making many clips: several processes, the same bytes whatever their number, going on after a kill."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from headgen.nn.threads import cores, shared_cores
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.synth.dataset.records import clips_folder, file_hash, is_finished

Make = Callable[[int], None]
"""Makes the clip of a number and writes its facts."""


def run(
    directory: Path,
    names: Sequence[str],
    maker: Callable[[], Make],
    workers: int = 1,
    progress: ProgressCallback | None = None,
    here: Make | None = None,
) -> None:
    """Makes the clips that are not there yet.

    Args:
        directory: folder of the data set.
        names: of all its clips; clip k is ``names[k]``.
        maker: called once in each process; returns what makes a clip from its number. A clip may depend on
            its number only, never on what the process made before.
        workers: processes.
        progress: called after every clip.
        here: what `maker` has already made in this process, if it has.
    """
    clips_folder(directory).mkdir(parents=True, exist_ok=True)
    for part in clips_folder(directory).glob("*.part"):
        part.unlink()
    todo = [k for k, name in enumerate(names) if not is_finished(directory, name)]
    done = len(names) - len(todo)
    if progress is not None and done:
        progress(ProgressEvent("render", done, len(names), "clips"))
    for _ in _work(todo, maker, workers, here):
        done += 1
        if progress is not None:
            progress(ProgressEvent("render", done, len(names), "clips"))


def _work(todo: Sequence[int], maker: Callable[[], Make], workers: int, here: Make | None) -> Iterator[None]:
    if workers <= 1 or len(todo) <= 1:
        if todo:
            with shared_cores(cores()):  # one thread, as every worker has: sums round alike
                yield from map(here or maker(), todo)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, initializer=_start, initargs=(maker,)) as pool:
        yield from pool.imap_unordered(_make, todo)


_current: Make | None = None
_alone = ExitStack()  # a worker has one core for as long as it lives


def _start(maker: Callable[[], Make]) -> None:
    global _current
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the pool ends its workers with it; no traceback then
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("GLOG_minloglevel", "3")
    _alone.enter_context(shared_cores(cores()))
    _current = maker()


def _make(index: int) -> None:
    assert _current is not None
    _current(index)


def hashes(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of files by their names."""
    return {file.name: file_hash(file) for file in files}


def clean(directory: Path, name: str, endings: Sequence[str]) -> None:
    """Removes what is left of an unfinished clip."""
    for ending in endings:
        (clips_folder(directory) / f"{name}{ending}").unlink(missing_ok=True)
