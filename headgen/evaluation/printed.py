"""Tables as text, for reports that a terminal or a file shows."""

from __future__ import annotations

from io import StringIO

from rich.console import Console, RenderableType

__all__ = ["printed"]


def printed(*parts: RenderableType, width: int) -> str:
    """Lines and tables below each other, without colours and without blanks at the ends of lines.

    Args:
        parts: what is shown, in order.
        width: columns, at most.
    """
    file = StringIO()
    console = Console(file=file, width=width, force_terminal=False)
    for part in parts:
        console.print(part, highlight=False)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())
