"""Folders that a stage replaces and a person may have put something into.

What lies where a stage is to write may be a person's: a folder given to a script, masks that were
corrected by hand, pictures that exist nowhere else. So a folder that a stage makes has a mark,
which names every file, and nothing else is ever removed. (DVC removes a stage's outputs before the
stage runs, but for those with `persist: true`.)
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from hsc.base.errors import DataError
from hsc.base.files import atomic_folder, digest_file, write_json
from hsc.base.problems import some

MARK = ".made.json"
"""In the folder: the SHA-256 of every file that the stage made, by its path."""

_SAID = "made by a stage of hsc: add nothing here and change nothing, it may be removed"
_ELSEWHERE = "Move them elsewhere, or write into another folder"
_NOBODYS = {MARK, ".DS_Store", "Thumbs.db", "desktop.ini"}  # file managers write the others


@contextlib.contextmanager
def made_folder(path: Path, advice: str = _ELSEWHERE) -> Iterator[Path]:
    """Yield an empty temporary folder; on success it takes the place of `path`, marked as made.

    advice: what to do with files that a person put into `path`, for the error.
    Raises HscError, before anything is changed, as `check_made`; and once more at the end, for
    what was put there meanwhile.
    """
    check_made(path, advice)
    before = _traces(path)
    with atomic_folder(path) as partial:
        yield partial
        write_mark(partial)
        if _traces(path) != before:
            check_made(path, advice)


def check_made(folder: Path, advice: str) -> None:
    """Raise HscError for files in `folder` that no stage made, or that were changed since.

    A folder that is not there, or has no files, is fine; files that are missing are too.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise DataError(f"{folder}: no folder, so no stage made it; move it elsewhere. {advice}")
    known = _read_mark(folder)
    strange = [
        name for name, path in _files(folder) if name not in known or known[name] != _digest(path)
    ]
    if strange:
        raise DataError(
            f"{folder}: {len(strange)} files in it were put there or changed by hand "
            f"({some(strange)}); nothing was removed. {advice}"
        )


def write_mark(folder: Path) -> None:
    """Mark the folder as made, with all files that are in it."""
    files = {name: _digest(path) for name, path in _files(folder)}
    write_json(folder / MARK, {"what": _SAID, "files": files})


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below the folder that matters to somebody, with its path in it, sorted."""
    found = []
    for parent, folders, names in os.walk(folder):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        found += [Path(parent, name) for name in (*names, *links) if name not in _NOBODYS]
    yield from sorted((path.relative_to(folder).as_posix(), path) for path in found)


def _traces(folder: Path) -> list[tuple[str, int, int]]:
    """What changes when a file is written: to digest gigabytes once more would take minutes."""
    found = ((name, path.lstat()) for name, path in _files(folder))
    return [(name, seen.st_size, seen.st_mtime_ns) for name, seen in found]


def _digest(path: Path) -> str | None:
    """None of what is no file: a broken link, a link to a folder."""
    return digest_file(path) if path.is_file() else None


def _read_mark(folder: Path) -> dict[str, str]:
    """The digests by path; none where there is no mark that can be read."""
    try:
        files = json.loads((folder / MARK).read_text(encoding="utf-8"))["files"]
        return {str(name): str(digest) for name, digest in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
