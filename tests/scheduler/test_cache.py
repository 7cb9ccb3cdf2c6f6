"""The cache: found again, found out when damaged, no larger than allowed, and of use after a kill."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass

import numpy as np
import pytest
from segment_engine import PROCESSES, WaveEngine, cached_run, digest

from headgen.errors import InputError
from headgen.scheduler import Cache, fingerprint, plan_segments, run
from headgen.scheduler.plan import Planner

PLAN = plan_segments(150, 24, 8, seed=4, multiple=4)
ARRAYS = {
    "latents": np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2],
    "seen": np.array([True, False]),
    "none": np.zeros((0, 3), np.float16),
}


def run_cached(folder, *, plan=PLAN, job=1.0, limit=1 << 30, order="forward", **options):
    """Hash of the frames, which segments were made and which were found."""
    engine, events = WaveEngine(**options), []
    done = digest(run(plan, engine, job, order=order, cache=Cache(folder, limit), progress=events.append))
    return done, sorted(engine.rendered), sorted(e.segment for e in events if e.what == "cached")


def test_what_was_saved_is_loaded(tmp_path):
    cache = Cache(tmp_path / "new" / "folder")
    assert "ab" not in cache and cache.load("ab") is None
    cache.save("ab", ARRAYS)
    assert "ab" in cache
    loaded = cache.load("ab")
    assert loaded is not None and loaded.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert loaded[name].dtype == array.dtype and np.array_equal(loaded[name], array)
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".safetensors"]


def test_damage_anywhere_is_found_out_and_removed(tmp_path):
    cache = Cache(tmp_path)
    cache.save("ab", ARRAYS)
    whole = cache.path("ab").read_bytes()
    rng = random.Random(0)
    damaged = [b"", whole[:-1], whole[:40], whole + b"x"]
    for at in [*range(8), len(whole) - 1, *rng.sample(range(len(whole)), 60)]:
        damaged.append(whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :])
    for content in damaged:
        cache.path("ab").write_bytes(content)
        loaded = cache.load("ab")
        if loaded is None:
            assert "ab" not in cache
        else:  # only what pads the header
            assert all(np.array_equal(loaded[name], array) for name, array in ARRAYS.items())
    cache.path("ab").write_bytes(whole)
    assert cache.load("ab") is not None


@pytest.mark.parametrize("order", ["forward", "reversed"])
def test_a_second_run_makes_nothing(tmp_path, order):
    expected = digest(run(PLAN, WaveEngine(), 1.0))
    everything = list(range(len(PLAN)))
    assert run_cached(tmp_path, order=order) == (expected, everything, [])
    assert run_cached(tmp_path, order=order) == (expected, [], everything)
    assert run_cached(tmp_path, order="reversed", parallel=2) == (expected, [], everything)


def test_what_has_a_part_in_a_result_makes_it_another(tmp_path):
    run_cached(tmp_path)
    assert run_cached(tmp_path, job=2.0)[2] == []
    assert run_cached(tmp_path, plan=plan_segments(150, 24, 8, seed=5, multiple=4))[2] == []
    longer = run_cached(tmp_path, plan=plan_segments(182, 24, 8, seed=4, multiple=4))
    assert longer[2] == list(range(len(PLAN) - 1))  # the beginning is the same


def test_chained_segments_depend_on_those_before(tmp_path):
    plan = plan_segments(90, 12, 0, 3, 4)
    expected = run_cached(tmp_path, plan=plan, chained=True)
    again = run_cached(tmp_path, plan=plan, chained=True, parallel=2)
    assert again == (expected[0], [], list(range(len(plan))))
    assert run_cached(tmp_path, plan=plan, job=2.0, chained=True)[2] == []


@pytest.mark.parametrize("order", ["forward", "reversed"])
def test_damaged_segments_are_made_anew(tmp_path, order):
    expected = run_cached(tmp_path)[0]
    entries = sorted(tmp_path.rglob("*.safetensors"))
    assert len(entries) == 2 * len(PLAN) - 1  # transitions too
    for path in entries[::3]:
        path.write_bytes(path.read_bytes()[:-7] + b"damaged")
    again, made, _ = run_cached(tmp_path, order=order)
    assert again == expected and 0 < len(made) < len(PLAN)
    assert run_cached(tmp_path)[1] == []


def test_the_longest_unused_go_first(tmp_path):
    one = {"latents": np.zeros(1000, np.float32)}
    cache = Cache(tmp_path, limit=13_000)  # three entries
    for k, key in enumerate(["aa", "bb", "cc"]):
        cache.save(key, one)
        os.utime(cache.path(key), (k, k))
    cache.load("aa")
    cache.save("dd", one)
    assert [key in cache for key in ("aa", "bb", "cc", "dd")] == [True, False, True, True]
    Cache(tmp_path, limit=10).save("ee", one)
    assert [path.stem for path in tmp_path.rglob("*.safetensors")] == ["ee"]


@pytest.mark.parametrize("order", ["forward", "reversed"])
def test_a_cache_too_small_for_the_run_does_no_harm(tmp_path, order):
    expected = digest(run(PLAN, WaveEngine(), 1.0))
    assert run_cached(tmp_path, limit=8_000, order=order, parallel=2)[0] == expected
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors")) <= 8_000


def test_streams_are_cached_too(tmp_path):
    def segments():
        planner = Planner(24, 8, 4, multiple=4, least=12)
        yield from planner.extend(150)
        yield from planner.finish()

    expected = run_cached(tmp_path)[0]
    assert run_cached(tmp_path, plan=segments()) == (expected, [], list(range(len(PLAN))))


def test_parts_of_killed_runs_are_cleared_away(tmp_path):
    (tmp_path / "ab").mkdir()
    old, new = tmp_path / "ab" / "abc.1.1.part", tmp_path / "ab" / "abd.2.2.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    Cache(tmp_path)
    assert new.exists() and not old.exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cache"):
        Cache(tmp_path / "file" / "cache")


@dataclass
class Options:
    steps: int
    scale: float


def test_fingerprints_tell_contents_apart(tmp_path):
    photograph, same, other = (tmp_path / name for name in ("a.png", "b.png", "c.png"))
    photograph.write_bytes(b"portrait")
    same.write_bytes(b"portrait")
    other.write_bytes(b"another")

    def facts(path=photograph, steps=8, array=ARRAYS["latents"]):
        return fingerprint({"inputs": [path], "options": Options(steps, 1.5), "array": array})

    assert facts() == facts(same) == facts(array=ARRAYS["latents"].copy())
    variants = [facts(other), facts(steps=9), facts(array=ARRAYS["latents"].T), facts(array=np.zeros((3, 2)))]
    assert len({facts(), *variants}) == 5
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    with pytest.raises(TypeError, match="object"):
        fingerprint({"what": object()})


def test_a_run_killed_at_random_moments_goes_on_and_gives_the_same_frames(tmp_path):
    plan = plan_segments(600, 24, 8, seed=4, multiple=4)
    expected = digest(run(plan, WaveEngine(2), 1.0))
    moments = random.Random(1)

    def found():
        return len(list(tmp_path.rglob("*.safetensors")))

    for order in ("forward", "reversed", [*range(0, len(plan), 2), *range(1, len(plan), 2)]):
        begun = PROCESSES.Event()
        process = PROCESSES.Process(target=cached_run, args=(tmp_path, order, plan, 0.04, begun))
        process.start()
        assert begun.wait(60)
        wanted = found() + moments.randint(1, 8)
        while found() < wanted:
            assert process.is_alive()
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    total, made, _ = run_cached(tmp_path, plan=plan, parallel=2)
    assert total == expected and 0 < len(made) < len(plan)
