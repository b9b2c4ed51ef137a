"""Archives from mirrors: resumed after an interruption, checked by size and digest.

A file is written as `<name>.partial` and takes its name when it is right, so what has its name is
whole. What was interrupted stays, and the next run, or the next mirror, goes on from there.
"""

import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from hsc.base.disk_space import check_room
from hsc.base.errors import DataError
from hsc.base.files import hash_file
from hsc.base.progress import Bars, Progress, silent

_BLOCK = 1 << 20
_TIMEOUT = 60  # seconds without a byte
_FRUITLESS = 3  # attempts at one mirror that bring not a single byte


@dataclass(frozen=True)
class Archive:
    """A file that somebody publishes.

    name: under which it is kept. sources: where to look, in this order: http(s) and file URLs,
    paths of the file, or of a folder that has it under its name. digest: `md5:` or `sha256:` and
    the hex digits, or the first of them; None where the publisher tells none: then a broken off
    download is only resumed within one run, for what lies there could be of another file. size:
    bytes, None if unknown.
    """

    name: str
    sources: tuple[str, ...]
    digest: str | None = None
    size: int | None = None


class _Failed(Exception):  # noqa: N818
    """Why a source did not give the file."""


def fetch(archive: Archive, folder: Path, bars: Bars = silent, pause: float = 2.0) -> Path:
    """The path of the right file: a source's own where that is local, else `folder/<name>`.

    A file that `folder` has already is checked and taken. bars: shows what is loaded and checked.
    pause: seconds before a mirror that broke off is asked again. Raises HscError when no source
    has the right file (each with its reason) and when the disk has no room for it.
    """
    target = folder / archive.name
    problems = []
    for source in (str(target), *archive.sources):
        try:
            local = _local(source, archive.name)
            if local is None:
                return _download(source, archive, target, bars, pause)
            if local != target or target.exists():
                _check(local, archive, bars)
                return local
        except _Failed as problem:
            problems.append(f"  {source}: {problem}")
    raise DataError(
        f"{archive.name}: no source has it:\n" + "\n".join(problems) + "\n"
        f"get it by hand and put it into {folder}, or name another source in the recipe"
    )


def downloads_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where downloads are kept: `HSC_DOWNLOADS`, or `hsc` in the user's folder of caches.

    One folder for every clone of the project and for the copies that experiments run in, so that
    nothing is loaded twice.
    """
    if chosen := environment.get("HSC_DOWNLOADS", "").strip():
        return Path(chosen).expanduser()
    caches = environment.get("XDG_CACHE_HOME", "").strip() or "~/.cache"
    return Path(caches).expanduser() / "hsc"


def digest(path: Path, algorithm: str = "sha256", bars: Bars = silent) -> str:
    """`<algorithm>:` and the digest of a file in hex."""
    report = bars(f"checking {path.name.removesuffix('.partial')}", "B")
    return f"{algorithm}:{hash_file(path, algorithm, report)}"


def _local(source: str, name: str) -> Path | None:
    """The file that a source means, or None for one on the network."""
    parts = urlsplit(source)
    if parts.scheme in ("http", "https"):
        return None
    path = Path(unquote(parts.path) if parts.scheme == "file" else source).expanduser()
    return path / name if path.is_dir() else path


def _check(path: Path, archive: Archive, bars: Bars) -> None:
    """Raise _Failed unless the file is the archive."""
    if not path.is_file():
        raise _Failed("no such file")
    size = path.stat().st_size
    if archive.size not in (None, size):
        raise _Failed(f"{size} bytes, expected {archive.size}")
    if archive.digest is None:
        return
    algorithm, expected = archive.digest.lower().split(":")
    found = digest(path, algorithm, bars).split(":")[1]
    if not found.startswith(expected):
        raise _Failed(f"its {algorithm} is {found}, expected {expected}")


def _download(url: str, archive: Archive, target: Path, bars: Bars, pause: float) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    if archive.digest is None:
        partial.unlink(missing_ok=True)
    resumed = _size(partial) > 0
    try:
        _complete(url, archive, partial, bars(archive.name, "B"), pause)
        _check(partial, archive, bars)
    except _Failed:
        if _size(partial) < (archive.size or 0):
            raise  # what there is may be right: the next mirror goes on from it
        partial.unlink(missing_ok=True)
        if not resumed:
            raise
        # Perhaps only what was there before is wrong.
        return _download(url, archive, target, bars, pause)
    partial.replace(target)
    return target


def _complete(url: str, archive: Archive, partial: Path, report: Progress, pause: float) -> None:
    """Bring the partial file to its size, with as many requests as that takes."""
    fruitless, total = 0, archive.size
    while total is None or _size(partial) < total:
        have = _size(partial)
        total, reason = _attempt(url, archive, partial, total, report)
        if total is not None and _size(partial) >= total:
            return
        fruitless = 0 if _size(partial) > have else fruitless + 1
        if fruitless == _FRUITLESS:
            raise _Failed(reason)
        time.sleep(pause)


def _attempt(
    url: str, archive: Archive, partial: Path, total: int | None, report: Progress
) -> tuple[int | None, str]:
    """One request for what is missing; the bytes of all and why it ended.

    Raises _Failed where another request is useless.
    """
    have = _size(partial)
    request = urllib.request.Request(url, headers={"User-Agent": "hsc"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            start = have if answer.status == http.HTTPStatus.PARTIAL_CONTENT else 0
            total = _total(answer, start, total)
            check_room(partial.parent, (total or 0) - start, archive.name)
            with partial.open("r+b" if start else "wb") as stream:
                stream.seek(start)
                done = _copy(answer, stream, start, total, report)
            # An answer that told no length ends with an error unless it is whole.
            return total or done, "the connection broke off"
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            partial.unlink()
        elif error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _Failed(f"HTTP {error.code} {error.reason}") from None
        return total, f"HTTP {error.code} {error.reason}"
    except urllib.error.URLError as error:
        return total, str(error.reason)
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        return total, f"the connection broke off ({error})"


def _total(answer: http.client.HTTPResponse, start: int, expected: int | None) -> int | None:
    """The bytes of the whole file. Raises _Failed where it is something else, a page for a login
    for instance: told before gigabytes of it are loaded."""
    length = answer.headers.get("Content-Length")
    found = start + int(length) if length else None
    if expected is not None and found is not None and found != expected:
        raise _Failed(f"{found} bytes, expected {expected}")
    if expected is None and answer.headers.get_content_type() == "text/html":
        raise _Failed("a web page, not the file; open it in a browser and see what it asks")
    return expected or found


def _copy(
    source: http.client.HTTPResponse, sink: BinaryIO, done: int, total: int | None, report: Progress
) -> int:
    """Never more than `total` bytes, whatever is sent; returns how many there are."""
    report(done, total or 0)
    # read1: what has come is written, so that a killed run has lost nothing.
    while block := source.read1(_BLOCK if total is None else min(_BLOCK, total - done)):
        try:
            sink.write(block)
            sink.flush()  # or the error comes when the file is closed
        except OSError as error:
            raise DataError(
                f"{sink.name}: cannot be written ({error.strerror}); make room there, or set "
                "HSC_DOWNLOADS to another folder, and run the same command again: what there is "
                "stays"
            ) from None
        done += len(block)
        report(done, total or 0)
    if total is None:
        report(done, done)
    return done


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
