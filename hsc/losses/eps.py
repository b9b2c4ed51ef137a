"""EPS's saliency loss (Lee et al. 2021): the maps together have to explain a saliency map.

Legend: N batch, C foreground classes, H W saliency pixels, h w map cells.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hsc.losses.maps import tag_gate

OVERLAP_MARGIN = 1e-4
"""EPS's published code: added per cell, keeps the overlap of a class without cells at 0."""


class SaliencyPrediction(NamedTuple):
    """What the class maps say about saliency; maps are (N, 1, h, w) in [0, 1]."""

    prediction: Tensor
    """mix * foreground + (1 - mix) * background."""
    foreground: Tensor
    """Sum of the probabilities of the tagged classes that overlap the saliency."""
    background: Tensor
    """1 - sum of the probabilities of background and of tagged classes that do not overlap."""
    overlap: Tensor
    """(N, C): share of a class's cells (probability above 0.5) that is salient, every class."""


def saliency_prediction(
    cam: Tensor, saliency: Tensor, tags: Tensor, tau: float = 0.4, mix: float = 0.5
) -> SaliencyPrediction:
    """Predict saliency from the class probabilities.

    cam: (N, C+1, h, w) logits, background first. saliency: (N, 1, H, W) in [0, 1], brought to map
    size by nearest neighbour. tags: (N, C), 0 or 1. tau: a class whose overlap is above it is
    foreground, else background (EPS on VOC: 0.4). mix: weight of the foreground's map (EPS: 0.5).
    The choice of classes carries no gradient. Source: Lee et al. 2021, equations of section 3.
    Raises ValueError on shapes that do not fit or a `mix` outside [0, 1].
    """
    tag_gate(cam, tags)
    if not 0 <= mix <= 1:
        raise ValueError(f"mix has to be in [0, 1], got {mix}")
    salient = _at_map_size(saliency, cam)
    probability = cam.softmax(dim=1)
    hard = probability.detach()[:, 1:].round()  # (N, C, h, w)
    overlap = (hard * salient.round()).sum(dim=(2, 3)) / (hard + OVERLAP_MARGIN).sum(dim=(2, 3))

    tagged = tags > 0
    is_foreground = F.pad(tagged & (overlap > tau), (1, 0), value=False)
    is_background = F.pad(tagged & ~(overlap > tau), (1, 0), value=True)
    foreground = _sum_of(probability, is_foreground)
    background = 1 - _sum_of(probability, is_background)
    prediction = mix * foreground + (1 - mix) * background
    return SaliencyPrediction(prediction, foreground, background, overlap)


def saliency_loss(
    cam: Tensor, saliency: Tensor, tags: Tensor, tau: float = 0.4, mix: float = 0.5
) -> Tensor:
    """Mean squared error between the predicted and the given saliency at map size; a scalar.

    Arguments and errors as in `saliency_prediction`.
    """
    predicted = saliency_prediction(cam, saliency, tags, tau, mix).prediction
    return F.mse_loss(predicted, _at_map_size(saliency, cam))


def _at_map_size(saliency: Tensor, cam: Tensor) -> Tensor:
    if saliency.dim() != 4 or saliency.shape[:2] != (cam.shape[0], 1):
        raise ValueError(
            f"saliency has to be (N, 1, H, W) with N = {cam.shape[0]}, got {tuple(saliency.shape)}"
        )
    height, width = cam.shape[-2:]
    return F.interpolate(saliency.to(cam.dtype), size=(height, width), mode="nearest")


def _sum_of(probability: Tensor, chosen: Tensor) -> Tensor:
    """Sum of the chosen channels: (N, C+1, h, w), (N, C+1) bool -> (N, 1, h, w)."""
    kept = torch.where(chosen[:, :, None, None], probability, 0.0)
    return kept.sum(dim=1, keepdim=True)
