"""The CRF, and PAR, on the labels of a batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hsc.crf import mean_field, par
from hsc.crf.dense import TRAINING_CRF, refine_labels
from hsc.crf.training_labels import LabelRefiner, to_pixels
from hsc.data.preprocessing import normalise

KERNELS = ("exact", "lattice", "par")


def noisy_batch() -> tuple[np.ndarray, torch.Tensor]:
    """Two pictures, dark left and bright right; the label follows, but for one pixel in each."""
    pixels = np.full((2, 20, 20, 3), 40, dtype=np.uint8)
    pixels[:, :, 10:] = 200
    label = torch.zeros(2, 20, 20, dtype=torch.int64)
    label[:, :, 10:] = 1
    label[0, 5, 4] = 1
    label[1, 12, 15] = 0
    return pixels, label


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([normalise(picture) for picture in pixels]))


def test_to_pixels_undoes_the_normalisation_exactly() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)
    pixels[0, 0] = 0
    pixels[0, 1] = 255
    result = to_pixels(as_tensor(pixels))
    assert result.dtype == torch.uint8
    np.testing.assert_array_equal(result.numpy(), pixels)


def test_to_pixels_cuts_what_is_no_colour() -> None:
    image = torch.stack([torch.full((3, 2, 2), -9.0), torch.full((3, 2, 2), 9.0)])
    result = to_pixels(image)
    assert (result[0] == 0).all()
    assert (result[1] == 255).all()


def test_padding_becomes_the_mean_colour() -> None:
    """Outside the picture crops are 0 after normalisation."""
    assert to_pixels(torch.zeros(1, 3, 1, 1)).flatten().tolist() == [124, 116, 104]


@pytest.mark.parametrize("kernels", KERNELS)
def test_single_wrong_pixels_are_mended(kernels: str) -> None:
    pixels, label = noisy_batch()
    clean = torch.zeros_like(label)
    clean[:, :, 10:] = 1
    refined = LabelRefiner(3, 10, kernels)(as_tensor(pixels), torch.stack([label, clean]))
    assert torch.equal(refined, torch.stack([clean, clean]))


@pytest.mark.parametrize("kernels", KERNELS)
def test_is_the_training_crf_picture_by_picture_and_view_by_view(kernels: str) -> None:
    generator = np.random.default_rng(1)
    pixels = generator.integers(0, 256, (3, 12, 12, 3), dtype=np.uint8)
    labels = torch.from_numpy(generator.integers(0, 4, (2, 3, 12, 12)))
    before = labels.clone()
    refined = LabelRefiner(6, 3, kernels)(as_tensor(pixels), labels)
    assert refined.dtype == torch.int64
    assert refined.device == labels.device
    assert torch.equal(labels, before)
    config = replace(TRAINING_CRF, iterations=3)
    for view, i in np.ndindex(2, 3):
        one = labels[view, i]
        picture = torch.from_numpy(pixels[i : i + 1]).float()
        if kernels == "lattice":
            expected = torch.from_numpy(refine_labels(pixels[i], one.numpy(), 6, config))
        elif kernels == "par":
            planes = picture.permute(0, 3, 1, 2)
            expected = par.refine_labels(planes, one[None, None], 6, 3)[0, 0]
        else:
            expected = mean_field.refine_labels(picture, one[None, None], 6, config)[0, 0]
        assert torch.equal(refined[view, i], expected)


@pytest.mark.parametrize("kernels", KERNELS)
def test_no_label_appears_that_was_not_there(kernels: str) -> None:
    pixels, label = noisy_batch()
    refined = LabelRefiner(9, 5, kernels)(as_tensor(pixels), label[None] * 7)
    assert set(refined.unique().tolist()) <= {0, 7}


@pytest.mark.parametrize("kernels", KERNELS)
def test_all_background_stays(kernels: str) -> None:
    pixels, label = noisy_batch()
    refined = LabelRefiner(3, 10, kernels)(as_tensor(pixels), torch.zeros_like(label)[None])
    assert not refined.any()


@pytest.mark.parametrize("kernels", KERNELS)
def test_labels_of_fewer_pictures_raise(kernels: str) -> None:
    pixels, label = noisy_batch()
    with pytest.raises(ValueError, match=r"do not fit|image must be"):
        LabelRefiner(3, 1, kernels)(as_tensor(pixels), label[None, :1])
