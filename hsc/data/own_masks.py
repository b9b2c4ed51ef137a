"""Masks that people bring: class indices, whichever way they are painted.

VOC's masks are palette pictures whose numbers are the indices. An image editor that saves one may
put its colours in another order, or paint it in RGB; then the colours say which class is meant.

Letters: C foreground classes, H W pixels.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsc.data.classes import IGNORE, palette
from hsc.data.damage import DAMAGE, damaged_picture, open_picture
from hsc.data.voc import check_indices
from hsc.errors import DataError

_SAVE = "save it as an 8-bit PNG of class indices, grey or in VOC's colours"


def read_own_mask(path: Path, num_classes: int) -> NDArray[np.uint8]:
    """The class indices (H, W) uint8 of a mask: 0 background, 1..C classes, 255 ignored.

    Grey pictures are indices. Palette pictures too, if the palette is VOC's or no class has its
    colours; if they are VOC's in another order, the colours count. So they do in RGB.
    Raises HscError for a file that is missing, damaged or lossy; for colours that are no class's;
    and for an index that is neither in 0..C nor 255.
    """
    with open_picture(path) as image:
        if image.format == "JPEG":
            raise DataError(f"{path}: JPEG, which does not keep the indices of a mask; {_SAVE}")
        try:
            image.load()
        except DAMAGE as error:
            raise damaged_picture(path, error) from None
        mask = _indices(path, image, num_classes)
    check_indices(path, mask, num_classes)
    return mask


def _indices(path: Path, image: Image.Image, num_classes: int) -> NDArray[np.uint8]:
    if image.mode in ("L", "1"):
        return np.array(image).astype(np.uint8)
    if image.mode == "P":
        return _of_palette(path, image, num_classes)
    if image.mode in ("RGB", "RGBA", "LA") and _is_opaque(image):
        return _of_colours(path, np.array(image.convert("RGB")), num_classes)
    if image.mode.startswith("I"):
        values = np.array(image)
        if values.size == 0 or (values.min() >= 0 and values.max() <= IGNORE):
            return values.astype(np.uint8)
    raise DataError(f"{path}: a picture of mode {image.mode}, not of class indices; {_SAVE}")


def _is_opaque(image: Image.Image) -> bool:
    return "A" not in image.getbands() or image.getchannel("A").getextrema()[0] == 255


def _of_palette(path: Path, image: Image.Image, num_classes: int) -> NDArray[np.uint8]:
    mask = np.array(image)
    colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    used = np.unique(mask)
    if used.max(initial=0) >= len(colours) or (colours[used] == palette()[used]).all():
        return mask
    # Not the used entries alone: then files of one palette would be read in two ways.
    top = max([num_classes, *(int(k) for k in used if k != IGNORE)])
    entries = np.union1d(np.arange(min(top + 1, len(colours))), used)
    if _are_indices(colours[used], num_classes):
        return colours[mask][..., 0]
    if (_classes_of(colours[entries]) < 0).any():
        return mask  # colours of somebody's own: the numbers are what is meant
    return _of_colours(path, colours[mask], num_classes)


def _are_indices(colours: NDArray[np.uint8], num_classes: int) -> bool:
    """Whether colours (N, 3) are greys as dark as indices: a grey mask saved with a palette.

    Black and white alone are not: they are the numbers 0 and 1 of a palette more often.
    """
    grey = colours[:, 0]
    possible = (grey <= num_classes) | (grey == IGNORE)
    a_class = (grey > 0) & (grey <= num_classes)
    return bool((colours == grey[:, None]).all() and possible.all() and a_class.any())


def _of_colours(path: Path, pixels: NDArray[np.uint8], num_classes: int) -> NDArray[np.uint8]:
    """The indices of pixels (H, W, 3) in VOC's colours."""
    colours, which = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    classes = _classes_of(colours)
    wrong = np.flatnonzero((classes < 0) | ((classes > num_classes) & (classes != IGNORE)))
    if wrong.size:
        index = classes[wrong[0]]
        meaning = "no class's in VOC's palette" if index < 0 else f"VOC's of index {index}"
        raise DataError(
            f"{path}: in colours, of which {tuple(map(int, colours[wrong[0]]))} is {meaning} "
            f"({len(colours)} colours in all; the data set has {num_classes} classes); {_SAVE}"
        )
    return classes[which].reshape(pixels.shape[:2]).astype(np.uint8)


def _classes_of(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The index whose colour in VOC's palette each of (N, 3) is, -1 for none; all 256 differ."""
    known, asked = _number(palette()), _number(colours)
    order = np.argsort(known)
    found = order[np.searchsorted(known[order], asked).clip(max=len(known) - 1)]
    return np.where(known[found] == asked, found, -1)


def _number(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    return colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
