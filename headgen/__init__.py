"""headgen: generates talking and listening head videos.

The verbs of the command line are functions here, with the same names and options. They are imported on first
use, so that ``import headgen`` stays light (no torch, no mediapipe).
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headgen.doctor import doctor as doctor
    from headgen.evaluation.evaluate_listen import evaluate_listen as evaluate_listen
    from headgen.evaluation.evaluate_reenact import evaluate_reenact as evaluate_reenact
    from headgen.join import join as join
    from headgen.listen import listen as listen
    from headgen.portrait_editor import edit_portrait as edit_portrait
    from headgen.prepare import prepare as prepare
    from headgen.reenact import reenact as reenact
    from headgen.stream import stream as stream

__version__ = "0.1.0"

_EXPORTS = {
    "reenact": "headgen.reenact",
    "listen": "headgen.listen",
    "stream": "headgen.stream",
    "join": "headgen.join",
    "edit_portrait": "headgen.portrait_editor",
    "prepare": "headgen.prepare",
    "evaluate_listen": "headgen.evaluation.evaluate_listen",
    "evaluate_reenact": "headgen.evaluation.evaluate_reenact",
    "doctor": "headgen.doctor",
    "HeadgenError": "headgen.errors",
    "InputError": "headgen.errors",
    "MissingExtraError": "headgen.errors",
    "WeightsError": "headgen.errors",
    "Cancelled": "headgen.progress",
    "ProgressEvent": "headgen.progress",
}
__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'headgen' has no attribute {name!r}")
    value = getattr(import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """Keeps the function ``headgen.reenact`` when the module of the same name is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _EXPORTS and isinstance(value, ModuleType):
            return  # binding a submodule to its package; `from headgen.reenact import ...` still works
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
