"""The dense CRF: what it must do on pictures whose answer is plain."""

import sys

import numpy as np
import pytest

from hsc.base.errors import HscError
from hsc.crf.dense import (
    TRAINING_CRF,
    CrfConfig,
    cam_probabilities,
    refine_cam,
    refine_labels,
    refine_prediction,
    refine_probabilities,
)

HEIGHT, WIDTH = 24, 32


@pytest.fixture
def halves():
    """A picture, left half black and right half white, and labels with some wrong pixels."""
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[:, WIDTH // 2 :] = 255
    truth = np.where(image[..., 0] > 0, 5, 0).astype(np.uint8)
    noisy = truth.copy()
    noisy[::6, ::5] = 5 - noisy[::6, ::5]
    return image, truth, noisy


def test_labels_are_pulled_to_the_picture(halves):
    image, truth, noisy = halves
    assert (noisy != truth).any()
    refined = refine_labels(image, noisy, 21)
    np.testing.assert_array_equal(refined, truth)
    assert refined.dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_labels_keep_their_dtype(halves, dtype):
    image, truth, noisy = halves
    refined = refine_labels(image, noisy.astype(dtype), 21)
    assert refined.dtype == dtype
    np.testing.assert_array_equal(refined, truth)


@pytest.mark.parametrize("num_labels", [4, 7, 81])
def test_one_label_standing_for_the_absent_ones_changes_nothing(num_labels):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    labels = rng.choice([0, 2, 3], (HEIGHT, WIDTH))
    config = CrfConfig(iterations=3, bilateral_sxy=10, bilateral_srgb=30)
    every = np.full((num_labels, HEIGHT, WIDTH), 0.3 / (num_labels - 1))
    np.put_along_axis(every, labels[None], 0.7, axis=0)
    expected = refine_probabilities(image, every, config).argmax(axis=0)
    np.testing.assert_array_equal(refine_labels(image, labels, num_labels, config), expected)


def test_a_prediction_is_refined_to_labels(halves):
    image, truth, noisy = halves
    probabilities = np.full((6, HEIGHT, WIDTH), 0.05, dtype=np.float32)
    np.put_along_axis(probabilities, noisy[None].astype(np.int64), 0.75, axis=0)
    labels = refine_prediction((image, probabilities), CrfConfig())
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, truth)


def test_all_labels_present_leaves_none_to_stand_for():
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    labels = np.arange(16).reshape(4, 4) // 8
    assert refine_labels(image, labels, 2).shape == (4, 4)


def test_a_single_label_is_returned_as_a_copy():
    image = np.zeros((4, 5, 3), dtype=np.uint8)
    labels = np.full((4, 5), 3, dtype=np.uint8)
    refined = refine_labels(image, labels, 21)
    np.testing.assert_array_equal(refined, labels)
    assert refined is not labels


def test_probabilities_sum_to_one_and_read_only_pictures_do(halves):
    image, truth, _ = halves
    image.flags.writeable = False
    soft = np.stack([np.where(truth == 0, 0.6, 0.4), np.where(truth == 0, 0.4, 0.6)])
    refined = refine_probabilities(image, soft, CrfConfig())
    assert refined.dtype == np.float32
    assert refined.shape == soft.shape
    np.testing.assert_allclose(refined.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(refined.argmax(axis=0), truth == 5)
    assert refined.max() > 0.6


def test_without_pairwise_terms_the_probabilities_are_only_normalised():
    image = np.zeros((1, 2, 3), dtype=np.uint8)
    soft = np.array([[[0.2, 0.9]], [[0.2, 0.3]]])
    refined = refine_probabilities(image, soft, CrfConfig(gaussian_compat=0, bilateral_compat=0))
    np.testing.assert_allclose(refined, [[[0.5, 0.75]], [[0.5, 0.25]]], atol=1e-6)


def test_the_background_of_a_cam_is_one_minus_its_maximum_to_the_alpha():
    cam = np.array([[[0.5, 0.0]], [[0.25, 1.0]]], dtype=np.float32)
    expected = [[[0.5**4, 0.0]], [[0.5, 0.0]], [[0.25, 1.0]]]
    scores = cam_probabilities(cam, alpha=4)
    np.testing.assert_allclose(scores, expected)
    assert scores.dtype == np.float32
    assert cam_probabilities(np.zeros((0, 1, 2), np.float32), 4).tolist() == [[[1, 1]]]


def test_a_higher_alpha_means_less_background(halves):
    image, truth, _ = halves
    cam = np.where(truth == 5, 0.3, 0.05)[None].astype(np.float32)
    low = refine_cam(image, cam, np.array([5]), 4, CrfConfig())
    high = refine_cam(image, cam, np.array([5]), 8, CrfConfig())
    assert (low == 5).sum() <= (high == 5).sum()
    np.testing.assert_array_equal(high, truth)
    assert high.dtype == np.uint8


def test_a_cam_without_tagged_classes_is_background(halves):
    image, *_ = halves
    refined = refine_cam(image, np.zeros((0, HEIGHT, WIDTH)), np.array([], int), 4, CrfConfig())
    assert refined.shape == (HEIGHT, WIDTH)
    assert not refined.any()


@pytest.mark.parametrize("field", ["iterations", "gaussian_sxy", "bilateral_srgb"])
def test_config_refuses_what_is_not_positive(field):
    with pytest.raises(ValueError, match=field):
        CrfConfig(**{field: 0})


def test_config_allows_a_weight_of_zero_but_no_negative_one():
    assert CrfConfig(gaussian_compat=0).gaussian_compat == 0
    with pytest.raises(ValueError, match="bilateral_compat"):
        CrfConfig(bilateral_compat=-1)
    assert CrfConfig(bilateral_sxy=50, bilateral_srgb=5) == TRAINING_CRF


def test_what_does_not_fit_is_refused(halves):
    image, _, noisy = halves
    with pytest.raises(ValueError, match="image must be uint8"):
        refine_labels(image[:-1], noisy, 21)
    with pytest.raises(ValueError, match="image must be uint8"):
        refine_labels(image.astype(np.float32), noisy, 21)
    with pytest.raises(ValueError, match=r"labels 0..5 outside 0..4"):
        refine_labels(image, noisy, 5)
    with pytest.raises(ValueError, match="labels must be integers"):
        refine_labels(image, noisy.astype(float), 21)
    with pytest.raises(ValueError, match="gt_prob"):
        refine_labels(image, noisy, 21, gt_prob=1.0)
    with pytest.raises(ValueError, match="does not fit 2 classes"):
        refine_cam(image, np.zeros((1, HEIGHT, WIDTH)), np.array([1, 2]), 4, CrfConfig())
    with pytest.raises(ValueError, match="probabilities must be"):
        refine_probabilities(image, np.zeros((HEIGHT, WIDTH)), CrfConfig())


def test_a_missing_binding_is_named(halves, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    image, _, noisy = halves
    with pytest.raises(HscError, match="pip install pydensecrf2"):
        refine_labels(image, noisy, 21)
