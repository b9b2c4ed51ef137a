"""Pixel-adaptive refinement (PAR): each pixel takes over what neighbours of its colour are.

Ru, Zhan, Yu and Du, Learning Affinity from Attention (AFA, CVPR 2022), section on PAR. The weights
are a softmax over neighbours at several distances, so there is nothing to solve, and no kernel
width in pixels or grey levels: differences are measured by how much the neighbourhood varies.

Letters: N batch, H W pixels, J neighbours, C maps, V labellings of each picture (views).
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hsc.crf.slots import label_slots, take_largest

DILATIONS = (1, 2, 4, 8, 12, 24)
"""Distances in pixels of the neighbours, eight each (the paper)."""

_WIDTH = 0.3  # w1 and w2: of both kernels, in standard deviations of the neighbourhood
_PLACE = 0.01  # w3: weight of the kernel of positions
_TINY = 1e-8

Offset = tuple[int, int]


def refine(image: Tensor, maps: Tensor, iterations: int) -> Tensor:
    """Maps after so many rounds in which each pixel takes its neighbours' weighted mean.

    image: (N, 3, H, W) in any range. maps: float (N, C, H, W). Returns the same shape; each value
    lies between the least and the largest of its map. Beyond the border is what is on it.
    """
    weights = neighbour_weights(image)
    offsets = _offsets(DILATIONS)
    for _ in range(iterations):
        mean = torch.zeros_like(maps)
        for j, near in enumerate(_shifted(maps, offsets)):
            mean.addcmul_(near, weights[:, j : j + 1])
        maps = mean
    return maps


def refine_labels(image: Tensor, labels: Tensor, num_labels: int, iterations: int) -> Tensor:
    """V labellings of each of N pictures, each label as a map of its own.

    image: (N, 3, H, W). labels: int64 (V, N, H, W) in 0..num_labels-1. Returns the labels of the
    largest map, of equal ones the lowest, in the same shape. Raises ValueError for sizes that do
    not fit.
    """
    v, n = labels.shape[:2]
    if image.shape != (n, 3, *labels.shape[2:]):
        raise ValueError(f"labels {tuple(labels.shape)} do not fit pictures {tuple(image.shape)}")
    classes, _ = label_slots(labels.flatten(2), num_labels)
    drawn = labels.transpose(0, 1)[:, :, None] == classes[:, None, :, None, None]
    refined = refine(image, drawn.flatten(1, 2).to(image.dtype), iterations)
    return take_largest(refined.view(n, v, classes.shape[1], -1), classes).view(labels.shape)


def refine_scores(
    image: NDArray[np.uint8], scores: NDArray, iterations: int, device: str = "cpu"
) -> NDArray[np.float32]:
    """`refine` of one picture's scores.

    image: uint8 (H, W, 3). scores: (L, H, W). Returns float32 (L, H, W). Raises ValueError for
    sizes that do not fit.
    """
    if image.shape != (*scores.shape[1:], 3):
        raise ValueError(f"image {image.shape} does not fit scores {scores.shape}")
    picture = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    maps = torch.from_numpy(scores.astype(np.float32))
    refined = refine(picture.float()[None].to(device), maps[None].to(device), iterations)
    return refined[0].cpu().numpy()


def neighbour_weights(image: Tensor) -> Tensor:
    """Softmax of the colours' likeness, and a little of the nearness.

    image: (N, 3, H, W). Returns (N, J, H, W), J = 8 times the distances, summing to 1 over J; the
    published code's sum to 1.01. Squares are meant over the channels, as there.
    """
    offsets = _offsets(DILATIONS)
    near = torch.stack(list(_shifted(image, offsets)), dim=1)  # (N, J, 3, H, W)
    spread = near.std(dim=1, keepdim=True) + _TINY
    unlike = near.sub_(image[:, None]).div_(_WIDTH * spread).square_().mean(dim=2)
    distance = torch.tensor([math.hypot(*offset) for offset in offsets], device=image.device)
    far = (distance / (_WIDTH * distance.std())).square()
    place = _PLACE * (-far).softmax(dim=0).to(image.dtype)
    return ((-unlike).softmax(dim=1) + place[:, None, None]) / (1 + _PLACE)


def _offsets(dilations: Sequence[int]) -> list[Offset]:
    """(row, column) of each neighbour."""
    around = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
    return [(d * y, d * x) for d in dilations for y, x in around]


def _shifted(maps: Tensor, offsets: Sequence[Offset]) -> Iterator[Tensor]:
    """What each pixel has at every offset, (N, C, H, W) each, without a copy."""
    h, w = maps.shape[2:]
    beyond = max(max(map(abs, offset)) for offset in offsets)
    padded = F.pad(maps, [beyond] * 4, mode="replicate")
    for y, x in offsets:
        yield padded[:, :, beyond + y : beyond + y + h, beyond + x : beyond + x + w]
