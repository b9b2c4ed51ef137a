"""hsc.data.own_masks: masks as editors and annotation tools save them."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hsc.data import voc
from hsc.data.classes import palette
from hsc.data.own_masks import read_own_mask
from hsc.errors import HscError

MASK = np.array([[0, 0, 1, 1], [0, 3, 3, 255], [2, 2, 0, 255]], np.uint8)


def save(path: Path, indices: NDArray[np.uint8], colours: list[tuple[int, int, int]]) -> Path:
    """A palette picture."""
    image = Image.fromarray(indices)
    image.putpalette(np.array(colours, np.uint8).tobytes())
    image.save(path)
    return path


def painted(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) in VOC's colours."""
    return palette()[mask]


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.bmp", "a.tif"])
def test_grey_is_indices(tmp_path: Path, name: str) -> None:
    Image.fromarray(MASK).save(tmp_path / name)
    np.testing.assert_array_equal(read_own_mask(tmp_path / name, 3), MASK)


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.bmp"])
def test_vocs_palette(tmp_path: Path, name: str) -> None:
    voc.write_mask(tmp_path / "voc.png", MASK)
    with Image.open(tmp_path / "voc.png") as image:
        image.save(tmp_path / name)
    np.testing.assert_array_equal(read_own_mask(tmp_path / name, 3), MASK)


@pytest.mark.parametrize("colours", [256, 8])
def test_vocs_colours_in_another_order(tmp_path: Path, colours: int) -> None:
    """As an image editor saves a palette that it has optimised."""
    Image.fromarray(painted(MASK)).quantize(colours).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert not np.array_equal(np.array(image), MASK)
    np.testing.assert_array_equal(read_own_mask(tmp_path / "a.png", 3), MASK)


def test_vocs_colours_in_rgb(tmp_path: Path) -> None:
    Image.fromarray(painted(MASK)).save(tmp_path / "a.png")
    opaque = np.dstack([painted(MASK), np.full(MASK.shape, 255, np.uint8)])
    Image.fromarray(opaque).save(tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        np.testing.assert_array_equal(read_own_mask(tmp_path / name, 3), MASK)


def test_colours_of_somebody_s_own(tmp_path: Path) -> None:
    """Of such a palette the numbers count, for every file alike, whichever of it a file uses."""
    own = [(0, 0, 0), (128, 128, 0), (255, 0, 0), (10, 200, 30)]  # black and one more are VOC's
    for mask in (np.array([[0, 1]], np.uint8), np.array([[0, 1, 2, 3]], np.uint8)):
        np.testing.assert_array_equal(read_own_mask(save(tmp_path / "a.png", mask, own), 3), mask)


def test_black_on_white_and_white_on_black(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 1]], np.uint8)
    for colours in ([(255, 255, 255), (0, 0, 0)], [(0, 0, 0), (255, 255, 255)]):
        np.testing.assert_array_equal(
            read_own_mask(save(tmp_path / "a.png", mask, colours), 1), mask
        )


def test_a_grey_mask_with_a_palette(tmp_path: Path) -> None:
    """As Pillow saves a grey mask as GIF: 0, 2 and 255 become the numbers 0, 1 and 2."""
    mask = np.array([[0, 2, 2, 255]], np.uint8)
    Image.fromarray(mask).save(tmp_path / "a.gif")
    np.testing.assert_array_equal(read_own_mask(tmp_path / "a.gif", 2), mask)


def test_two_levels(tmp_path: Path) -> None:
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "a.png")
    assert read_own_mask(tmp_path / "a.png", 1).tolist() == [[0, 1]]


def test_16_bits(tmp_path: Path) -> None:
    Image.fromarray(MASK.astype(np.uint16)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_own_mask(tmp_path / "a.png", 3), MASK)
    Image.fromarray(MASK.astype(np.uint16) * 257).save(tmp_path / "b.png")
    with pytest.raises(HscError, match=r"b\.png: a picture of mode I;16, not of class indices"):
        read_own_mask(tmp_path / "b.png", 3)


def test_colours_beyond_the_classes(tmp_path: Path) -> None:
    rgb, order = tmp_path / "rgb.png", tmp_path / "order.png"
    Image.fromarray(painted(MASK)).save(rgb)
    save(order, np.array([[0, 1]], np.uint8), [(0, 0, 0), (192, 128, 128)])
    with pytest.raises(HscError, match=r"rgb\.png: in colours, of which .* is VOC's of index [23]"):
        read_own_mask(rgb, 1)
    with pytest.raises(HscError, match=r"\(192, 128, 128\) is VOC's of index 15 .* 6 classes"):
        read_own_mask(order, 6)


def test_colours_that_mean_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3), (1, 2, 3)).save(tmp_path / "a.png")
    with pytest.raises(HscError, match=r"a\.png: in colours, of which \(1, 2, 3\) is no class's"):
        read_own_mask(tmp_path / "a.png", 3)


def test_transparent_pixels_are_no_class(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 3), (0, 0, 0, 0)).save(tmp_path / "a.png")
    with pytest.raises(HscError, match=r"a\.png: a picture of mode RGBA"):
        read_own_mask(tmp_path / "a.png", 3)


def test_jpeg_is_refused(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png"):
        Image.fromarray(MASK).save(tmp_path / name, format="JPEG")
        with pytest.raises(HscError, match="JPEG, which does not keep the indices"):
            read_own_mask(tmp_path / name, 3)


def test_an_impossible_index(tmp_path: Path) -> None:
    voc.write_mask(tmp_path / "a.png", MASK)
    with pytest.raises(HscError, match=r"a\.png: index 3 is impossible with 2 classes"):
        read_own_mask(tmp_path / "a.png", 2)


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    voc.write_mask(
        tmp_path / "a.png", np.random.default_rng(0).integers(0, 3, (50, 50)).astype("B")
    )
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-300])
    with pytest.raises(HscError, match=r"a\.png: cannot be read as a picture"):
        read_own_mask(tmp_path / "a.png", 3)
