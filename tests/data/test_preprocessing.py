"""Sizes, resizing and normalising, as training and inference share them."""

import numpy as np
import pytest
from PIL import Image

from hsc.data.preprocessing import (
    MEAN,
    STD,
    longest_edge_size,
    normalise,
    resize_picture,
    scaled_size,
)


@pytest.mark.parametrize(
    ("size", "target", "expected"),
    [
        ((50, 100), 80, (40, 80)),
        ((100, 50), 80, (80, 40)),
        ((60, 60), 80, (80, 80)),
        ((4, 3), 2, (2, 2)),  # 1.5, half to even
        ((4, 1), 2, (2, 1)),  # 0.5 would be 0
        ((1000, 1), 80, (80, 1)),
        ((1, 1000), 80, (1, 80)),
    ],
)
def test_longest_edge_size(size: tuple[int, int], target: int, expected: tuple[int, int]) -> None:
    assert longest_edge_size(*size, target) == expected


def test_scaled_size() -> None:
    assert scaled_size(80, 60, 0.75) == (60, 45)
    assert scaled_size(5, 7, 0.5) == (2, 4)  # 2.5 and 3.5, half to even
    assert scaled_size(1, 1, 0.1) == (1, 1)


def test_normalise() -> None:
    image = np.zeros((1, 2, 3), dtype=np.uint8)
    image[0, 1] = (255, 51, 102)
    result = normalise(image)
    assert result.shape == (3, 1, 2)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    black = [-mean / std for mean, std in zip(MEAN, STD, strict=True)]
    np.testing.assert_allclose(result[:, 0, 0], black, rtol=1e-6)
    coloured = (np.array([1, 0.2, 0.4]) - MEAN) / STD
    np.testing.assert_allclose(result[:, 0, 1], coloured, rtol=1e-5)


def test_a_picture_of_the_right_size_is_not_resized() -> None:
    picture = Image.fromarray(np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3))
    assert resize_picture(picture, (7, 5)) is picture
    assert resize_picture(picture, (14, 10)).size == (14, 10)


def test_a_constant_picture_stays_constant_when_resized() -> None:
    picture = Image.fromarray(np.full((9, 6, 3), (10, 100, 200), dtype=np.uint8))
    resized = np.asarray(resize_picture(picture, (13, 4)))
    assert np.unique(resized.reshape(-1, 3), axis=0).tolist() == [[10, 100, 200]]
