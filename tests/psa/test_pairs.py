"""Pairs of cells and their labels: by hand, against the plain loops, edges and errors.

The published pairs and labels are compared in tests/golden_affinity.py.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.reference_affinity import pair_kinds
from hsc.psa.pairs import cell_labels, neighbours, pair_labels, pair_offsets, pair_windows

I = 255  # noqa: E741 (ignore)


def test_offsets_of_a_small_radius() -> None:
    assert pair_offsets(2) == ((0, 1), (1, -1), (1, 0), (1, 1))
    assert len(pair_offsets(3)) == 12
    assert len(pair_offsets(5)) == 34


@given(st.integers(2, 9))
def test_offsets_are_half_of_the_open_disc(radius: int) -> None:
    offsets = pair_offsets(radius)
    both = {*offsets, *((-dy, -dx) for dy, dx in offsets)}
    disc = {
        (dy, dx)
        for dy in range(-radius, radius + 1)
        for dx in range(-radius, radius + 1)
        if 0 < dy * dy + dx * dx < radius * radius
    }
    assert both == disc
    assert 2 * len(offsets) == len(disc), "each pair once"
    assert list(offsets) == sorted(offsets)


@pytest.mark.parametrize("radius", [1, 0, -3])
def test_a_radius_without_pairs_is_an_error(radius: int) -> None:
    with pytest.raises(ValueError, match=f"radius must be at least 2, got {radius}"):
        pair_offsets(radius)


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.sampled_from(pair_offsets(5)))
def test_windows_hold_the_pairs_inside_the_map(
    height: int, width: int, offset: tuple[int, int]
) -> None:
    cells = torch.arange(height * width).view(height, width)
    first, second = pair_windows(offset, height, width)
    dy, dx = offset
    expected = [
        (y * width + x, (y + dy) * width + x + dx)
        for y in range(height)
        for x in range(width)
        if y + dy < height and 0 <= x + dx < width
    ]
    found = zip(cells[first].flatten().tolist(), cells[second].flatten().tolist(), strict=True)
    assert list(found) == expected


def test_neighbours_by_hand() -> None:
    maps = torch.tensor([[1, 2, 3], [4, 5, 6]])
    right, down_left = neighbours(maps, [(0, 1), (1, -1)], fill=9)
    assert right.tolist() == [[2, 3, 9], [5, 6, 9]]
    assert down_left.tolist() == [[9, 4, 5], [9, 9, 9]]


def test_kinds_of_pairs_by_hand() -> None:
    labels = torch.tensor([[[0, 0, 3], [3, I, 7]]])
    kinds = pair_labels(labels, [(0, 1), (1, 0)])
    assert kinds.background.long().tolist() == [[[[1, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]]
    assert not kinds.foreground.any(), "3 and 3 are no neighbours"
    assert kinds.different.long().tolist() == [[[[0, 1, 0], [0, 0, 0]], [[1, 0, 1], [0, 0, 0]]]]
    (diagonal,) = pair_labels(labels, [(1, -2)]).foreground
    assert diagonal.long().tolist() == [[[0, 0, 1], [0, 0, 0]]]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 8), st.integers(2, 5))
def test_labels_of_a_batch_are_those_of_the_plain_loops(
    seed: int, height: int, width: int, radius: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (3, height, width), generator=generator, dtype=torch.uint8)
    labels[labels == 3] = I
    offsets = pair_offsets(radius)
    kinds = torch.stack(pair_labels(labels, offsets), dim=1)  # (N, 3, O, h, w)
    expected = [torch.from_numpy(pair_kinds(label.numpy(), offsets)) for label in labels]
    assert torch.equal(kinds, torch.stack(expected))
    assert kinds.sum(dim=1).max() <= 1, "no pair is of two kinds"


def test_ignored_labels_make_no_pair() -> None:
    labels = torch.full((2, 6, 6), I)
    assert not any(kind.any() for kind in pair_labels(labels, pair_offsets(5)))


@pytest.mark.parametrize("labels", [torch.zeros(4, 4).long(), torch.zeros(1, 4, 4)])
def test_labels_of_another_form_are_an_error(labels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="labels must be integers"):
        pair_labels(labels, pair_offsets(2))


def test_a_cell_is_what_most_of_its_pixels_are() -> None:
    labels = torch.tensor(
        [
            [
                [1, 1, 0, 1, I, I],
                [1, 0, 1, 0, I, 2],
                [2, 2, 0, 0, 5, 5],
                [2, 2, 0, 0, 5, 5],
            ]
        ]
    )
    assert cell_labels(labels, 2).tolist() == [[[1, I, I], [2, 0, 5]]], "half is not most"
    assert cell_labels(labels, 1).equal(labels)


def test_what_lies_beyond_the_crop_is_not_sure() -> None:
    labels = torch.ones(1, 5, 6, dtype=torch.uint8)
    cells = cell_labels(labels, 4)
    assert cells.dtype == torch.uint8
    # 16, 8 of 16 in the first row of cells; 4 of 16 and 2 of 16 below
    assert cells.tolist() == [[[1, I], [I, I]]]
