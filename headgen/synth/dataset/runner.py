"""Making many clips: several processes, the same bytes whatever their number, going on after a kill."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from headgen.nn.threads import cores, shared_cores
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.synth.dataset.records import clips_folder, file_hash, is_finished

Make = Callable[[int], None]
"""Makes the clip of a number and writes its facts."""
LONGEST_TURN = 8
"""Clips of a group that one process makes in a row: more would leave the others idle at the end."""


def run(
    directory: Path,
    names: Sequence[str],
    maker: Callable[[], Make],
    workers: int = 1,
    progress: ProgressCallback | None = None,
    here: Make | None = None,
    group: Callable[[int], int] | None = None,
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
        group: of a clip's number; clips of a group are made one after the other, by one process as far as
            its turn goes, which keeps what they have in common.
    """
    clips_folder(directory).mkdir(parents=True, exist_ok=True)
    for part in clips_folder(directory).glob("*.part"):
        part.unlink()
    todo = [k for k, name in enumerate(names) if not is_finished(directory, name)]
    done = len(names) - len(todo)
    turn = 1
    if group is not None:
        todo.sort(key=group)
        turn = min(LONGEST_TURN, max(Counter(map(group, todo)).values(), default=1))
    if progress is not None and done:
        progress(ProgressEvent("render", done, len(names), "clips"))
    for _ in _work(todo, maker, workers, here, turn):
        done += 1
        if progress is not None:
            progress(ProgressEvent("render", done, len(names), "clips"))


def _work(
    todo: Sequence[int], maker: Callable[[], Make], workers: int, here: Make | None, turn: int
) -> Iterator[None]:
    if workers <= 1 or len(todo) <= 1:
        if todo:
            with shared_cores(cores()):  # one thread, as every worker has: sums round alike
                yield from map(here or maker(), todo)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, initializer=_start, initargs=(maker,)) as pool:
        yield from pool.imap_unordered(_make, todo, turn)


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
