"""How the studio looks: calm, own, light and dark; fonts of the system, nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

__all__ = ["CSS", "HEAD", "theme"]

_INK = gr.themes.Color(
    *("#f6f7f9", "#eceef2", "#dcdfe6", "#c3c8d3", "#9aa1b1", "#6f7789", "#525a6b", "#3c4352", "#272d3a"),
    *("#181d27", "#10141c"),
    name="ink",
)
_TEAL = gr.themes.Color(
    *("#eefaf8", "#d3f1ed", "#a8e3dc", "#74cec6", "#42b1aa", "#23938d", "#167672", "#145e5c", "#144b4a"),
    *("#133f3e", "#082525"),
    name="teal",
)
_FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """The studio's theme."""
    return gr.themes.Base(
        primary_hue=_TEAL,
        secondary_hue=_TEAL,
        neutral_hue=_INK,
        radius_size=gr.themes.sizes.radius_lg,
        font=_FONT,
        font_mono=_MONO,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_shadow="none",
        block_label_background_fill="white",
        block_label_background_fill_dark="*neutral_900",
        block_label_border_width="0px",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_400",
        block_title_text_weight="600",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_300",
        input_background_fill="*neutral_50",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover_dark="*primary_400",
        button_primary_text_color="white",
        button_primary_text_color_dark="*neutral_950",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        slider_color="*primary_500",
        button_border_width="1px",
        button_border_width_dark="1px",
    )


CSS = (Path(__file__).parent / "studio.css").read_text(encoding="utf-8")
"""Beyond what a theme can say."""
HEAD = (
    f"<script>{(Path(__file__).parent / 'studio.js').read_text(encoding='utf-8')}</script>"
    "<style>.gradio-container { overflow: clip !important; }</style>"
)
"""Moves the timelines' playheads; and lets what is to stay in sight do so, which Gradio's own style, out of
reach of `CSS`, prevents."""
