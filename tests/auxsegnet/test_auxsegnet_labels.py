"""AuxSegNet's label rule, its saliency CRF and its files, by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hsc.auxsegnet.labels import (
    RoundLabels,
    Update,
    first_labels,
    label_of,
    next_labels,
    refine_saliency,
)
from hsc.auxsegnet.samples import write_round
from hsc.data.voc import read_grey, read_mask
from hsc.params.segmentation import AuxLabelParams

RULE = AuxLabelParams()
CLASSES = np.array([3, 7])


def test_the_rule_is_that_cam_and_saliency_agree() -> None:
    cam = np.array([[[0.9, 0.1, 0.9, 0.1]], [[0.3, 0.15, 0.95, 0.2]]], dtype=np.float32)
    saliency = np.array([[0.5, 0.5, 0.0, 0.06]])
    # both: the stronger class; salient alone: unsure; classified alone: unsure; neither: background
    assert label_of(cam, CLASSES, saliency, RULE).tolist() == [[3, 255, 255, 0]]


def test_thresholds_are_strict_and_the_first_of_equal_classes_wins() -> None:
    cam = np.array([[[0.2, 0.5]], [[0.2, 0.5]]])
    label = label_of(cam, CLASSES, np.array([[0.07, 0.07]]), RULE)
    assert label.tolist() == [[255, 3]]


def test_a_picture_without_a_tag_is_background_or_unsure() -> None:
    cam = np.empty((0, 1, 2), dtype=np.float32)
    label = label_of(cam, np.empty(0, int), np.array([[0.0, 1.0]]), RULE)
    assert label.tolist() == [[0, 255]]


@given(st.integers(0, 10_000))
def test_a_label_says_only_tagged_classes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cam, saliency = rng.random((2, 4, 5)), rng.random((4, 5))
    assert set(np.unique(label_of(cam, CLASSES, saliency, RULE))) <= {0, 3, 7, 255}


def test_the_first_round_takes_the_maps_as_they_are() -> None:
    saliency = np.array([[255, 0, 15, 16]], dtype=np.uint8)
    made = first_labels(np.full((1, 1, 4), 0.3), np.array([2]), saliency, RULE)
    assert made.label.tolist() == [[2, 255, 255, 2]]  # 15 / 255 is below 0.06
    assert made.saliency is saliency


def test_saliency_of_the_next_round_is_the_crf_s() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    fused = np.zeros((12, 16))
    fused[3:9, 4:12] = 0.9
    probability = refine_saliency(image, fused, RULE.crf)
    made = next_labels(Update("a", image, np.full((1, 12, 16), 0.5), np.array([4]), fused), RULE)
    assert probability.dtype == np.float32
    assert np.isfinite(probability).all()
    assert (made.saliency == (255 * probability).astype(np.uint8)).all()
    assert (made.label == label_of(np.full((1, 12, 16), 0.5), [4], probability, RULE)).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_saliency_that_is_certain_stays_finite(value: float) -> None:
    image = np.zeros((6, 6, 3), dtype=np.uint8)
    probability = refine_saliency(image, np.full((6, 6), value), RULE.crf)
    assert np.allclose(probability, value, atol=1e-3)


def test_an_error_in_a_worker_names_the_picture() -> None:
    update = Update("odd", np.zeros((3, 3, 3), np.uint8), np.ones((1, 2, 2)), [1], np.ones((2, 2)))
    with pytest.raises(ValueError, match="image must be") as caught:
        next_labels(update, RULE)
    assert caught.value.__notes__ == ["in the CRF of picture odd"]


def test_saliency_is_written_as_grey(tmp_path: Path) -> None:
    """The published code writes it with a palette that is not there: it comes back as 0 and 1."""
    saliency = np.array([[0, 1, 128, 255]], dtype=np.uint8)
    label = np.array([[0, 3, 7, 255]], dtype=np.uint8)
    write_round(tmp_path, "a", RoundLabels(label, saliency))
    path = tmp_path / "saliency" / "a.png"
    with Image.open(path) as stored:
        assert stored.mode == "L"
    assert read_grey(path).tolist() == saliency.tolist()
    assert read_mask(tmp_path / "labels" / "a.png", 7).tolist() == label.tolist()
