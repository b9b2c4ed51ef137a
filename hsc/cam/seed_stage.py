"""Seeds of a whole data set: the sweep, the choice of the threshold, the files.

Letters: T thresholds.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from hsc.base.files import atomic_file
from hsc.base.progress import Progress, follow, unseen
from hsc.cam.seeds import threshold_seeds
from hsc.data.voc import VocFolder, write_mask
from hsc.losses.maps import otsu_threshold
from hsc.scoring.metrics import ThresholdCurve, report, unscored
from hsc.scoring.stage import check_size
from hsc.store import CamReader

SWEEP = np.arange(100) / 100
"""The thresholds of the sweep: 0.00 to 0.99 (the papers stop at 0.59, too low for some maps)."""


def score_seeds(
    folder: VocFolder,
    cams: CamReader,
    threshold: float | str,
    progress: Progress = unseen,
) -> tuple[dict[str, Any], ThresholdCurve | None]:
    """Choose the threshold and score `train` at it, at the sweep's best one and at the maps' own.

    threshold: `best` of the sweep, which needs masks and is `auto` without; `auto`, from the maps
    alone (`auto_threshold`); or a number. The report has `threshold`, the scores at it, and beside
    it `best_threshold` and `best_mIoU` of the sweep, `auto_threshold` and `auto_mIoU`, so that none
    is mistaken for another. Without masks it has the thresholds only, and there is no curve.
    Raises HscError as `score_curve`.
    """
    cams.check_classes(folder.class_names, folder.root)
    auto = auto_threshold(cams, folder.ids("train"))
    if not folder.has_masks("train"):
        used = auto if isinstance(threshold, str) else float(threshold)
        return {**unscored("train"), "threshold": used, "auto_threshold": auto}, None
    curve = score_curve(folder, cams, "train", _sweep(threshold), progress)
    best, best_miou = curve.best()
    used = {"best": best, "auto": auto}.get(threshold, threshold)
    names = ["background", *folder.class_names]
    images = len(folder.ids("train"))
    scores = report(curve.confusions()[_position(curve, used)], names, "train", images)
    return {
        **scores,
        "threshold": used,
        "best_threshold": best,
        "best_mIoU": round(100 * float(best_miou), 4),
        "auto_threshold": auto,
        "auto_mIoU": round(100 * float(curve.miou()[_position(curve, auto)]), 4),
    }, curve


def auto_threshold(cams: CamReader, ids: Sequence[str]) -> float:
    """The threshold that the CAMs of the pictures `ids` say themselves, one of the sweep.

    It is Otsu's (`otsu_threshold`) on the highest score of each pixel, over all pixels of the
    pictures that have a tag; without any such, 0.5.
    """
    edges = np.append(SWEEP, 1.0)
    counts = np.zeros(len(SWEEP))
    for image_id in ids:
        cam, classes = cams.read(image_id)
        if len(classes):
            counts += np.histogram(cam.max(axis=0), edges)[0]
    if not counts.any():
        return 0.5
    middles = torch.from_numpy((edges[:-1] + edges[1:]) / 2)
    return round(otsu_threshold(middles, torch.from_numpy(counts)).item(), 2)


def score_curve(
    folder: VocFolder,
    cams: CamReader,
    split: str,
    thresholds: ArrayLike,
    progress: Progress = unseen,
) -> ThresholdCurve:
    """The threshold curve of a split's CAMs against its masks, each file read once.

    Raises HscError for a CAM file of other classes, one that lacks an image of the split, or a CAM
    of another size than its mask.
    """
    cams.check_classes(folder.class_names, folder.root)
    ids = folder.ids(split)
    cams.check(ids)
    curve = ThresholdCurve(folder.num_classes, thresholds)
    for image_id in follow(ids, len(ids), progress):
        cam, classes = cams.read(image_id)
        truth = folder.mask(image_id)
        check_size(
            f"{cams.path}: {image_id}", cam.shape[1:], folder.mask_path(image_id), truth.shape
        )
        curve.add(cam, classes, truth)
    return curve


def _sweep(threshold: float | str) -> NDArray[np.float64]:
    """The sweep, with a fixed threshold in it even where it lies between two of its steps."""
    if isinstance(threshold, str) or np.isclose(SWEEP, threshold).any():
        return SWEEP
    return np.union1d(SWEEP, [threshold])


def write_seeds(
    cams: CamReader,
    threshold: float,
    folder: Path,
    progress: Progress = unseen,
) -> None:
    """Write the seeds of every picture in the CAM file as palette PNGs."""
    for image_id in follow(cams.ids, len(cams.ids), progress):
        cam, classes = cams.read(image_id)
        write_mask(folder / f"{image_id}.png", threshold_seeds(cam, classes, threshold))


def write_curve(curve: ThresholdCurve | None, used: float, path: Path) -> None:
    """Write `threshold,mIoU,precision,recall,mark`, a line a threshold; without a curve none.

    Scores are in percent. mark: `used`, `best` or `used and best` in the line of that threshold,
    else nothing. used: one of the curve's thresholds.
    """
    with atomic_file(path) as partial, partial.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["threshold", "mIoU", "precision", "recall", "mark"])
        if curve is not None:
            writer.writerows(_curve_rows(curve, used))


def _curve_rows(curve: ThresholdCurve, used: float) -> Iterator[list[str]]:
    best, _ = curve.best()
    marked = {"used": _position(curve, used), "best": _position(curve, best)}
    scores = 100 * np.column_stack([curve.miou(), curve.precision_recall()])
    for position, (threshold, row) in enumerate(zip(curve.thresholds, scores, strict=True)):
        mark = " and ".join(name for name, at in marked.items() if at == position)
        yield [*(f"{value:.4f}" for value in (threshold, *row)), mark]


def _position(curve: ThresholdCurve, threshold: float) -> int:
    """Where the threshold is in the curve; a sum of steps may differ from it in the last bit."""
    return int(np.argmin(np.abs(curve.thresholds - threshold)))
