"""Pixel-level contrast, equations (10), (12), (13): values by hand, loops, gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from hsc.losses import maps
from hsc.losses.pixel import pixel_contrast, pixel_level, pixel_prototypes
from hsc.losses.prototypes import Prototypes

CLASSES = 4  # with the background


def batch(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Unit features (2, 5, 3, 3), activations (2, 4, 3, 3), labels (2, 3, 3) without class 3."""
    generator = torch.Generator().manual_seed(seed)
    u2 = maps.unit(torch.randn(2, 5, 3, 3, generator=generator, dtype=torch.float64))
    activation = torch.rand(2, CLASSES, 3, 3, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, CLASSES - 1, (2, 3, 3), generator=generator)
    return u2, activation, labels


def known(seed: int, *present: int) -> Prototypes:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(len(present), 5, generator=generator, dtype=torch.float64)
    return Prototypes(maps.unit(vectors), torch.tensor(present, dtype=torch.bool))


def row_of_pixels(*values: list[float]) -> Tensor:
    """One image, one row: (channels, pixels) -> (1, channels, 1, pixels)."""
    return torch.tensor(values)[None, :, None, :]


def test_prototypes_by_hand() -> None:
    """k = 2. Background: pixel 2 alone. Class 1: pixels 0 and 1 with weights 0.6 and 0.8, not the
    weaker pixel 3 and not pixel 2, which it activates most but which is labelled background.
    Class 2 has a labelled pixel (4) without activation, class 3 has none.
    """
    u2 = row_of_pixels([1.0, 0.0, 0.0, 0.6, 1.0], [0.0, 1.0, -1.0, 0.8, 0.0])
    activation = row_of_pixels(
        [0.0, 0.0, 0.4, 0.0, 1.0],
        [0.6, 0.8, 0.9, 0.1, 0.0],
        [0.5, 0.5, 0.5, 0.5, 0.0],
        [1.0, 1.0, 1.0, 1.0, 1.0],
    )
    labels = torch.tensor([[[1, 1, 0, 1, 2]]])
    got = pixel_prototypes(u2, activation, labels, k=2)
    assert got.present.tolist() == [True, True, False, False]
    torch.testing.assert_close(got.vectors[:2], torch.tensor([[0.0, -1.0], [0.6, 0.8]]))
    assert got.vectors[2:].abs().max() == 0


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 30))
def test_prototypes_against_loops(seed: int, k: int) -> None:
    """Also k beyond the 18 pixels there are, and over the whole batch, not an image."""
    u2, activation, labels = batch(seed)
    got = pixel_prototypes(u2, activation, labels, k)
    for c in range(CLASSES):
        chosen = labels == c
        assert got.present[c] == bool(chosen.any())
        if chosen.any():
            weights = activation[:, c][chosen]
            features = u2.permute(0, 2, 3, 1)[chosen]
            order = weights.argsort(descending=True)[:k]
            mean = (weights[order, None] * features[order]).sum(0) / weights[order].sum()
            torch.testing.assert_close(got.vectors[c], mean / mean.norm())


def test_prototypes_are_detached_and_free_of_image_order() -> None:
    u2, activation, labels = batch(0)
    got = pixel_prototypes(u2.requires_grad_(), activation.requires_grad_(), labels, 4)
    assert not got.vectors.requires_grad
    swapped = pixel_prototypes(u2.flip(0), activation.flip(0), labels.flip(0), 4)
    torch.testing.assert_close(swapped, got)


def test_ignored_pixels_and_absent_classes_have_no_influence() -> None:
    u2, activation, labels = batch(1)
    labels[0, 0, 0] = 255
    got = pixel_prototypes(u2, activation, labels, 4)
    loss = pixel_contrast(u2, labels, got, 0.1)
    u2_changed, activation_changed = u2.clone(), activation.clone()
    activation_changed[:, 3] = 50.0
    activation_changed[0, :, 0, 0] = 50.0
    u2_changed[0, :, 0, 0] = 1.0
    changed = pixel_prototypes(u2_changed, activation_changed, labels, 4)
    torch.testing.assert_close(changed, got)
    torch.testing.assert_close(pixel_contrast(u2_changed, labels, changed, 0.1), loss)


