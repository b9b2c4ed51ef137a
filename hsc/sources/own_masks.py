"""Masks as people bring them: class indices, or the colours that VOC paints classes in.

A picture of indices is taken as it is, one of colours is translated by VOC's palette. A palette has
both, and they may contradict each other: image editors sort palettes anew and keep the colours.

Letters: H W pixels of a mask as it is seen, upright.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsc.base.errors import DataError
from hsc.data.classes import IGNORE, palette
from hsc.data.deep_pictures import is_deep
from hsc.data.picture_problems import opened
from hsc.data.pictures import upright

_SAVE_IT = "save it as a PNG of 8-bit class indices, grey or with VOC's palette"
_EXACT = ("PNG", "BMP", "TIFF", "GIF")
_LOSSY = ("jpeg", "tiff_jpeg", "webp")  # compressions within TIFF
_UNKNOWN = -1


def read_own_mask(path: Path, num_classes: int) -> NDArray[np.uint8]:
    """A mask of C = `num_classes` classes, (H, W) uint8: 0 background, 1..C classes, 255 ignored.

    Grey pictures hold indices. A palette's indices count where its used colours are VOC's for these
    very indices or none of VOC's; where they all are VOC's for other indices the colours count.
    Colours without a palette have to be VOC's.
    Raises HscError for a mask that is missing, damaged, of a lossy format, of several pictures,
    transparent, in other colours, in colours that may mean either, or of a class beyond C.
    """
    with opened(path) as image:
        _check_exact(path, image)
        seen = upright(image)
        if seen.mode == "P":
            mask = _by_palette(path, seen, num_classes)
        elif seen.mode in ("RGB", "RGBA"):
            mask = _by_colour(path, seen, num_classes)
        else:
            mask = _as_indices(path, seen, num_classes)
    wrong = mask[((mask < 0) | (mask > num_classes)) & (mask != IGNORE)]
    if wrong.size:
        raise DataError(
            f"{path}: index {wrong[0]} is impossible with {num_classes} classes (0..{num_classes} "
            f"and {IGNORE} are possible); correct the mask or classes.txt"
        )
    return mask.astype(np.uint8)


def _check_exact(path: Path, image: Image.Image) -> None:
    """Raise HscError for a file whose values may have changed when it was saved, or will here."""
    if image.format not in _EXACT or image.info.get("compression") in _LOSSY:
        raise DataError(
            f"{path}: {image.format}, which may change values when it is saved, and a class with "
            f"them; {_SAVE_IT}"
        )
    if (count := getattr(image, "n_frames", 1)) > 1:
        raise DataError(f"{path}: {count} pictures in one file, not one of all classes; {_SAVE_IT}")
    if any("L;2" in str(tile[3]) or "L;4" in str(tile[3]) for tile in image.tile):
        raise DataError(
            f"{path}: grey of 2 or 4 bits, whose values are shares of white and no indices; "
            f"{_SAVE_IT}"
        )
    if is_deep(image) and not image.mode.startswith("I"):
        raise DataError(
            f"{path}: colours of 16 bits or values with a point, no class indices; {_SAVE_IT}"
        )


def _as_indices(path: Path, image: Image.Image, num_classes: int) -> NDArray:
    """Grey as it is; of one class, white is it."""
    if image.mode == "L" or image.mode.startswith("I"):
        return np.asarray(image)
    if image.mode == "LA" and _is_opaque(image):
        return np.asarray(image)[..., 0]
    if image.mode == "1" and num_classes == 1:
        return np.asarray(image).astype(np.uint8)
    if image.mode == "1":
        raise DataError(
            f"{path}: black and white say nothing of which of the {num_classes} classes is where; "
            f"{_SAVE_IT}"
        )
    raise DataError(f"{path}: a picture of mode {image.mode}, not of class indices; {_SAVE_IT}")


def _by_colour(path: Path, image: Image.Image, num_classes: int) -> NDArray[np.int64]:
    """The indices of the colours that VOC paints classes in."""
    if image.mode == "RGBA" and not _is_opaque(image):
        raise DataError(f"{path}: partly transparent, so its colours are no classes; {_SAVE_IT}")
    colours = np.asarray(image)[..., :3]
    indices = _voc_indices(colours)
    other = colours[indices == _UNKNOWN]
    if other.size:
        count = len(np.unique(colours.reshape(-1, 3), axis=0))
        raise DataError(
            f"{path}: {count} colours, of which {_text(other[0])} is no class's in VOC's palette; "
            f"{_SAVE_IT}"
        )
    _check_classes(path, colours, indices, num_classes)
    return indices


def _by_palette(path: Path, image: Image.Image, num_classes: int) -> NDArray:
    mask = np.asarray(image)
    used = np.unique(mask)
    colours = _palette(image)[used]
    meant = _voc_indices(colours)
    elsewhere = (meant != _UNKNOWN) & (meant != used)
    levels = colours[:, 0]
    grey = bool((colours == levels[:, None]).all())
    if (meant == used).all() or (grey and (levels == used).all()):
        return mask
    if grey and _are_classes(levels, num_classes):  # grey indices, packed into a palette
        raise _unclear(path, used, colours, levels != used)
    if not elsewhere.any():
        return mask
    if (meant == _UNKNOWN).any():
        raise _unclear(path, used, colours, elsewhere)
    _check_classes(path, colours, meant, num_classes)
    translated = np.zeros(256, np.int64)
    translated[used] = meant
    return translated[mask]


def _unclear(
    path: Path, used: NDArray, colours: NDArray[np.int64], wrong: NDArray[np.bool_]
) -> DataError:
    first = int(np.argmax(wrong))
    return DataError(
        f"{path}: its palette has the colour {_text(colours[first])} as index {used[first]}, which "
        f"stands for another class elsewhere: unclear whether indices or colours count; {_SAVE_IT}"
    )


def _check_classes(
    path: Path, colours: NDArray, indices: NDArray[np.int64], num_classes: int
) -> None:
    beyond = (indices > num_classes) & (indices != IGNORE)
    if beyond.any():
        raise DataError(
            f"{path}: {_text(colours[beyond][0])} is VOC's colour of index {indices[beyond][0]}, "
            f"and there are {num_classes} classes; correct the mask or classes.txt"
        )


def _are_classes(levels: NDArray[np.int64], num_classes: int) -> bool:
    """Whether grey levels may be indices. 0 and 255 alone are black and white, and no class."""
    inside = levels <= num_classes
    return bool((inside | (levels == IGNORE)).all() and (inside & (levels > 0)).any())


def _is_opaque(image: Image.Image) -> bool:
    return image.getchannel("A").getextrema() == (255, 255)


def _palette(image: Image.Image) -> NDArray[np.int64]:
    """(256, 3) RGB; -1 where a file's palette has ended."""
    found = np.array(image.getpalette("RGB"), np.int64).reshape(-1, 3)
    return np.concatenate([found, np.full((256 - len(found), 3), -1)])


def _voc_indices(colours: NDArray) -> NDArray[np.int64]:
    """(..., 3) RGB to the indices that VOC's palette has them for; -1 for none."""
    codes = _codes(palette())
    order = np.argsort(codes)
    wanted = _codes(colours)
    found = order[np.searchsorted(codes[order], wanted).clip(max=len(codes) - 1)]
    return np.where(codes[found] == wanted, found, _UNKNOWN)


def _codes(colours: NDArray) -> NDArray[np.int64]:
    return colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])


def _text(colour: NDArray) -> str:
    return "({}, {}, {})".format(*colour)
