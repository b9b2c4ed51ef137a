"""ROI-level contrast, equations (3)-(5): values by hand, empty regions, gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from hsc.losses.roi import clamped_similarity, pool_region, push_apart, roi_contrast

ALL = torch.ones(2, dtype=torch.bool)


def view(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Non-negative features (3, 5, 4, 4), so that similarities lie inside the clamp; two masks."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(3, 5, 4, 4, generator=generator, dtype=torch.float64)
    mask = torch.rand(3, 4, 4, generator=generator) > 0.5
    return u, mask, ~mask


def test_pool_region_by_hand() -> None:
    u = torch.tensor([[[[1.0, 3.0, 8.0]], [[0.0, 4.0, 8.0]]]]).repeat(2, 1, 1, 1)
    mask = torch.tensor([[[True, True, False]], [[False, False, False]]])
    r, valid = pool_region(u, mask)
    assert r.tolist() == [[2.0, 2.0], [0.0, 0.0]]
    assert valid.tolist() == [True, False]


def test_push_apart_by_hand() -> None:
    """Similarities 1 (clamped to 0.9995), 0 and -1 (clamped to 0.0005), and 1/sqrt 2."""
    r_o = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    r_b = torch.tensor([[5.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    parts = [-math.log(5e-4), -math.log(1 - 5e-4), -math.log(1 - 5e-4), -math.log(1 - 0.5**0.5)]
    valid_o, valid_b = torch.ones(1, dtype=torch.bool), torch.ones(4, dtype=torch.bool)
    assert push_apart(r_o, r_b, valid_o, valid_b).item() == pytest.approx(sum(parts) / 4)
    assert push_apart(r_o, r_b, valid_o, valid_b, "sum").item() == pytest.approx(sum(parts))
    some = torch.tensor([True, False, False, True])
    half = push_apart(r_o, r_b, valid_o, some).item()
    assert half == pytest.approx((parts[0] + parts[3]) / 2)


def test_features_are_compared_along_their_channels() -> None:
    """Region (3, 0) and background (4, 4): cosine 1/sqrt 2, whatever stands beside them in a row.

    Normalised along the row first, the two would be (0.5, 0) and (2/3, 1).
    """
    u = torch.tensor([[[[4.0, 2.0, 4.0]], [[0.0, 0.0, 4.0]]]])
    roi = torch.tensor([[[True, True, False]]])
    loss = roi_contrast(u, roi, ~roi, u, ~roi, cross=False)
    assert loss.item() == pytest.approx(-math.log(1 - 0.5**0.5))


def test_the_clamp_keeps_the_log_finite_and_stops_the_pushing() -> None:
    """Equal: the upper end; opposite or at a right angle: the lower one. No gradient there."""
    r_b = torch.tensor([[1.0, 0.0]])
    one = torch.ones(1, dtype=torch.bool)
    for direction, end in (([2.0, 0.0], 0.9995), ([-1.0, 0.5], 5e-4), ([0.0, 1.0], 5e-4)):
        r_o = torch.tensor([direction], requires_grad=True)
        loss = push_apart(r_o, r_b, one, one)
        assert loss.item() == pytest.approx(-math.log(1 - end), rel=1e-3)
        loss.backward()
        assert not r_o.grad.any()
    r_o = torch.tensor([[1.0, 1.0]], requires_grad=True)
    push_apart(r_o, r_b, one, one).backward()
    assert r_o.grad[0, 0] > 0 > r_o.grad[0, 1]  # a step against it leads away from r_b


def test_clamped_similarity_of_a_dead_vector_is_the_lower_end() -> None:
    got = clamped_similarity(torch.zeros(1, 3), torch.ones(2, 3))
    torch.testing.assert_close(got, torch.full((1, 2), 5e-4))


def test_without_a_valid_pair_zero_with_a_graph() -> None:
    r = torch.zeros(2, 3, requires_grad=True)
    loss = push_apart(r, r + 1, ALL, ~ALL)
    loss.backward()
    assert loss == 0
    assert torch.equal(r.grad, torch.zeros(2, 3))


def test_empty_regions_leave_their_image_out() -> None:
    u, roi, background = view(0)
    roi, background = roi.clone(), background.clone()
    roi[1], background[1] = False, True
    loss = roi_contrast(u, roi, background, u, background, cross=False)
    r_o, valid_o = pool_region(u, roi)
    r_b, valid_b = pool_region(u, background)
    assert valid_o.tolist() == [True, False, True]
    torch.testing.assert_close(loss, push_apart(r_o[[0, 2]], r_b, valid_o[[0, 2]], valid_b))


@pytest.mark.parametrize("region", [True, False])
def test_batch_that_is_all_background_or_all_region_is_finite(region: bool) -> None:
    u = view(0)[0].requires_grad_()
    everything = torch.full((3, 4, 4), True)
    roi, background = (everything, ~everything) if region else (~everything, everything)
    loss = roi_contrast(u, roi, background, u, background)
    loss.backward()
    assert loss == 0
    assert torch.equal(u.grad, torch.zeros_like(u))


def test_cross_term_and_its_switch() -> None:
    u, roi, background = view(0)
    other = view(1)
    r_o, valid_o = pool_region(u, roi)
    r_b, valid_b = pool_region(u, background)
    own = push_apart(r_o, r_b, valid_o, valid_b)
    r_b, valid_b = pool_region(other[0], other[2])
    torch.testing.assert_close(
        roi_contrast(u, roi, background, other[0], other[2], cross=False), own
    )
    torch.testing.assert_close(
        roi_contrast(u, roi, background, other[0], other[2]),
        own + push_apart(r_o, r_b, valid_o, valid_b),
    )


def test_order_of_images_is_free() -> None:
    first, second = view(2), view(3)
    order = torch.tensor([2, 0, 1])
    shuffled = roi_contrast(*(x[order] for x in first), second[0][order], second[2][order])
    torch.testing.assert_close(shuffled, roi_contrast(*first, second[0], second[2]))


def test_right_masks_cost_less_than_shuffled_ones() -> None:
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[:, :2] = True
    features = torch.where(
        mask[:, None],
        torch.tensor([1.0, 0.0]).view(1, 2, 1, 1),
        torch.tensor([0.0, 1.0]).view(1, 2, 1, 1),
    )
    wrong = mask.transpose(1, 2)
    right_loss = roi_contrast(features, mask, ~mask, features, ~mask)
    assert right_loss < 0.01
    assert roi_contrast(features, wrong, ~wrong, features, ~wrong) > 10


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_scale_of_features_is_free_and_loss_positive(seed: int) -> None:
    u, roi, background = view(seed)
    loss = roi_contrast(u, roi, background, u, background)
    assert loss >= 0
    torch.testing.assert_close(roi_contrast(7 * u, roi, background, 0.1 * u, background), loss)


def test_gradient_flows_into_both_views() -> None:
    u, roi, background = view(4)
    u_other, _, background_other = view(5)
    assert gradcheck(
        lambda a, b: roi_contrast(a, roi, background, b, background_other),
        (u.requires_grad_(), u_other.requires_grad_()),
    )


def test_misuse() -> None:
    u, roi, _ = view(0)
    with pytest.raises(ValueError, match="mask"):
        pool_region(u, roi.float())
    with pytest.raises(ValueError, match="mask"):
        pool_region(u, roi[:, :2])
    with pytest.raises(ValueError, match="reduction"):
        push_apart(torch.ones(2, 3), torch.ones(2, 3), ALL, ALL, "none")
    with pytest.raises(ValueError, match="validity"):
        push_apart(torch.ones(2, 3), torch.ones(2, 3), ALL, ALL[:1])
