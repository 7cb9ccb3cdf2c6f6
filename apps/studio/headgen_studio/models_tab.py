"""What is installed: models, their sizes and licences, device and precision, as `headgen doctor` says it."""

from __future__ import annotations

import html
from dataclasses import asdict
from typing import Any

import gradio as gr

from headgen import hub
from headgen.doctor import Report
from headgen.hub import Model, ModelTable
from headgen.progress import ProgressEvent
from headgen_studio.page import Page
from headgen_studio.studio import Studio, in_words

__all__ = ["build"]

CSS = """
.models { overflow-x: auto; }
.models table { width: 100%; border-collapse: collapse; border: 0 !important; }
.models tr { border: 0 !important; }
.models th, .models td { text-align: left; vertical-align: top; padding: .5rem .8rem .5rem 0 !important;
  border: 0 !important; border-bottom: 1px solid var(--border-color-primary) !important; }
.models td.size { white-space: nowrap; text-align: right; }
.models .ready { color: var(--color-accent); font-weight: 600; }
.models .wrong { color: var(--error-text-color, #b42318); font-weight: 600; }
.models small { color: var(--body-text-color-subdued); }
@media (max-width: 799px) {
  .models thead { display: none; }
  .models tr { display: block; padding: .6rem 0; border-bottom: 1px solid var(--border-color-primary); }
  .models td { display: block; border: 0 !important; padding: .1rem 0 !important; }
  .models td.size { text-align: left; }
}
.doctor pre { font-family: var(--font-mono); font-size: var(--text-xs); overflow-x: auto; margin: 0; }
"""


def build(studio: Studio, page: Page) -> None:
    """The tab."""
    with gr.Tab("Models", id="models") as tab:
        summary = gr.HTML("", elem_classes="models", elem_id="models-summary")
        table = gr.HTML("", elem_classes="models", elem_id="models-table")
        with gr.Row():
            verify = gr.Button("Check every file", elem_id="models-verify")
            name = gr.Dropdown(_fetchable(), label="Model to fetch", scale=2, elem_id="models-name")
            fetch = gr.Button("Fetch", elem_id="models-fetch")
        told = gr.HTML("", elem_id="models-told")
        with gr.Accordion("Everything that headgen doctor says", open=False):
            report = gr.HTML("", elem_classes="doctor", elem_id="models-doctor")
        answer = gr.JSON(visible=False)
        api_button = gr.Button(visible=False)

    @in_words
    def look() -> list[Any]:
        found, models = _report(studio), hub.list_models()
        return [_summary(found), _table(models), f"<pre>{html.escape(str(found))}</pre>"]

    shown = [summary, table, report]
    tab.select(look, None, shown, api_visibility="private", show_progress="minimal")

    @in_words
    def check() -> list[Any]:
        text = str(hub.verify())
        return [f'<div class="line" role="status">{html.escape(text)}</div>', *look()]

    verify.click(check, None, [told, *shown], api_visibility="private")

    @in_words
    def get(name: str | None, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008 - Gradio's way
        if not name:
            raise gr.Error("Choose a model first.", print_exception=False)

        def tell(event: ProgressEvent) -> None:
            progress((event.done, event.total), desc=event.stage, unit=event.unit)

        text = str(hub.fetch(name, progress=tell))
        return [f'<div class="line" role="status">{html.escape(text)}</div>', *look()]

    fetch.click(get, name, [told, *shown], api_visibility="private")

    @in_words
    def models() -> dict[str, Any]:
        """What is installed: models, device and precision, and all that `headgen doctor` says.

        Returns:
            `models`, each with its name, state, size in bytes, licence and what it is for; `device`,
            `precision`, `ready` (commands that can work) and `doctor`, all findings of `headgen doctor`.
        """
        found, table = _report(studio), hub.list_models()
        return {
            "models": [
                {
                    "name": model.name,
                    "state": state,
                    "bytes": sum(file.size for file in model.files),
                    "licence": model.licence,
                    "purpose": model.purpose,
                    "embedded": model.embedded,
                }
                for model, state in zip(table.models, table.states, strict=True)
            ],
            "device": _text(found, "device"),
            "precision": _text(found, "precision"),
            "ready": list(found.ready),
            "doctor": [asdict(finding) for finding in found.findings],
        }

    api_button.click(models, None, answer, api_name="models")


def _report(studio: Studio) -> Report:
    """Of the process that works: it is there that a device is found or not."""
    return studio.live.call("headgen.doctor:doctor")


def _fetchable() -> list[str]:
    return [model.name for model in hub.manifest().values() if model.url or model.archive]


def _text(report: Report, name: str) -> str:
    return next((f.text for f in report.findings if (f.section, f.name) == ("machine", name)), "unknown")


def _summary(report: Report) -> str:
    ready = ", ".join(report.ready) or "nothing yet"
    rows = {
        "Ready for": ready,
        "Device": _text(report, "device"),
        "Precision": _text(report, "precision"),
        "Processor": _text(report, "processor"),
    }
    cells = "".join(
        f"<tr><td><b>{name}</b></td><td>{html.escape(text)}</td></tr>" for name, text in rows.items()
    )
    return f"<table><tbody>{cells}</tbody></table>"


def _table(table: ModelTable) -> str:
    rows = "".join(_row(model, state) for model, state in zip(table.models, table.states, strict=True))
    return (
        "<table><thead><tr><th>Model</th><th>State</th><th>Size</th><th>Licence</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _row(model: Model, state: str) -> str:
    size = sum(file.size for file in model.files)
    kind = {"ready": "ready", "not installed": ""}.get(state, "wrong")
    remedy = "" if state == "ready" else f"<br><small>{html.escape(model.remedy)}</small>"
    return (
        f"<tr><td><b>{html.escape(model.name)}</b><br><small>{html.escape(model.purpose)}</small></td>"
        f'<td><span class="{kind}">{html.escape(state)}</span>{remedy}</td>'
        f'<td class="size">{f"{size / 1e6:.1f} MB" if size else ""}</td>'
        f"<td>{html.escape(model.licence)}</td></tr>"
    )
