"""Training crops by torchvision's transforms v2: resize, flip, jitter, cut, normalise, pad.

The order, the sizes and the draws are those of the published loaders (PSA, SEAM, EPS, PPC, HSC;
`hsv` is DeepLab's). Hue and saturation change pixels one by one, so they come after the cut, and
normalising does too: the same crop, without work on what is thrown away. The padding comes last:
it is zero after the normalisation.

`draw` takes every random number of a sample from the `random.Random` that is handed in, and the
rest is a function of them. v2's own random transforms draw from torch's global generator, so that a
sample would depend on what was drawn before it; only v2's kernels are used, each on what it is
faster on: tensors for the geometry, Pillow's pictures for the colours.

Letters: H W pixels of the picture, h w of the resized one, S side of the crop.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from hsc.data.classes import IGNORE
from hsc.data.preprocessing import longest_edge_size, normalise, scaled_size
from hsc.params.base import Augmentation


class Saliency(tv_tensors.Image):
    """A saliency map, (1, H, W) uint8, 255 is salient: it moves with the picture and keeps its
    values, in between of which it is resampled."""


Plane = tv_tensors.Image | Saliency | tv_tensors.Mask
"""A picture (3, H, W), a saliency map or a label map (1, H, W), all uint8."""
Shape = TypeVar("Shape", tv_tensors.TVTensor, Pillow.Image)

RESAMPLING = {
    tv_tensors.Image: InterpolationMode.BICUBIC,
    Saliency: InterpolationMode.BILINEAR,
    tv_tensors.Mask: InterpolationMode.NEAREST_EXACT,
}
FILL = {tv_tensors.Image: 0, Saliency: 0, tv_tensors.Mask: IGNORE}
"""What lies around the picture; for the normalised picture, 0 is the mean colour."""


class Window(NamedTuple):
    """What a crop shows: a rectangle of the picture, and how much padding lies around it, pixels.

    padding: left, top, right, bottom.
    """

    top: int
    left: int
    height: int
    width: int
    padding: tuple[int, int, int, int]


@dataclass(frozen=True)
class Draws:
    """The random numbers of one sample.

    size: (h, w) to resize to. flip: whether to. brightness, contrast, saturation: factors, 1 leaves
    the picture as it is. hue: turns, 0 where there is no such jitter. hsv: shifts of hue (255 steps
    are a turn), saturation and value (grey levels), None where there is no such jitter. window:
    what is kept of the resized picture.
    """

    size: tuple[int, int]
    flip: bool
    brightness: float
    contrast: float
    saturation: float
    hue: float
    hsv: tuple[int, int, int] | None
    window: Window


def draw(height: int, width: int, how: Augmentation, rng: random.Random) -> Draws:
    """The random numbers for a picture of this size, always in the same order."""
    new_width, new_height = _draw_size(width, height, how, rng)
    return Draws(
        size=(new_height, new_width),
        flip=rng.random() < how.flip,
        brightness=_draw_factor(how.brightness, rng),
        contrast=_draw_factor(how.contrast, rng),
        saturation=_draw_factor(how.saturation, rng),
        hue=rng.uniform(-how.hue, how.hue),
        hsv=_draw_hsv(how.hsv, rng) if how.hsv else None,
        window=draw_window(new_width, new_height, how.crop_size, rng),
    )


def _draw_size(width: int, height: int, how: Augmentation, rng: random.Random) -> tuple[int, int]:
    """(width, height) to resize to."""
    if how.scale is not None:
        return scaled_size(width, height, rng.uniform(*how.scale))
    return longest_edge_size(width, height, rng.randint(*how.resize_longest))


def _draw_factor(strength: float, rng: random.Random) -> float:
    return rng.uniform(max(0.0, 1 - strength), 1 + strength)


def _draw_hsv(strength: int, rng: random.Random) -> tuple[int, int, int]:
    hue, saturation, value = (rng.randint(-strength, strength) for _ in range(3))
    return round(hue * 255 / 180), saturation, value


def draw_window(width: int, height: int, size: int, rng: random.Random) -> Window:
    """Where a crop of `size` lies.

    A side longer than the crop is cut at a random place, a shorter one lies at a random place of
    the padded crop. Horizontal draw first.
    """

    def along(length: int) -> tuple[int, int, int, int]:
        """Where the kept part starts, its length, the padding before and after it."""
        offset = rng.randrange(abs(length - size) + 1)
        if length >= size:
            return offset, size, 0, 0
        return 0, length, offset, size - length - offset

    left, kept_width, pad_left, pad_right = along(width)
    top, kept_height, pad_top, pad_bottom = along(height)
    return Window(top, left, kept_height, kept_width, (pad_left, pad_top, pad_right, pad_bottom))


def image_plane(pixels: NDArray[np.uint8]) -> tv_tensors.Image:
    """(H, W, 3) uint8 RGB as (3, H, W), the same memory: resizing is fastest on it."""
    return tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1))


def saliency_plane(values: NDArray[np.uint8]) -> Saliency:
    """(H, W) uint8, 255 is salient, as (1, H, W)."""
    return Saliency(torch.from_numpy(values)[None])


def label_plane(labels: NDArray[np.uint8]) -> tv_tensors.Mask:
    """(H, W) uint8 class indices as (1, H, W)."""
    return tv_tensors.Mask(torch.from_numpy(labels)[None])


def augment(planes: Sequence[Plane], how: Augmentation, rng: random.Random) -> list[Tensor]:
    """One random crop of a picture and, at the same pixels, of its saliency map or label map.

    planes: the picture first. Returns plain tensors in the same order: the picture (3, S, S)
    float32, normalised, zero outside of the picture; a saliency map (1, S, S) uint8, 0 outside; a
    label map (1, S, S) uint8, 255 outside. Raises ValueError for planes of different sizes.
    """
    height, width = planes[0].shape[-2:]
    if any(plane.shape[-2:] != (height, width) for plane in planes):
        raise ValueError(f"planes of different sizes: {[tuple(plane.shape) for plane in planes]}")
    draws = draw(height, width, how, rng)
    image, *maps = (place(plane, draws) for plane in planes)
    picture = expose(v2.to_pil_image(image), draws)
    picture, *maps = (cut(shape, draws.window) for shape in (picture, *maps))
    picture = recolour(picture, draws)
    image = tv_tensors.Image(torch.from_numpy(normalise(np.asarray(picture))))
    return [pad(plane, draws.window).as_subclass(Tensor) for plane in (image, *maps)]


def place(plane: Plane, draws: Draws) -> Plane:
    """Resize a plane and flip it: (.., H, W) to (.., h, w)."""
    placed = resize(plane, draws.size)
    return v2.horizontal_flip(placed) if draws.flip else placed


def resize(plane: Plane, size: tuple[int, int]) -> Plane:
    """Resize to (h, w): a picture bicubically, saliency bilinearly, labels to the nearest."""
    # v2.resize of torchvision 0.26 ignores a mask's mode: its nearest is half a pixel off
    pixels = plane.as_subclass(Tensor)
    return tv_tensors.wrap(v2.resize_image(pixels, size, RESAMPLING[type(plane)]), like=plane)


def cut(shape: Shape, window: Window) -> Shape:
    """The rectangle of a plane or of a Pillow picture that the crop shows."""
    return v2.crop(shape, window.top, window.left, window.height, window.width)


def pad(plane: Plane, window: Window) -> Plane:
    """Fill the crop around the rectangle: (.., height, width) to (.., S, S)."""
    return v2.pad(plane, list(window.padding), fill=FILL[type(plane)])


def expose(picture: Pillow.Image, draws: Draws) -> Pillow.Image:
    """Brightness, then contrast: away from or towards the whole picture's mean grey."""
    if draws.brightness != 1:
        picture = v2.adjust_brightness(picture, draws.brightness)
    if draws.contrast != 1:
        picture = v2.adjust_contrast(picture, draws.contrast)
    return picture


def recolour(picture: Pillow.Image, draws: Draws) -> Pillow.Image:
    """Saturation, then hue, each pixel by itself."""
    if draws.saturation != 1:
        picture = v2.adjust_saturation(picture, draws.saturation)
    if draws.hue:
        picture = shift_hsv(picture, int(draws.hue * 255), 0, 0)
    if draws.hsv is not None:
        picture = shift_hsv(picture, *draws.hsv)
    return picture


def shift_hsv(picture: Pillow.Image, hue: int, saturation: int, value: int) -> Pillow.Image:
    """Shift a picture's hue (255 steps are a turn), saturation and value (cut to 0..255).

    v2 has no such kernel, and for the hue alone this one gives the bytes of its `adjust_hue` in
    less time: it looks up the shifted values while v2 parts and joins the channels.
    """
    levels = np.arange(256)
    shifted = (
        (levels + hue) % 256,
        (levels + saturation).clip(0, 255),
        (levels + value).clip(0, 255),
    )
    return picture.convert("HSV").point(np.concatenate(shifted).tolist()).convert("RGB")
