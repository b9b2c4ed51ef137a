"""The random walk: against the dense matrix, its bound, its averages, maps of any size, errors.

The published numbers are compared in tests/golden_affinity.py.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.reference_affinity import dense_affinity, dense_walk
from hsc.psa.pairs import pair_offsets, pair_windows
from hsc.psa.random_walk import (
    chebyshev_power,
    diagonal_product,
    pool_scores,
    random_walk,
    row_product,
    terms_within,
    walk_cam,
)

OFFSETS = pair_offsets(5)


def draw_affinity(height: int, width: int, seed: int = 0, radius: int = 5) -> Tensor:
    """Random affinities, strong within the halves of the map and weak between them."""
    generator = torch.Generator().manual_seed(seed)
    offsets = pair_offsets(radius)
    affinity = torch.zeros(len(offsets), height, width)
    half = (torch.arange(width) < width // 2).expand(height, width)
    for index, offset in enumerate(offsets):
        first, second = pair_windows(offset, height, width)
        drawn = 0.5 + 0.5 * torch.rand(half[first].shape, generator=generator)
        affinity[(index, *first)] = torch.where(half[first] == half[second], drawn, 0.3 * drawn)
    return affinity


def draw_scores(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(count, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("doublings", [0, 3, 6, 8])
@pytest.mark.parametrize(("height", "width"), [(17, 13), (9, 30)])
def test_it_is_the_dense_walk(height: int, width: int, doublings: int) -> None:
    affinity, scores = draw_affinity(height, width), draw_scores(4, height, width)
    expected = dense_walk(scores, dense_affinity(affinity, OFFSETS).double(), 8, doublings)
    found = random_walk(scores, affinity, OFFSETS, beta=8, steps=2**doublings)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)
    assert (found.argmax(0) == expected.argmax(0)).float().mean() >= 0.999


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100])
def test_any_number_of_steps(steps: int) -> None:
    affinity, scores = draw_affinity(8, 9), draw_scores(2, 8, 9)
    once = scores
    for _ in range(steps):
        once = random_walk(once, affinity, OFFSETS, beta=2, steps=1)
    found = random_walk(scores, affinity, OFFSETS, beta=2, steps=steps)
    torch.testing.assert_close(found, once, atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(2, 5), st.integers(1, 40))
def test_maps_smaller_than_the_radius(height: int, width: int, radius: int, steps: int) -> None:
    affinity = draw_affinity(height, width, radius=radius)
    scores, offsets = draw_scores(2, height, width), pair_offsets(radius)
    matrix = dense_affinity(affinity, offsets).double() ** 4
    transition = torch.linalg.matrix_power(matrix / matrix.sum(0), steps)
    expected = (scores.double().flatten(1) @ transition).view(scores.shape)
    found = random_walk(scores, affinity, offsets, beta=4, steps=steps)
    torch.testing.assert_close(found.double(), expected, atol=3e-6, rtol=0)


def test_a_single_cell_keeps_its_scores() -> None:
    scores = draw_scores(3, 1, 1)
    found = random_walk(scores, torch.zeros(len(OFFSETS), 1, 1), OFFSETS, beta=8, steps=64)
    torch.testing.assert_close(found, scores)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.floats(0.5, 16), st.integers(1, 300))
def test_every_step_is_an_average(seed: int, beta: float, steps: int) -> None:
    """Values stay between the least and the greatest, and a constant stays one (float32)."""
    affinity, scores = draw_affinity(7, 6, seed), draw_scores(2, 7, 6, seed)
    scores[1] = 0.7
    found = random_walk(scores, affinity, OFFSETS, beta, steps)
    torch.testing.assert_close(found[1], scores[1], atol=3e-5, rtol=0)
    assert found[0].min() >= scores[0].min() - 3e-5
    assert found[0].max() <= scores[0].max() + 3e-5


def test_scores_do_not_cross_what_has_no_affinity() -> None:
    affinity = draw_affinity(6, 10)
    for index, offset in enumerate(OFFSETS):
        first, second = pair_windows(offset, 6, 10)
        side = torch.arange(10).expand(6, 10) < 5
        affinity[(index, *first)] *= side[first] == side[second]
    scores = torch.zeros(1, 6, 10)
    scores[0, 2, 1] = 1
    found = random_walk(scores, affinity, OFFSETS, beta=8, steps=256)
    assert not found[..., 5:].any()
    assert (found[..., :5] > 0).all()


def test_classes_do_not_touch_one_another() -> None:
    affinity, scores = draw_affinity(7, 8), draw_scores(3, 7, 8)
    alone = [random_walk(one[None], affinity, OFFSETS, 8, 32) for one in scores]
    together = random_walk(scores, affinity, OFFSETS, 8, 32)
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-7, rtol=0)


def test_both_products_are_the_dense_one() -> None:
    """The one of a GPU, which only needs another device, runs here too."""
    affinity, rows = draw_affinity(5, 7), draw_scores(3, 5, 7).flatten(1)
    matrix = dense_affinity(affinity, OFFSETS)
    shifts = sorted({0, *(s * (dy * 7 + dx) for dy, dx in OFFSETS for s in (1, -1))})
    bands = torch.zeros(len(shifts), 35)
    for index, shift in enumerate(shifts):
        diagonal = torch.diagonal(matrix, shift) if abs(shift) < 35 else torch.zeros(0)
        start = max(0, -shift)
        bands[index, start : start + len(diagonal)] = diagonal
    for make in (diagonal_product, row_product):
        torch.testing.assert_close(make(bands, shifts)(rows), rows @ matrix, msg=make.__name__)


def test_the_same_bytes_with_any_number_of_threads() -> None:
    affinity, scores = draw_affinity(30, 40), draw_scores(3, 30, 40)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(random_walk(scores, affinity, OFFSETS, 8, 64))
    torch.set_num_threads(before)
    assert torch.equal(*found)


@pytest.mark.parametrize("steps", [1, 2, 5, 64, 256, 1001])
def test_chebyshev_coefficients_of_a_power(steps: int) -> None:
    coefficients = chebyshev_power(steps)
    assert coefficients.min() >= 0
    assert coefficients.sum() == pytest.approx(1, abs=1e-12)
    angles = np.linspace(0, np.pi, 200)
    power = np.cos(angles) ** steps
    np.testing.assert_allclose(
        np.polynomial.chebyshev.chebval(np.cos(angles), coefficients), power, atol=1e-12
    )
    middle = steps % 2
    expected = (1 + middle) * math.comb(steps, steps // 2) / 2**steps
    assert coefficients[middle] == pytest.approx(expected)


def test_few_terms_are_enough_and_the_bound_holds() -> None:
    coefficients = chebyshev_power(256)
    kept = terms_within(coefficients, 1e-8)
    assert coefficients[kept:].sum() <= 1e-8 < coefficients[kept - 1 :].sum()
    assert kept < 100
    x = np.linspace(-1, 1, 2001)
    short = np.polynomial.chebyshev.chebval(x, coefficients[:kept])
    assert np.abs(short - x**256).max() <= 1.01e-8
    assert terms_within(coefficients, 1.0) == 1
    assert terms_within(coefficients, 0.0) <= 257
    assert terms_within(chebyshev_power(3), 0.0) == 4


def test_the_tolerance_is_kept() -> None:
    affinity, scores = draw_affinity(20, 24), draw_scores(3, 20, 24)
    exact = dense_walk(scores, dense_affinity(affinity, OFFSETS).double(), 8, 8)
    for tolerance in (1e-2, 1e-3, 1e-4):
        found = random_walk(scores, affinity, OFFSETS, 8, 256, tolerance)
        assert (found.double() - exact).abs().max() <= tolerance


@pytest.mark.parametrize("steps", [0, -1])
def test_no_steps_are_an_error(steps: int) -> None:
    with pytest.raises(ValueError, match=f"steps must be at least 1, got {steps}"):
        random_walk(draw_scores(1, 6, 6), draw_affinity(6, 6), OFFSETS, 8, steps)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        chebyshev_power(steps)


@pytest.mark.parametrize("beta", [0.0, -2.0, math.nan])
def test_a_beta_that_is_not_positive_is_an_error(beta: float) -> None:
    with pytest.raises(ValueError, match="beta must be positive"):
        random_walk(draw_scores(1, 6, 6), draw_affinity(6, 6), OFFSETS, beta, 4)


def test_shapes_that_do_not_fit_are_errors() -> None:
    affinity = draw_affinity(6, 7)
    with pytest.raises(ValueError, match=r"affinity \(34, 6, 7\) does not fit 34 offsets"):
        random_walk(draw_scores(1, 7, 6), affinity, OFFSETS, 8, 4)
    with pytest.raises(ValueError, match="does not fit 12 offsets"):
        random_walk(draw_scores(1, 6, 7), affinity, pair_offsets(3), 8, 4)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_affinities_outside_0_to_1_are_errors(value: float) -> None:
    affinity = draw_affinity(6, 6)
    affinity[3, 2, 2] = value
    with pytest.raises(ValueError, match=r"affinities must lie in \[0, 1\]"):
        random_walk(draw_scores(1, 6, 6), affinity, OFFSETS, 8, 4)


def test_pooling_counts_what_lies_beyond_as_0() -> None:
    pooled = pool_scores(torch.ones(1, 3, 5), 2)
    assert pooled.tolist() == [[[1, 1, 0.5], [0.5, 0.5, 0.25]]]


@pytest.mark.parametrize(("height", "width"), [(23, 30), (24, 32), (3, 5)])
def test_walk_of_a_picture(height: int, width: int) -> None:
    """Pool, walk, interpolate, cut; at stride 1 nothing but the walk."""
    scores, cells = draw_scores(2, height, width), (-(-height // 4), -(-width // 4))
    affinity = draw_affinity(*cells)
    found = walk_cam(scores, affinity, OFFSETS, stride=4, beta=8, steps=16)
    assert found.shape == scores.shape
    spread = random_walk(pool_scores(scores, 4), affinity, OFFSETS, 8, 16)
    # the four middle pixels of a cell lie evenly around its centre
    inner = found[:, 1:3, 1:3].mean(dim=(1, 2))
    if min(cells) > 2:
        near = torch.nn.functional.interpolate(
            spread[None], scale_factor=4, mode="bilinear", align_corners=False
        )[0]
        torch.testing.assert_close(inner, near[:, 1:3, 1:3].mean(dim=(1, 2)))
    fine = draw_affinity(height, width)
    torch.testing.assert_close(
        walk_cam(scores, fine, OFFSETS, stride=1, beta=8, steps=16),
        random_walk(scores, fine, OFFSETS, 8, 16),
    )
