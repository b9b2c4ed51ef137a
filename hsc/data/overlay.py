"""Class colours and CAMs over a picture.

Letters: H W pixels.
"""

import numpy as np
from numpy.typing import NDArray

from hsc.data.classes import IGNORE, palette

_COLOUR = 0.65  # weight of a class's colour
_DARKER = 0.35  # weight of black on the background


def colour_labels(image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blend VOC's class colours with the picture; background is darker, ignored pixels are white.

    image: (H, W, 3) RGB. labels: (H, W) class indices. Returns (H, W, 3).
    """
    table = _blended_values()
    overlay = np.empty_like(image)
    for channel in range(3):
        # One look-up a pixel: the products themselves would be floats of eight times the memory.
        index = labels.astype(np.uint16) << 8 | image[..., channel]
        np.take(table[..., channel], index, out=overlay[..., channel])
    return overlay


def heat_map(image: NDArray[np.uint8], cam: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Blend one class's CAM (H, W), as colours from blue to red, with the picture (H, W, 3)."""
    import matplotlib as mpl  # takes a moment, and few that colour labels draw heat maps

    return blend(image, mpl.colormaps["jet"](cam)[..., :3] * 255, 0.5)


def blend(
    image: NDArray[np.uint8], colours: NDArray[np.floating], weight: float
) -> NDArray[np.uint8]:
    """`weight` of the colours and the rest of the picture, rounded half to even."""
    return np.round((1 - weight) * image + weight * colours).astype(np.uint8)


def _blended_values() -> NDArray[np.uint8]:
    """(256, 256, 3): what becomes of a pixel of a class with a value in a channel."""
    colours = palette().astype(np.float64)
    colours[IGNORE] = 255
    values = np.arange(256, dtype=np.uint8)[None, :, None]
    table = blend(values, colours[:, None], _COLOUR)
    table[0] = blend(values[0], np.zeros(3), _DARKER)
    return table
