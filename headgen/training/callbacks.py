"""What training leaves behind besides checkpoints: pictures to look at and a model to use."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import lightning as L
import torch

from headgen.media.image import write_image

__all__ = ["ContactSheets", "ExportModel"]


class ContactSheets(L.Callback):
    """Writes pictures of what the model makes: of a training batch every so often, and of each validation.

    The module provides ``contact_sheet(batch)``, (3, H, W) in [0, 1].

    Args:
        folder: where ``000500_train.png`` and ``000500_val.png`` go; the number counts finished steps.
        every: training steps between two sheets; 0 for none.
        rows: pairs on a sheet.
    """

    def __init__(self, folder: Path, every: int = 1000, rows: int = 4) -> None:
        self.folder, self.every, self.rows = Path(folder), every, rows

    def _write(self, trainer: L.Trainer, module: Any, batch: dict[str, torch.Tensor], name: str) -> None:
        if not trainer.is_global_zero or not hasattr(module, "contact_sheet"):
            return
        with torch.no_grad():
            sheet = module.contact_sheet({key: value[: self.rows] for key, value in batch.items()})
        picture = (sheet.float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_image(self.folder / f"{trainer.global_step:07d}_{name}.png", picture)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Every ``every`` steps, the batch that was just trained on."""
        if self.every and trainer.global_step % self.every == 0:
            self._write(trainer, pl_module, batch, "train")

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """The first batch of each validation."""
        if batch_idx == 0 and not trainer.sanity_checking:
            self._write(trainer, pl_module, batch, "val")


class ExportModel(L.Callback):
    """Saves the module's ``exported`` model as the engines load it, with each checkpoint and at the end.

    Args:
        folder: made by ``save_pretrained``; replaced as a whole, so that it never holds half a model.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def _save(self, trainer: L.Trainer, module: Any) -> None:
        if not hasattr(module, "exported"):
            return
        exported = module.exported  # by every process: what several share has to be gathered by all
        if not trainer.is_global_zero:
            return
        part = self.folder.with_name(self.folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        exported.save_pretrained(part)
        if self.folder.exists():
            shutil.rmtree(self.folder)
        os.replace(part, self.folder)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """With each checkpoint."""
        self._save(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """And at the end."""
        self._save(trainer, pl_module)
