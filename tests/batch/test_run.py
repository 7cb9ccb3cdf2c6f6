"""Batches go on where they were stopped, and lose and repeat nothing; the models are the embedded ones."""

from __future__ import annotations

import csv
import errno
import io
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest

from headgen.batch import local, state
from headgen.batch.command import batch, status
from headgen.batch.job import Job
from headgen.batch.metrics import BatchMetrics, exposed
from headgen.batch.results import Log
from headgen.batch.runner import run_batch
from headgen.batch.state import State, read_status
from headgen.batch.telling import JsonLines
from headgen.batch.worker import Outcome, Worker, WorkerSettings
from headgen.errors import HeadgenError, InputError
from headgen.evaluation.bench_batch import BROKEN, kill_runs, leftovers_of, make_batch, results_of
from headgen.media.provenance import sha256
from headgen.progress import Cancelled


@pytest.fixture
def run(tmp_path, here):
    """Runs a manifest here; returns the report and the names of the jobs that were begun."""

    def go(manifest, output=None, **options):
        begun = []

        def make(settings):
            executor = here(settings)
            executor.begun = begun
            return executor

        report = run_batch(manifest, output or tmp_path / "out", make_executor=make, **options)
        return report, begun

    return go


def rows_of(output):
    with (output / "results.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_bad_rows_fail_alone_and_only_what_changed_is_done_again(table, run, tmp_path):
    rows = [{"name": "a"}, {"name": "b", "source": "grey.png"}, {"name": "sub/c"}, {"name": "d", "seed": "x"}]
    report, begun = run(table(*rows))
    out = tmp_path / "out"
    assert begun == ["a", "b", "sub/c"] and report.made == 2 and report.tally.failed == 2
    assert set(results_of(out)) == {"a.mp4", "sub/c.mp4"} and not leftovers_of(out, results_of(out))
    found = rows_of(out)
    assert found["a"]["status"] == "done" and found["a"]["sha256"] == sha256(out / "a.mp4")
    assert float(found["a"]["face_share"]) == 1 and 0 < float(found["a"]["jitter"]) < 0.1
    assert "no face was found" in found["b"]["error"] and "whole number" in found["d"]["error"]
    assert json.loads((out / "a.mp4.json").read_text())["output"]["file"] == "a.mp4"
    before = results_of(out)

    # Nothing has changed: neither what is done nor what has failed is done again.
    manifest = table(*rows[:3], {"name": "d"})
    assert run(manifest)[1] == ["d"]
    assert run(manifest, retry_failed=True)[1] == ["b"]
    # Another name of the same file, and a file that was only touched, change nothing.
    shutil.copy(manifest.parent / "face-0.png", manifest.parent / "copy.png")
    (manifest.parent / "driver-0.mp4").touch()
    assert run(table({"name": "a", "source": "copy.png"}, *rows[1:3], {"name": "d"}))[1] == []
    # An option, the contents of an input, a result that is gone or damaged: made anew.
    manifest = table({"name": "a", "multiplier": "0.5"}, *rows[1:3], {"name": "d"})
    assert run(manifest)[1] == ["a"]
    assert results_of(out)["a.mp4"] != before["a.mp4"]
    shutil.copy(manifest.parent / "face-1.png", manifest.parent / "grey.png")
    (out / "d.mp4").unlink()
    assert run(manifest)[1] == ["b", "d"]
    data = bytearray((out / "sub/c.mp4").read_bytes())
    data[-1] ^= 1
    (out / "sub/c.mp4").write_bytes(data)
    assert run(manifest)[1] == []
    assert run(manifest, verify=True)[1] == ["sub/c"]
    assert results_of(out)["sub/c.mp4"] == before["sub/c.mp4"]
    # A row that is gone keeps its result; so does one whose inputs are gone.
    (manifest.parent / "driver-0.mp4").unlink()
    report, begun = run(table(*rows[1:3], {"name": "d"}))
    assert list(report.vanished) == ["a"] and begun == [] and report.tally.done == 3
    assert (out / "a.mp4").exists() and rows_of(out)["a"]["in_manifest"] == "False"


def test_strict_and_dry_runs_touch_nothing(table, run, tmp_path):
    manifest = table({"name": "a"}, {"name": "b", "source": "none.png"})
    with pytest.raises(InputError, match=r"row 3, column source: .*none.png: no such file"):
        run(manifest, strict=True)
    report, begun = run(manifest, dry_run=True)
    assert begun == [] and report.tally.waiting == 1 and report.plan.frames == 3
    assert report.tally.left > 0 and not (tmp_path / "out").exists()


def test_remote_storage(table, run, inputs):
    """Manifest, inputs and results in memory; the bytes are those of local files, and it resumes."""
    import fsspec

    memory = fsspec.filesystem("memory")
    manifest = table({"name": "a"}, {"name": "b", "driving": "none.mp4"}, {"name": "c", "source": "text.mp4"})
    for path in manifest.parent.iterdir():
        memory.put_file(str(path), f"/far/in/{path.name}")
    memory.pipe_file("/far/out/mine.part", b"somebody's own")
    memory.pipe_file("/far/out/.headgen/parts/a.mp4.part", b"of a run that was killed")
    report, begun = run("memory://far/in/manifest.csv", "memory://far/out")
    assert begun == ["a"] and report.tally.failed == 2
    run(manifest, manifest.parent.parent / "near")
    assert memory.cat_file("/far/out/a.mp4") == (manifest.parent.parent / "near/a.mp4").read_bytes()
    names = {name.removeprefix("/far/out/") for name in memory.find("/far/out")}
    assert {"a.mp4", "a.mp4.json", "results.csv", "results.parquet", ".headgen/status.json"} <= names
    assert [name for name in names if name.endswith(".part")] == ["mine.part"]
    assert ".headgen/lease.json" not in names
    assert json.loads(memory.cat_file("/far/out/a.mp4.json"))["inputs"]["source"][0]["file"] == "face-0.png"
    assert "1 done" in status("memory://far/out")
    assert run("memory://far/in/manifest.csv", "memory://far/out")[1] == []
    memory.pipe_file("/far/in/face-0.png", (inputs / "face-1.png").read_bytes())
    assert run("memory://far/in/manifest.csv", "memory://far/out")[1] == ["a"]


def test_a_second_run_in_one_folder_is_told_of_the_first(table, run, tmp_path):
    with State(str(tmp_path / "out")) as state:
        state.write_status({"state": "running", "done": 0, "failed": 0, "frames": 0})
        with pytest.raises(InputError, match="another run works here"):
            run(table({"name": "a"}))
        state.log.append(Outcome("b", 3, "reenact", "failed", error="why"))
        found = read_status(str(tmp_path / "out"))
        assert found["alive"] and found["failed"] == 1  # since the status was written
    with State("memory://leased/out"), pytest.raises(InputError, match="another run works here"):
        State("memory://leased/out").__enter__()
    assert run(table({"name": "a"}))[0].made == 1


def test_a_claim_does_not_run_out_while_its_run_reads(monkeypatch):
    """Reading what has changed may take longer than a claim lasts; another one's claim is respected."""
    monkeypatch.setattr(state, "_SEND", 0.02)
    with State("memory://claimed/out") as first:
        begun = first._lease()["time"]
        deadline = time.monotonic() + 20
        while first._lease()["time"] == begun and time.monotonic() < deadline:
            time.sleep(0.01)
        assert first._lease()["time"] > begun
        while first._lost is None and time.monotonic() < deadline:
            first.place._filesystem.pipe_file("/claimed/out/.headgen/lease.json", b'{"run": "x", "time": 0}')
            time.sleep(0.01)
        with pytest.raises(InputError, match="another run works here"):
            first.write_status({"state": "running"})


def test_nothing_in_the_way_is_replaced(table, run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.mp4").write_bytes(b"somebody's own")
    manifest = table({"name": "a"}, {"name": "driver-1", "driving": "driver-1.mp4"})
    report, begun = run(manifest, verify=True)
    assert begun == ["driver-1"] and "not of this batch" in report.failures[0].error
    assert (tmp_path / "out/a.mp4").read_bytes() == b"somebody's own"
    report, begun = run(manifest, manifest.parent)
    assert "would replace an input" in report.failures[0].error


def test_lost_folders_and_full_disks_end_the_run_and_keep_what_is_done(table, run, tmp_path, here):
    names = [{"name": name, "source": f"face-{k}.png"} for k, name in enumerate("abc")]
    manifest = table(*names)

    def unplug(event):
        if getattr(event, "outcome", None) is not None:
            manifest.parent.rename(tmp_path / "unplugged")

    report, begun = run(manifest, progress=unplug)
    assert "the folder of inputs is gone" in report.stopped and begun == ["a", "b"]
    assert (report.tally.done, report.tally.failed, report.tally.waiting) == (1, 0, 2)
    (tmp_path / "unplugged").rename(manifest.parent)

    class Full(here):
        def __enter__(self):
            super().__enter__()
            place, take = self.worker._place, self.worker._place.take

            def full(local, name, digest=""):
                if name == "c.mp4":
                    raise InputError("no room left") from OSError(errno.ENOSPC, "No space left on device")
                take(local, name, digest)

            place.take = full
            return self

    report = run_batch(manifest, tmp_path / "out", make_executor=Full)
    assert "no room left" in report.stopped and report.tally.done == 2 and report.tally.waiting == 1
    assert rows_of(tmp_path / "out")["c"]["status"] == "waiting"
    assert "stopped (no room left)" in status(str(tmp_path / "out"))
    assert run(manifest)[1] == ["c"]


def test_models_and_trackers_that_stay_change_no_byte(inputs, tmp_path):
    """Jobs of one worker, in any order, after jobs that failed, are those of a fresh one."""

    def job(name, source="face-0.png", **options):
        files = {"source": (str(inputs / source),), "driving": (str(inputs / "driver-1.mp4"),)}
        return Job(2, "reenact", name, files, options)

    def listening(name):
        files = {"speaker": (str(inputs / "driver-1.mp4"),), "portrait": (str(inputs / "face-0.png"),)}
        return Job(2, "listen", name, files, {"text": "nods", "steps": 1, "takes": 2})

    def outcomes(folder, *jobs):
        with Worker(WorkerSettings(str(tmp_path / folder), tmp_path / folder / "work")) as worker:
            return {job.name: worker.run(job) for job in jobs}

    some = [
        job("a"),
        job("b", "face-1.png"),
        job("x", "grey.png"),
        job("c", motion="absolute"),
        listening("l"),
    ]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = outcomes("one", *some)
    two = outcomes("two", *reversed(some))
    for name, outcome in one.items():
        assert outcome.outputs == two[name].outputs and outcome.identity == two[name].identity
        assert outcome.jitter == two[name].jitter
    assert [one.name for one in one["l"].outputs] == ["l-1.mp4", "l-2.mp4"] and one["l"].frames == 6
    assert one["x"].status == "failed" and "grey.png: no face was found" in one["x"].error
    assert len({outcome.identity for outcome in one.values()}) == 5


def test_a_torn_line_of_the_log_is_cut_off(tmp_path):
    log = Log(tmp_path / "log.jsonl")
    with log:
        log.append(Outcome("a", 2, "reenact", "done"))
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + b'{"name": "b", "ro')
    assert list(log.outcomes()) == ["a"]
    with log:
        log.append(Outcome("c", 3, "reenact", "failed", error="why"))
    assert list(log.outcomes()) == ["a", "c"] and log.outcomes()["c"].error == "why"


def test_a_full_disk_leaves_whole_lines(tmp_path):
    log = Log(tmp_path / "log.jsonl")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with log:
        log.append(Outcome("a", 2, "reenact", "done"))
        whole = log.path.read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, before[1]))
        try:
            with pytest.raises(InputError, match="no room left"):
                log.append(Outcome("b", 3, "reenact", "done"))
            assert log.path.read_bytes() == whole
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        log.append(Outcome("c", 4, "reenact", "done"))
    assert list(log.outcomes()) == ["a", "c"]


