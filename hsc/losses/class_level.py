"""Class-level semantic contrast of HSC, equations (6)-(9): each class against the prototypes.

Legend: N batch, C foreground classes, D feature channels, h w map cells.
"""

import torch
from torch import Tensor

from hsc.losses.maps import unit
from hsc.losses.prototypes import Prototypes, info_nce, strongest

NO_ROW = -1
"""Target of a class that is not in the batch: `info_nce` leaves it out."""


def class_representations(u1: Tensor, cam_fg: Tensor, tags: Tensor, k: int) -> Prototypes:
    """Equation (6): a class's most activated features, averaged over the images that have it.

    u1: (N, D, h, w) float. cam_fg: (N, C, h, w) activations >= 0. tags: (N, C), 0 or 1. k: cells
    an image and class (k_c = 16 in the paper), at most h*w of which are taken; weights are the
    activations. A class whose weights sum to 0 in an image does not count for that image. Returns
    (C, D) vectors, not normalised, and which classes the batch has. Gradients flow into `u1` and,
    through the weights, into `cam_fg`: detach that where the contrast must not move it.
    Raises ValueError on k < 1 or shapes that do not fit.
    """
    fits = u1.dim() == 4 and cam_fg.shape == (*tags.shape, *u1.shape[2:])
    if not fits or tags.shape[0] != u1.shape[0]:
        raise ValueError(
            "features (N, D, h, w) need maps (N, C, h, w) and tags (N, C), got "
            f"{tuple(u1.shape)}, {tuple(cam_fg.shape)} and {tuple(tags.shape)}"
        )
    activation = torch.where(tags[:, :, None] > 0, cam_fg.flatten(2), 0.0)  # (N, C, h*w)
    weight = strongest(activation, k)
    total = weight.sum(dim=2, keepdim=True)  # (N, C, 1)
    counts = total > 0
    weight = weight / torch.where(counts, total, 1.0)
    by_image = torch.bmm(weight, u1.flatten(2).transpose(1, 2))  # (N, C, D), 0 where not counted
    images = counts.sum(dim=0)  # (C, 1)
    return Prototypes(by_image.sum(dim=0) / images.clamp(min=1), images.squeeze(1) > 0)


def class_contrast(
    representations: Prototypes, own: Prototypes, other: Prototypes | None, temperature: float
) -> Tensor:
    """Equations (8)-(9): pull each class to its prototype, push it from those of other classes.

    representations: (C, D) of this view's batch. own, other: prototypes (C, D) of this and of the
    other view, before this step's update; no gradient reaches them; None leaves the second term
    out (no cross supervision). temperature: 0.1 in the paper, on cosine similarities. A class
    without a prototype is left out, of the mean and of every denominator. Returns a scalar >= 0, a
    zero that has a graph where no class is left. Raises ValueError as `info_nce` does.
    """
    classes = torch.arange(len(representations.present), device=representations.present.device)
    target = torch.where(representations.present, classes, NO_ROW)
    direction = unit(representations.vectors)

    def against(prototypes: Prototypes) -> Tensor:
        similarity = direction @ unit(prototypes.vectors.detach()).T
        return info_nce(similarity, target, prototypes.present, temperature)

    return against(own) if other is None else against(own) + against(other)
