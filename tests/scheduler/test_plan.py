"""Plans: every frame once, nothing tiny, the same whether the length is known or not."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from headgen.scheduler.plan import Plan, Planner, Segment, Transition, plan_segments

GEOMETRIES = [  # segment, overlap, multiple, least
    (100, 12, 4, None),
    (24, 8, 4, None),
    (24, 8, 4, 1),
    (12, 4, 4, 12),
    (16, 0, 4, 8),
    (2, 0, 1, 1),
    (1, 0, 1, 1),
    (7, 2, 1, 5),
    (4, 0, 4, 3),
]


def plans(geometry, frames=(*range(1, 130), 259, 1499)):
    segment, overlap, multiple, least = geometry
    for n in frames:
        yield n, plan_segments(n, segment, overlap, seed=3, multiple=multiple, least=least)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_every_frame_has_one_owner_that_makes_it(geometry):
    for n, plan in plans(geometry):
        parts = [range(t.start, t.stop) for t in plan.transitions] + [s.own for s in plan.segments]
        assert sorted(frame for part in parts for frame in part) == list(range(n))
        for frame in {0, n // 3, n // 2, n - 1}:
            owner = plan.owner(frame)
            assert frame in (owner.own if isinstance(owner, Segment) else range(owner.start, owner.stop))
        for t in plan.transitions:
            left, right = plan.segments[t.index : t.index + 2]
            assert (t.start, t.stop) == (right.start, left.stop)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_segments_are_neither_long_nor_tiny_and_start_on_multiples(geometry):
    segment, overlap, multiple, least = geometry
    least = segment // 2 if least is None else least
    for n, plan in plans(geometry):
        assert all(s.start % multiple == 0 and len(s) <= segment for s in plan.segments)
        shortest = min(least, (segment + overlap) // 2 - multiple)
        assert min(map(len, plan.segments)) >= min(n, max(1, shortest, overlap + 1))
        assert all(len(s) == segment for s in plan.segments[:-2])


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_segments_planned_as_frames_arrive_are_the_same(geometry):
    segment, overlap, multiple, least = geometry
    least = max(1, segment // 2) if least is None else least
    for n, plan in plans(geometry, (1, 2, 9, 61, 100, 101, 189, 250)):
        for portion in (1, 7, n):
            planner = Planner(segment, overlap, 3, multiple=multiple, least=least)
            made = []
            for at in range(0, n, portion):
                made += planner.extend(min(portion, n - at))
                assert not made or made[-1].stop <= planner.frames
            assert tuple(made + planner.finish()) == plan.segments


def test_chunks_without_overlap_are_given_out_as_soon_as_they_are_full():
    planner = Planner(2)
    assert [len(planner.extend()) for _ in range(5)] == [0, 1, 0, 1, 0]
    assert [(s.start, s.stop) for s in planner.finish()] == [(4, 5)]


def test_a_longer_video_keeps_the_plan_of_its_beginning():
    short, long = (plan_segments(n, 100, 12, seed=1, multiple=4) for n in (1000, 1100))
    assert short.segments[:-2] == long.segments[: len(short) - 2]


def test_seeds_differ_between_parts_and_follow_the_seed():
    plan = plan_segments(90_000, 100, 12, seed=5, multiple=4)
    seeds = [part.seed for part in (*plan.segments, *plan.transitions)]
    assert len(set(seeds)) == len(seeds) and all(0 <= s < 2**63 for s in seeds)
    assert plan == plan_segments(90_000, 100, 12, seed=5, multiple=4)
    other = plan_segments(90_000, 100, 12, seed=6, multiple=4)
    assert not set(seeds) & {part.seed for part in (*other.segments, *other.transitions)}
    assert plan.segments[0].seed == 5658183144429887490  # pinned: old videos can be made again


def test_settled_frames_do_not_change_with_what_comes_later():
    for known in range(1, 400, 7):
        now, later = plan_segments(known, 24, 8, multiple=4), plan_segments(1000, 24, 8, multiple=4)
        settled = later.settled(known)
        assert settled <= known and (settled > 0 or known < 24)
        for frame in range(settled):
            owner = later.owner(frame)
            indices = [owner.index] + [owner.index + 1] * isinstance(owner, Transition)
            assert all(later.segments[k].stop <= known for k in indices)
        assert now.settled(known) == known


def test_a_plan_is_plain_data():
    plan = plan_segments(333, 100, 12, seed=2, multiple=4)
    read = json.loads(json.dumps(asdict(plan)))
    assert Plan(read["frames"], tuple(Segment(**s) for s in read["segments"])) == plan


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"frames": 0}, "at least one frame"),
        ({"segment": 10}, "multiples of 4"),
        ({"overlap": 40}, "third"),
        ({"least": 101}, "least"),
    ],
)
def test_numbers_that_do_not_fit_are_named(numbers, said):
    with pytest.raises(ValueError, match=said):
        plan_segments(**({"frames": 500, "segment": 100, "overlap": 12, "multiple": 4} | numbers))


@pytest.mark.parametrize(
    "segments",
    [
        [],
        [Segment(0, 0, 10, 1), Segment(1, 11, 20, 1)],
        [Segment(0, 0, 10, 1, after=4), Segment(1, 8, 20, 1, before=2)],
        [Segment(0, 0, 10, 1, after=4), Segment(1, 6, 12, 1, before=4, after=4), Segment(2, 8, 20, 1, 4)],
        [Segment(0, 0, 20, 1, after=2)],
        [Segment(0, 0, 19, 1)],
    ],
)
def test_segments_that_do_not_fit_together_are_refused(segments):
    with pytest.raises(ValueError):
        Plan(20, tuple(segments))
