"""Batch: a manifest, or photographs and videos all with all; what is wrong, what is done, and going on."""

from __future__ import annotations

import base64
import html
import shutil
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import gradio as gr

from headgen.errors import HeadgenError
from headgen_studio import batches
from headgen_studio.batches import RESULTS, Batch, Checked
from headgen_studio.history import Job
from headgen_studio.page import QUIET, Page
from headgen_studio.panel import JobPanel, finished
from headgen_studio.studio import Person, Studio, in_words

__all__ = ["build"]

EMPTY = (
    "Give a manifest (CSV, JSON lines or Parquet) with the files that it names, or just photographs and "
    "videos."
)
CSS = """
.batch { overflow-x: auto; }
.batch table { width: 100%; border-collapse: collapse; border: 0 !important; }
.batch tr { border: 0 !important; }
.batch th, .batch td { text-align: left; vertical-align: middle; padding: .35rem .7rem .35rem 0 !important;
  border: 0 !important; border-bottom: 1px solid var(--border-color-primary) !important; }
.batch img { height: 3rem; width: auto; border-radius: var(--radius-sm); display: block; margin: 0; }
.batch .failed { color: var(--error-text-color, #b42318); }
.batch pre { white-space: pre-wrap; font-family: inherit; margin: .4rem 0 0; }
.batch small { color: var(--body-text-color-subdued); }
"""
_SHOWN = 200  # rows of the table, the last ones
_HELP = """
A manifest has a row for each video, in columns `kind` (reenact or listen), `name`, the files (`source` and
`driving`, or `speaker` and `portrait`) and any option of the command. Files are found by their names among
those that you give with it. Without a manifest, every photograph goes with every video.
"""


