"""Pictures of 16 bits a value, made 8: X-ray, microscope and satellite pictures.

Their values often take 10 or 12 bits of the 16. How many is seen from the highest value of all
pictures together: each by itself would make a dark one bright.

Letters: H W pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsc.data.damage import DAMAGE, damaged_picture, open_picture
from hsc.errors import HscError, PredictionError
from hsc.pool import map_ordered

_DEPTHS = (8, 10, 12, 14, 16)  # of the converters that there are


def is_deep(image: Image.Image) -> bool:
    """Whether an opened picture has 16 bits a value in its file.

    Of those in colours Pillow keeps the upper 8 alone, which its decoder's name gives away.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return True
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def common_depth(paths: Sequence[Path], processes: int = 1) -> int | None:
    """The bits that the values of all 16-bit pictures among `paths` take; None without any.

    processes: as of `hsc.pool.map_ordered`. What cannot be read is left out.
    """
    found = [value for value in map_ordered(_highest, paths, processes) if value is not None]
    return depth_for(max(found)) if found else None


def depth_for(highest: int) -> int:
    """The smallest usual number of bits that holds a value of 0..65535."""
    return next(depth for depth in _DEPTHS if highest < 1 << depth)


def read_deep(path: Path, image: Image.Image, depth: int | None) -> Image.Image:
    """A 16-bit picture as one of 8 bits, L, RGB or RGBA, as it lies in its file.

    depth: the bits that its values take; None: as its own highest says.
    Raises HscError when it is damaged or has values below 0.
    """
    values, alpha = _values(path, image)
    shift = (depth_for(int(values.max(initial=0))) if depth is None else depth) - 8
    eight = np.minimum(values >> shift, 255).astype(np.uint8)
    if alpha is not None:
        eight = np.dstack([eight, (alpha >> 8).astype(np.uint8)])
    return Image.fromarray(eight)


def _highest(path: Path) -> int | None:
    try:
        with open_picture(path) as image:
            return int(_values(path, image)[0].max(initial=0)) if is_deep(image) else None
    except HscError:
        return None  # it is told where the picture is read


def _values(path: Path, image: Image.Image) -> tuple[NDArray[np.int32], NDArray[np.int32] | None]:
    """The values (H, W) or (H, W, 3), RGB, and the opacity (H, W), if any; 0..65535."""
    grey = image.mode.startswith("I")
    try:
        found = np.asarray(image) if grey else _read_colours(path)
    except DAMAGE as error:
        raise damaged_picture(path, error) from None
    values = found.astype(np.int32)
    if values.size and values.min() < 0:
        raise PredictionError(
            f"{path}: values below 0, of which nobody knows how bright they are; save it with 8 "
            "bits, or 16 without a sign"
        )
    if values.ndim == 2:
        return values, None
    return values[..., 2::-1], values[..., 3] if values.shape[2] == 4 else None


def _read_colours(path: Path) -> NDArray[np.uint16]:
    """(H, W, 3 or 4) BGR(A): Pillow has no picture of 16 bits in colours."""
    import cv2  # half a second, which only such pictures need

    found = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16:
        raise ValueError("16 bits in colours, which could not be decoded")
    return found
