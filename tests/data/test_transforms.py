"""Training crops: sizes, and pictures and labels that stay on top of each other."""

import random

import numpy as np
import pytest
from PIL import Image

from hsc.data.transforms import (
    MEAN,
    STD,
    Augmentation,
    augment,
    crop,
    draw_crop,
    longest_edge_size,
    normalise,
    scaled_size,
    shift_hsv,
)


def picture_of(label: np.ndarray) -> np.ndarray:
    """A picture whose red channel shows the label: 255 where it is 1."""
    image = np.full((*label.shape, 3), 90, dtype=np.uint8)
    image[..., 0] = label * 255
    return image


def red(pixels: np.ndarray) -> np.ndarray:
    return pixels[0] * STD[0] + MEAN[0]


@pytest.fixture
def label() -> np.ndarray:
    """An L, which no flip or turn maps onto itself, off the middle."""
    values = np.zeros((40, 56), dtype=np.uint8)
    values[6:30, 10:18] = 1
    values[22:30, 10:40] = 1
    return values


@pytest.mark.parametrize(
    ("size", "target", "expected"),
    [
        ((50, 100), 80, (40, 80)),
        ((100, 50), 80, (80, 40)),
        ((60, 60), 80, (80, 80)),
        ((4, 3), 2, (2, 2)),  # 1.5, half to even
        ((4, 1), 2, (2, 1)),  # 0.5 would be 0
        ((1000, 1), 80, (80, 1)),
        ((1, 1000), 80, (1, 80)),
    ],
)
def test_longest_edge_size(size: tuple[int, int], target: int, expected: tuple[int, int]) -> None:
    assert longest_edge_size(*size, target) == expected


def test_scaled_size() -> None:
    assert scaled_size(80, 60, 0.75) == (60, 45)
    assert scaled_size(5, 7, 0.5) == (2, 4)  # 2.5 and 3.5, half to even
    assert scaled_size(1, 1, 0.1) == (1, 1)


def test_normalise() -> None:
    image = np.zeros((1, 2, 3), dtype=np.uint8)
    image[0, 1] = (255, 51, 102)
    result = normalise(image)
    assert result.shape == (3, 1, 2)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    black = [-mean / std for mean, std in zip(MEAN, STD, strict=True)]
    np.testing.assert_allclose(result[:, 0, 0], black, rtol=1e-6)
    coloured = (np.array([1, 0.2, 0.4]) - MEAN) / STD
    np.testing.assert_allclose(result[:, 0, 1], coloured, rtol=1e-5)


def test_crop_of_a_larger_picture_is_a_piece_of_it() -> None:
    array = np.arange(9 * 7).reshape(9, 7)
    seen = set()
    for seed in range(60):
        where = draw_crop(7, 9, 5, random.Random(seed))
        piece = crop(array, where, 5)
        y, x = divmod(int(piece[0, 0]), 7)
        assert np.array_equal(piece, array[y : y + 5, x : x + 5])
        seen.add((y, x))
    assert {y for y, _ in seen} == set(range(5))
    assert {x for _, x in seen} == set(range(3))


def test_crop_of_a_smaller_picture_is_filled() -> None:
    array = np.full((2, 3, 4), 7)
    for seed in range(20):
        piece = crop(array, draw_crop(4, 3, 6, random.Random(seed)), 6, fill=255)
        assert piece.shape == (2, 6, 6)
        assert (piece == 7).sum() == array.size
        assert (piece == 255).sum() == 2 * 36 - array.size
        rows, columns = np.nonzero(piece[0] == 7)
        assert (np.ptp(rows), np.ptp(columns)) == (2, 3)  # in one piece


def test_crop_of_one_long_and_one_short_side() -> None:
    array = np.ones((2, 9), dtype=np.uint8)
    piece = crop(array, draw_crop(9, 2, 5, random.Random(0)), 5)
    assert piece.dtype == np.uint8
    assert sorted(piece.sum(axis=1)) == [0, 0, 0, 5, 5]


