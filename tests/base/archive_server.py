"""A server on this machine for a folder of archives, as a mirror of a data set is."""

import contextlib
import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any


class ArchiveServer(http.server.ThreadingHTTPServer):
    """Serves `folder`; `asked` has the path of every request."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.folder = folder
        self.asked: list[str] = []

    def entry(self, path: Path) -> dict[str, Any]:
        """What a recipe says about an archive in the folder."""
        source = f"http://127.0.0.1:{self.server_port}/{path.name}"
        size = path.stat().st_size
        return {
            "name": path.name, "sources": [source], "digest": self.digest(path), "size": size,
        }  # fmt: skip

    @staticmethod
    def digest(path: Path) -> str:
        """`sha256:` and the digest of a file."""
        return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


class _Handler(http.server.SimpleHTTPRequestHandler):
    server: ArchiveServer

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[ArchiveServer]:
    """A running server of the folder."""
    with ArchiveServer(folder) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()
