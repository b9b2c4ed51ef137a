"""AffinityNet: how much neighbouring map cells belong together.

Ahn and Kwak (PSA, CVPR 2018), section 3.2, on any backbone. Letters: N batch, O offsets, D
channels of the embedding, H W pixels, h w map cells (H / stride, rounded up).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hsc.nets.backbone import Backbone, Features
from hsc.nets.backbones import build_backbone
from hsc.nets.weights import load_state, load_weights
from hsc.psa.pairs import Offset, pair_offsets, pair_windows

Spec = dict[str, Any]


class AffinityHead(nn.Module):
    """The three maps of the backbone reduced, joined and mixed: the embedding (N, D, h, w).

    1x1 convolutions without bias and ELU throughout; D is the sum of `widths`.
    """

    def __init__(self, channels: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        low, mid, final = (
            nn.Conv2d(count, width, 1, bias=False)
            for count, width in zip(channels, widths, strict=True)
        )
        self.reduce_low, self.reduce_mid, self.reduce_final = low, mid, final
        self.embed = nn.Conv2d(sum(widths), sum(widths), 1, bias=False)
        for layer in (low, mid, final):
            nn.init.kaiming_normal_(layer.weight)
        nn.init.xavier_uniform_(self.embed.weight, gain=4)

    def forward(self, features: Features) -> Tensor:
        size = features.final.shape[2:]
        parts = (
            F.elu(self.reduce_low(features.low)),
            F.elu(self.reduce_mid(features.mid)),
            F.elu(self.reduce_final(features.final)),
        )
        joined = [_at_size(part, size) for part in parts]
        return F.elu(self.embed(torch.cat(joined, dim=1)))


class AffinityNetwork(nn.Module):
    """Backbone and head; a picture's affinities of all pairs closer than `radius` cells."""

    def __init__(self, backbone: Backbone, widths: Sequence[int], radius: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.offsets = pair_offsets(radius)
        channels = (backbone.low_channels, backbone.mid_channels, backbone.channels)
        self.affinity = AffinityHead(channels, widths)

    def forward(self, image: Tensor) -> Tensor:
        """Normalised RGB (N, 3, H, W) to affinities in [0, 1], at least float32, (N, O, h, w).

        The layout is that of `hsc.psa.pairs`.
        """
        embedding = self.affinity(self.backbone(image))
        with torch.autocast(embedding.device.type, enabled=False):  # bf16 is too coarse for a mean
            wide = embedding.to(torch.promote_types(embedding.dtype, torch.float32))
            return pair_affinity(wide, self.offsets)

    def role(self, name: str) -> str:
        """`pretrained` or `new`: the learning-rate group of a parameter by name."""
        return "pretrained" if name.startswith("backbone.") else "new"


def pair_affinity(embedding: Tensor, offsets: Sequence[Offset]) -> Tensor:
    """exp(-mean |f_i - f_j|) of every pair: (N, D, h, w) to (N, O, h, w), 0 outside the map.

    PSA, section 3.2 (the paper has the sum, the published code the mean over the channels).
    """
    return _PairAffinity.apply(embedding, offsets)


def affinity_network(spec: Spec) -> AffinityNetwork:
    """Build an affinity network from what travels in its weights file.

    Keys: `backbone`, `widths`, `output_stride` as for all networks (`hsc.nets.backbones`);
    `affinity_widths`, `radius`. Raises HscError for values that no backbone has.
    """
    backbone = build_backbone(
        spec["backbone"], spec["widths"], spec["output_stride"], frozen_norm=True
    )
    return AffinityNetwork(backbone, spec["affinity_widths"], spec["radius"])


def load_affinity_network(path: Path) -> tuple[AffinityNetwork, Spec]:
    """Read a trained network in eval mode. Raises HscError as `load_weights`, `load_state`."""
    spec, state = load_weights(path, "affinity")
    network = affinity_network(spec)
    load_state(network, state, path)
    return network.eval(), spec


def _at_size(maps: Tensor, size: Sequence[int]) -> Tensor:
    if maps.shape[2:] == size:
        return maps
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=True)


class _PairAffinity(torch.autograd.Function):
    """Offset by offset, and again in the backward pass.

    Autograd would keep |f_i - f_j| of all offsets: O times the embedding.
    """

    @staticmethod
    def forward(ctx: Any, embedding: Tensor, offsets: Sequence[Offset]) -> Tensor:
        count, _, height, width = embedding.shape
        affinity = embedding.new_zeros(count, len(offsets), height, width)
        for index, offset in enumerate(offsets):
            first, second = pair_windows(offset, height, width)
            distance = (embedding[(..., *first)] - embedding[(..., *second)]).abs_().mean(dim=1)
            affinity[(slice(None), index, *first)] = distance.neg_().exp_()
        ctx.offsets = offsets
        ctx.save_for_backward(embedding, affinity)
        return affinity

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        embedding, affinity = ctx.saved_tensors
        height, width = embedding.shape[2:]
        result = torch.zeros_like(embedding)
        scaled = gradient * affinity / embedding.shape[1]
        for index, offset in enumerate(ctx.offsets):
            first, second = pair_windows(offset, height, width)
            step = (embedding[(..., *second)] - embedding[(..., *first)]).sign_()
            step *= scaled[(slice(None), index, *first)][:, None]
            result[(..., *first)] += step
            result[(..., *second)] -= step
        return result, None
