"""Reenact: photographs move like a driving video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from headgen.media.provenance import record_path
from headgen_studio.history import Job
from headgen_studio.page import Page
from headgen_studio.panel import JobPanel, finished
from headgen_studio.studio import Person, Studio, in_words
from headgen_studio.uploads import check_picture, check_video

__all__ = ["build"]


def build(studio: Studio, page: Page) -> None:
    """The tab."""
    with gr.Tab("Reenact", id="reenact"), gr.Row():
        with gr.Column():
            source = gr.Gallery(
                label="Photographs", type="filepath", file_types=["image"], columns=4, interactive=True
            )
            driving = gr.Video(label="Driving video", sources=["upload", "webcam"])
            seed = gr.Number(0, label="Seed", precision=0)
            make = gr.Button("Make it move", variant="primary")
        with gr.Column():
            panel = JobPanel(studio, "reenact", "Give a photograph and a driving video.")
            result = gr.Video(label="Result", interactive=False)
            record = gr.File(label="Run record", interactive=False)
        api = [gr.Files(visible=False, label="source"), gr.File(visible=False, label="driving")]
        api_results = [gr.File(visible=False, label=label) for label in ("video", "run record")]
        api_button = gr.Button(visible=False)
    page.sources = source

    def show(job: Job, person: Person) -> Sequence[Any]:
        output = job.output_paths()[0]
        return studio.link(output, person), studio.link(record_path(output), person)

    panel.follow(page, [result, record], show)

    @in_words
    def start(
        sources: list[tuple[str, Any]] | None, video: str | None, seed: int, request: gr.Request
    ) -> Any:
        person = Person.of(request)
        job = _submit(studio, person, [path for path, _ in sources or ()], video, {"seed": seed})
        return panel.shown(job, person)

    make.click(start, [source, driving, seed], panel.written, api_visibility="private")

    async def reenact(
        source: list[str],
        driving: str,
        seed: int,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, str]:
        """Makes photographs move like a driving video."""
        person = Person.of(request)
        job = in_words(_submit)(studio, person, source, driving, {"seed": seed})
        (video,) = await finished(studio, job, progress)
        return studio.link(video, person), studio.link(record_path(video), person)

    api_button.click(reenact, [*api, seed], api_results, api_name="reenact", concurrency_limit=None)


def _submit(
    studio: Studio, person: Person, sources: Sequence[str], driving: str | None, options: dict[str, Any]
) -> Job:
    pictures = [Path(path) for path in sources]
    for path in pictures:
        check_picture(path, studio.limits)
    video = Path(driving or "")
    seconds = check_video(video, studio.limits)
    return studio.submit("reenact", person, {"source": pictures, "driving": [video]}, options, seconds)
