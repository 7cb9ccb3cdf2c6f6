"""Scripts drive the studio as they drive the command line, and get the same bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

pytest.importorskip("gradio", reason="the studio extra is not installed")

from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from headgen_studio.app import start, studio
from headgen_studio.studio import Studio
from media_inputs import write_clip

from headgen import cli
from headgen.errors import InputError
from headgen.media import VideoReader, write_image

FRAMES = 5


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The astronaut, small, who also drives and speaks."""
    from skimage.data import astronaut

    folder = tmp_path_factory.mktemp("files")
    face = np.ascontiguousarray(astronaut()[0:256, 96:352])
    write_image(folder / "face.png", face)
    write_clip(folder / "driver.mp4", FRAMES, size=(256, 256), image=face, mark=False, audio="aac")
    pair = np.full((256, 448, 3), 128, np.uint8)
    pair[:, :256] = face
    pair[32:, 272:] = cv2.resize(face, (176, 224), interpolation=cv2.INTER_AREA)
    write_image(folder / "pair.png", pair)
    (folder / "text.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    heart = Studio(tmp_path_factory.mktemp("workspace"))
    page, url = start(heart, people=[])
    yield heart, url
    page.close(verbose=False)
    heart.close()


@pytest.fixture(scope="module")
def client(served, tmp_path_factory):
    return Client(served[1], verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


def command(words):
    assert cli.main([str(word) for word in words]) == 0


def test_reenact_makes_the_bytes_of_the_command_line(client, files, tmp_path):
    video, record, sheet = client.predict(
        source=[handle_file(files / "face.png")],
        driving=handle_file(files / "driver.mp4"),
        multiplier=1.5,
        calibrate=False,
        seed=3,
        api_name="/reenact",
    )
    out = tmp_path / "out.mp4"
    command(
        ["reenact", "--source", files / "face.png", "--driving", files / "driver.mp4", "--output", out]
        + ["--multiplier", 1.5, "--calibrate", "false", "--seed", 3]
    )
    assert Path(video).read_bytes() == out.read_bytes()
    told, expected = (json.loads(Path(p).read_text()) for p in (record, f"{out}.json"))
    for key in ("options", "seed", "weights", "inputs", "model", "command"):
        assert told[key] == expected[key]
    assert cv2.imread(str(sheet)).shape[1] > 1000


def test_a_saved_motion_and_the_second_face_go_through_the_script(client, files, tmp_path):
    motion = tmp_path / "motion.safetensors"
    command(["save-motion", "--driving", files / "driver.mp4", "--output", motion])
    video, _, _ = client.predict(
        source=[handle_file(files / "pair.png")],
        driving=handle_file(motion),
        face=2,
        calibrate=False,
        api_name="/reenact",
    )
    with VideoReader(video) as reader:
        assert sum(1 for _ in reader) == FRAMES


def test_listen_makes_the_bytes_of_the_command_line(client, files, tmp_path):
    videos, records, _ = client.predict(
        speaker=handle_file(files / "driver.mp4"),
        portrait=handle_file(files / "face.png"),
        text="smiles and nods",
        takes=2,
        steps=2,
        seed=5,
        api_name="/listen",
    )
    out = tmp_path / "out.mp4"
    command(
        ["listen", "--speaker", files / "driver.mp4", "--portrait", files / "face.png", "--output", out]
        + ["--text", "smiles and nods", "--takes", 2, "--steps", 2, "--seed", 5]
    )
    assert [Path(v).read_bytes() for v in videos] == [
        (tmp_path / f"out-{k}.mp4").read_bytes() for k in (1, 2)
    ]
    timeline = json.loads(Path(records[0]).read_text())["notes"]["timeline"]
    assert timeline["seconds"] == FRAMES / 25
    assert timeline["segments"] == [[0.0, FRAMES / 25]]


def test_mistakes_are_told_in_the_words_of_the_command_line(client, files):
    with pytest.raises(AppError, match=r"text\.png"):
        client.predict(
            source=[handle_file(files / "text.png")],
            driving=handle_file(files / "driver.mp4"),
            api_name="/reenact",
        )
    with pytest.raises(AppError, match="out of range"):
        client.predict(
            source=[handle_file(files / "face.png")],
            driving=handle_file(files / "driver.mp4"),
            multiplier=3,
            face=0,
            api_name="/reenact",
        )


def test_endpoints_have_names_parameters_and_descriptions(client):
    info = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert {"/reenact", "/listen"} <= set(info)
    names = [p["parameter_name"] for p in info["/listen"]["parameters"]]
    assert names[:3] == ["speaker", "portrait", "text"]
    optional = {p["parameter_name"] for p in info["/reenact"]["parameters"] if p["parameter_has_default"]}
    assert {"motion", "multiplier", "region", "eyes", "lips", "smoothing", "model", "seed"} <= optional
    assert not [name for name in info if name.startswith("/_")], "what serves the page is not for scripts"


def test_health_tells_of_the_queue_and_browsers_are_told_apart(served):
    answers = [httpx.get(served[1] + "health") for _ in range(2)]
    assert answers[0].json() == {"status": "ok", "running": 0, "waiting": 0}
    cookies = [answer.headers["set-cookie"] for answer in answers]
    assert cookies[0] != cookies[1]
    assert "HttpOnly" in cookies[0]


def test_the_page_asks_for_nothing_from_elsewhere(served):
    page = httpx.get(served[1]).text
    assert "analytics_enabled" not in page or '"analytics_enabled":false' in page.replace(" ", "")
    assert "fonts.googleapis" not in page


def test_a_login_is_asked_for(tmp_path, files):
    heart = Studio(tmp_path / "workspace")
    page, url = start(heart, people=[("ann", "secret")])
    try:
        assert httpx.get(url + "config").status_code == 401
        assert httpx.get(url + "health").status_code == 200
        Client(url, auth=("ann", "secret"), verbose=False)
        with pytest.raises(ValueError, match="login"):
            Client(url, auth=("ann", "wrong"), verbose=False)
    finally:
        page.close(verbose=False)
        heart.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"auth": ["ann"]}, "NAME:PASSWORD"),
        ({"max_seconds": 0}, "max_seconds=0 is out of range"),
        ({"workspace": "file"}, "file"),
    ],
)
def test_options_that_cannot_be_used_are_told(tmp_path, options, words):
    (tmp_path / "file").write_text("")
    shutil.rmtree(tmp_path / "workspace", ignore_errors=True)
    given = {"workspace": tmp_path / options.pop("workspace", "workspace")} | options
    with pytest.raises(InputError, match=words):
        studio(**given)
