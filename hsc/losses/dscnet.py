"""DSCNet's two contrasts of pixel groups (Lai, Vong, Chen, IEEE TII 2024), equations (3) to (9).

A reading: the equations are lost in the copies that there are (docs/method.md).

Legend: B pictures (each view counts as one), K groups of a picture, D feature channels, C
foreground classes, M entries, Q remembered groups a class, R = C+1 class nodes, background first.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hsc.losses.maps import unit
from hsc.losses.prototypes import Prototypes

_FAR = -1e9  # what is left out of a sum of exponentials; infinity would give NaN without a negative


def contrast(similarity: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Equation (3) of each entry: one positive at a time against all negatives, (M,) >= 0.

    similarity: (M, R), already divided by the temperature. positive, negative: (M, R) bool. The
    mean over an entry's positives of log(1 + sum of exp(negatives) / exp(positive)); 0 for an entry
    without a positive or without a negative. Finite, forward and backward, in every case.
    """
    against = similarity.masked_fill(~negative, _FAR).logsumexp(dim=1, keepdim=True)
    each = torch.where(positive, F.softplus(against - similarity), 0.0)
    return each.sum(dim=1) / positive.sum(dim=1).clamp(min=1)


class Remembered(NamedTuple):
    """Groups of earlier batches by foreground class, the last Q of each, in any order."""

    means: Tensor  # (C, Q, D)
    count: Tensor  # (C,) int64, how many there have been of each class, forgotten ones too

    @property
    def labels(self) -> Tensor:
        """(C, Q) int64, 1..C."""
        classes = torch.arange(1, len(self.count) + 1, device=self.count.device)
        return classes[:, None].expand(self.means.shape[:2])

    @property
    def present(self) -> Tensor:
        """(C, Q) bool."""
        slot = torch.arange(self.means.shape[1], device=self.count.device)
        return slot < self.count[:, None]

    def with_groups(self, means: Tensor, labels: Tensor, present: Tensor) -> "Remembered":
        """With those of a batch, (B, K, D), (B, K), (B, K), in the place of the oldest."""
        classes, slots, channels = self.means.shape
        flat, label = means.detach().flatten(0, 1).to(self.means.dtype), labels.flatten()
        own = F.one_hot(label, classes + 1)[:, 1:] * present.flatten()[:, None]  # (M, C)
        total, index = own.sum(dim=0), (label - 1).clamp(min=0)
        rank = (own.cumsum(dim=0) - own).gather(1, index[:, None])[:, 0]  # of its class before it
        # Of more than Q of a class in one batch the last stay, so that no place is written twice.
        kept = own.any(dim=1) & (rank >= total[index] - slots)
        place = index * slots + (self.count[index] + rank) % slots
        place = torch.where(kept, place, classes * slots)  # a row that is thrown away
        rows = F.pad(self.means.flatten(0, 1), (0, 0, 0, 1)).index_copy(0, place, flat)
        return Remembered(rows[:-1].view(classes, slots, channels), self.count + total)


def group_contrast(
    means: Tensor,
    labels: Tensor,
    present: Tensor,
    temperature: float,
    background_positive: bool = False,
    before: Remembered | None = None,
) -> Tensor:
    """Equations (6) and (7), PGCL: groups of one label are alike, wherever in the batch they are.

    means: (B, K, D). labels: (B, K) int64, 0..C. present: (B, K) bool. A group of background is
    never an anchor or a positive, unless `background_positive` says so: the backgrounds of two
    pictures need not resemble. before: groups of earlier batches, which are positives and negatives
    too and get no gradient. The mean over a picture's anchors that have a positive, then over the
    pictures that have such anchors; a zero that has a graph where there is none.
    Raises ValueError for shapes that do not fit or a temperature that is not positive.
    """
    _check(means, labels, present, temperature)
    pictures, slots = labels.shape
    flat, label, there = means.flatten(0, 1), labels.flatten(), present.flatten()
    others, other_label, other_there = flat, label, there
    if before is not None:
        others = torch.cat([flat, before.means.detach().flatten(0, 1)])
        other_label = torch.cat([label, before.labels.flatten()])
        other_there = torch.cat([there, before.present.flatten()])
    similarity = unit(flat) @ unit(others).T / temperature
    anchor, partner = there, other_there
    if not background_positive:
        anchor, partner = there & (label > 0), other_there & (other_label > 0)
    alike = label[:, None] == other_label
    itself = torch.eye(len(label), len(other_label), dtype=torch.bool, device=label.device)
    positive = alike & ~itself & anchor[:, None] & partner
    loss = contrast(similarity, positive, ~alike & other_there)
    return _by_picture(loss, positive.any(dim=1), pictures, slots)


def node_contrast(
    means: Tensor,
    labels: Tensor,
    present: Tensor,
    nodes: Prototypes,
    temperature: float,
    background: bool = True,
) -> Tensor:
    """Equation (9), SGCL: a group is like the node of its label and no other.

    means: (B, K, D). labels, present: (B, K). nodes: (R, D), which get no gradient; a group whose
    node is not known is left out, without `background` those of background are too. Averages as
    `group_contrast`'s. Raises ValueError as it does.
    """
    _check(means, labels, present, temperature)
    pictures, slots = labels.shape
    flat, label = unit(means.flatten(0, 1)), labels.flatten()
    similarity = flat @ unit(nodes.vectors.detach()).T / temperature
    own = F.one_hot(label, len(nodes.present)).bool()
    counts = present.flatten() & nodes.present[label]
    if not background:
        counts = counts & (label > 0)
    loss = contrast(similarity, own & counts[:, None], ~own & nodes.present)
    return _by_picture(loss, counts, pictures, slots)


def batch_nodes(means: Tensor, shares: Tensor) -> Prototypes:
    """Equation (8): a class's node in this batch, the mean of the groups weighted by their shares.

    means: (B, K, D). shares: (B, K, R), 0 for an empty group. Returns (R, D) detached vectors and
    which classes have one.
    """
    weight = shares.flatten(0, 1).detach().to(means.dtype)
    total = weight.sum(dim=0)
    vectors = weight.T @ means.detach().flatten(0, 1)
    present = total > 0
    return Prototypes(vectors / torch.where(present, total, 1.0)[:, None], present)


def _by_picture(loss: Tensor, counts: Tensor, pictures: int, slots: int) -> Tensor:
    """The mean over a picture's entries that count, then over the pictures that have any."""
    weight = counts.view(pictures, slots).to(loss.dtype)
    each = (loss.view(pictures, slots) * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
    return each.sum() / (weight.sum(dim=1) > 0).sum().clamp(min=1)


def _check(means: Tensor, labels: Tensor, present: Tensor, temperature: float) -> None:
    if not temperature > 0:
        raise ValueError(f"temperature has to be above 0, got {temperature}")
    if means.dim() != 3 or labels.shape != means.shape[:2] or present.shape != labels.shape:
        raise ValueError(
            "means (B, K, D) need labels (B, K) and present (B, K), got "
            f"{tuple(means.shape)}, {tuple(labels.shape)} and {tuple(present.shape)}"
        )
