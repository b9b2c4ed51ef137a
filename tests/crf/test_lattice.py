"""The permutohedral lattice: simplices, what it approximates, and that it grows with the pixels."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hsc.crf.lattice import Lattice, _elevation, _enclosing_simplex


def features(seed: int, *shape: int, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(st.integers(0, 500), st.sampled_from([1, 2, 3, 5]))
def test_weights_are_shares_of_the_corners(seed: int, f: int) -> None:
    weight = _enclosing_simplex(features(seed, 2, 7, f)).weight
    assert weight.min() > -1e-5
    torch.testing.assert_close(weight.sum(dim=2), torch.ones(2, 7))


@settings(deadline=None)
@given(st.integers(0, 500))
def test_a_lattice_point_lies_on_itself(seed: int) -> None:
    """Features that are a corner have all of their weight there."""
    generator = torch.Generator().manual_seed(seed)
    origin = torch.randint(-4, 5, (1, 6, 3), generator=generator) * 4
    corner = torch.cat([origin, -origin.sum(dim=2, keepdim=True)], dim=2).float()
    back = torch.linalg.pinv(_elevation(3))
    simplex = _enclosing_simplex(corner @ back)
    torch.testing.assert_close(simplex.weight.amax(dim=2), torch.ones(1, 6), atol=1e-3, rtol=0)


def test_elevation_is_orthogonal_and_on_the_plane() -> None:
    basis = _elevation(5)
    torch.testing.assert_close(basis.sum(dim=1), torch.zeros(5), atol=1e-5, rtol=0)
    products = basis @ basis.T
    torch.testing.assert_close(products, torch.diag(products.diagonal()), atol=1e-4, rtol=0)
    torch.testing.assert_close(products.diagonal(), torch.full((5,), 2 / 3 * 36))


@pytest.mark.parametrize(("f", "scale", "error"), [(1, 2.0, 0.1), (2, 1.0, 0.12), (5, 0.6, 0.2)])
def test_it_approximates_the_gaussian(f: int, scale: float, error: float) -> None:
    """Smooth values filtered with all pairs of pixels, by the same normalisation."""
    place = features(0, 1, 400, f, scale=scale)
    values = torch.stack([place.sum(dim=2).sin(), place[..., 0].cos()], dim=2)
    kernel = (-torch.cdist(place, place).square() / 2).exp()
    root = kernel.sum(dim=2, keepdim=True).rsqrt()
    expected = root * (kernel @ (root * values))
    found = Lattice(place).filter(values)
    assert (found - expected).norm() < error * expected.norm()


def test_it_is_linear_and_the_pictures_are_apart() -> None:
    place, values = features(1, 3, 50, 5), features(2, 3, 50, 4)
    lattice = Lattice(place)
    found = lattice.filter(values)
    torch.testing.assert_close(lattice.filter(2 * values), 2 * found)
    for i in range(3):
        alone = Lattice(place[i : i + 1]).filter(values[i : i + 1])
        torch.testing.assert_close(alone[0], found[i])


def test_alike_pixels_are_averaged() -> None:
    """One point for all: whatever the values are, each pixel has their mean."""
    found = Lattice(torch.full((1, 8, 3), 0.25)).filter(torch.arange(8.0).view(1, 8, 1))
    torch.testing.assert_close(found, torch.full((1, 8, 1), 3.5))


def test_memory_grows_with_the_pixels() -> None:
    """Weights and indices a pixel; the points are at most G a pixel."""
    for pixels in (100, 1000):
        lattice = Lattice(features(3, 1, pixels, 5))
        matrices = [lattice._splat, lattice._slice, *lattice._blurs]
        entries = sum(len(matrix.values()) for matrix in matrices)
        assert entries <= pixels * (6 + 6 + 6 * 3 * 6)


def test_nothing_is_said_of_the_library_beneath() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Lattice(features(4, 1, 20, 2))
