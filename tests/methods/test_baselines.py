"""The baselines' terms: which there are, and that each is its loss over the views."""

import math

import pytest
import torch

from hsc.cam.network import CamMaps, upsample
from hsc.losses.classification import multilabel_soft_margin
from hsc.losses.eps import saliency_loss
from hsc.losses.seam import adaptive_min_pooling, cross_equivariance, equivariance
from hsc.methods.baselines.cam import classification_terms
from hsc.methods.baselines.eps import eps_terms, refined_saliency_terms
from hsc.methods.baselines.seam import equivariance_terms, seam_terms

N, C = 2, 3
SIZES = [(16, 16), (10, 10)]
TAGS = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def make_views(sides: tuple[int, ...] = (4, 3), seed: int = 0) -> list[CamMaps]:
    generator = torch.Generator().manual_seed(seed)
    views = []
    for side in sides:
        cam = torch.randn(N, C + 1, side, side, generator=generator)
        refined = torch.rand(N, C + 1, side, side, generator=generator)
        views.append(CamMaps(cam, refined, torch.empty(0)))
    return views


def at_pixels(views: list[CamMaps]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    cams = [upsample(view.cam, size) for view, size in zip(views, SIZES, strict=True)]
    refined = [upsample(view.refined, size) for view, size in zip(views, SIZES, strict=True)]
    return cams, refined


def test_classification_of_undecided_maps_is_log_2() -> None:
    view = CamMaps(torch.zeros(N, C + 1, 4, 4), None, torch.empty(0))
    terms = classification_terms([view], TAGS)
    assert list(terms) == ["classification"]
    assert terms["classification"].item() == pytest.approx(math.log(2))


def test_classification_is_the_mean_over_the_views() -> None:
    views = make_views()
    each = [multilabel_soft_margin(view.cam, TAGS) for view in views]
    assert each[0] != each[1]
    for count in (1, 2):
        found = classification_terms(views[:count], TAGS)["classification"]
        torch.testing.assert_close(found, sum(each[:count]) / count)


def test_seam_is_the_sum_of_its_four_losses_at_pixels() -> None:
    views = make_views()
    (cam1, cam2), (refined1, refined2) = at_pixels(views)
    margin = multilabel_soft_margin(cam1, TAGS) + multilabel_soft_margin(cam2, TAGS)
    minimum = adaptive_min_pooling(refined1, TAGS) + adaptive_min_pooling(refined2, TAGS)
    expected = {
        "classification": margin / 2,
        "minimum": minimum / 2,
        "equivariance": equivariance(cam1, cam2, TAGS),
        "cross_equivariance": cross_equivariance(cam1, refined1, cam2, refined2, TAGS),
    }
    found = seam_terms(views, SIZES, TAGS)
    assert list(found) == list(expected)
    for name in expected:
        assert found[name].ndim == 0
        torch.testing.assert_close(found[name], expected[name])


def test_equal_views_are_equivariant() -> None:
    view = make_views()[0]
    found = seam_terms([view, view], [(16, 16), (16, 16)], TAGS)
    assert found["equivariance"] == 0


def test_equivariance_terms_are_seams() -> None:
    views = make_views()
    whole = seam_terms(views, SIZES, TAGS)
    found = equivariance_terms(views, SIZES, TAGS)
    assert list(found) == ["equivariance", "cross_equivariance"]
    for name, value in found.items():
        assert torch.equal(value, whole[name])


def test_eps_is_classification_and_saliency_over_the_views() -> None:
    views = make_views()
    saliency = torch.rand(N, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    each = [saliency_loss(view.cam, saliency, TAGS, tau=0.3, mix=0.7) for view in views]
    for count in (1, 2):
        found = eps_terms(views[:count], saliency, TAGS, tau=0.3, mix=0.7)
        assert list(found) == ["classification", "saliency"]
        torch.testing.assert_close(found["saliency"], sum(each[:count]) / count)
        expected = classification_terms(views[:count], TAGS)["classification"]
        assert torch.equal(found["classification"], expected)


def test_refined_saliency_is_the_loss_of_the_refined_maps() -> None:
    views = make_views()
    saliency = torch.rand(N, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    each = [saliency_loss(view.refined, saliency, TAGS, tau=0.3, mix=0.7) for view in views]
    found = refined_saliency_terms(views, saliency, TAGS, tau=0.3, mix=0.7)
    assert list(found) == ["refined_saliency"]
    torch.testing.assert_close(found["refined_saliency"], sum(each) / 2)


def test_eps_prefers_maps_that_explain_the_saliency() -> None:
    """Class 1 on the salient left half, background on the right: far better than exchanged."""
    good = torch.zeros(1, C + 1, 4, 4)
    good[:, 1, :, :2] = 20.0
    good[:, 0, :, 2:] = 20.0
    saliency = torch.zeros(1, 1, 16, 16)
    saliency[..., :8] = 1.0
    tags = torch.tensor([[1.0, 0.0, 0.0]])
    values = []
    for cam in (good, good.flip(3)):
        view = CamMaps(cam, None, torch.empty(0))
        values.append(eps_terms([view], saliency, tags, tau=0.4, mix=0.5)["saliency"].item())
    assert values[0] < 1e-6
    assert values[1] > 0.2


def test_views_and_sizes_have_to_fit() -> None:
    with pytest.raises(ValueError, match="zip"):
        seam_terms(make_views(), SIZES[:1], TAGS)


def test_gradients_reach_every_map_that_is_no_target() -> None:
    views = [
        CamMaps(view.cam.requires_grad_(), view.refined.requires_grad_(), view.features)
        for view in make_views()
    ]
    sum(seam_terms(views, SIZES, TAGS).values()).backward()
    for view in views:
        assert view.cam.grad.abs().sum() > 0
        assert view.refined.grad.abs().sum() > 0
        assert torch.isfinite(view.cam.grad).all()
