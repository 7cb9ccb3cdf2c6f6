"""The part of ``headgen train`` that needs Lightning."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from headgen.errors import HeadgenError, InputError
from headgen.training.callbacks import ContactSheets, ExportModel

__all__ = ["TrainCLI", "run"]

logger = logging.getLogger(__name__)

EXPECTED_WARNINGS = (
    "LightningCLI's args parameter",  # our command line hands its words on
    "Using ModelCheckpoint with manual optimization",  # the state after the step is the one wanted
    "You're resuming from a checkpoint that ended before",  # the stream of pairs goes on by itself
    "Checkpoint directory .* exists and is not empty",  # one folder per training, resumed ones too
    "The '.*' does not have many workers",
)
"""Remarks of Lightning on what is so by intention."""


class TrainCLI(LightningCLI):
    """LightningCLI with one output folder for everything that a run leaves behind."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Our own options."""
        parser.add_argument("--output", type=Path, default=Path("runs/train"), help="folder of this training")
        parser.add_argument(
            "--ckpt_path",
            type=str | None,
            default=None,
            help="checkpoint to go on from; 'last' for the newest in the output folder, if there is one",
        )
        parser.add_argument(
            "--checkpoint_every", type=int, default=1000, help="training steps between checkpoints"
        )
        parser.add_argument(
            "--samples_every",
            type=int,
            default=1000,
            help="training steps between contact sheets of training batches; 0 for none",
        )

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """The configured trainer, with checkpoints, logs, samples and export in the output folder."""
        settings, output = self.config_init["trainer"], self.config_init["output"]
        loggers: Any = settings.get("logger")
        if loggers is None or loggers is True:
            csv = CSVLogger(output, name="logs")
            loggers = [csv]
            if find_spec("tensorboard"):
                loggers.append(TensorBoardLogger(output, name="logs", version=csv.version))
        callbacks = [
            ContactSheets(output / "samples", every=self.config_init["samples_every"]),
            ExportModel(output / "model"),
            ModelCheckpoint(
                output / "checkpoints",
                filename="{step}",
                save_last=True,
                every_n_train_steps=self.config_init["checkpoint_every"],
                enable_version_counter=False,
            ),
            *(settings.get("callbacks") or []),
        ]
        # The data modules share their stream of pairs between processes themselves.
        return super().instantiate_trainer(
            default_root_dir=str(output),
            logger=loggers,
            callbacks=callbacks,
            use_distributed_sampler=False,
            **kwargs,
        )


def find_checkpoint(output: Path, wanted: str | None) -> Path | None:
    """The checkpoint that ``--ckpt_path`` means.

    Raises:
        InputError: the named file is not there.
    """
    if wanted is None:
        return None
    path = output / "checkpoints" / "last.ckpt" if wanted == "last" else Path(wanted)
    if path.is_file():
        return path
    if wanted == "last":
        logger.warning("%s is not there: training starts from the beginning", path)
        return None
    raise InputError(
        f"{path}: no such checkpoint; name a .ckpt file, or 'last' for the output folder's newest"
    )


def run(options: Sequence[str]) -> L.Trainer:
    """Parse LightningCLI's options and train; see `headgen.training.cli.train`."""
    for message in EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    try:
        cli = TrainCLI(
            args=list(options),
            run=False,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"prog": "headgen train TARGET"},
            auto_configure_optimizers=False,
        )
    except ValueError as error:
        # jsonargparse wraps what our classes raise: the user is told our line, not its.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, HeadgenError):
            cause = cause.__cause__ or cause.__context__
        raise (cause or error) from None
    torch.set_flush_denormal(True)  # numbers next to zero slow a processor down by half
    checkpoint = find_checkpoint(cli.config_init["output"], cli.config_init["ckpt_path"])
    try:
        cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint)
    except SystemExit:
        if not cli.trainer.interrupted:
            raise
        logger.warning(
            "stopped at step %d; the same command with --ckpt_path last goes on from the newest checkpoint",
            cli.trainer.global_step,
        )
        raise KeyboardInterrupt from None  # Lightning turns it into exit code 1
    except MisconfigurationException as error:  # options of the trainer that do not fit the module
        raise InputError(" ".join(str(error).split())) from None
    return cli.trainer
