"""Feeds FSRT's training: augmented pairs of frames from a folder of face clips."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning as L
from torch.utils.data import DataLoader

from headgen.errors import InputError
from headgen.media.clips import read_index
from headgen.training.augment import Augmentation, ColourJitter
from headgen.training.data import ENDLESS, ClipStore, PairDataset, RangeSampler

__all__ = ["ClipPairs"]

logger = logging.getLogger(__name__)


class ClipPairs(L.LightningDataModule):
    """Source frames and a driving frame of one identity, augmented as in the paper.

    The stream of training pairs is endless and reproducible: a resumed run goes on with the pair after the
    last one that was trained on, and several processes share the stream without overlap.

    Args:
        data: folder made by ``headgen prepare`` (or ``headgen synth``).
        size: side of the pictures in pixels, the model's ``image_size``.
        sources: source frames per pair.
        batch_size: pairs per step and process, at least 2 (the statistics of expressions need a batch). The
            paper's 24 is the sum over all processes.
        workers: processes that prepare pairs; 0 prepares them in the training process.
        cache: hold all frames in memory (size^2 * 3 bytes each).
        seed: base of all randomness of the data.
        validation_pairs: how many pairs of split ``val`` measure progress; 0 for none.
        flip: probability of a mirrored pair.
        out_of_frame: probability of a crop around the source landmarks.
        closeup: probability that the expression is that of the close-up.
        jitter: ranges of the colour jitters.
    """

    def __init__(
        self,
        data: Path,
        size: int = 256,
        sources: int = 1,
        batch_size: int = 24,
        workers: int = 4,
        cache: bool = False,
        seed: int = 0,
        validation_pairs: int = 64,
        flip: float = 0.5,
        out_of_frame: float = 0.5,
        closeup: float = 0.75,
        jitter: ColourJitter | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 2:
            raise InputError(
                f"batch_size is {batch_size}: the expressions' statistics need 2 or more in a batch"
            )
        self.data, self.sources, self.batch_size, self.workers = Path(data), sources, batch_size, workers
        self.cache, self.seed, self.validation_pairs = cache, seed, validation_pairs
        self.augmentation = Augmentation(
            size, flip=flip, out_of_frame=out_of_frame, closeup=closeup, jitter=jitter
        )
        self.plain = Augmentation.none(size)
        self.consumed = 0
        self._stores: dict[str, ClipStore] = {}

    def setup(self, stage: str) -> None:
        """Open the clips (once).

        Raises:
            InputError: no data set there, or no clips to train on.
        """
        if self._stores:
            return
        self._stores["train"] = ClipStore(self.data, "train", cache=self.cache)
        if self.validation_pairs:
            if any(info.split == "val" for info in read_index(self.data)):
                self._stores["val"] = ClipStore(self.data, "val", cache=self.cache)
            else:
                logger.warning("%s has no clips of split 'val': training without validation", self.data)

    def _loader(self, dataset: PairDataset, sampler: RangeSampler) -> DataLoader[Any]:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            drop_last=True,
        )

    def train_dataloader(self) -> DataLoader[Any]:
        """The endless stream, from where it stopped."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        dataset = PairDataset(
            self._stores["train"], sources=self.sources, seed=self.seed, transform=self.augmentation
        )
        return self._loader(dataset, RangeSampler(self.consumed * world + rank, ENDLESS, world))

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """A fixed set of pairs without augmentation, or nothing."""
        if "val" not in self._stores:
            return []
        dataset = PairDataset(self._stores["val"], sources=self.sources, seed=self.seed, transform=self.plain)
        count = max(self.validation_pairs // self.batch_size, 1) * self.batch_size
        return self._loader(dataset, RangeSampler(0, count))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Counts the training pairs of this process as they are used, not as workers prepare them."""
        if self.trainer is not None and self.trainer.training:
            self.consumed += self.batch_size
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands, per process."""
        return {"consumed": self.consumed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.consumed = state_dict["consumed"]
