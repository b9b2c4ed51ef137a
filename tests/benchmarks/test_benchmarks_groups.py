"""The contrast between all pairs of cells by hand, and that its part agrees."""

import math

import pytest
import torch

from benchmarks.part import Disagreement, measure
from benchmarks.parts import group_contrast


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are not asked for."""
    monkeypatch.setattr(group_contrast, "CHANNELS", 16)
    monkeypatch.setattr(group_contrast, "SIDE", 8)


def test_pairs_by_hand() -> None:
    """Two pictures of two cells: an object along one axis, backgrounds along others."""
    features = torch.eye(4)[[0, 1, 0, 2]].view(2, 1, 2, 4).permute(0, 3, 1, 2)
    labels = torch.tensor([[[5, 0]], [[5, 0]]])
    e = math.exp(1 / group_contrast.TEMPERATURE)
    expected = -math.log(e / (e + 2))
    assert group_contrast.pairwise(features, labels).item() == pytest.approx(expected, rel=1e-2)


def test_the_part(small: None) -> None:
    result = measure("group_contrast", 1)
    assert result.reference_seconds > 0
    assert result.agreement.startswith("the same loss where every cell is a group of its own")


def test_another_loss_is_noticed(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    contrast = group_contrast.group_contrast
    monkeypatch.setattr(group_contrast, "group_contrast", lambda *a: 1.01 * contrast(*a))
    with pytest.raises(Disagreement, match="differs where every cell is a group"):
        measure("group_contrast", 1)


def test_bytes_that_are_kept_are_counted_once() -> None:
    x = torch.ones(1000, requires_grad=True)
    assert group_contrast._kept(lambda: (x * x).sum()) == x.nbytes
