"""Pixel groups of a picture: k-means of its features, started from its CAM (DSCNet, section III-B).

The equations of DSCNet (Lai, Vong, Chen, IEEE TII 2024) are lost in the copies that there are: what
stands here is our reading of its words (docs/method.md).

Legend: B pictures (each view counts as one), N cells of a map, D feature channels, C foreground
classes, K groups, the most that a picture of the batch has: one a tag and one for the background.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hsc.losses.maps import background_activation, unit

ROUNDS = 10
"""At most; on well parted features two suffice."""
_SMALLEST = 1e-6


class Groups(NamedTuple):
    """The groups of every picture; slot 0 is the background's, the others those of its tags."""

    assignment: Tensor
    """(B, N) int64, the slot of each cell."""
    classes: Tensor
    """(B, K) int64, 0..C, the class that a slot started from."""
    present: Tensor
    """(B, K) bool: the slot has cells."""


def centred(features: Tensor) -> Tensor:
    """Directions of the features around their own mean: their dot product is Pearson's correlation.

    features: (B, D, h, w). Returns (B, N, D) float, of length 1, or 0 where all channels of a cell
    are alike. Equation (4), whose matrix of all pairs of cells is never stored.
    """
    cells = features.flatten(2).transpose(1, 2)
    around = cells - cells.mean(dim=-1, keepdim=True)
    length = torch.linalg.vector_norm(around, dim=-1, keepdim=True)
    return torch.where(length > _SMALLEST, around / length.clamp(min=_SMALLEST), 0.0)


def pixel_groups(features: Tensor, cam: Tensor, tags: Tensor, rounds: int = ROUNDS) -> Groups:
    """Equation (5): spherical k-means of the centred features, a group a tag and the background.

    features: (B, D, h, w). cam: (B, C, h, w) in [0, 1], absent classes 0. tags: (B, C), 0 or 1. A
    group starts at the mean of the cells weighted by its class's activation, the background's by
    1 - the strongest, so no random numbers are drawn; a class without activation has no group. A
    centre that loses all cells stays where it was. Carries no gradient. The same input gives the
    same groups; of equally near centres the first wins. Raises ValueError for shapes that do not
    fit.
    """
    fits = features.dim() == cam.dim() == 4 and features.shape[2:] == cam.shape[2:]
    if not fits or tuple(tags.shape) != tuple(cam.shape[:2]) or len(features) != len(cam):
        raise ValueError(
            "features (B, D, h, w) need a CAM (B, C, h, w) and tags (B, C), got "
            f"{tuple(features.shape)}, {tuple(cam.shape)} and {tuple(tags.shape)}"
        )
    with torch.no_grad():
        z = centred(features.detach())
        classes, there = _slots(tags)
        weights = _start_weights(cam.detach(), classes, there)  # (B, K, N)
        there = there & (weights.sum(dim=2) > _SMALLEST)
        centres = unit(weights @ z, dim=2)
        assignment = _nearest(z, centres, there)
        for _ in range(rounds):
            sums = _one_hot(assignment, classes.shape[1], z.dtype) @ z
            centres = torch.where(sums.any(dim=2, keepdim=True), unit(sums, dim=2), centres)
            moved = _nearest(z, centres, there)
            # Rounds after that change nothing; to look would halt a GPU in each of them.
            if moved.device.type == "cpu" and torch.equal(moved, assignment):
                break
            assignment = moved
        filled = _one_hot(assignment, classes.shape[1], z.dtype).sum(dim=2) > 0
        return Groups(assignment, classes, there & filled)


def group_shares(groups: Groups, labels: Tensor, num_labels: int) -> Tensor:
    """How a group's cells are labelled: (B, K, num_labels), rows sum to 1, 0 for an empty group.

    labels: (B, h, w) int64, 0..num_labels-1. Equation (8): the probability of a group belonging to
    a class.
    """
    member = _one_hot(groups.assignment, groups.classes.shape[1], torch.float32)
    labelled = torch.nn.functional.one_hot(labels.flatten(1), num_labels).to(member.dtype)
    counts = member @ labelled
    return counts / counts.sum(dim=2, keepdim=True).clamp(min=1)


def group_labels(groups: Groups, shares: Tensor) -> Tensor:
    """The label of most of a group's cells, (B, K) int64; on a tie the class that it started from.

    shares: as `group_shares` gives them.
    """
    started = torch.nn.functional.one_hot(groups.classes, shares.shape[2]).to(shares.dtype)
    cells = groups.assignment.shape[1]
    return (shares + started / (2 * cells)).argmax(dim=2)  # two shares differ by 1/N at least


def group_means(features: Tensor, groups: Groups) -> Tensor:
    """The mean feature of each group, (B, K, D), 0 for an empty one; (B, D, h, w) carries gradient.

    The assignment does not.
    """
    member = _one_hot(groups.assignment, groups.classes.shape[1], features.dtype)
    sums = member @ features.flatten(2).transpose(1, 2)
    return sums / member.sum(dim=2, keepdim=True).clamp(min=1)


def _slots(tags: Tensor) -> tuple[Tensor, Tensor]:
    """Classes (B, K) of the slots, background first, then the tags; and which of them there are."""
    count = (tags > 0).sum(dim=1)
    widest = int(count.max()) if len(count) else 0
    order = (tags > 0).to(torch.int64).sort(dim=1, descending=True, stable=True).indices
    classes = torch.nn.functional.pad(order[:, :widest] + 1, (1, 0))
    slot = torch.arange(widest + 1, device=tags.device)
    there = slot <= count[:, None]
    return torch.where(there, classes, 0), there


def _start_weights(cam: Tensor, classes: Tensor, there: Tensor) -> Tensor:
    """Activation of each slot's class by cell, (B, K, N)."""
    activation = torch.cat([background_activation(cam), cam], dim=1).flatten(2)
    index = classes[:, :, None].expand(-1, -1, activation.shape[2])
    return activation.gather(1, index) * there[:, :, None]


def _nearest(z: Tensor, centres: Tensor, there: Tensor) -> Tensor:
    """The slot of the nearest centre of each cell, (B, N)."""
    near = (z @ centres.transpose(1, 2)).masked_fill(~there[:, None], -torch.inf)
    return near.argmax(dim=2)


def _one_hot(assignment: Tensor, slots: int, kind: torch.dtype) -> Tensor:
    """(B, K, N): whether a cell is in a slot."""
    slot = torch.arange(slots, device=assignment.device)
    return (assignment[:, None] == slot[:, None]).to(kind)
