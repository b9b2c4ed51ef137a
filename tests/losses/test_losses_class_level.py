"""Class-level contrast, equations (6)-(9): values by hand, loops as a reference, gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from hsc.losses.class_level import class_contrast, class_representations
from hsc.losses.prototypes import Prototypes

K = 3


def batch(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features (3, 5, 2, 4), maps (3, 4, 2, 4) above 0, tags (3, 4) with one class in no image."""
    generator = torch.Generator().manual_seed(seed)
    u1 = torch.randn(3, 5, 2, 4, generator=generator, dtype=torch.float64)
    cam = torch.rand(3, 4, 2, 4, generator=generator, dtype=torch.float64) + 0.1
    tags = (torch.rand(3, 4, generator=generator) > 0.4).double()
    tags[:, 3] = 0
    tags[0, 0] = 1
    return u1, cam, tags


def known(seed: int, *present: int) -> Prototypes:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(len(present), 5, generator=generator, dtype=torch.float64)
    return Prototypes(vectors, torch.tensor(present, dtype=torch.bool))


def test_representation_by_hand() -> None:
    """Weights 0.6 and 0.2 of the two most activated cells; the third cell is left out."""
    u1 = torch.tensor([[[[1.0, 0.0, 5.0]], [[0.0, 1.0, 5.0]]]])
    cam = torch.tensor([[[[0.6, 0.2, 0.1]], [[0.9, 0.9, 0.9]]]])
    got = class_representations(u1, cam, torch.tensor([[1.0, 0.0]]), k=2)
    torch.testing.assert_close(got.vectors, torch.tensor([[0.75, 0.25], [0.0, 0.0]]))
    assert got.present.tolist() == [True, False]


def test_mean_over_the_images_that_count() -> None:
    """Image 3 has the class but a map of zeros, image 4 has not the class: both are left out."""
    u1 = torch.tensor([2.0, 4.0, 100.0, 100.0]).view(4, 1, 1, 1)
    cam = torch.tensor([0.5, 1.0, 0.0, 1.0]).view(4, 1, 1, 1)
    tags = torch.tensor([[1], [1], [1], [0]])
    got = class_representations(u1, cam, tags, k=1)
    assert got.vectors.tolist() == [[3.0]]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_representations_against_loops(seed: int, k: int) -> None:
    """Also k beyond the 8 cells there are."""
    u1, cam, tags = batch(seed)
    got = class_representations(u1, cam, tags, k)
    for c in range(4):
        parts = []
        for i in range(3):
            if tags[i, c]:
                order = cam[i, c].flatten().argsort(descending=True)[:k]
                weights = cam[i, c].flatten()[order]
                parts.append((u1[i].flatten(1)[:, order] * weights).sum(1) / weights.sum())
        assert got.present[c] == bool(parts)
        if parts:
            torch.testing.assert_close(got.vectors[c], torch.stack(parts).mean(0))


def test_order_of_images_is_free_and_absent_classes_have_no_influence() -> None:
    u1, cam, tags = batch(0)
    expected = class_representations(u1, cam, tags, K)
    order = torch.tensor([2, 0, 1])
    got = class_representations(u1[order], cam[order], tags[order], K)
    torch.testing.assert_close(got, expected)
    changed = torch.where(tags[:, :, None, None] > 0, cam, 99.0)
    torch.testing.assert_close(class_representations(u1, changed, tags, K), expected)


def test_representation_gradient_flows_into_features_and_weights() -> None:
    u1, cam, tags = batch(1)
    assert gradcheck(
        lambda u, c: class_representations(u, c, tags, K).vectors,
        (u1.requires_grad_(), cam.requires_grad_()),
    )


def test_contrast_by_hand() -> None:
    """Cosines 0.6 and 0.8 of (3, 4) with the two axes; the class's own prototype is the first."""
    representations = Prototypes(
        torch.tensor([[3.0, 4.0], [1.0, 1.0]]), torch.tensor([True, False])
    )
    own = Prototypes(torch.tensor([[2.0, 0.0], [0.0, 0.5]]), torch.tensor([True, True]))
    other = Prototypes(own.vectors.flip(0), own.present)
    first, second = math.log(1 + math.exp(0.2)), math.log(1 + math.exp(-0.2))
    assert class_contrast(representations, own, None, 1.0).item() == pytest.approx(first)
    both = class_contrast(representations, own, other, 1.0).item()
    assert both == pytest.approx(first + second)


def test_classes_without_prototype_are_left_out() -> None:
    representations = known(0, 1, 1, 1)
    own = known(1, 1, 0, 1)
    loss = class_contrast(representations, own, None, 0.1)
    kept = [0, 2]
    expected = class_contrast(
        Prototypes(representations.vectors[kept], representations.present[kept]),
        Prototypes(own.vectors[kept], own.present[kept]),
        None,
        0.1,
    )
    torch.testing.assert_close(loss, expected)


def test_matching_prototypes_cost_less_than_exchanged_ones() -> None:
    representations = known(0, 1, 1, 1)
    exchanged = Prototypes(representations.vectors.roll(1, 0), representations.present)
    right = class_contrast(representations, representations, None, 0.1)
    assert right < class_contrast(representations, exchanged, None, 0.1)


def test_nothing_seen_yet_and_nothing_in_the_batch() -> None:
    vectors = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    nothing = torch.zeros(3, dtype=torch.bool)
    for representations, own in [
        (Prototypes(vectors, ~nothing), Prototypes(torch.zeros(3, 5).double(), nothing)),
        (Prototypes(vectors, nothing), known(1, 1, 1, 1)),
    ]:
        loss = class_contrast(representations, own, own, 0.1)
        loss.backward()
        assert loss == 0
        assert torch.equal(vectors.grad, torch.zeros_like(vectors))


def test_batch_that_is_all_background_is_finite() -> None:
    u1, cam, tags = batch(0)
    u1.requires_grad_()
    cam.requires_grad_()
    representations = class_representations(u1, cam * 0, tags, K)
    assert not representations.present.any()
    loss = class_contrast(representations, known(0, 1, 1, 1, 1), known(1, 1, 1, 1, 1), 0.1)
    loss.backward()
    assert loss == 0
    assert torch.isfinite(u1.grad).all()
    assert torch.isfinite(cam.grad).all()


def test_contrast_gradient_reaches_the_representations_only() -> None:
    u1, cam, tags = batch(2)
    own, other = known(0, 1, 1, 0, 1), known(1, 1, 1, 1, 0)
    own.vectors.requires_grad_()
    assert gradcheck(
        lambda u: class_contrast(class_representations(u, cam, tags, K), own, other, 0.5),
        u1.requires_grad_(),
    )
    class_contrast(class_representations(u1, cam, tags, K), own, other, 0.5).backward()
    assert own.vectors.grad is None
    assert u1.grad.abs().sum() > 0


def test_misuse() -> None:
    u1, cam, tags = batch(0)
    with pytest.raises(ValueError, match="k has to"):
        class_representations(u1, cam, tags, 0)
    with pytest.raises(ValueError, match="maps"):
        class_representations(u1, cam[:, :2], tags, K)
    with pytest.raises(ValueError, match="maps"):
        class_representations(u1[:2], cam, tags, K)
