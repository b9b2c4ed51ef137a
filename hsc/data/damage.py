"""Opening pictures, and in words what is wrong with a file that is none."""

import re
import struct
import warnings
import zlib
from pathlib import Path

from PIL import Image

from hsc.errors import DataError

DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises for files that are no pictures, too large, or cut off."""

_COPY = "replace it by a whole copy"
_AS_JPEG = "save it as JPEG or PNG"
_UNREADABLE = {
    "heic": "HEIC, as phones write it", "heif": "HEIF", "avif": "AVIF", "jxl": "JPEG XL",
    "jp2": "JPEG 2000", "raw": "a raw picture", "dng": "a raw picture", "cr2": "a raw picture",
    "cr3": "a raw picture", "nef": "a raw picture", "arw": "a raw picture", "orf": "a raw picture",
    "rw2": "a raw picture", "svg": "a drawing", "eps": "a drawing", "psd": "Photoshop's",
    "xcf": "GIMP's", "pdf": "a document", "dcm": "DICOM", "nii": "NIfTI", "npy": "an array",
    "exr": "OpenEXR", "hdr": "Radiance's",
}  # fmt: skip
"""Suffixes of pictures that are not read here, in small letters."""

_HEADS = (
    (re.compile(rb"\s*<(!doctype html|html|head|\?xml)", re.IGNORECASE), "a web page", _COPY),
    (re.compile(rb".{4}ftyp(hei|hev|mif1|msf1)", re.DOTALL), "HEIC under another name", _AS_JPEG),
    (re.compile(rb".{4}ftypavif", re.DOTALL), "AVIF under another name", _AS_JPEG),
    (re.compile(rb"%PDF"), "a PDF under another name", _AS_JPEG),
    (re.compile(rb"version https://git-lfs"), "a pointer of Git LFS, not the file", "git lfs pull"),
)
"""How the files begin that people take for pictures; what they are, what to do."""


def unreadable_suffix(path: Path) -> str | None:
    """Of a picture by its suffix that cannot be read here: what it is and what to do; else None."""
    kind = _UNREADABLE.get(path.suffix[1:].lower())
    return kind and f"cannot be read ({kind}); {_AS_JPEG}"


def open_picture(path: Path) -> Image.Image:
    """Open a picture, header only. Raises HscError when it is missing, damaged or too large."""
    try:
        with warnings.catch_warnings():  # of pictures half as large as those that are refused
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; add it") from None
    except DAMAGE as error:
        raise damaged_picture(path, error) from None


def damaged_picture(path: Path, error: Exception) -> DataError:
    """The error for a picture that Pillow could not read."""
    what, advice = _describe(path, error)
    return DataError(f"{path}: cannot be read as a picture ({what}); {advice}")


def _describe(path: Path, error: Exception) -> tuple[str, str]:
    if isinstance(error, Image.DecompressionBombError):
        size, limit = re.findall(r"\d+", str(error))[:2]
        return f"{size} pixels, and no more than {limit} are read", "make it smaller, or cut it up"
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
    except OSError:
        return str(error), _COPY
    if not head:
        return "an empty file", _COPY
    for pattern, what, advice in _HEADS:
        if pattern.match(head):
            return what, advice
    return str(error), _COPY
