"""Masks that people bring: indices, VOC's colours, and palettes in which the two disagree."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hsc.base.errors import HscError
from hsc.data.classes import palette
from hsc.data.voc import read_mask, write_mask
from hsc.sources.own_masks import read_own_mask
from tests.data.raw_png import GREY, write_png

VOC = palette()
MASK = np.array([[0, 0, 1, 1], [0, 3, 3, 255], [20, 20, 0, 255]], np.uint8)
Colour = Sequence[int]


def save_palette(
    path: Path, mask: np.ndarray, colours: Mapping[int, Colour], **how: object
) -> Path:
    """`colours` by index; the others are of a strange colour that nobody uses."""
    table = np.full((256, 3), 77, np.uint8)
    for index, colour in colours.items():
        table[index] = colour
    image = Image.fromarray(mask.astype(np.uint8))
    image.putpalette(table.tobytes())
    image.save(path, **how)
    return path


def reordered(mask: np.ndarray, order: Sequence[int]) -> tuple[np.ndarray, dict[int, Colour]]:
    """A mask in VOC's colours whose palette lists the classes in another order."""
    place = {index: position for position, index in enumerate(order)}
    stored = np.vectorize(place.__getitem__)(mask)
    return stored, {position: VOC[index] for index, position in place.items()}


def refused(path: Path, num_classes: int = 20) -> str:
    """What the error says behind the file's name."""
    with pytest.raises(HscError) as caught:
        read_own_mask(path, num_classes)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def check(path: Path, expected: np.ndarray, num_classes: int = 20) -> None:
    found = read_own_mask(path, num_classes)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


# Indices


def test_our_own_masks(tmp_path: Path) -> None:
    write_mask(tmp_path / "a.png", MASK)
    check(tmp_path / "a.png", MASK)
    check(tmp_path / "a.png", read_mask(tmp_path / "a.png", 20))


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.bmp", "a.tif"])
def test_grey_values_are_indices(tmp_path: Path, name: str) -> None:
    Image.fromarray(MASK).save(tmp_path / name)
    check(tmp_path / name, MASK)