def test_json_lines_and_figures(table, run):
    stream = io.StringIO()
    figures, lines = BatchMetrics(), JsonLines(stream)

    def tell(event):
        figures(event)
        lines(event)

    report, _ = run(table({"name": "a"}, {"name": "b", "source": "grey.png"}), progress=tell)
    lines.end(report)
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["begun", "job", "job", "ended"]
    assert events[1]["name"] == "a" and events[2]["error"] and events[3]["failed"] == 1
    text = figures.text()
    for line in (
        'headgen_batch_jobs{state="done"} 1',
        'headgen_batch_jobs_ended_total{kind="reenact",status="failed"} 1',
        "headgen_batch_frames_total 3",
        "# TYPE headgen_batch_frames_per_second gauge",
    ):
        assert line in text.splitlines()
    with pytest.raises(InputError, match="another port"), exposed(figures, "70000"):
        pass


def test_the_status_is_told_at_once():
    """Without the libraries that only work needs."""
    script = "import sys, headgen.batch.command; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_a_cancelled_run_leaves_nothing_half_written(table, run, tmp_path):
    def stop(event):
        if getattr(event, "worker", None) is not None:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(table({"name": "a"}), progress=stop)
    assert not results_of(tmp_path / "out") and not leftovers_of(tmp_path / "out", {})
    assert run(table({"name": "a"}))[0].made == 1


