"""Files out of archives that others made: only those asked for, and only into one folder."""

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, TypeVar

from hsc.base.errors import DataError
from hsc.base.progress import Progress, unseen

_Item = TypeVar("_Item")

Choice = Callable[[str], str | None]
"""A member's name to the path below the folder that it gets, or None to leave it out."""

_BLOCK = 1 << 20
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, OSError)
_Entry = tuple[str, Callable[[], IO[bytes] | None], int]
"""(name, open, bytes of the archive before it); open is None for what is no plain file."""


def unpack(archive: Path, folder: Path, choose: Choice, progress: Progress = unseen) -> list[Path]:
    """Write the chosen members of a tar file (of any compression) or a zip file below `folder`.

    A name that is absolute, has `..` in it or a backslash, and a chosen member that is a link or a
    device, are errors: nothing is ever written outside, nor through a link. Returns the paths, in
    the archive's order, which is also that of reading: it is read once. progress: called with the
    bytes of the archive that have been read and the bytes of all.
    Raises HscError for these, for a damaged or truncated archive and for two members of one path;
    OSError for a full disk.
    """
    written: dict[Path, str] = {}
    size = archive.stat().st_size
    progress(0, size)
    with archive.open("rb") as stream:
        for name, opened, position in _read(_entries(stream), archive):
            progress(position, size)
            _check_name(archive, name)
            chosen = choose(name)
            if chosen is None:
                continue
            _check_name(archive, chosen)
            path = folder / chosen
            if path in written:
                raise DataError(f"{archive}: {name} and {written[path]} would both be {path}")
            source = _read_one(opened, archive)
            if source is None:
                raise DataError(f"{archive}: {name} is a link or no plain file; do not trust it")
            path.parent.mkdir(parents=True, exist_ok=True)
            with source, path.open("wb") as sink:
                for block in _read(_blocks(source), archive):
                    sink.write(block)
            written[path] = name
    progress(size, size)
    return list(written)


def _entries(stream: BinaryIO) -> Iterator[_Entry]:
    if zipfile.is_zipfile(stream):
        yield from _zip_entries(stream)
        return
    stream.seek(0)
    with tarfile.open(fileobj=stream, mode="r:*") as tar:
        for member in tar:
            if not member.isdir():
                yield member.name, _tar_opener(tar, member), stream.tell()
        for _ in _blocks(tar.fileobj):
            """The checksum of a compressed file comes last, behind the end of the tar file."""


def _tar_opener(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], IO[bytes] | None]:
    return lambda: tar.extractfile(member) if member.isreg() else None


def _zip_entries(stream: BinaryIO) -> Iterator[_Entry]:
    with zipfile.ZipFile(stream) as packed:
        for member in packed.infolist():
            if not member.is_dir():
                yield member.filename, _zip_opener(packed, member), member.header_offset


def _zip_opener(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], IO[bytes] | None]:
    kind = member.external_attr >> 28  # of Unix's mode; 0 where another system made the archive
    return lambda: packed.open(member) if kind in (0, 8) else None


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    while block := source.read(_BLOCK):
        yield block


def _read(items: Iterator[_Item], archive: Path) -> Iterator[_Item]:
    """The items; what goes wrong while they are read is damage to the archive."""
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except _DAMAGE as error:
            raise damaged(archive, error) from None
        yield item


def _read_one(opened: Callable[[], IO[bytes] | None], archive: Path) -> IO[bytes] | None:
    try:
        return opened()
    except _DAMAGE as error:
        raise damaged(archive, error) from None


def damaged(archive: Path, error: Exception) -> DataError:
    """The error for an archive that cannot be read."""
    return DataError(
        f"{archive}: damaged or truncated, or no archive ({error}); delete it and run the same "
        "command again"
    )


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise DataError(
            f"{archive}: {name!r} would lie outside of the folder; do not trust this archive"
        )