def build(studio: Studio, page: Page) -> None:
    """The tab."""
    batches.clear(studio.workspace)
    with gr.Tab("Batch", id="batch") as tab:
        with gr.Row():
            with gr.Column():
                files = gr.File(
                    label="Manifest and files", file_count="multiple", type="filepath", height=220,
                    elem_id="batch-files",
                )  # fmt: skip
                folder = gr.UploadButton(
                    "Add a whole folder", file_count="directory", size="sm", elem_id="batch-folder"
                )
                kind = gr.Radio(
                    [("Photographs move like the videos", "reenact"), ("Photographs listen", "listen")],
                    value="reenact",
                    label="Without a manifest",
                )
                gr.Markdown(_HELP)
                look = gr.Button("Check", elem_id="batch-check")
            with gr.Column():
                report = gr.HTML(_line(EMPTY), elem_classes="batch", elem_id="batch-report")
                go = gr.Button("Start", variant="primary", visible=False, elem_id="batch-start")
                panel = JobPanel(studio, "batch", "Nothing runs.")
                earlier = gr.Dropdown([], label="Batches", visible=False, elem_id="batch-earlier")
                with gr.Row(visible=False) as actions:
                    resume = gr.Button("Go on", size="sm", elem_id="batch-resume")
                    retry = gr.Button("Try the failed ones again", size="sm")
                    pack = gr.Button("Pack the results", size="sm", elem_id="batch-pack")
                    delete = gr.Button("Delete", variant="stop", size="sm", elem_id="batch-delete")
                packed = gr.Files(visible=False, label="Results", elem_id="batch-packed")
        table = gr.HTML("", elem_classes="batch", elem_id="batch-table")
        new = gr.State("")
        api_files = gr.Files(visible=False, label="files")
        api_results = [gr.File(visible=False, label=label) for label in ("results table", "results")]
        api_retry = gr.Checkbox(visible=False, label="retry_failed")
        api_button = gr.Button(visible=False)

    folder.upload(
        lambda have, more: [*(have or []), *(more or [])], [files, folder], files, **QUIET
    )  # a folder's files join those that are there

    def listed(person: Person, chosen: str | None = None) -> list[Any]:
        """Values of the list of batches, what can be done with the chosen one, and its table."""
        own = [batch for batch in batches.of_person(studio.workspace, person) if batch.told["started"]]
        keys = [batch.key for batch in own]
        key = chosen if chosen in keys else keys[0] if keys else None
        return [
            gr.Dropdown([(batch.title, batch.key) for batch in own], value=key, visible=bool(own)),
            gr.Row(visible=bool(own)),
            _table(studio, own[keys.index(key)], person) if key else "",
        ]

    shown = [earlier, actions, table]

    @in_words
    def check(given: list[str] | None, kind: str, before: str, request: gr.Request) -> list[Any]:
        person = Person.of(request)
        _forget(studio, before, person)
        batch, left_out = _created(studio, given or [], kind, person)
        checked = _checked(studio, batch)
        return [_report(checked, left_out), gr.Button(visible=checked.jobs > 0), batch.key]

    look.click(check, [files, kind, new], [report, go, new], api_visibility="private")

    def begun(key: str, retry_failed: bool, person: Person) -> list[Any]:
        job = _start(studio, batches.find(studio.workspace, key, person), retry_failed, person)
        return [*panel.shown(job, person), *listed(person, key)]

    @in_words
    def start(key: str, request: gr.Request) -> list[Any]:
        return [*begun(key, False, Person.of(request)), _line("Started."), gr.Button(visible=False), ""]

    @in_words
    def go_on(key: str, request: gr.Request) -> list[Any]:
        return begun(key, False, Person.of(request))

    @in_words
    def again(key: str, request: gr.Request) -> list[Any]:
        return begun(key, True, Person.of(request))

    def show(job: Job, person: Person) -> list[Any]:
        try:
            batch = batches.find(studio.workspace, job.options["batch"], person)
        except HeadgenError:  # deleted since
            return [""]
        return [_table(studio, batch, person)]

    panel.follow(page, [table], show)
    go.click(start, new, [*panel.written, *shown, report, go, new], api_visibility="private")
    resume.click(go_on, earlier, [*panel.written, *shown], api_visibility="private")
    retry.click(again, earlier, [*panel.written, *shown], api_visibility="private")

    def choose(key: str | None, request: gr.Request) -> str:
        person = Person.of(request)
        own = {batch.key: batch for batch in batches.of_person(studio.workspace, person)}
        return _table(studio, own[key], person) if key in own else ""

    panel.timer.tick(choose, earlier, table, queue=False, **QUIET)
    earlier.input(choose, earlier, table, queue=False, **QUIET)

    def enter(chosen: str | None, request: gr.Request) -> list[Any]:
        return listed(Person.of(request), chosen)

    tab.select(enter, earlier, shown, queue=False, **QUIET)

    @in_words
    def zipped(key: str, request: gr.Request) -> Any:
        person = Person.of(request)
        return gr.Files(_results(studio, batches.find(studio.workspace, key, person), person), visible=True)

    pack.click(zipped, earlier, packed, api_visibility="private")

    @in_words
    def remove(key: str, request: gr.Request) -> list[Any]:
        person = Person.of(request)
        _delete(studio, batches.find(studio.workspace, key, person), person)
        return [*panel.shown(None, person), *listed(person), gr.Files(None, visible=False)]

    delete.click(remove, earlier, [*panel.written, *shown, packed], api_visibility="private")

    async def batch(
        files: list[str],
        kind: Literal["reenact", "listen"] = "reenact",
        retry_failed: bool = False,
        request: gr.Request = None,  # type: ignore[assignment]  # Gradio gives it
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio's way
    ) -> list[str]:
        """Makes many videos: see `headgen batch --help`.

        Args:
            files: a manifest with the files that it names, or photographs and videos, all with all.
            kind: what to make without a manifest: reenact or listen.
            retry_failed: begin those again that have failed.
            request: who asks.
            progress: told of jobs that are done.

        Returns:
            The results table (CSV), and a zip of all videos with their run records.
        """
        person = Person.of(request)
        made, left_out = in_words(_created)(studio, files, kind, person)
        checked = in_words(_checked)(studio, made)
        if not checked.jobs:
            shutil.rmtree(made.folder, ignore_errors=True)
            raise gr.Error("\n".join([*left_out, checked.report]), print_exception=False)
        job = in_words(_start)(studio, made, retry_failed, person)
        await finished(studio, job, progress)
        return _results(studio, made, person)

    api_button.click(
        batch, [api_files, kind, api_retry], api_results, api_name="batch", concurrency_limit=None
    )


def _created(studio: Studio, files: list[str], kind: str, person: Person) -> tuple[Batch, list[str]]:
    return batches.create(studio.workspace, [Path(path) for path in files], kind, studio.limits, person)


