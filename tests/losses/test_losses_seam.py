"""SEAM's losses: values by hand, what absent classes and the views may change, gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from hsc.losses import seam

TAGS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])


def views(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """cam1, refined1 (2, 4, 6, 5), cam2, refined2 (2, 4, 3, 4) in float64."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*size: int) -> Tensor:
        return torch.randn(2, 4, *size, generator=generator, dtype=torch.float64)

    return draw(6, 5), draw(6, 5), draw(3, 4), draw(3, 4)


LOSSES = {
    "min_pooling": lambda cam1, refined1, cam2, refined2, tags: seam.adaptive_min_pooling(
        refined1, tags
    ),
    "equivariance": lambda cam1, refined1, cam2, refined2, tags: seam.equivariance(
        cam1, cam2, tags
    ),
    "cross_equivariance": seam.cross_equivariance,
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_order_of_images_is_free(loss) -> None:
    swapped = loss(*(view.flip(0) for view in views()), TAGS.flip(0))
    torch.testing.assert_close(swapped, loss(*views(), TAGS))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_absent_class_has_no_influence(loss) -> None:
    changed = tuple(view.clone() for view in views())
    for view in changed:
        view[0, 2] = 50 * torch.rand_like(view[0, 2])
        view[1, 1] = -3
    torch.testing.assert_close(loss(*changed, TAGS), loss(*views(), TAGS))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("scale", [1.0, 0.0], ids=["random maps", "maps of zero"])
def test_batch_without_tags_is_finite(loss, scale: float) -> None:
    leaves = [(scale * view).requires_grad_() for view in views()]
    value = loss(*leaves, torch.zeros(2, 3))
    value.backward()
    assert torch.isfinite(value)
    assert all(torch.isfinite(leaf.grad).all() for leaf in leaves if leaf.grad is not None)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6))
def test_losses_are_not_negative(seed: int) -> None:
    assert all(loss(*views(seed), TAGS) >= 0 for loss in LOSSES.values())


def test_min_pooling_by_hand() -> None:
    """Lowest quarter of (max over tagged classes): 1 of 4 cells an image; image 2 clips at 0."""
    refined = torch.tensor(
        [
            [[[9.0, 9, 9, 9]], [[3.0, 1, 0, 4]], [[0.0, 0, 2, 0]]],
            [[[0.0, 0, 0, 0]], [[-1.0, 5, 5, 5]], [[7.0, 7, 7, 7]]],
        ]
    )
    tags = torch.tensor([[1, 1], [1, 0]])
    assert seam.adaptive_min_pooling(refined, tags).item() == 0.5
    assert seam.adaptive_min_pooling(refined[:1], tags[:1], fraction=0.5).item() == 1.5
    assert seam.adaptive_min_pooling(refined[:1, :, :, :2], tags[:1]).item() == 1.0


def test_min_pooling_gradient() -> None:
    refined = views()[1].requires_grad_()
    assert gradcheck(lambda r: seam.adaptive_min_pooling(r, TAGS, 0.8), refined)


def test_equivariance_by_hand() -> None:
    """One of two classes is tagged and fully disagrees: 1 / 2, up to the margin of 1e-5."""
    cam1 = torch.tensor([[[[7.0, 0.0]], [[0.0, 4.0]], [[1.0, 2.0]]]])
    cam2 = torch.tensor([[[[0.0, 7.0]], [[4.0, 0.0]], [[2.0, 1.0]]]])
    loss = seam.equivariance(cam1, cam2, torch.tensor([[1.0, 0.0]]))
    assert loss.item() == pytest.approx(0.5 * (4 - 1e-5) / (4 + 1e-5), abs=1e-6)
    assert seam.equivariance(cam1, cam1, torch.tensor([[1.0, 1.0]])) == 0


