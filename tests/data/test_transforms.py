"""Training crops: pictures, saliency and labels on top of each other, and the published recipe."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as v2

from hsc.data.preprocessing import MEAN, STD, normalise
from hsc.data.transforms import (
    Augmentation,
    augment,
    cut,
    draw,
    draw_window,
    expose,
    image_plane,
    label_plane,
    pad,
    place,
    recolour,
    resize,
    saliency_plane,
    shift_hsv,
)

JITTER = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1}


def crop_image(image: np.ndarray, how: Augmentation, rng: random.Random) -> np.ndarray:
    """`augment` of a picture alone, (3, S, S)."""
    (cropped,) = augment([image_plane(image)], how, rng)
    return cropped.numpy()


def crop_both(
    image: np.ndarray, label: np.ndarray, how: Augmentation, rng: random.Random
) -> tuple[np.ndarray, np.ndarray]:
    """`augment` of a picture and its labels, (3, S, S) and (S, S)."""
    cropped, labels = augment([image_plane(image), label_plane(label)], how, rng)
    return cropped.numpy(), labels[0].numpy()


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


def cropped_to(array: np.ndarray, size: int, rng: random.Random) -> np.ndarray:
    """The crop of labels (H, W) that `rng` draws, padded with 255."""
    plane = label_plane(array)
    window = draw_window(array.shape[1], array.shape[0], size, rng)
    return pad(cut(plane, window), window)[0].numpy()


def test_crop_of_a_larger_picture_is_a_piece_of_it() -> None:
    array = np.arange(9 * 7, dtype=np.uint8).reshape(9, 7)
    seen = set()
    for seed in range(60):
        piece = cropped_to(array, 5, random.Random(seed))
        y, x = divmod(int(piece[0, 0]), 7)
        assert np.array_equal(piece, array[y : y + 5, x : x + 5])
        seen.add((y, x))
    assert {y for y, _ in seen} == set(range(5))
    assert {x for _, x in seen} == set(range(3))


def test_crop_of_a_smaller_picture_is_filled() -> None:
    array = np.full((3, 4), 7, dtype=np.uint8)
    seen = set()
    for seed in range(60):
        piece = cropped_to(array, 6, random.Random(seed))
        assert piece.shape == (6, 6)
        assert (piece == 7).sum() == array.size
        assert (piece == 255).sum() == 36 - array.size
        rows, columns = np.nonzero(piece == 7)
        assert (np.ptp(rows), np.ptp(columns)) == (2, 3)  # in one piece
        seen.add((rows[0], columns[0]))
    assert seen == {(row, column) for row in range(4) for column in range(3)}


def test_crop_of_one_long_and_one_short_side() -> None:
    piece = cropped_to(np.zeros((2, 9), dtype=np.uint8), 5, random.Random(0))
    assert piece.dtype == np.uint8
    assert sorted((piece == 0).sum(axis=1)) == [0, 0, 0, 5, 5]


def test_label_follows_the_picture_exactly_where_nothing_is_resampled(label: np.ndarray) -> None:
    how = Augmentation(crop_size=48, resize_longest=(56, 56), flip=0.5)
    flips = 0
    for seed in range(20):
        image, cropped = crop_both(picture_of(label), label, how, random.Random(seed))
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
        image, cropped = crop_both(picture_of(label), label, how, random.Random(seed))
        inside = cropped != 255
        agreement = np.mean((red(image)[inside] > 0.6) == (cropped[inside] == 1))
        assert agreement > 0.94  # the edges differ: the picture is resampled bicubically
        assert set(np.unique(cropped)) <= {0, 1, 255}  # nearest: no index in between


def test_saliency_is_smooth(label: np.ndarray) -> None:
    planes = image_plane(picture_of(label)), saliency_plane(label * 255)
    _, saliency = augment(planes, Augmentation(40, (41, 41), flip=0.0), random.Random(0))
    assert len(saliency.unique()) > 3


def test_a_flip_is_a_mirror_image(label: np.ndarray) -> None:
    image = picture_of(label)[:40, :40]
    straight, mirrored = (
        crop_both(image, label[:40, :40], Augmentation(40, (40, 40), flip), random.Random(1))
        for flip in (0.0, 1.0)
    )
    assert np.array_equal(mirrored[0], straight[0][:, :, ::-1])
    assert np.array_equal(mirrored[1], straight[1][:, ::-1])


def test_without_a_label_the_picture_is_the_same(label: np.ndarray) -> None:
    how = Augmentation(32, (40, 60), 0.5, brightness=0.3, hue=0.1)
    image = picture_of(label)
    with_label, _ = crop_both(image, label, how, random.Random(5))
    assert np.array_equal(with_label, crop_image(image, how, random.Random(5)))


def test_same_numbers_same_crop_other_numbers_another(label: np.ndarray) -> None:
    how = Augmentation(32, (40, 60), 0.5, 0.3, 0.3, 0.3, 0.1)
    first, again, other = (
        crop_image(picture_of(label), how, random.Random(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_brightness_stays_in_its_range() -> None:
    grey = np.full((8, 8, 3), 100, dtype=np.uint8)
    how = Augmentation(8, (8, 8), 0.0, brightness=0.2)
    found = [
        float(red(crop_image(grey, how, random.Random(seed))).mean() * 255) for seed in range(40)
    ]
    assert 79 <= min(found) < 90
    assert 110 < max(found) <= 121


def test_hue_alone_moves_colour_but_not_grey() -> None:
    how = Augmentation(8, (8, 8), 0.0, hue=0.5)
    colours = np.zeros((8, 8, 3), dtype=np.uint8)
    colours[..., 0] = 200
    plain = normalise(colours)
    moved = [crop_image(colours, how, random.Random(seed)) for seed in range(5)]
    assert any(np.abs(image - plain).max() > 0.5 for image in moved)
    grey = np.full((8, 8, 3), 77, dtype=np.uint8)
    for seed in range(5):
        assert np.array_equal(crop_image(grey, how, random.Random(seed)), normalise(grey))


def test_a_scale_is_a_factor_of_the_picture_s_own_size() -> None:
    """Both sides by the same factor, uniform in the range, whatever the size of the crop."""
    image = np.zeros((60, 100, 3), dtype=np.uint8)
    label = np.zeros((60, 100), dtype=np.uint8)
    how = Augmentation(160, None, flip=0.0, scale=(0.5, 1.5))
    factors = []
    for seed in range(60):
        _, cropped = crop_both(image, label, how, random.Random(seed))
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
        image, cropped = crop_both(picture_of(label), label, how, random.Random(seed))
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
        round(float(red(crop_image(grey, how, random.Random(seed))).max() * 255))
        for seed in range(80)
    ]
    assert set(found) <= set(range(90, 111))
    assert min(found) < 94
    assert max(found) > 106
    colours = np.zeros((8, 8, 3), dtype=np.uint8)
    colours[..., 0] = 200
    images = [crop_image(colours, how, random.Random(seed)) for seed in range(8)]
    assert len({image.tobytes() for image in images}) > 6


def test_a_sliver_of_a_picture_can_be_trained_on() -> None:
    image = np.zeros((1, 500, 3), dtype=np.uint8)
    assert crop_image(image, Augmentation(8, (8, 12)), random.Random(0)).shape == (3, 8, 8)


def test_inputs_are_left_alone(label: np.ndarray) -> None:
    image = picture_of(label)
    before = image.copy(), label.copy()
    for flip in (0.0, 1.0):
        how = Augmentation(20, (56, 56), flip, **JITTER)
        crop_both(image, label, how, random.Random(3))
        assert np.array_equal(image, before[0])
        assert np.array_equal(label, before[1])


def coloured_grid(rows: int, columns: int, side: int) -> np.ndarray:
    """Cells of eight colours, each channel 60 or 200, in no order that a flip or a shift keeps."""
    bits = np.random.default_rng(0).integers(0, 2, (rows, columns, 3))
    return (60 + 140 * bits).astype(np.uint8).repeat(side, axis=0).repeat(side, axis=1)


def classes_of(image: np.ndarray) -> np.ndarray:
    """(.., 3) colours to 0..7, a bit a channel."""
    return ((image > 130) @ np.array([1, 2, 4])).astype(np.uint8)


@given(
    st.sampled_from([(35, 60), (60, 60), (61, 140), (100, 101)]),
    st.integers(16, 80),
    st.integers(0, 10_000),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_image_saliency_and_labels_stay_aligned(
    longest: tuple[int, int], size: int, seed: int, upright: bool
) -> None:
    """The labels and the saliency are functions of the colour, and still are in the crop.

    Stripes, for at the corner of cells the picture shows a mixture and the labels show one.
    """
    stripes = coloured_grid(1, 6, 10).repeat(5, axis=0)
    grid = stripes if upright else stripes.transpose(1, 0, 2).copy()
    planes = (
        image_plane(grid),
        saliency_plane(np.where(grid[..., 0] > 130, 255, 0).astype(np.uint8)),
        label_plane(classes_of(grid)),
    )
    image, saliency, labels = (
        plane.numpy() for plane in augment(planes, Augmentation(size, longest), random.Random(seed))
    )
    inside = labels[0] != 255
    colours = (image.transpose(1, 2, 0) * STD + MEAN) * 255
    # a pixel whose centre lies on the edge of two stripes belongs to either: of the narrowest
    # stripes, 35 pixels in 6, three columns of 16
    clear = inside & (np.abs(colours - 130).min(axis=-1) > 12)
    assert clear.sum() > 0.8 * inside.sum()
    assert np.array_equal(classes_of(colours)[clear], labels[0][clear])
    assert np.array_equal(colours[..., 0][clear] > 130, saliency[0][clear] > 127)
    assert not image[:, ~inside].any()
    assert not saliency[0][~inside].any()


def test_jitter_moves_nothing() -> None:
    grid = coloured_grid(5, 6, 10)
    plain = Augmentation(40, (45, 80))
    for seed in range(10):
        expected = crop_both(grid, classes_of(grid), plain, random.Random(seed))
        how = replace(plain, **JITTER)
        image, labels = crop_both(grid, classes_of(grid), how, random.Random(seed))
        assert np.array_equal(labels, expected[1])
        assert not np.array_equal(image, expected[0])


@pytest.mark.parametrize("jitter", [JITTER, {"hsv": 10}, {"hue": 0.5}, {}])
@pytest.mark.parametrize("longest", [(30, 44), (50, 90)])
def test_the_crop_is_that_of_the_published_order(longest: tuple[int, int], jitter: dict) -> None:
    """Resize, flip, jitter, normalise the whole picture; then cut it out of zeros."""
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    how = Augmentation(48, longest, **jitter)
    for seed in range(6):
        draws = draw(40, 50, how, random.Random(seed))
        whole = v2.to_pil_image(place(image_plane(image), draws))
        pixels = normalise(np.asarray(recolour(expose(whole, draws), draws)))
        top, left, height, width, (right_of, below, _, _) = draws.window
        expected = np.zeros((3, 48, 48), dtype=np.float32)
        expected[:, below : below + height, right_of : right_of + width] = pixels[
            :, top : top + height, left : left + width
        ]
        assert np.array_equal(crop_image(image, how, random.Random(seed)), expected)


def untied(old: int, new: int) -> np.ndarray:
    """Which of the `new` pixels' centres do not lie on the edge of two of the `old` pixels."""
    return (2 * np.arange(new) + 1) * old % (2 * new) != 0


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 90), st.integers(1, 90))
@settings(max_examples=100, deadline=None)
def test_planes_are_resized_as_by_pillow(height: int, width: int, high: int, wide: int) -> None:
    """The published loaders use Pillow, whose weights have more bits than torch's.

    Between its two passes each rounds and cuts to 0..255. torch goes along the width first; Pillow
    is made to, for it chooses.
    """
    pixels = np.random.default_rng(height + width).integers(0, 256, (height, width, 3), np.uint8)
    grey = pixels[..., 0].copy()
    for plane, picture, resampling in (
        (image_plane(pixels), pixels, Image.Resampling.BICUBIC),
        (saliency_plane(grey), grey, Image.Resampling.BILINEAR),
        (label_plane(grey), grey, Image.Resampling.NEAREST),
    ):
        resized = resize(plane, (high, wide))
        assert type(resized) is type(plane)
        assert resized.shape == (plane.shape[0], high, wide)
        assert resized.dtype == torch.uint8
        wider = Image.fromarray(picture).resize((wide, height), resampling)
        expected = np.asarray(wider.resize((wide, high), resampling))
        found = resized.permute(1, 2, 0).numpy().reshape(expected.shape)
        if isinstance(plane, tv_tensors.Mask):
            clear = np.ix_(untied(height, high), untied(width, wide))
            assert np.array_equal(found[clear], expected[clear])
        else:
            assert np.abs(found.astype(int) - expected).max() <= 2


