"""ResNet-101 with a deep stem, the backbone of the DeepLab published with HSC.

He et al., Bag of Tricks for Image Classification (CVPR 2019), ResNet-C: three 3x3 convolutions
take the place of the 7x7 one. The names of the parts are those of the published weights.

Letters: N batch, H W pixels, h w map cells.
"""

from torch import nn

from hsc.nets.torchvision_resnet import TorchvisionResNet

_STEM = 128


def _conv3x3(in_channels: int, channels: int, stride: int = 1) -> nn.Conv2d:
    convolution = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution


class DeepStemResNet(TorchvisionResNet):
    """torchvision's ResNet-101 with a stem of 64, 64 and 128 channels; the rest is the same.

    The first block of `layer1` takes 128 channels in place of 64. torchvision's weights do not fit.
    """

    def __init__(self, output_stride: int = 8, frozen_norm: bool = False) -> None:
        super().__init__(101, output_stride, frozen_norm)
        self.conv1 = nn.Sequential(
            _conv3x3(3, 64, stride=2),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            _conv3x3(64, 64),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            _conv3x3(64, _STEM),
        )
        self.bn1 = nn.BatchNorm2d(_STEM)
        for part in (self.layer1[0].conv1, self.layer1[0].downsample[0]):
            part.in_channels = _STEM
            part.weight = nn.Parameter(part.weight.new_empty(part.out_channels, _STEM, 1, 1))
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        if frozen_norm:
            self._freeze_scales()
