"""hsc.data.damage: what a file is that is no picture, in words."""

import warnings
from pathlib import Path

import pytest
from PIL import Image

from hsc.data.damage import open_picture, unreadable_suffix
from hsc.data.pictures import SUFFIXES
from hsc.errors import HscError


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"", r"an empty file\); replace it"),
        (b"<!DOCTYPE html><html>Log in</html>", "a web page"),
        (b"\n  <html>", "a web page"),
        (b"\0\0\0\x18ftypheic\0\0", r"HEIC under another name\); save it as JPEG"),
        (b"\0\0\0\x18ftypmif1\0\0", "HEIC under another name"),
        (b"%PDF-1.7", "a PDF under another name"),
        (b"version https://git-lfs.github.com/spec/v1\n", r"a pointer of Git LFS.*git lfs pull"),
        (b"something else", "cannot identify image file"),
    ],
)
def test_what_a_file_is(tmp_path: Path, head: bytes, said: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(head)
    with pytest.raises(HscError, match=rf"a\.jpg: cannot be read as a picture \(.*{said}"):
        open_picture(path)


def test_a_picture_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (40, 30)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(HscError, match=r"\(1200 pixels, and no more than 1000 are read\); make it"):
        open_picture(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_picture(path).size == (40, 30)


def test_suffixes() -> None:
    assert unreadable_suffix(Path("a.HEIC")) == (
        "cannot be read (HEIC, as phones write it); save it as JPEG or PNG"
    )
    assert unreadable_suffix(Path("notes.txt")) is None
    assert not [suffix for suffix in SUFFIXES if unreadable_suffix(Path(f"a{suffix}"))]
