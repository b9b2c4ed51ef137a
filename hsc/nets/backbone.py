"""What every backbone offers.

Letters: N batch, H W pixels, h w map cells (H / stride, rounded up).
"""

from typing import NamedTuple

from torch import Tensor, nn


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
