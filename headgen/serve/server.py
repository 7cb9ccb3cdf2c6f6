"""The server: a page, and a WebSocket on which a speaker comes in and a listener goes out.

One person is listened to at a time, because a listener takes all of the processor. Messages:

    client -> server
      text    {"start": {"rate": 48000, "sound": true}}   after a portrait; rate of the samples that follow
      text    {"stop": true}                              nothing more will come
      binary  "P" + a picture file                        the portrait; none: the example
      binary  "S" + float32 samples, little endian        sound, without gaps
      binary  "V" + float64 seconds + JPEG                a picture of the speaker and when it begins
    server -> client
      text    {"ready": {"fps", "delay", "width", "height"}}   loaded; speak now
      text    {"figures": {...}}                               once a second
      text    {"error": "..."}, {"end": true}                  the last message
      binary  uint32 index, float32 behind, uint8 steps, uint8 every + JPEG   a new picture of the listener

Seconds are those of the speaker's sound, and count from its first sample. A frame that was not drawn is not
sent. Frame `index` is to be shown (index + 1) / fps + delay seconds after the first sample.
"""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import struct
import tempfile
from collections.abc import Coroutine, Generator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import cv2
import numpy as np
from aiohttp import WSMsgType, web
from numpy.typing import NDArray

from headgen.errors import HeadgenError, InputError
from headgen.faces.portrait import Portrait, read_portrait
from headgen.faces.tracker import MediaPipeTracker
from headgen.listener.engine import CHUNK, ListenEngine, ListenOptions, Precision
from headgen.listener.live import DELAY, LiveFigures, LiveFrame
from headgen.listener.speaker import Piece
from headgen.listener.track import FPS, SAMPLE_RATE
from headgen.listener_request import LIVE_LISTENER, FrameMode
from headgen.stream import check_delay, live_frames, live_options

__all__ = ["make_app", "serve"]

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
PAGE, EXAMPLE = HERE / "page.html", HERE / "example.jpg"
LARGEST_MESSAGE = 32 << 20
WAITING = 500
"""Messages of a speaker that may wait."""
RATES = (8_000, 192_000)
QUALITY = 85
"""Of the JPEGs."""
HEAD = struct.Struct("<IfBB")
"""Before each picture: index, seconds behind, steps, every."""


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    model: str = LIVE_LISTENER,
    frame: FrameMode = "full",
    steps: int | None = None,
    chunk: int = CHUNK,
    delay: float = DELAY,
    max_size: int = 512,
    precision: Precision = "auto",
    device: str = "auto",
    seed: int = 0,
) -> None:
    """Serves a page on which a portrait listens to whoever speaks into the browser's microphone.

    Runs until it is stopped. Sound and pictures go to this machine only, and nothing is stored. Browsers give
    camera and microphone to pages of this machine (localhost) and to HTTPS only: for other machines put a
    proxy with a certificate before it.

    Args:
        host: address to listen on; 0.0.0.0 is all of this machine's.
        port: 0 takes a free one.
        model: name of the model, see `headgen weights list`.
        frame: `full` shows the whole photograph, `crop` the square around the head.
        steps: denoising steps where there is time for them; as many as the model was made for by default.
        chunk: latent frames of 0.16 s that are made at a time, 1 to 12.
        delay: seconds behind the speaker at which pictures are shown.
        max_size: longest side of the pictures in pixels.
        precision: arithmetic of the network that draws: `auto`, `fp32` or `bf16`.
        device: `auto`, `cpu`, `cuda`, ...
        seed: another one gives another listener.

    Raises:
        InputError: options out of range, or an address that cannot be listened on.
        WeightsError: an unknown model, one that is no listener, or weights that are missing or damaged.
    """
    check_delay(chunk, delay)
    options, _ = live_options(
        model, frame=frame, steps=steps, chunk=chunk, precision=precision, device=device
    )
    app = make_app(options, delay=delay, max_size=max_size, seed=seed)
    try:
        web.run_app(app, host=host, port=port, print=logger.warning if port else None, access_log=None)
    except OSError as error:
        raise InputError(f"{host}:{port}: cannot be listened on ({error}); give another --port") from error


