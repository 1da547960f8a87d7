"""A page on this machine's loopback address, for a browser here or at the other end of a tunnel.

Other users of this machine can reach the port too, so the address has a word in it that nobody can guess; a request
that names another host, as a page that rebinds its own name makes, gets nothing.
"""

from __future__ import annotations

import hmac
import secrets
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOOPBACK = "127.0.0.1"


class Server:
    """Serves one page at one address: `text`, whatever it is at the moment.

    Raises:
        ValueError: the port cannot be had; names it and the system's reason.
    """

    def __init__(self, port: int = 0) -> None:
        self.text = ""
        word = secrets.token_urlsafe(16)
        try:
            self._server = _Quiet((LOOPBACK, port), _handler(self, word))
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not a port"
            raise ValueError(
                f"--port {port} of {LOOPBACK} cannot be served on: {why}; give another, or none and one is chosen"
            ) from error
        self.port = self._server.server_port
        self.address = f"http://{LOOPBACK}:{self.port}/{word}/"
        self._thread = threading.Thread(target=self._server.serve_forever, name="watch --serve", daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away in the middle is nothing to tell."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def _handler(of: Server, word: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version, timeout = "sweep", "", 20

        def do_GET(self) -> None:
            hosts = (f"{LOOPBACK}:{of.port}", f"localhost:{of.port}")
            is_asked = hmac.compare_digest(self.path.encode(), f"/{word}/".encode())
            if not is_asked or self.headers.get("Host") not in hosts:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            content = of.text.encode()
            self.send_response(HTTPStatus.OK)
            for name, value in (
                ("Content-Type", "text/html; charset=utf-8"),
                ("Content-Length", str(len(content))),
                ("Cache-Control", "no-store"),
                ("X-Content-Type-Options", "nosniff"),
                ("X-Frame-Options", "DENY"),
                ("Referrer-Policy", "no-referrer"),
                ("Cross-Origin-Resource-Policy", "same-origin"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing: the terminal shows the sweep."""

    return Handler
