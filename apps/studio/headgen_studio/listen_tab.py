"""Listen: a portrait listens to a speaker."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from headgen.errors import HeadgenError, InputError
from headgen.listener.wishes import ATTITUDES
from headgen.media.provenance import record_path
from headgen_studio import examples
from headgen_studio.choices import listeners
from headgen_studio.face_chooser import FaceChooser
from headgen_studio.history import Job
from headgen_studio.page import PRIVATE, QUIET, Loader, Page, heading
from headgen_studio.panel import JobPanel, finished
from headgen_studio.picture import picture
from headgen_studio.studio import Person, Studio, in_words
from headgen_studio.tasks import SHEET
from headgen_studio.timeline import timeline_html
from headgen_studio.uploads import check_picture, check_recording

__all__ = ["build"]

EMPTY = "Give a speaker and a portrait, then let it listen. No files at hand? Take an example."
SUGGESTIONS = (
    "nods now and then", "nods often", "smiles warmly", "laughs", "raises the brows", "frowns a little",
    "tilts the head", "shakes the head", "looks away sometimes", "blinks often", "looks surprised",
    "0-3: neutral; 3-: smiles and nods",
)  # fmt: skip
"""What the listener understands, as it may be said."""
TAKES = 4
"""Takes that are shown side by side, the newest ones."""


def build(studio: Studio, page: Page) -> None:
    """The tab."""
    with gr.Tab("Listen", id="listen"):
        with gr.Row(elem_classes="bench"):
            with gr.Column(min_width=320):
                heading("1 · Speaker", "who is listened to")
                kind = gr.Radio(
                    [("A video", "video"), ("Only the voice", "sound")],
                    value="video",
                    label="What there is of the speaker",
                    show_label=False,
                )
                film = gr.Video(
                    label="Speaker video",
                    show_label=False,
                    sources=["upload", "webcam"],
                    height=280,
                    buttons=[],
                    elem_id="listen-speaker",
                )
                voice = gr.Audio(
                    label="Speaker's voice",
                    sources=["upload", "microphone"],
                    type="filepath",
                    visible=False,
                    buttons=[],
                )
                heading("2 · Portrait", "of who listens")
                portrait = picture(
                    label="Portrait of who listens",
                    show_label=False,
                    sources=["upload", "webcam", "clipboard"],
                    height=220,
                    buttons=[],
                    elem_id="listen-portrait",
                )
                chooser = FaceChooser(studio, "The face that listens, and what is cut out around it")
                with gr.Row(elem_classes="examples"):
                    gr.HTML('<span class="hint">Examples</span>')
                    portraits = examples.portraits(studio.cache / "examples")
                    tries = [gr.Button(who, size="sm") for who in portraits]
            with gr.Column(min_width=320):
                heading("3 · What the listener is to do", "may stay empty")
                text = gr.Textbox(
                    label="What the listener is to do",
                    show_label=False,
                    placeholder="smiles warmly and nods now and then",
                    lines=2,
                    elem_id="listen-text",
                )
                meaning = gr.HTML('<div class="understood"></div>')
                with gr.Row(elem_classes="chips"):
                    chips = [gr.Button(words, size="sm") for words in SUGGESTIONS]
                with gr.Group():
                    attitude = gr.Radio(
                        [("None", ""), *((name.capitalize(), name) for name in ATTITUDES)],
                        value="",
                        label="Attitude",
                    )
                    intensity = gr.Slider(0, 1, 0.7, step=0.05, label="How much of it")
                options = _options()
                with gr.Row():
                    make = gr.Button(
                        "Let it listen", variant="primary", size="lg", scale=2, elem_id="listen-make"
                    )
                    again = gr.Button("Another take", size="lg", scale=1, visible=False)
                panel = JobPanel(studio, "listen", EMPTY)
        options = {"attitude": attitude, "intensity": intensity} | options
        with gr.Column(visible=False, elem_classes="result", elem_id="listen-result") as result:
            gr.HTML("<h2>Takes</h2>")
            columns, parts = [], []
            with gr.Row(elem_classes="takes"):
                for _ in range(TAKES):
                    with gr.Column(visible=False, elem_classes="take", min_width=300) as column:
                        take = gr.HTML()
                        video = gr.Video(show_label=False, interactive=False, buttons=[], height=320)
                        lanes = gr.HTML()
                        with gr.Row():
                            files = [
                                gr.DownloadButton(label, size="sm", min_width=80)
                                for label in ("Video", "Record", "Sheet")
                            ]
                    columns.append(column)
                    parts.append([column, take, video, lanes, *files])
        api_speaker = gr.File(visible=False, label="video of the speaker, or sound")
        api_portrait = gr.File(visible=False, label="photograph of who listens")
        api_face = gr.Number(1, precision=0, visible=False, label="face of the photograph")
        api_results = [
            gr.Files(visible=False, label="videos, one for each take"),
            gr.Files(visible=False, label="run records"),
            gr.File(visible=False, label="contact sheet"),
        ]
        api_button = gr.Button(visible=False)
    page.portrait = portrait
    chooser.watch(portrait, lambda path: path)
    face = chooser.face

    # What is given.

    kind.change(
        lambda value: (gr.Video(visible=value == "video"), gr.Audio(visible=value == "sound")),
        kind,
        [film, voice],
        **QUIET,
    )
    for chip, words in zip(chips, SUGGESTIONS, strict=True):
        chip.click(_adding(words), text, text, **QUIET)

    def read(words: str) -> str:
        if not words.strip():
            return '<div class="understood"></div>'
        try:
            meant, doubts = studio.live.call("headgen_studio.live:understood", text=words)
        except HeadgenError as error:
            return f'<div class="understood doubt">{html.escape(str(error))}</div>'
        more = f'<br><span class="doubt">{html.escape(doubts)}</span>' if doubts else ""
        return f'<div class="understood">Understood: {html.escape(meant)}{more}</div>'

    text.change(read, text, meaning, trigger_mode="always_last", **QUIET)
    for button, path in zip(tries, portraits.values(), strict=True):
        button.click(_example(studio, path), None, [kind, film, portrait], **QUIET)

    # Making it.

    def show(job: Job, person: Person) -> Sequence[Any]:
        values: list[Any] = [gr.Column(visible=True), gr.Button(visible=True)]
        series = [one for one in studio.jobs.jobs(user=person.user) if one.series == job.series]
        takes = [
            (one, k, output)
            for one in series
            if one.state == "done"
            for k, output in enumerate(one.output_paths())
        ][-TAKES:]
        for one, k, output in takes:
            seed = f"seed {one.options['seed']}" + (f", take {k + 1}" if len(one.outputs) > 1 else "")
            asked = one.options.get("text") or one.options.get("attitude") or "listens"
            head = f'<div class="take-head"><b>{html.escape(seed)}</b> {html.escape(str(asked))}</div>'
            links = [studio.link(path, person) for path in (output, record_path(output), one.folder / SHEET)]
            lanes = timeline_html(record_path(output))
            values += [gr.Column(visible=True), head, links[0], lanes, *links]
        for _ in range(TAKES - len(takes)):
            values += [gr.Column(visible=False), "", None, "", None, None, None]
        return values

    def values_of(job: Job, person: Person) -> list[Any]:
        paths = job.input_paths()
        speaker, photograph = (studio.link(paths[role][0], person) for role in ("speaker", "portrait"))
        heard = Path(speaker).suffix.lower() in SOUNDS
        return [
            "sound" if heard else "video",
            None if heard else speaker,
            speaker if heard else None,
            job.options.get("face", 1),
            photograph,
            job.options.get("text") or "",
            *(_given(job.options.get(key, component.value), component) for key, component in options.items()),
        ]

    given = [kind, film, voice, chooser.wanted, portrait, text, *options.values()]
    page.loaders["listen"] = Loader("listen", given, values_of)
    panel.follow(
        page, [result, again, *(part for take in parts for part in take)], show, page.loaders["listen"]
    )

    @in_words
    def start(request: gr.Request, *given: Any) -> Any:
        which, video, sound, photograph, chosen, words, *values = given
        person = Person.of(request)
        wanted = dict(zip(options, values, strict=True)) | {"text": words, "face": chosen}
        speaker = video if which == "video" else sound
        return panel.shown(_submit(studio, person, speaker, photograph, wanted), person)

    @in_words
    def another(key: str, request: gr.Request) -> Any:
        """The same once more, with the seed after the last one's."""
        person = Person.of(request)
        last = studio.job(key, person)
        series = [one for one in studio.jobs.jobs(user=person.user) if one.series == last.series]
        seed = max(int(one.options["seed"]) for one in series) + 1
        wanted = last.options | {"seed": seed, "takes": 1}
        job = studio.submit(
            "listen", person, last.input_paths(), wanted, last.work / last.options["takes"], last.series
        )
        return panel.shown(job, person)

    inputs = [kind, film, voice, portrait, face, text, *options.values()]
    make.click(start, inputs, panel.written, **PRIVATE)
    again.click(another, panel.key, panel.written, **PRIVATE)

    async def listen(
        speaker: str,
        portrait: str,
        text: str,
        attitude: str,
        intensity: float,
        takes: int,
        layout: str,
        frame: str,
        audio_scale: float,
        motion_scale: float,
        text_scale: float,
        steps: int,
        long: str,
        transition: str,
        max_size: int,
        model: str,
        precision: str,
        seed: int,
        face: int,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio asks for it there
    ) -> tuple[list[str], list[str], str]:
        """Lets a portrait listen to a speaker; the options are those of `headgen listen`.

        Waits in the studio's queue, and returns the videos, their run records and a contact sheet.
        """
        wanted = {
            "text": text, "attitude": attitude, "intensity": intensity, "takes": takes, "layout": layout,
            "frame": frame, "audio_scale": audio_scale, "motion_scale": motion_scale,
            "text_scale": text_scale, "steps": steps, "long": long, "transition": transition,
            "max_size": max_size, "model": model, "precision": precision, "seed": seed, "face": face,
        }  # fmt: skip
        person = Person.of(request)
        job = in_words(_submit)(studio, person, speaker, portrait, wanted)
        outputs = await finished(studio, job, progress)
        return (
            [studio.link(path, person) for path in outputs],
            [studio.link(record_path(path), person) for path in outputs],
            studio.link(job.folder / SHEET, person),
        )

    api_button.click(
        listen,
        [api_speaker, api_portrait, text, *options.values(), api_face],
        api_results,
        api_name="listen",
        concurrency_limit=None,
    )


