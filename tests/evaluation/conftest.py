"""Agreement of metrics with other computations; `pytest tests/evaluation -v` ends with a table of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

_found: dict[tuple[str, str], tuple[float, float]] = {}

Agrees = Callable[[str, str, object, object, float], None]


@pytest.fixture
def agrees() -> Agrees:
    """``agrees(metric, against, ours, theirs, tolerance)`` holds figures together and notes how far apart."""

    def check(metric: str, against: str, ours: object, theirs: object, tolerance: float) -> None:
        apart = float(np.abs(np.asarray(ours, float) - np.asarray(theirs, float)).max())
        before, _ = _found.get((metric, against), (0.0, 0.0))
        _found[metric, against] = (max(before, apart), tolerance)
        assert apart <= tolerance, (metric, against, ours, theirs)

    return check


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not _found or config.get_verbosity() < 0:
        return
    terminalreporter.section("metrics and other computations of them")
    terminalreporter.write_line("| metric | against | largest difference | allowed |")
    terminalreporter.write_line("|---|---|---|---|")
    for (metric, against), (apart, tolerance) in _found.items():
        terminalreporter.write_line(f"| {metric} | {against} | {apart:.1e} | {tolerance:.0e} |")
