"""Pixel groups: exact on features that are well parted, and what must not change them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hsc.losses.groups import (
    centred,
    group_labels,
    group_means,
    group_shares,
    pixel_groups,
)

C, D = 3, 6


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def parted(noise: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """A picture whose left half is class 2, whose right half is background; a CAM of one corner."""
    features = torch.zeros(1, D, 4, 4)
    features[:, 0, :, :2], features[:, 3, :, 2:] = 2.0, 1.0
    features = features + noise * rand(1, D, 4, 4)
    cam = torch.zeros(1, C, 4, 4)
    cam[0, 1, 0, 0] = 1.0
    return features, cam, torch.tensor([[0.0, 1.0, 0.0]])


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_groups_of_parted_features_are_exact(noise: float) -> None:
    """The CAM shows one cell of the object; the group has all of it."""
    groups = pixel_groups(*parted(noise))
    assert groups.classes.tolist() == [[0, 2]]
    assert groups.present.tolist() == [[True, True]]
    assert groups.assignment.view(4, 4).tolist() == [[1, 1, 0, 0]] * 4


@given(st.integers(0, 500))
def test_a_group_is_the_cells_that_are_nearest_to_its_mean(seed: int) -> None:
    """Where k-means has come to rest."""
    features, cam = rand(2, D, 3, 4, seed=seed), rand(2, C, 3, 4, seed=seed + 1)
    tags = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    groups = pixel_groups(features, cam * tags[:, :, None, None], tags, rounds=100)
    z = centred(features)
    for picture in range(2):
        slots = [k for k in range(3) if groups.present[picture, k]]
        means = [z[picture][groups.assignment[picture] == k].mean(dim=0) for k in slots]
        near = torch.stack([z[picture] @ (mean / mean.norm()) for mean in means])
        chosen = torch.tensor([slots.index(k) for k in groups.assignment[picture].tolist()])
        best = near.max(dim=0).values
        assert torch.allclose(near.gather(0, chosen[None])[0], best, atol=1e-5)


@given(st.integers(0, 500), st.floats(-3, 3), st.floats(0.1, 10))
def test_what_all_channels_share_does_not_count(seed: int, offset: float, scale: float) -> None:
    """Pearson's correlation: nor does the length of a feature."""
    features, cam = rand(1, D, 3, 4, seed=seed), rand(1, C, 3, 4, seed=seed + 1)
    tags = torch.ones(1, C)
    before = pixel_groups(features.double(), cam.double(), tags.double())
    after = pixel_groups(features.double() * scale + offset, cam.double(), tags.double())
    assert torch.equal(before.assignment, after.assignment)


@given(st.integers(0, 500))
def test_cells_may_stand_in_any_order_and_pictures_too(seed: int) -> None:
    features, cam = (x.double() for x in (rand(2, D, 1, 12, seed=seed), rand(2, C, 1, 12, seed=9)))
    tags = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]).double()
    cam = cam * tags[:, :, None, None]
    before = pixel_groups(features, cam, tags)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    moved = pixel_groups(features[..., order].flip(0), cam[..., order].flip(0), tags.flip(0))
    assert torch.equal(moved.assignment, before.assignment[:, order].flip(0))
    assert torch.equal(moved.classes, before.classes.flip(0))


def test_pictures_of_a_batch_do_not_mix() -> None:
    features, cam = rand(2, D, 3, 3), rand(2, C, 3, 3, seed=1)
    tags = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    cam = cam * tags[:, :, None, None]
    both = pixel_groups(features, cam, tags)
    alone = pixel_groups(features[:1], cam[:1], tags[:1])
    assert torch.equal(both.assignment[:1], alone.assignment)
    assert both.classes.tolist() == [[0, 1, 0, 0], [0, 1, 2, 3]]
    assert both.present[0].tolist()[2:] == [False, False]


def test_a_picture_without_a_tag_is_one_group_of_background() -> None:
    groups = pixel_groups(rand(1, D, 3, 3), torch.zeros(1, C, 3, 3), torch.zeros(1, C))
    assert groups.classes.tolist() == [[0]]
    assert groups.present.tolist() == [[True]]
    assert not groups.assignment.any()


def test_a_class_without_activation_has_no_group() -> None:
    features, cam, tags = parted()
    tags[0, 0] = 1
    groups = pixel_groups(features, cam, tags)
    assert groups.classes.tolist() == [[0, 1, 2]]
    assert groups.present.tolist() == [[True, False, True]]


def test_features_that_are_all_alike_are_one_group() -> None:
    cam = rand(1, C, 3, 3)
    groups = pixel_groups(torch.ones(1, D, 3, 3), cam, torch.ones(1, C))
    assert not groups.assignment.any()
    assert groups.present.tolist() == [[True, False, False, False]]


def test_fewer_cells_than_groups() -> None:
    groups = pixel_groups(rand(1, D, 1, 2), rand(1, C, 1, 2, seed=3), torch.ones(1, C))
    assert 1 <= groups.present.sum() <= 2


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="need a CAM"):
        pixel_groups(rand(1, D, 3, 3), rand(1, C, 3, 4), torch.ones(1, C))


def test_shares_labels_and_means_by_hand() -> None:
    features, cam, tags = parted()
    groups = pixel_groups(features, cam, tags)
    label = torch.tensor([[[2, 2, 0, 0], [2, 2, 0, 0], [2, 0, 0, 0], [0, 0, 0, 2]]])
    shares = group_shares(groups, label, C + 1)
    assert shares.tolist() == [[[7 / 8, 0, 1 / 8, 0], [3 / 8, 0, 5 / 8, 0]]]
    assert group_labels(groups, shares).tolist() == [[0, 2]]
    means = group_means(features, groups)
    assert means.tolist() == [[[0, 0, 0, 1, 0, 0], [2, 0, 0, 0, 0, 0]]]


@pytest.mark.parametrize(("in_group", "expected"), [(4, 2), (3, 0), (5, 2)])
def test_on_a_tie_a_group_is_of_the_class_that_it_started_from(
    in_group: int, expected: int
) -> None:
    features, cam, tags = parted()
    groups = pixel_groups(features, cam, tags)
    label = torch.zeros(1, 4, 4, dtype=torch.int64)
    # the object's group has eight cells
    cells = [(row, column) for row in range(4) for column in range(2)]
    for row, column in cells[:in_group]:
        label[0, row, column] = 2
    assert group_labels(groups, group_shares(groups, label, C + 1))[0, 1] == expected


def test_gradient_of_the_means() -> None:
    features, cam, tags = parted(0.1)
    groups = pixel_groups(features, cam, tags)
    inputs = features.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: group_means(x, groups), inputs)
