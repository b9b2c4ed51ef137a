"""Pictures as people have them: turned by EXIF, in many modes, damaged, in folders."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hsc.base.errors import HscError
from hsc.data.pictures import (
    find_pictures,
    is_plain,
    read_picture,
    shrink_picture,
    shrunk_size,
)
from hsc.data.voc import VocFolder, read_image
from tests.tiny_folder import tiny_folder


def pixels(height: int = 5, width: int = 7) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


# What EXIF says of how the stored rows and columns lie: the picture as it is seen.
SEEN = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a[::-1].transpose(1, 0, 2),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a[:, ::-1].transpose(1, 0, 2),
    9: lambda a: a,  # no such orientation
}


@pytest.mark.parametrize("orientation", SEEN)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_pictures_are_turned_as_exif_says(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    how = {"lossless": True} if suffix == ".webp" else {}
    Image.fromarray(pixels()).save(path, exif=with_orientation(orientation), **how)
    assert np.array_equal(read_picture(path), SEEN[orientation](pixels()))


def test_a_phone_s_portrait_stands_upright(tmp_path: Path) -> None:
    wide = np.zeros((40, 64, 3), np.uint8)
    wide[:, :32] = 255  # the left half becomes the upper one
    Image.fromarray(wide).save(tmp_path / "a.jpg", exif=with_orientation(6))
    seen = read_picture(tmp_path / "a.jpg")
    assert seen.shape == (64, 40, 3)
    assert seen[:24].min() > 240
    assert seen[40:].max() < 15


def test_exif_that_cannot_be_read_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(image: Image.Image) -> None:
        raise SyntaxError("not a TIFF file")

    Image.fromarray(pixels()).save(tmp_path / "a.png", exif=with_orientation(3))
    monkeypatch.setattr(Image.Image, "getexif", damaged)
    assert np.array_equal(read_picture(tmp_path / "a.png"), pixels())


def test_a_data_set_s_pictures_are_the_same(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    assert isinstance(folder, VocFolder)
    for image_id in "abcd":
        path = folder.image_path(image_id)
        assert np.array_equal(read_picture(path), folder.image(image_id))


def save(path: Path, image: Image.Image, **how: object) -> np.ndarray:
    image.save(path, **how)
    found = read_picture(path)
    assert found.dtype == np.uint8
    assert found.shape == (image.height, image.width, 3)
    assert found.flags.c_contiguous
    return found


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_pictures(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(pixels()[..., 0]).convert(mode)
    found = save(tmp_path / "a.png", image)
    assert np.array_equal(found, np.repeat(np.array(image.convert("L"))[..., None], 3, axis=2))


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_palette_pictures(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(pixels()).quantize(8)
    assert np.array_equal(save(tmp_path / f"a{suffix}", image), np.array(image.convert("RGB")))


def test_transparent_pixels_are_seen_on_white(tmp_path: Path) -> None:
    values = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    found = save(tmp_path / "a.png", Image.fromarray(values))
    assert found.tolist() == [[[200, 0, 0], [255, 255, 255], [204, 204, 204]]]


def test_transparent_grey_and_palette_pictures(tmp_path: Path) -> None:
    grey = np.array([[[10, 255], [10, 0]]], np.uint8)
    assert save(tmp_path / "a.png", Image.fromarray(grey)).tolist() == [[[10] * 3, [255] * 3]]
    indices = Image.fromarray(np.array([[0, 1]], np.uint8))
    indices.putpalette([10, 20, 30, 40, 50, 60])
    found = save(tmp_path / "b.png", indices, transparency=1)
    assert found.tolist() == [[[10, 20, 30], [255, 255, 255]]]


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk(tmp_path: Path, suffix: str) -> None:
    """Cyan ink takes red away."""
    found = save(tmp_path / f"a{suffix}", Image.new("CMYK", (16, 16), (255, 0, 0, 0)))
    assert found.mean(axis=(0, 1)) == pytest.approx([0, 255, 255], abs=8)


def test_an_animation_s_first_picture(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (3, 2), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_picture(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 2000))
def test_no_side_is_longer_than_asked_for(width: int, height: int, longest: int) -> None:
    found = shrunk_size(width, height, longest)
    assert max(found) == min(max(width, height), longest)
    assert min(found) >= 1
    if max(width, height) <= longest:
        assert found == (width, height)
    assert shrunk_size(width, height, None) == (width, height)


def test_a_picture_is_shrunk() -> None:
    assert np.array_equal(shrink_picture(pixels(), None), pixels())
    assert np.array_equal(shrink_picture(pixels(), 7), pixels())
    assert shrink_picture(pixels(40, 20), 10).shape == (10, 5, 3)
    assert (shrink_picture(np.full((9, 3, 3), 77, np.uint8), 4) == 77).all()


# Finding them


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


def test_files_as_named_and_folders_sorted(tmp_path: Path) -> None:
    touch(tmp_path / "in", "b.jpg", "a.PNG", "c.Jpeg", "d.webp", "notes.txt", ".hidden.jpg")
    touch(tmp_path / "in" / "below", "e.jpg")
    touch(tmp_path / "in" / "folder.png", "f.jpg")
    touch(tmp_path, "z.jpg", "y.any")
    sources = [tmp_path / "z.jpg", tmp_path / "in", tmp_path / "y.any"]
    names = [path.name for path in find_pictures(sources)]
    assert names == ["z.jpg", "a.PNG", "b.jpg", "c.Jpeg", "d.webp", "y.any"]


def test_a_picture_named_twice_is_taken_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "in", "a.jpg", "b.jpg")
    monkeypatch.chdir(tmp_path)
    sources = [Path("in/b.jpg"), Path("in"), tmp_path / "in" / "a.jpg", Path("in/../in")]
    assert sorted(path.name for path in find_pictures(sources)) == ["a.jpg", "b.jpg"]


def test_the_same_stem_twice(tmp_path: Path) -> None:
    touch(tmp_path / "in", "a.jpg", "b.jpg")
    touch(tmp_path / "other", "b.png")
    with pytest.raises(HscError) as caught:
        find_pictures([tmp_path / "in", tmp_path / "other"])
    text = f"{tmp_path / 'in' / 'b.jpg'} and {tmp_path / 'other' / 'b.png'}: their results would "
    assert str(caught.value).startswith(text)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(HscError, match=r"none\.jpg: no such file or folder"):
        find_pictures([tmp_path / "none.jpg"])
    touch(tmp_path / "in", "notes.txt")
    with pytest.raises(HscError, match=r"in: no pictures in it \(\.bmp, "):
        find_pictures([tmp_path / "in"])


@pytest.mark.parametrize(
    ("name", "mode", "plain"),
    [
        ("a.jpg", "RGB", True), ("a.JPEG", "L", True), ("a.png", "P", True), ("a.PNG", "RGB", True),
        ("a.png", "RGBA", False), ("a.jpg", "CMYK", False),
        ("a.webp", "RGB", False), ("a.bmp", "RGB", False), ("a.Jpg", "RGB", False),
    ],
)  # fmt: skip
def test_what_every_stage_reads_alike(tmp_path: Path, name: str, mode: str, plain: bool) -> None:
    Image.new(mode, (4, 3)).save(tmp_path / name)
    assert is_plain(tmp_path / name) == plain
    if plain:
        same = np.array(Image.open(tmp_path / name).convert("RGB"))
        np.testing.assert_array_equal(read_picture(tmp_path / name), same)


def test_what_is_turned_or_named_wrong_is_not_plain(tmp_path: Path) -> None:
    exif = Image.Exif()
    for value, plain in ((1, True), (3, False), (8, False)):
        exif[0x0112] = value
        Image.new("RGB", (4, 3)).save(tmp_path / "a.jpg", exif=exif)
        assert is_plain(tmp_path / "a.jpg") == plain


@pytest.mark.parametrize(("kind", "plain"), [("PNG", True), ("BMP", False), ("WEBP", False)])
def test_a_picture_is_what_it_holds_not_what_it_is_called(
    tmp_path: Path, kind: str, plain: bool
) -> None:
    path = tmp_path / "b.jpg"
    Image.fromarray(pixels()).save(path, format=kind, lossless=True)
    assert np.array_equal(read_picture(path), pixels())
    assert is_plain(path) == plain
    if plain:  # so it is copied under its name, and read by content
        assert np.array_equal(read_image(path), pixels())
