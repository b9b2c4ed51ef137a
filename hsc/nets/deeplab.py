"""DeepLab with an atrous spatial pyramid (ASPP), as published with PPC and HSC.

Parallel 3x3 atrous branches and a pooled branch, concatenated, 1x1, dropout, 1x1 classifier.
Letters: N batch, C foreground classes, H W pixels, h w map cells.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsc.nets.backbones import Backbone


def _conv_norm(in_channels: int, channels: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    padding = dilation if kernel == 3 else 0
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


class Aspp(nn.Module):
    """Four atrous 3x3 branches and image pooling, concatenated and mixed to `width` channels."""

    def __init__(self, in_channels: int, width: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            _conv_norm(in_channels, width, 3, dilation=rate) for rate in rates
        )
        # One value a channel and image: batch norm would fail on a batch of one.
        self.pooled = nn.Sequential(nn.Conv2d(in_channels, width, 1), nn.ReLU())
        self.mix = _conv_norm(width * (len(rates) + 1), width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, D, h, w) to (N, width, h, w)."""
        pooled = self.pooled(features.mean(dim=(2, 3), keepdim=True))
        maps = [branch(features) for branch in self.branches]
        return self.mix(torch.cat([*maps, pooled.expand_as(maps[0])], dim=1))


class DeepLab(nn.Module):
    """Backbone, ASPP, dropout, classifier; logits at the picture's size."""

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        aspp_width: int,
        aspp_rates: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.aspp = Aspp(backbone.channels, aspp_width, aspp_rates)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(aspp_width, num_classes + 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Normalised RGB (N, 3, H, W) to logits (N, C+1, H, W), background first."""
        logits = self.classifier(self.dropout(self.aspp(self.backbone(image).final)))
        return F.interpolate(logits, image.shape[2:], mode="bilinear", align_corners=True)

    def role(self, name: str) -> str:
        """`pretrained` or `new`: the learning-rate group of a parameter by name."""
        return "pretrained" if name.startswith("backbone.") else "new"
