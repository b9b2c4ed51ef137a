"""Scoring of labels against the masks of a small data set."""

import numpy as np
import pytest

from hsc.base.errors import HscError
from hsc.data.label_maps import extra_files
from hsc.data.lists import write_index
from hsc.data.voc import write_mask
from tests.scoring.two_pictures import CLASSES, MASKS, SPLITS, make_folder, scored


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "data")


def test_labels_are_scored_over_the_split(folder):
    labels = folder.root.parent / "labels"
    write_mask(labels / "a.png", np.zeros((2, 3), np.uint8))
    write_mask(labels / "b.png", np.ones((3, 2), np.uint8))
    # background: 3 right, 2 cats missed in a, 4 cats too many in b; cat: 2 right
    assert scored(folder, labels, "train") == {
        "split": "train",
        "images": 2,
        "mIoU": round(100 * (3 / 9 + 2 / 8) / 2, 4),
        "IoU": {"background": 33.3333, "cat": 25.0},
        "absent": ["dog"],
    }


def test_what_is_ignored_in_the_mask_does_not_count(folder):
    predictions = folder.root.parent / "predictions"
    for image_id, mask in MASKS.items():
        write_mask(predictions / f"{image_id}.png", np.where(mask == 255, 2, mask).astype(np.uint8))
    result = scored(folder, predictions, "train")
    assert result["mIoU"] == 100.0  # what is under an ignored pixel does not matter
    assert result["absent"] == ["dog"]


def test_labels_of_another_size_name_both_files(folder):
    predictions = folder.root.parent / "predictions"
    write_mask(predictions / "b.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(HscError, match=r"predictions/b\.png.*SegmentationClass/b\.png"):
        scored(folder, predictions, "train")


@pytest.mark.parametrize("name", ["c.png", "a.jpg", "notes.txt"])
def test_a_file_of_no_picture_is_named(folder, name):
    predictions = folder.root.parent / "predictions"
    for image_id, mask in MASKS.items():
        write_mask(predictions / f"{image_id}.png", np.where(mask == 255, 0, mask).astype(np.uint8))
    (predictions / ".hidden").write_bytes(b"")
    assert scored(folder, predictions, "train")["images"] == 2
    (predictions / name).write_bytes(b"")
    assert extra_files(predictions, MASKS) == [name]
    with pytest.raises(HscError, match=rf"predictions/{name}: of no picture of train \(1 such"):
        scored(folder, predictions, "train")


def test_labels_of_all_training_pictures_may_be_scored_on_train(folder):
    """Pseudo labels are made of all of train_aug, whose scored part is train."""
    write_index(
        folder.root,
        CLASSES,
        dict.fromkeys(MASKS, ("cat",)),
        SPLITS | {"train": ["a"], "val": ["b"]},
    )
    predictions = folder.root.parent / "predictions"
    for image_id, mask in MASKS.items():
        write_mask(predictions / f"{image_id}.png", np.where(mask == 255, 0, mask).astype(np.uint8))
    assert scored(folder, predictions, "train")["images"] == 1
    with pytest.raises(HscError, match=r"predictions/a\.png: of no picture of val"):
        scored(folder, predictions, "val")


@pytest.mark.parametrize("index", [3, 255])
def test_an_index_beyond_the_classes_is_named(folder, index):
    predictions = folder.root.parent / "predictions"
    write_mask(predictions / "b.png", np.full((3, 2), index, np.uint8))
    with pytest.raises(HscError, match=rf"b\.png: index {index}, but the data set has 0\.\.2"):
        scored(folder, predictions, "train")
