"""DeepLab: a backbone, one of two heads, and a classifier of map cells.

`Aspp` is the head published with PPC and HSC, `LargeFov` that of DeepLab v1 as SEAM trained it.

Letters: N batch, C foreground classes, D backbone channels, H W pixels, h w map cells.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsc.base.errors import ExperimentError
from hsc.nets.backbone import Backbone
from hsc.nets.backbones import backbone_from_spec


def _conv_norm(
    in_channels: int, channels: int, kernel: int, dilation: int, momentum: float
) -> nn.Sequential:
    padding = dilation if kernel == 3 else 0
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(channels, momentum=momentum),
        nn.ReLU(),
    )


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling (DeepLab; here as published with PPC and HSC).

    Parallel 3x3 branches, one for each rate, and image pooling, concatenated and mixed to
    `channels`. With `pooled_norm` the pooled branch has a batch norm in place of a bias, as
    published; it has one value a picture and channel, so a batch of one cannot train.
    `norm_momentum`: how much of its running statistics a norm takes from a batch.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        rates: Sequence[int],
        pooled_norm: bool = True,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.branches = nn.ModuleList(
            _conv_norm(in_channels, channels, 3, rate, norm_momentum) for rate in rates
        )
        if pooled_norm:
            self.pooled = _conv_norm(in_channels, channels, 1, 1, norm_momentum)
        else:
            self.pooled = nn.Sequential(nn.Conv2d(in_channels, channels, 1), nn.ReLU())
        self.mix = _conv_norm(channels * (len(rates) + 1), channels, 1, 1, norm_momentum)

    def forward(self, features: Tensor) -> Tensor:
        """(N, D, h, w) to (N, channels, h, w)."""
        pooled = self.pooled(features.mean(dim=(2, 3), keepdim=True))
        maps = [branch(features) for branch in self.branches]
        return self.mix(torch.cat([*maps, pooled.expand_as(maps[0])], dim=1))


class LargeFov(nn.Module):
    """The large field of view of DeepLab v1 (Chen et al., ICLR 2015): its fc6 and fc7.

    A dilated 3x3 layer and a 1x1 layer. The paper has 1024 channels and no norm behind VGG-16; on
    ResNet-38, which SEAM's and PPC's tables were made with, the published head has 512 channels,
    batch norms in place of biases and dropout behind the second layer only. That is built here.
    """

    def __init__(
        self, in_channels: int, channels: int, dilation: int = 12, norm_momentum: float = 0.1
    ) -> None:
        super().__init__()
        self.channels = channels
        self.layers = nn.Sequential(
            _conv_norm(in_channels, channels, 3, dilation, norm_momentum),
            _conv_norm(channels, channels, 1, 1, norm_momentum),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, D, h, w) to (N, channels, h, w)."""
        return self.layers(features)


class DeepLab(nn.Module):
    """Backbone, head, dropout, classifier; logits at the picture's size.

    `head.channels`: what the head gives. `dropout`: the share dropped in training, whole
    `channels` of a picture or single `values`, as published.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        head: Aspp | LargeFov,
        dropout: float,
        dropout_of: Literal["channels", "values"] = "channels",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.dropout = {"channels": nn.Dropout2d, "values": nn.Dropout}[dropout_of](dropout)
        self.classifier = nn.Conv2d(head.channels, num_classes + 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Normalised RGB (N, 3, H, W) to logits (N, C+1, H, W), background first."""
        logits = self.classifier(self.dropout(self.head(self.backbone(image).final)))
        return F.interpolate(logits, image.shape[2:], mode="bilinear", align_corners=True)

    def role(self, name: str) -> str:
        """`pretrained` or `new`: the learning-rate group of a parameter by name."""
        return "pretrained" if name.startswith("backbone.") else "new"


def deeplab_network(spec: dict[str, Any]) -> DeepLab:
    """Build a DeepLab.

    Keys: as the backbone's, `class_names`, and `head` with `kind`, `channels`, `norm_momentum`,
    `dropout`, `dropout_of`; of an `aspp` besides `rates` and `pooled_norm`, of a `largefov`
    `dilation`. Raises HscError for values that no network has.
    """
    backbone = backbone_from_spec(spec, frozen_norm=False)
    how = spec["head"]
    return DeepLab(
        backbone,
        len(spec["class_names"]),
        _segmentation_head(backbone.channels, how),
        how["dropout"],
        how["dropout_of"],
    )


def _segmentation_head(in_channels: int, how: dict[str, Any]) -> Aspp | LargeFov:
    if how["kind"] == "aspp":
        return Aspp(
            in_channels, how["channels"], how["rates"], how["pooled_norm"], how["norm_momentum"]
        )
    if how["kind"] == "largefov":
        return LargeFov(in_channels, how["channels"], how["dilation"], how["norm_momentum"])
    raise ExperimentError(f"head.kind: {how['kind']!r} is unknown; there are: aspp, largefov")
