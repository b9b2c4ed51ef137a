"""A split's labels against its masks.

Letters: C foreground classes.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsc.base.errors import HscError
from hsc.base.progress import Progress, follow, unseen
from hsc.data.label_maps import extra_files, read_labels
from hsc.data.voc import VocFolder
from hsc.scoring.metrics import confusion


def count_labels(
    folder: VocFolder, labels: Path, split: str, progress: Progress = unseen
) -> NDArray[np.int64]:
    """The confusion matrix (C+1, C+1) of a split's labels, rows truth, columns labels.

    labels: a folder of PNGs named after the image ids.
    Raises HscError, with both files' names, for labels of another size than the mask and for an
    index beyond C; for a folder that lacks a picture of the split or has a file of no picture of it
    (for `train`, of train_aug).
    """
    _check_no_others(folder, labels, split)
    total = np.zeros((folder.num_classes + 1, folder.num_classes + 1), dtype=np.int64)
    ids = folder.ids(split)
    for image_id in follow(ids, len(ids), progress):
        source = labels / f"{image_id}.png"
        prediction, truth = read_labels(labels, image_id), folder.mask(image_id)
        check_size(source, prediction.shape, folder.mask_path(image_id), truth.shape)
        if prediction.size and prediction.max() > folder.num_classes:
            raise HscError(
                f"{source}: index {prediction.max()}, but the data set has 0..{folder.num_classes};"
                " write it again with this data set's classes"
            )
        total += confusion(prediction, truth, folder.num_classes)
    return total


def _check_no_others(folder: VocFolder, labels: Path, split: str) -> None:
    """Labels of another data set or split may lie among those of this one and would go unseen."""
    # pseudo labels are made of all training pictures, of which train is the scored part
    extra = extra_files(labels, folder.ids("train_aug" if split == "train" else split))
    if extra:
        raise HscError(
            f"{labels / extra[0]}: of no picture of {split} ({len(extra)} such files); take it out "
            "or run the stage that writes the folder again"
        )


def check_size(
    source: Path | str, size: tuple[int, ...], mask: Path, expected: tuple[int, ...]
) -> None:
    """Raise HscError when labels or a CAM of `source` have another size than their mask."""
    if size != expected:
        raise HscError(
            f"{source}: (height, width) is {size}, but {expected} in {mask}; "
            "the two belong to different pictures: make the first again"
        )
