"""How a job stands, in a tab: its place in the queue, its progress, a button that cancels it, its result.

The page asks once a second while a job is on its way. Nothing of a job lives in the page: after a reload it
is found by the browser that asked for it.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from headgen.errors import HeadgenError
from headgen_studio.history import Job
from headgen_studio.jobs import Standing
from headgen_studio.page import Loader, Page
from headgen_studio.studio import Person, Studio

__all__ = ["JobPanel", "finished", "standing_html"]

TICK = 1.0  # seconds between two looks of the page at its job
LOOK = 0.2  # the same, of a script that waits


class JobPanel:
    """Follows the newest job of a command; build it where its line is to stand.

    Args:
        studio: the studio.
        command: that it follows.
        empty: what to do, shown while there is no job.
    """

    def __init__(self, studio: Studio, command: str, empty: str) -> None:
        self.studio, self.command, self.empty = studio, command, empty
        self.key = gr.State("")
        self.line = gr.HTML(_note(empty), elem_classes="standing")
        self.cancel = gr.Button("Cancel", visible=False, size="sm", elem_classes="cancel")
        self.timer = gr.Timer(TICK, active=False)

    def follow(
        self,
        page: Page,
        outputs: Sequence[Any],
        show: Callable[[Job, Person], Sequence[Any]],
        loader: Loader | None = None,
    ) -> None:
        """Connects what shows the result; call it when the tab stands.

        Args:
            page: of the tab.
            outputs: components of the result.
            show: their values for a finished job.
            loader: gives a tab that is opened again the inputs and options of its newest job.
        """
        self._loader = loader
        self._show, self._outputs = show, list(outputs)
        written = self.written
        quiet: Any = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        self.timer.tick(self._look, [self.key], written, **quiet)
        given = [] if loader is None else loader.components
        found = page.blocks.load(self._find, None, [*written, *given], **quiet)
        if loader is not None:
            loader.after(found)
        self.cancel.click(self._stop, [self.key], written, **quiet)

    @property
    def written(self) -> list[Any]:
        """Components that `shown` gives values for."""
        return [self.key, self.line, self.cancel, self.timer, *self._outputs]

    def shown(self, job: Job | None, person: Person) -> list[Any]:
        """Values of all components for a job, or for none."""
        nothing = [gr.skip()] * len(self._outputs)
        if job is None:
            return ["", _note(self.empty), gr.Button(visible=False), gr.Timer(active=False), *nothing]
        standing = self.studio.jobs.standing(job)
        on_its_way = not job.finished
        result = list(self._show(job, person)) if job.state == "done" else nothing
        return [
            job.key,
            standing_html(standing),
            gr.Button(visible=on_its_way),
            gr.Timer(active=on_its_way),
            *result,
        ]

    def _look(self, key: str, request: gr.Request) -> list[Any]:
        person = Person.of(request)
        if not key:  # a look that was on its way while the job was cancelled: leave what that wrote
            return [gr.skip()] * len(self.written)
        try:
            return self.shown(self.studio.job(key, person), person)
        except HeadgenError:
            return self._cancelled(person)

    def _find(self, request: gr.Request) -> list[Any]:
        """After a reload."""
        person = Person.of(request)
        own = self.studio.jobs.jobs(user=person.user, client=person.client)
        jobs = [job for job in own if job.command == self.command]
        job = jobs[-1] if jobs else None
        given: list[Any] = []
        if self._loader is not None:
            nothing = [gr.skip()] * len(self._loader.components)
            given = nothing if job is None else self._loader.values(job, person)
        return [*self.shown(job, person), *given]

    def _stop(self, key: str, request: gr.Request) -> list[Any]:
        person = Person.of(request)
        try:
            job = self.studio.job(key, person)
        except HeadgenError:
            return self.shown(None, person)
        if not self.studio.jobs.cancel(key):  # it was quicker
            return self.shown(job, person)
        self.studio.jobs.wait(job, 5)
        return self._cancelled(person)

    def _cancelled(self, person: Person) -> list[Any]:
        values = self.shown(None, person)
        values[1] = _note("Cancelled. " + self.empty)
        return values


async def finished(studio: Studio, job: Job, progress: gr.Progress) -> list[Path]:
    """Waits for a job, for a script.

    Returns:
        Its main results.

    Raises:
        gr.Error: it failed or was cancelled.
    """
    try:
        while not job.finished:
            standing = studio.jobs.standing(job)
            if standing.position:
                progress((0, None), desc=f"{standing.position} before this one")
            else:
                progress((standing.done, standing.total), desc=standing.stage, unit=standing.unit)
            await asyncio.sleep(LOOK)
    except asyncio.CancelledError:  # the script is no longer there
        studio.jobs.cancel(job.key)
        raise
    if job.state != "done":
        raise gr.Error(job.error or "it was cancelled", print_exception=False)
    return job.output_paths()


def standing_html(standing: Standing) -> str:
    """How a job stands, for people."""
    job = standing.job
    notices = "".join(f"<li>{html.escape(text)}</li>" for text in job.notices)
    more = f'<ul class="notices">{notices}</ul>' if notices else ""
    if job.state == "done":
        return f'<div class="line done" role="status">Done in {_time(job.ended - job.begun)}.{more}</div>'
    if job.state == "failed":
        return f'<div class="line failed" role="alert">{html.escape(job.error)}</div>'
    left = "" if standing.seconds_left is None else f", about {_time(standing.seconds_left)} left"
    if standing.position:
        jobs = "one job comes" if standing.position == 1 else f"{standing.position} jobs come"
        return f'<div class="line" role="status">Waiting: {jobs} before this one{left}.</div>'
    count = f"{standing.done} of {standing.total} {standing.unit}" if standing.total else "starting"
    share = standing.share
    bar = "" if share is None else f' style="width:{100 * share:.0f}%"'
    kind = "bar" if share is not None else "bar unknown"
    return (
        '<div class="line" role="status">'
        f'<span class="stage">{html.escape(standing.stage.capitalize())}</span>'
        f'<span class="count">{count}{left}</span></div><div class="{kind}"><i{bar}></i></div>{more}'
    )


def _note(text: str) -> str:
    return f'<div class="line empty">{html.escape(text)}</div>'


def _time(seconds: float) -> str:
    seconds = max(0, round(seconds))
    return f"{seconds} s" if seconds < 90 else f"{seconds // 60} min {seconds % 60:02} s"
