"""PPC's prototypes and intra-view contrast: values by hand, loops, gradients, edges."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from hsc.losses import maps
from hsc.losses.pixel import pixel_contrast
from hsc.losses.ppc import (
    batch_prototypes,
    hard_window,
    intra_view_contrast,
    semi_hard_contrast,
)
from hsc.losses.prototypes import Prototypes

TAU = 0.1
SHARES = {"hard_share": 0.6, "kept_share": 0.5}
EVERYTHING = {"hard_share": 1.0, "kept_share": 1.0}


def row_of_pixels(*values: list[float]) -> Tensor:
    """One image, one row: (channels, pixels) -> (1, channels, 1, pixels)."""
    return torch.tensor(values, dtype=torch.float64)[None, :, None, :]


def batch(seed: int, rows: int = 6, side: int = 4) -> tuple[Tensor, Tensor, Prototypes, Tensor]:
    """Unit features (2, 5, side, side), labels in 0..rows-1, prototypes without the last, draws."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    labels = torch.randint(0, rows, (2, side, side), generator=generator)
    present = torch.ones(rows, dtype=torch.bool)
    present[-1] = False
    draw = torch.rand(2, side, side, generator=generator, dtype=torch.float64)
    v = maps.unit(normal(2, 5, side, side))
    return v, labels, Prototypes(maps.unit(normal(rows, 5)), present), draw


# Prototypes


def test_prototypes_by_hand() -> None:
    """k = 2: class 1 has pixels 0 and 1, whatever their labels, and its longer feature counts for
    more; class 2 has no activation. Weights 0.6 and 0.8 on (1, 0) and (0, 3): (0.6, 2.4)."""
    v = row_of_pixels([1.0, 0.0, -1.0, 0.5], [0.0, 3.0, 0.0, 0.5])
    activation = row_of_pixels([0.0, 0.0, 0.4, 0.0], [0.6, 0.8, 0.1, 0.0], [0.0, 0.0, 0.0, 0.0])
    got = batch_prototypes(v, activation, k=2)
    assert got.present.tolist() == [True, True, False]
    expected = torch.tensor([[-1.0, 0.0], [1.0, 4.0]], dtype=torch.float64)
    expected[1] /= math.sqrt(17)
    torch.testing.assert_close(got.vectors[:2], expected)


def test_prototypes_are_of_the_batch_detached_and_free_of_image_order() -> None:
    generator = torch.Generator().manual_seed(0)
    v = torch.rand(3, 5, 4, 4, generator=generator).requires_grad_()
    activation = torch.rand(3, 3, 4, 4, generator=generator).requires_grad_()
    got = batch_prototypes(v, activation, 7)
    assert not got.vectors.requires_grad
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(
        batch_prototypes(v[order], activation[order], 7).vectors, got.vectors
    )
    for c in range(3):
        weight, index = activation[:, c].flatten().topk(7)
        mean = (weight[:, None] * v.permute(0, 2, 3, 1).reshape(-1, 5)[index]).sum(0)
        torch.testing.assert_close(got.vectors[c], (mean / mean.norm()).detach())


@pytest.mark.parametrize(
    ("v", "activation", "k"),
    [((2, 5, 4, 4), (2, 3, 4, 4), 0), ((2, 5, 4, 4), (2, 3, 4, 5), 1), ((5, 4), (3, 4), 1)],
)
def test_prototypes_of_misfits(v: tuple[int, ...], activation: tuple[int, ...], k: int) -> None:
    with pytest.raises(ValueError, match="got"):
        batch_prototypes(torch.zeros(v), torch.zeros(activation), k)


# Which negatives and pixels are hard


@pytest.mark.parametrize(
    ("amount", "window"),
    [
        (0, (0, 1)),
        (1, (0, 1)),
        (2, (0, 1)),
        (3, (0, 1)),
        (4, (0, 2)),
        (8, (0, 4)),
        (10, (1, 6)),
        (20, (2, 12)),
        (35, (4, 21)),
    ],
)
def test_hard_window(amount: int, window: tuple[int, int]) -> None:
    """Of 20: the twelve hardest without the two hardest of all."""
    low, high = hard_window(torch.tensor(amount), 0.6, 0.5)
    assert (int(low), int(high)) == window
    low, high = hard_window(torch.tensor(amount), 1.0, 1.0)
    assert (int(low), int(high)) == (0, max(amount, 1))


@pytest.mark.parametrize("shares", [(0.5, 0.6), (1.1, 0.5), (0.5, 0.0), (0.0, 0.0)])
def test_hard_window_of_wrong_shares(shares: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="kept_share"):
        hard_window(torch.tensor(3), *shares)


def test_semi_hard_negatives_by_hand() -> None:
    """Ten negatives: the six hardest without the hardest. The eleventh row is not present and the
    place of the own prototype among them, here the fourth, does not matter."""
    similarity = torch.tensor(
        [[0.75, 0.1, 0.9, 0.8, 0.2, 0.6, 0.5, 0.0, 0.4, 0.3, 0.7, 1.0]], dtype=torch.float64
    )
    present = torch.tensor([True] * 11 + [False])
    got = semi_hard_contrast(similarity, torch.tensor([0]), present, TAU, **SHARES)
    denominator = sum(math.exp(s / TAU) for s in (0.75, 0.8, 0.7, 0.6, 0.5, 0.4))
    assert got.item() == pytest.approx(math.log(denominator) - 7.5)


