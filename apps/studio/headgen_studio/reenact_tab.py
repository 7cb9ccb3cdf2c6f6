"""Reenact: photographs move like a driving video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from headgen.errors import HeadgenError, InputError
from headgen.faces.driving import MOTION_SUFFIX
from headgen.media.provenance import record_path
from headgen_studio import examples
from headgen_studio.choices import reenactors
from headgen_studio.face_chooser import FaceChooser
from headgen_studio.history import Job
from headgen_studio.page import PRIVATE, QUIET, Loader, Page, heading
from headgen_studio.panel import JobPanel, finished
from headgen_studio.studio import Person, Studio, in_words
from headgen_studio.tasks import SHEET
from headgen_studio.uploads import check_picture, check_video

__all__ = ["build"]

EMPTY = "Give a photograph and a driving video, then make it move. No files at hand? Take an example."
RETARGETED = ("motion", "region", "multiplier", "eyes", "lips")
"""Options that the preview follows at once."""
PREVIEW_SIZE = 640  # longest side of the preview, pixels


def build(studio: Studio, page: Page) -> None:
    """The tab."""
    with gr.Tab("Reenact", id="reenact"):
        with gr.Row(elem_classes="bench"):
            with gr.Column(min_width=320):
                heading("1 · Photographs", "of one person; the first one moves")
                source = gr.Gallery(
                    label="Photographs of one person; the first one moves",
                    show_label=False,
                    type="filepath",
                    file_types=["image"],
                    sources=["upload", "webcam", "clipboard"],
                    columns=4,
                    height=220,
                    object_fit="contain",
                    interactive=True,
                    buttons=[],
                    elem_id="reenact-source",
                )
                chooser = FaceChooser(studio, "The face that moves, and what is cut out around it")
                face = chooser.face
                heading("2 · Driving video", "whose motion is taken over")
                driving = gr.Video(
                    label="Driving video",
                    show_label=False,
                    sources=["upload", "webcam"],
                    height=280,
                    buttons=[],
                    elem_id="reenact-driving",
                )
                with gr.Accordion("Saved motions", open=False):
                    saved = gr.Dropdown(
                        label="Use a saved motion instead of a video",
                        choices=[],
                        value=None,
                        interactive=True,
                    )
                    with gr.Row(equal_height=True):
                        name = gr.Textbox(label="Save this video's motion as", max_lines=1, scale=3)
                        save = gr.Button("Save", size="sm", scale=1, min_width=80)
                with gr.Row(elem_classes="examples"):
                    gr.HTML('<span class="hint">Examples</span>')
                    tries = [
                        gr.Button(who, size="sm") for who in examples.portraits(studio.cache / "examples")
                    ]
            with gr.Column(min_width=320):
                heading("Preview", "one moment, at once; the video is a little more exact")
                shown = gr.Image(
                    label="Live preview of one moment",
                    show_label=False,
                    interactive=False,
                    buttons=[],
                    height=380,
                    elem_id="reenact-preview",
                )
                moment = gr.Slider(0, 100, 50, step=1, label="Moment, % of the driver's first 10 s")
                options = _options()
                make = gr.Button("Make it move", variant="primary", size="lg", elem_id="reenact-make")
                panel = JobPanel(studio, "reenact", EMPTY)
        with gr.Column(visible=False, elem_classes="result", elem_id="reenact-result") as result:
            gr.HTML("<h2>Result</h2>")
            with gr.Row():
                still = gr.Image(label="Photograph", interactive=False, buttons=[], height=340)
                driver = gr.Video(label="Driver", interactive=False, buttons=[], height=340)
                video = gr.Video(
                    label="Result", interactive=False, buttons=[], height=340, autoplay=True, loop=True
                )
            with gr.Row():
                together = gr.Button("Play driver and result together", size="sm")
                downloads = [
                    gr.DownloadButton(label, size="sm") for label in ("Video", "Run record", "Contact sheet")
                ]
            with gr.Accordion("Contact sheet: source, driver, result at eight moments", open=False):
                sheet = gr.Image(show_label=False, interactive=False, buttons=["fullscreen"])
        api_source = gr.Files(visible=False, label="photographs; the first one moves")
        api_driving = gr.File(visible=False, label="driving video, or a saved motion")
        api_face = gr.Number(1, precision=0, visible=False, label="face of the first photograph")
        api_results = [
            gr.File(visible=False, label=label) for label in ("video", "run record", "contact sheet")
        ]
        api_button = gr.Button(visible=False)
    page.sources = source

    chooser.watch(source, lambda pictures: pictures[0][0] if pictures else None)

    # The preview.

    watched = [*(options[key] for key in RETARGETED), options["start"], options["frame"], options["model"]]

    def draw(
        pictures: Sequence[tuple[str, Any]] | None,
        film: str | None,
        motion_name: str | None,
        at: float,
        chosen: int,
        *values: Any,
        request: gr.Request,
    ) -> Any:
        person = Person.of(request)
        driving_path = _driving(studio, person, film, motion_name)
        if not pictures or driving_path is None:
            return None
        *retargeted, start, frame, model = values
        try:
            return studio.live.call(
                "headgen_studio.live:preview",
                source=tuple(Path(path) for path, _ in pictures),
                driving=driving_path,
                share=at / 100,
                model=model,
                face=chosen,
                max_size=PREVIEW_SIZE,
                start=start,
                frame=frame,
                options=dict(zip(RETARGETED, retargeted, strict=True)),
                limits=studio.limits,
            )
        except HeadgenError:  # making it says what is wrong
            return None

    seen = [source, driving, saved, moment, face, *watched]
    gr.on(
        [component.change for component in seen],
        _with_request(draw),
        seen,
        shown,
        trigger_mode="always_last",
        **QUIET,
    )

    # Saved motions and examples.

    def refresh(request: gr.Request) -> Any:
        return gr.Dropdown(choices=list(studio.motions(Person.of(request))))

    @in_words
    def keep(film: str | None, as_name: str, request: gr.Request) -> Any:
        if film is None:
            raise InputError("give a driving video first; its motion is what is saved")
        person = Person.of(request)
        check_video(Path(film), studio.limits)
        studio.save_motion(as_name, Path(film), person)
        return gr.Dropdown(choices=list(studio.motions(person)), value=as_name.strip()), ""

    page.blocks.load(refresh, None, saved, **QUIET)
    save.click(keep, [driving, name], [saved, name], **PRIVATE)
    # Making it.

    def show(job: Job, person: Person) -> Sequence[Any]:
        inputs, output = job.input_paths(), job.output_paths()[0]
        film = inputs["driving"][0]
        files = (output, record_path(output), job.folder / SHEET)
        links = [studio.link(path, person) for path in files]
        return [
            gr.Column(visible=True),
            studio.link(inputs["source"][0], person),
            None if film.suffix == MOTION_SUFFIX else studio.link(film, person),
            links[0],
            *links,
            links[2],
        ]

    def values_of(job: Job, person: Person) -> list[Any]:
        inputs = job.input_paths()
        film = inputs["driving"][0]
        motion = film.suffix == MOTION_SUFFIX
        return [
            [studio.link(path, person) for path in inputs["source"]],
            job.options.get("face", 1),
            None if motion else studio.link(film, person),
            film.stem if motion and film.stem in studio.motions(person) else None,
            *(job.options.get(key, component.value) for key, component in options.items()),
        ]

    def after(event: Any) -> Any:
        """The photographs' face and the preview, after other tabs or an example have put them there."""
        return chooser.after(event).then(_with_request(draw), seen, shown, **QUIET)

    given = [source, chooser.wanted, driving, saved, *options.values()]
    page.loaders["reenact"] = Loader("reenact", given, values_of, after)
    page.sources_given = after

    for button, path in zip(tries, examples.portraits(studio.cache / "examples").values(), strict=True):
        after(button.click(_example(studio, path), None, [source, driving, saved], **QUIET))
    panel.follow(page, [result, still, driver, video, *downloads, sheet], show, page.loaders["reenact"])
    together.click(None, None, None, js=_TOGETHER)

    @in_words
    def start(*given: Any, request: gr.Request) -> Any:
        pictures, film, motion_name, chosen, *values = given
        person = Person.of(request)
        wanted = dict(zip(options, values, strict=True)) | {"face": chosen}
        path = _driving(studio, person, film, motion_name)
        job = _submit(studio, person, [Path(one) for one, _ in pictures or ()], path, wanted)
        return panel.shown(job, person)

    make.click(
        _with_request(start), [source, driving, saved, face, *options.values()], panel.written, **PRIVATE
    )

    async def reenact(
        source: list[str],
        driving: str,
        motion: str,
        multiplier: float,
        frame: str,
        region: str,
        eyes: float,
        lips: float,
        smoothing: float,
        start: str,
        calibrate: bool,
        compare: bool,
        max_size: int,
        model: str,
        precision: str,
        seed: int,
        face: int,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio asks for it there
    ) -> list[str]:
        """Makes photographs move like a driving video; the options are those of `headgen reenact`.

        Waits in the studio's queue, and returns the video, its run record and a contact sheet.
        """
        wanted = {
            "motion": motion, "multiplier": multiplier, "frame": frame, "region": region, "eyes": eyes,
            "lips": lips, "smoothing": smoothing, "start": start, "calibrate": calibrate, "compare": compare,
            "max_size": max_size, "model": model, "precision": precision, "seed": seed, "face": face,
        }  # fmt: skip
        person = Person.of(request)
        job = in_words(_submit)(studio, person, [Path(path) for path in source], Path(driving), wanted)
        (output,) = await finished(studio, job, progress)
        return [studio.link(path, person) for path in (output, record_path(output), job.folder / SHEET)]

    api_button.click(
        reenact,
        [api_source, api_driving, *options.values(), api_face],
        api_results,
        api_name="reenact",
        concurrency_limit=None,
    )


