"""Scores of labels that may say that they are not sure."""

from pathlib import Path

import numpy as np
import pytest

from hsc.base.errors import HscError
from hsc.data.voc import VocFolder, write_mask
from hsc.scoring.rounds import label_scores, score_rounds


def test_scores_by_hand() -> None:
    # truth in rows; background, one class, unsure
    matrix = np.array([[6, 2, 2], [1, 3, 4], [0, 0, 0]])
    assert label_scores(matrix) == {
        "mIoU": round(100 * (6 / 11 + 3 / 10) / 2, 4),  # 6 of 10 + 7 - 6; 3 of 8 + 5 - 3
        "precision": round(100 * (6 / 7 + 3 / 5) / 2, 4),
        "recall": round(100 * (6 / 10 + 3 / 8) / 2, 4),
        "labelled": round(100 * 12 / 18, 4),
    }


def test_a_class_that_is_nowhere_is_left_out() -> None:
    matrix = np.array([[5, 0, 0, 1], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert label_scores(matrix)["recall"] == pytest.approx(100 * (5 / 6 + 1) / 2, abs=1e-4)


def test_every_round_is_scored(tmp_path: Path, tiny_folder: VocFolder) -> None:
    for image_id in tiny_folder.ids("train"):
        truth = tiny_folder.mask(image_id)
        write_mask(tmp_path / "0" / f"{image_id}.png", np.full_like(truth, 255))
        write_mask(tmp_path / "1" / f"{image_id}.png", np.where(truth == 255, 0, truth))
    (tmp_path / ".made.json").write_text("{}")
    scores = score_rounds(tiny_folder, tmp_path)
    assert list(scores) == ["0", "1"]
    assert scores["0"] == {"mIoU": 0, "precision": 0, "recall": 0, "labelled": 0}
    assert scores["1"] == {"mIoU": 100, "precision": 100, "recall": 100, "labelled": 100}


def test_rounds_that_are_not_there_are_an_error(tmp_path: Path, tiny_folder: VocFolder) -> None:
    with pytest.raises(HscError, match="no files in it of any round"):
        score_rounds(tiny_folder, tmp_path)
