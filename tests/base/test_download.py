"""Archives from a server on this machine that breaks off, lies, or is not there."""

import hashlib
import http.server
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsc.base import disk_space as room
from hsc.base.download import Archive, digest, downloads_folder, fetch
from hsc.base.errors import HscError
from hsc.base.progress import Progress

CONTENT = bytes(range(256)) * 5000  # 1.28 MB
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT at /a.tar. `breaks`: bytes after which each next request breaks off."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = CONTENT
        self.breaks: list[int] = []
        self.ranges = True
        self.status = 0
        self.length = True
        self.type = "application/x-tar"
        self.asked: list[str | None] = []
        self.half_way: Callable[[], None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/a.tar"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.server.status:
            self.send_error(self.server.status)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        start = start if self.server.ranges else 0
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", self.server.type)
        if self.server.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks:
            body = body[: self.server.breaks.pop(0)]
        if self.server.half_way:
            self.wfile.write(body[: len(body) // 2])
            self.server.half_way()
            body = body[len(body) // 2 :]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


def serve() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


server = pytest.fixture(serve, name="server")
other = pytest.fixture(serve, name="other")


def archive(*sources: str, digest: str = DIGEST, size: int = len(CONTENT)) -> Archive:
    return Archive("a.tar", sources, digest, size)


def unknown(*sources: str) -> Archive:
    """Of which the publisher tells neither digest nor size."""
    return Archive("a.tar", sources)


def get(folder: Path, *sources: str) -> Path:
    return fetch(archive(*sources), folder, pause=0)


def test_a_download(server: Server, tmp_path: Path) -> None:
    reports: dict[tuple[str, str], list[tuple[int, int]]] = {}

    def bars(title: str, unit: str) -> Progress:
        return lambda *done: reports.setdefault((title, unit), []).append(done)

    path = fetch(archive(server.url), tmp_path / "new", bars)
    assert path == tmp_path / "new" / "a.tar"
    assert path.read_bytes() == CONTENT
    assert list(reports) == [("a.tar", "B"), ("checking a.tar", "B")]
    assert {shown[-1] for shown in reports.values()} == {(len(CONTENT), len(CONTENT))}
    assert [file.name for file in path.parent.iterdir()] == ["a.tar"]


def test_a_second_run_asks_nobody(server: Server, tmp_path: Path) -> None:
    get(tmp_path, server.url)
    assert get(tmp_path, server.url) == tmp_path / "a.tar"
    assert len(server.asked) == 1


def test_broken_off_and_resumed_in_one_run(server: Server, tmp_path: Path) -> None:
    server.breaks = [500_000, 300_000]
    assert get(tmp_path, server.url).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=500000-", "bytes=800000-"]


def test_killed_and_resumed_by_the_next_run(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.tar.partial").write_bytes(CONTENT[:700_000])
    assert get(tmp_path, server.url).read_bytes() == CONTENT
    assert server.asked == ["bytes=700000-"]


def test_what_has_come_is_on_the_disk(server: Server, tmp_path: Path) -> None:
    """So a run that is killed at any time has lost nothing."""
    found = []

    def look() -> None:
        end = time.monotonic() + 60
        while (size := written()) < len(CONTENT) // 2 and time.monotonic() < end:
            time.sleep(0.01)
        found.append(size)

    def written() -> int:
        # The server may get here before the client has made its file.
        path = tmp_path / "a.tar.partial"
        return path.stat().st_size if path.exists() else 0

    server.half_way = look
    assert get(tmp_path, server.url).read_bytes() == CONTENT
    assert found == [len(CONTENT) // 2]


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "a.tar.partial").write_bytes(b"x" * 700_000)
    assert get(tmp_path, server.url).read_bytes() == CONTENT


def test_a_wrong_beginning_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.tar.partial").write_bytes(b"x" * 700_000)
    assert get(tmp_path, server.url).read_bytes() == CONTENT
    assert server.asked == ["bytes=700000-", None]


@pytest.mark.parametrize("had", [len(CONTENT), len(CONTENT) + 5])
def test_too_much_is_thrown_away(server: Server, tmp_path: Path, had: int) -> None:
    (tmp_path / "a.tar.partial").write_bytes(b"x" * had)
    assert get(tmp_path, server.url).read_bytes() == CONTENT


def test_a_mirror_that_is_down(server: Server, other: Server, tmp_path: Path) -> None:
    server.status = 503
    assert get(tmp_path, "http://127.0.0.1:9/a.tar", server.url, other.url).is_file()
    assert len(server.asked) == 3


def test_the_next_mirror_goes_on(server: Server, other: Server, tmp_path: Path) -> None:
    server.breaks = [400_000, 0, 0, 0]
    assert get(tmp_path, server.url, other.url).read_bytes() == CONTENT
    assert other.asked == ["bytes=400000-"]


def test_a_wrong_digest(server: Server, other: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"x"
    assert get(tmp_path, server.url, other.url).read_bytes() == CONTENT
    (tmp_path / "a.tar").unlink()
    with pytest.raises(HscError) as caught:
        get(tmp_path, server.url)
    assert f"{server.url}: its sha256 is " in str(caught.value)
    assert "get it by hand" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_page_in_place_of_the_file(server: Server, tmp_path: Path) -> None:
    server.content = b"please log in"
    with pytest.raises(HscError, match=f"13 bytes, expected {len(CONTENT)}"):
        get(tmp_path, server.url)
    assert not list(tmp_path.iterdir())


def test_no_such_page(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(HscError, match="HTTP 404"):
        get(tmp_path, server.url)
    assert len(server.asked) == 1


@pytest.mark.parametrize("kind", ["file", "folder", "url"])
def test_local_sources_are_not_copied(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "my data" / "a.tar"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    source = {"file": str(path), "folder": str(path.parent), "url": path.as_uri()}[kind]
    assert get(tmp_path / "kept", source) == path
    assert not (tmp_path / "kept").exists()


def test_a_corrupted_local_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(CONTENT[:-1])
    with pytest.raises(HscError, match=f"a.tar: {len(CONTENT) - 1} bytes, expected"):
        get(tmp_path)
    assert get(tmp_path, server.url).read_bytes() == CONTENT


def test_md5(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(CONTENT)
    right = archive(digest="md5:" + hashlib.md5(CONTENT).hexdigest().upper())
    assert fetch(right, tmp_path) == tmp_path / "a.tar"


def test_no_room(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")(1_000_000)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(HscError, match=r"1\.0 MB are free, but a\.tar needs 1\.3 MB more"):
        get(tmp_path, server.url)
    (tmp_path / "a.tar.partial").write_bytes(CONTENT[:700_000])
    assert get(tmp_path, server.url).is_file(), "the rest has room"


def test_without_a_digest(server: Server, tmp_path: Path) -> None:
    server.breaks = [500_000]
    assert fetch(unknown(server.url), tmp_path, pause=0).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=500000-"]
    assert fetch(unknown(server.url), tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_without_a_digest_nothing_old_is_resumed(
    server: Server, other: Server, tmp_path: Path
) -> None:
    (tmp_path / "a.tar.partial").write_bytes(b"x" * 700_000)
    server.breaks = [400_000, 0, 0, 0]
    assert fetch(unknown(server.url, other.url), tmp_path, pause=0).read_bytes() == CONTENT
    assert server.asked[0] is None
    assert other.asked == [None], "another mirror may have another file"


def test_without_a_digest_and_a_length(server: Server, tmp_path: Path) -> None:
    server.length = False
    assert fetch(unknown(server.url), tmp_path, pause=0).read_bytes() == CONTENT


def test_a_web_page_is_not_taken_for_the_file(server: Server, tmp_path: Path) -> None:
    server.type = "text/html; charset=utf-8"
    with pytest.raises(HscError, match="a web page, not the file"):
        fetch(unknown(server.url), tmp_path, pause=0)
    assert not list(tmp_path.iterdir())


def test_a_size_without_a_digest(server: Server, tmp_path: Path) -> None:
    with pytest.raises(HscError, match="1280000 bytes, expected 5"):
        fetch(Archive("a.tar", (server.url,), size=5), tmp_path, pause=0)


def test_the_digest_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    assert digest(tmp_path / "a") == DIGEST
    assert digest(tmp_path / "a", "md5") == "md5:" + hashlib.md5(CONTENT).hexdigest()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HSC_DOWNLOADS": "/big/disk"}, Path("/big/disk")),
        ({"HSC_DOWNLOADS": " ", "XDG_CACHE_HOME": "/caches"}, Path("/caches/hsc")),
        ({}, Path.home() / ".cache" / "hsc"),
    ],
)
def test_where_downloads_are_kept(environment: dict[str, str], expected: Path) -> None:
    assert downloads_folder(environment) == expected


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device /dev/full is Linux's")
def test_a_disk_that_fills_up_on_the_way(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.tar.partial").symlink_to("/dev/full")
    with pytest.raises(HscError, match=r"a\.tar\.partial: cannot be written \(No space left"):
        get(tmp_path, server.url)
    assert not (tmp_path / "a.tar").exists()
