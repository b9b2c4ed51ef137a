"""Pairs of neighbouring map cells, and what pseudo labels say of them.

Ahn and Kwak, Learning Pixel-level Semantic Affinity with Image-level Supervision for Weakly
Supervised Semantic Segmentation (PSA, CVPR 2018), section 3.2.

Everything about pairs has one layout: entry (o, y, x) is of the pair of the cells (y, x) and
(y + dy, x + dx), where (dy, dx) is offset number o. A pair whose second cell lies outside the map
does not exist and has a neutral entry (no label, affinity 0).

Letters: N batch, O offsets, S side of a crop, h w map cells.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hsc.data.classes import BACKGROUND, IGNORE

Offset = tuple[int, int]
"""(dy, dx) in map cells."""

_Window = tuple[slice, slice]


class PairLabels(NamedTuple):
    """Which pairs are of which kind: three bool (N, O, h, w), never true together.

    A pair with an ignored or missing cell is of no kind.
    """

    background: Tensor  # both cells are background
    foreground: Tensor  # both are of the same class
    different: Tensor  # they differ


def pair_offsets(radius: int) -> tuple[Offset, ...]:
    """The offsets shorter than `radius` cells, one of (dy, dx) and (-dy, -dx) each.

    Those to the right in the own row come first, then the rows below from left to right (PSA: 34
    for radius 5). Raises ValueError for a radius below 2, within which there is no pair.
    """
    if radius < 2:
        raise ValueError(f"radius must be at least 2, got {radius}")
    own_row = tuple((0, dx) for dx in range(1, radius))
    below = tuple(
        (dy, dx)
        for dy in range(1, radius)
        for dx in range(1 - radius, radius)
        if dy**2 + dx**2 < radius**2
    )
    return own_row + below


def pair_windows(offset: Offset, height: int, width: int) -> tuple[_Window, _Window]:
    """Where the first and the second cells of an offset's pairs lie in a map of this size.

    Two index tuples of equal shape, empty where the offset is longer than the map.
    """
    dy, dx = offset
    first = slice(0, max(0, height - dy)), slice(max(0, -dx), max(0, width - max(0, dx)))
    second = slice(dy, height), slice(max(0, dx), max(0, width + min(0, dx)))
    return first, second


def neighbours(maps: Tensor, offsets: Sequence[Offset], fill: float) -> Tensor:
    """The value of each pair's second cell: (..., h, w) to (..., O, h, w), `fill` outside."""
    *batch, height, width = maps.shape
    found = maps.new_full((*batch, len(offsets), height, width), fill)
    for index, offset in enumerate(offsets):
        first, second = pair_windows(offset, height, width)
        found[(..., index, *first)] = maps[(..., *second)]
    return found


def pair_labels(labels: Tensor, offsets: Sequence[Offset]) -> PairLabels:
    """The kind of every pair of a batch's cells (PSA, section 3.2.1).

    labels: integers (N, h, w), class indices with 255 for cells that are not sure.
    Raises ValueError for another shape or dtype.
    """
    if labels.ndim != 3 or labels.is_floating_point():
        raise ValueError(f"labels must be integers (N, h, w), got {labels.dtype} {labels.shape}")
    own = labels[:, None]
    other = neighbours(labels, offsets, IGNORE)  # (N, O, h, w)
    same = own == other
    sure = (own != IGNORE) & (other != IGNORE)
    return PairLabels(
        background=same & (own == BACKGROUND),
        foreground=same & (own != BACKGROUND) & sure,
        different=sure & ~same,
    )


def cell_labels(labels: Tensor, stride: int) -> Tensor:
    """Labels of pixels to labels of cells: what more than half of a cell's pixels say, else 255.

    labels: integers (N, S, S); a cell is `stride` pixels wide and high, those at the right and the
    lower edge may reach beyond the crop, where nothing is sure. Returns (N, h, w) of the same
    dtype with h = w = S / stride, rounded up.
    """
    height, width = (-(-side // stride) for side in labels.shape[1:])
    beyond = (0, width * stride - labels.shape[2], 0, height * stride - labels.shape[1])
    padded = F.pad(labels, beyond, value=IGNORE)
    cells = padded.unfold(1, stride, stride).unfold(2, stride, stride).flatten(3)  # (N, h, w, s*s)
    middle = cells.median(dim=3).values  # a value that more than half of them have is the median
    agreeing = (cells == middle[..., None]).sum(dim=3)
    return torch.where(2 * agreeing > stride**2, middle, IGNORE)
