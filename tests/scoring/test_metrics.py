"""The confusion matrix, scores worked out by hand, and the curve against one pass a threshold."""

import numpy as np
import pytest

from hsc.cam.seeds import threshold_seeds
from hsc.scoring.metrics import ThresholdCurve, confusion, report, scores

NAMES = ["background", "cat", "dog", "emu"]


def test_confusion_counts_truth_in_rows_and_skips_ignored_pixels():
    truth = np.array([[0, 0, 1], [1, 2, 255]], dtype=np.uint8)
    prediction = np.array([[0, 1, 1], [1, 0, 2]], dtype=np.uint8)
    expected = [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    matrix = confusion(prediction, truth, num_classes=2)
    np.testing.assert_array_equal(matrix, expected)
    assert matrix.dtype == np.int64


def test_confusion_of_255_classes_does_not_wrap_around():
    full = np.full((4, 4), 254, dtype=np.uint8)
    assert confusion(full, full, 254)[254, 254] == 16


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), "differ in shape"),
        (np.full((2, 2), 3), np.zeros((2, 2), int), r"prediction has indices 3..3, outside 0..2"),
        (np.zeros((2, 2), int), np.full((2, 2), 3), "truth has indices"),
        (np.full((2, 2), -1), np.zeros((2, 2), int), "prediction has indices"),
        (np.zeros((2, 2)), np.zeros((2, 2), int), "prediction must be integers"),
    ],
)
def test_confusion_refuses_what_does_not_fit(prediction, truth, message):
    with pytest.raises(ValueError, match=message):
        confusion(prediction, truth, num_classes=2)


