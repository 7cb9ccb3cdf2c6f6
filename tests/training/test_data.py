"""Pairs are reproducible, of one clip, evenly spread over identities."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from torch.utils.data import DataLoader

from headgen.errors import InputError
from headgen.media.clips import write_clip, write_index
from headgen.training.data import ClipStore, PairDataset, RangeSampler


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Anna has three clips, Ben one; the landmark x of frame t of clip c is 100 c + t."""
    directory = tmp_path_factory.mktemp("clips")
    for clip, (name, identity) in enumerate([("a1", "anna"), ("a2", "anna"), ("a3", "anna"), ("b1", "ben")]):
        landmarks = np.zeros((6, 478, 3), np.float32) + (100 * clip + np.arange(6))[:, None, None]
        write_clip(
            directory, name, np.full((6, 32, 32, 3), 60 * clip + 20, np.uint8), landmarks, identity=identity
        )
    write_index(directory)
    return ClipStore(directory, cache=True)


def test_pairs_come_from_one_clip_with_distinct_frames_and_even_identities(store):
    data = PairDataset(store, sources=3, seed=1)
    counts: Counter[str] = Counter()
    for index in range(200):
        pair = data[index]
        numbers = [*pair["source_landmarks"][:, 0, 0], pair["driving_landmarks"][0, 0]]
        assert {int(n) // 100 for n in numbers} == {pair["clip"]} and len(set(numbers)) == 4
        assert abs(int(pair["driving"][0, 0, 0]) - (60 * pair["clip"] + 20)) <= 4
        counts[store.infos[pair["clip"]].identity] += 1
    assert 70 < counts["ben"] < 130


def test_the_same_index_gives_the_same_pair_in_workers_and_after_a_resume(store):
    data = PairDataset(store, seed=3)

    def numbers(start, count, workers):
        loader = DataLoader(data, batch_size=4, sampler=RangeSampler(start, count), num_workers=workers)
        return np.concatenate([batch["driving_landmarks"][:, 0, 0].numpy() for batch in loader])

    alone = numbers(0, 16, 0)
    assert np.array_equal(alone, numbers(0, 16, 2))
    assert np.array_equal(alone[8:], numbers(8, 8, 0))
    assert not np.array_equal(alone[:8], alone[8:])


def test_still_source_is_the_first_frame(store):
    data = PairDataset(store, still_source=True)
    pairs = [data[index] for index in range(50)]
    assert {pair["source_landmarks"][0, 0, 0] % 100 for pair in pairs} == {0}
    assert {pair["driving_landmarks"][0, 0] % 100 for pair in pairs} == {1, 2, 3, 4, 5}


def test_too_few_frames_is_said(store):
    with pytest.raises(InputError, match="no clip has more than 6 frames"):
        PairDataset(store, sources=6)