@pytest.mark.parametrize("dtype", [np.uint16, ">u2", np.int16, np.int32, np.uint32])
def test_wider_integers_are_indices_if_they_fit(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "a.tif"
    assert cv2.imwrite(str(path), MASK.astype(np.dtype(dtype).newbyteorder("=")))
    if dtype == ">u2":
        Image.frombytes("I;16B", MASK.shape[::-1], MASK.astype(dtype).tobytes()).save(path)
    check(path, MASK)
    for wrong in (300, 256, 21):
        assert cv2.imwrite(str(path), np.full((2, 2), wrong, np.dtype(dtype).newbyteorder("=")))
        assert refused(path).startswith(f"index {wrong} is impossible with 20 classes (0..20 and ")


def test_16_bits_in_png(tmp_path: Path) -> None:
    Image.fromarray(MASK.astype(np.uint16)).save(tmp_path / "a.png")
    check(tmp_path / "a.png", MASK)
    Image.fromarray(MASK.astype(np.uint16) * 257).save(tmp_path / "a.png")
    assert refused(tmp_path / "a.png").startswith("index 257 is impossible")


def test_negative_values_are_no_indices(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.tif"), np.full((2, 2), -1, np.int16))
    assert refused(tmp_path / "a.tif").startswith("index -1 is impossible")


def test_an_index_that_is_neither_a_class_nor_ignored(tmp_path: Path) -> None:
    write_mask(tmp_path / "a.png", MASK)
    said = "index 20 is impossible with 3 classes (0..3 and 255 are possible); correct the mask or"
    assert refused(tmp_path / "a.png", 3).startswith(said)
    with pytest.raises(HscError) as caught:
        read_mask(tmp_path / "a.png", 3)
    assert str(caught.value) == f"{tmp_path / 'a.png'}: " + refused(tmp_path / "a.png", 3)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif"])
def test_black_and_white_is_the_only_class_or_unclear(tmp_path: Path, name: str) -> None:
    image = Image.fromarray(MASK == 3)
    image.save(tmp_path / name)
    check(tmp_path / name, MASK == 3, num_classes=1)
    assert refused(tmp_path / name, 2).startswith("black and white say nothing of which of the 2")


@pytest.mark.parametrize(("bits", "row"), [(4, b"\x01\x23"), (2, b"\x1b")])
def test_grey_of_few_bits_is_stretched_by_its_format(tmp_path: Path, bits: int, row: bytes) -> None:
    """Index 1 of 4 bits reads as 17, which is a class among 20."""
    path = write_png(tmp_path / "a.png", [row], 4, bits, GREY)
    with Image.open(path) as image:
        assert np.asarray(image).tolist() == [[value * 255 // (2**bits - 1) for value in range(4)]]
    assert refused(path).startswith("grey of 2 or 4 bits")


def test_values_with_a_point(tmp_path: Path) -> None:
    Image.fromarray(MASK.astype(np.float32)).save(tmp_path / "a.tif")
    assert refused(tmp_path / "a.tif").startswith("colours of 16 bits or values with a point")


# Palettes


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize("bits", [8, 4])
def test_voc_s_palette(tmp_path: Path, suffix: str, bits: int) -> None:
    how = {"bits": bits} if suffix == ".png" else {}
    mask = np.minimum(MASK, 15) if bits == 4 else MASK
    colours = {index: VOC[index] for index in np.unique(mask)}
    check(save_palette(tmp_path / f"a{suffix}", mask, colours, **how), mask)


def test_a_palette_without_voc_s_colours_is_of_indices(tmp_path: Path) -> None:
    """Any tool's colours; black, index 0 of VOC too, contradicts nothing."""
    colours = {0: (0, 0, 0), 1: (255, 0, 0), 3: (0, 0, 255), 20: (1, 2, 3), 255: (255, 255, 255)}
    check(save_palette(tmp_path / "a.png", MASK, colours), MASK)
    check(save_palette(tmp_path / "a.png", MASK, colours | {0: (255, 255, 0)}), MASK)


def test_voc_s_palette_with_another_colour_for_what_is_ignored(tmp_path: Path) -> None:
    colours = {index: VOC[index] for index in np.unique(MASK)} | {255: (255, 255, 255)}
    check(save_palette(tmp_path / "a.png", MASK, colours), MASK)


@pytest.mark.parametrize(
    "order", [(255, 20, 3, 1, 0), (0, 3, 1, 20, 255), (0, 1, 3, 20, 255), (1, 0, 3, 20, 255)]
)
def test_a_palette_in_another_order_is_translated(tmp_path: Path, order: Sequence[int]) -> None:
    stored, colours = reordered(MASK, order)
    check(save_palette(tmp_path / "a.png", stored, colours), MASK)


@settings(max_examples=50)
@given(st.lists(st.sampled_from([*range(21), 255]), min_size=1, unique=True), st.randoms())
def test_colours_say_the_same_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, used: list[int], random
) -> None:
    mask = np.array([used])
    order = sorted(used)
    random.shuffle(order)
    stored, colours = reordered(mask, order)
    path = tmp_path_factory.mktemp("mask") / "a.png"
    check(save_palette(path, stored, colours), mask)


def test_what_image_libraries_do_to_a_mask_in_voc_s_colours(tmp_path: Path) -> None:
    """They sort the palette and drop what is not used: indices change, colours do not."""
    image = Image.fromarray(VOC[MASK])
    image.quantize(16, dither=Image.Dither.NONE).save(tmp_path / "quantized.png")
    image.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "adaptive.png")
    image.save(tmp_path / "a.gif")
    for name in ("quantized.png", "adaptive.png", "a.gif"):
        with Image.open(tmp_path / name) as stored:
            assert stored.mode == "P"
            assert not np.array_equal(np.asarray(stored), MASK)
        check(tmp_path / name, MASK)


def test_one_class_all_over(tmp_path: Path) -> None:
    """An optimised palette of one colour: its index is 0, and the colour a class's."""
    everywhere = np.zeros((2, 3), np.uint8)
    check(save_palette(tmp_path / "a.png", everywhere, {0: VOC[3]}), everywhere + 3)
    check(save_palette(tmp_path / "a.png", everywhere, {0: (0, 0, 0)}), everywhere)
    check(save_palette(tmp_path / "a.png", everywhere, {0: (255, 255, 255)}), everywhere)


def test_unused_colours_say_nothing(tmp_path: Path) -> None:
    colours = {index: VOC[index] for index in range(256)} | {2: (9, 9, 9), 4: VOC[1]}
    check(save_palette(tmp_path / "a.png", MASK, colours), MASK)


def test_colours_of_both_kinds_are_unclear(tmp_path: Path) -> None:
    """VOC's colour of class 3 as index 1 beside a red that is none of VOC's."""
    colours = {0: (0, 0, 0), 1: VOC[3], 3: (255, 0, 0), 20: (1, 2, 3), 255: (255, 255, 255)}
    text = refused(save_palette(tmp_path / "a.png", MASK, colours))
    assert text.startswith("its palette has the colour (128, 128, 0) as index 1, which stands for ")
    black_last = {0: (255, 255, 255), 1: (0, 0, 0)}
    text = refused(save_palette(tmp_path / "b.png", MASK == 3, black_last))
    assert text.startswith("its palette has the colour (0, 0, 0) as index 1")


def test_colours_beyond_the_classes(tmp_path: Path) -> None:
    stored, colours = reordered(MASK, (0, 3, 1, 20, 255))
    path = save_palette(tmp_path / "a.png", stored, colours)
    assert refused(path, 19).startswith(f"({VOC[20][0]}, {VOC[20][1]}, {VOC[20][2]}) is VOC's colo")
    assert "of index 20, and there are 19 classes" in refused(path, 19)


def grey(levels: Mapping[int, int]) -> dict[int, Colour]:
    return {index: (level,) * 3 for index, level in levels.items()}


def test_a_grey_palette_of_its_indices(tmp_path: Path) -> None:
    """Level 64 is VOC's colour of index 56 and level 128 that of 7: here they are neither."""
    mask = np.array([[0, 1, 64, 128, 192, 255]], np.uint8)
    path = save_palette(tmp_path / "a.png", mask, grey({index: index for index in range(256)}))
    check(path, mask, 200)
    assert refused(path, 100).startswith("index 128 is impossible")


def test_black_and_white_in_a_palette_are_indices(tmp_path: Path) -> None:
    """As levels they would be background and what is ignored: a mask of nothing."""
    for bits in (1, 8):
        path = save_palette(tmp_path / "a.png", MASK == 3, grey({0: 0, 1: 255}), bits=bits)
        check(path, MASK == 3)


def test_levels_that_show_indices_for_people(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 2]], np.uint8)
    check(save_palette(tmp_path / "a.png", mask, grey({0: 0, 1: 100, 2: 255})), mask, 2)
    check(save_palette(tmp_path / "a.png", mask, grey({0: 0, 1: 60, 2: 120})), mask, 80)