def test_contrast_by_hand() -> None:
    """Two pixels at 1 and 0 from their prototypes on the axes; the third row is not present."""
    u2 = row_of_pixels([1.0, 0.0], [0.0, 1.0])
    prototypes = Prototypes(
        torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), torch.tensor([True, True, False])
    )
    labels = torch.tensor([[[0, 0]]])
    expected = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))) / 2
    assert pixel_contrast(u2, labels, prototypes, 0.5).item() == pytest.approx(expected)
    labels = torch.tensor([[[0, 2]]])  # the second pixel's class has no prototype
    kept = math.log(1 + math.exp(-2))
    assert pixel_contrast(u2, labels, prototypes, 0.5).item() == pytest.approx(kept)


def test_level_sums_the_terms_given() -> None:
    u2, activation, labels = batch(2)
    own = pixel_prototypes(u2, activation, labels, 4)
    other, memory, other_labels = known(0, 1, 1, 1, 0), known(1, 1, 0, 1, 1), labels.flip(1)
    intra = pixel_contrast(u2, labels, own, 0.1)
    torch.testing.assert_close(pixel_level(u2, labels, own, 0.1), intra)
    terms = {
        "other_prototypes": (other, pixel_contrast(u2, labels, other, 0.1)),
        "other_labels": (other_labels, pixel_contrast(u2, other_labels, own, 0.1)),
        "memory": (memory, pixel_contrast(u2, labels, memory, 0.1)),
    }
    for name, (given_value, term) in terms.items():
        got = pixel_level(u2, labels, own, 0.1, **{name: given_value})
        torch.testing.assert_close(got, intra + term)
    everything = {name: given_value for name, (given_value, _) in terms.items()}
    torch.testing.assert_close(
        pixel_level(u2, labels, own, 0.1, **everything),
        intra + sum(term for _, term in terms.values()),
    )


def test_order_of_images_is_free() -> None:
    u2, _, labels = batch(3)
    own = known(0, 1, 1, 1, 1)
    loss = pixel_level(u2, labels, own, 0.1, other_labels=labels.flip(2))
    swapped = pixel_level(u2.flip(0), labels.flip(0), own, 0.1, other_labels=labels.flip(2).flip(0))
    torch.testing.assert_close(swapped, loss)


def test_right_labels_cost_less_than_shuffled_ones() -> None:
    _, _, labels = batch(4)
    axes = torch.eye(3, dtype=torch.float64)
    u2 = axes[labels].permute(0, 3, 1, 2)
    activation = torch.nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2).double()
    own = pixel_prototypes(u2, activation, labels, 32)
    shuffled = labels.flatten()[torch.randperm(18, generator=torch.Generator().manual_seed(0))]
    right = pixel_level(u2, labels, own, 0.1)
    assert right < 1e-3
    assert pixel_level(u2, shuffled.view_as(labels), own, 0.1) > 1


def test_batch_that_is_all_background_is_finite() -> None:
    u2, _, labels = batch(5)
    u2.requires_grad_()
    cam_fg = torch.zeros(2, CLASSES - 1, 3, 3, dtype=torch.float64)
    activation = torch.cat([maps.background_activation(cam_fg), cam_fg], dim=1)
    own = pixel_prototypes(u2, activation, labels * 0, 4)
    assert own.present.tolist() == [True, False, False, False]
    unseen = Prototypes(torch.zeros(CLASSES, 5, dtype=torch.float64), torch.zeros(CLASSES) > 0)
    loss = pixel_level(u2, labels * 0, own, 0.1, own, labels * 0, unseen)
    loss.backward()
    assert loss == 0
    assert torch.isfinite(u2.grad).all()


def test_gradient_reaches_the_features_only() -> None:
    u2, _, labels = batch(6)
    own = known(0, 1, 1, 1, 1)
    memory = known(1, 1, 0, 1, 1)
    own.vectors.requires_grad_()
    u2.requires_grad_()
    assert gradcheck(lambda u: pixel_level(u, labels, own, 0.5, memory, labels.flip(1), memory), u2)
    pixel_level(u2, labels, own, 0.5).backward()
    assert own.vectors.grad is None


def test_misuse() -> None:
    u2, activation, labels = batch(0)
    with pytest.raises(ValueError, match="k has to"):
        pixel_prototypes(u2, activation, labels, 0)
    with pytest.raises(ValueError, match="labels"):
        pixel_prototypes(u2, activation, labels[:, :2], 4)
    with pytest.raises(ValueError, match="features"):
        pixel_prototypes(u2[:1], activation, labels, 4)
    with pytest.raises(ValueError, match="similarity"):
        pixel_contrast(u2, labels[:1], known(0, 1, 1, 1, 1), 0.1)
