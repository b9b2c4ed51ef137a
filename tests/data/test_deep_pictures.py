"""hsc.data.deep_pictures: 16 bits a value, grey and in colours, with one scale for all."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hsc.data.deep_pictures import common_depth, depth_for, is_deep
from hsc.data.pictures import is_plain, read_picture
from hsc.errors import HscError


def values(highest: int, *shape: int) -> NDArray[np.uint16]:
    found = np.random.default_rng(0).integers(0, highest, shape, endpoint=True)
    found.flat[0] = highest
    return found.astype(np.uint16)


@pytest.mark.parametrize(
    ("highest", "depth"),
    [(0, 8), (255, 8), (256, 10), (1023, 10), (1024, 12), (4095, 12), (4096, 14), (16384, 16),
     (65535, 16)],
)  # fmt: skip
def test_the_bits_of_a_value(highest: int, depth: int) -> None:
    assert depth_for(highest) == depth


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("depth", [8, 12, 16])
def test_values_are_scaled_by_their_bits(
    tmp_path: Path, name: str, channels: tuple[int, ...], depth: int
) -> None:
    deep = values((1 << depth) - 1, 9, 7, *channels)
    cv2.imwrite(str(tmp_path / name), deep[..., ::-1] if channels else deep)
    expected = (deep >> (depth - 8)).astype(np.uint8)
    found = read_picture(tmp_path / name)
    np.testing.assert_array_equal(found, expected if channels else np.dstack([expected] * 3))
    assert not is_plain(tmp_path / name)


def test_one_scale_for_all(tmp_path: Path) -> None:
    dark, bright = tmp_path / "dark.png", tmp_path / "bright.png"
    Image.fromarray(values(900, 6, 5)).save(dark)
    Image.fromarray(values(4000, 6, 5)).save(bright)
    Image.new("L", (5, 6), 200).save(tmp_path / "eight.png")
    (tmp_path / "broken.png").write_bytes(b"")
    paths = [dark, bright, tmp_path / "eight.png", tmp_path / "broken.png"]
    assert common_depth(paths) == 12
    assert read_picture(dark, 12).max() == 900 >> 4
    assert read_picture(dark).max() == 900 >> 2
    assert common_depth(paths[2:]) is None
    assert read_picture(tmp_path / "eight.png", 12).max() == 200


def test_a_brighter_picture_later_is_white_and_not_black(tmp_path: Path) -> None:
    Image.fromarray(values(60000, 6, 5)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", 12).max() == 255


def test_transparent_pixels_of_16_bits(tmp_path: Path) -> None:
    deep = np.zeros((2, 2, 4), np.uint16)
    deep[..., :3], deep[0, :, 3] = 4095, 65535
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    assert read_picture(tmp_path / "a.png")[1].min() == 255
    deep[..., :3] = (0, 0, 4095)  # BGR
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    assert read_picture(tmp_path / "a.png")[0, 0].tolist() == [255, 0, 0]


def test_it_is_turned_as_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values(4095, 4, 9)).save(tmp_path / "a.png", exif=exif)
    assert read_picture(tmp_path / "a.png").shape == (9, 4, 3)


def test_values_with_a_sign(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.tif"), np.array([[-5, 300]], np.int16))
    with pytest.raises(HscError, match=r"a\.tif: values below 0"):
        read_picture(tmp_path / "a.tif")
    cv2.imwrite(str(tmp_path / "b.tif"), np.array([[5, 1023]], np.int16))
    assert read_picture(tmp_path / "b.tif").max() == 255


def test_a_deep_picture_that_is_cut_off(tmp_path: Path) -> None:
    for channels in ((), (3,)):
        cv2.imwrite(str(tmp_path / "a.png"), values(4000, 50, 50, *channels))
        (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-900])
        with pytest.raises(HscError, match=r"a\.png: cannot be read as a picture"):
            read_picture(tmp_path / "a.png")


def test_eight_bits_are_not_deep(tmp_path: Path) -> None:
    for mode in ("L", "RGB", "RGBA", "P"):
        Image.new(mode, (3, 2)).save(tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as image:
            assert not is_deep(image)