def test_grey_indices_that_were_packed_into_a_palette_are_unclear(tmp_path: Path) -> None:
    """A grey mask saved as GIF: index 2 may be painted as level 3."""
    Image.fromarray(MASK).save(tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as stored:
        assert not np.array_equal(np.asarray(stored), MASK)
    assert "unclear whether indices or colours count" in refused(tmp_path / "a.gif")


def test_a_car_on_the_background_is_grey_by_chance(tmp_path: Path) -> None:
    """VOC paints index 7 in (128, 128, 128)."""
    mask = np.array([[0, 7, 7]], np.uint8)
    check(save_palette(tmp_path / "a.png", mask, {0: VOC[0], 7: VOC[7]}), mask)
    check(save_palette(tmp_path / "a.png", mask, {0: VOC[0], 7: VOC[7]}), mask, 200)
    check(save_palette(tmp_path / "b.png", mask // 7, {0: VOC[0], 1: VOC[7]}), mask)
    assert "of index 7, and there are 3 classes" in refused(tmp_path / "b.png", 3)


# Colours


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_voc_s_colours(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(VOC[MASK]).save(tmp_path / f"a{suffix}")
    check(tmp_path / f"a{suffix}", MASK)


def test_every_colour_of_the_palette(tmp_path: Path) -> None:
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(VOC[every]).save(tmp_path / "a.png")
    check(tmp_path / "a.png", every, 254)


def test_opaque_colours_and_others(tmp_path: Path) -> None:
    alpha = np.full((*MASK.shape, 1), 255, np.uint8)
    Image.fromarray(np.concatenate([VOC[MASK], alpha], axis=2)).save(tmp_path / "a.png")
    check(tmp_path / "a.png", MASK)
    Image.fromarray(np.concatenate([MASK[..., None], alpha], axis=2)).save(tmp_path / "b.png")
    check(tmp_path / "b.png", MASK)
    alpha[0, 0] = 254
    Image.fromarray(np.concatenate([VOC[MASK], alpha], axis=2)).save(tmp_path / "a.png")
    assert refused(tmp_path / "a.png").startswith("partly transparent")
    Image.fromarray(np.concatenate([MASK[..., None], alpha], axis=2)).save(tmp_path / "b.png")
    assert refused(tmp_path / "b.png").startswith("a picture of mode LA")


def test_other_colours_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    colours = VOC[MASK]
    colours[1, 1] = (255, 0, 0)
    colours[2, 2] = (0, 255, 0)
    Image.fromarray(colours).save(tmp_path / "a.png")
    said = "7 colours, of which (255, 0, 0) is no class's in VOC's palette; save it as a PNG of"
    assert refused(tmp_path / "a.png").startswith(said)


def test_indices_in_three_channels_are_no_colours(tmp_path: Path) -> None:
    Image.fromarray(MASK).convert("RGB").save(tmp_path / "a.png")
    assert "(1, 1, 1) is no class's" in refused(tmp_path / "a.png")


def test_black_all_over_is_background(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png")
    check(tmp_path / "a.png", np.zeros((2, 3)))


def test_a_colour_beyond_the_classes(tmp_path: Path) -> None:
    Image.fromarray(VOC[MASK]).save(tmp_path / "a.png")
    said = "(128, 128, 0) is VOC's colour of index 3, and there are 2 classes; correct the mask or"
    assert refused(tmp_path / "a.png", 2).startswith(said)


def test_colours_of_16_bits(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), VOC[MASK][..., ::-1].astype(np.uint16) * 257)
    assert refused(tmp_path / "a.png").startswith("colours of 16 bits")


# Files


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_lossy_formats_are_refused(tmp_path: Path, name: str) -> None:
    """By content; of TIFF by its compression."""
    kind = "JPEG" if name in ("a.jpg", "a.png") else None
    how = {"compression": "jpeg"} if name == "a.tif" else {}
    Image.fromarray(MASK).convert("RGB").save(tmp_path / name, kind, **how)
    shown = {"a.webp": "WEBP", "a.tif": "TIFF"}.get(name, "JPEG")
    assert refused(tmp_path / name).startswith(f"{shown}, which may change values when it is saved")


@pytest.mark.parametrize("name", ["a.tif", "a.gif", "a.png"])
def test_one_picture_a_class_is_refused(tmp_path: Path, name: str) -> None:
    pages = [Image.fromarray((index == MASK).astype(np.uint8) * index) for index in (1, 3)]
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    assert refused(tmp_path / name).startswith("2 pictures in one file")


def test_a_page_without_a_size(tmp_path: Path) -> None:
    """Pillow raises a TypeError when it counts the pages."""
    path = tmp_path / "a.tif"
    pages = [Image.fromarray(MASK), Image.fromarray(MASK)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    whole = path.read_bytes()
    width = struct.pack("<HHI", 256, 4, 1)  # the tag of the width, its type and count
    assert whole.count(width) == 2
    last = whole.rindex(width)
    path.write_bytes(whole[:last] + struct.pack("<HHI", 254, 4, 1) + whole[last + len(width) :])
    assert refused(path).startswith("cannot be read as a picture (it is TIFF, damaged or cut off")


def test_a_mask_is_turned_as_its_picture_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save_palette(tmp_path / "a.png", MASK, dict(enumerate(VOC)), exif=exif)
    Image.fromarray(VOC[MASK]).save(tmp_path / "b.tif", exif=exif)
    for name in ("a.png", "b.tif"):
        check(tmp_path / name, MASK[::-1].T)


def test_no_mask_at_all(tmp_path: Path) -> None:
    assert refused(tmp_path / "a.png") == "no such file; add it"
    (tmp_path / "a.png").write_bytes(b"<html>")
    assert "it is a web page" in refused(tmp_path / "a.png")
    Image.new("CMYK", (2, 2)).save(tmp_path / "a.tif")
    assert refused(tmp_path / "a.tif").startswith("a picture of mode CMYK")
    path = save_palette(tmp_path / "b.png", MASK, dict(enumerate(VOC)))
    path.write_bytes(path.read_bytes()[:-40])
    assert refused(path).startswith("cannot be read as a picture (it is PNG, damaged or cut off")
