"""DSCNet's contrasts: closed forms, what is left out, gradients."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hsc.losses.dscnet import Remembered, batch_nodes, contrast, group_contrast, node_contrast
from hsc.losses.prototypes import Prototypes

T = 0.1
ALL = torch.ones(2, 2, dtype=torch.bool)


def axes(*indices: int) -> Tensor:
    """Unit vectors along axes."""
    return torch.eye(4)[list(indices)]


def test_one_positive_at_a_time_stands_in_the_denominator() -> None:
    similarity = torch.tensor([[2.0, 1.0, 0.5, -1.0]])
    positive = torch.tensor([[True, True, False, False]])
    negative = torch.tensor([[False, False, True, True]])
    against = math.exp(0.5) + math.exp(-1)
    expected = [-math.log(math.exp(s) / (math.exp(s) + against)) for s in (2, 1)]
    assert contrast(similarity, positive, negative).item() == pytest.approx(sum(expected) / 2)


@pytest.mark.parametrize("missing", ["positive", "negative"])
def test_an_entry_without_one_side_is_0_with_a_gradient_of_0(missing: str) -> None:
    similarity = torch.randn(1, 3, requires_grad=True)
    sides = {name: torch.tensor([[True, False, False]]) for name in ("positive", "negative")}
    sides[missing] = torch.zeros(1, 3, dtype=torch.bool)
    loss = contrast(similarity, **sides)
    assert loss.item() == 0
    loss.sum().backward()
    assert not similarity.grad.any()


def test_group_contrast_in_closed_form() -> None:
    """Two pictures with one object of a class and their backgrounds: cosines of 1 and 0."""
    means = torch.stack([axes(0, 1), axes(2, 1)])  # the backgrounds differ, the objects are alike
    labels = torch.tensor([[0, 5], [0, 5]])
    expected = -math.log(math.exp(1 / T) / (math.exp(1 / T) + 2 * math.exp(0)))
    assert group_contrast(means, labels, ALL, T).item() == pytest.approx(expected, abs=1e-6)


def test_background_is_a_negative_and_never_an_anchor() -> None:
    means = torch.stack([axes(0, 1), axes(0, 1)])
    labels = torch.zeros(2, 2, dtype=torch.int64)
    assert group_contrast(means, labels, ALL, T) == 0
    labels[:, 1] = 3
    anchored = group_contrast(means.clone(), labels, ALL, T)
    assert anchored > 0
    with_background = group_contrast(means, labels, ALL, T, background_positive=True)
    assert with_background == pytest.approx(anchored.item())  # both of the same form here


def test_two_groups_of_one_picture_may_be_positives() -> None:
    means, present = axes(0, 1, 1)[None], torch.ones(1, 3, dtype=torch.bool)
    labels = torch.tensor([[0, 4, 4]])
    expected = -math.log(math.exp(1 / T) / (math.exp(1 / T) + 1))
    assert group_contrast(means, labels, present, T).item() == pytest.approx(expected, abs=1e-6)


def test_an_empty_group_has_no_say() -> None:
    means = torch.stack([axes(0, 1), axes(2, 1)])
    labels = torch.tensor([[0, 5], [0, 5]])
    present = torch.tensor([[False, True], [True, True]])
    fewer = group_contrast(means, labels, present, T).item()
    expected = -math.log(math.exp(1 / T) / (math.exp(1 / T) + 1))
    assert fewer == pytest.approx(expected, abs=1e-6)


def test_a_batch_without_a_positive_counts_as_0() -> None:
    means = torch.randn(2, 2, 4, requires_grad=True)
    loss = group_contrast(means, torch.tensor([[0, 1], [0, 2]]), ALL, T)
    assert loss == 0
    loss.backward()
    assert not means.grad.any()


@given(st.integers(0, 300))
def test_the_order_of_the_pictures_does_not_matter(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(3, 3, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (3, 3), generator=generator)
    present = torch.rand(3, 3, generator=generator) > 0.2
    nodes = Prototypes(torch.randn(4, 5, generator=generator).double(), torch.arange(4) != 2)
    order = torch.randperm(3, generator=generator)
    for loss in (
        lambda m, y, p: group_contrast(m, y, p, T),
        lambda m, y, p: node_contrast(m, y, p, nodes, T),
    ):
        before, after = (
            loss(means, labels, present),
            loss(means[order], labels[order], present[order]),
        )
        torch.testing.assert_close(before, after)
        assert before >= 0


def remembered(*groups: tuple[int, int], slots: int = 2) -> Remembered:
    """(label, axis) of groups that have been, of three classes."""
    empty = Remembered(torch.zeros(3, slots, 4), torch.zeros(3, dtype=torch.int64))
    for label, axis in groups:
        empty = empty.with_groups(axes(axis)[None], torch.tensor([[label]]), ALL[:1, :1])
    return empty


def test_groups_that_were_are_positives_and_negatives() -> None:
    """One picture alone: without them there is nothing to be alike."""
    means, labels = axes(0, 1)[None].requires_grad_(), torch.tensor([[0, 2]])
    assert group_contrast(means, labels, ALL[:1], T) == 0
    before = remembered((2, 1), (3, 1))
    expected = -math.log(math.exp(1 / T) / (2 * math.exp(1 / T) + 1))  # against 3's and background
    found = group_contrast(means, labels, ALL[:1], T, before=before)
    assert found.item() == pytest.approx(expected, abs=1e-6)
    assert group_contrast(means, labels, ALL[:1], T, before=remembered((3, 1))) == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.booleans()), max_size=12))
def test_the_last_of_each_class_are_remembered(groups: list[tuple[int, int, bool]]) -> None:
    """In one batch or one after the other; background and empty groups are not."""
    together = one_by_one = Remembered(torch.zeros(3, 2, 1), torch.zeros(3, dtype=torch.int64))
    if groups:
        labels, values, present = (torch.tensor([row]) for row in zip(*groups, strict=True))
        together = together.with_groups(values[:, :, None].float(), labels, present)
        for k in range(len(groups)):
            part = slice(k, k + 1)
            one_by_one = one_by_one.with_groups(
                values[:, part, None].float(), labels[:, part], present[:, part]
            )
    for kept in (together, one_by_one):
        for label in (1, 2, 3):
            expected = [value for of, value, there in groups if of == label and there][-2:]
            there = kept.present[label - 1]
            assert sorted(kept.means[label - 1, there, 0].tolist()) == sorted(expected)
    assert together.labels.tolist() == [[1, 1], [2, 2], [3, 3]]


def test_node_contrast_in_closed_form() -> None:
    """By picture first: the second has one group, which counts as much as the two of the first."""
    means = torch.stack([axes(0, 1), axes(1, 3)])
    labels = torch.tensor([[0, 1], [1, 0]])
    present = torch.tensor([[True, True], [True, False]])
    nodes = Prototypes(axes(0, 1, 2), torch.tensor([True, True, True]))
    right = -math.log(math.exp(1 / T) / (math.exp(1 / T) + 2))
    assert node_contrast(means, labels, present, nodes, T).item() == pytest.approx(right, abs=1e-6)
    without = node_contrast(means, labels, present, nodes, T, background=False)
    assert without.item() == pytest.approx(right, abs=1e-6)
    only = torch.zeros_like(labels)
    assert node_contrast(means, only, present, nodes, T, background=False) == 0
    wrong = means.flip(1)  # of the first picture both are at the other's node
    high = -math.log(1 / (math.exp(1 / T) + 2))
    far = -math.log(1 / 3)
    found = node_contrast(wrong, labels, present, nodes, T).item()
    assert found == pytest.approx((high + far) / 2, abs=1e-5)


def test_groups_of_unknown_nodes_are_left_out() -> None:
    means, labels = torch.stack([axes(0, 1), axes(1, 3)]), torch.tensor([[0, 1], [1, 0]])
    nobody = Prototypes(torch.zeros(3, 4), torch.zeros(3, dtype=torch.bool))
    assert node_contrast(means, labels, ALL, nobody, T) == 0
    one = Prototypes(axes(0, 1, 2), torch.tensor([True, False, True]))
    assert node_contrast(means, labels, ALL, one, T) > 0


def test_nodes_are_means_weighted_by_the_shares() -> None:
    means = torch.stack([axes(0, 1), axes(0, 2)])
    shares = torch.tensor(
        [[[1.0, 0.0, 0.0], [0.25, 0.75, 0.0]], [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]]
    )
    nodes = batch_nodes(means, shares)
    assert nodes.present.tolist() == [True, True, False]
    assert nodes.vectors[0].tolist() == pytest.approx([2 / 2.25, 0.25 / 2.25, 0, 0])
    assert nodes.vectors[1].tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("which", ["groups", "nodes"])
def test_gradients(which: str) -> None:
    generator = torch.Generator().manual_seed(2)
    means = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[0, 1, 2], [0, 2, 1]])
    present = torch.tensor([[True, True, True], [True, True, False]])
    nodes = Prototypes(torch.randn(3, 4, generator=generator).double(), torch.ones(3).bool())
    if which == "groups":
        assert torch.autograd.gradcheck(lambda m: group_contrast(m, labels, present, T), means)
    else:
        assert torch.autograd.gradcheck(
            lambda m: node_contrast(m, labels, present, nodes, T), means
        )


def test_no_gradient_reaches_the_nodes() -> None:
    vectors = torch.randn(3, 4, requires_grad=True)
    means = torch.randn(2, 2, 4, requires_grad=True)
    node_contrast(
        means, torch.tensor([[0, 1], [2, 1]]), ALL, Prototypes(vectors, ALL.any(0).repeat(2)[:3]), T
    ).backward()
    assert vectors.grad is None
    assert means.grad.any()


@pytest.mark.parametrize(
    "loss", [group_contrast, lambda m, y, p, t: node_contrast(m, y, p, None, t)]
)
def test_what_does_not_fit_is_refused(loss) -> None:
    with pytest.raises(ValueError, match="temperature"):
        loss(torch.zeros(1, 2, 3), torch.zeros(1, 2).long(), torch.ones(1, 2).bool(), 0)
    with pytest.raises(ValueError, match="need labels"):
        loss(torch.zeros(1, 2, 3), torch.zeros(1, 3).long(), torch.ones(1, 2).bool(), T)
