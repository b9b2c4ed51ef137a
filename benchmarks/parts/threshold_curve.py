"""Sixty thresholds from one pass over the CAMs, against a pass for each; all of it in memory."""

import numpy as np
from numpy.typing import NDArray

from benchmarks import reference
from benchmarks.part import Disagreement, PartResult, side_by_side
from benchmarks.scene import VOC_SIZE, scenes
from hsc.data.classes import VOC_CLASSES
from hsc.scoring.metrics import ThresholdCurve

THRESHOLDS = np.arange(60) / 100
"""The papers' sweep: 0.00 to 0.59."""


def measure(repeats: int, pictures: int = 20, size: tuple[int, int] = VOC_SIZE) -> PartResult:
    """Equal counts and scores at each threshold; nothing is read from files by either."""
    shown = {
        scene.image_id: (scene.cam, scene.classes, scene.truth) for scene in scenes(pictures, size)
    }

    def one_pass() -> ThresholdCurve:
        curve = ThresholdCurve(len(VOC_CLASSES), THRESHOLDS)
        for picture in shown.values():
            curve.add(*picture)
        curve.miou()
        return curve

    def pass_by_pass() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        return reference.sweep(shown, shown.__getitem__, THRESHOLDS, len(VOC_CLASSES))

    compare(one_pass(), *pass_by_pass())
    slow, fast = side_by_side(pass_by_pass, one_pass, repeats)
    return PartResult(
        part="threshold_curve",
        reference="a pass over the CAMs for each of 60 thresholds",
        fast="`ThresholdCurve`: one pass",
        reference_seconds=slow,
        fast_seconds=fast,
        ratio=slow / fast,
        wanted=50,
        agreement=f"equal counts, {pictures} pictures of {size[1]}x{size[0]}, CAMs in memory",
    )


def compare(curve: ThresholdCurve, matrices: NDArray[np.int64], mious: NDArray[np.float64]) -> None:
    """Raise Disagreement unless every count is the same, and every score but for rounding."""
    if not np.array_equal(curve.confusions(), matrices):
        raise Disagreement("the confusion matrices of the curve and of the passes differ")
    if not np.allclose(curve.miou(), mious, rtol=0, atol=1e-12):
        raise Disagreement("the mIoU of the curve and of the passes differ")
