"""SEAM (CVPR 2020): classification, and maps that are alike at two sizes and along the PCM."""

from torch import Tensor

from hsc.cam.network import CamMaps, upsample
from hsc.losses.classification import multilabel_soft_margin
from hsc.losses.seam import adaptive_min_pooling, cross_equivariance, equivariance
from hsc.methods.baseline import Baseline, Size, Terms, Views


def seam_terms(views: list[CamMaps], sizes: list[Size], tags: Tensor) -> Terms:
    """Classification, adaptive min pooling on the PCM's maps, ER and ECR, on maps of `sizes`."""
    (cam1, cam2), (refined1, refined2) = _at_pixels(views, sizes)
    terms = [multilabel_soft_margin(cam, tags) for cam in (cam1, cam2)]
    minimum = [adaptive_min_pooling(refined, tags) for refined in (refined1, refined2)]
    return {
        "classification": sum(terms) / 2,
        "minimum": sum(minimum) / 2,
        **_equivariance(cam1, refined1, cam2, refined2, tags),
    }


def equivariance_terms(views: list[CamMaps], sizes: list[Size], tags: Tensor) -> Terms:
    """ER and ECR alone, which HSC's published code adds to EPS."""
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


class Seam(Baseline):
    """SEAM as published; the PCM's maps drive a contrast."""

    needs_pcm = True
    says = (
        "SEAM asks that two sizes of a picture give the same maps and that pixels which look alike "
        "agree"
    )

    def terms(self, views: Views) -> Terms:
        return seam_terms(views.maps, views.sizes, views.tags)

    def contrast_map(self, view: CamMaps, tags: Tensor) -> Tensor:
        return view.refined


BASELINE = Seam
