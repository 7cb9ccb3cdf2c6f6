"""History: every result with its run record, to be looked at, run again with changes, or deleted."""

from __future__ import annotations

import html
import json
import time
from pathlib import Path
from typing import Any

import gradio as gr

from headgen.errors import HeadgenError, InputError
from headgen.media.provenance import record_path
from headgen_studio.history import Job
from headgen_studio.page import PRIVATE, QUIET, Page
from headgen_studio.studio import Person, Studio, in_words
from headgen_studio.tasks import SHEET, THUMBNAIL
from headgen_studio.timeline import timeline_html

__all__ = ["build"]

SHOWN = 60
"""Results in the gallery, the newest."""
VIDEOS = (".mp4", ".mov", ".mkv")
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
NAMES = {"reenact": "Reenact", "listen": "Listen", "edit_portrait": "Edit", "batch": "Batch"}


def build(studio: Studio, page: Page) -> None:
    """The tab; the tabs whose jobs it brings back are built before."""
    with gr.Tab("History", id="history") as tab:
        keys = gr.State([])
        key = gr.State("")
        with gr.Row():
            space = gr.HTML()
            refresh = gr.Button("Refresh", size="sm", scale=0, min_width=110)
        with gr.Column(visible=False) as queue:
            unfinished = gr.CheckboxGroup(label="On their way", choices=[])
            cancel = gr.Button("Cancel the chosen", size="sm")
        gallery = gr.Gallery(
            label="Results, the newest first",
            show_label=False,
            columns=6,
            height="auto",
            object_fit="cover",
            allow_preview=False,
            interactive=False,
            buttons=[],
            elem_id="history-results",
        )
        with gr.Column(visible=False, elem_classes="result", elem_id="history-detail") as detail:
            title = gr.HTML()
            with gr.Row():
                with gr.Column(elem_classes="take", min_width=320) as stage:
                    video = gr.Video(
                        show_label=False, interactive=False, buttons=[], height=360, visible=False
                    )
                    still = gr.Image(
                        show_label=False, interactive=False, buttons=[], height=360, visible=False
                    )
                    lanes = gr.HTML()
                    take = gr.Radio([], label="Take", visible=False)
                with gr.Column(min_width=320):
                    told = gr.HTML()
                    files = gr.Files(label="Files", interactive=False)
                    with gr.Row():
                        again = gr.Button("Change and run again", variant="primary")
                        delete = gr.Button("Delete", variant="stop")
                    sure = gr.State("")
    parts = [detail, title, stage, video, still, lanes, take, told, files, again, delete, sure]
    listed = [keys, space, queue, unfinished, gallery]

    def entries(person: Person) -> list[Any]:
        jobs = studio.jobs.jobs(user=person.user)
        ended = [job for job in reversed(jobs) if job.finished]
        newest = ended[:SHOWN]
        shown = [(_thumbnail(studio, job, person), _caption(job)) for job in newest]
        waiting = [(f"{_caption(job)}: {_where(studio, job)}", job.key) for job in jobs if not job.finished]
        size, limit = _bytes(studio.history.size()), _bytes(studio.history.limit)
        count = f"{len(ended)} results" + (f", the last {SHOWN} shown" if len(ended) > SHOWN else "")
        text = f"{count}, the newest first; {size} of {limit}. Beyond that the oldest are deleted."
        if studio.history.dropped:
            text += f" {studio.history.dropped} were deleted so since the studio was started."
        if not ended:
            text = "Nothing yet. What you make in the other tabs is kept here, with the record of how."
        return [
            [job.key for job in newest],
            f'<div class="line empty">{html.escape(text)}</div>',
            gr.Column(visible=bool(waiting)),
            gr.CheckboxGroup(choices=waiting, value=[]),
            gr.Gallery(value=shown, selected_index=None, visible=bool(ended)),
        ]

    def listing(request: gr.Request) -> list[Any]:
        return entries(Person.of(request))

    def nothing() -> list[Any]:
        return [gr.Column(visible=False), *[gr.skip()] * (len(parts) - 2), ""]

    def details(job: Job, person: Person, index: int = 0) -> list[Any]:
        outputs = job.output_paths()
        output = outputs[min(index, len(outputs) - 1)] if outputs else None
        film = output is not None and output.suffix in VIDEOS
        picture = output is not None and output.suffix in PICTURES
        link = None if output is None else studio.link(output, person)
        record = None if output is None else record_path(output)
        kept = [path for path in (output, record, job.folder / SHEET) if path is not None and path.is_file()]
        takes = [(str(k + 1), k) for k in range(len(outputs))]
        return [
            gr.Column(visible=True),
            f"<h2>{html.escape(_caption(job))}</h2>",
            gr.Column(visible=film or picture),
            gr.Video(value=link if film else None, visible=film),
            gr.Image(value=link if picture else None, visible=picture),
            timeline_html(record) if record is not None and film else "",
            gr.Radio(choices=takes, value=index, visible=len(takes) > 1),
            _told(job, record),
            [studio.link(path, person) for path in kept] or None,
            gr.Button(visible=job.command in page.loaders),
            gr.Button("Delete"),
            "",
        ]

    def choose(known: list[str], event: gr.SelectData, request: gr.Request) -> list[Any]:
        person = Person.of(request)
        chosen = known[event.index] if event.index < len(known) else ""
        try:
            return [chosen, *details(studio.job(chosen, person), person)]
        except HeadgenError:
            return ["", *nothing()]

    @in_words
    def other_take(chosen: str, index: int, request: gr.Request) -> list[Any]:
        person = Person.of(request)
        return details(studio.job(chosen, person), person, index)

    @in_words
    def remove(chosen: str, asked: str, request: gr.Request) -> list[Any]:
        """Deletes at the second press."""
        person = Person.of(request)
        if asked != chosen:
            studio.job(chosen, person)
            unchanged = [gr.skip()] * (len(parts) - 2)
            asking = gr.Button("Press again to delete")
            return [*unchanged, asking, chosen, *[gr.skip()] * len(listed)]
        studio.delete(chosen, person)
        return [*nothing(), *entries(person)]

    def stop(chosen: list[str], request: gr.Request) -> list[Any]:
        person = Person.of(request)
        for one in chosen:
            job = studio.jobs.get(one)
            if job is not None and job.user == person.user and studio.jobs.cancel(one):
                studio.jobs.wait(job, 5)
        return entries(person)

    loaders = page.loaders
    filled = [component for loader in loaders.values() for component in loader.components]

    @in_words
    def bring_back(chosen: str, request: gr.Request) -> list[Any]:
        person = Person.of(request)
        job = studio.job(chosen, person)
        if job.command not in loaders:
            raise InputError(f"{_caption(job)}: cannot be run again from here")
        values: list[Any] = [gr.Tabs(selected=loaders[job.command].tab)]
        for command, loader in loaders.items():
            own = command == job.command
            values += loader.values(job, person) if own else [gr.skip()] * len(loader.components)
        return values

    tab.select(listing, None, listed, **QUIET)
    refresh.click(listing, None, listed, **QUIET)
    gallery.select(choose, keys, [key, *parts], **QUIET)
    take.input(other_take, [key, take], parts, **QUIET)
    delete.click(remove, [key, sure], [*parts, *listed], **QUIET)
    cancel.click(stop, unfinished, listed, **PRIVATE)
    brought = again.click(bring_back, key, [page.tabs, *filled], **PRIVATE)
    for loader in loaders.values():
        brought = loader.after(brought)


