"""A method: baseline and contrast on one CAM network.

`Method.losses` computes both views and all terms of equation (1),
L = L_baseline + gamma (L_rsc + L_csc + L_psc).

Letters: N batch, C foreground classes, S side of the training crop.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsc.methods.baselines import (
    Terms,
    classification_terms,
    eps_terms,
    equivariance_terms,
    seam_terms,
)
from hsc.methods.contrast import HscContrast
from hsc.nets.cam import CamMaps, CamNetwork


@dataclass(frozen=True)
class MethodSettings:
    """What is computed. `equivariance` only matters to EPS: SEAM always has it.

    loss_resolution: SEAM's losses on maps brought to the view's `pixels`, as published, or on the
    `map`'s own cells, which says much the same for a fraction of the work.
    """

    baseline: Literal["cam", "seam", "eps"]
    view2_size: int
    loss_resolution: Literal["pixels", "map"]
    eps_tau: float
    eps_mix: float
    equivariance: bool


def needs_pcm(baseline: str, equivariance: bool) -> bool:
    """Whether a method needs SEAM's pixel correlation module in its network."""
    return baseline == "seam" or (baseline == "eps" and equivariance)


class Method(nn.Module):
    """The objective of CAM training (`hsc.engine.training.Objective`)."""

    def __init__(
        self, settings: MethodSettings, network: CamNetwork, contrast: HscContrast | None
    ) -> None:
        super().__init__()
        self.settings = settings
        self.network = network
        self.contrast = contrast

    def losses(self, batch: dict[str, Tensor]) -> Terms:
        """`image` (N, 3, S, S), `tags` (N, C), for EPS `saliency` (N, 1, S, S); see module."""
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
        terms = self._baseline_terms(views, images, batch)
        loss = sum(terms.values())
        if self.contrast is not None:
            contrast = self._contrast_terms(views, images[1], batch["tags"])
            loss = loss + self.contrast.settings.gamma * sum(contrast.values())
            terms = {**terms, **contrast}
        return {"loss": loss, **terms}

    def _baseline_terms(
        self, views: list[CamMaps], images: list[Tensor], batch: dict[str, Tensor]
    ) -> Terms:
        tags, s = batch["tags"], self.settings
        shown = images if s.loss_resolution == "pixels" else [view.cam for view in views]
        sizes = [tuple(picture.shape[2:]) for picture in shown]
        if s.baseline == "seam":
            return seam_terms(views, sizes, tags)
        if s.baseline == "cam":
            return classification_terms(views, tags)
        terms = eps_terms(views, batch["saliency"], tags, s.eps_tau, s.eps_mix)
        if s.equivariance:
            terms |= equivariance_terms(views, sizes, tags)
        return terms

    def _contrast_terms(self, views: list[CamMaps], image2: Tensor, tags: Tensor) -> Terms:
        maps = tuple(view.cam if view.refined is None else view.refined for view in views)
        network = self.network
        embeddings = tuple(
            (network.projector_class(view.features), network.projector_pixel(view.features))
            for view in views
        )
        return self.contrast(maps, embeddings, image2, tags)


def _to_float(view: CamMaps) -> CamMaps:
    return CamMaps(*(None if maps is None else maps.float() for maps in view))
