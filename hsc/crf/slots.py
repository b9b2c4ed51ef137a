"""The labels that occur in a picture as the first few of a list, so that maps are few.

Letters: V labellings of each picture (views), N batch, P pixels, K slots of a picture.
"""

import torch
from torch import Tensor


def label_slots(labels: Tensor, num_labels: int) -> tuple[Tensor, Tensor]:
    """The labels of each picture, in any of its labellings, in ascending order.

    labels: int64 (V, N, P) in 0..num_labels-1. Returns classes int64 (N, K), K the most that a
    picture has, and used bool (N, K), false where a picture has fewer: what stands there is a label
    that it lacks.
    """
    present = torch.zeros(labels.shape[1], num_labels, dtype=torch.bool, device=labels.device)
    present.scatter_(1, labels.transpose(0, 1).flatten(1), True)
    count = present.sum(dim=1, keepdim=True)
    k = int(count.max())
    classes = present.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return classes, torch.arange(k, device=labels.device) < count


def take_largest(scores: Tensor, classes: Tensor) -> Tensor:
    """Labels from the slot of the largest score, of equal ones the first.

    scores: (N, V, K, P). classes: (N, K). Returns int64 (V, N, P). Slot by slot: `argmax` takes ten
    times as long on a CPU along a dimension that is not the last one.
    """
    best, slot = scores[:, :, 0], torch.zeros_like(scores[:, :, 0], dtype=torch.int64)
    for k in range(1, scores.shape[2]):
        slot = torch.where(scores[:, :, k] > best, k, slot)
        best = torch.maximum(best, scores[:, :, k])
    slot = slot.transpose(0, 1)
    return classes.expand(len(slot), -1, -1).gather(2, slot)
