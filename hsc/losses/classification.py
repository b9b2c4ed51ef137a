"""Image classification from a class activation map: the loss that every baseline starts from.

Legend: N batch, C foreground classes, h w map cells.
"""

import torch.nn.functional as F
from torch import Tensor

from hsc.losses.maps import tag_gate


def multilabel_soft_margin(cam: Tensor, tags: Tensor) -> Tensor:
    """Mean multilabel soft margin loss on the average of each foreground channel.

    cam: (N, C+1, h, w) logits, background first (it is not scored). tags: (N, C), 0 or 1.
    Returns a scalar: the mean over images and classes of the binary cross-entropy.
    Equation (2) of HSC followed by global average pooling.
    Raises ValueError where the shapes do not belong together.
    """
    tag_gate(cam, tags)
    scores = cam[:, 1:].mean(dim=(2, 3))
    return F.multilabel_soft_margin_loss(scores, tags.to(scores.dtype))
