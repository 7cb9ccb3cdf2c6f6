"""What a synthetic data set holds on disk."""

from __future__ import annotations

import pytest

from headgen.errors import InputError
from headgen.synth.dataset.records import (
    ClipRecord,
    clips_folder,
    is_finished,
    person_name,
    read_manifest,
    split_of,
    write_manifest,
    write_record,
)

pytest.importorskip("pyarrow")


def record(name: str, **changes) -> ClipRecord:
    values = {
        "name": name, "kind": "conversation", "split": "train", "seed": 3, "model": "analytic",
        "identities": ["person00000", "person00001"], "frames": 25, "fps": 25.0, "size": 64,
        "files": {f"{name}.wav": "ab", f"{name}_speaker.mp4": "cd"},
        "attitude": "warm", "intensity": 0.5,
        "captions": [{"who": "listener", "style": "plain", "text": "Someone nods – twice."}],
        "events": [{"kind": "nod", "who": "listener", "start": 0.5, "cause": None}],
        "words": [{"text": "well,", "start": 0.1, "end": 0.4}],
    }  # fmt: skip
    return ClipRecord(**{**values, **changes})


def test_the_manifest_gives_back_what_was_written_sorted_by_name(tmp_path):
    clips_folder(tmp_path).mkdir(parents=True)
    records = [record("b"), record("a", kind="video", captions=[], events=[], words=[], split="test")]
    for one in records:
        write_record(tmp_path, one)
    write_manifest(tmp_path, ["b", "a"])
    assert read_manifest(tmp_path) == [records[1], records[0]]
    assert read_manifest(tmp_path, "train") == [records[0]]


def test_a_clip_counts_as_finished_with_its_facts(tmp_path):
    clips_folder(tmp_path).mkdir(parents=True)
    (clips_folder(tmp_path) / "a.mp4").write_bytes(b"half")
    assert not is_finished(tmp_path, "a")
    write_record(tmp_path, record("a"))
    assert is_finished(tmp_path, "a")


def test_errors_name_the_file_and_the_way_out(tmp_path):
    with pytest.raises(InputError, match="manifest.parquet: not there; make a data set with"):
        read_manifest(tmp_path)
    clips_folder(tmp_path).mkdir(parents=True)
    write_record(tmp_path, record("a"))
    write_manifest(tmp_path, ["a"])
    with pytest.raises(InputError, match="no clip of split 'val'; it has: train"):
        read_manifest(tmp_path, "val")
    (tmp_path / "manifest.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match="make it again"):
        read_manifest(tmp_path)
    broken = clips_folder(tmp_path) / "a.json"
    broken.write_text("{")
    with pytest.raises(InputError, match=r"a\.json: not the facts of a clip"):
        write_manifest(tmp_path, ["a"])


def test_people_who_talk_to_one_another_share_a_split_and_all_splits_occur():
    splits = [split_of(person_name(k), seed=1) for k in range(400)]
    assert splits[::2] == splits[1::2]
    assert {"train", "val", "test"} == set(splits)
    assert 0.8 < splits.count("train") / 400 < 0.97
    assert splits != [split_of(person_name(k), seed=2) for k in range(400)]
