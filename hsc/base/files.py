"""Files that are whole or absent: atomic writes, digests, JSON that is byte-stable."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hsc.base.errors import HscError
from hsc.base.progress import Progress, follow, unseen

_BLOCK = 1 << 20


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success sync it and rename it to `path`.

    A crash leaves at most a `*.partial` file, which the next run overwrites; `path` itself is
    either the old whole file or the new whole file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        _name_target(error, path)
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; on success it takes the place of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        shutil.rmtree(path, ignore_errors=True)
        partial.replace(path)
    except OSError as error:
        _name_target(error, path)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _name_target(error: OSError, path: Path) -> None:
    """A write to a full disk does not say which file it was for."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        error.filename = str(path)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys: the same value gives the same bytes.

    Raises ValueError for NaN and infinities, which are not JSON.
    """
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises HscError when it is missing or is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HscError(f"{path}: no such file; run the stage that writes it") from None
    except ValueError as error:
        raise HscError(f"{path}: not valid JSON ({error}); delete it and run again") from None


def digest_json(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def hash_file(path: Path, algorithm: str = "sha256", progress: Progress = unseen) -> str:
    """The digest (hex) of a file, read piece by piece: of gigabytes it may take a minute.

    progress: called with the bytes read and of all. Raises OSError.
    """
    size, done, found = path.stat().st_size, 0, hashlib.new(algorithm)
    progress(0, size)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            found.update(block)
            done += len(block)
            progress(done, size)
    return found.hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes. Raises HscError for a file that cannot be read."""
    try:
        return hash_file(path)
    except FileNotFoundError:
        raise HscError(f"{path}: no such file; add it or run the stage that writes it") from None
    except OSError as error:
        raise HscError(f"{path}: cannot be read ({error.strerror})") from None


def digest_files(paths: Sequence[Path], progress: Progress = unseen) -> str:
    """SHA-256 (hex) over several files in the order given. Raises HscError as `digest_file`."""
    digests = "".join(digest_file(path) for path in follow(paths, len(paths), progress))
    return hashlib.sha256(digests.encode()).hexdigest()


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """As `atomic_folder`, for what a person will work on: raises HscError where files are."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise HscError(f"{path}: there is something already; give a new folder")
    with atomic_folder(path) as partial:
        yield partial


def link_files(source: Path, target: Path, progress: Progress = unseen) -> int:
    """Put every file of `source` into `target` as a hard link, or a copy across file systems.

    Hidden files, such as the mark of a folder, are left out. Returns how many. Raises HscError when
    `source` has no file.
    """
    files = sorted(path for path in source.glob("[!.]*") if path.is_file())
    if not files:
        raise HscError(f"{source}: no files in it; run the stage that writes it")
    for path in follow(files, len(files), progress):
        link_file(path, target / path.name)
    return len(files)


def link_file(source: Path, target: Path) -> None:
    """A hard link, or a copy across file systems."""
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
