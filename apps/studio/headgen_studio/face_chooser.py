"""The face of a photograph, shown before anything runs; where there are several, a click chooses one."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from headgen.errors import InputError
from headgen_studio.page import QUIET
from headgen_studio.studio import Studio, in_words
from headgen_studio.uploads import check_picture

__all__ = ["FaceChooser"]

MOST = 1280
"""Longest side at which faces are looked for, pixels: as the library does by default."""


class FaceChooser:
    """Build it where it is to stand; it hides until there is a photograph.

    Args:
        studio: the studio.
        label: of the marked photograph.
    """

    def __init__(self, studio: Studio, label: str) -> None:
        self.studio = studio
        self.wanted = gr.State(1)
        """Face to begin with, of a photograph that comes from the history."""
        self.problem = gr.HTML(visible=False)
        with gr.Column(visible=False) as self.group:
            gr.HTML(f'<div class="hint">{html.escape(label)}</div>', elem_classes="tight")
            self.marked = gr.Image(label=label, show_label=False, interactive=False, buttons=[], height=240)
            self.face = gr.Radio([("1", 1)], value=1, label="Several faces: which one?", visible=False)

    def watch(self, component: Any, first: Callable[[Any], str | None]) -> None:
        """Follows a component of photographs.

        Args:
            component: holds them.
            first: path of the photograph in its value.
        """

        @in_words
        def look(value: Any, wanted: int) -> list[Any]:
            hidden = [gr.Column(visible=False), None, gr.Radio(value=1, visible=False), 1]
            path = first(value)
            if path is None:
                return [gr.HTML(visible=False), *hidden]
            try:
                check_picture(Path(path), self.studio.limits)
                _, squares = self._faces(path, 1)
                face = min(wanted, len(squares))
                image, _ = self._faces(path, face)
            except InputError as error:
                text = html.escape(str(error).replace(path, Path(path).name))
                return [
                    gr.HTML(f'<div class="line failed" role="alert">{text}</div>', visible=True),
                    *hidden,
                ]
            names = ["1, the largest", *map(str, range(2, len(squares) + 1))]
            choices = list(zip(names, range(1, len(squares) + 1), strict=True))
            chooser = gr.Radio(choices=choices, value=face, visible=len(squares) > 1)
            return [gr.HTML(visible=False), gr.Column(visible=True), image, chooser, 1]

        @in_words
        def mark(value: Any, face: int) -> Any:
            path = first(value)
            return None if path is None else self._faces(path, face)[0]

        @in_words
        def pick(value: Any, event: gr.SelectData) -> Any:
            path = first(value)
            if path is None:
                return gr.skip()
            x, y = event.index
            middles = {}
            for k, (left, top, right, bottom) in enumerate(self._faces(path, 1)[1], 1):
                if left <= x <= right and top <= y <= bottom:
                    middles[k] = abs(x - (left + right) / 2) + abs(y - (top + bottom) / 2)
            return min(middles, key=lambda k: middles[k]) if middles else gr.skip()

        self._look, self._given = look, [component, self.wanted]
        self._shown = [self.problem, self.group, self.marked, self.face, self.wanted]
        component.change(look, self._given, self._shown, **QUIET)
        self.face.change(mark, [component, self.face], self.marked, **QUIET)
        self.marked.select(pick, component, self.face, **QUIET)

    def after(self, event: Any) -> Any:
        """Looks again after an event that has put photographs there: a gallery does not tell of it."""
        return event.then(self._look, self._given, self._shown, **QUIET)

    def _faces(self, path: str, face: int) -> Any:
        return self.studio.live.call(
            "headgen_studio.live:faces", picture=Path(path), face=face, max_size=MOST
        )
