"""The affinity loss: by hand, gradients, kinds without pairs, ordering.

The published numbers are compared in tests/golden_affinity.py.
"""

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from hsc.psa.loss import PairSums, affinity_loss, pair_sums
from hsc.psa.pairs import PairLabels, pair_labels, pair_offsets

OFFSETS = pair_offsets(3)


def draw(seed: int = 0) -> tuple[Tensor, PairLabels]:
    """Affinities and labels of two maps of 5 x 6 cells, in float64."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (2, 5, 6), generator=generator)
    labels[0, 0] = 255
    affinity = torch.rand(2, len(OFFSETS), 5, 6, generator=generator, dtype=torch.float64)
    return 0.05 + 0.9 * affinity, pair_labels(labels, OFFSETS)


def loss_of(affinity: Tensor, labels: PairLabels) -> Tensor:
    return affinity_loss(pair_sums(affinity, labels)).loss


def kinds(*chosen: list[int], count: int) -> PairLabels:
    """Which of `count` pairs are of which kind."""
    masks = []
    for places in chosen:
        mask = torch.zeros(count, dtype=torch.bool)
        mask[places] = True
        masks.append(mask)
    return PairLabels(*masks)


def test_by_hand() -> None:
    """Background 0.5 and 0.25, foreground 0.2, different 0.9; the last pair is of no kind."""
    affinity = torch.tensor([0.5, 0.25, 0.2, 0.9, 0.3], dtype=torch.float64)
    terms = affinity_loss(pair_sums(affinity, kinds([0, 1], [2], [3], count=5)))
    background, foreground, different = (math.log(2) + math.log(4)) / 2, math.log(5), math.log(10)
    assert terms.background.item() == pytest.approx(background, abs=1e-3)
    assert terms.foreground.item() == pytest.approx(foreground, abs=1e-3)
    assert terms.different.item() == pytest.approx(different, abs=1e-3)
    expected = background / 4 + foreground / 4 + different / 2
    assert terms.loss.item() == pytest.approx(expected, abs=1e-3)


def test_gradient() -> None:
    affinity, labels = draw()
    assert gradcheck(lambda values: loss_of(values, labels), affinity.requires_grad_())


def test_pairs_of_no_kind_get_no_gradient() -> None:
    affinity, labels = draw()
    loss_of(affinity.requires_grad_(), labels).backward()
    known = labels.background | labels.foreground | labels.different
    assert not affinity.grad[~known].any()
    assert affinity.grad[known].all()


@pytest.mark.parametrize("empty", range(3))
@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_a_kind_without_pairs_is_finite_and_0(empty: int, value: float) -> None:
    chosen: list[list[int]] = [[0], [1], [2]]
    chosen[empty] = []
    affinity = torch.full((3,), value, requires_grad=True)
    terms = affinity_loss(pair_sums(affinity, kinds(*chosen, count=3)))
    terms.loss.backward()
    assert terms[1 + empty] == 0
    assert torch.isfinite(terms.loss)
    assert torch.isfinite(affinity.grad).all()
    assert affinity.grad[empty] == 0


def test_a_batch_without_any_pair() -> None:
    affinity = torch.rand(4, requires_grad=True)
    loss = loss_of(affinity, kinds([], [], [], count=4))
    loss.backward()
    assert loss == 0
    assert not affinity.grad.any()


def test_better_affinities_have_a_lower_loss() -> None:
    _, labels = draw()
    same = (labels.background | labels.foreground).double()
    losses = [loss_of(0.5 + (same - 0.5) * sure, labels).item() for sure in (-0.9, 0.0, 0.5, 1.0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(0, abs=1e-4)
    assert losses[1] == pytest.approx(math.log(2), abs=1e-4)


def test_sums_of_shares_add_up() -> None:
    affinity, labels = draw()
    parts = [
        pair_sums(affinity[i : i + 1], PairLabels(*(kind[i : i + 1] for kind in labels)))
        for i in range(2)
    ]
    total = PairSums(*(sum(values) for values in zip(*parts, strict=True)))
    torch.testing.assert_close(affinity_loss(total).loss, loss_of(affinity, labels))


def test_shapes_that_differ_are_an_error() -> None:
    affinity, labels = draw()
    with pytest.raises(ValueError, match=r"labels.background is \(2, 12, 5, 6\), affinity \(2,"):
        pair_sums(affinity[:, :3], labels)