def make_app(
    options: ListenOptions, *, delay: float = DELAY, max_size: int = 512, seed: int = 0
) -> web.Application:
    """The server as an application of aiohttp.

    Args:
        options: of the listener.
        delay: see `serve`.
        max_size: see `serve`.
        seed: see `serve`.
    """
    app = web.Application()
    house = _House(ListenEngine(options), delay, max_size, seed)
    app.router.add_get("/", _page)
    app.router.add_get("/example.jpg", _example)
    app.router.add_get("/live", house.live)
    return app


async def _page(request: web.Request) -> web.FileResponse:
    return web.FileResponse(PAGE, headers={"Cache-Control": "no-cache"})


async def _example(request: web.Request) -> web.FileResponse:
    return web.FileResponse(EXAMPLE)


class _House:
    """Lets one visitor in at a time."""

    def __init__(self, engine: ListenEngine, delay: float, max_size: int, seed: int) -> None:
        self.engine, self.delay, self.max_size, self.seed = engine, delay, max_size, seed
        self._door = asyncio.Lock()

    async def live(self, request: web.Request) -> web.WebSocketResponse:
        """A visit, from the handshake to the end."""
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text="pages of other servers may not listen here")
        socket = web.WebSocketResponse(max_msg_size=LARGEST_MESSAGE, heartbeat=20)
        await socket.prepare(request)
        if self._door.locked():
            await _tell(socket, error="somebody else is being listened to; try again later")
            await socket.close()
            return socket
        async with self._door:
            try:
                await _Visit(self, socket).run()
            except HeadgenError as error:
                await _tell(socket, error=str(error))
            except ConnectionResetError:
                logger.info("a visitor left")
        await socket.close()
        return socket


