"""Overlays against the blend that they stand for, pixel by pixel."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hsc.data.classes import palette
from hsc.data.overlay import blend, colour_labels


@given(st.integers(0, 2**32 - 1))
def test_every_pixel_is_blended_with_the_colour_of_its_class(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    labels = rng.integers(1, 255, (5, 7), dtype=np.uint8)
    expected = np.round(0.35 * image + 0.65 * palette()[labels]).astype(np.uint8)
    difference = colour_labels(image, labels).astype(int) - expected
    assert np.abs(difference).max() <= 1, "1 - 0.65 is not quite 0.35"


def test_background_is_darker_and_ignored_pixels_are_white() -> None:
    image = np.full((2, 1, 3), 100, np.uint8)
    found = colour_labels(image, np.array([[0], [255]], np.uint8))
    assert found[0, 0].tolist() == [65] * 3
    assert found[1, 0].tolist() == [round(0.35 * 100 + 0.65 * 255)] * 3


def test_pictures_in_any_order_of_memory() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    labels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    turned = colour_labels(image.transpose(1, 0, 2), labels.T)
    assert np.array_equal(turned.transpose(1, 0, 2), colour_labels(image, labels))
    assert np.array_equal(colour_labels(image[:, ::-1], labels[:, ::-1])[:, ::-1],
                          colour_labels(image, labels))  # fmt: skip


def test_a_blend_rounds() -> None:
    image = np.array([[[0, 1, 255]]], np.uint8)
    assert blend(image, np.array([255.0, 2.0, 0.0]), 0.5).tolist() == [[[128, 2, 128]]]
