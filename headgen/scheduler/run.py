"""Running a plan: segments in any order, on several threads or processes, pictures in order of time.

    plan -> render segments -> refine transitions -> draw -> (frame, picture), (frame, picture), ...

Only a few segments' results and a few pictures are in memory at any time. Which thread does what and when
depends on chance; what comes out does not.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Literal, cast

from headgen.nn.threads import shared_cores
from headgen.progress import Cancelled, ProgressCallback
from headgen.scheduler.board import Board, Draw, Refine, Render, Task
from headgen.scheduler.cache import Cache, result_key
from headgen.scheduler.engine import Engine, JoiningEngine, Picture, Result
from headgen.scheduler.events import Pace, SegmentEvent, What
from headgen.scheduler.plan import Plan, Segment, Transition

__all__ = ["Order", "run"]

Order = Literal["forward", "reversed"] | Sequence[int]
_UNLIMITED = 1 << 62
_HEARTBEAT = 0.25  # seconds after which a callback is called if nothing happens, so that it can cancel


def run(
    plan: Plan | Iterable[Segment],
    engine: Engine,
    job: Any = None,
    *,
    order: Order = "forward",
    cache: Cache | None = None,
    stage: str = "render",
    progress: ProgressCallback | None = None,
) -> Generator[tuple[int, Picture], None, None]:
    """Makes a video.

    Close the iterator if you leave it early (`contextlib.closing`): then all work stops. With a cache, what
    was finished until then is found by the next run.

    Args:
        plan: what is to be made; or segments as they become known (`Planner`), which are asked for in this
            thread, a few ahead of the frames handed out.
        engine: who makes it, a `JoiningEngine` if segments overlap; `ProcessEngine` works in several
            processes.
        job: given to the engine's `prepare`.
        order: in which the segments of a `Plan` are rendered: `forward`, `reversed` or every index once. Out
            of order, results wait on the disk: in the cache, else in a temporary folder.
        cache: where results are kept and found again.
        stage: name of the work in progress events.
        progress: called in this thread, with `SegmentEvent`s.

    Returns:
        The frames in order of time: index and picture (H, W, 3) uint8. Work begins with the first one
        asked for.

    Raises:
        ValueError: an order that is not one, or that the engine or an open-ended plan cannot follow.
        InputError: the cache's disk is full.
    """
    return _frames(plan, engine, job, _indices(plan, order), cache, stage, progress)


def _frames(
    plan: Plan | Iterable[Segment],
    engine: Engine,
    job: Any,
    order: Sequence[int] | None,
    cache: Cache | None,
    stage: str,
    progress: ProgressCallback | None,
) -> Generator[tuple[int, Picture], None, None]:
    with ExitStack() as stack:
        store = cache
        if order is not None and cache is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="headgen-segments-"))
            store = Cache(folder, _UNLIMITED)
        stack.enter_context(shared_cores(engine.parallel))
        runner = _Runner(plan, engine, job, order, cache, store)
        stack.callback(runner.stop)
        yield from runner.frames(stage, progress)


def _indices(plan: Plan | Iterable[Segment], order: Order) -> Sequence[int] | None:
    """The order as indices; None in order of time."""
    if isinstance(order, str):
        if order == "forward":
            return None
        if order != "reversed":
            raise ValueError(f"order {order!r} is unknown; it is forward, reversed or a permutation")
    if not isinstance(plan, Plan):
        raise ValueError("segments that become known one by one are rendered in that order")
    indices = range(len(plan))[::-1] if isinstance(order, str) else order
    if sorted(indices) != list(range(len(plan))):
        raise ValueError(f"an order of {len(plan)} segments names each of them once")
    return indices


class _Runner:
    """Threads that work off the board of one run."""

    def __init__(
        self,
        plan: Plan | Iterable[Segment],
        engine: Engine,
        job: Any,
        order: Sequence[int] | None,
        cache: Cache | None,
        store: Cache | None,
    ) -> None:
        self.engine, self.job, self.ordered = engine, job, order is None
        self.cache, self.store = cache, store
        self.board = Board(engine.parallel, order)
        self.pace = Pace(engine.parallel)
        self.left: Counter[str] | None = None  # frames still to be made, by kind of work
        self.total: int | None = None
        self._stream = iter(plan)
        self._changed = threading.Condition()  # guards all below and the board
        self._events: deque[tuple[What, int | None, float]] = deque()
        self._keys: dict[int, str] = {}
        self._shares: dict[int, float] = {}  # of segments, as told last
        self._found: set[int] = set()  # segments that are no longer counted as work
        self._prepared = self._stopped = False
        self._error: BaseException | None = None
        if isinstance(plan, Plan):
            self.total = plan.frames
            self.left = Counter(
                render=sum(map(len, plan.segments)),
                refine=sum(map(len, plan.transitions)),
                draw=plan.frames,
                write=plan.frames,
            )
            self.board.add(plan)
            self.board.end()
        self._threads = [
            threading.Thread(target=self._work, args=(k == 0,), name=f"segments-{k}", daemon=True)
            for k in range(engine.parallel)
        ]

    # The thread that asked for the frames.

    def frames(self, stage: str, progress: ProgressCallback | None) -> Iterator[tuple[int, Picture]]:
        """See `run`."""
        handed = 0

        def report(what: What, segment: int | None, share: float) -> None:
            if progress is not None:
                with self._changed:
                    seconds = None if self.left is None else self.pace.left(self.left)
                progress(SegmentEvent(stage, handed, self.total, "frames", what, segment, share, seconds))

        for thread in self._threads:
            thread.start()
        while True:
            self._feed()
            with self._changed:
                while True:
                    events, error = list(self._events), self._error
                    self._events.clear()
                    pictures = None if error is not None else self.board.hand_out()
                    if events or error or pictures or self.board.hungry or self.board.finished:
                        break
                    if not self._changed.wait(_HEARTBEAT):
                        events.append(("waiting", None, 0.0))
                        break
                self._changed.notify_all()  # there is room for more
            for event in events:
                report(*event)
            if error is not None:
                raise error
            if pictures is None:
                if self.board.finished:
                    return
                continue
            start, images = pictures
            for frame, image in enumerate(images, start):
                begun = time.perf_counter()
                yield frame, image
                handed += 1
                self._took("write", 1, begun)
                report("written", None, 0.0)

    def _feed(self) -> None:
        """Asks for as many segments as can be begun soon."""
        while self.board.hungry:
            segment = next(self._stream, None)
            with self._changed:
                if segment is None:
                    self.board.end()
                else:
                    self.board.add([segment])
                self._changed.notify_all()

    def stop(self) -> None:
        """Ends all work: at once where an engine calls `step`, after the tasks at hand otherwise."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    # The threads that work.

    def _work(self, first: bool) -> None:
        try:
            if first:
                self._prepare()
            while (task := self._next_task()) is not None:
                self._do(task)
        except BaseException as error:  # handed to the thread that asked for the frames
            with self._changed:
                if not self._stopped and self._error is None:
                    self._error = error
                self._changed.notify_all()

    def _prepare(self) -> None:
        self.engine.prepare(self.job)
        if self.engine.chained and not self.ordered:
            raise ValueError("this engine continues each segment from the one before: render them forward")
        with self._changed:
            self.board.chunk, self.board.chained = self.engine.chunk, self.engine.chained
            if self.cache is not None and self.left is not None:
                for segment in list(self.board.segments.values()):
                    if self._key(segment) in self.cache:
                        self._count_as_made(segment)
            self._prepared = True
            self._changed.notify_all()

    def _next_task(self) -> Task | None:
        with self._changed:
            while not (self._stopped or self._error or self.board.finished):
                if self._prepared and (task := self.board.take()) is not None:
                    return task
                self._changed.wait()
        return None

    def _do(self, task: Task) -> None:
        if isinstance(task, Render):
            result = self._rendered(task)
            with self._changed:
                self._count_as_made(task.segment)
                self.board.rendered(task.segment, result)
                self._changed.notify_all()
        elif isinstance(task, Refine):
            result = self._refined(task.transition)
            with self._changed:
                self._count("refine", len(task.transition))
                self.board.refined[task.transition.index] = result
                self._changed.notify_all()
        else:
            pictures = self._drawn(task)
            with self._changed:
                self._count("draw", len(pictures))
                self.board.drawn(task, pictures)
                self._changed.notify_all()

    def _rendered(self, task: Render) -> Result | None:
        """The segment's result, from the cache or made; None where it is on the disk and not needed yet."""
        segment = task.segment
        if self.cache is not None:
            key = self._key(segment)
            # A damaged entry that is not loaded now will be made anew when it is.
            result = self.cache.load(key) if task.keep else None
            if result is not None or (not task.keep and key in self.cache):
                self._tell("cached", segment.index, 1.0)
                return result
        result = self._made(segment, keep_on_disk=self.cache is not None or not task.keep)
        return result if task.keep else None

    def _made(self, segment: Segment, keep_on_disk: bool) -> Result:
        with self._changed:
            previous = self.board.results[segment.index - 1] if self.board.chained and segment.index else None
        self._tell("begun", segment.index, 0.0)
        begun = time.perf_counter()
        result = self.engine.render(segment, previous, partial(self._step, segment.index))
        self._took("render", len(segment), begun)
        if keep_on_disk and self.store is not None:
            self.store.save(self._key(segment), result)
        self._tell("finished", segment.index, 1.0)
        return result

    def _result(self, index: int) -> Result:
        """The result of a finished segment: from memory, from the disk, or (damaged, evicted) made again."""
        with self._changed:
            segment, result = self.board.segments[index], self.board.results.get(index)
        if result is None and self.store is not None:
            result = self.store.load(self._key(segment))
        if result is None:
            result = self._made(segment, keep_on_disk=True)
        with self._changed:
            self.board.results[index] = result
        return result

    def _refined(self, transition: Transition) -> Result:
        left, right = self._result(transition.index), self._result(transition.index + 1)
        key = ""
        if self.cache is not None:
            with self._changed:
                segments = [self.board.segments[transition.index + side] for side in (0, 1)]
            key = result_key(self.engine.fingerprint, transition, *map(self._key, segments))
            if (found := self.cache.load(key)) is not None:
                return found
        begun = time.perf_counter()
        result = cast(JoiningEngine, self.engine).refine(transition, left, right, lambda _: self._check())
        self._took("refine", len(transition), begun)
        if self.cache is not None:
            self.cache.save(key, result)
        return result

    def _drawn(self, task: Draw) -> list[Picture]:
        if isinstance(task.source, Segment):
            result = self._result(task.source.index)
        else:
            with self._changed:
                result = self.board.refined[task.source.index]
        begun = time.perf_counter()
        pictures = self.engine.draw(task.source, result, task.start, task.stop)
        self._took("draw", task.stop - task.start, begun)
        return pictures

    def _key(self, segment: Segment) -> str:
        """The cache's key; that of a chained segment holds all segments before it."""
        with self._changed:
            if segment.index not in self._keys:
                before = (
                    [self._key(self.board.segments[segment.index - 1])]
                    if self.engine.chained and segment.index
                    else []
                )
                fingerprint = "" if self.cache is None else self.engine.fingerprint
                self._keys[segment.index] = result_key(fingerprint, segment, *before)
            return self._keys[segment.index]

    def _step(self, segment: int, share: float) -> None:
        with self._changed:
            self._check()
            if self._shares.get(segment) != share:
                self._shares = {k: v for k, v in self._shares.items() if k in self.board.segments}
                self._shares[segment] = share
                self._tell("step", segment, share)

    def _tell(self, what: What, segment: int | None, share: float) -> None:
        with self._changed:
            self._check()
            self._events.append((what, segment, share))
            self._changed.notify_all()

    def _check(self) -> None:
        if self._stopped:
            raise Cancelled

    def _took(self, kind: str, frames: int, begun: float) -> None:
        with self._changed:
            self.pace.took(kind, frames, time.perf_counter() - begun)
            if kind == "write":
                self._count(kind, frames)

    def _count_as_made(self, segment: Segment) -> None:
        if segment.index not in self._found:
            self._found.add(segment.index)
            self._count("render", len(segment))

    def _count(self, kind: str, frames: int) -> None:
        if self.left is not None:
            self.left[kind] -= frames