class _Visit:
    """One speaker and one listener."""

    def __init__(self, house: _House, socket: web.WebSocketResponse) -> None:
        self.house, self.socket = house, socket
        self.loop = asyncio.get_running_loop()
        self.figures = LiveFigures()
        self._pieces: queue.Queue[Piece | None] = queue.Queue(WAITING)
        self._pictures: list[tuple[Fraction, NDArray[np.uint8]]] = []
        self._resampler: av.AudioResampler | None = None
        self._rate = SAMPLE_RATE
        self._heard = 0
        self._hears = True

    async def run(self) -> None:
        """Receives what comes and sends what is made, until either side ends."""
        portrait = await self._greet()
        if portrait is None:
            return
        person = await asyncio.to_thread(_portrait, portrait, self.house.max_size)
        listener = asyncio.ensure_future(asyncio.to_thread(self._listen, person))
        speaker = asyncio.ensure_future(self._hear())
        try:
            await asyncio.wait({listener, speaker}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            speaker.cancel()
            if self.socket.closed or listener.done():
                self._clear()
            await asyncio.to_thread(self._pieces.put, None)
            await listener
        if not speaker.cancelled():
            speaker.result()
        await _tell(self.socket, figures=self._told(), end=True)

    async def _greet(self) -> bytes | None:
        """The portrait, as soon as the speaker is to begin; None if they leave."""
        portrait = EXAMPLE.read_bytes()
        async for message in self.socket:
            if message.type == WSMsgType.BINARY and message.data[:1] == b"P":
                portrait = message.data[1:]
            elif message.type == WSMsgType.TEXT:
                said = _parsed(message.data)
                if "start" in said:
                    self._start(said["start"])
                    return portrait
                if "stop" in said:
                    return None
        return None

    async def _hear(self) -> None:
        """Takes in the speaker until they stop or leave."""
        async for message in self.socket:
            if message.type == WSMsgType.BINARY:
                self._take(message.data[:1], message.data[1:])
            elif message.type == WSMsgType.TEXT and "stop" in _parsed(message.data):
                return

    def _start(self, said: Any) -> None:
        rate, sound = (said.get("rate"), said.get("sound")) if isinstance(said, dict) else (None, None)
        if not isinstance(rate, int) or not RATES[0] <= rate <= RATES[1]:
            raise InputError(f"start: a rate of {rate!r} cannot be used; give {RATES[0]} to {RATES[1]}")
        self._rate, self._hears = rate, sound is not False
        if rate != SAMPLE_RATE:
            self._resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)

    def _take(self, kind: bytes, data: bytes) -> None:
        """Sound or a picture."""
        if kind == b"S":
            samples = self._resampled(np.frombuffer(data[: len(data) // 4 * 4], "<f4"))
            self._heard += len(samples)
            self._pass(Piece(Fraction(self._heard, SAMPLE_RATE), samples, tuple(self._pictures)))
            self._pictures = []
        elif kind == b"V" and len(data) > 8:
            seconds = struct.unpack("<d", data[:8])[0]
            image = cv2.imdecode(np.frombuffer(data[8:], np.uint8), cv2.IMREAD_COLOR)
            if image is None or not 0 <= seconds < 1e6:
                raise InputError("a picture of the speaker cannot be read; send seconds and a JPEG")
            begins = Fraction(seconds).limit_denominator(1000)
            self._pictures.append((begins, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)))
            del self._pictures[:-FPS]  # what no sound follows is not kept for ever
            if not self._hears:
                self._pass(Piece(begins + Fraction(1, FPS), pictures=tuple(self._pictures)))
                self._pictures = []
        else:
            raise InputError(f"a message of the kind {kind!r} is not understood; known are P, S and V")

    def _resampled(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        samples = np.clip(np.nan_to_num(samples), -1, 1).astype(np.float32)
        if self._resampler is None or not len(samples):
            return samples
        frame = av.AudioFrame.from_ndarray(samples[None], "flt", "mono")
        frame.sample_rate = self._rate
        blocks = [block.to_ndarray()[0] for block in self._resampler.resample(frame)]
        return np.concatenate(blocks) if blocks else samples[:0]

    def _pass(self, piece: Piece) -> None:
        try:
            self._pieces.put_nowait(piece)
        except queue.Full:
            raise InputError("this machine is too slow for all that comes; send no pictures") from None

    def _clear(self) -> None:
        """What waits is for nobody."""
        while not self._pieces.empty():
            self._pieces.get_nowait()

    def _speaker(self) -> Generator[Piece, None, None]:
        while (piece := self._pieces.get()) is not None:
            yield piece

    def _listen(self, person: Portrait) -> None:
        """Listens; in a thread of its own. A slow connection counts as a slow machine."""
        house = self.house
        frames = live_frames(
            house.engine, person, self._speaker(), seed=house.seed, delay=house.delay, ready=self._ready
        )
        with closing(frames):
            for frame in frames:
                self.figures.add(frame)
                if frame.drawn:
                    self._send(self.socket.send_bytes(_packed(frame)))
                if frame.index % FPS == FPS - 1:
                    self._send(_tell(self.socket, figures=self._told()))

    def _ready(self, image: NDArray[np.uint8]) -> None:
        """All is loaded: the face at rest is shown, and the speaker may begin."""
        height, width = image.shape[:2]
        known = {"fps": FPS, "delay": self.house.delay, "width": width, "height": height}
        self._send(_tell(self.socket, ready=known))

    def _send(self, message: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(message, self.loop).result()

    def _told(self) -> dict[str, Any]:
        figures = self.figures
        half, most = (
            None if np.isnan(seconds) else round(seconds, 3)
            for seconds in (figures.behind(0.5), figures.behind(0.95))
        )
        return {"frames": figures.frames, "rate": round(figures.rate, 2), "half": half, "most": most}


def _portrait(data: bytes, max_size: int) -> Portrait:
    """Reads an uploaded portrait."""
    with tempfile.TemporaryDirectory() as folder, MediaPipeTracker() as tracker:
        path = Path(folder) / "portrait"
        path.write_bytes(data)
        try:
            return read_portrait(path, tracker, max_size)
        except InputError as error:
            raise InputError(str(error).replace(str(path), "portrait")) from error


def _packed(frame: LiveFrame) -> bytes:
    """A picture as it is sent."""
    _, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    return HEAD.pack(frame.index, frame.behind, frame.level.steps, frame.level.every) + jpeg.tobytes()


def _parsed(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise InputError("a message that is no JSON object is not understood")
    return said


async def _tell(socket: web.WebSocketResponse, **said: Any) -> None:
    if not socket.closed:
        await socket.send_json(said)
