"""ResNet-50 and ResNet-101 of torchvision as backbones, at output stride 8 or 16.

He et al., Deep Residual Learning (CVPR 2016). The names of the parts are torchvision's, without
`fc`, so that its ImageNet weights fit at every output stride: a dilation stands in for each stride
that is taken out.

Letters: N batch, H W pixels, h w map cells (H / stride, W / stride, rounded up).
"""

from torch import Tensor, nn
from torchvision.models import resnet50, resnet101

from hsc.nets.backbone import Backbone, Features

_BUILDERS = {50: resnet50, 101: resnet101}
_DILATED = {8: [False, True, True], 16: [False, False, True]}  # layer2, layer3, layer4


class TorchvisionResNet(Backbone):
    """A ResNet of 50 or 101 layers up to `layer4` (2048 channels).

    `Features.low` and `mid` are the outputs of `layer2` (512 channels, at stride 8) and `layer3`
    (1024). These have the depth, the widths and, at output stride 8, the size of the maps that
    SEAM takes from ResNet-38 (conv4 and conv5), so its PCM fits as it is. `layer1` would add little
    more than edges and colours, and those the PCM has from the image.

    With `frozen_norm` the norms' scales and offsets do not train either.
    Raises ValueError for another depth or output stride.
    """

    low_channels = 512
    mid_channels = 1024
    channels = 2048

    def __init__(self, depth: int, output_stride: int = 16, frozen_norm: bool = False) -> None:
        super().__init__(frozen_norm)
        if depth not in _BUILDERS:
            raise ValueError(f"depth must be 50 or 101, got {depth}")
        if output_stride not in _DILATED:
            raise ValueError(f"output_stride must be 8 or 16, got {output_stride}")
        whole = _BUILDERS[depth](weights=None, replace_stride_with_dilation=_DILATED[output_stride])
        self.conv1, self.bn1 = whole.conv1, whole.bn1
        self.relu, self.maxpool = nn.ReLU(inplace=True), whole.maxpool
        self.layer1, self.layer2 = whole.layer1, whole.layer2
        self.layer3, self.layer4 = whole.layer3, whole.layer4
        if frozen_norm:
            self._freeze_scales()

    def forward(self, image: Tensor) -> Features:
        stem = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        low = self.layer2(self.layer1(stem))
        mid = self.layer3(low)
        return Features(low, mid, self.layer4(mid))
