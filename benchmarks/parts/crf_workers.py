"""The CRF stage in two processes against one."""

import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.part import Disagreement, PartResult, seconds, side_by_side
from benchmarks.scene import VOC_SIZE, scenes, write_folder
from hsc.crf_stage import refine_all
from hsc.data.voc import write_mask
from hsc.errors import HscError
from hsc.params import CrfParams
from hsc.pool import process_count
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
        stage = prepare(root / "all", pictures, size)
        slow, fast = side_by_side(partial(stage, 1), partial(stage, PROCESSES), repeats)
        compare(root / "all" / "1", root / "all" / str(PROCESSES), pictures)
        # with next to nothing to do, what is left is starting the workers and their imports
        idle = partial(prepare(root / "few", PROCESSES, (32, 32)), PROCESSES)
        start = statistics.median(seconds(idle) for _ in range(repeats))
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


def prepare(root: Path, pictures: int, size: tuple[int, int]) -> Callable[[int], int]:
    """Write a data set and its seeds; the stage on it, which writes to `<root>/<processes>`."""
    shown = scenes(pictures, size)
    folder = write_folder(root / "data", shown)
    for scene in shown:
        seeds = threshold_seeds(scene.cam, scene.classes, 0.4)
        write_mask(root / "seeds" / f"{scene.image_id}.png", seeds)

    def stage(processes: int) -> int:
        output = root / str(processes)
        return refine_all(folder, root / "cams.h5", root / "seeds", PUBLISHED, output, processes)

    return stage


def compare(first: Path, second: Path, count: int) -> None:
    """Raise Disagreement unless the folders hold the same `count` files."""
    one, two = (
        {path.name: path.read_bytes() for path in folder.iterdir()} for folder in (first, second)
    )
    if len(one) != count or one != two:
        raise Disagreement(f"one process and {PROCESSES} wrote different labels")
