"""The random walk that spreads CAMs along affinities.

Ahn and Kwak (PSA, CVPR 2018), section 3.3: with A the affinities of all pairs of cells (1 of a cell
with itself, 0 beyond the radius), T = A^beta (element by element) with columns that sum to 1, and
the scores v of a class as a row, the result is v T^t.

Published code squares the dense T log2 t times. Here neither T^t nor a dense T is ever made, and
the memory is linear in the number of cells. T = D^1/2 S D^-1/2 with a symmetric S whose eigenvalues
lie in [-1, 1], so a polynomial of T is one of S, and

    x^t = sum over k of P(|W_t| = k) T_k(x)

with Chebyshev's polynomials T_k and a simple random walk W_t of t steps on the integers. The terms
beyond a few times sqrt(t) weigh next to nothing: 256 steps take about 90 products.

Letters: K classes, H W pixels, h w map cells, n = h w, O offsets (`hsc.psa.pairs`), B bands of A.
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.sparse import dia_array
from torch import Tensor

from hsc.psa.pairs import Offset, pair_windows

TOLERANCE = 1e-6
"""How far a score may be off by the terms left out, of the largest score; float32 has 1e-7."""


def walk_cam(
    scores: Tensor,
    affinity: Tensor,
    offsets: Sequence[Offset],
    stride: int,
    beta: float,
    steps: int,
) -> Tensor:
    """Spread a picture's scores over its cells and bring them back to its pixels.

    scores: (K, H, W), the background's among them. They are averaged over cells of `stride` pixels,
    what lies beyond the picture counting as 0, and afterwards interpolated between the cells.
    affinity: (O, h, w), h = H / stride and w = W / stride rounded up. Returns float32 (K, H, W).
    Raises ValueError as `random_walk`.
    """
    cells = pool_scores(scores, stride)
    spread = random_walk(cells, affinity, offsets, beta, steps)
    size = tuple(stride * side for side in cells.shape[1:])
    large = F.interpolate(spread[None], size, mode="bilinear", align_corners=False)[0]
    return large[:, : scores.shape[1], : scores.shape[2]]


def pool_scores(scores: Tensor, stride: int) -> Tensor:
    """Means over cells of `stride` pixels, 0 beyond the picture: (K, H, W) to (K, h, w) float32."""
    height, width = scores.shape[1:]
    beyond = (0, -width % stride, 0, -height % stride)
    return F.avg_pool2d(F.pad(scores.float(), beyond), stride)


@torch.no_grad()
def random_walk(
    scores: Tensor,
    affinity: Tensor,
    offsets: Sequence[Offset],
    beta: float,
    steps: int,
    tolerance: float = TOLERANCE,
) -> Tensor:
    """`steps` steps of the walk: (K, h, w) scores, K > 0, to float32 (K, h, w), without gradient.

    affinity: (O, h, w) in [0, 1], 0 where the second cell lies outside the map. beta: the greater,
    the less weak affinities count. Exact up to `tolerance` times the largest score for any map
    (see `terms_within`) and float32's rounding. A map smaller than the radius has fewer pairs; a
    single cell keeps its scores. Both tensors are on one device; on a CPU one core works.
    Raises ValueError for shapes that do not fit, fewer than 1 step, a beta that is not positive,
    and affinities outside [0, 1].
    """
    coefficients = chebyshev_power(steps)
    if not beta > 0:
        raise ValueError(f"beta must be positive, got {beta}")
    if affinity.shape != (len(offsets), *scores.shape[1:]):
        raise ValueError(
            f"affinity {tuple(affinity.shape)} does not fit {len(offsets)} offsets and scores "
            f"{tuple(scores.shape)}"
        )
    if not bool(((affinity >= 0) & (affinity <= 1)).all()):
        raise ValueError("affinities must lie in [0, 1]")
    bands, shifts = _bands(affinity.float() ** beta, offsets)
    multiply = diagonal_product if bands.device.type == "cpu" else row_product
    product = multiply(bands, shifts)
    # Summed in the order of the products, so that a constant 1 stays 1 to the last bit.
    sums = product(torch.ones_like(bands[:1]))
    kept = terms_within(coefficients, tolerance * float((sums.min() / sums.sum()).sqrt()))
    rows = scores.float().flatten(1)  # (K, n), Chebyshev's T_0; next comes T_1
    before, now = rows, product(rows) / sums
    first, *others = coefficients[:kept].tolist()
    total = first * before
    for coefficient in others:
        total.add_(now, alpha=coefficient)
        before, now = now, product(now).div_(sums).mul_(2).sub_(before)
    return total.reshape(scores.shape)


def chebyshev_power(steps: int) -> NDArray[np.float64]:
    """The coefficients c_0 ... c_t of x^t in Chebyshev's polynomials; they sum to 1.

    c_k is the probability that a simple random walk on the integers, from 0, is at k or -k after t
    steps; it is 0 where t - k is odd. Raises ValueError for fewer than 1 step.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    places = np.arange(steps % 2, steps + 1, 2)
    ratios = (steps - places[:-1]) / (steps + places[:-1] + 2)  # of neighbouring binomials
    found = np.concatenate([[1.0], np.cumprod(ratios)])
    found[places > 0] *= 2  # from both sides
    coefficients = np.zeros(steps + 1)
    coefficients[places] = found / found.sum()
    return coefficients


