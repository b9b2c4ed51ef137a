"""Scores as files: what fits a line of `dvc metrics show`, what is by class, tables for plots.

Letters: C foreground classes.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hsc.base.files import atomic_file, write_json

_BY_CLASS = ("IoU", "absent")


def write_scores(scores: dict[str, Any], metrics: Path, classes: Path) -> None:
    """Write a report of `hsc.scoring.metrics` in two: a metric for DVC, and what is by class.

    DVC shows every number of a metric in a column of its own, so 80 classes stay out of it. Of data
    without masks `classes` has an empty `IoU`.
    """
    write_json(metrics, {key: value for key, value in scores.items() if key not in _BY_CLASS})
    write_json(classes, {"IoU": scores.get("IoU", {}), "absent": scores.get("absent", [])})


def write_iou(scores: dict[str, Any], path: Path) -> None:
    """Write `class,IoU` in percent, the best class first, of a report of `hsc.scoring.metrics`.

    Classes that are in neither truth nor labels are left out; of a data set without masks, whose
    report has no IoU, there is the header alone.
    """
    by_class = scores.get("IoU", {})
    rows = sorted(by_class.items(), key=lambda item: item[1], reverse=True)
    _write(["class", "IoU"], ((name, f"{value:.4f}") for name, value in rows), path)


def write_confusion(matrix: NDArray | None, class_names: Sequence[str], path: Path) -> None:
    """Write `truth,label,pixels`, a line for each pair of classes, by index; None: the header.

    matrix: int64 (C+1, C+1), rows the truth. class_names: C+1 names, background first. Raises
    ValueError for another number of names.
    """
    rows: Iterable[tuple[str, str, int]] = ()
    if matrix is not None:
        if matrix.shape != (len(class_names), len(class_names)):
            raise ValueError(f"{len(class_names)} names for a matrix of {matrix.shape}")
        rows = (
            (truth, label, int(pixels))
            for truth, line in zip(class_names, matrix, strict=True)
            for label, pixels in zip(class_names, line, strict=True)
        )
    _write(["truth", "label", "pixels"], rows, path)


def write_rounds(rounds: dict[str, dict[str, float]], path: Path) -> None:
    """A line a round of `hsc.scoring.rounds.score_rounds`; without rounds the header alone."""
    columns = ("mIoU", "precision", "recall", "labelled")
    rows = ((number, *(row[name] for name in columns)) for number, row in rounds.items())
    _write(["round", *columns], rows, path)


def _write(header: list[str], rows: Iterable[tuple], path: Path) -> None:
    with atomic_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
