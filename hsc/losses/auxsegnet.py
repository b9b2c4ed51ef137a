"""The five losses of AuxSegNet (Xu et al., ICCV 2021, section 3.3), each of weight 1.

Legend: N batch, C foreground classes, h w map cells, H W pixels of the label maps. Logits are
brought to the labels as logits, bilinearly, `align_corners=False`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from hsc.losses.maps import resize

IGNORE = 255
"""A pixel that says nothing: of no sure class, or outside of the picture."""


def classification_loss(scores: Tensor, tags: Tensor) -> Tensor:
    """Multilabel soft margin of the tags, mean over pictures and classes: a scalar.

    scores: (N, C) logits, the mean of each class's CAM. tags: (N, C), 0 or 1.
    """
    return F.multilabel_soft_margin_loss(scores, tags.to(scores.dtype))


def segmentation_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy, mean over the labelled pixels of the whole batch: a scalar.

    logits: (N, C+1, h, w), background first. label: (N, H, W) integers, 0..C, 255 ignored. Without
    a labelled pixel 0 that has a graph (the published code gives NaN).
    """
    upsampled = resize(logits, tuple(label.shape[1:]), align_corners=False)
    total = F.cross_entropy(upsampled, label.long(), ignore_index=IGNORE, reduction="sum")
    return total / (label != IGNORE).sum().clamp(min=1)


def saliency_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Binary cross-entropy, mean over the pixels that are not ignored: a scalar.

    logits: (N, 1, h, w). label: (N, H, W) integers, 0 or 1 where salient, 255 ignored. Without a
    labelled pixel 0 that has a graph.
    """
    upsampled = resize(logits, tuple(label.shape[1:]), align_corners=False)[:, 0]
    known = label != IGNORE
    salient = torch.where(known, label, 0).to(upsampled.dtype)
    each = F.binary_cross_entropy_with_logits(upsampled, salient, reduction="none")
    return torch.where(known, each, 0.0).sum() / known.sum().clamp(min=1)
