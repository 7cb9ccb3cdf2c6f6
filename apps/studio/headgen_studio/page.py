"""What the tabs of a page know of each other."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from headgen_studio.history import Job
from headgen_studio.studio import Person

__all__ = ["PRIVATE", "QUIET", "Loader", "Page", "heading"]

PRIVATE: Any = {"api_visibility": "private"}
"""Of events of the page that are no endpoint for scripts."""
QUIET: Any = {"show_progress": "hidden", **PRIVATE}
"""Of those that are also done before anybody wonders."""


def heading(title: str, hint: str = "") -> None:
    """Stands over an input, where its label would lie on the picture."""
    gr.HTML(
        f'<div class="heading"><b>{html.escape(title)}</b> {html.escape(hint)}</div>', elem_classes="tight"
    )


@dataclass(frozen=True)
class Loader:
    """How a job of the past comes back into the tab that made it."""

    tab: str
    """Id of the tab."""
    components: list[Any]
    """That are filled."""
    values: Callable[[Job, Person], list[Any]]
    """Of these components, from a job, for a person."""
    after: Callable[[Any], Any] = lambda event: event
    """What follows an event that has filled them."""


@dataclass
class Page:
    """Components that other tabs write to; a tab that is built fills in its own."""

    blocks: gr.Blocks
    tabs: gr.Tabs
    sources: gr.Gallery | None = None
    """Photographs of the Reenact tab; its value is a list of paths. Call `sources_given` on the event that
    sets it: galleries do not tell."""
    sources_given: Callable[[Any], Any] | None = None
    portrait: gr.Image | None = None
    """Photograph of the Listen tab."""
    loaders: dict[str, Loader] = field(default_factory=dict)
    """By command."""

    @classmethod
    def begin(cls, blocks: gr.Blocks) -> Page:
        """The page's head, and tabs to be filled."""
        gr.HTML(
            '<div class="masthead"><h1>headgen studio</h1><p>Make a portrait move like somebody else, '
            "or let it listen.</p></div>"
        )
        return cls(blocks, gr.Tabs(elem_id="tabs"))
