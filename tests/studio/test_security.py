"""Files that mean harm are refused in words, and nothing is served that should not be."""

from __future__ import annotations

import json
import struct
import time
import zlib
from pathlib import Path

import httpx
import pytest
from headgen_studio import editing, live
from headgen_studio.app import start
from headgen_studio.studio import Studio
from headgen_studio.uploads import Limits, check_picture, check_recording, check_video
from media_inputs import write_clip

from headgen.errors import InputError

LIMITS = Limits(megabytes=1, seconds=2, megapixels=1)


def png(path: Path, width: int, height: int) -> Path:
    """A grey PNG of any size that takes next to nothing on the disk, written without unpacking it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + b"\0" * ((width + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return path


# What is looked at before any work


@pytest.mark.parametrize("side", [2_000, 20_000])
def test_a_picture_that_unpacks_to_too_much_is_never_unpacked(tmp_path, side):
    bomb = png(tmp_path / "bomb.png", side, side)
    assert bomb.stat().st_size < 100_000
    begun = time.process_time()
    with pytest.raises(InputError, match=r"^bomb\.png: has .*pixels; at most 1 million"):
        check_picture(bomb, LIMITS)
    assert time.process_time() - begun < 5  # unpacking the larger one takes gigabytes


def test_a_picture_within_the_limits_is_taken(tmp_path):
    check_picture(png(tmp_path / "small.png", 900, 900), LIMITS)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("page.png", b"<html><script>alert(1)</script></html>"),
        ("program.jpg", b"\x7fELF" + b"\0" * 60),
        ("script.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) (r) file\n"),
        ("drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"),
        (
            "pickle.png",
            b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93.",
        ),
    ],
)
def test_other_kinds_of_files_are_no_pictures_whatever_they_are_called(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=rf"^{name}: is not a picture of a kind that is taken"):
        check_picture(tmp_path / name, LIMITS)


@pytest.mark.parametrize("check", [check_video, check_recording])
@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile clip.mp4\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    ],
    ids=["playlist", "list of files", "session on the network"],
)
def test_a_video_that_leads_to_other_files_is_refused(tmp_path, check, text):
    write_clip(tmp_path / "clip.mp4", 5)
    for ending in ("mp4", "ts"):
        path = tmp_path / f"list.{ending}"
        path.write_text(text)
        with pytest.raises(InputError, match=rf"^list\.{ending}: is not a video or recording"):
            check(path, LIMITS)


def test_a_header_that_lies_about_the_length_is_not_believed(tmp_path):
    path = write_clip(tmp_path / "long.mp4", 75)  # 3 s
    data = bytearray(path.read_bytes())
    for kind, offset in ((b"mvhd", 4 + 4 + 8 + 4), (b"tkhd", 4 + 4 + 8 + 8), (b"mdhd", 4 + 4 + 8 + 4)):
        at = data.index(kind) + offset
        data[at : at + 4] = struct.pack(">I", 1)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"^long\.mp4: lasts longer than 2 s; cut out a part"):
        check_video(path, LIMITS)


def test_a_header_that_is_forged_is_told_in_words(tmp_path):
    whole = write_clip(tmp_path / "whole.mp4", 5).read_bytes()
    forged = bytearray(whole)
    at = forged.index(b"stsz") + 4 + 4 + 4
    forged[at : at + 4] = struct.pack(">I", 0xFFFFFFFF)  # so many samples
    cut = whole[: len(whole) // 3]
    for name, data in {"forged.mp4": bytes(forged), "cut.mp4": cut, "head.mp4": whole[:32]}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=rf"^{name}: "):
            check_video(tmp_path / name, LIMITS)


def test_limits_are_told_with_what_was_found(tmp_path):
    (tmp_path / "big.mp4").write_bytes(b"0" * 1_500_000)
    with pytest.raises(InputError, match=r"^big\.mp4: has 2 MB; at most 1 MB are taken"):
        check_video(tmp_path / "big.mp4", LIMITS)
    wide = write_clip(tmp_path / "wide.mp4", 2, size=(1280, 800))
    with pytest.raises(InputError, match=r"^wide\.mp4: has 1280 x 800 pixels; at most 1 million"):
        check_video(wide, LIMITS)
    assert check_video(write_clip(tmp_path / "good.mp4", 25), LIMITS) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("playlist", [False, True])
def test_previews_look_at_what_they_are_given_as_well(tmp_path, playlist):
    if playlist:
        source, driving = png(tmp_path / "small.png", 900, 900), tmp_path / "list.mp4"
        driving.write_text("#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")
        told = r"^list\.mp4: is not a video or recording"
    else:
        source = driving = png(tmp_path / "bomb.png", 2_000, 2_000)
        told = r"^bomb\.png: has 2000 x 2000 pixels; at most 1 million"
        with pytest.raises(InputError, match=told):
            editing.preview(source, 1, {}, LIMITS)
    with pytest.raises(InputError, match=told):
        live.preview((source,), driving, 0.5, "fsrt-small", 1, 640, "first", "full", {}, LIMITS)


# What the server gives and takes


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The studio, its address and its workspace."""
    workspace = tmp_path_factory.mktemp("secure") / "workspace"
    heart = Studio(workspace, Limits(megabytes=1, seconds=5, megapixels=2))
    page, url = start(heart, people=[])
    yield heart, url.rstrip("/"), workspace
    page.close(verbose=False)
    heart.close()


