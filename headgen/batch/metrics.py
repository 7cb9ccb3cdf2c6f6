"""Figures of a running batch for Prometheus: a text file, or a page that is asked for them."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from headgen.batch.beside import beside
from headgen.batch.runner import BatchEvent
from headgen.errors import InputError
from headgen.media.output import replacing
from headgen.progress import ProgressEvent

__all__ = ["BatchMetrics", "exposed"]

logger = logging.getLogger(__name__)

_LATELY = 60.0  # seconds over which frames per second are counted
_BEAT = 5.0  # seconds between two times that the file is written


class BatchMetrics:
    """Counts what a batch tells of itself; give it to `run_batch` as, or within, its progress callback."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: Counter[tuple[str, str]] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._states = {"done": 0, "failed": 0, "waiting": 0}
        self._busy: set[str] = set()
        self._frames = 0
        self._left: float | None = None
        self._recent: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def __call__(self, event: ProgressEvent) -> None:
        """Takes an event; those of other work are passed over."""
        if not isinstance(event, BatchEvent):
            return
        with self._lock:
            tally, outcome = event.tally, event.outcome
            self._states = {"done": tally.done, "failed": tally.failed, "waiting": tally.waiting}
            self._left = tally.left
            if event.worker is not None:
                self._busy.add(event.worker.worker)
            if outcome is not None:
                self._busy.discard(outcome.worker)
                self._ended[outcome.kind, outcome.status] += 1
                self._seconds[outcome.kind] += outcome.seconds
                self._frames += outcome.frames
                self._recent.append((time.monotonic(), self._frames))

    def _rate(self) -> float:
        """Frames per second of late."""
        now = time.monotonic()
        while len(self._recent) > 1 and now - self._recent[1][0] > _LATELY:
            self._recent.popleft()
        since, frames = self._recent[0]
        return (self._frames - frames) / max(now - since, 1e-9)

    def text(self) -> str:
        """All figures in Prometheus's text format, version 0.0.4."""
        with self._lock:
            lines = [
                *_metric("jobs", "gauge", "Jobs of the manifest by state.", _by("state", self._states)),
                *_metric(
                    "jobs_ended_total", "counter", "Jobs that this run has ended.",
                    {f'kind="{kind}",status="{status}"': n for (kind, status), n in self._ended.items()},
                ),
                *_metric(
                    "job_seconds_total", "counter", "Seconds that workers spent on the jobs of this run.",
                    _by("kind", self._seconds),
                ),
                *_metric("frames_total", "counter", "Frames that this run has made.", {"": self._frames}),
                *_metric(
                    "frames_per_second", "gauge", f"Frames per second over {_LATELY:g} s.", {"": self._rate()}
                ),
                *_metric("workers_busy", "gauge", "Workers at a job.", {"": len(self._busy)}),
            ]  # fmt: skip
            if self._left is not None:
                lines += _metric("left_seconds", "gauge", "Estimate until all is done.", {"": self._left})
        return "\n".join(lines) + "\n"


def _by(label: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f'{label}="{name}"': value for name, value in values.items()}


def _metric(name: str, kind: str, text: str, values: Mapping[str, float]) -> Iterator[str]:
    """Lines of one metric: its values by labels as they stand between braces."""
    yield f"# HELP headgen_batch_{name} {text}"
    yield f"# TYPE headgen_batch_{name} {kind}"
    for labels, value in values.items():
        yield f"headgen_batch_{name}{f'{{{labels}}}' if labels else ''} {value:.10g}"


@contextmanager
def exposed(metrics: BatchMetrics, where: str) -> Iterator[str]:
    """Inside, the figures can be read.

    Args:
        metrics: the figures.
        where: ``9400`` or ``HOST:PORT`` for a page ``/metrics`` (on this machine only without a host), else a
            file, replaced every few seconds and left behind, as node_exporter's textfile collector reads it.

    Yields:
        The address of the page, or the path of the file.

    Raises:
        InputError: the port is taken, or the file cannot be written.
    """
    host, _, port = where.rpartition(":")
    if port.isdigit():
        with _page(metrics, host or "127.0.0.1", int(port)) as address:
            yield address
        return
    path = Path(where)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InputError(f"{where}: is neither a port nor a file in a folder that exists; give --metrics one")
    with _file(metrics, path):
        yield str(path)


@contextmanager
def _page(metrics: BatchMetrics, host: str, port: int) -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name is the library's
            if self.path.split("?")[0] != "/metrics":
                self.send_error(404)
                return
            body = metrics.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Requests are not worth a line."""

    try:
        server = ThreadingHTTPServer((host, port), Page)
    except (OSError, OverflowError) as error:  # the latter of a port beyond 65535
        raise InputError(f"{host}:{port}: cannot be listened on ({error}); give another port") from error
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _file(metrics: BatchMetrics, path: Path) -> Iterator[None]:
    def write() -> None:
        with replacing(path) as part:
            part.write_text(metrics.text(), encoding="utf-8")

    def beat(ended: threading.Event) -> None:
        try:
            while not ended.wait(_BEAT):
                write()
            write()
        except InputError as error:  # the batch goes on without its figures
            logger.warning("no more figures: %s", error)

    write()
    with beside(beat, "headgen-batch-figures"):
        yield
