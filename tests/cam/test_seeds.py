"""Thresholding of CAMs, by hand."""

import numpy as np
import pytest

from hsc.cam.seeds import threshold_seeds


def test_the_strongest_class_above_the_threshold_wins():
    cam = np.array([[[0.9, 0.3, 0.1]], [[0.2, 0.6, 0.2]]], dtype=np.float32)
    seeds = threshold_seeds(cam, np.array([3, 20]), 0.25)
    assert seeds.tolist() == [[3, 20, 0]]
    assert seeds.dtype == np.uint8


def test_ties_go_to_the_background_and_to_the_first_class():
    cam = np.array([[[0.25, 0.5]], [[0.25, 0.5]]], dtype=np.float32)
    assert threshold_seeds(cam, np.array([7, 4]), 0.25).tolist() == [[0, 7]]


def test_a_threshold_that_float32_rounds_is_compared_in_float32():
    cam = np.full((1, 1, 1), 0.1, dtype=np.float32)  # greater than 0.1 in float64
    assert threshold_seeds(cam, np.array([1]), 0.1).item() == 0
    assert threshold_seeds(cam.astype(np.float64), np.array([1]), 0.1).item() == 0


def test_without_tags_all_is_background():
    seeds = threshold_seeds(np.zeros((0, 2, 3), np.float32), np.array([], int), 0.2)
    assert seeds.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert seeds.dtype == np.uint8


def test_shapes_must_fit():
    with pytest.raises(ValueError, match="does not fit 2 classes"):
        threshold_seeds(np.zeros((1, 2, 3), np.float32), np.array([1, 2]), 0.2)
