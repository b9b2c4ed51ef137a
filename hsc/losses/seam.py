"""SEAM's losses on two views (Wang et al. 2020): equivariance, cross equivariance, min pooling.

Legend: N batch, C foreground classes, H W cells of view 1, h w cells of view 2. Maps are
(N, C+1, height, width), background first; tags (N, C), 0 or 1, foreground only. `cam` is the
network's map, `refined` the one of its pixel correlation module.
"""

import torch
from torch import Tensor

from hsc.losses.maps import background_activation, max_norm, resize, tag_gate


def adaptive_min_pooling(refined: Tensor, tags: Tensor, fraction: float = 0.25) -> Tensor:
    """Push the least activated part of every image towards background.

    refined: (N, C+1, h, w), any range. fraction: of the cells, lowest first (SEAM: a quarter;
    rounded down, at least one cell). Returns a scalar >= 0: the mean of the ReLU of the lowest
    values of the maximum over tagged classes. Raises ValueError on shapes that do not fit.
    """
    foreground = (refined * tag_gate(refined, tags))[:, 1:]
    strongest = foreground.amax(dim=1).flatten(1)  # (N, h*w)
    lowest = strongest.topk(_share(strongest.shape[1], fraction), largest=False, sorted=False)
    return lowest.values.relu().mean()


def equivariance(cam1: Tensor, cam2: Tensor, tags: Tensor) -> Tensor:
    """ER: mean |cam1 - cam2| over all foreground channels, those of absent classes being 0.

    cam1: (N, C+1, H, W) logits of view 1, max-normalised before it is brought to view 2's size.
    cam2: (N, C+1, h, w). Returns a scalar >= 0. Raises ValueError on shapes that do not fit.
    """
    first, second = _paired(cam1, cam2, tags)
    return (first - second)[:, 1:].abs().mean()


def cross_equivariance(
    cam1: Tensor,
    refined1: Tensor,
    cam2: Tensor,
    refined2: Tensor,
    tags: Tensor,
    top: float = 0.2,
) -> Tensor:
    """ECR: each view's refined map against the other view's one-hot map; both directions added.

    Shapes as in `equivariance`, refined maps like their cams. top: share of an image's values that
    count, the largest ones (SEAM: 20 %). Returns a scalar >= 0. The one-hot maps are targets: no
    gradient reaches `cam1` and `cam2`. Raises ValueError on shapes that do not fit.
    """
    first, second = _paired(cam1, cam2, tags)
    first_refined, second_refined = _paired(refined1, refined2, tags)
    return disagreement(second, first_refined, top) + disagreement(first, second_refined, top)


def disagreement(cam: Tensor, refined: Tensor, top: float = 0.2) -> Tensor:
    """One direction of ECR: mean of the largest values of |one-hot(cam) - refined| of each image.

    cam, refined: (N, C+1, h, w) in [0, 1], of the same size, absent classes zeroed. The target
    keeps each cell's strongest foreground class only; its background is 1 - that, as the
    background channel of `cam` is a logit and no probability. No gradient reaches `cam`.
    Returns a scalar >= 0.
    """
    foreground = cam.detach()[:, 1:]
    strongest = foreground.amax(dim=1, keepdim=True)
    only_strongest = torch.where(foreground == strongest, foreground, 0.0)
    target = torch.cat([background_activation(foreground), only_strongest], dim=1)
    difference = (target - refined).abs().flatten(1)  # (N, (C+1)*h*w)
    return difference.topk(_share(difference.shape[1], top), sorted=False).values.mean()


def _paired(map1: Tensor, map2: Tensor, tags: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps max-normalised, at view 2's size, absent classes zeroed."""
    if map1.shape[:2] != map2.shape[:2]:
        raise ValueError(
            "both views need the same batch and channels, "
            f"got {tuple(map1.shape)} and {tuple(map2.shape)}"
        )
    gate = tag_gate(map2, tags)
    height, width = map2.shape[-2:]
    return resize(max_norm(map1), (height, width)) * gate, max_norm(map2) * gate


def _share(count: int, fraction: float) -> int:
    """How many of `count` values are a `fraction` in (0, 1]: rounded down, at least one."""
    if not 0 < fraction <= 1:
        raise ValueError(f"a share of the values has to be in (0, 1], got {fraction}")
    return max(1, int(count * fraction))
