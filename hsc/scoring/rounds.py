"""The pseudo labels of AuxSegNet's rounds against the masks.

Letters: C foreground classes.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsc.base.errors import DataError
from hsc.base.progress import Progress, follow, unseen
from hsc.data.classes import IGNORE
from hsc.data.label_maps import read_labels
from hsc.data.voc import VocFolder, check_size
from hsc.scoring.metrics import confusion


def score_rounds(folder: VocFolder, rounds: Path, progress: Progress = unseen) -> dict[str, Any]:
    """By round (`0`, `1`, ...) what `label_scores` says of the labels in `<rounds>/<r>` on `train`.

    Raises HscError for labels that are missing, damaged or of another size than their mask.
    """
    found = rounds.iterdir() if rounds.is_dir() else ()
    numbers = sorted(int(path.name) for path in found if path.name.isdecimal())
    if not numbers:
        raise DataError(f"{rounds}: no files in it of any round; run the stage that writes them")
    ids = folder.ids("train")
    matrices = np.zeros((len(numbers), folder.num_classes + 2, folder.num_classes + 2), np.int64)
    tasks = [(number, image_id) for number in numbers for image_id in ids]
    for number, image_id in follow(tasks, len(tasks), progress):
        path = rounds / str(number)
        labels, truth = read_labels(path, image_id), folder.mask(image_id)
        check_size(path / f"{image_id}.png", labels, folder.mask_path(image_id), truth.shape)
        unsure = np.where(labels == IGNORE, folder.num_classes + 1, labels)
        matrices[number] += confusion(unsure, truth, folder.num_classes + 1)
    return {str(number): label_scores(matrices[number]) for number in numbers}


def label_scores(matrix: NDArray[np.int64]) -> dict[str, float]:
    """Scores of labels that may say that they are not sure, in percent.

    matrix: int64 (C+2, C+2), rows truth, columns labels, the last column what is not sure. `mIoU`,
    `precision`, `recall`: means over the classes that there are, the background with them; a pixel
    that is not sure is missing in its class and wrong in none. `labelled`: the share that is sure.
    """
    known = matrix[:-1, :-1]
    hits, truth, found = np.diagonal(known), matrix[:-1].sum(axis=1), known.sum(axis=0)
    union = truth + found - hits

    def mean(part: NDArray[np.int64]) -> float:
        there = part > 0
        return round(100 * float((hits[there] / part[there]).mean()), 4) if there.any() else 0.0

    return {
        "mIoU": mean(union),
        "precision": mean(found),
        "recall": mean(truth),
        "labelled": round(100 * float(known.sum() / matrix.sum()), 4),
    }
