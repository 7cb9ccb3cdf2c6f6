"""Runs: the same bytes in any order and anywhere, little memory, nothing left behind."""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from contextlib import closing
from functools import partial

import numpy as np
import pytest
from segment_engine import PROCESSES, WaveEngine, digest, peak_memory

from headgen.errors import HeadgenError
from headgen.progress import Cancelled
from headgen.scheduler import Cache, Planner, ProcessEngine, plan_segments, run
from headgen.scheduler.events import Pace

PLAN = plan_segments(150, 24, 8, seed=4, multiple=4)


def in_order(plan, job=1.0, **options):
    return digest(run(plan, WaveEngine(**options), job))


def test_pictures_are_those_of_the_segments_and_their_blends():
    engine = WaveEngine()
    pictures = [picture for _, picture in run(PLAN, engine, 1.0)]
    results = [engine.render(s, None, lambda _: None) for s in PLAN.segments]
    for s, result in zip(PLAN.segments, results, strict=True):
        expected = engine.draw(s, result, s.own.start, s.own.stop)
        assert np.array_equal(pictures[s.own.start : s.own.stop], expected)
    t = PLAN.transitions[1]
    blend = engine.refine(t, *results[1:3], lambda _: None)
    assert np.array_equal(pictures[t.start : t.stop], engine.draw(t, blend, t.start, t.stop))
    assert len(pictures) == 150


@pytest.mark.parametrize("parallel", [1, 2, 3])
def test_any_order_and_any_number_of_threads_give_the_same_frames(parallel):
    expected = in_order(PLAN)
    shuffled = list(range(len(PLAN)))
    random.Random(parallel).shuffle(shuffled)
    for order in ("forward", "reversed", shuffled):
        assert digest(run(PLAN, WaveEngine(parallel, chunk=parallel), 1.0, order=order)) == expected


def test_two_processes_give_the_same_frames():
    expected = in_order(PLAN)
    with ProcessEngine(partial(WaveEngine, chunk=7), 2) as engine:
        for order in ("forward", "reversed"):
            assert digest(run(PLAN, engine, 1.0, order=order)) == expected
        assert digest(run(PLAN, engine, 0.5)) == in_order(PLAN, 0.5)


@pytest.mark.parametrize("geometry", [(24, 8, 4), (8, 0, 4), (2, 0, 1), (9, 3, 1)])
def test_any_length_is_made_whole(geometry):
    segment, overlap, multiple = geometry
    for n in (1, 2, 3, 8, 9, 23, 24, 25, 40, 41, 57):
        plan = plan_segments(n, segment, overlap, 1, multiple)
        expected = in_order(plan)
        assert len(list(run(plan, WaveEngine(2), 1.0))) == n
        assert digest(run(plan, WaveEngine(2), 1.0, order="reversed")) == expected


def test_segments_that_become_known_one_by_one_give_the_same_frames():
    def stream():
        planner = Planner(24, 8, 4, multiple=4, least=12)
        for _ in range(150):
            asked.append(len(made))
            yield from planner.extend()
        yield from planner.finish()

    asked: list[int] = []
    made: list[np.ndarray] = []

    def counted():
        for index, picture in run(stream(), WaveEngine(2), 1.0):
            made.append(picture)
            yield index, picture

    assert digest(counted()) == in_order(PLAN)
    assert max(frame - done for frame, done in enumerate(asked)) < 5 * 24  # no more is asked for than needed


def test_chained_segments_continue_each_other_on_any_number_of_threads():
    plan = plan_segments(90, 12, 0, 3, 4)
    chained = in_order(plan, chained=True)
    assert chained != in_order(plan)
    assert in_order(plan, chained=True, parallel=3, chunk=2) == chained
    with pytest.raises(ValueError, match="forward"):
        list(run(plan, WaveEngine(chained=True), 1.0, order="reversed"))


def test_orders_that_are_none_are_refused_at_once():
    for order in ("backwards", [0, 1], [0] * len(PLAN)):
        with pytest.raises(ValueError, match="order"):
            run(PLAN, WaveEngine(), 1.0, order=order)
    with pytest.raises(ValueError, match="one by one"):
        run(iter(PLAN), WaveEngine(), 1.0, order="reversed")


