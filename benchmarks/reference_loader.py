"""The training samples as the published loaders make them: Pillow and numpy, the whole picture.

Resize, flip, jitter, normalise, and then a crop out of zeros, as in PSA, SEAM and EPS; the draws
are those of `hsc.data.transforms`, in the same order. Letters: C foreground classes, S side of the
crop.
"""

import random

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.functional import adjust_hue

from hsc.data.stream import Position
from hsc.data.transforms import Augmentation
from hsc.data.voc import VocFolder

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class PlainSamples(Dataset[dict[str, Tensor]]):
    """Items as of `CamSamples` without saliency: `image` (3, S, S) float32, `tags` (C,)."""

    def __init__(
        self, folder: VocFolder, ids: tuple[str, ...], how: Augmentation, seed: int
    ) -> None:
        self._folder, self._ids, self._how, self._seed = folder, ids, how, seed

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, position: Position) -> dict[str, Tensor]:
        g, index = position
        image_id = self._ids[index]
        picture = Image.open(self._folder.image_path(image_id)).convert("RGB")
        crop = plain_crop(picture, self._how, random.Random(f"{self._seed}/{g}"))
        tags = torch.from_numpy(self._folder.tags(image_id))
        return {"image": torch.from_numpy(crop), "tags": tags}


def plain_crop(picture: Image.Image, how: Augmentation, rng: random.Random) -> NDArray[np.float32]:
    """A random crop (3, S, S): normalised, zero outside of the picture."""
    longest = rng.randint(*how.resize_longest)
    scale = longest / max(picture.size)
    width, height = (round(side * scale) for side in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    if rng.random() < how.flip:
        picture = ImageOps.mirror(picture)
    picture = jitter(picture, how, rng)
    return np.ascontiguousarray(crop(normalise(picture), how.crop_size, rng).transpose(2, 0, 1))


def jitter(picture: Image.Image, how: Augmentation, rng: random.Random) -> Image.Image:
    """Brightness, contrast, saturation and hue of the whole picture."""
    for enhancer, strength in (
        (ImageEnhance.Brightness, how.brightness),
        (ImageEnhance.Contrast, how.contrast),
        (ImageEnhance.Color, how.saturation),
    ):
        picture = enhancer(picture).enhance(rng.uniform(1 - strength, 1 + strength))
    return adjust_hue(picture, rng.uniform(-how.hue, how.hue))


def normalise(picture: Image.Image) -> NDArray[np.float32]:
    """(H, W, 3) float32, channel by channel."""
    pixels = np.asarray(picture)
    result = np.empty(pixels.shape, dtype=np.float32)
    for channel in range(3):
        result[..., channel] = (pixels[..., channel] / 255.0 - MEAN[channel]) / STD[channel]
    return result


def crop(pixels: NDArray[np.float32], size: int, rng: random.Random) -> NDArray[np.float32]:
    """(H, W, 3) to (S, S, 3): where it is longer, cut; where it is shorter, put into zeros."""
    height, width = pixels.shape[:2]
    x, y = rng.randrange(abs(width - size) + 1), rng.randrange(abs(height - size) + 1)
    left, to_left = (x, 0) if width > size else (0, x)
    top, to_top = (y, 0) if height > size else (0, y)
    piece = pixels[top : top + size, left : left + size]
    container = np.zeros((size, size, 3), dtype=np.float32)
    container[to_top : to_top + piece.shape[0], to_left : to_left + piece.shape[1]] = piece
    return container
