"""Pictures of more than 8 bits a value: noticed, read whole, brought to 8 bits.

A file of 16 bits does not say how many of them its camera has: one of 12 writes 0..4095. So the
highest value decides, and that of all the pictures of a set together: a dark one stays dark.

Letters: H W pixels as they lie in the file, not yet turned.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsc.base.errors import DataError, HscError
from hsc.base.pool import map_ordered
from hsc.data.picture_problems import opened

DEPTHS = (8, 10, 12, 14, 16)
"""Bits a value that cameras, scanners and microscopes have."""

_BITS, _MEANING, _PLANES, _SIGN = 258, 262, 284, 339  # tags of TIFF


def is_deep(image: Image.Image) -> bool:
    """Whether a picture, opened and not yet decoded, has more than 8 bits a value.

    Pillow's mode does not say so of colours: of those it decodes the upper 8 bits alone.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        return True
    raw = (str(tile[3]) for tile in image.tile)
    return max(_tag(image, _BITS, 8)) > 8 or any(";16" in mode for mode in raw)


def depth_of(highest: int) -> int:
    """The least of `DEPTHS` that holds a value of 0..65535."""
    return next(depth for depth in DEPTHS if highest < 1 << depth)


def common_depth(paths: Iterable[Path], processes: int = 1) -> int | None:
    """The least of `DEPTHS` that holds all values of all deep pictures; None if there are none.

    A picture that cannot be read counts for nothing: its error is told when it is read. processes:
    as in `hsc.base.pool.map_ordered`.
    """
    highest = [value for value in map_ordered(_highest_in, paths, processes) if value is not None]
    return depth_of(max(highest)) if highest else None


def eight_bits(path: Path, image: Image.Image, depth: int | None = None) -> Image.Image:
    """Decode a picture; of a deep one the upper 8 of its `depth` bits, as mode L, RGB or RGBA.

    path: the file that `image` was opened from, not yet decoded. depth: one of `DEPTHS`; None for
    the picture's own.
    Raises HscError for values over the depth, and for those whose range or order is not known:
    signed, of 32 bits, with a point, in separate planes.
    """
    _check_range(path, image)
    if not is_deep(image):
        image.load()
        return image
    values = _values(path, image)
    own = depth_of(_highest(values))
    if own > (depth or own):
        raise DataError(
            f"{path}: has values up to {_highest(values)}, more than {depth} bits hold; leave the "
            "files alone while they are read, and run it again"
        )
    seen = values >> ((depth or own) - 8)
    if values.ndim == 3 and values.shape[2] == 4:  # how much is opaque is another scale
        alpha = values[..., 3]
        seen[..., 3] = alpha >> (depth_of(int(alpha.max())) - 8)
    return Image.fromarray(seen.astype(np.uint8))


def _check_range(path: Path, image: Image.Image) -> None:
    """Raise HscError for values that may be below 0 or have no known highest one."""
    wide = image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM"))
    if wide or any(sign in (2, 3) for sign in _tag(image, _SIGN, 1)):
        raise DataError(
            f"{path}: values that are signed, of 32 bits or with a point (mode {image.mode}), so "
            "their range is unknown; save it with 8 or 16 bits, unsigned"
        )


def _highest(values: NDArray[np.uint16]) -> int:
    """Of the colours, without what is opaque."""
    return int((values if values.ndim == 2 else values[..., :3]).max())


def _highest_in(path: Path) -> int | None:
    try:
        with opened(path) as image:
            if not is_deep(image):
                return None
            _check_range(path, image)
            return _highest(_values(path, image))
    except HscError:
        return None


def _values(path: Path, image: Image.Image) -> NDArray[np.uint16]:
    """(H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA."""
    _check_order(path, image)
    image.load()  # tells of damage, which OpenCV may pass over
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)  # of either order of bytes
    import cv2  # slow to import, and wanted for few pictures

    values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.shape[:2] != image.size[::-1]:
        raise _unknown_order(path, image)
    return values if values.ndim == 2 else values[..., (2, 1, 0, 3)[: values.shape[2]]]


def _check_order(path: Path, image: Image.Image) -> None:
    """Raise HscError for what neither Pillow nor OpenCV reads right: they do not say so."""
    grey = image.mode.startswith("I")
    known = (
        (grey or image.mode in ("RGB", "RGBA"))
        and _tag(image, _PLANES, 1) == (1,)
        and _tag(image, _MEANING, 1)[0] in (1, 2)
        and not (grey and "transparency" in image.info)
    )
    if not known:
        raise _unknown_order(path, image)


def _unknown_order(path: Path, image: Image.Image) -> DataError:
    return DataError(
        f"{path}: {image.format} of 16 bits a value in a form that is not read (planes one after "
        f"the other, 0 as white, a transparent grey, mode {image.mode}); save it with 8 bits"
    )


def _tag(image: Image.Image, number: int, default: int) -> tuple[int, ...]:
    """A tag of a TIFF file; of other formats the default."""
    found = getattr(image, "tag_v2", {}).get(number, default)
    return found if isinstance(found, tuple) else (found,)