def test_label_follows_the_picture_exactly_where_nothing_is_resampled(label: np.ndarray) -> None:
    how = Augmentation(crop_size=48, resize_longest=(56, 56), flip=0.5)
    flips = 0
    for seed in range(20):
        image, cropped = augment(picture_of(label), label, how, random.Random(seed), label_fill=255)
        assert image.shape == (3, 48, 48)
        assert image.dtype == np.float32
        assert cropped.shape == (48, 48)
        assert cropped.dtype == np.uint8
        inside = cropped != 255
        assert inside.sum() == 40 * 48
        assert not image[:, ~inside].any()  # zero after normalisation: the mean colour
        assert np.array_equal(red(image)[inside] > 0.5, cropped[inside] == 1)
        columns = np.flatnonzero((cropped == 1).any(axis=0))
        tall = (cropped == 1).sum(axis=0)[columns]
        flips += int(tall[0] < tall[-1])
    assert 3 < flips < 17


def test_label_follows_the_picture_when_resized(label: np.ndarray) -> None:
    how = Augmentation(32, (40, 90), 0.5, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.02)
    for seed in range(20):
        image, cropped = augment(picture_of(label), label, how, random.Random(seed), label_fill=255)
        inside = cropped != 255
        agreement = np.mean((red(image)[inside] > 0.6) == (cropped[inside] == 1))
        assert agreement > 0.94  # the edges differ: the picture is resampled bicubically
        assert set(np.unique(cropped)) <= {0, 1, 255}  # nearest: no index in between


def test_bilinear_labels_are_smooth(label: np.ndarray) -> None:
    how = Augmentation(40, (41, 41), flip=0.0)
    _, cropped = augment(
        picture_of(label), label * 255, how, random.Random(0), 0, label_resampling="bilinear"
    )
    assert len(np.unique(cropped)) > 3


def test_a_flip_is_a_mirror_image(label: np.ndarray) -> None:
    image = picture_of(label)[:40, :40]
    straight, mirrored = (
        augment(image, label[:40, :40], Augmentation(40, (40, 40), flip), random.Random(1), 255)
        for flip in (0.0, 1.0)
    )
    assert np.array_equal(mirrored[0], straight[0][:, :, ::-1])
    assert np.array_equal(mirrored[1], straight[1][:, ::-1])


def test_without_a_label_the_picture_is_the_same(label: np.ndarray) -> None:
    how = Augmentation(32, (40, 60), 0.5, brightness=0.3, hue=0.1)
    image = picture_of(label)
    with_label, _ = augment(image, label, how, random.Random(5), 255)
    without, nothing = augment(image, None, how, random.Random(5), 255)
    assert nothing is None
    assert np.array_equal(with_label, without)


