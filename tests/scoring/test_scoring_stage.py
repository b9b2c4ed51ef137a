"""Scoring of labels and CAMs against the masks of a small data set."""

import numpy as np
import pytest
from PIL import Image

from hsc.base.errors import HscError
from hsc.cam.seeds import threshold_seeds
from hsc.data.lists import write_index
from hsc.data.voc import VocFolder, layout, write_image, write_mask
from hsc.scoring.metrics import ThresholdCurve
from hsc.scoring.stage import choose_threshold, extra_files, read_labels, score_curve, score_labels
from hsc.store import CamReader, CamWriter

CLASSES = ["cat", "dog"]
MASKS = {
    "a": np.array([[0, 0, 1], [0, 255, 1]], dtype=np.uint8),
    "b": np.array([[1, 1], [0, 0], [0, 0]], dtype=np.uint8),
}
SPLITS = {"train_aug": ["b", "a"], "train": ["b", "a"], "val": []}


@pytest.fixture
def folder(tmp_path):
    """Two images of different sizes, split `train`; no dog anywhere."""
    root = tmp_path / "data"
    root.mkdir()
    write_index(root, CLASSES, dict.fromkeys(MASKS, ("cat",)), SPLITS)
    for image_id, mask in MASKS.items():
        paths = layout(root, image_id)
        write_image(paths.image, np.zeros((*mask.shape, 3), dtype=np.uint8))
        write_mask(paths.mask, mask)
    return VocFolder(root)


@pytest.fixture
def cams(tmp_path):
    """CAMs of both images, open."""
    rng = np.random.default_rng(0)
    with CamWriter(tmp_path / "cams.h5", CLASSES, "") as writer:
        for image_id, mask in MASKS.items():
            writer.add(image_id, rng.random((1, *mask.shape), dtype=np.float32), [1])
    with CamReader(tmp_path / "cams.h5") as reader:
        yield reader


def test_labels_are_scored_over_the_split(folder):
    labels = {"a": np.zeros((2, 3), np.uint8), "b": np.ones((3, 2), np.uint8)}
    # background: 3 right, 2 cats missed in a, 4 cats too many in b; cat: 2 right
    assert score_labels(folder, labels.__getitem__, "train") == {
        "split": "train",
        "images": 2,
        "mIoU": round(100 * (3 / 9 + 2 / 8) / 2, 4),
        "IoU": {"background": 33.3333, "cat": 25.0},
        "absent": ["dog"],
    }


def test_a_folder_of_pictures_scores_as_its_arrays_do(folder):
    predictions = folder.root.parent / "predictions"
    for image_id, mask in MASKS.items():
        write_mask(predictions / f"{image_id}.png", np.where(mask == 255, 2, mask).astype(np.uint8))
    result = score_labels(folder, predictions, "train")
    assert result["mIoU"] == 100.0  # what is under an ignored pixel does not matter
    assert result["absent"] == ["dog"]


def test_labels_of_another_size_name_both_files(folder):
    predictions = folder.root.parent / "predictions"
    write_mask(predictions / "b.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(HscError, match=r"predictions/b\.png.*SegmentationClass/b\.png"):
        score_labels(folder, predictions, "train")
    with pytest.raises(HscError, match=r"labels of b.*SegmentationClass/b\.png"):
        score_labels(folder, lambda _: np.zeros((2, 2), np.uint8), "train")


@pytest.mark.parametrize("name", ["c.png", "a.jpg", "notes.txt"])
def test_a_file_of_no_picture_is_named(folder, name):
    predictions = folder.root.parent / "predictions"
    for image_id, mask in MASKS.items():
        write_mask(predictions / f"{image_id}.png", np.where(mask == 255, 0, mask).astype(np.uint8))
    (predictions / ".hidden").write_bytes(b"")
    assert score_labels(folder, predictions, "train")["images"] == 2
    (predictions / name).write_bytes(b"")
    assert extra_files(predictions, MASKS) == [name]
    with pytest.raises(HscError, match=rf"predictions/{name}: of no picture of train \(1 such"):
        score_labels(folder, predictions, "train")


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
    assert score_labels(folder, predictions, "train")["images"] == 1
    with pytest.raises(HscError, match=r"predictions/a\.png: of no picture of val"):
        score_labels(folder, predictions, "val")


@pytest.mark.parametrize("index", [3, 255])
def test_an_index_beyond_the_classes_is_named(folder, index):
    predictions = folder.root.parent / "predictions"
    write_mask(predictions / "b.png", np.full((3, 2), index, np.uint8))
    with pytest.raises(HscError, match=rf"b\.png: index {index}, but the data set has 0\.\.2"):
        score_labels(folder, predictions, "train")


def test_reading_labels(tmp_path):
    labels = np.array([[0, 7], [255, 20]], dtype=np.uint8)
    write_mask(tmp_path / "palette.png", labels)
    Image.fromarray(labels).save(tmp_path / "grey.png")
    for name in ("palette", "grey"):
        found = read_labels(tmp_path, name)
        np.testing.assert_array_equal(found, labels)
        assert found.dtype == np.uint8


def test_labels_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(HscError, match=r"a\.png: no such file; run the stage"):
        read_labels(tmp_path, "a")
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    with pytest.raises(HscError, match=r"a\.png.*RGB"):
        read_labels(tmp_path, "a")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(HscError, match=r"a\.png: cannot be read"):
        read_labels(tmp_path, "a")


def test_the_curve_agrees_with_the_seeds_written_at_each_threshold(folder, cams):
    thresholds = [0.1, 0.4, 0.7]
    curve = score_curve(folder, cams, "train", thresholds)
    for threshold, miou in zip(thresholds, curve.miou(), strict=True):
        result = score_labels(
            folder, lambda i, t=threshold: threshold_seeds(*cams.read(i), t), "train"
        )
        assert result["mIoU"] == pytest.approx(100 * miou, abs=1e-4)


def test_cams_of_other_classes_are_named(folder, tmp_path):
    with CamWriter(tmp_path / "other.h5", ["dog", "cat"], ""):
        pass
    with (
        CamReader(tmp_path / "other.h5") as reader,
        pytest.raises(HscError, match=r"other\.h5.*dog, cat.*cat, dog"),
    ):
        score_curve(folder, reader, "train", [0.1])


def test_cams_that_lack_an_image_or_have_another_size_are_named(folder, tmp_path):
    path = tmp_path / "other.h5"
    with CamWriter(path, CLASSES, "") as writer:
        writer.add("b", np.zeros((1, 2, 2)), [1])
    with CamReader(path) as reader, pytest.raises(HscError, match=r"other\.h5: no map of a"):
        score_curve(folder, reader, "train", [0.1])
    with CamWriter(path, CLASSES, "") as writer:
        writer.add("a", np.zeros((1, 2, 3)), [1])
        writer.add("b", np.zeros((1, 2, 2)), [1])
    with (
        CamReader(path) as reader,
        pytest.raises(HscError, match=r"other\.h5: b: .*SegmentationClass/b\.png"),
    ):
        score_curve(folder, reader, "train", [0.1])


def test_the_threshold_used_and_the_best_one():
    curve = ThresholdCurve(1, [0.1, 0.2, 0.3])
    # right at 0.2 only: the foreground is 0.3, the background 0.2
    curve.add(np.array([[[0.2, 0.3]]], np.float32), np.array([1]), np.array([[0, 1]]))
    assert choose_threshold("best", curve) == (0.2, 0.2)
    assert choose_threshold(0.26, curve) == (0.26, 0.2)
    with pytest.raises(HscError, match=r"seeds\.threshold: 'worst'"):
        choose_threshold("worst", curve)
