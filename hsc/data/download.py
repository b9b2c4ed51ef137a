"""Archives from mirrors: resumed after an interruption, checked by size and digest.

A file is written as `<name>.partial` and takes its name when it is right, so what has its name is
whole. What was interrupted stays, and the next run, or the next mirror, goes on from there.
"""

import hashlib
import http.client
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from hsc.errors import HscError

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes of all."""

_BLOCK = 1 << 20
_TIMEOUT = 60  # seconds without a byte
_FRUITLESS = 3  # attempts at one mirror that bring not a single byte


@dataclass(frozen=True)
class Archive:
    """A file that somebody publishes.

    name: under which it is kept. sources: where to look, in this order: http(s) and file URLs,
    paths of the file, or of a folder that has it under its name. digest: `md5:` or `sha256:` and
    the hex digits. size: bytes.
    """

    name: str
    sources: tuple[str, ...]
    digest: str
    size: int


class _Failed(Exception):  # noqa: N818
    """Why a source did not give the file."""


def fetch(
    archive: Archive, folder: Path, progress: Progress | None = None, pause: float = 2.0
) -> Path:
    """The path of the right file: a source's own where that is local, else `folder/<name>`.

    A file that `folder` has already is checked and taken. pause: seconds before a mirror that
    broke off is asked again. Raises HscError when no source has the right file (each with its
    reason) and when the disk has no room for it.
    """
    report = progress or (lambda done, total: None)
    target = folder / archive.name
    problems = []
    for source in (str(target), *archive.sources):
        try:
            local = _local(source, archive.name)
            if local is None:
                return _download(source, archive, target, report, pause)
            if local != target or target.exists():
                _check(local, archive)
                return local
        except _Failed as problem:
            problems.append(f"  {source}: {problem}")
    raise HscError(
        f"{archive.name}: no source has it:\n" + "\n".join(problems) + "\n"
        f"get it by hand and put it into {folder}, or name another source in the recipe"
    )


def _local(source: str, name: str) -> Path | None:
    """The file that a source means, or None for one on the network."""
    parts = urlsplit(source)
    if parts.scheme in ("http", "https"):
        return None
    path = Path(unquote(parts.path) if parts.scheme == "file" else source).expanduser()
    return path / name if path.is_dir() else path


def _check(path: Path, archive: Archive) -> None:
    """Raise _Failed unless the file is the archive."""
    if not path.is_file():
        raise _Failed("no such file")
    if path.stat().st_size != archive.size:
        raise _Failed(f"{path.stat().st_size} bytes, expected {archive.size}")
    algorithm, expected = archive.digest.split(":")
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, algorithm).hexdigest()
    if found != expected.lower():
        raise _Failed(f"its {algorithm} is {found}, expected {expected.lower()}")


def _download(url: str, archive: Archive, target: Path, report: Progress, pause: float) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    resumed = _size(partial) > 0
    try:
        _complete(url, archive, partial, report, pause)
        _check(partial, archive)
    except _Failed:
        if _size(partial) < archive.size:
            raise  # what there is may be right: the next mirror goes on from it
        partial.unlink()
        if not resumed:
            raise
        # Perhaps only what was there before is wrong.
        return _download(url, archive, target, report, pause)
    partial.replace(target)
    return target


def _complete(url: str, archive: Archive, partial: Path, report: Progress, pause: float) -> None:
    """Bring the partial file to its size, with as many requests as that takes."""
    fruitless = 0
    while (have := _size(partial)) < archive.size:
        _check_room(partial.parent, archive, have)
        reason = _attempt(url, archive, partial, have, report)
        if _size(partial) >= archive.size:
            return
        fruitless = 0 if _size(partial) > have else fruitless + 1
        if fruitless == _FRUITLESS:
            raise _Failed(reason)
        time.sleep(pause)


def _attempt(url: str, archive: Archive, partial: Path, have: int, report: Progress) -> str:
    """One request for what is missing; why it ended. Raises _Failed where another is useless."""
    request = urllib.request.Request(url, headers={"User-Agent": "hsc"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            start = have if answer.status == http.HTTPStatus.PARTIAL_CONTENT else 0
            _check_length(answer, archive, start)
            with partial.open("r+b" if start else "wb") as stream:
                stream.seek(start)
                _copy(answer, stream, start, archive.size, report)
            return "the connection broke off"
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            partial.unlink()
            return f"HTTP {error.code} {error.reason}"
        if error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _Failed(f"HTTP {error.code} {error.reason}") from None
        return f"HTTP {error.code} {error.reason}"
    except urllib.error.URLError as error:
        return str(error.reason)
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        return f"the connection broke off ({error})"


def _check_length(answer: http.client.HTTPResponse, archive: Archive, start: int) -> None:
    """Told before gigabytes of something else are loaded, a page for a login for instance."""
    length = answer.headers.get("Content-Length")
    if length is not None and start + int(length) != archive.size:
        raise _Failed(f"{start + int(length)} bytes, expected {archive.size}")


def _copy(
    source: http.client.HTTPResponse, sink: BinaryIO, done: int, size: int, report: Progress
) -> None:
    """Never more than `size` bytes, whatever is sent."""
    while done < size and (block := source.read(min(_BLOCK, size - done))):
        sink.write(block)
        done += len(block)
        report(done, size)


def _check_room(folder: Path, archive: Archive, have: int) -> None:
    missing, free = archive.size - have, shutil.disk_usage(folder).free
    if free < missing:
        raise HscError(
            f"{folder}: {_amount(free)} are free, but {archive.name} needs {_amount(missing)} "
            "more; free some and run the same command again"
        )


def _amount(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
