"""The baselines' own losses, from the maps of one or two views: named terms that are summed.

Letters: N batch, C foreground classes, H W pixels, h w map cells.
"""

from torch import Tensor

from hsc.cam.network import CamMaps, upsample
from hsc.losses.classification import multilabel_soft_margin
from hsc.losses.eps import saliency_loss
from hsc.losses.seam import adaptive_min_pooling, cross_equivariance, equivariance

Size = tuple[int, int]
Terms = dict[str, Tensor]


def classification_terms(views: list[CamMaps], tags: Tensor) -> Terms:
    """`classification`: the tags' loss on the averaged maps, mean over the views."""
    terms = [multilabel_soft_margin(view.cam, tags) for view in views]
    return {"classification": sum(terms) / len(terms)}


def seam_terms(views: list[CamMaps], sizes: list[Size], tags: Tensor) -> Terms:
    """SEAM: classification, adaptive min pooling on the PCM's maps, ER and ECR.

    On maps brought to `sizes`, one a view; as published these are the views' pixels.
    """
    (cam1, cam2), (refined1, refined2) = _at_pixels(views, sizes)
    terms = [multilabel_soft_margin(cam, tags) for cam in (cam1, cam2)]
    minimum = [adaptive_min_pooling(refined, tags) for refined in (refined1, refined2)]
    return {
        "classification": sum(terms) / 2,
        "minimum": sum(minimum) / 2,
        **_equivariance(cam1, refined1, cam2, refined2, tags),
    }


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


def equivariance_terms(views: list[CamMaps], sizes: list[Size], tags: Tensor) -> Terms:
    """SEAM's ER and ECR alone, which HSC's published code adds to EPS."""
    (cam1, cam2), (refined1, refined2) = _at_pixels(views, sizes)
    return _equivariance(cam1, refined1, cam2, refined2, tags)


def _equivariance(
    cam1: Tensor, refined1: Tensor, cam2: Tensor, refined2: Tensor, tags: Tensor
) -> Terms:
    return {
        "equivariance": equivariance(cam1, cam2, tags),
        "cross_equivariance": cross_equivariance(cam1, refined1, cam2, refined2, tags),
    }


def _at_pixels(views: list[CamMaps], sizes: list[Size]) -> tuple[list[Tensor], list[Tensor]]:
    cams = [upsample(view.cam, size) for view, size in zip(views, sizes, strict=True)]
    refined = [upsample(view.refined, size) for view, size in zip(views, sizes, strict=True)]
    return cams, refined
