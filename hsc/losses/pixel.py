"""Pixel-level semantic contrast of HSC, equations (10), (12), (13): pixels against prototypes.

Legend: N batch, C foreground classes, D feature channels, h w map cells, P = N*h*w cells of the
batch. Features `u2` are (N, D, h, w), L2-normalised over the channels; labels (N, h, w) int64.
"""

import torch
from torch import Tensor

from hsc.losses.maps import SMALLEST_NORM, unit
from hsc.losses.prototypes import Prototypes, info_nce, strongest


def pixel_prototypes(u2: Tensor, activation: Tensor, labels: Tensor, k: int) -> Prototypes:
    """Equation (10): a class's most activated features among the batch's pixels labelled so.

    u2: (N, D, h, w), normalised. activation: (N, C+1, h, w) >= 0: the background's first
    (`maps.background_activation`), then the classes'. labels: (N, h, w), 0..C; another value (255,
    ignore) belongs to no class. k: pixels a class in the whole batch (k_p = 32 in the paper),
    weighted by their activations. Returns (C+1, D) L2-normalised, detached vectors and which
    classes have one: those with a labelled pixel of activation above 0.
    Raises ValueError on k < 1 or shapes that do not fit.
    """
    fits = activation.dim() == 4 and (*activation.shape[:1], *activation.shape[2:]) == labels.shape
    if not fits or u2.dim() != 4 or u2.shape[2:] != labels.shape[1:] or len(u2) != len(labels):
        raise ValueError(
            "features (N, D, h, w) need activations (N, C+1, h, w) and labels (N, h, w), got "
            f"{tuple(u2.shape)}, {tuple(activation.shape)} and {tuple(labels.shape)}"
        )
    score = activation.detach().transpose(0, 1).flatten(1)  # (C+1, P)
    rows = torch.arange(len(score), device=labels.device)
    return strongest_mean(u2, torch.where(labels.flatten() == rows[:, None], score, 0.0), k)


def strongest_mean(u: Tensor, score: Tensor, k: int) -> Prototypes:
    """Mean of the k pixels of the highest score in each row, weighted by the scores.

    u: (N, D, h, w). score: (R, P) >= 0; a pixel of score 0 does not count. k: at least 1; of equal
    scores see `prototypes.strongest`. Returns (R, D) L2-normalised, detached vectors and which rows
    have one: those with a score above 0. What equation (10) of HSC and the prototype estimation of
    PPC share. Raises ValueError on k < 1.
    """
    weight = strongest(score, k)
    total = weight.sum(dim=1, keepdim=True)
    weight = weight / torch.where(total > 0, total, 1.0)
    vectors = weight @ pixels(u.detach())  # (R, D)
    present = (total.squeeze(1) > 0) & (torch.linalg.vector_norm(vectors, dim=1) > SMALLEST_NORM)
    return Prototypes(unit(vectors), present)


def pixel_contrast(
    u2: Tensor, labels: Tensor, prototypes: Prototypes, temperature: float
) -> Tensor:
    """Equation (12), mean over the pixels: each pixel against the prototypes.

    u2: (N, D, h, w), normalised. labels: (N, h, w). prototypes: (C+1, D), normalised; no gradient
    reaches them. temperature: 0.1 in the paper. A pixel whose label has no prototype is left out.
    Returns a scalar >= 0, a zero that has a graph where no pixel is left.
    Raises ValueError as `info_nce` does.
    """
    similarity = pixels(u2) @ prototypes.vectors.detach().T  # (P, C+1)
    return info_nce(similarity, labels.flatten(), prototypes.present, temperature)


def pixel_level(
    u2: Tensor,
    labels: Tensor,
    own: Prototypes,
    temperature: float,
    other_prototypes: Prototypes | None = None,
    other_labels: Tensor | None = None,
    memory: Prototypes | None = None,
) -> Tensor:
    """Equation (13) for one view: the sum of the terms whose supervision is given.

    Always the intra-view term (u2, labels, own). Further, where not None: cross-view
    (u2, labels, other_prototypes), cross-CAM (u2, other_labels, own) and momentum
    (u2, labels, memory). Shapes as in `pixel_contrast`. Returns a scalar >= 0.
    """
    loss = pixel_contrast(u2, labels, own, temperature)
    if other_prototypes is not None:
        loss = loss + pixel_contrast(u2, labels, other_prototypes, temperature)
    if other_labels is not None:
        loss = loss + pixel_contrast(u2, other_labels, own, temperature)
    if memory is not None:
        loss = loss + pixel_contrast(u2, labels, memory, temperature)
    return loss


def pixels(u: Tensor) -> Tensor:
    """(N, D, h, w) -> (P, D)."""
    return u.permute(0, 2, 3, 1).flatten(0, 2)