def test_iou_by_hand_and_an_absent_class_stays_out_of_the_mean():
    # background: 6 / (6 + 2 + 1); cat: 3 / (3 + 2 + 1); dog: predicted nowhere, in the truth;
    # emu: nowhere at all
    matrix = np.array([[6, 1, 0, 0], [1, 3, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    result = scores(matrix)
    np.testing.assert_allclose(result.iou, [6 / 9, 3 / 6, 0, np.nan])
    assert result.present.tolist() == [True, True, True, False]
    assert result.miou == pytest.approx((6 / 9 + 1 / 2 + 0) / 3)


def test_a_class_that_is_only_predicted_counts_as_zero():
    assert scores(np.array([[3, 1], [0, 0]])).iou.tolist() == [0.75, 0]


def test_scores_accumulate_over_the_split_rather_than_average_images():
    first, second = np.array([[9, 0], [1, 0]]), np.array([[0, 0], [0, 10]])
    assert scores(first + second).iou[1] == pytest.approx(10 / 11)


def test_scores_refuse_an_empty_or_oblong_matrix():
    with pytest.raises(ValueError, match="no pixel"):
        scores(np.zeros((3, 3), dtype=np.int64))
    with pytest.raises(ValueError, match="square"):
        scores(np.ones((3, 2), dtype=np.int64))


def test_report_is_in_percent_and_names_the_absent():
    matrix = np.array([[6, 1, 0, 0], [1, 3, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    assert report(matrix, NAMES, "train", 4) == {
        "split": "train",
        "images": 4,
        "mIoU": 38.8889,
        "IoU": {"background": 66.6667, "cat": 50.0, "dog": 0.0},
        "absent": ["emu"],
    }
    with pytest.raises(ValueError, match="3 names for 4 rows"):
        report(matrix, NAMES[:3], "train", 4)


def random_images(seed, num_classes, count):
    """CAMs on a coarse grid of values, so that ties with thresholds and between classes occur."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        tagged = rng.integers(0, num_classes + 1)
        classes = 1 + rng.permutation(num_classes)[:tagged]
        cam = (rng.integers(0, 65, (tagged, 9, 7)) / 64).astype(np.float32)
        truth = rng.integers(0, num_classes + 1, (9, 7)).astype(np.uint8)
        truth[rng.random((9, 7)) < 0.1] = 255
        yield cam, classes, truth


@pytest.mark.parametrize("thresholds", [np.arange(60) / 100, [0.25], [0, 0.125, 0.5, 1.0]])
def test_curve_equals_one_pass_for_each_threshold(thresholds):
    curve = ThresholdCurve(4, thresholds)
    expected = np.zeros((len(thresholds), 5, 5), dtype=np.int64)
    for cam, classes, truth in random_images(7, 4, 40):
        curve.add(cam, classes, truth)
        for row, threshold in zip(expected, thresholds, strict=True):
            row += confusion(threshold_seeds(cam, classes, threshold), truth, 4)
    np.testing.assert_array_equal(curve.confusions(), expected)
    np.testing.assert_array_equal(curve.miou(), [scores(matrix).miou for matrix in expected])


def test_curve_by_hand_with_a_tie_at_the_threshold():
    curve = ThresholdCurve(2, [0.25, 0.5])
    cam = np.array([[[0.5, 0.75, 0.1, 0.3]]], dtype=np.float32)
    curve.add(cam, np.array([2]), np.array([[2, 2, 0, 0]]))
    np.testing.assert_array_equal(
        curve.confusions(),
        [[[1, 0, 1], [0, 0, 0], [0, 0, 2]], [[2, 0, 0], [0, 0, 0], [1, 0, 1]]],
    )
    # at 0.25: precision 2/3, recall 2/2; at 0.5: precision 1/1, recall 1/2
    np.testing.assert_allclose(curve.precision_recall(), [[2 / 3, 1], [1, 1 / 2]])
    # background 1/2, class 2 2/3; background 2/3, class 2 1/2: equal, so the lower threshold
    np.testing.assert_allclose(curve.miou(), [7 / 12, 7 / 12])
    assert curve.best() == (0.25, pytest.approx(7 / 12))


def test_precision_and_recall_are_1_where_there_is_no_foreground():
    curve = ThresholdCurve(1, [0.5])
    curve.add(np.zeros((0, 2, 2), np.float32), np.array([], int), np.zeros((2, 2), np.uint8))
    assert curve.precision_recall().tolist() == [[1, 1]]
    assert curve.confusions().tolist() == [[[4, 0], [0, 0]]]
    assert curve.miou().tolist() == [1]


def test_curve_ignores_an_image_that_is_all_border_and_has_no_score_without_pixels():
    curve = ThresholdCurve(1, [0.5])
    curve.add(np.ones((1, 2, 2), np.float32), np.array([1]), np.full((2, 2), 255, np.uint8))
    assert not curve.confusions().any()
    with pytest.raises(ValueError, match="no pixel"):
        curve.miou()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "uint64"])
def test_curve_takes_masks_of_any_integers(dtype):
    curve = ThresholdCurve(254, [0.5])
    cam = np.array([[[0.6, 0.4, 0.9]], [[0.2, 0.7, 0.9]]], dtype=np.float32)
    curve.add(cam, np.array([254, 3]), np.array([[254, 3, 255]], dtype=dtype))
    (matrix,) = curve.confusions()
    assert matrix.sum() == 2
    assert matrix[254, 254] == matrix[3, 3] == 1


@pytest.mark.parametrize("num_classes", [0, 255])
def test_curve_has_room_for_254_classes(num_classes):
    with pytest.raises(ValueError, match=f"1..254, got {num_classes}"):
        ThresholdCurve(num_classes, [0.5])


@pytest.mark.parametrize(
    ("cam", "classes", "truth", "message"),
    [
        (np.zeros((1, 2, 3)), [1], np.zeros((2, 2), int), "does not fit"),
        (np.zeros((2, 2, 2)), [1], np.zeros((2, 2), int), "does not fit"),
        (np.zeros((1, 2, 2)), [4], np.zeros((2, 2), int), "classes has indices"),
        (np.zeros((2, 2, 2)), [1, 1], np.zeros((2, 2), int), "distinct"),
        (np.zeros((1, 2, 2)), [0], np.zeros((2, 2), int), "without 0"),
        (np.zeros((1, 2, 2)), [1], np.full((2, 2), 9), "truth has indices"),
        (np.full((1, 2, 2), np.nan), [1], np.zeros((2, 2), int), r"\[0, 1\]"),
        (np.full((1, 2, 2), 1.5), [1], np.zeros((2, 2), int), r"\[0, 1\]"),
    ],
)
def test_curve_refuses_what_does_not_fit(cam, classes, truth, message):
    with pytest.raises(ValueError, match=message):
        ThresholdCurve(3, [0.1, 0.2]).add(cam.astype(np.float32), np.array(classes), truth)


@pytest.mark.parametrize("thresholds", [[], [0.2, 0.1], [0.1, 0.1], [[0.1]], [float("nan"), 0.1]])
def test_thresholds_ascend(thresholds):
    with pytest.raises(ValueError, match="ascend"):
        ThresholdCurve(3, thresholds)
