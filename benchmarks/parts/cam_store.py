"""Bytes of the CAM file against a float32 dictionary for each picture, as the papers' code saves.

Both ways of merging are measured, and the one that compresses worse is the part's ratio: SEAM's
maps are zero where a class is not active, EPS's nowhere.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from benchmarks.part import Disagreement, PartResult
from benchmarks.reference import save_dictionary
from benchmarks.scene import VOC_SIZE, Scene, scenes, write_cams
from hsc.cam.seed_stage import SWEEP
from hsc.data.classes import VOC_CLASSES
from hsc.scoring.metrics import ThresholdCurve
from hsc.store import CamReader

TOLERANCE = 0.01
"""Percentage points of mIoU at the best threshold."""


class Measured(NamedTuple):
    """Bytes of both, and by how many points of mIoU the two differ at their best thresholds."""

    merge: str
    reference: int
    fast: int
    difference: float


def measure(repeats: int, pictures: int = 20, size: tuple[int, int] = VOC_SIZE) -> PartResult:
    """Bytes do not vary, so nothing is repeated whatever `repeats` says.

    Raises Disagreement where the best threshold's mIoU differs by more than 0.01 points.
    """
    found = [_one(merge, pictures, size) for merge in ("relu", "softmax")]
    worst = min(found, key=lambda one: one.reference / one.fast)
    ratios = ", ".join(f"{one.merge} {one.reference / one.fast:.1f}" for one in found)
    largest = max(one.difference for one in found)
    return PartResult(
        reference="float32 dictionaries by numpy, a file a picture",
        fast="`CamWriter`: one HDF5 file",
        reference_seconds=worst.reference,
        fast_seconds=worst.fast,
        wanted=4,
        agreement=f"best mIoU within {largest:.4f} points; ratio by merging: {ratios}; "
        f"{pictures} pictures of {size[1]}x{size[0]}",
        unit="B",
    )


def _one(merge: Literal["relu", "softmax"], pictures: int, size: tuple[int, int]) -> Measured:
    shown = scenes(pictures, size, merge)
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name) / "maps", Path(name) / "cams.h5"
        folder.mkdir()
        for scene in shown:
            save_dictionary(folder / f"{scene.image_id}.npy", scene.cam, scene.classes)
        write_cams(path, shown)
        with CamReader(path) as reader:
            kept = best_miou(shown, lambda scene: reader.read(scene.image_id)[0])
        difference = abs(kept - best_miou(shown, lambda scene: scene.cam))
        check(merge, difference)
        plain = sum(file.stat().st_size for file in folder.iterdir())
        return Measured(merge, plain, path.stat().st_size, difference)


def best_miou(shown: Sequence[Scene], cam: Callable[[Scene], np.ndarray]) -> float:
    """mIoU in percent at the best threshold of the pipeline's sweep."""
    curve = ThresholdCurve(len(VOC_CLASSES), SWEEP)
    for scene in shown:
        curve.add(cam(scene), scene.classes, scene.truth)
    return 100 * curve.best()[1]


def check(merge: str, difference: float) -> None:
    """Raise Disagreement for a difference beyond the tolerance."""
    if not difference <= TOLERANCE:
        raise Disagreement(
            f"{merge}: the best mIoU of the stored maps and of float32 ones differ by "
            f"{difference} points, more than {TOLERANCE}"
        )
