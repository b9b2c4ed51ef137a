"""Files that are no pictures, or none that can be read: opened in one place, told in words.

What a file is, its first bytes say as far as they can: a web page that was saved as `a.jpg` is
called a web page. Pictures, masks and saliency are all opened here when people bring them.
"""

import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from hsc.base.errors import DataError

DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
    Image.DecompressionBombError, TypeError,
)  # fmt: skip
"""What Pillow raises for files that are no pictures, too large or cut off.

A page of TIFF without its size raises TypeError.
"""

_HEAD = 1024  # bytes that are looked at
_SAVE_IT = "save it as JPEG or PNG"
_COPY_IT = "replace it by a whole copy"

_READ = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG", "PNG"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WebP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"BM", "BMP"),
)
"""Offset and signature of the formats that are read, and their names."""
_NOT_READ = (
    *((4, b"ftyp" + brand, "HEIC") for brand in (b"hei", b"hev", b"mif1", b"msf1")),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyp", "a video or a raw picture of a camera"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (4, b"JXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (128, b"DICM", "DICOM"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
)
"""The same for those that are not, the more special first."""
_SUFFIXES = {
    "HEIC": ".heic .heif .hif",
    "AVIF": ".avif",
    "JPEG 2000": ".jp2 .j2k .jpx .jpf",
    "JPEG XL": ".jxl",
    "a raw picture of a camera": ".raw .dng .cr2 .cr3 .nef .arw .orf .raf .rw2 .pef .srw",
    "JPEG of another suffix": ".jfif .jpe",
    "SVG": ".svg",
    "PDF": ".pdf",
    "PostScript": ".eps .ps .ai",
    "a Photoshop file": ".psd .psb",
    "a GIMP file": ".xcf",
    "DICOM": ".dcm .dicom",
    "NIfTI": ".nii",
    "FITS": ".fits .fit",
    "a microscope's file": ".czi .nd2 .lif .svs .ndpi",
    "OpenEXR": ".exr",
    "Radiance HDR": ".hdr",
    "Targa": ".tga",
    "Netpbm": ".ppm .pgm .pbm .pnm",
    "an array": ".npy .npz .mat",
}
_KINDS = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}


@contextmanager
def opened(path: Path, said: Path | None = None) -> Iterator[Image.Image]:
    """A picture, header only; it is decoded within the block.

    said: what errors call it, where it is unpacked somewhere.
    Raises HscError when it is missing or damaged, here or while it is decoded. Pillow's warning of
    large pictures is not shown: its limit stays.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                yield image
        except DAMAGE as error:
            raise picture_problem(path, error, said) from None


def picture_problem(path: Path, error: Exception, said: Path | None = None) -> DataError:
    """The error for a picture that Pillow could not read, from what it raised and what is there."""
    return DataError(f"{said or path}: {_words(path, error)}")


def unreadable(path: Path) -> str | None:
    """What to do with a file whose suffix is one of a picture that is not read here.

    The text names the file as an error does; None for every other suffix.
    """
    kind = _KINDS.get(path.suffix.lower())
    return None if kind is None else f"{path}: {kind}, which is not read here; {_SAVE_IT}"


def _words(path: Path, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return _too_large(error)
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return f"a link to {os.readlink(path)}, which is not there; replace it by the picture"
    if isinstance(error, FileNotFoundError):
        return "no such file; add it"
    if isinstance(error, OSError) and error.strerror:  # the system's words, not Pillow's
        return f"cannot be read ({error.strerror}); make it a file that you may read"
    with path.open("rb") as file:
        what, advice = _content(file.read(_HEAD), error)
    return f"cannot be read as a picture ({what}); {advice}"


def _too_large(error: Exception) -> str:
    pixels = re.search(r"(\d+) pixels", str(error))
    found = f"{int(pixels[1]):,}" if pixels else "too many"
    return (
        f"has {found} pixels, and pictures of up to {2 * (Image.MAX_IMAGE_PIXELS or 0):,} are read "
        "(Pillow's limit); make it smaller or cut it up"
    )


def _content(head: bytes, error: Exception) -> tuple[str, str]:
    """What the file is, and what to do."""
    if not head:
        return "the file is empty", _COPY_IT
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "it is a web page, perhaps a login or an error", "download the picture again"
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS", "fetch the picture with `git lfs pull`"
    if start.startswith((b"<svg", b"<?xml")) and b"<svg" in start:
        return "it is SVG", _SAVE_IT
    unknown = isinstance(error, UnidentifiedImageError)
    read = _signed(head, _READ)
    if read is not None:
        how = ", or of a rare kind" if unknown else f": {error}"
        return f"it is {read}, damaged or cut off{how}", f"{_COPY_IT}, or save it anew as PNG"
    other = _signed(head, _NOT_READ)
    if other is not None:
        return f"it is {other}, whatever its suffix says", _SAVE_IT
    if head.isascii() and not re.search(rb"[\0-\x08\x0e-\x1f]", head):
        return "it is text", "replace it by the picture"
    return "it is of no known format" if unknown else str(error), _COPY_IT


def _signed(head: bytes, kinds: tuple[tuple[int, bytes, str], ...]) -> str | None:
    for offset, signature, kind in kinds:
        if head.startswith(signature, offset):
            return kind
    return None
