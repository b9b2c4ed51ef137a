"""The estimated saliency: its steps by hand, whole objects on pictures, the same map each time."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from hsc.base.errors import HscError
from hsc.sources.saliency_estimate import (
    METHOD,
    Regions,
    background_probability,
    describe,
    estimate,
    region_saliency,
    sharpen,
)
from hsc.sources.shapes import draw_number
from hsc.sources.shapes_config import ShapesConfig


def grid(colour: np.ndarray) -> Regions:
    """Superpixels that are the cells of a grid, of the colours (h, w, 3)."""
    labels = np.arange(colour[..., 0].size).reshape(colour.shape[:2])
    return describe(colour.astype(np.float32), labels)


def ring_and_centre(difference: float) -> Regions:
    """5 x 5 cells; the centre is lighter, the rest differs a little."""
    colour = np.zeros((5, 5, 3))
    colour[..., 0] = 50 + np.indices((5, 5)).sum(axis=0) % 2
    colour[2, 2, 0] += difference
    return grid(colour)


def difference_of(regions: Regions) -> np.ndarray:
    return np.linalg.norm(regions.colour[:, None] - regions.colour[None], axis=2)


def disc(height: int = 120, width: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """A red disc on a green meadow, and where it is."""
    rng = np.random.default_rng(0)
    picture = np.array([70, 130, 60]) + rng.normal(0, 8, (height, width, 1))
    rows, columns = np.indices((height, width))
    inside = np.hypot(rows - 0.5 * height, columns - 0.55 * width) < 0.28 * height
    picture[inside] = np.array([200, 40, 40]) + rng.normal(0, 8, (inside.sum(), 1))
    return picture.clip(0, 255).astype(np.uint8), inside


def test_superpixels_are_described_by_their_means() -> None:
    labels = np.array([[0, 0, 1], [2, 2, 1]])
    lab = np.stack([np.array([[1, 3, 5], [2, 4, 7]])] * 3, axis=2).astype(np.float32)
    regions = describe(lab, labels)
    np.testing.assert_array_equal(regions.colour[:, 0], [2, 6, 3])
    np.testing.assert_allclose(regions.position, [[0, 1 / 6], [1 / 4, 2 / 3], [1 / 2, 1 / 6]])
    np.testing.assert_array_equal(regions.adjacent, ~np.eye(3, dtype=bool))
    np.testing.assert_array_equal(regions.border, [0, 1, 2])


def test_cells_that_touch_at_a_corner_are_neighbours_and_inner_ones_no_border() -> None:
    regions = ring_and_centre(0)
    assert set(np.flatnonzero(regions.adjacent[12])) == {6, 7, 8, 11, 13, 16, 17, 18}
    assert not {6, 7, 8, 11, 12, 13, 16, 17, 18} & set(regions.border)
    assert len(regions.border) == 16


def test_background_is_what_the_border_is_reached_from() -> None:
    regions = ring_and_centre(60)
    background = background_probability(regions, difference_of(regions))
    # a region of all 24 cells with 16 at the border: 16 / sqrt(24) and no more than that
    assert background[np.arange(25) != 12].min() > 0.99
    # the centre alone: 0 / 1
    assert background[12] == pytest.approx(0, abs=1e-6)


def test_texture_does_not_add_up_to_an_object() -> None:
    """Four colours that lie equally far apart, each cell unlike all of its neighbours."""
    four = 50 + 4 * np.array([[[1, 1, 1], [1, -1, -1]], [[-1, 1, -1], [-1, -1, 1]]])
    regions = grid(np.tile(four, (5, 5, 1)))
    assert background_probability(regions, difference_of(regions)).min() > 0.99


def test_what_differs_from_the_border_is_salient() -> None:
    saliency = region_saliency(ring_and_centre(60))
    assert saliency[12] == 1
    assert np.delete(saliency, 12).max() < 0.2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_superpixels_is_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    regions = grid(rng.uniform(0, 100, (4, 6, 3)))
    order = rng.permutation(24)
    shuffled = Regions(
        regions.colour[order],
        regions.position[order],
        regions.adjacent[np.ix_(order, order)],
        np.flatnonzero(np.isin(order, regions.border)),
    )
    expected = region_saliency(regions)
    np.testing.assert_allclose(region_saliency(shuffled), expected[order], atol=1e-9)
    assert expected.min() == 0
    assert expected.max() == 1


def test_the_saliency_minimises_the_cost_of_the_paper() -> None:
    colour = np.full((3, 5, 3), 20.0)
    colour[1, 1:4] = [[60, 9, 0], [70, 0, 9], [22, 0, 0]]
    colour[2, 3] = 25
    regions = grid(colour)
    apart = difference_of(regions)
    background = background_probability(regions, apart)
    far = difference_of(regions._replace(colour=regions.position))
    contrast = (apart * np.exp(-(far**2) / (2 * 0.25**2)) * background).sum(axis=1)
    contrast = (contrast - contrast.min()) / np.ptp(contrast)
    linked = np.linalg.matrix_power(regions.adjacent + np.eye(15), 2) > 0
    linked[np.ix_(regions.border, regions.border)] = True
    weight = linked * (np.exp(-(apart**2) / (2 * 10**2)) + 0.1)

    def cost(s: np.ndarray) -> float:
        smoothness = (weight * (s[:, None] - s[None]) ** 2).sum() / 2  # each pair once
        return (background * s**2 + contrast * (s - 1) ** 2).sum() + smoothness

    found = minimize(cost, np.zeros(15), tol=1e-9).x
    expected = (found - found.min()) / np.ptp(found)
    np.testing.assert_allclose(region_saliency(regions), expected, atol=1e-3)


def test_equal_superpixels_are_not_salient() -> None:
    assert not region_saliency(grid(np.full((3, 3, 3), 40.0))).any()
    assert not region_saliency(grid(np.full((1, 1, 3), 40.0))).any()


def blob(height: int = 120, width: int = 160) -> np.ndarray:
    """What a CAM shows of the disc: a soft blob somewhat to its left."""
    rows, columns = np.indices((height, width))
    away = np.hypot(rows - 0.5 * height, columns - 0.5 * width)
    return np.exp(-((away / (0.3 * height)) ** 2)).astype(np.float32)


def test_a_rough_map_is_sharpened_to_the_whole_disc() -> None:
    pytest.importorskip("cv2")
    picture, inside = disc()
    rough = blob()
    saliency = sharpen(picture, rough)
    assert saliency.dtype == np.uint8
    assert saliency.shape == inside.shape
    assert (saliency[inside] >= 127).mean() > 0.98
    assert (saliency[~inside] < 127).mean() > 0.98
    assert (rough[inside] >= 0.5).mean() < 0.8
    # still soft: half of it is the rough map, by less than what bytes and resizing take
    cut = np.where(inside, 255, 0)
    middle = np.hypot(*(np.indices(inside.shape) - np.array([[[60]], [[88]]]))) < 25
    mean = (255 * rough + cut) / 2
    np.testing.assert_allclose(saliency[middle], mean[middle], atol=2)


def test_sharpening_is_the_same_each_time() -> None:
    pytest.importorskip("cv2")
    picture, _ = disc(420, 560)
    rough = blob(420, 560)
    assert sharpen(picture, rough).tobytes() == sharpen(picture.copy(), rough.copy()).tobytes()


def test_a_map_that_says_nothing_stays_as_it_is() -> None:
    pytest.importorskip("cv2")
    picture, _ = disc()
    assert not sharpen(picture, np.zeros(picture.shape[:2], np.float32)).any()


@pytest.mark.parametrize(
    ("picture", "rough"),
    [
        (np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4), np.float32)),
        (np.zeros((4, 5, 3), np.float32), np.zeros((4, 5), np.float32)),
    ],
)
def test_what_cannot_be_sharpened(picture: np.ndarray, rough: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"does not fit|needs \(H, W, 3\)"):
        sharpen(picture, rough)


def test_a_disc_is_salient_as_a_whole() -> None:
    pytest.importorskip("cv2")
    picture, inside = disc()
    saliency = estimate(picture)
    assert saliency.shape == inside.shape
    assert saliency.dtype == np.uint8
    assert np.percentile(saliency[inside], 5) > 180
    assert np.percentile(saliency[~inside], 95) < 50
    larger = estimate(picture.repeat(5, axis=0).repeat(5, axis=1))  # is made smaller inside
    assert np.abs(larger[2::5, 2::5].astype(float) - 255 * inside).mean() < 20


def test_objects_of_the_generated_set_are_found() -> None:
    pytest.importorskip("cv2")
    errors, overlaps = [], []
    for number in range(12):
        picture = draw_number(ShapesConfig(), "train", number)
        known = picture.mask != 255
        objects, saliency = picture.mask[known] > 0, estimate(picture.image)[known]
        errors.append(np.abs(saliency / 255 - objects).mean())
        shown = saliency >= 128
        overlaps.append((shown & objects).sum() / (shown | objects).sum())
    assert np.mean(errors) < 0.1
    assert np.mean(overlaps) > 0.9


def test_the_same_whatever_the_threads_and_random_numbers_before() -> None:
    cv2 = pytest.importorskip("cv2")
    picture = draw_number(ShapesConfig(size=200), "train", 3).image
    before = cv2.getNumThreads()
    found = []
    try:
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            cv2.setRNGSeed(threads)
            found.append(estimate(picture))
            assert cv2.getNumThreads() == threads
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_of_one_colour_has_none(level: int) -> None:
    pytest.importorskip("cv2")
    assert not estimate(np.full((50, 70, 3), level, np.uint8)).any()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_every_size_has_a_map(height: int, width: int, seed: int) -> None:
    pytest.importorskip("cv2")
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    saliency = estimate(picture)
    assert saliency.shape == (height, width)
    assert saliency.dtype == np.uint8


def test_what_is_no_picture() -> None:
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"needs \(H, W, 3\) uint8"):
            estimate(wrong)


@pytest.mark.parametrize("module", ["cv2", "cv2.ximgproc"])
def test_without_opencv(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    if module != "cv2":
        pytest.importorskip("cv2")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(HscError, match="pip install opencv-contrib-python-headless"):
        estimate(np.zeros((4, 4, 3), np.uint8))


def test_the_method_names_authors_and_library() -> None:
    for name in ("Zhu", "GrabCut", "Rother", "OpenCV"):
        assert name in METHOD
