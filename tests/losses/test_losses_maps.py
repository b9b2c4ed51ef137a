"""Shared map operations: values by hand, ranges, dead channels, gradients."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from hsc.losses import maps


def random_maps(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_max_norm_by_hand() -> None:
    cam = torch.tensor([[[[-3.0, 1.0], [2.0, 4.0]]]], dtype=torch.float64)
    expected = torch.tensor([0.0, 1 - 1e-5, 2 - 1e-5, 4 - 1e-5], dtype=torch.float64) / (4 + 1e-5)
    torch.testing.assert_close(maps.max_norm(cam).flatten(), expected)


def test_max_norm_is_by_image_and_channel_and_subtracts_the_minimum() -> None:
    cam = torch.tensor([[[[1.0, 3.0]], [[10.0, 20.0]]], [[[0.0, 0.5]], [[7.0, 6.0]]]])
    expected = torch.tensor([[[[0.0, 1.0]], [[0.0, 1.0]]], [[[0.0, 1.0]], [[1.0, 0.0]]]])
    torch.testing.assert_close(maps.max_norm(cam), expected, atol=5e-5, rtol=0)


@pytest.mark.parametrize("normalise", [maps.max_norm])
@pytest.mark.parametrize("level", [0.0, -2.0, 3.0])
def test_constant_channel_is_zero_and_has_no_gradient(normalise, level: float) -> None:
    cam = torch.full((1, 2, 3, 3), level, requires_grad=True)
    normalised = normalise(cam)
    normalised.sum().backward()
    assert torch.equal(normalised, torch.zeros(1, 2, 3, 3))
    assert torch.equal(cam.grad, torch.zeros(1, 2, 3, 3))


@pytest.mark.parametrize("normalise", [maps.max_norm])
def test_normalisation_gradient_and_arguments(normalise) -> None:
    cam = random_maps(0, 2, 3, 3, 4).requires_grad_()
    before = cam.detach().clone()
    assert gradcheck(normalise, cam)
    assert torch.equal(cam.detach(), before)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 5))
def test_normalisation_keeps_range_and_order(seed: int, height: int, width: int) -> None:
    cam = 5 * random_maps(seed, 2, 3, height, width)
    normalised = maps.max_norm(cam)
    assert normalised.min() >= 0
    assert normalised.max() < 1
    by_value = cam.flatten(2).argsort(dim=2)
    assert (normalised.flatten(2).gather(2, by_value).diff(dim=2) >= 0).all()


def test_normalisation_wants_four_dimensions() -> None:
    with pytest.raises(ValueError, match=r"got shape \(3, 4, 4\)"):
        maps.max_norm(torch.zeros(3, 4, 4))


def test_background_activation_by_hand() -> None:
    cam = torch.tensor([[[[0.2, 0.0]], [[0.7, 0.0]]]])
    torch.testing.assert_close(maps.background_activation(cam), torch.tensor([[[[0.3, 1.0]]]]))


def test_pseudo_label_by_hand() -> None:
    cam = torch.tensor([[[[0.6, 0.2, 0.1, 0.5]], [[0.3, 0.2, 0.9, 0.5]]]])
    # a class; no class strictly above the background; the other class; the lower of two equal ones
    assert maps.pseudo_label(cam, 0.2).tolist() == [[[1, 0, 2, 1]]]
    assert maps.pseudo_label(cam, 0.2).dtype == torch.int64


def test_a_score_may_be_a_tensor() -> None:
    cam = torch.tensor([0.3, 0.6]).reshape(1, 1, 1, 2)
    assert maps.pseudo_label(cam, torch.tensor(0.5)).tolist() == [[[0, 1]]]
    assert maps.pseudo_label(cam, torch.tensor([0.6])).tolist() == [[[0, 0]]]


# Otsu's threshold

VALUES = st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=1, max_size=40)


def apart(values: Tensor, threshold: float) -> float:
    """n0 n1 (m0 - m1)^2 of the values up to the threshold and above it."""
    low, high = values[values <= threshold], values[values > threshold]
    if not len(low) or not len(high):
        return 0.0
    return len(low) * len(high) * float(high.mean() - low.mean()) ** 2


@given(VALUES)
def test_no_other_threshold_parts_the_values_further(numbers: list[float]) -> None:
    values = torch.tensor(numbers, dtype=torch.float64)
    found = apart(values, maps.otsu_threshold(values).item())
    assert found == pytest.approx(max(apart(values, place) for place in numbers), abs=1e-9)


@given(VALUES, st.integers(1, 5))
@example([0.4, 0.55, 0.55, 0.7], 3)
def test_weights_say_how_often_a_value_is_there(numbers: list[float], times: int) -> None:
    values = torch.tensor(numbers, dtype=torch.float64)
    bins = torch.arange(21, dtype=torch.float64) / 20
    counts = (values[:, None] == bins).sum(dim=0)
    found, expected = maps.otsu_threshold(bins, times * counts), maps.otsu_threshold(values)
    # of two thresholds that part the values equally far, rounding may choose either
    assert apart(values, found.item()) == pytest.approx(apart(values, expected.item()), abs=1e-9)


@given(VALUES)
def test_otsu_takes_the_values_in_any_order(numbers: list[float]) -> None:
    values = torch.tensor(numbers)
    assert maps.otsu_threshold(values.flip(0)) == maps.otsu_threshold(values)


def test_otsu_is_the_middle_between_two_groups() -> None:
    bins, counts = torch.arange(100) / 100, torch.zeros(100)
    counts[10], counts[70] = 30, 5
    assert maps.otsu_threshold(bins, counts).item() == pytest.approx(0.4)


@pytest.mark.parametrize("value", [0.0, 0.4])
def test_nothing_of_a_constant_map_is_above_its_threshold(value: float) -> None:
    for cells in (1, 2, 48):
        cam = torch.full((1, 1, 1, cells), value)
        assert maps.pseudo_label(cam, maps.otsu_threshold(cam.flatten())).sum() == 0


@pytest.mark.parametrize("size", [(4, 4), (3, 5), (1, 1), (16, 16)])
def test_labels_at_cells_are_those_that_resize_brings_there(size: tuple[int, int]) -> None:
    """As bilinear resizing of the one-hot labels, where a cell's place lies on a pixel."""
    labels = torch.arange(16 * 16).reshape(1, 16, 16)
    found = maps.at_cells(labels, size)
    rows, columns = ([round(i * 15 / max(count - 1, 1)) for i in range(count)] for count in size)
    assert found.tolist() == [[[16 * row + column for column in columns] for row in rows]]
    if size == (4, 4):
        exact = maps.resize(labels[None].float(), size)[0]
        torch.testing.assert_close(found.float(), exact)


