"""``headgen studio``: the page and its server."""

from __future__ import annotations

import secrets
import threading
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headgen.errors import InputError

if TYPE_CHECKING:
    import gradio as gr

    from headgen_studio.studio import Studio

__all__ = ["build", "start", "studio"]

TABS = ("reenact_tab", "listen_tab", "editor_tab", "batch_tab", "models_tab", "history_tab")
"""Modules of the tabs, in order; each has a function ``build(studio, page)``, and may have a ``CSS``."""

STARTS = 4
"""Times that the page is opened, on a machine that is too busy for it to answer in time."""


def studio(
    *,
    port: int = 7860,
    workspace: Path = Path("headgen-studio"),
    host: str = "127.0.0.1",
    auth: list[str] | None = None,
    max_upload: int = 200,
    max_seconds: int = 600,
    max_megapixels: int = 50,
    keep: float = 10.0,
    queue: int = 100,
    browser: bool = False,
) -> None:
    """Opens the studio, a page in the browser, until Ctrl-C.

    Args:
        port: of the page.
        workspace: folder of the results; is made if it does not exist.
        host: address that it listens on; another one than this machine's own opens it to the network.
        auth: `NAME:PASSWORD` of somebody who may come in; without any, whoever reaches the page may.
        max_upload: megabytes of an uploaded file.
        max_seconds: of a video or a recording.
        max_megapixels: of a picture.
        keep: gigabytes that results may take; beyond, the oldest are deleted.
        queue: jobs that may wait.
        browser: open the page in the browser.

    Raises:
        InputError: an option or a port that cannot be used, or a workspace that cannot be written.
    """
    from rich.console import Console

    from headgen_studio.studio import Studio
    from headgen_studio.uploads import Limits

    for name, number in (
        ("max_upload", max_upload), ("max_seconds", max_seconds), ("max_megapixels", max_megapixels),
        ("keep", keep), ("queue", queue),
    ):  # fmt: skip
        if number <= 0:
            raise InputError(f"{name}={number} is out of range; give more than 0")
    people = [_person(text) for text in auth or ()]
    limits = Limits(max_upload, max_seconds, max_megapixels)
    heart = Studio(workspace, limits, int(keep * 1e9), queue)
    try:
        page, url = start(heart, host=host, port=port, people=people, browser=browser)
        Console().print(f"The studio is open at {url}   (results in {heart.workspace}; Ctrl-C ends it)")
        try:
            threading.Thread(target=heart.warm, daemon=True).start()
            threading.Event().wait()
        finally:
            page.close(verbose=False)
    finally:
        heart.close()


def start(
    heart: Studio,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    people: list[tuple[str, str]],
    browser: bool = False,
) -> tuple[gr.Blocks, str]:
    """Serves the page, and returns at once.

    Args:
        heart: the studio behind it.
        host: address that it listens on.
        port: 0 takes one that is free.
        people: names and passwords of those who may come in; none: everybody may.
        browser: open the page in the browser.

    Returns:
        The page, to be closed, and its address.

    Raises:
        InputError: the port is taken.
    """
    from starlette.middleware import Middleware
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from headgen_studio import theme

    page = build(heart)
    page.queue(default_concurrency_limit=8)
    for left in reversed(range(STARTS)):
        try:
            _, url, _ = page.launch(
                server_name=host,
                server_port=port or _free_port(host),
                inbrowser=browser,
                share=False,
                auth=people or None,
                max_file_size=f"{heart.limits.megabytes}mb",
                app_kwargs={
                    "routes": [Route("/health", lambda _: JSONResponse(heart.health()))],
                    "middleware": [Middleware(_TellBrowsersApart)],
                },
                theme=theme.theme(),
                css="".join([theme.CSS, *(getattr(tab, "CSS", "") for tab in _tabs())]),
                head=theme.HEAD,
                footer_links=["api"],
                run_history=False,
                ssr_mode=False,
                show_error=True,
                quiet=True,
                prevent_thread_lock=True,
            )
            break
        except OSError as error:
            raise InputError(
                f"port {port} of {host} cannot be listened on ({error}); give another --port"
            ) from error
        except ValueError as error:  # Gradio asks its own page for an answer and waits three seconds
            page.close(verbose=False)
            if not left:
                raise InputError(
                    "the page does not answer; this machine is very busy, or a proxy stands between: try "
                    "again, with no_proxy=localhost,127.0.0.1"
                ) from error
    return page, url


def build(heart: Studio) -> gr.Blocks:
    """The page with all its tabs."""
    import gradio as gr

    from headgen_studio.page import Page

    with gr.Blocks(title="headgen studio", analytics_enabled=False, fill_width=False) as blocks:
        page = Page.begin(blocks)
        with page.tabs:
            for tab in _tabs():
                tab.build(heart, page)
    return blocks


def _tabs() -> list[Any]:
    return [import_module(f"headgen_studio.{name}") for name in TABS]


def _person(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not (name and colon and password):
        raise InputError("auth: give NAME:PASSWORD, such as --auth ann:secret")
    return name, password


def _free_port(host: str) -> int:
    import socket

    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class _TellBrowsersApart:
    """Gives every browser a cookie of its own."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        from starlette.requests import Request

        from headgen_studio.studio import COOKIE

        known = scope["type"] != "http" or COOKIE in Request(scope).cookies

        async def marked(message: Any) -> None:
            if message["type"] == "http.response.start" and not known:
                cookie = f"{COOKIE}={secrets.token_hex(16)}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"
                message["headers"] = [*message.get("headers", ()), (b"set-cookie", cookie.encode())]
            await send(message)

        await self.app(scope, receive, marked)
