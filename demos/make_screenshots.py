"""Makes the pictures of docs/studio.md: starts a studio, drives it in a headless Chromium, and looks at it.

    .venv/bin/python demos/make_screenshots.py

Everybody shown is a rendered head or the astronaut of scikit-image.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import cv2
from headgen_studio import examples
from headgen_studio.app import start
from headgen_studio.studio import Studio
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from headgen.cli import quiet_libraries
from headgen.media import VideoReader, VideoWriter

HERE = Path(__file__).parents[1] / "docs" / "studio"
MOST_BYTES = 200_000
PATIENCE = 300_000  # milliseconds
FRAMES = 50


def main() -> int:
    """Makes all pictures."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        print("no Chromium is installed here", file=sys.stderr)
        return 1
    quiet_libraries()
    HERE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        heart = Studio(Path(folder) / "workspace")
        page, url = start(heart, people=[])
        try:
            with sync_playwright() as driver:
                browser = driver.chromium.launch(
                    executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
                )
                context = browser.new_context(viewport={"width": 1280, "height": 900})
                view = context.new_page()
                view.set_default_timeout(PATIENCE)
                view.goto(f"{url}?__theme=light")
                _shoot(view, Path(folder))
                state = context.storage_state()
                for width, theme, name in ((1280, "dark", "dark"), (390, "light", "narrow")):
                    other = browser.new_context(
                        viewport={"width": width, "height": 844}, color_scheme=theme, storage_state=state
                    )
                    _edited(other.new_page(), f"{url}?__theme={theme}", name)
        finally:
            page.close(verbose=False)
            heart.close()
    return 0


def _shoot(view: Page, folder: Path) -> None:
    portraits = examples.portraits(folder)
    astronaut, rendered = (str(portraits[name]) for name in ("Astronaut", "Rendered head"))
    driving, speaker = _short(examples.driving(), folder), str(examples.speaker())

    _give(view, "reenact-source", astronaut)
    _give(view, "reenact-driving", driving)
    view.locator("#reenact-preview img").wait_for()
    _save(view, "reenact")
    view.locator("#reenact-make").click()
    view.locator("#reenact-result video").last.wait_for()
    view.wait_for_timeout(1500)
    view.locator("#reenact-result").scroll_into_view_if_needed()
    _save(view, "reenact-result")

    _tab(view, "Listen")
    _give(view, "listen-speaker", speaker)
    _give(view, "listen-portrait", rendered)
    view.locator("#listen-text textarea, #listen-text input").first.fill("smiles warmly and nods")
    view.locator("#listen-make").click()
    view.locator("#listen-result video").first.wait_for()
    view.wait_for_timeout(1500)
    view.locator("#listen-result").scroll_into_view_if_needed()
    _save(view, "listen-result")

    _edit(view, astronaut)

    _tab(view, "Batch")
    manifest = folder / "many.csv"
    manifest.write_text(
        "kind,name,source,driving,motion\n"
        f"reenact,astronaut,astronaut.png,{Path(driving).name},relative\n"
        f"reenact,rendered,{Path(rendered).name},{Path(driving).name},absolute\n"
        f"reenact,nobody,nobody.png,{Path(driving).name},relative\n"
    )
    view.locator("#batch-files input[type=file]").first.set_input_files(
        [str(manifest), astronaut, rendered, driving]
    )
    view.locator("#batch-files").get_by_text("many").first.wait_for()
    view.locator("#batch-check").click()
    view.locator("#batch-report").get_by_text("can be made").wait_for()
    view.locator("#batch-start").click()
    view.locator("#batch-table").get_by_text("2 done").wait_for()
    _save(view, "batch")

    _tab(view, "Models")
    view.locator("#models-table table").wait_for()
    _save(view, "models")

    _tab(view, "History")
    view.locator("#history-results img").first.wait_for()
    _save(view, "history")


def _edit(view: Page, portrait: str) -> None:
    _tab(view, "Edit")
    _give(view, "edit-portrait", portrait)
    view.locator("#edited img").wait_for()
    for name, value in (("yaw", 12), ("gaze_x", -22), ("smile", -0.6), ("brows", 0.8)):
        _slide(view, name, value)
    view.evaluate("scrollTo(0, 0)")
    _save(view, "edit")


def _edited(view: Page, url: str, name: str) -> None:
    """The editor in another layout."""
    view.set_default_timeout(PATIENCE)
    view.goto(url)
    _tab(view, "Edit")
    view.get_by_role("button", name="Rendered head").locator("visible=true").click()
    view.locator("#edited img").wait_for()
    _slide(view, "smile", 0.8)
    view.evaluate("scrollTo(0, 0)")
    _save(view, name)


def _tab(view: Page, name: str) -> None:
    view.get_by_role("tab", name=name, exact=True).click()
    view.wait_for_timeout(500)


def _give(view: Page, place: str, path: str) -> None:
    view.locator(f"#{place} input[type=file]").first.set_input_files(path)


def _slide(view: Page, name: str, value: float) -> None:
    """Moves a slider of the editor and waits for its picture."""
    before = view.locator("#edited img").get_attribute("src")
    view.locator(f"#edit-{name} input[type=range]").fill(str(value))
    view.wait_for_function("old => document.querySelector('#edited img')?.src !== old", arg=before)


def _short(video: Path, folder: Path) -> str:
    """The first frames of a video."""
    path = folder / "rendered-head.mp4"
    with VideoReader(video) as reader, VideoWriter(path, reader.info.fps) as writer:
        for frame in reader:
            if frame.index == FRAMES:
                break
            writer.write(cv2.resize(frame.image, (256, 256), interpolation=cv2.INTER_AREA), frame.time)
    return str(path)


def _save(view: Page, name: str) -> None:
    """A picture of what is seen, with as few colours as it takes to be small."""
    view.wait_for_timeout(800)
    path = HERE / f"{name}.png"
    view.screenshot(path=path)
    picture = Image.open(path).convert("RGB")
    for colours in (256, 128, 64, 32):
        picture.quantize(colours).save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            break
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    raise SystemExit(main())
