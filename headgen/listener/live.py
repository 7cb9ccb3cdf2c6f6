"""A listener to somebody who speaks right now: pictures with their times, none of them late.

Sound and pictures are heard and seen in one thread, latents are made in another, pictures are drawn in as
many as the processor has cores. Where the machine is too slow, less is made rather than later (`pace`).

Times: row k of the speaker is complete at (k + 1) / 25 s of the speaker's time. Picture k of the listener
knows the speaker up to then and a little further; it is to be shown `delay` seconds after then, so all
pictures keep the same distance from the sound.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from headgen.faces.tracker import MediaPipeTracker
from headgen.listener.engine import ListenEngine, settling
from headgen.listener.latents import CHANNELS, PARTS
from headgen.listener.pace import Level, Pace
from headgen.listener.speaker import Piece, SpeakerStream
from headgen.listener.stream import LatentStream
from headgen.listener.track import FPS, SpeakerTrack, joined
from headgen.nn.threads import shared_cores

__all__ = ["DELAY", "LiveFigures", "LiveFrame", "listen_live"]

DELAY = 0.5
"""Seconds after which a picture answers what was heard."""
WAITING = 250
"""Pieces of the speaker that may wait to be answered; whoever gives more has to wait."""
LEARNS = 0.2
"""Share of the latest picture in how long one is said to take."""
BIN = 0.01
"""Seconds to which latencies are counted."""


@dataclass(frozen=True)
class LiveFrame:
    """A picture of the listener.

    Attributes:
        index: its number in a video of 25 frames a second.
        image: RGB (H, W, 3) uint8; the one before where none was drawn in time.
        drawn: whether it is a new one.
        behind: seconds from the time that it belongs to until it was there.
        level: the quality that it was made with.
    """

    index: int
    image: NDArray[np.uint8]
    drawn: bool
    behind: float
    level: Level

    @property
    def time(self) -> float:
        """Seconds of the video at which it begins."""
        return self.index / FPS


def listen_live(
    engine: ListenEngine,
    pieces: Iterable[Piece],
    seeds: Callable[[int], int],
    *,
    delay: float | None = DELAY,
    ready: Callable[[NDArray[np.uint8]], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[LiveFrame, None, None]:
    """Pictures of a listener while somebody speaks.

    Args:
        engine: one for ``causal``, prepared with the portrait; the track of its job is not looked at.
        pieces: what comes of the speaker, when it comes; read in a thread of its own.
        seeds: the seed of each segment by its number.
        delay: seconds behind the speaker at which pictures are to be shown; quality is lowered to keep to it.
            None: everything is made as well as it can be, however long it takes, and the clock has no part.
        ready: called with the face at rest when all is loaded, before the first piece is asked for.
        clock: seconds.

    Yields:
        A frame for each row of the speaker, in order.

    Raises:
        ValueError: the delay is shorter than a chunk.
        Exception: whatever `pieces` raises.
    """
    length = engine.at_once * engine.frames_per_latent / FPS
    if delay is not None and delay <= length:
        raise ValueError(f"delay={delay}: chunks last {length:g} s; give more, or a smaller chunk")
    pace = Pace(engine.steps, engine.at_once, float("inf") if delay is None else delay)
    with (
        shared_cores(engine.parallel),
        ThreadPoolExecutor(engine.parallel) as hands,
        _Witness(pieces, clock) as witness,
    ):
        stream = LatentStream(engine, seeds)
        at_rest = engine.painter.draw(np.zeros((1, len(PARTS), CHANNELS), np.float32), engine.options.whole)
        show = _Show(engine, hands, witness, pace, clock, at_rest[0])
        if ready is not None:
            ready(at_rest[0])
        witness.start()
        while (rows := witness.rows()) is not None:
            show.rows += len(rows)
            show.adjust(stream)
            yield from show.pictures(stream.push(rows))
        yield from show.pictures(stream.finish())


class _Show:
    """Draws what is due and tells the pace how long it took."""

    def __init__(
        self,
        engine: ListenEngine,
        hands: ThreadPoolExecutor,
        witness: _Witness,
        pace: Pace,
        clock: Callable[[], float],
        image: NDArray[np.uint8],
    ) -> None:
        self.engine, self.hands, self.witness, self.pace, self.clock = engine, hands, witness, pace, clock
        self.image, self.index, self.rows = image, 0, 0
        self._newest = -1  # the frame that was drawn last
        self._thought = 0.0
        self._takes = 0.0  # seconds that a picture takes, lately

    def adjust(self, stream: LatentStream) -> None:
        """Makes what comes next as well as there is time for."""
        level = self.pace.level
        stream.steps, self.witness.look_every = level.steps, level.every
        stream.at_once = self.pace.at_once((self.rows - self.index) // self.engine.frames_per_latent)

    def pictures(self, made: Iterable[NDArray[np.float32]]) -> Generator[LiveFrame, None, None]:
        """Frames of latents (F, P, D) as they are made."""
        chunks, begun = iter(made), self.clock()
        while (latents := next(chunks, None)) is not None:
            self._thought += self.clock() - begun
            yield from self._chunk(self.engine.frames(latents)[: self.rows - self.index])
            begun = self.clock()
        self._thought += self.clock() - begun

    def _chunk(self, frames: NDArray[np.float32]) -> Generator[LiveFrame, None, None]:
        level, begun, first = self.pace.level, self.clock(), self.index
        last = len(frames) - 1
        stale = first + last - self._newest >= FPS  # a face that stands still for a second is worse than late
        jobs: list[Future[NDArray[np.uint8] | None] | None] = [
            self.hands.submit(self._draw, frames[k : k + 1], first + k, level, stale and k == last)
            if k % level.every == 0 or (stale and k == last)
            else None
            for k in range(len(frames))
        ]
        latest, drawn = 0.0, 0
        try:
            for k, job in enumerate(jobs):
                image = None if job is None else job.result()
                if image is not None:
                    self.image, self._newest = image, first + k
                    drawn += 1
                behind = self._behind(first + k)
                if image is not None or not level.skips:
                    latest = max(latest, behind)
                self.index += 1
                yield LiveFrame(first + k, self.image, image is not None, behind, level)
        finally:
            for job in jobs:
                if job is not None:
                    job.cancel()
        spent = self.clock() - begun
        self.pace.made(len(frames) / FPS, self._thought, spent, latest, drawn / len(frames))
        self._thought = 0.0

    def _draw(
        self, frame: NDArray[np.float32], index: int, level: Level, anyway: bool
    ) -> NDArray[np.uint8] | None:
        """The picture of a frame (1, P, C); None if it is left out, unless `anyway`.

        That is if the next one would be due already, or where the level says so, if it would be late.
        """
        begun, behind = self.clock(), self._behind(index)
        over = behind + self._takes if level.skips else behind - level.every / FPS
        if not anyway and over > self.pace.delay:
            return None
        image = self.engine.painter.draw(settling(frame, index), self.engine.options.whole)[0]
        self._takes += LEARNS * (self.clock() - begun - self._takes)
        return image

    def _behind(self, index: int) -> float:
        return self.clock() - self.witness.begun - (index + 1) / FPS


class _Witness:
    """Hears and sees the speaker in a thread of its own."""

    def __init__(self, pieces: Iterable[Piece], clock: Callable[[], float]) -> None:
        self.look_every = 1
        self.begun = float("inf")
        """When the speaker began, on the clock: as early as any piece says."""
        self._pieces, self._clock = pieces, clock
        self._waiting: queue.Queue[SpeakerTrack | BaseException | None] = queue.Queue(WAITING)
        self._go, self._stopped = threading.Event(), threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="witness", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._go.set()
        self._thread.join(timeout=1)  # it may wait for a piece that never comes

    def start(self) -> None:
        """Lets the speaker begin, once everything is loaded."""
        self._ready.wait()
        self._go.set()

    def rows(self) -> SpeakerTrack | None:
        """All that waits to be answered, at least a row; None at the end."""
        found = []
        item = self._waiting.get()
        while isinstance(item, SpeakerTrack):
            found.append(item)
            if self._waiting.empty():
                return joined(found)
            item = self._waiting.get()
        if found:
            self._waiting.put(item)  # the end; nobody else puts anything any more
            return joined(found)
        if item is not None:
            raise item
        return None

    def _watch(self) -> None:
        end: BaseException | None = None
        try:
            with MediaPipeTracker() as tracker:
                speaker = SpeakerStream(tracker)
                self._ready.set()
                self._go.wait()
                for piece in self._pieces:
                    self.begun = min(self.begun, self._clock() - float(piece.until))
                    speaker.look_every = self.look_every
                    if len(rows := speaker.take(piece)):
                        self._put(rows)
                    if self._stopped.is_set():
                        return
        except BaseException as error:  # it belongs to whoever asks for rows
            end = error
        finally:
            self._ready.set()
            self._put(end)

    def _put(self, item: SpeakerTrack | BaseException | None) -> None:
        while not self._stopped.is_set():
            try:
                return self._waiting.put(item, timeout=0.2)
            except queue.Full:
                continue


class LiveFigures:
    """How live a listener was: latencies and rates of its frames, in bounded memory."""

    def __init__(self) -> None:
        self.frames = self.drawn = 0
        self.first = float("nan")
        """Seconds from the first sound until the first picture."""
        self.levels: dict[Level, int] = {}
        """Frames by quality."""
        self._counts = np.zeros(1000, np.int64)

    def add(self, frame: LiveFrame) -> None:
        """Counts a frame."""
        self.frames += 1
        self.drawn += frame.drawn
        self.levels[frame.level] = self.levels.get(frame.level, 0) + 1
        if frame.index == 0:
            self.first = frame.behind + 1 / FPS
        if frame.drawn:
            self._counts[int(np.clip(frame.behind / BIN, 0, len(self._counts) - 1))] += 1

    def behind(self, share: float) -> float:
        """Seconds that a share of the drawn pictures was behind the speaker at most."""
        if not self.drawn:
            return float("nan")
        return BIN * min(
            len(self._counts), 1 + int(np.searchsorted(np.cumsum(self._counts), share * self.drawn))
        )

    @property
    def rate(self) -> float:
        """Pictures drawn in a second of video."""
        return FPS * self.drawn / max(self.frames, 1)

    def __str__(self) -> str:
        """One line for people."""
        qualities = ", ".join(f"{count / self.frames:.0%} at {level}" for level, count in self.levels.items())
        return (
            f"first picture {self.first:.2f} s after the first sound, half of them within "
            f"{self.behind(0.5):.2f} s and 95 % within {self.behind(0.95):.2f} s; {self.rate:.1f} pictures a "
            f"second; {qualities}"
        )
