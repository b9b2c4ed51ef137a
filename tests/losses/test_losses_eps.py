"""EPS's saliency loss: values by hand, choice of classes, gradient."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from hsc.losses.eps import saliency_loss, saliency_prediction


def logits(*probabilities: float) -> Tensor:
    """One cell with these class probabilities, background first."""
    return torch.tensor([math.log(p) for p in probabilities]).view(1, -1, 1, 1)


def cell(value: float) -> Tensor:
    return torch.full((1, 1, 1, 1), value)


def test_overlapping_class_is_foreground() -> None:
    got = saliency_prediction(logits(0.1, 0.6, 0.3), cell(1.0), torch.tensor([[1.0, 0.0]]))
    assert got.overlap[0, 0].item() == pytest.approx(1 / (1 + 1e-4))
    assert got.foreground.item() == pytest.approx(0.6)
    assert got.background.item() == pytest.approx(0.9)
    assert got.prediction.item() == pytest.approx(0.75)


def test_class_that_does_not_overlap_counts_as_background() -> None:
    """Class 2 has no cell above one half, so its overlap is 0: it joins the background."""
    cam, tags = logits(0.1, 0.6, 0.3), torch.ones(1, 2)
    got = saliency_prediction(cam, cell(1.0), tags, mix=0.25)
    assert got.overlap[0, 1] == 0
    assert got.foreground.item() == pytest.approx(0.6)
    assert got.background.item() == pytest.approx(1 - 0.4)
    loss = saliency_loss(cam, cell(1.0), tags, mix=0.25)
    assert loss.item() == pytest.approx(0.4**2)


def test_mix_weighs_the_foreground() -> None:
    cam, tags = logits(0.1, 0.6, 0.3), torch.tensor([[1, 0]])
    for mix, expected in [(1.0, 0.6), (0.0, 0.9), (0.9, 0.63)]:
        got = saliency_prediction(cam, cell(1.0), tags, mix=mix).prediction
        assert got.item() == pytest.approx(expected)


def test_threshold_is_strict() -> None:
    """One of the class's two cells is salient: an overlap just below a half."""
    cam = logits(0.1, 0.9).repeat(1, 1, 1, 2)
    saliency = torch.tensor([[[[1.0, 0.0]]]])
    overlap = 1 / (2 * (1 + 1e-4))
    tags = torch.ones(1, 1)
    got = saliency_prediction(cam, saliency, tags, tau=overlap - 1e-6)
    torch.testing.assert_close(got.foreground, torch.full((1, 1, 1, 2), 0.9))
    got = saliency_prediction(cam, saliency, tags, tau=overlap + 1e-6)
    assert got.foreground.abs().max() == 0


def test_saliency_is_brought_to_map_size_by_nearest_neighbour() -> None:
    saliency = torch.zeros(1, 1, 4, 4)
    saliency[0, 0, 0, 2] = 1.0  # what nearest takes for the right cell of the first row
    cam = torch.tensor([[[[9.0, -9], [9, 9]], [[-9.0, 9], [-9, -9]]]])
    assert saliency_loss(cam, saliency, torch.ones(1, 1)).item() == pytest.approx(0, abs=1e-6)


def test_absent_classes_are_in_no_sum() -> None:
    """Exchanging two absent classes, which the softmax alone sees, changes nothing."""
    cam = torch.randn(2, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    saliency = (torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    tags = torch.tensor([[1.0, 0, 0, 0], [0.0, 1, 0, 0]])
    loss = saliency_loss(cam, saliency, tags)
    torch.testing.assert_close(saliency_loss(cam[:, [0, 1, 2, 4, 3]], saliency, tags), loss)
    torch.testing.assert_close(saliency_loss(cam.flip(0), saliency.flip(0), tags.flip(0)), loss)


def test_ideal_maps_cost_less_than_shuffled_ones() -> None:
    saliency = torch.zeros(1, 1, 6, 6)
    saliency[..., 1:4, 2:5] = 1
    cam = torch.cat([6 * (1 - saliency), 6 * saliency, -6 + 0 * saliency], dim=1)
    tags = torch.tensor([[1.0, 0.0]])
    order = torch.randperm(36, generator=torch.Generator().manual_seed(0))
    shuffled = cam.flatten(2)[:, :, order].view_as(cam)
    assert saliency_loss(cam, saliency, tags) < 1e-4
    assert saliency_loss(shuffled, saliency, tags) > 0.1


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_batch_without_tags_is_finite(level: float) -> None:
    cam = torch.randn(2, 4, 3, 3, requires_grad=True)
    loss = saliency_loss(cam, torch.full((2, 1, 9, 9), level), torch.zeros(2, 3))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(cam.grad).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_prediction_is_a_probability(seed: int, mix: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    cam = 4 * torch.randn(2, 4, 3, 3, generator=generator, dtype=torch.float64)
    saliency = torch.rand(2, 1, 5, 5, generator=generator, dtype=torch.float64)
    tags = torch.randint(0, 2, (2, 3), generator=generator)
    got = saliency_prediction(cam, saliency, tags, mix=mix)
    for part in (got.prediction, got.foreground, got.background, got.overlap):
        assert part.min() >= -1e-12
        assert part.max() <= 1 + 1e-12


def test_gradient() -> None:
    generator = torch.Generator().manual_seed(2)
    cam = (3 * torch.randn(2, 4, 3, 3, generator=generator, dtype=torch.float64)).requires_grad_()
    saliency = torch.rand(2, 1, 6, 6, generator=generator, dtype=torch.float64)
    assert gradcheck(lambda c: saliency_loss(c, saliency, torch.ones(2, 3)), cam)


def test_misuse() -> None:
    with pytest.raises(ValueError, match="saliency"):
        saliency_loss(torch.zeros(2, 4, 3, 3), torch.zeros(1, 1, 3, 3), torch.ones(2, 3))
    with pytest.raises(ValueError, match="tags"):
        saliency_loss(torch.zeros(2, 4, 3, 3), torch.zeros(2, 1, 3, 3), torch.ones(2, 4))
    with pytest.raises(ValueError, match="mix"):
        saliency_loss(torch.zeros(2, 4, 3, 3), torch.zeros(2, 1, 3, 3), torch.ones(2, 3), mix=2)
