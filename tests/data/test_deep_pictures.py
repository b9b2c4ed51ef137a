"""Pictures of more than 8 bits a value: noticed in every format, scaled by what they hold."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from hsc.base.errors import HscError
from hsc.data.deep_pictures import DEPTHS, common_depth, depth_of
from hsc.data.pictures import is_plain, read_picture
from tests.data.raw_png import GREY, GREY_WITH_ALPHA, RGB, chunk, write_png

TWELVE = np.array([[0, 15, 16, 2048, 4095]], np.uint16)
COLOURS = np.array([[[0, 4095, 1000], [16, 32, 64]]], np.uint16)  # RGB
IN_8_BITS = [[[0, 255, 62], [1, 2, 4]]]


def save_grey(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values.astype(np.uint16)).save(path)
    return path


def save_colours(path: Path, values: np.ndarray) -> Path:
    """(H, W, 3) RGB or (H, W, 4) RGBA of 16 bits: Pillow cannot write them."""
    order = [2, 1, 0, 3][: values.shape[2]]
    assert cv2.imwrite(str(path), np.ascontiguousarray(values[..., order]))
    return path


def save_png(path: Path, values: np.ndarray, kind: int, key: bytes = b"") -> Path:
    """A PNG of 16 bits of any kind, with the transparent colour `key`."""
    rows = [row.astype(">u2").tobytes() for row in values]
    return write_png(path, rows, values.shape[1], 16, kind, key)


def save_tiff(path: Path, values: np.ndarray, planes: bool = False, meaning: int = 1) -> Path:
    """A TIFF of 16 bits, in big-endian order; `planes`: one channel after the other."""
    channels = 1 if values.ndim == 2 else values.shape[2]
    stored = np.moveaxis(values, 2, 0) if planes else values
    content = stored.astype(">u2").tobytes()
    parts = channels if planes else 1
    tags = ImageFileDirectory_v2(prefix=b"MM")
    tags[256], tags[257], tags[258] = values.shape[1], values.shape[0], (16,) * channels
    tags[259], tags[262], tags[277] = 1, meaning, channels
    tags[278], tags[284] = values.shape[0], 2 if planes else 1
    tags[279] = (len(content) // parts,) * parts
    # Pillow counts the offsets of pixels from the end of the tags
    tags[273] = tuple(part * len(content) // parts for part in range(parts))
    path.write_bytes(b"MM\0*" + struct.pack(">I", 8) + tags.tobytes(8) + content)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm", "a.jp2"])
def test_the_highest_value_says_how_many_bits_are_used(tmp_path: Path, name: str) -> None:
    """Of 12 bits in 16 the upper 8 are nearly black."""
    values = np.tile(TWELVE, (8, 1))
    found = read_picture(save_grey(tmp_path / name, values))
    assert found.dtype == np.uint8
    assert found.shape == (8, 5, 3)
    assert found[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    assert (found == found[..., :1]).all()


@pytest.mark.parametrize(
    ("highest", "seen"),
    [(0, 0), (200, 200), (255, 255), (256, 64), (1023, 255), (1024, 64), (4095, 255), (4096, 64),
     (16383, 255), (16384, 64), (65535, 255)],
)  # fmt: skip
def test_depths(tmp_path: Path, highest: int, seen: int) -> None:
    path = save_grey(tmp_path / "a.png", np.array([[0, highest]]))
    assert read_picture(path)[0, :, 0].tolist() == [0, seen]


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=5))
def test_a_depth_holds_every_value_and_wastes_less_than_two_bits(values: list[int]) -> None:
    depth = depth_of(max(values))
    assert max(values) < 2**depth
    assert depth == 8 or max(values) >= 2 ** (depth - 2)


def test_one_scale_for_all_pictures_of_a_set(tmp_path: Path) -> None:
    bright = save_grey(tmp_path / "bright.png", TWELVE)
    dark = save_grey(tmp_path / "dark.png", TWELVE // 8)
    colour = save_colours(tmp_path / "colour.png", COLOURS // 4)
    Image.new("RGB", (3, 2), "white").save(tmp_path / "plain.jpg")
    (tmp_path / "bad.png").write_bytes(b"")
    paths = [dark, tmp_path / "plain.jpg", colour, tmp_path / "bad.png", tmp_path / "gone.png"]
    assert common_depth(paths) == 10
    assert common_depth([*paths, bright]) == 12
    assert common_depth([*paths, bright], processes=2) == 12
    assert common_depth(paths[1:2] + paths[3:]) is None
    assert common_depth([]) is None
    assert read_picture(dark, 12).max() == 31
    assert read_picture(colour, 12).max() == 63
    assert read_picture(dark).max() == 127
    assert read_picture(tmp_path / "plain.jpg", 12).min() == 255


def test_a_depth_that_is_too_low(tmp_path: Path) -> None:
    path = save_grey(tmp_path / "a.png", TWELVE)
    for depth in DEPTHS:
        if depth >= 12:
            read_picture(path, depth)
            continue
        with pytest.raises(HscError, match=rf"a\.png: has values up to 4095, more than {depth} b"):
            read_picture(path, depth)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_colours_keep_the_bits_that_are_used(tmp_path: Path, name: str) -> None:
    """Pillow opens them as RGB and keeps the upper 8 of 16 bits: all but black."""
    path = save_colours(tmp_path / name, COLOURS)
    assert read_picture(path).tolist() == IN_8_BITS
    assert read_picture(path, 16).tolist() == [[[0, 15, 3], [0, 0, 0]]]
    assert not is_plain(path)


def test_either_order_of_bytes(tmp_path: Path) -> None:
    assert read_picture(save_tiff(tmp_path / "a.tif", COLOURS, meaning=2)).tolist() == IN_8_BITS
    grey = read_picture(save_tiff(tmp_path / "b.tif", TWELVE))
    assert grey[0, :, 0].tolist() == [0, 0, 1, 128, 255]


@pytest.mark.parametrize("full", [65535, 4095])
def test_transparency_of_16_bits(tmp_path: Path, full: int) -> None:
    """Alpha has a scale of its own: a full one is no bright colour."""
    alpha = np.array([[[full], [full // 2 + 1], [0]]], np.uint16)
    colours = COLOURS[:, (0, 0, 1)]
    seen = [[0, 255, 62], [127, 255, 158], [255, 255, 255]]
    for name in ("a.png", "a.tif"):
        path = save_colours(tmp_path / name, np.concatenate([colours, alpha], axis=2))
        assert read_picture(path).tolist() == [seen]
        assert common_depth([path]) == 12
    grey = save_png(
        tmp_path / "b.png", np.concatenate([colours[..., 2:], alpha], axis=2), GREY_WITH_ALPHA
    )
    assert read_picture(grey).tolist() == [[[value] * 3 for value in (250, 252, 255)]]
    assert common_depth([grey]) == 10
    assert not is_plain(grey)


def test_a_transparent_colour_of_16_bits(tmp_path: Path) -> None:
    path = save_png(tmp_path / "a.png", COLOURS, RGB, struct.pack(">HHH", *COLOURS[0, 1]))
    assert read_picture(path).tolist() == [[[0, 255, 62], [255, 255, 255]]]
    assert not is_plain(path)


def test_deep_pictures_are_turned_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(TWELVE).save(tmp_path / "a.png", exif=exif)
    assert read_picture(tmp_path / "a.png")[:, 0, 0].tolist() == [0, 0, 1, 128, 255]
    path = save_colours(tmp_path / "b.png", COLOURS)
    whole = path.read_bytes()
    end = whole.index(b"IDAT") - 4
    turned = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    path.write_bytes(whole[:end] + turned + whole[end:])
    assert read_picture(path).tolist() == [[pixel] for pixel in IN_8_BITS[0]]


@pytest.mark.parametrize(
    "dtype", [np.float32, np.int32, np.int16, np.int8, np.uint32], ids=lambda dtype: dtype.__name__
)
def test_values_whose_range_is_unknown_are_refused(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "a.tif"
    values = np.array([[1, 2], [3, 100]], dtype)
    if dtype in (np.float32, np.int32):
        Image.fromarray(values).save(path)
    else:
        assert cv2.imwrite(str(path), values)
    with pytest.raises(HscError) as caught:
        read_picture(path)
    assert str(caught.value).startswith(f"{path}: values that are signed, of 32 bits or with a p")
    assert not is_plain(path)
    assert common_depth([path]) is None


def test_what_no_library_reads_right_is_refused(tmp_path: Path) -> None:
    """Pillow and OpenCV read planes as if they were pixels, and white as black, and say nothing."""
    paths = [
        save_tiff(tmp_path / "planes.tif", COLOURS, planes=True, meaning=2),
        save_png(tmp_path / "key.png", TWELVE, GREY, struct.pack(">H", 0)),
    ]
    Image.fromarray(TWELVE).save(tmp_path / "negative.tif", tiffinfo={262: 0})
    for path in [*paths, tmp_path / "negative.tif"]:
        with pytest.raises(HscError) as caught:
            read_picture(path)
        assert str(caught.value).startswith(f"{path}: {path.suffix[1:].upper()}")
        assert "of 16 bits a value in a form that is not read" in str(caught.value)


def test_a_deep_picture_that_is_cut_off(tmp_path: Path) -> None:
    """OpenCV alone would show what is there."""
    noise = np.random.default_rng(0).integers(0, 4096, (64, 64, 3), np.uint16)
    for path in (
        save_colours(tmp_path / "a.png", noise),
        save_grey(tmp_path / "b.png", noise[..., 0]),
        save_tiff(tmp_path / "c.tif", noise, meaning=2),
    ):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(HscError, match="cannot be read as a picture"):
            read_picture(path)
        assert common_depth([path]) is None


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.jpg"])
def test_no_deep_picture_is_plain(tmp_path: Path, name: str) -> None:
    grey, colour = tmp_path / f"grey_{name}", tmp_path / f"colour_{name}"
    Image.fromarray(TWELVE).save(grey, "PNG")
    colour.write_bytes(cv2.imencode(".png", COLOURS)[1].tobytes())
    assert not is_plain(grey)
    assert not is_plain(colour)
    assert common_depth([grey, colour]) == 12