def upload(client: httpx.Client, url: str, name: str, data: bytes) -> str:
    answer = client.post(f"{url}/gradio_api/upload", files={"files": (name, data)})
    answer.raise_for_status()
    return answer.json()[0]


def called(client: httpx.Client, url: str, endpoint: str, values: list[object]) -> tuple[str, object]:
    """The last event of a call of the API, and its data."""
    begun = client.post(f"{url}/gradio_api/call/{endpoint}", json={"data": values})
    if begun.status_code != 200:
        return "refused", begun.text
    event, data = "", ""
    with client.stream(
        "GET", f"{url}/gradio_api/call/{endpoint}/{begun.json()['event_id']}", timeout=120
    ) as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data = line.removeprefix("data: ")
    return event, json.loads(data or "null")


def edit(client: httpx.Client, url: str, path: str) -> tuple[str, object]:
    """Asks to edit the picture at a path of the server."""
    return called(
        client, url, "edit_portrait",
        [{"path": path, "meta": {"_type": "gradio.FileData"}}, *([0.0] * 9), 1, "png"],
    )  # fmt: skip


def test_names_of_uploads_cannot_lead_out_of_their_folder(served, tmp_path):
    heart, url, workspace = served
    with httpx.Client() as client:
        for name in ("../../../escaped.png", "/etc/escaped.png", "..\\escaped.png", "a/../../escaped.png"):
            kept = Path(upload(client, url, name, b"x")).resolve()
            assert kept.is_relative_to(heart.cache)
    assert not list(workspace.parent.glob("escaped*")) and not Path("/etc/escaped.png").exists()


def test_only_uploads_and_results_are_served(served):
    heart, url, workspace = served
    secret = workspace / "jobs" / "secret.txt"
    secret.write_text("what nobody may read")
    inside = f"{heart.cache}/../jobs/secret.txt"
    with httpx.Client() as client:
        for path in ("/etc/passwd", str(secret), inside, inside.replace("..", "%2e%2e"), "../../etc/passwd"):
            for place in ("gradio_api/file=", "file=", "gradio_api/file/"):
                answer = client.get(f"{url}/{place}{path}")
                assert answer.status_code in (403, 404, 405), (place, path)
                assert "nobody may read" not in answer.text and "root:" not in answer.text
        assert client.get(f"{url}/gradio_api/file={heart.cache}").status_code in (403, 404)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "{workspace}/jobs/secret.txt", "{cache}/../jobs/secret.txt", "http://127.0.0.1:1/x.png"],
)
def test_a_script_cannot_have_the_servers_own_files_worked_on(served, path):
    heart, url, workspace = served
    (workspace / "jobs" / "secret.txt").write_text("secret")
    with httpx.Client() as client:
        event, data = edit(client, url, path.format(workspace=workspace, cache=heart.cache))
    assert event in ("error", "refused")
    assert "root:" not in json.dumps(data)
    assert not heart.jobs.jobs()


def test_an_upload_is_found_only_by_who_knows_its_name(served):
    _, url, _ = served
    with httpx.Client() as mine, httpx.Client() as other:
        path = upload(mine, url, "mine.txt", b"what only I know")
        assert mine.get(f"{url}/gradio_api/file={path}").text == "what only I know"
        folder = Path(path).parent
        guess = str(folder.with_name("0" * len(folder.name)) / "mine.txt")
        assert other.get(f"{url}/gradio_api/file={guess}").status_code in (403, 404)
        assert other.get(f"{url}/gradio_api/file={folder}").status_code in (403, 404)
        assert len(folder.name) >= 32  # cannot be tried out


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "program.js"])
def test_uploads_are_handed_out_but_never_shown_as_pages(served, name):
    _, url, _ = served
    with httpx.Client() as client:
        path = upload(client, url, name, b"<script>alert(1)</script>")
        answer = client.get(f"{url}/gradio_api/file={path}")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "html" not in answer.headers["content-type"] and "javascript" not in answer.headers["content-type"]


def test_a_huge_upload_is_stopped_on_its_way(served):
    heart, url, _ = served
    with httpx.Client() as client:
        answer = client.post(
            f"{url}/gradio_api/upload", files={"files": ("huge.mp4", b"0" * 3_000_000)}, timeout=60
        )
    assert answer.status_code == 413 and "maximum allowed size" in answer.text
    assert not [path for path in heart.cache.rglob("*") if path.is_file() and path.stat().st_size > 1_100_000]


def test_a_bomb_is_refused_in_words_through_the_script_way_in(served, tmp_path):
    _, url, _ = served
    bomb = png(tmp_path / "bomb.png", 20_000, 20_000)
    with httpx.Client() as client:
        event, data = edit(client, url, upload(client, url, "bomb.png", bomb.read_bytes()))
    assert event == "error" and "bomb.png: has too many pixels" in json.dumps(data)


def test_html_in_a_name_comes_back_as_text(served):
    heart, url, _ = served
    with httpx.Client() as client:
        path = upload(client, url, "<img src=x onerror=alert(1)>.png", b"no picture")
        assert "<" not in path and ">" not in path
        event, data = edit(client, url, path)
    assert event == "error" and "onerror=alert(1).png: is not a picture" in json.dumps(data)
    assert "<" not in json.dumps(data) and str(heart.workspace) not in json.dumps(data)
