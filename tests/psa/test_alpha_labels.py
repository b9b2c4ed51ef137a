"""The labels that two CRFs agree about: by hand, against the CRFs, edges and errors.

The published merge is compared in tests/golden_affinity.py.
"""

import numpy as np
import pytest

from hsc.crf.dense import CrfConfig, refine_cam
from hsc.psa.alpha_labels import alpha_labels, merge_alpha

CLASSES = np.array([3, 7])


def scores(*winners: int) -> np.ndarray:
    """Scores (3, 1, W) in which these channels are the greatest."""
    return 0.1 + 0.8 * np.eye(3)[list(winners)].T[:, None]


def test_merging_by_hand() -> None:
    low = scores(1, 2, 0, 0, 1, 0)
    high = scores(1, 2, 1, 0, 0, 2)
    labels = merge_alpha(low, high, CLASSES)
    assert labels.dtype == np.uint8
    # sure of 3, sure of 7, doubt, background, background whatever `low` says, doubt
    assert labels.tolist() == [[3, 7, 255, 0, 0, 255]]


def test_no_scores_are_no_label() -> None:
    empty = np.zeros((3, 2, 2))
    assert (merge_alpha(empty, empty, CLASSES) == 255).all()


@pytest.mark.parametrize(
    ("low", "high", "classes"),
    [
        (np.ones((3, 2, 2)), np.ones((3, 2, 3)), CLASSES),
        (np.ones((2, 2, 2)), np.ones((2, 2, 2)), CLASSES),
        (np.ones((3, 2)), np.ones((3, 2)), CLASSES),
    ],
)
def test_shapes_that_do_not_fit_are_errors(low, high, classes) -> None:
    with pytest.raises(ValueError, match="and 2 classes do not fit"):
        merge_alpha(low, high, classes)


@pytest.fixture
def picture():
    """A picture, left third black, right third white, and a CAM that is sure at the ends."""
    image = np.zeros((16, 48, 3), dtype=np.uint8)
    image[:, 16:32], image[:, 32:] = 128, 255
    cam = np.zeros((1, 16, 48), dtype=np.float32)
    cam[0, :, :16], cam[0, :, 16:32] = 0.9, 0.15
    return image, cam


def test_labels_of_a_picture(picture) -> None:
    image, cam = picture
    labels = alpha_labels(image, cam, np.array([5]), (1, 24), CrfConfig(iterations=3))
    assert (labels[:, 2:14] == 5).all()
    assert (labels[:, 18:30] == 255).all(), "0.85 against 0.15, and 0.02 against 0.15"
    assert (labels[:, 34:] == 0).all()


@pytest.mark.parametrize("alphas", [(1, 24), (2, 3), (4, 24)])
def test_sure_is_what_both_crfs_say(picture, alphas) -> None:
    image, cam = picture
    config, classes = CrfConfig(iterations=2), np.array([5])
    low, high = (refine_cam(image, cam, classes, alpha, config) for alpha in alphas)
    labels = alpha_labels(image, cam, classes, alphas, config)
    np.testing.assert_array_equal(labels == 0, high == 0)
    np.testing.assert_array_equal(labels == 5, (low == 5) & (high != 0))


def test_a_picture_without_tags_is_background() -> None:
    labels = alpha_labels(
        np.zeros((4, 6, 3), dtype=np.uint8),
        np.empty((0, 4, 6)),
        np.empty(0, int),
        (4, 24),
        CrfConfig(),
    )
    assert labels.shape == (4, 6)
    assert not labels.any()
