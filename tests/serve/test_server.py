"""The server over a real socket, with a client of our own and with a real browser."""

from __future__ import annotations

import asyncio
import json
import shutil
import struct
import subprocess
from contextlib import asynccontextmanager

import cv2
import numpy as np
import pytest
from tiny_listener import tiny_pipeline

from headgen.errors import InputError
from headgen.listener.engine import ListenOptions
from headgen.media import read_image

aiohttp = pytest.importorskip("aiohttp", reason="the serve extra is not installed")
from aiohttp.test_utils import TestClient, TestServer  # noqa: E402

from headgen import hub  # noqa: E402
from headgen.serve import make_app, serve  # noqa: E402
from headgen.serve.server import EXAMPLE, HEAD, PAGE  # noqa: E402

RATE = 48_000
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """An untrained listener, and the embedded painter."""
    path = tmp_path_factory.mktemp("serve")
    tiny_pipeline().save_pretrained(path / "listener")
    painter = hub.resolve("fsrt-small").folder
    return ListenOptions(path / "listener", painter, "causal", steps=2, whole=False)


@asynccontextmanager
async def visitor(options, **more):
    """A client of a server on a port of its own, which does not mind how slow this machine is."""
    server = TestServer(make_app(options, **{"delay": 600.0, "max_size": 128} | more))
    async with TestClient(server) as client:
        yield client


def voice(seconds, rate=RATE):
    t = np.arange(int(seconds * rate)) / rate
    return (0.2 * np.sin(2 * np.pi * 150 * t) * (1 + np.sin(8 * t))).astype("<f4")


async def until(socket, name):
    """The first text message with that name, and the binary ones before it."""
    pictures = []
    async for message in socket:
        if message.type == aiohttp.WSMsgType.BINARY:
            pictures.append(message.data)
        elif name in (said := json.loads(message.data)):
            return said, pictures
    raise AssertionError(f"closed before {name}")


