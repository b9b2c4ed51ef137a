"""Serves the page to this machine alone, and answers the pictures that are dropped on it."""

import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hsc.base.errors import HscError, MachineError

ADDRESS = "127.0.0.1"
LARGEST = 30_000_000
"""Bytes of an upload."""
_PAGE = Path(__file__).with_name("page.html")
_POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; " \
    "script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'"  # fmt: skip
Answer = Callable[[bytes], dict[str, Any]]


class DemoServer(ThreadingHTTPServer):
    """`GET /` is the page, `POST /look` takes the bytes of a picture and gives JSON.

    It listens on the loopback alone, and to no page of another site: the request has to be for this
    address, and a picture has to be sent by this page's own script. port: 0 for any that is free.
    Raises HscError for a port that is taken.
    """

    daemon_threads = True

    def __init__(self, answer: Answer, port: int) -> None:
        self.answer = answer
        self.turn = threading.Lock()
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise MachineError(
                f"port {port}: {error.strerror}; give another one by --port"
            ) from None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: DemoServer

    def do_GET(self) -> None:
        if not self._is_for_us():
            return
        if self.path == "/":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", _PAGE.read_bytes())
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "nothing is here")

    def do_POST(self) -> None:
        if not self._is_for_us():
            return
        if self.path != "/look":
            self._refuse(HTTPStatus.NOT_FOUND, "nothing is here")
        # a form of another site cannot send this type
        elif self.headers.get("Content-Type") != "application/octet-stream":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the bytes of a picture")
        elif not (length := self.headers.get("Content-Length", "")).isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "say how long the picture is")
        elif int(length) > LARGEST:
            self._refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the picture has {int(length) / 1e6:.0f} MB, {LARGEST / 1e6:.0f} are the most",
            )
        else:
            self._look(self.rfile.read(int(length)))

    def _look(self, upload: bytes) -> None:
        try:
            with self.server.turn:  # one picture at a time has the memory and the cores
                found = self.server.answer(upload)
        except HscError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        else:
            self._send_json(HTTPStatus.OK, found)

    def _is_for_us(self) -> bool:
        """Another name of this address may be another site's."""
        names = {f"{name}:{self.server.server_port}" for name in (ADDRESS, "localhost")}
        if self.headers.get("Host") in names:
            return True
        self._refuse(HTTPStatus.FORBIDDEN, f"open {self.server.url}")
        return False

    def _refuse(self, status: HTTPStatus, problem: str) -> None:
        self.close_connection = True  # the rest of an upload was not read
        self._send_json(status, {"problem": problem})

    def _send_json(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(content).encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:
        """Nothing: the terminal says where the page is."""
