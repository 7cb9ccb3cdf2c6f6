"""Data modules on the synthetic world: conversations from disk, and heads rendered while training.

Reenactment trains on synthetic videos through `headgen.training.small.SmallPairs` and
`headgen.training.datamodule.ClipPairs`, which read their folders like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from scipy.io import wavfile
from torch.utils.data import DataLoader, Dataset, IterableDataset

from headgen.errors import InputError
from headgen.media.clips import ClipStore
from headgen.synth.characters import Casting, ModelName
from headgen.synth.dataset.clips import motion_row
from headgen.synth.dataset.poses import random_frame
from headgen.synth.dataset.records import ClipRecord, clips_folder, person_name, read_manifest
from headgen.synth.film import film
from headgen.synth.heads.model import joined
from headgen.synth.render.renderer import Renderer
from headgen.synth.settings import Location, panoramas
from headgen.synth.speech.track import SAMPLE_RATE
from headgen.training.data import ENDLESS, RangeSampler
from headgen.training.shares import Share

__all__ = ["ConversationWindows", "LiveHeads", "RenderedHeads", "SyntheticConversations"]


class ConversationWindows(Dataset[Any]):
    """Windows of conversations: both videos, both motions, the sound and a caption.

    Window number i is a function of (seed, i) alone.

    Args:
        directory: made by ``headgen synth conversations``.
        split: ``train``, ``val`` or ``test``.
        frames: T, of a window.
        seed: base of all randomness.
        pictures: False leaves the videos out, for models of motion.

    Raises:
        InputError: no conversations there, or all are shorter than a window.
    """

    def __init__(
        self, directory: Path, split: str = "train", *, frames: int = 50, seed: int = 0, pictures: bool = True
    ) -> None:
        self.directory, self.frames, self.seed, self.pictures = Path(directory), frames, seed, pictures
        records = [r for r in read_manifest(self.directory, split) if r.kind == "conversation"]
        self.records: list[ClipRecord] = [r for r in records if r.frames >= frames]
        if not self.records:
            raise InputError(
                f"{directory}: {len(records)} conversations of split {split!r}, none has {frames} frames"
            )
        self._store = ClipStore(self.directory, split)
        self._place = {info.name: k for k, info in enumerate(self._store.infos)}

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One window.

        Returns:
            ``speaker`` and ``listener`` (T, 3, H, W) uint8, ``speaker_motion`` and ``listener_motion``
            (T, 63) float32 (`headgen.synth.dataset.clips.MOTION_NAMES`), ``sound`` (N,) float32 at 16 kHz,
            ``caption``, ``attitude`` and ``intensity`` of the listener, ``clip`` and ``start`` (frame).
        """
        rng = np.random.default_rng((self.seed, index))
        record = self.records[int(rng.integers(len(self.records)))]
        start = int(rng.integers(record.frames - self.frames + 1))
        chosen = range(start, start + self.frames)
        out: dict[str, Any] = {"clip": record.name, "start": start}
        for role in ("speaker", "listener"):
            clip = self._place[f"{record.name}_{role}"]
            out[f"{role}_motion"] = torch.from_numpy(self._store.motion(clip)[start : start + self.frames])
            if self.pictures:
                pictures = self._store.frames(clip, chosen)
                out[role] = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
        out["sound"] = torch.from_numpy(self._sound(record, start))
        captions = [c["text"] for c in record.captions if c["who"] == "listener" and c["style"] != "machine"]
        out["caption"] = captions[int(rng.integers(len(captions)))] if captions else ""
        out["attitude"], out["intensity"] = record.attitude, record.intensity
        return out

    def _sound(self, record: ClipRecord, start: int) -> np.ndarray:
        """(N,) float32 the window's sound, silent where the file ends early."""
        path = clips_folder(self.directory) / f"{record.name}.wav"
        try:
            rate, samples = wavfile.read(path, mmap=True)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); make the clip again") from None
        if rate != SAMPLE_RATE:
            raise InputError(f"{path}: {rate} samples per second, {SAMPLE_RATE} are expected; make it again")
        first, last = (round(k * SAMPLE_RATE / record.fps) for k in (start, start + self.frames))
        out = np.zeros(last - first, np.float32)
        part = np.asarray(samples[first:last], np.float32) / 32768
        out[: len(part)] = part
        return out