def _options() -> dict[str, Any]:
    """The options of the tab by their names on the command line, in the order of the endpoint."""
    made: dict[str, Any] = {}
    with gr.Group():
        made["motion"] = gr.Radio(
            [("Add the driver's changes", "relative"), ("Take the driver's pose", "absolute")],
            value="relative",
            label="Motion",
        )
        made["multiplier"] = gr.Slider(0, 3, 1.0, step=0.05, label="Strength")
        made["frame"] = gr.Radio(
            [("Whole photograph", "full"), ("Only the head", "crop")], value="full", label="Picture"
        )
    with gr.Accordion("More options", open=False):
        made["region"] = gr.Dropdown(
            [
                ("Everything", "all"),
                ("Only the head's pose", "pose"),
                ("Only the expression", "expression"),
                ("Only eyes and brows", "eyes"),
                ("Only lips and jaw", "lips"),
            ],
            value="all",
            label="What moves",
        )
        with gr.Row():
            made["eyes"] = gr.Slider(0, 3, 1.0, step=0.05, label="Eyes and brows")
            made["lips"] = gr.Slider(0, 3, 1.0, step=0.05, label="Lips and jaw")
        made["smoothing"] = gr.Slider(
            0, 3, 1.0, step=0.1, label="Smoothing", info="0: as it was tracked; more takes off more tremor"
        )
        made["start"] = gr.Radio(
            [("First frame with a face", "first"), ("The one most like the photograph", "best")],
            value="first",
            label="The driver's rest",
        )
        made["calibrate"] = gr.Checkbox(
            True, label="Calibrate", info="draws a few moments on trial and corrects what deviates"
        )
        made["compare"] = gr.Checkbox(False, label="Photograph, driver and result in one video")
        made["max_size"] = gr.Slider(256, 2048, 1280, step=64, label="Longest side, pixels")
        with gr.Row():
            made["model"] = gr.Dropdown(reenactors(), value="fsrt-small", label="Model")
            made["precision"] = gr.Dropdown(["auto", "fp32", "bf16", "int8"], value="auto", label="Precision")
        made["seed"] = gr.Number(
            0, label="Seed", precision=0, info="kept in the record; these models draw no random numbers"
        )
    return made


