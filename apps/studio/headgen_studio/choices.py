"""The models that a tab offers."""

from __future__ import annotations

from headgen import hub
from headgen.errors import WeightsError
from headgen.listener_request import check_listener

__all__ = ["listeners", "reenactors"]


def reenactors() -> list[str]:
    """Models that make a photograph move, whether they are installed or not."""
    return [name for name in hub.manifest() if name.startswith("fsrt")]


def listeners() -> list[str]:
    """Models that listen and are installed."""
    found = []
    for model in hub.manifest().values():
        try:
            check_listener(model.name, model.folder)
        except WeightsError:
            continue
        found.append(model.name)
    return found
