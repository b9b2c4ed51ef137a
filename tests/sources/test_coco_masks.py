"""hsc.sources.coco_masks: COCO's polygons and run lengths."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as coco

from hsc.sources.coco_masks import Instance, decompress, encode, paint
from tests.sources.coco_archives import compressed_runs, plain_runs, rectangle

MASKS = arrays.arrays(
    np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 70)), elements=st.booleans()
)


def drawn(segmentation: Any, height: int, width: int) -> NDArray[np.uint8]:
    """The mask of one object of class 1."""
    return paint(height, width, [Instance(1, 1, False, encode(segmentation, height, width))])


def test_polygons() -> None:
    two = [rectangle(1, 0, 3, 2), rectangle(4, 2, 5, 3)]
    assert drawn(two, 3, 5).tolist() == [[0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 1]]


def test_a_polygon_that_leaves_the_picture_is_cut() -> None:
    assert drawn([rectangle(1, -4, 90, 1)], 2, 3).tolist() == [[0, 1, 1], [0, 0, 0]]


def test_run_lengths_go_down_the_columns() -> None:
    # outside 1, inside 2, outside 2, inside 1
    assert drawn({"size": [2, 3], "counts": [1, 2, 2, 1]}, 2, 3).tolist() == [[0, 1, 0], [1, 0, 1]]
    # in COCO's string: 1, 2, 2 as they are, then 1 - 2 = -1, which is 31 in five bits
    text = "122" + chr(31 + 48)
    assert drawn({"size": [2, 3], "counts": text}, 2, 3).tolist() == [[0, 1, 0], [1, 0, 1]]


def test_polygons_without_inside_paint_nothing() -> None:
    assert not drawn([[1.0, 1.0, 3.0, 2.0]], 3, 5).any()
    assert drawn([[1.0, 1.0, 3.0, 2.0], rectangle(0, 0, 1, 1)], 2, 2).tolist() == [[1, 0], [0, 0]]


@given(MASKS)
def test_both_run_lengths_give_the_mask_back(mask: NDArray[np.bool_]) -> None:
    for form in (plain_runs, compressed_runs):
        np.testing.assert_array_equal(drawn(form(mask), *mask.shape), mask)


@given(MASKS)
def test_the_compressed_string_is_pycocotools(mask: NDArray[np.bool_]) -> None:
    assert decompress(compressed_runs(mask)["counts"]) == plain_runs(mask)["counts"]


def test_long_runs_are_decompressed() -> None:
    runs = [100_000, 3, 70_000, 40, 5, 137_152]
    text = coco.frPyObjects({"size": [480, 640], "counts": runs}, 480, 640)["counts"].decode()
    assert decompress(text) == runs


def test_the_smaller_is_on_top_and_crowds_are_below() -> None:
    polygons = {
        (1, 7, False): rectangle(0, 0, 4, 2),
        (2, 8, False): rectangle(2, 0, 4, 2),
        (3, 9, False): rectangle(2, 1, 6, 2),
        (4, 5, True): rectangle(3, 1, 6, 2),
        (5, 6, False): rectangle(0, 2, 2, 3),
        (6, 4, False): rectangle(1, 2, 3, 3),
    }
    instances = [Instance(*key, encode([polygon], 3, 6)) for key, polygon in polygons.items()]
    # 2 and 3 are of one size, so 3 is on top, and so is 6 of 5 and 6; 4 is smaller, but a crowd
    expected = [[7, 7, 8, 8, 0, 0], [7, 7, 9, 9, 9, 9], [6, 4, 4, 0, 0, 0]]
    for order in permutations(instances):
        assert paint(3, 6, order).tolist() == expected


def test_a_mask_without_objects() -> None:
    empty = paint(2, 3, [])
    assert empty.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert empty.dtype == np.uint8
    assert empty.flags.c_contiguous


@pytest.mark.parametrize(
    ("segmentation", "problem"),
    [
        ("mask", "neither polygons nor run lengths"),
        ([], "no polygon"),
        ([["a", "b"]], "no numbers"),
        ([[None] * 6], "far outside"),
        ([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]], "no list of x, y"),
        ([[[0.0, 1.0], [2.0, 3.0]]], "no list of x, y"),
        ([[0.0, 0.0, 1e9, 0.0, 1e9, 5.0]], "far outside"),
        ({"counts": [6]}, "its size is None"),
        ({"size": [3, 2], "counts": [6]}, r"its size is \[3, 2\], not \[2, 3\]"),
        ({"size": [2, 3]}, "no run lengths"),
        ({"size": [2, 3], "counts": [7, -1]}, "no run lengths"),
        ({"size": [2, 3], "counts": [5.5, 0.5]}, "no run lengths"),
        ({"size": [2, 3], "counts": [1, 2]}, "fill 3 of 6 pixels"),
        ({"size": [2, 3], "counts": [1, 20]}, "fill 21 of 6 pixels"),
        ({"size": [2, 3], "counts": "12"}, "fill 3 of 6 pixels"),
        ({"size": [2, 3], "counts": "6 "}, "hold the sign ' '"),
        ({"size": [2, 3], "counts": "1é"}, "hold the sign 'é'"),
        ({"size": [2, 3], "counts": "1o"}, "cut off"),
    ],
)
def test_segmentations_that_are_none(segmentation: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        encode(segmentation, 2, 3)
