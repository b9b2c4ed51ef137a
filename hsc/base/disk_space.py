"""Room on the disk, asked before it is used."""

import shutil
from pathlib import Path

from hsc.base.errors import DataError


def check_room(folder: Path, needed: int, what: str) -> None:
    """Raise HscError, in words, when fewer than `needed` bytes are free where `folder` is."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder}: {amount(free)} are free, but {what} needs {amount(needed)} more; free some "
            "and run the same command again"
        )


def amount(count: int) -> str:
    """Bytes for people."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"
