"""Sixty thresholds from one pass over the CAM file and the masks, against a pass for each."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import reference
from benchmarks.part import Disagreement, PartResult, side_by_side
from benchmarks.scene import VOC_SIZE, scenes, write_cams, write_folder
from hsc.cam.seed_stage import score_curve
from hsc.data.voc import VocFolder
from hsc.scoring.metrics import ThresholdCurve
from hsc.store import CamReader

THRESHOLDS = np.arange(60) / 100
"""The papers' sweep: 0.00 to 0.59."""


def measure(repeats: int, pictures: int = 20, size: tuple[int, int] = VOC_SIZE) -> PartResult:
    """Equal counts and scores at each threshold; both read the same files in the same way."""
    with tempfile.TemporaryDirectory() as name:
        shown = scenes(pictures, size)
        folder = write_folder(Path(name) / "data", shown)
        write_cams(Path(name) / "cams.h5", shown)
        with CamReader(Path(name) / "cams.h5") as cams:
            pass_by_pass = partial(_pass_by_pass, folder, cams)
            one_pass = partial(_one_pass, folder, cams)
            compare(one_pass(), *pass_by_pass())
            slow, fast = side_by_side(pass_by_pass, one_pass, repeats)
    return PartResult(
        reference="a pass over the files for each of 60 thresholds",
        fast="`score_curve`: one pass",
        reference_seconds=slow,
        fast_seconds=fast,
        wanted=50,
        agreement=f"equal counts, {pictures} pictures of {size[1]}x{size[0]}, "
        "both read the CAM file and the masks",
    )


def _pass_by_pass(
    folder: VocFolder, cams: CamReader
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    def read(image_id: str) -> reference.Picture:
        return *cams.read(image_id), folder.mask(image_id)

    return reference.sweep(folder.ids("train"), read, THRESHOLDS, folder.num_classes)


def _one_pass(folder: VocFolder, cams: CamReader) -> ThresholdCurve:
    curve = score_curve(folder, cams, "train", THRESHOLDS)
    curve.miou()
    return curve


def compare(curve: ThresholdCurve, matrices: NDArray[np.int64], mious: NDArray[np.float64]) -> None:
    """Raise Disagreement unless every count is the same, and every score but for rounding."""
    if not np.array_equal(curve.confusions(), matrices):
        raise Disagreement("the confusion matrices of the curve and of the passes differ")
    if not np.allclose(curve.miou(), mious, rtol=0, atol=1e-12):
        raise Disagreement("the mIoU of the curve and of the passes differ")
