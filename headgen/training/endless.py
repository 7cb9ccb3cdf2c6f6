"""Streams of training examples that only the number of steps ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
from torch.utils.data import DataLoader, Dataset

from headgen.training.data import ENDLESS, RangeSampler
from headgen.training.shares import Share

__all__ = ["EndlessData"]

VALIDATION_BATCHES = 4


class EndlessData(L.LightningDataModule):
    """Examples, number i of which is a function of the seed and i alone.

    Args:
        batch_size: examples a step and process.
        workers: processes that prepare them; 0 prepares them in the training process.
    """

    collate: Callable[[list[Any]], Any] | None = None
    """Makes a batch of examples; None stacks them."""

    def __init__(self, batch_size: int, workers: int) -> None:
        super().__init__()
        self.batch_size, self.workers = batch_size, workers

    def examples(self, split: str) -> Dataset[Any]:
        """Those of ``train`` or ``val``."""
        raise NotImplementedError

    def _loader(self, split: str, start: int, count: int, stride: int = 1) -> DataLoader[Any]:
        return DataLoader(
            self.examples(split),
            batch_size=self.batch_size,
            sampler=RangeSampler(start, count, stride),
            num_workers=self.workers,
            collate_fn=self.collate,
        )

    def train_dataloader(self) -> DataLoader[Any]:
        """An endless stream that goes on where a resumed run stopped; several processes share it."""
        share = Share.of(self.trainer)
        return self._loader("train", share.start(self.batch_size), ENDLESS, share.processes)

    def val_dataloader(self) -> DataLoader[Any]:
        """A fixed set of other examples, the same in every process."""
        return self._loader("val", 0, VALIDATION_BATCHES * self.batch_size)
