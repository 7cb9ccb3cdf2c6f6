"""Edit a portrait: sliders, and the picture at once."""

from __future__ import annotations

import base64
import html
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from headgen.media.provenance import record_path
from headgen.portrait_editor import RANGES, PortraitEdit
from headgen_studio import examples
from headgen_studio.history import Job
from headgen_studio.page import QUIET, Loader, Page, heading
from headgen_studio.picture import picture
from headgen_studio.studio import Person, Studio, in_words
from headgen_studio.uploads import check_picture

__all__ = ["build"]

GROUPS = {
    "Head": {"yaw": "Turn, left to right", "pitch": "Nod, down to up", "roll": "Lean, left to right"},
    "Eyes": {
        "gaze_x": "Gaze, left to right",
        "gaze_y": "Gaze, down to up",
        "eyes": "Lids, shut to wide open",
        "brows": "Brows, lowered to raised",
    },
    "Mouth": {"smile": "Corners, drawn down to a smile", "mouth": "Lips, shut to open"},
}
PRESETS: dict[str, Mapping[str, float]] = {
    "Friendly": {"smile": 0.7, "brows": 0.2},
    "Surprised": {"brows": 1.0, "eyes": 0.8, "mouth": 0.6},
    "Thoughtful": {"gaze_x": 18.0, "gaze_y": 12.0, "yaw": 6.0, "roll": 4.0},
    "Doubtful": {"brows": -0.7, "smile": -0.5, "roll": -6.0, "eyes": -0.2},
    "Asleep": {"eyes": -1.0, "pitch": -8.0, "roll": 6.0},
}
CSS = """
.edited img { width: 100%; border-radius: var(--radius-lg); display: block; }
.edited .took { color: var(--body-text-color-subdued); font-size: var(--text-xs); margin: .3rem 0 0; }
.edited img { max-height: 68vh; object-fit: contain; object-position: left top; }
@media (min-width: 800px) { .edit-view { position: sticky !important; top: 1rem; align-self: flex-start; } }
@media (max-width: 799px) { .edit-view { order: -1; } .edited img { max-height: 45vh; object-fit: contain; } }
"""
EMPTY = "Give a photograph of a person, then move the sliders."
_STEPS = {"degrees": 0.5, "": 0.05}
_NAMES = [name for group in GROUPS.values() for name in group]


