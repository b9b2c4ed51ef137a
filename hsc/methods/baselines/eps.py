"""EPS (CVPR 2021): classification, and maps that together give the saliency."""

from typing import Literal

from torch import Tensor

from hsc.cam.network import CamMaps
from hsc.losses.eps import saliency_loss
from hsc.losses.maps import present_probability
from hsc.methods.baseline import Baseline, Terms, Views
from hsc.methods.baselines.cam import classification_terms
from hsc.methods.baselines.seam import equivariance_terms
from hsc.params.base import Frozen, Probability


class EpsParams(Frozen):
    """EPS's constants (its VOC script: tau 0.4, mix 0.5) and the equivariance switch.

    `equivariance: auto` adds the PCM and SEAM's ER and ECR terms exactly when a contrast is on, as
    HSC's published code does, and with PPC alike, so that the two can be compared; `true` and
    `false` decide by hand (`true` with `contrast: none` is the control). `contrast_map` is the map
    that drives a contrast: EPS's own `softmax`, the PCM's (`refined`) or the logits (`raw`). The
    softmax is over background and tagged classes, which is how EPS reads its logits: its background
    is a channel that it trains, and a class's logit without it says nothing of extent.
    `refined_saliency` puts the saliency loss on the PCM's maps too, as HSC's published code does.
    """

    tau: Probability = 0.4
    mix: Probability = 0.5
    equivariance: Literal["auto"] | bool = "auto"
    contrast_map: Literal["softmax", "refined", "raw"] = "softmax"
    refined_saliency: bool = False


def eps_terms(
    views: list[CamMaps], saliency: Tensor, tags: Tensor, tau: float, mix: float
) -> Terms:
    """EPS: classification and the saliency loss, each the mean over the views.

    saliency: (N, 1, H, W) in [0, 1] of view 1; view 2 shows the same pixels, and the loss brings
    saliency to the size of the maps.
    """
    terms = [saliency_loss(view.cam, saliency, tags, tau=tau, mix=mix) for view in views]
    return {**classification_terms(views, tags), "saliency": sum(terms) / len(terms)}


def refined_saliency_terms(
    views: list[CamMaps], saliency: Tensor, tags: Tensor, tau: float, mix: float
) -> Terms:
    """`refined_saliency`: EPS's saliency loss on the PCM's maps, mean over the views.

    HSC's published code has it. The PCM's values are in [0, 1], so that the softmax over them is
    nearly flat: no class reaches the probability of 0.5 that makes it foreground.
    """
    terms = [saliency_loss(view.refined, saliency, tags, tau=tau, mix=mix) for view in views]
    return {"refined_saliency": sum(terms) / len(terms)}


class Eps(Baseline):
    """EPS, beside SEAM's terms where `equivariance` says so."""

    Params = EpsParams
    needs_saliency = True

    def __init__(self, params: EpsParams, has_contrast: bool) -> None:
        super().__init__(params, has_contrast)
        auto = params.equivariance == "auto"
        self.needs_pcm = has_contrast if auto else bool(params.equivariance)
        if not self.needs_pcm:
            _check_without_pcm(params, has_contrast)

    @property
    def says(self) -> str:
        says = (
            "EPS asks that the maps together give the saliency, which knows objects but not their "
            "classes"
        )
        if self.needs_pcm:
            says += "; SEAM's terms ask that two sizes of a picture give the same maps"
        return says

    def terms(self, views: Views) -> Terms:
        p, saliency, tags = self.params, views.saliency, views.tags
        terms = eps_terms(views.maps, saliency, tags, p.tau, p.mix)
        if p.refined_saliency:
            terms |= refined_saliency_terms(views.maps, saliency, tags, p.tau, p.mix)
        if self.needs_pcm:
            terms |= equivariance_terms(views.maps, views.sizes, tags)
        return terms

    def second_terms(self, cams: list[Tensor], views: Views) -> Terms:
        """The saliency too: inference reads the background channel that it trains."""
        p = self.params
        terms = [
            saliency_loss(cam, views.saliency, views.tags, tau=p.tau, mix=p.mix) for cam in cams
        ]
        return super().second_terms(cams, views) | {"second_saliency": sum(terms) / len(terms)}

    def contrast_map(self, view: CamMaps, tags: Tensor) -> Tensor:
        if self.params.contrast_map == "refined":
            return view.refined
        raw = view.cam.detach()
        return raw if self.params.contrast_map == "raw" else present_probability(raw, tags)


def _check_without_pcm(params: EpsParams, has_contrast: bool) -> None:
    if params.refined_saliency:
        raise ValueError(
            "eps.refined_saliency needs the PCM's maps, but eps.equivariance is off here; "
            "set eps.equivariance to true"
        )
    if has_contrast and params.contrast_map == "refined":
        raise ValueError(
            "eps.contrast_map is refined, but eps.equivariance is false and without it there is no "
            "PCM; use softmax or raw"
        )


BASELINE = Eps
