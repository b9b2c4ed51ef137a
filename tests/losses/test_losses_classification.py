"""Classification loss: value by hand, background unscored, gradient."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from hsc.losses.classification import multilabel_soft_margin


def test_by_hand() -> None:
    """Averages 0 (tagged) and ln 3 (not): (ln 2 + ln 4) / 2."""
    cam = torch.tensor([[[[9.0, -5.0]], [[-1.0, 1.0]], [[0.0, 2 * math.log(3)]]]])
    loss = multilabel_soft_margin(cam, torch.tensor([[1, 0]]))
    assert loss.item() == pytest.approx(1.5 * math.log(2))


def test_background_is_not_scored_and_order_of_images_is_free() -> None:
    cam, tags = torch.randn(4, 4, 3, 3, dtype=torch.float64), torch.eye(4, 3)
    loss = multilabel_soft_margin(cam, tags)
    other = cam.clone()
    other[:, 0] += 7
    order = torch.tensor([2, 0, 3, 1])
    assert multilabel_soft_margin(other, tags) == loss
    torch.testing.assert_close(multilabel_soft_margin(cam[order], tags[order]), loss)


def test_right_tags_cost_less_than_wrong_ones() -> None:
    cam = torch.tensor([0.0, 3.0, -3.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    right = multilabel_soft_margin(cam, torch.tensor([[1.0, 0.0]]))
    assert right < multilabel_soft_margin(cam, torch.tensor([[0.0, 1.0]]))


def test_image_without_tags_is_finite() -> None:
    assert torch.isfinite(multilabel_soft_margin(torch.zeros(2, 4, 1, 1), torch.zeros(2, 3)))


def test_gradient() -> None:
    cam = torch.randn(2, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda c: multilabel_soft_margin(c, torch.eye(2, 3)), cam)


def test_shapes_have_to_fit() -> None:
    with pytest.raises(ValueError, match="tags"):
        multilabel_soft_margin(torch.zeros(2, 4, 2, 2), torch.zeros(2, 4))