MAY_BE_LEFT_OUT = ("text", "attitude", "model", "steps")
"""Options of which an empty value, or 0, leaves the choice to the library."""
SOUNDS = (".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus")
"""Endings of recordings without pictures."""


def _options() -> dict[str, Any]:
    """The options of the tab by their names on the command line, in the order of the endpoint."""
    made: dict[str, Any] = {}
    with gr.Row():
        made["takes"] = gr.Slider(
            1, TAKES, 1, step=1, label="Takes", info="different listeners, side by side"
        )
    with gr.Accordion("More options", open=False):
        made["layout"] = gr.Radio(
            [("Only the listener", "single"), ("Beside the speaker", "side-by-side")],
            value="single",
            label="Video",
        )
        made["frame"] = gr.Radio(
            [("Whole photograph", "full"), ("Only the head", "crop")], value="full", label="Picture"
        )
        gr.HTML('<div class="hint">How strongly the listener follows; 1 is natural.</div>')
        with gr.Row():
            made["audio_scale"] = gr.Slider(0, 5, 1.0, step=0.1, label="The voice", min_width=120)
            made["motion_scale"] = gr.Slider(0, 5, 1.0, step=0.1, label="The speaker's face", min_width=120)
            made["text_scale"] = gr.Slider(0, 5, 1.0, step=0.1, label="Text and attitude", min_width=120)
        made["steps"] = gr.Slider(
            0, 32, 0, step=1, label="Denoising steps", info="fewer are faster; 0: as the model was made for"
        )
        made["long"] = gr.Radio(
            [("Segments, joined", "segments"), ("One stream", "causal")],
            value="segments",
            label="Long videos",
        )
        made["transition"] = gr.Radio(
            [("Rewritten", "edit"), ("Cross-faded", "crossfade"), ("Cut", "none")],
            value="edit",
            label="Joins of segments",
        )
        made["max_size"] = gr.Slider(256, 2048, 1280, step=64, label="Longest side, pixels")
        with gr.Row():
            made["model"] = gr.Dropdown([("The usual one", ""), *listeners()], value="", label="Model")
            made["precision"] = gr.Dropdown(["auto", "fp32", "bf16"], value="auto", label="Precision")
        made["seed"] = gr.Number(0, label="Seed", precision=0, info="another one gives another listener")
    return made


def _submit(
    studio: Studio, person: Person, speaker: str | None, portrait: str | None, options: dict[str, Any]
) -> Job:
    if not speaker:
        raise InputError("give a video of the speaker, or a recording of the voice")
    if not portrait:
        raise InputError("give a portrait of who is to listen")
    check_picture(Path(portrait), studio.limits)
    seconds = check_recording(Path(speaker), studio.limits)
    wanted = options | {key: options[key] or None for key in MAY_BE_LEFT_OUT}
    files = {"speaker": [Path(speaker)], "portrait": [Path(portrait)]}
    return studio.submit("listen", person, files, wanted, seconds * options["takes"])


def _given(value: Any, component: Any) -> Any:
    """An option of a job as its component shows it: what was left out is the component's own."""
    return component.value if value is None else value


def _adding(words: str) -> Any:
    def add(text: str) -> str:
        text = text.strip().rstrip(",;.")
        if not text or ":" in words:
            return words
        return f"{text}, {words}"

    return add


def _example(studio: Studio, portrait: Path) -> Any:
    def give(request: gr.Request) -> list[Any]:
        person = Person.of(request)
        return ["video", studio.link(examples.speaker(), person), studio.link(portrait, person)]

    return give
