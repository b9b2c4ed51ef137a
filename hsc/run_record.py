"""What a stage took: a small record beside DVC's outputs, found again by the stage's product.

A record is named after the stage and the digest of what it made, so that a report finds the time of
exactly the file that it shows, also when that came out of DVC's cache.
"""

import dataclasses
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from hsc.errors import HscError
from hsc.files import digest_file, read_json, write_json


@dataclass(frozen=True)
class RunRecord:
    """One run of one stage. Bytes are peaks of resident memory; `finished` is ISO, UTC."""

    stage: str
    product: str
    digest: str
    seconds: float
    peak_bytes: int
    peak_child_bytes: int
    peak_gpu_bytes: int | None
    device: str | None
    finished: str
    versions: dict[str, str]


def records_folder() -> Path:
    """`$HSC_RUNS`, or `~/.cache/hsc/runs`."""
    chosen = os.environ.get("HSC_RUNS")
    return Path(chosen) if chosen else Path.home() / ".cache" / "hsc" / "runs"


def digest_product(path: Path) -> str:
    """SHA-256 (hex) of a file, or of a folder's sorted file names and contents."""
    if not path.is_dir():
        return digest_file(path)
    total = hashlib.sha256()
    for each in sorted(file for file in path.rglob("*") if file.is_file()):
        total.update(f"{each.relative_to(path).as_posix()}\0{digest_file(each)}\n".encode())
    return total.hexdigest()


def write_record(record: RunRecord, folder: Path) -> None:
    """Keep a record; one of the same stage and product is replaced."""
    write_json(_path(record.stage, record.digest, folder), dataclasses.asdict(record))


def find_record(stage: str, product: Path, folder: Path) -> RunRecord | None:
    """The record of the run that made `product`, or None. Raises HscError for a damaged one."""
    if not product.exists():
        return None
    path = _path(stage, digest_product(product), folder)
    if not path.is_file():
        return None
    try:
        return RunRecord(**read_json(path))
    except TypeError as error:
        raise HscError(f"{path}: no record of a run ({error}); delete it") from None


def _path(stage: str, digest: str, folder: Path) -> Path:
    return folder / f"{stage}-{digest}.json"
