"""Data modules on the synthetic world."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headgen.errors import InputError
from headgen.synth.dataset.clips import MOTION_NAMES

pytest.importorskip("pyarrow")
pytest.importorskip("espeakng_loader")

from headgen.media.clips import read_clip
from headgen.synth.characters import Casting
from headgen.synth.dataset.make import conversations
from headgen.synth.dataset.records import read_manifest
from headgen.synth.settings import Location
from headgen.training.synthetic import (
    ConversationWindows,
    LiveHeads,
    RenderedHeads,
    SyntheticConversations,
)


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("talk")
    conversations(folder, count=2, seed=1, size=64, seconds=1.2, identities=2)
    return folder


def test_windows_show_what_lies_on_disk_at_the_same_times(talk):
    split = read_manifest(talk)[0].split
    windows = ConversationWindows(talk, split, frames=10, seed=3)
    window = windows[5]
    start = window["start"]
    frames, _ = read_clip(talk, f"{window['clip']}_listener")
    assert np.array_equal(window["listener"].permute(0, 2, 3, 1), frames[start : start + 10])
    assert window["speaker_motion"].shape == (10, len(MOTION_NAMES))
    assert window["sound"].shape == (10 * 640,) and window["sound"].abs().max() <= 1
    assert window["caption"] and 0 <= window["intensity"] <= 1
    again = ConversationWindows(talk, split, frames=10, seed=3)[5]
    assert again["start"] == start and torch.equal(again["speaker"], window["speaker"])
    assert len({windows[k]["start"] for k in range(12)}) > 3


def test_what_does_not_fit_is_told(talk):
    split = read_manifest(talk)[0].split
    with pytest.raises(InputError, match="none has 1000 frames"):
        ConversationWindows(talk, split, frames=1000)
    with pytest.raises(InputError, match="no clip of split"):
        ConversationWindows(talk, "elsewhere")


def test_the_data_module_collates_motion_without_pictures(talk):
    split = read_manifest(talk)[0].split
    module = SyntheticConversations(talk, frames=8, batch_size=3, workers=0, pictures=False)
    batch = next(iter(module._loader(split, 0, 6)))
    assert batch["listener_motion"].shape == (3, 8, len(MOTION_NAMES)) and "listener" not in batch


def test_live_heads_are_an_endless_reproducible_stream_with_truth():
    heads = RenderedHeads(Casting("analytic", seed=2), 2, Location(size=64), frames=3, seed=7)
    stream = iter(heads)
    first, second = next(stream), next(stream)
    assert first["image"].shape == (3, 3, 64, 64) and first["image"].dtype == torch.uint8
    assert first["parts"].shape == (3, 64, 64) and first["landmarks"].shape == (3, 478, 3)
    assert torch.isfinite(first["depth"]).any() and not torch.equal(first["image"], second["image"])
    again = heads.item(1)
    for name in second:
        assert torch.equal(again[name], second[name]), name


def test_the_live_module_goes_on_where_training_stands():
    module = LiveHeads("analytic", people=2, size=64, frames=2)
    batch = next(iter(module.train_dataloader()))
    assert batch["image"].shape == (2, 3, 64, 64) and batch["motion"].shape == (2, len(MOTION_NAMES))