def test_pixels_without_a_prototype_of_their_own_do_not_count() -> None:
    similarity = torch.rand(4, 3, dtype=torch.float64).requires_grad_()
    present = torch.tensor([True, True, False])
    target = torch.tensor([2, 255, -1, 1])
    got = semi_hard_contrast(similarity, target, present, TAU, **SHARES)
    assert got[:3].tolist() == [0, 0, 0]
    assert got[3] > 0
    got.sum().backward()
    assert torch.isfinite(similarity.grad).all()
    assert not similarity.grad[:3].any()


def test_with_all_shares_it_is_equation_12() -> None:
    """Every negative; of a class every pixel twice, so the mean over pixels by class."""
    v, labels, prototypes, draw = batch(1)
    got = intra_view_contrast(v, labels, prototypes, draw, TAU, **EVERYTHING)
    by_class = [
        pixel_contrast(v, labels.where(labels == c, 255), prototypes, TAU)
        for c in labels.unique()
        if prototypes.present[c]
    ]
    torch.testing.assert_close(got, torch.stack(by_class).mean())


def by_loops(v: Tensor, labels: Tensor, prototypes: Prototypes, draw: Tensor) -> float:
    features = v.permute(0, 2, 3, 1).reshape(-1, v.shape[1])
    similarity = (features @ prototypes.vectors.T).tolist()
    present = prototypes.present.nonzero().flatten().tolist()
    classes = []
    for c in present:
        members = [i for i, label in enumerate(labels.flatten().tolist()) if label == c]
        if not members:
            continue
        losses = {}
        for i in members:
            others = sorted((similarity[i][r] for r in present if r != c), reverse=True)
            kept = max(1, int(0.5 * len(others)))
            last = max(kept, int(0.6 * len(others)))
            used = [similarity[i][c], *others[last - kept : last]]
            total = sum(math.exp(s / TAU) for s in used)
            losses[i] = math.log(total) - similarity[i][c] / TAU
        kept = max(1, int(0.5 * len(members)))
        last = max(kept, int(0.6 * len(members)))
        hard = sorted(members, key=lambda i: similarity[i][c])[last - kept : last]
        lots = draw.flatten().tolist()
        lucky = sorted(members, key=lambda i: lots[i])[:kept]
        classes.append(sum(losses[i] for i in hard + lucky) / (2 * kept))
    return sum(classes) / len(classes) if classes else 0.0


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 5))
def test_intra_view_against_loops(seed: int, rows: int, side: int) -> None:
    v, labels, prototypes, draw = batch(seed, rows, side)
    got = intra_view_contrast(v, labels, prototypes, draw, TAU, **SHARES)
    assert got.item() == pytest.approx(by_loops(v, labels, prototypes, draw), abs=1e-9)


def test_the_draw_chooses_the_random_half() -> None:
    v, labels, prototypes, draw = batch(3)
    first = intra_view_contrast(v, labels, prototypes, draw, TAU, **SHARES)
    assert first == intra_view_contrast(v, labels, prototypes, draw.clone(), TAU, **SHARES)
    assert first != intra_view_contrast(v, labels, prototypes, 1 - draw, TAU, **SHARES)


def test_order_of_the_batch_does_not_matter() -> None:
    v, labels, prototypes, draw = batch(4)
    expected = intra_view_contrast(v, labels, prototypes, draw, TAU, **SHARES)
    got = intra_view_contrast(v.flip(0), labels.flip(0), prototypes, draw.flip(0), TAU, **SHARES)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("seed", range(3))
def test_gradients(seed: int) -> None:
    v, labels, prototypes, draw = batch(seed)
    vectors = prototypes.vectors.clone().requires_grad_()

    def loss(features: Tensor) -> Tensor:
        known = Prototypes(vectors, prototypes.present)
        return intra_view_contrast(features, labels, known, draw, TAU, **SHARES)

    assert gradcheck(loss, v.requires_grad_())
    loss(v).backward()
    assert vectors.grad is None, "no gradient reaches the prototypes"


@pytest.mark.parametrize("label", [0, 1, 255])
@pytest.mark.parametrize("present", [[1, 1, 0], [1, 0, 0], [0, 0, 0]])
def test_one_class_or_none_is_finite(label: int, present: list[int]) -> None:
    """All background, one class, none: with negatives, without, without a prototype at all."""
    v, labels, prototypes, draw = batch(0, rows=3)
    v.requires_grad_()
    known = Prototypes(prototypes.vectors, torch.tensor(present, dtype=torch.bool))
    loss = intra_view_contrast(v, torch.full_like(labels, label), known, draw, TAU, **SHARES)
    loss.backward()
    assert torch.isfinite(v.grad).all()
    has_negative = label < 2 and present[:2] == [1, 1]
    assert (loss > 0) == has_negative
    assert v.grad.any() == has_negative


def test_misfits_and_wrong_constants() -> None:
    v, labels, prototypes, draw = batch(0)
    with pytest.raises(ValueError, match="draw"):
        intra_view_contrast(v, labels, prototypes, draw[:1], TAU, **SHARES)
    with pytest.raises(ValueError, match="labels"):
        intra_view_contrast(v[:1], labels, prototypes, draw, TAU, **SHARES)
    with pytest.raises(ValueError, match="temperature"):
        intra_view_contrast(v, labels, prototypes, draw, 0.0, **SHARES)
    with pytest.raises(ValueError, match="hard_share"):
        intra_view_contrast(v, labels, prototypes, draw, TAU, hard_share=0.1, kept_share=0.5)
    with pytest.raises(ValueError, match=r"\(4, 3\), \(4,\) and \(2,\)"):
        semi_hard_contrast(
            torch.zeros(4, 3), torch.zeros(4).long(), torch.ones(2).bool(), TAU, **SHARES
        )