def _caption(job: Job) -> str:
    when = time.strftime("%d %b %H:%M", time.localtime(job.created))
    names = [Path(name).name for some in job.inputs.values() for name in some[:1]]
    state = job.state if job.finished and job.state != "done" else ""
    parts = (NAMES.get(job.command, job.command), when, ", ".join(names), state)
    return " · ".join(part for part in parts if part)


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _where(studio: Studio, job: Job) -> str:
    standing = studio.jobs.standing(job)
    if standing.position:
        return f"{standing.position} before it"
    share = standing.share
    return standing.stage or "starting" if share is None else f"{standing.stage}, {share:.0%}"


def _thumbnail(studio: Studio, job: Job, person: Person) -> str:
    """What was made, or else what was given; for what shows nothing, an empty picture."""
    given = [path for paths in job.input_paths().values() for path in paths]
    candidates = [job.folder / THUMBNAIL, *job.output_paths(), *given]
    for path in candidates:
        if path.suffix.lower() in PICTURES and path.is_file():
            return studio.link(path, person)
    return studio.link(_empty(studio), person)


def _empty(studio: Studio) -> Path:
    path = studio.workspace / "empty.png"
    if not path.is_file():
        import numpy as np

        from headgen.media.image import write_image

        write_image(path, np.full((192, 192, 3), 128, np.uint8))
    return path


def _told(job: Job, record: Path | None) -> str:
    """Options and facts of a job as a table."""
    rows: dict[str, Any] = {name: value for name, value in job.options.items() if value is not None}
    if job.error:
        rows = {"why it failed": job.error} | rows
    for k, text in enumerate(job.notices, 1):
        rows[f"notice {k}"] = text
    if job.state == "done":
        rows["took"] = f"{job.ended - job.begun:.0f} s"
    if record is not None and record.is_file():
        found = json.loads(record.read_text(encoding="utf-8"))
        rows["made with"] = f"headgen {found['versions'].get('headgen', '')}, {found['model']}"
        rows["SHA-256"] = found["output"]["sha256"]
    cells = "".join(
        f"<tr><th>{html.escape(name.replace('_', ' '))}</th><td>{html.escape(str(value))}</td></tr>"
        for name, value in rows.items()
    )
    return f'<table class="facts">{cells}</table>'
