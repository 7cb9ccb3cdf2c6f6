"""Ray: jobs and segments on a cluster of two nodes, of which one dies; the bytes stay the same."""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import signal
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from made_up_face import albedo, face_layout, photograph, side_light
from media_inputs import write_clip
from scipy.io import wavfile
from segment_engine import WaveEngine, digest
from tiny_listener import tiny_pipeline

import headgen
from headgen import listen
from headgen.batch.job import Job
from headgen.batch.ray_executor import RayExecutor
from headgen.batch.ray_executor import _Hello as Hello
from headgen.batch.worker import Worker, WorkerSettings
from headgen.errors import InputError
from headgen.media import write_image
from headgen.progress import Cancelled
from headgen.scheduler import plan_segments, run
from headgen.scheduler.ray_engine import RayEngine

pytest.importorskip("numba", reason="the synth extra is not installed")
pytest.importorskip("ray", reason="the cluster extra is not installed")

STORE = 80_000_000  # bytes, Ray's least


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each; the connection is made once, since that takes seconds."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - else tests wait for ever on a busy machine
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])  # of the engine below
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1, object_store_memory=STORE)
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """Six reenactments of a few frames and two that cannot be done."""
    folder = tmp_path_factory.mktemp("inputs")
    layout = face_layout()
    texture = albedo(layout)
    face, driver = (photograph(layout, texture, side_light(amount))[0] for amount in (0.3, -0.2))
    write_image(folder / "face.png", face)
    write_clip(folder / "drive.mp4", 3, size=driver.shape[1::-1], image=driver)
    (folder / "broken.mp4").write_bytes(b"no video")
    made = []
    for k in range(8):
        driving = folder / {5: "broken.mp4", 6: "lost.mp4"}.get(k, "drive.mp4")
        inputs = {"source": (str(folder / "face.png"),), "driving": (str(driving),)}
        options = {"frame": "crop", "multiplier": 0.5 + k / 4, "calibrate": False, "max_size": 256}
        made.append(Job(k + 1, "reenact", f"take{k}", inputs, options))
    return made


def settings(folder):
    folder.mkdir(exist_ok=True)
    return WorkerSettings(str(folder), folder / ".work", threads=1, check=False)


def hashes(outcomes):
    return {out.name: [one.sha256 for one in out.outputs] for out in outcomes}


@pytest.fixture(scope="module")
def alone(jobs, tmp_path_factory):
    """What a worker in this process makes of the jobs."""
    given = settings(tmp_path_factory.mktemp("alone"))
    with Worker(given) as worker:
        return [worker.run(job) for job in jobs]


def test_half_of_the_cluster_dies_and_nothing_is_lost(cluster, jobs, alone, tmp_path):
    given, outcomes, told = settings(tmp_path / "out"), [], []
    with RayExecutor(given, 2) as executor:
        for outcome in executor.run(jobs, told.append):
            outcomes.append(outcome)
            if len(outcomes) == 3:
                cluster.remove_node(list(cluster.worker_nodes)[0], allow_graceful=False)
    assert hashes(outcomes) == hashes(alone)
    assert sorted(out.row for out in outcomes) == [job.row for job in jobs]  # each once
    wrong = {out.name: out.error for out in outcomes if out.status == "failed"}
    assert set(wrong) == {"take5", "take6"} and "lost.mp4" in wrong["take6"]
    made = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    done = [out.name for out in outcomes if out.status == "done"]
    assert made == {f"{name}.mp4{end}" for name in done for end in ("", ".json")}
    assert {event.worker for event in told} <= {"1", "2"}
    assert {event.job for event in told} <= set(hashes(alone))
    cluster.add_node(num_cpus=1, object_store_memory=STORE)


@contextlib.contextmanager
def killing(cluster, wanted):
    """Inside, workers of Ray on the cluster are killed as soon as `wanted` says so."""
    nodes = {node.all_processes["raylet"][0].process.pid for node in cluster.list_all_nodes()}
    over, killed = threading.Event(), []

    def watch():
        while not over.wait(0.02):
            if not wanted():
                continue
            for folder in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError):
                    command, status = (read(f"/proc/{folder}/{name}") for name in ("cmdline", "stat"))
                    if "_Actor" in command and int(status.rpartition(")")[2].split()[1]) in nodes:
                        os.kill(int(folder), signal.SIGKILL)
                        killed.append(int(folder))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def read(path):
    with open(path) as file:
        return file.read()


