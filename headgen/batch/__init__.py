"""Batches: thousands of jobs from a manifest, on the workers of one machine or many, nothing lost."""

from headgen.batch.executor import Executor, WorkerEvent
from headgen.batch.job import Job
from headgen.batch.worker import Outcome, Worker, WorkerSettings

__all__ = ["Executor", "Job", "Outcome", "Worker", "WorkerEvent", "WorkerSettings"]
