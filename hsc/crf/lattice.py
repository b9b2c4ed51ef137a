"""Gaussian filtering on the permutohedral lattice, for a batch of pictures, in tensor operations.

Adams, Baek and Davis, Fast High-Dimensional Filtering Using the Permutohedral Lattice (Eurographics
2010): values are spread over the corners of the simplex that a pixel's features lie in, blurred
along the directions of the lattice, and read back. Cost and memory grow with the number of pixels,
where all pairs grow with its square. Corner by corner it is what pydensecrf computes, with the
three steps as products of sparse matrices, on any device.

Letters: N batch, P pixels, D features, G = D+1 corners of a simplex, M lattice points, C channels.
"""

import math
import warnings
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_TINY = 1e-20  # beside sums of kernel values


class _Simplex(NamedTuple):
    """Where each pixel's features lie."""

    weight: Tensor  # (N, P, G), barycentric, sums to 1
    corner: Tensor  # (N, P, G) int64, one number for each lattice point of each picture
    step: Tensor  # (G,) int64, what is added to a point's number for its neighbour


class Lattice:
    """The normalised filter exp(-|f_i - f_j|^2 / 2) of one set of features a picture."""

    def __init__(self, features: Tensor) -> None:
        """features: (N, P, D), already divided by the widths of the kernel.

        Numbers as pydensecrf's follow from features in its order: column, row, then colours.
        """
        features = features.float()
        n, p, d = features.shape
        simplex = _enclosing_simplex(features)
        corner, order = simplex.corner.flatten().sort(stable=True)
        points, place, counts = corner.unique_consecutive(return_inverse=True, return_counts=True)
        column = torch.empty_like(place).scatter_(0, order, place)
        pixels, weight = n * p, simplex.weight.flatten()
        self._size = n, p
        self._blurs = [_blur(points, step) for step in simplex.step]
        self._splat = _sparse(
            F.pad(counts.cumsum(0), (1, 0)), order // (d + 1), weight[order], pixels
        )
        # the three steps together magnify by this, up to the edges of what is there
        start = _starts(pixels, d + 1, column)
        self._slice = _sparse(start, column, weight / (1 + 2.0**-d), len(points))
        total = self._filter(features.new_ones(pixels, 1))
        self._root = (total + _TINY).rsqrt()

    def filter(self, values: Tensor) -> Tensor:
        """(N, P, C) float32 to the same; each pair divided by the roots of both pixels' sums."""
        flat = values.reshape(self._size[0] * self._size[1], -1)
        return (self._filter(flat * self._root) * self._root).view(values.shape)

    def _filter(self, values: Tensor) -> Tensor:
        """(N*P, C) to the same, not normalised."""
        values = self._splat @ values
        for blur in self._blurs:
            values = blur @ values
        return self._slice @ values


def _enclosing_simplex(features: Tensor) -> _Simplex:
    """Adams et al., section 3: the simplex around each (N, P, D), its corners, the weights."""
    d = features.shape[2]
    elevated = features @ _elevation(d).to(features)  # (N, P, G), sums to 0
    nearest = torch.ceil(elevated / (d + 1) - 0.5)  # the lower of two equally near
    excess = nearest.sum(dim=2, keepdim=True).long()
    corner = nearest.long() * (d + 1)
    rank = _descending_rank(elevated - corner) + excess
    # what is not on the plane goes to the next multiple, the furthest first
    shift = (d + 1) * ((rank < 0).long() - (rank > d).long())
    rank, corner = rank + shift, corner + shift
    slack = (elevated - corner) / (d + 1)
    weight = features.new_zeros(*slack.shape[:2], d + 2)
    weight.scatter_add_(2, d - rank, slack).scatter_add_(2, d + 1 - rank, -slack)
    weight[..., 0] += 1 + weight[..., d + 1]
    return _Simplex(weight[..., : d + 1], *_numbered(corner, rank))


def _elevation(d: int) -> Tensor:
    """(D, G): to the plane whose coordinates sum to 0, such that the blur has a variance of 1."""
    j = torch.arange(1, d + 1)
    scale = math.sqrt(2 / 3) * (d + 1) / ((j + 1) * j).sqrt()
    below = torch.arange(d + 1) < j[:, None]
    own = torch.arange(d + 1) == j[:, None]
    return (below.float() - j[:, None] * own) * scale[:, None]


def _descending_rank(values: Tensor) -> Tensor:
    """How many values of the last dimension are larger; of equal ones the first is the largest."""
    less = values[..., :, None] < values[..., None, :]
    before = torch.ones(less.shape[-2:], dtype=torch.bool, device=values.device).triu(1)
    return (less & before).sum(dim=-1) + (~less & before).sum(dim=-2)


def _numbered(origin: Tensor, rank: Tensor) -> tuple[Tensor, Tensor]:
    """Corners (N, P, G) of the simplices as numbers, and the steps (G,) to a point's neighbours.

    The first D coordinates tell a lattice point. Each has a range of its own in the number, with
    room for the corners and a neighbour on either side, so that a step is an addition. Corner k is
    k further than the origin in every coordinate, and G less in those of the k highest ranks.
    """
    n, _, g = origin.shape
    first = origin[..., :-1]
    low, high = first.amin(dim=(0, 1)), first.amax(dim=(0, 1))
    stride = torch.cat([low.new_ones(1), (high - low + 4 * g).cumprod(0)])
    whole, stride = stride[-1], F.pad(stride[:-1], (0, 1))  # the last coordinate has no say
    own = (F.pad(first - low + 2 * g, (0, 1)) * stride).sum(dim=2)
    own = own + whole * torch.arange(n, device=origin.device)[:, None]
    by_rank = torch.empty_like(rank).scatter_(2, rank, stride.expand_as(rank))
    highest = F.pad(by_rank.flip(2).cumsum(dim=2)[..., :-1], (1, 0))
    step = stride.sum()
    further = step * torch.arange(g, device=origin.device)
    return own[:, :, None] + further - g * highest, g * stride - step


def _blur(points: Tensor, step: Tensor) -> Tensor:
    """Half of either neighbour along one direction and the point itself, sparse (M, M)."""
    m = len(points)
    at = torch.searchsorted(points, points + step).clamp(max=m - 1)
    own = torch.arange(m, device=points.device)
    after = torch.where(points[at] == points + step, at, m)  # m: there is none
    before = torch.full((m + 1,), m, device=points.device).scatter(0, after, own)[:m]
    column = torch.stack([before, own, after], dim=1)
    there = column < m
    weight = there * torch.tensor([0.5, 1, 0.5], device=points.device)
    column = torch.where(there, column, own[:, None])
    return _sparse(_starts(m, 3, column), column.flatten(), weight.flatten(), m)


def _starts(rows: int, entries: int, like: Tensor) -> Tensor:
    """Where each row of a sparse matrix begins that has as many entries in every one."""
    return torch.arange(0, rows * entries + 1, entries, device=like.device)


def _sparse(start: Tensor, column: Tensor, weight: Tensor, columns: int) -> Tensor:
    """A sparse matrix by rows. Indices of 32 bits are what the libraries behind it take."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            start.int(), column.int(), weight, (len(start) - 1, columns), check_invariants=False
        )
