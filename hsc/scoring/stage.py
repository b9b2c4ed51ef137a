"""What the scoring stages share: a split's labels or CAMs against its masks.

Letters: C foreground classes, K tagged classes of an image, H W pixels.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsc.base.errors import ExperimentError, HscError
from hsc.base.progress import Progress, follow, unseen
from hsc.data.classes import IGNORE
from hsc.data.voc import VocFolder, read_mask
from hsc.scoring.metrics import ThresholdCurve, confusion, report
from hsc.store import CamReader

Labels = Path | Callable[[str], NDArray[np.uint8]]
"""A folder of PNGs named after the image ids, or a function from an id to labels (H, W)."""


def score_labels(
    folder: VocFolder, labels: Labels, split: str, progress: Progress = unseen
) -> dict[str, Any]:
    """Score the labels of a split's images against its masks.

    Returns the dictionary of `hsc.scoring.metrics.report`. Raises HscError as `count_labels` does.
    """
    total = count_labels(folder, labels, split, progress)
    return report(total, ["background", *folder.class_names], split, len(folder.ids(split)))


def count_labels(
    folder: VocFolder, labels: Labels, split: str, progress: Progress = unseen
) -> NDArray[np.int64]:
    """The confusion matrix (C+1, C+1) of a split's labels, rows truth, columns labels.

    Raises HscError, with both files' names, for labels of another size than the mask and for an
    index beyond C; for a folder that lacks a picture of the split or has a file of no picture of it
    (for `train`, of train_aug).
    """
    read = partial(read_labels, labels) if isinstance(labels, Path) else labels
    if isinstance(labels, Path):
        _check_no_others(folder, labels, split)
    total = np.zeros((folder.num_classes + 1, folder.num_classes + 1), dtype=np.int64)
    ids = folder.ids(split)
    for image_id in follow(ids, len(ids), progress):
        source = labels / f"{image_id}.png" if isinstance(labels, Path) else f"labels of {image_id}"
        prediction, truth = read(image_id), folder.mask(image_id)
        _check_size(source, prediction.shape, folder.mask_path(image_id), truth.shape)
        if prediction.size and prediction.max() > folder.num_classes:
            raise HscError(
                f"{source}: index {prediction.max()}, but the data set has 0..{folder.num_classes};"
                " write it again with this data set's classes"
            )
        total += confusion(prediction, truth, folder.num_classes)
    return total


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
        _check_size(
            f"{cams.path}: {image_id}", cam.shape[1:], folder.mask_path(image_id), truth.shape
        )
        curve.add(cam, classes, truth)
    return curve


def choose_threshold(setting: float | str, curve: ThresholdCurve) -> tuple[float, float]:
    """The threshold to use and the sweep's best one: (used, best).

    setting: a number, which is used as it is, or "best" (the papers' protocol: the best of a sweep
    against the split's masks). Raises HscError for another word.
    """
    best, _ = curve.best()
    if setting == "best":
        return best, best
    if isinstance(setting, str):
        raise ExperimentError(
            f'seeds.threshold: {setting!r} is neither a number nor "best"; change it'
        )
    return float(setting), best


def extra_files(labels: Path, ids: Iterable[str]) -> list[str]:
    """Names of the files in a folder of labels that belong to none of the ids, sorted."""
    expected = {f"{image_id}.png" for image_id in ids}
    found = {path.name for path in labels.glob("*") if not path.name.startswith(".")}
    return sorted(found - expected)


def read_labels(folder: Path, image_id: str) -> NDArray[np.uint8]:
    """The class indices uint8 (H, W) of `<folder>/<image_id>.png`, a palette or grey picture.

    Raises HscError when the file is missing, damaged or in colour.
    """
    path = folder / f"{image_id}.png"
    if not path.is_file():
        raise HscError(f"{path}: no such file; run the stage that writes {folder}")
    return read_mask(path, IGNORE)


def _check_no_others(folder: VocFolder, labels: Path, split: str) -> None:
    """Labels of another data set or split may lie among those of this one and would go unseen."""
    # pseudo labels are made of all training pictures, of which train is the scored part
    extra = extra_files(labels, folder.ids("train_aug" if split == "train" else split))
    if extra:
        raise HscError(
            f"{labels / extra[0]}: of no picture of {split} ({len(extra)} such files); take it out "
            "or run the stage that writes the folder again"
        )


def _check_size(
    source: Path | str, size: tuple[int, ...], mask: Path, expected: tuple[int, ...]
) -> None:
    if size != expected:
        raise HscError(
            f"{source}: (height, width) is {size}, but {expected} in {mask}; "
            "the two belong to different pictures: make the first again"
        )
