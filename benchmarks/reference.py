"""Plain versions of what the pipeline does fast, written as one would write them first.

Letters: C foreground classes, K tagged classes of an image, T thresholds, H W pixels.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Picture = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.uint8]]
"""CAM (K, H, W), class indices (K,), truth (H, W)"""


def sweep(
    ids: Iterable[str],
    read: Callable[[str], Picture],
    thresholds: Sequence[float],
    num_classes: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """One pass over the pictures for each threshold: read, threshold, count, score.

    Returns the confusion matrices (T, C+1, C+1), rows the truth, and the mIoU (T,).
    """
    ids = list(ids)
    matrices = [one_pass(ids, read, threshold, num_classes) for threshold in thresholds]
    return np.stack(matrices), np.array([mean_iou(matrix) for matrix in matrices])


def one_pass(
    ids: Iterable[str], read: Callable[[str], Picture], threshold: float, num_classes: int
) -> NDArray[np.int64]:
    """The confusion matrix (C+1, C+1) at one threshold: the background scores the threshold."""
    size = num_classes + 1
    matrix = np.zeros((size, size), dtype=np.int64)
    for image_id in ids:
        cam, classes, truth = read(image_id)
        background = np.full((1, *truth.shape), threshold, dtype=np.float32)
        winner = np.concatenate([background, cam]).argmax(axis=0)
        labels = np.array([0, *classes], dtype=np.uint8)[winner]
        kept = truth != 255
        pairs = size * truth[kept].astype(np.int64) + labels[kept]
        matrix += np.bincount(pairs, minlength=size * size).reshape(size, size)
    return matrix


def mean_iou(matrix: NDArray[np.int64]) -> float:
    """The mean over the classes that are in the truth or in the prediction."""
    values = []
    for index in range(len(matrix)):
        union = matrix[index].sum() + matrix[:, index].sum() - matrix[index, index]
        if union:
            values.append(matrix[index, index] / union)
    return float(np.mean(values))


def save_dictionary(path: Path, cam: NDArray, classes: Iterable[int]) -> None:
    """One image's maps as a pickled dictionary from class to float32 (H, W), by numpy."""
    maps = {int(index): cam[row].astype(np.float32) for row, index in enumerate(classes)}
    np.save(path, np.array(maps, dtype=object), allow_pickle=True)
