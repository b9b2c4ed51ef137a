"""Scores as tables: what stands in them, in which order, and data sets without masks."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from hsc.scoring.metrics import report, unscored
from hsc.scoring.tables import write_confusion, write_iou, write_scores

NAMES = ["background", "cat", "dog, large", "owl"]
MATRIX = np.array([[8, 1, 0, 0], [2, 6, 0, 0], [0, 0, 5, 0], [0, 0, 0, 0]])


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def test_a_metric_has_nothing_by_class(tmp_path: Path) -> None:
    """Whatever the report says, so that 80 classes are no 80 columns of `dvc metrics show`."""
    scores = report(MATRIX, NAMES, "val", 2)
    paths = tmp_path / "val.json", tmp_path / "val_classes.json"
    write_scores({**scores, "threshold": 0.3}, *paths)
    metric, classes = (json.loads(path.read_text()) for path in paths)
    assert metric == {"split": "val", "images": 2, "mIoU": scores["mIoU"], "threshold": 0.3}
    assert classes == {"IoU": scores["IoU"], "absent": ["owl"]}
    write_scores(unscored("val"), *paths)
    metric, classes = (json.loads(path.read_text()) for path in paths)
    assert metric == unscored("val")
    assert classes == {"IoU": {}, "absent": []}


def test_iou_the_best_class_first_without_absent_ones(tmp_path: Path) -> None:
    scores = report(MATRIX, NAMES, "val", 2)
    write_iou(scores, tmp_path / "plots" / "iou.csv")
    assert rows(tmp_path / "plots" / "iou.csv") == [
        ["class", "IoU"],
        ["dog, large", "100.0000"],
        ["background", "72.7273"],
        ["cat", "66.6667"],
    ]
    assert scores["absent"] == ["owl"]


def test_classes_with_the_same_iou_stay_in_their_order(tmp_path: Path) -> None:
    write_iou(report(np.eye(4, dtype=np.int64), NAMES, "val", 2), tmp_path / "iou.csv")
    assert [row[0] for row in rows(tmp_path / "iou.csv")[1:]] == NAMES


def test_confusion_has_every_pair(tmp_path: Path) -> None:
    write_confusion(MATRIX, NAMES, tmp_path / "confusion.csv")
    header, *found = rows(tmp_path / "confusion.csv")
    assert header == ["truth", "label", "pixels"]
    assert [row[:2] for row in found] == [[truth, label] for truth in NAMES for label in NAMES]
    assert [int(row[2]) for row in found] == MATRIX.ravel().tolist()


def test_without_masks_there_is_the_header(tmp_path: Path) -> None:
    write_iou(unscored("val"), tmp_path / "iou.csv")
    write_confusion(None, NAMES, tmp_path / "confusion.csv")
    assert (tmp_path / "iou.csv").read_bytes() == b"class,IoU\n"
    assert (tmp_path / "confusion.csv").read_bytes() == b"truth,label,pixels\n"


def test_names_of_another_matrix_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 names for a matrix"):
        write_confusion(MATRIX, NAMES[1:], tmp_path / "confusion.csv")
    assert list(tmp_path.iterdir()) == []
