"""Several processes that train one model: who takes which examples, with which noise, and what they average.

Process r of W takes examples r, r + W, r + 2W, ... of the stream, batch by batch: together those that one
process with a batch W times as large takes. Noise is a function of the example's number, and what a loss is
divided by is averaged over processes, so that gradients are those of that one process, but for rounding.

Shapes: B batch of this process.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Noise", "Share", "shared_least", "shared_mean"]


@dataclass(frozen=True)
class Share:
    """What of the stream of examples falls to a process.

    Args:
        rank: number of the process.
        processes: how many train together, on all nodes.
        done: batches of each process that were trained on before.
    """

    rank: int = 0
    processes: int = 1
    done: int = 0

    @classmethod
    def of(cls, trainer: L.Trainer | None) -> Share:
        """That of a trainer's process when it begins or goes on; everything if there is no trainer."""
        if trainer is None:
            return cls()
        done = trainer.global_step * trainer.accumulate_grad_batches
        return cls(trainer.global_rank, trainer.world_size, done)

    @classmethod
    def of_step(cls, module: L.LightningModule, index: int) -> Share:
        """That of the batch at hand.

        Args:
            module: in training.
            index: of the batch, as `training_step` gets it.
        """
        several = module.trainer.accumulate_grad_batches
        done = module.global_step * several + index % several
        return cls(module.global_rank, module.trainer.world_size, done)

    def start(self, batch_size: int) -> int:
        """Number of the first example of the next batch of B; the others follow, `processes` apart."""
        return self.done * batch_size * self.processes + self.rank

    def noise(self, batch_size: int) -> Noise:
        """For the next batch of B."""
        start = self.start(batch_size)
        return Noise(range(start, start + batch_size * self.processes, self.processes))


class Noise:
    """Random numbers for a batch, drawn for each example by itself: who else is in the batch has no say.

    Args:
        examples: their numbers, which are the seeds.
    """

    def __init__(self, examples: Iterable[int]) -> None:
        self.generators = [torch.Generator().manual_seed(number) for number in examples]

    def uniform(self, *shape: int) -> Tensor:
        """(B, *shape) in [0, 1), on the CPU."""
        return torch.stack([torch.rand(shape, generator=generator) for generator in self.generators])

    def normal(self, *shape: int) -> Tensor:
        """(B, *shape), on the CPU."""
        return torch.stack([torch.randn(shape, generator=generator) for generator in self.generators])


def _reduced(value: Tensor, how: Any) -> Tensor:
    value = value.detach().clone()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(value, how)
    return value


def shared_mean(value: Tensor) -> Tensor:
    """The mean over processes of a number that each has; it carries no gradient.

    Gradients are averaged over processes. So a loss that is a sum over this process's examples, divided by
    the mean over processes of what is to be divided by, gives the gradient of all examples together.
    """
    found = _reduced(value, dist.ReduceOp.SUM)
    return found / dist.get_world_size() if dist.is_available() and dist.is_initialized() else found


def shared_least(value: Tensor) -> Tensor:
    """The least of a number that each process has."""
    return _reduced(value, dist.ReduceOp.MIN)
