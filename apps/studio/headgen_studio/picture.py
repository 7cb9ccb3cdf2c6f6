"""A picture that arrives as the file that was given."""

from __future__ import annotations

from typing import Any

import gradio as gr

__all__ = ["picture"]


def picture(**options: Any) -> gr.Image:
    """An image component that hands out the path of the upload.

    Gradio's own would open and perhaps convert it; the library reads more kinds, and says what is wrong.
    """
    made = gr.Image(type="filepath", image_mode=None, **options)
    made.preprocess = _path  # type: ignore[method-assign]
    return made


def _path(payload: Any) -> Any:
    return None if payload is None else payload.path
