"""What a file is that cannot be read as a picture, and what to do."""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hsc.base.errors import HscError
from hsc.data.picture_problems import opened, unreadable
from hsc.data.pictures import SUFFIXES, is_plain, read_picture


def said_of(path: Path) -> str:
    """The error without the file's name, which it starts with."""
    with pytest.raises(HscError) as caught:
        read_picture(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


def encoded(kind: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "what", "advice"),
    [
        (b"", "the file is empty", "whole copy"),
        (b"<!DOCTYPE html>\n<title>Sign in</title>", "it is a web page", "download"),
        (b"\xef\xbb\xbf\r\n <HTML lang=en>", "it is a web page", "download"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "pointer of Git LFS", "lfs pull"),
        (b'<?xml version="1.0"?>\n<svg width="3">', "it is SVG", "save it as JPEG or PNG"),
        (b"<svg xmlns='x'/>", "it is SVG", "save it as JPEG or PNG"),
        (b"no picture", "it is text", "replace it by the picture"),
        (b"\0\0\0\x24ftypheic\0\0\0\0", "it is HEIC", "save it as JPEG or PNG"),
        (b"\0\0\0\x24ftypmif1\0\0\0\0", "it is HEIC", "save it as JPEG or PNG"),
        (b"\0\0\0\x24ftypisom\0\0\0\0", "it is a video", "save it as JPEG or PNG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "it is JPEG XL", "save it as JPEG or PNG"),
        (b"%PDF-1.7\n%\xe2\xe3", "it is PDF", "save it as JPEG or PNG"),
        (b"\0" * 128 + b"DICM\2\0\0\0", "it is DICOM", "save it as JPEG or PNG"),
        (b"\x93NUMPY\1\0v\0{}", "it is a NumPy array", "save it as JPEG or PNG"),
        (b"\1\2\3\4" * 9, "it is of no known format", "whole copy"),
    ],
)
def test_the_first_bytes_tell_what_a_file_is(
    tmp_path: Path, content: bytes, what: str, advice: str
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    text = said_of(path)
    assert text.startswith("cannot be read as a picture (")
    assert what in text
    assert advice in text.rpartition(");")[2]
    with pytest.raises(HscError, match="cannot be read as a picture"):
        is_plain(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.95])
def test_a_picture_that_is_cut_off(tmp_path: Path, kind: str, part: float) -> None:
    """By content: the suffix says nothing."""
    whole = encoded(kind)
    path = tmp_path / "a.png"
    path.write_bytes(whole[: int(len(whole) * part)])
    name = "WebP" if kind == "WEBP" else kind
    assert said_of(path).startswith(f"cannot be read as a picture (it is {name}, damaged or cut ")


def test_a_whole_picture_of_a_rare_kind(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.tif"), np.ones((2, 3), np.float64))
    said = "cannot be read as a picture (it is TIFF, damaged or cut off, or of a rare kind); "
    assert said_of(tmp_path / "a.tif").startswith(said)
    assert said_of(tmp_path / "a.tif").endswith("or save it anew as PNG")


def test_missing_files_and_broken_links(tmp_path: Path) -> None:
    assert said_of(tmp_path / "none.jpg") == "no such file; add it"
    link = tmp_path / "link.jpg"
    link.symlink_to("gone/a.jpg")
    assert said_of(link).startswith("a link to gone/a.jpg, which is not there; ")
    link.unlink()
    link.symlink_to("link.jpg")
    assert said_of(link).startswith("cannot be read (Too many levels of symbolic links); ")


def test_a_folder_named_as_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").mkdir()
    assert said_of(tmp_path / "a.jpg").startswith("cannot be read (Is a directory); ")


def test_a_picture_beyond_pillow_s_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (50, 30)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)
    text = said_of(path)
    assert text.startswith("has 1,500 pixels, and pictures of up to 1,400 are read")
    assert text.endswith("make it smaller or cut it up")
    with pytest.raises(HscError, match="1,500 pixels"):
        is_plain(path)


def test_a_picture_below_the_limit_is_read_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.gif"  # of which Pillow checks every frame, when it is decoded
    Image.new("L", (50, 30)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_picture(path).shape == (30, 50, 3)
        is_plain(path)


def test_an_error_names_the_file_as_people_know_it(tmp_path: Path) -> None:
    path = tmp_path / "unpacked.png"
    path.write_bytes(b"")
    said = Path("maps.zip/a.png")
    with pytest.raises(HscError, match=r"^maps.zip/a.png: .*file is empty"), opened(path, said):
        pass


def test_suffixes_that_are_not_read(tmp_path: Path) -> None:
    for name, kind in {
        "a.heic": "HEIC", "b.HEIF": "HEIC", "c.avif": "AVIF", "d.Jp2": "JPEG 2000", "e.svg": "SVG",
        "f.NEF": "a raw picture of a camera", "g.npy": "an array", "h.dcm": "DICOM",
    }.items():  # fmt: skip
        path = tmp_path / name
        expected = f"{path}: {kind}, which is not read here; save it as JPEG or PNG"
        assert unreadable(path) == expected
    for name in ("tags.csv", "README", ".heic", *(f"a{suffix}" for suffix in SUFFIXES)):
        assert unreadable(tmp_path / name) is None