def test_ctrl_c_lets_the_current_job_end(table, run, tmp_path):
    def press(event):
        if getattr(event, "worker", None) is not None:
            os.kill(os.getpid(), signal.SIGINT)

    report, begun = run(table({"name": "a"}, {"name": "b"}), progress=press)
    assert begun == ["a"] and "Ctrl-C" in report.stopped
    assert run(table({"name": "a"}, {"name": "b"}))[1] == ([] if report.tally.done == 2 else ["b"])


def kill_worker(event):
    """Kills whoever is at the deadly job."""
    worker = getattr(event, "worker", None)
    if worker is not None and worker.job == "deadly":
        for child in multiprocessing.active_children():
            if child.name == f"headgen-worker-{worker.worker}":
                child.kill()


def test_a_job_that_kills_its_worker_fails_alone(table, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "_TRIES", 1)
    manifest = table({"name": "deadly"})
    report = run_batch(manifest, tmp_path / "out", workers=1, progress=kill_worker)
    assert "died 1 times (SIGKILL: as a rule memory ran out" in report.failures[0].error
    assert report.failures[0].identity and not leftovers_of(tmp_path / "out", {})
    report = run_batch(manifest, tmp_path / "out", workers=1)
    assert report.tally.failed == 1 and not report.made  # it is not tried in every run


