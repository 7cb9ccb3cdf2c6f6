"""What stands beside a saved model, read before any weights are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["saved_config"]


def saved_config(path: Path) -> dict[str, Any]:
    """The config of a model or a pipeline as diffusers writes it, ``_class_name`` among the rest.

    Args:
        path: ``config.json`` or ``model_index.json`` in the model's folder.

    Returns:
        Nothing where the file is missing or something else.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}
