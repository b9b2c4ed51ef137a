"""Segmentation scores: the confusion matrix, IoU from it, and a threshold curve in one pass.

Letters: C foreground classes, K tagged classes of an image, T thresholds, H W pixels. A confusion
matrix is int64 (C+1, C+1), rows the truth, columns the prediction, index 0 the background.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsc.data.classes import BACKGROUND, IGNORE


def confusion(prediction: NDArray, truth: NDArray, num_classes: int) -> NDArray[np.int64]:
    """Count the pixels of each pair (truth, prediction).

    prediction: integers 0..C, any shape. truth: integers 0..C or 255 ("ignore": not counted), the
    same shape. num_classes: C, the background not counted.
    Returns int64 (C+1, C+1). Matrices of several images add up.
    Raises ValueError for other shapes, other dtypes or an index beyond C.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction {prediction.shape} and truth {truth.shape} differ in shape")
    _check_indices("prediction", prediction, num_classes)
    size = num_classes + 1
    kept = truth != IGNORE
    rows = truth[kept]
    _check_indices("truth", rows, num_classes)
    pairs = rows.astype(np.int64) * size + prediction[kept]
    return np.bincount(pairs, minlength=size * size).reshape(size, size)


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says. Fractions in [0, 1].

    iou: float64 (C+1,), nan where the class is neither in the truth nor in the prediction.
    miou: the mean over the other classes.
    present: bool (C+1,), the classes that the mean is over.
    """

    iou: NDArray[np.float64]
    miou: float
    present: NDArray[np.bool_]


def scores(matrix: NDArray[np.int64]) -> Scores:
    """IoU as VOC defines it: true positives over the union, both summed over the whole split.

    matrix: (C+1, C+1) from `confusion`. A class absent from truth and prediction is no 0 and no 1:
    it stays out of the mean. Raises ValueError when no pixel was counted.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"a confusion matrix is square, got {matrix.shape}")
    iou = _iou(matrix)
    present = ~np.isnan(iou)
    return Scores(iou, float(iou[present].mean()), present)


def report(
    matrix: NDArray[np.int64], class_names: Sequence[str], split: str, images: int
) -> dict[str, Any]:
    """The scores as a JSON-able dictionary; IoU in percent, rounded to 4 decimals.

    class_names: C+1 names, the background's first. A class absent from truth and prediction is
    named under `absent`, with no entry under `IoU`. Raises ValueError for another number of names.
    """
    if len(class_names) != len(matrix):
        raise ValueError(f"{len(class_names)} names for {len(matrix)} rows of the confusion matrix")
    result = scores(matrix)
    percent = (100 * result.iou).round(4).tolist()
    named = list(zip(class_names, percent, result.present.tolist(), strict=True))
    return {
        "split": split,
        "images": images,
        "mIoU": round(100 * result.miou, 4),
        "IoU": {name: value for name, value, present in named if present},
        "absent": [name for name, _, present in named if not present],
    }


def unscored(split: str) -> dict[str, Any]:
    """The report for a data set without masks: nothing was scored, and it says so."""
    return {"split": split, "images": 0, "mIoU": None}


def describe(scores: dict[str, Any]) -> str:
    """A report in a few words, for the summary line of a stage."""
    if scores["mIoU"] is None:
        return f"not scored, no masks for {scores['split']}"
    return f"mIoU {scores['mIoU']:.2f} % on {scores['split']} ({scores['images']} images)"


