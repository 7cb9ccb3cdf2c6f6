"""A small engine for tests of the scheduler: real arithmetic on latents of one row a frame."""

import hashlib
import multiprocessing
import resource
import time

import numpy as np

from headgen.scheduler import Cache, fingerprint, plan_segments, run

SIDE = 24


class WaveEngine:
    """Latents are seeded waves, transitions are blended, pictures are drawn from latents."""

    parallel, chained = 1, False

    def __init__(self, parallel=1, chunk=5, side=SIDE, pause=0.0, chained=False):
        self.parallel, self.chunk, self.side, self.pause = parallel, chunk, side, pause
        self.chained = chained
        self.rendered = []

    def prepare(self, job):
        self.job = job
        self.fingerprint = fingerprint({"engine": "wave", "side": self.side, "job": job})

    def render(self, segment, previous, step):
        rng = np.random.default_rng(segment.seed)
        waves = rng.standard_normal((8, self.side)).astype(np.float32) * self.job
        t = np.arange(segment.start, segment.stop, dtype=np.float32)[:, None]
        base = np.float32(0) if previous is None else previous["latents"][-1]
        for k in range(4):
            step(k / 4)
            time.sleep(self.pause / 4)
        self.rendered.append(segment.index)
        phases = t * np.arange(1, 9, dtype=np.float32) / 50
        return {"latents": np.sin(phases) @ waves + base}

    def refine(self, transition, left, right, step):
        step(0.0)
        n = len(transition)
        weight = ((np.arange(n, dtype=np.float32) + 0.5) / n)[:, None]
        return {"latents": (1 - weight) * left["latents"][-n:] + weight * right["latents"][:n]}

    def draw(self, source, result, start, stop):
        rows = result["latents"][start - source.start : stop - source.start]
        assert len(rows) == stop - start
        pictures = np.multiply.outer(np.cos(rows), np.ones((self.side, 3), np.float32)).transpose(0, 2, 1, 3)
        pictures = np.broadcast_to(pictures[:, :1], (len(rows), self.side, self.side, 3))
        return list(np.round(127 + 120 * pictures).astype(np.uint8))


def digest(frames):
    """Hash of all frames of a run, which must come one after the other."""
    total = hashlib.sha256()
    for expected, (index, picture) in enumerate(frames):
        assert index == expected
        total.update(picture.tobytes())
    return total.hexdigest()


PROCESSES = multiprocessing.get_context("forkserver")  # clean processes that start fast
PROCESSES.set_forkserver_preload(["segment_engine"])


def cached_run(folder, order, plan, pause, begun):
    """A run in a process of its own, to be killed."""
    begun.set()
    digest(run(plan, WaveEngine(2, pause=pause), 1.0, order=order, cache=Cache(folder)))


def peak_memory(frames, order, answer):
    """Peak memory of a run in a process of its own, in MB."""
    plan = plan_segments(frames, 100, 12, 0, 4)
    for _ in run(plan, WaveEngine(2, chunk=20, side=32), 1.0, order=order):
        pass
    answer.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
