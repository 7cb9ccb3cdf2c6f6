"""The studio as people meet it: in a real browser, with real uploads, from the first click to the result."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from headgen_studio.app import start
from headgen_studio.studio import Studio
from headgen_studio.uploads import Limits

from headgen.media import VideoReader, VideoWriter
from headgen.media.image import write_image

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
PATIENCE = 120_000  # milliseconds: the first job waits until a process has loaded the models
FRAMES = 5

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """The astronaut, a few and many frames of a rendered head, and half a second of its voice."""
    from skimage.data import astronaut

    folder = tmp_path_factory.mktemp("uploads")
    face = cv2.resize(np.ascontiguousarray(astronaut()[0:400, 60:420]), (180, 200))
    write_image(folder / "face.png", face)
    write_image(folder / "grey.png", np.full((200, 180, 3), 128, np.uint8))
    (folder / "not-a-picture.png").write_text("<script>alert(1)</script>")
    with VideoReader(ROOT / "demos" / "driving.mp4") as reader:
        frames = [cv2.resize(f.image, (160, 160)) for f in reader if f.index < 60]
    for name, count in (("short.mp4", FRAMES), ("long.mp4", 600)):
        with VideoWriter(folder / name, 25) as writer:
            for k in range(count):
                writer.write(frames[k % len(frames)])
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[Studio, str]]:
    heart = Studio(tmp_path_factory.mktemp("studio") / "workspace", Limits(megabytes=20))
    page, url = start(heart, people=[])
    heart.warm()
    yield heart, url
    page.close(verbose=False)
    heart.close()


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, served):
    """Opens the studio as somebody new: ``visit(width=..., theme=...)``."""
    contexts = []

    def opened(width: int = 1280, height: int = 900, theme: str = "light"):
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("dialog", lambda dialog: pytest.fail(f"a page's script ran: {dialog.message}"))
        page.goto(f"{served[1]}?__theme={theme}")
        page.get_by_role("tab", name="Reenact").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()


def tab(page, name: str):
    page.get_by_role("tab", name=name, exact=True).click()
    return page.locator(".tabitem:visible")


def give(page, place: str, *paths: Path) -> None:
    page.locator(f"#{place} input[type=file]").first.set_input_files([str(path) for path in paths])


def reenact(page, files: Path, driving: str) -> None:
    give(page, "reenact-source", files / "face.png")
    give(page, "reenact-driving", files / driving)
    page.locator("#reenact-driving video").wait_for(state="attached")
    page.locator("#reenact-make").click()


def fetched(page, address: str) -> bytes:
    answer = page.request.get(address)
    assert answer.ok, answer.status
    return answer.body()


def test_a_photograph_moves(visit, files, tmp_path):
    page = visit()
    reenact(page, files, "short.mp4")
    video = page.locator("#reenact-result video").last
    video.wait_for()
    (tmp_path / "made.mp4").write_bytes(fetched(page, video.get_attribute("src")))
    with VideoReader(tmp_path / "made.mp4") as reader:
        assert sum(1 for _ in reader) == FRAMES
    with page.expect_download() as download:
        page.get_by_role("button", name="Run record").or_(
            page.get_by_role("link", name="Run record")
        ).first.click()
    assert download.value.suggested_filename.endswith(".json")
    # and it is kept
    tab(page, "History").locator("#history-results img, #history-results button").first.wait_for()


def test_a_portrait_listens(visit, files):
    page = visit()
    tab(page, "Listen")
    give(page, "listen-speaker", files / "short.mp4")
    give(page, "listen-portrait", files / "face.png")
    page.locator("#listen-speaker video").wait_for(state="attached")
    page.locator("#listen-make").click()
    page.locator("#listen-result video").first.wait_for()


def test_a_slider_shows_its_picture_and_a_picture_is_saved_and_used(visit, files, tmp_path):
    page = visit()
    tab(page, "Edit")
    give(page, "edit-portrait", files / "face.png")
    picture = page.locator("#edited img")
    picture.wait_for()
    seen = [picture.get_attribute("src")]
    for name, value in (("yaw", "12"), ("smile", "0.8"), ("gaze_x", "-20")):
        page.locator(f"#edit-{name} input[type=range]").fill(value)
        page.wait_for_function(
            "old => document.querySelector('#edited img').src !== old", arg=seen[-1], timeout=PATIENCE
        )
        seen.append(picture.get_attribute("src"))
    assert len(set(seen)) == 4
    page.locator("#edit-save").click()
    link = page.locator("#edit-picture a").first
    link.wait_for()
    saved = tmp_path / "saved.png"
    saved.write_bytes(fetched(page, link.get_attribute("href")))
    assert cv2.imread(str(saved)).shape == (200, 180, 3) and b"trainedAlgorithmicMedia" in saved.read_bytes()
    page.locator("#edit-reset").click()
    page.wait_for_function("first => document.querySelector('#edited img').src === first", arg=seen[0])
    page.locator("#edit-to-reenact").click()
    page.locator("#reenact-source img").first.wait_for()
    assert page.get_by_role("tab", name="Reenact").get_attribute("aria-selected") == "true"


def test_a_batch_tells_what_is_wrong_and_makes_the_rest(visit, files, tmp_path):
    manifest = tmp_path / "many.csv"
    manifest.write_text(
        "kind,name,source,driving,calibrate\n"
        "reenact,good,face.png,short.mp4,false\n"
        "reenact,<img src=x onerror=alert(1)>,face.png,/etc/passwd,false\n"
    )
    page = visit()
    tab(page, "Batch")
    give(page, "batch-files", manifest, files / "face.png", files / "short.mp4")
    page.locator("#batch-files").get_by_text("short").first.wait_for()
    page.locator("#batch-check").click()
    report = page.locator("#batch-report")
    report.get_by_text("1 videos").wait_for()
    assert "row 3" in report.inner_text() and "passwd: no such file" in report.inner_text()
    page.locator("#batch-start").click()
    table = page.locator("#batch-table")
    table.locator("a", has_text="good.mp4").wait_for()
    assert table.locator("img").count() == 1 and "1 done, 1 failed" in table.inner_text()
    page.locator("#batch-resume").click()  # nothing is left to do
    page.get_by_text("Done in").first.wait_for()


def test_models_are_told_as_the_doctor_does(visit, served):
    page = visit()
    tab(page, "Models")
    table = page.locator("#models-table")
    table.get_by_text("fsrt-small", exact=True).wait_for()
    assert "ready" in table.inner_text() and "Apache-2.0" in table.inner_text()
    from headgen.doctor import doctor

    report = doctor()
    for name in report.ready:
        assert name in page.locator("#models-summary").inner_text()
    page.locator("#models-verify").click()
    page.locator("#models-told").get_by_text("fsrt-small").wait_for()


def test_a_job_outlives_its_page_and_can_be_cancelled_while_others_wait(visit, files, served):
    heart, _ = served
    first, second = visit(), visit()
    reenact(first, files, "long.mp4")
    first.locator(".bar").first.wait_for()
    reenact(second, files, "short.mp4")
    second.get_by_text("Waiting: one job comes before this one").wait_for()
    first.reload()
    first.locator(".bar").first.wait_for()  # found again
    assert second.locator(".bar").count() == 0  # everybody sees their own
    before = heart.jobs.worker_pid
    first.locator(".cancel:visible").click()
    first.get_by_text("Cancelled").wait_for()
    second.locator("#reenact-result video").last.wait_for()
    assert before is not None and heart.jobs.busy == (0, 0)
    assert not [job for job in heart.jobs.jobs() if job.state != "done"]
    left = [path for path in heart.history.folder.rglob("*") if path.name.endswith(".part")]
    assert not left


@pytest.mark.parametrize(
    ("name", "told"), [("not-a-picture.png", "is not a picture"), ("grey.png", "no face was found")]
)
def test_a_bad_file_is_answered_in_words(visit, files, name, told):
    page = visit()
    tab(page, "Edit")
    give(page, "edit-portrait", files / name)
    page.get_by_text(told).first.wait_for()
    assert str(files) not in page.inner_text("body") and "Traceback" not in page.inner_text("body")


def test_a_file_called_like_a_program_stays_text(visit, files, tmp_path):
    name = "<img src=x onerror=alert(1)>.png"
    shutil.copyfile(files / "grey.png", tmp_path / name)
    page = visit()
    tab(page, "Edit")
    give(page, "edit-portrait", tmp_path / name)
    page.get_by_text("no face was found").first.wait_for()
    assert page.locator("img[src=x]").count() == 0  # and no dialog: see `visit`


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_tab_fits_and_has_the_light_that_is_asked_for(visit, width, theme):
    page = visit(width=width, theme=theme)
    for name in ("Reenact", "Listen", "Edit", "Batch", "Models", "History"):
        button = page.get_by_role("tab", name=name, exact=True)
        if not button.is_visible():  # narrow pages keep the last tabs in a menu
            page.locator(".overflow-menu > button").click()
            button = page.get_by_role("button", name=name, exact=True).or_(button).first
        button.click()
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        light = np.mean([int(v) for v in back.removeprefix("rgb(").removesuffix(")").split(",")[:3]])
        assert (light < 80) == (theme == "dark"), back


def test_the_main_path_is_reachable_by_keyboard(visit):
    page = visit()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.closest('[id]')?.id"))
    assert "reenact-make" in reached
