"""Pictures to training crops: resize, flip, jitter, normalise, crop.

Sizes and draws follow the published loaders (PSA, SEAM, EPS, PPC, HSC). All randomness comes from
the `random.Random` that is handed in. Letters: H W pixels.
"""

import random
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's RGB statistics on [0, 1]."""

_SCALE = (1 / (255 * np.array(STD)))[:, None, None].astype(np.float32)
_OFFSET = (np.array(MEAN) / np.array(STD))[:, None, None].astype(np.float32)


@dataclass(frozen=True)
class Augmentation:
    """What `augment` draws from.

    crop_size: side of the square crop, pixels. resize_longest: range of the longest edge, pixels,
    or None where `scale` is given: the range of a factor of the picture's own size (DeepLab).
    flip: probability of a horizontal flip. brightness, contrast, saturation: factors are uniform in
    [1 - x, 1 + x]. hue: shift uniform in [-x, x] turns. hsv: DeepLab's jitter: hue, saturation and
    value are shifted by whole numbers uniform in [-x, x], the hue in steps of 2 degrees, the others
    in grey levels of 255.
    """

    crop_size: int
    resize_longest: tuple[int, int] | None
    flip: float = 0.5
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    scale: tuple[float, float] | None = None
    hsv: int = 0

    def __post_init__(self) -> None:
        if (self.resize_longest is None) == (self.scale is None):
            raise ValueError("give one of resize_longest and scale")


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


def draw_crop(
    width: int, height: int, size: int, rng: random.Random
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a crop of `size` lies: `(from, to)`, slices into the picture and into the crop.

    A side longer than the crop is cut at a random place, a shorter one lies at a random place of
    the (zero-filled) crop. Horizontal draw first.
    """

    def along(length: int) -> tuple[slice, slice]:
        space = abs(length - size)
        offset = rng.randrange(space + 1)
        if length >= size:
            return slice(offset, offset + size), slice(0, size)
        return slice(0, length), slice(offset, offset + length)

    source_x, target_x = along(width)
    source_y, target_y = along(height)
    return (source_y, source_x), (target_y, target_x)


def crop(
    array: NDArray[np.generic],
    where: tuple[tuple[slice, slice], tuple[slice, slice]],
    size: int,
    fill: int = 0,
) -> NDArray[np.generic]:
    """Cut (..., H, W) to (..., size, size) as drawn by `draw_crop`, `fill` outside the picture."""
    source, target = where
    result = np.full((*array.shape[:-2], size, size), fill, dtype=array.dtype)
    result[(..., *target)] = array[(..., *source)]
    return result


def augment(
    image: NDArray[np.uint8],
    label: NDArray[np.uint8] | None,
    how: Augmentation,
    rng: random.Random,
    label_fill: int,
    label_resampling: Literal["nearest", "bilinear"] = "nearest",
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
    """One random crop of a picture and, at the same pixels, of its label or saliency map.

    image (H, W, 3) uint8, label (H, W) uint8 or None; returns (3, S, S) float32, normalised, zero
    outside the picture, and (S, S) uint8, `label_fill` outside.
    """
    height, width = image.shape[:2]
    size = _draw_size(width, height, how, rng)
    picture = resize_picture(Image.fromarray(image), size)
    flip = rng.random() < how.flip
    picture = _jitter(picture, how, rng)
    pixels = normalise(np.asarray(picture))
    where = draw_crop(*size, how.crop_size, rng)
    if flip:
        pixels = pixels[..., ::-1]
    cropped = crop(pixels, where, how.crop_size)
    if label is None:
        return cropped, None
    resampling = Image.Resampling[label_resampling.upper()]
    resized = np.asarray(Image.fromarray(label).resize(size, resampling))
    if flip:
        resized = resized[:, ::-1]
    return cropped, crop(resized, where, how.crop_size, label_fill)


def _draw_size(width: int, height: int, how: Augmentation, rng: random.Random) -> tuple[int, int]:
    """(width, height) to resize to."""
    if how.scale is not None:
        return scaled_size(width, height, rng.uniform(*how.scale))
    return longest_edge_size(width, height, rng.randint(*how.resize_longest))


def _jitter(picture: Image.Image, how: Augmentation, rng: random.Random) -> Image.Image:
    enhancers = (
        (ImageEnhance.Brightness, how.brightness),
        (ImageEnhance.Contrast, how.contrast),
        (ImageEnhance.Color, how.saturation),
    )
    for enhancer, strength in enhancers:
        factor = rng.uniform(max(0.0, 1 - strength), 1 + strength)
        if strength:
            picture = enhancer(picture).enhance(factor)
    shift = round(rng.uniform(-how.hue, how.hue) * 255)
    if shift:
        picture = shift_hsv(picture, shift, 0, 0)
    if how.hsv:
        hue, saturation, value = (rng.randint(-how.hsv, how.hsv) for _ in range(3))
        picture = shift_hsv(picture, round(hue * 255 / 180), saturation, value)
    return picture


def shift_hsv(picture: Image.Image, hue: int, saturation: int, value: int) -> Image.Image:
    """Shift a picture's hue (255 steps are a turn), saturation and value (cut to 0..255)."""
    hsv = np.asarray(picture.convert("HSV")).astype(np.int16)
    hsv[..., 0] = (hsv[..., 0] + hue) % 256
    hsv[..., 1:] = np.clip(hsv[..., 1:] + np.array([saturation, value], np.int16), 0, 255)
    return Image.fromarray(hsv.astype(np.uint8), "HSV").convert("RGB")
