"""``headgen train TARGET --config configs/train/NAME.yaml``: the door to Lightning, which is an extra."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from headgen.errors import MissingExtraError

__all__ = ["train"]


def train(arguments: Sequence[str] | None = None) -> None:
    """Train a model by a configuration, which says which one.

    FSRT: ``vox256`` (the paper's recipe), ``small`` (embedded) or ``debug``. The listener: ``listener-small``
    (embedded), ``listener-fast`` (embedded, made from the former) or ``listener-debug``; what rewrites its
    joins: ``listener-edit`` (embedded) or ``listener-edit-debug``; what reads its texts: ``listener-text``
    (embedded).

    The output folder gets ``checkpoints/`` (with ``last.ckpt``), ``logs/`` (CSV and TensorBoard, one version
    per run), ``samples/`` (contact sheets, and videos of listeners) and ``model/`` (the exported model).

    Args:
        arguments: LightningCLI's options, for example ``["--config", "configs/train/debug.yaml"]``; the
            rest of the command line if None.

    Raises:
        MissingExtraError: lightning is not installed.
        InputError: a checkpoint or data set that is not there, or options that do not fit together.
    """
    options = list(sys.argv[3:] if arguments is None else arguments)
    try:
        import_module("lightning")
    except ModuleNotFoundError:
        raise MissingExtraError("lightning", "train", "Training") from None
    import_module("headgen.training.trainer_cli").run(options)
