"""Models that stay loaded from one call to the next, where a program asks for it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

__all__ = ["kept", "keeping_models"]

T = TypeVar("T")

_lock = threading.Lock()
_models: OrderedDict[Hashable, Any] | None = None
_limit = 0


@contextmanager
def keeping_models(limit: int = 8) -> Iterator[None]:
    """Inside, models that `kept` loads stay in memory, the last used of them.

    Args:
        limit: how many, at least 1.
    """
    global _models, _limit
    before = _models, _limit
    _models, _limit = OrderedDict(), limit
    try:
        yield
    finally:
        _models, _limit = before


def kept(load: Callable[..., T], folder: Path, *how: Hashable) -> T:
    """A model, loaded or still there from before.

    For models that do not change once they are loaded. Weights that were written anew are loaded anew.

    Args:
        load: loads it: ``load(folder, *how)``.
        folder: of its weights.
        how: what else it is loaded with.
    """
    if _models is None:
        return load(folder, *how)
    key = (load, folder.resolve(), how, _stamps(folder))
    with _lock:
        if key in _models:
            _models.move_to_end(key)
        else:
            _models[key] = load(folder, *how)
            while len(_models) > _limit:
                _models.popitem(last=False)
        return cast(T, _models[key])


def _stamps(folder: Path) -> tuple[tuple[str, int, int], ...]:
    found = ((path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    return tuple(
        (str(path.relative_to(folder)), status.st_size, status.st_mtime_ns) for path, status in found
    )