def build(studio: Studio, page: Page) -> None:
    """The tab."""
    with gr.Tab("Edit", id="edit"), gr.Row():
        with gr.Column():
            portrait = picture(
                label="Photograph",
                sources=["upload", "webcam", "clipboard"],
                height=260,
                elem_id="edit-portrait",
            )
            with gr.Row(elem_classes="examples"):
                gr.HTML('<span class="hint">Examples</span>')
                shown = examples.portraits(studio.cache / "examples")
                tries = [gr.Button(who, size="sm") for who in shown]
            with gr.Row(elem_classes="presets"):
                presets = [gr.Button(name, size="sm", min_width=90) for name in PRESETS]
            sliders: dict[str, gr.Slider] = {}
            for title, group in GROUPS.items():
                heading(title)
                with gr.Group():
                    for name, label in group.items():
                        sliders[name] = _slider(name, label)
            face = gr.Number(
                1, label="Face", precision=0, minimum=1, info="Where there are several: 1 is the largest."
            )
        with gr.Column(elem_classes="edit-view"):
            view = gr.HTML(_note(EMPTY), elem_classes="edited", elem_id="edited")
            with gr.Row():
                reset = gr.Button("Reset", elem_id="edit-reset", min_width=90)
                ending = gr.Radio(
                    ["png", "jpg", "webp"], value="png", show_label=False, container=False, min_width=240
                )
                save = gr.Button("Save", variant="primary", elem_id="edit-save", min_width=90)
            with gr.Row():
                to_reenact = gr.Button("Make it move", elem_id="edit-to-reenact")
                to_listen = gr.Button("Let it listen", elem_id="edit-to-listen")
            with gr.Row(visible=False) as saved:
                made = gr.File(label="Picture", interactive=False, elem_id="edit-picture")
                record = gr.File(label="Run record", interactive=False)
        api_portrait = gr.File(visible=False, label="portrait")
        api_results = [gr.File(visible=False, label=label) for label in ("picture", "run record")]
        api_button = gr.Button(visible=False)

    values = [sliders[name] for name in _NAMES]

    @in_words
    def draw(path: str | None, face: float, *now: float) -> str:
        return _drawn(studio, path, face, now)

    live: Any = {**QUIET, "queue": False, "trigger_mode": "always_last"}
    drawing = (draw, [portrait, face, *values], view)
    portrait.change(*drawing, **QUIET)
    face.change(*drawing, **live)
    for button, example in zip(tries, shown.values(), strict=True):
        button.click(lambda path=str(example): path, None, portrait, queue=False, **QUIET)
    for slider in values:
        slider.input(*drawing, **live)
    for button, preset in zip(presets, PRESETS.values(), strict=True):
        chosen = [preset.get(name, 0.0) for name in _NAMES]
        button.click(lambda chosen=chosen: chosen, None, values, queue=False, **QUIET).then(
            *drawing, queue=False, **QUIET
        )
    rest = [0.0] * len(values)
    reset.click(lambda: rest, None, values, queue=False, **QUIET).then(*drawing, queue=False, **QUIET)

    asked = [portrait, face, ending, *values]

    @in_words
    def keep(request: gr.Request, path: str | None, face: float, ending: str, *now: float) -> list[Any]:
        person = Person.of(request)
        job = _made(studio, person, path, face, ending, dict(zip(_NAMES, now, strict=True)))
        return [gr.Row(visible=True), *_links(studio, job, person)]

    save.click(keep, asked, [saved, made, record], api_visibility="private")

    def used(tab: str) -> Any:
        @in_words
        def use(request: gr.Request, path: str | None, face: float, *now: float) -> list[Any]:
            person = Person.of(request)
            job = _made(studio, person, path, face, "png", dict(zip(_NAMES, now, strict=True)))
            link = studio.link(job.output_paths()[0], person)
            return [gr.Tabs(selected=tab), [(link, None)] if tab == "reenact" else link]

        return use

    given = [portrait, face, *values]
    assert page.sources is not None and page.sources_given is not None  # these tabs stand before this one
    assert page.portrait is not None
    page.sources_given(
        to_reenact.click(used("reenact"), given, [page.tabs, page.sources], api_visibility="private")
    )
    to_listen.click(used("listen"), given, [page.tabs, page.portrait], api_visibility="private")

    @in_words
    def edit_portrait(
        portrait: str,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
        gaze_x: float = 0.0,
        gaze_y: float = 0.0,
        eyes: float = 0.0,
        brows: float = 0.0,
        smile: float = 0.0,
        mouth: float = 0.0,
        face: float = 1,
        ending: str = "png",
        request: gr.Request = None,  # type: ignore[assignment]  # Gradio gives it
    ) -> tuple[str, str]:
        """Turns a portrait's head and eyes, and changes its expression: see `headgen edit-portrait --help`.

        Args:
            portrait: a photograph of a person.
            yaw: degrees that the head turns towards the right side of the picture, -20 to 20.
            pitch: degrees that the head rises, -15 to 15.
            roll: degrees that the head leans clockwise, -20 to 20.
            gaze_x: degrees that the eyes turn to the right side of the picture, -25 to 25.
            gaze_y: degrees that the eyes look up, -20 to 20.
            eyes: -1 shuts the eyes, 1 opens them wide.
            brows: -1 lowers the brows, 1 raises them.
            smile: -1 draws the corners of the mouth down, 1 is a broad smile.
            mouth: -1 shuts an open mouth, 1 opens it.
            face: which one, where the photograph shows several: 1 is the largest.
            ending: of the picture: png, jpg or webp.
            request: who asks.

        Returns:
            The picture and its run record.
        """
        person = Person.of(request)
        numbers = (yaw, pitch, roll, gaze_x, gaze_y, eyes, brows, smile, mouth)
        edit = dict(zip(RANGES, numbers, strict=True))
        return _links(studio, _made(studio, person, portrait, face, ending, edit), person)

    in_order = [sliders[name] for name in RANGES]
    api_button.click(
        edit_portrait, [api_portrait, *in_order, face, ending], api_results, api_name="edit_portrait"
    )

    def again(job: Job, person: Person) -> list[Any]:
        path = job.input_paths()["portrait"][0]
        return [studio.link(path, person), *(job.options[name] for name in _NAMES)]

    page.loaders["edit_portrait"] = Loader("edit", [portrait, *values], again)


def _slider(name: str, label: str) -> gr.Slider:
    limits = RANGES[name]
    return gr.Slider(
        limits.low,
        limits.high,
        value=0,
        step=_STEPS[limits.unit],
        label=f"{label} ({limits.unit})" if limits.unit else label,
        elem_id=f"edit-{name}",
    )


def _drawn(studio: Studio, path: str | None, face: float, now: Any) -> str:
    """The picture as HTML: so it comes with the answer, without a second way to the server."""
    if not path:
        return _note(EMPTY)
    begun = time.perf_counter()
    drawn = studio.live.call(
        "headgen_studio.editing:preview",
        portrait=Path(path),
        face=int(face or 1),
        values=dict(zip(_NAMES, map(float, now), strict=True)),
        limits=studio.limits,
    )
    data = base64.b64encode(drawn).decode()
    took = 1000 * (time.perf_counter() - begun)
    return (
        f'<img alt="The edited portrait" src="data:image/jpeg;base64,{data}">'
        f'<p class="took">drawn in {took:.0f} ms</p>'
    )


def _made(
    studio: Studio, person: Person, path: str | None, face: float, ending: str, edit: Mapping[str, float]
) -> Job:
    """The picture in full size, kept in the history."""
    if not path:
        raise gr.Error(EMPTY, print_exception=False)
    check_picture(Path(path), studio.limits)
    options = {**asdict(PortraitEdit(**edit)), "face": int(face or 1), "ending": ending}
    return studio.jobs.at_once(
        studio.live,
        "edit_portrait",
        options,
        {"portrait": [Path(path)]},
        user=person.user,
        client=person.client,
    )


def _links(studio: Studio, job: Job, person: Person) -> tuple[str, str]:
    output = job.output_paths()[0]
    return studio.link(output, person), studio.link(record_path(output), person)


def _note(text: str) -> str:
    return f'<div class="line empty">{html.escape(text)}</div>'
