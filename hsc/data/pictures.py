"""Pictures of any kind, as people have them: found by suffix, read as upright 8-bit RGB.

A data set's own pictures are read by `hsc.data.voc`; for those both give the same pixels.

Letters: H W pixels of the picture as it is seen, upright.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsc.base.errors import PredictionError
from hsc.data.deep_pictures import eight_bits, is_deep
from hsc.data.picture_problems import DAMAGE, opened
from hsc.data.preprocessing import longest_edge_size, resize_picture
from hsc.data.voc import IMAGE_SUFFIXES

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""What counts as a picture in a folder, in small or capital letters."""

_ORIENTATION = 0x0112  # the tag in EXIF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def find_pictures(sources: Iterable[Path]) -> list[Path]:
    """The files among `sources` as they are, and of each folder its pictures, sorted by name.

    Folders below a folder and hidden files are left out; a file that is named twice is taken once.
    Raises HscError for a source that is not there, a folder without pictures, and two pictures of
    the same stem, whose results would have the same name.
    """
    found = {os.path.abspath(path): path for source in sources for path in _pictures_of(source)}
    by_stem: dict[str, Path] = {}
    for path in found.values():
        other = by_stem.setdefault(path.stem, path)
        if other is not path:
            raise PredictionError(
                f"{other} and {path}: their results would both be named {path.stem!r}; rename one "
                "of them, or predict them into different folders"
            )
    return list(found.values())


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder by their suffixes, sorted; hidden files are none."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _pictures_of(source: Path) -> Sequence[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise PredictionError(f"{source}: no such file or folder; correct the path")
    pictures = pictures_in(source)
    if not pictures:
        raise PredictionError(
            f"{source}: no pictures in it ({', '.join(SUFFIXES)}); folders below it are not "
            "searched: name them too"
        )
    return pictures


def read_picture(path: Path, depth: int | None = None) -> NDArray[np.uint8]:
    """A picture as (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    Transparent pixels are seen on white, of an animation the first picture. Of 16 bits the upper 8
    of `depth` are kept: pass the `common_depth` of all pictures that belong together; None stands
    for the one that the picture's own highest value asks for.
    Raises HscError when it is missing, damaged, too large, or of values whose range nobody knows.
    """
    with opened(path) as image:
        seen = eight_bits(path, image, depth)
        return np.array(_colours(_turned(seen, _orientation(image))))


def upright(image: Image.Image) -> Image.Image:
    """A picture as it is seen, turned as its EXIF orientation says; it is decoded here."""
    image.load()
    return _turned(image, _orientation(image))


def is_plain(path: Path) -> bool:
    """Whether every stage reads the same pixels from the file as `read_picture`.

    That is a JPEG or PNG by content and by suffix, upright, of 8 bits, without transparency. Raises
    HscError for a file that is no picture.
    """
    with opened(path) as image:
        return (
            image.format in ("JPEG", "PNG")
            and not is_deep(image)
            and path.suffix in IMAGE_SUFFIXES
            and _orientation(image) not in _TURNS
            and image.mode in ("RGB", "L", "P")
            and "transparency" not in image.info
        )


def shrunk_size(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    """(width, height) in proportion, no side over `max_side`; None changes nothing."""
    if max_side is None or max(width, height) <= max_side:
        return width, height
    return longest_edge_size(width, height, max_side)


def shrink_picture(image: NDArray[np.uint8], max_side: int | None) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 at its `shrunk_size`, bicubic."""
    picture = Image.fromarray(image)
    return np.array(resize_picture(picture, shrunk_size(*picture.size, max_side)))


def _orientation(image: Image.Image) -> int | None:
    """Of EXIF that cannot be read nothing is known, but the pixels may be whole."""
    try:
        return image.getexif().get(_ORIENTATION)
    except DAMAGE:
        return None


def _turned(image: Image.Image, orientation: int | None) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _colours(image: Image.Image) -> Image.Image:
    """To RGB. Pillow's own conversion forgets transparency."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    seen = image.convert("RGBA")
    white = Image.new("RGBA", seen.size, "white")
    return Image.alpha_composite(white, seen).convert("RGB")
