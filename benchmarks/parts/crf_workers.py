"""The CRF stage in two processes against one: the command that DVC runs, on files.

Two CPUs need not be twice as fast as one: they may share a core or a memory bus, or have neighbours
on other virtual machines. What two commands reach that know nothing of each other is measured
beside it.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import yaml

from benchmarks.part import Disagreement, PartResult, seconds
from benchmarks.scene import VOC_SIZE, scenes, write_folder
from hsc.base.errors import HscError
from hsc.base.pool import process_count
from hsc.cam.seeds import threshold_seeds
from hsc.data.voc import write_mask
from hsc.params.recipe import CrfParams

PUBLISHED = CrfParams(
    unary="labels", label_confidence=0.7, alpha=7, iterations=10,
    gaussian_sxy=3, gaussian_compat=3,
    bilateral_sxy=80, bilateral_srgb=13, bilateral_compat=10,
)  # fmt: skip
"""For pictures of VOC's size."""
PROCESSES = 2
REPOSITORY = Path(__file__).parents[2]


def measure(repeats: int, pictures: int = 60, size: tuple[int, int] = VOC_SIZE) -> PartResult:
    """The whole command, the start of Python and of the pool included; the same bytes."""
    if process_count() < PROCESSES:
        raise HscError(f"crf_workers: needs {PROCESSES} CPUs to measure; leave the part out")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        command = prepare(root / "all", pictures, size)
        shares = [
            partial(prepare(root / f"share{index}", pictures // PROCESSES, size), 1)
            for index in range(PROCESSES)
        ]
        runs = partial(command, 1), partial(command, PROCESSES), partial(at_once, shares)
        turns = [[seconds(run) for run in runs] for _ in range(repeats)]
        compare(root / "all" / "1", root / "all" / str(PROCESSES), pictures)
    slow, fast, apart = (statistics.median(times) for times in zip(*turns, strict=True))
    return PartResult(
        reference="`stages.refine_crf` in one process",
        fast="the same in two",
        reference_seconds=slow,
        fast_seconds=fast,
        wanted=1.8,
        agreement=f"the same bytes, {pictures} pictures of {size[1]}x{size[0]}, "
        "all starts counted; "
        f"two commands for half of them each, at once: ratio {slow / apart:.2f}",
    )


def at_once(commands: Sequence[Callable[[], None]]) -> None:
    """Run them all beside each other; return when the last has ended."""
    with ThreadPoolExecutor(len(commands)) as pool:
        for done in [pool.submit(command) for command in commands]:
            done.result()


def prepare(root: Path, pictures: int, size: tuple[int, int]) -> Callable[[int], None]:
    """Write a data set, its seeds and the settings; the stage, writing to `<root>/<processes>`."""
    shown = scenes(pictures, size)
    write_folder(root / "data" / "scenes", shown)
    for scene in shown:
        seeds = threshold_seeds(scene.cam, scene.classes, 0.4)
        write_mask(root / "seeds" / f"{scene.image_id}.png", seeds)
    run = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    recipe = yaml.safe_load((REPOSITORY / "recipes/shapes.yaml").read_text(encoding="utf-8"))
    _write(root / "params.yaml", run | {"data": "scenes"})
    by_baseline = dict.fromkeys(recipe["refine_crf"], asdict(PUBLISHED))
    _write(root / "recipes/scenes.yaml", recipe | {"refine_crf": by_baseline})
    return partial(refine, root)


def refine(root: Path, processes: int) -> None:
    """Run the stage on what `prepare` wrote. Raises HscError when it fails, with what it said."""
    done = subprocess.run(
        [
            sys.executable, "-m", "stages.refine_crf", "--params", root / "params.yaml",
            "--recipes", root / "recipes", "--data", root / "data", "--cams", root / "cams.h5",
            "--seeds", root / "seeds", "--out", root / str(processes),
        ],
        cwd=REPOSITORY,
        env=os.environ | {"HSC_PROCESSES": str(processes)},
        capture_output=True,
        text=True,
    )  # fmt: skip
    if done.returncode:
        raise HscError(f"crf_workers: the stage failed: {done.stderr}")


def compare(first: Path, second: Path, count: int) -> None:
    """Raise Disagreement unless the folders hold the same `count` files."""
    one, two = (
        {path.name: path.read_bytes() for path in folder.glob("*.png")}
        for folder in (first, second)
    )
    if len(one) != count or one != two:
        raise Disagreement(f"one process and {PROCESSES} wrote different labels")


def _write(path: Path, values: dict) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
