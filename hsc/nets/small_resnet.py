"""The small residual network, for pictures of about 80 pixels and two CPU cores."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from hsc.nets.backbone import Backbone, Features


def _conv3x3(in_channels: int, channels: int, stride: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels, channels, 3, stride, padding=dilation, dilation=dilation, bias=False
    )


class _ResidualBlock(nn.Module):
    """Pre-activation block: norm, ReLU, 3x3, norm, ReLU, 3x3, plus the (projected) input.

    `dilations` of the first and of the second convolution; the first one has the stride.
    """

    def __init__(
        self, in_channels: int, channels: int, stride: int = 1, dilations: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = _conv3x3(in_channels, channels, stride, dilations[0])
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = _conv3x3(channels, channels, 1, dilations[1])
        self.shortcut = None
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.norm1(x))
        shortcut = x if self.shortcut is None else self.shortcut(activated)
        return shortcut + self.conv2(F.relu(self.norm2(self.conv1(activated))))


class SmallResNet(Backbone):
    """A residual network for pictures of about 80 pixels, trained from scratch in a minute.

    Stem (stride 2), five blocks in three stages, a 1x1 layer; the last stage trades a stride of 2
    for a dilation of 2 at output stride 4, as CAM networks do to keep their maps fine.
    `widths`: channels of the stem, of stage 2, of stage 3 and of the last layer.
    """

    def __init__(
        self, widths: Sequence[int], output_stride: int = 4, frozen_norm: bool = False
    ) -> None:
        super().__init__(frozen_norm)
        if output_stride not in (4, 8):
            raise ValueError(f"output_stride must be 4 or 8, got {output_stride}")
        stem, middle, deep, last = widths
        self.low_channels, self.mid_channels, self.channels = stem, middle, last
        # Without the stride, everything behind it has to look twice as far: then the finer map
        # holds the coarser one's values at every other cell, and weights fit both.
        stride, dilation = (2, 1) if output_stride == 8 else (1, 2)
        self.stem = _conv3x3(3, stem, 2, 1)
        self.stage1 = _ResidualBlock(stem, stem)
        self.stage2 = nn.Sequential(_ResidualBlock(stem, middle, 2), _ResidualBlock(middle, middle))
        self.stage3 = nn.Sequential(
            _ResidualBlock(middle, deep, stride, (1, dilation)),
            _ResidualBlock(deep, deep, 1, (dilation, dilation)),
        )
        self.norm3 = nn.BatchNorm2d(deep)
        self.last = nn.Conv2d(deep, last, 1, bias=False)
        self.norm4 = nn.BatchNorm2d(last)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> Features:
        low = self.stage1(self.stem(image))
        mid = self.stage2(low)
        deep = F.relu(self.norm3(self.stage3(mid)))
        return Features(low, mid, F.relu(self.norm4(self.last(deep))))
