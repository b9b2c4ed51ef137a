"""Operations on activation maps and dense features that several losses share.

Legend: N batch, C foreground classes, K channels (C or C+1), h w map cells, D feature channels.
All functions are differentiable unless they return labels, and never change their arguments.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

MARGIN = 1e-5
"""Published code of SEAM, PPC and HSC; keeps the division finite where a channel is constant."""

SMALLEST_NORM = 1e-8
"""Below this length a vector has no direction (the eps of `torch.cosine_similarity`)."""


def max_norm(cam: Tensor) -> Tensor:
    """ReLU, then relu(x - min - e) / (max - min + e), e = 1e-5: SEAM's losses, and the map that
    drives the contrast of PPC and HSC.

    cam: (N, K, h, w) float, any range. Returns the same shape in [0, 1), by image and channel;
    a constant channel (an all-zero one too) gives 0 and gets no gradient.
    Source: the published training code of SEAM; that of PPC and HSC carries the same margin, but
    turns an all-zero channel into -1 and makes a class's minimum negative, where both are 0 here.
    Raises ValueError where `cam` is not four-dimensional.
    """
    if cam.dim() != 4:
        raise ValueError(f"a map has 4 dimensions (N, K, h, w), got shape {tuple(cam.shape)}")
    cam = cam.relu()
    low = cam.amin(dim=(2, 3), keepdim=True)
    high = cam.amax(dim=(2, 3), keepdim=True)
    return (cam - low - MARGIN).relu() / (high - low + MARGIN)


def background_activation(cam_fg: Tensor) -> Tensor:
    """Activation of the background: 1 - max over the classes.

    cam_fg: (N, C, h, w) in [0, 1], absent classes zeroed. Returns (N, 1, h, w) in [0, 1].
    """
    return 1 - cam_fg.amax(dim=1, keepdim=True)


def pseudo_label(cam_fg: Tensor, background_score: float | Tensor) -> Tensor:
    """Arg-max over the background, at a constant score, and the foreground classes.

    cam_fg: (N, C, h, w) in [0, 1], absent classes zeroed, so that they are never chosen.
    background_score: in [0, 1], a number or a tensor of one; 0.20 in PPC, 0.10 in HSC's code. A
    class has to be strictly above it; among equal classes the lowest index wins. Returns (N, h, w)
    int64, 0 background, 1..C. Raises ValueError for a number outside [0, 1].
    """
    # A tensor comes from the maps themselves; to look at it would halt a GPU.
    if not isinstance(background_score, Tensor) and not 0 <= background_score <= 1:
        raise ValueError(f"background_score has to be in [0, 1], got {background_score}")
    score = torch.as_tensor(background_score, dtype=cam_fg.dtype, device=cam_fg.device)
    return torch.cat([score.expand_as(cam_fg[:, :1]), cam_fg], dim=1).argmax(dim=1)


def otsu_threshold(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """The threshold that parts values into two groups whose means are furthest apart.

    values: (V,) float, in any order, V > 0. weights: (V,) non-negative, how often each of them is
    there (a histogram: the middles of its bins and their counts), at least one of them positive; 1
    where nothing is said. Of the values that are there, sorted, the place is taken at which
    w0 w1 (m0 - m1)^2 is largest, w and m being the groups' weights and means (Otsu, A Threshold
    Selection Method from Gray-Level Histograms, 1979, equation 14), and there the middle between
    the groups. Returns a tensor of one value, without gradient; of equal values this one, so that
    none is above it.
    """
    values, order = values.detach().sort()
    if weights is None:
        weights = torch.ones_like(values)
    else:
        weights = weights.to(values)[order]
        values, weights = values[weights > 0], weights[weights > 0]
    if len(values) == 1:
        return values[0]
    below, moment = weights.cumsum(0), (weights * values).cumsum(0)
    low, high = below[:-1], below[-1] - below[:-1]  # of the groups at each place
    means = moment[:-1] / low, (moment[-1] - moment[:-1]) / high
    best = (low * high * (means[0] - means[1]) ** 2).argmax()
    return (values[best] + values[best + 1]) / 2


def resize(maps: Tensor, size: tuple[int, int], align_corners: bool = True) -> Tensor:
    """Bilinear resize of (N, K, h, w) float to `size` = (height, width) in cells.

    `align_corners=True` is what the losses of SEAM, PPC and HSC use; inference uses False.
    """
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=align_corners)


def at_cells(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """The labels at the places of a map's cells, (..., H, W) to (..., h, w); `size` = (h, w).

    A cell's place is the one that `resize` gives it: the corner cells lie in the corners. What
    `interpolate` calls nearest takes the upper left pixel of a cell's part of the picture, up to a
    whole cell beside that place: a contrast on such labels teaches features that lie beside their
    objects, whose maps give the next labels, and so on.
    """
    rows, columns = (
        torch.linspace(0, whole - 1, cells, device=labels.device).round().long()
        for whole, cells in zip(labels.shape[-2:], size, strict=True)
    )
    return labels[..., rows[:, None], columns]


def unit(vectors: Tensor, dim: int = 1) -> Tensor:
    """L2-normalise along `dim` (1: the channels of (N, D, h, w)); same shape, float.

    A vector without direction (length up to 1e-8, as a dead ReLU gives) becomes zero and gets no
    gradient, where a plain division would scale its gradient by up to 1e12.
    """
    length = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True)
    directed = length > SMALLEST_NORM
    return torch.where(directed, vectors / torch.where(directed, length, 1.0), 0.0)


def tag_gate(maps: Tensor, tags: Tensor) -> Tensor:
    """Gate that keeps the background and the tagged classes of maps with background first.

    maps: (N, C+1, h, w). tags: (N, C), 0 or 1. Returns (N, C+1, 1, 1) in the type of `maps`.
    Raises ValueError where the shapes do not belong together.
    """
    if maps.dim() != 4 or tuple(tags.shape) != (maps.shape[0], maps.shape[1] - 1):
        raise ValueError(
            "maps (N, C+1, h, w) need tags (N, C), "
            f"got maps {tuple(maps.shape)} and tags {tuple(tags.shape)}"
        )
    gate = F.pad(tags.to(maps.dtype), (1, 0), value=1.0)
    return gate[:, :, None, None]


def present_probability(cam: Tensor, tags: Tensor) -> Tensor:
    """Softmax over the background and the tagged classes; classes that are absent get 0.

    cam: (N, C+1, h, w) logits, background first. tags: (N, C), 0 or 1. Returns (N, C+1, h, w) in
    [0, 1], summing to 1 over the channels. What the maps of absent classes hold has no influence.
    Raises ValueError where the shapes do not belong together.
    """
    return cam.masked_fill(tag_gate(cam, tags) == 0, -torch.inf).softmax(dim=1)
