"""In what order clips are made, and by whom."""

from __future__ import annotations

import os
from collections import defaultdict

import pytest

from headgen.synth.dataset.clips import ClipMaker, Options
from headgen.synth.dataset.runner import run

NAMES = [f"clip{k}" for k in range(12)]


class Diary:
    """Notes which process was asked for which clip, in order."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self):
        return self.note

    def note(self, index):
        with open(self.folder / f"{os.getpid()}.txt", "a") as diary:
            diary.write(f"{index}\n")


def group(index):
    return index % 3


@pytest.mark.parametrize("workers", [1, 2])
def test_clips_of_a_group_are_made_in_a_row_by_one_process(tmp_path, workers):
    run(tmp_path, NAMES, Diary(tmp_path), workers, group=group)
    rows = [[int(line) for line in path.read_text().split()] for path in tmp_path.glob("*.txt")]
    assert sorted(sum(rows, [])) == list(range(12))
    makers = defaultdict(set)
    for who, row in enumerate(rows):
        groups = [group(index) for index in row]
        assert sum(a != b for a, b in zip(groups, groups[1:], strict=False)) == len(set(groups)) - 1
        for one in groups:
            makers[one].add(who)
    assert all(len(who) == 1 for who in makers.values())


def test_those_who_are_shown_together_are_a_group(tmp_path):
    maker = ClipMaker("conversation", NAMES, Options(tmp_path, identities=6))
    people = defaultdict(set)
    for index in range(12):
        people[maker.group(index)] |= {maker.person(index), maker.person(index, partner=True)}
    assert [len(pair) for pair in people.values()] == [2, 2, 2]
    assert len(set.union(*people.values())) == 6
    videos = ClipMaker("video", NAMES, Options(tmp_path, identities=5))
    assert [videos.person(k) for k in range(5)] == [videos.person(k) for k in range(5, 10)]
    assert len({(videos.group(k), videos.person(k)) for k in range(10)}) == 5