def test_a_job_that_kills_its_workers_fails_alone(cluster, jobs, alone, tmp_path):
    """As memory that runs out does; afterwards, the run is told to begin no more jobs."""
    given, outcomes = settings(tmp_path / "out"), []
    with (
        killing(cluster, lambda: any(given.work.rglob("take1.mp4.part"))) as killed,
        RayExecutor(given, 1) as executor,
    ):
        for outcome in executor.run(jobs):
            outcomes.append(outcome)
            if outcome.row == 3:
                executor.finish()
    assert len(set(killed)) == 2
    first, second, third = sorted(outcomes, key=lambda out: out.row)
    assert second.status == "failed" and second.attempts == 2 and "died 2 times" in second.error
    assert hashes([first, third]) == {name: hashes(alone)[name] for name in ("take0", "take2")}


def test_abandoned_jobs_leave_nothing(cluster, jobs, tmp_path):
    given = settings(tmp_path / "out")
    with RayExecutor(given, 1) as executor:
        outcomes = []
        for outcome in executor.run(jobs):
            outcomes.append(outcome.name)
            executor.abandon()
        assert outcomes == ["take0"]
    left = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert left == {"take0.mp4", "take0.mp4.json"}


def cancel(event):
    raise Cancelled


def test_segments_on_a_cluster_make_the_same_pictures(cluster, tmp_path):
    plan = plan_segments(160, 40, 8, 3, 4)
    wanted = digest(run(plan, WaveEngine(), 1.0))
    begun = tmp_path / "begun"

    def once():
        found = begun.exists()
        begun.unlink(missing_ok=True)
        return found

    with RayEngine(partial(WaveEngine, pause=0.2), 2) as engine:
        assert digest(run(plan, engine, 1.0)) == wanted
        assert digest(run(plan, engine, 2.0)) != wanted  # another job
        with killing(cluster, once) as killed:
            frames = run(plan, engine, 1.0)
            pictures = [next(frames)]
            begun.touch()
            pictures += list(frames)
        assert killed and digest(pictures) == wanted
        with pytest.raises(Cancelled):
            list(run(plan, engine, 1.0, progress=cancel))
        assert digest(run(plan, engine, 1.0)) == wanted  # who was stopped works on


def test_a_listener_spread_over_workers_is_the_same_file(cluster, jobs, tmp_path, monkeypatch):
    """Segments of 16 frames, shared by two workers; the network is tiny."""
    module = importlib.import_module("headgen.listen")
    monkeypatch.setattr(module, "SEGMENT", 16)
    monkeypatch.setattr(module, "OVERLAP", 4)
    tiny_pipeline().save_pretrained(tmp_path / "model")
    speaker = tmp_path / "speaker.wav"
    sound = np.random.default_rng(0).normal(0, 3000, 2 * 16_000).astype(np.int16)
    wavfile.write(speaker, 16_000, sound)
    (portrait,) = jobs[0].inputs["source"]
    given = {"model": str(tmp_path / "model"), "steps": 1, "frame": "crop", "max_size": 256}
    made = [
        listen(speaker, Path(portrait), tmp_path / name, **given, **more).outputs[0].read_bytes()
        for name, more in (("alone.mp4", {}), ("spread.mp4", {"workers": 2, "executor": "ray"}))
    ]
    assert made[0] == made[1]
    with pytest.raises(InputError, match="cpus .*go with --executor ray"):
        listen(speaker, Path(portrait), tmp_path / "out.mp4", **given, cpus=2)


def test_what_cannot_be_is_told(tmp_path):
    given = settings(tmp_path / "out")
    with pytest.raises(InputError, match="workers=0"):
        RayExecutor(given, 0)
    with pytest.raises(InputError, match="cpus=0"):
        RayExecutor(given, 1, cpus=0)
    executor = RayExecutor(given, 1)
    with pytest.raises(InputError, match=r"far has headgen 0\.0\.1 on Python 3\.9\.1.*same on all"):
        executor._checked(Hello("far", "n", ("0.0.1", "3.9.1"), True, ""))
    ours = (headgen.__version__, platform.python_version())
    with pytest.raises(InputError, match=r"far does not see .*out; .*s3://"):
        executor._checked(Hello("far", "n", ours, False, ""))