async def speak(socket, sound, rate=RATE, picture=None):
    for at in range(0, len(sound), rate // 50):
        if picture is not None and at % (rate // 10) == 0:
            await socket.send_bytes(b"V" + struct.pack("<d", at / rate) + picture)
        await socket.send_bytes(b"S" + sound[at : at + rate // 50].tobytes())


def test_a_visitor_is_listened_to_and_gets_pictures_in_order(options):
    async def visit():
        async with visitor(options) as client, client.ws_connect("/live") as socket:
            await socket.send_bytes(b"P" + EXAMPLE.read_bytes())
            await socket.send_json({"start": {"rate": RATE, "sound": True}})
            ready, _ = await until(socket, "ready")
            await speak(socket, voice(0.8), picture=EXAMPLE.read_bytes())
            await socket.send_json({"stop": True})
            return ready["ready"], *await until(socket, "end")

    ready, end, pictures = asyncio.run(visit())
    heads = [HEAD.unpack(data[: HEAD.size]) for data in pictures]
    # The resampler holds a millisecond back, so the last frame is not complete.
    assert [index for index, *_ in heads] == list(range(19)) and end["figures"]["frames"] == 19
    assert all(steps == 2 and every == 1 and behind > 0 for _, behind, steps, every in heads)
    shown = [cv2.imdecode(np.frombuffer(data[HEAD.size :], np.uint8), 1) for data in pictures]
    assert {image.shape for image in shown} == {(ready["height"], ready["width"], 3)}
    assert any((image != shown[0]).any() for image in shown)


def test_what_is_wrong_is_told_and_the_next_visitor_is_served(options):
    async def visit():
        errors = []
        async with visitor(options) as client:
            for first, second in (
                (b"P" + PAGE.read_bytes(), {"start": {"rate": RATE, "sound": True}}),
                (None, {"start": {"rate": "fast"}}),
                (None, ["start"]),
            ):
                async with client.ws_connect("/live") as socket:
                    if first is not None:
                        await socket.send_bytes(first)
                    await socket.send_json(second)
                    errors.append((await until(socket, "error"))[0]["error"])
            async with client.ws_connect("/live") as here, client.ws_connect("/live") as there:
                errors.append((await until(there, "error"))[0]["error"])
                await here.send_json({"stop": True})
            refused = await client.get("/live", headers={"Origin": "http://elsewhere.example"})
            page, example = await client.get("/"), await client.get("/example.jpg")
            return errors, refused.status, await page.text(), example.status

    errors, refused, page, example = asyncio.run(visit())
    assert errors[0].startswith("portrait: ") and "rate" in errors[1] and "JSON" in errors[2]
    assert "somebody else" in errors[3] and refused == 403
    assert "<canvas" in page and example == 200 and read_image(EXAMPLE).shape == (384, 384, 3)


def test_a_visitor_who_leaves_makes_room(options):
    async def visit():
        async with visitor(options) as client:
            async with client.ws_connect("/live") as socket:
                await socket.send_json({"start": {"rate": 16_000, "sound": False}})
                await until(socket, "ready")
                for k in range(9):
                    await socket.send_bytes(b"V" + struct.pack("<d", k / 25) + EXAMPLE.read_bytes())
            for _ in range(100):
                async with client.ws_connect("/live") as socket:
                    await socket.send_json({"start": {"rate": 16_000, "sound": True}})
                    message = await socket.receive_json()
                    if "ready" in message:
                        return True
                await asyncio.sleep(0.1)
        return False

    assert asyncio.run(visit())


def test_options_out_of_range_are_told():
    with pytest.raises(InputError, match="delay"):
        serve(chunk=5, delay=0.5)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_a_browser_shows_the_listener(options, tmp_path):
    """Its made-up microphone beeps, its made-up camera shows a pattern."""

    async def visit():
        async with visitor(options, delay=3.0) as client:
            browser = subprocess.Popen(
                [
                    BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
                    f"--user-data-dir={tmp_path}", "--use-fake-device-for-media-stream",
                    "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required",
                    str(client.make_url("/")),
                ],
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                return await browse(tmp_path)
            finally:
                browser.terminate()
                await asyncio.to_thread(browser.wait)

    async def browse(folder):
        port = folder / "DevToolsActivePort"
        for _ in range(600):
            if port.is_file() and len(port.read_text().split()) == 2:
                break
            await asyncio.sleep(0.1)
        number = port.read_text().split()[0]
        async with aiohttp.ClientSession() as session:
            while not (pages := [p for p in await tabs(session, number) if "127.0.0.1" in p["url"]]):
                await asyncio.sleep(0.1)
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as tools:
                while not await evaluate(tools, "document.readyState == 'complete' && 'frames' in listener"):
                    await asyncio.sleep(0.1)
                await evaluate(tools, "document.getElementById('start').click()")
                for _ in range(600):
                    shown = await evaluate(tools, LOOK)
                    if shown["frames"] >= 5 or shown["error"]:
                        break
                    await asyncio.sleep(0.2)
                await evaluate(tools, "document.getElementById('stop').click()")
                return shown

    async def tabs(session, number):
        async with session.get(f"http://127.0.0.1:{number}/json") as answer:
            return await answer.json()

    async def evaluate(tools, code):
        await tools.send_json(
            {"id": 1, "method": "Runtime.evaluate", "params": {"expression": code, "returnByValue": True}}
        )
        while (answer := await tools.receive_json()).get("id") != 1:
            pass
        return answer["result"]["result"].get("value")

    shown = asyncio.run(asyncio.wait_for(visit(), 180))
    assert not shown["error"] and shown["frames"] >= 5, shown
    assert shown["colours"] > 100 and "after the sound" in shown["readout"]


LOOK = """(() => {
  const canvas = document.getElementById("listener");
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return {frames: listener.frames, error: document.getElementById("error").textContent,
          readout: document.getElementById("readout").textContent, colours: new Set(data).size};
})()"""