def test_events_tell_of_every_segment_and_the_time_left():
    events = []
    list(run(PLAN, WaveEngine(2, pause=0.002), 1.0, stage="listen", progress=events.append))
    segments = list(range(len(PLAN)))
    for what in ("begun", "finished"):
        assert sorted(e.segment for e in events if e.what == what) == segments
    assert {e.share for e in events if e.what == "step"} == {0, 0.25, 0.5, 0.75}
    written = [e for e in events if e.what == "written"]
    assert [e.done for e in written] == list(range(1, 151))
    assert all(e.stage == "listen" and e.total == 150 and e.unit == "frames" for e in events)
    assert events[0].seconds_left is None and written[-1].seconds_left == 0
    assert 0 < written[60].seconds_left < 5


def test_one_slow_piece_of_work_does_not_change_the_time_left():
    pace = Pace(parallel=2)
    assert pace.left({"render": 10}) is None
    for seconds in (60.0, 1.0, 1.0, 1.0, 1.0):
        pace.took("render", 10, seconds)
    pace.took("write", 1, 0.02)
    assert pace.left({"render": 200, "write": 200}) == pytest.approx(10)
    assert pace.left({"render": 0, "write": 200}) == pytest.approx(4)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Temporary folders are made here."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("order", ["forward", "reversed"])
def test_cancelling_stops_threads_and_leaves_nothing(scratch, order):
    def stop(event):
        if event.what == "step" and event.share == 0.25 and event.segment == 3:
            raise Cancelled

    engine = WaveEngine(2, pause=0.01)
    before = threading.active_count()
    with pytest.raises(Cancelled), closing(run(PLAN, engine, 1.0, order=order, progress=stop)) as frames:
        list(frames)
    assert threading.active_count() == before
    assert len(engine.rendered) < len(PLAN)
    assert not list(scratch.iterdir())


def test_cancelling_ends_processes_in_the_midst_of_a_segment(tmp_path):
    def stop(event):
        if event.what == "waiting":
            raise Cancelled

    cache = Cache(tmp_path)
    with ProcessEngine(partial(WaveEngine, pause=240), 2) as engine:
        begun = time.perf_counter()
        with pytest.raises(Cancelled), closing(run(PLAN, engine, 1.0, cache=cache, progress=stop)) as frames:
            list(frames)
        assert time.perf_counter() - begun < 30
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_leaving_early_stops_the_work():
    engine = WaveEngine(2, pause=0.01)
    with closing(run(PLAN, engine, 1.0)) as frames:
        next(frames)
    done = len(engine.rendered)
    time.sleep(0.05)
    assert len(engine.rendered) == done < len(PLAN)


class Broken(WaveEngine):
    """Fails, or dies, in its third segment."""

    def render(self, segment, previous, step):
        if segment.index == 2:
            if self.job < 0:
                os._exit(9)
            raise ArithmeticError("no more")
        return super().render(segment, previous, step)


def test_what_goes_wrong_in_an_engine_reaches_the_caller():
    with pytest.raises(ArithmeticError, match="no more"):
        list(run(PLAN, Broken(2), 1.0))


def test_what_goes_wrong_in_a_process_reaches_the_caller():
    with ProcessEngine(Broken, 1) as engine:
        with pytest.raises(ArithmeticError, match="no more"):
            list(run(PLAN, engine, 1.0))
        with pytest.raises(HeadgenError, match="fewer workers"):
            list(run(PLAN, engine, -1.0))


def peak(frames, order):
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=peak_memory, args=(frames, order, theirs))
    process.start()
    assert ours.poll(60)
    process.join()
    return ours.recv()


@pytest.mark.parametrize("order", ["forward", "reversed"])
def test_ten_minutes_need_as_much_memory_as_ten_seconds(order):
    assert peak(15_000, order) - peak(250, order) < 5  # MB; the pictures alone are 46
