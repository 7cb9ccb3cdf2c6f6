"""Batches: thousands of jobs from a manifest, on the workers of one machine or many, nothing lost.

Names are imported on first use, so that ``headgen batch status`` loads no networks.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headgen.batch.executor import Executor as Executor
    from headgen.batch.executor import WorkerEvent as WorkerEvent
    from headgen.batch.job import Job as Job
    from headgen.batch.worker import Outcome as Outcome
    from headgen.batch.worker import Worker as Worker
    from headgen.batch.worker import WorkerSettings as WorkerSettings

_EXPORTS = {
    "Executor": "headgen.batch.executor",
    "Job": "headgen.batch.job",
    "Outcome": "headgen.batch.worker",
    "Worker": "headgen.batch.worker",
    "WorkerEvent": "headgen.batch.executor",
    "WorkerSettings": "headgen.batch.worker",
}
__all__ = [*_EXPORTS]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'headgen.batch' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