class SyntheticConversations(L.LightningDataModule):
    """Feeds listener training with windows of synthetic conversations.

    Args:
        data: folder made by ``headgen synth conversations``.
        frames: length of a window.
        batch_size: windows per step and process.
        workers: processes that read.
        pictures: False leaves the videos out.
        seed: base of all randomness of the data.
        validation_windows: how many windows of split ``val`` measure progress; 0 for none.
    """

    def __init__(
        self,
        data: Path,
        frames: int = 50,
        batch_size: int = 8,
        workers: int = 1,
        pictures: bool = True,
        seed: int = 0,
        validation_windows: int = 32,
    ) -> None:
        super().__init__()
        self.data, self.frames, self.batch_size, self.workers = Path(data), frames, batch_size, workers
        self.pictures, self.seed, self.validation_windows = pictures, seed, validation_windows

    def _loader(self, split: str, start: int, count: int, stride: int = 1) -> DataLoader[Any]:
        windows = ConversationWindows(
            self.data, split, frames=self.frames, seed=self.seed, pictures=self.pictures
        )
        return DataLoader(
            windows,
            batch_size=self.batch_size,
            sampler=RangeSampler(start, count, stride),
            num_workers=self.workers,
        )

    def train_dataloader(self) -> DataLoader[Any]:
        """An endless stream that goes on where a resumed run stopped."""
        share = Share.of(self.trainer)
        return self._loader("train", share.start(self.batch_size), ENDLESS, share.processes)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """A fixed set of windows, or nothing."""
        if not self.validation_windows:
            return []
        return self._loader("val", 0, self.validation_windows)


class RenderedHeads(IterableDataset[Any]):
    """An endless stream of heads that are rendered as they are asked for; nothing is written.

    Each item is a few frames of one person in one setting, rendered in one go. Item number i is a function of
    (seed, i) alone. On a GPU they are rendered there; flaws are put in, and truth is laid out, on the CPU.

    Args:
        casting: where people come from.
        people: how many people take turns.
        location: settings.
        device: of renderer and tensors.
        frames: T, frames per item.
        seed: base of all randomness.
        start: number of the first item.
        stride: distance of items, for several processes.
        flaws: whether the camera has flaws.
    """

    def __init__(
        self,
        casting: Casting,
        people: int,
        location: Location,
        device: torch.device | str = "cpu",
        *,
        frames: int = 8,
        seed: int = 0,
        start: int = 0,
        stride: int = 1,
        flaws: bool = True,
    ) -> None:
        self.casting, self.people, self.location = casting, people, location
        self.device, self.frames, self.seed = torch.device(device), frames, seed
        self.start, self.stride, self.flaws = start, stride, flaws
        self.renderer = Renderer(self.device)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        index = self.start
        while True:
            yield self.item(index)
            index += self.stride

    def item(self, index: int) -> dict[str, torch.Tensor]:
        """One item.

        Returns:
            ``image`` (T, 3, H, W) uint8, ``parts`` (T, H, W) uint8, ``depth`` (T, H, W) cm, ``landmarks``
            (T, 478, 3) pixels and cm, ``visible`` (T, 478), ``motion`` (T, 63), ``person``.
        """
        chosen, posed, place = np.random.default_rng((self.seed, index)).spawn(3)
        who = int(chosen.integers(self.people))
        character, setting = self.casting(person_name(who)), self.location(place)
        motion = joined([random_frame(r) for r in posed.spawn(self.frames)])
        shot = next(film(character, motion, setting, self.renderer, at_once=self.frames, flawed=self.flaws))
        truth = shot.truth
        arrays = {
            "image": shot.images.transpose(0, 3, 1, 2),
            "parts": truth.parts,
            "depth": truth.depth,
            "landmarks": truth.landmarks_478,
            "visible": truth.visible_478,
            "motion": motion_row(motion),
            "person": np.array(who),
        }
        return {k: torch.as_tensor(np.ascontiguousarray(v)).to(self.device) for k, v in arrays.items()}


class LiveHeads(L.LightningDataModule):
    """Heads rendered while training, on the training's own device; nothing is written.

    Args:
        model: ``analytic`` or ``ict``.
        assets: folder of the ICT face and panoramas (only ``ict`` needs it).
        textures: texture library (only ``ict`` needs it).
        people: how many people take turns.
        size: side of the pictures in pixels.
        frames: frames of one person per item; an item is a batch.
        seed: base of all randomness.
        flaws: whether the camera has flaws.
    """

    def __init__(
        self,
        model: ModelName = "analytic",
        assets: Path | None = None,
        textures: Path | None = None,
        people: int = 256,
        size: int = 256,
        frames: int = 16,
        seed: int = 0,
        flaws: bool = True,
    ) -> None:
        super().__init__()
        self.casting = Casting(model, assets, textures, seed)
        self.location = Location(panoramas(assets), size)
        self.people, self.frames, self.seed, self.flaws = people, frames, seed, flaws

    def train_dataloader(self) -> DataLoader[Any]:
        """The endless stream, from where it stopped."""
        share = Share.of(self.trainer)
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        heads = RenderedHeads(
            self.casting,
            self.people,
            self.location,
            device,
            frames=self.frames,
            seed=self.seed,
            start=share.start(1),
            stride=share.processes,
            flaws=self.flaws,
        )
        return DataLoader(heads, batch_size=None)
