"""The CAM network: backbone, head with a background channel, PCM and HSC's projectors.

Letters: N batch, C foreground classes, H W pixels, h w map cells, D backbone channels.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from hsc.base.errors import ExperimentError
from hsc.cam.pcm import PixelCorrelation
from hsc.nets.backbone import Backbone
from hsc.nets.backbones import backbone_from_spec
from hsc.nets.enrichment import Enrichment
from hsc.nets.weights import load_state, load_weights


class CamMaps(NamedTuple):
    """What the network says of one view."""

    cam: Tensor  # (N, C+1, h, w) logits, background first
    refined: Tensor | None  # (N, C+1, h, w) in [0, 1], or None without a PCM
    features: Tensor  # (N, D, h, w)


class Projector(nn.Module):
    """Conv-ReLU blocks (1x1) to an embedding space (HSC, section 3.1).

    HSC's F_proj1 has two blocks (ROI and class level), F_proj2 one (pixel level). The output is
    not negative, so cosines are in [0, 1]. The published code of PPC and HSC has no bias in the
    one block of the pixel level.
    """

    def __init__(self, in_channels: int, channels: int, blocks: int, bias: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for block in range(blocks):
            layers += [
                nn.Conv2d(in_channels if block == 0 else channels, channels, 1, bias=bias),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """(N, D, h, w) to (N, channels, h, w)."""
        return self.layers(features)


class ContextProjector(nn.Module):
    """F_proj1 as HSC's published code has it: 3x3, batch norm, ReLU, 1x1; no ReLU at the end.

    It takes the published weights; the paper's is `Projector`. Cosines are in [-1, 1]. The norm
    keeps its statistics in training too, as there, so that an embedding does not depend on the
    other pictures of the batch; unlike there its scale trains with the rest.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
        )

    def train(self, mode: bool = True) -> "ContextProjector":
        super().train(mode)
        self.layers[1].eval()
        return self

    def forward(self, features: Tensor) -> Tensor:
        """(N, D, h, w) to (N, channels, h, w)."""
        return self.layers(features)


class CamNetwork(nn.Module):
    """Backbone and 1x1 head without bias; a PCM and projectors where the method needs them.

    `head_dropout`: the share of the head's input channels that are dropped in training. SEAM and
    PSA publish 0.5, EPS and HSC none; the projectors always see all channels. `enrichment`: the
    temperature of a second CAM (`Enrichment`), which is what the network then gives.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        pcm: PixelCorrelation | None = None,
        projector_class: nn.Module | None = None,
        projector_pixel: nn.Module | None = None,
        head_dropout: float = 0.0,
        enrichment: float | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head_dropout = nn.Dropout2d(head_dropout)
        self.head = nn.Conv2d(backbone.channels, num_classes + 1, 1, bias=False)
        nn.init.xavier_uniform_(self.head.weight)
        self.pcm = pcm
        self.projector_class = projector_class
        self.projector_pixel = projector_pixel
        self.enrichment = None
        if enrichment is not None:
            self.enrichment = Enrichment(self.head, num_classes + 1, enrichment)

    def forward(self, image: Tensor, refine: bool = True, enrich: bool = True) -> CamMaps:
        """Normalised RGB (N, 3, H, W) to the maps of the view; `refine`: by the PCM too.

        enrich: give the second CAM where there is one; a training wants the plain one besides.
        """
        features = self.backbone(image)
        if enrich and self.enrichment is not None:
            cam = self.enrichment(features.final)
        else:
            cam = self.head(self.head_dropout(features.final))
        refined = self.pcm(cam, image, features) if refine and self.pcm is not None else None
        return CamMaps(cam, refined, features.final)

    def role(self, name: str) -> str:
        """`pretrained`, `new` or `projector`: the learning-rate group of a parameter by name."""
        if name.startswith("backbone."):
            return "pretrained"
        return "projector" if name.startswith("projector") else "new"


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, `align_corners=True`: how every loss brings (N, K, h, w) to pixels."""
    return F.interpolate(maps, size, mode="bilinear", align_corners=True)


def cam_network(spec: dict[str, Any]) -> CamNetwork:
    """Build a CAM network.

    Keys: `backbone`, `widths` (None for a backbone with widths of its own), `output_stride`,
    `class_names` (foreground), `pcm` (low, mid, embedding channels) or None, `projectors` (class,
    pixel channels; None for one that is left out) or None. Optional: `projector`, `paper` or
    `published`; `head_dropout`, 0; `enrichment`, None. Raises HscError for values that no network
    has.
    """
    backbone = backbone_from_spec(spec, frozen_norm=True)
    pcm = None
    if spec["pcm"] is not None:
        pcm = PixelCorrelation(backbone.low_channels, backbone.mid_channels, *spec["pcm"])
    wide, narrow = spec["projectors"] or (None, None)
    kind = spec.get("projector", "paper")
    return CamNetwork(
        backbone,
        len(spec["class_names"]),
        pcm,
        None if wide is None else _class_projector(kind, backbone.channels, wide),
        None if narrow is None else _pixel_projector(kind, backbone.channels, narrow),
        spec.get("head_dropout", 0.0),
        spec.get("enrichment"),
    )


def load_cam_network(path: Path) -> tuple[CamNetwork, dict[str, Any]]:
    """Read a trained CAM network in eval mode. Raises HscError as `load_weights`, `load_state`."""
    spec, state = load_weights(path, "cam")
    network = cam_network(spec)
    load_state(network, state, path)
    return network.eval(), spec


def _class_projector(kind: str, in_channels: int, channels: int) -> nn.Module:
    """F_proj1, for the ROI and the class level."""
    _check_projector(kind)
    if kind == "published":
        return ContextProjector(in_channels, channels)
    return Projector(in_channels, channels, blocks=2)


def _pixel_projector(kind: str, in_channels: int, channels: int) -> nn.Module:
    """F_proj2, for the pixel level."""
    _check_projector(kind)
    return Projector(in_channels, channels, blocks=1, bias=kind == "paper")


def _check_projector(kind: str) -> None:
    if kind not in ("paper", "published"):
        raise ExperimentError(f"projector: {kind!r} is unknown; there are: paper, published")
