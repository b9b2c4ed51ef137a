"""What the class level and the pixel level of HSC share: prototypes, their update, InfoNCE.

Legend: R prototype rows (C foreground classes, or C+1 with background first), M entries that are
compared with them, D feature channels.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hsc.losses.maps import SMALLEST_NORM, unit


class Prototypes(NamedTuple):
    """One vector a class and whether it is known."""

    vectors: Tensor
    """(R, D) float. The row of a class that is not present is never read."""
    present: Tensor
    """(R,) bool."""


def strongest(score: Tensor, k: int) -> Tensor:
    """The k highest scores of each row as weights, 0 elsewhere; equations (6) and (10).

    score: (..., P) float. k: at least 1. Scores equal to the k-th share the places that are left:
    with one place for two equal scores each weighs half of its score. So the weights do not depend
    on the order of the entries, as they would where `topk` takes the first of equal ones; a map's
    unclaimed background has an activation of exactly 1 in many cells. Returns the shape and type of
    `score`, differentiable in it. Raises ValueError on k < 1.
    """
    if k < 1:
        raise ValueError(f"k has to be at least 1, got {k}")
    places = min(k, score.shape[-1])
    last = score.detach().topk(places, dim=-1).values[..., -1:]
    is_above, is_last = score > last, score == last
    left = places - is_above.sum(dim=-1, keepdim=True)
    share = left / is_last.sum(dim=-1, keepdim=True).clamp(min=1)
    return score * torch.where(is_last, share.to(score.dtype), is_above.to(score.dtype))


def momentum_update(memory: Prototypes, batch: Prototypes, momentum: float) -> Prototypes:
    """Equations (7) and (11): P <- momentum * r + (1 - momentum) * P for the classes of the batch.

    memory: what was known before; batch: r, both (R, D). momentum: in [0, 1], weight of the NEW
    representation, as printed in the paper (0.9 there). A class seen for the first time takes r.
    Updated rows are L2-normalised, as only their direction counts; the others stay as they are. A
    vector without direction does not make its class known. Returns new, detached tensors.
    Raises ValueError on a momentum outside [0, 1] or shapes that do not fit.
    """
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum has to be in [0, 1], got {momentum}")
    if memory.vectors.shape != batch.vectors.shape:
        raise ValueError(
            f"memory {tuple(memory.vectors.shape)} and batch {tuple(batch.vectors.shape)} differ"
        )
    old = memory.vectors.detach()
    new = batch.vectors.detach().to(old.dtype)
    mixed = torch.where(memory.present[:, None], momentum * new + (1 - momentum) * old, new)
    updated = batch.present & (torch.linalg.vector_norm(mixed, dim=1) > SMALLEST_NORM)
    vectors = torch.where(updated[:, None], unit(mixed), old)
    return Prototypes(vectors, memory.present | updated)


def info_nce(
    similarity: Tensor,
    target: Tensor,
    present: Tensor,
    temperature: float,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    """Equations (8) and (12): cross-entropy of similarity / temperature over the present rows.

    similarity: (M, R) float. target: (M,) int64, each entry's own row. present: (R,) bool; a row
    that is not present is in no denominator. temperature: above 0 (0.1 in the paper). An entry
    whose target is not present, or is no row at all (255, ignore), does not count: it is left out
    of the mean and is 0 with reduction "none". Returns a scalar >= 0, or (M,) for "none"; a zero
    that has a graph where no entry counts. Finite, forward and backward, in every such case.
    Raises ValueError on an unknown reduction, a temperature that is not positive, or shapes that
    do not fit.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction has to be 'mean', 'sum' or 'none', got {reduction!r}")
    if not temperature > 0:
        raise ValueError(f"temperature has to be above 0, got {temperature}")
    if similarity.dim() != 2 or (*target.shape, *present.shape) != tuple(similarity.shape):
        raise ValueError(
            "similarity (M, R) needs target (M,) and present (R,), got "
            f"{tuple(similarity.shape)}, {tuple(target.shape)} and {tuple(present.shape)}"
        )
    rows = similarity.shape[1]
    is_row = (target >= 0) & (target < rows)
    row = torch.where(is_row, target, 0)
    counts = is_row & present[row]
    # The lowest finite number, not -inf: with no row present at all, -inf would give NaN.
    logits = (similarity / temperature).masked_fill(~present, torch.finfo(similarity.dtype).min)
    entropy = F.cross_entropy(logits, row, reduction="none")
    entropy = torch.where(counts, entropy, 0.0)
    if reduction == "none":
        return entropy
    total = entropy.sum()
    return total if reduction == "sum" else total / counts.sum().clamp(min=1)
