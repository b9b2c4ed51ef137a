"""ResNet-38, the wide residual network of the published CAM methods.

Wu, Shen and van den Hengel, Wider or Deeper: Revisiting the ResNet Model for Visual Recognition
(2016), model A1, with dilations in place of the last strides as PSA, SEAM, EPS, PPC and HSC have
it. The names of the parts are those of the published weights.

Letters: N batch, H W pixels, h w map cells (H / 8, W / 8, rounded up).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from hsc.nets.backbone import Backbone, Features

# Stages of equal blocks, each at half the size of the one before: name, blocks, channels.
_STAGES = (("b2", 3, 64, 128), ("b3", 3, 128, 256), ("b4", 6, 256, 512))
_FROZEN = ("conv1a", "b2", "b2_1", "b2_2")


def _conv(
    in_channels: int, channels: int, kernel: int, stride: int = 1, dilation: int = 1
) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels,
        channels,
        kernel,
        stride,
        padding=dilation if kernel == 3 else 0,
        dilation=dilation,
        bias=False,
    )


class _PreActivated(nn.Module):
    """What both kinds of block share: y = shortcut + branch(a), a = ReLU(norm(x)).

    The shortcut is x where the shapes agree, a 1x1 convolution of a where they do not.
    """

    bn_branch2a: nn.BatchNorm2d
    conv_branch1: nn.Conv2d | None

    def activate(self, x: Tensor) -> Tensor:
        """a: the input normalised and rectified."""
        return F.relu(self.bn_branch2a(x), inplace=True)

    def branch(self, activated: Tensor) -> Tensor:
        raise NotImplementedError

    def join(self, x: Tensor, activated: Tensor) -> Tensor:
        """y from x and a."""
        shortcut = x if self.conv_branch1 is None else self.conv_branch1(activated)
        return shortcut + self.branch(activated)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(x, self.activate(x))


class _Block(_PreActivated):
    """Two 3x3 convolutions; the first has the stride. `dilations`: one for each."""

    def __init__(
        self,
        in_channels: int,
        middle: int,
        channels: int,
        stride: int = 1,
        dilations: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        self.bn_branch2a = nn.BatchNorm2d(in_channels)
        self.conv_branch2a = _conv(in_channels, middle, 3, stride, dilations[0])
        self.bn_branch2b1 = nn.BatchNorm2d(middle)
        self.conv_branch2b1 = _conv(middle, channels, 3, 1, dilations[1])
        self.conv_branch1 = None
        if stride != 1 or in_channels != channels:
            self.conv_branch1 = _conv(in_channels, channels, 1, stride)

    def branch(self, activated: Tensor) -> Tensor:
        hidden = F.relu(self.bn_branch2b1(self.conv_branch2a(activated)), inplace=True)
        return self.conv_branch2b1(hidden)


class _Bottleneck(_PreActivated):
    """1x1, dilated 3x3, 1x1; whole channels are dropped before the last two in training."""

    def __init__(self, in_channels: int, channels: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.bn_branch2a = nn.BatchNorm2d(in_channels)
        self.conv_branch2a = _conv(in_channels, channels // 4, 1)
        self.bn_branch2b1 = nn.BatchNorm2d(channels // 4)
        self.conv_branch2b1 = _conv(channels // 4, channels // 2, 3, 1, dilation)
        self.bn_branch2b2 = nn.BatchNorm2d(channels // 2)
        self.conv_branch2b2 = _conv(channels // 2, channels, 1)
        self.conv_branch1 = _conv(in_channels, channels, 1)
        self.dropout = nn.Dropout2d(dropout)

    def branch(self, activated: Tensor) -> Tensor:
        hidden = F.relu(self.bn_branch2b1(self.conv_branch2a(activated)), inplace=True)
        hidden = self.conv_branch2b1(self.dropout(hidden))
        hidden = F.relu(self.bn_branch2b2(hidden), inplace=True)
        return self.conv_branch2b2(self.dropout(hidden))


class ResNet38(Backbone):
    """ResNet-38 at output stride 8, 105 million weights.

    `Features.low` and `mid` are what SEAM calls conv4 and conv5, the rectified inputs of b5 (512
    channels) and b6 (1024), `final` is conv6, ReLU(bn7) (4096); all three are (h, w).

    The first convolution and the blocks b2 never train and their norms keep their statistics, as
    in every published method; with `frozen_norm` that is so of all norms.
    """

    low_channels = 512
    mid_channels = 1024
    channels = 4096

    def __init__(self, frozen_norm: bool = False) -> None:
        super().__init__(frozen_norm)
        self.conv1a = _conv(3, 64, 3)
        for name, blocks, in_channels, channels in _STAGES:
            self.add_module(name, _Block(in_channels, channels, channels, stride=2))
            for index in range(1, blocks):
                self.add_module(f"{name}_{index}", _Block(channels, channels, channels))
        # From here on a dilation stands in for each stride that was taken out. It begins behind
        # the convolution that had the stride, so the weights see the distances they learned.
        self.b5 = _Block(512, 512, 1024, dilations=(1, 2))
        self.b5_1 = _Block(1024, 512, 1024, dilations=(2, 2))
        self.b5_2 = _Block(1024, 512, 1024, dilations=(2, 2))
        self.b6 = _Bottleneck(1024, 2048, dilation=4, dropout=0.3)
        self.b7 = _Bottleneck(2048, 4096, dilation=4, dropout=0.5)
        self.bn7 = nn.BatchNorm2d(4096)
        if frozen_norm:
            self._freeze_scales()
        for name in _FROZEN:
            self.get_submodule(name).requires_grad_(False)

    def train(self, mode: bool = True) -> "ResNet38":
        super().train(mode)
        for name in _FROZEN:
            self.get_submodule(name).eval()
        return self

    def forward(self, image: Tensor) -> Features:
        x = self.conv1a(image)
        for name, blocks, _, _ in _STAGES:
            for index in range(blocks):
                x = self.get_submodule(f"{name}_{index}" if index else name)(x)
        low = self.b5.activate(x)
        x = self.b5_2(self.b5_1(self.b5.join(x, low)))
        mid = self.b6.activate(x)
        x = self.b7(self.b6.join(x, mid))
        return Features(low, mid, F.relu(self.bn7(x), inplace=True))
