"""The queue: order, cancelling, crashes, restarts; the process that works is a real one."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the studio extra is not installed")

import studio_tasks
from headgen_studio import jobs as module
from headgen_studio.history import History
from headgen_studio.jobs import STOPPED, JobQueue
from headgen_studio.worker import Worker, WorkerError

from headgen.errors import InputError

LONG = 120  # seconds that a step may take before the test fails


@pytest.fixture(scope="module", autouse=True)
def tasks():
    """The queue knows the tests' work, too."""
    added = {name: target for name, target in studio_tasks.TASKS.items() if name not in module.TASKS}
    module.TASKS.update(added)
    yield
    for name in added:
        del module.TASKS[name]


@pytest.fixture(scope="module")
def queue(tmp_path_factory):
    made = JobQueue(History(tmp_path_factory.mktemp("workspace"), 10**9), most_waiting=30)
    yield made
    made.close()


@pytest.fixture
def note(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("hello")
    return path


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def until(condition):
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def running(queue, job, stage):
    until(lambda: queue.standing(job).stage == stage)


def test_a_job_is_done_and_keeps_its_inputs(queue, note):
    job = queue.submit("write", {"word": "said"}, {"text": [note]}, user="ann", client="a", work=2.0)
    assert queue.wait(job, LONG)
    assert job.state == "done"
    assert job.output_paths()[0].read_text() == "said hello"
    assert job.input_paths()["text"][0].read_text() == "hello"
    assert job.notices == ["note.txt: is noticed"]
    left = Path((job.folder / "scratch.txt").read_text())
    assert not left.exists(), "temporary files go with the job's end"
    assert left.is_relative_to(job.folder)
    assert queue.jobs(user="ann", client="a") == [job]
    assert queue.jobs(user="bob") == []


def test_places_in_the_queue_and_the_time_left(queue, note):
    queue.wait(queue.submit("write", {"word": "pace"}, {"text": [note]}, work=1.0), LONG)
    first = queue.submit("patient", {}, {})
    later = [queue.submit("write", {"word": str(k)}, {"text": [note]}, work=1.0) for k in range(3)]
    running(queue, first, "wait")
    assert [queue.standing(job).position for job in (first, *later)] == [0, 1, 2, 3]
    until(lambda: queue.standing(first).seconds_left is not None)
    lefts = [queue.standing(job).seconds_left for job in later]
    assert lefts == sorted(lefts), "who comes later waits longer"
    assert queue.busy == (1, 3)
    assert queue.cancel(later[1].key)
    assert [queue.standing(job).position for job in (later[0], later[2])] == [1, 2]
    assert queue.cancel(first.key)
    assert queue.wait(later[2], LONG)
    assert later[1].state == "cancelled"
    assert not later[1].folder.exists()


def test_cancelling_leaves_nothing_and_keeps_the_process(queue, note):
    job = queue.submit("patient", {}, {})
    running(queue, job, "wait")
    pid = queue.worker_pid
    assert queue.cancel(job.key)
    assert queue.wait(job, LONG)
    assert job.state == "cancelled"
    assert not job.folder.exists()
    assert queue.get(job.key) is None
    queue.wait(queue.submit("write", {"word": "next"}, {"text": [note]}), LONG)
    assert queue.worker_pid == pid, "work that stops by itself costs no process"


def test_work_that_does_not_listen_is_ended_with_all_it_has_started(queue, note, tmp_path):
    job = queue.submit("stubborn", {"told": str(tmp_path / "pid")}, {})
    running(queue, job, "ignore")
    pid, child = queue.worker_pid, int((tmp_path / "pid").read_text())
    queue.cancel(job.key)
    assert queue.wait(job, LONG)
    assert not job.folder.exists()
    until(lambda: not alive(pid) and not alive(child))
    after = queue.submit("write", {"word": "after"}, {"text": [note]})
    assert queue.wait(after, LONG)
    assert after.state == "done"


def test_a_crash_fails_its_own_job_only(queue, note):
    crashed = queue.submit("crash", {}, {})
    after = queue.submit("write", {"word": "after"}, {"text": [note]})
    assert queue.wait(after, LONG)
    assert crashed.state == "failed"
    assert "went wrong" in crashed.error
    assert after.state == "done"


def test_errors_are_told_without_folders(queue, note):
    job = queue.submit("refuse", {}, {"text": [note]})
    assert queue.wait(job, LONG)
    assert (job.state, job.error) == ("failed", "note.txt: says nothing; write something in out.txt")


def test_twenty_at_once_are_served_in_the_order_in_which_they_came(queue, note):
    blocked = queue.submit("patient", {}, {})
    running(queue, blocked, "wait")
    made, lock = [], threading.Lock()

    def ask(k):
        with lock:
            made.append(queue.submit("write", {"word": str(k)}, {"text": [note]}, client=str(k)))

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queue.cancel(blocked.key)
    assert queue.wait(made[-1], LONG)
    assert [job.state for job in made] == ["done"] * 20
    ends = [job.ended for job in made]
    assert ends == sorted(ends)
    assert {job.output_paths()[0].read_text() for job in made} == {f"{k} hello" for k in range(20)}


def test_who_comes_when_too_many_wait_is_told_so(queue):
    blocked = queue.submit("patient", {}, {})
    running(queue, blocked, "wait")
    waiting = [queue.submit("patient", {}, {}) for _ in range(30)]
    with pytest.raises(InputError, match="busy: 30 jobs are waiting"):
        queue.submit("patient", {}, {})
    for job in (*waiting, blocked):
        queue.cancel(job.key)
    assert queue.wait(blocked, LONG)
    assert queue.busy == (0, 0)


def test_what_waits_survives_a_restart_and_what_was_running_says_so(tmp_path, note):
    before = JobQueue(History(tmp_path / "workspace", 10**9))
    interrupted = before.submit("patient", {}, {})
    waiting = before.submit("write", {"word": "later"}, {"text": [note]})
    running(before, interrupted, "wait")
    pid = before.worker_pid
    before.close()
    assert not alive(pid)
    after = JobQueue(History(tmp_path / "workspace", 10**9))
    try:
        found = after.get(waiting.key)
        assert after.wait(found, LONG)
        assert found.output_paths()[0].read_text() == "later hello"
        assert (after.get(interrupted.key).state, after.get(interrupted.key).error) == ("failed", STOPPED)
    finally:
        after.close()


def test_a_full_disk_does_not_end_the_queue(tmp_path, note, monkeypatch):
    queue = JobQueue(History(tmp_path / "workspace", 10**9))
    try:
        job = queue.submit("patient", {}, {})
        running(queue, job, "wait")
        waiting = queue.submit("write", {"word": "later"}, {"text": [note]})

        def full(job):
            raise InputError("no room left on the disk")

        monkeypatch.setattr(queue.history, "save", full)
        queue.cancel(job.key)
        assert queue.wait(waiting, LONG)
        assert waiting.state == "done"
    finally:
        queue.close()


def test_a_worker_that_was_closed_is_not_started_again():
    worker = Worker()
    worker.close()
    worker.start()
    assert worker.pid is None
    with pytest.raises(WorkerError, match="closed"):
        worker.call("studio_tasks:write")
