"""The CRF stage in two processes against one."""

import statistics
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.part import Disagreement, PartResult, seconds, side_by_side
from benchmarks.scene import VOC_SIZE, scenes, write_folder
from hsc.crf_stage import refine_all
from hsc.data.voc import write_mask
from hsc.errors import HscError
from hsc.params import CrfParams
from hsc.pool import map_ordered, process_count
from hsc.seeds import threshold_seeds

PUBLISHED = CrfParams(
    unary="labels", label_confidence=0.7, alpha=7, iterations=10,
    gaussian_sxy=3, gaussian_compat=3,
    bilateral_sxy=80, bilateral_srgb=13, bilateral_compat=10,
)  # fmt: skip
"""For pictures of VOC's size."""
PROCESSES = 2


def measure(repeats: int, pictures: int = 24, size: tuple[int, int] = VOC_SIZE) -> PartResult:
    """The whole stage, files read and written, the start of the pool included; the same bytes."""
    if process_count() < PROCESSES:
        raise HscError(f"crf_workers: needs {PROCESSES} CPUs to measure; leave the part out")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        shown = scenes(pictures, size)
        folder = write_folder(root / "data", shown)
        for scene in shown:
            seeds = threshold_seeds(scene.cam, scene.classes, 0.4)
            write_mask(root / "seeds" / f"{scene.image_id}.png", seeds)
        alone, pool = (
            partial(
                refine_all, folder, root / "cams.h5", root / "seeds", PUBLISHED,
                root / str(processes), processes,
            )
            for processes in (1, PROCESSES)
        )  # fmt: skip
        slow, fast = side_by_side(alone, pool, repeats)
        compare(root / "1", root / str(PROCESSES), pictures)
    start = statistics.median(seconds(_start) for _ in range(repeats))
    return PartResult(
        part="crf_workers",
        reference="the CRF stage in one process",
        fast="the CRF stage in two",
        reference_seconds=slow,
        fast_seconds=fast,
        ratio=slow / fast,
        wanted=1.8,
        agreement=f"the same bytes, {pictures} pictures of {size[1]}x{size[0]}; "
        f"the pool's start, {start:.1f} s, is counted",
    )


def compare(first: Path, second: Path, count: int) -> None:
    """Raise Disagreement unless the folders hold the same `count` files."""
    one, two = (
        {path.name: path.read_bytes() for path in folder.iterdir()} for folder in (first, second)
    )
    if len(one) != count or one != two:
        raise Disagreement(f"one process and {PROCESSES} wrote different labels")


def _start() -> None:
    """Start a pool, have each worker do nothing, and end it."""
    for _ in map_ordered(abs, range(PROCESSES), PROCESSES):
        pass
