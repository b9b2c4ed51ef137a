"""What training and inference do to a picture alike: sizes, resizing, normalising. No torch.

Sizes follow the published loaders (PSA, SEAM, EPS, PPC, HSC). Letters: H W pixels.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's RGB statistics on [0, 1]."""

_SCALE = (1 / (255 * np.array(STD)))[:, None, None].astype(np.float32)
_OFFSET = (np.array(MEAN) / np.array(STD))[:, None, None].astype(np.float32)


def longest_edge_size(width: int, height: int, target: int) -> tuple[int, int]:
    """(width, height) with the longer side at `target`, the other rounded half to even, at least
    one pixel."""
    if width < height:
        return max(1, round(width * target / height)), target
    return target, max(1, round(height * target / width))


def scaled_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """(width, height) times `scale`, each rounded half to even, at least one pixel."""
    return max(1, round(width * scale)), max(1, round(height * scale))


def resize_picture(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Bicubic resize to (width, height); the picture itself where it has that size."""
    return picture if picture.size == size else picture.resize(size, Image.Resampling.BICUBIC)


def normalise(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB to (3, H, W) float32 with ImageNet's mean and deviation removed."""
    planes = np.multiply(image.transpose(2, 0, 1), _SCALE, dtype=np.float32, order="C")
    return np.subtract(planes, _OFFSET, out=planes)