def _checked(studio: Studio, batch: Batch) -> Checked:
    """What a look at a new batch says; one that cannot be looked at is removed."""
    try:
        return studio.live.call("headgen_studio.batches:check", folder=batch.folder)
    except BaseException:
        shutil.rmtree(batch.folder, ignore_errors=True)
        raise


def _start(studio: Studio, batch: Batch, retry_failed: bool, person: Person) -> Job:
    running = [
        job
        for job in studio.jobs.jobs()
        if job.command == "batch" and not job.finished and job.options["batch"] == batch.key
    ]
    if running:
        raise gr.Error("This batch is on its way already.", print_exception=False)
    batch.mark_started()
    return studio.submit("batch", person, {}, {"batch": batch.key, "retry_failed": retry_failed}, 0.0)


def _forget(studio: Studio, key: str, person: Person) -> None:
    """Removes a batch that was checked and never started."""
    if not key:
        return
    try:
        batch = batches.find(studio.workspace, key, person)
    except HeadgenError:
        return
    if not batch.told["started"]:
        shutil.rmtree(batch.folder, ignore_errors=True)


def _delete(studio: Studio, batch: Batch, person: Person) -> None:
    """Stops a batch and removes all of it."""
    for job in studio.jobs.jobs():
        if job.command == "batch" and job.options["batch"] == batch.key:
            studio.delete(job.key, person)
            studio.jobs.wait(job, 5)
    shutil.rmtree(batch.folder, ignore_errors=True)


def _results(studio: Studio, batch: Batch, person: Person) -> list[str]:
    table = batch.folder / RESULTS
    archive = batch.archive()
    return [studio.link(path, person) for path in (table, archive) if path.exists()]


def _line(text: str) -> str:
    return f'<div class="line empty">{html.escape(text)}</div>'


def _report(checked: Checked, left_out: list[str]) -> str:
    parts = [f"{count} to {kind}" for kind, count in checked.kinds.items()]
    jobs = f"<b>{checked.jobs} videos</b> can be made" + (f": {', '.join(parts)}." if parts else ".")
    length = f" They last {checked.seconds:.0f} s in all." if checked.jobs else ""
    bad = f"<p class='failed'><b>{checked.bad} rows cannot be used.</b></p>" if checked.bad else ""
    notes = "\n".join([*left_out, checked.report]).strip("\n")
    more = f"<pre>{html.escape(notes)}</pre>" if notes else ""
    return f'<div class="line" role="status">{jobs}{length}{bad}{more}</div>'


def _table(studio: Studio, batch: Batch, person: Person) -> str:
    outcomes = batch.outcomes()
    if not outcomes:
        return ""
    done = sum(one.status == "done" for one in outcomes)
    failed = sum(one.status == "failed" for one in outcomes)
    more = len(outcomes) - _SHOWN
    rows = "".join(_row(studio, batch, one, person) for one in outcomes[-_SHOWN:])
    earlier = f"; the last {_SHOWN} are shown, the results table has all" if more > 0 else ""
    return (
        f"<p>{done} done, {failed} failed{earlier}</p>"
        "<table><thead><tr><th></th><th>Name</th><th>Result</th><th>Frames</th><th>Faces</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _row(studio: Studio, batch: Batch, outcome: Any, person: Person) -> str:
    small = batch.thumbnail(outcome.name)
    picture = ""
    if small.exists():
        data = base64.b64encode(small.read_bytes()).decode()
        picture = f'<img alt="" src="data:image/jpeg;base64,{data}">'
    if outcome.status == "done":
        links = "<br>".join(
            f'<a href="gradio_api/file={quote(studio.link(batch.results / one.name, person))}" '
            f'target="_blank">{html.escape(Path(one.name).name)}</a>'
            for one in outcome.outputs
        )
        result = links + "".join(f"<br><small>{html.escape(text)}</small>" for text in outcome.warnings)
    else:
        result = f'<span class="failed">{html.escape(outcome.status)}</span><br><small>'
        result += html.escape(outcome.error.replace(f"{batch.folder / 'material'}/", "")) + "</small>"
    faces = "" if outcome.face_share is None else f"{100 * outcome.face_share:.0f} %"
    return (
        f"<tr><td>{picture}</td><td>{html.escape(outcome.name)}</td><td>{result}</td>"
        f"<td>{outcome.frames or ''}</td><td>{faces}</td></tr>"
    )
