"""What a run of a stage took, kept outside of what DVC knows.

Seconds and memory differ from run to run, so they are no output of a stage. Each stage that ended
well leaves a small JSON record in a folder of the user's caches, under the digest of what it made:
whoever has a file, also one out of DVC's cache, finds what it took to make it.
"""

import hashlib
import os
import platform
import re
import resource
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import pydantic

from hsc.base.errors import HscError
from hsc.base.files import atomic_file, hash_file
from hsc.base.progress import Progress, unseen

_PACKAGES = ("hsc", "torch", "torchvision", "numpy", "pydensecrf2", "h5py")


class RunRecord(pydantic.BaseModel):
    """One run of a stage.

    product, digest: what it made (`digest_product`). seconds: of its work, without Python's start.
    peak_bytes: the most memory that the process had at once. peak_child_bytes: the same of its
    largest process; one that was started by a larger process may show that one's. peak_gpu_bytes:
    of tensors on the GPU. device: `cpu` or the GPU's name; None where torch was not in use.
    finished: ISO 8601, UTC. versions: of Python and packages.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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


def records_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where records are kept: `HSC_RUNS`, or `hsc/runs` in the user's folder of caches.

    Raises RuntimeError for a user without a home.
    """
    if chosen := environment.get("HSC_RUNS", "").strip():
        return Path(chosen).expanduser()
    caches = environment.get("XDG_CACHE_HOME", "").strip() or "~/.cache"
    return Path(caches).expanduser() / "hsc" / "runs"


def find_record(stage: str, product: Path, folder: Path) -> RunRecord | None:
    """The record of the run that made exactly this product.

    None where there is no product, no record of it, or one that is damaged.
    """
    try:
        digest = digest_product(product)
        text = _path(folder, stage, digest).read_text("utf-8")
        record = RunRecord.model_validate_json(text)
    except (HscError, OSError, ValueError):
        return None
    return record if (record.stage, record.digest) == (stage, digest) else None


def write_record(record: RunRecord, folder: Path) -> None:
    """Write a record; one of the same stage and product is replaced. Raises OSError."""
    with atomic_file(_path(folder, record.stage, record.digest)) as partial:
        partial.write_text(record.model_dump_json(indent=2) + "\n", "utf-8")


def digest_product(path: Path, progress: Progress = unseen) -> str:
    """SHA-256 (hex) of a file's bytes, or of a folder's sorted file names and contents.

    progress: called with the bytes read and of all. Raises HscError when there is nothing or it
    cannot be read.
    """
    try:
        files = _files(path)
        total, done = product_bytes(path), 0
        digests = {}
        for name, file in files.items():
            digests[name] = hash_file(
                file, progress=lambda size, _, before=done: progress(before + size, total)
            )
            done += file.stat().st_size
    except OSError as error:
        raise HscError(f"{path}: cannot be read ({error.strerror}); run its stage again") from None
    if path.is_file():
        return digests[path.name]
    lines = (f"{name}\0{digest}\n" for name, digest in digests.items())
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def product_bytes(path: Path) -> int:
    """The bytes of a file, or of all files below a folder. Raises OSError where there is none."""
    return sum(file.stat().st_size for file in _files(path).values())


def measure(stage: str, product: Path, seconds: float, progress: Progress = unseen) -> RunRecord:
    """The record of a stage that ends now, in this process. Raises HscError as `digest_product`."""
    gpu = _gpu()
    return RunRecord(
        stage=stage,
        product=product.as_posix(),
        digest=digest_product(product, progress),
        seconds=round(seconds, 3),
        peak_bytes=peak_bytes(),
        peak_child_bytes=_maximum(resource.RUSAGE_CHILDREN),
        peak_gpu_bytes=None if gpu is None else gpu[0],
        device=_device(gpu),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=_versions(),
    )


def peak_bytes(status: Path = Path("/proc/self/status")) -> int:
    """The most memory that this process had at once.

    From `status` where there is one: the `ru_maxrss` that other systems have is at first that of
    the process that started this one.
    """
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), flags=re.MULTILINE)
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else _maximum(resource.RUSAGE_SELF)


def _maximum(who: int) -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit


def _files(path: Path) -> dict[str, Path]:
    """By name, sorted: the file itself, or every file below a folder."""
    if path.is_dir():
        found = {file.relative_to(path).as_posix(): file for file in path.rglob("*")}
        return {name: file for name, file in sorted(found.items()) if file.is_file()}
    return {path.name: path}


def _gpu() -> tuple[int, str] | None:
    """The most bytes of tensors on a GPU, and its name; None where no GPU was in use."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    most = max(
        (
            (torch.cuda.max_memory_allocated(index), torch.cuda.get_device_name(index))
            for index in range(torch.cuda.device_count())
        ),
        default=(0, ""),
    )
    return most if most[0] else None  # a training on the CPU asks for a GPU's random state, too


def _device(gpu: tuple[int, str] | None) -> str | None:
    if gpu is not None:
        return gpu[1]
    return "cpu" if "torch" in sys.modules else None


def _versions() -> dict[str, str]:
    """Of what is installed; no package is imported for it."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _path(folder: Path, stage: str, digest: str) -> Path:
    return folder / f"{stage}-{digest}.json"
