"""AuxSegNet's losses by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hsc.losses.auxsegnet import classification_loss, saliency_loss, segmentation_loss


def test_segmentation_loss_is_the_mean_over_labelled_pixels_of_the_batch() -> None:
    """Not the mean of the pictures' means: the first has one labelled pixel, the second three."""
    logits = torch.zeros(2, 3, 1, 4)
    logits[0, 1, 0, 0] = math.log(2)
    label = torch.tensor([[[1, 255, 255, 255]], [[0, 0, 2, 255]]])
    expected = (math.log(2) + 3 * math.log(3)) / 4  # 2 / (1 + 2 + 1), and thrice 1/3
    assert segmentation_loss(logits, label).item() == pytest.approx(expected)


def test_saliency_loss_is_the_mean_over_pixels_that_are_not_ignored() -> None:
    logits = torch.tensor([[[[math.log(3), -math.log(3), 5.0, 5.0]]]])
    label = torch.tensor([[[1, 1, 255, 255]]])
    expected = (math.log(4 / 3) + math.log(4)) / 2
    assert saliency_loss(logits, label).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", [segmentation_loss, saliency_loss])
def test_ignored_pixels_have_no_gradient(loss) -> None:
    logits = torch.randn(1, 1 if loss is saliency_loss else 3, 1, 4, requires_grad=True)
    loss(logits, torch.tensor([[[0, 1, 255, 255]]])).backward()
    assert (logits.grad[..., :2] != 0).all()
    assert not logits.grad[..., 2:].any()


@pytest.mark.parametrize("loss", [segmentation_loss, saliency_loss])
def test_a_batch_without_a_label_counts_as_0(loss) -> None:
    """The published code gives NaN."""
    logits = torch.randn(2, 1 if loss is saliency_loss else 3, 2, 2, requires_grad=True)
    value = loss(logits, torch.full((2, 4, 4), 255))
    assert value == 0
    value.backward()
    assert not logits.grad.any()


@given(st.integers(1, 3), st.integers(2, 5))
def test_labels_of_the_maps_own_size_are_compared_cell_by_cell(pictures: int, side: int) -> None:
    generator = torch.Generator().manual_seed(side)
    logits = torch.randn(pictures, 3, side, side, generator=generator)
    label = torch.randint(0, 3, (pictures, side, side), generator=generator)
    chosen = logits.log_softmax(dim=1).gather(1, label[:, None])
    torch.testing.assert_close(segmentation_loss(logits, label), -chosen.mean())


def test_logits_are_brought_to_the_labels_not_their_probabilities() -> None:
    """Half-way between two cells the logit is their mean."""
    logits = torch.tensor([[[[0.0, 4.0]]]])
    label = torch.tensor([[[1, 255, 255, 1]]])  # at align_corners=False the outer two are the cells
    middle = torch.tensor([[[255, 1, 255, 255]]])
    assert saliency_loss(logits, label).item() == pytest.approx(
        (math.log(2) + math.log1p(math.exp(-4))) / 2
    )
    assert saliency_loss(logits, middle).item() == pytest.approx(math.log1p(math.exp(-1.0)))


def test_classification_loss_by_hand() -> None:
    scores, tags = torch.tensor([[0.0, math.log(3)]]), torch.tensor([[1.0, 0.0]])
    expected = (math.log(2) + math.log(4)) / 2
    assert classification_loss(scores, tags).item() == pytest.approx(expected)