def test_a_killed_run_comes_to_the_same_end(run, tmp_path):
    """Twenty jobs, four of them broken: first the run is killed with SIGKILL, and then one of its workers."""
    manifest, killed = make_batch(tmp_path / "inputs", 20, BROKEN[2:10:2]), tmp_path / "killed"
    manifest.write_text(manifest.read_text().replace("job-0015", "deadly"))
    run(manifest)
    expected = results_of(tmp_path / "out")
    kill_runs(manifest, killed, 2, 1, random.Random(1))
    assert status(str(killed)).splitlines()[0].endswith(": killed")
    once = []

    def kill_once(event):
        worker = getattr(event, "worker", None)
        if worker is not None and worker.job == "deadly" and not once:
            once.append(kill_worker(event))

    report = run_batch(manifest, killed, workers=2, progress=kill_once)
    assert once and report.tally.done == len(expected) == 16
    assert results_of(killed) == expected and not leftovers_of(killed, expected)
    assert rows_of(killed)["deadly"]["attempts"] == "2" and len(rows_of(killed)) == 20
    with pytest.raises(HeadgenError, match=r"16 of 20 jobs are done \(0 of them now.* 4 failed, 0 to do"):
        batch(str(manifest), str(killed), workers=2, metrics=str(tmp_path / "figures.prom"))
    assert 'headgen_batch_jobs{state="done"} 16' in (tmp_path / "figures.prom").read_text()
    assert "finished" in status(str(killed))