def test_pseudo_label_of_nothing_is_background_even_at_score_zero() -> None:
    assert maps.pseudo_label(torch.zeros(1, 3, 2, 2), 0.0).sum() == 0


@pytest.mark.parametrize("score", [-0.1, 1.5, float("nan")])
def test_pseudo_label_wants_a_score_in_range(score: float) -> None:
    with pytest.raises(ValueError, match="background_score"):
        maps.pseudo_label(torch.zeros(1, 3, 2, 2), score)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.lists(st.booleans(), min_size=3, max_size=3))
def test_pseudo_label_never_chooses_an_absent_class(seed: int, tags: list[bool]) -> None:
    gate = torch.tensor(tags, dtype=torch.float64)[None, :, None, None]
    chosen = maps.pseudo_label(maps.max_norm(random_maps(seed, 2, 3, 4, 4)) * gate, 0.1)
    assert set(chosen.unique().tolist()) <= {0} | {c for c, tag in enumerate(tags, 1) if tag}


def test_resize_by_hand() -> None:
    cam = torch.tensor([[[[0.0, 2.0], [4.0, 6.0]]]])
    expected = torch.tensor([[[[0.0, 1.0, 2.0], [2.0, 3.0, 4.0], [4.0, 5.0, 6.0]]]])
    torch.testing.assert_close(maps.resize(cam, (3, 3)), expected)
    assert maps.resize(cam, (4, 4), align_corners=False)[0, 0, 0, 1] == 0.5
    assert torch.equal(maps.resize(cam, (2, 2)), cam)


def test_unit_by_hand_over_channels() -> None:
    features = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1).expand(1, 2, 1, 3)
    torch.testing.assert_close(maps.unit(features)[0, :, 0, 2], torch.tensor([0.6, 0.8]))


def test_unit_of_a_dead_vector_is_zero_without_gradient() -> None:
    vectors = torch.tensor([[0.0, 0.0], [1e-12, 0.0], [0.0, 2.0]], requires_grad=True)
    (maps.unit(vectors) * 1e6).sum().backward()
    assert torch.equal(maps.unit(vectors), torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]))
    assert torch.equal(vectors.grad[:2], torch.zeros(2, 2))
    assert torch.isfinite(vectors.grad).all()


def test_unit_gradient() -> None:
    assert gradcheck(maps.unit, random_maps(1, 2, 3, 2, 2).requires_grad_())


def test_tag_gate_keeps_the_background() -> None:
    gate = maps.tag_gate(torch.zeros(1, 4, 2, 2), torch.tensor([[0, 1, 0]]))
    assert gate.shape == (1, 4, 1, 1)
    assert gate.flatten().tolist() == [1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("shape", [(1, 4), (2, 3), (1, 2)])
def test_tag_gate_wants_one_tag_a_foreground_class(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="tags"):
        maps.tag_gate(torch.zeros(1, 4, 2, 2), torch.zeros(shape))


def test_present_probability_is_a_softmax_over_the_background_and_the_tagged_classes() -> None:
    cam, tags = random_maps(0, 2, 4, 3, 3), torch.tensor([[1, 0, 1], [0, 0, 0]])
    found = maps.present_probability(cam, tags)
    torch.testing.assert_close(found[0, [0, 1, 3]], cam[0, [0, 1, 3]].softmax(dim=0))
    assert (found[0, 2] == 0).all()
    assert torch.equal(found[1, 0], torch.ones(3, 3, dtype=torch.float64))


def test_present_probability_does_not_see_absent_classes() -> None:
    cam, tags = random_maps(0, 1, 4, 3, 3), torch.tensor([[1, 0, 1]])
    expected = maps.present_probability(cam, tags)
    cam[0, 2] = random_maps(1, 3, 3) * 50
    assert torch.equal(maps.present_probability(cam, tags), expected)


def test_present_probability_wants_one_tag_a_foreground_class() -> None:
    with pytest.raises(ValueError, match="tags"):
        maps.present_probability(torch.zeros(1, 4, 2, 2), torch.zeros(1, 4))
