"""A method: baseline and contrast on one CAM network.

`Method.losses` computes both views and all terms of equation (1),
L = L_baseline + gamma (L_rsc + L_csc + L_psc), or PPC's three terms in the place of HSC's.

Letters: N batch, C foreground classes, S side of the training crop.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsc.base.distributed import gather
from hsc.cam.network import CamMaps, CamNetwork
from hsc.losses.maps import present_probability
from hsc.methods.baselines import (
    Terms,
    classification_terms,
    eps_terms,
    equivariance_terms,
    refined_saliency_terms,
    seam_terms,
)
from hsc.methods.hsc import HscContrast
from hsc.methods.ppc import PpcContrast

Contrast = HscContrast | PpcContrast
ContrastMap = Literal["raw", "refined", "softmax"]
Embeddings = tuple[Tensor | None, Tensor]
"""A view's embeddings of the class and of the pixel projector; None where there is none."""


@dataclass(frozen=True)
class MethodSettings:
    """What is computed. `equivariance` only matters to EPS: SEAM always has it.

    loss_resolution: SEAM's losses on maps brought to the view's `pixels`, as published, or on the
    `map`'s own cells, which is a fraction of the work.
    contrast_map: the map that drives the contrast. `refined` is the PCM's, `raw` the logits, and
    `softmax` the probabilities over background and tagged classes, which is how EPS reads its
    logits: its background is a channel that it trains, and a class's logit without it says nothing
    of extent.
    refined_saliency: EPS's saliency loss on the PCM's maps too, as HSC's published code has it.
    """

    baseline: Literal["cam", "seam", "eps"]
    view2_size: int
    loss_resolution: Literal["pixels", "map"]
    eps_tau: float
    eps_mix: float
    equivariance: bool
    refined_saliency: bool
    contrast_map: ContrastMap


def needs_pcm(baseline: str, equivariance: bool) -> bool:
    """Whether a method needs SEAM's pixel correlation module in its network."""
    return baseline == "seam" or (baseline == "eps" and equivariance)


class Method(nn.Module):
    """The objective of CAM training (`hsc.engine.training.Objective`)."""

    def __init__(
        self, settings: MethodSettings, network: CamNetwork, contrast: Contrast | None
    ) -> None:
        super().__init__()
        self.settings = settings
        self.network = network
        self.contrast = contrast

    def losses(self, batch: dict[str, Tensor]) -> Terms:
        """`image` (N, 3, S, S), `tags` (N, C), for EPS `saliency` (N, 1, S, S); see module.

        In a distributed run the batch is the process's own share, and what the network says of it
        is gathered here: every loss is of the whole batch, in every process.
        """
        images = [batch["image"]]
        if self.contrast is not None or needs_pcm(
            self.settings.baseline, self.settings.equivariance
        ):
            images.append(self._second_view(batch["image"]))
        views = [self.network(image) for image in images]
        with torch.autocast(images[0].device.type, enabled=False):
            return self._terms([_to_float(view) for view in views], images, batch)

    def commit(self) -> None:
        """Take over the prototypes of the last batch."""
        if self.contrast is not None:
            self.contrast.commit()

    def _second_view(self, image: Tensor) -> Tensor:
        side = self.settings.view2_size
        return F.interpolate(image, (side, side), mode="bilinear", align_corners=True)

    def _terms(self, views: list[CamMaps], images: list[Tensor], batch: dict[str, Tensor]) -> Terms:
        tags, whole = gather(batch["tags"]), [_gather_maps(view) for view in views]
        terms = self._baseline_terms(whole, images, tags, batch)
        loss = sum(terms.values())
        if self.contrast is not None:
            maps = tuple(self._driving_map(view, tags) for view in whole)
            embeddings = tuple(map(self._embeddings, views))
            contrast = self.contrast(maps, embeddings, gather(images[1]), tags)
            loss = loss + self.contrast.settings.gamma * sum(contrast.values())
            terms = {**terms, **contrast}
        return {"loss": loss, **terms}

    def _baseline_terms(
        self, views: list[CamMaps], images: list[Tensor], tags: Tensor, batch: dict[str, Tensor]
    ) -> Terms:
        s = self.settings
        shown = images if s.loss_resolution == "pixels" else [view.cam for view in views]
        sizes = [tuple(picture.shape[2:]) for picture in shown]
        if s.baseline == "seam":
            return seam_terms(views, sizes, tags)
        if s.baseline == "cam":
            return classification_terms(views, tags)
        saliency = gather(batch["saliency"])
        terms = eps_terms(views, saliency, tags, s.eps_tau, s.eps_mix)
        if s.refined_saliency:
            terms |= refined_saliency_terms(views, saliency, tags, s.eps_tau, s.eps_mix)
        if s.equivariance:
            terms |= equivariance_terms(views, sizes, tags)
        return terms

    def _driving_map(self, view: CamMaps, tags: Tensor) -> Tensor:
        if self.settings.contrast_map == "refined":
            return view.refined
        raw = view.cam.detach()
        return raw if self.settings.contrast_map == "raw" else present_probability(raw, tags)

    def _embeddings(self, view: CamMaps) -> Embeddings:
        wide, narrow = self.network.projector_class, self.network.projector_pixel
        return (
            None if wide is None else gather(wide(view.features)),
            gather(narrow(view.features)),
        )


def _gather_maps(view: CamMaps) -> CamMaps:
    """The maps of the whole batch. Features stay where they are: the losses need only embeddings
    of them, and those are small."""
    refined = None if view.refined is None else gather(view.refined)
    return CamMaps(gather(view.cam), refined, view.features)


def _to_float(view: CamMaps) -> CamMaps:
    """At least float32, whatever the network ran in."""
    kind = torch.promote_types(view.cam.dtype, torch.float32)
    return CamMaps(*(None if maps is None else maps.to(kind) for maps in view))
