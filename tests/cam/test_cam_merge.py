"""Merging the maps of scales and flips, by hand."""

import pytest
import torch

from hsc.cam.merge import merge_relu, merge_softmax

MERGES = [merge_relu, merge_softmax]


def test_relu_merging_sums_and_normalises_each_class():
    first = torch.tensor([[[9.0, 9.0]], [[1.0, 3.0]], [[-5.0, 2.0]]])
    second = torch.tensor([[[9.0, 9.0]], [[1.0, 5.0]], [[1.0, 2.0]]])
    # class 1: sums 2, 8; class 2: sums -4, 4, after the ReLU 0, 4
    cam = merge_relu([first, second], [1, 2], (1, 2))
    expected = torch.tensor([[[0.0, 1.0]], [[0.0, 1.0]]])
    torch.testing.assert_close(cam, expected, atol=1e-5, rtol=0)
    middle = merge_relu([torch.tensor([[[0.0] * 3], [[2.0, 3.0, 6.0]]])], [1], (1, 3))
    torch.testing.assert_close(middle, torch.tensor([[[0, 0.25, 1.0]]]), atol=1e-5, rtol=0)


def test_softmax_merging_divides_the_summed_probabilities_by_their_maximum():
    # the probabilities of class 1 are 1/2 and 3/4, then 1/4 and 1/2
    first = torch.tensor([[[0.0, 0.0]], [[0.0, 3.0**0.5]]])
    first[1, 0, 1] = torch.tensor(3.0).log()
    second = torch.tensor([[[0.0, 0.0]], [[0.0, 0.0]]])
    second[0, 0, 0] = torch.tensor(3.0).log()
    cam = merge_softmax([first, second], [1], (1, 2))
    torch.testing.assert_close(cam, torch.tensor([[[0.6, 1.0]]]), atol=2e-5, rtol=0)


def test_the_softmax_is_over_all_classes_tagged_or_not():
    logits = torch.zeros(4, 1, 2)
    logits[3, 0, 1] = 50  # an untagged class takes the second pixel
    cam = merge_softmax([logits], [1], (1, 2))
    torch.testing.assert_close(cam, torch.tensor([[[1.0, 0.0]]]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("merge", MERGES)
def test_size_dtype_range_and_order_of_classes(merge):
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(6, s, s + 1, generator=generator) for s in (2, 3, 5)]
    cam = merge(maps, [4, 2], (17, 11))
    assert cam.shape == (2, 17, 11)
    assert cam.dtype == torch.float32
    assert cam.min() >= 0
    assert cam.max() <= 1
    torch.testing.assert_close(cam[[1, 0]], merge(maps, [2, 4], (17, 11)))
    assert merge([m.bfloat16() for m in maps], [4], (17, 11)).dtype == torch.float32


@pytest.mark.parametrize("merge", MERGES)
def test_mirroring_all_maps_mirrors_the_cam(merge):
    generator = torch.Generator().manual_seed(1)
    maps = [torch.randn(3, 4, s, generator=generator) for s in (3, 7)]
    mirrored = merge([m.flip(-1) for m in maps], [1, 2], (9, 13))
    torch.testing.assert_close(mirrored, merge(maps, [1, 2], (9, 13)).flip(-1))


def test_a_class_without_activation_is_zero():
    assert not merge_relu([-torch.ones(3, 2, 2)], [1, 2], (4, 4)).any()


@pytest.mark.parametrize("merge", MERGES)
def test_without_tags_there_is_no_map(merge):
    assert merge([torch.zeros(3, 2, 2)], [], (4, 5)).shape == (0, 4, 5)


@pytest.mark.parametrize("merge", MERGES)
def test_what_does_not_fit_is_refused(merge):
    with pytest.raises(ValueError, match="one or more"):
        merge([], [1], (4, 4))
    with pytest.raises(ValueError, match="one or more"):
        merge([torch.zeros(3, 2, 2), torch.zeros(4, 2, 2)], [1], (4, 4))
    with pytest.raises(ValueError, match="one or more"):
        merge([torch.zeros(1, 3, 2, 2)], [1], (4, 4))
    for wrong in (0, 3):
        with pytest.raises(ValueError, match=r"in 1\.\.2"):
            merge([torch.zeros(3, 2, 2)], [wrong], (4, 4))