def test_same_numbers_same_crop_other_numbers_another(label: np.ndarray) -> None:
    how = Augmentation(32, (40, 60), 0.5, 0.3, 0.3, 0.3, 0.1)
    first, again, other = (
        augment(picture_of(label), None, how, random.Random(seed), 255)[0] for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_brightness_stays_in_its_range() -> None:
    grey = np.full((8, 8, 3), 100, dtype=np.uint8)
    how = Augmentation(8, (8, 8), 0.0, brightness=0.2)
    found = [
        float(red(augment(grey, None, how, random.Random(seed), 0)[0]).mean() * 255)
        for seed in range(40)
    ]
    assert 79 <= min(found) < 90
    assert 110 < max(found) <= 121


def test_hue_alone_moves_colour_but_not_grey() -> None:
    how = Augmentation(8, (8, 8), 0.0, hue=0.5)
    colours = np.zeros((8, 8, 3), dtype=np.uint8)
    colours[..., 0] = 200
    plain = normalise(colours)
    moved = [augment(colours, None, how, random.Random(seed), 0)[0] for seed in range(5)]
    assert any(np.abs(image - plain).max() > 0.5 for image in moved)
    grey = np.full((8, 8, 3), 77, dtype=np.uint8)
    for seed in range(5):
        assert np.array_equal(augment(grey, None, how, random.Random(seed), 0)[0], normalise(grey))


def test_a_scale_is_a_factor_of_the_picture_s_own_size() -> None:
    """Both sides by the same factor, uniform in the range, whatever the size of the crop."""
    image = np.zeros((60, 100, 3), dtype=np.uint8)
    label = np.zeros((60, 100), dtype=np.uint8)
    how = Augmentation(160, None, flip=0.0, scale=(0.5, 1.5))
    factors = []
    for seed in range(60):
        _, cropped = augment(image, label, how, random.Random(seed), label_fill=255)
        inside = cropped == 0
        height, width = inside.any(axis=1).sum(), inside.any(axis=0).sum()
        assert inside.sum() == height * width
        assert abs(height / 60 - width / 100) < 0.02
        factors.append(width / 100)
    assert 0.5 <= min(factors) < 0.56
    assert 1.44 < max(factors) <= 1.5
    assert 0.9 < np.mean(factors) < 1.1


def test_label_follows_a_scaled_picture(label: np.ndarray) -> None:
    how = Augmentation(48, None, 0.5, scale=(0.5, 1.5), hsv=5)
    for seed in range(20):
        image, cropped = augment(picture_of(label), label, how, random.Random(seed), label_fill=255)
        inside = cropped != 255
        agreement = np.mean((red(image)[inside] > 0.6) == (cropped[inside] == 1))
        assert agreement > 0.94


@pytest.mark.parametrize("sizes", [(None, None), ((40, 60), (0.5, 1.5))])
def test_one_way_to_draw_the_size(sizes: tuple) -> None:
    with pytest.raises(ValueError, match="give one of resize_longest and scale"):
        Augmentation(8, sizes[0], scale=sizes[1])


def test_hsv_shifts() -> None:
    colours = np.array([[[200, 100, 100], [30, 30, 30], [250, 0, 5]]], dtype=np.uint8)
    before = np.asarray(Image.fromarray(colours).convert("HSV")).astype(int)
    moved = shift_hsv(Image.fromarray(colours), 20, -30, 40)
    after = np.asarray(moved.convert("HSV")).astype(int)
    turned = (after[0, :, 0] - before[0, :, 0]) % 256
    assert abs(turned[0] - 20) <= 1, "a hue comes back up to rounding"
    assert np.abs(after[..., 2] - (before[..., 2] + 40).clip(0, 255)).max() <= 1
    assert after[0, 0, 1] == pytest.approx(before[0, 0, 1] - 30, abs=2)
    assert after[0, 1, 1] == 0, "grey has no saturation to lose"


def test_hsv_jitter_stays_in_its_range() -> None:
    grey = np.full((8, 8, 3), 100, dtype=np.uint8)
    how = Augmentation(8, (8, 8), 0.0, hsv=10)
    found = [
        round(float(red(augment(grey, None, how, random.Random(seed), 0)[0]).max() * 255))
        for seed in range(80)
    ]
    assert set(found) <= set(range(90, 111))
    assert min(found) < 94
    assert max(found) > 106
    colours = np.zeros((8, 8, 3), dtype=np.uint8)
    colours[..., 0] = 200
    images = [augment(colours, None, how, random.Random(seed), 0)[0] for seed in range(8)]
    assert len({image.tobytes() for image in images}) > 6


def test_a_sliver_of_a_picture_can_be_trained_on() -> None:
    image = np.zeros((1, 500, 3), dtype=np.uint8)
    result, _ = augment(image, None, Augmentation(8, (8, 12)), random.Random(0), 0)
    assert result.shape == (3, 8, 8)


def test_inputs_are_left_alone(label: np.ndarray) -> None:
    image = picture_of(label)
    before = image.copy(), label.copy()
    augment(image, label, Augmentation(20, (56, 56), 1.0, hue=0.5), random.Random(3), 255)
    assert np.array_equal(image, before[0])
    assert np.array_equal(label, before[1])
