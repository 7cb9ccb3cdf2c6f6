"""The clip format: what is written is read back, whole or by random access; unfinished clips do not count."""

from __future__ import annotations

import json

import numpy as np
import pytest

from headgen.errors import InputError
from headgen.media.clips import (
    ClipStore,
    ClipWriter,
    clip_exists,
    read_clip,
    read_index,
    write_clip,
    write_index,
)

SIZE = 64


def make_frames(count: int, shift: int = 0) -> np.ndarray:
    """Smooth pictures, each of its own brightness so that a wrong frame is noticed."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    base = np.stack([x * 2, y * 2, (x + y)], -1)
    return np.stack([np.clip(base // 2 + 9 * i + shift, 0, 255) for i in range(count)]).astype(np.uint8)


def make_landmarks(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(32, 8, (count, 478, 3)).astype(np.float32)


def test_round_trip_whole_and_random_access(tmp_path):
    frames, landmarks = make_frames(14), make_landmarks(14)
    motion = np.arange(28, dtype=np.float32).reshape(14, 2)
    write_clip(
        tmp_path,
        "a",
        frames,
        landmarks,
        motion,
        fps=29.97,
        identity="anna",
        motion_names=("yaw", "pitch"),
        extra={"from": "x.mp4"},
    )
    write_clip(tmp_path, "b", make_frames(3, 40), make_landmarks(3), split="val")
    infos = write_index(tmp_path)
    assert infos == read_index(tmp_path)
    assert [(i.name, i.frames, i.identity, i.split) for i in infos] == [
        ("a", 14, "anna", "train"),
        ("b", 3, "b", "val"),
    ]
    assert infos[0].extra == {"from": "x.mp4"} and abs(infos[0].fps - 29.97) < 1e-3

    read_frames, read_landmarks = read_clip(tmp_path, "a")
    assert np.abs(read_frames.astype(int) - frames).mean() < 2
    assert np.array_equal(read_landmarks, landmarks)
    for cache in (False, True):
        store = ClipStore(tmp_path, "train", cache=cache)
        assert (
            len(store) == 1
            and np.array_equal(store.motion(0), motion)
            and store.motion_names == ("yaw", "pitch")
        )
        picked = [13, 0, 5, 5, 12]
        assert np.array_equal(store.frames(0, picked), read_frames[picked])


def test_unfinished_clip_leaves_nothing_and_is_not_indexed(tmp_path):
    write_clip(tmp_path, "done", make_frames(2), make_landmarks(2))
    with pytest.raises(KeyboardInterrupt), ClipWriter(tmp_path, "killed", size=SIZE) as writer:
        writer.write(make_frames(1)[0], make_landmarks(1)[0])
        raise KeyboardInterrupt
    (tmp_path / "clips" / "half.mp4").write_bytes(b"video without its landmarks")
    assert not clip_exists(tmp_path, "killed") and not clip_exists(tmp_path, "half")
    assert [info.name for info in write_index(tmp_path)] == ["done"]
    assert not list(tmp_path.rglob("*.part"))


def test_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match="plain file name"):
        ClipWriter(tmp_path, "../evil")
    with pytest.raises(ValueError, match="no frames"), ClipWriter(tmp_path, "empty", size=SIZE):
        pass
    with pytest.raises(ValueError, match=r"motion is \(0,\)"):
        write_clip(tmp_path, "m", make_frames(1), make_landmarks(1), motion_names=("yaw",))
    assert not list(tmp_path.rglob("*.part"))


def test_damaged_sets_name_the_file_and_the_fix(tmp_path):
    with pytest.raises(InputError, match=r"index\.json.*headgen prepare"):
        ClipStore(tmp_path)
    with pytest.raises(InputError, match="no finished clip"):
        write_index(tmp_path)
    write_clip(tmp_path, "a", make_frames(4), make_landmarks(4))
    write_index(tmp_path)
    with pytest.raises(InputError, match="no clip of split 'val'"):
        ClipStore(tmp_path, "val")
    video = tmp_path / "clips" / "a.mp4"
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with pytest.raises(InputError, match=r"a\.mp4"):
        ClipStore(tmp_path).frames(0, [3])
    (tmp_path / "clips" / "a.safetensors").write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"a\.safetensors: not a clip"):
        read_clip(tmp_path, "a")
    content = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({**content, "version": 9}))
    with pytest.raises(InputError, match="version 9"):
        read_index(tmp_path)


def test_clips_of_different_sizes_are_refused(tmp_path):
    write_clip(tmp_path, "a", make_frames(1), make_landmarks(1))
    write_clip(tmp_path, "b", make_frames(1)[:, :32, :32], make_landmarks(1))
    with pytest.raises(InputError, match=r"different sizes \[32, 64\]"):
        write_index(tmp_path)
