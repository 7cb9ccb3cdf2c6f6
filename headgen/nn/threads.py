"""Sharing the processor's cores between threads that each run a network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import torch
from threadpoolctl import threadpool_limits

__all__ = ["cores", "shared_cores", "take_share"]

_share: int | None = None


def cores() -> int:
    """Cores that this process may use."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return found if _share is None else min(_share, found)


def take_share(count: int) -> None:
    """Leaves the other cores to other processes, from now on: `cores` and all libraries here follow.

    Args:
        count: cores that this process uses, at least 1.
    """
    global _share
    _share = max(1, count)
    torch.set_num_threads(cores())
    cv2.setNumThreads(cores())
    threadpool_limits(1 if _share == 1 else cores(), user_api="blas")


@contextmanager
def shared_cores(parallel: int) -> Iterator[None]:
    """Threads started inside run torch, OpenCV and NumPy on their share of the cores.

    Small networks run nearly twice as fast on two threads of one core each as one after the other on two
    cores.  OpenBLAS's own threads keep a core busy for a while after every product, waiting for the next, and
    the products here are tiny: they get one.  Settings are as before afterwards.

    Args:
        parallel: how many threads compute at a time; 1 changes nothing.
    """
    if parallel <= 1:
        yield
        return
    before, before_cv = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(max(1, cores() // parallel))
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
        cv2.setNumThreads(before_cv)
