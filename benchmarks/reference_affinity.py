"""Plain references of the affinity parts: what the package computes, written as it reads.

Loops over cells, dense matrices, no care for time or memory. The tests compare with these too.

Letters: K classes, O offsets, h w map cells, n = h w.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsc.psa.pairs import Offset


def dense_affinity(affinity: Tensor, offsets: Sequence[Offset]) -> Tensor:
    """All affinities (O, h, w) as one symmetric matrix (n, n), 1 on the diagonal, 0 elsewhere."""
    _, height, width = affinity.shape
    matrix = torch.eye(height * width, dtype=affinity.dtype)
    values = affinity.tolist()
    for index, (dy, dx) in enumerate(offsets):
        for y in range(height - dy):
            for x in range(max(0, -dx), min(width, width - dx)):
                first, second = y * width + x, (y + dy) * width + x + dx
                matrix[first, second] = matrix[second, first] = values[index][y][x]
    return matrix


def dense_walk(scores: Tensor, matrix: Tensor, beta: float, doublings: int) -> Tensor:
    """2^doublings steps of the walk on scores (K, h, w), the dense T squared again and again.

    matrix: (n, n), as `dense_affinity` makes it; all is computed in its dtype.
    """
    weights = matrix**beta
    transition = weights / weights.sum(dim=0, keepdim=True)
    for _ in range(doublings):
        transition = transition @ transition
    return (scores.to(matrix.dtype).flatten(1) @ transition).reshape(scores.shape)


def pair_kinds(labels: NDArray[np.uint8], offsets: Sequence[Offset]) -> NDArray[np.bool_]:
    """The kinds of all pairs of one label map (h, w): (3, O, h, w), pair by pair.

    In order: both background, both of one class, different; cells of 255 and cells outside make
    no pair.
    """
    height, width = labels.shape
    kinds = np.zeros((3, len(offsets), height, width), dtype=bool)
    for index, (dy, dx) in enumerate(offsets):
        for y in range(height):
            for x in range(width):
                if not (y + dy < height and 0 <= x + dx < width):
                    continue
                own, other = labels[y, x], labels[y + dy, x + dx]
                if own == 255 or other == 255:
                    continue
                kind = 2 if own != other else 0 if own == 0 else 1
                kinds[kind, index, y, x] = True
    return kinds
