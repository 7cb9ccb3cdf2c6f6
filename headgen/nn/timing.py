"""Which part of a network takes how long, asked for from outside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

__all__ = ["part", "timed_parts"]

_running: ContextVar[dict[str, float] | None] = ContextVar("timed_parts", default=None)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Names a part of the work; costs about a microsecond unless `timed_parts` is listening."""
    times = _running.get()
    if times is None:
        yield
        return
    start = _now()
    yield
    times[name] = times.get(name, 0.0) + _now() - start


@contextmanager
def timed_parts() -> Iterator[dict[str, float]]:
    """Gathers the seconds of every `part` run inside; a GPU is waited for at both ends of each."""
    times: dict[str, float] = {}
    token = _running.set(times)
    try:
        yield times
    finally:
        _running.reset(token)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
