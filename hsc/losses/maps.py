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
    background_score: in [0, 1]; 0.20 in PPC, 0.10 in HSC's code; or (N,), one of each picture. A
    class has to be strictly above it; among equal classes the lowest index wins. Returns (N, h, w)
    int64, 0 background, 1..C. Raises ValueError where a score is outside [0, 1].
    """
    score = torch.as_tensor(background_score, dtype=cam_fg.dtype, device=cam_fg.device)
    if not ((score >= 0) & (score <= 1)).all():
        raise ValueError(f"background_score has to be in [0, 1], got {background_score}")
    background = score.reshape(-1, 1, 1, 1).expand_as(cam_fg[:, :1])
    return torch.cat([background, cam_fg], dim=1).argmax(dim=1)


def own_background_score(cam_fg: Tensor) -> Tensor:
    """The background score that each picture's own map says: Otsu's threshold of its activations.

    cam_fg: (N, C, h, w) in [0, 1]. Of the strongest activation of each cell, sorted, the place is
    taken at which two groups lie furthest apart, w0 w1 (m0 - m1)^2 with their weights and means
    (Otsu, A Threshold Selection Method from Gray-Level Histograms, 1979), and there the middle
    between the groups. Returns (N,) in [0, 1]; of a constant map its value, so that nothing in it
    is above. Carries no gradient.
    """
    cells = cam_fg.detach().amax(dim=1).flatten(1).sort(dim=1).values
    count = cells.shape[1]
    if count == 1:
        return cells[:, 0]
    below = torch.arange(1, count, device=cells.device, dtype=cells.dtype)
    sums = cells.cumsum(dim=1)
    low, high = sums[:, :-1] / below, (sums[:, -1:] - sums[:, :-1]) / (count - below)
    best = (below * (count - below) * (high - low) ** 2).argmax(dim=1, keepdim=True)
    return ((cells.gather(1, best) + cells.gather(1, best + 1)) / 2).squeeze(1)


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
