"""PAR against the paper's equations as they are written, and what it does to labels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsc.crf.par import DILATIONS, neighbour_weights, refine, refine_labels, refine_scores


def plain(image: np.ndarray, maps: np.ndarray, iterations: int) -> np.ndarray:
    """Pixel by pixel, neighbour by neighbour; the weights are scaled to sum to 1."""
    height, width = image.shape[1:]
    around = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
    steps = np.array([(d * y, d * x) for d in DILATIONS for y, x in around])
    distance = np.hypot(*steps.T)
    nearness = softmax(-((distance / (0.3 * distance.std(ddof=1))) ** 2))
    for _ in range(iterations):
        refined = np.zeros_like(maps)
        for row, column in np.ndindex(height, width):
            rows = np.clip(row + steps[:, 0], 0, height - 1)
            columns = np.clip(column + steps[:, 1], 0, width - 1)
            near = image[:, rows, columns]
            spread = near.std(axis=1, ddof=1, keepdims=True) + 1e-8
            unlike = ((near - image[:, row, column, None]) / (0.3 * spread)) ** 2
            weight = (softmax(-unlike.mean(axis=0)) + 0.01 * nearness) / 1.01
            refined[:, row, column] = maps[:, rows, columns] @ weight
        maps = refined
    return maps


def softmax(values: np.ndarray) -> np.ndarray:
    raised = np.exp(values - values.max())
    return raised / raised.sum()


@pytest.mark.parametrize("size", [(9, 7), (3, 30), (1, 1)])
def test_equals_the_equations(size: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (3, *size)).astype(float)
    image[:, : size[0] // 2] = 7  # nothing varies there
    maps = generator.random((4, *size))
    expected = plain(image, maps, 3)
    found = refine(torch.from_numpy(image)[None], torch.from_numpy(maps)[None], 3)[0]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.floats(-50, 50))
def test_only_ratios_of_colours_count(seed: int, scale: float, shift: float) -> None:
    """The whole picture lighter, or of more contrast: the same weights, which sum to 1."""
    torch.manual_seed(seed % 2**31)
    image = torch.rand(1, 3, 8, 6, dtype=torch.float64)
    weights = neighbour_weights(image)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones_like(weights[:, 0]))
    torch.testing.assert_close(neighbour_weights(scale * image + shift), weights, atol=1e-5, rtol=0)


def halves(size: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """A noisy picture, dark on the left; labels (1, 1, S, S), 3 on the right, a third of them 0."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 30, (1, 3, size, size), generator=generator).float()
    image[..., size // 2 :] += 150
    truth = torch.zeros(1, 1, size, size, dtype=torch.int64)
    truth[..., size // 2 :] = 3
    return image, truth


def test_labels_follow_the_picture() -> None:
    image, truth = halves()
    wrong = torch.rand(truth.shape, generator=torch.Generator().manual_seed(1)) < 0.3
    labels = torch.where(wrong, 3 - truth, truth)
    refined = refine_labels(image, labels, 5, 10)
    assert (refined == truth).float().mean() > 0.99
    assert (labels != truth).float().mean() > 0.25


def test_views_and_pictures_do_not_touch_each_other() -> None:
    generator = torch.Generator().manual_seed(2)
    image = torch.randint(0, 256, (3, 3, 10, 8), generator=generator).float()
    labels = torch.randint(0, 4, (2, 3, 10, 8), generator=generator)
    labels[:, 1] = 2  # one label, where the others have four
    before = labels.clone()
    together = refine_labels(image, labels, 9, 3)
    assert torch.equal(labels, before)
    for view, i in np.ndindex(2, 3):
        alone = refine_labels(image[i : i + 1], labels[view, i][None, None], 9, 3)
        assert torch.equal(alone[0, 0], together[view, i])


def test_scores_of_one_picture() -> None:
    image, truth = halves()
    picture = image[0].permute(1, 2, 0).byte().numpy()
    scores = np.stack([truth[0, 0] == 0, truth[0, 0] == 3]).astype(np.float64)
    refined = refine_scores(picture, scores, 4)
    assert refined.dtype == np.float32
    maps = torch.from_numpy(scores).float()[None]
    np.testing.assert_array_equal(refined, refine(image, maps, 4)[0].numpy())
    np.testing.assert_allclose(refined.sum(axis=0), 1, rtol=1e-5)


def test_misuse_raises() -> None:
    image, truth = halves()
    with pytest.raises(ValueError, match="do not fit"):
        refine_labels(image[..., 1:], truth, 5, 1)
    with pytest.raises(ValueError, match="does not fit"):
        refine_scores(np.zeros((4, 5, 3), np.uint8), np.zeros((2, 5, 4)), 1)
