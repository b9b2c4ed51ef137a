"""Backbones: what every one of them offers, the small one, and the table of names.

The table is the only place that knows the names, with what each backbone can be asked for; the
other networks stand in modules of their own (`resnet38`, `torchvision_resnet`).

Letters: N batch, H W pixels, h w map cells (H / stride, rounded up), D channels of the last map.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from hsc.errors import ExperimentError


class Features(NamedTuple):
    """What a backbone returns: two shallower maps for the PCM and the last one for the head."""

    low: Tensor  # (N, low_channels, *, *), any size
    mid: Tensor  # (N, mid_channels, *, *), any size
    final: Tensor  # (N, channels, h, w), not negative


class Backbone(nn.Module):
    """Maps normalised RGB (N, 3, H, W) to `Features`; a subclass sets the channel counts.

    With `frozen_norm` every batch norm keeps its running statistics in training too, as all CAM
    methods here do: small batches of crops would spoil the pretrained ones. The backbones that
    come with published weights keep the norms' scales and offsets as well (`_freeze_scales`).
    """

    low_channels: int
    mid_channels: int
    channels: int

    def __init__(self, frozen_norm: bool = False) -> None:
        super().__init__()
        self.frozen_norm = frozen_norm

    def train(self, mode: bool = True) -> "Backbone":
        super().train(mode)
        if mode and self.frozen_norm:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def _freeze_scales(self) -> None:
        """Take the norms' scales and offsets out of training; for the end of `__init__`."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.requires_grad_(False)


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


def _small(widths: Sequence[int] | None, output_stride: int, frozen_norm: bool) -> Backbone:
    assert widths is not None  # the table says that it takes widths
    return SmallResNet(widths, output_stride, frozen_norm)


# The other networks are subclasses of `Backbone`, so their modules import this one.
def _resnet38(widths: Sequence[int] | None, output_stride: int, frozen_norm: bool) -> Backbone:
    from hsc.nets.resnet38 import ResNet38

    return ResNet38(frozen_norm)


def _resnet50(widths: Sequence[int] | None, output_stride: int, frozen_norm: bool) -> Backbone:
    from hsc.nets.torchvision_resnet import TorchvisionResNet

    return TorchvisionResNet(50, output_stride, frozen_norm)


def _resnet101(widths: Sequence[int] | None, output_stride: int, frozen_norm: bool) -> Backbone:
    from hsc.nets.torchvision_resnet import TorchvisionResNet

    return TorchvisionResNet(101, output_stride, frozen_norm)


def _resnet101s(widths: Sequence[int] | None, output_stride: int, frozen_norm: bool) -> Backbone:
    from hsc.nets.deep_stem_resnet import DeepStemResNet

    return DeepStemResNet(output_stride, frozen_norm)


class _Entry(NamedTuple):
    """What a recipe may ask of a backbone."""

    build: Callable[[Sequence[int] | None, int, bool], Backbone]
    strides: tuple[int, ...]
    takes_widths: bool = False


_BACKBONES = {
    "small": _Entry(_small, (4, 8), takes_widths=True),
    "resnet38": _Entry(_resnet38, (8,)),
    "resnet50": _Entry(_resnet50, (8, 16)),
    "resnet101": _Entry(_resnet101, (8, 16)),
    "resnet101s": _Entry(_resnet101s, (8, 16)),
}


def backbone_names() -> tuple[str, ...]:
    """The names that a recipe may give as `backbone`."""
    return tuple(sorted(_BACKBONES))


def build_backbone(
    name: str, widths: Sequence[int] | None, output_stride: int, frozen_norm: bool
) -> Backbone:
    """Build a backbone by its recipe name, with fresh weights.

    widths: of `small` only, None for the others. Raises HscError for an unknown name, an output
    stride that the backbone does not have, widths that are missing or out of place.
    """
    if name not in _BACKBONES:
        known = ", ".join(backbone_names())
        raise ExperimentError(f"backbone: {name!r} is unknown; there are: {known}")
    entry = _BACKBONES[name]
    if output_stride not in entry.strides:
        strides = " or ".join(str(stride) for stride in entry.strides)
        raise ExperimentError(
            f"output_stride: the backbone {name} has {strides}, got {output_stride}; "
            "change it in the recipe"
        )
    if entry.takes_widths and widths is None:
        raise ExperimentError(f"widths: the backbone {name} needs them; give them in the recipe")
    if not entry.takes_widths and widths is not None:
        raise ExperimentError(
            f"widths: the backbone {name} has widths of its own, got {list(widths)}; "
            "remove the key from the recipe or set it to null"
        )
    return entry.build(widths, output_stride, frozen_norm)


class TagClassifier(nn.Module):
    """A backbone whose strongest map cells tell the tags: what the warm-up trains.

    Each class's logit is the mean over the `pool` (a fraction in (0, 1]) strongest cells of its
    map. With all cells (global average pooling) a small distinctive part is diluted and is learned
    more slowly; the CAM training that follows averages over all cells.
    Raises ValueError for a fraction outside (0, 1].
    """

    def __init__(self, backbone: Backbone, num_classes: int, pool: float = 1.0) -> None:
        super().__init__()
        if not 0 < pool <= 1:
            raise ValueError(f"pool has to be in (0, 1], got {pool}")
        self.backbone = backbone
        self.head = nn.Conv2d(backbone.channels, num_classes, 1, bias=False)
        self.pool = pool

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) to tag logits (N, C)."""
        maps = self.head(self.backbone(image).final).flatten(2)  # (N, C, h*w)
        cells = max(1, round(self.pool * maps.shape[2]))
        return maps.topk(cells, dim=2).values.mean(dim=2)
