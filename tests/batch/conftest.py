"""A small batch's inputs, made once, and an executor that works in the test's own process."""

from __future__ import annotations

import csv
import shutil

import pytest

from headgen.batch.executor import WorkerEvent
from headgen.batch.worker import Worker
from headgen.evaluation.bench_batch import make_batch


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """Folder of pictures and videos, whole and broken ones."""
    folder = tmp_path_factory.mktemp("inputs")
    make_batch(folder, 12)
    return folder


@pytest.fixture
def table(inputs, tmp_path):
    """Writes a manifest beside copies of the inputs."""
    folder = tmp_path / "in"
    shutil.copytree(inputs, folder)

    def write(*rows, name="manifest.csv"):
        usual = {"kind": "reenact", "source": "face-0.png", "driving": "driver-0.mp4", "calibrate": "false"}
        rows = [usual | row for row in rows]
        columns = list(dict.fromkeys(column for row in rows for column in row))
        with (folder / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        return folder / name

    return write


class Here:
    """An executor with one worker in this process: nothing has to start."""

    workers = 1

    def __init__(self, settings):
        self.settings, self.stopping, self.begun = settings, False, []

    def __enter__(self):
        self.worker = Worker(self.settings).__enter__()
        return self

    def __exit__(self, *exc):
        self.worker.__exit__(*exc)

    def run(self, jobs, progress=None):
        for job in jobs:
            if self.stopping:
                return
            self.begun.append(job.name)
            yield self.worker.run(
                job, lambda step, job=job: progress and progress(WorkerEvent("1", job.name, step))
            )

    def finish(self):
        self.stopping = True

    abandon = finish


@pytest.fixture
def here():
    return Here
