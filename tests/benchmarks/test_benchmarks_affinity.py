"""The plain references of the affinity parts by hand, and that their parts agree."""

import numpy as np
import pytest
import torch

from benchmarks.part import Disagreement, measure
from benchmarks.parts import affinity_labels, random_walk
from benchmarks.reference_affinity import dense_affinity, dense_walk, pair_kinds


def test_dense_matrix_by_hand() -> None:
    affinity = torch.tensor([[[0.5, 0.0], [0.25, 0.0]], [[0.1, 0.2], [0.0, 0.0]]])
    expected = [[1, 0.5, 0.1, 0], [0.5, 1, 0, 0.2], [0.1, 0, 1, 0.25], [0, 0.2, 0.25, 1]]
    assert torch.equal(dense_affinity(affinity, [(0, 1), (1, 0)]), torch.tensor(expected))


def test_dense_walk_by_hand() -> None:
    """Two cells: column sums 1.25, so a step keeps 0.8 and takes 0.2 of the other; two steps."""
    matrix = torch.tensor([[1.0, 0.5], [0.5, 1.0]])
    found = dense_walk(torch.tensor([[[1.0, 0.0]]]), matrix, beta=2, doublings=1)
    assert found.flatten().tolist() == pytest.approx([0.68, 0.32])


def test_kinds_by_hand() -> None:
    labels = torch.tensor([[0, 0, 2], [255, 2, 2]], dtype=torch.uint8).numpy()
    kinds = pair_kinds(labels, [(0, 1), (1, -1)])
    found = [set(map(tuple, np.argwhere(kind).tolist())) for kind in kinds]
    assert found == [{(0, 0, 0)}, {(0, 1, 1), (1, 0, 2)}, {(0, 0, 1)}]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are not asked for."""
    for part, name, size in [
        (random_walk, "HEIGHT", 11),
        (random_walk, "WIDTH", 13),
        (affinity_labels, "BATCH", 2),
        (affinity_labels, "SIDE", 12),
    ]:
        monkeypatch.setattr(part, name, size)


@pytest.mark.parametrize("name", ["random_walk", "affinity_labels"])
def test_part_agrees_with_its_reference(name: str, small: None) -> None:
    result = measure(name, repeats=1)
    assert result.wanted == 15


def test_walk_that_differs_is_told(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_walk, "dense_walk", lambda *given: 1.01 * dense_walk(*given))
    with pytest.raises(Disagreement, match="scores within"):
        measure("random_walk", repeats=1)


def test_labels_that_differ_are_told(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity_labels, "pair_kinds", lambda *given: ~pair_kinds(*given))
    with pytest.raises(Disagreement, match="kinds"):
        measure("affinity_labels", repeats=1)