class ThresholdCurve:
    """The confusion matrices of all thresholds on CAMs from one pass over the data.

    At threshold t a pixel's label is its arg-max class where the maximum is above t (strictly: a
    tie is background) and the background elsewhere. So a pixel is foreground exactly at the
    thresholds below its maximum: it is counted once, under (arg-max class, truth, number of those
    thresholds), and cumulative sums over the last axis give every threshold's matrix. The result
    equals that of `threshold_seeds` and `confusion` at each threshold, to the pixel.
    """

    def __init__(self, num_classes: int, thresholds: ArrayLike) -> None:
        """num_classes: C, 1 to 254. thresholds: T numbers, strictly ascending, held as float32."""
        if not 0 < num_classes < IGNORE:
            raise ValueError(f"num_classes must lie in 1..{IGNORE - 1}, got {num_classes}")
        self.num_classes = num_classes
        self.thresholds = np.asarray(thresholds, dtype=np.float64)
        self._edges = self.thresholds.astype(np.float32)
        if self._edges.ndim != 1 or not self._edges.size or not (np.diff(self._edges) > 0).all():
            raise ValueError(f"thresholds must ascend strictly, got {self.thresholds.tolist()}")
        size = num_classes + 1
        # class × truth × number of thresholds below the pixel's maximum
        self._counts = np.zeros((size, size, self._edges.size + 1), dtype=np.int64)

    def add(self, cam: NDArray[np.float32], classes: NDArray, truth: NDArray) -> None:
        """Count one image.

        cam: float32 (K, H, W) in [0, 1]. classes: K distinct indices 1..C. truth: integers (H, W),
        0..C or 255. K = 0 makes every pixel background.
        Raises ValueError for shapes that do not fit, an index beyond C, values outside [0, 1].
        """
        classes = np.asarray(classes, dtype=np.int64)
        if cam.ndim != 3 or cam.shape != (len(classes), *truth.shape):
            raise ValueError(
                f"cam {cam.shape} does not fit {len(classes)} classes and truth {truth.shape}"
            )
        if classes.size:
            _check_indices("classes", classes, self.num_classes)
            if classes.min() == BACKGROUND or len(np.unique(classes)) != len(classes):
                raise ValueError(f"classes must be distinct, without 0, got {classes.tolist()}")
        kept = truth != IGNORE
        _check_indices("truth", truth[kept], self.num_classes)
        if not kept.any():
            return
        size, bins = self._counts.shape[1:]
        # an extra row takes the ignored pixels: cheaper than picking the others out
        rows = np.where(kept, truth.astype(np.uint8, copy=False), np.uint8(size))
        if not classes.size:
            self._counts[BACKGROUND, :, 0] += np.bincount(rows.ravel(), minlength=size + 1)[:size]
            return
        best, winner = _strongest(cam)
        if not (best.min() >= 0 and best.max() <= 1):
            raise ValueError(f"cam must lie in [0, 1], got {best.min()} to {best.max()}")
        cells = winner.astype(np.int64)  # in place from here: new arrays of this size cost more
        cells *= size + 1
        cells += rows
        cells *= bins
        cells += np.searchsorted(self._edges, best.astype(np.float32, copy=False), side="left")
        counts = np.bincount(cells.ravel(), minlength=len(classes) * (size + 1) * bins)
        self._counts[classes] += counts.reshape(len(classes), size + 1, bins)[:, :size]

    def confusions(self) -> NDArray[np.int64]:
        """The confusion matrix at each threshold: (T, C+1, C+1), rows the truth."""
        # reached[c, r, t]: pixels of truth r whose class c is above threshold t
        reached = self._counts[:, :, ::-1].cumsum(axis=2)[:, :, ::-1][:, :, 1:]
        matrices = reached.transpose(2, 1, 0).copy()
        totals = self._counts.sum(axis=(0, 2))
        matrices[:, :, BACKGROUND] += totals - matrices.sum(axis=2)
        return matrices

    def miou(self) -> NDArray[np.float64]:
        """mIoU at each threshold: (T,), fractions. Raises ValueError when no pixel was counted."""
        return np.nanmean(_iou(self.confusions()), axis=1)

    def best(self) -> tuple[float, float]:
        """The threshold with the highest mIoU (the lowest of equals) and that mIoU."""
        curve = self.miou()
        index = int(curve.argmax())
        return float(self.thresholds[index]), float(curve[index])

    def precision_recall(self) -> NDArray[np.float64]:
        """Precision and recall of foreground against background at each threshold: (T, 2).

        Whether the foreground's class is right does not matter here. Where nothing is foreground
        in the prediction (in the truth), precision (recall) is 1: nothing was wrong.
        """
        matrices = self.confusions()
        hits = matrices[:, 1:, 1:].sum(axis=(1, 2))
        found = np.stack([matrices[:, :, 1:].sum(axis=(1, 2)), matrices[:, 1:].sum(axis=(1, 2))], 1)
        return np.divide(hits[:, None], found, out=np.ones(found.shape), where=found > 0)


def _strongest(cam: NDArray) -> tuple[NDArray, NDArray[np.uint8]]:
    """The maximum over K maps (K, H, W), 1 to 254, and its index, the first of equals; both (H, W).

    A loop over the few maps reads whole rows; arg max over the first axis is many times slower.
    """
    best, winner = cam[0], np.zeros(cam.shape[1:], dtype=np.uint8)
    for index, values in enumerate(cam[1:], start=1):
        # indices ascend, so the latest winner has the greatest
        np.maximum(winner, (values > best) * np.uint8(index), out=winner)
        best = np.maximum(best, values)
    return best, winner


def _iou(matrices: NDArray[np.int64]) -> NDArray[np.float64]:
    """IoU by class of matrices (..., C+1, C+1): (..., C+1), nan where the union is empty."""
    if not matrices.any():
        raise ValueError("no pixel was counted: there is nothing to score")
    hits = np.diagonal(matrices, axis1=-2, axis2=-1)
    union = matrices.sum(axis=-1) + matrices.sum(axis=-2) - hits
    return np.divide(hits, union, out=np.full(union.shape, np.nan), where=union > 0)


def _check_indices(name: str, indices: NDArray, num_classes: int) -> None:
    """Raise ValueError unless `indices` are integers in 0..num_classes."""
    if indices.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers, got {indices.dtype}")
    if indices.size and (indices.min() < 0 or indices.max() > num_classes):
        raise ValueError(
            f"{name} has indices {indices.min()}..{indices.max()}, outside 0..{num_classes}"
        )