def _driving(studio: Studio, person: Person, film: str | None, motion_name: str | None) -> Path | None:
    """What drives: the saved motion that was chosen, or else the video."""
    if motion_name:
        return studio.motions(person).get(motion_name)
    return Path(film) if film else None


def _submit(
    studio: Studio, person: Person, sources: Sequence[Path], driving: Path | None, options: dict[str, Any]
) -> Job:
    from headgen.faces.driving import open_driver

    if not sources:
        raise InputError("give a photograph of the person who is to move")
    if driving is None:
        raise InputError("give a driving video, or choose a saved motion")
    for path in sources:
        check_picture(path, studio.limits)
    if driving.suffix == MOTION_SUFFIX:
        with open_driver(driving) as driver:
            seconds = float((driver.frames or 0) / driver.fps)
    else:
        seconds = check_video(driving, studio.limits)
    return studio.submit("reenact", person, {"source": sources, "driving": [driving]}, options, seconds)


def _example(studio: Studio, portrait: Path) -> Any:
    def give(request: gr.Request) -> list[Any]:
        person = Person.of(request)
        return [[studio.link(portrait, person)], studio.link(examples.driving(), person), None]

    return give


def _with_request(function: Any) -> Any:
    """A handler of any number of values; Gradio finds `request` by its annotation only before them."""

    def handler(request: gr.Request, *values: Any) -> Any:
        return function(*values, request=request)

    return handler


_TOGETHER = """() => {
  const videos = [...document.querySelectorAll('#reenact-result video')];
  for (const video of videos) { video.pause(); video.currentTime = 0; }
  for (const [k, video] of videos.entries()) { video.muted = k < videos.length - 1; video.play(); }
}"""
