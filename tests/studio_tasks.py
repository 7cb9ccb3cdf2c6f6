"""Work for the studio's queue that behaves in a certain way; the worker's process imports it."""

import os
import subprocess
import time
from pathlib import Path

from headgen.errors import InputError
from headgen.progress import ProgressEvent

TASKS = {name: f"studio_tasks:{name}" for name in ("write", "patient", "stubborn", "crash", "refuse")}


def write(folder, inputs, options, progress):
    """Writes what it was given."""
    import logging
    import tempfile

    progress(ProgressEvent("write", 1, 2))
    given = [path.read_text() for paths in inputs.values() for path in paths]
    (folder / "out.txt").write_text(" ".join([options["word"], *given]))
    with tempfile.NamedTemporaryFile(delete=False) as left:
        (folder / "scratch.txt").write_text(left.name)
    logging.getLogger("headgen.test").warning("%s: is noticed", folder / "inputs" / "text-1" / "note.txt")
    return ["out.txt"]


def patient(folder, inputs, options, progress):
    """Goes on until it is asked to stop."""
    for k in range(10_000):
        (folder / "out.txt.part").write_text(str(k))
        progress(ProgressEvent("wait", k, 10_000))
        time.sleep(0.02)
    return []


def stubborn(folder, inputs, options, progress):
    """Never asks whether it is still wanted, and has started a process of its own."""
    child = subprocess.Popen(["sleep", "600"])
    Path(options["told"]).write_text(str(child.pid))
    progress(ProgressEvent("ignore", 0))
    time.sleep(600)
    return []


def crash(folder, inputs, options, progress):
    """Takes its process along."""
    os._exit(3)


def refuse(folder, inputs, options, progress):
    """Is not content with what was given."""
    raise InputError(f"{inputs['text'][0]}: says nothing; write something in {folder / 'out.txt'}")
