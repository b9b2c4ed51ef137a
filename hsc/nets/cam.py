"""The CAM network: backbone, head with a background channel, PCM and HSC's projectors.

Letters: N batch, C foreground classes, H W pixels, h w map cells, D backbone channels.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from hsc.nets.backbones import Backbone
from hsc.nets.pcm import PixelCorrelation


class CamMaps(NamedTuple):
    """What the network says of one view."""

    cam: Tensor  # (N, C+1, h, w) logits, background first
    refined: Tensor | None  # (N, C+1, h, w) in [0, 1], or None without a PCM
    features: Tensor  # (N, D, h, w)


class Projector(nn.Module):
    """Conv-ReLU blocks (1x1) to an embedding space (HSC, section 3.1).

    HSC's F_proj1 has two blocks (ROI and class level), F_proj2 one (pixel level). The output is
    not negative, so cosines are in [0, 1].
    """

    def __init__(self, in_channels: int, channels: int, blocks: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for block in range(blocks):
            layers += [nn.Conv2d(in_channels if block == 0 else channels, channels, 1), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """(N, D, h, w) to (N, channels, h, w)."""
        return self.layers(features)


class CamNetwork(nn.Module):
    """Backbone and 1x1 head without bias; a PCM and projectors where the method needs them."""

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        pcm: PixelCorrelation | None = None,
        projector_class: Projector | None = None,
        projector_pixel: Projector | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Conv2d(backbone.channels, num_classes + 1, 1, bias=False)
        nn.init.xavier_uniform_(self.head.weight)
        self.pcm = pcm
        self.projector_class = projector_class
        self.projector_pixel = projector_pixel

    def forward(self, image: Tensor) -> CamMaps:
        """Normalised RGB (N, 3, H, W) to the maps of the view."""
        features = self.backbone(image)
        cam = self.head(features.final)
        refined = None if self.pcm is None else self.pcm(cam, image, features)
        return CamMaps(cam, refined, features.final)

    def role(self, name: str) -> str:
        """`pretrained`, `new` or `projector`: the learning-rate group of a parameter by name."""
        if name.startswith("backbone."):
            return "pretrained"
        return "projector" if name.startswith("projector") else "new"


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, `align_corners=True`: how every loss brings (N, K, h, w) to pixels."""
    return F.interpolate(maps, size, mode="bilinear", align_corners=True)