def test_view1_is_normalised_before_it_is_resized() -> None:
    """The peak of 8 lies between the cells of view 2 and yet sets view 1's maximum.

    View 1 there: 0 and 4 / 8, view 2: 0 and 1. Resized first, view 1 would be 0 and 4 / 4.
    """
    cam1 = torch.tensor([0.0, 2.0, 8.0, 2.0, 4.0]).view(1, 1, 1, 5).expand(1, 2, 1, 5)
    cam2 = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 2, 1, 2)
    loss = seam.equivariance(cam1, cam2, torch.ones(1, 1))
    assert loss.item() == pytest.approx((0 + 0.5) / 2, abs=1e-4)


def test_equivariance_gradient() -> None:
    cam1, _, cam2, _ = views()
    assert gradcheck(
        lambda a, b: seam.equivariance(a, b, TAGS), (cam1.requires_grad_(), cam2.requires_grad_())
    )


def test_disagreement_by_hand() -> None:
    """Target (1 - 0.7, 0.7, 0): differences 0.1, 0.2, 0.4; the background logit 5 plays no part."""
    cam = torch.tensor([5.0, 0.7, 0.4]).view(1, 3, 1, 1)
    refined = torch.tensor([0.2, 0.5, 0.4]).view(1, 3, 1, 1)
    assert seam.disagreement(cam, refined, top=1.0).item() == pytest.approx(0.7 / 3)
    assert seam.disagreement(cam, refined, top=0.7).item() == pytest.approx(0.3)
    assert seam.disagreement(cam, refined, top=0.2).item() == pytest.approx(0.4)


def test_every_class_but_the_strongest_is_suppressed_the_first_too() -> None:
    """The background alone is spared: the first class, 0.4 beside 0.7, has target 0."""
    cam = torch.tensor([5.0, 0.4, 0.7]).view(1, 3, 1, 1)
    refined = torch.tensor([0.3, 0.4, 0.7]).view(1, 3, 1, 1)
    assert seam.disagreement(cam, refined, top=1.0).item() == pytest.approx(0.4 / 3)
    refined[:, 1] = 0
    assert seam.disagreement(cam, refined, top=1.0).item() == pytest.approx(0, abs=1e-7)


def test_ecr_adds_both_directions() -> None:
    cam1, refined1, _, _ = views()
    same_size = (cam1, refined1, cam1.flip(3), refined1.flip(2))
    exchanged = (*same_size[2:], *same_size[:2])
    torch.testing.assert_close(
        seam.cross_equivariance(*same_size, TAGS), seam.cross_equivariance(*exchanged, TAGS)
    )


def test_ecr_is_lower_for_agreeing_maps_than_for_shuffled_ones() -> None:
    _, _, cam, _ = views(3)
    cam = cam.abs() * torch.tensor([[0.0, 1, 0, 0], [0.0, 0, 1, 0]])[:, :, None, None]
    tags = torch.tensor([[1.0, 0, 0], [0.0, 1, 0]])
    refined = cam.clone()
    refined[:, 0] = 1 - cam[:, 1:].amax(1) / cam[:, 1:].amax((1, 2, 3))[:, None, None]
    shuffled = refined.flip(2, 3)
    agree = seam.cross_equivariance(cam, refined, cam, refined, tags)
    assert agree < 0.5 * seam.cross_equivariance(cam, shuffled, cam, shuffled, tags)


def test_ecr_gradient_reaches_the_refined_maps_only() -> None:
    leaves = [view.requires_grad_() for view in views()]
    cam1, refined1, cam2, refined2 = leaves
    seam.cross_equivariance(*leaves, TAGS).backward()
    assert cam1.grad is None
    assert cam2.grad is None
    assert gradcheck(
        lambda a, b: seam.cross_equivariance(cam1.detach(), a, cam2.detach(), b, TAGS),
        (refined1, refined2),
    )


def test_misuse() -> None:
    cam1, refined1, cam2, _ = views()
    with pytest.raises(ValueError, match="share"):
        seam.adaptive_min_pooling(refined1, TAGS, fraction=0.0)
    with pytest.raises(ValueError, match="same batch"):
        seam.equivariance(cam1[:1], cam2, TAGS)
    with pytest.raises(ValueError, match="tags"):
        seam.equivariance(cam1, cam2, TAGS[:, :2])
