"""Momentum prototypes, equations (7) and (11), and InfoNCE: values by hand, absent rows."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from hsc.losses.prototypes import Prototypes, info_nce, momentum_update, strongest


def flags(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.bool)


def test_strongest_by_hand() -> None:
    """Rows: no ties; a tie over the last place; all equal; more places than entries; nothing."""
    score = torch.tensor([[5.0, 1, 3, 2], [4, 2, 2, 1], [3, 3, 3, 3], [0, 7, 0, 0], [0, 0, 0, 0]])
    two = [[5.0, 0, 3, 0], [4, 1, 1, 0], [1.5, 1.5, 1.5, 1.5], [0, 7, 0, 0], [0, 0, 0, 0]]
    torch.testing.assert_close(strongest(score, 2), torch.tensor(two))
    torch.testing.assert_close(strongest(score, 9), score)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 12), st.data())
def test_strongest_does_not_depend_on_the_order(seed: int, k: int, data: st.DataObject) -> None:
    generator = torch.Generator().manual_seed(seed)
    score = torch.randint(0, 4, (3, 10), generator=generator).double()
    order = torch.tensor(data.draw(st.permutations(range(10))))
    got = strongest(score, k)
    assert torch.equal(strongest(score[:, order], k), got[:, order])
    highest = score.sort(dim=1, descending=True).values[:, :k]
    torch.testing.assert_close(got.sum(dim=1), highest.sum(dim=1))


def test_strongest_gradient_and_misuse() -> None:
    score = torch.tensor([[0.1, 0.9, 0.4], [0.8, 0.3, 0.2]], dtype=torch.double)
    assert gradcheck(lambda s: strongest(s, 2), score.requires_grad_())
    with pytest.raises(ValueError, match="k has to be at least 1"):
        strongest(score, 0)


def test_momentum_update_by_hand() -> None:
    """Rows: blended, first seen, not in the batch, never seen."""
    memory = Prototypes(
        torch.tensor([[1.0, 0.0], [9.0, 9.0], [0.0, 1.0], [7.0, 7.0]]), flags(1, 0, 1, 0)
    )
    batch = Prototypes(
        torch.tensor([[0.0, 2.0], [3.0, 4.0], [5.0, 5.0], [6.0, 6.0]]), flags(1, 1, 0, 0)
    )
    got = momentum_update(memory, batch, momentum=0.75)
    blended = torch.tensor([0.25, 1.5])
    expected = torch.stack(
        [blended / blended.norm(), torch.tensor([0.6, 0.8]), *memory.vectors[2:]]
    )
    torch.testing.assert_close(got.vectors, expected)
    assert got.present.tolist() == [True, True, True, False]


def test_momentum_update_makes_new_detached_tensors() -> None:
    memory = Prototypes(torch.eye(2), flags(1, 0))
    batch = Prototypes(torch.ones(2, 2, requires_grad=True), flags(1, 1))
    got = momentum_update(memory, batch, 0.9)
    assert not got.vectors.requires_grad
    assert torch.equal(memory.vectors, torch.eye(2))
    assert memory.present.tolist() == [True, False]
    unchanged = momentum_update(memory, Prototypes(torch.ones(2, 2), flags(0, 0)), 0.9)
    assert torch.equal(unchanged.vectors, memory.vectors)
    unchanged.vectors[0] = 5
    unchanged.present[0] = False
    assert torch.equal(memory.vectors, torch.eye(2))
    assert memory.present.tolist() == [True, False]


def test_vector_without_direction_makes_no_class_known() -> None:
    memory = Prototypes(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), flags(0, 1))
    got = momentum_update(memory, Prototypes(torch.zeros(2, 2), flags(1, 1)), 0.9)
    assert got.present.tolist() == [False, True]
    torch.testing.assert_close(got.vectors, memory.vectors)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_known_rows_stay_unit_vectors(seed: int, momentum: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    known = Prototypes(torch.zeros(4, 3), flags(0, 0, 0, 0))
    for _ in range(3):
        vectors = torch.randn(4, 3, generator=generator)
        present = torch.rand(4, generator=generator) > 0.5
        known = momentum_update(known, Prototypes(vectors, present), momentum)
    torch.testing.assert_close(known.vectors.norm(dim=1), known.present.float())


def test_momentum_update_misuse() -> None:
    rows = Prototypes(torch.eye(2), flags(1, 1))
    with pytest.raises(ValueError, match="momentum"):
        momentum_update(rows, rows, 1.1)
    with pytest.raises(ValueError, match="differ"):
        momentum_update(rows, Prototypes(torch.eye(3), flags(1, 1, 1)), 0.9)


def test_info_nce_by_hand() -> None:
    similarity = torch.tensor([[1.0, 0.0], [0.0, 0.5]])
    target = torch.tensor([0, 0])
    parts = [math.log(1 + math.exp(-2.0)), math.log(1 + math.exp(1.0))]
    arguments = (similarity, target, flags(1, 1), 0.5)
    assert info_nce(*arguments).item() == pytest.approx(sum(parts) / 2)
    assert info_nce(*arguments, "sum").item() == pytest.approx(sum(parts))
    assert info_nce(*arguments, "none").tolist() == pytest.approx(parts)


def test_absent_rows_are_in_no_denominator() -> None:
    similarity = torch.tensor([[1.0, 0.0, 100.0]], requires_grad=True)
    loss = info_nce(similarity, torch.tensor([0]), flags(1, 1, 0), 1.0)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)))
    loss.backward()
    assert similarity.grad[0, 2] == 0


def test_entries_without_a_present_target_are_left_out() -> None:
    similarity = torch.tensor([[1.0, 0.0, 3.0]]).repeat(5, 1)
    target = torch.tensor([0, 2, 255, -1, 3])
    kept = math.log(1 + math.exp(-1))
    assert info_nce(similarity, target, flags(1, 1, 0), 1.0).item() == pytest.approx(kept)
    each = info_nce(similarity, target, flags(1, 1, 0), 1.0, "none")
    assert each.tolist() == pytest.approx([kept, 0, 0, 0, 0])


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("present", [flags(0, 0), flags(0, 1)], ids=["no row", "only another row"])
def test_nothing_left_is_zero_with_a_graph(present: torch.Tensor) -> None:
    similarity = torch.randn(3, 2, requires_grad=True)
    with torch.autograd.detect_anomaly(check_nan=True):
        loss = info_nce(similarity, torch.zeros(3, dtype=torch.int64), present, 0.1)
        loss.backward()
    assert loss == 0
    assert torch.equal(similarity.grad, torch.zeros(3, 2))


def test_no_entries_at_all() -> None:
    empty = torch.zeros(0, 3, requires_grad=True)
    assert info_nce(empty, torch.zeros(0, dtype=torch.int64), flags(1, 1, 1), 0.1) == 0


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 5))
def test_info_nce_is_the_printed_equation(seed: int, entries: int, rows: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    similarity = 2 * torch.rand(entries, rows, generator=generator, dtype=torch.float64) - 1
    target = torch.randint(0, rows, (entries,), generator=generator)
    present = torch.rand(rows, generator=generator) > 0.3
    terms = [
        -math.log(
            math.exp(s[t] / 0.1) / sum(math.exp(s[r] / 0.1) for r in range(rows) if present[r])
        )
        for s, t in zip(similarity.tolist(), target.tolist(), strict=True)
        if present[t]
    ]
    expected = sum(terms) / max(1, len(terms))
    assert info_nce(similarity, target, present, 0.1).item() == pytest.approx(expected, abs=1e-9)


def test_info_nce_gradient() -> None:
    similarity = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 1, 2, 0])
    for reduction in ("mean", "sum", "none"):
        assert gradcheck(
            lambda s, r=reduction: info_nce(s, target, flags(1, 0, 1), 0.5, r), similarity
        )


def test_info_nce_misuse() -> None:
    arguments = (torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64), flags(1, 1, 1))
    with pytest.raises(ValueError, match="temperature"):
        info_nce(*arguments, 0.0)
    with pytest.raises(ValueError, match="reduction"):
        info_nce(*arguments, 0.1, "median")
    with pytest.raises(ValueError, match="similarity"):
        info_nce(*arguments[:2], flags(1, 1), 0.1)
