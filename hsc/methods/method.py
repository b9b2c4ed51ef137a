"""A method: baseline and contrast on one CAM network.

`Method.losses` computes both views and all terms of equation (1),
L = L_baseline + gamma (L_rsc + L_csc + L_psc), or PPC's three terms in the place of HSC's.

Letters: N batch, C foreground classes, S side of the training crop.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsc.base.distributed import gather
from hsc.cam.network import CamMaps, CamNetwork
from hsc.methods.baseline import Baseline, Terms, Views
from hsc.methods.contrast import Contrast, Embeddings


class Method(nn.Module):
    """The objective of CAM training (`hsc.engine.training.Objective`).

    view2_size: side of view 2 in pixels. loss_resolution: SEAM's losses on maps brought to the
    view's `pixels`, as published, or on the `map`'s own cells, which is a fraction of the work.
    """

    def __init__(
        self,
        baseline: Baseline,
        network: CamNetwork,
        contrast: Contrast | None,
        view2_size: int,
        loss_resolution: Literal["pixels", "map"],
    ) -> None:
        super().__init__()
        self.baseline = baseline
        self.network = network
        self.contrast = contrast
        self._view2_size, self._loss_resolution = view2_size, loss_resolution

    def losses(self, batch: dict[str, Tensor]) -> Terms:
        """`image` (N, 3, S, S), `tags` (N, C), if the baseline needs it `saliency` (N, 1, S, S).

        In a distributed run the batch is the process's own share, and what the network says of it
        is gathered here: every loss is of the whole batch, in every process.
        """
        images = [batch["image"]]
        if self.contrast is not None or self.baseline.needs_pcm:
            images.append(self._second_view(batch["image"]))
        views = [self.network(image, enrich=False) for image in images]
        with torch.autocast(images[0].device.type, enabled=False):
            return self._terms([_to_float(view) for view in views], images, batch)

    def commit(self) -> None:
        """Take over the prototypes of the last batch."""
        if self.contrast is not None:
            self.contrast.commit()
        if self.network.enrichment is not None:
            self.network.enrichment.take(self.contrast.nodes, self.contrast.seen)

    def _second_view(self, image: Tensor) -> Tensor:
        side = self._view2_size
        return F.interpolate(image, (side, side), mode="bilinear", align_corners=True)

    def _terms(self, views: list[CamMaps], images: list[Tensor], batch: dict[str, Tensor]) -> Terms:
        tags, whole = gather(batch["tags"]), [_gather_maps(view) for view in views]
        shown = images if self._loss_resolution == "pixels" else [view.cam for view in views]
        sizes = [tuple(picture.shape[2:]) for picture in shown]
        saliency = gather(batch["saliency"]) if self.baseline.needs_saliency else None
        seen = Views(whole, sizes, tags, saliency)
        terms = self.baseline.terms(seen)
        if self.network.enrichment is not None:
            second = [gather(self.network.enrichment(view.features)) for view in views]
            terms |= self.baseline.second_terms(second, seen)
        loss = sum(terms.values())
        if self.contrast is not None:
            maps = tuple(self.baseline.contrast_map(view, tags) for view in whole)
            embeddings = tuple(map(self.embeddings, views))
            contrast = self.contrast(maps, embeddings, gather(images[1]), tags)
            loss = loss + self.contrast.params.gamma * sum(contrast.values())
            terms = {**terms, **contrast}
        return {"loss": loss, **terms}

    def embeddings(self, view: CamMaps) -> Embeddings:
        """Of the whole batch, by the network's projectors, or the features themselves."""
        if self.contrast is not None and "features" in self.contrast.projectors:
            return gather(view.features), None
        projectors = self.network.projector_class, self.network.projector_pixel
        return tuple(None if one is None else gather(one(view.features)) for one in projectors)


def _gather_maps(view: CamMaps) -> CamMaps:
    """The maps of the whole batch. Features stay where they are: the losses need only embeddings
    of them, and those are small."""
    refined = None if view.refined is None else gather(view.refined)
    return CamMaps(gather(view.cam), refined, view.features)


def _to_float(view: CamMaps) -> CamMaps:
    """At least float32, whatever the network ran in."""
    kind = torch.promote_types(view.cam.dtype, torch.float32)
    return CamMaps(*(None if maps is None else maps.to(kind) for maps in view))
