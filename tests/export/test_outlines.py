"""Polygons around regions: the same pixels, holes, few corners."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco
from scipy import ndimage

from hsc.export.outlines import outlines

MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def filled(polygons: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """What COCO's own code makes of them."""
    if not polygons:
        return np.zeros(size, dtype=bool)
    runs = coco.frPyObjects([polygon.ravel().tolist() for polygon in polygons], *size)
    return coco.decode(coco.merge(runs)).astype(bool)


def blob(size: tuple[int, int] = (120, 160), seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=size)
    return np.pad(ndimage.gaussian_filter(noise, 6) > 0.01, 1)


@settings(max_examples=300, deadline=None)
@given(MASKS)
def test_without_tolerance_the_pixels_are_the_same(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(filled(outlines(mask, 0), mask.shape), mask)


@given(MASKS)
def test_a_polygon_for_each_region(mask: np.ndarray) -> None:
    _, count = ndimage.label(mask, structure=np.ones((3, 3)))
    found = outlines(mask, 0)
    assert len(found) == count
    assert all(len(polygon) > 2 for polygon in found)


def test_a_pixel_covers_its_square() -> None:
    mask = np.zeros((5, 7), dtype=bool)
    mask[2, 3] = True
    (polygon,) = outlines(mask, 0)
    assert np.all((polygon > [3, 2]) & (polygon < [4, 3]))


def test_a_hole_is_cut_in() -> None:
    mask = np.ones((20, 20), dtype=bool)
    mask[5:9, 4:12] = mask[12:15, 6:8] = False
    mask[6, 7] = True  # an island in the hole
    found = outlines(mask, 0)
    assert len(found) == 2
    np.testing.assert_array_equal(filled(found, (20, 20)), mask)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("tolerance", [0.5, 1.0, 3.0])
def test_within_the_tolerance_of_the_edge(seed: int, tolerance: float) -> None:
    """And a fraction of the corners."""
    mask = blob(seed=seed)
    exact, rough = outlines(mask, 0), outlines(mask, tolerance)
    wrong = filled(rough, mask.shape) != mask
    inside, outside = (ndimage.distance_transform_edt(side) for side in (mask, ~mask))
    assert wrong.any()
    assert np.maximum(inside, outside)[wrong].max() <= tolerance + 1
    assert sum(map(len, rough)) < 0.5 * sum(map(len, exact))


def test_small_regions_survive_a_large_tolerance() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[1, 1] = mask[4:6, 4] = True
    np.testing.assert_array_equal(filled(outlines(mask, 5), (9, 9)), mask)


def test_nothing_has_no_outline() -> None:
    assert outlines(np.zeros((3, 4), dtype=bool), 1) == []