def test_planes_are_resized_alike_by_any_number_of_threads() -> None:
    plane = image_plane(np.random.default_rng(0).integers(0, 256, (375, 500, 3), np.uint8))
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(resize(plane, (455, 607)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])


@pytest.mark.parametrize("hue", [-0.5, -0.1, -0.013, 0.0, 0.004, 0.1, 0.49])
def test_hue_is_shifted_to_the_byte_as_by_v2(hue: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    found = shift_hsv(picture, int(hue * 255), 0, 0)
    assert np.array_equal(np.asarray(found), np.asarray(v2.adjust_hue(picture, hue)))


@pytest.mark.parametrize("longest", [(20, 20), (56, 56), (90, 90)])
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_crops_are_plain_contiguous_tensors(
    label: np.ndarray, longest: tuple[int, int], flip: float
) -> None:
    planes = image_plane(picture_of(label)), saliency_plane(label * 255), label_plane(label)
    crops = augment(planes, Augmentation(32, longest, flip, **JITTER), random.Random(0))
    assert [type(crop) for crop in crops] == [torch.Tensor] * 3
    assert [crop.dtype for crop in crops] == [torch.float32, torch.uint8, torch.uint8]
    assert [crop.shape for crop in crops] == [(3, 32, 32), (1, 32, 32), (1, 32, 32)]
    assert all(crop.is_contiguous() for crop in crops)


def test_planes_share_the_memory_of_what_was_read(label: np.ndarray) -> None:
    image = picture_of(label)
    plane = image_plane(image)
    assert isinstance(plane, tv_tensors.Image)
    assert plane.data_ptr() == image.ctypes.data
    assert np.array_equal(plane[:, 7, 12].numpy(), image[7, 12])
    assert label_plane(label).data_ptr() == saliency_plane(label).data_ptr() == label.ctypes.data


def test_planes_of_different_sizes_are_refused(label: np.ndarray) -> None:
    planes = image_plane(picture_of(label)), label_plane(label[:-1])
    with pytest.raises(ValueError, match=r"different sizes: \[\(3, 40, 56\), \(1, 39, 56\)\]"):
        augment(planes, Augmentation(32, (40, 60)), random.Random(0))


def test_only_the_numbers_that_are_handed_in_are_used(label: np.ndarray) -> None:
    """What others do to the global generators changes no crop, and a crop does not change them."""
    how = Augmentation(32, (40, 60), **JITTER, hsv=10)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes()
        found.append(crop_image(picture_of(label), how, random.Random(7)))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert random.getstate() == before[1]
        assert np.random.get_state()[1].tobytes() == before[2]
    assert np.array_equal(*found)