def terms_within(coefficients: NDArray[np.float64], tolerance: float) -> int:
    """How many terms, from the first, leave out at most `tolerance` in weight; at least one.

    What that means for the scores: no T_k is greater than 1 on [-1, 1], so the rest r is nowhere
    greater than `tolerance`. With d the column sums of A^beta, v r(T) = v D^1/2 r(S) D^-1/2, so
    cell j is off by at most tolerance |v D^1/2| / sqrt(d_j) <= tolerance sqrt(sum d / d_j) max |v|.
    """
    behind = np.append(np.cumsum(coefficients[:0:-1])[::-1], 0)
    return int(np.argmax(behind <= tolerance)) + 1


def _bands(weights: Tensor, offsets: Sequence[Offset]) -> tuple[Tensor, list[int]]:
    """The symmetric matrix A^beta by its diagonals: (B, n), entry (b, i) that of (i, i + shift b).

    weights: those of the pairs, (O, h, w). Returns the diagonals and their shifts, ascending.
    """
    _, height, width = weights.shape
    ahead = [dy * width + dx for dy, dx in offsets]
    # In a map narrower than the radius two offsets may have one shift; no cell has both pairs.
    shifts = sorted({0, *ahead, *(-shift for shift in ahead)})
    place = {shift: index for index, shift in enumerate(shifts)}
    bands = weights.new_zeros(len(shifts), height, width)
    bands[place[0]] = 1
    for pairs, shift, offset in zip(weights, ahead, offsets, strict=True):
        first, second = pair_windows(offset, height, width)
        bands[(place[shift], *first)] += pairs[first]
        bands[(place[-shift], *second)] += pairs[first]
    return bands.flatten(1), shifts


def diagonal_product(bands: Tensor, shifts: list[int]) -> Callable[[Tensor], Tensor]:
    """The product of rows (K, n) with A^beta, on one CPU core.

    Threads would have to meet after each of many products of a fraction of a millisecond, and wait
    for one another wherever a core is not free.
    """
    cells = bands.shape[1]
    # scipy has a diagonal by the column; that of the opposite shift, by the row, is the same.
    matrix = dia_array((bands.flip(0).numpy(), shifts), shape=(cells, cells))
    return lambda rows: torch.from_numpy(np.stack([matrix @ row for row in rows.numpy()]))


def row_product(bands: Tensor, shifts: list[int]) -> Callable[[Tensor], Tensor]:
    """The same on any device: each of A^beta's rows at a time."""
    cells = bands.shape[1]
    values = bands.T.contiguous()  # (n, B)
    linked = values > 0
    own = torch.arange(cells, dtype=torch.int32, device=bands.device)
    columns = own[:, None] + torch.tensor(shifts, dtype=torch.int32, device=bands.device)
    starts = F.pad(linked.sum(dim=1).cumsum(0), (1, 0)).int()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        matrix = torch.sparse_csr_tensor(
            starts, columns[linked], values[linked], (cells, cells), check_invariants=False
        )
    return lambda rows: (matrix @ rows.T).T
