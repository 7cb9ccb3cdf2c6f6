"""``headgen serve``: a live listener behind a WebSocket, with a page that shows it."""

from headgen.serve.server import make_app, serve

__all__ = ["make_app", "serve"]
