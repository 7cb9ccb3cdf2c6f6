"""What users are told: every error that a person can cause and mend.

Each message is one line that names the file or value, what is wrong with it, and what to do. The command line
prints it and exits with code 2; anything else that escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

from typing import Any, get_args

__all__ = ["HeadgenError", "InputError", "MissingExtraError", "WeightsError", "check_choices"]


class HeadgenError(Exception):
    """Base of all errors that a user can mend."""


class InputError(HeadgenError):
    """A file or an option that cannot be used as it is."""


class WeightsError(HeadgenError):
    """A model that is not known, or whose weights are missing or damaged."""


class MissingExtraError(HeadgenError):
    """An optional part of headgen is not installed.

    Args:
        package: the package that could not be imported.
        extra: the extra of headgen that brings it.
        purpose: what needs it, as the subject of the message ("training").
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}: pip install 'headgen[{extra}]'")
        self.package = package
        self.extra = extra


def check_choices(**values: tuple[object, Any]) -> None:
    """Checks options that have a few values: each with its `Literal` type.

    Raises:
        InputError: a value that is not offered.
    """
    for name, (value, offered) in values.items():
        if value not in get_args(offered):
            raise InputError(f"{name}={value!r} is unknown; choose from {', '.join(get_args(offered))}.")
