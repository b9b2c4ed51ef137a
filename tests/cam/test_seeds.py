"""Thresholding of CAMs, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hsc.cam.seeds import otsu_threshold, threshold_seeds


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


# Otsu's threshold

HISTOGRAMS = arrays(np.float64, st.integers(2, 40), elements=st.integers(0, 50).map(float)).filter(
    lambda counts: np.count_nonzero(counts) > 1
)


@given(HISTOGRAMS)
def test_no_other_edge_parts_the_scores_further(counts):
    """Against the definition: w0 w1 (m0 - m1)^2 at every edge."""
    centres = (np.arange(len(counts)) + 0.5) / len(counts)

    def apart(edge):
        low, high = counts[:edge], counts[edge:]
        if not low.sum() or not high.sum():
            return 0.0
        means = (np.average(centres[:edge], weights=low), np.average(centres[edge:], weights=high))
        return low.sum() * high.sum() * (means[0] - means[1]) ** 2

    threshold = otsu_threshold(counts)
    edges = range(1, len(counts))
    best = max(map(apart, edges))
    equal = [edge for edge in edges if apart(edge) >= best * (1 - 1e-6)]
    assert min(equal) <= threshold * len(counts) + 1e-9
    assert threshold * len(counts) <= max(equal) + 1e-9


@given(HISTOGRAMS, st.floats(0.1, 10))
def test_only_the_shape_of_the_histogram_counts(counts, scale):
    assert otsu_threshold(counts * scale) == pytest.approx(otsu_threshold(counts))
    assert otsu_threshold(counts[::-1]) == pytest.approx(1 - otsu_threshold(counts))


def test_between_two_groups_it_is_the_middle():
    counts = np.zeros(100)
    counts[10], counts[70] = 30, 5
    assert otsu_threshold(counts) == pytest.approx(0.405)
    assert otsu_threshold(np.eye(1, 8, 3)[0]) == 0.5  # one group has no threshold of its own


@pytest.mark.parametrize("counts", [[], [0, 0], [1, -1, 3], [[1, 2]]])
def test_what_is_no_histogram(counts):
    with pytest.raises(ValueError, match="a histogram has one axis"):
        otsu_threshold(np.array(counts, dtype=float))
